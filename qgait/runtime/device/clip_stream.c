#include "clip_stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gait.h"

void refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("gait-run: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(2);
}

void open_clips(FILE *stream)
{
    uint8_t head[8];
    size_t size = fread(head, 1, sizeof head, stream);
    if (size != sizeof head || memcmp(head, "GAIT", 4) != 0)
        refuse("standard input is not a stream of clips: it does not begin with GAIT, height and width.");
    unsigned height = head[4] | head[5] << 8, width = head[6] | head[7] << 8;
    if (height != GAIT_FRAME_HEIGHT || width != GAIT_FRAME_WIDTH)
        refuse("the frames are %u x %u pixels and this model takes %u x %u.", height, width, GAIT_FRAME_HEIGHT,
               GAIT_FRAME_WIDTH);
}

uint32_t next_clip(FILE *stream, unsigned clip)
{
    uint8_t count[4];
    size_t size = fread(count, 1, sizeof count, stream);
    if (size == 0 && feof(stream))
        return 0;
    if (size != sizeof count)
        refuse("standard input ends within the frame count of clip %u.", clip);
    uint32_t frames = count[0] | (uint32_t)count[1] << 8 | (uint32_t)count[2] << 16 | (uint32_t)count[3] << 24;
    if (frames == 0)
        refuse("clip %u has no frames.", clip);
    return frames;
}

void next_frame(FILE *stream, uint8_t *frame, unsigned clip, uint32_t index)
{
    size_t size = fread(frame, 1, GAIT_FRAME_BYTES, stream);
    if (size != GAIT_FRAME_BYTES)
        refuse("frame %u of clip %u has %zu of %u bytes.", index, clip, size, (unsigned)GAIT_FRAME_BYTES);
}

void *new_arena(void)
{
    static uint8_t arena[GAIT_ARENA_BYTES];
    gait_reset(arena);
    return arena;
}

void put(const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, stdout) != size)
        refuse("standard output cannot be written: %s.", strerror(errno));
}
