#!/usr/bin/env python3
"""The program against recordings of openai-whisper: usage: test_recordings.py WISP SOURCE_ROOT LEVEL [NAME...]

tests/data/recordings.json (tools/record_reference.py) says what openai-whisper made of small models and made-up
sounds.  With LEVEL portable, avx2 or avx512 (77 when this machine lacks it) and weights in f32 the program must
give the same tokens, text, times and temperatures, and nearly the same probabilities.  With LEVEL default it
chooses level and weights itself, and is held to the recordings that stand as much noise as it may make."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import random_model

SKIP, UNAVAILABLE = 77, "' is not available"
# What may differ: seconds, average log probability, probability of no speech.  And the noise, in standard
# deviations of the logits, that a recording has to stand.
EXACT = {"times": 0.0, "avg_logprob": 1e-3, "no_speech_prob": 1e-4, "noise": 0.0}
NEARLY = {"times": 0.04, "avg_logprob": 5e-2, "no_speech_prob": 5e-2, "noise": 3e-2}


def checked(data, digest, what):
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{what} is not what the recordings were made with; run tools/record_reference.py again")
    return data


class Files:
    """Models and sounds of the recordings, made in `folder` when they are first asked for."""

    def __init__(self, root, folder, recordings):
        self.root, self.folder = root, pathlib.Path(folder)
        self.models, self.sounds = recordings["models"], recordings["sounds"]

    def model(self, name):
        fields = dict(self.models[name])
        digest = fields.pop("sha256")
        path = self.folder / f"{name}.bin" if fields else self.root / name
        if not path.exists():
            random_model.write_model(path, random_model.Model(**fields))
        checked(path.read_bytes(), digest, f"model '{name}'")
        return path

    def sound(self, name):
        path, what = self.folder / f"{name}.wav", self.sounds[name]
        if not path.exists():
            data = random_model.sound_bytes(self.root, what)
            random_model.write_wav(path, checked(data, what["sha256"], f"sound '{name}'"))
        return path


def differences(expected, got, bound):
    """What differs, as sentences."""
    for key in ("language", "text"):
        if got[key] != expected[key]:
            yield f"{key} {got[key]!r}, expected {expected[key]!r}"
    if len(got["segments"]) != len(expected["segments"]):
        yield f"{len(got['segments'])} segments, expected {len(expected['segments'])}"
    most = {"text": None, "tokens": None, "seek": 100 * bound["times"], "start": bound["times"],
            "end": bound["times"], "temperature": 1e-9, "compression_ratio": 0.0,
            "avg_logprob": bound["avg_logprob"], "no_speech_prob": bound["no_speech_prob"]}
    for i, (g, e) in enumerate(zip(got["segments"], expected["segments"])):
        for key, limit in most.items():
            if g[key] != e[key] and (limit is None or not abs(g[key] - e[key]) <= limit):
                yield f"segment {i}: {key} {g[key]!r}, expected {e[key]!r}"


def run(wisp, level, model, sound, arguments):
    command = [wisp, "-m", model, "-np", "-t", "2", "-oj", "-of", sound.with_suffix(""), *arguments, sound]
    env = {k: v for k, v in os.environ.items() if not k.startswith("WISP_")}
    if level != "default":
        command += ["--decoder-weights", "f32"]
        env["WISP_CPU"] = level
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode == 1 and UNAVAILABLE in done.stderr:
        print(done.stderr, end="")
        sys.exit(SKIP)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return json.loads(sound.with_suffix(".json").read_text())


def main():
    wisp, root, level, *names = sys.argv[1:]
    recordings = json.loads((random_model.DATA / "recordings.json").read_text())
    bound = NEARLY if level == "default" else EXACT
    bad = compared = 0
    with tempfile.TemporaryDirectory(prefix="wisp-parity-") as folder:
        files = Files(pathlib.Path(root), folder, recordings)
        for r in recordings["recordings"]:
            if r["noise"] < bound["noise"] or (names and r["name"] not in names):
                continue
            got = run(wisp, level, files.model(r["model"]), files.sound(r["sound"]), r["arguments"])
            found = list(differences(r, got, bound))
            for sentence in found:
                print(f"{r['name']}: {sentence}")
            bad, compared = bad + bool(found), compared + 1
    print(f"{level}: {compared - bad} of {compared} recordings alike")
    return bool(bad) or not compared


if __name__ == "__main__":
    sys.exit(main())
