#!/usr/bin/env python3
"""Every output format against rules written down here in Python: usage: test_outputs.py HELPER

Random segments with hostile texts (white space of all of Unicode, quotes, tabs, arrows, line breaks,
times of many hours) go through the program's writers; what comes out is compared byte for byte with
what openai-whisper's str.strip(), round() and print() would give, or is parsed back."""
import csv
import io
import json
import random
import subprocess
import sys
import unittest

HELPER = None
PIECES = [" ", "  ", "\t", "\n", "a", "hello", "-->", "--", ">", '"', '""', ",", ";", "é", "天気", "🎉", "\u3000",
          "\u2003", "\u00a0", "\u0085", "\u200b", "\u1680", "\u2028", "\x1c", "\x1f", "\\", "\x01", "\r", "ß"]


def random_segments(rng, n):
    segments, t = [], 0.0
    for i in range(n):
        start = t + rng.choice([0, rng.random() * 3, rng.random() * 5000])
        end = start + rng.choice([0, rng.randrange(1500) * 0.02, rng.random() * 30])
        t = end
        text = "" if rng.random() < 0.2 else "".join(rng.choices(PIECES, k=rng.randrange(9)))
        tokens = [rng.randrange(51865) for _ in range(rng.randrange(6))]
        segments.append({"id": i, "seek": i * 3000, "start": start, "end": end, "text": text,
                         "tokens": tokens, "temperature": rng.choice([0.0, 0.2, 0.4]),
                         "avg_logprob": -rng.random() * 10 ** rng.randrange(-9, 3),
                         "compression_ratio": rng.random() * 3, "no_speech_prob": rng.random() ** 9})
    return segments


def ms_of(seconds):
    return round(seconds * 1000.0)


def clock(seconds, always_hours, mark):
    ms = ms_of(seconds)
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    text = f"{minutes:02d}:{ms // 1000:02d}{mark}{ms % 1000:03d}"
    return f"{hours:02d}:{text}" if always_hours or hours else text


class OutputTest(unittest.TestCase):
    def write(self, form, segments):
        done = subprocess.run([HELPER, form], input=json.dumps(segments).encode(), check=True,
                              capture_output=True)
        return done.stdout.decode()

    def each(self, form):
        for seed in range(40):
            segments = random_segments(random.Random(seed), seed)
            yield segments, self.write(form, segments)

    def test_txt(self):
        for segments, text in self.each("txt"):
            self.assertEqual(text, "".join(s["text"].strip() + "\n" for s in segments))

    def test_srt(self):
        for segments, text in self.each("srt"):
            self.assertEqual(text, "".join(
                f"{i}\n{clock(s['start'], True, ',')} --> {clock(s['end'], True, ',')}\n"
                f"{s['text'].strip().replace('-->', '->')}\n\n" for i, s in enumerate(segments, 1)))

    def test_vtt(self):
        for segments, text in self.each("vtt"):
            self.assertEqual(text, "WEBVTT\n\n" + "".join(
                f"{clock(s['start'], False, '.')} --> {clock(s['end'], False, '.')}\n"
                f"{s['text'].strip().replace('-->', '->')}\n\n" for s in segments))

    def test_tsv(self):
        for segments, text in self.each("tsv"):
            tab = "\t"
            self.assertEqual(text, "start\tend\ttext\n" + "".join(
                f"{round(1000 * s['start'])}\t{round(1000 * s['end'])}\t"
                f"{s['text'].strip().replace(tab, ' ')}\n" for s in segments))

    def test_csv(self):
        for segments, text in self.each("csv"):
            rows = list(csv.reader(io.StringIO(text, newline="")))
            self.assertEqual(rows[0], ["start", "end", "text"])
            self.assertEqual(rows[1:], [[str(ms_of(s["start"])), str(ms_of(s["end"])), s["text"]]
                                        for s in segments if s["text"]])

    def test_lrc(self):
        for segments, text in self.each("lrc"):
            expected = "[by:wisp]\n"
            for s in segments:
                if s["text"]:
                    cs = round(s["start"] * 100)
                    expected += (f"[{cs // 6000:02d}:{cs // 100 % 60:02d}.{cs % 100:02d}]"
                                 + s["text"].replace("\n", " ") + "\n")
            self.assertEqual(text, expected)

    def test_json_reads_back_to_the_same(self):
        for segments, text in self.each("json"):
            root = json.loads(text)
            self.assertEqual(root["segments"], segments)
            self.assertEqual(root["language"], "en")
            self.assertEqual((root["duration"], root["language_prob"]), (1 / 3, 0.1))
            self.assertEqual(root["model"]["path"], "a\ufffd\ufffd(\ufffd\ufffd\ufffdz")
            self.assertIn('"language_prob": 0.1,', text)  # the shortest that reads back
            keys = ["id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
                    "compression_ratio", "no_speech_prob"]
            for s in root["segments"]:
                self.assertEqual(list(s), keys)

    def test_lines(self):
        for segments, text in self.each("line"):
            self.assertEqual(text, "".join(
                f"[{clock(s['start'], True, '.')} --> {clock(s['end'], True, '.')}]  "
                f"{s['text'].strip()}\n" for s in segments if s["text"].strip()))
        for segments, text in self.each("text"):
            self.assertEqual(text, "".join(s["text"].strip() + "\n" for s in segments
                                           if s["text"].strip()))


if __name__ == "__main__":
    HELPER = sys.argv.pop(1)
    unittest.main()
