/* wisp npu image: what is inside a PDI, a CDO, an xclbin or an instruction stream. */
#include "npu.h"

#include <wisp/wisp_npu.h>

#include "outfile.h"

static enum cli_exit rewrite(const struct wisp_npu_image *image, const char *path) {
    struct wisp_error err = {0};
    uint8_t *bytes;
    size_t size;
    if (wisp_npu_image_bytes(image, &bytes, &size, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = outfile_write(path, bytes, size);
    wisp_npu_free(bytes);
    return code;
}

static enum cli_exit list(const struct wisp_npu_image *image, const struct npu_options *o) {
    const struct wisp_npu_list_params params = {.json = o->json, .disassemble = o->disassemble};
    struct wisp_error err = {0};
    char *text;
    size_t size;
    if (wisp_npu_image_list(image, &params, &text, &size, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = outfile_write(o->output ? o->output : "-", text, size);
    wisp_npu_free(text);
    return code;
}

enum cli_exit npu_image(const struct npu_options *o, const char *file) {
    struct wisp_npu_image *image;
    struct wisp_error err = {0};
    if (wisp_npu_image_load_file(&image, file, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = o->rewrite ? rewrite(image, o->rewrite) : list(image, o);
    wisp_npu_image_close(&image);
    return code;
}
