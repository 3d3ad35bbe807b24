/* Searches schedules of the kernels' loops for longer than a build may, and prints them as rows of
 * src/npu/asm/known.def: usage: find_schedules MOVES [KERNEL [LOOP]].  Not a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu/asm/ir.h"
#include "npu/asm/known.h"
#include "npu/cases/cases.h"
#include "npu/kernels/matmul.h"

/* Loops that a build's own search finds at their bound at once are not kept. */
enum { QUICK = 50 * 1000 };

/* What the bench does not show. */
#define MATMUL(start, end)                                                                         \
    static void start##_##end(struct wi_build *b) {                                                \
        wi_matmul_emit(b, WI_MATMUL_##start, WI_MATMUL_##end);                                     \
    }
MATMUL(ZERO, SUMS)
MATMUL(ZERO, RESIDUAL)
MATMUL(BIAS, SUMS)
MATMUL(ADD, BF16)
MATMUL(ADD, RESIDUAL)
static const struct wi_case more[] = {{.kernel = "matmul-zero-sums", .emit = ZERO_SUMS},
                                      {.kernel = "matmul-zero-residual", .emit = ZERO_RESIDUAL},
                                      {.kernel = "matmul-bias-sums", .emit = BIAS_SUMS},
                                      {.kernel = "matmul-add", .emit = ADD_BF16},
                                      {.kernel = "matmul-add-residual", .emit = ADD_RESIDUAL}};

static const struct wi_case *case_at(size_t i) {
    size_t n = 0;
    while (wi_case_at(n))
        n++;
    if (i < n)
        return wi_case_at(i);
    return i - n < sizeof more / sizeof *more ? &more[i - n] : NULL;
}

static void print(void *user, const struct wi_sched *s, const char *name) {
    struct wi_strbuf row;
    (void)user;
    int last = 0;
    for (int i = 0; i < s->n_ops; i++)
        last = s->time[i] > last ? s->time[i] : last;
    fprintf(stderr, "%s: %d cycles, bound %d, last bundle %d, %d by its edges, %ld moves\n", name,
            s->cycles, s->bound, last, wi_sched_chain(s), s->tries);
    if (s->tries < QUICK)
        return;
    wi_strbuf_init(&row);
    wi_sched_print_known(s, &row);
    printf("/* %s */\n%s", name, row.data);
    wi_strbuf_fini(&row);
}

static int find(const struct wi_case *c, long moves, const char *loop) {
    struct wi_build *b;
    struct wi_code code;
    struct wisp_error err = {0};
    if (wi_build_create(&b, &err) != WISP_OK)
        return 1;
    b->scheduled = print;
    b->moves = moves;
    b->only = loop;
    c->emit(b);
    fprintf(stderr, "%s\n", c->kernel);
    int rc = wi_build_finish(b, WI_PIPELINED, 0, &code, &err);
    if (rc != WISP_OK)
        fprintf(stderr, "%s: %s\n", c->kernel, err.text);
    wi_code_fini(&code);
    wi_build_destroy(&b);
    fflush(stdout);
    return rc != WISP_OK;
}

int main(int argc, char **argv) {
    long moves = argc > 1 ? atol(argv[1]) : 0;
    int failed = 0;
    for (size_t i = 0; case_at(i); i++)
        if (argc < 3 || strcmp(argv[2], case_at(i)->kernel) == 0)
            failed |= find(case_at(i), moves, argc > 3 ? argv[3] : NULL);
    return failed;
}
