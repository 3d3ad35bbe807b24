#!/usr/bin/env python3
"""Writes src/text/unicode_tables.c: which characters are letters, numbers and white space for the
split pattern of GPT-2's tokenizer.  usage: gen_unicode.py > src/text/unicode_tables.c

The pattern's \\p{L}, \\p{N} and \\s depend on a Unicode version; what counts is the one in
tiktoken, which the reference uses.  So the tables are asked of tiktoken itself (pip install
tiktoken; written with 0.14.0, Unicode 16): text that a pattern does not match gives no tokens."""
import tiktoken


def ranges(pattern):
    """[(first, last)] of the characters that match."""
    encoding = tiktoken.Encoding("probe", pat_str=pattern, special_tokens={},
                                 mergeable_ranks={bytes([i]): i for i in range(256)})
    found = []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000 or not encoding.encode_ordinary(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def print_table(name, pattern):
    print(f"\n/* {pattern} */\nconst struct wi_unicode_range wi_unicode_{name}[] = {{")
    row = "   "
    table = ranges(pattern)
    for first, last in table:
        item = f" {{0x{first:x}, 0x{last:x}}},"
        if len(row) + len(item) > 100:
            print(row)
            row = "   "
        row += item
    print(f"{row}\n}};\nconst size_t wi_unicode_n_{name} = {len(table)};")


print("/* Written by tools/gen_unicode.py; do not edit. */\n#include \"text/unicode.h\"")
print("\n/* clang-format off */")
print_table("letters", r"\p{L}")
print_table("numbers", r"\p{N}")
print_table("spaces", r"\s")
