/* wisp npu run IMAGE, wisp npu trace IMAGE: a design on the emulated array. */
#include "npu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <wisp/wisp_npu.h>

#include "json_print.h"
#include "outfile.h"

enum { MAX_ARGS = 64, MAX_PATH_TEXT = 4096 };

/* One argument of the instruction stream. */
struct argument {
    const char *in; /* file that fills it; NULL: zeros */
    char *out;      /* file that its end goes to; NULL: none */
    uint8_t *bytes; /* of `in` */
    size_t size, n_in;
    struct wisp_npu_buffer *buffer;
};

struct job {
    const struct npu_options *o;
    struct wisp_npu_device *device;
    struct wisp_npu_image *image, *insts;
    struct argument args[MAX_ARGS];
    size_t n_args;
};

/* ------------------------------------------------------------------ arguments */

/* "N=REST". */
static enum cli_exit numbered(struct job *job, const char *option, const char *text,
                              struct argument **arg, const char **rest) {
    long long n;
    char head[8];
    size_t len = strcspn(text, "=");
    if (len == 0 || len >= sizeof head || !text[len] || !text[len + 1]) {
        cli_say("%s needs N=FILE or N=:BYTES, not '%s'", option, text);
        return CLI_USAGE;
    }
    memcpy(head, text, len);
    head[len] = '\0';
    if (!args_int(head, 0, MAX_ARGS - 1, &n)) {
        cli_say("%s needs an argument's number, 0 to %d, not '%s'", option, MAX_ARGS - 1, head);
        return CLI_USAGE;
    }
    *arg = &job->args[n];
    *rest = text + len + 1;
    if ((size_t)n >= job->n_args)
        job->n_args = (size_t)n + 1;
    return CLI_DONE;
}

static enum cli_exit bytes_of(const char *option, const char *text, size_t *size) {
    long long n;
    if (!args_int(text, 1, 1LL << 32, &n)) {
        cli_say("%s needs a number of bytes, not '%s'", option, text);
        return CLI_USAGE;
    }
    *size = (size_t)n;
    return CLI_DONE;
}

static enum cli_exit read_file(const char *path, uint8_t **bytes, size_t *size) {
    FILE *f = fopen(path, "rb");
    size_t room = 0;
    *bytes = NULL;
    *size = 0;
    if (!f) {
        cli_say("%s: %s", path, strerror(errno));
        return CLI_INPUT;
    }
    for (size_t got = 1; got;) {
        if (*size == room) {
            uint8_t *more = realloc(*bytes, room = room ? 2 * room : 65536);
            if (!more) {
                fclose(f);
                return cli_fail_nomem();
            }
            *bytes = more;
        }
        got = fread(*bytes + *size, 1, room - *size, f);
        *size += got;
    }
    bool failed = ferror(f);
    fclose(f);
    if (failed)
        cli_say("%s: cannot be read", path);
    return failed ? CLI_INPUT : CLI_DONE;
}

static enum cli_exit add_input(struct job *job, const char *text) {
    struct argument *arg;
    const char *rest;
    enum cli_exit code = numbered(job, "--arg", text, &arg, &rest);
    if (code != CLI_DONE)
        return code;
    if (*rest == ':')
        return bytes_of("--arg", rest + 1, &arg->size);
    arg->in = rest;
    code = read_file(rest, &arg->bytes, &arg->n_in);
    if (arg->n_in > arg->size)
        arg->size = arg->n_in;
    return code;
}

/* N=FILE or N=FILE:BYTES. */
static enum cli_exit add_output(struct job *job, const char *text) {
    struct argument *arg;
    const char *rest;
    size_t size = 0;
    enum cli_exit code = numbered(job, "--out", text, &arg, &rest);
    if (code != CLI_DONE)
        return code;
    const char *colon = strrchr(rest, ':');
    if (colon)
        code = bytes_of("--out", colon + 1, &size);
    size_t len = colon ? (size_t)(colon - rest) : strlen(rest);
    arg->out = malloc(len + 1);
    if (!arg->out)
        return cli_fail_nomem();
    memcpy(arg->out, rest, len);
    arg->out[len] = '\0';
    if (size > arg->size)
        arg->size = size;
    return code;
}

static enum cli_exit make_buffers(struct job *job) {
    struct wisp_error err = {0};
    for (size_t i = 0; i < job->n_args; i++) {
        struct argument *arg = &job->args[i];
        if (!arg->size && arg->out) {
            cli_say("--out %zu needs FILE:BYTES: there is no --arg %zu that says how many", i, i);
            return CLI_USAGE;
        }
        if (!arg->size)
            continue;
        if (wisp_npu_buffer_create(&arg->buffer, job->device, arg->size, &err) != WISP_OK)
            return cli_fail(&err);
        if (arg->n_in)
            memcpy(wisp_npu_buffer_data(arg->buffer), arg->bytes, arg->n_in);
        if (wisp_npu_buffer_sync(arg->buffer, WISP_NPU_TO_DEVICE, 0, arg->size, &err) != WISP_OK)
            return cli_fail(&err);
    }
    return CLI_DONE;
}

static enum cli_exit write_outputs(struct job *job) {
    struct wisp_error err = {0};
    enum cli_exit code = CLI_DONE;
    for (size_t i = 0; i < job->n_args && code == CLI_DONE; i++) {
        struct argument *arg = &job->args[i];
        if (!arg->out)
            continue;
        if (wisp_npu_buffer_sync(arg->buffer, WISP_NPU_FROM_DEVICE, 0, arg->size, &err) != WISP_OK)
            return cli_fail(&err);
        code = outfile_write(arg->out, wisp_npu_buffer_data(arg->buffer), arg->size);
    }
    return code;
}

/* ------------------------------------------------------------------ images */

/* The run-time sequence that mlir-aie leaves beside an image. */
static bool beside(const char *image, char path[MAX_PATH_TEXT]) {
    const char *slash = strrchr(image, '/');
    int dir = slash ? (int)(slash - image) + 1 : 0;
    int n = snprintf(path, MAX_PATH_TEXT, "%.*snpu_insts.mlir", dir, image);
    FILE *f = n < MAX_PATH_TEXT ? fopen(path, "rb") : NULL;
    if (f)
        fclose(f);
    return f != NULL;
}

static enum cli_exit load_images(struct job *job, const char *file) {
    struct wisp_error err = {0};
    char path[MAX_PATH_TEXT];
    const char *insts = job->o->insts;
    if (!insts && !beside(file, path)) {
        cli_say("run needs --insts FILE: there is no npu_insts.mlir beside '%s'", file);
        return CLI_USAGE;
    }
    if (wisp_npu_image_load_file(&job->image, file, &err) != WISP_OK ||
        wisp_npu_image_load_file(&job->insts, insts ? insts : path, &err) != WISP_OK ||
        wisp_npu_device_load(job->device, job->image, 0, &err) != WISP_OK)
        return cli_fail(&err);
    return CLI_DONE;
}

static enum cli_exit open_device(struct job *job) {
    struct wisp_npu_device_params params;
    const struct npu_options *o = job->o;
    struct wisp_error err = {0};
    long long n = 0;
    wisp_npu_device_params_init(&params);
    if (o->max_cycles && !args_int(o->max_cycles, 1, INT64_MAX, &n)) {
        cli_say("--max-cycles needs a positive number, not '%s'", o->max_cycles);
        return CLI_USAGE;
    }
    params.max_cycles = (uint64_t)n;
    n = 0;
    if (o->threads && !args_int(o->threads, 1, 64, &n)) {
        cli_say("--threads needs a number from 1 to 64, not '%s'", o->threads);
        return CLI_USAGE;
    }
    params.n_threads = (int)n;
    params.start_at_load = o->start && strcmp(o->start, "load") == 0;
    if (o->start && !params.start_at_load && strcmp(o->start, "run") != 0) {
        cli_say("--start needs load or run, not '%s'", o->start);
        return CLI_USAGE;
    }
    return wisp_npu_device_open(&job->device, "emu", &params, &err) == WISP_OK ? CLI_DONE
                                                                               : cli_fail(&err);
}

/* ------------------------------------------------------------------ reports */

static json_t *stalls_json(const uint64_t *stalls) {
    json_t *o = json_object();
    for (int i = 0; wisp_npu_stall_name(i); i++)
        if (stalls[i])
            json_object_set_new(o, wisp_npu_stall_name(i), json_integer((json_int_t)stalls[i]));
    return o;
}

static json_t *tiles_json(const struct wisp_npu_device *device) {
    json_t *list = json_array();
    struct wisp_npu_tile t;
    char name[16];
    for (int i = 0; wisp_npu_device_tile(device, i, &t); i++) {
        if (!t.cycles)
            continue;
        snprintf(name, sizeof name, "(%d,%d)", t.col, t.row);
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o}", "tile", name, "cycles",
                                              (json_int_t)t.cycles, "busy", (json_int_t)t.busy,
                                              "stalls", stalls_json(t.stalls)));
    }
    return list;
}

static json_t *channels_json(const struct wisp_npu_device *device) {
    json_t *list = json_array();
    struct wisp_npu_channel c;
    char tile[16], name[16];
    for (int i = 0; wisp_npu_device_channel(device, i, &c); i++) {
        if (!c.words)
            continue;
        snprintf(tile, sizeof tile, "(%d,%d)", c.col, c.row);
        snprintf(name, sizeof name, "%s%d", c.mm2s ? "mm2s" : "s2mm", c.channel);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I}}", "tile", tile, "channel",
                            name, "words", (json_int_t)c.words, "descriptors",
                            (json_int_t)c.descriptors, "stalls", "lock", (json_int_t)c.lock,
                            "stream", (json_int_t)c.stream, "memory", (json_int_t)c.memory));
    }
    return list;
}

static void print_json(const struct wisp_npu_device *device, const struct wisp_npu_report *r) {
    json_t *root =
        json_pack("{s:s, s:I, s:f, s:o?, s:o, s:o}", "status", wisp_npu_status_name(r->status),
                  "cycles", (json_int_t)r->cycles, "us_at_1028mhz", r->us, "fault",
                  r->reason[0] ? json_string(r->reason) : NULL, "tiles", tiles_json(device),
                  "channels", channels_json(device));
    json_print(stdout, root);
    json_decref(root);
}

static void print_text(const struct wisp_npu_device *device, const struct wisp_npu_report *r) {
    struct wisp_npu_tile t;
    printf("%s after %" PRIu64 " cycles, %.1f us at 1028 MHz\n", wisp_npu_status_name(r->status),
           r->cycles, r->us);
    for (int i = 0; wisp_npu_device_tile(device, i, &t); i++) {
        if (!t.cycles)
            continue;
        printf("(%d,%d) %" PRIu64 " cycles, %" PRIu64 " bundles", t.col, t.row, t.cycles, t.busy);
        for (int k = 0; wisp_npu_stall_name(k); k++)
            if (t.stalls[k])
                printf(", %s %" PRIu64, wisp_npu_stall_name(k), t.stalls[k]);
        printf("\n");
    }
}

static enum cli_exit say_why(const struct wisp_npu_device *device,
                             const struct wisp_npu_report *r) {
    char *text;
    struct wisp_error err = {0};
    cli_say("%s: %s", wisp_npu_status_name(r->status), r->reason);
    if (r->status == WISP_NPU_FAULT || wisp_npu_device_explain(device, &text, &err) != WISP_OK)
        return CLI_DEVICE;
    fputs(text, stderr);
    wisp_npu_free(text);
    return CLI_DEVICE;
}

static enum cli_exit submit(struct job *job) {
    struct wisp_npu_argument args[MAX_ARGS] = {0};
    struct wisp_npu_report r;
    struct wisp_error err = {0};
    for (size_t i = 0; i < job->n_args; i++)
        args[i].buffer = job->args[i].buffer;
    if (wisp_npu_submit(job->device, job->insts, args, job->n_args, &err) != WISP_OK)
        return cli_fail(&err);
    wisp_npu_wait(job->device, 1e9, &err); /* the report says how it ended */
    wisp_npu_device_report(job->device, &r);
    enum cli_exit code = write_outputs(job);
    if (job->o->json)
        print_json(job->device, &r);
    else if (!job->o->output || strcmp(job->o->output, "-") != 0)
        print_text(job->device, &r);
    return r.status == WISP_NPU_DONE ? code : say_why(job->device, &r);
}

static void close_job(struct job *job) {
    for (size_t i = 0; i < MAX_ARGS; i++) {
        wisp_npu_buffer_destroy(&job->args[i].buffer);
        free(job->args[i].out);
        free(job->args[i].bytes);
    }
    wisp_npu_image_close(&job->insts);
    wisp_npu_image_close(&job->image);
    wisp_npu_device_close(&job->device);
}

static enum cli_exit prepare(struct job *job, const char *file) {
    enum cli_exit code = CLI_DONE;
    for (size_t i = 0; i < job->o->arg.n && code == CLI_DONE; i++)
        code = add_input(job, job->o->arg.v[i]);
    for (size_t i = 0; i < job->o->out.n && code == CLI_DONE; i++)
        code = add_output(job, job->o->out.v[i]);
    if (code == CLI_DONE)
        code = open_device(job);
    if (code == CLI_DONE)
        code = load_images(job, file);
    return code == CLI_DONE ? make_buffers(job) : code;
}

enum cli_exit npu_run_image(const struct npu_options *o, const char *file) {
    struct job job = {.o = o};
    enum cli_exit code = prepare(&job, file);
    if (code == CLI_DONE)
        code = submit(&job);
    close_job(&job);
    return code;
}

/* ------------------------------------------------------------------ trace */

struct timeline {
    FILE *f;
    bool any;
};

/* A process for each tile, a thread for its core and each of its DMA channels; the timeline's
 * microseconds are cycles. */
static void write_span(void *user, const struct wisp_npu_span *s) {
    static const char *const lanes[] = {"core", "s2mm", "mm2s", "controller"};
    struct timeline *t = user;
    bool dma = s->lane == WISP_NPU_LANE_S2MM || s->lane == WISP_NPU_LANE_MM2S;
    char thread[16], name[64];
    snprintf(thread, sizeof thread, dma ? "%s%d" : "%s", lanes[s->lane], s->channel);
    snprintf(name, sizeof name, s->descriptor >= 0 ? "%s bd%d" : "%s", s->what, s->descriptor);
    fprintf(t->f,
            "%s{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%" PRIu64 ",\"dur\":%" PRIu64
            ",\"pid\":\"(%d,%d)\",\"tid\":\"%s\"}",
            t->any ? ",\n" : "", name, s->start, s->end - s->start, s->col, s->row, thread);
    t->any = true;
}

enum cli_exit npu_trace(const struct npu_options *o, const char *file) {
    struct job job = {.o = o};
    struct outfile out;
    struct timeline timeline = {0};
    if (!o->output) {
        cli_say("trace needs -o FILE, where the timeline goes (- for standard output)");
        return CLI_USAGE;
    }
    enum cli_exit code = prepare(&job, file);
    if (code == CLI_DONE)
        code = outfile_open(&out, o->output);
    if (code == CLI_DONE) {
        timeline.f = out.f;
        fputs("{\"traceEvents\":[\n", out.f);
        wisp_npu_device_trace(job.device, write_span, &timeline);
        code = submit(&job);
        fputs("\n]}\n", out.f);
        enum cli_exit written = outfile_commit(&out);
        code = code == CLI_DONE ? written : code;
    }
    close_job(&job);
    return code;
}
