/* Stands in for the NPU when the library is tried on its own processor or in an emulator: plays back the runs of the file
 * npu.runs, and compares every byte that a run is given. No part of a bundle.
 *
 * The file has for every run, in order: the stream's name with its closing zero, the codes of every input, the codes of
 * every output. */
#include "npu_driver.h"
#include "system.h"

enum { AT_ONCE = 1024, SPOILED = 0x5a };

static int file = -1;
static unsigned number; /* of the run, from 0 */

/* Compares the next bytes of the file with `bytes`; answers the first that differs, or `size`. */
static uint32_t compare(const void *bytes, uint32_t size)
{
    static uint8_t expected[AT_ONCE];
    const uint8_t *found = bytes;
    for (uint32_t done = 0; done < size;) {
        uint32_t part = size - done < AT_ONCE ? size - done : AT_ONCE;
        if (read_file(file, expected, part) != part)
            refuse("npu.runs ends within run %u.", number);
        for (uint32_t i = 0; i < part; i++, done++)
            if (found[done] != expected[i])
                return done;
    }
    return size;
}

int gait_npu_run(const struct gait_npu_stream *stream, uint8_t *scratch)
{
    uint32_t length = 1;
    if (file < 0 && (file = open_file("npu.runs")) < 0)
        refuse("npu.runs cannot be read.");
    while (stream->name[length - 1] != '\0')
        length++;
    if (compare(stream->name, length) != length) {
        say("run %u of the NPU: %s comes at the wrong time\n", number, stream->name);
        return -1;
    }
    for (uint32_t i = 0; i < stream->inputs_count; i++) {
        const struct gait_npu_tensor *input = &stream->inputs[i];
        uint32_t at = compare(scratch + input->offset, input->bytes);
        if (at != input->bytes) {
            say("run %u of the NPU, %s: byte %u of its input %s is wrong\n", number, stream->name, (unsigned)at, input->name);
            return -1;
        }
    }
    for (uint32_t i = 0; i < stream->scratch_bytes; i++)
        scratch[i] = SPOILED;
    for (uint32_t i = 0; i < stream->outputs_count; i++) {
        const struct gait_npu_tensor *output = &stream->outputs[i];
        if (read_file(file, scratch + output->offset, output->bytes) != output->bytes)
            refuse("npu.runs ends within run %u.", number);
    }
    number++;
    return 0;
}
