/* Every constant of the array's timing, with its source.  Unit: cycles of the array's clock unless
 * a name says otherwise.  HW: measured on a Phoenix by others; DOC: AM020 or vendor headers; MODEL:
 * a vendor simulator's constant or a deduction that nobody checked on silicon.  "ref" is the array
 * reference's section.  Constants only, thread-safe. */
#ifndef WISP_SRC_NPU_EMU_TIMING_H
#define WISP_SRC_NPU_EMU_TIMING_H

enum {
    WI_T_CLOCK_KHZ = 1028000, /* HW: Phoenix, default and performance mode; ref 1.3 */

    /* Stream switch ports: cycles from entering a port to being able to leave it, words it holds.
     * DOC: AM020 ch. 2; ref 6.7. */
    WI_T_SLAVE = 2,
    WI_T_SLAVE_WORDS = 4,
    WI_T_LOCAL_MASTER = 1,
    WI_T_LOCAL_MASTER_WORDS = 2,
    WI_T_FAR_MASTER = 2,
    WI_T_FAR_MASTER_WORDS = 4,
    WI_T_FIFO_WORDS = 16,   /* DOC: the FIFO ports; ref 9.3 #43 */
    WI_T_ARBITRATE = 1,     /* MODEL: a packet's way through an arbiter; ref 9.3 #44 */
    WI_T_CORE_IN_WORDS = 4, /* MODEL: buffers of a core's stream ports; ref 3.7 */
    WI_T_CORE_OUT_WORDS = 2,
    WI_T_CASCADE_WORDS = 4, /* DOC: 2 at the output and 2 at the input of the next; ref 9.1 #14 */

    /* DMA of compute and memory tiles; ref 9.2. */
    WI_T_CHANNEL_START = 2, /* MODEL: from the queue to the first descriptor; #25 */
    WI_T_DESCRIPTOR = 4,    /* MODEL: reading a task's first descriptor; #25 */
    WI_T_CHAIN = 2,         /* MODEL: to the next one, behind the transfer of the last; #26 */
    WI_T_MEMORY = 5,        /* MODEL: from an MM2S channel's access to its words; #25 */
    WI_T_MM2S_WORDS = 12,   /* DOC (device model): the FIFO to the stream; #30 */
    WI_T_S2MM_WORDS = 16,   /* HW: 15 to 16 words enter while a lock is waited for; #28 */
    WI_T_QUEUE_TASKS = 4,   /* HW, DOC: #34 */
    WI_T_TOKENS = 128,      /* DOC (device model): tokens that wait in a channel; #35 */
    WI_T_DMA_TO_CORE = 15,  /* HW: from an S2MM's last word to the core's acquire; #13 */
    WI_T_URGENT_FULL = 12,  /* MODEL: S2MM words from which it goes before the core; ref 3.2 */
    WI_T_URGENT_EMPTY = 1,  /* MODEL: MM2S words up to which it goes before the core */

    /* Shim and host memory; ref 7, 9.4. */
    WI_T_SHIM_MM2S_WORDS = 256,  /* DOC (device model): words read ahead */
    WI_T_SHIM_S2MM_WORDS = 64,   /* DOC (device model) */
    WI_T_RATE_ONE = 1024,        /* rates are in words per WI_T_RATE_ONE cycles */
    WI_T_READ_RATE = 973,        /* HW: 0.95 words a cycle and channel; #50 */
    WI_T_WRITE_RATE = 1024,      /* HW: 1.00; #50 */
    WI_T_READ_LATENCY = 325,     /* MODEL (fit): a task's fixed part; #52 */
    WI_T_READ_COLD = 1330,       /* MODEL (fit): added to a channel's first task of a sequence, */
    WI_T_READ_COLD_PERCENT = 31, /* and so much of the last addition to each later one; #53 */
    WI_T_WRITE_LATENCY = 179,    /* MODEL (fit): from the last word to the end of a task; #52 */
    WI_T_WRITE_COLD = 341,       /* MODEL (fit): added to a channel's first task; #53 */
    WI_T_JITTER_WORDS = 64,      /* a draw of jitter (a parameter, 0 by default) for each burst */

    /* The controller; ref 8.3, 9.4 #55 to #58. */
    WI_T_LAUNCH = 30500,  /* HW: cores start to first operation, typical of 24000..40000 */
    WI_T_WRITE_EVEN = 87, /* HW: register writes alternate */
    WI_T_WRITE_ODD = 114,
    WI_T_MASK_WRITE = 210, /* HW; a poll's round is taken to be the same */
    WI_T_BLOCK = 100,      /* HW: 203 for 8 words */
    WI_T_BLOCK_WORD = 13,
    WI_T_PATCH = 2390,      /* deduced: tasks start 2700 apart, of which 310 are its writes */
    WI_T_TOKEN_WAIT = 8000, /* HW: the first wait of a sequence, after its token; later ones 0 */
    WI_T_NOP = 1,

    /* How far cores run ahead of the rest of the array: no fact of the chip.  While something moves
     * in the array, and while nothing does. */
    WI_T_WINDOW = 128,
    WI_T_WINDOW_IDLE = 1024
};

#endif
