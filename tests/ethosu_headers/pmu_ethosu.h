/* The part of Arm's interface to the NPU's counters that npu_ethosu.c uses, declared again for a test. */
#pragma once
#include <stdint.h>

#include "ethosu_driver.h"

#define ETHOSU_PMU_CCNT_Msk (1UL << 31)

void ETHOSU_PMU_Enable(struct ethosu_driver *drv);
void ETHOSU_PMU_Disable(struct ethosu_driver *drv);
void ETHOSU_PMU_CNTR_Enable(struct ethosu_driver *drv, uint32_t mask);
void ETHOSU_PMU_CYCCNT_Reset(struct ethosu_driver *drv);
uint64_t ETHOSU_PMU_Get_CCNTR(struct ethosu_driver *drv);
