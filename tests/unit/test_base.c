#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/strbuf.h"

static void first_error_wins(void **state) {
    (void)state;
    struct wisp_error err = {0};
    assert_int_equal(wi_err_set(&err, WISP_E_IO, "first %d", 1), WISP_E_IO);
    assert_int_equal(wi_err_errno(&err, WISP_E_FORMAT, 2, "second"), WISP_E_FORMAT);
    assert_int_equal(err.code, WISP_E_IO);
    assert_string_equal(err.text, "first 1");
    wi_err_clear(&err);
    wi_err_errno(&err, WISP_E_IO, 2, "x");
    assert_string_equal(err.text, "x: No such file or directory");
    assert_int_equal(wi_err_set(NULL, WISP_E_ARG, "none"), WISP_E_ARG);
}

static void long_error_is_cut_not_overrun(void **state) {
    (void)state;
    char big[4096];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct {
        struct wisp_error err;
        char guard[8];
    } s = {.guard = "guard"};
    wi_err_errno(&s.err, WISP_E_IO, 2, "%s", big);
    assert_int_equal(strlen(s.err.text), sizeof s.err.text - 1);
    assert_string_equal(s.guard, "guard");
}

static void allocation_products_do_not_wrap(void **state) {
    (void)state;
    assert_null(wi_malloc(SIZE_MAX / 2, 3));
    assert_null(wi_calloc(SIZE_MAX, 2));
    assert_null(wi_malloc64(SIZE_MAX - 3, 1));
    void *p = wi_malloc64(100, 1);
    assert_int_equal((uintptr_t)p % 64, 0);
    wi_free(p);
}

static void strbuf_grows(void **state) {
    (void)state;
    struct wi_strbuf s;
    wi_strbuf_init(&s);
    for (int i = 0; i < 1000; i++)
        wi_strbuf_printf(&s, "%d,", i);
    assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
    char *text = wi_strbuf_take(&s);
    assert_memory_equal(text, "0,1,2,", 6);
    assert_memory_equal(text + strlen(text) - 4, "999,", 4);
    wi_free(text);
}

static void mapfile_names_what_is_wrong(void **state) {
    (void)state;
    struct wi_mapfile map;
    struct wisp_error err = {0};
    assert_int_equal(wi_mapfile_open(&map, "/nonexistent/x", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    wi_err_clear(&err);
    assert_int_equal(wi_mapfile_open(&map, "/", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "not a regular file"));

    char path[] = "/tmp/wisp-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    wi_err_clear(&err);
    assert_int_equal(wi_mapfile_open(&map, path, &err), WISP_E_FORMAT);
    assert_int_equal(write(fd, "abc", 3), 3);
    wi_err_clear(&err);
    assert_int_equal(wi_mapfile_open(&map, path, &err), WISP_OK);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "abc", 3);
    wi_mapfile_close(&map);
    close(fd);
    unlink(path);
}

WISP_SUITE(cmocka_unit_test(first_error_wins), cmocka_unit_test(long_error_is_cut_not_overrun),
           cmocka_unit_test(allocation_products_do_not_wrap), cmocka_unit_test(strbuf_grows),
           cmocka_unit_test(mapfile_names_what_is_wrong))
