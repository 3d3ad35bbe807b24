/* Public entry points of the NPU stack: they check arguments and call npu/, nothing else. */
#include "api_npu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "npu/asm/elf.h"
#include "npu/asm/text.h"

void wisp_npu_load_params_init(struct wisp_npu_load_params *params) {
    memset(params, 0, sizeof *params);
}

/* ------------------------------------------------------------------ making programs */

static int create(struct wisp_npu_program **out, struct wisp_error *err) {
    *out = wi_calloc(1, sizeof **out);
    if (!*out)
        return wi_err_nomem(err, "the program");
    wi_asm_prog_init(&(*out)->prog);
    return WISP_OK;
}

static int read_raw(struct wi_asm_prog *prog, const uint8_t *bytes, size_t size, uint32_t base,
                    struct wisp_error *err) {
    if (size > WI_ASM_MAX_BYTES)
        return wi_err_set(err, WISP_E_UNSUPPORTED, "more than %d MB of raw code; a core has 16 KB",
                          WI_ASM_MAX_BYTES >> 20);
    int rc = wi_asm_prog_add_section(prog, ".text", base, true, err);
    if (rc != WISP_OK)
        return rc;
    prog->bare = true;
    wi_strbuf_add(&prog->sections[0].bytes, bytes, size);
    return prog->sections[0].bytes.failed ? wi_err_nomem(err, "the program") : WISP_OK;
}

int wisp_npu_load(struct wisp_npu_program **out, const uint8_t *bytes, size_t size,
                  const struct wisp_npu_load_params *params, struct wisp_error *err) {
    struct wisp_npu_load_params defaults;
    wi_err_clear(err);
    wisp_npu_load_params_init(&defaults);
    if (!params)
        params = &defaults;
    int rc = create(out, err);
    if (rc == WISP_OK && params->raw)
        rc = read_raw(&(*out)->prog, bytes, size, params->base, err);
    else if (rc == WISP_OK && !wi_elf_is(bytes, size))
        rc = wi_err_set(err, WISP_E_FORMAT,
                        "not an ELF file; if it is nothing but code, say so with --raw");
    else if (rc == WISP_OK)
        rc = wi_elf_read(&(*out)->prog, bytes, size, err);
    if (rc != WISP_OK)
        wisp_npu_program_close(out);
    return rc;
}

int wisp_npu_assemble(struct wisp_npu_program **out, const char *text, size_t size,
                      const char *name, struct wisp_error *err) {
    wi_err_clear(err);
    int rc = create(out, err);
    if (rc == WISP_OK)
        rc = wi_asm_read(&(*out)->prog, text, size, name, err);
    if (rc != WISP_OK)
        wisp_npu_program_close(out);
    return rc;
}

void wisp_npu_program_close(struct wisp_npu_program **program) {
    if (!program || !*program)
        return;
    wi_asm_prog_fini(&(*program)->prog);
    wi_free(*program);
    *program = NULL;
}

/* ------------------------------------------------------------------ files */

enum { MAX_FILE = 64 << 20 }; /* bytes of text or ELF; the program of a core has 16 KB */

/* Everything that a stream gives. */
static int read_all(FILE *f, struct wi_strbuf *out, const char *name, struct wisp_error *err) {
    char block[4096];
    size_t n;
    while (out->len <= MAX_FILE && !out->failed && (n = fread(block, 1, sizeof block, f)) > 0)
        wi_strbuf_add(out, block, n);
    if (out->len > MAX_FILE)
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "'%.300s' has more than %d MB; a core's program has 16 KB", name,
                          MAX_FILE >> 20);
    if (ferror(f))
        return wi_err_errno(err, WISP_E_IO, errno, "cannot read '%.300s'", name);
    return out->failed ? wi_err_nomem(err, "a file") : WISP_OK;
}

/* A file's bytes and what messages call it. */
struct input {
    struct wi_strbuf bytes;
    const char *name;
};

static int input_open(struct input *in, const char *path, struct wisp_error *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    wi_strbuf_init(&in->bytes);
    in->name = is_stdin ? "<stdin>" : path;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    if (!f)
        return wi_err_errno(err, WISP_E_IO, errno, "cannot open '%.300s'", path);
    int rc = read_all(f, &in->bytes, in->name, err);
    if (!is_stdin)
        fclose(f);
    return rc;
}

/* "file: reason" */
static void name_file(struct wisp_error *err, const char *name) {
    char reason[sizeof err->text];
    memcpy(reason, err->text, sizeof reason);
    snprintf(err->text, sizeof err->text, "'%.300s': %.700s", name, reason);
}

int wisp_npu_load_file(struct wisp_npu_program **out, const char *path,
                       const struct wisp_npu_load_params *params, struct wisp_error *err) {
    struct input in;
    struct wisp_error ignored;
    if (!err)
        err = &ignored;
    wi_err_clear(err);
    *out = NULL;
    int rc = input_open(&in, path, err);
    if (rc == WISP_OK) {
        rc = wisp_npu_load(out, (const uint8_t *)in.bytes.data, in.bytes.len, params, err);
        if (rc != WISP_OK)
            name_file(err, in.name);
    }
    wi_strbuf_fini(&in.bytes);
    return rc;
}

int wisp_npu_assemble_file(struct wisp_npu_program **out, const char *path,
                           struct wisp_error *err) {
    struct input in;
    wi_err_clear(err);
    *out = NULL;
    int rc = input_open(&in, path, err);
    if (rc == WISP_OK)
        rc = wisp_npu_assemble(out, in.bytes.data, in.bytes.len, in.name, err);
    wi_strbuf_fini(&in.bytes);
    return rc;
}

/* ------------------------------------------------------------------ what programs give */

int wisp_npu_disassemble(const struct wisp_npu_program *program, unsigned flags, char **text,
                         size_t *size, struct wisp_error *err) {
    struct wi_strbuf out;
    wi_err_clear(err);
    wi_strbuf_init(&out);
    *text = NULL;
    *size = 0;
    int rc = wi_asm_print(&program->prog, flags, &out, err);
    if (rc == WISP_OK) {
        *size = out.len;
        *text = wi_strbuf_take(&out);
        if (!*text)
            rc = wi_err_nomem(err, "the text");
    }
    wi_strbuf_fini(&out);
    return rc;
}

int wisp_npu_program_bytes(const struct wisp_npu_program *program, bool elf, uint8_t **bytes,
                           size_t *size, struct wisp_error *err) {
    struct wi_strbuf out;
    wi_err_clear(err);
    wi_strbuf_init(&out);
    *bytes = NULL;
    *size = 0;
    int rc =
        elf ? wi_elf_write(&program->prog, &out, err) : wi_asm_prog_raw(&program->prog, &out, err);
    if (rc == WISP_OK) {
        *size = out.len;
        *bytes = (uint8_t *)wi_strbuf_take(&out);
        if (!*bytes)
            rc = wi_err_nomem(err, "the file");
    }
    wi_strbuf_fini(&out);
    return rc;
}

bool wisp_npu_program_section(const struct wisp_npu_program *program, size_t i,
                              struct wisp_npu_section *out) {
    if (i >= program->prog.n_sections)
        return false;
    const struct wi_asm_section *s = &program->prog.sections[i];
    *out = (struct wisp_npu_section){s->name, s->address, s->code, (const uint8_t *)s->bytes.data,
                                     s->bytes.len};
    return true;
}

void wisp_npu_free(void *memory) {
    wi_free(memory);
}
