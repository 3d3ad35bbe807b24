#!/usr/bin/env python3
"""What `wisp doctor` says of an NPU, on made-up systems: usage: test_doctor.py HELPER"""
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

HELPER = None


class DoctorTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="wisp-doctor-"))
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text=""):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add_pci(self, address="0000:c4:00.1", device="0x1502", vendor="0x1022"):
        self.write(f"sys/bus/pci/devices/{address}/vendor", vendor + "\n")
        self.write(f"sys/bus/pci/devices/{address}/device", device + "\n")

    def add_driver(self, number=0, device="0x1502"):
        self.write("sys/module/amdxdna/version", "0.6\n")
        self.write(f"sys/class/accel/accel{number}/device/vendor", "0x1022\n")
        self.write(f"sys/class/accel/accel{number}/device/device", device + "\n")

    def rows(self, memlock=None):
        """{what: (finding, cure or None)}"""
        limit = lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, memlock)
        out = subprocess.run([HELPER, self.root], check=True, capture_output=True, text=True,
                             preexec_fn=limit if memlock else None).stdout
        rows, last = {}, None
        for line in out.splitlines()[2:]:
            what, text = line[2:16].strip(), line[17:]
            if what:
                rows[what], last = (text, None), what
            else:
                self.assertTrue(text.startswith("cure: "), line)
                rows[last] = (rows[last][0], text.removeprefix("cure: "))
        return rows

    def test_nothing_there(self):
        rows = self.rows()
        self.assertIn("no XDNA1 NPU", rows["PCI 1022:1502"][0])
        for what in ("PCI 1022:1502", "driver", "firmware", "device node"):
            self.assertTrue(rows[what][1], what)

    def test_all_there(self):
        self.add_pci("0000:00:01.0", device="0x1480")
        self.add_pci()
        self.add_driver(number=1)
        self.write("dev/accel/accel1")
        self.write("lib/firmware/amdnpu/1502_00/npu.sbin")
        rows = self.rows()
        self.assertEqual(rows["PCI 1022:1502"], ("0000:c4:00.1", None))
        self.assertEqual(rows["driver"], ("amdxdna is loaded, version 0.6", None))
        self.assertEqual(rows["firmware"][1], None)
        self.assertEqual(rows["device node"], (f"{self.root}/dev/accel/accel1", None))
        self.assertEqual(rows["permission"][1], None)

    def test_other_accelerators_do_not_count(self):
        self.add_pci(device="0x17f0")  # XDNA2
        self.add_pci("0000:01:00.0", vendor="0x8086")
        self.add_driver(device="0x17f0")
        self.write("dev/accel/accel0")
        rows = self.rows()
        self.assertIn("no XDNA1 NPU", rows["PCI 1022:1502"][0])
        self.assertIn("no /dev/accel", rows["device node"][0])

    def test_device_without_driver(self):
        self.add_pci()
        self.assertIn("modprobe amdxdna", self.rows()["driver"][1])

    def test_driver_without_node(self):
        self.add_pci()
        self.add_driver()
        self.assertIn("--device /dev/accel", self.rows()["device node"][1])

    @unittest.skipIf(os.geteuid() == 0, "root may open everything")
    def test_node_of_somebody_else(self):
        self.add_pci()
        self.add_driver()
        self.write("dev/accel/accel0")
        os.chmod(self.root / "dev/accel/accel0", 0)
        self.assertIn("usermod -aG", self.rows()["permission"][1])

    def test_memlock(self):
        finding, cure = self.rows(memlock=(8 << 20, 8 << 20))["memlock"]
        self.assertIn("8 MB", finding)
        self.assertIn("limits.d", cure)


if __name__ == "__main__":
    HELPER = os.path.abspath(sys.argv.pop(1))
    unittest.main()
