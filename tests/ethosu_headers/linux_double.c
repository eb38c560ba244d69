/* A double of the kernel's driver for Ethos-U, and a program that makes two runs of two streams with it. It takes the place of
 * open, ioctl, mmap, munmap, poll and close in npu_linux.c. Its NPU adds the first weight to every byte of the input, writes
 * the sum over the output, and spoils the rest of the scratch memory.
 *   usage: program SRAM_BYTES [fails | refuses | missing] */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <drm/ethosu_accel.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "npu_driver.h"

enum { DEVICE = 7, SHARED = 20, FENCE = 50, BUFFERS = 32, SCRATCH_BYTES = 64, INPUT = 16, OUTPUT = 40, BYTES = 8 };

static struct {
    uint8_t *memory;
    uint64_t bytes;
    int commands;
} buffers[BUFFERS];
static uint32_t made, on_chip;
static const char *trouble = "";

static uint32_t make(uint64_t bytes, int commands)
{
    uint64_t whole = (bytes + 4095) / 4096 * 4096;
    buffers[++made].memory = calloc(1, whole);
    buffers[made].bytes = whole;
    buffers[made].commands = commands;
    return made;
}

int double_open(const char *name, int flags)
{
    printf("open %s %d\n", name, (flags & O_RDWR) != 0);
    return strcmp(trouble, "missing") ? DEVICE : -1;
}

static int submit(const struct drm_ethosu_job *job)
{
    const uint32_t *region = job->region_bo_handles;
    const uint8_t *commands = buffers[job->cmd_bo].memory;
    uint8_t *scratch = buffers[region[1]].memory, sum[BYTES];
    if (!buffers[job->cmd_bo].commands || job->sram_size > on_chip || (job->sram_size && region[2]))
        return -1;
    printf("submit first command %02x, weights %d, sram %u, region 2 %d\n", commands[0], region[0] != 0, job->sram_size,
           region[2] != 0);
    for (int i = 0; i < BYTES; i++)
        sum[i] = (uint8_t)(scratch[INPUT + i] + (region[0] ? buffers[region[0]].memory[0] : 0));
    memset(scratch, 0xee, SCRATCH_BYTES);
    memcpy(scratch + OUTPUT, sum, BYTES);
    return 0;
}

int double_ioctl(int file, unsigned long request, void *argument)
{
    switch (request) {
    case DRM_IOCTL_ETHOSU_DEV_QUERY: {
        struct drm_ethosu_dev_query *query = argument;
        struct drm_ethosu_npu_info info = {.sram_size = on_chip};
        memcpy((void *)(uintptr_t)query->pointer, &info, sizeof info);
        return file == DEVICE && query->size == sizeof info ? 0 : -1;
    }
    case DRM_IOCTL_ETHOSU_BO_CREATE: {
        struct drm_ethosu_bo_create *buffer = argument;
        buffer->handle = make(buffer->size, 0);
        buffer->size = buffers[made].bytes;
        return 0;
    }
    case DRM_IOCTL_ETHOSU_CMDSTREAM_BO_CREATE: {
        struct drm_ethosu_cmdstream_bo_create *stream = argument;
        if (!strcmp(trouble, "refuses") || stream->pad || stream->flags)
            return -1;
        printf("stream of %u bytes\n", stream->size);
        stream->handle = make(stream->size, 1);
        memcpy(buffers[made].memory, (const void *)(uintptr_t)stream->data, stream->size);
        return 0;
    }
    case DRM_IOCTL_ETHOSU_BO_MMAP_OFFSET: {
        struct drm_ethosu_bo_mmap_offset *place = argument;
        place->offset = (uint64_t)place->handle << 12;
        return 0;
    }
    case DRM_IOCTL_PRIME_HANDLE_TO_FD: {
        struct drm_prime_handle *shared = argument;
        shared->fd = SHARED + (int)shared->handle;
        return 0;
    }
    case DRM_IOCTL_ETHOSU_SUBMIT: {
        struct drm_ethosu_submit *jobs = argument;
        return jobs->job_count == 1 && !jobs->pad ? submit((const struct drm_ethosu_job *)(uintptr_t)jobs->jobs) : -1;
    }
    case DMA_BUF_IOCTL_EXPORT_SYNC_FILE: {
        struct dma_buf_export_sync_file *fence = argument;
        fence->fd = FENCE;
        return file > SHARED ? 0 : -1;
    }
    case SYNC_IOC_FILE_INFO:
        ((struct sync_file_info *)argument)->status = strcmp(trouble, "fails") ? 1 : -125;
        return file == FENCE ? 0 : -1;
    }
    return -1;
}

void *double_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    (void)at, (void)protection, (void)flags;
    uint64_t handle = (uint64_t)offset >> 12;
    return file == DEVICE && bytes <= buffers[handle].bytes ? buffers[handle].memory : MAP_FAILED;
}

int double_munmap(void *at, size_t bytes)
{
    (void)at, (void)bytes;
    return 0;
}

int double_poll(struct pollfd *files, nfds_t count, int milliseconds)
{
    return count == 1 && files[0].fd == FENCE && milliseconds > 0 ? 1 : -1;
}

int double_close(int file)
{
    return file == FENCE || file == DEVICE ? 0 : -1;
}

static const uint32_t commands[] = {0x31504f43, 0x00010001, 0, 0, 5, 0x00020002, 0xaabbccdd, 0x11223344};
static const uint8_t weights[] = {3, 1, 4};
static const struct gait_npu_tensor in = {"in", INPUT, BYTES}, out = {"out", OUTPUT, BYTES};

int main(int count, char **arguments)
{
    on_chip = count > 1 ? (uint32_t)atoi(arguments[1]) : 0;
    trouble = count > 2 ? arguments[2] : "";
    const struct gait_npu_stream with = {"a", (const uint8_t *)commands, sizeof commands, weights, sizeof weights,
                                         SCRATCH_BYTES, 100, &in, &out, 1, 1};
    struct gait_npu_stream without = with;
    without.weight_bytes = without.fast_bytes = 0;
    const struct gait_npu_stream *streams[] = {&with, &without};
    for (int run = 0; run < 4; run++) {
        uint8_t scratch[SCRATCH_BYTES] = {0};
        for (int i = 0; i < BYTES; i++)
            scratch[INPUT + i] = (uint8_t)(10 * run + i);
        int answer = gait_npu_run(streams[run % 2], scratch);
        printf("answer %d:", answer);
        for (int i = 0; i < BYTES; i++)
            printf(" %d", scratch[OUTPUT + i]);
        printf("\n");
    }
    return 0;
}
