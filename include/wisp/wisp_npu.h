/* wisp_npu: programs for the cores of AMD's XDNA1 NPU (AIE2 instruction set).
 *
 * A `wisp_npu_program` is one core's program: sections of code and data with labels.  It is
 * immutable once made and may be used by any number of threads; the caller closes it.  A
 * `wisp_npu_core` is one emulated core on a bench, used by one thread at a time.  Errors,
 * ownership and threads are otherwise as wisp.h says.  In a library built without the NPU stack
 * every call that can fail gives UNSUPPORTED. */
#ifndef WISP_WISP_NPU_H
#define WISP_WISP_NPU_H

#include <wisp/wisp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wisp_npu_program;

/* How to read a file. */
struct wisp_npu_load_params {
    bool raw;      /* nothing but code, even if it begins as an ELF file does */
    uint32_t base; /* address of raw code's first byte */
};
WISP_API void wisp_npu_load_params_init(struct wisp_npu_load_params *params);

/* Read a program: an ELF file for AIE2 (machine 0x108; program or object), or raw code.  `path` "-"
 * is standard input. `params` may be NULL.  Errors: IO, FORMAT, UNSUPPORTED, NOMEM. */
WISP_API int wisp_npu_load_file(struct wisp_npu_program **out, const char *path,
                                const struct wisp_npu_load_params *params, struct wisp_error *err);
WISP_API int wisp_npu_load(struct wisp_npu_program **out, const uint8_t *bytes, size_t size,
                           const struct wisp_npu_load_params *params, struct wisp_error *err);

/* Assemble text; `name` is what messages call it.  FORMAT errors read "name:line: reason".  Errors:
 * IO, FORMAT, UNSUPPORTED, NOMEM. */
WISP_API int wisp_npu_assemble_file(struct wisp_npu_program **out, const char *path,
                                    struct wisp_error *err);
WISP_API int wisp_npu_assemble(struct wisp_npu_program **out, const char *text, size_t size,
                               const char *name, struct wisp_error *err);

WISP_API void wisp_npu_program_close(struct wisp_npu_program **program);

enum wisp_npu_listing {
    WISP_NPU_PLAIN = 1, /* without addresses and bytes before each line */
    WISP_NPU_PROOF = 2  /* comments on instructions that no outside program or measurement proves */
};

/* The program as text that wisp_npu_assemble turns into the same bytes; `flags` is a set of enum
 * wisp_npu_listing.  The caller frees `*text` (NUL-terminated, `*size` characters) with
 * wisp_npu_free.  Errors: NOMEM. */
WISP_API int wisp_npu_disassemble(const struct wisp_npu_program *program, unsigned flags,
                                  char **text, size_t *size, struct wisp_error *err);

/* The program as the bytes of a file: ELF, or the code alone (in its place by address, gaps filled
 * with zeros; an object file's overlapping sections one behind the other).  wisp_npu_free frees
 * them.  Errors: NOMEM, UNSUPPORTED. */
WISP_API int wisp_npu_program_bytes(const struct wisp_npu_program *program, bool elf,
                                    uint8_t **bytes, size_t *size, struct wisp_error *err);

/* A section of a program, in file order; false when `i` is past the last.  Strings and bytes are
 * borrowed. */
struct wisp_npu_section {
    const char *name;
    uint32_t address; /* in program memory for code, as the core sees data memory otherwise */
    bool code;
    const uint8_t *bytes;
    size_t size;
};
WISP_API bool wisp_npu_program_section(const struct wisp_npu_program *program, size_t i,
                                       struct wisp_npu_section *out);

/* ------------------------------------------------------------------ checking */

/* What the checker found in a program.  Immutable, owned by the caller. */
struct wisp_npu_check;

/* Check every rule of the core's exposed pipeline on every path from the given byte addresses (`entries`
 * NULL: the program's own entry): ports, the order in which results land, delay slots, hardware loops,
 * locks, alignment, size.  Errors: UNSUPPORTED (an object file; too many paths), NOMEM. */
WISP_API int wisp_npu_check(struct wisp_npu_check **out, const struct wisp_npu_program *program,
                            const uint32_t *entries, size_t n_entries, struct wisp_error *err);
WISP_API void wisp_npu_check_close(struct wisp_npu_check **check);

struct wisp_npu_check_counts {
    size_t bundles;                   /* that are reached */
    size_t code_bytes, reached_bytes; /* of the program, of those bundles */
    size_t hazards;
    size_t reads, old_reads; /* pairs of a result and a read within the longest latency; those that
                                come too early and take the register's old value, which is legal */
};
WISP_API void wisp_npu_check_get_counts(const struct wisp_npu_check *check,
                                        struct wisp_npu_check_counts *out);

/* The i-th finding in order of addresses; false when `i` is past the last. */
struct wisp_npu_finding {
    bool hazard;      /* false: legal, but worth knowing */
    const char *rule; /* "port", "write order" ...; a constant string */
    uint32_t address; /* of the bundle, the first of a guilty pair */
    char text[1200];  /* "0x0040: port: ...", with both of a pair */
};
WISP_API bool wisp_npu_check_get_finding(const struct wisp_npu_check *check, size_t i,
                                         struct wisp_npu_finding *out);

/* ------------------------------------------------------------------ running one core
 *
 * An emulated core, cycle by cycle as documents and measurements describe the chip, with 64 KB of its
 * own data memory at 0x70000 and 16 KB of program memory.  There are no neighbours, no streams and no
 * cascade; its 64 locks are plain counters that nobody else changes, so a core that waits waits for
 * ever.  Memory starts filled with a pattern that is NaN in bf16 and fp32.  What no document says the
 * chip does ends the run as a fault that names instruction and address. */

struct wisp_npu_core;

/* `cpu`: level of the vector loops as in wisp_model_params; every level gives the same bits.
 * Errors: ARG, NOMEM. */
WISP_API int wisp_npu_core_create(struct wisp_npu_core **out, const char *cpu,
                                  struct wisp_error *err);
WISP_API void wisp_npu_core_destroy(struct wisp_npu_core **core);

/* Code into program memory, data sections into data memory; the core will start at the program's
 * entry, raw code's first byte.  Errors: ARG (does not fit), UNSUPPORTED (an object file). */
WISP_API int wisp_npu_core_load(struct wisp_npu_core *core, const struct wisp_npu_program *program,
                                struct wisp_error *err);

/* Data memory by the core's addresses, 0x70000..0x7ffff.  Errors: ARG. */
WISP_API int wisp_npu_core_write(struct wisp_npu_core *core, uint32_t address, const void *bytes,
                                 size_t size, struct wisp_error *err);
WISP_API int wisp_npu_core_read(const struct wisp_npu_core *core, uint32_t address, void *bytes,
                                size_t size, struct wisp_error *err);

/* A register of up to 32 bits by its assembler name: r0, p3, dn1, s2, LC, SP, crRnd ...; "pc" is
 * where to start.  Errors: ARG. */
WISP_API int wisp_npu_core_set(struct wisp_npu_core *core, const char *name, uint32_t value,
                               struct wisp_error *err);
WISP_API int wisp_npu_core_get(const struct wisp_npu_core *core, const char *name, uint32_t *value,
                               struct wisp_error *err);

/* Lock `id`, 0..63 as the core numbers them (48..63 are its own), to 0..63.  Errors: ARG. */
WISP_API int wisp_npu_core_set_lock(struct wisp_npu_core *core, unsigned id, int value,
                                    struct wisp_error *err);

/* Stop before the bundle at this address; another run goes on.  Errors: ARG. */
WISP_API int wisp_npu_core_break(struct wisp_npu_core *core, uint32_t address,
                                 struct wisp_error *err);

enum wisp_npu_status {
    WISP_NPU_DONE,     /* the core executed `done` */
    WISP_NPU_BREAK,    /* a breakpoint */
    WISP_NPU_LIMIT,    /* the cycle limit */
    WISP_NPU_DEADLOCK, /* waits for what nobody will do */
    WISP_NPU_FAULT
};

enum { WISP_NPU_STALLS = 6 };

struct wisp_npu_result {
    enum wisp_npu_status status;
    uint64_t cycles, bundles;          /* since the core was created; the difference is stalls */
    uint64_t stalls[WISP_NPU_STALLS];  /* cycles by cause; wisp_npu_stall_name says which */
    uint32_t pc;                       /* of the next bundle, or of the guilty one */
    char reason[256];                  /* empty when done */
};

/* Go on until done, stopped, or `max_cycles` cycles after now.  Always fills `result`. */
WISP_API void wisp_npu_core_run(struct wisp_npu_core *core, uint64_t max_cycles,
                                struct wisp_npu_result *result);

/* "memory", "lock", "stream_in", ...; NULL past the last.  "done", "breakpoint", "limit", ... */
WISP_API const char *wisp_npu_stall_name(int stall);
WISP_API const char *wisp_npu_status_name(enum wisp_npu_status status);

/* The registers and what is in flight as text, a line each, in a fixed order: made to be compared.
 * wisp_npu_free frees it.  Errors: NOMEM. */
WISP_API int wisp_npu_core_state(const struct wisp_npu_core *core, char **text, size_t *size,
                                 struct wisp_error *err);

/* Call `fn` before every bundle of later runs; NULL: no more. */
WISP_API void wisp_npu_core_trace(struct wisp_npu_core *core,
                                  void (*fn)(void *user, const struct wisp_npu_core *core),
                                  void *user);

/* ------------------------------------------------------------------ kernels
 *
 * The library's own programs for one core.  A run schedules one, calls it on an emulated core with
 * random data in its memory and compares the result with f64 on the same bf16 inputs. */

struct wisp_npu_kernel_run {
    const char *kernel, *shape, *layout; /* constant strings */
    const char *limit;                   /* what bounds the innermost loops: "vec" ... */
    uint64_t cycles, bundles;            /* of the call: from its first bundle to behind the last
                                            delay slot of its return */
    uint64_t stalls[WISP_NPU_STALLS];
    uint64_t bound;               /* cycles that its busiest slot needs */
    double ulp_median, ulp_max;   /* bf16 ulp of max(|ref|, 2^-8 of the row's largest |ref|) */
    double correlation;
    const char *earlier; /* what earlier kernels took on the chip for as much work; NULL: not known */
    uint8_t *program, *before, *after; /* code for program_address; 64 KB of memory at 0x70000, of the
                                          column the bottom's program and X, row-major */
    size_t program_bytes, memory_bytes;
    uint32_t program_address, params; /* p0 at the call */
};

/* The names of the kernels, NULL past the last. */
WISP_API const char *wisp_npu_kernel_name(size_t i);

/* Run the i-th one.  wisp_npu_kernel_run_fini frees what it hands over.  Errors: ARG (there is no
 * i-th), NOMEM, INTERNAL. */
WISP_API int wisp_npu_kernel_measure(struct wisp_npu_kernel_run *out, size_t i,
                                     struct wisp_error *err);
WISP_API void wisp_npu_kernel_run_fini(struct wisp_npu_kernel_run *run);

/* ------------------------------------------------------------------ images */

/* What is loaded into the array or run by its controller.  Immutable once made and usable by any number of
 * threads; the caller closes it. */
struct wisp_npu_image;

enum wisp_npu_image_kind {
    WISP_NPU_IMAGE_PDI,    /* the container of a design: what the driver is given */
    WISP_NPU_IMAGE_CDO,    /* its commands alone */
    WISP_NPU_IMAGE_XCLBIN, /* what XRT loads: PDIs with names */
    WISP_NPU_IMAGE_INSTS   /* an instruction stream: TXN 0.1 or the older form, binary or hexadecimal text */
};

/* Read an image of any of these kinds; the bytes tell which.  Errors: IO, FORMAT (names what is wrong),
 * UNSUPPORTED (an image of another chip or version; an operation that is not known), NOMEM. */
WISP_API int wisp_npu_image_load(struct wisp_npu_image **out, const uint8_t *bytes, size_t size,
                                 struct wisp_error *err);
WISP_API int wisp_npu_image_load_file(struct wisp_npu_image **out, const char *path,
                                      struct wisp_error *err);
WISP_API void wisp_npu_image_close(struct wisp_npu_image **image);

/* The file again, made from what was read: the same bytes, but for streams in the older form and mlir files,
 * which become TXN.  Of an xclbin the PDIs are made again.  wisp_npu_free frees them.  Errors: UNSUPPORTED
 * (transformed PDIs), NOMEM. */
WISP_API int wisp_npu_image_bytes(const struct wisp_npu_image *image, uint8_t **bytes, size_t *size,
                                  struct wisp_error *err);

/* Everything that is inside, one command a line with registers, descriptors and routes by name; or as JSON;
 * with `disassemble` also the programs of the cores.  `params` may be NULL; wisp_npu_free frees *text.
 * Errors: NOMEM. */
struct wisp_npu_list_params {
    bool json, disassemble;
};
WISP_API int wisp_npu_image_list(const struct wisp_npu_image *image,
                                 const struct wisp_npu_list_params *params, char **text,
                                 size_t *size, struct wisp_error *err);

/* ------------------------------------------------------------------ devices
 *
 * A device runs designs.  "emu" is an emulated array of 4 columns that is made of what documents and
 * measurements say about the chip (src/npu/emu/timing.h); what they do not say ends a run as a fault
 * that names tile and register.  Results and cycles depend neither on the host nor on the number of
 * its threads.  A device and its buffers are used by one thread at a time. */

struct wisp_npu_device;

/* 0 in a number: the default. */
struct wisp_npu_device_params {
    int n_threads;          /* of the host; one per CPU, at most 8 */
    const char *cpu;        /* level of vector loops as in wisp_model_params */
    bool start_at_load;     /* emu: cores run as soon as a design is loaded, not at the first submission */
    uint64_t max_cycles;    /* emu: a wait gives up after so many */
    unsigned read_rate;     /* emu: host memory to a shim channel, words of 4 bytes per 1024 cycles (973) */
    unsigned write_rate;    /* emu: the other way (1024) */
    unsigned all_read_rate; /* emu: of all channels together (no limit; nobody measured one) */
    unsigned all_write_rate;
    unsigned read_latency;   /* emu: cycles to a task's first word (325) */
    unsigned jitter;         /* emu: at most so many cycles more for each 64 words, by a fixed rule (none) */
    unsigned scatter_cycles; /* emu: of a memory tile's write of less than 16 bytes (1) */
};
WISP_API void wisp_npu_device_params_init(struct wisp_npu_device_params *params);

/* `name`: "emu"; `params` may be NULL.  Errors: ARG (no such device; names those there are), DEVICE,
 * NOMEM. */
WISP_API int wisp_npu_device_open(struct wisp_npu_device **out, const char *name,
                                  const struct wisp_npu_device_params *params,
                                  struct wisp_error *err);
/* After the device's buffers were destroyed. */
WISP_API void wisp_npu_device_close(struct wisp_npu_device **device);

struct wisp_npu_caps {
    const char *name;
    bool emulated;
    int n_cols, n_cores;
    unsigned clock_khz, max_arguments;
};
WISP_API void wisp_npu_device_get_caps(const struct wisp_npu_device *device,
                                       struct wisp_npu_caps *caps);

/* Load the i-th design of an image, a PDI, CDO or xclbin; what was loaded before is gone.  Errors: ARG (no
 * such design; not such an image), DEVICE (a command that the device refuses), NOMEM. */
WISP_API int wisp_npu_device_load(struct wisp_npu_device *device,
                                  const struct wisp_npu_image *image, size_t i,
                                  struct wisp_error *err);

/* Memory that the host sees and the device has a copy of; zeros at first on the host's side, undefined
 * on the device's.  Errors: NOMEM, DEVICE. */
struct wisp_npu_buffer;
WISP_API int wisp_npu_buffer_create(struct wisp_npu_buffer **out, struct wisp_npu_device *device,
                                    size_t size, struct wisp_error *err);
WISP_API void wisp_npu_buffer_destroy(struct wisp_npu_buffer **buffer);
WISP_API void *wisp_npu_buffer_data(struct wisp_npu_buffer *buffer);

/* Copy a part to the device before a submission, or from it after.  Errors: ARG (not in the buffer),
 * DEVICE. */
enum wisp_npu_direction { WISP_NPU_TO_DEVICE, WISP_NPU_FROM_DEVICE };
WISP_API int wisp_npu_buffer_sync(struct wisp_npu_buffer *buffer, enum wisp_npu_direction direction,
                                  size_t offset, size_t size, struct wisp_error *err);

/* Start an instruction stream (an image of kind INSTS) on the loaded design.  args[i] is what the stream
 * calls argument i; a NULL buffer is none.  The arguments' buffers stay in use until wisp_npu_wait
 * succeeds.  Errors: ARG, DEVICE, NOMEM. */
struct wisp_npu_argument {
    struct wisp_npu_buffer *buffer;
    uint64_t offset; /* bytes */
};
WISP_API int wisp_npu_submit(struct wisp_npu_device *device, const struct wisp_npu_image *insts,
                             const struct wisp_npu_argument *args, size_t n_args,
                             struct wisp_error *err);

/* Wait for its end, at most so long in the device's time.  Errors: TIMEOUT (wait again to go on), DEVICE
 * (a fault, a deadlock; the message names the tile), ARG (nothing was submitted). */
WISP_API int wisp_npu_wait(struct wisp_npu_device *device, double seconds, struct wisp_error *err);

/* How the last submission went. */
struct wisp_npu_report {
    enum wisp_npu_status status; /* DONE, LIMIT, DEADLOCK or FAULT */
    uint64_t cycles;             /* of the array, from submission to the stream's end */
    double us;                   /* the same as time */
    int col, row;                /* of the tile that `reason` is about; -1: of none */
    char reason[512];
};
WISP_API void wisp_npu_device_report(const struct wisp_npu_device *device,
                                     struct wisp_npu_report *report);

/* Counters since the design was loaded, of the i-th core and the i-th DMA channel; false past the
 * last.  A core that never ran has 0 cycles. */
struct wisp_npu_tile {
    int col, row;
    uint64_t cycles, busy; /* busy: bundles issued; the rest are stalls */
    uint64_t stalls[WISP_NPU_STALLS];
};
WISP_API bool wisp_npu_device_tile(const struct wisp_npu_device *device, int i,
                                   struct wisp_npu_tile *tile);
struct wisp_npu_channel {
    int col, row, channel;
    bool mm2s; /* memory to stream */
    uint64_t words, descriptors, tasks;
    uint64_t lock, stream, memory; /* cycles stalled */
};
WISP_API bool wisp_npu_device_channel(const struct wisp_npu_device *device, int i,
                                      struct wisp_npu_channel *channel);

/* Everything that waits, and for what: a line each.  wisp_npu_free frees it.  Errors: NOMEM. */
WISP_API int wisp_npu_device_explain(const struct wisp_npu_device *device, char **text,
                                     struct wisp_error *err);

/* Call `fn` for everything that takes time in later submissions, when it ends; NULL: no more. */
enum wisp_npu_lane {
    WISP_NPU_LANE_CORE,
    WISP_NPU_LANE_S2MM,
    WISP_NPU_LANE_MM2S,
    WISP_NPU_LANE_CONTROLLER
};
struct wisp_npu_span {
    enum wisp_npu_lane lane;
    int col, row, channel;
    const char *what; /* "running", "transfer", "lock", "stream_in" ... */
    int descriptor;   /* -1: none */
    uint64_t start, end;
};
WISP_API void wisp_npu_device_trace(struct wisp_npu_device *device,
                                    void (*fn)(void *user, const struct wisp_npu_span *span),
                                    void *user);

/* Free what the calls above handed over; NULL is allowed. */
WISP_API void wisp_npu_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
