#include "out.h"

#include <math.h>
#include <string.h>

/* Code points that Python's str.isspace() accepts beyond ASCII, all of the basic plane. */
static bool is_space(unsigned c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Bytes of the white space character at `p`, 0 when it is none.  `n` bytes are there. */
static size_t space_at(const unsigned char *p, size_t n) {
    if (n >= 1 && p[0] < 0x80)
        return is_space(p[0]) ? 1 : 0;
    if (n >= 2 && (p[0] & 0xe0) == 0xc0)
        return is_space((p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)) ? 2 : 0;
    if (n >= 3 && (p[0] & 0xf0) == 0xe0)
        return is_space((p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)) ? 3 : 0;
    return 0;
}

struct out_span out_strip(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t n = strlen(text), bytes;
    while ((bytes = space_at(p, n)) > 0) {
        p += bytes;
        n -= bytes;
    }
    while (n > 0) {
        size_t last = 1; /* bytes of the last character */
        while (last < n && last < 4 && (p[n - last] & 0xc0) == 0x80)
            last++;
        if (space_at(p + n - last, last) != last)
            break;
        n -= last;
    }
    return (struct out_span){(const char *)p, n};
}

void out_replace(FILE *f, struct out_span text, const char *from, const char *to) {
    size_t n_from = strlen(from);
    while (text.n > 0) {
        bool here = text.n >= n_from && memcmp(text.p, from, n_from) == 0;
        size_t n = here ? n_from : 1;
        if (here)
            fputs(to, f);
        else
            fputc(*text.p, f);
        text.p += n;
        text.n -= n;
    }
}

long long out_ms(double seconds) {
    return llrint(seconds * 1000.0);
}

void out_time(FILE *f, double seconds, bool always_hours, char decimal_mark) {
    long long ms = out_ms(seconds);
    long long hours = ms / 3600000;
    if (always_hours || hours > 0)
        fprintf(f, "%02lld:", hours);
    fprintf(f, "%02lld:%02lld%c%03lld", ms / 60000 % 60, ms / 1000 % 60, decimal_mark, ms % 1000);
}

void out_line(FILE *f, const struct wisp_segment *segment, bool with_times) {
    struct out_span text = out_strip(segment->text);
    if (text.n == 0)
        return;
    if (with_times) {
        fputc('[', f);
        out_time(f, segment->start, true, '.');
        fputs(" --> ", f);
        out_time(f, segment->end, true, '.');
        fputs("]  ", f);
    }
    fprintf(f, "%.*s\n", (int)text.n, text.p);
}
