/* gait_npu_run for a processor that drives the Ethos-U itself, with Arm's ethos-u-core-driver (0.16 or later). This is the only
 * file that knows that driver; the firmware compiles it with the driver's include folder.
 *
 * What the firmware does once, before the first gait_push:
 *   - ethosu_init() with the address of the NPU's registers and, where GAIT_NPU_FAST_BYTES of gait.h is not 0, with fast memory
 *     of at least that size; the driver puts it in the place of region 2;
 *   - the NPU's interrupt calls ethosu_irq_handler();
 *   - with a data cache: ethosu_flush_dcache() and ethosu_invalidate_dcache(), which are empty in the driver. It calls both for
 *     the scratch memory around every run. That begins and ends at multiples of 64 bytes;
 *   - where the NPU sees memory at other addresses than the processor: ethosu_address_remap().
 *
 * With -DGAIT_NPU_CYCLES the NPU counts its cycles, and gait_npu_cycles() tells them. */
#include <stddef.h>

#include "ethosu_driver.h"
#include "npu_driver.h"

#ifdef GAIT_NPU_CYCLES
#include "pmu_ethosu.h"

static uint64_t cycles;

uint64_t gait_npu_cycles(void)
{
    uint64_t since = cycles;
    cycles = 0;
    return since;
}
#endif

static int run(struct ethosu_driver *npu, const struct gait_npu_stream *stream, uint8_t *scratch)
{
    /* Always three: a driver with fast memory writes to the third, however many there are. */
    uint64_t address[3] = {(uintptr_t)stream->weights, (uintptr_t)scratch, 0};
    size_t bytes[3] = {stream->weight_bytes, stream->scratch_bytes, stream->fast_bytes};
    if (stream->fast_bytes > npu->fast_memory_size)
        return -1; /* or the NPU would write to address 0 */
    return ethosu_invoke_v3(npu, stream->commands, (int)stream->command_bytes, address, bytes, 3, NULL);
}

int gait_npu_run(const struct gait_npu_stream *stream, uint8_t *scratch)
{
    struct ethosu_driver *npu = ethosu_reserve_driver();
    if (npu == NULL)
        return -1;
#ifdef GAIT_NPU_CYCLES
    ETHOSU_PMU_Enable(npu); /* also keeps the NPU awake: waking up would reset the counter */
    ETHOSU_PMU_CNTR_Enable(npu, ETHOSU_PMU_CCNT_Msk);
    ETHOSU_PMU_CYCCNT_Reset(npu);
#endif
    int answer = run(npu, stream, scratch);
#ifdef GAIT_NPU_CYCLES
    if (answer == 0)
        cycles += ETHOSU_PMU_Get_CCNTR(npu);
    ETHOSU_PMU_Disable(npu);
#endif
    ethosu_release_driver(npu);
    return answer;
}
