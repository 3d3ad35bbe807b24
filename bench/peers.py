#!/usr/bin/env python3
"""Times wisp and its peers in turn, on one machine, in one run:
usage: peers.py BUILD [--whisper-cpp BUILD] [--size base] [--threads 2] [--rounds 5] [--svg FILE]

BUILD is wisp's build folder; --whisper-cpp names a build folder inside a checkout of whisper.cpp, built for this
machine.  The other peers come from PyPI, and those that are missing are named and left out: openvino, torch with
openai-whisper, ctranslate2 with transformers, pywhispercpp (a whisper.cpp for AVX2); numpy is needed.

Everyone gets the published dimensions and random weights.  Each measurement is a process of its own, after a
warm-up; a round is one measurement of everyone.  Printed are medians over the rounds:
encoder   ms for a window of 30 s
with K/V  the same with the decoder's keys and values of the audio, which whisper.cpp counts in
token     ms for a greedy decoder step, 256 of them from position 0
60 s      ms for 60 s of audio, two windows of 100 tokens each"""
import argparse
import importlib.util
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

SIZES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}
N_MELS, N_AUDIO_CTX, N_TEXT_CTX, N_VOCAB, N_WORDS = 80, 1500, 448, 51865, 50257
N_STEPS, N_TOKENS = 256, 100  # decoder steps that are timed; tokens a window of the 60 s
SOT, ENGLISH, TRANSCRIBE, NO_TIMESTAMPS, END = 50258, 50259, 50359, 50363, 50257
HERE = pathlib.Path(__file__).resolve().parent


def median_ms(run, repeats=3, warm_up=True):
    if warm_up:
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


# ---------------------------------------------------------------- a model file of random weights

def write_ggml(path, size):
    """An f16 file of whisper.cpp's format whose end token is never the likeliest."""
    import numpy as np
    sys.path.insert(0, str(HERE.parent / "tests/cli"))
    import tiny_model
    state, heads, layers = SIZES[size]
    tiny_model.N_STATE, tiny_model.N_LAYER = state, layers
    rng = np.random.default_rng(0)
    with open(path, "wb") as f:
        f.write(struct.pack("<12i", 0x67676D6C, N_VOCAB, N_AUDIO_CTX, state, heads, layers, N_TEXT_CTX, state,
                            heads, layers, N_MELS, 1))
        f.write(struct.pack("<2i", N_MELS, 201) + rng.random((N_MELS, 201), np.float32).tobytes())
        f.write(struct.pack("<i", N_WORDS))
        for i in range(N_WORDS):
            word = f" w{i}".encode() if i != 220 else b" "  # whisper.cpp looks for the blank
            f.write(struct.pack("<i", len(word)) + word)
        for name, shape in tiny_model.tensors(N_VOCAB):
            plain = len(shape) == 1 or "positional" in name or name.endswith("bias")
            values = rng.standard_normal(shape, np.float32) * np.float32(0.02)
            if name.endswith(("_ln.weight", "ln.weight", "ln_post.weight")):
                values += 1
            if "token_embedding" in name:
                values[END] = 0
            f.write(struct.pack("<3i", len(shape), len(name), 0 if plain else 1))
            f.write(struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode())
            f.write(values.astype(np.float32 if plain else np.float16).tobytes())


# ---------------------------------------------------------------- who is timed: each returns {figure: ms}

def run_program(*command, **env):
    done = subprocess.run([str(c) for c in command], env=os.environ | env, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}\n{done.stderr[-500:]}")
    return done.stdout + done.stderr


def wisp(level):
    def measure(a):
        env = {"WISP_CPU": level}
        bench = json.loads(run_program(a.build / "wisp", "bench", "-m", a.files / "model.bin", "-t", a.threads,
                                       "--json", **env))
        whole = run_program(a.files / "wisp_end_to_end", a.files / "model.bin", a.threads, **env)
        return {"encoder": bench["encoder_ms"], "with K/V": bench["encoder_ms"] + bench["cross_kv_ms"],
                "token": bench["decoder_ms_per_token"],
                "60 s": float(whole.split()[0])} | {
                    k: bench[k] for k in ("encoder_gflop", "peak_gflops", "beam5_step_ms", "memory_read_gb_s",
                                          "decoder_mb_per_token")}
    return measure


def whisper_cpp(a):
    text = run_program(a.whisper_cpp / "bin/whisper-bench", "-m", a.files / "model.bin", "-t", a.threads)

    def per_run(name):
        return float(re.search(rf"{name} time = .*\(\s*([0-9.]+) ms per run", text)[1])

    whole = run_program(a.files / "whisper_cpp_end_to_end", a.files / "model.bin", a.threads)
    return {"with K/V": per_run("encode"), "token": per_run("decode"),
            "60 s": float(re.findall(r"^([0-9.]+) [0-9]+$", whole, re.M)[-1])}


def whisper_cpp_avx2(a):
    import _pywhispercpp as pw
    ctx = pw.whisper_init_from_file_with_params(str(a.files / "model.bin"), pw.whisper_context_default_params())
    import numpy as np
    mel = np.zeros((N_MELS, 2 * N_AUDIO_CTX), np.float32)
    pw.whisper_set_mel(ctx, mel, 2 * N_AUDIO_CTX, N_MELS)
    encoder = median_ms(lambda: pw.whisper_encode(ctx, 0, a.threads), 1)

    def steps():
        for i in range(N_STEPS):
            pw.whisper_decode(ctx, SOT, 1, i, a.threads)

    return {"with K/V": encoder, "token": median_ms(steps, 1, False) / N_STEPS}


def openvino(precision):
    def measure(a):
        import openvino as ov
        import torch
        import whisper.model
        state, heads, layers = SIZES[a.size]
        encoder = whisper.model.AudioEncoder(N_MELS, N_AUDIO_CTX, state, heads, layers).eval()
        for p in encoder.parameters():
            torch.nn.init.normal_(p, std=0.02)
        mel = torch.randn(1, N_MELS, 2 * N_AUDIO_CTX)
        compiled = ov.Core().compile_model(
            ov.convert_model(encoder, example_input=mel), "CPU",
            {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": a.threads, "NUM_STREAMS": "1"})
        request = compiled.create_infer_request()
        return {"encoder": median_ms(lambda: request.infer({0: mel.numpy()}))}
    return measure


def openai_whisper(bf16):
    def measure(a):
        import numpy as np
        import torch
        import whisper
        torch.set_num_threads(a.threads)
        state, heads, layers = SIZES[a.size]
        model = whisper.model.Whisper(whisper.model.ModelDimensions(
            N_MELS, N_AUDIO_CTX, state, heads, layers, N_VOCAB, N_TEXT_CTX, state, heads, layers)).eval()
        for p in model.parameters():
            torch.nn.init.normal_(p, std=0.02)
        model.decoder.token_embedding.weight.data[END] = 0
        mel = torch.randn(1, N_MELS, 2 * N_AUDIO_CTX)
        token = torch.tensor([[SOT]])
        rng = np.random.default_rng(0)
        samples = (rng.random(60 * 16000, np.float32) - 0.5) * 0.2

        def steps():
            cache, hooks = model.install_kv_cache_hooks()
            for _ in range(N_STEPS):
                model.decoder(token, features, kv_cache=cache)
            for hook in hooks:
                hook.remove()

        def whole():
            whisper.transcribe(model, samples, language="en", without_timestamps=True, temperature=0.0,
                               sample_len=N_TOKENS, fp16=False, no_speech_threshold=None)

        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            features = model.encoder(mel)
            figures = {"encoder": median_ms(lambda: model.encoder(mel)), "token": median_ms(steps, 1, False) / N_STEPS}
            return figures if bf16 else figures | {"60 s": median_ms(whole, 1, False)}
    return measure


def write_ctranslate2(folder, size):
    import ctranslate2.converters.transformers as ct2
    import transformers
    state, heads, layers = SIZES[size]
    model = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(
        d_model=state, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * state, decoder_ffn_dim=4 * state))
    loader = ct2.WhisperLoader()
    spec = loader.get_model_spec(model)
    symbols = {SOT: "<|startoftranscript|>", ENGLISH: "<|en|>", TRANSCRIBE: "<|transcribe|>",
               NO_TIMESTAMPS: "<|notimestamps|>", END: "<|endoftext|>"}
    spec.register_vocabulary([symbols.get(i, f"w{i}") for i in range(N_VOCAB)])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [ENGLISH]
    spec.config.alignment_heads = [[0, 0]]
    spec.validate()
    folder.mkdir()
    spec.save(str(folder))


def ctranslate2(kind):
    def measure(a):
        import ctranslate2 as ct2
        import numpy as np
        folder = a.files / "ctranslate2"
        if not folder.exists():
            write_ctranslate2(folder, a.size)
        model = ct2.models.Whisper(str(folder), device="cpu", compute_type=kind, intra_threads=a.threads)
        mel = ct2.StorageView.from_array(
            np.random.default_rng(0).standard_normal((1, N_MELS, 2 * N_AUDIO_CTX), np.float32))
        features = model.encode(mel)

        def generate(source, n):
            model.generate(source, [[SOT, ENGLISH, TRANSCRIBE, NO_TIMESTAMPS]], beam_size=1, max_length=2 * (n + 4),
                           suppress_tokens=[END], suppress_blank=False)

        few, many = (median_ms(lambda n=n: generate(features, n), 1, False) for n in (20, 20 + N_STEPS // 2))
        return {"encoder": median_ms(lambda: model.encode(mel)), "token": (many - few) / (N_STEPS // 2),
                "60 s": median_ms(lambda: [generate(mel, N_TOKENS) for _ in range(2)], 1, False)}
    return measure


LEVELS = ("avx512bf16", "avx512", "avx2")
PEERS = {f"wisp {level}": (wisp(level), []) for level in LEVELS} | {
    "whisper.cpp f16": (whisper_cpp, []),
    "whisper.cpp f16 avx2": (whisper_cpp_avx2, ["pywhispercpp"]),
    "OpenVINO bf16": (openvino("bf16"), ["openvino", "torch", "whisper"]),
    "OpenVINO f32": (openvino("f32"), ["openvino", "torch", "whisper"]),
    "openai-whisper f32": (openai_whisper(False), ["torch", "whisper"]),
    "openai-whisper bf16": (openai_whisper(True), ["torch", "whisper"]),
    "CTranslate2 f32": (ctranslate2("float32"), ["ctranslate2", "transformers"]),
    "CTranslate2 int8": (ctranslate2("int8"), ["ctranslate2", "transformers"]),
}


# ---------------------------------------------------------------- rounds

def compile_end_to_end(a):
    source = HERE / "end_to_end.c"
    library = a.build.resolve() / "src"
    run_program("cc", "-O2", "-std=gnu11", f"-I{HERE.parent / 'include'}", source, f"-L{library}", "-lwisp", "-lm",
                f"-Wl,-rpath,{library}", "-o", a.files / "wisp_end_to_end")
    if a.whisper_cpp:
        checkout, library = a.whisper_cpp.resolve().parent, a.whisper_cpp.resolve() / "bin"
        run_program("cc", "-O2", "-std=gnu11", "-DWHISPER_CPP", f"-I{checkout}/include",
                    f"-I{checkout}/ggml/include", source, f"-L{library}", "-lwhisper", "-lm",
                    f"-Wl,-rpath,{library}", f"-Wl,-rpath-link,{library}", "-o", a.files / "whisper_cpp_end_to_end")


def chosen(a):
    for name, (_, modules) in PEERS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        if missing:
            print(f"{name}: not there, needs {' and '.join(missing)} from PyPI", file=sys.stderr)
        elif name == "whisper.cpp f16" and not a.whisper_cpp:
            print(f"{name}: not there, needs --whisper-cpp BUILD", file=sys.stderr)
        elif re.search(a.only, name):
            yield name


def measure_in_child(name, argv, files):
    done = subprocess.run([sys.executable, __file__, *argv, "--child", name, "--files", str(files)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def print_table(medians):
    figures = ("encoder", "with K/V", "token", "60 s")
    first = next(iter(medians.values()))
    print(f"{'':24}" + "".join(f"{f + ' ms':>12}{'ratio':>7}" for f in figures))
    for name, values in medians.items():
        cells = (f"{values[f]:12.2f}{values[f] / first[f]:7.2f}" if f in values else " " * 19 for f in figures)
        print(f"{name:24}" + "".join(cells))
    for name, values in medians.items():
        if "encoder_gflop" in values:
            print(f"{name}: encoder "
                  f"{values['encoder_gflop'] / values['encoder'] * 1e3 / values['peak_gflops']:.1%} of "
                  f"{values['peak_gflops']:.0f} GFLOP/s; five beams {values['beam5_step_ms']:.2f} ms a step, "
                  f"{values['beam5_step_ms'] / values['token']:.2f} greedy steps; token "
                  f"{values['decoder_mb_per_token']:.0f} MB, memory reads {values['memory_read_gb_s']:.0f} GB/s")


def write_svg(path, medians, title):
    """Bars of milliseconds, shortest first."""
    rows, y, width = [], 46, 760
    for caption, *figures in (("Encoder, one window of 30 s; whisper.cpp with keys and values", "encoder", "with K/V"),
                              ("A token", "token"), ("60 s of audio, 200 tokens", "60 s")):
        values = sorted((next(v[f] for f in figures if f in v), name) for name, v in medians.items()
                        if any(f in v for f in figures))
        rows.append(f'<text x="12" y="{y}" class="h">{caption} (ms)</text>')
        y += 10
        for ms, name in values:
            length = max(2, 440 * ms / values[-1][0])
            kind = "w" if name.startswith("wisp") else "p"
            rows.append(f'<text x="172" y="{y + 14}" class="n">{name}</text>'
                        f'<rect x="180" y="{y + 2}" width="{length:.1f}" height="16" class="{kind}"/>'
                        f'<text x="{186 + length:.1f}" y="{y + 14}">{ms:.{0 if ms > 100 else 1}f}</text>')
            y += 22
        y += 30
    style = ("text{font:13px sans-serif;fill:#57606a}.n{text-anchor:end}.h{font-weight:bold}"
             ".t{font-weight:bold;font-size:14px}.w{fill:#1f883d}.p{fill:#8c959f}"
             "@media(prefers-color-scheme:dark){text{fill:#adbac7}}")
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y - 10}" width="{width}">'
                    f'<style>{style}</style><text x="12" y="20" class="t">{title}</text>\n' +
                    "\n".join(rows) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--whisper-cpp", type=pathlib.Path)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="regular expression of the names to time")
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=pathlib.Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        print(json.dumps(PEERS[a.child][0](a)))
        return
    with tempfile.TemporaryDirectory() as folder:
        a.files = pathlib.Path(folder)
        write_ggml(a.files / "model.bin", a.size)
        compile_end_to_end(a)
        names, found = list(chosen(a)), {}
        for _ in range(a.rounds):
            for name in names:
                figures = measure_in_child(name, sys.argv[1:], a.files)
                for figure, ms in (figures or {}).items():
                    found.setdefault(name, {}).setdefault(figure, []).append(ms)
        medians = {name: {f: statistics.median(v) for f, v in figures.items()} for name, figures in found.items()}
    print_table(medians)
    if a.svg:
        write_svg(a.svg, medians, f"Whisper {a.size}, random weights, {a.threads} threads")


if __name__ == "__main__":
    main()
