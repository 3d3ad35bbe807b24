/* wisp npu bench: what the library's kernels take on an emulated core, and how exact they are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <wisp/wisp_npu.h>

#include "json_print.h"
#include "npu.h"
#include "outfile.h"

enum { MHZ = 1028 }; /* of the array, measured on Phoenix */

static enum cli_exit save(const char *dir, const struct wisp_npu_kernel_run *r, const char *what,
                          const uint8_t *bytes, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", dir, r->kernel, what);
    return outfile_write(path, bytes, size);
}

static enum cli_exit save_all(const char *dir, const struct wisp_npu_kernel_run *r) {
    enum cli_exit code = save(dir, r, "program", r->program, r->program_bytes);
    if (code == CLI_DONE)
        code = save(dir, r, "before", r->before, r->memory_bytes);
    if (code == CLI_DONE)
        code = save(dir, r, "after", r->after, r->memory_bytes);
    return code;
}

static json_t *to_json(const struct wisp_npu_kernel_run *r) {
    json_t *stalls = json_object();
    for (int i = 0; wisp_npu_stall_name(i); i++)
        json_object_set_new(stalls, wisp_npu_stall_name(i), json_integer((json_int_t)r->stalls[i]));
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:s, s:f, s:I, s:f, s:f, s:f, s:f, s:i, s:i}",
        "kernel", r->kernel, "shape", r->shape, "layout", r->layout, "cycles",
        (json_int_t)r->cycles, "bundles", (json_int_t)r->bundles, "stalls", stalls, "bound",
        (json_int_t)r->bound, "limiting_slot", r->limit, "share",
        (double)r->bound / (double)r->cycles, "program_bytes", (json_int_t)r->program_bytes,
        "us_at_1028mhz", (double)r->cycles / MHZ, "ulp_median", r->ulp_median, "ulp_max",
        r->ulp_max, "correlation", r->correlation, "program_address", (int)r->program_address, "p0",
        (int)r->params);
    if (r->earlier)
        json_object_set_new(row, "earlier_kernels", json_string(r->earlier));
    return row;
}

static void print_row(const struct wisp_npu_kernel_run *r) {
    printf("%-16s %-25s %6" PRIu64 " %6" PRIu64 "  %5.1f %%  %-5s %6.2f %6zu  %6.2f %7.2f  %.7f\n",
           r->kernel, r->shape, r->cycles, r->bound, 100.0 * (double)r->bound / (double)r->cycles,
           r->limit, (double)r->cycles / MHZ, r->program_bytes, r->ulp_median, r->ulp_max,
           r->correlation);
    if (r->earlier)
        printf("%-16s earlier kernels on the chip: %s\n", "", r->earlier);
}

static enum cli_exit bench_one(const struct npu_options *o, size_t i, json_t *rows) {
    struct wisp_npu_kernel_run run;
    struct wisp_error err = {0};
    if (wisp_npu_kernel_measure(&run, i, &err) != WISP_OK)
        return cli_fail(&err);
    if (o->json)
        json_array_append_new(rows, to_json(&run));
    else
        print_row(&run);
    enum cli_exit code = o->save ? save_all(o->save, &run) : CLI_DONE;
    wisp_npu_kernel_run_fini(&run);
    return code;
}

static bool is_kernel(const char *name) {
    for (size_t i = 0; wisp_npu_kernel_name(i); i++)
        if (strcmp(wisp_npu_kernel_name(i), name) == 0)
            return true;
    return false;
}

static void say_names(const char *name) {
    char names[512] = "";
    for (size_t i = 0; wisp_npu_kernel_name(i); i++) {
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", wisp_npu_kernel_name(i));
    }
    cli_say("there is no kernel '%s'; there are %s", name, names);
}

enum cli_exit npu_bench(const struct npu_options *o, const char *kernel) {
    if (o->sim)
        return npu_bench_sim(o);
    if (kernel && !is_kernel(kernel)) {
        say_names(kernel);
        return CLI_USAGE;
    }
    json_t *rows = json_array();
    enum cli_exit code = CLI_DONE;
    if (!o->json)
        printf("%-16s %-25s %6s %6s  %7s  %-5s %6s %6s  %6s %7s  %s\n", "kernel", "shape", "cycles",
               "bound", "share", "limit", "us", "bytes", "median", "max ulp", "correlation");
    for (size_t i = 0; code == CLI_DONE && wisp_npu_kernel_name(i); i++)
        if (!kernel || strcmp(wisp_npu_kernel_name(i), kernel) == 0)
            code = bench_one(o, i, rows);
    if (o->json && code == CLI_DONE)
        json_print(stdout, rows);
    json_decref(rows);
    return code;
}
