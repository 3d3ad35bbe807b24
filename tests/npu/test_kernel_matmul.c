/* The matmul kernel in all its forms: the scheduled programs, the same one operation at a time,
 * plain C with the chip's arithmetic, and f64. */
#include "unit/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/matmul.h"

enum { STARTS = 3, ENDS = 4, MAX = 64 * 192, MAX_C = 128 * 64 };

#define EMIT(start, end)                                                                           \
    static void emit_##start##_##end(struct wi_build *b) {                                         \
        wi_matmul_emit(b, WI_MATMUL_##start, WI_MATMUL_##end);                                     \
    }
#define EMITS(start) EMIT(start, BF16) EMIT(start, SUMS) EMIT(start, RESIDUAL) EMIT(start, GELU)
EMITS(ZERO)
EMITS(BIAS)
EMITS(ADD)
#define FORMS(start)                                                                               \
    { emit_##start##_BF16, emit_##start##_SUMS, emit_##start##_RESIDUAL, emit_##start##_GELU }
static void (*const emit[STARTS][ENDS])(struct wi_build *b) = {FORMS(ZERO), FORMS(BIAS),
                                                               FORMS(ADD)};

static const char *name_of(int start, int end) {
    static const char *const starts[] = {"zero", "bias", "add"};
    static const char *const ends[] = {"bf16", "sums", "residual", "gelu"};
    static char name[32];
    snprintf(name, sizeof name, "matmul %s %s", starts[start], ends[end]);
    return name;
}

static struct wi_code code[STARTS][ENDS][2];
static struct krig rig;
static uint16_t gelu_table[WI_GELU_TABLE / 2];

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < STARTS * ENDS; i++)
        krig_build_both(code[i / ENDS][i % ENDS], emit[i / ENDS][i % ENDS]);
    wi_gelu_table(gelu_table);
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2 * STARTS * ENDS; i++)
        wi_code_fini(&code[i / 2 / ENDS][i / 2 % ENDS][i % 2]);
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- problems */

struct problem {
    struct wi_matmul x;
    struct wi_matmul_at at;
    uint32_t params;
    uint16_t a[MAX], b[MAX], r[MAX_C];
    float bias[MAX_C], sums[MAX_C];
    /* what came out: bf16, or fp32 */
    uint16_t c[MAX_C];
    float c_sums[MAX_C];
};

static uint32_t in_bank(int bank, uint32_t offset) {
    return KRIG_MEMORY + 0x4000u * (uint32_t)bank + offset;
}

/* A and C of bf16 in bank 0, B in bank 1, bias and sums in bank 2, R and C of fp32 in bank 3. */
static void place(struct problem *p) {
    bool sums = p->x.end == WI_MATMUL_SUMS,
         large = p->x.m * p->x.k > 4096 || p->x.k * p->x.n > 4096;
    p->at = (struct wi_matmul_at){.a = in_bank(0, 0),
                                  .b = in_bank(large ? 2 : 1, 0),
                                  .c = sums ? in_bank(3, 0) : in_bank(0, large ? 0x6000 : 0x2000),
                                  .start = in_bank(2, 0),
                                  .r = in_bank(3, 0),
                                  .gelu_table = {in_bank(1, 0x2c00), in_bank(3, 0)}};
    p->params = large ? in_bank(3, 0x3c00) : in_bank(p->x.start == WI_MATMUL_ADD ? 1 : 2, 0x3c00);
}

static void fill(struct problem *p, int start, int end, int m, int k, int n) {
    uint64_t seed = 0x9e3779b97f4a7c15u + (uint64_t)(m * 65536 + k * 256 + n);
    p->x = (struct wi_matmul){(enum wi_matmul_start)start, (enum wi_matmul_end)end, m, k, n};
    for (int i = 0; i < m * k; i++)
        p->a[i] = krig_random_bf16(&seed);
    for (int i = 0; i < k * n; i++)
        p->b[i] = krig_random_bf16(&seed);
    for (int j = 0; j < n; j++)
        p->bias[j] = krig_f32(krig_random_bf16(&seed)) * 1.2345f;
    for (int i = 0; i < m * n; i++) {
        p->r[i] = krig_random_bf16(&seed);
        p->sums[i] = krig_f32(krig_random_bf16(&seed)) * 1.2345f;
    }
    place(p);
}

static uint16_t host_gelu(uint16_t x) {
    return krig_gelu_table(x, gelu_table);
}

/* As the chip computes: sums of 8 products onto an fp32 sum, in the order of k. */
static float host_sum(const struct problem *p, int i, int j) {
    const struct wi_matmul *x = &p->x;
    float sum = x->start == WI_MATMUL_ZERO   ? 0
                : x->start == WI_MATMUL_BIAS ? p->bias[j]
                                             : p->sums[i * x->n + j];
    for (int k = 0; k < wi_matmul_padded_k(x->k); k += 8) {
        uint16_t row[8] = {0}, column[8] = {0};
        for (int e = 0; e < 8 && k + e < x->k; e++) {
            row[e] = p->a[i * x->k + k + e];
            column[e] = p->b[(k + e) * x->n + j];
        }
        bool add = k == 8 && x->end == WI_MATMUL_RESIDUAL;
        sum = krig_addmac(sum, add ? krig_f32(p->r[i * x->n + j]) : 0, 8, row, column);
    }
    return sum;
}

static double exact(const struct problem *p, int i, int j) {
    const struct wi_matmul *x = &p->x;
    double sum = x->start == WI_MATMUL_ZERO   ? 0
                 : x->start == WI_MATMUL_BIAS ? (double)p->bias[j]
                                              : (double)p->sums[i * x->n + j];
    for (int k = 0; k < x->k; k++)
        sum += (double)krig_f32(p->a[i * x->k + k]) * krig_f32(p->b[k * x->n + j]);
    if (x->end == WI_MATMUL_RESIDUAL)
        sum += krig_f32(p->r[i * x->n + j]);
    return x->end == WI_MATMUL_GELU ? sum / 2 * erfc(-sum / sqrt(2)) : sum;
}

static void *at(uint32_t address) {
    return rig.memory + (address - KRIG_MEMORY);
}

static size_t c_bytes(const struct problem *p) {
    size_t elements = (size_t)(wi_matmul_padded(p->x.m) * wi_matmul_padded(p->x.n));
    return elements * (p->x.end == WI_MATMUL_SUMS ? 4 : 2);
}

static void pack(const struct problem *p) {
    const struct wi_matmul *x = &p->x;
    struct wi_matmul_params params;
    assert_true(wi_matmul_params(&params, x, &p->at));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    wi_matmul_pack_a(at(p->at.a), p->a, x->m, x->k);
    wi_matmul_pack_b(at(p->at.b), p->b, x->k, x->n);
    if (x->start == WI_MATMUL_BIAS)
        wi_matmul_pack_bias(at(p->at.start), p->bias, x->n);
    if (x->start == WI_MATMUL_ADD)
        wi_matmul_pack_sums(at(p->at.start), p->sums, x->m, x->n);
    if (x->end == WI_MATMUL_RESIDUAL)
        wi_matmul_pack_c(at(p->at.r), p->r, x->m, x->n);
    for (int i = 0; i < 2 && x->end == WI_MATMUL_GELU; i++)
        memcpy(at(p->at.gelu_table[i]), gelu_table, sizeof gelu_table);
    memcpy(at(p->params), &params, sizeof params);
}

/* What is no part of C stays; what of C is beyond m x n is 0. */
static void edges_are_clean(const struct problem *p, const uint8_t *before) {
    static uint8_t masked[2 * 2 * MAX_C], kept[WI_EMU_WINDOW_BYTES];
    const struct wi_matmul *x = &p->x;
    memcpy(kept, rig.memory, sizeof kept);
    memcpy(kept + (p->at.c - KRIG_MEMORY), before + (p->at.c - KRIG_MEMORY), c_bytes(p));
    assert_memory_equal(kept, before, sizeof kept);
    if (x->end == WI_MATMUL_SUMS)
        wi_matmul_pack_sums((float *)(void *)masked, p->c_sums, x->m, x->n);
    else
        wi_matmul_pack_c((uint16_t *)(void *)masked, p->c, x->m, x->n);
    assert_memory_equal(masked, at(p->at.c), c_bytes(p));
}

static struct wi_emu_counters run(struct problem *p, int how) {
    static uint8_t before[WI_EMU_WINDOW_BYTES];
    pack(p);
    memcpy(before, rig.memory, sizeof before);
    struct wi_emu_counters counters = krig_run(&rig, &code[p->x.start][p->x.end][how], p->params);
    if (p->x.end == WI_MATMUL_SUMS)
        wi_matmul_unpack_sums(p->c_sums, at(p->at.c), p->x.m, p->x.n);
    else
        wi_matmul_unpack_c(p->c, at(p->at.c), p->x.m, p->x.n);
    edges_are_clean(p, before);
    return counters;
}

static void is_the_hosts(const struct problem *p) {
    const struct wi_matmul *x = &p->x;
    for (int i = 0; i < x->m * x->n; i++) {
        float sum = host_sum(p, i / x->n, i % x->n);
        uint16_t rounded = krig_bf16(sum);
        uint32_t want = x->end == WI_MATMUL_SUMS   ? krig_bits(sum)
                        : x->end == WI_MATMUL_GELU ? host_gelu(rounded)
                                                   : rounded;
        uint32_t got = x->end == WI_MATMUL_SUMS ? krig_bits(p->c_sums[i]) : p->c[i];
        if (got != want)
            fail_msg("%s %d x %d x %d: C[%d][%d] is 0x%x, not 0x%x", name_of(x->start, x->end),
                     x->m, x->k, x->n, i / x->n, i % x->n, got, want);
    }
}

/* Memory after both programs is the same, and C is the host's, bit for bit. */
static void all_agree(struct problem *p) {
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    run(p, WI_PIPELINED);
    is_the_hosts(p);
    memcpy(memory, rig.memory, sizeof memory);
    run(p, WI_SERIAL);
    assert_memory_equal(memory, rig.memory, sizeof memory);
}

/* ---------------------------------------------------------------- shapes */

static struct problem p;

static void every_form(int m, int k, int n) {
    for (int start = 0; start < STARTS; start++)
        for (int end = 0; end < ENDS; end++) {
            fill(&p, start, end, m, k, n);
            all_agree(&p);
        }
}

static void shapes(void **state) {
    (void)state;
    static const int all[][3] = {{16, 48, 16}, {16, 48, 32}, {32, 48, 16}, {48, 64, 64},
                                 {48, 80, 48}, {64, 64, 64}, {16, 64, 64}, {64, 64, 16}};
    static const int plain[][3] = {{16, 512, 16}, {32, 256, 32}, {128, 64, 16}, {64, 192, 64}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        every_form(all[i][0], all[i][1], all[i][2]);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        fill(&p, WI_MATMUL_ZERO, WI_MATMUL_BF16, plain[i][0], plain[i][1], plain[i][2]);
        all_agree(&p);
    }
}

/* Each side through its edges, with the others ragged and whole. */
static void edges(void **state) {
    (void)state;
    static const int sides[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33};
    static const int depths[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        every_form(sides[i], 49, 18);
        every_form(18, 49, sides[i]);
        every_form(sides[i], 16, sides[(7 * i + 3) % 16]);
    }
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        every_form(i % 2 ? 19 : 16, depths[i], i % 2 ? 16 : 21);
}

/* Where things lie costs cycles at most: all in each other's banks, A at the end of memory, C in
 * place of R or of the sums. */
static void any_place(void **state) {
    (void)state;
    for (int i = 0; i < STARTS * ENDS; i++) {
        fill(&p, i / ENDS, i % ENDS, 46, 50, 13);
        p.at.a = KRIG_MEMORY + 0x10000 - 48 * 64 * 2 - 1024;
        p.at.b = in_bank(3, 0xc00);
        p.at.start = in_bank(3, 0x1400);
        p.at.c =
            p.x.start == WI_MATMUL_ADD && p.x.end == WI_MATMUL_SUMS ? p.at.start : in_bank(3, 0);
        p.at.r = p.at.c;
        p.at.gelu_table[0] = in_bank(1, 0x20);
        p.at.gelu_table[1] = in_bank(2, 0x40);
        p.params = in_bank(3, 0x2000);
        all_agree(&p);
    }
}

/* Of 5 x 9 ones as 9 x 5 and 5 x 9 and of 5 biases twice, everything else in the tiles is 0. */
static void padding_is_zero(void **state) {
    (void)state;
    uint16_t ones[45], a[16 * 48], b[48 * 16], c[16 * 16];
    float bias[45], twice[2 * 16], sums[16 * 16];
    int n_a = 0, n_b = 0, n_c = 0, n_twice = 0, n_sums = 0;
    for (int i = 0; i < 45; i++) {
        ones[i] = 0x3f80;
        bias[i] = 1;
    }
    memset(a, 0xff, sizeof a);
    memset(b, 0xff, sizeof b);
    memset(c, 0xff, sizeof c);
    memset(sums, 0xff, sizeof sums);
    memset(twice, 0xff, sizeof twice);
    wi_matmul_pack_a(a, ones, 5, 9);
    wi_matmul_pack_b(b, ones, 9, 5);
    wi_matmul_pack_c(c, ones, 5, 9);
    wi_matmul_pack_sums(sums, bias, 5, 9);
    wi_matmul_pack_bias(twice, bias, 5);
    for (int i = 0; i < 16 * 48; i++) {
        n_a += a[i] != 0;
        n_b += b[i] != 0;
        n_c += i < 16 * 16 && c[i] != 0;
        n_sums += i < 16 * 16 && krig_bits(sums[i % 256]) != 0;
        n_twice += i < 2 * 16 && krig_bits(twice[i % 32]) != 0;
    }
    assert_int_equal(n_a, 45);
    assert_int_equal(n_b, 45);
    assert_int_equal(n_c, 45);
    assert_int_equal(n_sums, 45);
    assert_int_equal(n_twice, 10);
}

static bool fits(int start, int end, int m, int k, int n, const struct wi_matmul_at *where) {
    struct wi_matmul_params params;
    const struct wi_matmul x = {(enum wi_matmul_start)start, (enum wi_matmul_end)end, m, k, n};
    return wi_matmul_params(&params, &x, where);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct wi_matmul_at good = {.a = 0x70000,
                                             .b = 0x74000,
                                             .c = 0x7c000,
                                             .start = 0x78000,
                                             .r = 0x7a000,
                                             .gelu_table = {0x72000, 0x76000}};
    enum { ZERO, BIAS, ADD };
    enum { BF16, SUMS, RESIDUAL, GELU };
    struct wi_matmul_at odd;
    for (int i = 0; i < STARTS * ENDS; i++)
        assert_true(fits(i / ENDS, i % ENDS, 32, 64, 64, &good));
    assert_false(fits(ZERO, BF16, 0, 64, 64, &good));
    assert_false(fits(ZERO, BF16, 64, 0, 64, &good));
    assert_false(fits(ZERO, BF16, 64, 64, -1, &good));
    assert_false(fits(ZERO, BF16, 1 << 30, 64, 64, &good));
    assert_false(fits(ZERO, BF16, 513, 64, 64, &good)); /* A runs into C */
    assert_false(fits(ZERO, BF16, 64, 64, 257, &good)); /* B runs into C */
    assert_true(fits(ZERO, SUMS, 64, 64, 64, &good));
    assert_false(fits(ZERO, SUMS, 65, 64, 64, &good));     /* C beyond memory */
    assert_false(fits(ADD, BF16, 64, 64, 65, &good));      /* sums run into C */
    assert_false(fits(ZERO, RESIDUAL, 65, 64, 64, &good)); /* R runs into C */
#define REFUSED(field, value, start, end)                                                          \
    odd = good;                                                                                    \
    odd.field = value;                                                                             \
    assert_false(fits(start, end, 32, 64, 64, &odd))
    REFUSED(a, 0, ZERO, BF16);
    REFUSED(a, 0x70010, ZERO, BF16);
    REFUSED(a, 0x7f000, ZERO, BF16); /* what is read beyond A is no memory */
    REFUSED(b, 0x7f000, ZERO, BF16);
    REFUSED(c, 0x70000, ZERO, BF16);
    REFUSED(c, 0x75000, ZERO, BF16);
    REFUSED(c, 0x80000, ZERO, BF16);
    REFUSED(start, 0x7c100, BIAS, BF16);
    REFUSED(start, 0x7c000, BIAS, SUMS);
    REFUSED(start, 0x7c000, ADD, BF16);
    REFUSED(start, 0x7c020, ADD, SUMS);
    REFUSED(start, 0x7ff00, BIAS, BF16);
    REFUSED(r, 0x7c020, ZERO, RESIDUAL);
    REFUSED(r, 0, ZERO, RESIDUAL);
    REFUSED(gelu_table[0], 0x7c800, ZERO, GELU);
    REFUSED(gelu_table[1], 0x7f800, ZERO, GELU);
    odd = good;
    odd.start = odd.r = odd.c;
    assert_true(fits(ADD, SUMS, 32, 64, 64, &odd));
    assert_true(fits(ZERO, RESIDUAL, 32, 64, 64, &odd));
}

/* ---------------------------------------------------------------- accuracy */

/* What the terms of an element come to, in magnitude: an ulp of fp32 of it for each step. */
static double size_of(int i, int j) {
    const struct wi_matmul *x = &p.x;
    double size = x->start == WI_MATMUL_BIAS  ? fabs((double)p.bias[j])
                  : x->start == WI_MATMUL_ADD ? fabs((double)p.sums[i * x->n + j])
                                              : 0;
    for (int k = 0; k < x->k; k++)
        size += fabs((double)krig_f32(p.a[i * x->k + k]) * krig_f32(p.b[k * x->n + j]));
    return size + (x->end == WI_MATMUL_RESIDUAL ? fabs((double)krig_f32(p.r[i * x->n + j])) : 0);
}

static void fill_kind(int start, int end, enum kdata_kind kind) {
    bool ragged = kind == KDATA_MASKED;
    int m = ragged ? 61 : 64, k = ragged ? 50 : 64, n = ragged ? 59 : 64;
    uint64_t seed = 31 + (uint64_t)kind;
    uint16_t row[64];
    fill(&p, start, end, m, k, n);
    for (int i = 0; i < m; i++)
        kdata_row(p.a + i * k, k, kind, &seed);
    for (int i = 0; i < k * n; i++)
        p.b[i] = krig_bf16((float)(kdata_normal(&seed) / 8));
    kdata_row(row, n, kind, &seed);
    for (int j = 0; j < n; j++)
        p.bias[j] = krig_f32(row[j]) * 1.2345f;
    for (int i = 0; i < m; i++) {
        kdata_row(p.r + i * n, n, kind, &seed);
        for (int j = 0; j < n; j++)
            p.sums[i * n + j] = krig_f32(p.r[i * n + j]) * 1.2345f;
    }
}

static void accuracy(void **state) {
    (void)state;
    static double y[MAX_C];
    for (int i = 0; i < STARTS * ENDS * KDATA_KINDS; i++) {
        int start = i / KDATA_KINDS / ENDS, end = i / KDATA_KINDS % ENDS;
        enum kdata_kind kind = (enum kdata_kind)(i % KDATA_KINDS);
        fill_kind(start, end, kind);
        run(&p, WI_PIPELINED);
        is_the_hosts(&p);
        double worst = 0;
        for (int e = 0; e < p.x.m * p.x.n; e++) {
            y[e] = exact(&p, e / p.x.n, e % p.x.n);
            double size = size_of(e / p.x.n, e % p.x.n);
            if (end == WI_MATMUL_SUMS)
                worst = fmax(worst, fabs((double)p.c_sums[e] - y[e]) / size);
        }
        if (end == WI_MATMUL_SUMS) {
            print_message("%s, %s: worst 2^%.1f of the terms\n", name_of(start, end),
                          kdata_name(kind), log2(worst));
            assert_true(worst < 0x1p-20);
            continue;
        }
        struct kdata_error e = kdata_measure(p.c, y, p.x.m, p.x.n);
        print_message("%s, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                      name_of(start, end), kdata_name(kind), e.median, e.worst, 1 - e.correlation);
        assert_true(e.median < (end == WI_MATMUL_GELU ? 0.35 : 0.26));
        assert_true(e.worst < (end == WI_MATMUL_GELU ? 6 : 0.505));
        assert_true(e.correlation > 0.999996);
    }
}

/* ---------------------------------------------------------------- budgets */

/* What was reached is not lost: a step's bundles, and the cycles and bytes of 64x64x64. */
static const struct {
    int step, cycles, bytes;
} budget[STARTS][ENDS] = {{{32, 2098, 1440}, {32, 2102, 1536}, {32, 2104, 1520}, {32, 3944, 2096}},
                          {{32, 2109, 1664}, {32, 2109, 1728}, {33, 2177, 1744}, {32, 3955, 2304}},
                          {{32, 2100, 1616}, {32, 2103, 1712}, {40, 2618, 1792}, {32, 3946, 2272}}};

static void budgets(void **state) {
    (void)state;
    for (int i = 0; i < STARTS * ENDS; i++) {
        int start = i / ENDS, end = i % ENDS;
        const struct wi_code *c = &code[start][end][WI_PIPELINED];
        fill(&p, start, end, 64, 64, 64);
        struct wi_emu_counters counters = run(&p, WI_PIPELINED);
        print_message("%s 64x64x64: %lu cycles, a step %d of at least %d (%s), %zu bytes\n",
                      name_of(start, end), (unsigned long)counters.cycles, c->loops[0].cycles,
                      c->loops[0].bound, c->loops[0].limit, c->bytes.len);
        assert_int_equal(counters.cycles, budget[start][end].cycles);
        assert_int_equal(counters.cycles, counters.bundles);
        assert_int_equal(c->bytes.len, budget[start][end].bytes);
        assert_int_equal(c->loops[0].cycles, budget[start][end].step);
        assert_int_equal(c->loops[0].tries, 0); /* else known.def is out of date */
        assert_true(c->loops[0].min_steps * WI_MATMUL_K <= WI_MATMUL_MIN_K);
    }
    fill(&p, WI_MATMUL_ZERO, WI_MATMUL_BF16, 64, 192, 64);
    assert_int_equal(run(&p, WI_PIPELINED).cycles, 6194);
}

/* C in place of what it is added to: accesses that meet in a bank cost a cycle each. */
static void in_place(void **state) {
    (void)state;
    static const struct {
        int start, end, cycles;
    } forms[] = {{WI_MATMUL_ADD, WI_MATMUL_SUMS, 2568},
                 {WI_MATMUL_ZERO, WI_MATMUL_RESIDUAL, 2239},
                 {WI_MATMUL_BIAS, WI_MATMUL_RESIDUAL, 2252}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        fill(&p, forms[i].start, forms[i].end, 64, 64, 64);
        p.at.c = forms[i].start == WI_MATMUL_ADD ? p.at.start : p.at.r;
        unsigned long cycles = (unsigned long)run(&p, WI_PIPELINED).cycles;
        is_the_hosts(&p);
        print_message("%s 64x64x64 in place: %lu cycles\n", name_of(forms[i].start, forms[i].end),
                      cycles);
        assert_int_equal(cycles, forms[i].cycles);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes),
                                       cmocka_unit_test(edges),
                                       cmocka_unit_test(any_place),
                                       cmocka_unit_test(padding_is_zero),
                                       cmocka_unit_test(what_does_not_fit_is_refused),
                                       cmocka_unit_test(in_place),
                                       cmocka_unit_test(accuracy),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
