#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef WISP_ALLOC_INJECT
#include <stdatomic.h>
_Atomic long wi_mem_fail_at;
_Atomic long wi_mem_count;
static bool injected_failure(void) {
    long n = atomic_fetch_add(&wi_mem_count, 1) + 1;
    return n == atomic_load(&wi_mem_fail_at);
}
#else
static bool injected_failure(void) {
    return false;
}
#endif

static bool product(size_t n, size_t size, size_t *out) {
    if (injected_failure() || __builtin_mul_overflow(n, size, out))
        return false;
    if (*out == 0)
        *out = 1;
    return true;
}

void *wi_malloc(size_t n, size_t size) {
    size_t bytes;
    return product(n, size, &bytes) ? malloc(bytes) : NULL;
}

void *wi_calloc(size_t n, size_t size) {
    size_t bytes;
    return product(n, size, &bytes) ? calloc(1, bytes) : NULL;
}

void *wi_realloc(void *p, size_t n, size_t size) {
    size_t bytes;
    return product(n, size, &bytes) ? realloc(p, bytes) : NULL;
}

bool wi_grow(void *array, size_t *max, size_t n, size_t size) {
    if (n <= *max)
        return true;
    size_t wanted = n > 2 * *max ? n : 2 * *max;
    void *block;
    memcpy(&block, array, sizeof block);
    block = wi_realloc(block, wanted, size);
    if (!block)
        return false;
    memcpy(array, &block, sizeof block);
    *max = wanted;
    return true;
}

void *wi_malloc64(size_t n, size_t size) {
    size_t bytes;
    if (!product(n, size, &bytes) || bytes > SIZE_MAX - 63)
        return NULL;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

char *wi_strndup(const char *s, size_t n) {
    char *copy = wi_malloc(n + 1, 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

char *wi_strdup(const char *s) {
    return wi_strndup(s, strlen(s));
}

void *wi_malloc_streamed(size_t n, size_t size) {
    const size_t huge = 2 << 20;
    size_t bytes;
    void *p;
    if (!product(n, size, &bytes) || posix_memalign(&p, bytes < huge ? 64 : huge, bytes) != 0)
        return NULL;
    if (bytes >= huge)
        madvise(p, bytes & ~(huge - 1), MADV_HUGEPAGE);
    return p;
}

void wi_free(void *p) {
    free(p);
}
