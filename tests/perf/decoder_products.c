/* One product of each packed form, for counting its instructions: usage: decoder_products LEVEL TYPE ROWS,
 * TYPE one of f32, bf16, int8.  512 x 512, the matrix that a step of Whisper base multiplies most often. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/kern.h"

enum { N = 512, K = 512, MAX_ROWS = 16 };

static int find(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

int main(int argc, char **argv) {
    static const char *const types[] = {"f32", "bf16", "int8"};
    static float w[N * K], a[MAX_ROWS * K], room[MAX_ROWS * K], scales[MAX_ROWS], c[MAX_ROWS * N];
    struct wi_panels panels;
    struct wi_pool *pool;
    struct wi_kern kern;
    enum wi_level level;
    int type = argc == 4 ? find(argv[2], types, 3) : -1, rows = argc == 4 ? atoi(argv[3]) : 0;
    if (type < 0 || rows < 1 || rows > MAX_ROWS || wi_level_parse(&level, argv[1], NULL) != WISP_OK)
        return 77;
    for (int i = 0; i < N * K; i++)
        w[i] = (float)(i % 251) - 125;
    for (int i = 0; i < rows * K; i++)
        a[i] = (float)(i % 127) - 63;
    wi_kern_select(&kern, level);
    if (wi_pool_create(&pool, 1, NULL) != WISP_OK ||
        wi_panels_init(&panels, (enum wi_panel_type)type, N, K, NULL) != WISP_OK)
        return 1;
    struct wi_panel_source source = {
        .type = WI_F32, .data = (const uint8_t *)w, .stride = K * sizeof *w};
    wi_panels_pack(&kern, pool, &panels, 0, N, &source);
    struct wi_panel_product g = {.w = &panels, .scale = 1, .c = c, .ldc = N};
    wi_panel_set_rows(&kern, &g, rows, a, K, room, scales);
    kern.panel_product(&g, 0, N / WI_PANEL_ROWS);
    printf("%g\n", c[N - 1]);
    wi_panels_fini(&panels);
    wi_pool_destroy(&pool);
    return 0;
}
