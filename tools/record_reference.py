#!/usr/bin/env python3
"""Records what openai-whisper's transcribe() makes of small models of random weights, and of the bundled
model, as expected values for tests/parity/test_recordings.py.
usage: record_reference.py tests/data/recordings.json [NAME...]      (with names: only those anew)
Needs pip install openai-whisper==20250625 torch numpy; the recordings here are made with the versions they
state.  Weights and sounds are not stored: tests/parity/random_model.py makes the same bytes from a seed.

A recording is of use only if no choice in it is so close that another order of summation decides it.
Therefore each is made again with normal noise on every logit, of NOISE standard deviations of the row: 150
times the 2e-6 (rms) by which wisp and PyTorch, both in f32, differ.  Tokens, times and temperatures must stay,
or the script fails; then another seed has to be chosen.  The strongest noise of a ladder that changes nothing
is recorded, for computations of less than f32."""
import hashlib
import json
import pathlib
import struct
import sys
import tempfile
from dataclasses import asdict

import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import random_model  # noqa: E402
from random_model import Model  # noqa: E402

NOISE, LADDER = 3e-4, [3e-3, 1e-2, 3e-2]

MODELS = {
    "english": Model(48, 51864, 80, 64, 2, 2, 2, 3.3, -0.9, 1.4, 3.0),
    "hesitant": Model(40, 51864, 80, 64, 2, 2, 2, 3.3, -0.9, 1.4, 3.5),
    "multilingual": Model(44, 51865, 80, 128, 2, 2, 2, 2.3, -1.3, 1.95, 4.25),
    "quiet": Model(46, 51865, 80, 128, 2, 2, 2, 2.3, -1.3, 1.95, 4.25),
    "large": Model(42, 51866, 128, 64, 1, 3, 1, 3.3, -0.9, 1.4, 3.0),
    # So sure that every sample is the most probable token: the reference's and ours agree above temperature 0.
    "sure": Model(6, 51865, 80, 64, 1, 1, 1, 3000.0, -0.3, 1.8, 3.2),
    "stubborn": Model(5, 51865, 80, 64, 1, 1, 1, 3000.0, -0.3, 1.8, 3.2),
}
NANO = "models/nano-digits.bin"
SOUNDS = {str(seed): {"seed": seed, "seconds": 75} for seed in range(1, 14)}
SOUNDS["digits"] = {"clip": "models/demo.wav", "at": [0.5, 30.5, 60.5], "seconds": 75}
PROMPT = "Glaciers, said Dr. M\u00fcller: 42 of them"
LONG = " ".join(f"word{i}" for i in range(120))  # more tokens than a prompt holds
CHINESE = "\u5317\u4eac and \u0141\u00f3d\u017a, it's 1984"
GREEDY = {"temperature": 0.0}
BEAM = {"temperature": 0.0, "beam_size": 5}
FALLBACK = {"temperature": tuple(np.arange(0, 1 + 1e-6, 0.2).tolist()), "best_of": 5}  # whisper.transcribe.cli()
DEFAULT = {**FALLBACK, "beam_size": 5}
# name, model, sound, the program's options, the reference's
RECORDINGS = [
    ("greedy", "english", "9", ["-bs", "1", "-nf"], GREEDY),
    ("beam search", "english", "10", ["-nf"], BEAM),
    ("defaults", "hesitant", "6", [], DEFAULT),
    ("no timestamps", "english", "13", ["-nt", "-nf"], {**BEAM, "without_timestamps": True}),
    ("no timestamps, greedy", "hesitant", "2", ["-nt", "-bs", "1", "-nf"], {**GREEDY, "without_timestamps": True}),
    ("prompt", "english", "2", ["-bs", "1", "-nf", "--prompt", PROMPT], {**GREEDY, "initial_prompt": PROMPT}),
    ("carried prompt", "english", "6", ["-bs", "1", "-nf", "--prompt", PROMPT, "--carry-initial-prompt"],
     {**GREEDY, "initial_prompt": PROMPT, "carry_initial_prompt": True}),
    ("long carried prompt", "english", "5", ["-bs", "1", "-nf", "--prompt", LONG, "--carry-initial-prompt"],
     {**GREEDY, "initial_prompt": LONG, "carry_initial_prompt": True}),
    ("no previous text", "multilingual", "3", ["-bs", "1", "-nf", "-l", "en", "-mc", "0", "--prompt", PROMPT],
     {**GREEDY, "language": "en", "initial_prompt": PROMPT, "condition_on_previous_text": False}),
    ("clip", "multilingual", "4", ["-bs", "1", "-nf", "-ot", "12340", "-d", "43210"],
     {**GREEDY, "clip_timestamps": [12.34, 55.55]}),
    ("language and silence", "quiet", "3", [], DEFAULT),
    ("translation", "multilingual", "6", ["-tr", "-l", "de", "-nf"],
     {**BEAM, "task": "translate", "language": "de"}),
    ("patience", "multilingual", "7", ["-bs", "3", "--patience", "2", "--length-penalty", "0.6", "-nf"],
     {**GREEDY, "beam_size": 3, "patience": 2.0, "length_penalty": 0.6}),
    ("impatience", "multilingual", "2", ["-bs", "4", "--patience", "0.5", "-nf"],
     {**GREEDY, "beam_size": 4, "patience": 0.5}),
    ("symbols", "multilingual", "11", ["-bs", "1", "-nf", "--no-suppress-nst"],
     {**GREEDY, "suppress_tokens": [50258]}),  # a list without -1: of symbols, only the special ones
    ("128 bands", "large", "2", [], DEFAULT),
    ("128 bands, prompt", "large", "7", ["-nf", "--prompt", CHINESE], {**BEAM, "initial_prompt": CHINESE}),
    ("nothing heard, no previous text", "large", "1", ["-bs", "1", "-nf", "-mc", "0", "--prompt", CHINESE],
     {**GREEDY, "initial_prompt": CHINESE, "condition_on_previous_text": False}),
    ("silence alone", "hesitant", "12", ["-bs", "1", "-nf", "-nth", "0.17", "-lpt", "none"],
     {**GREEDY, "no_speech_threshold": 0.17, "logprob_threshold": None}),
    ("repetition", "sure", "1", ["-bs", "1"], FALLBACK),
    ("improbable or silent", "stubborn", "5", ["-bs", "1", "-lpt", "0.5"], {**FALLBACK, "logprob_threshold": 0.5}),
    ("digits", NANO, "digits", [], DEFAULT),
    ("digits, no previous text", NANO, "digits", ["-bs", "1", "-mc", "0"],
     {**FALLBACK, "condition_on_previous_text": False}),
    ("digits, no timestamps", NANO, "digits", ["-nt", "-bs", "1", "-nf"], {**GREEDY, "without_timestamps": True}),
]


def read_ggml(path):
    """(dimensions, weights in f32) of a ggml file of f32, f16 and q8_0."""
    data, at = pathlib.Path(path).read_bytes(), 0

    def ints(n):
        nonlocal at
        at += 4 * n
        return struct.unpack_from(f"<{n}i", data, at - 4 * n)

    _, vocab, a_ctx, a_state, a_head, a_layer, t_ctx, t_state, t_head, t_layer, mels, _ = ints(12)
    n_filters = int(np.prod(ints(2)))
    at += 4 * n_filters
    for _ in range(ints(1)[0]):
        length, = ints(1)
        at += length
    weights = {}
    while at < len(data):
        n_dims, length, kind = ints(3)
        shape = ints(n_dims)[::-1]
        name, n = data[at:at + length].decode(), int(np.prod(shape))
        at += length
        if kind == 8:
            blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("q", "i1", 32)]), n // 32, at)
            values = blocks["q"] * blocks["scale"].astype(np.float32)[:, None]
        else:
            values = blocks = np.frombuffer(data, [np.float32, np.float16][kind], n, at)
        at += blocks.nbytes
        shape = shape[:1] if name.endswith(("conv1.bias", "conv2.bias")) else shape
        weights[name] = torch.tensor(values.astype(np.float32).reshape(shape))
    dims = ModelDimensions(mels, a_ctx, a_state, a_head, a_layer, vocab, t_ctx, t_state, t_head, t_layer)
    return dims, weights


def load(path):
    dims, weights = read_ggml(path)
    model = Whisper(dims)
    model.load_state_dict(weights)
    encode, known = model.encoder.forward, {}

    def remember(mel):  # every temperature, and every noise, encodes the same windows again
        key = hashlib.sha256(mel.numpy().tobytes()).digest()
        if key not in known:
            known[key] = encode(mel)
        return known[key]

    model.encoder.forward = remember
    return model.eval()


def transcribe(model, samples, options, noise=0.0):
    generator = torch.Generator().manual_seed(1)

    def disturb(module, inputs, logits):
        strength = noise * logits.std(-1, keepdim=True)
        return logits + strength * torch.randn(logits.shape, generator=generator)

    torch.manual_seed(round(1e6 * noise))  # nor must samples depend on chance
    hook = model.decoder.register_forward_hook(disturb) if noise else None
    result = model.transcribe(samples, fp16=False, **options)
    if hook:
        hook.remove()
    return result


def choices(result):
    segments = [(s["seek"], s["start"], s["end"], s["tokens"], s["temperature"]) for s in result["segments"]]
    return result["language"], segments


def stands(model, samples, options, expected):
    """The strongest noise that changes nothing."""
    stood = 0.0
    for noise in [NOISE] + LADDER:
        if choices(transcribe(model, samples, options, noise)) != expected:
            break
        stood = noise
    return stood


def summary(name, recording):
    print(f"{name}: {recording['language']}, stands {recording['noise']}", file=sys.stderr)
    for s in recording["segments"]:
        print(f"  {s['seek']:6} {s['start']:6.2f} {s['end']:6.2f} {len(s['tokens']):3} T {s['temperature']:.1f} "
              f"log {s['avg_logprob']:6.3f} ratio {s['compression_ratio']:5.2f} silence {s['no_speech_prob']:.3f}"
              f" {s['text'][:40]!r}", file=sys.stderr)


class Sources:
    """Models and sounds by name; the tables that the recordings keep of them."""

    def __init__(self, folder):
        self.folder, self.loaded = pathlib.Path(folder), {}
        self.models, self.sounds = {}, {}

    def model(self, name):
        if name not in self.loaded:
            path, fields = ROOT / name, {}
            if name in MODELS:
                path, fields = self.folder / name, asdict(MODELS[name])
                random_model.write_model(path, MODELS[name])
            self.models[name] = {**fields, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            self.loaded[name] = load(path)
        return self.loaded[name]

    def sound(self, name):
        data = random_model.sound_bytes(ROOT, SOUNDS[name])
        self.sounds[name] = {**SOUNDS[name], "sha256": hashlib.sha256(data).hexdigest()}
        return np.frombuffer(data, np.int16).astype(np.float32) / 32768


def record(sources, name, model, sound, arguments, options):
    samples, network = sources.sound(sound), sources.model(model)
    result = transcribe(network, samples, options)
    noise = stands(network, samples, options, choices(result))
    for s in result["segments"]:
        del s["id"]
    recording = {"name": name, "model": model, "sound": sound, "arguments": arguments, "options": options,
                 "noise": noise, **result}
    summary(name, recording)
    if noise < NOISE:
        sys.exit(f"record_reference: '{name}' depends on noise; choose another seed")
    return recording


def lines(values, opening, closing):
    return opening + "\n" + ",\n".join(values) + "\n" + closing


def table(entries):
    return lines((f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(entries.items())), "{", "}")


def text(recording):
    head = {k: v for k, v in recording.items() if k != "segments"}
    return json.dumps(head)[:-1] + ', "segments": ' + lines(map(json.dumps, recording["segments"]), "[", "]}")


def write(path, models, sounds, recordings):
    versions = {"openai-whisper": whisper.__version__, "torch": torch.__version__, "numpy": np.__version__}
    models = {name: models[name] for name in {r["model"] for r in recordings}}
    sounds = {name: sounds[name] for name in {r["sound"] for r in recordings}}
    path.write_text(f'{{"made with": {json.dumps(versions)},\n"models": {table(models)},\n'
                    f'"sounds": {table(sounds)},\n"recordings": {lines(map(text, recordings), "[", "]")}}}\n')


def main():
    path, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    old = json.loads(path.read_text()) if wanted and path.exists() else {"recordings": []}
    made = {r["name"]: r for r in old["recordings"]}
    torch.set_num_threads(1)  # the same sums whatever the machine
    with tempfile.TemporaryDirectory() as folder:
        sources = Sources(folder)
        for recording in RECORDINGS:
            if not wanted or recording[0] in wanted:
                made[recording[0]] = record(sources, *recording)
        recordings = [made[r[0]] for r in RECORDINGS if r[0] in made]
        write(path, {**old.get("models", {}), **sources.models}, {**old.get("sounds", {}), **sources.sounds}, recordings)


if __name__ == "__main__":
    main()
