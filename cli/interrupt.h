/* Turns SIGINT, SIGTERM and SIGHUP into a flag that long work polls; the second signal ends the
 * program at once.  The flag is the program's only mutable global and may be read by any thread. */
#ifndef WISP_CLI_INTERRUPT_H
#define WISP_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on a signal sets the flag.  One that the program was started to ignore (nohup) stays
 * ignored. */
void interrupt_catch(void);

/* From now on a signal ends the program with CLI_INTERRUPTED: for work that cannot poll and has
 * nothing to lose. */
void interrupt_quit(void);

bool interrupted(void);

#endif
