/* kernel-costs: pushes frames of the self-test and asks for embeddings, so that what every kernel costs can be seen.
 *   kernel-costs FRAMES EMBEDDINGS
 * An emulator counts the instructions of every function. On a processor of its own the program is built with a list of
 * the kernels, KERNELS, and the linker sends calls of them through here (--wrap): the sum of their times is printed. */
#include "clip_stream.h"
#include "gait.h"
#include "selftest.h"
#include "system.h"

#ifdef KERNELS
/* Kernels take up to twelve pointers; one that takes fewer leaves the others alone. */
#define PARAMETERS char *a, char *b, char *c, char *d, char *e, char *f, char *g, char *h, char *i, char *j, char *k, char *l
#define KERNEL(name)                                                                                                   \
    void __real_##name(PARAMETERS);                                                                                    \
    void __wrap_##name(PARAMETERS);                                                                                    \
    static uint64_t time_of_##name;                                                                                    \
    __attribute__((visibility("default"))) void __wrap_##name(PARAMETERS)                                              \
    {                                                                                                                  \
        uint64_t start = now();                                                                                        \
        __real_##name(a, b, c, d, e, f, g, h, i, j, k, l);                                                             \
        time_of_##name += now() - start;                                                                               \
    }
#include KERNELS
#undef KERNEL
#endif

static size_t number(const char *text)
{
    size_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (size_t)(*text++ - '0');
    return value;
}

int main(int argc, char **argv)
{
    static int8_t codes[GAIT_EMBEDDING_BYTES];
    if (argc != 3)
        refuse("kernel-costs takes the numbers of frames and of embeddings.");
    void *arena = new_arena();
    push_frames(arena, selftest_folder(), number(argv[1]), NULL);
    for (size_t i = number(argv[2]); i > 0; i--)
        if (gait_embedding(arena, codes) != GAIT_OK)
            refuse("gait_embedding failed.");
#ifdef KERNELS
#define KERNEL(name) say(#name " %zu\n", (size_t)time_of_##name);
#include KERNELS
#endif
    return 0;
}
