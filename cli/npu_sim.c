/* wisp npu bench --sim: how fast the emulated core and the emulated array are. */
#include "npu.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <wisp/wisp_npu.h>

#include "json_print.h"

/* ------------------------------------------------------------------ the program */

/* What it needs in registers: pointers to two banks that step within 512 bytes, and the product's
 * configuration (bf16). */
static const struct {
    const char *name;
    uint32_t value;
} registers[] = {{"p0", 0x70000}, {"p1", 0x74000}, {"r0", 28},  {"dn0", 15},    {"dj0", 32},
                 {"m0", 0xffe20}, {"dn1", 15},     {"dj1", 32}, {"m1", 0xffe20}};
enum { N_REGISTERS = sizeof registers / sizeof *registers, BUNDLE = 16 };

/* A matmul inner loop: 16 accumulators, a MAC and two loads in each of 16 bundles, for ever.  All
 * bundles have 16 bytes; with `set` the program fills the registers itself. */
static void write_loop(char *text, size_t size, bool set) {
    size_t n = 0;
    int start = (set ? N_REGISTERS : 0) + 10; /* bundles before the body */
    for (int i = 0; set && i < N_REGISTERS; i++)
        n += (size_t)snprintf(text + n, size - n, "nopb; nopa; nops; movxm %s, #%u; nopv\n",
                              registers[i].name, registers[i].value);
    n += (size_t)snprintf(
        text + n, size - n,
        "nopb; nopa; nops; movxm LS, #%d; nopv\nnopb; nopa; nops; movxm LE, #%d; nopv\n"
        "nopb; nopa; nops; movxm LC, #-1; nopv\n",
        BUNDLE * start, BUNDLE * (start + 15));
    for (int i = 0; i < 7; i++)
        n += (size_t)snprintf(text + n, size - n, "nopb; nopa; nops; nopxm; nopv\n");
    for (int i = 0; i < 16; i++)
        n += (size_t)snprintf(text + n, size - n,
                              "vldb.2d w%c%d, [p1], d1; vlda.2d w%c%d, [p0], d0; nops; nopx; nopm; "
                              "vmac.f bm%c%d, bm%c%d, x%d, x%d, r0\n",
                              i % 2 ? 'h' : 'l', 4 + i / 2 % 4, i % 2 ? 'h' : 'l', i / 2 % 4,
                              i % 2 ? 'h' : 'l', i / 2, i % 2 ? 'h' : 'l', i / 2, i / 4, 4 + i % 4);
    snprintf(text + n, size - n, "done\n");
}

/* Small numbers of both signs, so that sums stay finite for long. */
enum { NUMBERS = 512 };
static void fill_numbers(uint16_t v[NUMBERS]) {
    for (int i = 0; i < NUMBERS; i++)
        v[i] = (uint16_t)(0x3c00 + i * 37 % 256 + (i * 11 % 2 << 15));
}

/* ------------------------------------------------------------------ one core */

static int load_loop(struct wisp_npu_core *core, struct wisp_error *err) {
    struct wisp_npu_program *program;
    char text[4096];
    uint16_t numbers[NUMBERS];
    write_loop(text, sizeof text, false);
    int rc = wisp_npu_assemble(&program, text, strlen(text), "loop", err);
    if (rc == WISP_OK)
        rc = wisp_npu_core_load(core, program, err);
    wisp_npu_program_close(&program);
    for (size_t i = 0; rc == WISP_OK && i < N_REGISTERS; i++)
        rc = wisp_npu_core_set(core, registers[i].name, registers[i].value, err);
    fill_numbers(numbers);
    wisp_npu_core_write(core, 0x70000, numbers, sizeof numbers, NULL);
    wisp_npu_core_write(core, 0x74000, numbers, sizeof numbers, NULL);
    return rc;
}

/* Of this thread's processor time. */
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Million bundles per second of processor time: the best of five runs of about a tenth of one. */
static int time_level(const char *level, double *rate, struct wisp_error *err) {
    struct wisp_npu_core *core;
    struct wisp_npu_result r;
    int rc = wisp_npu_core_create(&core, level, err);
    if (rc == WISP_OK)
        rc = load_loop(core, err);
    uint64_t n = 20000;
    *rate = 0;
    for (int i = 0; rc == WISP_OK && i < 6; i++) {
        double start = seconds();
        wisp_npu_core_run(core, n, &r);
        double took = seconds() - start;
        if (r.status != WISP_NPU_LIMIT) {
            snprintf(err->text, sizeof err->text, "the loop stopped: %s", r.reason);
            err->code = rc = WISP_E_INTERNAL;
        }
        if (i > 0 && (double)n / took > *rate * 1e6)
            *rate = (double)n / took * 1e-6;
        if (i == 0)
            n = (uint64_t)(0.1 * (double)n / took) + 1;
    }
    wisp_npu_core_destroy(&core);
    return rc;
}

/* ------------------------------------------------------------------ 16 cores
 *
 * Every core of the array runs the loop; with streams, each column's memory tile sends a word in
 * every cycle to its four cores, whose DMA writes it to a bank that the loop does not read. */

/* Commands of a CDO, as words. */
struct commands {
    uint32_t *words;
    size_t n, max;
    bool failed;
};

static void put(struct commands *c, uint32_t word) {
    if (c->n == c->max) {
        size_t max = c->max ? 2 * c->max : 4096;
        uint32_t *more = realloc(c->words, max * sizeof *more);
        c->failed |= !more;
        if (!more)
            return;
        c->words = more;
        c->max = max;
    }
    c->words[c->n++] = word;
}

static void put_block(struct commands *c, uint32_t address, const void *bytes, size_t size) {
    enum { BLOCK = 0x105 | 255 << 16 };
    put(c, BLOCK);
    put(c, (uint32_t)(2 + size / 4));
    put(c, 0);
    put(c, address);
    for (size_t i = 0; i < size / 4; i++) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)bytes + 4 * i, 4);
        put(c, word);
    }
}

static void put_write(struct commands *c, int col, int row, uint32_t offset, uint32_t value) {
    enum { WRITE = 0x103 | 2 << 16 };
    put(c, WRITE);
    put(c, (uint32_t)col << 25 | (uint32_t)row << 20 | offset);
    put(c, value);
}

/* Registers of compute and memory tiles, and ports of their switches (AM025). */
enum {
    BD0 = 0x1d000,
    S2MM0_QUEUE = 0x1de04,
    PROGRAM = 0x20000,
    CORE_CONTROL = 0x32000,
    MASTER = 0x3f000,
    SLAVE = 0x3f100,
    MEM_BD0 = 0xa0000,
    MEM_MM2S0_QUEUE = 0xa0634,
    MEM_MASTER = 0xb0000,
    MEM_SLAVE = 0xb0100,
    TO_DMA0 = 1,
    FROM_SOUTH0 = 5,
    TO_NORTH0 = 13,
    MEM_FROM_DMA0 = 0,
    MEM_TO_NORTH0 = 11
};
static const uint32_t ON = 0x80000000;

static void put_streams(struct commands *c, int col, int row) {
    /* 16384 words of own memory, for ever; 512 words to 0x8000, for ever */
    static const uint32_t send[8] = {16384, 0x20000 | 1 << 19, 0, 0, 0, 0, 0, 1u << 31};
    static const uint32_t receive[6] = {0x2000 << 14 | 512, 0, 0, 0, 0, 1 << 26 | 1 << 25};
    uint32_t tile = (uint32_t)col << 25 | (uint32_t)row << 20;
    if (row == 1) {
        put_block(c, tile | MEM_BD0, send, sizeof send);
        put_write(c, col, row, MEM_MM2S0_QUEUE, 0);
        put_write(c, col, row, MEM_MASTER + 4 * MEM_TO_NORTH0, ON | MEM_FROM_DMA0);
        put_write(c, col, row, MEM_SLAVE + 4 * MEM_FROM_DMA0, ON);
        return;
    }
    put_block(c, tile | BD0, receive, sizeof receive);
    put_write(c, col, row, S2MM0_QUEUE, 0);
    put_write(c, col, row, MASTER + 4 * TO_DMA0, ON | FROM_SOUTH0);
    if (row < 5)
        put_write(c, col, row, MASTER + 4 * TO_NORTH0, ON | FROM_SOUTH0);
    put_write(c, col, row, SLAVE + 4 * FROM_SOUTH0, ON);
}

static void put_design(struct commands *c, const uint8_t *code, size_t size, bool streams) {
    uint16_t numbers[NUMBERS];
    fill_numbers(numbers);
    for (int tile = 0; tile < 20; tile++) {
        int col = tile / 5, row = 1 + tile % 5;
        uint32_t address = (uint32_t)col << 25 | (uint32_t)row << 20;
        if (streams)
            put_streams(c, col, row);
        if (row == 1)
            continue;
        put_block(c, address | PROGRAM, code, size);
        put_block(c, address, numbers, sizeof numbers);
        put_block(c, address | 0x4000, numbers, sizeof numbers);
        put_write(c, col, row, CORE_CONTROL, 1);
    }
}

static int make_image(struct wisp_npu_image **image, bool streams, struct wisp_error *err) {
    enum { HEADER = 5, MAGIC = 0x004f4443, VERSION = 0x200 };
    struct wisp_npu_program *program = NULL;
    struct commands c = {0};
    uint8_t *code = NULL;
    char text[4096];
    size_t size = 0;
    write_loop(text, sizeof text, true);
    int rc = wisp_npu_assemble(&program, text, strlen(text), "loop", err);
    if (rc == WISP_OK)
        rc = wisp_npu_program_bytes(program, false, &code, &size, err);
    for (int i = 0; i < HEADER; i++)
        put(&c, 0);
    if (rc == WISP_OK && !c.failed) {
        put_design(&c, code, size, streams);
        c.words[0] = HEADER - 1;
        c.words[1] = MAGIC;
        c.words[2] = VERSION;
        c.words[3] = (uint32_t)(c.n - HEADER);
        c.words[4] = ~(c.words[0] + c.words[1] + c.words[2] + c.words[3]);
        rc = wisp_npu_image_load(image, (const uint8_t *)c.words, 4 * c.n, err);
    }
    wisp_npu_free(code);
    wisp_npu_program_close(&program);
    free(c.words);
    return rc;
}

/* A stream that waits for a token that never comes, so that the array runs as long as one likes. */
static int make_wait(struct wisp_npu_image **insts, struct wisp_error *err) {
    static const uint32_t words[] = {0x06030100, 0x104, 1, 32, 0x80, 16, 0, 0x00010100};
    return wisp_npu_image_load(insts, (const uint8_t *)words, sizeof words, err);
}

static double wall_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Cycles of cores per second in millions, all 16 together: the best of five runs. */
static int time_array(int threads, bool streams, double *rate, struct wisp_error *err) {
    enum { CYCLES = 100000, CORES = 16, CLOCK = 1028000000 };
    struct wisp_npu_device_params params;
    struct wisp_npu_device *device = NULL;
    struct wisp_npu_image *image = NULL, *insts = NULL;
    wisp_npu_device_params_init(&params);
    params.n_threads = threads;
    *rate = 0;
    int rc = wisp_npu_device_open(&device, "emu", &params, err);
    if (rc == WISP_OK)
        rc = make_image(&image, streams, err);
    if (rc == WISP_OK)
        rc = make_wait(&insts, err);
    if (rc == WISP_OK)
        rc = wisp_npu_device_load(device, image, 0, err);
    if (rc == WISP_OK)
        rc = wisp_npu_submit(device, insts, NULL, 0, err);
    for (int i = 0; rc == WISP_OK && i < 6; i++) {
        struct wisp_npu_report r;
        double start = wall_seconds();
        rc = wisp_npu_wait(device, (double)CYCLES / CLOCK, err);
        double took = wall_seconds() - start;
        wisp_npu_device_report(device, &r);
        if (r.status == WISP_NPU_LIMIT) {
            *err = (struct wisp_error){0};
            rc = WISP_OK;
        }
        if (i > 0 && CORES * 1e-6 * CYCLES / took > *rate)
            *rate = CORES * 1e-6 * CYCLES / took;
    }
    wisp_npu_image_close(&insts);
    wisp_npu_image_close(&image);
    wisp_npu_device_close(&device);
    return rc;
}

/* ------------------------------------------------------------------ the command */

static enum cli_exit bench_core(bool quiet, json_t *rates) {
    static const char *const levels[] = {"portable", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        struct wisp_error err = {0};
        double rate;
        if (time_level(levels[i], &rate, &err) == WISP_OK) {
            json_object_set_new(rates, levels[i], json_number(rate));
            if (!quiet)
                printf("one core, matmul inner loop, %s: %.1f million bundles per second\n",
                       levels[i], rate);
        } else if (err.code != WISP_E_ARG) { /* ARG: this machine lacks the level */
            return cli_fail(&err);
        }
    }
    return CLI_DONE;
}

static enum cli_exit bench_array(bool quiet, json_t *rates) {
    static const struct {
        const char *key, *text;
        int threads;
        bool streams;
    } runs[] = {{"1_thread", "16 cores, the same loop, 1 thread", 1, false},
                {"2_threads", "16 cores, the same loop, 2 threads", 2, false},
                {"2_threads_streams", "16 cores and a word a cycle to each, 2 threads", 2, true}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct wisp_error err = {0};
        double rate;
        if (time_array(runs[i].threads, runs[i].streams, &rate, &err) != WISP_OK)
            return cli_fail(&err);
        json_object_set_new(rates, runs[i].key, json_number(rate));
        if (!quiet)
            printf("%s: %.1f million core-cycles per second\n", runs[i].text, rate);
    }
    return CLI_DONE;
}

enum cli_exit npu_bench_sim(const struct npu_options *o) {
    json_t *core = json_object(), *array = json_object();
    enum cli_exit code = bench_core(o->json, core);
    if (code == CLI_DONE)
        code = bench_array(o->json, array);
    if (o->json && code == CLI_DONE) {
        json_t *root =
            json_pack("{s:O, s:O}", "core_mbundles_per_s", core, "array_mcycles_per_s", array);
        json_print(stdout, root);
        json_decref(root);
    }
    json_decref(core);
    json_decref(array);
    return code;
}
