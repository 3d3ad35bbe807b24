/* What the level's multiply-add can do, one part of kern_tmpl.c. */

/* As many independent sums as hide the instruction's latency at the highest rate of today's
 * processors: 2 a cycle times 5 cycles. */
enum { PEAK_SUMS = 12 };

static double SUFFIX(peak)(int rounds) {
    vf sums[PEAK_SUMS], x = splat(0), y = splat(0); /* of 0: nothing grows or gets denormal */
    UNROLLED
    for (int i = 0; i < PEAK_SUMS; i++)
        sums[i] = splat(0);
    for (int r = 0; r < rounds; r++) {
        UNROLLED
        for (int i = 0; i < PEAK_SUMS; i++) {
            KEEP_VECTOR(x); /* unknown to the compiler, which would compute nothing otherwise */
            sums[i] = multiply_add(sums[i], x, y);
            KEEP_VECTOR(sums[i]);
        }
    }
    UNROLLED
    for (int i = 1; i < PEAK_SUMS; i++)
        sums[0] += sums[i];
    return 2.0 * UNIT_VALUES * VLEN * PEAK_SUMS * rounds + sum_lanes(sums[0]);
}
