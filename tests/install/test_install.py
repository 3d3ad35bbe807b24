#!/usr/bin/env python3
"""What `make install` puts where, and that it works there: usage: test_install.py BUILD_FOLDER SOURCE_ROOT

Installs below an empty folder, runs the program, and compiles and runs the README's C program with what
pkg-config says."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = ROOT = None
SHARE = "share/bash-completion/completions/wisp share/fish/vendor_completions.d/wisp.fish " \
        "share/zsh/site-functions/_wisp share/man/man1/wisp.1 " \
        "share/wisp/nano-digits.bin share/wisp/demo.wav share/wisp/demo.txt"


def succeed(*command, **kwargs):
    done = subprocess.run(command, text=True, capture_output=True, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp-install-"))
        succeed("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.dir)
        (program,) = cls.dir.rglob("bin/wisp")
        (pc,) = cls.dir.rglob("wisp.pc")
        cls.prefix, cls.lib = program.parent.parent, pc.parent.parent

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def test_files(self):
        files = {str(p.relative_to(self.prefix)) for p in self.prefix.rglob("*") if not p.is_dir()}
        headers = {f"include/wisp/{p.name}" for p in (ROOT / "include/wisp").glob("*.h")}
        lib = self.lib.relative_to(self.prefix)
        version = succeed(self.prefix / "bin/wisp", "--version").split()[1]
        libraries = {f"{lib}/libwisp.so{end}" for end in ("", ".0", "." + version)}
        self.assertEqual(files, {"bin/wisp", f"{lib}/pkgconfig/wisp.pc", *headers, *libraries, *SHARE.split()})

    def test_program(self):
        self.assertIn("three seven one", succeed(self.prefix / "bin/wisp", "demo", cwd="/", env={}))

    def test_library(self):
        (code,) = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        source, program = self.dir / "example.c", self.dir / "example"
        source.write_text(code)
        env = os.environ | {"PKG_CONFIG_PATH": str(self.lib / "pkgconfig"),
                            "PKG_CONFIG_SYSROOT_DIR": str(self.dir), "LD_LIBRARY_PATH": str(self.lib),
                            "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}
        flags = succeed("pkg-config", "--cflags", "--libs", "wisp", env=env).split()
        succeed("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", program)
        share = self.prefix / "share/wisp"
        words = (share / "demo.txt").read_text().strip()
        self.assertRegex(succeed(program, share / "nano-digits.bin", share / "demo.wav", env=env),
                         rf"^ +\d+\.\d\d +{words}\n$")
        for args, said in (([], "usage"), (["none.bin", "none.wav"], "'none.bin'")):
            done = subprocess.run([program, *args], env=env, text=True, capture_output=True)
            self.assertEqual((done.returncode, done.stdout, said in done.stderr), (1, "", True), done.stderr)


if __name__ == "__main__":
    ROOT, BUILD = pathlib.Path(sys.argv.pop(2)), sys.argv.pop(1)
    unittest.main()
