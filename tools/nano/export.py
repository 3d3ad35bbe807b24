#!/usr/bin/env python3
"""Writes a trained digits model: usage: export.py WEIGHTS.pt OUT.bin [--type q8_0|f16] [--openai OUT.pt]

OUT.bin is a ggml file as whisper.cpp's converter and quantiser write it: 51864 ids, the GPT-2 vocabulary
(from the openai-whisper package's assets), matrices q8_0 where a row is a multiple of 32, conv weights f16,
vectors f32.  Every id that training did not know gets the shared row.  --openai also writes a checkpoint
that whisper.load_model() opens, holding the very values that OUT.bin has."""
import argparse
import base64
import pathlib
import struct

import numpy as np
import torch

import model as M
from audio import FILTERS

MAGIC = 0x67676d6c
FTYPE = {"f16": 1, "q8_0": 2007}  # 2000: version 2 of the quantised formats
TYPE_IDS = {"f32": 0, "f16": 1, "q8_0": 8}
CTX_AUDIO, CTX_TEXT, MELS = 1500, 448, 80


def full_weights(state):
    """Training state -> openai-whisper's names and the full vocabulary."""
    out = {"encoder.positional_embedding": M.sinusoids(CTX_AUDIO, 64)}
    for name, tensor in state.items():
        if name.startswith("frame_"):
            continue
        if name == "decoder.token_embedding.weight":
            rows = tensor[M.UNUSED].repeat(M.N_FULL, 1)
            for i, full in enumerate(M.FULL_IDS):
                if full >= 0:
                    rows[full] = tensor[i]
            tensor = rows
        out[name] = tensor
    return {k: v.float().numpy() for k, v in out.items()}


def quantise_q8_0(a):
    """(bytes, the values they stand for) of rows that are multiples of 32."""
    blocks = a.reshape(-1, 32)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float16)
    inverse = np.where(scale > 0, 1 / np.maximum(scale.astype(np.float32), 1e-30), 0)
    q = np.clip(np.rint(blocks * inverse[:, None]), -127, 127).astype(np.int8)
    packed = np.concatenate([scale[:, None].view(np.int8), q], 1)
    return packed.tobytes(), (q * scale[:, None].astype(np.float32)).reshape(a.shape)


def store(name, a, wanted):
    """(type, dims, bytes, values) of one tensor, following whisper.cpp's quantiser."""
    if name.endswith("conv1.bias") or name.endswith("conv2.bias"):
        a = a.reshape(-1, 1)
    kind = "f32"
    if a.ndim == 3:
        kind = "f16"
    elif a.ndim == 2 and name.endswith(".weight"):
        kind = "q8_0" if wanted == "q8_0" and a.shape[-1] % 32 == 0 else "f16"
    if kind == "q8_0":
        data, values = quantise_q8_0(a)
    else:
        stored = a.astype(np.float16 if kind == "f16" else np.float32)
        data, values = stored.tobytes(), stored.astype(np.float32)
    return kind, a.shape, data, values


def gpt2_vocabulary():
    import whisper
    path = pathlib.Path(whisper.__file__).parent / "assets" / "gpt2.tiktoken"
    return [base64.b64decode(line.split()[0]) for line in path.read_bytes().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--type", default="q8_0", choices=["q8_0", "f16"])
    parser.add_argument("--openai")
    args = parser.parse_args()
    weights = full_weights(torch.load(args.weights))
    layers = [1 + max(int(n.split(".")[2]) for n in weights if n.startswith(f"{side}.blocks."))
              for side in ("encoder", "decoder")]
    d, heads = weights["encoder.conv1.bias"].shape[0], 2
    vocabulary = gpt2_vocabulary()
    values = {}
    with open(args.out, "wb") as f:
        f.write(struct.pack("<12i", MAGIC, M.N_FULL, CTX_AUDIO, d, heads, layers[0], CTX_TEXT, d, heads,
                            layers[1], MELS, FTYPE[args.type]))
        f.write(struct.pack("<2i", *FILTERS.shape) + FILTERS.astype(np.float32).tobytes())
        f.write(struct.pack("<i", len(vocabulary)))
        for token in vocabulary:
            f.write(struct.pack("<i", len(token)) + token)
        for name, a in weights.items():
            kind, shape, data, stored = store(name, a, args.type)
            values[name] = torch.tensor(stored.reshape(a.shape))
            f.write(struct.pack("<3i", len(shape), len(name), TYPE_IDS[kind]))
            f.write(struct.pack(f"<{len(shape)}i", *shape[::-1]) + name.encode() + data)
    if args.openai:
        dims = dict(n_mels=MELS, n_audio_ctx=CTX_AUDIO, n_audio_state=d, n_audio_head=heads,
                    n_audio_layer=layers[0], n_vocab=M.N_FULL, n_text_ctx=CTX_TEXT, n_text_state=d,
                    n_text_head=heads, n_text_layer=layers[1])
        torch.save({"dims": dims, "model_state_dict": values}, args.openai)


main()
