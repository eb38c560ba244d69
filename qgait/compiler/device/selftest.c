#include "selftest.h"

#include "clip_stream.h"
#include "gait.h"
#include "system.h"

enum { LONGEST_PATH = 4096 };

static uint8_t frame[GAIT_FRAME_BYTES];
static int8_t codes[GAIT_EMBEDDING_BYTES], expected[GAIT_EMBEDDING_BYTES];

/* Adds `text` at `end` and a closing zero. */
static char *append(char *path, char *end, const char *text)
{
    while (*text != '\0' && end < path + LONGEST_PATH - 1)
        *end++ = *text++;
    if (*text != '\0')
        refuse("the path of the selftest folder is too long.");
    *end = '\0';
    return end;
}

/* DIR/clip<number>.<kind>, or -1 when there is no such file. */
static int open_case(const char *folder, unsigned number, const char *kind)
{
    static char path[LONGEST_PATH];
    char digits[11], *first = digits + 10;
    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    char *end = append(path, append(path, path, folder), "/clip");
    append(path, append(path, append(path, end, first), "."), kind);
    return open_file(path);
}

static int read_frame(int file, unsigned number)
{
    size_t size = read_file(file, frame, sizeof frame);
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
    say("clip%u, %u frames: part %u, channel %u is %d instead of %d; %u of %u codes differ\n", number, frames,
        first / GAIT_CHANNELS, first % GAIT_CHANNELS, codes[first], expected[first], different,
        (unsigned)GAIT_EMBEDDING_BYTES);
    return 1;
}

/* Says the first call that is not answered with GAIT_OK; those after it fail for the same reason. */
static unsigned not_ok(int answer, const char *call, unsigned number, unsigned frames)
{
    static int said;
    if (answer != GAIT_OK && !said++)
        say("clip%u, %u frames: %s answers %d%s\n", number, frames, call, answer,
            answer == GAIT_NPU ? ", the NPU did not run" : "");
    return answer != GAIT_OK;
}

/* Asking for an embedding on the way must not change the last one. */
int selftest(const char *folder, int quiet)
{
    void *arena = new_arena();
    unsigned number = 0, failed = 0;
    int file;
    for (; (file = open_case(folder, number, "frames")) >= 0; number++) {
        int answer = open_case(folder, number, "codes");
        if (answer < 0 || read_file(answer, expected, sizeof expected) != sizeof expected ||
            read_file(answer, codes, 1) != 0)
            refuse("%s/clip%u.codes is missing or does not hold %zu codes.", folder, number, sizeof expected);
        close_file(answer);
        gait_reset(arena);
        if (gait_embedding(arena, codes) != GAIT_NO_FRAME) {
            say("clip%u: an embedding of no frames was not refused\n", number);
            failed++;
        }
        unsigned frames = 0;
        for (; read_frame(file, number); frames++) {
            failed += not_ok(gait_push(arena, frame), "gait_push", number, frames + 1);
            if (frames == 0)
                failed += not_ok(gait_embedding(arena, codes), "gait_embedding", number, 1);
        }
        close_file(file);
        if (frames == 0)
            refuse("%s/clip%u.frames is empty.", folder, number);
        failed += not_ok(gait_embedding(arena, codes), "gait_embedding", number, frames);
        failed += compare(number, frames);
        if (!quiet && failed == 0)
            say("clip%u, %u frames: all %u codes are equal\n", number, frames, (unsigned)GAIT_EMBEDDING_BYTES);
    }
    if (number == 0)
        refuse("there is no self-test clip in %s.", folder);
    if (failed != 0)
        say("self-test FAILED\n");
    else if (!quiet)
        say("self-test passed: %u clips\n", number);
    return failed != 0;
}

void push_frames(void *arena, const char *folder, size_t count, uint64_t *durations)
{
    int file = open_case(folder, 0, "frames");
    if (file < 0)
        refuse("there is no self-test clip in %s.", folder);
    for (size_t i = 0; i < count; i++) {
        if (!read_frame(file, 0)) {
            rewind_file(file);
            if (!read_frame(file, 0))
                refuse("%s/clip0.frames is empty.", folder);
        }
        uint64_t start = durations != NULL ? now() : 0;
        if (gait_push(arena, frame) != GAIT_OK)
            refuse("gait_push failed.");
        if (durations != NULL)
            durations[i] = now() - start;
    }
    close_file(file);
}

/* Shell's method: there is no C library on every system. */
static void sort(uint64_t *values, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < count; i++) {
            uint64_t value = values[i];
            size_t at = i;
            for (; at >= gap && values[at - gap] > value; at -= gap)
                values[at] = values[at - gap];
            values[at] = value;
        }
}

int bench(const char *folder, size_t frames, size_t runs, int json)
{
    if (selftest(folder, 1) != 0)
        return 1;
    void *arena = new_arena();
    size_t count = frames * runs;
    uint64_t *durations = room_for(count + runs);
    if (durations == NULL)
        refuse("there is no memory for %zu measurements.", count);
    uint64_t *embeddings = durations + count;
    for (size_t run = 0; run < runs; run++) {
        gait_reset(arena);
        push_frames(arena, folder, frames, durations + run * frames);
        uint64_t start = now();
        if (gait_embedding(arena, codes) != GAIT_OK)
            refuse("gait_embedding failed.");
        embeddings[run] = now() - start;
    }
    sort(durations, count);
    sort(embeddings, runs);
    size_t last = count - 1, most = count * 19 / 20;
    struct durations found = {durations[count / 2], durations[most < last ? most : last], embeddings[runs / 2]};
    print_durations(found, GAIT_TARGET, gait_arena_size(), json);
    return 0;
}
