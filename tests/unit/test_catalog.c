#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/catalog.h"

/* An empty folder, removed by the tests that fill it. */
static char *temp_dir(char *template) {
    assert_non_null(mkdtemp(template));
    return template;
}

static void touch(const char *dir, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

static void entries_are_consistent(void **state) {
    (void)state;
    size_t n = 0;
    for (const struct wisp_catalog_entry *e; (e = wisp_catalog_get(n)) != NULL; n++) {
        assert_int_equal(strlen(e->digest), 40);
        assert_int_equal(strspn(e->digest, "0123456789abcdef"), 40);
        assert_true(e->bytes > 30000000 && e->bytes < 3200000000u);
        assert_non_null(strstr(e->url, e->name));
        assert_int_equal(strncmp(e->url, "https://", 8), 0);
        for (size_t i = 0; i < n; i++)
            assert_string_not_equal(wisp_catalog_get(i)->digest, e->digest);
        assert_ptr_equal(wi_catalog_find(e->name), e);
    }
    assert_int_equal(n, 34);
    assert_null(wisp_catalog_get(SIZE_MAX));
    assert_null(wi_catalog_find("bas"));
    assert_string_equal(wi_catalog_find("turbo")->name, "large-v3-turbo");
    assert_string_equal(wi_catalog_find("large")->name, "large-v3");
}

static void nearest_names(void **state) {
    (void)state;
    assert_string_equal(wi_catalog_nearest("bse"), "base");
    assert_string_equal(wi_catalog_nearest("large-v3-trubo"), "large-v3-turbo");
    assert_string_equal(wi_catalog_nearest("tiny_en"), "tiny.en");
    assert_null(wi_catalog_nearest("something else entirely"));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_null(wi_catalog_nearest(longest));
}

static void folder_of_models(void **state) {
    (void)state;
    char buf[200];
    struct wisp_error err = {0};
    setenv("WISP_MODELS", "/m", 1);
    setenv("XDG_DATA_HOME", "/x", 1);
    setenv("HOME", "/h", 1);
    assert_int_equal(wisp_models_dir(buf, sizeof buf, &err), 0);
    assert_string_equal(buf, "/m");
    setenv("WISP_MODELS", "", 1);
    assert_int_equal(wisp_models_dir(buf, sizeof buf, &err), 0);
    assert_string_equal(buf, "/x/wisp/models");
    setenv("XDG_DATA_HOME", "relative", 1);
    assert_int_equal(wisp_models_dir(buf, sizeof buf, &err), 0);
    assert_string_equal(buf, "/h/.local/share/wisp/models");
    assert_int_equal(wisp_models_dir(buf, 10, &err), WISP_E_ARG);
    assert_string_equal(buf, "");
    unsetenv("HOME");
    err = (struct wisp_error){0};
    assert_int_equal(wisp_models_dir(buf, sizeof buf, &err), WISP_E_ARG);
    assert_non_null(strstr(err.text, "WISP_MODELS"));
}

static void finding_a_model(void **state) {
    (void)state;
    char template[] = "/tmp/wisp-catalog-XXXXXX", buf[512], expected[512];
    struct wisp_error err = {0};
    const char *dir = temp_dir(template);
    setenv("WISP_MODELS", dir, 1);

    assert_int_equal(wisp_model_find(buf, sizeof buf, "base.en", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "wisp model pull base.en"));
    assert_string_equal(buf, "");
    err = (struct wisp_error){0};
    assert_int_equal(wisp_model_find(buf, sizeof buf, "bsae", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "wisp model pull base"));
    err = (struct wisp_error){0};
    assert_int_equal(wisp_model_find(buf, sizeof buf, "no/such.bin", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "no/such.bin"));
    err = (struct wisp_error){0};
    assert_int_equal(wisp_model_find(buf, sizeof buf, "", &err), WISP_E_ARG);
    err = (struct wisp_error){0};
    assert_int_equal(wisp_model_find(buf, sizeof buf, "turbo", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "wisp model pull large-v3-turbo"));
    err = (struct wisp_error){0};

    touch(dir, "ggml-large-v3.bin");
    snprintf(expected, sizeof expected, "%s/ggml-large-v3.bin", dir);
    assert_int_equal(wisp_model_find(buf, sizeof buf, "large", &err), 0);
    assert_string_equal(buf, expected);
    unlink(expected);

    touch(dir, "ggml-base.en.bin");
    touch(dir, "mine");
    snprintf(expected, sizeof expected, "%s/ggml-base.en.bin", dir);
    assert_int_equal(wisp_model_find(buf, sizeof buf, "base.en", &err), 0);
    assert_string_equal(buf, expected);
    assert_int_equal(wisp_model_find(buf, sizeof buf, expected, &err), 0);
    assert_string_equal(buf, expected);
    assert_int_equal(wisp_model_find(buf, sizeof buf, dir, &err), 0);
    assert_string_equal(buf, dir);
    snprintf(expected, sizeof expected, "%s/mine", dir);
    assert_int_equal(wisp_model_find(buf, sizeof buf, "mine", &err), 0);
    assert_string_equal(buf, expected);
    assert_int_equal(err.code, 0);

    unlink(expected);
    snprintf(expected, sizeof expected, "%s/ggml-base.en.bin", dir);
    unlink(expected);
    rmdir(dir);
}

static void pulling_unknown_names_and_into_bad_folders(void **state) {
    (void)state;
    char path[200];
    struct wisp_error err = {0};
    struct wisp_pull_params params;
    wisp_pull_params_init(&params);
    params.base_url = "http://127.0.0.1:9";
    assert_int_equal(wisp_model_pull(path, sizeof path, "bass", &params, &err), WISP_E_ARG);
    assert_non_null(strstr(err.text, "'base'"));
    err = (struct wisp_error){0};
    params.dir = "/dev/null/models";
    assert_int_equal(wisp_model_pull(path, sizeof path, "base", &params, &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "/dev/null"));
}

/* Every allocation of a download fails once: the call says so, and the next one works. */
static void pulling_without_memory(void **state) {
    (void)state;
#ifdef WISP_ALLOC_INJECT
    char template[] = "/tmp/wisp-catalog-XXXXXX", path[200];
    struct wisp_pull_params params;
    wisp_pull_params_init(&params);
    params.base_url = "http://127.0.0.1:9"; /* nobody listens there */
    params.dir = temp_dir(template);
    int n = 0;
    for (int rc = WISP_E_NOMEM; rc == WISP_E_NOMEM; n++) {
        struct wisp_error err = {0};
        wi_mem_count = 0;
        wi_mem_fail_at = n + 1;
        rc = wisp_model_pull(path, sizeof path, "base", &params, &err);
        assert_int_equal(rc, err.code);
        assert_true(rc == WISP_E_NOMEM || rc == WISP_E_IO || rc == WISP_E_UNSUPPORTED);
    }
    wi_mem_fail_at = 0;
    assert_in_range(n, 2, 20);
    assert_int_equal(rmdir(params.dir), 0); /* nothing was left in it */
#else
    skip();
#endif
}

WISP_SUITE(cmocka_unit_test(entries_are_consistent), cmocka_unit_test(nearest_names),
           cmocka_unit_test(folder_of_models), cmocka_unit_test(finding_a_model),
           cmocka_unit_test(pulling_unknown_names_and_into_bad_folders),
           cmocka_unit_test(pulling_without_memory))
