#include "npu/asm/elf.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Offsets and numbers of ELF32, little-endian; names as in the System V ABI. */
enum {
    EHDR = 52,
    PHDR = 32,
    SHDR = 40,
    SYM = 16,
    ET_REL = 1,
    ET_EXEC = 2,
    EM_AIE = 0x108,
    EF_AIE2 = 2, /* e_flags of every AIE2 file that we have met; other generations of the machine
                    have others */
    SHT_PROGBITS = 1,
    SHT_SYMTAB = 2,
    SHT_STRTAB = 3,
    SHT_NOBITS = 8,
    SHF_WRITE = 1,
    SHF_ALLOC = 2,
    SHF_EXECINSTR = 4,
    PT_LOAD = 1,
    PF_X = 1,
    PF_W = 2,
    PF_R = 4,
    STT_SECTION = 3,
    STT_FILE = 4,
    STT_OBJECT = 1,
    STT_FUNC = 2
};

struct file {
    const uint8_t *bytes;
    size_t size;
    struct wisp_error *err;
};

struct shdr {
    uint32_t name, type, flags, addr, offset, size, link, entsize;
};

static uint32_t u16(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p) {
    return u16(p) | u16(p + 2) << 16;
}

static bool inside(const struct file *f, uint64_t offset, uint64_t size) {
    return offset <= f->size && size <= f->size - offset;
}

/* ------------------------------------------------------------------ reading */

bool wi_elf_is(const uint8_t *bytes, size_t size) {
    return size >= 4 && memcmp(bytes, "\177ELF", 4) == 0;
}

static int check_header(const struct file *f) {
    const uint8_t *h = f->bytes;
    if (f->size < EHDR || !wi_elf_is(h, f->size))
        return wi_err_set(f->err, WISP_E_FORMAT, "not an ELF file: its header is %s",
                          f->size < EHDR ? "cut short" : "another one's");
    if (h[4] != 1 || h[5] != 1)
        return wi_err_set(f->err, WISP_E_UNSUPPORTED,
                          "not a 32-bit little-endian ELF file, as AIE2 programs are");
    if (u16(h + 18) != EM_AIE)
        return wi_err_set(f->err, WISP_E_UNSUPPORTED,
                          "an ELF file for machine 0x%x, not for AIE2 (0x%x)", u16(h + 18), EM_AIE);
    if (u32(h + 36) != EF_AIE2)
        return wi_err_set(
            f->err, WISP_E_UNSUPPORTED,
            "an ELF file for another generation of AI engines (flags 0x%x; AIE2 has 0x%x)",
            u32(h + 36), EF_AIE2);
    if (u16(h + 16) != ET_REL && u16(h + 16) != ET_EXEC)
        return wi_err_set(f->err, WISP_E_UNSUPPORTED,
                          "an ELF file of type %u, neither program nor object", u16(h + 16));
    return WISP_OK;
}

static struct shdr section_header(const struct file *f, uint32_t i) {
    const uint8_t *p = f->bytes + u32(f->bytes + 32) + (size_t)SHDR * i;
    return (struct shdr){u32(p),      u32(p + 4),  u32(p + 8),  u32(p + 12),
                         u32(p + 16), u32(p + 20), u32(p + 24), u32(p + 36)};
}

static int check_tables(const struct file *f) {
    const uint8_t *h = f->bytes;
    uint32_t n_ph = u16(h + 44), n_sh = u16(h + 48);
    if (n_sh && (u16(h + 46) != SHDR || !inside(f, u32(h + 32), (uint64_t)n_sh * SHDR)))
        return wi_err_set(f->err, WISP_E_FORMAT,
                          "broken ELF file: its %u section headers do not lie in it", n_sh);
    if (n_ph && (u16(h + 42) != PHDR || !inside(f, u32(h + 28), (uint64_t)n_ph * PHDR)))
        return wi_err_set(f->err, WISP_E_FORMAT,
                          "broken ELF file: its %u program headers do not lie in it", n_ph);
    if (!n_sh && !n_ph)
        return wi_err_set(f->err, WISP_E_FORMAT, "an ELF file with neither sections nor segments");
    for (uint32_t i = 0; i < n_sh; i++) {
        struct shdr s = section_header(f, i);
        if (s.type && s.type != SHT_NOBITS && !inside(f, s.offset, s.size))
            return wi_err_set(f->err, WISP_E_FORMAT,
                              "broken ELF file: section %u (%u bytes at %u) does not lie in it", i,
                              s.size, s.offset);
    }
    return WISP_OK;
}

/* A string of a string table: "" when it is not one, at most WI_ASM_MAX_NAME characters of it. */
static void get_string(const struct file *f, uint32_t table, uint32_t at,
                       char out[WI_ASM_MAX_NAME + 1]) {
    struct shdr s = {0};
    out[0] = '\0';
    if (table < u16(f->bytes + 48))
        s = section_header(f, table);
    if (s.type != SHT_STRTAB || at >= s.size)
        return;
    const char *p = (const char *)f->bytes + s.offset + at;
    snprintf(out, WI_ASM_MAX_NAME + 1, "%.*s",
             (int)strnlen(p, s.size - at < WI_ASM_MAX_NAME ? s.size - at : WI_ASM_MAX_NAME), p);
}

/* .L40: what a listing calls the target of a branch; no symbol of ours. */
static bool is_listing_name(const char *name) {
    return strncmp(name, ".L", 2) == 0 && name[2] &&
           !name[2 + strspn(name + 2, "0123456789abcdef")];
}

/* Make a name a word of assembler text: other characters become _, and .L40 becomes .L40_. */
static void clean(char name[WI_ASM_MAX_NAME + 1]) {
    size_t len = strlen(name);
    for (char *p = name; *p; p++)
        if (!wi_asm_is_label_char(*p))
            *p = '_';
    if (!len)
        snprintf(name, 2, "_");
    else if (!wi_asm_is_label_start(name[0]))
        name[0] = '_';
    if (is_listing_name(name))
        snprintf(name + (len < WI_ASM_MAX_NAME ? len : len - 1), 2, "_");
}

/* Add a section of `size` bytes, of which the first `present` are in the file. */
static int add_bytes(struct wi_asm_prog *prog, const struct file *f, const char *name,
                     const struct shdr *s, uint32_t present, bool code, size_t *total) {
    if (s->size > WI_ASM_MAX_BYTES - *total)
        return wi_err_set(f->err, WISP_E_UNSUPPORTED,
                          "an ELF file whose sections have more than %d MB",
                          WI_ASM_MAX_BYTES >> 20);
    *total += s->size;
    int rc = wi_asm_prog_add_section(prog, name, s->addr, code, f->err);
    if (rc != WISP_OK)
        return rc;
    struct wi_strbuf *bytes = &prog->sections[prog->n_sections - 1].bytes;
    wi_strbuf_add(bytes, f->bytes + s->offset, present);
    static const uint8_t zeros[4096];
    while (bytes->len < s->size && !bytes->failed)
        wi_strbuf_add(bytes, zeros,
                      s->size - bytes->len < sizeof zeros ? s->size - bytes->len : sizeof zeros);
    return bytes->failed ? wi_err_nomem(f->err, "a section") : WISP_OK;
}

/* Sections that are loaded; map[i] becomes 1 + the index of section header i. */
static int read_sections(struct wi_asm_prog *prog, const struct file *f, uint16_t *map) {
    char name[WI_ASM_MAX_NAME + 1];
    size_t total = 0;
    for (uint32_t i = 0; i < u16(f->bytes + 48); i++) {
        struct shdr s = section_header(f, i);
        if (!(s.flags & SHF_ALLOC) || (s.type != SHT_PROGBITS && s.type != SHT_NOBITS) || !s.size)
            continue;
        get_string(f, u16(f->bytes + 50), s.name, name);
        clean(name);
        if (s.type == SHT_NOBITS)
            s.offset = 0;
        int rc = add_bytes(prog, f, name, &s, s.type == SHT_NOBITS ? 0 : s.size,
                           s.flags & SHF_EXECINSTR, &total);
        if (rc != WISP_OK)
            return rc;
        map[i] = (uint16_t)prog->n_sections;
    }
    return WISP_OK;
}

static int read_segments(struct wi_asm_prog *prog, const struct file *f) {
    size_t total = 0;
    for (uint32_t i = 0; i < u16(f->bytes + 44); i++) {
        const uint8_t *p = f->bytes + u32(f->bytes + 28) + (size_t)PHDR * i;
        struct shdr s = {.offset = u32(p + 4), .addr = u32(p + 8), .size = u32(p + 20)};
        uint32_t present = u32(p + 16);
        bool code = u32(p + 24) & PF_X;
        if (u32(p) != PT_LOAD || !s.size)
            continue;
        if (present > s.size || !inside(f, s.offset, present))
            return wi_err_set(f->err, WISP_E_FORMAT,
                              "broken ELF file: segment %u does not lie in it", i);
        int rc = add_bytes(prog, f, code ? ".text" : ".data", &s, present, code, &total);
        if (rc != WISP_OK)
            return rc;
    }
    return WISP_OK;
}

static int read_symbol(struct wi_asm_prog *prog, const struct file *f, const struct shdr *table,
                       const uint8_t *sym, const uint16_t *map) {
    char name[WI_ASM_MAX_NAME + 1];
    uint32_t type = sym[12] & 15, index = u16(sym + 14);
    size_t section = index < u16(f->bytes + 48) ? map[index] : 0;
    if (!section || type == STT_SECTION || type == STT_FILE)
        return WISP_OK;
    const struct wi_asm_section *s = &prog->sections[section - 1];
    uint32_t offset = u32(sym + 4) - (prog->relocatable ? 0 : s->address);
    get_string(f, table->link, u32(sym), name);
    if (!name[0] || offset > s->bytes.len)
        return WISP_OK;
    clean(name);
    return wi_asm_prog_add_label(prog, name, section - 1, offset, f->err);
}

static int read_symbols(struct wi_asm_prog *prog, const struct file *f, const uint16_t *map) {
    for (uint32_t i = 0; i < u16(f->bytes + 48); i++) {
        struct shdr table = section_header(f, i);
        if (table.type != SHT_SYMTAB)
            continue;
        for (uint32_t at = 0; at + SYM <= table.size; at += SYM) {
            int rc = read_symbol(prog, f, &table, f->bytes + table.offset + at, map);
            if (rc != WISP_OK)
                return rc;
        }
    }
    return WISP_OK;
}

int wi_elf_read(struct wi_asm_prog *prog, const uint8_t *bytes, size_t size,
                struct wisp_error *err) {
    struct file f = {bytes, size, err};
    int rc = check_header(&f);
    if (rc == WISP_OK)
        rc = check_tables(&f);
    if (rc != WISP_OK)
        return rc;
    prog->entry = u32(bytes + 24);
    prog->relocatable = u16(bytes + 16) == ET_REL;
    if (u16(bytes + 48) == 0)
        return read_segments(prog, &f);
    uint16_t *map = wi_calloc(u16(bytes + 48), sizeof *map);
    if (!map)
        return wi_err_nomem(err, "the sections");
    rc = read_sections(prog, &f, map);
    if (rc == WISP_OK)
        rc = read_symbols(prog, &f, map);
    if (rc == WISP_OK)
        rc = wi_asm_prog_tell_apart(prog, err);
    wi_free(map);
    return rc;
}

/* ------------------------------------------------------------------ writing */

static void put16(struct wi_strbuf *out, uint32_t v) {
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    wi_strbuf_add(out, b, 2);
}

static void put32(struct wi_strbuf *out, uint32_t v) {
    put16(out, v);
    put16(out, v >> 16);
}

static void put_shdr(struct wi_strbuf *out, const struct shdr *s, uint32_t info, uint32_t align) {
    const uint32_t words[] = {s->name, s->type, s->flags, s->addr, s->offset,
                              s->size, s->link, info,     align,   s->entsize};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        put32(out, words[i]);
}

/* Append a string and its NUL; returns where it begins. */
static uint32_t put_string(struct wi_strbuf *table, const char *text) {
    uint32_t at = (uint32_t)table->len;
    wi_strbuf_add(table, text, strlen(text) + 1);
    return at;
}

static uint32_t align16(uint32_t n) {
    return (n + 15) & ~15u;
}

/* The parts of the file behind its headers. */
struct parts {
    uint32_t n_ph, first; /* program headers; file offset of the first section */
    struct wi_strbuf symbols, strings, names;
    uint32_t text_end; /* file offset behind the sections */
};

static void put_header(const struct wi_asm_prog *prog, const struct parts *p,
                       struct wi_strbuf *out) {
    static const uint8_t ident[16] = "\177ELF\1\1\1";
    uint32_t tables = (uint32_t)(p->symbols.len + p->strings.len + p->names.len);
    wi_strbuf_add(out, ident, sizeof ident);
    put16(out, prog->relocatable ? ET_REL : ET_EXEC);
    put16(out, EM_AIE);
    put32(out, 1);
    put32(out, prog->entry);
    put32(out, p->n_ph ? EHDR : 0);
    put32(out, align16(p->text_end + tables));
    put32(out, EF_AIE2);
    put16(out, EHDR);
    put16(out, PHDR);
    put16(out, p->n_ph);
    put16(out, SHDR);
    put16(out, (uint32_t)prog->n_sections + 4); /* none, ours, symbols, strings, names */
    put16(out, (uint32_t)prog->n_sections + 3);
}

static void put_segments(const struct wi_asm_prog *prog, const struct parts *p,
                         struct wi_strbuf *out) {
    uint32_t at = p->first;
    for (size_t i = 0; i < p->n_ph; i++) {
        const struct wi_asm_section *s = &prog->sections[i];
        uint32_t size = (uint32_t)s->bytes.len;
        const uint32_t words[] = {
            PT_LOAD, at, s->address, s->address, size, size, s->code ? PF_R | PF_X : PF_R | PF_W,
            16};
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            put32(out, words[k]);
        at = align16(at + size);
    }
}

static void put_symbols(const struct wi_asm_prog *prog, struct parts *p) {
    static const uint8_t none[SYM];
    wi_strbuf_add(&p->symbols, none, SYM);
    put_string(&p->strings, "");
    for (size_t i = 0; i < prog->n_labels; i++) {
        const struct wi_asm_label *label = &prog->labels[i];
        const struct wi_asm_section *s = &prog->sections[label->section];
        if (is_listing_name(label->name))
            continue;
        put32(&p->symbols, put_string(&p->strings, label->name));
        put32(&p->symbols, label->offset + (prog->relocatable ? 0 : s->address));
        put32(&p->symbols, 0);
        put16(&p->symbols, 1 << 4 | (s->code ? STT_FUNC : STT_OBJECT)); /* global */
        put16(&p->symbols, label->section + 1);
    }
}

static void pad_to(struct wi_strbuf *out, size_t len) {
    static const uint8_t zeros[16];
    if (out->len < len && !out->failed)
        wi_strbuf_add(out, zeros, len - out->len);
}

static void put_section_headers(const struct wi_asm_prog *prog, struct parts *p,
                                struct wi_strbuf *out) {
    uint32_t at = p->first, n = (uint32_t)prog->n_sections, name = 1;
    put_shdr(out, &(struct shdr){0}, 0, 0);
    for (size_t i = 0; i < n; i++) {
        const struct wi_asm_section *s = &prog->sections[i];
        put_shdr(out,
                 &(struct shdr){name, SHT_PROGBITS,
                                SHF_ALLOC | (s->code ? SHF_EXECINSTR : SHF_WRITE), s->address, at,
                                (uint32_t)s->bytes.len, 0, 0},
                 0, 16);
        name += (uint32_t)strlen(s->name) + 1;
        at = align16(at + (uint32_t)s->bytes.len);
    }
    at = p->text_end;
    put_shdr(out, &(struct shdr){name, SHT_SYMTAB, 0, 0, at, (uint32_t)p->symbols.len, n + 2, SYM},
             1, 4);
    at += (uint32_t)p->symbols.len;
    put_shdr(out, &(struct shdr){name + 8, SHT_STRTAB, 0, 0, at, (uint32_t)p->strings.len, 0, 0}, 0,
             1);
    at += (uint32_t)p->strings.len;
    put_shdr(out, &(struct shdr){name + 16, SHT_STRTAB, 0, 0, at, (uint32_t)p->names.len, 0, 0}, 0,
             1);
}

/* Names of sections, in the order of their headers. */
static void put_names(const struct wi_asm_prog *prog, struct parts *p) {
    put_string(&p->names, "");
    for (size_t i = 0; i < prog->n_sections; i++)
        put_string(&p->names, prog->sections[i].name);
    put_string(&p->names, ".symtab");
    put_string(&p->names, ".strtab");
    put_string(&p->names, ".shstrtab");
}

int wi_elf_write(const struct wi_asm_prog *prog, struct wi_strbuf *out, struct wisp_error *err) {
    struct parts p = {.n_ph = prog->relocatable ? 0 : (uint32_t)prog->n_sections};
    p.text_end = p.first = align16(EHDR + PHDR * p.n_ph);
    for (size_t i = 0; i < prog->n_sections; i++)
        p.text_end = align16(p.text_end + (uint32_t)prog->sections[i].bytes.len);
    put_symbols(prog, &p);
    put_names(prog, &p);
    put_header(prog, &p, out);
    put_segments(prog, &p, out);
    for (size_t i = 0; i < prog->n_sections; i++) {
        pad_to(out, align16((uint32_t)out->len));
        wi_strbuf_add(out, prog->sections[i].bytes.data, prog->sections[i].bytes.len);
    }
    pad_to(out, p.text_end);
    wi_strbuf_add(out, p.symbols.data, p.symbols.len);
    wi_strbuf_add(out, p.strings.data, p.strings.len);
    wi_strbuf_add(out, p.names.data, p.names.len);
    pad_to(out, align16((uint32_t)out->len));
    put_section_headers(prog, &p, out);
    bool failed = out->failed || p.symbols.failed || p.strings.failed || p.names.failed;
    wi_strbuf_fini(&p.symbols);
    wi_strbuf_fini(&p.strings);
    wi_strbuf_fini(&p.names);
    return failed ? wi_err_nomem(err, "the ELF file") : WISP_OK;
}
