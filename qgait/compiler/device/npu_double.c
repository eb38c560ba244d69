/* Stands in for the NPU where there is none: the self-test on the machine that compiles gives every run to a function
 * of its own. No part of a bundle. */
#include <stddef.h>

#include "npu_driver.h"

typedef int runner(const struct gait_npu_stream *stream, uint8_t *scratch);

static runner *stand_in;

__attribute__((visibility("default"))) void gait_npu_stand_in(runner *run)
{
    stand_in = run;
}

int gait_npu_run(const struct gait_npu_stream *stream, uint8_t *scratch)
{
    return stand_in == NULL ? -1 : stand_in(stream, scratch);
}
