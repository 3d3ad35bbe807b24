/* A growing byte string.  The buffer owns its memory until wi_strbuf_fini or wi_strbuf_take.  Not
 * thread-safe.  After a failed allocation it is sticky: further calls do nothing and `failed` is set,
 * so that a sequence of appends is checked once. */
#ifndef WISP_SRC_BASE_STRBUF_H
#define WISP_SRC_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct wi_strbuf {
    char *data; /* NUL-terminated once anything was added, else NULL */
    size_t len, capacity;
    bool failed;
};

void wi_strbuf_init(struct wi_strbuf *s);
void wi_strbuf_fini(struct wi_strbuf *s);
void wi_strbuf_add(struct wi_strbuf *s, const void *bytes, size_t n);
void wi_strbuf_puts(struct wi_strbuf *s, const char *text);
void wi_strbuf_printf(struct wi_strbuf *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Hand the string over (wi_free it); NULL when an allocation had failed.  The buffer is empty then. */
char *wi_strbuf_take(struct wi_strbuf *s);

#endif
