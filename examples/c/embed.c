/* The embedding of one walker: reads a file of silhouettes, frame after frame without a header, and prints the codes.
 *
 *     embed FRAMES          prints one line a part: its scale, then its codes
 *     embed FRAMES CODES    compares the codes with a file of them instead, such as those of the bundle's self-test
 *
 * Exit codes: 0 fine, 1 the codes differ, 2 wrong use or a file that cannot be used. */
#include <gait.h>
#include <stdio.h>
#include <string.h>

static uint8_t arena[GAIT_ARENA_BYTES], frame[GAIT_FRAME_BYTES];
static int8_t codes[GAIT_EMBEDDING_BYTES], expected[GAIT_EMBEDDING_BYTES];
static const float scales[GAIT_PARTS] = GAIT_SCALES;

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "embed: %s %s\n", what, why);
    return 2;
}

/* Whether the file has exactly the bytes of one embedding. */
static int read_expected(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    int whole = fread(expected, 1, sizeof expected, file) == sizeof expected && fgetc(file) == EOF;
    fclose(file);
    return whole;
}

static void print_codes(void)
{
    for (int part = 0; part < GAIT_PARTS; part++) {
        printf("%g:", scales[part]);
        for (int i = 0; i < GAIT_CHANNELS; i++)
            printf(" %d", codes[part * GAIT_CHANNELS + i] - GAIT_ZERO_POINT);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return wrong("use:", "embed FRAMES [CODES]");
    FILE *frames = fopen(argv[1], "rb");
    if (frames == NULL)
        return wrong(argv[1], "cannot be read");
    gait_reset(arena); /* before the first frame of every walker */
    size_t size;
    while ((size = fread(frame, 1, sizeof frame, frames)) == sizeof frame)
        if (gait_push(arena, frame) != GAIT_OK)
            return wrong(argv[1], "was not taken");
    fclose(frames);
    if (size != 0)
        return wrong(argv[1], "is not a whole number of frames");
    if (gait_embedding(arena, codes) != GAIT_OK) /* at any moment; pushing may go on */
        return wrong(argv[1], "has no frame");
    if (argc == 2) {
        print_codes();
        return 0;
    }
    if (!read_expected(argv[2]))
        return wrong(argv[2], "does not hold one embedding");
    if (memcmp(codes, expected, sizeof codes) != 0) {
        fprintf(stderr, "embed: the codes are not those of %s\n", argv[2]);
        return 1;
    }
    printf("all %d codes are equal\n", GAIT_EMBEDDING_BYTES);
    return 0;
}
