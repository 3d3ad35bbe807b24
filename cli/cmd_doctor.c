/* wisp doctor: what of this machine wisp can use, and the cure for what it cannot. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "doctor.h"

struct options {
    bool help;
};
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", offsetof(struct options, help), 0, 0},
    OPT_END};
/* clang-format on */

/* The model name of the first processor in /proc/cpuinfo. */
static void print_cpu_name(FILE *f) {
    char line[256];
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            fprintf(f, "  processor      %s", colon + 2);
            break;
        }
    }
    if (info)
        fclose(info);
}

void doctor_cpu(FILE *f) {
    struct wisp_cpu_feature feature;
    struct wisp_kernel_row row;
    struct wisp_error err = {0};
    const char *level = NULL;
    fprintf(f, "CPU\n");
    print_cpu_name(f);
    fprintf(f, "  CPUs online    %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; wisp_cpu_feature_get(i, &feature); i++)
        fprintf(f, "  %-14s %s\n", feature.name,
                feature.present ? "yes" : "no (not in this CPU, or not enabled by the system)");
    fprintf(f, "\nKernels\n");
    if (wisp_cpu_level(NULL, &level, &err) != 0) {
        fprintf(f, "  level          %s\n", err.text);
        return;
    }
    const char *forced = getenv("WISP_CPU");
    fprintf(f, "  level          %s%s\n", level,
            forced && *forced ? " (forced by WISP_CPU; unset it for the best one)"
                              : " (the best one here; WISP_CPU forces another)");
    for (size_t i = 0; wisp_cpu_kernel_get(NULL, i, &row, &err); i++)
        fprintf(f, "  %-14s %s\n", row.kernel, row.level);
}

int cmd_doctor(int argc, char **argv) {
    struct options o = {0};
    struct strings operands = {0};
    enum cli_exit code = CLI_DONE;
    if (!args_parse(argc, argv, table, &o, &operands)) {
        code = CLI_USAGE;
    } else if (o.help) {
        printf("usage: wisp doctor\n\nReports what wisp finds on this machine: CPU, kernels, NPU.\n"
               "It is a report, not a test, and always exits 0.\n");
        args_help(stdout, table);
    } else if (operands.n) {
        cli_say("doctor takes no arguments, not '%s'", operands.v[0]);
        code = CLI_USAGE;
    } else {
        printf("wisp %s\n\n", wisp_version());
        doctor_cpu(stdout);
        doctor_npu(stdout, "");
    }
    free(operands.v);
    return (int)code;
}
