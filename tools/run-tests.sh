#!/bin/sh
# Builds and runs every test suite; the last line counts them: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.."

[ -f build/build.ninja ] || meson setup build || exit 1
ninja -C build || { echo "0 passed, 1 failed"; exit 1; }
meson test -C build --no-rebuild --print-errorlogs
log=build/meson-logs/testlog.json
python3 - "$log" <<'PY'
import json, sys
count = {"OK": 0, "SKIP": 0}
failed = []
for line in open(sys.argv[1]):
    test = json.loads(line)
    if test["result"] in count:
        count[test["result"]] += 1
        if test["result"] == "SKIP":
            print("skipped:", test["name"])
    else:
        failed.append(test["name"])
for name in failed:
    print("failed:", name)
print(f"{count['OK']} passed, {len(failed)} failed, {count['SKIP']} skipped")
sys.exit(1 if failed else 0)
PY
