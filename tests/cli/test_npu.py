#!/usr/bin/env python3
"""wisp npu dis and as through the program: usage: test_npu.py WISP VECTORS"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

WISP = VECTORS = None


def vectors():
    """[(bytes, text)] of the outside vectors."""
    rows = [line.rstrip("\n").split("\t") for line in open(VECTORS) if line[0] != "#"]
    return [(bytes.fromhex(row[1]), row[3]) for row in rows[1:]]


def elf_sections(elf):
    """{name: (address, flags, bytes)} by a reader that is not ours."""
    offset, names = struct.unpack_from("<I", elf, 32)[0], struct.unpack_from("<H", elf, 50)[0]
    headers = [struct.unpack_from("<10I", elf, offset + 40 * i) for i in range(struct.unpack_from("<H", elf, 48)[0])]
    table = elf[headers[names][4]:][:headers[names][5]]
    return {table[h[0]:table.index(0, h[0])].decode(): (h[3], h[2], elf[h[4]:h[4] + h[5]]) for h in headers[1:]}


def pdi(commands):
    """A PDI around CDO commands, by the layout that bootgen's documents give."""
    def checked(words):
        return words + [~sum(words) & 0xFFFFFFFF]

    n = 5 + len(commands)
    padded = (n + 3) // 4 * 4
    table = [0x40000, 1, 0x24, 1, 0x34, 0, 0x14CA8093, 0, 0, 0, 0x50504449, 0x00201020, 0x30] + [0] * 4 + [1] + [0] * 13
    header = [0x34, 1, 0, 0, 0x5F656961, 0x67616D69, 0x65, 0, 0x1C000000] + [0] * 6
    partition = [padded, n, padded, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0x54, 0x02000006, 1] + [0] * 20
    words = ([0xDD, 0x11223344, 0x55667788, 0x99AABBCC] + checked(table) + checked(header) + checked(partition)
             + checked([4, 0x004F4443, 0x200, len(commands)]) + commands + [0] * (padded - n))
    return struct.pack(f"<{len(words)}I", *words)


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def npu(self, *args, data=b""):
        done = subprocess.run([WISP, "npu", *map(str, args)], input=data, capture_output=True, cwd=self.path)
        return done.returncode, done.stdout, done.stderr.decode()

    def ok(self, *args, data=b""):
        rc, out, err = self.npu(*args, data=data)
        self.assertEqual((rc, err), (0, ""), args)
        return out

    def fails(self, code, *args, data=b"", says=""):
        rc, out, err = self.npu(*args, data=data)
        self.assertEqual((rc, out), (code, b""), err)
        self.assertIn(says, err)

    # ---------------------------------------------------------------- vectors


class TextTest(Program):
    """wisp npu dis, as, check."""

    def test_vectors(self):
        code = b"".join(b for b, _ in vectors())
        texts = "".join(text + "\n" for _, text in vectors()).encode()
        self.assertEqual(len(vectors()), 788)
        (self.path / "v.bin").write_bytes(code)
        self.assertEqual(self.ok("dis", "v.bin", "--raw", "--plain"), texts)
        self.assertEqual(self.ok("as", "-", "-o", "-", data=texts), code)
        listing = self.ok("dis", "v.bin", "--raw", "--base", "0x1000")
        self.assertEqual(self.ok("as", "-", "-o", "-", data=listing), code)
        offset = 0x1000
        for line, (bundle, text) in zip(listing.decode().splitlines(), vectors(), strict=True):
            self.assertEqual(re.split(r":? +", line.strip(), maxsplit=2), [f"{offset:x}", bundle.hex(), text])
            offset += len(bundle)

    def test_random_bytes_survive(self):
        code = os.urandom(20001)
        for plain in ([], ["--plain"]):
            text = self.ok("dis", "-", "--raw", *plain, data=code)
            self.assertEqual(self.ok("as", "-", "-o", "-", data=text), code)
            self.assertIn(b".byte", text)

    # ---------------------------------------------------------------- files

    def test_elf(self):
        source = (".entry 0x20\n.section .text, 0x20, code\nmain:\nj #.L2c\nnop\nnop\nnop\n.L2c:\ndone\n"
                  ".section .data, 0x74000, data\ntable:\n.byte 0x01, 0xff\n.zero 100\n").encode()
        self.ok("as", "-", "--elf", "-o", "a.elf", data=source)
        elf = (self.path / "a.elf").read_bytes()
        self.assertEqual(struct.unpack_from("<HHIIII", elf, 16)[:2] + struct.unpack_from("<I", elf, 24), (2, 0x108, 0x20))
        sections = elf_sections(elf)
        self.assertEqual(sections[".text"], (0x20, 6, bytes.fromhex("950000160000" "0100" "0100" "0100" "19080010")))
        self.assertEqual(sections[".data"], (0x74000, 3, b"\1\xff" + bytes(100)))
        names = sections[".strtab"][2]
        symbols = {names[n:names.index(0, n)]: (value, section) for n, value, _, _, _, section
                   in struct.iter_unpack("<IIIBBH", sections[".symtab"][2])}
        self.assertEqual(symbols, {b"": (0, 0), b"main": (0x20, 1), b"table": (0x74000, 2)})
        self.assertEqual(self.ok("dis", "a.elf", "--plain"), source)
        rc, out, err = self.npu("as", "-", "-o", "-", data=source)
        self.assertEqual((rc, out), (0, sections[".text"][2]))
        self.assertIn(".data, 102 bytes of data at 0x74000, is not in the raw code", err)

    def test_output_files(self):
        self.ok("as", "-", "-o", "a.bin", data=b"nop\n")
        self.assertEqual((self.path / "a.bin").read_bytes(), b"\1\0")
        self.fails(2, "as", "-", "-o", "a.bin", data=b"nop\nnopp\n", says="<stdin>:2: there is no instruction 'nopp'")
        self.assertEqual((self.path / "a.bin").read_bytes(), b"\1\0")  # the old file stays
        self.assertEqual(os.listdir(self.path), ["a.bin"])
        self.ok("dis", "a.bin", "--raw", "-o", "a.s")
        self.assertEqual((self.path / "a.s").read_text().split(), ["0:", "0100", "nop"])
        self.fails(2, "as", "a.s", "-o", "no/such/folder", says="no/such/folder")

    # ---------------------------------------------------------------- checking

    RACE = b"lda r0, [p0, #0]\nmovx r0, #1\ndone\n"  # the load lands last

    def test_check(self):
        code = self.ok("as", "-", "-o", "-", data=self.RACE)
        rc, out, err = self.npu("check", "-", "--raw", data=code)
        self.assertEqual((rc, err), (2, ""))
        self.assertIn(b"0x0000: write order: 'lda r0, [p0, #0]' lands in r0", out)
        self.assertIn(b"3 bundles, 1 hazard; 0 of 0 reads", out)
        apart = self.RACE.replace(b"movx", b"nop\n" * 6 + b"movx")
        self.ok("as", "-", "-o", "a.elf", "--elf", data=apart)
        self.assertEqual(self.ok("check", "a.elf").splitlines()[0],
                         b"9 bundles, 0 hazards; 0 of 0 reads take an old value (0.0 %)")

    def test_check_notes_and_entry(self):
        early = b"lda r0, [p0, #0]\nadd r1, r0, r0\ndone\n"
        code = self.ok("as", "-", "-o", "-", data=early)
        self.assertNotIn(b"legal", self.ok("check", "-", "--raw", data=code))
        self.assertIn(b"old value: 'add r1, r0, r0' at 0x4 reads r0 1 bundles after 'lda r0, [p0, #0]', "
                      b"which takes 7: it gets the old value (legal)",
                      self.ok("check", "-", "--raw", "--notes", data=code))
        self.assertIn(b"8 of 12 bytes are not reached", self.ok("check", "-", "--raw", "--base", "0x98", "--entry", "160",
                                                              data=code))

    def test_as_check(self):
        self.fails(2, "as", "-", "-o", "a.bin", "--check", data=self.RACE, says="write order")
        self.assertEqual(os.listdir(self.path), [])
        self.ok("as", "-", "-o", "a.bin", "--check", data=b"done\n")
        self.fails(2, "check", "-", data=b"\x7fELF", says="<stdin>")

    # ---------------------------------------------------------------- images

    def test_image_pdi(self):
        commands = [0x00020103, 0x0021F010, 2, 0x00080105, 0, 0x0021D000, 0x08400800, 0, 0, 0, 0, 0x0E043FE0,
                    0x00020103, 0x0003F034, 0x80000005, 0x00020103, 0x0021DE0C, 0x80020003,
                    0x00060105, 0, 0x00220000, 0x10001819, 0x00010001, 0x00010001, 0x00000001,
                    0x00030102, 0x00232000, 1, 1]
        image = pdi(commands)
        (self.path / "a.pdi").write_bytes(image)
        self.assertEqual(self.ok("image", "a.pdi").decode().splitlines(), [
            f"PDI, {len(image)} bytes",
            "PDI 0: 6 commands",
            "    0  write (0,2) lock1 = 0x2",
            "    1  block write (0,2) bd0: 2048 words at 0x8400, acquire lock0 >= 1, release lock1 +1, then bd1",
            "    2  write (0,0) master 13 = 0x80000005: north1 <- south3",
            "    3  write (0,2) s2mm1 queue = 0x80020003: bd3, 3 times, then a token",
            "    4  block write (0,2) program memory + 0x0, 4 words",
            "    5  mask write (0,2) core control & 0x1 = 0x1: enabled",
            "program of core (0,2): 16 bytes"])
        self.assertRegex(self.ok("image", "a.pdi", "-d"), rb"\n +0: 19180010 +ret lr\n +4: 0100 +nop\n")
        listing = json.loads(self.ok("image", "a.pdi", "--json"))
        self.assertEqual(listing["kind"], "PDI")
        self.assertEqual(listing["pdis"][0]["commands"][0] | {"text": ""}, {
            "op": "write", "col": 0, "row": 2, "offset": 0x1F010, "register": "lock1", "value": 2, "text": ""})
        self.assertEqual(listing["pdis"][0]["programs"], [{"col": 0, "row": 2, "bytes": 16}])
        self.ok("image", "a.pdi", "--rewrite", "b.pdi")
        self.assertEqual((self.path / "b.pdi").read_bytes(), image)

    def test_image_stream(self):
        words = [0x06030100, 0x101, 2, 0x40, 0x81, 0x30, 0, 0, 0, 0, 0x1D004, 0, 2, 0, 0x40, 0, 0x80, 0x10, 0, 0x00010100]
        words[3] = 4 * len(words)
        (self.path / "insts.txt").write_text("".join(f"{w:08X}\n" for w in words))
        self.assertEqual(self.ok("image", "insts.txt").decode().splitlines()[1:], [
            "TXN 0.1, 1 columns, 2 operations",
            "    0  patch (0,0) bd0.1 = buffer 2 + 0x40",
            "    1  wait for s2mm0 of (0,0)"])
        self.assertEqual(self.ok("image", "insts.txt", "--rewrite", "-"), struct.pack(f"<{len(words)}I", *words))

    def test_image_errors(self):
        image = bytearray(pdi([0x00020103, 0x0021F010, 2]))
        (self.path / "cut.pdi").write_bytes(image[:400 - 60])
        self.fails(2, "image", "cut.pdi", says="cut.pdi")
        image[0x94] ^= 1
        (self.path / "bad.pdi").write_bytes(image)
        self.fails(2, "image", "bad.pdi", says="image header has a wrong checksum")
        (self.path / "unknown.pdi").write_bytes(pdi([0x00040101, 0x0021F010, 1, 1, 1]))
        self.fails(2, "image", "unknown.pdi", says="0x0101 at word 5")
        (self.path / "text").write_text("nothing of the kind")
        self.fails(2, "image", "text", says="text")
        self.fails(2, "image", "none", says="none")

    # ---------------------------------------------------------------- errors

    def test_bytes_column_must_agree(self):
        listing = self.ok("dis", "-", "--raw", data=b"\x19\x18\0\x10\1\0").replace(b"ret lr", b"nopx")
        (self.path / "x.s").write_bytes(listing)
        self.fails(2, "as", "x.s", "-o", "-", says="x.s:1: the text gives 19000010")

    def test_not_elf(self):
        (self.path / "x").write_bytes(b"\1\0")
        self.fails(2, "dis", "x", says="--raw")
        self.fails(2, "dis", "none", says="none")
        self.fails(2, "dis", WISP, says="32-bit")
        self.fails(2, "dis", ".", "--raw", says="'.'")

    def test_usage(self):
        self.fails(1, says="dis, as, check, run, trace or image FILE")
        self.fails(1, "diss", "x", says="'dis'")
        self.fails(1, "dis", says="one file")
        self.fails(1, "as", "x", "y", "-o", "z", says="one file")
        self.fails(1, "as", "x", says="-o")
        self.fails(1, "as", "x", "-o", "y", "--plain", says="--plain")
        self.fails(1, "dis", "x", "--elf", says="--elf")
        self.fails(1, "dis", "x", "--check", says="--check")
        self.fails(1, "check", "x", "-o", "y", says="-o")
        self.fails(1, "check", "x", "--entry", "main", says="'main'")
        self.fails(1, "dis", "x", "--base", "4", says="--raw")
        self.fails(1, "dis", "x", "--raw", "--base", "4x", says="'4x'")


class RunTest(Program):
    """wisp npu run --core."""

    def program(self, text):
        self.ok("as", "-", "-o", "p.bin", data=text.encode())

    def run_json(self, *args, rc=0):
        got, out, err = self.npu("run", "--core", "--raw", "p.bin", "--json", *args)
        self.assertEqual(got, rc, err)
        return json.loads(out), err

    def test_registers_memory_and_cycles(self):
        self.program("lda r1, [p0, #4]\n" + "nop\n" * 6 + "add r1, r1, r2\nst r1, [p0, #8]\n" + "nop\n" * 6 + "done\n")
        (self.path / "in").write_bytes(struct.pack("<2I", 7, 40))
        result, _ = self.run_json("--mem", "0x70000=in", "--reg", "p0=0x70000", "--reg", "r2=-5",
                                  "--dump", "0x70008:4=out")
        self.assertEqual(struct.unpack("<I", (self.path / "out").read_bytes())[0], 35)
        self.assertEqual((result["status"], result["cycles"], result["bundles"]), ("done", 16, 16))
        self.assertEqual(sum(result["stalls"].values()), 0)

    def test_faults_deadlocks_and_limits_say_why(self):
        self.program("nop\nlda r1, [p0, #0]\n" + "nop\n" * 8 + "done\n")
        result, err = self.run_json(rc=3)
        self.assertEqual(result["status"], "fault")
        self.assertIn("lda d, [p, #i]: no memory at 0x00000", err)
        self.program("acq #48, r0\ndone\n")
        result, err = self.run_json("--reg", "r0=-1", rc=3)
        self.assertEqual(result["status"], "deadlock")
        self.assertIn("lock", err)
        result, _ = self.run_json("--reg", "r0=-1", "--lock", "48=1")
        self.assertEqual((result["status"], result["stalls"]["lock"]), ("done", 1))
        self.program("j #0\n" + "nop\n" * 5)
        result, _ = self.run_json("--max-cycles", "1000", rc=3)
        self.assertEqual((result["status"], result["cycles"]), ("limit", 1000))

    def test_entry_and_state(self):
        self.program("movx r1, #1\nmovx r2, #2\ndone\n")
        self.run_json("--entry", "4", "--state", "state")
        blocks = (self.path / "state").read_text().split("\n\n")
        self.assertEqual([b.split("\n")[0] for b in blocks[:3]],
                         ["cycle 0 bundle 0 pc 0x0004", "cycle 1 bundle 1 pc 0x0008", "cycle 2 bundle 2 pc 0x000c"])
        self.assertIn("\nr1 00000000\n", blocks[1])
        self.assertIn("\nr2 00000002\n", blocks[2] + "\n")

    def test_the_files_entry_and_breakpoints(self):
        text = ".entry 0x4\n.section .text, 0, code\nmovx r1, #1\nmovx r2, #2\nmovx r3, #3\ndone\n"
        self.ok("as", "-", "--elf", "-o", "p.elf", data=text.encode())
        args = ["run", "--core", "p.elf", "--break", "0xc", "--break", "8"]
        out = self.ok(*args).decode().split("\n")
        self.assertEqual(out[0], "breakpoint after 1 cycles, 1 bundles, at 0x0008")
        self.assertIn("r2 00000002", out)
        self.assertIn("r1 00000000", out)  # its bundle lies before the entry
        result = json.loads(self.ok(*args, "--json", "--entry", "0xc"))
        self.assertEqual((result["status"], result["pc"], result["cycles"]), ("breakpoint", 12, 0))
        self.assertEqual(json.loads(self.ok("run", "--core", "p.elf", "--json", "--break", "0"))["status"], "done")

    def test_object_files_are_not_run(self):
        self.ok("as", "-", "--elf", "-o", "p.o", data=b".object\n.section .text, 0, code\ndone\n")
        self.fails(2, "run", "--core", "p.o", says="link it")

    def test_usage(self):
        self.program("done\n")
        for args, rc, what in [((), 1, "--insts"), (("--core", "--mem", "x"), 1, "ADDR=FILE"),
                               (("--core", "--reg", "q9=1"), 1, "no register"),
                               (("--core", "--mem", "0x70000=missing"), 2, "missing"),
                               (("--core", "--break", "3"), 1, "even address"),
                               (("--core", "--break", "here"), 1, "'here'"),
                               (("--core", "--dump", "0x7fff0:32=out"), 1, "data memory")]:
            got, _, err = self.npu("run", "--raw", "p.bin", *args)
            self.assertEqual(got, rc, args)
            self.assertIn(what, err)

    def test_bench(self):
        got, out, err = self.npu("bench", "--sim", "--json")
        self.assertEqual(got, 0, err)
        self.assertGreater(json.loads(out)["core_mbundles_per_s"]["portable"], 0)

    def test_bench_of_a_kernel(self):
        got, out, err = self.npu("bench", "matmul", "--json", "--save", ".")
        self.assertEqual(got, 0, err)
        row, = json.loads(out)
        self.assertLessEqual(row["bound"], row["cycles"])
        self.assertEqual(row["cycles"], row["bundles"] + sum(row["stalls"].values()))
        self.assertLessEqual(row["ulp_max"], 0.51)
        self.assertGreater(row["correlation"], 0.99999)
        # What was saved gives the same memory with the other tools: a start calls the kernel.
        program = (self.path / "matmul.program").read_bytes()
        self.assertEqual(len(program), row["program_bytes"])
        start = [f"jl #{row['program_address']}"] + 20 * ["nop"] + ["done"] + 3 * ["nop"]
        (self.path / "start.s").write_text("\n".join(start) + "\n")
        self.ok("as", "start.s", "-o", "start.bin")
        code = (self.path / "start.bin").read_bytes()
        (self.path / "all.bin").write_bytes(code.ljust(row["program_address"], b"\0") + program)
        self.ok("run", "--core", "--raw", "all.bin", "--mem", "0x70000=matmul.before", "--reg", f"p0={row['p0']}",
                "--dump", "0x70000:65536=memory")
        self.assertEqual((self.path / "memory").read_bytes(), (self.path / "matmul.after").read_bytes())

    def test_bench_of_no_kernel(self):
        got, _, err = self.npu("bench", "sort")
        self.assertEqual(got, 1)
        self.assertIn("matmul", err)


class DesignTest(Program):
    """wisp npu run IMAGE, trace IMAGE: 64 words from one buffer through a memory tile to another."""

    SHIM_BD = "[64, 0, 0, 0, -2147483648, 33554432, 0, 33554432]"
    INSTS = f'''module {{
  memref.global "private" constant @data : memref<8xi32> = dense<{SHIM_BD}>
  aiex.runtime_sequence(%arg0: memref<256xi8>, %arg1: memref<256xi8>) {{
    %0 = memref.get_global @data : memref<8xi32>
    aiex.npu.blockwrite(%0) {{address = 118816 : ui32}} : memref<8xi32>
    aiex.npu.address_patch {{addr = 118820 : ui32, arg_idx = 0 : i32, arg_plus = 0 : i32}}
    aiex.npu.write32 {{address = 119316 : ui32, value = 1 : ui32}}
    %1 = memref.get_global @data : memref<8xi32>
    aiex.npu.blockwrite(%1) {{address = 118784 : ui32}} : memref<8xi32>
    aiex.npu.address_patch {{addr = 118788 : ui32, arg_idx = 1 : i32, arg_plus = 0 : i32}}
    aiex.npu.maskwrite32 {{address = 119296 : ui32, mask = 7936 : ui32, value = 3840 : ui32}}
    aiex.npu.write32 {{address = 119300 : ui32, value = 2147483648 : ui32}}
    aiex.npu.sync {{channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = 0 : i32, row = 0 : i32, row_num = 1 : i32}}
  }}
}}
'''
    ON = 0x80000000
    MEM = 1 << 20
    WRITES = [(0x3F034, ON | 5), (0x3F114, ON), (0x3F010, ON | 14), (0x3F138, ON),  # shim: south3, north0
              (0x3F008, 0xC0000045), (0x3F100, 0xC0000000), (0x3F200, 0x0F1F0135),  # its tokens
              (0x1F000, 0x400), (0x1F004, 0x10),
              (MEM | 0xB0000, ON | 8), (MEM | 0xB0120, ON), (MEM | 0xB001C, ON), (MEM | 0xB0100, ON),
              # descriptor 0 in, then lock 0; descriptor 1 out after it
              (MEM | 0xA0000, 64), (MEM | 0xA0004, 0x20000), (MEM | 0xA001C, ON | 1 << 24 | 64 << 16),
              (MEM | 0xA0020, 64), (MEM | 0xA0024, 0x20000), (MEM | 0xA003C, ON | 1 << 15 | 127 << 8 | 64),
              (MEM | 0xA0604, 0), (MEM | 0xA0634, 1)]

    def setUp(self):
        super().setUp()
        self.design(self.WRITES)
        (self.path / "npu_insts.mlir").write_text(self.INSTS)
        (self.path / "in").write_bytes(bytes(range(256)))

    def design(self, writes):
        words = [w for address, value in writes for w in (0x103 | 2 << 16, address, value)]
        header = [4, 0x004F4443, 0x200, len(words)]
        header.append(~sum(header) & 0xFFFFFFFF)
        (self.path / "x.cdo").write_bytes(struct.pack(f"<{5 + len(words)}I", *header, *words))

    def run_json(self, *args, rc=0):
        got, out, err = self.npu("run", "x.cdo", "--json", *args)
        self.assertEqual(got, rc, err)
        return json.loads(out), err

    def test_data_time_and_threads(self):
        args = ("--arg", "0=in", "--out", "1=out:256")
        first, _ = self.run_json(*args, "--threads", "1")
        self.assertEqual((self.path / "out").read_bytes(), bytes(range(256)))
        self.assertEqual(first["status"], "done")
        self.assertAlmostEqual(first["us_at_1028mhz"], first["cycles"] / 1028, 3)
        self.assertGreater(first["cycles"], 38500)  # 30500 to the first operation, 8000 for the token
        channels = {(c["tile"], c["channel"]): c["words"] for c in first["channels"]}
        self.assertEqual(channels, {("(0,0)", "mm2s0"): 64, ("(0,0)", "s2mm0"): 64,
                                    ("(0,1)", "mm2s0"): 64, ("(0,1)", "s2mm0"): 64})
        self.assertEqual(self.run_json(*args, "--threads", "3")[0], first)
        self.assertEqual(self.run_json(*args, "--start", "load")[0]["status"], "done")

    def test_in_and_out_and_zeros(self):
        (self.path / "twice.mlir").write_text(self.INSTS.replace("arg_idx = 1", "arg_idx = 0"))
        self.ok("run", "x.cdo", "--insts", "twice.mlir", "--arg", "0=in", "--out", "0=out")
        self.assertEqual((self.path / "out").read_bytes(), bytes(range(256)))
        self.ok("run", "x.cdo", "--arg", "0=:256", "--arg", "1=in", "--out", "1=out")
        self.assertEqual((self.path / "out").read_bytes(), bytes(256))

    def test_stream_as_txn_and_text(self):
        self.ok("image", "npu_insts.mlir", "--rewrite", "txn.bin")
        txn = (self.path / "txn.bin").read_bytes()
        words = struct.unpack(f"<{len(txn) // 4}I", txn)
        (self.path / "txn.txt").write_text("".join(f"{w:08X}\n" for w in words))
        want, _ = self.run_json("--arg", "0=in", "--out", "1=out:256")
        for name in ("txn.bin", "txn.txt"):
            got, _ = self.run_json("--insts", name, "--arg", "0=in", "--out", "1=out:256")
            self.assertEqual(got, want)

    def test_faults_are_named(self):
        result, err = self.run_json("--arg", "0=in", rc=3)
        self.assertEqual(result["status"], "fault")
        self.assertIn("argument 1, which is not given", result["fault"])
        self.assertIn("argument 1", err)
        result, _ = self.run_json("--arg", "0=in", "--arg", "1=:128", rc=3)
        self.assertIn("(0,0) s2mm0 bd0: ", result["fault"])
        self.assertIn("no registered host memory", result["fault"])
        result, _ = self.run_json("--arg", "0=in", "--out", "1=out:256", "--max-cycles", "36000", rc=3)
        self.assertEqual((result["status"], result["cycles"]), ("limit", 36000))
        self.design([w for w in self.WRITES if w[0] != self.MEM | 0xA0634])
        result, err = self.run_json("--arg", "0=in", "--out", "1=out:256", rc=3)
        self.assertEqual(result["status"], "deadlock")
        self.assertIn("waits for a token of (0,0) s2mm0", result["fault"])
        self.assertIn("(0,0) s2mm0 bd0 waits for 64 of 64 words", err)
        self.design(self.WRITES + [(5 << 25, 0)])
        self.assertEqual(self.npu("run", "x.cdo")[0], 3)

    def test_usage(self):
        for args, what in [(("--arg", "x=in"), "number"), (("--arg", "0"), "N=FILE"), (("--out", "1=out"), "BYTES"),
                           (("--threads", "0"), "--threads"), (("--start", "now"), "--start"),
                           (("--arg", "0=:x"), "bytes")]:
            got, _, err = self.npu("run", "x.cdo", *args)
            self.assertEqual(got, 1, args)
            self.assertIn(what, err)
        self.assertEqual(self.npu("run", "x.cdo", "--arg", "0=missing")[0], 2)
        self.assertEqual(self.npu("run", "missing.pdi")[0], 2)

    def test_timeline(self):
        self.ok("trace", "x.cdo", "--arg", "0=in", "--out", "1=out:256", "-o", "t.json")
        events = json.loads((self.path / "t.json").read_text())["traceEvents"]
        transfers = {(e["pid"], e["tid"]): e for e in events if e["name"].startswith("transfer")}
        self.assertEqual(len(transfers), 4)
        way = [("(0,0)", "mm2s0"), ("(0,1)", "s2mm0"), ("(0,1)", "mm2s0"), ("(0,0)", "s2mm0")]
        ends = [transfers[w]["ts"] + transfers[w]["dur"] for w in way]
        self.assertEqual(ends, sorted(ends))
        controller = [e for e in events if e["tid"] == "controller"]
        self.assertEqual([e["name"] for e in controller][:3], ["block write", "patch", "write"])
        self.assertEqual(controller[-1]["name"], "wait")


if __name__ == "__main__":
    VECTORS = os.path.abspath(sys.argv.pop(2))
    WISP = os.path.abspath(sys.argv.pop(1))
    unittest.main()
