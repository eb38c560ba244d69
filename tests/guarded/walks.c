/* Walks through the four calls of a library on guarded memory: walks CASES SHIFTS INTERLEAVED PUSHES.
 *
 * CASES holds clips with their embeddings, written by guarded_memory.py: 32-bit numbers and bytes. The number of clips, of
 * each its number of frames, the frames and the codes; then a last one whose frames are pushed again and again, PUSHES
 * times in all. Memory before gait_reset holds 0xAA, 0x55 and 0x00 in turn, or (SHIFTS 0) nothing at all. Exit code 2
 * with a sentence when something is wrong; a fault of the processor when memory is touched that must not be.
 */
#include "gait.h"
#include "memory.h"
#include "sizes.h"
#include "system.h"

static uint8_t cases[CASES_BYTES];

struct clip {
    uint32_t frames;
    const uint8_t *pixels;
    const int8_t *codes;
};
static struct clip clips[MOST_CLIPS + 1];
static uint32_t count;

static uint32_t word(const uint8_t **at)
{
    const uint8_t *b = *at;
    *at += 4;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void read_cases(const char *path)
{
    int file = open_file(path);
    if (file < 0 || read_file(file, cases, sizeof cases) != sizeof cases)
        refuse("%s cannot be read.", path);
    close_file(file);
    const uint8_t *at = cases;
    count = word(&at);
    for (uint32_t i = 0; i <= count; i++) {
        clips[i].frames = word(&at);
        clips[i].pixels = at;
        at += clips[i].frames * GAIT_FRAME_BYTES;
        clips[i].codes = (const int8_t *)at;
        at += GAIT_EMBEDDING_BYTES;
    }
}

static void copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (volatile size_t i = 0; i < bytes; i++)
        to[i] = from[i];
}

static void fill(uint8_t *to, int value, size_t bytes)
{
    for (volatile size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)value;
}

static void expect(int answer, int wanted, const char *call)
{
    if (answer != wanted)
        refuse("%s answers %d instead of %d.", call, answer, wanted);
}

/* The frame lies at another address every time, may only be read, and the codes may not be touched. */
static void push(void *arena, const struct clip *clip, uint32_t number)
{
    uint8_t *frame = place(FRAME, GAIT_FRAME_BYTES, number % 2 ? AT_FRONT : AT_BACK, number / 2 % 5);
    copy(frame, clip->pixels + number % clip->frames * GAIT_FRAME_BYTES, GAIT_FRAME_BYTES);
    allow(FRAME, READ);
    expect(gait_push(arena, frame), GAIT_OK, "gait_push");
    check_margins(FRAME);
    allow(FRAME, NOTHING);
}

/* Compares where `codes` are wanted. */
static void embed(void *arena, const int8_t *codes, size_t shift, const char *when)
{
    int8_t *out = (int8_t *)place(CODES, GAIT_EMBEDDING_BYTES, shift % 2 ? AT_FRONT : AT_BACK, shift / 2 % 5);
    expect(gait_embedding(arena, out), GAIT_OK, "gait_embedding");
    check_margins(CODES);
    for (size_t i = 0; codes != NULL && i < GAIT_EMBEDDING_BYTES; i++)
        if (out[i] != codes[i])
            refuse("%s: code %u is %d instead of %d.", when, (unsigned)i, out[i], codes[i]);
    allow(CODES, NOTHING);
}

/* A clip on an arena full of rubbish; an embedding on the way must change nothing. */
static void walk(uint8_t *arena, const struct clip *clip, size_t shift, int rubbish)
{
    if (rubbish >= 0) {
        fill(arena, rubbish, GAIT_ARENA_BYTES);
        expect(gait_push(arena, clip->pixels), GAIT_BAD_ARENA, "gait_push before gait_reset");
        expect(gait_embedding(arena, (int8_t *)arena), GAIT_BAD_ARENA, "gait_embedding before gait_reset");
    }
    gait_reset(arena);
    for (uint32_t i = 0; i < clip->frames; i++) {
        push(arena, clip, i);
        if (i == clip->frames / 2)
            embed(arena, NULL, shift, "on the way");
    }
    embed(arena, clip->codes, shift, "a clip");
}

static void placements(uint32_t shifts)
{
    static const int rubbish[] = {0xaa, 0x55, 0x00};
    for (int end = AT_FRONT; end <= AT_BACK; end++)
        for (uint32_t shift = 0; shift < shifts; shift++)
            for (unsigned i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
                uint8_t *arena = place(ARENA, GAIT_ARENA_BYTES, end, shift * 61 % 64);
                walk(arena, clips + (shift + i) % count, shift, rubbish[i]);
                check_margins(ARENA);
            }
}

struct walker {
    uint8_t *arena;
    enum zone zone;
    uint32_t clip, frame;
};

/* One frame of a walker while the others' memory is shut; after its last frame the next clip begins. */
static void step(struct walker *w, size_t shift)
{
    if (w->frame == 0)
        gait_reset(w->arena);
    push(w->arena, clips + w->clip, w->frame++);
    if (w->frame == clips[w->clip].frames) {
        embed(w->arena, clips[w->clip].codes, shift, "walkers in turn");
        w->clip = (w->clip + 1) % count;
        w->frame = 0;
    }
}

/* Two walkers side by side in one zone, and each in its own that is shut while the other walks. */
static void interleaved(uint32_t rounds)
{
    static const size_t gaps[] = {1, 3, 17, 63, 0, 31};
    for (uint32_t round = 0; round < rounds; round++) {
        size_t gap = gaps[round % (sizeof gaps / sizeof *gaps)];
        int apart = round % 2;
        uint8_t *first = place(ARENA, (apart ? 1 : 2) * GAIT_ARENA_BYTES + (apart ? 0 : gap), AT_BACK, round % 7);
        uint8_t *second = apart ? place(OTHER_ARENA, GAIT_ARENA_BYTES, AT_BACK, gap) : first + GAIT_ARENA_BYTES + gap;
        fill(first, 0xaa, GAIT_ARENA_BYTES);
        fill(second, 0x55, GAIT_ARENA_BYTES);
        if (!apart)
            fill(first + GAIT_ARENA_BYTES, MARGIN, gap);
        struct walker walkers[] = {{first, ARENA, 0, 0}, {second, apart ? OTHER_ARENA : ARENA, count - 1, 0}};
        for (uint32_t i = 0; i < 4 * count * 5; i++) {
            struct walker *w = walkers + (i % 2 ^ (i % 7 == 3)), *other = walkers + (w == walkers);
            if (apart)
                allow(other->zone, NOTHING);
            step(w, i);
            if (apart)
                allow(other->zone, WRITE);
        }
        for (size_t i = 0; !apart && i < gap; i++)
            if (first[GAIT_ARENA_BYTES + i] != MARGIN)
                refuse("a byte between two arenas was written.");
        check_margins(ARENA);
        if (apart)
            check_margins(OTHER_ARENA);
    }
}

static void pushes(uint32_t number)
{
    uint8_t *arena = place(ARENA, GAIT_ARENA_BYTES, AT_BACK, 0);
    const struct clip *clip = clips + count;
    allow(CODES, NOTHING);
    gait_reset(arena);
    for (uint32_t i = 0, frame = 0; i < number; i++) {
        expect(gait_push(arena, clip->pixels + frame * GAIT_FRAME_BYTES), GAIT_OK, "gait_push");
        frame = frame + 1 == clip->frames ? 0 : frame + 1;
    }
    embed(arena, clip->codes, 0, "after all pushes");
    check_margins(ARENA);
}

static uint32_t number(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint32_t)(*text++ - '0');
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        refuse("name CASES, SHIFTS, INTERLEAVED and PUSHES.");
    read_cases(argv[1]);
    guard_constants();
    place(CODES, GAIT_EMBEDDING_BYTES, AT_BACK, 0);
    placements(number(argv[2]));
    if (number(argv[2]) == 0) /* for valgrind: memory that nobody has written */
        for (uint32_t i = 0; i < count; i++)
            walk(place(ARENA, GAIT_ARENA_BYTES, AT_BACK, 0), clips + i, 0, -1);
    interleaved(number(argv[3]));
    if (number(argv[4]) > 0)
        pushes(number(argv[4]));
    say("all walks are right\n");
    return 0;
}
