#include <wisp/wisp.h>

const char *wisp_version(void) { return WISP_VERSION; }
