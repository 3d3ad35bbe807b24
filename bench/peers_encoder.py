#!/usr/bin/env python3
"""Times the encoder of wisp and of its peers in turn, on the same machine, in one run:
usage: peers_encoder.py WISP [--size base] [--threads 2] [--rounds 7]

Peers: OpenVINO in bf16 and f32, and single layers in PyTorch (oneDNN).  Needs numpy, torch, openvino and
openai-whisper from PyPI; the weights are random, of the published size.  Prints medians, milliseconds, and
ratios to wisp's best level."""
import argparse
import json
import os
import statistics
import subprocess
import time

import openvino
import torch
import whisper.model

SIZES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}
LEVELS = ("avx512bf16", "avx512", "avx2")


def openvino_requests(size, threads):
    state, heads, layers = SIZES[size]
    encoder = whisper.model.AudioEncoder(80, 1500, state, heads, layers).eval()
    for p in encoder.parameters():
        torch.nn.init.normal_(p, std=0.02)
    mel = torch.randn(1, 80, 3000)
    graph = openvino.convert_model(encoder, example_input=mel)
    for precision in ("bf16", "f32"):
        compiled = openvino.Core().compile_model(graph, "CPU", {
            "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": "1"})
        request = compiled.create_infer_request()
        request.infer({0: mel.numpy()})
        yield f"OpenVINO {precision}", lambda r=request: r.infer({0: mel.numpy()})


def torch_layers():
    for kind, name in ((torch.bfloat16, "bf16"), (torch.float32, "f32")):
        for n, k in ((512, 512), (1536, 512), (2048, 512), (512, 2048)):
            a, layer = torch.randn(1500, k).to(kind), torch.nn.Linear(k, n).to(kind).eval()
            yield f"torch linear {name} 1500x{n}x{k}", lambda a=a, f=layer: f(a), 2e-9 * 1500 * n * k
        q = torch.randn(1, 8, 1500, 64).to(kind)
        yield (f"torch attention {name} 8x1500x64",
               lambda q=q: torch.nn.functional.scaled_dot_product_attention(q, q, q),
               4e-9 * 8 * 1500 * 1500 * 64)


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def wisp(program, size, threads, level):
    out = subprocess.run([program, "bench", "--dims", size, "-t", str(threads), "--repeats", "1",
                          "--json"], env=os.environ | {"WISP_CPU": level}, capture_output=True,
                         text=True)
    return json.loads(out.stdout)["encoder_ms"] if out.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wisp")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    requests = dict(openvino_requests(args.size, args.threads))
    times = {}
    with torch.inference_mode():
        for _ in range(args.rounds):
            for name, run in requests.items():
                times.setdefault(name, []).append(timed(run))
            for level in LEVELS:
                ms = wisp(args.wisp, args.size, args.threads, level)
                if ms:
                    times.setdefault(f"wisp {level}", []).append(ms)
        medians = {name: statistics.median(values) for name, values in times.items()}
        best = min(ms for name, ms in medians.items() if name.startswith("wisp"))
        for name, ms in medians.items():
            print(f"{name:32} {ms:8.1f} ms   {ms / best:5.2f}")
        for name, run, gflop in torch_layers():
            ms = statistics.median(timed(run) for _ in range(3 * args.rounds))
            print(f"{name:32} {gflop / ms * 1e3:8.1f} GFLOP/s")


if __name__ == "__main__":
    main()
