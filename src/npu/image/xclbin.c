#include "npu/image/xclbin.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/image/words.h"

/* Byte offsets in the file header and sizes of its parts. */
enum {
    AXLF_UNIQUE_ID = 0x128,
    AXLF_LENGTH = 0x130,
    AXLF_TIMESTAMP = 0x138,
    AXLF_PATCH = 0x148,
    AXLF_PLATFORM = 0x160,
    AXLF_UUID = 0x1a0,
    AXLF_SECTION_COUNT = 0x1c0,
    AXLF_HEADER = 0x1c8,
    SECTION_HEADER = 40,
};
/* Kinds of sections. */
enum {
    EMBEDDED_METADATA = 2,
    MEM_TOPOLOGY = 6,
    CONNECTIVITY = 7,
    IP_LAYOUT = 8,
    GROUP_TOPOLOGY = 26,
    GROUP_CONNECTIVITY = 27,
    AIE_PARTITION = 32,
};
/* AIE_PARTITION: byte offsets; an array is {count, offset from the section's start}. */
enum {
    PART_OPS = 0x08,
    PART_WIDTH = 0x20,
    PART_START_COLUMNS = 0x28,
    PART_PDIS = 0x78,
    PART_HEAP = 0xb8,
    PDI_BYTES = 96,
    PDI_IMAGE = 0x10,
    PDI_GROUPS = 0x18,
    GROUP_BYTES = 96,
    GROUP_TYPE = 0x04,
    GROUP_PDI_ID = 0x08,
    GROUP_KERNEL_IDS = 0x10,
    GROUP_PRE_GROUPS = 0x18,
};
enum { IP_BYTES = 80, IP_NAME = 16, IP_NAME_BYTES = 64, IP_DPU = 7 };
static const char MAGIC[8] = "xclbin2";

const char *wi_xclbin_kind_name(uint32_t kind) {
    static const struct {
        uint32_t kind;
        const char *name;
    } names[] = {
        {0, "BITSTREAM"},
        {EMBEDDED_METADATA, "EMBEDDED_METADATA"},
        {MEM_TOPOLOGY, "MEM_TOPOLOGY"},
        {CONNECTIVITY, "CONNECTIVITY"},
        {IP_LAYOUT, "IP_LAYOUT"},
        {14, "BUILD_METADATA"},
        {18, "PDI"},
        {22, "SYSTEM_METADATA"},
        {25, "AIE_METADATA"},
        {GROUP_TOPOLOGY, "GROUP_TOPOLOGY"},
        {GROUP_CONNECTIVITY, "GROUP_CONNECTIVITY"},
        {AIE_PARTITION, "AIE_PARTITION"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].kind == kind)
            return names[i].name;
    return "unknown";
}

/* ---------------------------------------------------------------- reading */

static uint32_t get32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p) {
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* `count` items of `bytes` each at `offset` of a section, NULL when they are not inside. */
static const uint8_t *part(const struct wi_xclbin_section *s, uint64_t offset, uint64_t count,
                           size_t bytes) {
    return offset <= s->size && count <= (s->size - offset) / bytes ? s->data + offset : NULL;
}

/* The array {count, offset} at `field`; *count is 0 when there is none. */
static const uint8_t *array(const struct wi_xclbin_section *s, const uint8_t *field, size_t bytes,
                            size_t *count) {
    *count = get32(field);
    return part(s, get32(field + 4), *count, bytes);
}

static int bad_section(const struct wi_xclbin_section *s, const char *what,
                       struct wisp_error *err) {
    return wi_err_set(err, WISP_E_FORMAT, "the xclbin's section %s %s",
                      wi_xclbin_kind_name(s->kind), what);
}

static int add_kernel_ids(struct wi_xclbin_pdi *pdi, const struct wi_xclbin_section *s,
                          const uint8_t *group, struct wisp_error *err) {
    size_t n;
    const uint8_t *ids = array(s, group + GROUP_KERNEL_IDS, 8, &n);
    if (!ids)
        return bad_section(s, "has kernel ids outside itself", err);
    uint64_t *all = wi_realloc(pdi->kernel_ids, pdi->n_kernel_ids + n + 1, sizeof *all);
    if (!all)
        return wi_err_nomem(err, "the kernel ids of an xclbin");
    pdi->kernel_ids = all;
    for (size_t i = 0; i < n; i++)
        all[pdi->n_kernel_ids++] = get64(ids + 8 * i);
    return WISP_OK;
}

static int read_pdi(struct wi_xclbin_pdi *pdi, const struct wi_xclbin_section *s,
                    const uint8_t *entry, struct wisp_error *err) {
    size_t n_groups;
    const uint8_t *groups = array(s, entry + PDI_GROUPS, GROUP_BYTES, &n_groups);
    memcpy(pdi->uuid, entry, sizeof pdi->uuid);
    pdi->data = array(s, entry + PDI_IMAGE, 1, &pdi->size);
    if (!groups || !pdi->data)
        return bad_section(s, "has a PDI outside itself", err);
    int rc = WISP_OK;
    for (size_t i = 0; i < n_groups && rc == WISP_OK; i++)
        rc = add_kernel_ids(pdi, s, groups + i * GROUP_BYTES, err);
    return rc;
}

static int read_partition(struct wi_xclbin *x, const struct wi_xclbin_section *s,
                          struct wisp_error *err) {
    if (s->size < PART_HEAP)
        return bad_section(s, "is too short", err);
    size_t n;
    const uint8_t *entries = array(s, s->data + PART_PDIS, PDI_BYTES, &n);
    if (!entries)
        return bad_section(s, "has PDIs outside itself", err);
    x->n_cols = (int)(get32(s->data + PART_WIDTH) & 0xffff);
    x->ops_per_cycle = get32(s->data + PART_OPS);
    x->pdis = wi_calloc(n + 1, sizeof *x->pdis);
    if (!x->pdis)
        return wi_err_nomem(err, "the PDIs of an xclbin");
    int rc = WISP_OK;
    for (x->n_pdis = 0; x->n_pdis < n && rc == WISP_OK; x->n_pdis++)
        rc = read_pdi(&x->pdis[x->n_pdis], s, entries + x->n_pdis * PDI_BYTES, err);
    return rc;
}

static int read_kernels(struct wi_xclbin *x, const struct wi_xclbin_section *s,
                        struct wisp_error *err) {
    size_t n = s->size >= 8 ? get32(s->data) : 0;
    const uint8_t *entries = part(s, 8, n, IP_BYTES);
    if (!entries)
        return bad_section(s, "is cut off", err);
    x->kernels = wi_calloc(n + 1, sizeof *x->kernels);
    if (!x->kernels)
        return wi_err_nomem(err, "the kernels of an xclbin");
    for (size_t i = 0; i < n; i++, entries += IP_BYTES) {
        struct wi_xclbin_kernel *k = &x->kernels[x->n_kernels];
        uint32_t properties = get32(entries + 4);
        if (get32(entries) != IP_DPU)
            continue;
        memcpy(k->name, entries + IP_NAME, IP_NAME_BYTES);
        k->functional = (int)(properties >> 4 & 3);
        k->id = properties >> 16 & 0xfff;
        x->n_kernels++;
    }
    return WISP_OK;
}

static int read_section(struct wi_xclbin *x, const uint8_t *data, size_t size, const uint8_t *entry,
                        struct wisp_error *err) {
    struct wi_xclbin_section *s = &x->sections[x->n_sections];
    uint64_t offset = get64(entry + 24), bytes = get64(entry + 32);
    s->kind = get32(entry);
    memcpy(s->name, entry + 4, 16);
    if (offset > size || bytes > size - offset)
        return bad_section(s, "lies outside the file", err);
    s->data = data + offset;
    s->size = (size_t)bytes;
    x->n_sections++;
    /* The second of a kind would leave the first one's arrays behind. */
    if ((s->kind == AIE_PARTITION && x->pdis) || (s->kind == IP_LAYOUT && x->kernels))
        return bad_section(s, "occurs twice", err);
    if (s->kind == AIE_PARTITION)
        return read_partition(x, s, err);
    return s->kind == IP_LAYOUT ? read_kernels(x, s, err) : WISP_OK;
}

bool wi_xclbin_is(const uint8_t *data, size_t size) {
    return size >= sizeof MAGIC && memcmp(data, MAGIC, sizeof MAGIC) == 0;
}

static int read_file(struct wi_xclbin *x, const uint8_t *data, size_t size,
                     struct wisp_error *err) {
    if (!wi_xclbin_is(data, size) || size < AXLF_HEADER)
        return wi_err_set(err, WISP_E_FORMAT, "this is not an xclbin");
    if (get64(data + AXLF_LENGTH) != size)
        return wi_err_set(err, WISP_E_FORMAT, "the xclbin states %llu bytes; there are %zu",
                          (unsigned long long)get64(data + AXLF_LENGTH), size);
    size_t n = get32(data + AXLF_SECTION_COUNT);
    if (n > (size - AXLF_HEADER) / SECTION_HEADER)
        return wi_err_set(err, WISP_E_FORMAT,
                          "the xclbin's %zu section headers do not fit the file", n);
    memcpy(x->uuid, data + AXLF_UUID, sizeof x->uuid);
    memcpy(x->platform, data + AXLF_PLATFORM, 64);
    x->timestamp = get64(data + AXLF_TIMESTAMP);
    x->patch = data[AXLF_PATCH] | data[AXLF_PATCH + 1] << 8;
    x->major = data[AXLF_PATCH + 2];
    x->minor = data[AXLF_PATCH + 3];
    x->sections = wi_calloc(n + 1, sizeof *x->sections);
    if (!x->sections)
        return wi_err_nomem(err, "the sections of an xclbin");
    int rc = WISP_OK;
    for (size_t i = 0; i < n && rc == WISP_OK; i++)
        rc = read_section(x, data, size, data + AXLF_HEADER + i * SECTION_HEADER, err);
    if (rc == WISP_OK && !x->pdis)
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "the xclbin has no section AIE_PARTITION; it is for another kind of device");
    return rc;
}

int wi_xclbin_read(struct wi_xclbin *x, const uint8_t *data, size_t size, struct wisp_error *err) {
    memset(x, 0, sizeof *x);
    int rc = read_file(x, data, size, err);
    if (rc != WISP_OK)
        wi_xclbin_fini(x);
    return rc;
}

void wi_xclbin_fini(struct wi_xclbin *x) {
    for (size_t i = 0; x->pdis && i < x->n_pdis; i++)
        wi_free(x->pdis[i].kernel_ids);
    wi_free(x->pdis);
    wi_free(x->kernels);
    wi_free(x->sections);
    memset(x, 0, sizeof *x);
}

const struct wi_xclbin_pdi *wi_xclbin_pdi_of(const struct wi_xclbin *x,
                                             const struct wi_xclbin_kernel *kernel) {
    for (size_t i = 0; i < x->n_pdis; i++)
        for (size_t j = 0; j < x->pdis[i].n_kernel_ids; j++)
            if (x->pdis[i].kernel_ids[j] == kernel->id)
                return &x->pdis[i];
    return NULL;
}

/* ---------------------------------------------------------------- writing */

enum {
    KERNEL_ID = 0x901, /* as mlir-aie's */
    XRT_MAJOR = 2,
    XRT_MINOR = 17,
    OPS_PER_CYCLE = 2048, /* of a column */
    SCALAR_ARGS = 3,      /* opcode, instruction stream, its length in words */
    MAX_NAME = 61,        /* "NAME:0" and its end fit 64 bytes */
};

static void put64(struct wi_strbuf *out, uint64_t value) {
    wi_word_put(out, (uint32_t)value);
    wi_word_put(out, (uint32_t)(value >> 32));
}

static void put_zeros(struct wi_strbuf *out, size_t n) {
    static const char zeros[64];
    for (; n > sizeof zeros; n -= sizeof zeros)
        wi_strbuf_add(out, zeros, sizeof zeros);
    wi_strbuf_add(out, zeros, n);
}

static void align8(struct wi_strbuf *out) {
    put_zeros(out, (8 - out->len % 8) % 8);
}

/* Text in a field of `size` bytes. */
static void put_text(struct wi_strbuf *out, const char *text, size_t size) {
    wi_strbuf_puts(out, text);
    put_zeros(out, size - strlen(text));
}

/* Two banks: host memory for data, the controller's for instructions. */
static void put_mem_topology(struct wi_strbuf *out) {
    static const struct {
        uint32_t kib;
        const char *tag;
    } banks[] = {{0x10000, "HOST"}, {0xc000, "SRAM"}};
    enum { HEAP = 0x4000000, TYPE_DRAM = 2, USED = 1 << 8 };
    wi_word_put(out, 2);
    wi_word_put(out, 0);
    for (size_t i = 0; i < 2; i++) {
        put64(out, TYPE_DRAM | USED);
        put64(out, banks[i].kib);
        put64(out, HEAP);
        put_text(out, banks[i].tag, 16);
    }
}

/* {argument, kernel, bank}: the instruction stream lies in bank 1, buffers in bank 0. */
static void put_connections(struct wi_strbuf *out, int n_buffers) {
    for (int arg = 1; arg < SCALAR_ARGS + n_buffers; arg++) {
        if (arg == 2)
            continue;
        wi_word_put(out, (uint32_t)arg);
        wi_word_put(out, 0);
        wi_word_put(out, arg == 1);
    }
}

static void put_connectivity(struct wi_strbuf *out, int n_buffers, int times) {
    wi_word_put(out, (uint32_t)(times * (1 + n_buffers)));
    for (int i = 0; i < times; i++)
        put_connections(out, n_buffers);
}

static void put_ip_layout(struct wi_strbuf *out, const struct wi_xclbin_design *d) {
    char name[IP_NAME_BYTES + 1];
    enum { SUBTYPE_DPU = 1 };
    wi_word_put(out, 1);
    wi_word_put(out, 0);
    wi_word_put(out, IP_DPU);
    wi_word_put(out, SUBTYPE_DPU | KERNEL_ID << 16);
    put64(out, UINT64_MAX); /* no base address */
    snprintf(name, sizeof name, "%s:0", d->kernel);
    put_text(out, name, IP_NAME_BYTES);
}

static void put_arg(struct wi_strbuf *out, const char *name, bool global, int id, int size,
                    int offset, const char *type) {
    wi_strbuf_printf(out,
                     "          <arg name=\"%s\" addressQualifier=\"%d\" id=\"%d\" size=\"0x%x\" "
                     "offset=\"0x%02X\" hostOffset=\"0x0\" hostSize=\"0x%x\" type=\"%s\"/>\n",
                     name, global, id, size, offset, size, type);
}

static void put_metadata(struct wi_strbuf *out, const struct wi_xclbin_design *d) {
    wi_strbuf_printf(
        out,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<project>\n  <platform>\n    <device>\n"
        "      <core>\n        <kernel name=\"%s\" language=\"c\" type=\"dpu\">\n"
        "          <extended-data dpu_kernel_id=\"0x%x\" functional=\"0\" subtype=\"1\"/>\n",
        d->kernel, KERNEL_ID);
    put_arg(out, "opcode", false, 0, 8, 0, "uint64_t");
    put_arg(out, "instr", true, 1, 8, 8, "char *");
    put_arg(out, "ninstr", false, 2, 4, 16, "uint32_t");
    for (int i = 0; i < d->n_buffers; i++) {
        char name[16];
        snprintf(name, sizeof name, "bo%d", i);
        put_arg(out, name, true, SCALAR_ARGS + i, 8, 20 + 8 * i, "void*");
    }
    wi_strbuf_puts(
        out, "          <instance name=\"0\"/>\n        </kernel>\n      </core>\n    </device>\n"
             "  </platform>\n</project>\n");
}

/* An array {count, offset}. */
static void put_array(struct wi_strbuf *out, size_t count, size_t offset) {
    wi_word_put(out, (uint32_t)count);
    wi_word_put(out, (uint32_t)offset);
}

static void put_partition(struct wi_strbuf *out, const struct wi_xclbin_design *d) {
    /* the heap behind the partition's header, every item on 8 bytes */
    size_t columns = PART_HEAP + 8, image = columns + 8,
           group_name = image + (d->pdi_size + 7) / 8 * 8;
    size_t kernel_ids = group_name + 8, pre = kernel_ids + 8, group = pre + 8,
           pdi = group + GROUP_BYTES;
    size_t n_starts = d->n_cols < 4 ? 5 - (size_t)d->n_cols : 1;
    wi_word_put(out, 0);         /* schema version */
    wi_word_put(out, PART_HEAP); /* name: empty */
    put64(out, (uint64_t)OPS_PER_CYCLE * (uint64_t)d->n_cols);
    put64(out, 23423); /* fingerprints, the same in all images */
    put64(out, 12345);
    put64(out, (uint64_t)d->n_cols);
    put_array(out, n_starts, columns);
    put_zeros(out, PART_PDIS - PART_START_COLUMNS - 8);
    put_array(out, 1, pdi);
    put_zeros(out, PART_HEAP - PART_PDIS - 8);
    put_zeros(out, 8);                  /* name */
    for (uint32_t i = 0; i < 4; i += 2) /* start columns, 16 bits each */
        wi_word_put(out, (i < n_starts ? i + 1 : 0) | (i + 1 < n_starts ? i + 2 : 0) << 16);
    wi_strbuf_add(out, d->pdi, d->pdi_size);
    put_zeros(out, group_name - image - d->pdi_size);
    put_text(out, "DPU", 8);
    put64(out, KERNEL_ID);
    put64(out, 0xc1);                            /* the group before, by convention */
    put_array(out, group_name, 1 /* PRIMARY */); /* aie_cdo_group: name, type */
    put64(out, 1);                               /* pdi id */
    put_array(out, 1, kernel_ids);
    put_array(out, 1, pre);
    put_zeros(out, GROUP_BYTES - GROUP_PRE_GROUPS - 8);
    wi_strbuf_add(out, d->uuid, sizeof d->uuid); /* aie_pdi */
    put_array(out, d->pdi_size, image);
    put_array(out, 1, group);
    put_zeros(out, PDI_BYTES - PDI_GROUPS - 8);
}

static void put_section(struct wi_strbuf *out, const struct wi_xclbin_design *d, uint32_t kind) {
    switch (kind) {
    case MEM_TOPOLOGY:
    case GROUP_TOPOLOGY: put_mem_topology(out); break;
    case AIE_PARTITION: put_partition(out, d); break;
    case EMBEDDED_METADATA: put_metadata(out, d); break;
    case IP_LAYOUT: put_ip_layout(out, d); break;
    case CONNECTIVITY: put_connectivity(out, d->n_buffers, 1); break;
    case GROUP_CONNECTIVITY: put_connectivity(out, d->n_buffers, 2); break;
    }
}

static void put_header(struct wi_strbuf *out, const struct wi_xclbin_design *d, size_t length,
                       size_t n_sections) {
    wi_strbuf_add(out, MAGIC, sizeof MAGIC);
    for (int i = 0; i < (4 + 28 + 256) / 4; i++)
        wi_word_put(out, UINT32_MAX); /* no signature */
    put64(out, d->timestamp);         /* unique id */
    put64(out, length);
    put64(out, d->timestamp);
    put64(out, 0);
    wi_word_put(out, XRT_MAJOR << 16 | XRT_MINOR << 24);
    wi_word_put(out, 0); /* mode */
    put_zeros(out, 16);  /* interface uuid */
    put_zeros(out, 64);  /* platform */
    wi_strbuf_add(out, d->uuid, sizeof d->uuid);
    put_zeros(out, 16); /* debug file */
    wi_word_put(out, (uint32_t)n_sections);
    wi_word_put(out, 0);
}

static bool is_identifier(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    return n > 0 && n <= MAX_NAME;
}

int wi_xclbin_write(const struct wi_xclbin_design *d, struct wi_strbuf *out,
                    struct wisp_error *err) {
    static const uint32_t kinds[] = {MEM_TOPOLOGY, AIE_PARTITION,      EMBEDDED_METADATA, IP_LAYOUT,
                                     CONNECTIVITY, GROUP_CONNECTIVITY, GROUP_TOPOLOGY};
    enum { N = sizeof kinds / sizeof kinds[0] };
    size_t begin[N], size[N], base = AXLF_HEADER + N * SECTION_HEADER;
    struct wi_strbuf body;
    if (!is_identifier(d->kernel))
        return wi_err_set(err, WISP_E_ARG,
                          "'%s' is no name for a kernel: up to %d letters, digits and _", d->kernel,
                          MAX_NAME);
    wi_strbuf_init(&body);
    for (size_t i = 0; i < N; i++) {
        align8(&body);
        begin[i] = body.len;
        put_section(&body, d, kinds[i]);
        size[i] = body.len - begin[i];
    }
    put_header(out, d, base + body.len, N);
    for (size_t i = 0; i < N; i++) {
        wi_word_put(out, kinds[i]);
        put_zeros(out, 20); /* name, padding */
        put64(out, base + begin[i]);
        put64(out, size[i]);
    }
    if (body.len)
        wi_strbuf_add(out, body.data, body.len);
    bool failed = body.failed || out->failed;
    wi_strbuf_fini(&body);
    return failed ? wi_err_nomem(err, "an xclbin") : WISP_OK;
}
