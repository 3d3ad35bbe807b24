#include "npu/asm/prog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

void wi_asm_prog_init(struct wi_asm_prog *prog) {
    memset(prog, 0, sizeof *prog);
}

void wi_asm_prog_fini(struct wi_asm_prog *prog) {
    for (size_t i = 0; i < prog->n_sections; i++) {
        wi_free(prog->sections[i].name);
        wi_strbuf_fini(&prog->sections[i].bytes);
    }
    for (size_t i = 0; i < prog->n_labels; i++)
        wi_free(prog->labels[i].name);
    wi_free(prog->sections);
    wi_free(prog->labels);
    wi_asm_prog_init(prog);
}

/* Room for one more object of `size` bytes. */
static bool grow(void **array, size_t n, size_t *capacity, size_t size) {
    if (n < *capacity)
        return true;
    size_t more = *capacity * 2 + 8;
    void *p = wi_realloc(*array, more, size);
    if (!p)
        return false;
    *array = p;
    *capacity = more;
    return true;
}

int wi_asm_prog_add_section(struct wi_asm_prog *prog, const char *name, uint32_t address, bool code,
                            struct wisp_error *err) {
    if (prog->n_sections == WI_ASM_MAX_SECTIONS)
        return wi_err_set(err, WISP_E_UNSUPPORTED, "more than %d sections", WI_ASM_MAX_SECTIONS);
    char *copy = wi_strndup(name, strnlen(name, WI_ASM_MAX_NAME));
    void *sections = prog->sections;
    if (!copy ||
        !grow(&sections, prog->n_sections, &prog->section_capacity, sizeof *prog->sections)) {
        wi_free(copy);
        return wi_err_nomem(err, "a section");
    }
    prog->sections = sections;
    prog->sections[prog->n_sections++] = (struct wi_asm_section){copy, address, code, {0}};
    return WISP_OK;
}

int wi_asm_prog_add_label(struct wi_asm_prog *prog, const char *name, size_t section,
                          uint32_t offset, struct wisp_error *err) {
    if (prog->n_labels == WI_ASM_MAX_LABELS)
        return wi_err_set(err, WISP_E_UNSUPPORTED, "more than %d labels", WI_ASM_MAX_LABELS);
    char *copy = wi_strdup(name);
    void *labels = prog->labels;
    if (!copy || !grow(&labels, prog->n_labels, &prog->label_capacity, sizeof *prog->labels)) {
        wi_free(copy);
        return wi_err_nomem(err, "a label");
    }
    prog->labels = labels;
    prog->labels[prog->n_labels++] = (struct wi_asm_label){copy, (uint32_t)section, offset};
    return WISP_OK;
}

static int compare_labels(const void *a, const void *b) {
    const struct wi_asm_label *x = a, *y = b;
    if (x->section != y->section)
        return x->section < y->section ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return strcmp(x->name, y->name);
}

void wi_asm_prog_sort(struct wi_asm_prog *prog) {
    if (prog->n_labels)
        qsort(prog->labels, prog->n_labels, sizeof *prog->labels, compare_labels);
}

static int compare_names(const void *a, const void *b) {
    const struct wi_asm_label *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : compare_labels(a, b);
}

/* The label called `name$n`, in place of a second `name`. */
static int rename_label(struct wi_asm_label *label, size_t n, struct wisp_error *err) {
    char name[WI_ASM_MAX_NAME + 24];
    snprintf(name, sizeof name, "%.*s$%zu", WI_ASM_MAX_NAME - 22, label->name, n);
    wi_free(label->name);
    label->name = wi_strdup(name);
    return label->name ? WISP_OK : wi_err_nomem(err, "a label");
}

int wi_asm_prog_tell_apart(struct wi_asm_prog *prog, struct wisp_error *err) {
    size_t n = prog->n_labels, kept = 0;
    if (n)
        qsort(prog->labels, n, sizeof *prog->labels, compare_names);
    for (size_t i = n; i-- > 1;) /* from behind, so that the first keeps its name */
        if (strcmp(prog->labels[i].name, prog->labels[i - 1].name) == 0) {
            int rc = rename_label(&prog->labels[i], i, err);
            if (rc != WISP_OK)
                return rc;
        }
    if (n)
        qsort(prog->labels, n, sizeof *prog->labels, compare_names);
    for (size_t i = 0; i < n; i++) { /* a file that has name$n too loses one of them */
        if (kept && strcmp(prog->labels[i].name, prog->labels[kept - 1].name) == 0)
            wi_free(prog->labels[i].name);
        else
            prog->labels[kept++] = prog->labels[i];
    }
    prog->n_labels = kept;
    wi_asm_prog_sort(prog);
    return WISP_OK;
}

bool wi_asm_is_label_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

bool wi_asm_is_label_char(char c) {
    return wi_asm_is_label_start(c) || (c >= '0' && c <= '9');
}

/* ------------------------------------------------------------------ raw bytes */

/* Whether no two code sections share an address; the range that they span. */
static bool place(const struct wi_asm_prog *prog, uint64_t *low, uint64_t *high) {
    bool apart = true;
    *low = UINT64_MAX;
    *high = 0;
    for (size_t i = 0; i < prog->n_sections; i++) {
        const struct wi_asm_section *a = &prog->sections[i];
        uint64_t end = (uint64_t)a->address + a->bytes.len;
        if (!a->code || !a->bytes.len)
            continue;
        *low = a->address < *low ? a->address : *low;
        *high = end > *high ? end : *high;
        for (size_t k = 0; k < i && apart; k++) {
            const struct wi_asm_section *b = &prog->sections[k];
            apart =
                !b->code || a->address >= (uint64_t)b->address + b->bytes.len || b->address >= end;
        }
    }
    return apart;
}

uint32_t wi_asm_prog_base(const struct wi_asm_prog *prog) {
    uint64_t low, high;
    place(prog, &low, &high);
    return high > 0 ? (uint32_t)low : 0;
}

uint32_t wi_asm_prog_entry(const struct wi_asm_prog *prog) {
    return prog->bare ? wi_asm_prog_base(prog) : prog->entry;
}

static int image(const struct wi_asm_prog *prog, uint64_t low, uint64_t high, struct wi_strbuf *out,
                 struct wisp_error *err) {
    if (high - low > WI_ASM_MAX_BYTES)
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "the code spans 0x%llx..0x%llx, too far apart for raw bytes; write ELF with --elf",
            (unsigned long long)low, (unsigned long long)high);
    char *bytes = wi_calloc((size_t)(high - low), 1);
    if (!bytes)
        return wi_err_nomem(err, "the program");
    for (size_t i = 0; i < prog->n_sections; i++) {
        const struct wi_asm_section *s = &prog->sections[i];
        if (s->code && s->bytes.len)
            memcpy(bytes + (s->address - low), s->bytes.data, s->bytes.len);
    }
    wi_strbuf_add(out, bytes, (size_t)(high - low));
    wi_free(bytes);
    return WISP_OK;
}

int wi_asm_prog_raw(const struct wi_asm_prog *prog, struct wi_strbuf *out, struct wisp_error *err) {
    uint64_t low, high;
    int rc = WISP_OK;
    if (!place(prog, &low, &high)) {
        for (size_t i = 0; i < prog->n_sections; i++)
            if (prog->sections[i].code)
                wi_strbuf_add(out, prog->sections[i].bytes.data, prog->sections[i].bytes.len);
    } else if (high > low) {
        rc = image(prog, low, high, out, err);
    }
    if (rc == WISP_OK && out->failed)
        rc = wi_err_nomem(err, "the program");
    return rc;
}
