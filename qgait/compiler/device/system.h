/* What gait-run needs of the system that it runs on. system_posix.c is Linux; system_semihosting.c is a Cortex-M without
 * an operating system, whose files and messages go through the debugger or emulator that it hangs on. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stddef.h>
#include <stdint.h>

/* Says what is wrong on standard error, after "gait-run: ", and exits with code 2. Both this and `say` know %s, %d, %u
 * and %zu. */
_Noreturn void refuse(const char *format, ...);

/* For people, on standard output. */
void say(const char *format, ...);

/* A file to read, or -1 when there is none of that name. */
int open_file(const char *path);

/* Bytes read, fewer than `size` only at the end of the file. */
size_t read_file(int file, void *bytes, size_t size);

void rewind_file(int file);
void close_file(int file);

/* The folder that this program lies in. */
const char *bundle_folder(void);

/* The folder of the self-test that belongs to this program. */
const char *selftest_folder(void);

/* Calls `seen` for everything in `folder` that is no folder, with its path from there and whether it is a regular file,
 * until one answers other than 0, and returns that. Without an operating system folders cannot be listed: 0. */
int each_file(const char *folder, int (*seen)(const char *name, int regular));

/* Where `take` reads and `put` writes: files, or standard input and output where both are NULL. */
void open_streams(const char *input, const char *output);

/* Bytes of the input stream, fewer than `size` only at its end. */
size_t take(void *bytes, size_t size);

/* Writes all bytes to the output stream or refuses. */
void put(const void *bytes, size_t size);

/* Call it after the last `put`: refuses when something could not be written. */
void close_streams(void);

/* A clock that counts up: nanoseconds on Linux, cycles of the processor on a Cortex-M (modulo 2**32). */
uint64_t now(void);

/* Room for `count` durations, or NULL. */
uint64_t *room_for(size_t count);

/* What `bench` measured, in units of `now`. */
struct durations {
    uint64_t median, p95, embedding;
};

/* Prints them with the name of the target and the size of the arena. */
void print_durations(struct durations of, const char *target, size_t arena, int json);

#endif
