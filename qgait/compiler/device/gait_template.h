/* $title
 *
 * One silhouette a frame goes in, the int8 codes of one embedding come out. All memory is the caller's arena; the
 * library allocates nothing, starts no thread, does no input or output and has no global that changes. An arena holds
 * one walker. Several arenas may be in use at once, each by one thread at a time.
 */
#ifndef GAIT_H
#define GAIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GAIT_MODEL "$model"
#define GAIT_BITS "$bits"
#define GAIT_TARGET "$target"

/* A frame: GAIT_FRAME_HEIGHT rows of GAIT_FRAME_WIDTH pixels, row after row from the top left; 0 is background,
 * 255 is the walker. */
#define GAIT_FRAME_HEIGHT $height
#define GAIT_FRAME_WIDTH $width
#define GAIT_FRAME_BYTES (GAIT_FRAME_HEIGHT * GAIT_FRAME_WIDTH)

/* An embedding: GAIT_PARTS rows of GAIT_CHANNELS codes. real = (code - GAIT_ZERO_POINT) * scale of the part. */
#define GAIT_PARTS $parts
#define GAIT_CHANNELS $channels
#define GAIT_ZERO_POINT $zero_point
#define GAIT_EMBEDDING_BYTES (GAIT_PARTS * GAIT_CHANNELS)

/* Usage: static const float scales[GAIT_PARTS] = GAIT_SCALES; */
#define GAIT_SCALES \
    { \
$scales
    }

/* The same number as gait_arena_size(), for arenas of static size. */
#define GAIT_ARENA_BYTES $arena_bytes
$npu
/* Multiply-accumulates of one gait_push and of one gait_embedding, for people. */
#define GAIT_FRAME_MACS $frame_macs
#define GAIT_EMBEDDING_MACS $embedding_macs

enum {
    GAIT_OK = 0,
    GAIT_NO_FRAME = 1,  /* gait_embedding before the first gait_push */
    GAIT_BAD_ARENA = 2, /* gait_reset has not been called on this arena, or it was moved or overwritten */
    GAIT_NULL = 3,      /* a pointer is NULL */
    GAIT_NPU = 4        /* the NPU failed (only where there is one); after gait_push the arena has to be reset */
};

#if defined(__GNUC__)
#define GAIT_API __attribute__((visibility("default")))
#else
#define GAIT_API
#endif

/* Bytes of an arena. It may start at any address and must not move while it is in use. */
GAIT_API size_t gait_arena_size(void);

/* Forgets every frame. Call it before the first frame of every walker, and on new memory. */
GAIT_API void gait_reset(void *arena);

/* Takes one frame of GAIT_FRAME_BYTES bytes at any address. The frame is not needed after the call. */
GAIT_API int gait_push(void *arena, const uint8_t *frame);

/* Writes GAIT_EMBEDDING_BYTES codes of everything pushed since gait_reset to any address. It may be called after any
 * frame and as often as wanted; pushing may go on afterwards. `out` is written only when the answer is GAIT_OK. */
GAIT_API int gait_embedding(void *arena, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
