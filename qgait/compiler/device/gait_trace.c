/* gait-trace: reads clips like `gait-run embed` and writes the result of every kernel that runs, as records of
 * kernel number, size (both 32-bit, in the byte order of the machine) and codes. Only verification uses it. */
#include "clip_stream.h"
#include "gait.h"
#include "system.h"

void gait_trace(uint32_t kernel, const int8_t *codes, uint32_t size)
{
    uint32_t head[2] = {kernel, size};
    put(head, sizeof head);
    put(codes, size);
}

int main(int argc, char **argv)
{
    static uint8_t frame[GAIT_FRAME_BYTES];
    static int8_t codes[GAIT_EMBEDDING_BYTES];
    void *arena = new_arena();
    uint32_t frames;
    open_streams(argc == 3 ? argv[1] : NULL, argc == 3 ? argv[2] : NULL);
    open_clips();
    for (unsigned clip = 0; (frames = next_clip(clip)) > 0; clip++) {
        gait_reset(arena);
        for (uint32_t i = 0; i < frames; i++) {
            next_frame(frame, clip, i);
            if (gait_push(arena, frame) != GAIT_OK)
                return 1;
        }
        if (gait_embedding(arena, codes) != GAIT_OK)
            return 1;
    }
    close_streams();
    return 0;
}
