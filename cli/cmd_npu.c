/* wisp npu: tools for programs of the XDNA1 NPU's cores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "npu.h"

#define AT(member) offsetof(struct npu_options, member)
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_STRING, "-o", "--output", "FILE", "as, dis, image, trace: the file to write, - for standard output (default but of as)", AT(output), 0, 0},
    {OPT_ON, NULL, "--raw", NULL, "dis, check, run: FILE is nothing but code", AT(raw), 0, 0},
    {OPT_STRING, NULL, "--base", "ADDR", "with --raw: address of the first byte (default: 0)", AT(base), 0, 0},
    {OPT_ON, NULL, "--plain", NULL, "dis: text only, without addresses and bytes", AT(plain), 0, 0},
    {OPT_ON, NULL, "--proof", NULL, "dis: comments on instructions that no outside program or measurement proves", AT(proof), 0, 0},
    {OPT_ON, NULL, "--elf", NULL, "as: write an ELF file instead of the code's bytes", AT(elf), 0, 0},
    {OPT_ON, NULL, "--check", NULL, "as: write nothing when the code has hazards", AT(check), 0, 0},
    {OPT_STRING, NULL, "--entry", "ADDR", "check, run: where the code is entered (default: where the file says, else its start)", AT(entry), 0, 0},
    {OPT_ON, NULL, "--notes", NULL, "check: also what is legal but easily a mistake, as reads of old values", AT(notes), 0, 0},
    {OPT_ON, NULL, "--core", NULL, "run: FILE is one core's program", AT(core), 0, 0},
    {OPT_LIST, NULL, "--mem", "ADDR=FILE", "run: fill the core's data memory, 0x70000 to 0x7ffff", AT(mem), 0, 0},
    {OPT_LIST, NULL, "--dump", "ADDR:LEN=FILE", "run: write data memory to a file at the end", AT(dump), 0, 0},
    {OPT_LIST, NULL, "--reg", "REG=VALUE", "run: start with this in a register", AT(reg), 0, 0},
    {OPT_LIST, NULL, "--lock", "ID=VALUE", "run: start with this in a lock, 48 to 63 being the core's own", AT(lock), 0, 0},
    {OPT_LIST, NULL, "--break", "ADDR", "run: stop before the bundle at this address and print all registers", AT(breaks), 0, 0},
    {OPT_STRING, NULL, "--max-cycles", "N", "run: stop after so many cycles (default: with --core 100 million, else none)", AT(max_cycles), 0, 0},
    {OPT_STRING, NULL, "--insts", "FILE", "run, trace: the instruction stream (default: npu_insts.mlir beside the image)", AT(insts), 0, 0},
    {OPT_LIST, NULL, "--arg", "N=FILE", "run, trace: fill the stream's argument N, counted from 0; N=:BYTES gives zeros", AT(arg), 0, 0},
    {OPT_LIST, NULL, "--out", "N=FILE[:BYTES]", "run, trace: write argument N to a file at the end", AT(out), 0, 0},
    {OPT_STRING, NULL, "--threads", "N", "run, trace: threads of the host (default: one per CPU)", AT(threads), 0, 0},
    {OPT_STRING, NULL, "--start", "WHEN", "run, trace: when enabled cores begin, at load or with the first run (default: run)", AT(start), 0, 0},
    {OPT_STRING, NULL, "--state", "FILE", "run: write all registers before every bundle", AT(state), 0, 0},
    {OPT_ON, NULL, "--sim", NULL, "bench: the speed of the emulated core", AT(sim), 0, 0},
    {OPT_STRING, NULL, "--save", "DIR", "bench: write each kernel's program, and memory before and after", AT(save), 0, 0},
    {OPT_ON, NULL, "--json", NULL, "run, trace, bench, image: print JSON", AT(json), 0, 0},
    {OPT_ON, "-d", "--disassemble", NULL, "image: also the cores' programs as text", AT(disassemble), 0, 0},
    {OPT_STRING, NULL, "--rewrite", "FILE", "image: write it again from what was read", AT(rewrite), 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", AT(help), 0, 0},
    OPT_END};
/* clang-format on */

static const struct action {
    const char *name;
    enum cli_exit (*run)(const struct npu_options *o, const char *file);
    int min, max; /* names that it takes */
} actions[] = {{"dis", npu_dis, 1, 1},
               {"as", npu_as, 1, 1},
               {"check", npu_check, 1, 1},
               {"run", npu_run, 1, 1},
               {"trace", npu_trace, 1, 1},
               {"bench", npu_bench, 0, 1},
               {"image", npu_image, 1, 1}};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static void print_help(void) {
    printf("usage: wisp npu dis FILE          a core's program (ELF, or raw code) as text\n"
           "       wisp npu as FILE -o OUT    such text as code, byte for byte\n"
           "       wisp npu check FILE        hazards of a program, on every path\n"
           "       wisp npu run --core FILE   a program on one emulated core\n"
           "       wisp npu run IMAGE         a design (PDI or xclbin) on the emulated array\n"
           "       wisp npu trace IMAGE -o F  the same with a timeline for Perfetto\n"
           "       wisp npu bench [KERNEL]    cycles and accuracy of this library's kernels\n"
           "       wisp npu bench --sim       the emulated core's and array's speed\n"
           "       wisp npu image FILE        a PDI, CDO, xclbin or instruction stream\n"
           "FILE may be - for standard input.\n");
    args_help(stdout, table);
}

bool npu_address(const char *name, const char *text, unsigned *out) {
    char *end;
    bool hex = text[0] == '0' && text[1] == 'x';
    unsigned long long n = strtoull(text, &end, hex ? 16 : 10);
    bool ok = text[0] >= '0' && text[0] <= '9' && !*end && n <= 0xffffffff;
    if (!ok)
        cli_say("%s needs an address, as 64 or 0x40, not '%s'", name, text);
    *out = (unsigned)n;
    return ok;
}

static const struct action *find_action(const char *name) {
    const char *names[N_ACTIONS + 1] = {NULL};
    for (int i = 0; i < N_ACTIONS; i++) {
        names[i] = actions[i].name;
        if (strcmp(name, names[i]) == 0)
            return &actions[i];
    }
    const char *nearest = args_nearest(name, names);
    cli_say("there is no 'wisp npu %s'; %s%s%s'wisp npu --help' lists what there is", name,
            nearest ? "did you mean '" : "", nearest ? nearest : "", nearest ? "'? " : "");
    return NULL;
}

static enum cli_exit act(const struct npu_options *o, const struct strings *operands) {
    if (operands->n == 0) {
        cli_say("npu needs to know what to do: dis, as, check, run, trace or image FILE, or bench");
        return CLI_USAGE;
    }
    const struct action *action = find_action(operands->v[0]);
    if (!action)
        return CLI_USAGE;
    int n = (int)operands->n - 1;
    if (n < action->min || n > action->max) {
        cli_say("'wisp npu %s' takes %s", action->name,
                action->min ? "one file, - for standard input" : "at most one name");
        return CLI_USAGE;
    }
    return action->run(o, operands->n > 1 ? operands->v[1] : NULL);
}

int cmd_npu(int argc, char **argv) {
    struct npu_options o = {0};
    struct strings operands = {0};
    enum cli_exit code = CLI_USAGE;
    if (args_parse(argc, argv, table, &o, &operands)) {
        if (o.help) {
            print_help();
            code = CLI_DONE;
        } else {
            code = act(&o, &operands);
        }
    }
    free(operands.v);
    free(o.mem.v);
    free(o.dump.v);
    free(o.reg.v);
    free(o.lock.v);
    free(o.arg.v);
    free(o.out.v);
    free(o.breaks.v);
    return (int)code;
}
