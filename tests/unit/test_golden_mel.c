/* From a WAV file to the log-mel, against the golden tensors of an independent f64 implementation,
 * when $WISP_SHARED (or the folder given as argument) has them; otherwise skipped (77). */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "npy.h"
#include "sound.h"

#include "mel/mel.h"

enum { WINDOW = 480000, N_MELS = 80 };

static char folder[1024];

static void check(const char *model) {
    char path[1200];
    size_t n = 0;
    struct wi_mel mel;
    struct wi_mel_builder *builder;
    struct wisp_error err = {0};
    float *window = malloc(N_MELS * WI_MEL_WINDOW_FRAMES * sizeof *window);
    double worst = 0;
    snprintf(path, sizeof path, "%s/golden/%s/mel.npy", folder, model);
    float *golden = npy_read(path, &n);
    assert_non_null(golden);
    assert_int_equal(n, N_MELS * WI_MEL_WINDOW_FRAMES);
    snprintf(path, sizeof path, "%s/data/jfk.wav", folder);
    struct sound s = sound_read(path, NULL, 1000);
    assert_int_equal(s.rc, WISP_OK);
    assert_int_equal(s.n, 176000);
    assert_int_equal(wi_mel_builder_create(&builder, N_MELS, &err), WISP_OK);
    assert_int_equal(wi_mel_builder_feed(builder, s.samples, s.n, &err), WISP_OK);
    assert_int_equal(wi_mel_builder_finish(builder, WINDOW - s.n, &mel, &err), WISP_OK);
    wi_mel_window(&mel, 0, WI_MEL_WINDOW_FRAMES, window);
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)window[i] - golden[i]));
    print_message("%s: max difference %.2e\n", model, worst);
    assert_true(worst <= 5e-5);
    wi_mel_builder_destroy(&builder);
    wi_mel_fini(&mel);
    sound_free(&s);
    free(golden);
    free(window);
}

static void matches_the_golden_mel(void **state) {
    (void)state;
    check("en-d64");
    check("multi-d128");
}

int main(int argc, char **argv) {
    const char *env = getenv("WISP_SHARED");
    char probe[1200];
    snprintf(folder, sizeof folder, "%s", env ? env : argc > 1 ? argv[1] : "../shared");
    snprintf(probe, sizeof probe, "%s/golden/en-d64/mel.npy", folder);
    if (access(probe, R_OK) != 0)
        return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_the_golden_mel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
