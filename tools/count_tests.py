#!/usr/bin/env python3
"""Adds up Meson's test logs: usage: count_tests.py BUILD...  (release, asan, tsan, fuzz)

Names skipped and failed tests; the last line is "N passed, N failed, N skipped".  A build without a log
counts as one failed test, since it did not get as far as testing."""
import json
import pathlib
import sys

passed = skipped = failed = 0
for build in sys.argv[1:]:
    folder = "build" if build == "release" else f"build-{build}"
    log = pathlib.Path(folder) / "meson-logs" / "testlog.json"
    if not log.exists():
        print(f"failed: {build}: it was not built or ran no test")
        failed += 1
        continue
    for line in log.read_text().splitlines():
        test = json.loads(line)
        if test["result"] == "OK":
            passed += 1
        elif test["result"] == "SKIP":
            skipped += 1
            print(f"skipped: {build}: {test['name']}")
        else:
            failed += 1
            print(f"failed: {build}: {test['name']} ({test['result'].lower()})")
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
