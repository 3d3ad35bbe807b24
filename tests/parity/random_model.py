"""Whisper models of random weights, and sounds, that are the same bytes wherever they are made: every byte
comes from SHAKE-128 of a name, so a seed and a few numbers stand for a whole model file.

The models speak: the last layer norm has one channel that never changes, and in it every token has a bias, so
that text, timestamps, the end and silence come about as often as in transcripts.  All else is random."""
import array
import gzip
import hashlib
import math
import pathlib
import struct
import wave
from dataclasses import dataclass

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
N_AUDIO_CTX, N_TEXT_CTX, F32, F16 = 1500, 448, 0, 1
RATE = 16000


@dataclass(frozen=True)
class Model:
    seed: int
    n_vocab: int  # 51864, 51865 or 51866
    n_mels: int
    n_state: int
    n_head: int
    n_audio_layer: int
    n_text_layer: int
    gain: float  # of the last layer norm, which multiplies all logits: how sure the model is
    # what is added to logits, times the gain:
    timestamp: float
    end: float
    silence: float

    @property
    def multilingual(self):
        return self.n_vocab > 51864

    @property
    def n_words(self):
        return 50256 + self.multilingual


def random_bytes(m, name, n):
    return hashlib.shake_128(f"{m.seed} {name}".encode()).digest(n)


def half(x):
    return struct.pack("<e", x)


def matrix(m, name, shape, scale):
    """f16 of a bell shape with the given standard deviation: 256 quantiles, drawn by byte, make the upper
    byte (sign, exponent and two bits); the lower one is random."""
    n = math.prod(shape)
    upper = bytes(half(scale * math.log((i + 0.5) / (255.5 - i)) / 1.8)[1] for i in range(256))
    out = bytearray(random_bytes(m, name, 2 * n))
    out[1::2] = out[1::2].translate(upper)
    return out


def vector(m, name, shape, mean, step):
    """f32 mean + step * (-128 ... 127)."""
    n = math.prod(shape)
    table = [mean + step * (b - 128) for b in range(256)]
    return array.array("f", (table[b] for b in random_bytes(m, name, n))).tobytes()


def embedding(m, name, shape):
    """Random but for channel 0, which has the token's bias.  Every 97th word is spoken."""
    end = m.n_words
    first_language, n_languages = end + 2, 99 + (m.n_vocab > 51865)
    silence, begin = first_language + n_languages + 4, first_language + n_languages + 6
    bias = [-5.0] * m.n_vocab
    bias[0:end:97] = [0.0] * len(range(0, end, 97))
    for symbol in (1, 2, 7, 8, 9):  # " # ( ) *, likely where they are not suppressed
        bias[symbol] = 2.5
    bias[first_language:first_language + n_languages] = [-0.6] * n_languages  # text shows them spelled out
    bias[end], bias[silence] = m.end, m.silence
    bias[begin:] = [m.timestamp] * (m.n_vocab - begin)
    column = b"".join(map(half, bias))
    out = matrix(m, name, shape, 0.125)
    out[0::2 * m.n_state], out[1::2 * m.n_state] = column[0::2], column[1::2]
    return out


def last_norm(m, part):
    first, rest = (0.0, m.gain) if part == "weight" else (m.gain, 0.0)
    return array.array("f", [first] + [rest] * (m.n_state - 1)).tobytes()


def block(m, prefix, cross):
    n = m.n_state
    for part in ["attn", "cross_attn"] if cross else ["attn"]:
        for name, scale in (("query", 2), ("key", 2), ("value", 1), ("out", 1 if not cross else 0.4 if "cross" in part else 0.15)):
            yield f"{prefix}.{part}.{name}.weight", (n, n), scale
            if name != "key":
                yield f"{prefix}.{part}.{name}.bias", (n,), 0
        yield f"{prefix}.{part}_ln.weight", (n,), 0
        yield f"{prefix}.{part}_ln.bias", (n,), 0
    yield f"{prefix}.mlp.0.weight", (4 * n, n), 1
    yield f"{prefix}.mlp.0.bias", (4 * n,), 0
    yield f"{prefix}.mlp.2.weight", (n, 4 * n), 2
    yield f"{prefix}.mlp.2.bias", (n,), 0
    yield f"{prefix}.mlp_ln.weight", (n,), 0
    yield f"{prefix}.mlp_ln.bias", (n,), 0


def layout(m):
    """Name, shape and, of a matrix, the standard deviation times the root of its inputs."""
    n = m.n_state
    yield "encoder.positional_embedding", (N_AUDIO_CTX, n), 0
    yield "encoder.conv1.weight", (n, m.n_mels, 3), 1.5
    yield "encoder.conv1.bias", (n, 1), 0
    yield "encoder.conv2.weight", (n, n, 3), 1.5
    yield "encoder.conv2.bias", (n, 1), 0
    for i in range(m.n_audio_layer):
        yield from block(m, f"encoder.blocks.{i}", False)
    yield "encoder.ln_post.weight", (n,), 0
    yield "encoder.ln_post.bias", (n,), 0
    yield "decoder.positional_embedding", (N_TEXT_CTX, n), 0
    yield "decoder.token_embedding.weight", (m.n_vocab, n), 1
    for i in range(m.n_text_layer):
        yield from block(m, f"decoder.blocks.{i}", True)
    yield "decoder.ln.weight", (n,), 0
    yield "decoder.ln.bias", (n,), 0


def tensors(m):
    """Name, shape, type and bytes of every tensor."""
    for name, shape, scale in layout(m):
        if name == "decoder.token_embedding.weight":
            yield name, shape, F16, embedding(m, name, shape)
        elif scale:
            yield name, shape, F16, matrix(m, name, shape, scale / math.sqrt(math.prod(shape[1:])))
        elif name.startswith("decoder.ln."):
            yield name, shape, F32, last_norm(m, name.split(".")[-1])
        else:
            step = 2.0**-9 if "positional" in name else 2.0**-11
            yield name, shape, F32, vector(m, name, shape, float("ln" in name and "weight" in name), step)


def words(m):
    data = gzip.decompress((DATA / f"vocab-{'multilingual' if m.multilingual else 'gpt2'}.gz").read_bytes())
    at = 0
    while at < len(data):
        yield data[at + 1:at + 1 + data[at]]
        at += 1 + data[at]


def write_model(path, m):
    """A ggml file, as whisper.cpp's converter writes it but for the filters, which are zero."""
    with open(path, "wb") as f:
        f.write(struct.pack("<12i", 0x67676D6C, m.n_vocab, N_AUDIO_CTX, m.n_state, m.n_head, m.n_audio_layer,
                            N_TEXT_CTX, m.n_state, m.n_head, m.n_text_layer, m.n_mels, F16))
        f.write(struct.pack("<2i", m.n_mels, 201) + bytes(4 * m.n_mels * 201))
        f.write(struct.pack("<i", m.n_words))
        for word in words(m):
            f.write(struct.pack("<i", len(word)) + word)
        for name, shape, kind, data in tensors(m):
            f.write(struct.pack(f"<{3 + len(shape)}i", len(shape), len(name), kind, *reversed(shape)))
            f.write(name.encode() + data)


def sound(seed, seconds):
    """s16 samples: buzzes of random length, waveform and level, some of them silent."""
    draw = iter(hashlib.shake_128(f"sound {seed}".encode()).digest(1 << 12))
    shift = [bytes((b - 256 * (b > 127) >> k) & 255 for b in range(256)) for k in range(9)]
    out, wanted = bytearray(), 2 * int(seconds * RATE)
    for i in range(1 << 10):
        period, level = 40 + next(draw), next(draw) % 9
        length = (4000 + 150 * next(draw)) * 2
        one = bytearray(hashlib.shake_128(f"buzz {seed} {i}".encode()).digest(2 * period))
        one[1::2] = one[1::2].translate(shift[level])
        if level == 8:
            one[0::2] = bytes(period)
            one[1::2] = bytes(period)
        out += (one * (length // len(one) + 1))[:length]
        if len(out) >= wanted:
            break
    return bytes(out[:wanted])


def clips(path, at, seconds):
    """s16 samples: a WAV file at some seconds of silence."""
    with wave.open(str(path)) as w:
        assert w.getparams()[:3] == (1, 2, RATE)
        clip = w.readframes(w.getnframes())
    out = bytearray(2 * int(seconds * RATE))
    for start in at:
        out[2 * int(start * RATE):2 * int(start * RATE) + len(clip)] = clip
    return bytes(out[:2 * int(seconds * RATE)])


def sound_bytes(root, what):
    """Samples of a sound as recordings describe it; paths are relative to `root`."""
    if "seed" in what:
        return sound(what["seed"], what["seconds"])
    return clips(root / what["clip"], what["at"], what["seconds"])


def write_wav(path, data):
    with wave.open(str(path), "wb") as w:
        w.setparams((1, 2, RATE, 0, "NONE", ""))
        w.writeframes(data)
