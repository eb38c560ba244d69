/* Arm's driver without an NPU: writes down how it is called, one word or line a call. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu_driver.h"
#include "pmu_ethosu.h"

static struct ethosu_driver npu;
static int fails, none;

struct ethosu_driver *ethosu_reserve_driver(void)
{
    printf("reserve\n");
    return none ? NULL : &npu;
}

void ethosu_release_driver(struct ethosu_driver *drv)
{
    printf("release %d\n", drv == &npu);
}

int ethosu_invoke_v3(struct ethosu_driver *drv, const void *data, const int bytes, uint64_t *const base,
                     const size_t *size, const int count, void *argument)
{
    if (drv->fast_memory != 0)
        base[2] = drv->fast_memory;
    printf("invoke %s %d:", (const char *)data, bytes);
    for (int i = 0; i < count; i++)
        printf(" %s %zu", base[i] == 0 ? "nothing" : (const char *)(uintptr_t)base[i], size[i]);
    printf("%s\n", argument == NULL ? "" : " argument");
    return fails ? -1 : 0;
}

void ETHOSU_PMU_Enable(struct ethosu_driver *drv)
{
    printf("enable %d\n", drv == &npu);
}

void ETHOSU_PMU_Disable(struct ethosu_driver *drv)
{
    printf("disable %d\n", drv == &npu);
}

void ETHOSU_PMU_CNTR_Enable(struct ethosu_driver *drv, uint32_t mask)
{
    printf("count %d %" PRIx32 "\n", drv == &npu, mask);
}

void ETHOSU_PMU_CYCCNT_Reset(struct ethosu_driver *drv)
{
    printf("zero %d\n", drv == &npu);
}

uint64_t ETHOSU_PMU_Get_CCNTR(struct ethosu_driver *drv)
{
    return drv == &npu ? 1000 : 0;
}

/* Arguments: bytes of fast memory that the stream wants and that there are, then `fails` or `none`. */
int main(int argc, char **argv)
{
    static const char fast[] = "fast";
    static char scratch[] = "scratch";
    struct gait_npu_stream stream = {.commands = (const uint8_t *)"commands", .command_bytes = 40, .weights = (const uint8_t *)"weights",
                                     .weight_bytes = 50, .scratch_bytes = 60, .fast_bytes = (uint32_t)atoi(argv[1])};
    npu.fast_memory_size = (size_t)atoi(argv[2]);
    npu.fast_memory = npu.fast_memory_size == 0 ? 0 : (uintptr_t)fast;
    fails = argc > 3 && strcmp(argv[3], "fails") == 0;
    none = argc > 3 && strcmp(argv[3], "none") == 0;
    int answers[2];
    for (int i = 0; i < 2; i++)
        answers[i] = gait_npu_run(&stream, (uint8_t *)scratch);
    printf("answers %d %d\n", answers[0] != 0, answers[1] != 0);
#ifdef GAIT_NPU_CYCLES
    printf("cycles %" PRIu64, gait_npu_cycles());
    printf(" %" PRIu64 "\n", gait_npu_cycles());
#endif
    return 0;
}
