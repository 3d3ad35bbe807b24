/* DMA descriptors: their words to and from named fields.  Pure functions, thread-safe. */
#ifndef WISP_SRC_NPU_ISA_BD_H
#define WISP_SRC_NPU_ISA_BD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "npu/isa/map.h"

/* What each field means is told in aie2_bd.def. */
enum wi_bd_field {
    WI_BD_LENGTH,
    WI_BD_BASE,
    WI_BD_STEP0,
    WI_BD_STEP1,
    WI_BD_STEP2,
    WI_BD_STEP3,
    WI_BD_WRAP0,
    WI_BD_WRAP1,
    WI_BD_WRAP2,
    WI_BD_BEFORE0,
    WI_BD_BEFORE1,
    WI_BD_BEFORE2,
    WI_BD_AFTER0,
    WI_BD_AFTER1,
    WI_BD_AFTER2,
    WI_BD_ITER_STEP,
    WI_BD_ITER_WRAP,
    WI_BD_ITER_NOW,
    WI_BD_ACQ,
    WI_BD_ACQ_ID,
    WI_BD_ACQ_VALUE,
    WI_BD_REL_ID,
    WI_BD_REL_VALUE,
    WI_BD_VALID,
    WI_BD_USE_NEXT,
    WI_BD_NEXT,
    WI_BD_NO_TLAST,
    WI_BD_PACKET,
    WI_BD_PACKET_ID,
    WI_BD_PACKET_TYPE,
    WI_BD_OOO_ID,
    WI_BD_COMPRESS,
    WI_BD_SECURE,
    WI_BD_BURST,
    WI_BD_AXI_QOS,
    WI_BD_AXI_CACHE,
    WI_BD_SMID,
    WI_BD_N_FIELDS
};

enum { WI_BD_MAX_WORDS = 8, WI_BD_STRIDE = 0x20 /* bytes from one descriptor to the next */ };

/* Field values as the hardware has them (steps - 1 and so on); the two lock values are signed.  0
 * in fields that the kind of tile has not. */
struct wi_bd {
    int64_t v[WI_BD_N_FIELDS];
};

/* 6 words in compute tiles, 8 in the others; how many descriptors a tile has. */
int wi_bd_words(enum wi_tile_kind kind);
int wi_bd_count(enum wi_tile_kind kind);

/* False when bits are set that belong to no field; the fields are filled in all the same. */
bool wi_bd_unpack(enum wi_tile_kind kind, const uint32_t *words, struct wi_bd *bd);

/* False, and *field says which, when a value does not fit its field or the tile has no such field.
 */
bool wi_bd_pack(enum wi_tile_kind kind, const struct wi_bd *bd, uint32_t words[WI_BD_MAX_WORDS],
                enum wi_bd_field *field);

/* "base", "step0" ... */
const char *wi_bd_field_name(enum wi_bd_field field);

/* One line, for example "2048 words at 0x8400, acquire lock0 >= 1, release lock1 +1, then bd1",
 * like snprintf. */
int wi_bd_print(enum wi_tile_kind kind, const struct wi_bd *bd, char *buf, size_t size);

#endif
