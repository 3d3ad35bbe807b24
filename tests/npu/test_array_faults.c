/* Planted faults, one for each trap that a design can fall into: each must be named with its tile
 * and channel, descriptor or lock. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "array_rig.h"

static uint32_t host_in[256], host_out[256];
static const struct ar_tile mem = {1, 1}, core = {1, 2}, shim = {1, 0};

/* ------------------------------------------------------------------ a design that works */

/* Words from the host into a tile's memory at word 0 of it and back; lock 0: free, lock 1: full. */
struct design {
    struct ar_tile tile;
    struct wi_bd in, out;
    uint32_t n_in, n_out; /* descriptors */
    int lane_in, lane_out;
    int free_lock;
    int channel;
    uint32_t words; /* of the host's transfers */
    bool token, patch, shared_bd;
};

static void two_locks(struct wi_bd *bd, bool own64, int acquire, int release) {
    bd->v[WI_BD_LENGTH] = 64;
    bd->v[WI_BD_VALID] = 1;
    bd->v[WI_BD_ACQ] = 1;
    bd->v[WI_BD_ACQ_ID] = (own64 ? 64 : 0) + acquire;
    bd->v[WI_BD_ACQ_VALUE] = -1;
    bd->v[WI_BD_REL_ID] = (own64 ? 64 : 0) + release;
    bd->v[WI_BD_REL_VALUE] = 1;
    bd->v[WI_BD_BASE] = own64 ? 0x20000 : 0;
}

static struct design good(struct ar_tile tile) {
    struct design d = {.tile = tile,
                       .n_out = 1,
                       .lane_in = 1,
                       .free_lock = 1,
                       .words = 64,
                       .token = true,
                       .patch = true};
    two_locks(&d.in, tile.row == 1, 0, 1);
    two_locks(&d.out, tile.row == 1, 1, 0);
    return d;
}

static void put(const struct design *d) {
    bool odd = d->tile.row == 1 && d->channel % 2;
    ar_clear(&rig);
    ar_buffer(&rig, host_in, sizeof host_in);
    ar_buffer(&rig, host_out, sizeof host_out);
    ar_bd(&rig.load, d->tile, d->n_in, &d->in);
    ar_bd(&rig.load, d->tile, d->n_out, &d->out);
    ar_write(&rig.load, d->tile, WI_MAP_LOCK, 0, (uint32_t)d->free_lock);
    ar_queue(&rig.load, d->tile, false, (uint32_t)d->channel, d->n_in + (odd ? 24u : 0), 1, false);
    ar_queue(&rig.load, d->tile, true, (uint32_t)d->channel, d->n_out + (odd ? 24u : 0), 1, false);
    ar_route_up(&rig.load, d->tile, 0, d->lane_in, d->channel);
    ar_route_down(&rig.load, d->tile, d->channel, d->lane_out, 0);
    ar_tokens(&rig.load, d->tile.col);
    ar_shim_bd(&rig.insts, d->tile.col, 0, 0, 0, d->words);
    ar_queue(&rig.insts, (struct ar_tile){d->tile.col, 0}, true, 0, 0, 1, false);
    ar_shim_bd(&rig.insts, d->tile.col, 1, 1, 0, d->words);
    ar_queue(&rig.insts, (struct ar_tile){d->tile.col, 0}, false, 0, 1, 1, d->token);
    ar_wait(&rig.insts, d->tile.col, 0);
}

/* Both of load and run; the reason and everything that waits must contain all of `texts`. */
static void ends(enum wi_array_status expected, const char *const texts[4]) {
    struct wisp_error err = {0};
    struct wi_strbuf all;
    wi_strbuf_init(&all);
    enum wi_array_status status = WI_ARRAY_FAULT;
    if (wi_array_load(rig.array, &rig.load, &err) == WISP_OK)
        status = ar_run(&rig, 1000000);
    wi_strbuf_printf(&all, "%s\n", wi_array_reason(rig.array));
    wi_array_explain(rig.array, &all);
    if (status != expected)
        fail_msg("status %d instead of %d: %s", status, expected, all.data);
    for (int i = 0; i < 4 && texts[i]; i++)
        if (!strstr(all.data, texts[i]))
            fail_msg("'%s' is not in: %s", texts[i], all.data);
    wi_strbuf_fini(&all);
}
#define FAULT(...) ends(WI_ARRAY_FAULT, (const char *const[4]){__VA_ARGS__})
#define DEADLOCK(...) ends(WI_ARRAY_DEADLOCK, (const char *const[4]){__VA_ARGS__})

static void the_design_works(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 256; i++)
        host_in[i] = 0x1000 + i;
    for (int i = 0; i < 2; i++) {
        struct design d = good(i ? mem : core);
        memset(host_out, 0, sizeof host_out);
        put(&d);
        ar_load(&rig);
        ar_run_to_end(&rig);
        assert_memory_equal(host_out, host_in, 256);
        assert_int_equal(host_out[64], 0);
    }
}

/* ------------------------------------------------------------------ deadlocks */

static void a_missing_token(void **state) {
    (void)state;
    struct design d = good(core);
    d.token = false;
    put(&d);
    DEADLOCK("(1,0) s2mm0", "without one (bit 31 of the queue)");
}

static void a_lock_that_starts_wrong(void **state) {
    (void)state;
    struct design d = good(core);
    d.free_lock = 0;
    put(&d);
    DEADLOCK("(1,2) s2mm0 bd0 waits for lock0 of (1,2), which is 0, to be at least 1",
             "the controller (operation 6) waits for a token of (1,0) s2mm0",
             "(1,0) s2mm0 bd1 waits for 64 of 64 words");
    d = good(mem);
    d.free_lock = 0;
    put(&d);
    DEADLOCK("(1,1) s2mm0 bd0 waits for lock0 of (1,1), which is 0");
}

static void an_acquire_for_an_exact_value(void **state) {
    (void)state;
    struct design d = good(core);
    d.in.v[WI_BD_ACQ_VALUE] = 1; /* the lock holds 2: only -1 takes from that */
    d.free_lock = 2;
    put(&d);
    DEADLOCK("(1,2) s2mm0 bd0 waits for lock0 of (1,2), which is 2, to be 1");
}

static void a_wrong_lane(void **state) {
    (void)state;
    struct design d = good(core);
    put(&d);
    ar_route(&rig.load, mem, WI_SWITCH_SOUTH, 2, WI_SWITCH_NORTH, 2); /* beside the lane used */
    ar_route(&rig.load, shim, WI_SWITCH_SOUTH, 3, WI_SWITCH_NORTH, 2);
    ar_write(&rig.load, shim, WI_MAP_MASTER,
             (uint32_t)wi_switch_port_index(WI_TILE_SHIM, WI_SWITCH_MASTER, WI_SWITCH_NORTH, 1), 0);
    DEADLOCK("(1,2) south2 holds 4 words: it is not enabled");
}

static void a_receiver_of_more_words_than_come(void **state) {
    (void)state;
    struct design d = good(core);
    d.words = 32;
    put(&d);
    DEADLOCK("(1,2) s2mm0 bd0 waits for 32 of 64 words");
}

static void a_packet_without_end(void **state) {
    (void)state;
    struct design d = good(core);
    d.out.v[WI_BD_PACKET] = 1;
    d.out.v[WI_BD_PACKET_ID] = 3;
    d.out.v[WI_BD_NO_TLAST] = 1;
    put(&d);
    /* DMA0 and DMA1 share an arbiter on the way out; DMA1's packets wait for ever behind DMA0's. */
    struct wi_bd other = d.out;
    other.v[WI_BD_ACQ] = other.v[WI_BD_REL_VALUE] = 0;
    other.v[WI_BD_PACKET_ID] = 4;
    ar_bd(&rig.load, core, 5, &other);
    ar_queue(&rig.load, core, true, 1, 5, 1, false);
    for (uint32_t i = 1; i <= 2; i++) {
        ar_write(&rig.load, core, WI_MAP_SLAVE, i, 0xc0000000);
        ar_write(&rig.load, core, WI_MAP_SLOT, i, 0x1f0100 | (2 + i) << 24);
    }
    ar_write(&rig.load, core, WI_MAP_MASTER, 5, 0xc0000008);
    wi_cfg_block(&rig.load, WI_TILE_ADDR(core.col, core.row, 0), host_in, 64);
    ar_write(&rig.load, core, WI_MAP_LOCK, 1, 1); /* the way out starts first */
    ar_shim_bd(&rig.insts, 1, 2, 1, 0, 64);
    ar_queue(&rig.insts, shim, false, 0, 2, 1, true);
    ar_wait(&rig.insts, 1, 0);
    DEADLOCK("its arbiter is held by another packet");
}

static void a_core_that_waits(void **state) {
    (void)state;
    struct design d = good(core);
    d.out.v[WI_BD_ACQ_ID] = 2; /* which only the core releases, once it has lock 3 */
    put(&d);
    ar_program(&rig.load, core, "movxm r0, #-1\nacq #51, r0\nmovx r1, #1\nrel #50, r1\ndone\n");
    DEADLOCK("(1,2) core at 0x0010 waits for lock3 of (1,2), which is 0, to be at least 1",
             "mm2s0 bd1 waits for lock2");
}

/* ------------------------------------------------------------------ faults */

static void host_memory(void **state) {
    (void)state;
    struct design d = good(core);
    d.words = 257;
    d.in.v[WI_BD_LENGTH] = d.out.v[WI_BD_LENGTH] = 257;
    put(&d);
    FAULT("(1,0) mm2s0 bd0: 0x10400 is no registered host memory");
    d = good(core);
    put(&d);
    wi_cfg_patch(&rig.insts, WI_TILE_ADDR(1, 0, 0x1d0e4), 5, 0);
    FAULT("argument 5, which is not given");
    d = good(core);
    put(&d);
    wi_cfg_fini(&rig.insts);
    struct wi_bd bd = {{0}};
    bd.v[WI_BD_LENGTH] = 64;
    bd.v[WI_BD_VALID] = 1;
    ar_bd(&rig.insts, shim, 7, &bd);
    ar_queue(&rig.insts, shim, true, 0, 7, 1, false);
    ar_wait(&rig.insts, 1, 0);
    FAULT("(1,0) mm2s0 bd7: 0x0 is no registered host memory");
}

static void descriptors_in_use(void **state) {
    (void)state;
    struct design d = good(core);
    put(&d);
    ar_shim_bd(&rig.insts, 1, 3, 1, 0, 64);
    ar_queue(&rig.insts, shim, false, 0, 3, 1, true); /* nothing comes for it */
    ar_shim_bd(&rig.insts, 1, 3, 1, 0, 64);
    FAULT("(1,0) bd3.0: is written while s2mm0 bd3 uses it");
}

static void a_full_queue(void **state) {
    (void)state;
    struct design d = good(core);
    d.free_lock = 0;
    put(&d);
    for (int i = 0; i < 4; i++)
        ar_queue(&rig.load, core, false, 0, 0, 1, false);
    ar_queue(&rig.load, core, false, 0, 0, 1, false);
    FAULT("(1,2) s2mm0 bd0: a fifth task");
}

static void descriptors(void **state) {
    (void)state;
    struct design d = good(core);
    d.in.v[WI_BD_VALID] = 0;
    put(&d);
    FAULT("(1,2) s2mm0 bd0: the descriptor is not valid");
    d = good(core);
    d.in.v[WI_BD_LENGTH] = 0;
    put(&d);
    FAULT("(1,2) s2mm0 bd0: a length of 0");
    d = good(core);
    d.in.v[WI_BD_BASE] = 0x3fff;
    put(&d);
    FAULT("(1,2) s2mm0 bd0: 0x10000 is beyond the tile's memory");
    d = good(core);
    d.out.v[WI_BD_COMPRESS] = 1;
    put(&d);
    FAULT("(1,2) mm2s0 bd1: compression is not modelled");
    d = good(mem);
    d.in.v[WI_BD_BEFORE0] = 1;
    put(&d);
    FAULT("(1,1) s2mm0 bd0: only MM2S channels");
    d = good(mem);
    d.out.v[WI_BD_AFTER0] = 1;
    put(&d);
    FAULT("(1,1) mm2s0 bd1: zeros lie around a dimension that never ends");
}

static void memory_tiles(void **state) {
    (void)state;
    struct design d = good(mem);
    d.n_in = 24;
    put(&d);
    FAULT("(1,1) s2mm0 bd24: even channels have descriptors 0 to 23");
    d = good(mem);
    d.in.v[WI_BD_USE_NEXT] = 1;
    d.in.v[WI_BD_NEXT] = 30;
    put(&d);
    FAULT("(1,1) s2mm0 bd0: even channels");
    d = good((struct ar_tile){0, 1});
    d.in.v[WI_BD_BASE] = 0; /* forgot that own memory begins at 0x80000 */
    put(&d);
    FAULT("(0,1) s2mm0 bd0: 0x0 is the memory of a neighbour that is not there");
    d = good((struct ar_tile){0, 1});
    d.in.v[WI_BD_ACQ_ID] = 0; /* forgot that own locks begin at 64 */
    put(&d);
    FAULT("(0,1) s2mm0 bd0: a lock of a neighbour that is not there");
    d = good((struct ar_tile){3, 1});
    d.in.v[WI_BD_BASE] = 0x40000;
    put(&d);
    FAULT("(3,1) s2mm0 bd0: 0x100000 is the memory of a neighbour that is not there");
    d = good(mem);
    d.channel = 4;
    d.in.v[WI_BD_BASE] = 0;
    put(&d);
    FAULT("(1,1) s2mm4 bd0: 0x0 is a neighbour's memory, which channels 4 and 5 do not reach");
    d = good(mem);
    d.channel = 4;
    d.in.v[WI_BD_ACQ_ID] = 130;
    put(&d);
    FAULT("(1,1) s2mm4 bd0: a neighbour's lock");
    d = good(mem);
    put(&d);
    ar_write(&rig.load, mem, WI_MAP_ZERO_DATA, 0, 1);
    FAULT("(1,1) memory control: bit 1 is cleared");
}

static void locks(void **state) {
    (void)state;
    struct design d = good(core);
    d.in.v[WI_BD_REL_VALUE] = 63;
    put(&d);
    ar_write(&rig.load, core, WI_MAP_LOCK, 1, 1);
    ar_write(&rig.load, core, WI_MAP_LOCK, 2, 0);
    wi_cfg_fini(&rig.insts);
    d.out.v[WI_BD_ACQ_ID] = 2;
    put(&d);
    ar_write(&rig.load, core, WI_MAP_LOCK, 1, 1);
    FAULT("(1,2) s2mm0 bd0 releases lock1, which is 1, by +63: it would leave 0..63");
    d = good(core);
    put(&d);
    ar_write(&rig.load, core, WI_MAP_LOCK, 3, 64);
    FAULT("(1,2) lock3: a lock's value is 0 to 63");
    d = good(core);
    put(&d);
    ar_program(&rig.load, core, "movx r1, #-1\nrel #52, r1\n\n\n\n\n\n\n\n\n\n\ndone\n");
    FAULT("(1,2) the core releases lock4, which is 0, by -1");
    d = good(core);
    put(&d); /* south of row 2 there are no locks for cores */
    ar_program(&rig.load, core, "movx r1, #-1\nacq #3, r1\ndone\n");
    FAULT("(1,2) core: 0x0010", "lock 3");
}

static void cores(void **state) {
    (void)state;
    struct design d = good(core);
    put(&d);
    ar_program(&rig.load, core, "movxm p0, #262144\nlda r0, [p0, #0]\n\n\n\n\n\n\n\n\ndone\n");
    FAULT("(1,2) core: ", "no memory at 0x40000"); /* the memory tile is not in the south window */
    put(&d);
    ar_program(&rig.load, (struct ar_tile){0, 3},
               "movxm p0, #327680\nlda r0, [p0, #0]\n\n\n\n\n\n\n\n\ndone\n");
    FAULT("(0,3) core: ", "no memory at 0x50000"); /* west of column 0 */
}

static void streams(void **state) {
    (void)state;
    struct design d = good(core);
    put(&d);
    ar_write(&rig.load, shim, WI_MAP_MUX, 0, 0);
    FAULT("(1,0) mm2s0 bd0: the mux does not connect the channel");
    put(&d);
    ar_write(&rig.load, shim, WI_MAP_DEMUX, 0, 0);
    FAULT("(1,0) a word leaves the switch at south2", "the demux does not connect");
    put(&d);
    ar_route(&rig.load, mem, WI_SWITCH_SOUTH, 1, WI_SWITCH_NORTH, 2);
    FAULT("(1,1) the switch has no wire from south1", "to north2");
    put(&d);
    ar_route(&rig.load, core, WI_SWITCH_DMA, 0, WI_SWITCH_DMA, 1);
    FAULT("(1,2) the switch has no wire from dma0", "to dma1");
    put(&d);
    ar_route(&rig.load, (struct ar_tile){0, 2}, WI_SWITCH_DMA, 0, WI_SWITCH_WEST, 0);
    struct wi_bd bd = {{0}};
    bd.v[WI_BD_LENGTH] = 1;
    bd.v[WI_BD_VALID] = 1;
    ar_bd(&rig.load, (struct ar_tile){0, 2}, 0, &bd);
    ar_queue(&rig.load, (struct ar_tile){0, 2}, true, 0, 0, 1, false);
    FAULT("(0,2) a word leaves the switch at west0", "behind which there is no tile");
    d.out.v[WI_BD_PACKET] = 1;
    d.out.v[WI_BD_PACKET_ID] = 9;
    put(&d);
    ar_write(&rig.load, core, WI_MAP_SLAVE, 1, 0xc0000000);
    FAULT("(1,2) a packet with id 9", "dma0 (slave 1), where no slot matches");
    put(&d);
    ar_write(&rig.load, core, WI_MAP_SLAVE, 1, 0xc0000000);
    ar_write(&rig.load, core, WI_MAP_SLOT, 1, 0x091f0102);
    FAULT("(1,2) a packet with id 9", "whose arbiter and selector no master takes");
}

static void registers(void **state) {
    (void)state;
    struct design d = good(core);
    put(&d);
    wi_cfg_write(&rig.load, WI_TILE_ADDR(4, 2, 0x1f000), 0);
    FAULT("address 0x0821f000 is of tile (4,2), which is not in the array");
    put(&d);
    wi_cfg_write(&rig.load, WI_TILE_ADDR(1, 2, 0x1dffc), 0);
    FAULT("(1,2) no register is known at 0x1dffc");
    put(&d);
    ar_write(&rig.load, core, WI_MAP_S2MM_CTRL, 0, 8);
    FAULT("(1,2) s2mm0 control: out-of-order descriptors are not modelled");
    put(&d);
    ar_write(&rig.load, core, WI_MAP_S2MM_CTRL, 0, 2);
    ar_queue(&rig.load, core, false, 0, 0, 1, false);
    FAULT("(1,2) s2mm0: a task is pushed into a channel that is held in reset");
    put(&d);
    ar_write(&rig.load, shim, WI_MAP_COLUMN_RESET, 0, 1);
    FAULT("(1,0) column reset: writing it is not modelled");
}

#define TEST(f) cmocka_unit_test(f)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(the_design_works),
                                       TEST(a_missing_token),
                                       TEST(a_lock_that_starts_wrong),
                                       TEST(an_acquire_for_an_exact_value),
                                       TEST(a_wrong_lane),
                                       TEST(a_receiver_of_more_words_than_come),
                                       TEST(a_packet_without_end),
                                       TEST(a_core_that_waits),
                                       TEST(host_memory),
                                       TEST(descriptors_in_use),
                                       TEST(a_full_queue),
                                       TEST(descriptors),
                                       TEST(memory_tiles),
                                       TEST(locks),
                                       TEST(cores),
                                       TEST(streams),
                                       TEST(registers)};
    return cmocka_run_group_tests(tests, ar_setup, ar_teardown);
}
