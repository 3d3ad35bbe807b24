/* Units of the array at work together: locks and queues against plain counters, streams of cores,
 * cascade, packets, multicast, neighbours; and that neither threads nor where a run is cut change
 * anything. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "array_rig.h"
#include "npu/emu/array_impl.h"
#include "rig.h"

static uint32_t host_in[4096], host_out[4096];
static uint64_t seed = 99;

static void begin(struct array_rig *r) {
    ar_clear(r);
    for (uint32_t i = 0; i < 4096; i++)
        host_in[i] = rig_random(&seed) >> 8;
    memset(host_out, 0, sizeof host_out);
    ar_buffer(r, host_in, sizeof host_in);
    ar_buffer(r, host_out, sizeof host_out);
}

static struct wi_bd locked(struct wi_bd bd, int acquire, int release) {
    bd.v[WI_BD_ACQ] = acquire >= 0;
    bd.v[WI_BD_ACQ_ID] = acquire >= 0 ? acquire : 0;
    bd.v[WI_BD_ACQ_VALUE] = -1;
    bd.v[WI_BD_REL_ID] = release >= 0 ? release : 0;
    bd.v[WI_BD_REL_VALUE] = release >= 0;
    return bd;
}

/* ------------------------------------------------------------------ locks and queues */

/* Random operations, against what the documents say of a lock's value. */
static void locks_count(void **state) {
    (void)state;
    begin(&rig);
    ar_load(&rig);
    struct wi_tile *t = wi_arr_tile(rig.array, 1, 1);
    int value = 0;
    uint64_t now = 1000;
    for (int i = 0; i < 200000; i++, now += 1 + rig_random(&seed) % 3) {
        struct lock *lock = &t->lock[7];
        int v = (int)(rig_random(&seed) % 16) - 8;
        if (rig_random(&seed) % 2) {
            bool takes = v < 0 ? value >= -v : value == v;
            int got = wi_arr_acquire(lock, v, false, now);
            assert_int_equal(got > 0, takes);
            value -= takes ? (v < 0 ? -v : v) : 0;
            if (takes) /* one grant in a cycle */
                assert_true(wi_arr_acquire(lock, 0, false, now) <= 0);
        } else if (value + v >= 0 && value + v <= 63) {
            assert_true(wi_arr_release(t, 7, v, false, now, "the test"));
            value += v;
        }
        assert_int_equal(lock->value, value);
    }
    assert_false(wi_arr_release(t, 7, -value - 1, false, now, "the test"));
    assert_non_null(strstr(wi_array_reason(rig.array), "(1,1) the test releases lock7"));
}

/* Tasks run in the order of their pushes, each as often as asked; tokens come in that order too. */
static void queues_keep_order(void **state) {
    (void)state;
    struct ar_tile mem = {3, 1}, shim = {3, 0};
    for (int round = 0; round < 40; round++) {
        uint32_t n = 1 + rig_random(&seed) % 5, total = 0, want[4096];
        begin(&rig);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t words = 1 + rig_random(&seed) % 20, times = 1 + rig_random(&seed) % 6;
            struct wi_bd bd = ar_plain(0x20000 + 100 * i, words);
            ar_bd(&rig.load, mem, 2 * i, &bd);
            ar_queue(&rig.load, mem, true, 2, 2 * i, times, false);
            for (uint32_t k = 0; k < times; k++)
                for (uint32_t w = 0; w < words; w++)
                    want[total++] = host_in[100 * i + w];
        }
        wi_cfg_block(&rig.load, WI_TILE_ADDR(3, 1, 0), host_in, 600);
        ar_route_down(&rig.load, mem, 2, 3, 1);
        ar_tokens(&rig.load, 3);
        ar_shim_bd(&rig.insts, 3, 9, 1, 0, total);
        ar_queue(&rig.insts, shim, false, 1, 9, 1, true);
        ar_wait(&rig.insts, 3, 1);
        ar_load(&rig);
        ar_run_to_end(&rig);
        assert_memory_equal(host_out, want, 4 * total);
        struct wi_array_channel c;
        assert_true(wi_array_channel(rig.array, 3, 1, true, 2, &c));
        assert_int_equal(c.tasks, n);
        assert_int_equal(c.words, total);
    }
}

/* A wait consumes one token: as many as there were tasks with the token bit. */
static void tokens_are_counted(void **state) {
    (void)state;
    struct ar_tile mem = {0, 1}, shim = {0, 0};
    for (int waits = 3; waits <= 4; waits++) {
        begin(&rig);
        struct wi_bd bd = ar_plain(0x20000, 8);
        ar_bd(&rig.load, mem, 0, &bd);
        ar_queue(&rig.load, mem, true, 0, 0, 5, false);
        ar_route_down(&rig.load, mem, 0, 0, 0);
        ar_tokens(&rig.load, 0);
        ar_shim_bd(&rig.insts, 0, 1, 1, 0, 8);
        for (int i = 0; i < 3; i++)
            ar_queue(&rig.insts, shim, false, 0, 1, i == 1 ? 2 : 1, true);
        for (int i = 0; i < waits; i++)
            ar_wait(&rig.insts, 0, 0);
        ar_load(&rig);
        assert_int_equal(ar_run(&rig, 1000000), waits == 3 ? WI_ARRAY_DONE : WI_ARRAY_DEADLOCK);
    }
}

/* A task that the controller gives a memory tile at run time, descriptor and all; its token goes as
 * a packet from the tile's own port through two switches. */
static void tasks_of_memory_tiles_at_run_time(void **state) {
    (void)state;
    struct ar_tile mem = {2, 1}, shim = {2, 0};
    begin(&rig);
    wi_cfg_block(&rig.load, WI_TILE_ADDR(2, 1, 0), host_in, 64);
    ar_route_down(&rig.load, mem, 0, 1, 0);
    ar_tokens(&rig.load, 2);
    ar_write(&rig.load, mem, WI_MAP_MM2S_CTRL, 0, 26 << 8); /* Controller_ID */
    ar_write(&rig.load, mem, WI_MAP_SLAVE, 6, 0xc0000000);  /* its own port */
    ar_write(&rig.load, mem, WI_MAP_SLOT, 6, 26u << 24 | 0x1f0102);
    ar_write(&rig.load, mem, WI_MAP_MASTER, 7, 0xc000000a);  /* south 0, arbiter 2 */
    ar_write(&rig.load, shim, WI_MAP_SLAVE, 14, 0xc0000000); /* north 0 */
    ar_write(&rig.load, shim, WI_MAP_SLOT, 14,
             26u << 24 | 0x1f0135); /* with the shim's own tokens */
    for (int round = 0; round < 2; round++) {
        struct wi_bd bd = ar_plain(0x20000 + 32 * (uint32_t)round, 32);
        ar_shim_bd(&rig.insts, 2, 4, 1, 128 * (uint64_t)round, 32);
        ar_queue(&rig.insts, shim, false, 0, 4, 1, true);
        ar_bd(&rig.insts, mem, 3, &bd);
        ar_queue(&rig.insts, mem, true, 0, 3, 1, true);
        wi_cfg_wait(&rig.insts, (struct wi_cfg_tokens){
                                    .mm2s = 1, .col = 2, .row = 1, .n_cols = 1, .n_rows = 1});
        ar_wait(&rig.insts, 2, 0);
    }
    ar_load(&rig);
    ar_run_to_end(&rig);
    assert_memory_equal(host_out, host_in, 256);
}

/* What the controller reads of a core. */
static void status_of_cores(void **state) {
    (void)state;
    struct ar_tile t = {1, 3};
    static const struct {
        const char *text;
        uint32_t status;
    } cases[] = {{"done\n", 1 | 1 << 20},
                 {"movxm r0, #-1\nacq #0, r0\ndone\n", 1 | 1 << 6},
                 {"movxm r0, #-1\nacq #16, r0\ndone\n", 1 | 1 << 7},
                 {"movxm r0, #-1\nacq #32, r0\ndone\n", 1 | 1 << 8},
                 {"movxm r0, #-1\nacq #48, r0\ndone\n", 1 | 1 << 9},
                 {"mov r1, SS\ndone\n", 1 | 1 << 10},
                 {"vmov x1, SCD\ndone\n", 1 | 1 << 14}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&rig);
        ar_program(&rig.load, t, cases[i].text);
        ar_load(&rig);
        assert_int_equal(ar_read(&rig, t, WI_MAP_CORE_STATUS, 0, 0), 1);
        wi_cfg_add(&rig.insts, (struct wi_cfg_op){.kind = WI_CFG_MASK_POLL,
                                                  .addr = WI_TILE_ADDR(1, 3, 0x32004),
                                                  .mask = UINT32_MAX,
                                                  .value = cases[i].status});
        ar_run_to_end(&rig);
    }
}

/* ------------------------------------------------------------------ streams */

/* Two sources with packets of ids 1 and 2 share one lane; the receiver keeps or drops headers. */
static void packets_share_a_lane(void **state) {
    (void)state;
    struct ar_tile core = {1, 2}, mem = {1, 1};
    for (int drop = 0; drop < 2; drop++) {
        begin(&rig);
        wi_cfg_block(&rig.load, WI_TILE_ADDR(1, 2, 0), host_in, 256);
        for (uint32_t i = 0; i < 2; i++) {
            struct wi_bd bd = ar_plain(64 * i, 16);
            bd.v[WI_BD_PACKET] = 1;
            bd.v[WI_BD_PACKET_ID] = 1 + i;
            bd.v[WI_BD_PACKET_TYPE] = 5;
            bd.v[WI_BD_ITER_STEP] = 15;
            bd.v[WI_BD_ITER_WRAP] = 3;
            ar_bd(&rig.load, core, i, &bd);
            ar_queue(&rig.load, core, true, i, i, 4, false);
            ar_write(&rig.load, core, WI_MAP_SLAVE, 1 + i, 0xc0000000);
            ar_write(&rig.load, core, WI_MAP_SLOT, 1 + i, 0x1f0103 | (1 + i) << 24 | i << 4);
            /* in the memory tile by id to S2MM 0 and 1 */
            struct wi_bd to = ar_plain(0x20000 + 1000 * i, drop ? 64 : 68);
            ar_bd(&rig.load, mem, i ? 24 : 0, &to);
            ar_queue(&rig.load, mem, false, i, i ? 24 : 0, 1, false);
            ar_write(&rig.load, mem, WI_MAP_MASTER, i,
                     0xc0000000u | (uint32_t)drop << 7 | 1u << (3 + i) | 6);
        }
        /* both selectors of arbiter 3 go to south 0 */
        ar_write(&rig.load, core, WI_MAP_MASTER, 5, 0xc0000000u | 3u << 3 | 3);
        ar_write(&rig.load, mem, WI_MAP_SLAVE, 13, 0xc0000000);
        for (uint32_t i = 0; i < 2; i++) /* slots 0 and 1 of north 0 */
            wi_cfg_write(&rig.load, WI_TILE_ADDR(1, 1, 0xb0200 + 0x10 * 13 + 4 * i),
                         0x1f0106 | (1 + i) << 24 | i << 4);
        ar_load(&rig);
        assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t p = 0, at = 0; p < 4; p++) {
                uint32_t header = 1u << 21 | 2 << 16 | 5 << 12 | (1 + i);
                header |= (uint32_t)!__builtin_parity(header) << 31;
                if (!drop)
                    assert_int_equal(ar_read(&rig, mem, WI_MAP_DATA_MEM, 0, 1000 * i + at++),
                                     header);
                for (uint32_t w = 0; w < 16; w++)
                    assert_int_equal(ar_read(&rig, mem, WI_MAP_DATA_MEM, 0, 1000 * i + at++),
                                     host_in[64 * i + 16 * p + w]);
            }
    }
}

/* Finish on TLAST: every packet has a descriptor of its own, however long; a descriptor that
 * suppresses TLAST joins the next one to its packet. */
static void packets_end_descriptors(void **state) {
    (void)state;
    static const uint32_t lengths[] = {5, 17, 3, 30, 64}, joined[] = {5, 20, 30, 64};
    struct ar_tile mem = {0, 1}, core = {0, 2};
    for (int join = 0; join < 3; join++) { /* 2: a packet that is longer than the descriptor */
        begin(&rig);
        wi_cfg_block(&rig.load, WI_TILE_ADDR(0, 1, 0), host_in, 256);
        uint32_t n = 5, from = 0;
        for (uint32_t i = 0; i < n; i++) {
            struct wi_bd bd = ar_plain(0x20000 + from, lengths[i] + (join == 2 && i == 4));
            bd.v[WI_BD_NO_TLAST] = join == 1 && i == 1;
            bd.v[WI_BD_USE_NEXT] = i + 1 < n;
            bd.v[WI_BD_NEXT] = i + 1;
            ar_bd(&rig.load, mem, i, &bd);
            struct wi_bd to = ar_plain(100 * i, 64);
            to.v[WI_BD_USE_NEXT] = i + 1 < n;
            to.v[WI_BD_NEXT] = i + 1;
            ar_bd(&rig.load, core, i, &to);
            from += lengths[i];
        }
        ar_queue(&rig.load, mem, true, 0, 0, 1, false);
        ar_queue(&rig.load, core, false, 1, 0, 1, false);
        ar_write(&rig.load, core, WI_MAP_S2MM_CTRL, 1, 1 << 16);
        ar_route(&rig.load, mem, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 0);
        ar_route(&rig.load, core, WI_SWITCH_SOUTH, 0, WI_SWITCH_DMA, 1);
        ar_load(&rig);
        enum wi_array_status status = wi_array_idle(rig.array, 100000);
        if (join == 2) {
            assert_int_equal(status, WI_ARRAY_FAULT);
            assert_non_null(
                strstr(wi_array_reason(rig.array), "(0,2) s2mm1 bd4: the descriptor is full"));
            continue;
        }
        assert_int_equal(status, WI_ARRAY_DONE);
        for (uint32_t i = 0, at = 0; i < n - (uint32_t)join; i++)
            for (uint32_t w = 0; w < (join ? joined[i] : lengths[i]); w++)
                assert_int_equal(ar_read(&rig, core, WI_MAP_DATA_MEM, 0, 100 * i + w),
                                 host_in[at++]);
        struct wi_array_channel c;
        wi_array_channel(rig.array, 0, 2, false, 1, &c);
        assert_int_equal(c.descriptors, n - (uint32_t)join);
    }
}

/* One word goes to all sinks in the same cycle: a sink that waits holds up the others. */
static void multicast_waits_for_all(void **state) {
    (void)state;
    struct ar_tile mem = {0, 1};
    begin(&rig);
    wi_cfg_block(&rig.load, WI_TILE_ADDR(0, 1, 0), host_in, 128);
    struct wi_bd from = ar_plain(0x20000, 128);
    ar_bd(&rig.load, mem, 0, &from);
    ar_queue(&rig.load, mem, true, 0, 0, 1, false);
    ar_route(&rig.load, mem, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 0);
    for (int row = 2; row <= 5; row++) {
        struct ar_tile t = {0, row};
        struct wi_bd to = locked(ar_plain(0, 128), row == 4 ? 0 : -1, -1);
        ar_bd(&rig.load, t, 0, &to);
        ar_queue(&rig.load, t, false, 1, 0, 1, false);
        ar_route(&rig.load, t, WI_SWITCH_SOUTH, 0, WI_SWITCH_DMA, 1);
        if (row < 5)
            ar_route(&rig.load, t, WI_SWITCH_SOUTH, 0, WI_SWITCH_NORTH, 0);
    }
    ar_write(&rig.insts, (struct ar_tile){0, 4}, WI_MAP_LOCK, 0, 1);
    ar_load(&rig);
    assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
    for (int row = 2; row <= 5; row++) /* what buffers on the way hold, and no more */
        assert_in_range(wi_arr_tile(rig.array, 0, row)->channel[0][1].pushed, 14, 50);
    assert_int_equal(wi_arr_tile(rig.array, 0, 4)->channel[0][1].pushed, 16);
    ar_run_to_end(&rig);
    wi_array_idle(rig.array, 10000);
    for (int row = 2; row <= 5; row++)
        for (uint32_t i = 0; i < 128; i++)
            assert_int_equal(ar_read(&rig, (struct ar_tile){0, row}, WI_MAP_DATA_MEM, 0, i),
                             host_in[i]);
}

#define LOOP_8                                                                                     \
    "movxm LS, #160\nmovxm LE, #288\nmovxm LC, #8\n\n\n\n\n\n\n\n" /* body: lines 10 to 18 */
#define LOOP_16                                                                                    \
    "movxm LS, #160\nmovxm LE, #288\nmovxm LC, #16\n\n\n\n\n\n\n\n" /* body: lines 10 to 18 */

/* Words through a core: from its stream port to its stream port, one more on the way. */
static void streams_of_cores(void **state) {
    (void)state;
    struct ar_tile mem = {2, 1}, core = {2, 2};
    begin(&rig);
    wi_cfg_block(&rig.load, WI_TILE_ADDR(2, 1, 0), host_in, 8);
    struct wi_bd from = ar_plain(0x20000, 8), to = ar_plain(0x20100, 8);
    ar_bd(&rig.load, mem, 0, &from);
    ar_bd(&rig.load, mem, 1, &to);
    ar_queue(&rig.load, mem, true, 0, 0, 1, false);
    ar_queue(&rig.load, mem, false, 0, 1, 1, false);
    ar_route(&rig.load, mem, WI_SWITCH_DMA, 0, WI_SWITCH_NORTH, 5);
    ar_route(&rig.load, core, WI_SWITCH_SOUTH, 5, WI_SWITCH_CORE, 0);
    ar_route(&rig.load, core, WI_SWITCH_CORE, 0, WI_SWITCH_SOUTH, 2);
    ar_route(&rig.load, mem, WI_SWITCH_NORTH, 2, WI_SWITCH_DMA, 0);
    ar_program(&rig.load, core,
               LOOP_8 "mov r1, SS\n\n\n\n\n\n\nadd r1, r1, #1\nmov ms, r1\n"
                      "done\n");
    ar_load(&rig);
    ar_run_to_end(&rig);
    assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(ar_read(&rig, mem, WI_MAP_DATA_MEM, 0, 0x100 + i), host_in[i] + 1);
}

/* ------------------------------------------------------------------ cascade and neighbours */

/* Sixteen vectors down a column or along a row, through a core in the middle; the last one is slow,
 * so that the four places between two cores fill up. */
static void cascades(void **state) {
    (void)state;
    for (int east = 0; east < 2; east++) {
        struct ar_tile a = {0, 4}, b = east ? (struct ar_tile){1, 4} : (struct ar_tile){0, 3},
                       c = east ? (struct ar_tile){2, 4} : (struct ar_tile){0, 2};
        begin(&rig);
        wi_cfg_block(&rig.load, WI_TILE_ADDR(a.col, a.row, 0), host_in, 256);
        ar_program(&rig.load, a,
                   "movxm p0, #458752\nmovxm LS, #160\nmovxm LE, #288\nmovxm LC, #16\n\n\n\n\n\n\n"
                   "vlda wl1, [p0], #32\nvlda wh1, [p0], #32\n\n\n\n\n\n\nvmov MCD, x1\ndone\n");
        ar_program(&rig.load, b, LOOP_16 "vmov x1, SCD\n\n\n\n\n\n\n\nvmov MCD, x1\ndone\n");
        ar_program(&rig.load, c,
                   "movxm p0, #458752\nmovxm LS, #160\nmovxm LE, #800\nmovxm LC, #16\n\n\n\n\n\n\n"
                   "vmov x1, SCD\n\n\n\n\n\n\nvst wl1, [p0], #32\nvst wh1, [p0], #32\n"
                   "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\ndone\n");
        if (east) {
            ar_write(&rig.load, a, WI_MAP_CASCADE, 0, 2);
            ar_write(&rig.load, b, WI_MAP_CASCADE, 0, 3);
            ar_write(&rig.load, c, WI_MAP_CASCADE, 0, 1);
        }
        ar_load(&rig);
        ar_run_to_end(&rig);
        assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
        for (uint32_t i = 0; i < 256; i++)
            assert_int_equal(ar_read(&rig, c, WI_MAP_DATA_MEM, 0, i), host_in[i]);
        struct wi_emu_counters n;
        assert_true(wi_array_core_counters(rig.array, a.col, a.row, &n));
        assert_int_equal(n.stalls[WI_EMU_STALL_CASCADE_OUT] > 0, true);
        assert_true(wi_array_core_counters(rig.array, b.col, b.row, &n));
        assert_true(n.stalls[WI_EMU_STALL_CASCADE_IN] > 0);
    }
}

/* A core writes into the memory of each neighbour it reaches and releases a lock there. */
static void neighbours(void **state) {
    (void)state;
    static const struct {
        const char *window;
        int d_col, d_row, lock;
    } sides[] = {
        {"262144", 0, -1, 5}, {"327680", -1, 0, 21}, {"393216", 0, 1, 37}, {"458752", 0, 0, 53}};
    struct ar_tile core = {2, 3};
    char text[2000];
    int n = 0;
    begin(&rig);
    for (int i = 0; i < 4; i++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "movxm p0, #%s\nmovx r1, #%d\nst r1, [p0, #0]\n\n\n\n\n\n\n\nrel #%d, r1\n",
                      sides[i].window, 11 + i, sides[i].lock);
    snprintf(text + n, sizeof text - (size_t)n, "\n\n\n\n\n\n\n\n\n\n\n\ndone\n");
    ar_program(&rig.load, core, text);
    ar_load(&rig);
    ar_run_to_end(&rig);
    assert_int_equal(wi_array_idle(rig.array, 100000), WI_ARRAY_DONE);
    for (int i = 0; i < 4; i++) {
        struct ar_tile there = {2 + sides[i].d_col, 3 + sides[i].d_row};
        assert_int_equal(ar_read(&rig, there, WI_MAP_DATA_MEM, 0, 0), 11 + i);
        assert_int_equal(ar_read(&rig, there, WI_MAP_LOCK, 5, 0), 11 + i);
    }
}

/* ------------------------------------------------------------------ banks */

/* A core that reads one bank in every cycle, and a drain from the same memory: the drain waits for
 * gaps and takes its turn when its buffer runs dry. */
static void core_against_drain(void **state) {
    (void)state;
    struct ar_tile core = {0, 2}, shim = {0, 0};
    uint64_t lost[2];
    for (int same = 0; same < 2; same++) {
        begin(&rig);
        struct wi_bd bd = ar_plain(same ? 0 : 0x2000, 2048);
        bd.v[WI_BD_STEP0] = 0;
        ar_bd(&rig.load, core, 0, &bd);
        ar_queue(&rig.insts, core, true, 0, 0, 1, false);
        ar_route_down(&rig.load, core, 0, 0, 0);
        ar_tokens(&rig.load, 0);
        ar_program(
            &rig.load, core,
            "movxm p0, #458752\nmovxm LS, #160\nmovxm LE, #208\nmovxm LC, #20000\n\n\n\n\n\n\n"
            "vlda wl0, [p0, #0]\nvlda wl0, [p0, #0]\nvlda wl0, [p0, #0]\nvlda wl0, [p0, "
            "#0]\ndone\n");
        ar_shim_bd(&rig.insts, 0, 1, 1, 0, 2048);
        ar_queue(&rig.insts, shim, false, 0, 1, 1, true);
        ar_wait(&rig.insts, 0, 0);
        ar_load(&rig);
        ar_run_to_end(&rig);
        struct wi_emu_counters n;
        struct wi_array_channel c;
        assert_true(wi_array_core_counters(rig.array, 0, 2, &n));
        assert_true(wi_array_channel(rig.array, 0, 2, true, 0, &c));
        lost[same] = n.stalls[WI_EMU_STALL_MEMORY];
        print_message("core lost %d, drain waited %d cycles\n", (int)lost[same], (int)c.memory);
        assert_int_equal(c.memory > 0, same);
    }
    assert_int_equal(lost[0], 0);
    assert_in_range(lost[1], 1, 600);
}

/* ------------------------------------------------------------------ determinism */

enum { ROUNDS = 8, WORDS = 64 };

/* Each column's four cores get the same words, add to the first one, and write it to their
 * neighbour in the north as well; results are gathered in the memory tile. */
static void busy_array(struct array_rig *r) {
    begin(r);
    for (int col = 0; col < 4; col++) {
        struct ar_tile mem = {col, 1}, shim = {col, 0};
        for (int row = 2; row <= 5; row++) {
            struct ar_tile t = {col, row};
            struct wi_bd in = locked(ar_plain(0x400, WORDS), 0, 1),
                         out = locked(ar_plain(0x400, WORDS), 2, 0);
            char text[1000];
            in.v[WI_BD_USE_NEXT] = out.v[WI_BD_USE_NEXT] = 1;
            out.v[WI_BD_NEXT] = 1;
            ar_bd(&r->load, t, 0, &in);
            ar_bd(&r->load, t, 1, &out);
            ar_write(&r->load, t, WI_MAP_LOCK, 0, 1);
            ar_queue(&r->load, t, false, 0, 0, 1, false);
            ar_queue(&r->load, t, true, 0, 1, 1, false);
            ar_route(&r->load, t, WI_SWITCH_SOUTH, 1, WI_SWITCH_DMA, 0);
            if (row < 5)
                ar_route(&r->load, t, WI_SWITCH_SOUTH, 1, WI_SWITCH_NORTH, 1);
            ar_route(&r->load, t, WI_SWITCH_DMA, 0, WI_SWITCH_SOUTH, row - 2);
            for (int under = row - 1; under > 1; under--)
                ar_route(&r->load, (struct ar_tile){col, under}, WI_SWITCH_NORTH, row - 2,
                         WI_SWITCH_SOUTH, row - 2);
            ar_route(&r->load, mem, WI_SWITCH_NORTH, row - 2, WI_SWITCH_DMA, row - 2);
            struct wi_bd gather = ar_plain(0x20000 + 0x1000 * (uint32_t)(row - 2), WORDS * ROUNDS);
            uint32_t channel = (uint32_t)row - 2, bd = channel % 2 ? 24 + channel : channel;
            ar_bd(&r->load, mem, bd, &gather);
            ar_queue(&r->load, mem, false, channel, bd, 1, false);
            snprintf(
                text, sizeof text,
                "movxm r0, #-1\nmovxm p1, #462848\nmovxm p2, #%d\nmovx r4, #1\n" /* lines 0..3 */
                "acq #49, r0\nlda r2, [p1, #0]\n\n\n\n\n\n\nadd r2, r2, #%d\nst r2, [p1, #0]\n"
                "st r2, [p2, #0]\n\n\n\n\n\n\n\n\nrel #50, r4\njnz r4, #64\n\n\n\n\n\n",
                row < 5 ? 0x61f00 : 0x71f00, 10 * col + row);
            ar_program(&r->load, t, text);
        }
        ar_route_up(&r->load, mem, 0, 1, 5);
        ar_route(&r->load, mem, WI_SWITCH_SOUTH, 1, WI_SWITCH_NORTH, 1);
        ar_write(&r->load, mem, WI_MAP_MASTER, 5, 0); /* not into the memory tile */
        ar_tokens(&r->load, col);
        ar_shim_bd(&r->insts, col, 0, 0, 0x400 * (uint64_t)col, WORDS * ROUNDS);
        ar_queue(&r->insts, shim, true, 0, 0, 1, false);
    }
}

static uint64_t digest(struct array_rig *r) {
    uint64_t sum = 1469598103934665603u;
    for (int i = 0; i < WI_ARRAY_TILES; i++) {
        const struct wi_tile *t = &r->array->tile[i];
        for (uint32_t b = 0; b < t->memory_bytes; b++)
            sum = (sum ^ t->memory[b]) * 1099511628211u;
        struct wi_emu_counters n = {0};
        if (wi_array_core_counters(r->array, t->col, t->row, &n))
            for (size_t b = 0; b < sizeof n; b++)
                sum = (sum ^ ((uint8_t *)&n)[b]) * 1099511628211u;
        for (int c = 0; c < t->n_channels; c++) {
            struct wi_array_channel in, out;
            wi_array_channel(r->array, t->col, t->row, false, c, &in);
            wi_array_channel(r->array, t->col, t->row, true, c, &out);
            sum = (sum ^ in.words ^ in.lock << 8 ^ in.stream << 16 ^ in.memory << 24) *
                  1099511628211u;
            sum = (sum ^ out.words ^ out.lock << 8 ^ out.stream << 16 ^ out.memory << 24) *
                  1099511628211u;
        }
    }
    return sum;
}

static void threads_change_nothing(void **state) {
    (void)state;
    uint64_t first = 0, cycles = 0;
    for (int threads = 1; threads <= 4; threads++) {
        struct array_rig r;
        struct wi_array_params params;
        wi_array_params_init(&params);
        params.n_threads = threads;
        params.jitter = 50;
        ar_init(&r, &params);
        seed = 4711;
        busy_array(&r);
        ar_load(&r);
        ar_run_to_end(&r);
        assert_int_equal(wi_array_idle(r.array, 100000), WI_ARRAY_DONE);
        for (int col = 0; col < 4; col++)
            for (int row = 2; row <= 5; row++)
                for (uint32_t i = 0; i < WORDS * ROUNDS; i++)
                    assert_int_equal(ar_read(&r, (struct ar_tile){col, 1}, WI_MAP_DATA_MEM, 0,
                                             0x1000 * (uint32_t)(row - 2) + i),
                                     host_in[0x100 * col + (int)i] +
                                         (i % WORDS ? 0 : 10 * (uint32_t)col + (uint32_t)row));
        if (threads == 1) {
            first = digest(&r);
            cycles = wi_array_cycles(r.array);
        }
        assert_int_equal(wi_array_cycles(r.array), cycles);
        assert_int_equal(digest(&r), first);
        ar_clear(&r);
        ar_fini(&r);
    }
}

/* The timeline of a core has no gaps and nothing twice. */
static struct {
    uint64_t end[4][6], stalled[4][6];
    int n;
} seen;

static void see(void *user, const struct wi_array_span *s) {
    (void)user;
    assert_true(s->start < s->end || s->lane != WI_LANE_CORE);
    if (s->lane != WI_LANE_CORE)
        return;
    assert_int_equal(s->start, seen.end[s->col][s->row]);
    seen.end[s->col][s->row] = s->end;
    if (strcmp(s->what, "running") != 0)
        seen.stalled[s->col][s->row] += s->end - s->start;
    seen.n++;
}

static void timelines_have_no_gaps(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    busy_array(&rig);
    ar_load(&rig);
    wi_array_trace(rig.array, see, NULL);
    wi_array_start(rig.array, &rig.insts, rig.address, rig.n_buffers);
    while (wi_array_run(rig.array, 5000) != WI_ARRAY_DONE)
        ;
    wi_array_idle(rig.array, 100000);
    wi_array_trace(rig.array, NULL, NULL);
    for (int col = 0; col < 4; col++)
        for (int row = 2; row <= 5; row++) {
            struct wi_emu_counters n;
            assert_int_equal(seen.end[col][row], wi_array_cycles(rig.array));
            assert_true(wi_array_core_counters(rig.array, col, row, &n));
            /* an operation that is granted at once stalls for a cycle that the timeline does not
             * show */
            uint64_t waited = n.stalls[WI_EMU_STALL_LOCK];
            assert_in_range(waited + (wi_array_cycles(rig.array) - n.cycles),
                            seen.stalled[col][row], seen.stalled[col][row] + 100);
        }
    assert_true(seen.n > 16 * 8);
}

/* Limits at any cycle change nothing but where a run can be looked at. */
static void cuts_change_little(void **state) {
    (void)state;
    uint64_t cycles[2];
    for (int cut = 0; cut < 2; cut++) {
        seed = 4711;
        busy_array(&rig);
        ar_load(&rig);
        wi_array_start(rig.array, &rig.insts, rig.address, rig.n_buffers);
        while (wi_array_run(rig.array, cut ? 97 : 1000000) != WI_ARRAY_DONE)
            ;
        wi_array_idle(rig.array, 100000);
        cycles[cut] = wi_array_cycles(rig.array);
        assert_int_equal(ar_read(&rig, (struct ar_tile){3, 1}, WI_MAP_DATA_MEM, 0, 0),
                         host_in[0x300] + 32);
    }
    assert_in_range(cycles[1], cycles[0] - 20, cycles[0] + 20); /* bank conflicts are taken late */
}

#define TEST(f) cmocka_unit_test(f)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(locks_count),
                                       TEST(queues_keep_order),
                                       TEST(tokens_are_counted),
                                       TEST(tasks_of_memory_tiles_at_run_time),
                                       TEST(status_of_cores),
                                       TEST(packets_share_a_lane),
                                       TEST(packets_end_descriptors),
                                       TEST(multicast_waits_for_all),
                                       TEST(streams_of_cores),
                                       TEST(cascades),
                                       TEST(neighbours),
                                       TEST(core_against_drain),
                                       TEST(threads_change_nothing),
                                       TEST(timelines_have_no_gaps),
                                       TEST(cuts_change_little)};
    return cmocka_run_group_tests(tests, ar_setup, ar_teardown);
}
