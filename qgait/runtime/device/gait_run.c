/* gait-run: checks, measures and uses the library on the machine that it runs on.
 * Exit codes: 0 fine, 1 the self-test failed, 2 wrong use or bad input. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clip_stream.h"
#include "gait.h"

static const char usage[] =
    "gait-run for " GAIT_MODEL " " GAIT_BITS ", target " GAIT_TARGET "\n"
    "  gait-run selftest [DIR]                        runs the clips in DIR (default: selftest beside gait-run) and\n"
    "                                                 compares every code; exit code 1 when one differs\n"
    "  gait-run bench [--frames N] [--runs N] [--json]  self-test, then milliseconds a frame and an embedding\n"
    "  gait-run embed < clips > codes                 embeddings of clips, in the format of docs/targets.md\n"
    "  gait-run push N                                pushes N frames of the self-test, for instruction counters\n";

static uint8_t frame[GAIT_FRAME_BYTES];
static int8_t codes[GAIT_EMBEDDING_BYTES], expected[GAIT_EMBEDDING_BYTES];

static void selftest_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 16);
    if (length < 0)
        refuse("the folder of gait-run is not known: name the selftest folder.");
    folder[length] = '\0';
    strcat(dirname(folder), "/selftest");
}

/* DIR/clip<number>.<kind>, or -1 when there is no such file. Not a FILE: that would be memory from malloc, whose work
 * depends on addresses, and `push` has to execute the same instructions every time. */
static int open_case(const char *folder, unsigned number, const char *kind)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/clip%u.%s", folder, number, kind) >= (int)sizeof path)
        refuse("the path of the selftest folder is too long.");
    return open(path, O_RDONLY);
}

/* Bytes read, fewer than `size` only at the end of the file. */
static size_t read_all(int file, void *bytes, size_t size)
{
    size_t done = 0;
    ssize_t step = 1;
    while (done < size && step > 0) {
        step = read(file, (char *)bytes + done, size - done);
        done += step > 0 ? (size_t)step : 0;
    }
    return done;
}

static int read_frame(int file, unsigned number)
{
    size_t size = read_all(file, frame, sizeof frame);
    if (size != 0 && size != sizeof frame)
        refuse("clip%u.frames is not a whole number of frames of %zu bytes.", number, sizeof frame);
    return size != 0;
}

static int compare(unsigned number, unsigned frames)
{
    unsigned different = 0, first = 0;
    for (unsigned i = GAIT_EMBEDDING_BYTES; i-- > 0;)
        if (codes[i] != expected[i]) {
            different++;
            first = i;
        }
    if (different == 0)
        return 0;
    printf("clip%u, %u frames: part %u, channel %u is %d instead of %d; %u of %u codes differ\n", number, frames,
           first / GAIT_CHANNELS, first % GAIT_CHANNELS, codes[first], expected[first], different,
           (unsigned)GAIT_EMBEDDING_BYTES);
    return 1;
}

/* Runs every case; asking for an embedding on the way must not change the last one. Returns the exit code. */
static int selftest(const char *folder, int quiet)
{
    void *arena = new_arena();
    unsigned number = 0, failed = 0;
    int file;
    for (; (file = open_case(folder, number, "frames")) >= 0; number++) {
        int answer = open_case(folder, number, "codes");
        if (answer < 0 || read_all(answer, expected, sizeof expected) != sizeof expected || read_all(answer, codes, 1))
            refuse("%s/clip%u.codes is missing or does not hold %zu codes.", folder, number, sizeof expected);
        close(answer);
        gait_reset(arena);
        if (gait_embedding(arena, codes) != GAIT_NO_FRAME) {
            printf("clip%u: an embedding of no frames was not refused\n", number);
            failed++;
        }
        unsigned frames = 0;
        for (; read_frame(file, number); frames++) {
            failed += gait_push(arena, frame) != GAIT_OK;
            if (frames == 0)
                failed += gait_embedding(arena, codes) != GAIT_OK;
        }
        close(file);
        if (frames == 0)
            refuse("%s/clip%u.frames is empty.", folder, number);
        failed += gait_embedding(arena, codes) != GAIT_OK;
        failed += compare(number, frames);
        if (!quiet && failed == 0)
            printf("clip%u, %u frames: all %u codes are equal\n", number, frames, (unsigned)GAIT_EMBEDDING_BYTES);
    }
    if (number == 0)
        refuse("there is no self-test clip in %s.", folder);
    if (failed != 0)
        puts("self-test FAILED");
    else if (!quiet)
        printf("self-test passed: %u clips\n", number);
    return failed != 0;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share of the sorted samples does not exceed. */
static double quantile(double *sorted, size_t count, double share)
{
    size_t index = (size_t)(share * count);
    return sorted[index < count ? index : count - 1];
}

/* VmHWM is this program's own; getrusage also counts what the parent used before it started this program. */
static long peak_bytes(void)
{
    char line[128];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && kilobytes == 0 && fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmHWM: %ld", &kilobytes);
    if (status != NULL)
        fclose(status);
    if (kilobytes == 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        kilobytes = usage.ru_maxrss;
    }
    return kilobytes * 1024;
}

/* Pushes `count` frames of clip 0 again and again; `times` may be NULL. */
static void push_frames(void *arena, const char *folder, size_t count, double *times)
{
    int file = open_case(folder, 0, "frames");
    if (file < 0)
        refuse("there is no self-test clip in %s.", folder);
    for (size_t i = 0; i < count; i++) {
        if (!read_frame(file, 0)) {
            lseek(file, 0, SEEK_SET);
            if (!read_frame(file, 0))
                refuse("%s/clip0.frames is empty.", folder);
        }
        double start = times != NULL ? now_ms() : 0;
        if (gait_push(arena, frame) != GAIT_OK)
            refuse("gait_push failed.");
        if (times != NULL)
            times[i] = now_ms() - start;
    }
    close(file);
}

static int bench(const char *folder, size_t frames, size_t runs, int json)
{
    if (selftest(folder, 1) != 0)
        return 1;
    void *arena = new_arena();
    double *frame_ms = malloc(frames * runs * sizeof *frame_ms), *embedding_ms = malloc(runs * sizeof *embedding_ms);
    if (frame_ms == NULL || embedding_ms == NULL)
        refuse("there is no memory for %zu measurements.", frames * runs);
    for (size_t run = 0; run < runs; run++) {
        gait_reset(arena);
        push_frames(arena, folder, frames, frame_ms + run * frames);
        double start = now_ms();
        if (gait_embedding(arena, codes) != GAIT_OK)
            refuse("gait_embedding failed.");
        embedding_ms[run] = now_ms() - start;
    }
    qsort(frame_ms, frames * runs, sizeof *frame_ms, ascending);
    qsort(embedding_ms, runs, sizeof *embedding_ms, ascending);
    double median = quantile(frame_ms, frames * runs, 0.5), p95 = quantile(frame_ms, frames * runs, 0.95);
    double embedding = quantile(embedding_ms, runs, 0.5);
    if (json)
        printf("{\"target\": \"%s\", \"frame_ms\": {\"median\": %.6f, \"p95\": %.6f}, \"embedding_ms\": %.6f, "
               "\"peak_memory_bytes\": %ld, \"arena_bytes\": %zu}\n",
               GAIT_TARGET, median, p95, embedding, peak_bytes(), gait_arena_size());
    else
        printf("frame %.3f ms (95 %%: %.3f ms), embedding %.3f ms, peak memory %ld kB of which the arena %zu kB\n", median,
               p95, embedding, peak_bytes() / 1024, gait_arena_size() / 1024);
    return 0;
}

static int embed(void)
{
    void *arena = new_arena();
    uint32_t frames;
    open_clips(stdin);
    for (unsigned clip = 0; (frames = next_clip(stdin, clip)) > 0; clip++) {
        gait_reset(arena);
        for (uint32_t i = 0; i < frames; i++) {
            next_frame(stdin, frame, clip, i);
            if (gait_push(arena, frame) != GAIT_OK)
                refuse("gait_push failed.");
        }
        if (gait_embedding(arena, codes) != GAIT_OK)
            refuse("gait_embedding failed.");
        put(codes, sizeof codes);
    }
    if (fflush(stdout) != 0)
        refuse("standard output cannot be written.");
    return 0;
}

static size_t number(const char *option, const char *text)
{
    char *end = NULL;
    long value = text != NULL ? strtol(text, &end, 10) : 0;
    if (text == NULL || *text == '\0' || *end != '\0' || value < 1 || value > 100000)
        refuse("%s needs a number from 1 to 100000.", option);
    return (size_t)value;
}

int main(int argc, char **argv)
{
    char folder[PATH_MAX];
    const char *command = argc > 1 ? argv[1] : "--help";
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        fputs(usage, stdout);
        return argc > 1 ? 0 : 2;
    }
    if (strcmp(command, "selftest") == 0) {
        if (argc > 3)
            refuse("selftest takes one folder.");
        if (argc == 2)
            selftest_folder(folder);
        return selftest(argc == 3 ? argv[2] : folder, 0);
    }
    if (strcmp(command, "bench") == 0) {
        size_t frames = 30, runs = 5;
        int json = 0;
        for (int i = 2; i < argc; i++)
            if (strcmp(argv[i], "--json") == 0)
                json = 1;
            else if (strcmp(argv[i], "--frames") == 0)
                frames = number("--frames", argv[++i]);
            else if (strcmp(argv[i], "--runs") == 0)
                runs = number("--runs", argv[++i]);
            else
                refuse("bench has no option %s.", argv[i]);
        if (frames > 1000000 / runs)
            refuse("bench takes at most 1000000 measurements.");
        selftest_folder(folder);
        return bench(folder, frames, runs, json);
    }
    if (strcmp(command, "push") == 0) {
        if (argc != 3)
            refuse("push takes the number of frames.");
        size_t count = number("push", argv[2]);
        selftest_folder(folder);
        push_frames(new_arena(), folder, count, NULL);
        return 0;
    }
    if (strcmp(command, "embed") == 0) {
        if (argc != 2)
            refuse("embed takes nothing but clips on standard input.");
        return embed();
    }
    refuse("there is no command %s; gait-run --help lists them.", command);
}
