/* How fast this machine's memory can be read: what bounds the decoder.  Thread-safe. */
#ifndef WISP_CLI_MEMORY_READ_H
#define WISP_CLI_MEMORY_READ_H

/* 10^9 bytes a second of a loop on `threads` threads that does nothing else; NAN when it cannot run. */
double memory_read_gb_s(int threads);

#endif
