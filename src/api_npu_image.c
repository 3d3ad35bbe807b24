/* The public calls for NPU images: PDI, CDO, xclbin, instruction streams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_npu.h"
#include "base/err.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "npu/asm/text.h"
#include "npu/image/cdo.h"
#include "npu/image/insts.h"
#include "npu/image/listing.h"
#include "npu/image/mlir.h"
#include "npu/image/pdi.h"
#include "npu/image/words.h"
#include "npu/image/xclbin.h"
#include "npu/isa/map.h"

enum { ARRAY_COLS = 5 };

struct wisp_npu_image {
    enum wisp_npu_image_kind kind;
    uint8_t *bytes; /* copy of the file; an xclbin's sections point into it */
    size_t size;
    struct wi_xclbin xclbin;
    struct wi_pdi *pdis; /* [n_pdis]; of a CDO: one, with a header of ours */
    size_t n_pdis;
    struct wi_insts insts;
};

/* ---------------------------------------------------------------- reading */

static int read_pdis(struct wisp_npu_image *image, size_t n, struct wisp_error *err) {
    image->pdis = wi_calloc(n + 1, sizeof *image->pdis);
    if (!image->pdis)
        return wi_err_nomem(err, "the PDIs of an image");
    for (; image->n_pdis < n; image->n_pdis++)
        wi_pdi_init(&image->pdis[image->n_pdis]);
    return WISP_OK;
}

static int read_pdi(struct wisp_npu_image *image, struct wisp_error *err) {
    int rc = read_pdis(image, 1, err);
    return rc == WISP_OK ? wi_pdi_read(&image->pdis[0], image->bytes, image->size, err) : rc;
}

static int read_cdo(struct wisp_npu_image *image, struct wisp_error *err) {
    uint32_t *words = wi_words_load(image->bytes, image->size);
    int rc = words ? read_pdis(image, 1, err) : wi_err_nomem(err, "a CDO");
    if (rc == WISP_OK)
        rc = wi_cdo_read(&image->pdis[0].cfg, words, image->size / 4, err);
    wi_free(words);
    return rc;
}

static int read_xclbin(struct wisp_npu_image *image, struct wisp_error *err) {
    int rc = wi_xclbin_read(&image->xclbin, image->bytes, image->size, err);
    if (rc == WISP_OK)
        rc = read_pdis(image, image->xclbin.n_pdis, err);
    for (size_t i = 0; rc == WISP_OK && i < image->n_pdis; i++)
        rc = wi_pdi_read(&image->pdis[i], image->xclbin.pdis[i].data, image->xclbin.pdis[i].size,
                         err);
    return rc;
}

static int read_insts(struct wisp_npu_image *image, struct wisp_error *err) {
    uint8_t *binary;
    size_t size;
    if (wi_mlir_is(image->bytes, image->size))
        return wi_mlir_read(&image->insts, image->bytes, image->size, err);
    if (!wi_insts_from_hex(image->bytes, image->size, &binary, &size))
        return wi_insts_read(&image->insts, image->bytes, image->size, err);
    int rc = binary ? wi_insts_read(&image->insts, binary, size, err)
                    : wi_err_nomem(err, "an instruction stream");
    wi_free(binary);
    return rc;
}

static enum wisp_npu_image_kind kind_of(const uint8_t *bytes, size_t size) {
    static const uint8_t pdi[] = {0xdd, 0, 0, 0, 0x44, 0x33, 0x22, 0x11};
    static const uint8_t cdo[] = {4, 0, 0, 0, 'C', 'D', 'O', 0};
    if (wi_xclbin_is(bytes, size))
        return WISP_NPU_IMAGE_XCLBIN;
    if (size >= sizeof pdi && memcmp(bytes, pdi, sizeof pdi) == 0)
        return WISP_NPU_IMAGE_PDI;
    return size >= sizeof cdo && memcmp(bytes, cdo, sizeof cdo) == 0 ? WISP_NPU_IMAGE_CDO
                                                                     : WISP_NPU_IMAGE_INSTS;
}

int wisp_npu_image_load(struct wisp_npu_image **out, const uint8_t *bytes, size_t size,
                        struct wisp_error *err) {
    static int (*const readers[])(struct wisp_npu_image *,
                                  struct wisp_error *) = {[WISP_NPU_IMAGE_PDI] = read_pdi,
                                                          [WISP_NPU_IMAGE_CDO] = read_cdo,
                                                          [WISP_NPU_IMAGE_XCLBIN] = read_xclbin,
                                                          [WISP_NPU_IMAGE_INSTS] = read_insts};
    wi_err_clear(err);
    struct wisp_npu_image *image = *out = wi_calloc(1, sizeof *image);
    if (!image)
        return wi_err_nomem(err, "the image");
    wi_insts_init(&image->insts);
    image->bytes = wi_malloc(size, 1);
    image->size = size;
    int rc = image->bytes ? WISP_OK : wi_err_nomem(err, "the image");
    if (rc == WISP_OK) {
        memcpy(image->bytes, bytes, size);
        image->kind = kind_of(bytes, size);
        rc = readers[image->kind](image, err);
    }
    if (rc != WISP_OK)
        wisp_npu_image_close(out);
    return rc;
}

int wisp_npu_image_load_file(struct wisp_npu_image **out, const char *path,
                             struct wisp_error *err) {
    struct wi_mapfile map;
    struct wisp_error reason = {0};
    wi_err_clear(err);
    *out = NULL;
    int rc = wi_mapfile_open(&map, path, err);
    if (rc != WISP_OK)
        return rc;
    rc = wisp_npu_image_load(out, map.data, map.size, &reason);
    if (rc != WISP_OK)
        wi_err_set(err, rc, "'%.300s': %.700s", path, reason.text);
    wi_mapfile_close(&map);
    return rc;
}

void wisp_npu_image_close(struct wisp_npu_image **out) {
    struct wisp_npu_image *image = out ? *out : NULL;
    if (!image)
        return;
    for (size_t i = 0; i < image->n_pdis; i++)
        wi_pdi_fini(&image->pdis[i]);
    wi_free(image->pdis);
    wi_xclbin_fini(&image->xclbin);
    wi_insts_fini(&image->insts);
    wi_free(image->bytes);
    wi_free(image);
    *out = NULL;
}

int wi_api_image_pdi(const struct wisp_npu_image *image, size_t i, struct wi_strbuf *out,
                     struct wisp_error *err) {
    if (i >= image->n_pdis)
        return wi_err_set(err, WISP_E_ARG, "the image has no design %zu to load", i);
    if (image->kind == WISP_NPU_IMAGE_CDO)
        return wi_pdi_write(&image->pdis[0], out, err);
    if (image->kind == WISP_NPU_IMAGE_XCLBIN)
        wi_strbuf_add(out, image->xclbin.pdis[i].data, image->xclbin.pdis[i].size);
    else
        wi_strbuf_add(out, image->bytes, image->size);
    return out->failed ? wi_err_nomem(err, "an image") : WISP_OK;
}

bool wi_api_image_is_insts(const struct wisp_npu_image *image) {
    return image->kind == WISP_NPU_IMAGE_INSTS;
}

/* ---------------------------------------------------------------- writing */

/* The file with every PDI made again from its commands; its other sections have no form but their
 * bytes. */
static int rewrite_xclbin(const struct wisp_npu_image *image, struct wi_strbuf *out,
                          struct wisp_error *err) {
    int rc = WISP_OK;
    wi_strbuf_add(out, image->bytes, image->size);
    for (size_t i = 0; i < image->n_pdis && rc == WISP_OK && !out->failed; i++) {
        const struct wi_xclbin_pdi *old = &image->xclbin.pdis[i];
        struct wi_strbuf pdi;
        wi_strbuf_init(&pdi);
        rc = wi_pdi_write(&image->pdis[i], &pdi, err);
        if (rc == WISP_OK && pdi.len != old->size)
            rc = wi_err_set(err, WISP_E_UNSUPPORTED,
                            "PDI %zu of the xclbin would have %zu bytes instead of %zu", i, pdi.len,
                            old->size);
        if (rc == WISP_OK)
            memcpy(out->data + (old->data - image->bytes), pdi.data, pdi.len);
        wi_strbuf_fini(&pdi);
    }
    return rc;
}

int wisp_npu_image_bytes(const struct wisp_npu_image *image, uint8_t **bytes, size_t *size,
                         struct wisp_error *err) {
    struct wi_strbuf out;
    int rc;
    wi_err_clear(err);
    wi_strbuf_init(&out);
    *bytes = NULL;
    *size = 0;
    if (image->kind == WISP_NPU_IMAGE_PDI)
        rc = wi_pdi_write(&image->pdis[0], &out, err);
    else if (image->kind == WISP_NPU_IMAGE_CDO)
        rc = wi_cdo_write(&image->pdis[0].cfg, &out, err);
    else if (image->kind == WISP_NPU_IMAGE_INSTS)
        rc = wi_insts_write(&image->insts, &out, err);
    else
        rc = rewrite_xclbin(image, &out, err);
    if (rc == WISP_OK) {
        *size = out.len;
        *bytes = (uint8_t *)wi_strbuf_take(&out);
        rc = *bytes ? WISP_OK : wi_err_nomem(err, "the image");
    }
    wi_strbuf_fini(&out);
    return rc;
}

/* ---------------------------------------------------------------- listing */

static const char *kind_name(enum wisp_npu_image_kind kind) {
    static const char *const names[] = {[WISP_NPU_IMAGE_PDI] = "PDI",
                                        [WISP_NPU_IMAGE_CDO] = "CDO",
                                        [WISP_NPU_IMAGE_XCLBIN] = "xclbin",
                                        [WISP_NPU_IMAGE_INSTS] = "instruction stream"};
    return names[kind];
}

/* A core's program as text. */
static int disassemble(const uint8_t *code, size_t size, struct wi_strbuf *out,
                       struct wisp_error *err) {
    struct wi_asm_prog prog;
    wi_asm_prog_init(&prog);
    int rc = wi_asm_prog_add_section(&prog, ".text", 0, true, err);
    if (rc == WISP_OK) {
        prog.bare = true;
        wi_strbuf_add(&prog.sections[0].bytes, code, size);
        rc = wi_asm_print(&prog, false, out, err);
    }
    wi_asm_prog_fini(&prog);
    return rc;
}

/* Call `visit` for every core that a PDI gives a program. */
struct program_visit {
    int (*visit)(void *user, int col, int row, const uint8_t *code, size_t size,
                 struct wisp_error *err);
    void *user;
};

static int each_program(const struct wi_pdi *pdi, const struct program_visit *v,
                        struct wisp_error *err) {
    uint8_t *code = wi_malloc(WI_LIST_PROGRAM_BYTES, 1);
    int rc = code ? WISP_OK : wi_err_nomem(err, "a program");
    for (int col = 0; col < ARRAY_COLS; col++)
        for (int row = WI_TILE_FIRST_CORE; rc == WISP_OK && row < WI_TILE_ROWS; row++) {
            size_t size = wi_list_program(&pdi->cfg, col, row, code);
            if (size)
                rc = v->visit(v->user, col, row, code, size, err);
        }
    wi_free(code);
    return rc;
}

struct listing {
    struct wi_strbuf *text;
    json_t *programs;
    bool disassemble;
};

static int program_text(void *user, int col, int row, const uint8_t *code, size_t size,
                        struct wisp_error *err) {
    struct listing *l = user;
    wi_strbuf_printf(l->text, "program of core (%d,%d): %zu bytes\n", col, row, size);
    return l->disassemble ? disassemble(code, size, l->text, err) : WISP_OK;
}

static int program_json(void *user, int col, int row, const uint8_t *code, size_t size,
                        struct wisp_error *err) {
    struct listing *l = user;
    json_t *o = json_pack("{si si sI}", "col", col, "row", row, "bytes", (json_int_t)size);
    struct wi_strbuf text;
    wi_strbuf_init(&text);
    int rc = l->disassemble ? disassemble(code, size, &text, err) : WISP_OK;
    if (rc == WISP_OK && l->disassemble)
        json_object_set_new(o, "text", json_string(text.data ? text.data : ""));
    wi_strbuf_fini(&text);
    json_array_append_new(l->programs, o);
    return rc;
}

static void uuid_text(const uint8_t uuid[16], char out[33]) {
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", uuid[i]);
}

static void xclbin_text(const struct wi_xclbin *x, struct wi_strbuf *out) {
    char uuid[33];
    uuid_text(x->uuid, uuid);
    wi_strbuf_printf(out, "uuid %s, XRT %d.%d.%d, %d column%s, %u operations per cycle\n", uuid,
                     x->major, x->minor, x->patch, x->n_cols, x->n_cols == 1 ? "" : "s",
                     x->ops_per_cycle);
    for (size_t i = 0; i < x->n_sections; i++)
        wi_strbuf_printf(out, "section %s, %zu bytes\n", wi_xclbin_kind_name(x->sections[i].kind),
                         x->sections[i].size);
    for (size_t i = 0; i < x->n_kernels; i++)
        wi_strbuf_printf(out, "kernel %s, id 0x%x, %s instruction streams\n", x->kernels[i].name,
                         x->kernels[i].id, x->kernels[i].functional ? "older" : "TXN");
}

static int text_of(const struct wisp_npu_image *image, bool with_code, struct wi_strbuf *out,
                   struct wisp_error *err) {
    struct listing l = {.text = out, .disassemble = with_code};
    const struct program_visit visit = {program_text, &l};
    int rc = WISP_OK;
    wi_strbuf_printf(out, "%s, %zu bytes\n", kind_name(image->kind), image->size);
    if (image->kind == WISP_NPU_IMAGE_XCLBIN)
        xclbin_text(&image->xclbin, out);
    for (size_t i = 0; i < image->n_pdis && rc == WISP_OK; i++) {
        const struct wi_pdi *pdi = &image->pdis[i];
        wi_strbuf_printf(out, "PDI %zu: %zu commands%s\n", i, pdi->cfg.n_ops,
                         pdi->transformed ? ", transformed" : "");
        if (pdi->missing_words)
            wi_strbuf_printf(out, "the file lacks the last %zu words of its data\n",
                             pdi->missing_words);
        wi_list_text(&pdi->cfg, out);
        rc = each_program(pdi, &visit, err);
    }
    if (image->kind == WISP_NPU_IMAGE_INSTS) {
        wi_strbuf_printf(out, "%s, %d columns, %zu operations\n",
                         image->insts.older ? "older form" : "TXN 0.1", image->insts.n_cols,
                         image->insts.cfg.n_ops);
        wi_list_text(&image->insts.cfg, out);
    }
    return rc;
}

static json_t *xclbin_json(const struct wi_xclbin *x) {
    char uuid[33];
    json_t *sections = json_array(), *kernels = json_array();
    uuid_text(x->uuid, uuid);
    for (size_t i = 0; i < x->n_sections; i++)
        json_array_append_new(sections,
                              json_pack("{ss sI}", "kind", wi_xclbin_kind_name(x->sections[i].kind),
                                        "bytes", (json_int_t)x->sections[i].size));
    for (size_t i = 0; i < x->n_kernels; i++)
        json_array_append_new(
            kernels, json_pack("{s:o? si si}", "name", json_string(x->kernels[i].name), "id",
                               (int)x->kernels[i].id, "functional", x->kernels[i].functional));
    return json_pack("{ss si so so}", "uuid", uuid, "columns", x->n_cols, "sections", sections,
                     "kernels", kernels);
}

static int json_of(const struct wisp_npu_image *image, bool with_code, struct wi_strbuf *out,
                   struct wisp_error *err) {
    json_t *root =
        json_pack("{ss sI}", "kind", kind_name(image->kind), "bytes", (json_int_t)image->size);
    json_t *pdis = json_array();
    int rc = root && pdis ? WISP_OK : wi_err_nomem(err, "the listing");
    for (size_t i = 0; i < image->n_pdis && rc == WISP_OK; i++) {
        struct listing l = {.programs = json_array(), .disassemble = with_code};
        const struct program_visit visit = {program_json, &l};
        rc = each_program(&image->pdis[i], &visit, err);
        json_array_append_new(pdis,
                              json_pack("{so so}", "commands", wi_list_json(&image->pdis[i].cfg),
                                        "programs", l.programs));
    }
    if (image->kind == WISP_NPU_IMAGE_XCLBIN)
        json_object_set_new(root, "xclbin", xclbin_json(&image->xclbin));
    if (image->kind == WISP_NPU_IMAGE_INSTS)
        json_object_set_new(root, "operations", wi_list_json(&image->insts.cfg));
    else
        json_object_set(root, "pdis", pdis);
    char *text = rc == WISP_OK ? json_dumps(root, JSON_INDENT(1)) : NULL;
    if (rc == WISP_OK && !text)
        rc = wi_err_nomem(err, "the listing");
    if (text) {
        wi_strbuf_puts(out, text);
        wi_strbuf_puts(out, "\n");
    }
    free(text);
    json_decref(pdis);
    json_decref(root);
    return rc;
}

int wisp_npu_image_list(const struct wisp_npu_image *image,
                        const struct wisp_npu_list_params *params, char **text, size_t *size,
                        struct wisp_error *err) {
    struct wi_strbuf out;
    wi_err_clear(err);
    wi_strbuf_init(&out);
    *text = NULL;
    *size = 0;
    bool json = params && params->json, code = params && params->disassemble;
    int rc = json ? json_of(image, code, &out, err) : text_of(image, code, &out, err);
    if (rc == WISP_OK) {
        *size = out.len;
        *text = wi_strbuf_take(&out);
        rc = *text ? WISP_OK : wi_err_nomem(err, "the listing");
    }
    wi_strbuf_fini(&out);
    return rc;
}
