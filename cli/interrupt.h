/* Turns SIGINT and SIGTERM into a flag that long work polls; the second signal ends the program at
 * once.  The flag is the program's only mutable global and may be read by any thread. */
#ifndef WISP_CLI_INTERRUPT_H
#define WISP_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
bool interrupted(void);

#endif
