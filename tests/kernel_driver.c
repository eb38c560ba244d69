/* Calls compiled kernels on given memory: driver DATA OUTPUTS REPEATS [moved]. kernel_driver.py writes DATA and kernels.h.
 *
 * DATA is 32-bit words and bytes: the number of buffers, then of each its size, its room and its bytes; the number of
 * calls, then of each the kernel, the number of arguments and the arguments as buffer numbers. Every call is made
 * REPEATS times; then the bytes of its last argument's buffer go to OUTPUTS. Behind its size every buffer has guard
 * bytes that must survive, up to its room, and on Linux its room ends at a page that cannot be touched. With `moved` all
 * calls are made once more there, on buffers that begin directly behind such a page, and must give the same.
 */
#include "system.h"

typedef void kernel(char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *,
                    char *, char *, char *, char *);
#include "kernels.h" /* static kernel *const kernels[] */

enum { MOST_BUFFERS = 4096, MOST_ARGUMENTS = 16, MOST_CALLS = 8192, GUARD = 0x5a };

static struct buffer {
    uint32_t size, room;
    char *bytes, *moved;
} buffers[MOST_BUFFERS];

static struct call {
    uint32_t kernel, repeats, number, arguments[MOST_ARGUMENTS];
} calls[MOST_CALLS];

#ifdef __linux__
#include <sys/mman.h>
enum { PAGE = 4096 };
/* A room that ends at a page without access, or that begins behind one. */
static char *place(uint32_t room, int in_front)
{
    size_t pages = (room + PAGE - 1) / PAGE * PAGE;
    char *memory = mmap(NULL, pages + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, pages, PROT_READ | PROT_WRITE))
        refuse("there is no memory left");
    return memory + PAGE + (in_front ? 0 : pages - room);
}
#else
static _Alignas(64) char pool[8 << 20], *end = pool;
static char *place(uint32_t room, int in_front)
{
    (void)in_front;
    end += (room + 63) / 64 * 64;
    if (end > pool + sizeof pool) refuse("there is no memory left");
    return end - room;
}
#endif

static uint32_t word(void)
{
    uint32_t value;
    if (take(&value, sizeof value) != sizeof value) refuse("too little data");
    return value;
}

static void perform(const struct call *call, int moved)
{
    static char *a[MOST_ARGUMENTS]; // static: nothing here may call memset
    for (uint32_t i = 0; i < call->number; i++) {
        const struct buffer *b = buffers + call->arguments[i];
        a[i] = moved ? b->moved : b->bytes;
    }
    for (uint32_t i = 0; i < call->repeats; i++)
        kernels[call->kernel](a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13],
                              a[14], a[15]);
}

static void check_guards(const char *bytes, uint32_t i)
{
    for (uint32_t k = buffers[i].size; k < buffers[i].room; k++)
        if (bytes[k] != GUARD) refuse("buffer %u is overrun", i);
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) refuse("name DATA, OUTPUTS and REPEATS");
    open_streams(argv[1], argv[2]);
#ifdef __linux__
    int moved = argc == 5;
#else
    int moved = 0;
#endif
    uint32_t repeats = argv[3][0] - '0', count = word();
    if (count > MOST_BUFFERS) refuse("too many buffers");
    for (struct buffer *b = buffers; b < buffers + count; b++) {
        b->size = word();
        b->room = word();
        b->bytes = place(b->room, 0);
        if (take(b->bytes, b->size) != b->size) refuse("too little data");
        for (uint32_t k = b->size; k < b->room; k++) b->bytes[k] = GUARD;
        if (!moved) continue;
        b->moved = place(b->room, 1);
        for (uint32_t k = 0; k < b->room; k++) b->moved[k] = b->bytes[k];
    }
    uint32_t number = word();
    if (number > MOST_CALLS) refuse("too many calls");
    for (struct call *call = calls; call < calls + number; call++) {
        call->kernel = word();
        call->repeats = repeats;
        call->number = word();
        if (call->number > MOST_ARGUMENTS) refuse("too many arguments");
        for (uint32_t i = 0; i < call->number; i++) call->arguments[i] = word();
        perform(call, 0);
        const struct buffer *last = buffers + call->arguments[call->number - 1];
        put(last->bytes, last->size);
    }
    for (uint32_t i = 0; moved && i < number; i++) perform(calls + i, 1);
    for (uint32_t i = 0; i < count; i++) {
        check_guards(buffers[i].bytes, i);
        if (moved) check_guards(buffers[i].moved, i);
        for (uint32_t k = 0; moved && k < buffers[i].size; k++)
            if (buffers[i].moved[k] != buffers[i].bytes[k]) refuse("buffer %u is another one where it lies elsewhere", i);
    }
    close_streams();
    return 0;
}
