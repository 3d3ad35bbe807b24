#include "kbench.h"

#include <time.h>

double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double min(double a, double b) {
    return a < b ? a : b;
}

double max(double a, double b) {
    return a > b ? a : b;
}

void bench(void) {
    bench_window();
    for (int type = 0; type < WI_N_DTYPES; type++)
        bench_step((enum wi_dtype)type);
}
