/* What libgait.a asks of the firmware: to run one command stream of an Ethos-U. npu_ethosu.c does that with Arm's driver;
 * anything else that has this function will do. */
#ifndef NPU_DRIVER_H
#define NPU_DRIVER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An int8 tensor in the scratch memory, row by row, channels last. */
struct gait_npu_tensor {
    const char *name;
    uint32_t offset;
    uint32_t bytes;
};

/* One segment of the network as Vela compiled it. Everything here is constant and may lie in flash.
 *
 * The stream addresses three regions: 0 are the weights, 1 is the scratch memory, 2 is fast memory of the NPU's own, which
 * nobody else reads. A region of 0 bytes is not used. */
struct gait_npu_stream {
    const char *name;
    const uint8_t *commands; /* begins with the header that Arm's driver reads; 64-byte aligned */
    uint32_t command_bytes;
    const uint8_t *weights; /* 64-byte aligned */
    uint32_t weight_bytes;
    uint32_t scratch_bytes;
    uint32_t fast_bytes;
    const struct gait_npu_tensor *inputs;
    const struct gait_npu_tensor *outputs;
    uint32_t inputs_count;
    uint32_t outputs_count;
};

/* Runs `stream` to its end. Its inputs lie in `scratch` (64-byte aligned, part of the arena, `scratch_bytes` bytes), its
 * outputs lie there afterwards, and everything else in there is overwritten. Answers 0, or anything else when the NPU
 * did not do it: then gait_push or gait_embedding answers GAIT_NPU. */
int gait_npu_run(const struct gait_npu_stream *stream, uint8_t *scratch);

/* Cycles of the NPU in all runs since the last call; there only if npu_ethosu.c was compiled with -DGAIT_NPU_CYCLES. */
uint64_t gait_npu_cycles(void);

#ifdef __cplusplus
}
#endif
#endif
