#include "npu/asm/known.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct known {
    uint64_t key;
    int cycles, n_ops;
    const char *text; /* of each operation its time, and behind a slash its alternative if not 0 */
} known[] = {
#define KNOWN(key, cycles, n_ops, text) {key, cycles, n_ops, text},
#include "npu/asm/known.def"
    {0, 0, 0, ""}};

/* ---------------------------------------------------------------- the key */

static void mix(uint64_t *key, int value) { /* FNV-1a, by words */
    *key = (*key ^ (uint32_t)value) * 0x100000001b3u;
}

/* Of everything that a schedule must respect. */
static uint64_t key_of(const struct wi_sched *s) {
    uint64_t key = 0xcbf29ce484222325u;
    mix(&key, s->n_ops);
    for (int op = 0; op < s->n_ops; op++)
        for (int k = 0; k < s->n_alts[op]; k++)
            for (int i = 0; i < s->alt[op][k].n; i++) {
                const struct wi_use *u = &s->alt[op][k].use[i];
                mix(&key, u->res << 24 | u->first << 16 | u->last << 8 | u->weak);
            }
    for (size_t e = 0; e < s->n_edges; e++) {
        mix(&key, s->edges[e].from << 16 | s->edges[e].to);
        mix(&key, s->edges[e].lat * 16 + s->edges[e].dist);
    }
    for (size_t v = 0; v < s->n_values; v++)
        mix(&key, s->values[v].n_touches << 16 | s->values[v].file << 8 | s->values[v].n_units);
    for (int file = 0; file < WI_N_FILES; file++)
        mix(&key, (s->room[file][0] * 256) | s->room[file][1]);
    return key;
}

/* ---------------------------------------------------------------- proof */

static bool edges_hold(const struct wi_sched *s) {
    for (size_t e = 0; e < s->n_edges; e++) {
        const struct wi_edge *d = &s->edges[e];
        if (s->time[d->to] < s->time[d->from] + d->lat - s->cycles * d->dist)
            return false;
    }
    return true;
}

static bool resources_hold(struct wi_sched *s) {
    struct wi_table table;
    bool ok = wi_table_init(&table, s->cycles);
    s->failed |= !ok;
    for (int op = 0; ok && op < s->n_ops; op++) {
        const struct wi_alt *a = &s->alt[op][s->chosen[op]];
        ok = wi_table_clashes(&table, a, s->time[op]) == 0;
        wi_table_add(&table, a, s->time[op], 1);
    }
    wi_table_fini(&table);
    return ok;
}

static bool read_times(struct wi_sched *s, const char *text) {
    for (int op = 0; op < s->n_ops; op++) {
        char *end;
        s->time[op] = (int)strtol(text, &end, 10);
        s->chosen[op] = *end == '/' ? (int)strtol(end + 1, &end, 10) : 0;
        if (end == text || s->chosen[op] < 0 || s->chosen[op] >= s->n_alts[op] || s->time[op] < 0 ||
            s->time[op] > SHRT_MAX)
            return false;
        text = end;
    }
    return true;
}

bool wi_sched_known(struct wi_sched *s, int cycles) {
    uint64_t key = key_of(s);
    for (const struct known *k = known; k->n_ops; k++) {
        if (k->key != key || k->n_ops != s->n_ops || k->cycles >= cycles)
            continue;
        s->cycles = k->cycles;
        if (read_times(s, k->text) && edges_hold(s) && resources_hold(s) && wi_sched_color(s))
            return true;
        if (s->failed)
            return false;
    }
    return false;
}

void wi_sched_print_known(const struct wi_sched *s, struct wi_strbuf *out) {
    wi_strbuf_printf(out, "KNOWN(0x%016" PRIx64 ", %d, %d,\n      \"", key_of(s), s->cycles,
                     s->n_ops);
    for (int op = 0; op < s->n_ops; op++) {
        wi_strbuf_printf(out, "%d", s->time[op]);
        if (s->chosen[op])
            wi_strbuf_printf(out, "/%d", s->chosen[op]);
        bool last = op + 1 == s->n_ops;
        wi_strbuf_puts(out, last ? "\")\n" : op % 24 == 23 ? " \"\n      \"" : " ");
    }
}
