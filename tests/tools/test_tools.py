#!/usr/bin/env python3
"""What the gate relies on fails when it should: the checks of layers and symbols, the count of tests, the
lists of tests: usage: test_tools.py SOURCE_ROOT"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = None


class ToolsTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp tools-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tool(self, name, *args):
        done = subprocess.run([sys.executable, ROOT / "tools" / name, *args], cwd=self.dir, text=True,
                              capture_output=True)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()

    def test_layers(self):
        good = '#include "mel/mel.h"\n#include "base/err.h"\n#include <wisp/wisp.h>\n#include <math.h>\n'
        self.write("src/base/err.h", "")
        self.write("src/encoder/encoder.h", "")
        self.write("src/npu/emu/core.c", '#include "npu/isa/isa.h"\n')
        self.write("cli/args.h", "")
        self.write("cli/main.c", '#include "args.h"\n#include <wisp/wisp.h>\n')
        mel = self.write("src/mel/mel.c", good)
        self.assertEqual(self.tool("check_layers.py", self.dir), (0, []))
        for line in ('#include "encoder/encoder.h"', "#include <encoder/encoder.h>", '#include "mel.h"',
                     '  #  include"encoder/encoder.h"'):
            mel.write_text(good + line)
            code, out = self.tool("check_layers.py", self.dir)
            self.assertEqual((code, len(out)), (1, 1), line)
            self.assertTrue(out[0].startswith("src/mel/mel.c:5: "), out)
        mel.write_text(good)
        for name, line in (("cli/main.c", '#include "base/err.h"'), ("cli/main.c", "#include <base/err.h>"),
                           ("src/npu/emu/core.c", '#include "npu/asm/parse.h"'), ("src/new/new.c", "")):
            shutil.copy(self.write(name, line), self.dir / "kept")
            code, out = self.tool("check_layers.py", self.dir)
            self.assertEqual((code, len(out)), (1, 1), line)
            self.assertIn(name, out[0])
            (self.dir / name).unlink()

    def test_symbols(self):
        source = self.write("lib.c", """__attribute__((visibility("default"))) int wisp_one(void) { return 1; }
                                        __attribute__((visibility("default"))) int wisp_two = 2;
                                        int wi_hidden(void) { return 3; }""")
        library = self.dir / "lib.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-o", library, source], check=True)
        for listed, wrong in ((["wisp_one", "wisp_two"], []), (["wisp_one"], ["wisp_two"]),
                              (["wisp_one", "wisp_three", "wisp_two"], ["wisp_three"]),
                              (["wi_hidden", "wisp_one"], ["wisp_two", "wi_hidden"])):
            names = self.write("list", "# the list\n" + "\n".join(listed) + "\n")
            code, out = self.tool("check_symbols.py", library, names)
            self.assertEqual((code, [line.split()[-1] for line in out]), (int(bool(wrong)), wrong))

    def log(self, folder, *results):
        self.write(f"{folder}/meson-logs/testlog.json",
                   "".join(json.dumps({"name": f"t{i}", "result": r}) + "\n" for i, r in enumerate(results)))

    def test_count(self):
        self.log("build", "OK", "OK", "SKIP")
        self.log("build-asan", "OK")
        self.assertEqual(self.tool("count_tests.py", "release", "asan"),
                         (0, ["skipped: release: t2", "3 passed, 0 failed, 1 skipped"]))
        for bad in ("FAIL", "TIMEOUT", "ERROR", "INTERRUPT", "UNEXPECTEDPASS"):
            self.log("build-asan", "OK", bad)
            self.assertEqual(self.tool("count_tests.py", "release", "asan"),
                             (1, ["skipped: release: t2", f"failed: asan: t1 ({bad.lower()})",
                                  "3 passed, 1 failed, 1 skipped"]))
        code, out = self.tool("count_tests.py", "release", "fuzz")
        self.assertEqual((code, out[-1]), (1, "2 passed, 1 failed, 1 skipped"))
        self.log("build", "SKIP")
        self.assertEqual(self.tool("count_tests.py", "release")[0], 1)  # nothing was tested

    def test_a_build_that_fails_is_a_failed_test(self):
        """The real script on a copy of the tree whose sources do not compile, or whose set-up fails."""
        for name in (".ci", "tools", "meson.build", "meson_options.txt"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, self.dir / name)
        self.log("build", "OK")  # of an earlier run
        env = os.environ | {"CC": "false"}
        done = subprocess.run([self.dir / ".ci/run"], env=env, cwd="/", text=True, capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout.splitlines()[-1], "0 passed, 4 failed, 0 skipped", done.stdout)

    def test_every_test_is_in_a_list(self):
        lists = "".join(path.read_text() for path in (ROOT / "tests").rglob("meson.build"))
        for path in sorted((ROOT / "tests").glob("*/*_*.*")):
            if match := re.fullmatch(r"(?:test|fuzz)_(\w+)\.(?:c|py)", path.name):
                self.assertRegex(lists, rf"'(\S*/)?{re.escape(path.name)}'|'{match[1]}'", path)


if __name__ == "__main__":
    ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
