#include "npu/isa/bd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct row {
    enum wi_tile_kind kind;
    enum wi_bd_field field;
    uint8_t word, lsb, bits;
} rows[] = {
#define BD(kind, field, word, lsb, bits) {WI_TILE_##kind, WI_BD_##field, word, lsb, bits},
#include "npu/isa/aie2_bd.def"
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

int wi_bd_words(enum wi_tile_kind kind) {
    return kind == WI_TILE_CORE ? 6 : 8;
}

int wi_bd_count(enum wi_tile_kind kind) {
    return kind == WI_TILE_MEM ? 48 : 16;
}

static bool is_signed(enum wi_bd_field field) {
    return field == WI_BD_ACQ_VALUE || field == WI_BD_REL_VALUE;
}

static uint32_t mask(int bits) {
    return bits == 32 ? UINT32_MAX : ((uint32_t)1 << bits) - 1;
}

bool wi_bd_unpack(enum wi_tile_kind kind, const uint32_t *words, struct wi_bd *bd) {
    uint32_t rest[WI_BD_MAX_WORDS] = {0};
    int filled[WI_BD_N_FIELDS] = {0}; /* bits so far */
    memset(bd, 0, sizeof *bd);
    memcpy(rest, words, (size_t)wi_bd_words(kind) * sizeof *words);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = &rows[i];
        if (r->kind != kind)
            continue;
        int64_t part = rest[r->word] >> r->lsb & mask(r->bits);
        rest[r->word] &= ~(mask(r->bits) << r->lsb);
        bd->v[r->field] |= part << filled[r->field];
        filled[r->field] += r->bits;
    }
    for (int f = 0; f < WI_BD_N_FIELDS; f++)
        if (is_signed(f) && bd->v[f] >> (filled[f] - 1))
            bd->v[f] -= (int64_t)1 << filled[f];
    for (int i = 0; i < WI_BD_MAX_WORDS; i++)
        if (rest[i])
            return false;
    return true;
}

bool wi_bd_pack(enum wi_tile_kind kind, const struct wi_bd *bd, uint32_t words[WI_BD_MAX_WORDS],
                enum wi_bd_field *field) {
    int64_t rest[WI_BD_N_FIELDS];
    for (int f = 0; f < WI_BD_N_FIELDS; f++) {
        int64_t v = bd->v[f];
        /* both signed fields have 7 bits in every layout; -1 fits nowhere */
        rest[f] = !is_signed(f) ? v : v >= -64 && v < 64 ? v & 127 : -1;
    }
    memset(words, 0, WI_BD_MAX_WORDS * sizeof *words);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = &rows[i];
        if (r->kind != kind)
            continue;
        words[r->word] |= ((uint32_t)rest[r->field] & mask(r->bits)) << r->lsb;
        rest[r->field] >>= r->bits;
    }
    for (int f = 0; f < WI_BD_N_FIELDS; f++)
        if (rest[f] != 0) {
            *field = f;
            return false;
        }
    return true;
}

const char *wi_bd_field_name(enum wi_bd_field field) {
    static const char *const names[] = {
        [WI_BD_LENGTH] = "length",
        [WI_BD_BASE] = "base",
        [WI_BD_STEP0] = "step0",
        [WI_BD_STEP1] = "step1",
        [WI_BD_STEP2] = "step2",
        [WI_BD_STEP3] = "step3",
        [WI_BD_WRAP0] = "wrap0",
        [WI_BD_WRAP1] = "wrap1",
        [WI_BD_WRAP2] = "wrap2",
        [WI_BD_BEFORE0] = "before0",
        [WI_BD_BEFORE1] = "before1",
        [WI_BD_BEFORE2] = "before2",
        [WI_BD_AFTER0] = "after0",
        [WI_BD_AFTER1] = "after1",
        [WI_BD_AFTER2] = "after2",
        [WI_BD_ITER_STEP] = "iteration step",
        [WI_BD_ITER_WRAP] = "iteration wrap",
        [WI_BD_ITER_NOW] = "iteration",
        [WI_BD_ACQ] = "acquire",
        [WI_BD_ACQ_ID] = "acquire id",
        [WI_BD_ACQ_VALUE] = "acquire value",
        [WI_BD_REL_ID] = "release id",
        [WI_BD_REL_VALUE] = "release value",
        [WI_BD_VALID] = "valid",
        [WI_BD_USE_NEXT] = "use next",
        [WI_BD_NEXT] = "next",
        [WI_BD_NO_TLAST] = "no tlast",
        [WI_BD_PACKET] = "packet",
        [WI_BD_PACKET_ID] = "packet id",
        [WI_BD_PACKET_TYPE] = "packet type",
        [WI_BD_OOO_ID] = "ooo id",
        [WI_BD_COMPRESS] = "compress",
        [WI_BD_SECURE] = "secure",
        [WI_BD_BURST] = "burst",
        [WI_BD_AXI_QOS] = "axi qos",
        [WI_BD_AXI_CACHE] = "axi cache",
        [WI_BD_SMID] = "smid",
    };
    return names[field];
}

/* ---------------------------------------------------------------- text */

struct text {
    char *buf;
    size_t size;
    int n;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *format, ...) {
    va_list args;
    size_t at = (size_t)t->n < t->size ? (size_t)t->n : t->size;
    va_start(args, format);
    t->n += vsnprintf(t->buf ? t->buf + at : NULL, t->size - at, format, args);
    va_end(args);
}

/* Dimensions as elements x step in words, the innermost last. */
static void say_dimensions(struct text *t, const struct wi_bd *bd) {
    int n = 0;
    for (int d = 0; d < 3; d++)
        n = bd->v[WI_BD_WRAP0 + d] ? d + 1 : n;
    if (n == 0 && bd->v[WI_BD_STEP0] == 0)
        return;
    say(t, ", dims");
    for (int d = n; d >= 0; d--) {
        int64_t wrap = d < 3 ? bd->v[WI_BD_WRAP0 + d] : 0;
        if (wrap)
            say(t, " %lldx%lld", (long long)wrap, (long long)bd->v[WI_BD_STEP0 + d] + 1);
        else
            say(t, " *x%lld", (long long)bd->v[WI_BD_STEP0 + d] + 1);
    }
}

static void say_padding(struct text *t, const struct wi_bd *bd) {
    for (int d = 0; d < 3; d++)
        if (bd->v[WI_BD_BEFORE0 + d] || bd->v[WI_BD_AFTER0 + d])
            say(t, ", zeros%d %lld+%lld", d, (long long)bd->v[WI_BD_BEFORE0 + d],
                (long long)bd->v[WI_BD_AFTER0 + d]);
    if (bd->v[WI_BD_ITER_STEP] || bd->v[WI_BD_ITER_WRAP])
        say(t, ", iteration %lld of %lldx%lld", (long long)bd->v[WI_BD_ITER_NOW],
            (long long)bd->v[WI_BD_ITER_WRAP] + 1, (long long)bd->v[WI_BD_ITER_STEP] + 1);
}

static void say_locks(struct text *t, const struct wi_bd *bd) {
    int64_t acquire = bd->v[WI_BD_ACQ_VALUE];
    if (bd->v[WI_BD_ACQ])
        say(t, ", acquire lock%lld %s %lld", (long long)bd->v[WI_BD_ACQ_ID],
            acquire < 0 ? ">=" : "==", (long long)(acquire < 0 ? -acquire : acquire));
    if (bd->v[WI_BD_REL_VALUE])
        say(t, ", release lock%lld %+lld", (long long)bd->v[WI_BD_REL_ID],
            (long long)bd->v[WI_BD_REL_VALUE]);
}

int wi_bd_print(enum wi_tile_kind kind, const struct wi_bd *bd, char *buf, size_t size) {
    struct text t = {buf, size, 0};
    say(&t, "%s%lld words at 0x%llx", bd->v[WI_BD_VALID] ? "" : "not valid, ",
        (long long)bd->v[WI_BD_LENGTH], (unsigned long long)bd->v[WI_BD_BASE] * 4);
    say_dimensions(&t, bd);
    say_padding(&t, bd);
    say_locks(&t, bd);
    if (bd->v[WI_BD_PACKET])
        say(&t, ", packet %lld type %lld", (long long)bd->v[WI_BD_PACKET_ID],
            (long long)bd->v[WI_BD_PACKET_TYPE]);
    if (bd->v[WI_BD_COMPRESS])
        say(&t, ", compressed");
    if (bd->v[WI_BD_NO_TLAST])
        say(&t, ", no tlast");
    if (kind == WI_TILE_SHIM)
        say(&t, ", burst %d", 64 << bd->v[WI_BD_BURST]);
    if (bd->v[WI_BD_USE_NEXT])
        say(&t, ", then bd%lld", (long long)bd->v[WI_BD_NEXT]);
    return t.n;
}
