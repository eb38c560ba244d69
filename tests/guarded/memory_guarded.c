/* Zones whose guards are pages or regions of a protection unit: what both have in common. */
#include "memory_guarded.h"

#include "system.h"

static struct {
    size_t used, start, size;
} placed[ZONES];

uint8_t *place(enum zone zone, size_t size, int end, size_t shift)
{
    size_t used = (size + shift + GRANULE - 1) / GRANULE * GRANULE;
    if (used > zone_bytes(zone))
        refuse("zone %u is too small for %zu bytes.", (unsigned)zone, used);
    placed[zone].used = used;
    placed[zone].start = end == AT_FRONT ? shift : used - shift - size;
    placed[zone].size = size;
    open_zone(zone, used, WRITE);
    volatile uint8_t *bytes = zone_start(zone);
    for (size_t i = 0; i < used; i++)
        bytes[i] = MARGIN;
    return zone_start(zone) + placed[zone].start;
}

void allow(enum zone zone, enum access access)
{
    open_zone(zone, placed[zone].used, access);
}

void check_margins(enum zone zone)
{
    const uint8_t *bytes = zone_start(zone);
    size_t start = placed[zone].start, end = start + placed[zone].size;
    for (size_t i = 0; i < placed[zone].used; i++)
        if ((i < start || i >= end) && bytes[i] != MARGIN)
            refuse("zone %u: byte %u of %zu was written, and it belongs to nobody.", (unsigned)zone, (unsigned)i,
                   placed[zone].used);
}
