#include "clip_stream.h"

#include "gait.h"
#include "system.h"

void open_clips(void)
{
    uint8_t head[8];
    size_t size = take(head, sizeof head);
    if (size != sizeof head || head[0] != 'G' || head[1] != 'A' || head[2] != 'I' || head[3] != 'T')
        refuse("standard input is not a stream of clips: it does not begin with GAIT, height and width.");
    unsigned height = head[4] | head[5] << 8, width = head[6] | head[7] << 8;
    if (height != GAIT_FRAME_HEIGHT || width != GAIT_FRAME_WIDTH)
        refuse("the frames are %u x %u pixels and this model takes %u x %u.", height, width, GAIT_FRAME_HEIGHT,
               GAIT_FRAME_WIDTH);
}

uint32_t next_clip(unsigned clip)
{
    uint8_t count[4];
    size_t size = take(count, sizeof count);
    if (size == 0)
        return 0;
    if (size != sizeof count)
        refuse("standard input ends within the frame count of clip %u.", clip);
    uint32_t frames = count[0] | (uint32_t)count[1] << 8 | (uint32_t)count[2] << 16 | (uint32_t)count[3] << 24;
    if (frames == 0)
        refuse("clip %u has no frames.", clip);
    return frames;
}

void next_frame(uint8_t *frame, unsigned clip, uint32_t index)
{
    size_t size = take(frame, GAIT_FRAME_BYTES);
    if (size != GAIT_FRAME_BYTES)
        refuse("frame %u of clip %u has %zu of %u bytes.", (unsigned)index, clip, size, (unsigned)GAIT_FRAME_BYTES);
}

void *new_arena(void)
{
    static uint8_t arena[GAIT_ARENA_BYTES];
    gait_reset(arena);
    return arena;
}
