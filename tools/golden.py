#!/usr/bin/env python3
"""Whisper in f64 with numpy, written from its definition, and small models for it: usage:
golden.py CASE FOLDER      writes model.bin, mel.npy, encoder.npy, tokens.npy and logits.npy of a case
golden.py --record FOLDER  writes CASE.npz for every case: a sample of its tensors (tests/data/golden)

The input is models/demo.wav.  Weights come from counters, so that they are the same with any version of
numpy.  tests/parity/test_golden.py compares the program with all values, and all values with the samples."""
import math
import pathlib
import struct
import sys
import wave
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIP = ROOT / "models/demo.wav"
WINDOW, N_CTX, N_TEXT_CTX, N_FFT, HOP = 480000, 1500, 448, 400, 160

# Every token layout, both numbers of mel bands, head sizes 32 and 64, every weight type of ggml.
# name: vocabulary, mel bands, width, heads, encoder layers, decoder layers, type of the matrices
CASES = {
    "english-f16": (51864, 80, 64, 2, 2, 2, "f16"),
    "multilingual-f32": (51865, 80, 96, 3, 1, 2, "f32"),
    "v3-q8_0": (51866, 128, 64, 1, 3, 1, "q8_0"),
    "english-q4_0": (51864, 80, 64, 2, 1, 1, "q4_0"),
    "english-q4_1": (51864, 80, 64, 2, 1, 1, "q4_1"),
    "english-q5_0": (51864, 80, 64, 2, 1, 1, "q5_0"),
    "english-q5_1": (51864, 80, 64, 2, 1, 1, "q5_1"),
}
TOKENS = {51864: [50257, 50362, 11, 262, 1204, 39, 7], 51865: [50258, 50259, 50359, 50363, 11, 262, 7],
          51866: [50258, 50259, 50360, 50364, 11, 262, 7]}

# ---------------------------------------------------------------- mel


def mel_filters(n_mels):
    """Slaney's triangles, each of area 2: [n_mels, 201].  Linear up to 1 kHz, logarithmic above."""
    def hertz(mel):
        return np.where(mel < 15, 200 / 3 * mel, 1000 * 6.4 ** ((mel - 15) / 27))
    top = 15 + 27 * math.log(8) / math.log(6.4)  # 8 kHz
    edges = hertz(np.linspace(0, top, n_mels + 2))[:, None]
    bins = np.arange(N_FFT // 2 + 1) * 16000 / N_FFT
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    return np.maximum(0, triangles) * 2 / (high - low)


def log_mel(samples, n_mels):
    """The first 30 s, silence added: [n_mels, 3000]."""
    x = np.zeros(WINDOW)
    x[:min(len(samples), WINDOW)] = samples[:WINDOW]
    x = np.concatenate([x[N_FFT // 2:0:-1], x, x[-2:-N_FFT // 2 - 2:-1]])
    hann = np.sin(np.pi * np.arange(N_FFT) / N_FFT) ** 2
    frames = np.stack([x[i:i + N_FFT] for i in range(0, WINDOW, HOP)]) * hann
    power = np.abs(np.fft.rfft(frames)) ** 2
    log = np.log10(np.maximum(mel_filters(n_mels) @ power.T, 1e-10))
    return np.maximum(log, log.max() - 8) / 4 + 1


def read_clip():
    with wave.open(str(CLIP)) as w:
        assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(w.readframes(w.getnframes()), "<i2") / 32768


# ---------------------------------------------------------------- encoder, decoder


def gelu(x):
    return 0.5 * x * np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2))


class Whisper:
    """weights: {name: f64 array}.  Activations are [positions, width]."""

    def __init__(self, weights, n_heads, n_encoder, n_decoder):
        self.w, self.n_heads, self.n_encoder, self.n_decoder = weights, n_heads, n_encoder, n_decoder

    def norm(self, x, name):
        x = x - x.mean(1, keepdims=True)
        x = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0)

    def attention(self, x, source, name, causal):
        q, k, v = (self.linear(a, f"{name}.{part}") for a, part in ((x, "query"), (source, "key"), (source, "value")))
        size = q.shape[1] // self.n_heads
        heads = []
        for i in range(0, q.shape[1], size):
            scores = q[:, i:i + size] @ k[:, i:i + size].T / math.sqrt(size)
            if causal:
                scores[np.triu_indices(len(scores), 1)] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(weights @ v[:, i:i + size] / weights.sum(1, keepdims=True))
        return self.linear(np.concatenate(heads, 1), name + ".out")

    def block(self, x, name, features=None):
        y = self.norm(x, name + ".attn_ln")
        x = x + self.attention(y, y, name + ".attn", features is not None)
        if features is not None:
            x = x + self.attention(self.norm(x, name + ".cross_attn_ln"), features, name + ".cross_attn", False)
        y = gelu(self.linear(self.norm(x, name + ".mlp_ln"), name + ".mlp.0"))
        return x + self.linear(y, name + ".mlp.2")

    def convolution(self, x, name, stride):
        """A kernel of three positions, one zero on each side."""
        padded = np.pad(x, ((1, 1), (0, 0)))
        taps = [padded[k:k + len(x):stride] @ self.w[name + ".weight"][:, :, k].T for k in range(3)]
        return gelu(sum(taps) + self.w[name + ".bias"].T)

    def encode(self, mel):
        x = self.convolution(mel.T, "encoder.conv1", 1)
        x = self.convolution(x, "encoder.conv2", 2) + self.w["encoder.positional_embedding"]
        for i in range(self.n_encoder):
            x = self.block(x, f"encoder.blocks.{i}")
        return self.norm(x, "encoder.ln_post")

    def logits(self, tokens, features):
        embedding = self.w["decoder.token_embedding.weight"]
        x = embedding[tokens] + self.w["decoder.positional_embedding"][:len(tokens)]
        for i in range(self.n_decoder):
            x = self.block(x, f"decoder.blocks.{i}", features)
        return self.norm(x, "decoder.ln") @ embedding.T


# ---------------------------------------------------------------- weights


def uniform(name, shape):
    """Numbers in [-1, 1) that depend on the name and the position only (splitmix64)."""
    mask = 0xffffffffffffffff
    z = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
    z += np.uint64(zlib.crc32(name.encode()) * 0xd1342543de82ef95 & mask)
    for shift, factor in ((30, 0xbf58476d1ce4e5b9), (27, 0x94d049bb133111eb)):
        z = (z ^ z >> np.uint64(shift)) * np.uint64(factor)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(float) / 2 ** 52 - 1).reshape(shape)


def shapes(n_vocab, n_mels, width, n_encoder, n_decoder):
    """(name, shape) of every tensor, as openai-whisper names them; biases of the stem are columns."""
    def linear(name, n_out, n_in, bias=True):
        return [(name + ".weight", (n_out, n_in))] + [(name + ".bias", (n_out,))] * bias

    def norm(name):
        return [(name + ".weight", (width,)), (name + ".bias", (width,))]

    def block(name, attentions):
        out = []
        for attention in attentions:
            for part in ("query", "key", "value", "out"):
                out += linear(f"{name}.{attention}.{part}", width, width, part != "key")
            out += norm(f"{name}.{attention}_ln")
        return out + linear(name + ".mlp.0", 4 * width, width) + linear(name + ".mlp.2", width, 4 * width) + \
            norm(name + ".mlp_ln")

    out = [("encoder.positional_embedding", (N_CTX, width)),
           ("encoder.conv1.weight", (width, n_mels, 3)), ("encoder.conv1.bias", (width, 1)),
           ("encoder.conv2.weight", (width, width, 3)), ("encoder.conv2.bias", (width, 1))]
    for i in range(n_encoder):
        out += block(f"encoder.blocks.{i}", ["attn"])
    out += norm("encoder.ln_post")
    out += [("decoder.positional_embedding", (N_TEXT_CTX, width)),
            ("decoder.token_embedding.weight", (n_vocab, width))]
    for i in range(n_decoder):
        out += block(f"decoder.blocks.{i}", ["attn", "cross_attn"])
    return out + norm("decoder.ln")


def values(name, shape):
    """Of the sizes that trained models have: products keep their spread, MLP inputs lean to the negative."""
    u = uniform(name, shape)
    if name.endswith("ln.weight") or name.endswith("ln_post.weight"):
        return 1 + 0.2 * u
    if name.endswith("token_embedding.weight"):
        return 0.2 * u
    if name.endswith(".weight"):
        return u * math.sqrt(3 / math.prod(shape[1:]))
    return 0.1 * u - 0.5 * name.endswith("mlp.0.bias")


# ---------------------------------------------------------------- ggml


def halves(x):
    """f16 bytes [n, 2] of the numbers x [n], and their values."""
    h = x.astype("<f2")
    return h.view(np.uint8).reshape(-1, 2), h.astype(float)[:, None]


def nibbles(q):
    """[n, 32] of 0..15 as [n, 16] bytes: the first half of a block in the low nibbles."""
    return q[:, :16] | q[:, 16:] << 4


def pack(x, kind):
    """(bytes, the values that they stand for) of the numbers x in blocks of 32."""
    if kind in ("f32", "f16"):
        stored = x.astype("<f4" if kind == "f32" else "<f2")
        return stored.tobytes(), stored.astype(float)
    blocks = x.reshape(-1, 32)
    if kind == "q8_0":
        scale_bytes, scale = halves(np.abs(blocks).max(1) / 127)
        q = np.clip(np.round(blocks / scale), -127, 127).astype(np.int8)
        return np.hstack([scale_bytes, q.view(np.uint8)]).tobytes(), (q * scale).reshape(x.shape)
    levels = 16 if kind[1] == "4" else 32
    if kind.endswith("_0"):
        peak = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)[:, 0]
        head, scale = halves(peak / -(levels // 2))
        offset = -(levels // 2) * scale
    else:
        scale_bytes, scale = halves((blocks.max(1) - blocks.min(1)) / (levels - 1))
        offset_bytes, offset = halves(blocks.min(1))
        head = np.hstack([scale_bytes, offset_bytes])
    q = np.clip(np.round((blocks - offset) / scale), 0, levels - 1).astype(np.uint8)
    parts = [head, nibbles(q & 15)]
    if levels == 32:
        parts.insert(1, np.packbits(q >> 4, axis=1, bitorder="little"))
    return np.hstack(parts).tobytes(), (q * scale + offset).reshape(x.shape)


GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}


def make_model(path, case):
    """Writes the case's model as whisper.cpp's ggml file and returns it with the stored weights: matrices
    of the case's type, the stem's f16 at most, vectors and positions f32."""
    n_vocab, n_mels, width, n_heads, n_encoder, n_decoder, kind = CASES[case]
    weights = {}
    with open(path, "wb") as f:
        f.write(struct.pack("<12i", 0x67676d6c, n_vocab, N_CTX, width, n_heads, n_encoder, N_TEXT_CTX, width,
                            n_heads, n_decoder, n_mels, GGML_TYPES[kind]))
        f.write(struct.pack("<2i", n_mels, N_FFT // 2 + 1) + mel_filters(n_mels).astype("<f4").tobytes())
        f.write(struct.pack("<i", 256) + b"".join(struct.pack("<iB", 1, i) for i in range(256)))
        for name, shape in shapes(n_vocab, n_mels, width, n_encoder, n_decoder):
            vector = len(shape) == 1 or "positional" in name or name.endswith("bias")
            type_ = "f32" if vector else "f16" if len(shape) == 3 and kind != "f32" else kind
            data, weights[name] = pack(values(name, shape), type_)
            f.write(struct.pack(f"<3i{len(shape)}i", len(shape), len(name), GGML_TYPES[type_], *shape[::-1]))
            f.write(name.encode() + data)
    return Whisper(weights, n_heads, n_encoder, n_decoder)


def compute(case, model_path):
    """{"mel", "encoder", "tokens", "logits"} of a case, whose model is written on the way."""
    n_vocab, n_mels = CASES[case][:2]
    model = make_model(model_path, case)
    mel = log_mel(read_clip(), n_mels)
    features = model.encode(mel)
    return {"mel": mel, "encoder": features, "tokens": np.array(TOKENS[n_vocab]),
            "logits": model.logits(TOKENS[n_vocab], features)}


def sample(tensors):
    """Every 50th frame and position, every 100th logit: what is kept in the repository."""
    return {"mel": tensors["mel"][:, ::50].astype("<f4"), "encoder": tensors["encoder"][::50].astype("<f4"),
            "logits": tensors["logits"][:, ::100].astype("<f4")}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    if what == "--record":
        for case in CASES:
            np.savez_compressed(folder / f"{case}.npz", **sample(compute(case, "/dev/null")))
        return
    for name, values_ in compute(what, folder / "model.bin").items():
        np.save(folder / f"{name}.npy", values_.astype("<i4" if name == "tokens" else "<f4"))


if __name__ == "__main__":
    main()
