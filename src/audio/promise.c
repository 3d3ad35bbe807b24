/* The lengths that containers state.  libsndfile takes what is there and says nothing when the rest
 * of a file is missing, so that this is looked at here. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/source.h"

enum { MAX_CHUNKS = 100000 /* in front of the audio; more is a file made to waste time */ };

/* A container that is a row of chunks: name, size, content. */
struct chunked {
    const char *magic, *data; /* first bytes of the file; name of the chunk with the audio */
    int header, name_bytes, size_bytes;
    bool big_endian, size_counts_head; /* the size includes the chunk's name and size */
    int alignment;                     /* of the next chunk, bytes */
};

static const struct chunked containers[] = {
    {"RIFF", "data", 12, 4, 4, false, false, 2},
    {"RF64", "data", 12, 4, 4, false, false, 2},
    {"RIFX", "data", 12, 4, 4, true, false, 2},
    {"FORM", "SSND", 12, 4, 4, true, false, 2},
    {"caff", "data", 8, 4, 8, true, false, 1},
    {"riff", "data", 40, 16, 8, false, true, 8}, /* Sony Wave64: names are GUIDs */
};

static uint64_t number(const uint8_t *p, int bytes, bool big_endian) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++)
        x = x << 8 | p[big_endian ? i : bytes - 1 - i];
    return x;
}

/* Programs that write into a pipe cannot go back to put the size in.  They leave 0, (almost) all
 * bits set, 2^31 or a little less (arecord; sox: 7ffff000), or 7f000000 (sox, AIFF). */
static bool is_unknown(uint64_t size, int size_bytes) {
    if (size_bytes == 8)
        return size == 0 || size >= UINT64_C(1) << 62;
    return size == 0 || size >= 0xffff0000 || (size >= 0x7fff0000 && size <= 0x80000100) ||
           (size >= 0x7f000000 && size <= 0x7f000100);
}

static bool chunked_promise(const struct chunked *c, int fd, uint64_t file, uint64_t *promised,
                            uint64_t *have) {
    uint8_t head[24];
    uint64_t at = (uint64_t)c->header, wide = 0; /* RF64 keeps the 64-bit size in its ds64 chunk */
    int head_bytes = c->name_bytes + c->size_bytes;
    for (int i = 0; i < MAX_CHUNKS && at < file; i++) {
        if (pread(fd, head, (size_t)head_bytes, (off_t)at) != head_bytes)
            return false;
        uint64_t size = number(head + c->name_bytes, c->size_bytes, c->big_endian);
        uint64_t own = c->size_counts_head ? (uint64_t)head_bytes : 0;
        at += (uint64_t)head_bytes;
        if (memcmp(head, c->data, 4) == 0) {
            bool unknown = is_unknown(size, c->size_bytes);
            *promised = unknown ? wide : size - own;
            *have = file - at < *promised ? file - at : *promised;
            return (!unknown || wide) && size >= own;
        }
        if (memcmp(head, "ds64", 4) == 0 && pread(fd, head, 16, (off_t)at) == 16)
            wide = number(head + 8, 8, false);
        if (size < own || size - own > file - at)
            return false;
        at += size - own;
        at +=
            (uint64_t)c->alignment - 1 - (at + (uint64_t)c->alignment - 1) % (uint64_t)c->alignment;
    }
    return false;
}

/* Sun audio: ".snd", offset of the samples, their size. */
static bool au_promise(const uint8_t *head, uint64_t file, uint64_t *promised, uint64_t *have) {
    uint64_t offset = number(head + 4, 4, true);
    *promised = number(head + 8, 4, true);
    *have = offset < file ? file - offset : 0;
    return !is_unknown(*promised, 4);
}

/* Ogg promises nothing but whole pages (RFC 3533): 27 bytes and a table with the sizes of its
 * parts. */
static bool ogg_promise(int fd, uint64_t file, uint64_t *promised, uint64_t *have) {
    uint8_t page[27 + 255];
    uint64_t at = 0;
    while (at < file) {
        ssize_t n = pread(fd, page, sizeof page, (off_t)at);
        if (n < 4 || memcmp(page, "OggS", 4) != 0)
            return false; /* something that was appended */
        uint64_t size = 27 + (n < 27 ? 0u : page[26]);
        for (int i = 27; (uint64_t)i < 27u + (n < 27 ? 0u : page[26]) && i < n; i++)
            size += page[i];
        at += size;
    }
    *promised = at;
    *have = file;
    return true;
}

/* MPEG audio: the first frame may be a "Xing" or "Info" table that states the size of the stream.
 * Its writers differ by a frame or two, so that one per cent is let pass. */
static bool mpeg_promise(int fd, uint64_t file, uint64_t *promised, uint64_t *have) {
    uint8_t p[64];
    off_t at = 0;
    while (pread(fd, p, 10, at) == 10 && memcmp(p, "ID3", 3) == 0) /* size: 4 times 7 bits */
        at += 10 + ((p[6] & 127) << 21 | (p[7] & 127) << 14 | (p[8] & 127) << 7 | (p[9] & 127));
    if (pread(fd, p, sizeof p, at) != sizeof p || p[0] != 0xff || (p[1] & 0xe6) != 0xe2)
        return false; /* not the header of a layer III frame */
    bool mpeg1 = (p[1] & 0x18) == 0x18, mono = p[3] >> 6 == 3;
    const uint8_t *table =
        p + 4 + (mpeg1 ? (mono ? 17 : 32) : (mono ? 9 : 17)); /* after the side info */
    if (memcmp(table, "Xing", 4) != 0 && memcmp(table, "Info", 4) != 0)
        return false;
    uint64_t flags = number(table + 4, 4, true); /* 1: number of frames follows; 2: then bytes */
    if (!(flags & 2))
        return false;
    *promised = number(table + (flags & 1 ? 12 : 8), 4, true);
    *have = file - (uint64_t)at;
    if (*have < *promised && *promised - *have <= *promised / 100)
        *have = *promised;
    return *promised > 0;
}

uint64_t wi_audio_unsized_wav(int fd) {
    uint8_t head[12], chunk[8];
    struct stat st;
    if (fstat(fd, &st) != 0 || pread(fd, head, 12, 0) != 12 || memcmp(head, "RIFF", 4) != 0 ||
        memcmp(head + 8, "WAVE", 4) != 0)
        return 0;
    uint64_t at = 12, file = (uint64_t)st.st_size, riff = number(head + 4, 4, false);
    if (riff + 8 == file || riff + 9 == file)
        return 0; /* somebody went back to put the sizes in: there are no samples */
    for (int i = 0; i < MAX_CHUNKS && pread(fd, chunk, 8, (off_t)at) == 8; i++) {
        uint64_t size = number(chunk + 4, 4, false);
        if (memcmp(chunk, "data", 4) == 0)
            return size == 0 && at + 8 < file ? at + 4 : 0;
        at += 8 + size + (size & 1);
    }
    return 0;
}

bool wi_audio_promise(int fd, uint64_t *promised, uint64_t *have) {
    uint8_t head[12];
    struct stat st;
    if (fstat(fd, &st) != 0 || pread(fd, head, sizeof head, 0) != sizeof head)
        return false;
    uint64_t file = (uint64_t)st.st_size;
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        if (memcmp(head, containers[i].magic, 4) == 0)
            return chunked_promise(&containers[i], fd, file, promised, have);
    if (memcmp(head, ".snd", 4) == 0)
        return au_promise(head, file, promised, have);
    if (memcmp(head, "OggS", 4) == 0)
        return ogg_promise(fd, file, promised, have);
    return mpeg_promise(fd, file, promised, have);
}
