"""Small Whisper models of random weights as ggml files, and WAV files, with the standard library only."""
import array
import math
import random
import struct
import wave

N_STATE, N_HEAD, N_LAYER, N_MELS, N_AUDIO_CTX, N_TEXT_CTX = 32, 1, 1, 80, 1500, 448
F32, F16 = 0, 1


def half(x):
    return struct.unpack("<H", struct.pack("<e", x))[0]


def values_f16(rng, n, scale):
    """n random numbers of a bell shape, as f16 bits: 256 quantiles, drawn by byte."""
    table = [half(scale * math.log((i + 0.5) / (255.5 - i)) / 1.8) for i in range(256)]
    return array.array("H", (table[b] for b in rng.randbytes(n))).tobytes()


def values_f32(rng, n, scale, offset=0.0):
    return array.array("f", (offset + rng.uniform(-scale, scale) for _ in range(n))).tobytes()


def linears(prefix, n_out, n_in, bias):
    yield f"{prefix}.weight", (n_out, n_in)
    if bias:
        yield f"{prefix}.bias", (n_out,)


def norm(prefix):
    yield f"{prefix}.weight", (N_STATE,)
    yield f"{prefix}.bias", (N_STATE,)


def block(prefix, cross):
    for part in ["attn", "cross_attn"] if cross else ["attn"]:
        for name in ("query", "key", "value", "out"):
            yield from linears(f"{prefix}.{part}.{name}", N_STATE, N_STATE, name != "key")
        yield from norm(f"{prefix}.{part}_ln")
    yield from linears(f"{prefix}.mlp.0", 4 * N_STATE, N_STATE, True)
    yield from linears(f"{prefix}.mlp.2", N_STATE, 4 * N_STATE, True)
    yield from norm(f"{prefix}.mlp_ln")


def tensors(n_vocab):
    yield "encoder.positional_embedding", (N_AUDIO_CTX, N_STATE)
    yield "encoder.conv1.weight", (N_STATE, N_MELS, 3)
    yield "encoder.conv1.bias", (N_STATE, 1)
    yield "encoder.conv2.weight", (N_STATE, N_STATE, 3)
    yield "encoder.conv2.bias", (N_STATE, 1)
    for i in range(N_LAYER):
        yield from block(f"encoder.blocks.{i}", False)
    yield from norm("encoder.ln_post")
    yield "decoder.positional_embedding", (N_TEXT_CTX, N_STATE)
    yield "decoder.token_embedding.weight", (n_vocab, N_STATE)
    for i in range(N_LAYER):
        yield from block(f"decoder.blocks.{i}", True)
    yield from norm("decoder.ln")


def louder(data, token):
    """Embeddings with one token's row eight times as large, so that its logit often wins."""
    row = slice(token * N_STATE * 2, (token + 1) * N_STATE * 2)
    values = struct.unpack(f"<{N_STATE}e", data[row])
    return data[:row.start] + struct.pack(f"<{N_STATE}e", *(8 * x for x in values)) + data[row.stop:]


def write_model(path, multilingual, seed=1, loud=None):
    rng = random.Random(seed)
    n_vocab, n_words = (51865, 50257) if multilingual else (51864, 50256)
    with open(path, "wb") as f:
        f.write(struct.pack("<12i", 0x67676D6C, n_vocab, N_AUDIO_CTX, N_STATE, N_HEAD, N_LAYER,
                            N_TEXT_CTX, N_STATE, N_HEAD, N_LAYER, N_MELS, F16))
        f.write(struct.pack("<2i", N_MELS, 201) + bytes(4 * N_MELS * 201))
        f.write(struct.pack("<i", n_words))
        for i in range(n_words):
            word = bytes([i]) if i < 256 else f" w{i}".encode()
            f.write(struct.pack("<i", len(word)) + word)
        for name, shape in tensors(n_vocab):
            matrix = len(shape) > 1 and "positional" not in name and not name.endswith("bias")
            n = math.prod(shape)
            f.write(struct.pack("<3i", len(shape), len(name), F16 if matrix else F32))
            f.write(struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode())
            is_norm = name.endswith("ln.weight") or name.endswith("ln_post.weight")
            if matrix:
                data = values_f16(rng, n, 0.3)
                if name == "decoder.token_embedding.weight" and loud is not None:
                    data = louder(data, loud)
                f.write(data)
            else:
                f.write(values_f32(rng, n, 0.05, 1.0 if is_norm else 0.0))


def samples(seconds, rate=16000, seed=0, level=3000):
    """s16 noise with a slow melody under it, cheap to make: one second, repeated with other levels."""
    rng = random.Random(seed)
    one = array.array("h", (int(level * (0.3 * rng.uniform(-1, 1) + 0.7 * math.sin(i * i * 2e-5)))
                            for i in range(rate)))
    out = array.array("h")
    while len(out) < seconds * rate:
        out.extend(one)
    return out[:int(seconds * rate)]


def write_wav(path, data, rate=16000):
    with wave.open(str(path), "wb") as w:
        w.setparams((1, 2, rate, 0, "NONE", ""))
        w.writeframes(data.tobytes())
