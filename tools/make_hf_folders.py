#!/usr/bin/env python3
"""Writes a tiny Whisper model with the `transformers` package, as tests/data/hf-single (f32) and
tests/data/hf-sharded (the same, in several files), with hf-expected.json: a mel spectrogram, token
ids, and the logits that transformers computes in f64.
usage: make_hf_folders.py OUTPUT_FOLDER   (needs pip install torch transformers)"""
import json
import pathlib
import sys

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

N_VOCAB, N_CTX = 51864, 10


def byte_alphabet():
    """GPT-2's characters for the 256 bytes, in the order of their ids."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def make_tokenizer():
    vocab = {c: i for i, c in enumerate(byte_alphabet())}
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("\u0120", "w")]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    return WhisperTokenizer(vocab=vocab, merges=merges)


def make_model():
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=N_VOCAB, num_mel_bins=80, d_model=4, encoder_layers=2, decoder_layers=3,
        encoder_attention_heads=2, decoder_attention_heads=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=N_CTX, max_target_positions=12, suppress_tokens=None,
        begin_suppress_tokens=None, pad_token_id=50256, bos_token_id=50256, eos_token_id=50256,
        decoder_start_token_id=50257)
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "embed_positions" in name and "encoder" in name:
                continue  # sinusoids
            spread = 1.0 if "norm.weight" in name else 0.3
            p.copy_(torch.randn_like(p) * spread + (1.0 if "norm.weight" in name else 0.0))
        # Few tokens have a meaning; zeros keep the repository small.
        model.model.decoder.embed_tokens.weight[300:50256] = 0
        model.model.decoder.embed_tokens.weight[50300:] = 0
    return model


def main():
    out = pathlib.Path(sys.argv[1])
    model, tokenizer = make_model(), make_tokenizer()
    model.save_pretrained(out / "hf-single")
    model.save_pretrained(out / "hf-sharded", max_shard_size="5KB")
    for folder in ("hf-single", "hf-sharded"):
        tokenizer.save_pretrained(out / folder)
    mel = torch.randn(80, 2 * N_CTX).float()
    tokens = [50257, 7, 260, 11, 299]
    with torch.no_grad():
        logits = model.double()(input_features=mel.double()[None],
                                decoder_input_ids=torch.tensor([tokens])).logits[0]
    ids = [*range(300), *range(50256, 50300)]
    (out / "hf-expected.json").write_text(json.dumps({
        "mel": mel.flatten().tolist(), "tokens": tokens, "ids": ids,
        "logits": [[round(row[i], 9) for i in ids] for row in logits.tolist()]}) + "\n")


main()
