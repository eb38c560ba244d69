/* What belongs to the self-test of a bundle: its clips, its expected codes, and frames for measuring. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stddef.h>
#include <stdint.h>

/* Runs every clip of `folder` and compares every code; prints the first difference. Returns the exit code. */
int selftest(const char *folder, int quiet);

/* Pushes `count` frames of clip 0 again and again; `durations` takes one number a frame in units of `now`, or is NULL. */
void push_frames(void *arena, const char *folder, size_t count, uint64_t *durations);

/* Measures frames and embeddings after the self-test and prints it. Returns the exit code. */
int bench(const char *folder, size_t frames, size_t runs, int json);

#endif
