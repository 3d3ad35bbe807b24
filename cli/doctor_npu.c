#include "doctor.h"

#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* PCI vendor AMD, device of the XDNA1 NPU in Phoenix and Hawk Point (Ryzen 7040, 8040, 200). */
static const char vendor_amd[] = "0x1022", device_npu1[] = "0x1502";

/* The first line of a small file without its newline; "" when it cannot be read. */
static void read_line(char *buf, int size, const char *dir, const char *name) {
    char path[PATH_MAX + 16];
    buf[0] = '\0';
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (f && fgets(buf, size, f))
        buf[strcspn(buf, "\n")] = '\0';
    else
        buf[0] = '\0';
    if (f)
        fclose(f);
}

static bool is_npu1(const char *device_dir) {
    char vendor[16], device[16];
    read_line(vendor, sizeof vendor, device_dir, "vendor");
    read_line(device, sizeof device, device_dir, "device");
    return strcmp(vendor, vendor_amd) == 0 && strcmp(device, device_npu1) == 0;
}

/* The first path that matches `pattern` below `root` and, if asked, has the NPU's PCI id. */
static bool find(char *path, size_t size, const char *root, const char *pattern,
                 const char *id_dir) {
    char full[PATH_MAX], dir[PATH_MAX];
    glob_t found = {0};
    bool ok = false;
    snprintf(full, sizeof full, "%s%s", root, pattern);
    if (glob(full, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !ok; i++) {
            snprintf(dir, sizeof dir, "%s%s", found.gl_pathv[i], id_dir);
            ok = is_npu1(dir);
            if (ok)
                snprintf(path, size, "%s", found.gl_pathv[i]);
        }
    globfree(&found);
    return ok;
}

/* One finding; `cure` NULL when there is nothing to do. */
static void row(FILE *f, const char *what, const char *finding, const char *cure) {
    fprintf(f, "  %-14s %s\n", what, finding);
    if (cure)
        fprintf(f, "  %-14s cure: %s\n", "", cure);
}

static bool exists(const char *root, const char *name) {
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", root, name);
    return stat(path, &st) == 0;
}

static void report_driver(FILE *f, const char *root) {
    char version[64], dir[PATH_MAX], text[128];
    if (!exists(root, "/sys/module/amdxdna")) {
        row(f, "driver", "amdxdna is not loaded",
            "'sudo modprobe amdxdna'; Linux has it from 6.14 on");
        return;
    }
    snprintf(dir, sizeof dir, "%s/sys/module/amdxdna", root);
    read_line(version, sizeof version, dir, "version");
    snprintf(text, sizeof text, "amdxdna is loaded%s%s", *version ? ", version " : "", version);
    row(f, "driver", text, NULL);
}

static void report_firmware(FILE *f, const char *root) {
    if (exists(root, "/lib/firmware/amdnpu/1502_00"))
        row(f, "firmware", "/lib/firmware/amdnpu/1502_00", NULL);
    else
        row(f, "firmware", "/lib/firmware/amdnpu/1502_00 is missing",
            "install a recent linux-firmware package");
}

/* Whether this process may open the node, and by which group it could. */
static void report_access(FILE *f, const char *node) {
    char finding[256], cure[256];
    struct stat st;
    if (access(node, R_OK | W_OK) == 0) {
        row(f, "permission", "this user may open the node", NULL);
        return;
    }
    int errnum = errno;
    const struct group *group = stat(node, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    const char *name = group ? group->gr_name : "render";
    snprintf(finding, sizeof finding, "%s; the node belongs to the group %s", strerror(errnum),
             name);
    snprintf(cure, sizeof cure, "'sudo usermod -aG %s $USER', then log in again", name);
    row(f, "permission", finding, cure);
}

static void report_node(FILE *f, const char *root) {
    char class_dir[PATH_MAX], node[PATH_MAX];
    if (!find(class_dir, sizeof class_dir, root, "/sys/class/accel/accel*", "/device")) {
        row(f, "device node", "no /dev/accel/accel* of the NPU",
            "load the driver; 'sudo dmesg | grep amdxdna' shows what it says");
        return;
    }
    snprintf(node, sizeof node, "%s/dev/accel/%s", root, strrchr(class_dir, '/') + 1);
    if (access(node, F_OK) != 0) {
        row(f, "device node", "the driver has the NPU, but its node in /dev/accel is missing",
            "in a container: pass it with --device /dev/accel");
        return;
    }
    row(f, "device node", node, NULL);
    report_access(f, node);
}

/* The user's groups; device nodes of accelerators belong to `render` on most systems. */
static void report_groups(FILE *f) {
    gid_t ids[256];
    char text[1024] = "", number[16];
    bool may = geteuid() == 0;
    int n = getgroups(256, ids);
    for (int i = 0; i < n; i++) {
        const struct group *group = getgrgid(ids[i]);
        snprintf(number, sizeof number, "%u", (unsigned)ids[i]);
        const char *name = group ? group->gr_name : number;
        if (strlen(text) + strlen(name) + 2 < sizeof text)
            strcat(strcat(text, i ? " " : ""), name);
        may = may || strcmp(name, "render") == 0;
    }
    row(f, "groups", n > 0 ? text : "none besides the primary one",
        may ? NULL : "'sudo usermod -aG render $USER', then log in again");
}

/* The NPU's heap of 64 MB and the weights of a model (base: 150 MB) are pinned and count against
 * this limit. */
static void report_memlock(FILE *f) {
    enum { NEEDED_MB = 256 };
    struct rlimit limit;
    char text[128];
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY) {
        row(f, "memlock", "unlimited", NULL);
        return;
    }
    double mb = (double)limit.rlim_cur / (1 << 20);
    bool enough = mb >= NEEDED_MB;
    snprintf(text, sizeof text, "%.0f MB%s", mb,
             enough ? "" : ", too little for the NPU's heap and a model");
    row(f, "memlock", text,
        enough ? NULL
               : "put '* - memlock unlimited' into /etc/security/limits.d/npu.conf, "
                 "log in again");
}

void doctor_npu(FILE *f, const char *root) {
    char pci[PATH_MAX];
    bool has_device = find(pci, sizeof pci, root, "/sys/bus/pci/devices/*", "");
    fprintf(f, "\nNPU (not needed: everything runs on the CPU)\n");
    row(f, "PCI 1022:1502", has_device ? strrchr(pci, '/') + 1 : "no XDNA1 NPU in this machine",
        has_device ? NULL
                   : "Ryzen 7040, 8040 and 200 have one; enable it (IPU) in the firmware set-up");
    report_driver(f, root);
    report_firmware(f, root);
    report_node(f, root);
    report_groups(f);
    report_memlock(f);
}
