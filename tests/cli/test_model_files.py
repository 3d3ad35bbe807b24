#!/usr/bin/env python3
"""Hostile model files through the program: usage: test_model_files.py WISP SOURCE_ROOT limited|unlimited

Each ends in exit 2 and one line that names the file, within 2 GB of address space (limited) and without
much memory.  The readers' own tests go through every field; here is what only a whole program meets."""
import json
import os
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import tiny_model

WISP = FOLDER = None
LIMITED = False
ADDRESS_SPACE = 2_000_000 << 10  # as ulimit -v 2000000


def limit():
    if LIMITED:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


class ModelFileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="wisp-files-"))
        cls.good = cls.shared / "good.bin"
        tiny_model.write_model(cls.good, True)
        tiny_model.write_wav(cls.shared / "a.wav", tiny_model.samples(2))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp-files-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.file = self.dir / "model.bin"

    def run_wisp(self, *args):
        """(exit code, peak memory in MB, standard error)"""
        with subprocess.Popen([WISP, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, preexec_fn=limit) as p:
            text = p.stderr.read()
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = os.waitstatus_to_exitcode(status)
        return p.returncode, usage.ru_maxrss / 1000, text

    def refuse(self, path, word):
        code, megabytes, text = self.run_wisp("model", "info", path)
        self.assertEqual(code, 2, text)
        self.assertRegex(text, r"\Awisp: [^\n]*\n\Z")
        self.assertIn(str(self.dir), text)
        self.assertIn(word, text)
        if LIMITED:
            self.assertLess(megabytes, 250)

    def folder(self):
        path = self.dir / "folder"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(FOLDER, path)
        return path

    def test_good_ones_within_the_limit(self):
        self.assertEqual(self.run_wisp("-m", self.good, "-nf", self.shared / "a.wav")[0], 0)
        self.assertEqual(self.run_wisp("model", "info", self.folder())[0], 0)

    def test_links_into_another_folder(self):
        """As in the cache of huggingface_hub."""
        folder = self.folder()
        (self.dir / "blobs").mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).rename(self.dir / "blobs" / name)
            (folder / name).symlink_to(f"../blobs/{name}")
        self.assertEqual(self.run_wisp("model", "info", folder)[0], 0)

    def test_cuts(self):
        rng = random.Random(1)
        data = self.good.read_bytes()
        cuts = [1, 3, 4, 47, 48, len(data) - 1] + [rng.randrange(len(data)) for _ in range(20)]
        for n in cuts:
            self.file.write_bytes(data[:n])
            self.refuse(self.file, "model.bin")
        folder = self.folder()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            data = (folder / name).read_bytes()
            for n in [0, 1, len(data) - 2] + [rng.randrange(len(data)) for _ in range(6)]:
                (folder / name).write_bytes(data[:n])
                self.refuse(folder, name)
            (folder / name).write_bytes(data)

    def test_things_that_are_no_files(self):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            makers = [(os.mkfifo, "not a regular file"), (os.mkdir, "not a regular file"),
                      (lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
                      (lambda p: p.symlink_to(p), "the folder"), (lambda p: p.symlink_to("gone"), "the folder")]
            for make, word in makers:
                folder = self.folder()
                (folder / name).unlink()
                make(folder / name)
                self.refuse(folder, "it has neither" if name == "tokenizer.json" and word == "the folder"
                            else word)
        os.mkfifo(self.file)
        self.refuse(self.file, "neither a file nor a folder")

    def test_lies_about_size(self):
        self.file.touch()
        try:
            os.truncate(self.file, 1 << 40)  # no blocks on disk
        except OSError:
            self.skipTest("this file system has no sparse files")
        self.refuse(self.file, "ulimit -v" if LIMITED else "mark of a ggml file")
        folder = self.folder()
        os.truncate(folder / "model.safetensors", 1 << 40)
        self.refuse(folder, "ulimit -v" if LIMITED else "belong to no tensor")

    def test_bombs(self):
        bombs = ['{"a":[' + ",".join(["{}"] * 5_000_000) + "]}", "[" * 10_000_000,
                 "{" + ",".join(f'"{i:x}":0' for i in range(1_200_000)) + "}",
                 '{"a":"' + "x" * 16_000_000 + '"}']
        for bomb in bombs:
            folder = self.folder()
            shard = folder / "model.safetensors"
            shard.write_bytes(struct.pack("<Q", len(bomb)) + bomb.encode())
            self.refuse(folder, "model.safetensors")
            folder = self.folder()
            (folder / "tokenizer.json").write_text(bomb)
            self.refuse(folder, "tokenizer.json")

    def test_shards_elsewhere(self):
        folder = self.folder()
        (folder / "model.safetensors").unlink()
        for shard in ("../good.bin", "/etc/passwd", "", ".", "..", ".hidden", "a/b", "a\nb", "\x1b[31m"):
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": shard}}))
            self.refuse(folder, "not a file of its own folder")
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "gone.safetensors"}}')
        self.refuse(folder, "gone.safetensors")

    def test_many_and_unknown_tensors(self):
        good = self.good.read_bytes()
        one = struct.pack("<4i", 1, 7, 0, 1)
        self.file.write_bytes(good + b"".join(one + b"%07d" % i + bytes(4) for i in range(300_000)))
        self.refuse(self.file, "does not belong")
        self.file.write_bytes(good + struct.pack("<7i", 4, 1, 0, *[65536] * 4) + b"x")
        self.refuse(self.file, "impossible shape")

    def test_window_of_another_length(self):
        code, _, text = self.run_wisp("-m", FOLDER, self.shared / "a.wav")
        self.assertEqual(code, 2)
        self.assertIn(f"'{FOLDER}': its windows have 10 audio positions", text)

    def test_shrinks_while_it_is_used(self):
        shutil.copy(self.good, self.file)
        wav = (self.shared / "a.wav").read_bytes()
        with subprocess.Popen([WISP, "-m", self.file, "-"], stdin=subprocess.PIPE, text=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
            self.assertIn(b"model.bin", p.stderr.readline())  # it is open
            os.truncate(self.file, 4096)
            text = p.communicate(wav, timeout=60)[1]
        self.assertEqual(p.returncode, 2, text)
        self.assertIn(b"became shorter", text)


if __name__ == "__main__":
    WISP = sys.argv[1]
    FOLDER = pathlib.Path(sys.argv[2]) / "tests/data/hf-single"
    LIMITED = sys.argv.pop() == "limited"
    del sys.argv[1:3]
    unittest.main()
