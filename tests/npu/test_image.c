/* CDO, PDI and instruction streams: bytes of images that others built, read(write(x)) = x for
 * random lists, and bytes that are no images. */
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wisp/wisp_npu.h>

#include "base/mem.h"
#include "npu/image/cdo.h"
#include "npu/image/insts.h"
#include "npu/image/mlir.h"
#include "npu/image/pdi.h"
#include "npu/image/words.h"
#include "npu/image/xclbin.h"

/* AMD's validation image for Phoenix (amd/xdna-driver, latency test), which only enables four
 * cores: words 0x34 to the end of its 108; before them the header that all images share. */
static const uint32_t ENABLE_CORES[] = {
    4, 0x004f4443, 0x200,      0x10, 0xffb0b9a8, 0x00030102, 0x00232000, 1,
    1, 0x00030102, 0x00332000, 1,    1,          0x00030102, 0x00432000, 1,
    1, 0x00030102, 0x00532000, 1,    1,          0,          0,          0};
static const struct {
    int word;
    uint32_t value;
} ENABLE_HEADER[] = {
    {0, 0xdd},        {1, 0x11223344},  {2, 0x55667788},  {3, 0x99aabbcc},  {4, 0x40000},
    {5, 1},           {6, 0x24},        {7, 1},           {8, 0x34},        {10, 0x14ca8093},
    {14, 0x50504449}, {15, 0x00201020}, {16, 0x30},       {21, 1},          {35, 0x9ac12a78},
    {36, 0x34},       {37, 1},          {40, 0x5f656961}, {41, 0x67616d69}, {42, 0x65},
    {44, 0x1c000000}, {51, 0x1d39289b}, {52, 0x18},       {53, 0x15},       {54, 0x18},
    {58, UINT32_MAX}, {59, UINT32_MAX}, {60, 0x54},       {61, 0x02000006}, {62, 1},
    {83, 0xfdffff61},
};
enum { HEADER = WI_PDI_HEADER_WORDS, ENABLE = sizeof ENABLE_CORES / sizeof ENABLE_CORES[0] };

static void enable_image(uint8_t *bytes) {
    uint32_t words[HEADER + ENABLE] = {0};
    struct wi_strbuf out;
    for (size_t i = 0; i < sizeof ENABLE_HEADER / sizeof ENABLE_HEADER[0]; i++)
        words[ENABLE_HEADER[i].word] = ENABLE_HEADER[i].value;
    memcpy(words + HEADER, ENABLE_CORES, sizeof ENABLE_CORES);
    wi_strbuf_init(&out);
    wi_words_put(&out, words, HEADER + ENABLE);
    memcpy(bytes, out.data, out.len);
    wi_strbuf_fini(&out);
}

static void add_enable(struct wi_cfg *cfg) {
    for (int row = 2; row <= 5; row++)
        wi_cfg_mask_write(cfg, WI_TILE_ADDR(0, row, 0x32000), 1, 1);
}

static void assert_bytes(const struct wi_strbuf *got, const void *bytes, size_t n) {
    assert_int_equal(got->len, n);
    assert_memory_equal(got->data, bytes, n);
}

static void a_pdi_is_what_amd_ships(void **state) {
    (void)state;
    uint8_t bytes[4 * (HEADER + ENABLE)];
    struct wi_pdi pdi;
    struct wi_strbuf out;
    struct wisp_error err = {0};
    enable_image(bytes);
    wi_pdi_init(&pdi);
    wi_strbuf_init(&out);
    add_enable(&pdi.cfg);
    assert_int_equal(wi_pdi_write(&pdi, &out, &err), WISP_OK);
    assert_bytes(&out, bytes, sizeof bytes);
    wi_strbuf_fini(&out);
    wi_pdi_fini(&pdi);
}

static void assert_same_list(const struct wi_cfg *a, const struct wi_cfg *b) {
    assert_int_equal(a->n_ops, b->n_ops);
    for (size_t i = 0; i < a->n_ops; i++) {
        const struct wi_cfg_op *x = &a->ops[i], *y = &b->ops[i];
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->addr, y->addr);
        assert_int_equal(x->value, y->value);
        assert_int_equal(x->mask, y->mask);
        assert_int_equal(x->n_words, y->n_words);
        assert_int_equal(x->arg, y->arg);
        assert_int_equal(x->offset, y->offset);
        assert_memory_equal(&x->tokens, &y->tokens, sizeof x->tokens);
        if (x->n_words)
            assert_memory_equal(wi_cfg_words(a, x), wi_cfg_words(b, y), 4 * x->n_words);
    }
}

static uint32_t random_word(void) {
    return (uint32_t)rand() << 16 ^ (uint32_t)rand();
}

/* Lengths around the escape of CDO commands (255), else short. */
static uint32_t random_length(void) {
    return rand() % 8 ? 1 + (uint32_t)rand() % 12 : 250 + (uint32_t)rand() % 8;
}

static void add_random(struct wi_cfg *cfg, bool stream) {
    uint32_t words[300], n = random_length(), addr = random_word();
    for (uint32_t i = 0; i < n; i++)
        words[i] = random_word();
    switch (rand() % (stream ? 7 : 4)) {
    case 0: wi_cfg_nop(cfg, words, stream ? 0 : n - 1); break;
    case 1: wi_cfg_write(cfg, addr, random_word()); break;
    case 2: wi_cfg_mask_write(cfg, addr, random_word(), random_word()); break;
    case 3: wi_cfg_block(cfg, addr, words, n); break;
    case 4: wi_cfg_patch(cfg, addr, n, (uint64_t)random_word() << 32 | random_word()); break;
    case 5:
        wi_cfg_add(cfg, (struct wi_cfg_op){.kind = WI_CFG_MASK_POLL,
                                           .addr = addr,
                                           .value = random_word(),
                                           .mask = random_word()});
        break;
    default:
        wi_cfg_wait(cfg, (struct wi_cfg_tokens){(uint8_t)(n & 1), (uint8_t)rand(), (uint8_t)rand(),
                                                (uint8_t)rand(), (uint8_t)rand(), (uint8_t)rand()});
    }
}

static void a_pdi_comes_back(void **state) {
    (void)state;
    srand(1);
    for (int round = 0; round < 200; round++) {
        struct wi_pdi pdi, back;
        struct wi_strbuf out;
        struct wisp_error err = {0};
        wi_pdi_init(&pdi);
        wi_pdi_init(&back);
        wi_strbuf_init(&out);
        for (int i = rand() % 40; i-- > 0;)
            add_random(&pdi.cfg, false);
        assert_int_equal(wi_pdi_write(&pdi, &out, &err), WISP_OK);
        assert_int_equal(out.len % 16, 0);
        assert_int_equal(wi_pdi_read(&back, (const uint8_t *)out.data, out.len, &err), WISP_OK);
        assert_same_list(&pdi.cfg, &back.cfg);
        wi_strbuf_fini(&out);
        wi_pdi_fini(&pdi);
        wi_pdi_fini(&back);
    }
}

static void a_stream_comes_back(void **state) {
    (void)state;
    srand(2);
    for (int round = 0; round < 200; round++) {
        struct wi_insts insts, back;
        struct wi_strbuf out;
        struct wisp_error err = {0};
        wi_insts_init(&insts);
        wi_insts_init(&back);
        wi_strbuf_init(&out);
        insts.n_cols = 1 + rand() % 4;
        for (int i = round ? rand() % 40 : 5000; i-- > 0;) /* 0: a long one */
            add_random(&insts.cfg, true);
        assert_int_equal(wi_insts_write(&insts, &out, &err), WISP_OK);
        assert_int_equal(wi_insts_read(&back, (const uint8_t *)out.data, out.len, &err), WISP_OK);
        assert_int_equal(back.n_cols, insts.n_cols);
        assert_same_list(&insts.cfg, &back.cfg);
        wi_strbuf_fini(&out);
        wi_insts_fini(&insts);
        wi_insts_fini(&back);
    }
}

/* What mlir-aie's tools emit for one output transfer of a running design: descriptor 0 of the shim,
 * its address, the token's controller, the start and the wait. */
static const uint32_t TRANSFER[] = {
    0x06030100, 0x00000101, 5, 0xb4,       0x01,       0,     0x1d000,    0x30,       0x800,
    0,          0,          0, 0x80000000, 0x02000000, 0,     0x02000000, 0x81,       0x30,
    0,          0,          0, 0,          0x1d004,    0,     2,          0,          0x40,
    0,          0x03,       0, 0x1d200,    0,          0xf00, 0x1f00,     0x1c,       0x00,
    0,          0x1d204,    0, 0x80000000, 0x18,       0x80,  0x10,       0x00000000, 0x00010100};
enum { TRANSFER_WORDS = sizeof TRANSFER / sizeof TRANSFER[0] };

static int read_words(struct wi_insts *insts, const uint32_t *words, size_t n,
                      struct wisp_error *err) {
    struct wi_strbuf bytes;
    wi_strbuf_init(&bytes);
    wi_words_put(&bytes, words, n);
    int rc = wi_insts_read(insts, (const uint8_t *)bytes.data, bytes.len, err);
    wi_strbuf_fini(&bytes);
    return rc;
}

static void a_stream_is_what_mlir_aie_emits(void **state) {
    (void)state;
    const uint32_t bd[] = {0x800, 0, 0, 0, 0x80000000, 0x02000000, 0, 0x02000000};
    struct wi_insts insts, back;
    struct wi_strbuf out, expected;
    struct wisp_error err = {0};
    wi_insts_init(&insts);
    wi_insts_init(&back);
    wi_strbuf_init(&out);
    wi_strbuf_init(&expected);
    insts.n_cols = 1;
    wi_cfg_block(&insts.cfg, 0x1d000, bd, 8);
    wi_cfg_patch(&insts.cfg, 0x1d004, 2, 0x40);
    wi_cfg_mask_write(&insts.cfg, 0x1d200, 0x1f00, 0xf00);
    wi_cfg_write(&insts.cfg, 0x1d204, 0x80000000);
    wi_cfg_wait(&insts.cfg, (struct wi_cfg_tokens){.n_cols = 1, .n_rows = 1});
    assert_int_equal(wi_insts_write(&insts, &out, &err), WISP_OK);
    wi_words_put(&expected, TRANSFER, TRANSFER_WORDS);
    assert_bytes(&out, expected.data, expected.len);
    assert_int_equal(read_words(&back, TRANSFER, TRANSFER_WORDS, &err), WISP_OK);
    assert_same_list(&insts.cfg, &back.cfg);
    wi_strbuf_fini(&out);
    wi_strbuf_fini(&expected);
    wi_insts_fini(&insts);
    wi_insts_fini(&back);
}

/* The older form, from an image of 2023: descriptor 1 of the shim in column 1 with buffer 2, its
 * start, the wait for it. */
static void the_older_form_is_read(void **state) {
    (void)state;
    static const uint32_t words[] = {
        0x00000011, 0x01000405, 0x01000100, 0x0b590100, 0x000055ff, 0x00000001, 0x00000010,
        0x314e5a5f, 0x635f5f31, 0x676e696c, 0x39354e5f, 0x6e693131, 0x5f727473, 0x64726f77,
        0x00004573, 0x07bd9630, 0x000055ff, 0x06010121, 0,          0xe1000,    0x20,
        0,          0,          0x80000000, 0,          0,          0x02000000, 0x02010000,
        0x1d204,    0x80000001, 0x03010000, 0x00010100};
    struct wi_insts insts;
    struct wisp_error err = {0};
    wi_insts_init(&insts);
    assert_int_equal(read_words(&insts, words, sizeof words / 4, &err), WISP_OK);
    const struct wi_cfg_op *ops = insts.cfg.ops;
    assert_true(insts.older);
    assert_int_equal(insts.cfg.n_ops, 4);
    assert_int_equal(ops[0].kind, WI_CFG_BLOCK);
    assert_int_equal(ops[0].addr, WI_TILE_ADDR(1, 0, 0x1d020));
    const uint32_t bd[] = {0xe1000, 0, 0, 0, 0x80000000, 0, 0, 0x02000000};
    assert_memory_equal(wi_cfg_words(&insts.cfg, &ops[0]), bd, sizeof bd);
    assert_int_equal(ops[1].kind, WI_CFG_PATCH);
    assert_int_equal(ops[1].addr, WI_TILE_ADDR(1, 0, 0x1d024));
    assert_int_equal(ops[1].arg, 2);
    assert_int_equal(ops[1].offset, 0x20);
    assert_int_equal(ops[2].kind, WI_CFG_WRITE);
    assert_int_equal(ops[2].addr, WI_TILE_ADDR(1, 0, 0x1d204));
    assert_int_equal(ops[3].kind, WI_CFG_WAIT);
    assert_int_equal(ops[3].tokens.col, 1);
    assert_int_equal(ops[3].tokens.n_cols, 1);
    wi_insts_fini(&insts);
}

static void hex_text_is_words(void **state) {
    (void)state;
    static const char text[] = "06030100\n00000101\n", bad[] = "0603010\n", worse[] = "0603010g";
    uint8_t *bytes = NULL;
    size_t n;
    assert_true(wi_insts_from_hex((const uint8_t *)text, sizeof text - 1, &bytes, &n));
    assert_int_equal(n, 8);
    assert_memory_equal(bytes, "\x00\x01\x03\x06\x01\x01\x00\x00", 8);
    wi_free(bytes);
    assert_false(wi_insts_from_hex((const uint8_t *)bad, sizeof bad - 1, &bytes, &n));
    assert_false(wi_insts_from_hex((const uint8_t *)worse, sizeof worse - 1, &bytes, &n));
    assert_false(wi_insts_from_hex((const uint8_t *)"", 0, &bytes, &n));
}

/* ---------------------------------------------------------------- what is refused */

static int read_pdi(const uint8_t *bytes, size_t n, struct wisp_error *err) {
    struct wi_pdi pdi;
    wi_pdi_init(&pdi);
    memset(err, 0, sizeof *err);
    int rc = wi_pdi_read(&pdi, bytes, n, err);
    wi_pdi_fini(&pdi);
    return rc;
}

static void a_cut_pdi_is_refused(void **state) {
    (void)state;
    uint8_t bytes[4 * (HEADER + ENABLE)];
    struct wisp_error err;
    enable_image(bytes);
    for (size_t n = 0; n < sizeof bytes; n++) {
        /* on the heap, so that a sanitizer sees a read behind the end */
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, bytes, n);
        assert_int_equal(read_pdi(cut, n, &err), WISP_E_FORMAT);
        assert_string_not_equal(err.text, "");
        free(cut);
    }
}

static void a_changed_pdi_is_refused(void **state) {
    (void)state;
    uint8_t bytes[4 * (HEADER + ENABLE)];
    struct wisp_error err;
    enable_image(bytes);
    /* Every bit of the headers is under a checksum or checked; but not those of the commands. */
    for (size_t bit = 0; bit < 32 * (HEADER + WI_CDO_HEADER_WORDS); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = read_pdi(bytes, sizeof bytes, &err);
        assert_true(rc == WISP_E_FORMAT || rc == WISP_E_UNSUPPORTED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(read_pdi(bytes, sizeof bytes, &err), WISP_OK);
}

/* A CDO around `commands`. */
static int read_cdo(const uint32_t *commands, size_t n, struct wisp_error *err) {
    uint32_t words[WI_CDO_HEADER_WORDS + 16] = {4, 0x004f4443, 0x200, (uint32_t)n};
    struct wi_cfg cfg;
    words[4] = wi_words_checksum(words, 4);
    memcpy(words + WI_CDO_HEADER_WORDS, commands, 4 * n);
    wi_cfg_init(&cfg);
    memset(err, 0, sizeof *err);
    int rc = wi_cdo_read(&cfg, words, WI_CDO_HEADER_WORDS + n, err);
    wi_cfg_fini(&cfg);
    return rc;
}

static void bad_commands_are_refused(void **state) {
    (void)state;
    struct wisp_error err;
    static const struct {
        uint32_t words[6];
        size_t n;
        int rc;
        const char *text;
    } cases[] = {
        {{0x00020103, 0x1234, 1}, 3, WISP_OK, ""},
        {{0x00030103, 0x1234, 1, 1}, 4, WISP_E_FORMAT, "WRITE at word 5 has 3 words"},
        {{0x00020102, 0x1234, 1}, 3, WISP_E_FORMAT, "MASK_WRITE at word 5"},
        {{0x00030105, 1, 0x1234, 1}, 4, WISP_E_FORMAT, "DMA_WRITE at word 5"},
        {{0x00020105, 0, 0x1234}, 3, WISP_E_FORMAT, "DMA_WRITE at word 5"},
        {{0x00030108, 0, 0x1234, 7}, 4, WISP_OK, ""},
        {{0x00030108, 1, 0x1234, 7}, 4, WISP_E_FORMAT, "WRITE64"},
        {{0x00040107, 0, 0x1234, 7, 7}, 5, WISP_OK, ""},
        {{0x00040101, 0x1234, 7, 7, 9}, 5, WISP_E_UNSUPPORTED, "command 0x0101 at word 5"},
        {{0x00020103, 0x1234}, 2, WISP_E_FORMAT, "longer than what is left"},
        {{0x00ff0111, 5, 0, 0}, 4, WISP_E_FORMAT, "longer than what is left"},
        {{0x00ff0111}, 1, WISP_E_FORMAT, "longer than what is left"},
        {{0x00ff0111, 0xffffffff}, 2, WISP_E_FORMAT, "longer than what is left"},
        {{0x01020103, 0x1234, 1}, 3, WISP_E_FORMAT, "0x01020103 at word 5 has bits"},
        {{0x00ff0111, 2, 0, 0}, 4, WISP_OK, ""},
        {{0x01000111}, 1, WISP_E_FORMAT, "bits beyond its length"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_cdo(cases[i].words, cases[i].n, &err), cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

static void bad_streams_are_refused(void **state) {
    (void)state;
    struct wisp_error err;
    uint32_t words[TRANSFER_WORDS];
    static const struct {
        size_t at;
        uint32_t value;
        int rc;
        const char *text;
    } cases[] = {
        {0, 0x06040100, WISP_E_UNSUPPORTED, "generation 4"},
        {0, 0x06030001, WISP_E_UNSUPPORTED, "version 1.0"},
        {1, 0x00000201, WISP_E_UNSUPPORTED, ""},
        {2, 4, WISP_E_FORMAT, "states 4 operations"},
        {2, 6, WISP_E_FORMAT, "cut off"},
        {3, 0xac, WISP_E_FORMAT, "states 172 bytes"},
        {4, 0x08, WISP_E_UNSUPPORTED, "0x08 at word 4"},
        {7, 0x31, WISP_E_FORMAT, "wrong size"},
        {7, 0xfffffffc, WISP_E_FORMAT, "cut off"},
        {7, 0, WISP_E_FORMAT, "wrong size"},
        {5, 0x0100, WISP_E_FORMAT, "mean nothing"},
        {21, 1, WISP_E_FORMAT, "mean nothing"},
        {17, 0x34, WISP_E_FORMAT, "wrong size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wi_insts insts;
        memcpy(words, TRANSFER, sizeof words);
        memset(&err, 0, sizeof err);
        words[cases[i].at] = cases[i].value;
        wi_insts_init(&insts);
        assert_int_equal(read_words(&insts, words, TRANSFER_WORDS, &err), cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].text));
        wi_insts_fini(&insts);
    }
}

static void what_a_cdo_cannot_say_is_refused(void **state) {
    (void)state;
    struct wi_pdi pdi;
    struct wi_strbuf out;
    struct wisp_error err = {0};
    wi_pdi_init(&pdi);
    wi_strbuf_init(&out);
    wi_cfg_wait(&pdi.cfg, (struct wi_cfg_tokens){.n_cols = 1, .n_rows = 1});
    assert_int_equal(wi_pdi_write(&pdi, &out, &err), WISP_E_ARG);
    assert_int_equal(out.len, 0);
    wi_pdi_fini(&pdi);
}

/* ---------------------------------------------------------------- xclbin */

static const struct wi_xclbin_design DESIGN = {
    .kernel = "MLIR_AIE",
    .pdi = (const uint8_t *)"0123456789",
    .pdi_size = 10,
    .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .timestamp = 1700000000,
    .n_cols = 4,
    .n_buffers = 3};

static void an_xclbin_comes_back(void **state) {
    (void)state;
    struct wi_strbuf out;
    struct wi_xclbin x;
    struct wisp_error err = {0};
    wi_strbuf_init(&out);
    assert_int_equal(wi_xclbin_write(&DESIGN, &out, &err), WISP_OK);
    assert_true(wi_xclbin_is((const uint8_t *)out.data, out.len));
    assert_int_equal(wi_xclbin_read(&x, (const uint8_t *)out.data, out.len, &err), WISP_OK);
    assert_int_equal(x.n_cols, 4);
    assert_int_equal(x.timestamp, 1700000000);
    assert_int_equal(x.ops_per_cycle, 8192);
    assert_int_equal(x.n_sections, 7);
    assert_int_equal(x.n_pdis, 1);
    assert_int_equal(x.pdis[0].size, 10);
    assert_memory_equal(x.pdis[0].data, "0123456789", 10);
    assert_memory_equal(x.pdis[0].uuid, DESIGN.uuid, 16);
    assert_int_equal(x.n_kernels, 1);
    assert_string_equal(x.kernels[0].name, "MLIR_AIE:0");
    assert_int_equal(x.kernels[0].functional, 0);
    assert_ptr_equal(wi_xclbin_pdi_of(&x, &x.kernels[0]), &x.pdis[0]);
    wi_xclbin_fini(&x);
    wi_strbuf_fini(&out);
}

/* Through the public calls an xclbin comes back with its PDIs made again: the same bytes. */
static void an_xclbin_is_rewritten(void **state) {
    (void)state;
    struct wi_strbuf inner, file;
    struct wi_pdi pdi;
    struct wisp_error err = {0};
    struct wisp_npu_image *image;
    uint8_t *bytes;
    size_t size;
    wi_strbuf_init(&inner);
    wi_strbuf_init(&file);
    wi_pdi_init(&pdi);
    for (uint32_t i = 0; i < 50; i++)
        wi_cfg_write(&pdi.cfg, WI_TILE_ADDR(i % 4, 2, 0x1f000 + 16 * (i % 16)), i);
    assert_int_equal(wi_pdi_write(&pdi, &inner, &err), WISP_OK);
    struct wi_xclbin_design d = DESIGN;
    d.pdi = (const uint8_t *)inner.data;
    d.pdi_size = inner.len;
    assert_int_equal(wi_xclbin_write(&d, &file, &err), WISP_OK);
    assert_int_equal(wisp_npu_image_load(&image, (const uint8_t *)file.data, file.len, &err),
                     WISP_OK);
    assert_int_equal(wisp_npu_image_bytes(image, &bytes, &size, &err), WISP_OK);
    assert_int_equal(size, file.len);
    assert_memory_equal(bytes, file.data, size);
    wisp_npu_free(bytes);
    wisp_npu_image_close(&image);
    wi_pdi_fini(&pdi);
    wi_strbuf_fini(&inner);
    wi_strbuf_fini(&file);
}

/* ---------------------------------------------------------------- mlir */

/* The sequence that mlir-aie leaves beside a design, against the operations that it stands for. */
static void a_sequence_of_mlir_is_read(void **state) {
    (void)state;
    static const char text[] =
        "module {\n  memref.global \"private\" constant @data_0 : memref<3xi32> = dense<[1, "
        "-2147483648, "
        "4294967295]>\n  memref.global \"private\" constant @data_1 : memref<1xi32> = dense<7>\n"
        "  aiex.runtime_sequence(%arg0: memref<8xi8>) {\n    %0 = memref.get_global @data_0 : "
        "memref<3xi32>\n"
        "    aiex.npu.blockwrite(%0) {address = 118816 : ui32} : memref<3xi32>\n"
        "    %0 = memref.get_global @data_1 : memref<1xi32>\n"
        "    aiex.npu.blockwrite(%0) {address = 118784 : ui32} : memref<1xi32>\n"
        "    aiex.npu.address_patch {addr = 118820 : ui32, arg_idx = 3 : i32, arg_plus = 64 : "
        "i32}\n"
        "    aiex.npu.write32 {address = 119316 : ui32, column = 2 : i32, row = 1 : i32, value = 9 "
        ": ui32}\n"
        "    aiex.npu.maskwrite32 {address = 119296 : ui32, mask = 7936 : ui32, value = 3840 : "
        "ui32}\n"
        "    aiex.npu.sync {channel = 1 : i32, column = 2 : i32, column_num = 3 : i32, direction = "
        "1 : i32, "
        "row = 4 : i32, row_num = 5 : i32}\n  }\n}\n";
    struct wi_insts insts;
    struct wisp_error err = {0};
    wi_insts_init(&insts);
    assert_true(wi_mlir_is((const uint8_t *)text, sizeof text - 1));
    assert_int_equal(wi_mlir_read(&insts, (const uint8_t *)text, sizeof text - 1, &err), WISP_OK);
    const struct wi_cfg_op *op = insts.cfg.ops;
    assert_int_equal(insts.cfg.n_ops, 6);
    assert_int_equal(op[0].kind, WI_CFG_BLOCK);
    assert_int_equal(op[0].n_words, 3);
    assert_int_equal(wi_cfg_words(&insts.cfg, &op[0])[1], 0x80000000);
    assert_int_equal(wi_cfg_words(&insts.cfg, &op[0])[2], 0xffffffff);
    assert_int_equal(op[1].n_words, 1);
    assert_int_equal(wi_cfg_words(&insts.cfg, &op[1])[0], 7);
    assert_int_equal(op[2].kind, WI_CFG_PATCH);
    assert_int_equal(op[2].arg, 3);
    assert_int_equal(op[2].offset, 64);
    assert_int_equal(op[3].addr, WI_TILE_ADDR(2, 1, 119316));
    assert_int_equal(op[3].value, 9);
    assert_int_equal(op[4].kind, WI_CFG_MASK_WRITE);
    assert_int_equal(op[4].mask, 7936);
    assert_int_equal(op[5].kind, WI_CFG_WAIT);
    const struct wi_cfg_tokens wait = {1, 1, 2, 4, 3, 5};
    assert_memory_equal(&op[5].tokens, &wait, sizeof wait);
    wi_insts_fini(&insts);
}

static void bad_mlir_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
        int code;
    } cases[] = {{"aiex.npu.rtp_write(0)", "rtp_write", WISP_E_UNSUPPORTED},
                 {"aiex.npu.write32 {address = 1 : ui32}", "line 2", WISP_E_FORMAT},
                 {"aiex.npu.write32 {address = x, value = 1}", "line 2", WISP_E_FORMAT},
                 {"aiex.npu.blockwrite(%9) {address = 1 : ui32}", "not there", WISP_E_FORMAT},
                 {"%0 = memref.get_global @none", "not there", WISP_E_FORMAT},
                 {"memref.global @a = dense<[1, x]>", "32-bit", WISP_E_FORMAT},
                 {"memref.global @a = dense<[4294967296]>", "32-bit", WISP_E_FORMAT},
                 {"aiex.npu.sync {channel = 0 : i32}", "lacks", WISP_E_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        struct wi_insts insts;
        struct wisp_error err = {0};
        wi_insts_init(&insts);
        snprintf(text, sizeof text, "aiex.runtime_sequence {\n%s\n}\n", cases[i].line);
        assert_int_equal(wi_mlir_read(&insts, (const uint8_t *)text, strlen(text), &err),
                         cases[i].code);
        assert_non_null(strstr(err.text, cases[i].says));
        wi_insts_fini(&insts);
    }
}

/* Cut anywhere, and with any byte changed, it is read or refused, never followed out of the file
 * (the sanitizers watch). */
static void broken_xclbins_are_refused(void **state) {
    (void)state;
    struct wi_strbuf out;
    struct wi_xclbin x;
    wi_strbuf_init(&out);
    struct wisp_error err = {0};
    assert_int_equal(wi_xclbin_write(&DESIGN, &out, &err), WISP_OK);
    for (size_t n = 0; n < out.len; n++) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, out.data, n);
        assert_int_equal(wi_xclbin_read(&x, cut, n, &err), WISP_E_FORMAT);
        free(cut);
    }
    for (size_t i = 0; i < out.len; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            out.data[i] ^= (char)(1 << bit);
            if (wi_xclbin_read(&x, (const uint8_t *)out.data, out.len, &err) == WISP_OK)
                wi_xclbin_fini(&x);
            out.data[i] ^= (char)(1 << bit);
        }
    wi_strbuf_fini(&out);
}

static void odd_kernel_names_are_refused(void **state) {
    (void)state;
    struct wi_xclbin_design d = DESIGN;
    struct wi_strbuf out;
    wi_strbuf_init(&out);
    static const char *const names[] = {
        "", "a b", "a\"b", "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct wisp_error err = {0};
        d.kernel = names[i];
        assert_int_equal(wi_xclbin_write(&d, &out, &err), WISP_E_ARG);
    }
    assert_int_equal(out.len, 0);
}

WISP_SUITE(cmocka_unit_test(a_pdi_is_what_amd_ships), cmocka_unit_test(a_pdi_comes_back),
           cmocka_unit_test(a_stream_comes_back), cmocka_unit_test(a_stream_is_what_mlir_aie_emits),
           cmocka_unit_test(the_older_form_is_read), cmocka_unit_test(hex_text_is_words),
           cmocka_unit_test(a_cut_pdi_is_refused), cmocka_unit_test(a_changed_pdi_is_refused),
           cmocka_unit_test(bad_commands_are_refused), cmocka_unit_test(bad_streams_are_refused),
           cmocka_unit_test(what_a_cdo_cannot_say_is_refused),
           cmocka_unit_test(an_xclbin_comes_back), cmocka_unit_test(broken_xclbins_are_refused),
           cmocka_unit_test(an_xclbin_is_rewritten), cmocka_unit_test(a_sequence_of_mlir_is_read),
           cmocka_unit_test(bad_mlir_is_refused), cmocka_unit_test(odd_kernel_names_are_refused))
