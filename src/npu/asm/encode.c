/* Rows as bytes: the smallest formats that put what must be aligned on 16 bytes. */
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/layout.h"

enum {
    UNITS = 8,
    UNIT = 2,
    IMPOSSIBLE = INT_MAX / 2
}; /* sizes in units of 2 bytes, mod 16 bytes */

static unsigned slots_of(const struct wi_row *row) {
    unsigned slots = 0;
    for (unsigned s = 0; s < WI_N_SLOTS; s++)
        slots |= row->op[s].id ? 1u << s : 0;
    return slots;
}

/* The sizes that a row can have, as a set of 1 << units. */
static unsigned sizes_of(const struct wi_row *row) {
    unsigned sizes = 0;
    for (int bytes = row->full ? 16 : UNIT; bytes <= 16; bytes += UNIT) {
        int format = wi_isa_format_for(slots_of(row), bytes);
        if (format >= 0)
            sizes |= 1u << wi_isa_format_info((unsigned)format)->bytes / UNIT;
    }
    return sizes;
}

/* Sizes of n rows, the fewest bytes of which the sum is a multiple of 16.  least[i][r]: the fewest
 * units of the first i rows that end r units behind a multiple. */
static int choose_sizes(const struct wi_row *rows, int n, uint8_t *size, struct wisp_error *err) {
    int(*least)[UNITS] = wi_malloc((size_t)n + 1, sizeof *least);
    if (!least)
        return wi_err_nomem(err, "the sizes of bundles");
    for (int r = 0; r < UNITS; r++)
        least[0][r] = r ? IMPOSSIBLE : 0;
    for (int i = 0; i < n; i++) {
        unsigned sizes = sizes_of(&rows[i]);
        for (int r = 0; r < UNITS; r++) {
            least[i + 1][r] = IMPOSSIBLE;
            for (int u = 1; u <= UNITS; u++)
                if (sizes >> u & 1 &&
                    least[i][(r + UNITS - u % UNITS) % UNITS] + u < least[i + 1][r])
                    least[i + 1][r] = least[i][(r + UNITS - u % UNITS) % UNITS] + u;
        }
    }
    for (int i = n, r = 0; i > 0 && least[n][0] < IMPOSSIBLE; i--) {
        unsigned sizes = sizes_of(&rows[i - 1]);
        for (int u = 1; u <= UNITS; u++) {
            int before = (r + UNITS - u % UNITS) % UNITS;
            if (sizes >> u & 1 && least[i - 1][before] + u == least[i][r]) {
                size[i - 1] = (uint8_t)(u * UNIT);
                r = before;
                break;
            }
        }
    }
    bool ok = least[n][0] < IMPOSSIBLE;
    wi_free(least);
    return ok ? WISP_OK
              : wi_err_set(err, WISP_E_INTERNAL, "rows cannot be aligned by growing their bundles");
}

/* Sizes of all rows, from one aligned row to the next; the end is aligned too. */
static int choose_all(const struct wi_layout *l, uint8_t *size, struct wisp_error *err) {
    size_t begin = 0;
    int rc = WISP_OK;
    for (size_t i = 1; rc == WISP_OK && i <= l->rows.n; i++)
        if (i == l->rows.n || l->rows.v[i].aligned) {
            rc = choose_sizes(l->rows.v + begin, (int)(i - begin), size + begin, err);
            begin = i;
        }
    return rc;
}

static int32_t fixed_value(const struct wi_layout *l, const struct wi_fix *fix,
                           const uint32_t *address) {
    if (fix->kind == WI_ARG_ROW)
        return (int32_t)address[fix->region];
    const struct wi_places *p = &l->places[fix->region];
    switch (fix->kind) {
    case WI_ARG_LOOP_START: return (int32_t)address[p->start];
    case WI_ARG_LOOP_LAST: return (int32_t)address[p->last];
    case WI_ARG_LOOP_AGAIN: return (int32_t)address[p->again];
    default: return p->peeled;
    }
}

static bool encode_row(const struct wi_layout *l, size_t i, const uint8_t *size,
                       const uint32_t *address, struct wi_code *out) {
    struct wi_row row = l->rows.v[i];
    struct wi_isa_bundle bundle = {0};
    uint8_t bytes[WI_ISA_MAX_BYTES];
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        bundle.op[s] = row.op[s];
        if (row.op[s].id && row.fix[s].kind > WI_ARG_IMM)
            bundle.op[s].v[row.fix[s].field] = fixed_value(l, &row.fix[s], address);
    }
    int format = wi_isa_format_for(slots_of(&row), size[i]);
    bundle.format = (uint8_t)format;
    if (format < 0 || wi_isa_pack(&bundle, bytes) != size[i])
        return false;
    wi_strbuf_add(&out->bytes, bytes, size[i]);
    return true;
}

int wi_layout_encode(struct wi_layout *l, uint32_t base, struct wi_code *out,
                     struct wisp_error *err) {
    size_t n = l->rows.n;
    uint8_t *size = wi_calloc(n + 1, 1);
    uint32_t *address = wi_calloc(n + 1, sizeof *address);
    int rc = size && address ? WISP_OK : wi_err_nomem(err, "a program's addresses");
    if (rc == WISP_OK)
        rc = choose_all(l, size, err);
    for (size_t i = 0; rc == WISP_OK && i <= n; i++)
        address[i] = i ? address[i - 1] + size[i - 1] : base;
    for (size_t i = 0; rc == WISP_OK && i < n; i++)
        if (!encode_row(l, i, size, address, out)) {
            char text[WI_ISA_MAX_TEXT] = "";
            for (unsigned s = 0; s < WI_N_SLOTS && !text[0]; s++)
                if (l->rows.v[i].op[s].id)
                    wi_isa_print_op(&l->rows.v[i].op[s], (enum wi_slot)s, NULL, text, sizeof text);
            rc = wi_err_set(err, WISP_E_INTERNAL, "bundle %zu ('%s' ...) cannot be encoded", i,
                            text);
        }
    out->base = base;
    out->n_bundles = (int)n;
    wi_free(size);
    wi_free(address);
    return rc == WISP_OK && out->bytes.failed ? wi_err_nomem(err, "a program") : rc;
}
