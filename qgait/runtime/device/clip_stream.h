/* Clips on standard input, as docs/targets.md describes: "GAIT", height and width as 16-bit numbers, then for every clip
 * its number of frames as a 32-bit number and the frames. Numbers are little-endian. */
#ifndef CLIP_STREAM_H
#define CLIP_STREAM_H

#include <stdint.h>
#include <stdio.h>

/* Says what is wrong on standard error and exits with code 2. */
_Noreturn void refuse(const char *format, ...);

/* Reads the head of the stream; refuses frames of another size. */
void open_clips(FILE *stream);

/* The number of frames of the next clip, 0 at the end of the stream. `clip` counts from 0, for messages. */
uint32_t next_clip(FILE *stream, unsigned clip);

/* Fills `frame` with GAIT_FRAME_BYTES bytes, however many reads it takes. */
void next_frame(FILE *stream, uint8_t *frame, unsigned clip, uint32_t index);

/* The one arena of the program, reset. */
void *new_arena(void);

/* Writes all bytes to standard output or refuses. */
void put(const void *bytes, size_t size);

#endif
