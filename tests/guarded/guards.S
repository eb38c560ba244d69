/* The constants of all kernels between guards. sizes.h says how many bytes lie between them and the guard in front. */
#include "sizes.h"
    .section .rodata.gait_weights, "a", %progbits
    .globl guard_in_front, guard_behind, gait_weights
    .hidden gait_weights
    .balign GUARD_BYTES
guard_in_front:
    .skip GUARD_BYTES
    .skip CONSTANTS_SHIFT
gait_weights:
    .incbin "weights.bin"
    .balign GUARD_GRANULE
guard_behind:
    .skip GUARD_BYTES
    .balign GUARD_BYTES
    .section .note.GNU-stack, "", %progbits
