/* Memory between guards: what lies directly before and behind it cannot be touched. memory_pages.c does that with the
 * pages of Linux, memory_mpu.c with the memory protection unit of a Cortex-M, memory_heap.c leaves it to a sanitizer. */
#ifndef GUARDED_MEMORY_H
#define GUARDED_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum zone { ARENA, OTHER_ARENA, FRAME, CODES, ZONES };
enum access { NOTHING, READ, WRITE };
enum { AT_FRONT, AT_BACK };

/* What fills the bytes of a zone that belong to nobody. */
enum { MARGIN = 0x5a };

/* Guards the constants, once, before everything else. */
void guard_constants(void);

/* `size` bytes that may be written, `shift` bytes behind the guard in front or before the guard behind. What was in the
 * zone before is gone; the bytes between them and the guards hold MARGIN. */
uint8_t *place(enum zone zone, size_t size, int end, size_t shift);

/* What may be done with the whole zone from now on. */
void allow(enum zone zone, enum access access);

/* Refuses when a byte beside the last placed ones was written; they must be readable. */
void check_margins(enum zone zone);

#endif
