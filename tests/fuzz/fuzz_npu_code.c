/* Raw code: any bytes unpack without reading past them, pack to the same bytes unless stray bits
 * were there, and come back from both kinds of listing. */
#include <string.h>

#include <wisp/wisp_npu.h>

#include "fuzz_files.h"
#include "npu/isa/isa.h"

static void check_bundle(const uint8_t *bytes, size_t n) {
    struct wi_isa_bundle b;
    struct wi_isa_access accesses[WI_ISA_MAX_ACCESSES];
    struct wi_isa_port_use ports[WI_ISA_MAX_PORTS];
    uint8_t packed[WI_ISA_MAX_BYTES];
    char text[WI_ISA_MAX_TEXT];
    int size = wi_isa_unpack(&b, bytes, n);
    if (size < 0)
        return;
    NEED(wi_isa_pack(&b, packed) == size);
    NEED(b.stray || memcmp(packed, bytes, (size_t)size) == 0);
    NEED(wi_isa_print(&b, NULL, text, sizeof text) < (int)sizeof text);
    for (int slot = 0; slot < WI_N_SLOTS; slot++) {
        int n_accesses = wi_isa_accesses(&b.op[slot], accesses);
        NEED(n_accesses < WI_ISA_MAX_ACCESSES &&
             wi_isa_ports(&b.op[slot], ports) < WI_ISA_MAX_PORTS);
        for (int i = 0; i < n_accesses; i++)
            NEED(accesses[i].unit + accesses[i].n_units <= WI_N_UNITS && accesses[i].stage > 0);
    }
}

static void check_listing(const uint8_t *bytes, size_t n, bool plain) {
    struct wisp_npu_load_params params = {.raw = true, .base = 0x40};
    struct wisp_npu_program *program, *again;
    char *text;
    uint8_t *back;
    size_t size;
    NEED(wisp_npu_load(&program, bytes, n, &params, NULL) == WISP_OK);
    NEED(wisp_npu_disassemble(program, plain, &text, &size, NULL) == WISP_OK);
    NEED(wisp_npu_assemble(&again, text, size, "fuzz", NULL) == WISP_OK);
    wisp_npu_free(text);
    NEED(wisp_npu_program_bytes(again, false, &back, &size, NULL) == WISP_OK);
    NEED(size == n && memcmp(back, bytes, n) == 0);
    wisp_npu_free(back);
    wisp_npu_program_close(&program);
    wisp_npu_program_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size && i < 64; i++)
        check_bundle(data + i, size - i);
    if (size > 1024)
        size = 1024; /* longer code shows nothing new */
    if (size) {
        check_listing(data, size, false);
        check_listing(data, size, true);
    }
    return 0;
}
