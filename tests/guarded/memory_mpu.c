/* Guards that are holes between the regions of an Armv8-M memory protection unit: 32 bytes each at least. What no region
 * has cannot be touched, not even by privileged code. */
#include "memory_guarded.h"
#include "system.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define MPU_TYPE REGISTER(0xe000ed90)
#define MPU_CTRL REGISTER(0xe000ed94)
#define MPU_RNR REGISTER(0xe000ed98)
#define MPU_RBAR REGISTER(0xe000ed9c)
#define MPU_RLAR REGISTER(0xe000eda0)
#define MPU_MAIR0 REGISTER(0xe000edc0)

enum { VECTORS, CODE, BEFORE_CONSTANTS, CONSTANTS, BEFORE_ZONES, BEHIND_ZONES, FIRST_ZONE };
enum { PRIVILEGED_WRITE = 0, PRIVILEGED_READ = 2, NEVER_EXECUTED = 1, ENABLED = 1 };

struct zones {
    uint8_t guard[GRANULE];
    uint8_t arena[ARENA_ZONE_BYTES];
    uint8_t guards[3][GRANULE + OTHER_ZONE_BYTES];
    uint8_t last_guard[GRANULE];
};
static _Alignas(GRANULE) struct zones zones;

static void region(unsigned number, uintptr_t start, uintptr_t end, enum access access, int executed)
{
    MPU_RNR = number;
    MPU_RLAR = 0;
    if (access != NOTHING && start < end) {
        unsigned allowed = access == WRITE ? PRIVILEGED_WRITE : PRIVILEGED_READ;
        MPU_RBAR = start | allowed << 1 | (executed ? 0 : NEVER_EXECUTED);
        MPU_RLAR = ((end - 1) & ~(uintptr_t)(GRANULE - 1)) | ENABLED;
    }
    __asm__ volatile("dsb\n isb" ::: "memory");
}

void guard_constants(void)
{
    if ((MPU_TYPE >> 8 & 0xff) < FIRST_ZONE + ZONES)
        refuse("the memory protection unit has too few regions.");
    MPU_MAIR0 = 0xff; /* ordinary memory */
    region(VECTORS, VECTORS_START, VECTORS_END, READ, 1);
    region(CODE, CODE_START, CODE_END, READ, 1);
    region(BEFORE_CONSTANTS, DATA_START, (uintptr_t)guard_in_front, WRITE, 0);
    region(CONSTANTS, (uintptr_t)guard_in_front + GUARD_BYTES, (uintptr_t)guard_behind, READ, 0);
    region(BEFORE_ZONES, (uintptr_t)guard_behind + GUARD_BYTES, (uintptr_t)&zones, WRITE, 0);
    region(BEHIND_ZONES, (uintptr_t)(&zones + 1), DATA_END, WRITE, 0);
    MPU_CTRL = 1; /* no default map behind the regions; off in fault handlers */
    __asm__ volatile("dsb\n isb" ::: "memory");
}

size_t zone_bytes(enum zone zone)
{
    return zone == ARENA ? ARENA_ZONE_BYTES : OTHER_ZONE_BYTES;
}

uint8_t *zone_start(enum zone zone)
{
    return zone == ARENA ? zones.arena : zones.guards[zone - 1] + GRANULE;
}

void open_zone(enum zone zone, size_t used, enum access access)
{
    uintptr_t start = (uintptr_t)zone_start(zone);
    region(FIRST_ZONE + zone, start, start + used, access, 0);
}
