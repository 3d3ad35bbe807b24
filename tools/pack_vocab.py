#!/usr/bin/env python3
"""Packs openai-whisper's vocabularies for tests: tests/data/vocab-{gpt2,multilingual}.gz, each word
in the order of ranks as one byte of length and its bytes.
usage: pack_vocab.py OUTPUT_FOLDER   (needs pip install openai-whisper==20250625)"""
import gzip
import pathlib
import sys

from whisper.tokenizer import get_tokenizer

for name, multilingual in (("gpt2", False), ("multilingual", True)):
    tokenizer = get_tokenizer(multilingual)
    ranks = tokenizer.encoding._mergeable_ranks
    words = sorted(ranks, key=ranks.get)
    assert [ranks[w] for w in words] == list(range(tokenizer.eot))
    data = b"".join(bytes([len(w)]) + w for w in words)
    path = pathlib.Path(sys.argv[1], f"vocab-{name}.gz")
    path.write_bytes(gzip.compress(data, 9, mtime=0))
    print(path, len(words), "words,", path.stat().st_size, "bytes")
