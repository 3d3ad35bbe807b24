#!/usr/bin/env python3
"""wisp bench on a small model and on random weights: usage: test_bench.py WISP lean|checked

Speeds are not judged; that every number is there, is plausible and belongs to the run is.  A checked
program (sanitizers) takes its time and memory, so that it is not run at a published size."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import tiny_model

WISP = LEAN = None
TIMES = ["load_ms", "mel_ms", "encoder_ms", "cross_kv_ms", "decoder_ms_per_token", "beam5_step_ms"]


class BenchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp-bench-"))
        cls.model = cls.dir / "tiny model.bin"
        tiny_model.write_model(cls.model, True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def bench(self, *args, **env):
        # Meson sets MALLOC_PERTURB_, which touches all memory that is only reserved
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("WISP_") and k != "MALLOC_PERTURB_"}
        done = subprocess.run([WISP, "bench", *map(str, args)], capture_output=True, text=True,
                              env=clean | {"WISP_MODELS": str(self.dir)} | env, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def numbers(self, *args, **env):
        code, out, err = self.bench("--json", "--repeats", 1, *args, **env)
        self.assertEqual((code, err), (0, ""))
        b = json.loads(out)
        for name in TIMES:
            self.assertGreater(b[name], 0, name)
            self.assertLess(b[name], 60e3, name)
        self.assertGreater(b["peak_rss_mb"], 5)
        self.assertGreater(b["memory_read_gb_s"], 0.1)
        self.assertLess(b["memory_read_gb_s"], 5000)
        self.assertGreater(b["peak_gflops"], 0.1)
        self.assertLess(b["peak_gflops"], 1e6)
        self.assertEqual(b["repeats"], 1)
        return b

    def test_a_file(self):
        b = self.numbers("-m", self.model, "-t", 2)
        self.assertEqual(b["model"], str(self.model))
        self.assertEqual(b["container"], "ggml")
        self.assertEqual(b["threads"], 2)
        self.assertEqual(b["decoder_positions"], 256)
        self.assertEqual(b["dims"]["n_audio_state"], tiny_model.N_STATE)
        self.assertEqual(b["dims"]["n_vocab"], 51865)
        self.assertLessEqual(b["encoder_rel_l2"], 2e-2)
        version = subprocess.run([WISP, "--version"], capture_output=True, text=True).stdout
        self.assertIn(b["version"], version)

    def test_levels(self):
        portable = self.numbers("-m", self.model, "-t", 1, WISP_CPU="portable")
        self.assertEqual(portable["cpu"], "portable")
        self.assertEqual(portable["encoder_rel_l2"], 0)  # the same level, twice: the same bits
        best = self.numbers("-m", self.model, "-t", 3, WISP_CPU="")
        if best["cpu"] != "portable":
            self.assertGreater(best["encoder_rel_l2"], 0)
        self.assertLessEqual(best["encoder_rel_l2"], 2e-2)

    def test_random_weights_of_a_published_size(self):
        if not LEAN:
            self.skipTest("the program is built with sanitizers")
        b = self.numbers("--dims", "tiny")
        self.assertEqual((b["model"], b["container"], b["weights"]), ("tiny", "memory", "f16"))
        self.assertEqual(b["dims"], {"n_vocab": 51865, "n_mels": 80, "n_audio_ctx": 1500,
                                     "n_audio_state": 384, "n_audio_head": 6, "n_audio_layer": 4,
                                     "n_text_ctx": 448, "n_text_state": 384, "n_text_head": 6,
                                     "n_text_layer": 4})
        # 37.8 M parameters in f16 and its own buffers, but no second model in f32
        self.assertGreater(b["peak_rss_mb"], 75)
        self.assertLess(b["peak_rss_mb"], 1.5 * 75.6 + 60)
        # by hand: 28.2 M weights of 34/32 bytes, cross 4.91, self 0.79; f16 weights, f32 keys and values
        expected = {"int8": 35.63, "f32": 56.3 + 18.48 + 1.58}[b["decoder_weights"]]
        self.assertAlmostEqual(b["decoder_mb_per_token"], expected, delta=0.1)
        # by hand: stem 1.88, projections 7.08, MLP 14.16, attention 13.82
        self.assertAlmostEqual(b["encoder_gflop"], 36.94, delta=0.01)

    def test_table(self):
        code, out, err = self.bench("-m", self.model, "--repeats", 1, "-t", 1)
        self.assertEqual((code, err), (0, ""))
        for word in ("encoder", "cross keys and values", "a token, over positions 0 to 255",
                     "a step of 5 sequences", "peak memory", "1 thread,", "f16"):
            self.assertIn(word, out)
        self.assertRegex(out, r"MB   a token \((int8|f32) weights\), [0-9.]+ GB/s: [0-9]+ % of reading memory")

    def test_decoder_weights(self):
        bytes_read = [self.numbers("-m", self.model, "--decoder-weights", name)["decoder_mb_per_token"]
                      for name in ("f32", "bf16", "int8")]
        self.assertEqual(sorted(bytes_read, reverse=True), bytes_read)

    def test_refusals(self):
        for args, code, words in [
                ([], 1, "give either a model with -m, or a size with --dims"),
                (["-m", self.model, "--dims", "tiny"], 1, "exclude each other"),
                (["--dims", "bas"], 1, "did you mean 'base'?"),
                (["--dims", "enormous"], 1, "there are: tiny, base"),
                (["-m", self.dir / "none.bin"], 2, "none.bin"),
                (["-m", __file__], 2, "test_bench.py"),
                (["--dims", "tiny", "--repeat"], 1, "'--repeats'"),
                (["--dims", "tiny", "--repeats", "0"], 1, "--repeats needs a whole number"),
                (["--dims", "tiny", "-t", "many"], 1, "'many'"),
                (["--dims", "tiny", "a.wav"], 1, "'a.wav'")]:
            with self.subTest(args=args):
                got, out, err = self.bench(*args)
                self.assertEqual((got, out), (code, ""), err)
                self.assertTrue(err.startswith("wisp: ") and err.count("\n") == 1, err)
                self.assertIn(words, err)
        code, out, err = self.bench("--dims", "tiny", WISP_CPU="mmx")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("'mmx' is unknown", err)
        code, out, err = self.bench("--dims", "tiny", "--decoder-weights", "q8")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("'q8' are unknown", err)

    def test_help(self):
        code, out, err = self.bench("-h")
        self.assertEqual((code, err), (0, ""))
        for flag in ("-m,", "--dims", "-t,", "--repeats", "--json", "-h,"):
            self.assertIn(flag, out)


if __name__ == "__main__":
    LEAN = sys.argv.pop(2) == "lean"
    WISP = sys.argv.pop(1)
    unittest.main()
