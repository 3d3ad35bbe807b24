#!/usr/bin/env python3
"""Records what openai-whisper's tokenizer does, as expected values for tests/unit/test_vocab.c.
usage: record_tokenizer.py > tests/data/tokenizer.json
(needs pip install openai-whisper==20250625)

One object: layouts (special ids by n_vocab), languages, aliases, and per vocabulary ("gpt2",
"multilingual"): non_speech, encode [[text, ids]], decode [[ids, text]]; replace [[hex bytes, text]]
is Python's errors="replace"."""
import json
import random

from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE, get_tokenizer

HAND_MADE = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t", " \t x", "\r\n", "a\r\nb", "a  b",
    "a   b", "a\n\n\nb", " a", "  a", "a ", "a  ", " a ", "\u00a0a", " \u00a0a", "\u3000a",
    "a\u2028b", "\u2003\u2003x", "\u200bx", "\ufeffx", "\x85x", "\x1cx", "a\x01b",
    "\x7f", "\x0b\x0cx", "Hello, world!", "hello world", "HELLO WORLD",
    " And so my fellow Americans, ask not",
    "I'm, you're, he's, we've, she'll, they'd, can't, o'clock, 'tis, rock'n'roll, dogs'",
    "I'M YOU'RE HE'S WE'VE", "'s", "'S", "''s", " 's", "'re're", "'l", "'ll'", "x'v", "'ve been",
    "don\u2019t", "'\u017f", "\u2018quoted\u2019", "0", "1", "12", "123", "1234567890", "3.14159",
    "1,000,000", "2nd", "abc123def", " 42", "  42", "-1", "+1e-10", "\u00bd\u00be\u00b2\u00b3",
    "\u0661\u0662\u0663", "\u2160\u2167", "\u2460\u2461", "\u0be7", "\u3007\u4e00", "x\u00b2",
    "\U0001d7d8\U0001d7d9", "\u3280\u32ff", "10\u00ba", "\u5341\u4e8c", "!", "!!", "!!!", "?!",
    "...", "\u2026", "--", "---", "\u2014", "(a)", "[b]", "{c}", "<d>", "\"e\"", "#", "@x", "a@b.c",
    "a/b\\c", "$5", "\u20ac5", "\u00a35", "100%", "&amp;", "*_~`^", "|", "+=", "==", ">>>", "<<",
    "-(", "((", " -", " '", "\u266a", "\u266a\u266a\u266a", " \u266b", "<|endoftext|>", "<|0.00|>",
    "|>", "<|", "[_TT_1]", "caf\u00e9", "cafe\u0301", "na\u00efve", "\u00c5ngstr\u00f6m",
    "A\u030angstro\u0308m", "\u01c5", "\u02b0", "\u00aa\u00ba", "\u0131\u0130", "\ufb01", "\u1e9e",
    "stra\u00dfe", "\u0301", "\u0301\u0302a", "a\u0301\u0302\u0303\u0304b", " \u0301a", "e\u20dd",
    "\u200d", "a\u200db", "\u4f60\u597d", "\u4f60\u597d\uff0c\u4e16\u754c\uff01",
    "\u4e00\u4e8c\u4e09", "\u3053\u3093\u306b\u3061\u306f", "\u30ab\u30bf\u30ab\u30ca",
    "\uff8a\uff9d\uff76\uff78", "\uc548\ub155\ud558\uc138\uc694", "\u1112\u1161\u11ab",
    "\u300c\u300d\u300e\u300f", "\u3042\u30fc\u3093\u309b", "\U00020000\U0002a6d6",
    "\u4e2d\u6587 and English \u6df7\u5408 123", "\u0645\u0631\u062d\u0628\u0627",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u202eabc\u202c", "\u200f\u05d0",
    "\u0627\u064b\u0640", "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0", "\u12a0\u121b\u122d\u129b",
    "\u1019\u103c\u1014\u103a\u1019\u102c", "\u0f56\u0f7c\u0f51",
    "\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd",
    "\u0c28\u0c2e\u0c38\u0c4d\u0c15\u0c3e\u0c30\u0c02", "ti\u1ebfng Vi\u1ec7t",
    "\ua728\ua7cb\ua7da", "\u1c89\u1c8a", "\U000105c0\U000105c1", "\U0001e5d0", "\u16ee\u16ef",
    "\U0001f600", "\U0001f600\U0001f600", " \U0001f44d\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea",
    "\u2764\ufe0f", "1\ufe0f\u20e3", "a\U0001f600b", "\U0001f3f4\U000e0067\U000e007f", "\ufffd",
    "\ufffd\ufffd", "\uffff", "\U0010ffff", "\ue000", "\U000f0000", "\u0378", "\u2065",
    "\ud7ff\uf900", "a" * 7, "a" * 300, "ab" * 400, "z" * 1200, "!" * 600, " " * 130, "\n" * 70,
    "\u3042" * 210, "0" * 520, "https://example.com/a?b=c&d=%20#e", "C:\\Users\\x",
    "#include <stdio.h>", "for (int i = 0; i < n; i++) {", "snake_case camelCase",
    "Dr. Smith (Ph.D.) said: \u201cI don't know\u2014maybe 50%?\u201d", "e.g., i.e., etc.",
    "U.S.A.", "A.B", "Mr.X", "3rd-party", "co-op", "antidisestablishmentarianism",
    "Donaudampfschifffahrtsgesellschaft", "supercalifragilisticexpialidocious",
]


def random_texts(rng, n):
    """Strings over alphabets that make the split pattern switch often."""
    alphabets = [
        " \t\n\u00a0\u3000ab'1!", "'strevmlld SX",
        " a1\u00e9\u4e00\u0661\u0301!\U0001f600", "abcdefghijklmnopqrstuvwxyz ",
        "0123456789.,- ", "\u0430\u0431\u0432\u0433\u0434\u0435 -",
        "\u3042\u3044\u3046\u4e00\u4e8c\u4e09\u3002\u3001 ", "!?.,;:()[]{}<>\"' ",
    ]
    for _ in range(n):
        alphabet = rng.choice(alphabets)
        yield "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40)))
    for _ in range(n // 4):  # anything, the unassigned too
        limits = [0x80, 0x800, 0x3000, 0xD800, 0x20000, 0x110000]
        codes = [rng.randrange(1, rng.choice(limits)) for _ in range(rng.randint(1, 12))]
        yield "".join(map(chr, codes)).encode("utf-8", "ignore").decode()


def replacements(rng):
    """Byte strings around every rule of UTF-8."""
    parts = [b"a", b"\x80", b"\xbf", b"\xc0", b"\xc1", b"\xc2", b"\xc3\xa9", b"\xdf", b"\xe0",
             b"\xe0\x9f", b"\xe0\xa0", b"\xe2\x99", b"\xe2\x99\xaa", b"\xed\x9f", b"\xed\xa0",
             b"\xed\xa0\x80", b"\xef\xbf\xbd", b"\xf0", b"\xf0\x8f", b"\xf0\x90",
             b"\xf0\x9f\x98", b"\xf0\x9f\x98\x80", b"\xf4\x8f", b"\xf4\x8f\xbf\xbf", b"\xf4\x90",
             b"\xf5", b"\xff"]
    for part in parts:
        yield part
    for _ in range(200):
        yield b"".join(rng.choice(parts) for _ in range(rng.randint(2, 6)))
    for _ in range(50):
        yield bytes(rng.randrange(1, 256) for _ in range(rng.randint(1, 16)))


def record(tokenizer, rng, texts):
    base = tokenizer.eot
    encoding = tokenizer.encoding
    random_ids = [[rng.randrange(base) for _ in range(rng.randint(1, 12))] for _ in range(40)]
    # Ids of single bytes and halves of characters: what a model emits between whole characters.
    short = [i for i in range(base - 1) if len(encoding.decode_single_token_bytes(i)) <= 3
             and encoding.decode_single_token_bytes(i)[0] >= 0x80]
    broken_ids = [[rng.choice(short) for _ in range(rng.randint(1, 8))] for _ in range(60)]
    return {
        "non_speech": list(tokenizer.non_speech_tokens),
        "encode": [[t, encoding.encode(t, disallowed_special=())] for t in texts],
        "decode": [[ids, tokenizer.decode(ids)] for ids in random_ids + broken_ids],
    }


def layout(n_vocab):
    # openai-whisper model.py: is_multilingual, num_languages
    multilingual = n_vocab >= 51865
    t = get_tokenizer(multilingual, num_languages=n_vocab - 51765 - int(multilingual))
    assert t.encoding.n_vocab == n_vocab
    names = ["eot", "sot", "translate", "transcribe", "sot_lm", "sot_prev", "no_speech",
             "no_timestamps", "timestamp_begin"]
    return {**{name: getattr(t, name) for name in names},
            "lang_begin": t.special_tokens["<|en|>"], "n_langs": t.num_languages,
            "multilingual": multilingual}


def pretty(value):
    """JSON with one case a line, so that differences read well."""
    if isinstance(value, dict):
        return "{" + ",\n".join(f"{json.dumps(k)}: {pretty(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return "[\n" + ",\n".join(json.dumps(v) for v in value) + "]"
    return json.dumps(value)


def main():
    rng = random.Random(20250625)
    texts = HAND_MADE + list(random_texts(rng, 100))
    data = {
        "layouts": {str(n): layout(n) for n in (51864, 51865, 51866)},
        "languages": list(LANGUAGES.items()),
        "aliases": {name: code for name, code in TO_LANGUAGE_CODE.items()},
        "replace": [[b.hex(), b.decode("utf-8", "replace")] for b in replacements(rng)],
        "gpt2": record(get_tokenizer(False), rng, texts),
        "multilingual": record(get_tokenizer(True), rng, texts),
    }
    print("{" + ",\n".join(f"{json.dumps(key)}: {pretty(data[key])}" for key in data) + "}")


main()
