/* When things happen in the array, against what was measured on the chip; numbers in brackets are
 * those of the array reference's section 9, sources in src/npu/emu/timing.h. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "array_rig.h"
#include "npu/emu/array_impl.h"

static uint32_t host_in[20000], host_out[20000];

static struct channel *channel(struct ar_tile t, bool mm2s, int number) {
    return &wi_arr_tile(rig.array, t.col, t.row)->channel[mm2s][number];
}

static void begin(void) {
    ar_clear(&rig);
    ar_buffer(&rig, host_in, sizeof host_in);
    ar_buffer(&rig, host_out, sizeof host_out);
}

/* Cycles from a descriptor's lock to its end. */
static struct {
    uint64_t first, last;
    int n;
} transfers;

static void note_transfer(void *user, const struct wi_array_span *s) {
    const struct ar_tile *t = user;
    if (s->col != t->col || s->row != t->row || s->lane != WI_LANE_MM2S)
        return;
    if (strcmp(s->what, "lock") == 0)
        transfers.first = s->end;
    if (strcmp(s->what, "transfer") == 0)
        transfers.last = s->end;
    transfers.n++;
}

/* 256 words from a tile to the shim, after a lock that comes with a register write: (lock's end to
 * the last word's end of the descriptor) */
static uint64_t drain(struct ar_tile t, bool strided) {
    begin();
    struct wi_bd bd = ar_plain(t.row == 1 ? 0x20000 : 0, 256);
    bd.v[WI_BD_ACQ] = 1;
    bd.v[WI_BD_ACQ_ID] = t.row == 1 ? 64 : 0;
    bd.v[WI_BD_ACQ_VALUE] = -1;
    bd.v[WI_BD_STEP0] = strided ? 7 : 0;
    ar_bd(&rig.load, t, 0, &bd);
    ar_queue(&rig.load, t, true, 0, 0, 1, false);
    ar_route_down(&rig.load, t, 0, 0, 0);
    ar_tokens(&rig.load, t.col);
    ar_shim_bd(&rig.insts, t.col, 1, 1, 0, 256);
    ar_queue(&rig.insts, (struct ar_tile){t.col, 0}, false, 0, 1, 1, true);
    ar_write(&rig.insts, t, WI_MAP_LOCK, 0, 1);
    ar_wait(&rig.insts, t.col, 0);
    ar_load(&rig);
    wi_array_trace(rig.array, note_transfer, &t);
    ar_run_to_end(&rig);
    wi_array_trace(rig.array, NULL, NULL);
    return transfers.last - transfers.first;
}

/* [23, 24] 244; 251 contiguous, 258 strided. */
static void drains(void **state) {
    (void)state;
    uint64_t compute = drain((struct ar_tile){0, 2}, false),
             mem = drain((struct ar_tile){0, 1}, false),
             strided = drain((struct ar_tile){0, 1}, true);
    print_message("drains of 256 words: %d, %d, %d\n", (int)compute, (int)mem, (int)strided);
    assert_in_range(compute, 240, 252);
    assert_in_range(mem, 245, 257);
    assert_in_range(strided, 250, 264);
}

/* ------------------------------------------------------------------ receiving */

enum { HISTORY = 4000 };

/* Words that a channel's port has taken by each cycle after the first one. */
static int history(struct ar_tile t, uint32_t words, uint64_t taken[HISTORY]) {
    struct channel *c = channel(t, false, 0);
    int n = 0;
    wi_array_start(rig.array, &rig.insts, rig.address, rig.n_buffers);
    for (int i = 0; i < 200000 && n < HISTORY && c->pushed < words; i++) {
        enum wi_array_status status = wi_array_run(rig.array, 1);
        assert_true(status == WI_ARRAY_LIMIT || status == WI_ARRAY_DONE);
        if (c->pushed || n)
            taken[n++] = c->pushed;
    }
    return n;
}

/* [28] 15 to 16 words enter while the lock is waited for; the stream is faster than the shim here:
 * the words come from the memory tile. */
static void receive(uint32_t bd_words, bool locked) {
    struct ar_tile mem = {0, 1}, core = {0, 2};
    begin();
    struct wi_bd from = ar_plain(0x20000, 64), to = ar_plain(0, bd_words);
    ar_bd(&rig.load, mem, 0, &from);
    to.v[WI_BD_ACQ] = locked;
    to.v[WI_BD_ACQ_VALUE] = -1;
    for (uint32_t i = 0; i < 4; i++) {
        to.v[WI_BD_USE_NEXT] = i < 3;
        to.v[WI_BD_NEXT] = i + 1;
        to.v[WI_BD_BASE] = i * bd_words;
        ar_bd(&rig.load, core, i, &to);
    }
    ar_queue(&rig.load, core, false, 0, 0, 1, false);
    ar_route(&rig.load, mem, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 0);
    ar_route(&rig.load, core, WI_SWITCH_SOUTH, 0, WI_SWITCH_DMA, 0);
    ar_queue(&rig.insts, mem, true, 0, 0, 1, false);
    ar_wait(&rig.insts, 0, 0); /* never comes */
    ar_load(&rig);
}

static void a_channel_takes_sixteen_words_before_its_lock(void **state) {
    (void)state;
    receive(16, true);
    assert_int_equal(ar_run(&rig, 100000), WI_ARRAY_DEADLOCK);
    assert_in_range(channel((struct ar_tile){0, 2}, false, 0)->pushed, 15, 16);
}

/* [46] 64 words in descriptors of 16: runs 16, 16, 16, 16 with stalls of 1. */
static void the_port_pauses_between_descriptors(void **state) {
    (void)state;
    static uint64_t taken[HISTORY];
    int runs[8] = {0}, n_runs = 0, stall = 0;
    receive(16, false);
    int n = history((struct ar_tile){0, 2}, 64, taken);
    for (int i = 0; i < n; i++) {
        if (taken[i] == (i ? taken[i - 1] : 0)) {
            stall++;
            continue;
        }
        if (stall) {
            assert_int_equal(stall, 1);
            n_runs++;
        }
        stall = 0;
        assert_in_range(n_runs, 0, 7);
        runs[n_runs]++;
    }
    assert_int_equal(n_runs, 3);
    for (int i = 0; i < 4; i++)
        assert_int_equal(runs[i], 16);
}

/* ------------------------------------------------------------------ switches */

/* Cycle in which the first word is taken, of a channel fed by another tile's MM2S. */
static uint64_t first_word(struct ar_tile to, uint64_t *sent) {
    struct channel *c = channel(to, false, 0), *from = channel((struct ar_tile){0, 1}, true, 0);
    *sent = 0;
    wi_array_start(rig.array, &rig.insts, rig.address, rig.n_buffers);
    for (int i = 0; i < 100000 && !c->pushed; i++) {
        wi_array_run(rig.array, 1);
        if (from->popped && !*sent)
            *sent = rig.array->now;
    }
    return rig.array->now;
}

/* [40, 41, 42] local to far 4, far to far 4, far to local 3 cycles; a row more is 4 more. */
static void latency_of_switches(void **state) {
    (void)state;
    for (int row = 2; row <= 5; row++) {
        struct ar_tile mem = {0, 1}, to = {0, row};
        uint64_t sent;
        begin();
        struct wi_bd from = ar_plain(0x20000, 8), into = ar_plain(0, 8);
        ar_bd(&rig.load, mem, 0, &from);
        ar_bd(&rig.load, to, 0, &into);
        ar_queue(&rig.load, to, false, 0, 0, 1, false);
        ar_route(&rig.load, mem, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 0);
        for (int r = 2; r < row; r++)
            ar_route(&rig.load, (struct ar_tile){0, r}, WI_SWITCH_SOUTH, 0, WI_SWITCH_NORTH, 0);
        ar_route(&rig.load, to, WI_SWITCH_SOUTH, 0, WI_SWITCH_DMA, 0);
        ar_queue(&rig.insts, mem, true, 0, 0, 1, false);
        ar_wait(&rig.insts, 0, 0);
        ar_load(&rig);
        uint64_t came = first_word(to, &sent);
        assert_int_equal(came - sent, 4 + 4 * (uint64_t)(row - 2) + 3);
    }
}

/* ------------------------------------------------------------------ the shim and the controller */

static struct span { uint64_t start, end; } shim_spans[2][16];
static int n_shim_spans[2];

static void note_shim(void *user, const struct wi_array_span *s) {
    (void)user;
    bool mm2s = s->lane == WI_LANE_MM2S;
    if (s->row != 0 || s->lane == WI_LANE_CONTROLLER || strcmp(s->what, "transfer") != 0)
        return;
    if (n_shim_spans[mm2s] < 16)
        shim_spans[mm2s][n_shim_spans[mm2s]++] = (struct span){s->start, s->end};
}

/* Tasks of `words` through the memory tile and back, `n` of them in one sequence. */
static void tasks(int n, uint32_t words) {
    struct ar_tile mem = {0, 1}, shim = {0, 0};
    begin();
    struct wi_bd in = ar_plain(0x20000, words), out = ar_plain(0x20000, words);
    in.v[WI_BD_REL_ID] = out.v[WI_BD_ACQ_ID] = 64;
    in.v[WI_BD_REL_VALUE] = 1;
    out.v[WI_BD_ACQ] = 1;
    out.v[WI_BD_ACQ_VALUE] = -1;
    in.v[WI_BD_USE_NEXT] = out.v[WI_BD_USE_NEXT] = 1;
    out.v[WI_BD_NEXT] = 1;
    ar_bd(&rig.load, mem, 0, &in);
    ar_bd(&rig.load, mem, 1, &out);
    ar_queue(&rig.load, mem, false, 0, 0, 1, false);
    ar_queue(&rig.load, mem, true, 0, 1, 1, false);
    ar_route_up(&rig.load, mem, 0, 1, 0);
    ar_route_down(&rig.load, mem, 0, 0, 0);
    ar_tokens(&rig.load, 0);
    for (int i = 0; i < n; i++) {
        ar_shim_bd(&rig.insts, 0, (uint32_t)i, 0, 0, words);
        ar_queue(&rig.insts, shim, true, 0, (uint32_t)i, 1, false);
    }
    ar_shim_bd(&rig.insts, 0, 15, 1, 0, (uint32_t)n * words);
    ar_queue(&rig.insts, shim, false, 0, 15, 1, true);
    ar_wait(&rig.insts, 0, 0);
    ar_load(&rig);
    n_shim_spans[0] = n_shim_spans[1] = 0;
    wi_array_trace(rig.array, note_shim, NULL);
    ar_run_to_end(&rig);
    wi_array_trace(rig.array, NULL, NULL);
}

/* [52, 53] eight tasks of 64 words: 1739, 804, 497, 422, 398, 399, 364, 369 cycles each; [56] one
 * every 2700 cycles. */
static void cold_starts(void **state) {
    (void)state;
    static const int measured[] = {1739, 804, 497, 422, 398, 399, 364, 369};
    tasks(8, 64);
    assert_int_equal(n_shim_spans[1], 8);
    for (int i = 0; i < 8; i++) {
        const struct span *s = &shim_spans[1][i];
        int took = (int)(s->end - s->start);
        if (took < measured[i] * 0.88 || took > measured[i] * 1.12)
            fail_msg("task %d took %d cycles, measured were %d", i, took, measured[i]);
        if (i)
            assert_in_range(s->start - s[-1].start, 2670, 2730);
    }
}

/* [50, 51] 1.05 cycles a word. */
static void long_transfers(void **state) {
    (void)state;
    uint64_t took[2];
    for (int i = 0; i < 2; i++) {
        tasks(1, i ? 16384 : 8192);
        took[i] = shim_spans[1][0].end - shim_spans[1][0].start;
    }
    double slope = (double)(took[1] - took[0]) / 8192;
    if (slope < 1.04 || slope > 1.06)
        fail_msg("%f cycles a word, from %d and %d", slope, (int)took[0], (int)took[1]);
}

/* The parameters that nobody has measured do what they say. */
static void parameters(void **state) {
    (void)state;
    struct wi_array_params *p = &rig.array->params, saved = *p;
    uint64_t took[5];
    for (int i = 0; i < 5; i++) {
        *p = saved;
        p->read_rate = i == 1 ? 256 : saved.read_rate; /* a word every 4 cycles */
        p->all_read_rate = i == 2 ? 512 : 0;           /* one channel may have all of it */
        p->read_latency = i == 3 ? 5325 : saved.read_latency;
        p->jitter = i == 4 ? 64 : 0; /* 32 cycles for 64 words on average */
        tasks(1, 8192);
        took[i] = shim_spans[1][0].end - shim_spans[1][0].start;
    }
    *p = saved;
    assert_in_range(took[1] - took[0], 8192 * 2.93, 8192 * 2.97);
    assert_in_range(took[2] - took[0], 8192 * 0.93, 8192 * 0.97);
    assert_int_equal(took[3] - took[0], 5000);
    assert_in_range(took[4] - took[0], 8192 * 0.4, 8192 * 0.6);
}

/* A memory tile that scatters words one by one takes as long for each as the parameter says. */
static void rate_of_scattering(void **state) {
    (void)state;
    struct wi_array_params *p = &rig.array->params, saved = *p;
    struct ar_tile from = {1, 1}, to = {1, 2}, mem = {1, 1};
    uint64_t took[2];
    for (int i = 0; i < 2; i++) {
        begin();
        struct wi_bd out = ar_plain(0x20000, 512), through = ar_plain(0, 512),
                     in = ar_plain(0x21000, 512);
        through.v[WI_BD_REL_ID] = 1;
        through.v[WI_BD_REL_VALUE] = 1;
        ar_bd(&rig.load, from, 0, &out);
        ar_bd(&rig.load, to, 0, &through);
        through.v[WI_BD_REL_VALUE] = 0;
        through.v[WI_BD_ACQ] = 1;
        through.v[WI_BD_ACQ_ID] = 1;
        through.v[WI_BD_ACQ_VALUE] = -1;
        ar_bd(&rig.load, to, 1, &through);
        in.v[WI_BD_STEP0] = 2;
        ar_bd(&rig.load, mem, 1, &in);
        ar_queue(&rig.load, from, true, 0, 0, 1, false);
        ar_queue(&rig.load, to, false, 0, 0, 1, false);
        ar_queue(&rig.load, to, true, 0, 1, 1, false);
        ar_queue(&rig.load, mem, false, 0, 1, 1, false);
        ar_route(&rig.load, from, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 0);
        ar_route(&rig.load, to, WI_SWITCH_SOUTH, 0, WI_SWITCH_DMA, 0);
        ar_route(&rig.load, to, WI_SWITCH_DMA, 0, WI_SWITCH_SOUTH, 0);
        ar_route(&rig.load, mem, WI_SWITCH_NORTH, 0, WI_SWITCH_DMA, 0);
        p->scatter_cycles = i ? 3 : 1;
        ar_load(&rig);
        assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
        took[i] = wi_array_cycles(rig.array);
    }
    *p = saved;
    assert_in_range(took[1] - took[0], 2 * 512 - 20, 2 * 512 + 20);
}

/* [55, 57, 58] writes alternate between 87 and 114 cycles, a masked one takes 210, a block of 8
 * words 203; the first operation comes 24000 to 40000 cycles after the start; a wait for a token
 * 8000 once. */
static void costs_of_the_controller(void **state) {
    (void)state;
    struct ar_tile core = {2, 3};
    static const uint32_t words[8] = {0};
    uint64_t cycles[4];
    for (int kind = 0; kind < 4; kind++) {
        begin();
        for (int i = 0; i < 100 && kind; i++)
            if (kind == 1)
                ar_write(&rig.insts, core, WI_MAP_DATA_MEM, 0, 1);
            else if (kind == 2)
                wi_cfg_mask_write(&rig.insts, WI_TILE_ADDR(2, 3, 0), 1, 1);
            else
                wi_cfg_block(&rig.insts, WI_TILE_ADDR(2, 3, 0), words, 8);
        ar_load(&rig);
        ar_run_to_end(&rig);
        cycles[kind] = wi_array_cycles(rig.array);
    }
    assert_int_equal(cycles[0], 30500); /* to the cycle, wherever a window of the emulator ends */
    assert_int_equal(cycles[1] - cycles[0], 100 * 100.5);
    assert_int_equal(cycles[2] - cycles[0], 100 * 210);
    assert_in_range(cycles[3] - cycles[0], 100 * 203, 100 * 205);
}

/* [13] 15 cycles from a channel's last word to the core's lock. */
static struct { uint64_t word, core; } meeting;

static void note_meeting(void *user, const struct wi_array_span *s) {
    (void)user;
    if (s->col == 0 && s->row == 2 && s->lane == WI_LANE_S2MM && strcmp(s->what, "transfer") == 0)
        meeting.word = s->end;
    if (s->col == 0 && s->row == 2 && s->lane == WI_LANE_CORE && strcmp(s->what, "lock") == 0)
        meeting.core = s->end;
}

static void a_core_sees_a_lock_of_the_dma_late(void **state) {
    (void)state;
    struct ar_tile core = {0, 2}, shim = {0, 0};
    begin();
    struct wi_bd bd = ar_plain(0, 16);
    bd.v[WI_BD_REL_ID] = 1;
    bd.v[WI_BD_REL_VALUE] = 1;
    ar_bd(&rig.load, core, 0, &bd);
    ar_queue(&rig.load, core, false, 0, 0, 1, false);
    ar_route_up(&rig.load, core, 0, 0, 0);
    ar_program(&rig.load, core, "movxm r0, #-1\nacq #49, r0\ndone\n");
    ar_shim_bd(&rig.insts, 0, 0, 0, 0, 16);
    ar_queue(&rig.insts, shim, true, 0, 0, 1, false);
    ar_load(&rig);
    wi_array_trace(rig.array, note_meeting, NULL);
    ar_run_to_end(&rig);
    wi_array_idle(rig.array, 10000);
    wi_array_trace(rig.array, NULL, NULL);
    assert_int_equal(meeting.core - meeting.word, 15);
}

#define TEST(f) cmocka_unit_test(f)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(drains),
                                       TEST(a_channel_takes_sixteen_words_before_its_lock),
                                       TEST(the_port_pauses_between_descriptors),
                                       TEST(latency_of_switches),
                                       TEST(cold_starts),
                                       TEST(long_transfers),
                                       TEST(parameters),
                                       TEST(rate_of_scattering),
                                       TEST(costs_of_the_controller),
                                       TEST(a_core_sees_a_lock_of_the_dma_late)};
    return cmocka_run_group_tests(tests, ar_setup, ar_teardown);
}
