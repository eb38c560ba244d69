/* Clips on the input stream, as docs/targets.md describes: "GAIT", height and width as 16-bit numbers, then for every
 * clip its number of frames as a 32-bit number and the frames. Numbers are little-endian. */
#ifndef CLIP_STREAM_H
#define CLIP_STREAM_H

#include <stdint.h>

/* Reads the head of the stream; refuses frames of another size. */
void open_clips(void);

/* The number of frames of the next clip, 0 at the end of the stream. `clip` counts from 0, for messages. */
uint32_t next_clip(unsigned clip);

/* Fills `frame` with GAIT_FRAME_BYTES bytes. */
void next_frame(uint8_t *frame, unsigned clip, uint32_t index);

/* The one arena of the program, reset. */
void *new_arena(void);

#endif
