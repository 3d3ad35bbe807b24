/* What the cores of a column run: one program for each place in the cascade, with all routines of
 * an encoder layer.  Constant tables, thread-safe. */
#ifndef WISP_SRC_NPU_KERNELS_ROLES_H
#define WISP_SRC_NPU_KERNELS_ROLES_H

#include "npu/asm/link.h"
#include "npu/kernels/gemm.h"

/* The routines, in the order of struct wi_linked. */
enum wi_role_routine {
    WI_ROLE_TAKE,    /* p0 = a unit: keeps its head and, at the top, its biases */
    WI_ROLE_ACQUIRE, /* p0 = WI_ROLE_LOCK(lock, n) */
    WI_ROLE_RELEASE,
    WI_ROLE_GEMM, /* streamed */
    WI_ROLE_ATTENTION_START,
    WI_ROLE_ATTENTION_SCORES,
    WI_ROLE_ATTENTION_REFERENCE,
    WI_ROLE_ATTENTION_MASK,
    WI_ROLE_ATTENTION_VALUES,
    WI_ROLE_ATTENTION_FINISH,
    WI_ROLE_GELU,
    WI_ROLE_LAYERNORM_SUMS,
    WI_ROLE_LAYERNORM_APPLY,
    WI_ROLE_LAYERNORM_F32,
    WI_ROLE_LAYERNORM_SCALES, /* at the bottom from sums; else from the core below */
    WI_ROLE_ROUTINES
};

/* Of a program, so that memory is left for what else comes. */
enum { WI_ROLE_BYTES = 14336 };

/* n of a lock, by its number in the tile, as the params of a command. */
#define WI_ROLE_LOCK(lock, n) (64u * (uint32_t)(n) + WI_LOCK_OWN + (uint32_t)(lock))

/* Where things are in a core's memory, as itself sees them: panels at the start of each 4 KB,
 * pieces in their last quarters.  A job's A may be in both halves, that of the next job in the
 * other one. */
enum {
    WI_ROLE_MEMORY = 0x70000,
    WI_ROLE_A = WI_ROLE_MEMORY, /* and + 0x8000 */
    WI_ROLE_A_OTHER = 0x8000,
    WI_ROLE_RING = WI_ROLE_MEMORY + 0x0c00, /* and + WI_GEMM_RING: a unit's 4 pieces */
    WI_ROLE_R = WI_ROLE_MEMORY + 0x4c00,    /* 3 pieces */
    WI_ROLE_HEAD = WI_ROLE_MEMORY + 0x7f00, /* of the unit taken last */
    WI_ROLE_BIAS = WI_ROLE_MEMORY + 0xcc00, /* 2 pieces, at the top */
    WI_ROLE_C = WI_ROLE_MEMORY + 0xcc00     /* 4 pieces, at the bottom */
};

/* A unit that brings commands: 256 bytes of commands and what they point to, in the place that they
 * will have; biases of a job of up to 512 columns in its last two pieces. */
enum {
    WI_ROLE_UNIT_BYTES = 4096,
    WI_ROLE_HEAD_BYTES = 256,
    WI_ROLE_UNIT_BIAS = 2048,
    WI_ROLE_MAX_PANELS = 32
};

/* A head of one GEMM job. */
struct wi_role_gemm_head {
    struct wi_command commands[4]; /* take A, panels, give A, end */
    struct wi_gemm_job job;
    struct wi_gemm_turn turns[WI_GEMM_TURNS];
    uint8_t zero[32];
};

/* What a job is: the core's role, its K on this core, panels, where its A is, which ring place (0
 * or 1) its own unit has, which of 4 panels has R here (-1: none). */
struct wi_role_gemm {
    enum wi_gemm_role role;
    int k, panels, a, place, own;
};
/* `linked`: the core's program.  False when k or panels cannot be. */
bool wi_role_gemm_head(struct wi_role_gemm_head *head, const struct wi_role_gemm *job,
                       const struct wi_linked *linked);

/* What wi_link needs. */
struct wi_resident wi_role_resident(void);

const struct wi_routine *wi_role_routines(enum wi_gemm_role role, int *n);

#endif
