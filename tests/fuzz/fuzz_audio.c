/* Audio files and raw samples.  The first byte of the input: bit 0 raw samples, bit 1 f32 instead
 * of s16, bits 2 and 3 channels - 1, bits 4 to 6 how much is read at a time.  ffmpeg is not looked
 * for. */
#include "fuzz_files.h"

#include <string.h>

#include "audio/audio.h"

enum { MOST = 4000000 /* samples read of one input: 250 s */, PIECE = 8192 };

/* The decoders lose memory of broken files; what wisp loses is still found. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libvorbis\nleak:libsndfile\nleak:libFLAC\nleak:libopus\nleak:libogg\nleak:"
           "libmpg123\n";
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return setenv("PATH", "/nonexistent", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct memory_file file = {.fd = -1};
    static const int rates[] = {8000, 16000, 44100, 48000};
    static float samples[PIECE];
    struct wisp_error err = {0};
    struct wi_audio *audio;
    if (file.fd < 0)
        file = memory_file_create();
    if (size < 1)
        return 0;
    const uint8_t *const parts[] = {data + 1, data + size};
    const size_t sizes[] = {size - 1, 0}, zeros[] = {0, 0};
    memory_file_set(&file, parts, sizes, zeros);

    struct wisp_audio_params params = {.raw = data[0] & 1,
                                       .raw_rate = rates[data[0] >> 4 & 3],
                                       .raw_channels = 1 + (data[0] >> 2 & 3),
                                       .raw_format = data[0] & 2 ? "f32" : "s16"};
    size_t piece = (size_t)1 << (6 + (data[0] >> 4 & 7)), got = 1, total = 0;
    int rc = wi_audio_open(&audio, file.path, &params, NULL, &err);
    NEED((rc == WISP_OK) == (audio != NULL));
    if (audio)
        (void)wi_audio_length_hint(audio);
    while (rc == WISP_OK && got > 0 && total < MOST) {
        rc = wi_audio_read(audio, samples, piece, &got, &err);
        NEED(got <= piece);
        for (size_t i = 0; rc == WISP_OK && i < got; i++)
            NEED(samples[i] >= -1 && samples[i] <= 1);
        total += got;
    }
    NEED(rc == err.code && (rc == WISP_OK) == !err.text[0]);
    wi_audio_close(&audio);
    NEED(!audio);
    return 0;
}
