#include "vocab_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { MAX_BYTES = 1 << 20, MAX_WORDS = 50257 };

struct vf_words vf_load(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/vocab-%s.gz", WISP_TEST_DATA, name);
    gzFile file = gzopen(path, "rb");
    struct vf_words w = {.bytes = calloc(MAX_WORDS, sizeof *w.bytes),
                         .lengths = calloc(MAX_WORDS, sizeof *w.lengths),
                         .block = malloc(MAX_BYTES)};
    int n = file && w.bytes && w.lengths && w.block ? gzread(file, w.block, MAX_BYTES) : -1;
    if (n <= 0 || n == MAX_BYTES) {
        fprintf(stderr, "cannot read %s\n", path);
        abort();
    }
    gzclose(file);
    for (int at = 0; at < n; w.n++) {
        w.lengths[w.n] = (unsigned char)w.block[at];
        w.bytes[w.n] = w.block + at + 1;
        at += 1 + (unsigned char)w.block[at];
    }
    return w;
}

void vf_free(struct vf_words *words) {
    free(words->bytes);
    free(words->lengths);
    free(words->block);
}
