/* Guards that are pages without any access. */
#include <sys/mman.h>

#include "memory_guarded.h"
#include "system.h"

static uint8_t *zones[ZONES];

void guard_constants(void)
{
    if (mprotect((void *)(uintptr_t)guard_in_front, GUARD_BYTES, PROT_NONE) ||
        mprotect((void *)(uintptr_t)guard_behind, GUARD_BYTES, PROT_NONE))
        refuse("the constants cannot be guarded.");
}

size_t zone_bytes(enum zone zone)
{
    return zone == ARENA ? ARENA_ZONE_BYTES : OTHER_ZONE_BYTES;
}

uint8_t *zone_start(enum zone zone)
{
    if (zones[zone] == NULL) {
        size_t bytes = zone_bytes(zone) + 2 * GRANULE;
        zones[zone] = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (zones[zone] == MAP_FAILED)
            refuse("there is no memory left.");
    }
    return zones[zone] + GRANULE;
}

void open_zone(enum zone zone, size_t used, enum access access)
{
    int allowed = access == WRITE ? PROT_READ | PROT_WRITE : access == READ ? PROT_READ : PROT_NONE;
    uint8_t *start = zone_start(zone);
    if (mprotect(start, used, allowed) ||
        (used < zone_bytes(zone) && mprotect(start + used, zone_bytes(zone) - used, PROT_NONE)))
        refuse("a zone cannot be opened.");
}
