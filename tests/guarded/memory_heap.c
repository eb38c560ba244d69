/* Each zone a piece of the heap of exactly its size: a sanitizer or valgrind watches what is beside it. */
#include <stdlib.h>

#include "memory.h"
#include "system.h"

static uint8_t *pieces[ZONES];

void guard_constants(void)
{
}

uint8_t *place(enum zone zone, size_t size, int end, size_t shift)
{
    free(pieces[zone]);
    size_t before = end == AT_FRONT ? shift : 0; /* a piece ends where the placed bytes do */
    pieces[zone] = malloc(before + size);
    if (pieces[zone] == NULL)
        refuse("there is no memory left.");
    return pieces[zone] + before;
}

void allow(enum zone zone, enum access access)
{
    (void)zone;
    (void)access;
}

void check_margins(enum zone zone)
{
    (void)zone;
}
