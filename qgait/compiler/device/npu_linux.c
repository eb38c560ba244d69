/* gait_npu_run for a processor under Linux, with the kernel's driver for the NPU (accel/ethosu, Linux 6.19 or later). This is
 * the only file that knows that driver; a program links it beside libgait.a.
 *
 * The kernel checks a command stream when it is handed over. Each is handed over once, with its weights, at its first run;
 * after that a run copies the inputs in and the outputs out. Everything is kept until the program ends. One run at a time:
 * call from one thread, or lock around the calls of gait.h.
 *
 * GAIT_NPU_DEVICE is the device file; the user must be allowed to read and write it. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/ethosu_accel.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "npu_driver.h"

#ifndef GAIT_NPU_DEVICE
#define GAIT_NPU_DEVICE "/dev/accel/accel0"
#endif
#define STREAMS 16    /* segments of all networks in one program */
#define PATIENCE 5000 /* milliseconds; the kernel itself resets an NPU that makes no progress for half a second */

enum { WEIGHTS, SCRATCH, FAST };

/* A stream that the kernel knows. */
static struct resident {
    const struct gait_npu_stream *stream;
    struct drm_ethosu_job job;
    uint8_t *scratch;
    int shared; /* the scratch memory as a file, which knows how the last run ended */
} residents[STREAMS];

static int device = -1;
static uint32_t on_chip; /* bytes of fast memory that the kernel has for region 2 */

static int call(unsigned long request, void *argument)
{
    return ioctl(device, request, argument);
}

static int open_device(void)
{
    struct drm_ethosu_npu_info info = {0};
    struct drm_ethosu_dev_query query = {DRM_ETHOSU_DEV_QUERY_NPU_INFO, sizeof info, (uintptr_t)&info};
    if (device >= 0)
        return 0;
    device = open(GAIT_NPU_DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0)
        return -1;
    if (call(DRM_IOCTL_ETHOSU_DEV_QUERY, &query) != 0) {
        close(device);
        device = -1;
        return -1;
    }
    on_chip = info.sram_size;
    return 0;
}

/* Memory that the NPU sees; `mapped` is where the processor sees it. */
static int allocate(uint32_t bytes, uint32_t *handle, uint8_t **mapped)
{
    struct drm_ethosu_bo_create buffer = {.size = bytes};
    if (call(DRM_IOCTL_ETHOSU_BO_CREATE, &buffer) != 0)
        return -1;
    *handle = buffer.handle;
    if (mapped == NULL)
        return 0;
    struct drm_ethosu_bo_mmap_offset place = {.handle = buffer.handle};
    if (call(DRM_IOCTL_ETHOSU_BO_MMAP_OFFSET, &place) != 0)
        return -1;
    void *memory = mmap(NULL, buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)place.offset);
    if (memory == MAP_FAILED)
        return -1;
    *mapped = memory;
    return 0;
}

/* The commands behind the header for Arm's other driver: "COP1", then actions of one word each, the action in its low byte.
 * The action 1 has two words more; behind the action 2, which holds their number, the commands begin. */
static int commands_of(const struct gait_npu_stream *stream, const uint8_t **commands, uint32_t *bytes)
{
    uint32_t words = stream->command_bytes / 4, word;
    if (words < 2 || memcmp(stream->commands, "COP1", 4) != 0)
        return -1;
    for (uint32_t at = 1; at < words; at += (word & 0xff) == 1 ? 3 : 1) {
        memcpy(&word, stream->commands + 4 * at, 4);
        if ((word & 0xff) == 2) {
            uint32_t count = word >> 16 | (word & 0xff00) << 8;
            if (count == 0 || count > words - at - 1)
                return -1;
            *commands = stream->commands + 4 * (at + 1);
            *bytes = 4 * count;
            return 0;
        }
    }
    return -1;
}

static int hand_over(const struct gait_npu_stream *stream, struct resident *to)
{
    const uint8_t *commands;
    uint8_t *weights;
    struct drm_ethosu_cmdstream_bo_create created = {0};
    memset(to, 0, sizeof *to);
    if (commands_of(stream, &commands, &created.size) != 0)
        return -1;
    created.data = (uintptr_t)commands;
    if (call(DRM_IOCTL_ETHOSU_CMDSTREAM_BO_CREATE, &created) != 0)
        return -1;
    to->job.cmd_bo = created.handle;
    /* The kernel refuses memory for a region that the stream does not use. */
    if (stream->weight_bytes != 0) {
        if (allocate(stream->weight_bytes, &to->job.region_bo_handles[WEIGHTS], &weights) != 0)
            return -1;
        memcpy(weights, stream->weights, stream->weight_bytes);
        munmap(weights, stream->weight_bytes);
    }
    if (allocate(stream->scratch_bytes, &to->job.region_bo_handles[SCRATCH], &to->scratch) != 0)
        return -1;
    struct drm_prime_handle scratch = {.handle = to->job.region_bo_handles[SCRATCH], .flags = O_CLOEXEC};
    if (call(DRM_IOCTL_PRIME_HANDLE_TO_FD, &scratch) != 0)
        return -1;
    to->shared = scratch.fd;
    if (stream->fast_bytes != 0) {
        if (stream->fast_bytes <= on_chip)
            to->job.sram_size = stream->fast_bytes;
        else if (allocate(stream->fast_bytes, &to->job.region_bo_handles[FAST], NULL) != 0) /* right, but slower */
            return -1;
    }
    to->stream = stream;
    return 0;
}

static struct resident *resident_of(const struct gait_npu_stream *stream)
{
    for (int i = 0; i < STREAMS; i++) {
        if (residents[i].stream == stream)
            return &residents[i];
        if (residents[i].stream == NULL)
            return hand_over(stream, &residents[i]) == 0 ? &residents[i] : NULL;
    }
    return NULL;
}

/* Waiting for the memory alone would not tell a run that failed from one that ended well; its fence does. */
static int run(struct resident *of)
{
    struct drm_ethosu_submit submit = {.jobs = (uintptr_t)&of->job, .job_count = 1};
    struct dma_buf_export_sync_file fence = {.flags = DMA_BUF_SYNC_READ, .fd = -1};
    struct sync_file_info end = {0};
    if (call(DRM_IOCTL_ETHOSU_SUBMIT, &submit) != 0 || ioctl(of->shared, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &fence) != 0)
        return -1;
    struct pollfd wait = {.fd = fence.fd, .events = POLLIN};
    int well = poll(&wait, 1, PATIENCE) == 1 && ioctl(fence.fd, SYNC_IOC_FILE_INFO, &end) == 0 && end.status == 1;
    close(fence.fd);
    return well ? 0 : -1;
}

int gait_npu_run(const struct gait_npu_stream *stream, uint8_t *scratch)
{
    if (open_device() != 0)
        return -1;
    struct resident *of = resident_of(stream);
    if (of == NULL)
        return -1;
    for (uint32_t i = 0; i < stream->inputs_count; i++)
        memcpy(of->scratch + stream->inputs[i].offset, scratch + stream->inputs[i].offset, stream->inputs[i].bytes);
    if (run(of) != 0)
        return -1;
    for (uint32_t i = 0; i < stream->outputs_count; i++)
        memcpy(scratch + stream->outputs[i].offset, of->scratch + stream->outputs[i].offset, stream->outputs[i].bytes);
    return 0;
}
