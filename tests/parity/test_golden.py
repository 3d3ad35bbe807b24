#!/usr/bin/env python3
"""wisp dump, at every kernel level that this machine has, against the f64 model of tools/golden.py, on small
models of every layout and weight type: usage: test_golden.py WISP SOURCE_ROOT

The bounds are those of docs/numerics.md.  That the f64 model still computes what it once did is checked
with the samples in tests/data/golden."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SKIP = 77
MEL_BOUND, ENCODER_EXACT, LOGITS_EXACT, ROUNDED = 5e-5, 1e-5, 1e-4, 2e-2
WISP, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])


def import_numpy():
    """This interpreter's numpy, or Debian's."""
    try:
        import numpy
    except ImportError:
        if sys.executable == "/usr/bin/python3" or not os.access("/usr/bin/python3", os.X_OK):
            sys.exit(SKIP)
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    return numpy


np = import_numpy()
sys.path.insert(0, str(ROOT / "tools"))
import golden


def run(*args, level):
    env = {k: v for k, v in os.environ.items() if not k.startswith("WISP_")} | {"WISP_CPU": level}
    return subprocess.run([WISP, *map(str, args)], env=env, text=True, capture_output=True)


def levels():
    """What the refusal of a wrong name says."""
    return re.search("use one of: (.*)", run("dump", "mel", "-m", ROOT / "models/nano-digits.bin", "-o", "/dev/null",
                                             level="none").stderr)[1].split(", ")


def dump(stage, folder, case, level, *options):
    out = folder / f"{stage}.npy"
    done = run("dump", stage, "-m", folder / f"{case}.bin", "-f", golden.CLIP, "-t", "2", "-o", out, *options, level=level)
    if done.returncode != 0:
        sys.exit(f"wisp dump {stage}, {case}, {level}: status {done.returncode}: {done.stderr}")
    return np.load(out).astype(float)


def relative_l2(got, wanted):
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


def distances(folder, case, level, wanted):
    """(what, distance, bound) of every stage; the mel is the same at every level."""
    rounds = level == "avx512bf16"  # products of bf16
    tokens = ["--tokens", ",".join(map(str, wanted["tokens"]))]
    if level == "portable":
        yield "mel", np.abs(dump("mel", folder, case, level) - wanted["mel"]).max(), MEL_BOUND
    yield "encoder", relative_l2(dump("encoder", folder, case, level), wanted["encoder"]), \
        ROUNDED if rounds else ENCODER_EXACT
    yield "logits", relative_l2(dump("logits", folder, case, level, *tokens), wanted["logits"]), \
        LOGITS_EXACT if level == "portable" else ROUNDED
    if level == "portable":
        return
    exact = dump("logits", folder, case, level, *tokens, "--decoder-weights", "f32")
    yield "logits of f32 weights", relative_l2(exact, wanted["logits"]), ROUNDED if rounds else LOGITS_EXACT


def is_recorded(case, tensors):
    recorded = np.load(ROOT / f"tests/data/golden/{case}.npz")
    return all(np.allclose(recorded[name], value, rtol=0, atol=1e-6) for name, value in golden.sample(tensors).items())


def main():
    bad = 0
    available = levels()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for case in golden.CASES:
            wanted = golden.compute(case, folder / f"{case}.bin")
            if not is_recorded(case, wanted):
                print(f"{case}: the f64 model's tensors are not those of tests/data/golden")
                bad += 1
            for level in available:
                for what, distance, bound in distances(folder, case, level, wanted):
                    verdict = "ok" if distance <= bound else "TOO FAR"  # NaN is too far
                    print(f"{case} {level} {what}: {distance:.1e} of {bound:.0e} {verdict}")
                    bad += verdict != "ok"
    return bad > 0


sys.exit(main())
