/* All of the library's heap allocations, so that a test build can make the n-th one fail.  Memory
 * belongs to the caller and is released with wi_free.  Thread-safe. */
#ifndef WISP_SRC_BASE_MEM_H
#define WISP_SRC_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* `n` objects of `size` bytes; NULL when out of memory or when n * size overflows. */
void *wi_malloc(size_t n, size_t size);
void *wi_calloc(size_t n, size_t size);

/* Grow or shrink; on failure returns NULL and the old block stays valid. */
void *wi_realloc(void *p, size_t n, size_t size);

/* Make room for `n` objects in the array that the pointer at `array` points to, which has room for *max; it
 * grows at least twofold.  False when out of memory: the array stays as it was. */
bool wi_grow(void *array, size_t *max, size_t n, size_t size);

/* 64-byte aligned (one cache line, one ZMM register), contents undefined. */
void *wi_malloc64(size_t n, size_t size);

/* 64-byte aligned, for what is read from end to end again and again: in pages of 2 MB where it fills
 * them and the system has them, so that streams do not stop at each page's end. */
void *wi_malloc_streamed(size_t n, size_t size);

/* Copies of strings and byte ranges (NUL-terminated). */
char *wi_strdup(const char *s);
char *wi_strndup(const char *s, size_t n);

#ifdef WISP_ALLOC_INJECT
/* Test builds only: the `fail_at`-th allocation since `count` was zeroed fails, once (0 = none). */
extern _Atomic long wi_mem_fail_at;
extern _Atomic long wi_mem_count;
#endif

/* Releases what any of the above returned; NULL is allowed. */
void wi_free(void *p);

#endif
