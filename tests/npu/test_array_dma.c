/* DMA channels of all three kinds against a plain model of what descriptors mean: nested loops,
 * written apart from the emulator.  Random descriptors with every field; through shim, switches and
 * back. */
#include "unit/suite.h"

#include <stdlib.h>
#include <string.h>

#include "array_rig.h"
#include "npu/emu/dma_addr.h"
#include "rig.h"

static uint64_t seed = 20260101;

static uint32_t below(uint32_t n) {
    return rig_random(&seed) % n;
}

/* ------------------------------------------------------------------ the plain model */

enum { MOST = 40000, ZERO = 0xffffffff };

struct plain {
    const struct wi_bd *bd;
    uint32_t n, left;
    uint32_t word[MOST]; /* addresses in the order of the stream; ZERO: a zero */
};

static uint32_t elements(const struct wi_bd *bd, int d) {
    return d < 0 ? 1
                 : (uint32_t)(bd->v[WI_BD_BEFORE0 + d] + bd->v[WI_BD_WRAP0 + d] +
                              bd->v[WI_BD_AFTER0 + d]) *
                       elements(bd, d - 1);
}

static void zeros(struct plain *p, uint32_t n) {
    while (n-- > 0)
        p->word[p->n++] = ZERO;
}

/* Dimension d from address `at` on; false when the length ended inside. */
static bool dimension(struct plain *p, int d, uint32_t at) {
    const int64_t *v = p->bd->v;
    if (d < 0) {
        p->word[p->n++] = at;
        p->left--;
        return true;
    }
    uint32_t wrap = d < 3 ? (uint32_t)v[WI_BD_WRAP0 + d] : 0;
    uint32_t below_it = d < 3 ? elements(p->bd, d - 1) : 0;
    if (d < 3)
        zeros(p, (uint32_t)v[WI_BD_BEFORE0 + d] * below_it);
    for (uint32_t i = 0; wrap == 0 || i < wrap; i++) {
        if (p->left == 0)
            return false;
        if (!dimension(p, d - 1, at + i * (uint32_t)(v[WI_BD_STEP0 + d] + 1)))
            return false;
    }
    zeros(p, (uint32_t)v[WI_BD_AFTER0 + d] * below_it);
    return true;
}

/* One execution, at iteration `iteration`. */
static void plain_run(struct plain *p, const struct wi_bd *bd, uint32_t iteration) {
    p->bd = bd;
    p->left = (uint32_t)bd->v[WI_BD_LENGTH];
    dimension(p, 3, (uint32_t)(bd->v[WI_BD_BASE] + iteration * (bd->v[WI_BD_ITER_STEP] + 1)));
}

/* ------------------------------------------------------------------ random descriptors */

/* Dimensions of a kind of tile, small enough for its memory and the model's arrays. */
static struct wi_bd random_bd(enum wi_tile_kind kind, bool padding, uint32_t first, uint32_t most) {
    struct wi_bd bd = {{0}};
    int dims = kind == WI_TILE_MEM ? 3 : 2;
    uint32_t full = 1;
    bool ends = false;
    for (int d = 0; d < dims && !ends; d++) {
        ends = below(4) == 0;
        bd.v[WI_BD_STEP0 + d] = below(3) ? 0 : below(d == 0 ? 8 : 40);
        if (ends)
            continue;
        bd.v[WI_BD_WRAP0 + d] = 1 + below(9);
        full *= (uint32_t)bd.v[WI_BD_WRAP0 + d];
        if (padding && below(2)) {
            bd.v[WI_BD_BEFORE0 + d] = below(d == 2 ? 2 : 4);
            bd.v[WI_BD_AFTER0 + d] = below(d == 2 ? 2 : 4);
        }
    }
    bd.v[WI_BD_STEP0 + dims] = below(50);
    bd.v[WI_BD_LENGTH] = below(3) ? full * (1 + below(3)) : 1 + below(2 * full);
    if (bd.v[WI_BD_LENGTH] > most)
        bd.v[WI_BD_LENGTH] = most;
    bd.v[WI_BD_BASE] = first + below(100);
    if (below(2)) {
        bd.v[WI_BD_ITER_STEP] = below(60);
        bd.v[WI_BD_ITER_WRAP] = below(4);
        bd.v[WI_BD_ITER_NOW] = below((uint32_t)bd.v[WI_BD_ITER_WRAP] + 1);
    }
    bd.v[WI_BD_VALID] = 1;
    return bd;
}

static void addresses_of_random_descriptors(void **state) {
    (void)state;
    static struct plain p;
    for (int round = 0; round < 4000; round++) {
        struct wi_bd bd =
            random_bd(round % 2 ? WI_TILE_MEM : WI_TILE_CORE, round % 4 == 1, 0, 2000);
        struct wi_dma_addr a;
        p.n = 0;
        plain_run(&p, &bd, (uint32_t)bd.v[WI_BD_ITER_NOW]);
        wi_dma_addr_init(&a, &bd);
        for (uint32_t i = 0; i < p.n; i++) {
            uint64_t word = 0;
            assert_true(wi_dma_addr_more(&a));
            bool real = wi_dma_addr_peek(&a, &word);
            assert_int_equal(real, p.word[i] != ZERO);
            if (real)
                assert_int_equal(word, p.word[i]);
            wi_dma_addr_step(&a);
        }
        assert_false(wi_dma_addr_more(&a));
        assert_int_equal(wi_dma_addr_total(&bd), p.n);
    }
}

/* ------------------------------------------------------------------ through the array */

enum { HOST = 20000, IMAGE = 12000 };
static uint32_t host_in[HOST], host_out[HOST], image[IMAGE];

static uint32_t after_times(const struct wi_bd *bd, uint32_t times) {
    return (uint32_t)((bd->v[WI_BD_ITER_NOW] + times) % (bd->v[WI_BD_ITER_WRAP] + 1));
}

/* The stream of a descriptor that is executed `times` times. */
static void plain_stream(struct plain *p, const struct wi_bd *bd, uint32_t times) {
    p->n = 0;
    for (uint32_t i = 0; i < times; i++)
        plain_run(p, bd, after_times(bd, i));
}

/* What `in` and `out` do on a tile: words in through S2MM `channel`, other words out through MM2S.
 */
static void once(struct ar_tile t, int channel_in, int channel_out) {
    enum wi_tile_kind kind = wi_tile_kind(t.row);
    static struct plain in, out;
    uint32_t own = kind == WI_TILE_MEM ? 0x20000 : 0, times_in = 1 + below(5),
             times_out = 1 + below(5);
    struct wi_bd bd_in = random_bd(kind, false, own, 600);
    struct wi_bd bd_out = random_bd(kind, kind == WI_TILE_MEM, own + 6000, 600);
    uint32_t n_in = channel_in % 2 ? 24 + below(24) : below(16);
    uint32_t n_out = channel_out % 2 ? 24 + below(24) : below(16);
    if (kind == WI_TILE_CORE) {
        n_in = below(8);
        n_out = 8 + below(8);
    } else if (n_out == n_in) {
        n_out ^= 1;
    }
    plain_stream(&in, &bd_in, times_in);
    plain_stream(&out, &bd_out, times_out);
    assert_true(in.n <= HOST && out.n <= HOST);
    ar_clear(&rig);
    for (uint32_t i = 0; i < HOST; i++)
        host_in[i] = rig_random(&seed);
    memset(host_out, 0, sizeof host_out);
    for (uint32_t i = 0; i < IMAGE; i++)
        image[i] = rig_random(&seed);
    ar_buffer(&rig, host_in, sizeof host_in);
    ar_buffer(&rig, host_out, sizeof host_out);
    wi_cfg_block(&rig.load, WI_TILE_ADDR(t.col, t.row, 0), image, IMAGE);
    ar_bd(&rig.load, t, n_in, &bd_in);
    ar_bd(&rig.load, t, n_out, &bd_out);
    ar_queue(&rig.load, t, false, (uint32_t)channel_in, n_in, times_in, false);
    ar_queue(&rig.load, t, true, (uint32_t)channel_out, n_out, times_out, false);
    ar_route_up(&rig.load, t, (int)below(2), (int)below(4), channel_in);
    ar_route_down(&rig.load, t, channel_out, (int)below(4), 1);
    ar_tokens(&rig.load, t.col);
    ar_load(&rig);
    struct ar_tile shim = {t.col, 0};
    for (uint32_t c = 0; c < 2; c++) /* the channel that is not routed gets no task */
        if (ar_read(&rig, shim, WI_MAP_MUX, 0, 0) == (c ? 0x4000 : 0x400)) {
            ar_shim_bd(&rig.insts, t.col, 3, 0, 0, in.n);
            ar_queue(&rig.insts, shim, true, c, 3, 1, false);
        }
    ar_shim_bd(&rig.insts, t.col, 4, 1, 0, out.n);
    ar_queue(&rig.insts, shim, false, 1, 4, 1, true);
    ar_wait(&rig.insts, t.col, 1);
    ar_run_to_end(&rig);
    wi_array_idle(rig.array, 100000); /* the way in has no token */
    for (uint32_t i = 0; i < out.n; i++)
        assert_int_equal(host_out[i], out.word[i] == ZERO ? 0 : image[out.word[i] - own]);
    for (uint32_t i = 0; i < in.n; i++)
        image[in.word[i] - own] = host_in[i];
    for (uint32_t i = 0; i < IMAGE; i++)
        assert_int_equal(ar_read(&rig, t, WI_MAP_DATA_MEM, 0, i), image[i]);
    /* iterations are live registers */
    enum wi_bd_field field;
    uint32_t words[WI_BD_MAX_WORDS];
    bd_in.v[WI_BD_ITER_NOW] = after_times(&bd_in, times_in);
    assert_true(wi_bd_pack(kind, &bd_in, words, &field));
    for (uint32_t i = 0; i < (uint32_t)wi_bd_words(kind); i++)
        assert_int_equal(ar_read(&rig, t, WI_MAP_BD, n_in, i), words[i]);
}

static void random_descriptors_of_memory_tiles(void **state) {
    (void)state;
    for (int round = 0; round < 150; round++)
        once((struct ar_tile){(int)below(4), 1}, (int)below(6), (int)below(6));
}

static void random_descriptors_of_compute_tiles(void **state) {
    (void)state;
    for (int round = 0; round < 150; round++)
        once((struct ar_tile){(int)below(4), 2 + (int)below(4)}, (int)below(2), (int)below(2));
}

/* The shim's own dimensions: gathered from and scattered to host memory. */
static void random_descriptors_of_shims(void **state) {
    (void)state;
    static struct plain in, out;
    struct ar_tile mem = {1, 1}, shim = {1, 0};
    for (int round = 0; round < 100; round++) {
        struct wi_bd bd_in = random_bd(WI_TILE_SHIM, false, 0, 500), through = {{0}};
        struct wi_bd bd_out = random_bd(WI_TILE_SHIM, false, 0, 500);
        bd_in.v[WI_BD_ITER_NOW] = bd_out.v[WI_BD_ITER_NOW] = 0;
        bd_in.v[WI_BD_BASE] = bd_out.v[WI_BD_BASE] = 0;
        bd_out.v[WI_BD_LENGTH] = bd_in.v[WI_BD_LENGTH];
        uint32_t times = 1 + below(3);
        plain_stream(&in, &bd_in, times);
        plain_stream(&out, &bd_out, times);
        ar_clear(&rig);
        for (uint32_t i = 0; i < HOST; i++)
            host_in[i] = rig_random(&seed);
        memset(host_out, 0x55, sizeof host_out);
        ar_buffer(&rig, host_in, sizeof host_in);
        ar_buffer(&rig, host_out, sizeof host_out);
        through.v[WI_BD_LENGTH] = in.n;
        through.v[WI_BD_BASE] = 0x20000;
        through.v[WI_BD_VALID] = 1;
        through.v[WI_BD_REL_ID] = 64;
        through.v[WI_BD_REL_VALUE] = 1;
        ar_bd(&rig.load, mem, 0, &through);
        through.v[WI_BD_REL_VALUE] = 0;
        through.v[WI_BD_ACQ_ID] = 64;
        through.v[WI_BD_ACQ_VALUE] = -1;
        through.v[WI_BD_ACQ] = 1;
        ar_bd(&rig.load, mem, 1, &through);
        ar_queue(&rig.load, mem, false, 0, 0, 1, false);
        ar_queue(&rig.load, mem, true, 0, 1, 1, false);
        ar_route_up(&rig.load, mem, 0, 2, 0);
        ar_route_down(&rig.load, mem, 0, 1, 0);
        ar_tokens(&rig.load, 1);
        ar_load(&rig);
        for (uint32_t i = 0; i < 2; i++) {
            ar_bd(&rig.insts, shim, 6 + i, i ? &bd_out : &bd_in);
            wi_cfg_patch(&rig.insts,
                         WI_TILE_ADDR(1, 0, wi_map_offset(WI_TILE_SHIM, WI_MAP_BD, 6 + i, 1)), i,
                         0);
            ar_queue(&rig.insts, shim, i == 0, 0, 6 + i, times, i == 1);
        }
        ar_wait(&rig.insts, 1, 0);
        ar_run_to_end(&rig);
        memset(image, 0x55, sizeof image);
        for (uint32_t i = 0; i < out.n; i++)
            image[out.word[i]] = host_in[in.word[i]];
        assert_memory_equal(host_out, image, sizeof image);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_random_descriptors),
        cmocka_unit_test_setup_teardown(random_descriptors_of_memory_tiles, ar_setup, ar_teardown),
        cmocka_unit_test_setup_teardown(random_descriptors_of_compute_tiles, ar_setup, ar_teardown),
        cmocka_unit_test_setup_teardown(random_descriptors_of_shims, ar_setup, ar_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
