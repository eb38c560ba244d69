/* What memory_guarded.c asks of the processor. */
#ifndef MEMORY_GUARDED_H
#define MEMORY_GUARDED_H

#include "memory.h"
#include "sizes.h" /* of this network: guarded_memory.py writes it */

#ifdef __linux__
enum { GRANULE = 4096 };
#else
enum { GRANULE = 32 };
#endif

/* Where a zone begins, directly behind a guard. */
uint8_t *zone_start(enum zone zone);

/* The most that it can hold. */
size_t zone_bytes(enum zone zone);

/* The first `used` bytes may be accessed so, and nothing behind them. */
void open_zone(enum zone zone, size_t used, enum access access);

/* guards.S: untouchable bytes before and behind the constants, GUARD_BYTES each. */
extern const uint8_t guard_in_front[], guard_behind[];

#endif
