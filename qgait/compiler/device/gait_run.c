/* gait-run: checks, measures and uses the library on the machine that it runs on.
 * Exit codes: 0 fine, 1 the self-test or the signature failed, 2 wrong use or bad input. */
#include "clip_stream.h"
#include "gait.h"
#include "selftest.h"
#include "signature.h"
#include "system.h"

static const char usage[] =
    "gait-run for " GAIT_MODEL " " GAIT_BITS ", target " GAIT_TARGET "\n"
    "  gait-run selftest [DIR]                        runs the clips in DIR (default: selftest beside gait-run) and\n"
    "                                                 compares every code; exit code 1 when one differs\n"
    "  gait-run selftest --key PUBLIC.pem             before that, checks who signed the files around gait-run;\n"
    "                                                 exit code 1 unless it was this key and all are unchanged\n"
    "  gait-run bench [--frames N] [--runs N] [--json]  self-test, then the time of a frame and of an embedding\n"
    "  gait-run embed [CLIPS CODES]                   embeddings of clips, in the format of docs/targets.md, from\n"
    "                                                 standard input to standard output, or between two files\n"
    "  gait-run describe                              the numbers that the library was built with; scales by their bits\n"
    "  gait-run push N                                pushes N frames of the self-test, for instruction counters\n";

static int is(const char *text, const char *word)
{
    while (*text != '\0' && *text == *word)
        text++, word++;
    return *text == *word;
}

static int embed(void)
{
    static uint8_t frame[GAIT_FRAME_BYTES];
    static int8_t codes[GAIT_EMBEDDING_BYTES];
    void *arena = new_arena();
    uint32_t frames;
    open_clips();
    for (unsigned clip = 0; (frames = next_clip(clip)) > 0; clip++) {
        gait_reset(arena);
        for (uint32_t i = 0; i < frames; i++) {
            next_frame(frame, clip, i);
            if (gait_push(arena, frame) != GAIT_OK)
                refuse("gait_push failed.");
        }
        if (gait_embedding(arena, codes) != GAIT_OK)
            refuse("gait_embedding failed.");
        put(codes, sizeof codes);
    }
    close_streams();
    return 0;
}

static void describe(void)
{
    say("frame %u %u\nembedding %u %u\nzero_point %d\narena %u\nscales", gait_description.frame_height,
        gait_description.frame_width, gait_description.parts, gait_description.channels, gait_description.zero_point,
        gait_description.arena_bytes);
    for (unsigned part = 0; part < GAIT_PARTS; part++) {
        union {
            float real;
            uint32_t bits;
        } scale = {.real = gait_description.scales[part]};
        say(" %u", scale.bits);
    }
    say("\n");
}

static size_t number(const char *option, const char *text)
{
    size_t value = 0;
    const char *digit = text != NULL ? text : "";
    while (*digit >= '0' && *digit <= '9' && value <= 100000)
        value = value * 10 + (size_t)(*digit++ - '0');
    if (text == NULL || *digit != '\0' || value < 1 || value > 100000)
        refuse("%s needs a number from 1 to 100000.", option);
    return value;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "--help";
    if (is(command, "--help") || is(command, "-h")) {
        say("%s", usage);
        return argc > 1 ? 0 : 2;
    }
    if (is(command, "selftest")) {
        if (argc == 4 && is(argv[2], "--key"))
            return check_signature(argv[3]) != 0 ? 1 : selftest(selftest_folder(), 0);
        if (argc > 3 || (argc == 3 && is(argv[2], "--key")))
            refuse("selftest takes one folder, or --key and the file of a public key.");
        return selftest(argc == 3 ? argv[2] : selftest_folder(), 0);
    }
    if (is(command, "describe")) {
        describe();
        return 0;
    }
    if (is(command, "bench")) {
        size_t frames = 30, runs = 5;
        int json = 0;
        for (int i = 2; i < argc; i++)
            if (is(argv[i], "--json"))
                json = 1;
            else if (is(argv[i], "--frames"))
                frames = number("--frames", argv[++i]);
            else if (is(argv[i], "--runs"))
                runs = number("--runs", argv[++i]);
            else
                refuse("bench has no option %s.", argv[i]);
        if (frames > 1000000 / runs)
            refuse("bench takes at most 1000000 measurements.");
        return bench(selftest_folder(), frames, runs, json);
    }
    if (is(command, "push")) {
        if (argc != 3)
            refuse("push takes the number of frames.");
        push_frames(new_arena(), selftest_folder(), number("push", argv[2]), NULL);
        return 0;
    }
    if (is(command, "embed")) {
        if (argc != 2 && argc != 4)
            refuse("embed takes nothing but clips on standard input, or a file of clips and one for codes.");
        open_streams(argc == 4 ? argv[2] : NULL, argc == 4 ? argv[3] : NULL);
        return embed();
    }
    refuse("there is no command %s; gait-run --help lists them.", command);
}
