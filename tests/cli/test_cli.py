#!/usr/bin/env python3
"""The program as a user meets it: usage: test_cli.py WISP

Runs it on small random models and made-up audio; what it says, writes and exits with is checked, not
the text that it hears."""
import array
import http.server
import json
import math
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import tiny_model

WISP = None
FAST = ["-bs", "1", "-nf", "-t", "2"]
LINE = re.compile(r"\[(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})\]  (\S.*)")


def read_npy(path):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (length,) = struct.unpack("<H", data[8:10])
    header = eval(data[10:10 + length].decode())  # a Python dictionary by definition of the format
    assert header["descr"] == "<f4" and not header["fortran_order"] and (10 + length) % 64 == 0
    values = array.array("f", data[10 + length:])
    assert len(values) == math.prod(header["shape"])
    return header["shape"], values


class CliTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="wisp-cli-"))
        cls.multi, cls.english = cls.shared / "multi.bin", cls.shared / "english.bin"
        tiny_model.write_model(cls.multi, True)
        tiny_model.write_model(cls.english, False)
        tiny_model.write_wav(cls.shared / "short.wav", tiny_model.samples(3))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp-cli-"))
        self.addCleanup(shutil.rmtree, self.dir)
        shutil.copy(self.shared / "short.wav", self.dir / "a.wav")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("WISP_") and not k.lower().endswith("_proxy")}
        self.env |= {"WISP_MODELS": str(self.dir / "models"), "TERM": "xterm"}

    def run_wisp(self, *args, input=None, env=None, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        if "stdin" not in kwargs:
            kwargs["input"] = input
        done = subprocess.run([WISP, *map(str, args)], stderr=subprocess.PIPE,
                              cwd=self.dir, env=self.env | (env or {}), timeout=120, **kwargs)
        out = (done.stdout or b"").decode()  # never half a character
        return done.returncode, out, done.stderr.decode()

    def wisp(self, *args, **kwargs):
        """Transcription with the multilingual model, quick settings."""
        return self.run_wisp("-m", self.multi, *FAST, *args, **kwargs)

    def files(self):
        return sorted(p.name for p in self.dir.iterdir())

    def assert_error(self, result, code, *words):
        rc, out, err = result
        self.assertEqual(rc, code, err)
        self.assertEqual(out, "")
        for word in words:
            self.assertIn(word, err)
        self.assertTrue(all(line.startswith("wisp: ") for line in err.splitlines()), err)

    # ---------------------------------------------------------------- usage

    def test_help(self):
        rc, out, err = self.run_wisp("--help")
        self.assertEqual((rc, err), (0, ""))
        self.assertEqual(self.run_wisp("transcribe", "-h")[1], out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        commands = re.search(r"Commands:\n(.*?)\n\n", out, re.S)[1]
        self.assertEqual([line.split()[0] for line in commands.splitlines()],
                         ["transcribe", "demo", "model", "bench", "doctor", "dump", "npu"])
        for flag in ("-m -f -l -t -tr -nt -bs -bo -tp -tpi -nf -et -lpt -nth -sns -mc -ot -d -dl -np -pp "
                     "-otxt -osrt -ovtt -otsv -ocsv -olrc -oj -of --prompt --carry-initial-prompt "
                     "--version -h").split():
            self.assertRegex(out, rf"(?m)^ +(-\w+, +)?{flag}[, ]")

    def test_help_of_commands(self):
        for command in ("demo", "model", "bench", "doctor", "dump", "npu"):
            rc, out, err = self.run_wisp(command, "--help")
            self.assertEqual((rc, err), (0, ""), command)
            self.assertIn(f"usage: wisp {command}", out)
            self.assertLessEqual(max(map(len, out.splitlines())), 80)

    def test_version(self):
        rc, out, err = self.run_wisp("--version")
        self.assertEqual((rc, err), (0, ""))
        self.assertRegex(out, r"^wisp \d+\.\d+\.\d+\n$")

    def test_no_arguments(self):
        self.assert_error(self.run_wisp(), 1, "no audio file", "--help")
        self.assert_error(self.run_wisp("-m", self.multi), 1, "no audio file")

    def test_unknown_options_get_the_nearest(self):
        for wrong, right in (("--modle", "--model"), ("-otxtt", "-otxt"), ("--output-jsn", "--output-json"),
                             ("--beamsize", "--beam-size"), ("-ojj", "-oj"), ("--nf", "-nf"),
                             ("--lenguage", "--language"), ("--tempreature", "--temperature")):
            self.assert_error(self.wisp(wrong, "a.wav"), 1, f"'{wrong}'", f"'{right}'")
        self.assert_error(self.run_wisp("model", "list", "--jsn"), 1, "'--json'")
        for wrong in ("--" + "x" * 500, "-x", "-9", "--zzz"):
            result = self.wisp(wrong, "a.wav")
            self.assert_error(result, 1, f"unknown option '{wrong}'", "--help")
            self.assertNotIn("mean", result[2])

    def test_bad_values(self):
        for option, value in (("-bs", "5x"), ("-bs", "0"), ("-bs", "17"), ("-bs", ""), ("-bs", " 5"),
                              ("-bs", "1e0"), ("-t", "0"), ("-t", "99999999999999999999"), ("-tp", "nan"),
                              ("-tp", "inf"), ("-tp", "0x1"), ("-tp", "1.1"), ("-tp", "-0.1"),
                              ("-tp", "0.5,"), ("-lpt", "x"), ("-ot", "-1"), ("-d", "1.5"), ("-mc", "--"),
                              ("--seed", "-1"), ("--seed", "18446744073709551616"), ("-et", "None?")):
            with self.subTest(option=option, value=value):
                self.assert_error(self.wisp("a.wav", option, value), 1, option, "needs", f"'{value}'")
        for raw in ("s24", "s16:", "s16:x", "s16:16000:0", "s16:16000:1:2", "f32:0", ""):
            with self.subTest(raw=raw):
                self.assert_error(self.wisp("a.wav", "--raw", raw), 1, "--raw needs")
        self.assert_error(self.wisp("a.wav", "-bs"), 1, "-bs needs a value (N)")
        self.assert_error(self.run_wisp("a.wav", "-m", "-nt"), 1, "-m needs a value", "'-nt'")
        self.assert_error(self.wisp("a.wav", "--translate=yes"), 1, "--translate takes no value")
        self.assert_error(self.wisp("a.wav", "--carry-initial-prompt"), 1, "--prompt")

    def test_languages(self):
        self.assert_error(self.wisp("a.wav", "-l", "grman"), 1, "'grman'", "'german'")
        self.assert_error(self.wisp("a.wav", "-l", ""), 1, "-l")
        for name in ("de", "German", "GERMAN"):
            self.assertEqual(self.wisp("a.wav", "-l", name, "-oj", "-of", "o")[0], 0)
            self.assertEqual(json.loads((self.dir / "o.json").read_text())["language"], "de")
        rc, out, err = self.run_wisp("-m", self.english, *FAST, "a.wav", "-l", "de")
        self.assertEqual(rc, 0)
        self.assertIn("English-only", err)
        self.assert_error(self.run_wisp("-m", self.english, "a.wav", "-dl"), 1, "English-only")

    def test_detect_language(self):
        rc, out, err = self.wisp("a.wav", "-dl", "-np")
        self.assertEqual((rc, err), (0, ""))
        self.assertRegex(out, r"^[a-z]{2,3}\n$")
        self.wisp("a.wav", "-oj")
        self.assertEqual(json.loads((self.dir / "a.wav.json").read_text())["language"], out.strip())

    # ---------------------------------------------------------------- inputs

    def test_inputs_that_cannot_be_read(self):
        (self.dir / "empty.wav").touch()
        (self.dir / "text.wav").write_text("this is no audio\n" * 50)
        self.assert_error(self.wisp("missing.wav"), 2, "'missing.wav'")
        self.assert_error(self.wisp("."), 2, "'.'", "folder")
        self.assert_error(self.wisp(""), 1, "empty")
        for name in ("empty.wav", "text.wav"):
            rc, out, err = self.wisp(name)
            self.assertEqual((rc, out), (2, ""), name)
            self.assertIn(name, err)

    def test_unknown_words_are_missing_files(self):
        self.assert_error(self.run_wisp("frobnicate"), 2, "'frobnicate'", "no such file")
        self.assert_error(self.run_wisp("trascribe"), 2, "'wisp transcribe'")

    def test_options_stand_anywhere(self):
        expected = self.wisp("a.wav", "-np")
        self.assertEqual(expected[0], 0)
        self.assertNotEqual(expected[1], "")
        for args in (["transcribe", "a.wav", *FAST, "-np", "-m", self.multi],
                     [*FAST, "--no-prints", "--file", "a.wav", f"--model={self.multi}"],
                     ["-f", "a.wav", "-m", self.multi, "-np", *FAST]):
            self.assertEqual(self.run_wisp(*args), expected)

    def test_names_like_options(self):
        shutil.copy(self.dir / "a.wav", self.dir / "-m.wav")
        expected = self.wisp("a.wav", "-np")
        self.assertEqual(self.wisp("-np", "--", "-m.wav"), expected)
        self.assertEqual(self.wisp("-np", "-f", "-m.wav"), expected)

    def test_several_files(self):
        shutil.copy(self.dir / "a.wav", self.dir / "b.wav")
        (self.dir / "bad.wav").write_text("no audio")
        one = self.wisp("a.wav", "-np")[1]
        rc, out, err = self.wisp("a.wav", "missing.wav", "bad.wav", "-f", "b.wav", "-otxt")
        self.assertEqual(rc, 2)
        self.assertEqual(out, one + one)
        self.assertIn("missing.wav", err)
        self.assertIn("bad.wav", err)
        self.assertTrue((self.dir / "b.wav.txt").exists())
        self.assertFalse((self.dir / "bad.wav.txt").exists())

    def test_standard_input(self):
        expected = self.wisp("a.wav", "-np")
        data = (self.dir / "a.wav").read_bytes()
        self.assertEqual(self.wisp("-", "-np", input=data), expected)
        self.assertEqual(self.wisp("-np", "-f", "-", "--raw", "s16", input=data[44:]), expected)
        floats = array.array("f", (x / 32768 for x in array.array("h", data[44:]))).tobytes()
        self.assertEqual(self.wisp("-np", "-", "--raw", "f32:16000:1", input=floats), expected)
        rc, out, err = self.wisp("-", input=data[1044:])
        self.assertEqual((rc, out), (2, ""))
        rc, out, err = self.wisp("-", input=b"")
        self.assertEqual((rc, out), (2, ""))
        self.assert_error(self.wisp("-", "-", input=data), 1, "standard input")
        self.assert_error(self.wisp("-", "-otxt", input=data), 1, "-of")
        self.assertEqual(self.wisp("-", "-np", "-otxt", "-of", "o", input=data), expected)
        self.assertEqual(self.files(), ["a.wav", "o.txt"])

    def test_standard_input_that_does_not_block(self):
        """As some programs hand it on: to be waited for all the same."""
        expected = self.wisp("a.wav", "-np")
        data = (self.dir / "a.wav").read_bytes()
        for args, content in (([], data), (["--raw", "s16"], data[44:])):
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            with os.fdopen(write_end, "wb") as f:
                later = threading.Timer(0.3, lambda: (f.write(content), f.close()))
                later.start()
                self.assertEqual(self.wisp("-", "-np", *args, stdin=read_end), expected)
                later.join()
            os.close(read_end)

    def test_odd_lengths(self):
        for name, n in (("one", 1), ("half", 8000), ("window", 480000), ("long", 70 * 16000)):
            with self.subTest(name=name):
                tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(n / 16000))
                rc, out, err = self.wisp("o.wav", "-oj")
                self.assertEqual(rc, 0, err)
                root = json.loads((self.dir / "o.wav.json").read_text())
                self.assertAlmostEqual(root["duration"], n / 16000, delta=0.01)
                self.assertEqual(root["timings"]["windows"] >= 3, name == "long")
        tiny_model.write_wav(self.dir / "silence.wav", array.array("h", bytes(32000)))
        self.assertEqual(self.wisp("silence.wav")[0], 0)

    def test_part_of_the_audio(self):
        tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(40))
        rc, out, err = self.wisp("o.wav", "-ot", "10000", "-d", "5000", "-oj", "-np")
        self.assertEqual((rc, err), (0, ""))
        for s in json.loads((self.dir / "o.wav.json").read_text())["segments"]:
            self.assertGreaterEqual(s["seek"], 1000)
            self.assertLess(s["seek"], 1500)
        rc, out, err = self.wisp("o.wav", "-ot", "41000")
        self.assertEqual((rc, out), (0, ""))
        self.assertIn("behind the end", err)

    # ---------------------------------------------------------------- output

    def test_lines_and_files_agree(self):
        rc, out, err = self.wisp("a.wav", "-otxt", "-osrt", "-ovtt", "-otsv", "-ocsv", "-olrc", "-oj")
        self.assertEqual(rc, 0, err)
        self.assertEqual(self.files(), ["a.wav"] + sorted(
            "a.wav." + e for e in ("txt", "srt", "vtt", "tsv", "csv", "lrc", "json")))
        root = json.loads((self.dir / "a.wav.json").read_text())
        shown = [s for s in root["segments"] if s["text"].strip()]
        lines = [LINE.fullmatch(line) for line in out.splitlines()]
        self.assertTrue(lines and all(lines), out)
        self.assertEqual([m[7] for m in lines], [s["text"].strip() for s in shown])
        for m, s in zip(lines, shown):
            for first, value in ((1, s["start"]), (4, s["end"])):
                seconds = int(m[first]) * 3600 + int(m[first + 1]) * 60 + float(m[first + 2])
                self.assertAlmostEqual(seconds, value, delta=0.0006)
        txt = (self.dir / "a.wav.txt").read_text()
        self.assertEqual(txt, "".join(s["text"].strip() + "\n" for s in root["segments"]))
        self.assertEqual(root["text"].strip(), "".join(s["text"] for s in root["segments"]).strip())
        self.assertEqual(root["task"], "transcribe")
        self.assertFalse(root["interrupted"])
        self.assertEqual(sorted(root["device"]), ["decoder", "encoder", "mel"])
        self.assertTrue(all("cpu" in device for device in root["device"].values()))
        self.assertEqual(root["model"]["path"], str(self.multi))
        for s in root["segments"]:
            self.assertNotIn(50257, s["tokens"])
            self.assertEqual(s["temperature"], 0.0)
            self.assertIsInstance(s["avg_logprob"], float)

    def test_text_only(self):
        rc, out, err = self.wisp("a.wav", "-nt", "-oj", "-np")
        self.assertEqual((rc, err), (0, ""))
        root = json.loads((self.dir / "a.wav.json").read_text())
        self.assertEqual(out, "".join(s["text"].strip() + "\n" for s in root["segments"] if s["text"]))
        self.assertTrue(all(t < 50364 for s in root["segments"] for t in s["tokens"]))

    def test_output_names(self):
        shutil.copy(self.dir / "a.wav", self.dir / "b.wav")
        self.assertEqual(self.wisp("a.wav", "-oj", "-of", "x.y")[0], 0)
        self.assertEqual(self.wisp("a.wav", "b.wav", "-otxt", "-of", "p", "-of", "q")[0], 0)
        self.assertEqual(self.files(), ["a.wav", "b.wav", "p.txt", "q.txt", "x.y.json"])
        self.assert_error(self.wisp("a.wav", "b.wav", "-otxt", "-of", "p"), 1, "-of")
        self.assert_error(self.wisp("a.wav", "-otxt", "-of", "p", "-of", "q"), 1, "-of")
        self.assert_error(self.wisp("a.wav", "b.wav", "-otxt", "-of", "p", "-of", "p"), 1, "'p'")
        for prefix in ("", "out/", "/"):
            self.assert_error(self.wisp("a.wav", "-otxt", "-of", prefix), 1, "-of", f"'{prefix}'")
        longest = 251 * "n"
        self.assertEqual(self.wisp("a.wav", "-otxt", "-of", longest)[0], 0)
        self.assertTrue((self.dir / f"{longest}.txt").exists())

    def test_output_to_standard_output(self):
        self.wisp("a.wav", "-osrt", "-np")
        rc, out, err = self.wisp("a.wav", "-osrt", "-of", "-", "-np")
        self.assertEqual((rc, err), (0, ""))
        self.assertEqual(out, (self.dir / "a.wav.srt").read_text())
        self.assert_error(self.wisp("a.wav", "-osrt", "-oj", "-of", "-"), 1, "one format")

    def test_folder_of_output_is_checked_before_the_work(self):
        rc, out, err = self.wisp("a.wav", "-oj", "-of", "no/such/folder")
        self.assertEqual((rc, out), (2, ""))
        self.assertIn("'no/such/folder.json'", err)
        os.mkdir(self.dir / "d.json")
        self.assertEqual(self.wisp("a.wav", "-oj", "-of", "d")[0:2], (2, ""))

    def test_what_is_there_keeps_its_permissions(self):
        (self.dir / "a.wav.txt").touch(mode=0o640)
        self.assertEqual(self.wisp("a.wav", "-otxt")[0], 0)
        self.assertEqual((self.dir / "a.wav.txt").stat().st_mode & 0o777, 0o640)
        self.assertGreater((self.dir / "a.wav.txt").stat().st_size, 0)
        if os.geteuid() != 0:
            (self.dir / "a.wav.txt").chmod(0o440)
            self.assert_error(self.wisp("a.wav", "-np", "-otxt"), 2, "'a.wav.txt'", "Permission denied")

    def test_full_disk_says_so(self):
        """Also when it fills up in the middle of many numbers."""
        self.assert_error(self.run_wisp("dump", "mel", "-m", self.multi, "-f", "a.wav", "-o", "/dev/full"),
                          2, "'/dev/full'", "No space left on device")
        os.symlink("/dev/full", self.dir / "full.txt")
        rc, out, err = self.wisp("a.wav", "-np", "-otxt", "-of", "full")
        self.assertEqual((rc, err), (2, "wisp: cannot write '/dev/full': No space left on device; free "
                                        "some space\n"))

    def test_full_disk_leaves_nothing(self):
        (self.dir / "a.wav.json").write_text("old")
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        rc, out, err = self.wisp("a.wav", "-oj", preexec_fn=limit)
        self.assertEqual(rc, 2)
        self.assertIn("cannot write", err)
        self.assertIn("a.wav.json", err)
        self.assertEqual((self.dir / "a.wav.json").read_text(), "old")
        self.assertEqual(self.files(), ["a.wav", "a.wav.json"])

    def test_output_through_a_link_and_into_a_device(self):
        (self.dir / "real.txt").write_text("old")
        os.symlink("real.txt", self.dir / "link.txt")
        os.symlink("/dev/null", self.dir / "null.txt")
        out = self.wisp("a.wav", "-nt", "-otxt", "-of", "link")[1]
        self.assertEqual((self.dir / "real.txt").read_text(), out)
        self.assertTrue((self.dir / "link.txt").is_symlink())
        os.mkdir(self.dir / "d")
        os.symlink("d/second.txt", self.dir / "first.txt")
        os.symlink("third.txt", self.dir / "d" / "second.txt")
        self.assertEqual(self.wisp("a.wav", "-nt", "-otxt", "-of", "first")[0], 0)
        self.assertEqual((self.dir / "d" / "third.txt").read_text(), out)
        self.assertTrue((self.dir / "d" / "second.txt").is_symlink())
        os.symlink("loop.txt", self.dir / "loop.txt")
        self.assert_error(self.wisp("a.wav", "-np", "-otxt", "-of", "loop"), 2, "'loop.txt'", "symbolic")
        self.assertTrue((self.dir / "loop.txt").is_symlink())
        self.assertEqual(self.wisp("a.wav", "-otxt", "-of", "null")[0], 0)
        self.assertTrue(pathlib.Path("/dev/null").is_char_device())

    def test_standard_output_that_fails(self):
        with open("/dev/full", "w") as full:
            rc, out, err = self.wisp("a.wav", stdout=full)
            self.assertEqual(rc, 2)
            self.assertIn("standard output: the disk is full", err)
            rc, out, err = self.run_wisp("--help", stdout=full)
            self.assertEqual((rc, err), (2, "wisp: cannot write to standard output: the disk is full; free "
                                            "some space\n"))
            rc, out, err = self.wisp("a.wav", "-oj", "-of", "-", stdout=full)
            self.assertEqual(rc, 2)
        read_end, write_end = os.pipe()
        os.close(read_end)
        rc, out, err = self.wisp("a.wav", stdout=write_end)
        os.close(write_end)
        self.assertEqual(rc, 2)
        self.assertIn("standard output", err)
        rc, out, err = self.wisp("a.wav", "-otxt", preexec_fn=lambda: os.close(1), stdout=None)
        self.assertEqual(rc, 2)

    def test_quiet_and_piped(self):
        rc, out, err = self.wisp("a.wav", "-np")
        self.assertEqual((rc, err), (0, ""))
        rc, out, err = self.wisp("a.wav")
        self.assertNotIn("\r", err)
        self.assertNotIn("%", err)
        self.assertRegex(err, r"encoder cpu \(\w+\)")
        rc, out, err = self.wisp("a.wav", "-np", "-pp")
        self.assertEqual(rc, 0)
        self.assertIn("progress = 100%", err)
        tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(65))
        rc, out, err = self.wisp("o.wav", "-np", "-pp", "-nt", "-ot", "30000")  # windows at 30 and 60 s
        self.assertEqual(err, "wisp: progress =  85%\nwisp: progress = 100%\n")

    def test_progress_on_a_terminal(self):
        tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(65))
        master, slave = pty.openpty()
        process = subprocess.Popen([WISP, "-m", self.multi, *FAST, "o.wav"], cwd=self.dir, env=self.env,
                                   stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:  # the terminal's other end is closed
            pass
        os.close(master)
        self.assertEqual(process.wait(60), 0)
        self.assertRegex(shown.decode(), r"\r *\d+%  \d\d:\d\d:\d\d\.\d+ / 00:01:05\.000  [\d.]+x realtime")

    # ---------------------------------------------------------------- signals

    def start_long(self, *args):
        tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(1200))
        return subprocess.Popen([WISP, "-m", self.multi, *FAST, "o.wav", *args], cwd=self.dir,
                                env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_interrupt_writes_what_is_done(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                process = self.start_long("-oj", "-osrt")
                first = process.stdout.readline()
                process.send_signal(number)
                out, err = process.stdout.read(), process.stderr.read()  # not communicate(): readline() has read ahead
                process.wait(120)
                self.assertEqual(process.returncode, 4, err)
                self.assertIn("interrupted", err)
                root = json.loads((self.dir / "o.wav.json").read_text())
                self.assertTrue(root["interrupted"])
                shown = [s["text"].strip() for s in root["segments"] if s["text"].strip()]
                self.assertEqual([LINE.fullmatch(line)[7] for line in (first + out).splitlines()], shown)
                self.assertLess(root["segments"][-1]["end"], 1200)
                self.assertEqual(self.files(), ["a.wav", "o.wav", "o.wav.json", "o.wav.srt"])

    def test_reader_that_goes_away(self):
        """As with `wisp FILE -osrt | head -1`: what was done until then is in the file."""
        process = self.start_long("-oj", "-osrt")
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        self.assertEqual(process.wait(30), 2, err)
        self.assertIn("cannot write to standard output", err)
        root = json.loads((self.dir / "o.wav.json").read_text())
        self.assertTrue(root["interrupted"])
        self.assertTrue(0 < len(root["segments"]) and root["segments"][-1]["end"] < 1200)
        self.assertEqual(self.files(), ["a.wav", "o.wav", "o.wav.json", "o.wav.srt"])

    def test_interrupt_while_audio_is_read(self):
        """A pipe that brings nothing more, and a file that takes seconds to read."""
        os.mkfifo(self.dir / "pipe")
        with open(self.dir / "long.raw", "wb") as f:
            f.truncate(2 * 16000 * 3 * 3600)
        for args in (["pipe", "-oj"], ["pipe", "-oj", "--raw", "s16"], ["long.raw", "-oj", "--raw", "s16"]):
            with self.subTest(args=args):
                process = subprocess.Popen([WISP, "-m", self.multi, *args], cwd=self.dir, env=self.env,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                process.stderr.readline()  # the model is open
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
                self.assertEqual((process.returncode, out), (4, ""), err)
                self.assertIn(f"'{args[0]}'", err)
                self.assertEqual(self.files(), ["a.wav", "long.raw", "pipe"])

    def test_interrupt_ends_the_list_of_files(self):
        process = self.start_long("a.wav", "-otxt")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 4)
        self.assertEqual(self.files(), ["a.wav", "o.wav", "o.wav.txt"])

    def test_interrupt_before_anything_is_done(self):
        process = subprocess.Popen([WISP, "-m", self.multi, "-bs", "16", "-t", "1", "a.wav", "-otxt", "-pp"],
                                   cwd=self.dir, env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # the model is open
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        if process.returncode != 0:  # it may have been quicker
            self.assertEqual(process.returncode, 4, err)
            self.assertEqual(self.files(), ["a.wav"])

    def test_second_interrupt_ends_at_once(self):
        process = subprocess.Popen([WISP, "-m", self.multi, "-", "--raw", "s16"], cwd=self.dir, env=self.env,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stderr.readline()  # it waits for samples now
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        self.assertIn(process.returncode, (4, -signal.SIGINT))

    # ---------------------------------------------------------------- decoding options

    def test_seed(self):
        options = ["-m", self.multi, "-tp", "1", "-tpi", "0", "-bo", "2", "a.wav", "-np"]
        one = self.run_wisp(*options, "--seed", "1")
        self.assertEqual(one[0], 0, one[2])
        self.assertEqual(self.run_wisp(*options, "--seed", "1"), one)
        self.assertNotEqual(self.run_wisp(*options, "--seed", "2"), one)

    def test_options_reach_the_decoder(self):
        # exactly as in the file: on random weights every change of a bit may change the words
        plain = self.wisp("a.wav", "-np", "--decoder-weights", "f32")
        for options in (["-tr"], ["--prompt", "w999 w1000"], ["-l", "fr"], ["-nt"],
                        ["--no-suppress-nst"], ["-bs", "3"]):
            with self.subTest(options=options):
                rc, out, err = self.wisp("a.wav", "-np", "--decoder-weights", "f32", *options)
                self.assertEqual((rc, err), (0, ""))
                if options[0] not in ("--no-suppress-nst",):
                    self.assertNotEqual(out, plain[1])
        for options in (["-mc", "-1"], ["-mc", "0"], ["-mc", "5"], ["-sns"], ["-et", "none"],
                        ["-lpt", "none", "-nth", "none"], ["--patience", "2"], ["--length-penalty", "0.6"]):
            with self.subTest(options=options):
                self.assertEqual(self.wisp("a.wav", "-np", *options)[::2], (0, ""))

    def test_decoder_weights(self):
        for name in ("f32", "bf16", "int8", ""):
            with self.subTest(name=name):
                rc, out, err = self.wisp("a.wav", "-np", "--decoder-weights", name)
                self.assertEqual((rc, err), (0, ""))
                self.assertIn("-->", out)
        self.assert_error(self.wisp("a.wav", "--decoder-weights", "int4"), 1, "one of: f32, bf16, int8")

    def test_search_options_on_the_bundled_clip(self):
        """How many steps and tries it takes, and how probable the text is, shows what was done."""
        models = pathlib.Path(WISP).parent.parent / "models"

        def run(*options):
            self.assertEqual(self.run_wisp("-m", models / "nano-digits.bin", models / "demo.wav", "-np", "-oj",
                                           "-of", "o", *options)[::2], (0, ""))
            root = json.loads((self.dir / "o.json").read_text())
            return (root["timings"]["decoder_steps"], root["timings"]["fallbacks"],
                    root["segments"][0]["avg_logprob"])
        steps, tries, logprob = run()
        self.assertEqual(tries, 0)
        self.assertGreater(run("--patience", "2")[0], steps)
        self.assertEqual(run("--length-penalty", "1")[0], steps)
        one, five = run("-tp", "1", "-bo", "1"), run("-tp", "1", "-bo", "5")
        self.assertLess(one[2], five[2])  # the best of five samples is better than the first
        self.assertLess(five[2], logprob)
        self.assertEqual([run("-lpt", "0", "-bo", "1", *more)[1] for more in
                          ([], ["-tpi", "0.5"], ["-tp", "0.8"], ["-nf"])], [5, 2, 1, 0])
        self.assertEqual(run("-et", "0.1", "-bo", "1")[1], 5)

    def test_previous_text(self):
        tiny_model.write_wav(self.dir / "o.wav", tiny_model.samples(65))
        none, some, all = (self.wisp("o.wav", "-np", "-nt", "-l", "en", "-mc", n)[1] for n in ("0", "2", "-1"))
        self.assertEqual(len({none, some, all}), 3)
        self.assertEqual(self.wisp("o.wav", "-np", "-nt", "-l", "en", "-mc", "-7")[1], all)
        self.assertEqual(len({text.split()[0] for text in (none, some, all)}), 1)  # the first window has none

    def test_symbols_that_are_not_speech(self):
        tiny_model.write_model(self.dir / "loud.bin", True, loud=ord("="))
        run = lambda *options: self.run_wisp("-m", "loud.bin", *FAST, "-nt", "-np", "a.wav", *options)[1]
        self.assertIn("=", run("--no-suppress-nst"))
        self.assertNotIn("=", run())
        self.assertNotIn("=", run("--no-suppress-nst", "-sns"))

    def test_fallback_shows_its_temperature(self):
        """A threshold that nothing passes: the last temperature is reached; -nf: the first is kept."""
        options = ["-m", self.multi, "-bs", "1", "-bo", "1", "a.wav", "-oj", "-np"]
        for extra, temperature in ((["-lpt", "0"], 1.0), (["-lpt", "0", "-nf"], 0.0),
                                   (["-lpt", "0", "-tpi", "0.5"], 1.0), (["-lpt", "none", "-et", "none"], 0.0),
                                   (["-lpt", "none", "-et", "-1"], 1.0)):
            with self.subTest(extra=extra):
                rc, out, err = self.run_wisp(*options, *extra)
                self.assertEqual((rc, err), (0, ""))
                root = json.loads((self.dir / "a.wav.json").read_text())
                self.assertAlmostEqual(root["segments"][0]["temperature"], temperature)

    def temperatures(self, *options):
        """Of the first window's segments, where 1 is the only temperature to fall back to."""
        rc, out, err = self.run_wisp("-m", self.multi, "-bs", "1", "-bo", "1", "-t", "2", "-tpi", "1", "a.wav", "-oj",
                                     "-np", *map(str, options))
        self.assertEqual((rc, err), (0, ""))
        self.root = json.loads((self.dir / "a.wav.json").read_text())
        return {s["temperature"] for s in self.root["segments"] if s["seek"] == 0}

    def at_temperature_0(self, key):
        self.assertEqual(self.temperatures("-et", "none", "-lpt", "none", "-nth", "none"), {0.0})
        return self.root["segments"][0][key]

    def test_compression_ratio_threshold(self):
        at = self.at_temperature_0("compression_ratio")
        others = ["-lpt", "none", "-nth", "none"]
        self.assertEqual(self.temperatures("-et", at, *others), {0.0})
        self.assertEqual(self.temperatures("-et", at - 1e-9, *others), {1.0})
        self.assertEqual(self.temperatures("-et", at - 1e-9, *others, "-nf"), {0.0})

    def test_logprob_threshold(self):
        at = self.at_temperature_0("avg_logprob")
        others = ["-et", "none", "-nth", "none"]
        self.assertEqual(self.temperatures("-lpt", at, *others), {0.0})
        self.assertEqual(self.temperatures("-lpt", at + 1e-9, *others), {1.0})
        self.assertEqual(self.temperatures("-lpt", at + 1e-9, *others, "-nf"), {0.0})

    def test_no_speech_threshold(self):
        at, logprob = self.at_temperature_0("no_speech_prob"), self.root["segments"][0]["avg_logprob"]
        below = at * (1 - 1e-9)
        improbable, probable = ["-et", "none", "-lpt", logprob + 1e-9], ["-et", "none", "-lpt", logprob - 1e-9]
        self.assertEqual(self.temperatures("-nth", at, *improbable), {1.0})
        self.assertEqual(self.temperatures("-nth", below, *improbable), set())  # silence: no text, no other try
        self.assertEqual(self.root["timings"]["fallbacks"], 0)
        self.assertEqual(self.temperatures("-nth", below, *probable), {0.0})
        self.assertEqual(self.temperatures("-nth", at, "-et", "none", "-lpt", "none"), {0.0})
        self.assertEqual(self.temperatures("-nth", below, "-et", "none", "-lpt", "none"), set())

    # ---------------------------------------------------------------- models

    def test_choice_of_the_model(self):
        self.assert_error(self.run_wisp("a.wav"), 2, "wisp model pull base")
        self.assert_error(self.run_wisp("a.wav", "-m", "tiny"), 2, "wisp model pull tiny")
        self.assert_error(self.run_wisp("a.wav", "-m", "tny"), 2, "'tny'", "wisp model pull tiny")
        self.assert_error(self.run_wisp("a.wav", "-m", "no/such.bin"), 2, "no/such.bin")
        expected = self.wisp("a.wav", "-np")
        self.assertEqual(self.run_wisp("a.wav", "-np", *FAST, env={"WISP_MODEL": str(self.multi)}),
                         expected)
        os.mkdir(self.dir / "models")
        shutil.copy(self.multi, self.dir / "models" / "ggml-base.bin")
        self.assertEqual(self.run_wisp("a.wav", "-np", *FAST), expected)
        self.assertEqual(self.run_wisp("a.wav", "-np", *FAST, "-m", "base"), expected)

    def test_broken_models(self):
        data = self.multi.read_bytes()
        for name, content in (("empty", b""), ("cut", data[:len(data) // 2]), ("text", b"hello\n" * 9)):
            (self.dir / name).write_bytes(content)
            rc, out, err = self.run_wisp("-m", name, "a.wav")
            self.assertEqual((rc, out), (2, ""), name)
            self.assertIn(name, err)
            self.assertEqual(self.run_wisp("model", "info", name)[0], 2)
        self.assertEqual(self.run_wisp("-m", self.dir, "a.wav")[0], 2)

    def test_model_info(self):
        rc, out, err = self.run_wisp("model", "info", self.multi)
        self.assertEqual((rc, err), (0, ""))
        for word in ("ggml", "f16", "51865", "multilingual", "99 languages", "80 mel bands", "width 32"):
            self.assertIn(word, out)
        rc, out, err = self.run_wisp("model", "info", "-v", "--json", self.multi)
        root = json.loads(out)
        shapes = {t["name"]: tuple(t["shape"]) for t in root["tensor_list"]}
        self.assertEqual(shapes, dict(tiny_model.tensors(51865)))
        self.assertEqual(root["bytes"], self.multi.stat().st_size)
        self.assertEqual(root["parameters"], sum(math.prod(s) for s in shapes.values()))
        self.assertIn("encoder.conv1.weight", self.run_wisp("model", "info", "-v", self.multi)[1])

    def test_model_list(self):
        os.mkdir(self.dir / "models")
        (self.dir / "models" / "ggml-base.en.bin").touch()
        (self.dir / "models" / "ggml-tiny.bin.part").touch()
        rc, out, err = self.run_wisp("model", "list")
        self.assertEqual((rc, err), (0, ""))
        self.assertRegex(out, r"(?m)^base\.en +148\.0  here$")
        self.assertRegex(out, r"(?m)^tiny +77\.7  begun$")
        self.assertRegex(out, r"(?m)^base +148\.0$")
        entries = json.loads(self.run_wisp("model", "list", "--json")[1])["models"]
        self.assertEqual([e["name"] for e in entries if e["here"]], ["base.en"])

    def test_model_usage(self):
        self.assert_error(self.run_wisp("model"), 1, "list")
        self.assert_error(self.run_wisp("model", "lst"), 1, "'list'")
        self.assert_error(self.run_wisp("model", "pull"), 1, "pull")
        self.assert_error(self.run_wisp("model", "pull", "bas"), 1, "'base'")
        self.assert_error(self.run_wisp("model", "info"), 1, "info")
        self.assert_error(self.run_wisp("model", "list", "x"), 1, "nothing more")

    def test_model_pull_of_wrong_bytes(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"not a model")

            def log_message(self, *args):
                pass
        asked = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_address[1]}/models"
        result = self.run_wisp("model", "pull", "tiny.en", "--url", url)
        if "cannot download" in result[2]:
            self.skipTest("built without downloads")
        self.assert_error(result, 2, "SHA-1", "c78c86eb1a8faa21b369bcd33207cc90d64ae9df")
        self.assertEqual(asked, ["/models/ggml-tiny.en.bin"])
        self.assertEqual(os.listdir(self.dir / "models"), [])
        self.assert_error(self.run_wisp("model", "pull", "tiny", "--url", "http://127.0.0.1:9"), 2,
                          "refused")

    def test_kernel_levels(self):
        self.assert_error(self.wisp("a.wav", env={"WISP_CPU": "sse9"}), 1, "sse9")
        rc, out, err = self.wisp("a.wav", env={"WISP_CPU": "portable"})
        self.assertEqual(rc, 0)
        self.assertIn("encoder cpu (portable)", err)
        self.assertEqual(self.wisp("a.wav", env={"WISP_CPU": ""})[0], 0)

    # ---------------------------------------------------------------- dump and doctor

    def test_dump(self):
        for stage, extra, shape in (("mel", [], (80, 3000)), ("encoder", [], (1500, 32)),
                                    ("logits", ["--tokens", "50258,50259,50359"], (3, 51865))):
            args = ["dump", stage, "-m", self.multi, *extra, "-o"]
            self.assertEqual(self.run_wisp(*args, "out.npy", "-f", "a.wav")[:2], (0, ""))
            got, values = read_npy(self.dir / "out.npy")
            self.assertEqual(got, shape)
            self.assertTrue(all(map(math.isfinite, values)))
            self.assertEqual(self.run_wisp(*args, "silence.npy")[0], 0)
            self.assertNotEqual(read_npy(self.dir / "silence.npy")[1], values)
        piped = self.dir / "piped.npy"
        with open(piped, "wb") as f:
            self.assertEqual(self.run_wisp("dump", "mel", "-m", self.multi, "-f", "a.wav", "-o", "-",
                                           stdout=f)[0], 0)
        self.assertEqual(read_npy(piped)[0], (80, 3000))

    def test_dump_usage(self):
        base = ["-m", self.multi, "-f", "a.wav"]
        self.assert_error(self.run_wisp("dump"), 1, "mel, encoder or logits")
        self.assert_error(self.run_wisp("dump", "mell", *base, "-o", "x"), 1, "'mell'")
        self.assert_error(self.run_wisp("dump", "mel", *base), 1, "-o")
        self.assert_error(self.run_wisp("dump", "logits", *base, "-o", "x"), 1, "--tokens")
        for tokens in ("", "1,", ",1", "1,,2", "51865", "-1", "1 2", "x", ",".join(["1"] * 449)):
            with self.subTest(tokens=tokens[:9]):
                self.assert_error(self.run_wisp("dump", "logits", *base, "-o", "x", f"--tokens={tokens}"),
                                  1, "--tokens")
        self.assert_error(self.run_wisp("dump", "mel", "-m", self.multi, "-f", "none.wav", "-o", "x"), 2,
                          "none.wav")
        self.assert_error(self.run_wisp("dump", "mel", *base, "-o", "no/x.npy"), 2, "no/x.npy")
        self.assertEqual(self.files(), ["a.wav"])

    def test_doctor(self):
        rc, out, err = self.run_wisp("doctor")
        self.assertEqual((rc, err), (0, ""))
        for word in ("AVX2", "gemm", "attend", "layernorm", "gelu", "softmax", "1022:1502", "driver",
                     "device node", "groups", "memlock"):
            self.assertIn(word, out)
        rc, out, err = self.run_wisp("doctor", env={"WISP_CPU": "portable"})
        self.assertRegex(out, r"(?m)^  gemm +portable$")
        self.assertIn("WISP_CPU", out)
        rc, out, err = self.run_wisp("doctor", env={"WISP_CPU": "nonsense"})
        self.assertEqual(rc, 0)
        self.assertIn("nonsense", out)
        self.assert_error(self.run_wisp("doctor", "x"), 1, "'x'")

    # ---------------------------------------------------------------- demo

    def test_demo(self):
        rc, out, err = self.run_wisp("demo")
        self.assertEqual((rc, err), (0, ""))
        heard, expected = (re.search(rf"(?m)^{word}: +(.+)$", out)[1] for word in ("text", "expected"))
        self.assertEqual(heard, expected)
        self.assertRegex(out, r"(?m)^speed: .* [\d.]+x realtime$")
        self.assert_error(self.run_wisp("demo", "a.wav"), 1, "a.wav")

    def test_demo_that_hears_something_else(self):
        models = pathlib.Path(WISP).parent.parent / "models"
        os.mkdir(self.dir / "bin")
        shutil.copy(WISP, self.dir / "bin" / "wisp")
        shutil.copytree(models, self.dir / "models")
        (self.dir / "models" / "demo.txt").write_text("nine nine\n")
        command = [self.dir / "bin" / "wisp", "demo"]
        env = self.env | {"LD_LIBRARY_PATH": str(pathlib.Path(WISP).parent / "src")}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("not the expected", done.stderr)
        for name, code in (("demo.wav", 2), ("demo.txt", 2), ("nano-digits.bin", 2)):
            (self.dir / "models" / name).unlink()
            done = subprocess.run(command, env=env, capture_output=True, text=True)
            self.assertEqual(done.returncode, code, name)
            self.assertIn(name, done.stderr)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as a terminal gives them to a program
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    WISP = os.path.abspath(sys.argv.pop(1))
    unittest.main()
