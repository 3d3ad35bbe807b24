#include "unit/sound.h"

#include <dirent.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* For LeakSanitizer: libsndfile loses the headers of Ogg files that are cut off inside them. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libvorbis\nleak:libsndfile\n";
}

struct sound sound_read(const char *path, const struct wisp_audio_params *params, size_t piece) {
    struct sound s = {0};
    struct wi_audio *audio;
    size_t capacity = 1 << 16, got = 1;
    uint32_t seed = 12345;
    s.samples = malloc(capacity * sizeof *s.samples);
    s.rc = wi_audio_open(&audio, path, params, NULL, &s.err);
    if (s.rc == WISP_OK)
        s.hint = wi_audio_length_hint(audio);
    while (s.rc == WISP_OK && got > 0) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = piece ? 1 + (seed >> 8) % piece : 4096;
        if (s.n + n > capacity)
            s.samples = realloc(s.samples, (capacity *= 2) * sizeof *s.samples);
        s.rc = wi_audio_read(audio, s.samples + s.n, n, &got, &s.err);
        if (got > n)
            abort();
        s.n += s.rc == WISP_OK ? got : 0;
    }
    wi_audio_close(&audio);
    return s;
}

void sound_free(struct sound *s) {
    free(s->samples);
    memset(s, 0, sizeof *s);
}

int sound_write(const char *path, int format, int rate, int channels, const float *samples,
                size_t n) {
    SF_INFO info = {.format = format, .samplerate = rate, .channels = channels};
    SNDFILE *f = sf_format_check(&info) ? sf_open(path, SFM_WRITE, &info) : NULL;
    if (!f)
        return 0;
    sf_command(f, SFC_SET_CLIPPING, NULL, SF_TRUE);
    int written = sf_writef_float(f, samples, (sf_count_t)n) == (sf_count_t)n;
    return sf_close(f) == 0 && written;
}

uint8_t *bytes_read(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        abort();
    *n = (size_t)ftell(f);
    uint8_t *bytes = malloc(*n + 1);
    rewind(f);
    if (fread(bytes, 1, *n, f) != *n)
        abort();
    fclose(f);
    return bytes;
}

void bytes_write(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

struct piped stdin_from(const void *bytes, size_t n) {
    struct piped p = {.saved = dup(STDIN_FILENO)};
    int ends[2];
    if (pipe(ends) != 0)
        abort();
    p.pid = fork();
    if (p.pid == 0) { /* pieces of odd sizes: samples are cut between them */
        const char *at = bytes;
        close(ends[0]);
        for (size_t done = 0, step = 1; done < n; step = step * 3 % 10007) {
            size_t take = step < n - done ? step : n - done;
            ssize_t written = write(ends[1], at + done, take);
            if (written < 0)
                _exit(1);
            done += (size_t)written;
        }
        _exit(0);
    }
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    return p;
}

void stdin_restore(struct piped *p) {
    if (p->saved >= 0) {
        dup2(p->saved, STDIN_FILENO);
        close(p->saved);
    } else {
        close(STDIN_FILENO);
    }
    waitpid(p->pid, NULL, 0);
}

int count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int n = -1; /* the folder's own */
    for (struct dirent *e; (e = readdir(folder));)
        n += e->d_name[0] != '.';
    closedir(folder);
    return n;
}

double tones(double t) {
    return 0.2 * sin(2 * M_PI * 440 * t) + 0.15 * sin(2 * M_PI * 1234.5 * t + 1) +
           0.1 * sin(2 * M_PI * 3100 * t + 2);
}
