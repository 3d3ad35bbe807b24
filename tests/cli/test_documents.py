#!/usr/bin/env python3
"""Manual page and shell completions against the program's own help: usage: test_documents.py WISP ROOT"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

WISP = ROOT = None
COMMANDS = ["transcribe", "demo", "model", "bench", "doctor", "dump", "npu"]


def options_of(command):
    done = subprocess.run([WISP, command, "--help"], check=True, capture_output=True, text=True)
    names = set()
    for line in done.stdout.splitlines():
        if match := re.match(r"  (?:(-\w+),)? +(--[\w-]+)", line):
            names |= {name for name in match.groups() if name}
    return names


class DocumentTest(unittest.TestCase):
    def test_manual_has_every_option_and_no_other(self):
        text = (ROOT / "man" / "wisp.1").read_text().replace("\\-", "-")
        in_manual = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))
        helps = set().union(*map(options_of, COMMANDS))
        self.assertGreater(len(helps), 70)
        self.assertEqual(helps - in_manual, set())
        foreign = {"-i", "-ar", "-ac", "--name"}  # ffmpeg's in the examples; a placeholder
        self.assertEqual(in_manual - helps - foreign, set())

    def test_example_kernel_is_the_one_that_is_tested(self):
        code = re.search(r"```c\n(.*?)```", (ROOT / "docs" / "npu-kernels.md").read_text(), re.S)[1]
        self.assertIn(code, (ROOT / "tests" / "npu" / "test_kernel_example.c").read_text())

    def test_manual_is_well_formed(self):
        if not shutil.which("groff"):
            self.skipTest("no groff to read the manual with")
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", ROOT / "man" / "wisp.1"],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_completions_are_those_of_the_help(self):
        done = subprocess.run([sys.executable, ROOT / "tools" / "gen_completions.py", WISP,
                               ROOT / "completions", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_completions_parse(self):
        for shell, name in (("bash", "wisp.bash"), ("zsh", "_wisp"), ("fish", "wisp.fish")):
            if shutil.which(shell):
                subprocess.run([shell, "-n", ROOT / "completions" / name], check=True)

    def test_completions_of_bash(self):
        script = """source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wisp
                    printf '%s\\n' "${COMPREPLY[@]}" """
        env = os.environ | {"PATH": f"{pathlib.Path(WISP).parent}:{os.environ['PATH']}"}
        for words, expected in ((["wisp", "transcribe", "--output-j"], ["--output-json"]),
                                (["wisp", "a.wav", "-ot"], ["-ot", "-otxt", "-otsv"]),
                                (["wisp", "docto"], ["doctor"]),
                                (["wisp", "model", "pul"], ["pull"]),
                                (["wisp", "model", "pull", "medium.en"],
                                 ["medium.en", "medium.en-q5_0", "medium.en-q8_0"]),
                                (["wisp", "dump", "enc"], ["encoder"]),
                                (["wisp", "dump", "--tok"], ["--tokens"]),
                                (["wisp", "npu", "di"], ["dis"])):
            done = subprocess.run(["bash", "-c", script, "bash", ROOT / "completions" / "wisp.bash", *words],
                                  check=True, capture_output=True, text=True, env=env, cwd="/")
            self.assertEqual(done.stdout.split(), expected, words)


if __name__ == "__main__":
    ROOT = pathlib.Path(sys.argv.pop(2)).resolve()
    WISP = os.path.abspath(sys.argv.pop(1))
    unittest.main()
