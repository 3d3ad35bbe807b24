#!/usr/bin/env python3
"""Collects single spoken digits as mel power frames: usage: clips.py FSDD_FOLDER OUT.npz

Voices: the recordings of the Free Spoken Digit Dataset; espeak-ng in many voices, pitches and rates;
flite; and, where Debian's asterisk-core-sounds-en-wav is installed, its recorded digits.  Recordings
n = 0..4 of every digit and speaker are the test set and are never read here; n = 5, 6 are marked for
validation.  OUT.npz: frames [sum, 80] f32, offsets, digits, voices, split (0 train, 1 validation)."""
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

import audio

ACCENTS = "en-us en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc".split()
TIMBRES = ("m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 adam Alex Alicia Andrea Andy Annie anika antonio "
           "aunty belinda benjamin boris caleb david ed edward Gene gustave iven john linda marcelo max "
           "Michael Mike michel miguel pablo paul pedro quincy rob robert sandro shelby steph travis "
           "victor zac Denis Diogo Henrique Hugo Jacky Lee Marco Mario Nguyen klatt klatt3").split()
FLITE = "kal kal16 awb rms slt".split()
ASTERISK = pathlib.Path("/usr/share/asterisk/sounds/en_US_f_Allison/digits")
ESPEAK_PER_DIGIT = 110


def recordings(folder):
    for path in sorted(pathlib.Path(folder).glob("*.wav")):
        digit, speaker, n = path.stem.split("_")
        if int(n) >= 5:
            yield int(digit), speaker, int(int(n) < 7), audio.read_wav(path)


def say(command):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run([c.replace("OUT", f.name) for c in command], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return audio.read_wav(f.name)


def synthetic(rng):
    for digit, word in enumerate(audio.WORDS):
        for _ in range(ESPEAK_PER_DIGIT):
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(TIMBRES)}"
            yield digit, "espeak", 0, say(["espeak-ng", "-v", voice, "-p", str(rng.randint(20, 80)),
                                           "-s", str(rng.randint(110, 220)), "-w", "OUT", word])
        for voice in FLITE:
            for stretch in ("0.85", "1.0", "1.2"):
                yield digit, "flite", 0, say(["flite", "-voice", voice, "--setf",
                                              f"duration_stretch={stretch}", "-t", word, "-o", "OUT"])
        if ASTERISK.is_dir():
            yield digit, "asterisk", 0, audio.read_wav(ASTERISK / f"{digit}.wav")


def main():
    folder, out = sys.argv[1:]
    clips = list(recordings(folder)) + list(synthetic(random.Random(1)))
    frames, digits, voices, splits = [], [], [], []
    for digit, voice, split, samples in clips:
        samples = audio.trim(samples)
        if not 0.08 < len(samples) / audio.RATE < 1.6:
            continue
        samples = samples / (np.sqrt((samples ** 2).mean()) + 1e-9) * 0.05
        frames.append(audio.mel_power(samples))
        digits.append(digit)
        voices.append(voice)
        splits.append(split)
    np.savez(out, frames=np.concatenate(frames), offsets=np.cumsum([0] + [len(f) for f in frames]),
             digits=np.array(digits), voices=np.array(voices), split=np.array(splits))
    print(len(frames), "clips,", sum(len(f) for f in frames) / 100, "s")


main()
