/* Calls compiled kernels on given memory: driver DATA OUTPUTS REPEATS. kernel_driver.py writes DATA and kernels.h.
 *
 * DATA is 32-bit words and bytes: the number of buffers, then of each its size, its room and its bytes; the number of
 * calls, then of each the kernel, the number of arguments and the arguments as buffer numbers. Every call is made
 * REPEATS times; then the bytes of its last argument's buffer go to OUTPUTS. Behind its size every buffer has guard
 * bytes that must survive, up to its room, and on Linux its room ends at a page that cannot be touched.
 */
#include "system.h"

typedef void kernel(char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *,
                    char *, char *, char *, char *);
#include "kernels.h" /* static kernel *const kernels[] */

enum { MOST_BUFFERS = 4096, MOST_ARGUMENTS = 16, GUARD = 0x5a };

static struct buffer {
    uint32_t size, room;
    char *bytes;
} buffers[MOST_BUFFERS];

#ifdef __linux__
#include <sys/mman.h>
static char *place(uint32_t room)
{
    size_t page = 4096, pages = (room + page - 1) / page * page;
    char *memory = mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + pages, page, PROT_NONE)) refuse("there is no memory left");
    return memory + pages - room;
}
#else
static _Alignas(64) char pool[8 << 20], *end = pool;
static char *place(uint32_t room)
{
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

int main(int argc, char **argv)
{
    if (argc != 4) refuse("name DATA, OUTPUTS and REPEATS");
    open_streams(argv[1], argv[2]);
    uint32_t repeats = argv[3][0] - '0', count = word();
    if (count > MOST_BUFFERS) refuse("too many buffers");
    for (struct buffer *b = buffers; b < buffers + count; b++) {
        b->size = word();
        b->room = word();
        b->bytes = place(b->room);
        if (take(b->bytes, b->size) != b->size) refuse("too little data");
        for (uint32_t k = b->size; k < b->room; k++) b->bytes[k] = GUARD;
    }
    for (uint32_t calls = word(); calls > 0; calls--) {
        kernel *call = kernels[word()];
        struct buffer *last = buffers;
        static char *a[MOST_ARGUMENTS]; // static: nothing here may call memset
        for (uint32_t i = 0, number = word(); i < number; i++) {
            last = buffers + word();
            a[i] = last->bytes;
        }
        for (uint32_t i = 0; i < repeats; i++)
            call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]);
        put(last->bytes, last->size);
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = buffers[i].size; k < buffers[i].room; k++)
            if (buffers[i].bytes[k] != GUARD) refuse("buffer %u is overrun", i);
    close_streams();
    return 0;
}
