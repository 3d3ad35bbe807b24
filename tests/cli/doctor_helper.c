/* For test_doctor.py: the NPU's part of `wisp doctor` on a made-up system below the folder given.
 */
#include "doctor.h"

int main(int argc, char **argv) {
    if (argc == 2)
        doctor_npu(stdout, argv[1]);
    return argc == 2 ? 0 : 1;
}
