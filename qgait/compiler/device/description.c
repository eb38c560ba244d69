/* The numbers of gait.h in the library itself. A file of its own, so that firmware that does not ask has none of it. */
#include "gait.h"

const struct gait_description gait_description = {
    .bytes = sizeof(struct gait_description),
    .frame_height = GAIT_FRAME_HEIGHT,
    .frame_width = GAIT_FRAME_WIDTH,
    .parts = GAIT_PARTS,
    .channels = GAIT_CHANNELS,
    .zero_point = GAIT_ZERO_POINT,
    .arena_bytes = GAIT_ARENA_BYTES,
    .scales = GAIT_SCALES,
};
