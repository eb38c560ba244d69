/* A Cortex-M without an operating system: start-up code, and the semihosting calls of Arm's specification (2.0, 32-bit
 * form) that a debugger or an emulator answers. */
#include <stdarg.h>

#include "system.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_SEEK = 0x0a };
enum { SYS_GET_CMDLINE = 0x15, SYS_EXIT = 0x18, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };
enum { READ = 1, WRITE = 5, STANDARD_OUTPUT = 4, STANDARD_ERROR = 8 };
enum { MOST_ARGUMENTS = 12, MOST_DURATIONS = 4096, PAINT = 0x5a5a5a5a };

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define DEMCR REGISTER(0xe000edfc)      /* bit 24: the trace unit, which holds the cycle counter, is on */
#define DWT_CTRL REGISTER(0xe0001000)   /* bit 0: cycles are counted */
#define DWT_CYCCNT REGISTER(0xe0001004)

extern uint32_t bss_start[], bss_end[], stack_limit[], stack_top[]; /* of the linker script */

int main(int argc, char **argv);

static int input = -1, output = -1, errors = -1, printed = -1;

static int call(int operation, const void *arguments)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static size_t length(const char *text)
{
    size_t size = 0;
    while (text[size] != '\0')
        size++;
    return size;
}

static int open(const char *path, uint32_t mode)
{
    const uint32_t arguments[] = {(uint32_t)path, mode, length(path)};
    return call(SYS_OPEN, arguments);
}

/* Whether all bytes were written. */
static int write(int file, const void *bytes, size_t size)
{
    const uint32_t arguments[] = {(uint32_t)file, (uint32_t)bytes, size};
    return call(SYS_WRITE, arguments) == 0;
}

_Noreturn static void leave(uint32_t code)
{
    const uint32_t arguments[] = {APPLICATION_EXIT, code};
    call(SYS_EXIT_EXTENDED, arguments);
    for (;;) /* for a debugger that knows only the older call */
        call(SYS_EXIT, (const void *)APPLICATION_EXIT);
}

static void print_number(int file, unsigned value, int negative)
{
    char digits[12], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    if (negative)
        *--first = '-';
    write(file, first, (size_t)(digits + sizeof digits - first));
}

static void print(int file, const char *format, va_list values)
{
    while (*format != '\0') {
        size_t plain = 0;
        while (format[plain] != '\0' && format[plain] != '%')
            plain++;
        if (plain > 0)
            write(file, format, plain);
        format += plain;
        if (*format == '\0')
            break;
        format += format[1] == 'z' ? 2 : 1;
        const char *text;
        int value;
        switch (*format++) {
        case 's':
            text = va_arg(values, const char *);
            write(file, text, length(text));
            break;
        case 'd':
            value = va_arg(values, int);
            print_number(file, value < 0 ? 0u - (unsigned)value : (unsigned)value, value < 0);
            break;
        case 'u':
            print_number(file, va_arg(values, unsigned), 0);
            break;
        default:
            write(file, format - 1, 1);
        }
    }
}

void refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    write(errors, "gait-run: ", 10);
    print(errors, format, values);
    write(errors, "\n", 1);
    va_end(values);
    leave(2);
}

void say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print(printed, format, values);
    va_end(values);
}

int open_file(const char *path)
{
    return open(path, READ);
}

size_t read_file(int file, void *bytes, size_t size)
{
    size_t left = size, before = size + 1;
    while (left > 0 && left < before) {
        const uint32_t arguments[] = {(uint32_t)file, (uint32_t)bytes + (size - left), left};
        before = left;
        left = (size_t)call(SYS_READ, arguments);
    }
    return size - left;
}

void rewind_file(int file)
{
    const uint32_t arguments[] = {(uint32_t)file, 0};
    call(SYS_SEEK, arguments);
}

void close_file(int file)
{
    call(SYS_CLOSE, &file);
}

const char *bundle_folder(void)
{
    return "."; /* where the debugger or emulator was started */
}

const char *selftest_folder(void)
{
    return "selftest";
}

int each_file(const char *folder, int (*seen)(const char *name, int regular))
{
    (void)folder, (void)seen;
    return 0;
}

void open_streams(const char *from, const char *to)
{
    if (from == NULL || to == NULL)
        refuse("there is no standard input without an operating system: name two files.");
    input = open(from, READ);
    output = open(to, WRITE);
    if (input < 0 || output < 0)
        refuse("%s cannot be %s.", input < 0 ? from : to, input < 0 ? "read" : "written");
}

size_t take(void *bytes, size_t size)
{
    return read_file(input, bytes, size);
}

void put(const void *bytes, size_t size)
{
    if (!write(output, bytes, size))
        refuse("the results cannot be written.");
}

void close_streams(void)
{
    if (call(SYS_CLOSE, &output) != 0)
        refuse("the results cannot be written.");
}

uint64_t now(void)
{
    static uint64_t high;
    static uint32_t last;
    uint32_t cycles = DWT_CYCCNT;
    if (cycles < last)
        high += (uint64_t)1 << 32;
    last = cycles;
    return high + cycles;
}

uint64_t *room_for(size_t count)
{
    static uint64_t durations[MOST_DURATIONS];
    return count <= MOST_DURATIONS ? durations : NULL;
}

void print_durations(struct durations of, const char *target, size_t arena, int json)
{
    if (of.median == 0)
        refuse("the cycle counter stands still: emulators have none.");
    say(json ? "{\"target\": \"%s\", \"frame_cycles\": {\"median\": %u, \"p95\": %u}, \"embedding_cycles\": %u, "
               "\"arena_bytes\": %zu}\n"
             : "%s: frame %u cycles (95 %%: %u), embedding %u cycles, arena %zu bytes\n",
        target, (unsigned)of.median, (unsigned)of.p95, (unsigned)of.embedding, arena);
}

/* Any fault: an instruction that the processor lacks, memory that is not there. */
static void fault(void)
{
    unsigned number;
    __asm__ volatile("mrs %0, ipsr" : "=r"(number));
    refuse("the processor stopped with exception %u.", number);
}

static unsigned stack_used(void)
{
    const uint32_t *lowest = stack_limit;
    while (lowest < stack_top && *lowest == PAINT)
        lowest++;
    return (unsigned)(stack_top - lowest) * (unsigned)sizeof *lowest;
}

/* Words of the command line, which is separated by spaces. */
static int split(char *line, char **words)
{
    int count = 0;
    while (*line != '\0' && count < MOST_ARGUMENTS) {
        words[count++] = line;
        while (*line != '\0' && *line != ' ')
            line++;
        while (*line == ' ')
            *line++ = '\0';
    }
    words[count] = NULL;
    return count;
}

__attribute__((used)) static void start(void)
{
    static char line[1024], *words[MOST_ARGUMENTS + 1];
    const uint32_t arguments[] = {(uint32_t)line, sizeof line};
    for (uint32_t *word = bss_start; word < bss_end; word++)
        *word = 0;
    DEMCR |= 1u << 24;
    DWT_CTRL |= 1;
    printed = open(":tt", STANDARD_OUTPUT);
    errors = open(":tt", STANDARD_ERROR);
    if (call(SYS_GET_CMDLINE, arguments) != 0)
        refuse("there is no command line.");
    int code = main(split(line, words), words);
    say("stack: %u bytes\n", stack_used());
    leave((uint32_t)code);
}

/* In assembler, because vector instructions must not come before the registers are switched on. */
__attribute__((naked)) static void reset(void)
{
    __asm__ volatile("ldr r0, =0xe000ed88\n" /* CPACR, bits 20 to 23: floating-point and vector registers */
                     "ldr r1, [r0]\n"
                     "orr r1, r1, #0xf00000\n"
                     "str r1, [r0]\n"
                     "dsb\n"
                     "isb\n"
                     "ldr r0, =stack_limit\n"
                     "ldr r1, =0x5a5a5a5a\n" /* PAINT */
                     "1: str r1, [r0], #4\n"
                     "cmp r0, sp\n"
                     "blo 1b\n"
                     "b start\n");
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
};
