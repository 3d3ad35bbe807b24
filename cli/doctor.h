/* Looks at the machine and reports what wisp finds, each lack with its cure.  Owns nothing; reads
 * the system's files only.  Not thread-safe (getgrgid). */
#ifndef WISP_CLI_DOCTOR_H
#define WISP_CLI_DOCTOR_H

#include <stdio.h>

/* CPU features and the level of every kernel. */
void doctor_cpu(FILE *f);

/* The XDNA1 NPU: PCI device, driver, device node, permissions, locked memory.  `root` is put before
 * /sys, /dev and /lib ("" on a real machine; tests give a folder). */
void doctor_npu(FILE *f, const char *root);

#endif
