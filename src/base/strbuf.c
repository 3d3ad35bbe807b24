#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void wi_strbuf_init(struct wi_strbuf *s) { memset(s, 0, sizeof *s); }

void wi_strbuf_fini(struct wi_strbuf *s) {
    wi_free(s->data);
    wi_strbuf_init(s);
}

/* Room for `n` more bytes and the final NUL. */
static bool reserve(struct wi_strbuf *s, size_t n) {
    if (s->failed)
        return false;
    if (n < s->capacity - s->len)
        return true;
    size_t capacity = (s->len + n + 1) * 2;
    char *data = wi_realloc(s->data, capacity, 1);
    if (!data) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->capacity = capacity;
    return true;
}

void wi_strbuf_add(struct wi_strbuf *s, const void *bytes, size_t n) {
    if (!reserve(s, n))
        return;
    if (n)
        memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void wi_strbuf_puts(struct wi_strbuf *s, const char *text) { wi_strbuf_add(s, text, strlen(text)); }

void wi_strbuf_printf(struct wi_strbuf *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0 || !reserve(s, (size_t)n))
        return;
    va_start(ap, format);
    vsnprintf(s->data + s->len, (size_t)n + 1, format, ap);
    va_end(ap);
    s->len += (size_t)n;
}

char *wi_strbuf_take(struct wi_strbuf *s) {
    if (!s->failed && !s->data)
        wi_strbuf_add(s, "", 0);
    char *data = s->failed ? NULL : s->data;
    if (s->failed)
        wi_free(s->data);
    wi_strbuf_init(s);
    return data;
}
