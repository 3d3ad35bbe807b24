/* Files that are missing, broken, cut off or foreign, and the ffmpeg child process in good and bad
 * times. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sound.h"

#include "base/mem.h"

enum { N = 32000 };

static char folder[] = "/tmp/wisp-test-errors-XXXXXX", *search_path;
static char path[sizeof folder + 64];
static float x[N * 2]; /* [N, 2]: tones and, twice as loud, tones */

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(uint8_t *p, uint64_t value, int bytes, bool big_endian) {
    for (int i = 0; i < bytes; i++)
        p[big_endian ? bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

/* Reading must fail with this code and a text that has all of these parts. */
static void refused(const char *name, const struct wisp_audio_params *params, int code,
                    const char *a, const char *b) {
    struct sound s = sound_read(name, params, 0);
    if (s.rc != code || s.err.code != code || !strstr(s.err.text, a) || !strstr(s.err.text, b))
        fail_msg("%s: code %d, \"%s\"; expected %d, \"%s\", \"%s\"", name, s.rc, s.err.text, code,
                 a, b);
    if (strlen(s.err.text) < 20 || s.err.text[strlen(s.err.text) - 1] == '\n')
        fail_msg("%s: \"%s\" is no sentence", name, s.err.text);
    sound_free(&s);
}

/* ---------------------------------------------------------------- files */

static void files_that_cannot_be_opened(void **state) {
    (void)state;
    refused("/nonexistent/a.wav", NULL, WISP_E_IO, "'/nonexistent/a.wav'", "No such file");
    refused(folder, NULL, WISP_E_IO, folder, "it is a directory");
    bytes_write(in_folder("empty.wav"), "", 0);
    refused(path, NULL, WISP_E_FORMAT, path, "empty (0 bytes)");
    if (geteuid() != 0) {
        bytes_write(in_folder("secret.wav"), "x", 1);
        chmod(path, 0);
        refused(path, NULL, WISP_E_IO, path, "Permission denied");
    }
    struct piped p = stdin_from("", 0);
    refused("-", NULL, WISP_E_FORMAT, "standard input", "empty (0 bytes)");
    stdin_restore(&p);
    setenv("TMPDIR", "/nonexistent", 1);
    p = stdin_from("RIFF", 4);
    refused("-", NULL, WISP_E_IO, "'/nonexistent'", "TMPDIR");
    stdin_restore(&p);
    unsetenv("TMPDIR");
}

static void samples_that_are_no_numbers(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -2e6f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int rate = 16000; rate <= 48000; rate += 32000) {
            static float y[N];
            memcpy(y, x, sizeof y);
            y[rate / 2] = bad[i];
            assert_true(
                sound_write(in_folder("nan.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, rate, 1, y, N));
            refused(path, NULL, WISP_E_FORMAT, path, "at 0.500 s");
        }
    refused(path, NULL, WISP_E_FORMAT, "-2e+06", "[-1, 1]");
}

static void absurd_headers(void **state) {
    (void)state;
    static const struct {
        int at, bytes;
        uint32_t value;
    } changes[] = {{22, 2, 0},     {22, 2, 65535},      {24, 4, 0},          {24, 4, 1},
                   {24, 4, 99},    {24, 4, 0x7fffffff}, {24, 4, 0xffffffff}, {32, 2, 0},
                   {34, 2, 0},     {34, 2, 7777},       {16, 4, 0},          {16, 4, 0xfffffff0},
                   {20, 2, 0x7777}};
    size_t n;
    assert_true(
        sound_write(in_folder("absurd.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 1000));
    uint8_t *bytes = bytes_read(path, &n), good[44];
    memcpy(good, bytes, 44);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(bytes, good, 44);
        put(bytes + changes[i].at, changes[i].value, changes[i].bytes, false);
        bytes_write(path, bytes, n);
        struct sound s = sound_read(path, NULL, 0); /* some are repaired by libsndfile or ffmpeg */
        if (s.rc != WISP_OK ? !strstr(s.err.text, path) : s.n > 160000)
            fail_msg("change %zu: %zu samples, \"%s\"", i, s.n, s.err.text);
        sound_free(&s);
    }
    put(bytes + 24, 50, 4, false); /* libsndfile takes any rate; wisp does not */
    put(memcpy(bytes, good, 44), 50, 0, false);
    put(bytes + 24, 50, 4, false);
    bytes_write(path, bytes, n);
    refused(path, NULL, WISP_E_FORMAT, path, "50 Hz");
    free(bytes);
}

static void raw_descriptions(void **state) {
    (void)state;
    struct wisp_audio_params params = {true, 16000, 1, "s17"};
    bytes_write(in_folder("raw"), "0123456", 7);
    refused(path, &params, WISP_E_ARG, "'s17'", "s16 or f32");
    params.raw_format = "s16";
    refused(path, &params, WISP_E_FORMAT, path, "inside a sample");
    params.raw_format = "f32";
    refused(path, &params, WISP_E_FORMAT, path, "inside a sample");
    static const int bad[][2] = {{0, 1},     {-5, 1},     {99, 1},      {2000000000, 1},
                                 {16000, 0}, {16000, -1}, {16000, 1025}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        params.raw_rate = bad[i][0];
        params.raw_channels = bad[i][1];
        refused(path, &params, WISP_E_ARG, "channels at", "1 to 1024 channels");
    }
    params = (struct wisp_audio_params){true, 16000, 1, "s16"};
    struct piped p = stdin_from("", 0);
    refused("-", &params, WISP_E_FORMAT, "standard input", "empty");
    stdin_restore(&p);
    p = stdin_from("abc", 3);
    refused("-", &params, WISP_E_FORMAT, "standard input", "breaks off");
    stdin_restore(&p);
}

/* ---------------------------------------------------------------- cut files */

static double named_second(const char *text) {
    double second = -1;
    const char *at = strstr(text, " after ");
    return at && sscanf(at, " after %lf", &second) == 1 ? second : -1;
}

/* A file of N samples, cut anywhere, ends in an error that names about the right second. */
static void cut_files_say_where(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int format;
    } kinds[] = {{"wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                 {"rifx", SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG},
                 {"wavex", SF_FORMAT_WAVEX | SF_FORMAT_FLOAT},
                 {"rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_24},
                 {"w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16},
                 {"aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
                 {"au", SF_FORMAT_AU | SF_FORMAT_PCM_16},
                 {"flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                 {"ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
                 {"opus", SF_FORMAT_OGG | SF_FORMAT_OPUS}};
    setenv("PATH", "/nonexistent", 1); /* libsndfile alone */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t n;
        if (!sound_write(in_folder(kinds[k].name), kinds[k].format, 16000, 1, x, N))
            continue;
        uint8_t *bytes = bytes_read(path, &n);
        bool exact = k < 7;
        for (size_t cut = 1; cut < n; cut += 1 + n / 23) {
            bytes_write(path, bytes, n - cut);
            struct sound s = sound_read(path, NULL, 0);
            double there = (double)(n - cut) / (double)n * N / 16000,
                   named = named_second(s.err.text);
            if (s.rc == WISP_OK || !strstr(s.err.text, path))
                fail_msg("%s: %zu of %zu bytes: \"%s\"", kinds[k].name, n - cut, n, s.err.text);
            /* nothing to name when not even the header is there */
            if (s.rc == WISP_E_FORMAT && exact && (named < there - 0.02 || named > there + 0.02))
                fail_msg("%s: breaks off at %.3f s, but: \"%s\"", kinds[k].name, there, s.err.text);
            sound_free(&s);
        }
        free(bytes);
    }
    setenv("PATH", search_path, 1);
}

/* Between two frames, a FLAC decoder sees nothing wrong. */
static void cut_flac_between_frames(void **state) {
    (void)state;
    size_t n, cut;
    assert_true(
        sound_write(in_folder("a.flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, x, N));
    uint8_t *bytes = bytes_read(path, &n);
    for (cut = n - 6; cut > n / 4; cut--) /* sync, block of 4096 samples at 16 kHz, mono 16 bit */
        if (bytes[cut] == 0xff && bytes[cut + 1] == 0xf8 && bytes[cut + 2] >> 4 == 12 &&
            bytes[cut + 3] == 0x08) {
            bytes_write(path, bytes, cut);
            refused(path, NULL, WISP_E_FORMAT, path, "of 2.00 s");
        }
    free(bytes);
}

/* An MP3 with the table that states its size, made by hand: libsndfile's encoder may be missing. */
static void cut_mp3(void **state) {
    (void)state;
    size_t n;
    if (!sound_write(in_folder("a.mp3"), SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 16000, 1, x, N))
        skip();
    uint8_t *bytes = bytes_read(path, &n);
    struct sound whole = sound_read(path, NULL, 0);
    assert_int_equal(whole.rc, WISP_OK);
    sound_free(&whole);
    bool stated = false;
    for (size_t i = 0; i < 64 && i + 4 < n; i++)
        stated |= memcmp(bytes + i, "Xing", 4) == 0 || memcmp(bytes + i, "Info", 4) == 0;
    bytes_write(path, bytes, n / 2);
    if (stated)
        refused(path, NULL, WISP_E_FORMAT, "breaks off after", "ffmpeg -i FILE FILE.wav");
    free(bytes);
    if (!stated)
        skip();
}

/* ---------------------------------------------------------------- ffmpeg */

/* A program called ffmpeg that does what `script` says, first in PATH. */
static void fake_ffmpeg(const char *script) {
    char text[4096], place[256];
    snprintf(place, sizeof place, "%s/bin", folder);
    mkdir(place, 0700);
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    bytes_write(in_folder("bin/ffmpeg"), text, strlen(text));
    chmod(path, 0700);
    snprintf(text, sizeof text, "%s:%s", place, search_path);
    setenv("PATH", text, 1);
    bytes_write(in_folder("foreign"), "no audio that libsndfile knows", 30);
}

#define HEADER                                                                                     \
    "printf "                                                                                      \
    "'.snd\\0\\0\\0\\034\\377\\377\\377\\377\\0\\0\\0\\006\\0\\0\\076\\200\\0\\0\\0\\002note'; "
#define HALF "printf '\\077\\0\\0\\0'; " /* 0.5, big-endian */

static void children_that_misbehave(void **state) {
    (void)state;
    fake_ffmpeg("echo first >&2; echo 'it went wrong' >&2; exit 3");
    refused(path, NULL, WISP_E_FORMAT, path, "(ffmpeg: it went wrong)");
    fake_ffmpeg("echo 'file:a: b.m4a: Invalid data' >&2; exit 1");
    refused(path, NULL, WISP_E_FORMAT, path, "(ffmpeg: Invalid data)");
    fake_ffmpeg("exit 1");
    refused(path, NULL, WISP_E_FORMAT, path, "no message");
    fake_ffmpeg("exit 0");
    refused(path, NULL, WISP_E_FORMAT, path, "no audio");
    fake_ffmpeg("echo this is no Sun audio, whatever you wanted");
    refused(path, NULL, WISP_E_IO, path, "install ffmpeg");
    fake_ffmpeg(HEADER HALF HALF HALF);
    refused(path, NULL, WISP_E_FORMAT, path, "cannot be decoded after 0.00 s");
    fake_ffmpeg(HEADER HALF HALF "echo 'demuxer: File ended prematurely' >&2");
    refused(path, NULL, WISP_E_FORMAT, path, "ended prematurely");
    fake_ffmpeg(HEADER HALF HALF "kill -9 $$");
    refused(path, NULL, WISP_E_IO, path, "signal 9");
    fake_ffmpeg(
        "printf "
        "'.snd\\0\\0\\0\\034\\377\\377\\377\\377\\0\\0\\0\\006\\0\\0\\0\\0\\0\\0\\0\\0note'");
    refused(path, NULL, WISP_E_FORMAT, path, "0 channels at 0 Hz");
    setenv("PATH", "/nonexistent", 1);
    refused(path, NULL, WISP_E_UNSUPPORTED, "ffmpeg is not installed", "apt install ffmpeg");
    setenv("PATH", search_path, 1);
}

static void children_that_talk_much(void **state) {
    (void)state;
    fake_ffmpeg("i=0; while [ $i -lt 20000 ]; do echo 'a warning, line after line' >&2; "
                "i=$((i+1)); done; " HEADER "i=0; while [ $i -lt 3000 ]; do " HALF HALF
                "echo again >&2; i=$((i+1)); done");
    struct sound s = sound_read(path, NULL, 0);
    if (s.rc != WISP_OK || s.n != 3000)
        fail_msg("%zu samples, \"%s\"", s.n, s.err.text);
    for (size_t i = 0; i < s.n; i++)
        assert_true(s.samples[i] == 0.5f);
    sound_free(&s);
    setenv("PATH", search_path, 1);
}

static void a_child_that_never_ends_is_ended(void **state) {
    (void)state;
    struct timespec before, after;
    struct wi_audio *audio;
    struct wisp_error err = {0};
    float samples[16];
    size_t got;
    fake_ffmpeg(HEADER HALF HALF "exec sleep 100");
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(wi_audio_open(&audio, path, NULL, NULL, &err), WISP_OK);
    assert_int_equal(wi_audio_read(audio, samples, 16, &got, &err), WISP_OK);
    assert_int_equal(got, 1);
    wi_audio_close(&audio);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 20);
    setenv("PATH", search_path, 1);
}

static bool after_three(void *user) {
    return ++*(int *)user > 3;
}

/* Nothing comes from `name`: the wait ends when it is called off. */
static void stopped_waiting(const char *name, const struct wisp_audio_params *params) {
    int asked = 0, before = count_descriptors();
    const struct wi_abort abort = {after_three, &asked};
    struct wi_audio *audio;
    struct wisp_error err = {0};
    float samples[16];
    size_t got;
    int rc = wi_audio_open(&audio, name, params, &abort, &err);
    if (rc == WISP_OK)
        rc = wi_audio_read(audio, samples, 16, &got, &err);
    wi_audio_close(&audio);
    if (rc != WISP_E_CANCELLED || err.code != rc || asked != 4)
        fail_msg("%s: %d, \"%s\", asked %d times", name, rc, err.text, asked);
    assert_int_equal(count_descriptors(), before);
}

static void waiting_can_be_called_off(void **state) {
    (void)state;
    struct wisp_audio_params raw;
    wisp_audio_params_init(&raw);
    raw.raw = true;
    in_folder("nobody-writes");
    assert_int_equal(mkfifo(path, 0600), 0);
    stopped_waiting(path, NULL);
    stopped_waiting(path, &raw);
    int writer = open(path, O_RDWR), saved = dup(STDIN_FILENO);
    stopped_waiting(path, NULL);
    dup2(writer, STDIN_FILENO);
    stopped_waiting("-", NULL);
    stopped_waiting("-", &raw);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(writer);
    fake_ffmpeg("exec sleep 100");
    stopped_waiting(path, NULL);
    fake_ffmpeg(HEADER "exec sleep 100");
    stopped_waiting(path, NULL);
    setenv("PATH", search_path, 1);
}

/* The name reaches the child as one argument, and cannot be an option or a URL. */
static void names_are_not_interpreted(void **state) {
    (void)state;
    static const char *const names[] = {
        "-i.m4a", "a b; touch x", "$(touch x)", "http:x", "concat:a|b", "'", "%d.m4a"};
    char here[1024];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char expected[128];
        fake_ffmpeg(
            "while [ \"$1\" != -i ]; do shift; done; printf '%s\\n' \"got <$2>\" >&2; exit 1");
        bytes_write(names[i], "no audio that libsndfile knows", 30);
        snprintf(expected, sizeof expected, "got <file:%s>", names[i]);
        refused(names[i], NULL, WISP_E_FORMAT, names[i], expected);
        assert_int_not_equal(access("x", F_OK), 0);
        unlink(names[i]);
    }
    assert_int_equal(chdir(here), 0);
    setenv("PATH", search_path, 1);
}

static bool have_ffmpeg(void) {
    return system("ffmpeg -version >/dev/null 2>&1") == 0;
}

static void encode(const char *options, const char *output) {
    char command[512];
    snprintf(command, sizeof command, "ffmpeg -nostdin -v error -y -i %s/stereo.wav %s file:%s/%s",
             folder, options, folder, output);
    assert_int_equal(system(command), 0);
    in_folder(output);
}

/* Stereo with tones and 2 * tones: the average is 1.5 * tones. */
static void real_ffmpeg(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"-c:a aac -b:a 192k", "a.m4a"}, {"-c:a flac", "a.mkv"}, {"-c:a pcm_s16le", "a.mov"}};
    if (!have_ffmpeg())
        skip();
    assert_true(
        sound_write(in_folder("stereo.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 2, x, N));
    for (size_t k = 0; k < 3; k++) {
        encode(kinds[k][0], kinds[k][1]);
        for (int piped = 0; piped < 2; piped++) {
            size_t n;
            uint8_t *bytes = bytes_read(path, &n);
            struct piped p = {0};
            if (piped)
                p = stdin_from(bytes, n);
            struct sound s = sound_read(piped ? "-" : path, NULL, 3000);
            if (piped)
                stdin_restore(&p);
            if (s.rc != WISP_OK || s.n < N || s.n > N + 2048)
                fail_msg("%s: %zu samples, \"%s\"", kinds[k][1], s.n, s.err.text);
            double most = 0;
            for (size_t i = 4000; i < N - 4000; i++)
                most = fmax(most, fabs(s.samples[i] - 1.5 * tones((double)i / 16000)));
            if (most > (k == 0 ? 0.05 : 1e-4))
                fail_msg("%s: off by %g", kinds[k][1], most);
            sound_free(&s);
            free(bytes);
        }
    }
    bytes_write(in_folder("text.txt"), "no audio\n", 9);
    refused(path, NULL, WISP_E_FORMAT, path, "libsndfile or ffmpeg");
}

static void real_ffmpeg_cut(void **state) {
    (void)state;
    static const char *const kinds[][2] = {{"-c:a aac", "cut.m4a"},
                                           {"-c:a aac -movflags faststart", "fast.m4a"},
                                           {"-c:a flac", "cut.mkv"},
                                           {"-c:a wmav2", "cut.wma"}};
    if (!have_ffmpeg())
        skip();
    assert_true(
        sound_write(in_folder("stereo.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 2, x, N));
    for (size_t k = 0; k < 4; k++) {
        size_t n;
        encode(kinds[k][0], kinds[k][1]);
        uint8_t *bytes = bytes_read(path, &n);
        bytes_write(path, bytes, n * 6 / 10);
        refused(path, NULL, WISP_E_FORMAT, path, "ffmpeg: ");
        free(bytes);
    }
}

/* ---------------------------------------------------------------- allocations */

#ifdef WISP_ALLOC_INJECT
static void every_allocation_fails(const char *name, const struct wisp_audio_params *params) {
    long i = 0;
    int code;
    do {
        struct sound s;
        wi_mem_count = 0;
        wi_mem_fail_at = ++i;
        s = sound_read(name, params, 0);
        wi_mem_fail_at = 0;
        if (s.rc != WISP_OK && (s.rc != WISP_E_NOMEM || !strstr(s.err.text, "memory")))
            fail_msg("%s, allocation %ld: \"%s\"", name, i, s.err.text);
        code = s.rc;
        sound_free(&s);
    } while (code != WISP_OK);
    assert_true(i > 4);
}

static void failing_allocations(void **state) {
    (void)state;
    struct wisp_audio_params raw = {true, 8000, 2, "s16"};
    assert_true(sound_write(in_folder("a.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 2, x, N));
    every_allocation_fails(path, NULL);
    every_allocation_fails(path, &raw);
    fake_ffmpeg(HEADER HALF HALF);
    every_allocation_fails(path, NULL);
    setenv("PATH", search_path, 1);
}
#else
static void failing_allocations(void **state) {
    (void)state;
    skip();
}
#endif

/* ---------------------------------------------------------------- the suite */

static int start(void **state) {
    (void)state;
    search_path = strdup(getenv("PATH"));
    for (int i = 0; i < N; i++) {
        x[2 * i] = (float)tones(i / 16000.0);
        x[2 * i + 1] = 2 * x[2 * i];
    }
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -r %s", folder);
    free(search_path);
    return system(command);
}

/* After every test: no descriptor is open, and no child is left. */
static int nothing_is_left(void **state) {
    (void)state;
    static int at_first = -1;
    int now = count_descriptors();
    if (at_first < 0)
        at_first = now;
    return now == at_first && waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_teardown(f, nothing_is_left)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(files_that_cannot_be_opened),
        TEST(samples_that_are_no_numbers),
        TEST(absurd_headers),
        TEST(raw_descriptions),
        TEST(cut_files_say_where),
        TEST(cut_flac_between_frames),
        TEST(cut_mp3),
        TEST(children_that_misbehave),
        TEST(children_that_talk_much),
        TEST(a_child_that_never_ends_is_ended),
        TEST(waiting_can_be_called_off),
        TEST(names_are_not_interpreted),
        TEST(real_ffmpeg),
        TEST(real_ffmpeg_cut),
        TEST(failing_allocations),
    };
    nothing_is_left(NULL);
    return cmocka_run_group_tests(tests, start, end);
}
