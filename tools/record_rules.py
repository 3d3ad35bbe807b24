#!/usr/bin/env python3
"""Records which tokens openai-whisper's logit filters allow, as expected values for
tests/unit/test_rules.c.  usage: record_rules.py > tests/data/rules.json
(needs pip install openai-whisper==20250625)

An array of cases {n_vocab, blank, symbols, timestamps, initial, seed, lift, sampled, allowed, crc}: the
vocabulary; whether blanks and non-speech symbols are suppressed and the timestamp rules apply; seconds
of the largest initial timestamp (null = any); what the logits are made of; the tokens so far; and how
many ids stay finite, with the CRC-32 of their bitmap (most significant bit first)."""
import json
import random
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import torch
from whisper.decoding import ApplyTimestampRules, DecodingTask, SuppressBlank, SuppressTokens
from whisper.tokenizer import get_tokenizer

N_CASES = 420


def make_logits(n, seed, lift, timestamp_begin):
    """Exact in f32, and the same in C: multiples of 2^-20 in [-8, 8), timestamps lifted."""
    x = np.arange(n, dtype=np.uint32) * np.uint32(0x9e3779b1) + np.uint32(seed)
    for shift, factor in ((16, 0x85ebca6b), (13, 0xc2b2ae35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    logits = (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-20) - np.float32(8)
    logits[timestamp_begin:] += np.float32(lift)
    return logits


def filters(tokenizer, case):
    options = SimpleNamespace(suppress_tokens="-1" if case["symbols"] else [])
    task = SimpleNamespace(options=options, tokenizer=tokenizer)
    out = [SuppressBlank(tokenizer, 3)] if case["blank"] else []
    out.append(SuppressTokens(DecodingTask._get_suppress_tokens(task)))
    if case["timestamps"]:
        index = None if case["initial"] is None else round(case["initial"] / (30 / 1500))
        out.append(ApplyTimestampRules(tokenizer, 3, index))
    return out


def apply(tokenizer, case):
    logits = torch.from_numpy(make_logits(case["n_vocab"], case["seed"], case["lift"],
                                          tokenizer.timestamp_begin))[None]
    tokens = torch.tensor([[tokenizer.sot, tokenizer.sot, tokenizer.sot] + case["sampled"]])
    for f in filters(tokenizer, case):
        f.apply(logits, tokens)
    return logits[0]


def history(rng, tokenizer):
    """Tokens so far: likely ones (text between pairs of rising timestamps) and unlikely ones."""
    begin, eot, out, at = tokenizer.timestamp_begin, tokenizer.eot, [], 0
    text = lambda: [rng.randrange(eot) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.25:
        ids = [0, eot - 1, eot, eot + 1, begin - 1, begin, begin + 1, begin + 749, begin + 1499, begin + 1500]
        return [rng.choice(ids) for _ in range(rng.randint(0, 5))]
    for _ in range(rng.randint(0, 4)):
        at = min(at + rng.choice([0, 0, 1, rng.randrange(400)]), 1500)
        out.append(begin + at)
        out += text()
        at = min(at + 1 + rng.choice([0, rng.randrange(400)]), 1500)
        out.append(begin + at)
    return out[:rng.randint(0, len(out))] if rng.random() < 0.6 else out


def lift_to_the_edge(rng, tokenizer, case):
    """Lift the timestamps so that all together are just above or below the best text."""
    logits = apply(tokenizer, dict(case, lift=-1000.0))
    together = (logits[tokenizer.timestamp_begin:].double() + 1000).logsumexp(0).item()
    best_text = logits[:tokenizer.timestamp_begin].max().item()
    if np.isfinite(together) and np.isfinite(best_text):
        case["lift"] = best_text - together + rng.choice([-1, 1]) * rng.uniform(0.01, 0.3)


def main():
    rng, cases, timestamps_only = random.Random(1), [], 0
    while len(cases) < N_CASES:
        n_vocab = rng.choice([51864, 51865, 51866])
        tokenizer = get_tokenizer(n_vocab > 51864, num_languages=99 + (n_vocab == 51866))
        case = dict(n_vocab=n_vocab, blank=rng.random() < 0.8, symbols=rng.random() < 0.8,
                    timestamps=rng.random() < 0.9, initial=rng.choice([1.0, None, 0.02, 0.5, 30.0]),
                    seed=rng.randrange(1 << 32), lift=rng.choice([-12, -3.5, -2.5, 0, rng.uniform(-8, 2)]),
                    sampled=history(rng, tokenizer))
        if case["timestamps"] and rng.random() < 0.7:
            lift_to_the_edge(rng, tokenizer, case)
        case["lift"] = float(np.float32(case["lift"]))
        finite = torch.isfinite(apply(tokenizer, case)).numpy()
        timestamps_only += not finite[:tokenizer.timestamp_begin].any()
        cases.append(dict(case, allowed=int(finite.sum()), crc=zlib.crc32(np.packbits(finite).tobytes())))
    print("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]")
    print(f"{len(cases)} cases, {timestamps_only} of them timestamps only", file=sys.stderr)


main()
