#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: seeds/{audio,ggml,image,npu_code,npu_elf,npu_text,safetensors,tokenizer}/.  Needs ffmpeg.
usage: make_seeds.py SEEDS_FOLDER"""
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

N_VOCAB, N_MELS, A_CTX, T_CTX, D = 51864, 80, 2, 8, 2


def shapes():
    """Tensors of a model with one layer on each side, the token embedding last."""
    def attention(p):
        for part in ("query", "key", "value", "out"):
            yield f"{p}.{part}.weight", (D, D)
            if part != "key":
                yield f"{p}.{part}.bias", (D,)

    def norm(p):
        yield f"{p}.weight", (D,)
        yield f"{p}.bias", (D,)

    yield "encoder.positional_embedding", (A_CTX, D)
    yield "decoder.positional_embedding", (T_CTX, D)
    yield "encoder.conv1.weight", (D, N_MELS, 3)
    yield "encoder.conv1.bias", (D, 1)
    yield "encoder.conv2.weight", (D, D, 3)
    yield "encoder.conv2.bias", (D, 1)
    yield from norm("encoder.ln_post")
    yield from norm("decoder.ln")
    for side in ("encoder", "decoder"):
        b = f"{side}.blocks.0"
        for name in ("attn", "cross_attn") if side == "decoder" else ("attn",):
            yield from attention(f"{b}.{name}")
            yield from norm(f"{b}.{name}_ln")
        yield f"{b}.mlp.0.weight", (4 * D, D)
        yield f"{b}.mlp.0.bias", (4 * D,)
        yield f"{b}.mlp.2.weight", (D, 4 * D)
        yield f"{b}.mlp.2.bias", (D,)
        yield from norm(f"{b}.mlp_ln")
    yield "decoder.token_embedding.weight", (N_VOCAB, D)


def product(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def ggml_seed():
    out = bytes([3]) + struct.pack("<14i", 0x67676D6C, N_VOCAB, A_CTX, D, 1, 1, T_CTX, D, 1, 1,
                                   N_MELS, 1, N_MELS, 201)
    words = [b"a", b" b", b"\xe2\x99", b""]
    out += struct.pack("<i", len(words)) + b"".join(struct.pack("<i", len(w)) + w for w in words)
    for name, shape in shapes():
        half = len(shape) > 1 and "positional" not in name and shape[1] > 1
        out += struct.pack("<3i", len(shape), len(name), int(half))
        out += struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode()
        if "token" not in name:  # that one's zeros are the harness's
            out += (b"\x00\x3c" if half else struct.pack("<f", 0.5)) * product(shape)
    return out


CHANGES = [(".positional_embedding", ".embed_positions.weight"),
           (".token_embedding", ".embed_tokens"), ("encoder.ln_post", "encoder.layer_norm"),
           ("decoder.ln.", "decoder.layer_norm."), (".blocks.", ".layers."),
           (".mlp_ln.", ".final_layer_norm."), (".mlp.0.", ".fc1."), (".mlp.2.", ".fc2."),
           (".cross_attn_ln.", ".encoder_attn_layer_norm."), (".cross_attn.", ".encoder_attn."),
           (".attn_ln.", ".self_attn_layer_norm."), (".attn.", ".self_attn."),
           (".query.", ".q_proj."), (".key.", ".k_proj."), (".value.", ".v_proj."),
           (".out.", ".out_proj.")]


def hf_name(name):
    for ours, theirs in CHANGES:
        name = name.replace(ours, theirs)
    return "model." + name


def in_file_order():
    """As tests/unit/model_files.c writes the shards."""
    def place(name):
        return (name.startswith("decoder"), "positional" not in name, "token" not in name,
                "conv" not in name, ".blocks." not in name)
    return sorted((name for name, _ in shapes()), key=place)


def safetensors_header():
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes():
        shape = [D] if shape == (D, 1) else list(shape)
        header[hf_name(name)] = {"dtype": "F16", "shape": shape,
                                 "data_offsets": [at, at + 2 * product(shape)]}
        at += 2 * product(shape)
    return json.dumps(header).encode(), at


def safetensors_seeds():
    header, n_bytes = safetensors_header()
    yield "header", b"\1" + struct.pack("<I", n_bytes) + header
    yield "file", b"\0" + struct.pack("<IQ", n_bytes, len(header)) + header
    yield "config", b"\2" + json.dumps({
        "model_type": "whisper", "activation_function": "gelu", "vocab_size": N_VOCAB,
        "num_mel_bins": N_MELS, "max_source_positions": A_CTX, "d_model": D,
        "encoder_attention_heads": 1, "encoder_layers": 1, "max_target_positions": T_CTX,
        "decoder_attention_heads": 1, "decoder_layers": 1, "encoder_ffn_dim": 4 * D}).encode()
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    names = [hf_name(name) for name in in_file_order()]
    yield "index", b"\3" + json.dumps({"weight_map": {
        name: files[i >= len(names) // 2] for i, name in enumerate(names)}}).encode()


def tokenizer_seeds():
    yield "english", b"\0It's 10 o'clock,  don't\n\n tease   \tseats.''s "
    yield "unicode", b"\0" + "caf\u00e9 \u4f60\u597d \u0661\u0662 \U0001f600\u00a0e\u0301".encode()
    yield "broken", b"\0a\xffb\xe2\x99c\xed\xa0\x80\xf0\x9f\x98"
    vocab = {c: i for i, c in enumerate("aIts'10oclk,b!\u010a\u0120\u00c3\u00a9fe\u00e2\u013b")}
    vocab.update({"\u0120a": 40, "ab": 41, "oc": 42, "\u00e2\u013b": 43, "": 44})
    yield "tokenizer", b"\1" + json.dumps({"model": {"type": "BPE", "vocab": vocab}}).encode()


AUDIO = {"wav": ["-f", "wav"], "adpcm": ["-c:a", "adpcm_ima_wav", "-f", "wav"],
         "extensible": ["-ac", "3", "-c:a", "pcm_s24le", "-f", "wav"],
         "rf64": ["-rf64", "always", "-f", "wav"], "w64": ["-f", "w64"], "aiff": ["-f", "aiff"],
         "au": ["-f", "au"], "caf": ["-f", "caf"], "flac": ["-f", "flac"],
         "vorbis": ["-c:a", "libvorbis", "-f", "ogg"], "opus": ["-c:a", "libopus", "-f", "ogg"],
         "mp3": ["-b:a", "32k", "-f", "mp3"]}


def audio_seeds():
    tone = struct.pack("<800h", *(round(9000 * math.sin(i / 5)) for i in range(800)))
    yield "raw", b"\1" + tone[:400]
    for name, options in AUDIO.items():
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "s16le", "-ar", "16000", "-ac", "1",
                   "-i", "/dev/stdin", "-fflags", "+bitexact", "-flags:a", "+bitexact", *options]
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run(command + [file.name], input=tone, check=True)
            yield name, b"\x30" + pathlib.Path(file.name).read_bytes()


def image_seeds():
    """One transfer as an instruction stream in both forms and as text; commands of every kind."""
    def words(*values):
        return struct.pack(f"<{len(values)}I", *values)

    bd = (0x800, 0, 0, 0, 0x80000000, 0x02000000, 0, 0x02000000)
    ops = words(1, 0, 0x1D000, 0x30, *bd, 0x81, 0x30, 0, 0, 0, 0, 0x1D004, 0, 2, 0, 0x40, 0,
                3, 0, 0x1D200, 0, 0xF00, 0x1F00, 0x1C, 0, 0, 0x1D204, 0, 0x80000000, 0x18,
                4, 0, 0x1D200, 0, 0xF00, 0x1F00, 0x1C, 5, 0x80, 0x10, 0, 0x00010100)
    txn = words(0x06030100, 0x101, 7, 16 + len(ops)) + ops
    preamble = words(0x11, 0x01000405, 0x01000100, 0x0B590100, 0x55FF, 1, 0x10, 0x314E5A5F, 0x635F5F31,
                     0x676E696C, 0x39354E5F, 0x6E693131, 0x5F727473, 0x64726F77, 0x4573, 0x07BD9630, 0x55FF)
    yield "txn", txn
    yield "older", preamble + words(0x06010121, 0, 0xE1000, 0x20, 0, 0, 0x80000000, 0, 0, 0x02000000,
                                    0x02010000, 0x1D204, 0x80000001, 0x03010000, 0x00010100)
    yield "text", "\n".join(f"{w:08x}" for w, in struct.iter_unpack("<I", txn)).encode()
    yield "mlir", (b"aiex.runtime_sequence() {\nmemref.global constant @a : memref<2xi32> = dense<[1, -2]>\n"
                   b"%0 = memref.get_global @a\naiex.npu.blockwrite(%0) {address = 118816 : ui32}\n"
                   b"aiex.npu.maskwrite32 {address = 1 : ui32, mask = 2 : ui32, value = 3 : ui32}\n"
                   b"aiex.npu.address_patch {addr = 118820 : ui32, arg_idx = 0 : i32, arg_plus = 0 : i32}\n")
    yield "commands", words(0x00030102, 0x232000, 1, 1, 0x00020103, 0x21F000, 2, 0x00080105, 0, 0x21D000,
                            1, 2, 3, 4, 5, 6, 0x00010111, 0, 0x00030108, 0, 0x21F000, 1,
                            0x00040107, 0, 0x21F000, 1, 1, 0x00FF0111, 2, 0, 0)


def npu_seeds():
    """Bundles of every size, a small program as text and as ELF file."""
    vectors = pathlib.Path(__file__).parents[1] / "data" / "aie2-vectors.tsv"
    rows = [line.split("\t") for line in open(vectors) if line[0] in "UIVM"]
    text = (".entry 0x10\n.section .text, 0x10, code\nmain:\n  10: 150100110000 jl #work\nnop\nmovxm LE, #.L1\n"
            "done\nwork:\n.L1:\nret lr // done\n.section .data, 0x70000, data\ntable:\n.byte 0x01, 2\n.zero 40\n")
    names = b"\0.text\0.data\0.symtab\0.strtab\0work\0table\0"
    code, data = bytes.fromhex("1501000400000100191800100100"), bytes(range(20))
    symbols = bytes(16) + struct.pack("<IIIBBH", 29, 8, 0, 0x12, 0, 1) + struct.pack("<IIIBBH", 34, 0x70000, 0, 1, 0, 2)
    body = code + data + symbols + names
    places = [(1, 1, 6, 0, 0, len(code), 0), (7, 1, 3, 0x70000, 14, 20, 0), (13, 2, 0, 0, 34, 48, 4),
              (21, 3, 0, 0, 82, len(names), 0)]
    headers = bytes(40) + b"".join(struct.pack("<10I", n, kind, flags, address, 52 + at, size, link, 0, 1, 16)
                                   for n, kind, flags, address, at, size, link in places)
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 0x108, 1, 0, 0, 52 + len(body), 2, 52, 32,
                                                        0, 40, 5, 4)
    yield "npu_code", "vectors", b"".join(bytes.fromhex(row[1]) for row in rows)
    yield "npu_text", "vectors", "".join(row[3] + "\n" for row in rows).encode()
    yield "npu_text", "program", text.encode()
    yield "npu_elf", "program", header + body + headers


def main():
    root = pathlib.Path(sys.argv[1])
    seeds = [("ggml", "tiny", ggml_seed())]
    seeds += [("safetensors", *seed) for seed in safetensors_seeds()]
    seeds += [("tokenizer", *seed) for seed in tokenizer_seeds()]
    seeds += [("image", *seed) for seed in image_seeds()]
    seeds += npu_seeds()
    seeds += [("audio", *seed) for seed in audio_seeds()]
    for target, name, data in seeds:
        (root / target).mkdir(parents=True, exist_ok=True)
        (root / target / name).write_bytes(data)


main()
