/* What the CPU can do and which level that gives: against the kernel's own list of features, and on
 * processors that this one is not (linked with --wrap=wi_cpu_features). */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/kern.h"
#include "cpu/levels.h"

unsigned __real_wi_cpu_features(void);
unsigned __wrap_wi_cpu_features(void);
static bool pretend;
static unsigned pretended;

unsigned __wrap_wi_cpu_features(void) {
    return pretend ? pretended : __real_wi_cpu_features();
}

static void pretend_features(unsigned features) {
    pretend = true;
    pretended = features;
}

#define HAS(feature) (1u << WI_CPU_##feature)
enum {
    AVX2 = HAS(AVX2) | HAS(FMA) | HAS(F16C),
    AVX512 = AVX2 | HAS(AVX512F) | HAS(AVX512BW) | HAS(AVX512DQ) | HAS(AVX512VL),
};

static int setup(void **state) {
    (void)state;
    pretend = false;
    return unsetenv("WISP_CPU");
}

static void features_are_those_of_the_system(void **state) {
    static const char *const flags[WI_N_CPU_FEATURES] = {
        [WI_CPU_AVX2] = "avx2",
        [WI_CPU_FMA] = "fma",
        [WI_CPU_F16C] = "f16c",
        [WI_CPU_AVX512F] = "avx512f",
        [WI_CPU_AVX512BW] = "avx512bw",
        [WI_CPU_AVX512DQ] = "avx512dq",
        [WI_CPU_AVX512VL] = "avx512vl",
        [WI_CPU_AVX512BF16] = "avx512_bf16",
        [WI_CPU_AVX512VNNI] = "avx512_vnni",
        [WI_CPU_AVXVNNI] = "avx_vnni",
    };
    static char line[8192], list[8192];
    (void)state;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && !*list)
        if (strncmp(line, "flags", 5) == 0)
            snprintf(list, sizeof list, " %s ", strtok(strchr(line, ':') + 1, "\n"));
    if (f)
        fclose(f);
    if (!*list)
        skip(); /* not x86 Linux */
    for (int i = 0; i < WI_N_CPU_FEATURES; i++) {
        char word[32];
        struct wisp_cpu_feature feature;
        snprintf(word, sizeof word, " %s ", flags[i]);
        assert_true(wisp_cpu_feature_get((size_t)i, &feature));
        assert_non_null(feature.name);
        if (feature.present != (strstr(list, word) != NULL))
            fail_msg("%s: found %d, the system's list says %d", flags[i], feature.present,
                     !feature.present);
    }
    struct wisp_cpu_feature none;
    assert_false(wisp_cpu_feature_get(WI_N_CPU_FEATURES, &none));
}

static void best_level_needs_all_its_features(void **state) {
    static const struct {
        unsigned features;
        const char *best, *missing; /* the feature named when the next level is asked for */
        const char *next;
    } cases[] = {
        {0, "portable", "AVX2", "avx2"},
        {HAS(AVX2) | HAS(FMA), "portable", "F16C", "avx2"},
        {AVX2, "avx2", "AVX-512 F", "avx512"},
        {AVX2, "avx2", "AVX-VNNI", "avxvnni"},
        {AVX2 | HAS(AVXVNNI), "avxvnni", "AVX-512 F", "avx512"},
        {HAS(AVX2) | HAS(F16C) | HAS(AVXVNNI), "portable", "FMA", "avxvnni"},
        {AVX512 | HAS(AVXVNNI), "avx512", "AVX-512 BF16", "avx512bf16"},
        {AVX2 | HAS(AVX512F), "avx2", "AVX-512 BW", "avx512"},
        {AVX512 & ~HAS(FMA), "portable", "FMA", "avx512"},
        {AVX512, "avx512", "AVX-512 BF16", "avx512bf16"},
        {AVX512 | HAS(AVX512BF16) | HAS(AVX512VNNI), "avx512bf16", NULL, NULL},
        {AVX512 | HAS(AVX512BF16), "avx512", "AVX-512 VNNI", "avx512bf16"},
    };
    (void)state;
#ifndef __x86_64__
    skip();
#endif
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *level;
        struct wisp_error err = {0};
        pretend_features(cases[i].features);
        assert_int_equal(wisp_cpu_level(NULL, &level, &err), WISP_OK);
        assert_string_equal(level, cases[i].best);
        assert_int_equal(wisp_cpu_level("portable", &level, &err), WISP_OK);
        assert_string_equal(level, "portable");
        if (!cases[i].next)
            continue;
        assert_int_equal(wisp_cpu_level(cases[i].next, &level, &err), WISP_E_ARG);
        assert_null(level);
        assert_non_null(strstr(err.text, cases[i].next));
        assert_non_null(strstr(err.text, cases[i].missing));
        char *list = strstr(err.text, "use one of: portable");
        assert_non_null(list);
        assert_non_null(strstr(list, cases[i].best));
        assert_null(strstr(list, cases[i].next));
    }
}

static void environment_is_asked_last(void **state) {
    const char *level;
    struct wisp_error err = {0};
    (void)state;
    pretend_features(AVX2);
    const char *best = wi_level_name(wi_cpu_detect());
    setenv("WISP_CPU", "portable", 1);
    assert_int_equal(wisp_cpu_level(NULL, &level, &err), WISP_OK);
    assert_string_equal(level, "portable");
    assert_int_equal(wisp_cpu_level("", &level, &err), WISP_OK);
    assert_string_equal(level, "portable");
    assert_int_equal(wisp_cpu_level(best, &level, &err), WISP_OK);
    assert_string_equal(level, best);
    setenv("WISP_CPU", "", 1);
    assert_int_equal(wisp_cpu_level(NULL, &level, &err), WISP_OK);
    assert_string_equal(level, best);
    setenv("WISP_CPU", "sse9", 1);
    assert_int_equal(wisp_cpu_level(NULL, &level, &err), WISP_E_ARG);
    assert_non_null(strstr(err.text, "WISP_CPU 'sse9' is unknown; use one of: portable"));
}

static void every_kernel_has_a_row(void **state) {
    struct wisp_kernel_row row;
    struct wisp_error err = {0};
    int n = 0;
    (void)state;
    for (int level = 0; level < WI_N_LEVELS; level++) {
        struct wi_kern kern;
        enum wi_level got;
        if (wi_level_parse(&got, wi_level_name(level), &err) != WISP_OK)
            continue;
        wi_kern_select(&kern, got);
        assert_int_equal(kern.level, level);
        n = 0;
#define WI_KERN(name, ret, params)                                                                 \
    assert_non_null(kern.name);                                                                    \
    assert_true(wisp_cpu_kernel_get(wi_level_name(level), (size_t)n++, &row, &err));               \
    assert_string_equal(row.kernel, #name);                                                        \
    assert_string_equal(row.level, wi_level_name(level));
#include "cpu/kern_list.def"
#undef WI_KERN
        assert_false(wisp_cpu_kernel_get(wi_level_name(level), (size_t)n, &row, &err));
    }
    assert_true(n > 0);
    assert_false(wisp_cpu_kernel_get("sse9", 0, &row, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(features_are_those_of_the_system, setup),
        cmocka_unit_test_setup(best_level_needs_all_its_features, setup),
        cmocka_unit_test_setup(environment_is_asked_last, setup),
        cmocka_unit_test_setup(every_kernel_has_a_row, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
