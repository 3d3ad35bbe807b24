/* wisp npu run --core: a program on one emulated core. */
#include "npu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <wisp/wisp_npu.h>

#include "json_print.h"
#include "outfile.h"

enum { MEMORY = 64 * 1024, CYCLES = 100 * 1000 * 1000 };

/* "HEAD=TAIL" cut into two; false after saying what the option wants. */
static bool cut(const char *option, const char *wants, const char *text, char head[64],
                const char **tail) {
    const char *sign = strchr(text, '=');
    size_t n = sign ? (size_t)(sign - text) : 0;
    if (n == 0 || n >= 64 || !sign[1]) {
        cli_say("%s needs %s, not '%s'", option, wants, text);
        return false;
    }
    memcpy(head, text, n);
    head[n] = '\0';
    *tail = sign + 1;
    return true;
}

static enum cli_exit load_memory(struct wisp_npu_core *core, const char *text) {
    char head[64];
    const char *path;
    unsigned address;
    struct wisp_error err = {0};
    static uint8_t bytes[MEMORY + 1];
    if (!cut("--mem", "ADDR=FILE", text, head, &path) || !npu_address("--mem", head, &address))
        return CLI_USAGE;
    FILE *f = fopen(path, "rb");
    if (!f) {
        cli_say("%s: %s", path, strerror(errno));
        return CLI_INPUT;
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    bool failed = ferror(f);
    fclose(f);
    if (failed) {
        cli_say("%s: cannot be read", path);
        return CLI_INPUT;
    }
    return wisp_npu_core_write(core, address, bytes, n, &err) == WISP_OK ? CLI_DONE
                                                                         : cli_fail(&err);
}

static enum cli_exit set_register(struct wisp_npu_core *core, const char *text) {
    char name[64], *end;
    const char *value;
    struct wisp_error err = {0};
    if (!cut("--reg", "REGISTER=VALUE", text, name, &value))
        return CLI_USAGE;
    long long n = strtoll(value, &end, 0);
    if (*end || n < INT32_MIN || n > UINT32_MAX) {
        cli_say("--reg %s needs a number of 32 bits, not '%s'", name, value);
        return CLI_USAGE;
    }
    return wisp_npu_core_set(core, name, (uint32_t)n, &err) == WISP_OK ? CLI_DONE : cli_fail(&err);
}

static enum cli_exit set_lock(struct wisp_npu_core *core, const char *text) {
    char head[64];
    const char *tail;
    unsigned id, value;
    struct wisp_error err = {0};
    if (!cut("--lock", "ID=VALUE", text, head, &tail) || !npu_address("--lock", head, &id) ||
        !npu_address("--lock", tail, &value))
        return CLI_USAGE;
    int v = value > 64 ? 64 : (int)value;
    return wisp_npu_core_set_lock(core, id, v, &err) == WISP_OK ? CLI_DONE : cli_fail(&err);
}

static enum cli_exit set_breakpoint(struct wisp_npu_core *core, const char *text) {
    unsigned address;
    struct wisp_error err = {0};
    if (!npu_address("--break", text, &address))
        return CLI_USAGE;
    return wisp_npu_core_break(core, address, &err) == WISP_OK ? CLI_DONE : cli_fail(&err);
}

static enum cli_exit dump_memory(const struct wisp_npu_core *core, const char *text) {
    char head[64];
    const char *path;
    unsigned address, size;
    struct outfile file;
    struct wisp_error err = {0};
    static uint8_t bytes[MEMORY];
    if (!cut("--dump", "ADDR:LEN=FILE", text, head, &path))
        return CLI_USAGE;
    char *colon = strchr(head, ':');
    if (!colon) {
        cli_say("--dump needs ADDR:LEN=FILE, not '%s'", text);
        return CLI_USAGE;
    }
    *colon = '\0';
    if (!npu_address("--dump", head, &address) || !npu_address("--dump", colon + 1, &size))
        return CLI_USAGE;
    if (size > MEMORY) {
        cli_say("--dump %s: the core has 64 KB", text);
        return CLI_USAGE;
    }
    if (wisp_npu_core_read(core, address, bytes, size, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = outfile_open(&file, path);
    if (code != CLI_DONE)
        return code;
    fwrite(bytes, 1, size, file.f); /* commit looks for errors */
    return outfile_commit(&file);
}

static enum cli_exit each(struct wisp_npu_core *core, const struct strings *list,
                          enum cli_exit (*fn)(struct wisp_npu_core *, const char *)) {
    enum cli_exit code = CLI_DONE;
    for (size_t i = 0; i < list->n && code == CLI_DONE; i++)
        code = fn(core, list->v[i]);
    return code;
}

static enum cli_exit load_program(struct wisp_npu_core *core, const struct npu_options *o,
                                  const char *path) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    enum cli_exit code = npu_load(o, path, &program);
    if (code != CLI_DONE)
        return code;
    int rc = wisp_npu_core_load(core, program, &err);
    wisp_npu_program_close(&program);
    return rc == WISP_OK ? CLI_DONE : cli_fail(&err);
}

static enum cli_exit prepare(struct wisp_npu_core *core, const struct npu_options *o,
                             const char *path) {
    struct wisp_error err = {0};
    unsigned entry = 0;
    enum cli_exit code = load_program(core, o, path);
    if (code == CLI_DONE)
        code = each(core, &o->mem, load_memory);
    if (code == CLI_DONE)
        code = each(core, &o->reg, set_register);
    if (code == CLI_DONE)
        code = each(core, &o->lock, set_lock);
    if (code == CLI_DONE)
        code = each(core, &o->breaks, set_breakpoint);
    if (code == CLI_DONE && o->entry) {
        if (!npu_address("--entry", o->entry, &entry))
            return CLI_USAGE;
        wisp_npu_core_set(core, "pc", entry, &err);
    }
    return code;
}

static void write_state(void *user, const struct wisp_npu_core *core) {
    char *text;
    size_t size;
    if (wisp_npu_core_state(core, &text, &size, NULL) != WISP_OK)
        return;
    fwrite(text, 1, size, user);
    fputc('\n', user);
    wisp_npu_free(text);
}

static void print_json(const struct wisp_npu_result *r) {
    json_t *stalls = json_object();
    for (int i = 0; wisp_npu_stall_name(i); i++)
        json_object_set_new(stalls, wisp_npu_stall_name(i), json_integer((json_int_t)r->stalls[i]));
    json_t *root = json_pack("{s:s, s:I, s:I, s:o, s:i}", "status", wisp_npu_status_name(r->status),
                             "cycles", (json_int_t)r->cycles, "bundles", (json_int_t)r->bundles,
                             "stalls", stalls, "pc", (int)r->pc);
    if (r->reason[0])
        json_object_set_new(root, "reason", json_string(r->reason));
    json_print(stdout, root);
    json_decref(root);
}

static void print_result(const struct wisp_npu_result *r) {
    printf("%s after %" PRIu64 " cycles, %" PRIu64 " bundles, at 0x%04x\n",
           wisp_npu_status_name(r->status), r->cycles, r->bundles, r->pc);
    for (int i = 0; wisp_npu_stall_name(i); i++)
        if (r->stalls[i])
            printf("stalled %" PRIu64 " cycles by %s\n", r->stalls[i], wisp_npu_stall_name(i));
}

/* What the command was asked for after the run, whatever its end. */
static enum cli_exit report(struct wisp_npu_core *core, const struct npu_options *o,
                            const struct wisp_npu_result *r) {
    enum cli_exit code = CLI_DONE;
    for (size_t i = 0; i < o->dump.n && code == CLI_DONE; i++)
        code = dump_memory(core, o->dump.v[i]);
    if (o->json)
        print_json(r);
    else
        print_result(r);
    if (r->status == WISP_NPU_BREAK && !o->json)
        write_state(stdout, core);
    if (r->status != WISP_NPU_DONE && r->status != WISP_NPU_BREAK) {
        cli_say("%s: %s", wisp_npu_status_name(r->status), r->reason);
        return CLI_DEVICE;
    }
    return code;
}

static enum cli_exit run(struct wisp_npu_core *core, const struct npu_options *o) {
    struct wisp_npu_result r;
    struct outfile state;
    long long limit = CYCLES;
    if (o->max_cycles && !args_int(o->max_cycles, 1, INT64_MAX, &limit)) {
        cli_say("--max-cycles needs a positive number, not '%s'", o->max_cycles);
        return CLI_USAGE;
    }
    if (o->state) {
        enum cli_exit code = outfile_open(&state, o->state);
        if (code != CLI_DONE)
            return code;
        wisp_npu_core_trace(core, write_state, state.f);
    }
    wisp_npu_core_run(core, (uint64_t)limit, &r);
    if (o->state) {
        write_state(state.f, core);
        enum cli_exit code = outfile_commit(&state);
        if (code != CLI_DONE)
            return code;
    }
    return report(core, o, &r);
}

enum cli_exit npu_run(const struct npu_options *o, const char *file) {
    struct wisp_npu_core *core;
    struct wisp_error err = {0};
    if (!o->core)
        return npu_run_image(o, file);
    if (wisp_npu_core_create(&core, NULL, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = prepare(core, o, file);
    if (code == CLI_DONE)
        code = run(core, o);
    wisp_npu_core_destroy(&core);
    return code;
}
