#define _GNU_SOURCE /* nftw */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "system.h"

void refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("gait-run: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(2);
}

void say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
}

/* Not a FILE: that would be memory from malloc, whose work depends on addresses, and `push` has to execute the same
 * instructions every time. */
int open_file(const char *path)
{
    return open(path, O_RDONLY);
}

size_t read_file(int file, void *bytes, size_t size)
{
    size_t done = 0;
    ssize_t step = 1;
    while (done < size && step > 0) {
        step = read(file, (char *)bytes + done, size - done);
        done += step > 0 ? (size_t)step : 0;
    }
    return done;
}

void rewind_file(int file)
{
    lseek(file, 0, SEEK_SET);
}

void close_file(int file)
{
    close(file);
}

const char *bundle_folder(void)
{
    static char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, PATH_MAX - 16);
    if (length < 0)
        refuse("the folder of gait-run is not known: name the selftest folder.");
    program[length] = '\0';
    return dirname(program);
}

const char *selftest_folder(void)
{
    static char folder[PATH_MAX];
    return strcat(strcpy(folder, bundle_folder()), "/selftest");
}

static int (*tell)(const char *name, int regular);
static size_t folder_length;

static int entry(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)where;
    return kind == FTW_D ? 0 : tell(path + folder_length + 1, kind == FTW_F && S_ISREG(facts->st_mode));
}

int each_file(const char *folder, int (*seen)(const char *name, int regular))
{
    tell = seen;
    folder_length = strlen(folder);
    int answer = nftw(folder, entry, 16, FTW_PHYS);
    if (answer < 0)
        refuse("%s cannot be listed: %s.", folder, strerror(errno));
    return answer;
}

void open_streams(const char *input, const char *output)
{
    if (input != NULL && freopen(input, "rb", stdin) == NULL)
        refuse("%s cannot be read: %s.", input, strerror(errno));
    if (output != NULL && freopen(output, "wb", stdout) == NULL)
        refuse("%s cannot be written: %s.", output, strerror(errno));
}

size_t take(void *bytes, size_t size)
{
    return fread(bytes, 1, size, stdin);
}

void put(const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, stdout) != size)
        refuse("standard output cannot be written: %s.", strerror(errno));
}

void close_streams(void)
{
    if (fflush(stdout) != 0)
        refuse("standard output cannot be written: %s.", strerror(errno));
}

uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t *room_for(size_t count)
{
    return malloc(count * sizeof(uint64_t));
}

/* VmHWM is this program's own; getrusage also counts what the parent used before it started this program. */
static long peak_bytes(void)
{
    char line[128];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && kilobytes == 0 && fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmHWM: %ld", &kilobytes);
    if (status != NULL)
        fclose(status);
    if (kilobytes == 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        kilobytes = usage.ru_maxrss;
    }
    return kilobytes * 1024;
}

void print_durations(struct durations of, const char *target, size_t arena, int json)
{
    double frame = of.median * 1e-6, most = of.p95 * 1e-6, last = of.embedding * 1e-6;
    if (json)
        printf("{\"target\": \"%s\", \"frame_ms\": {\"median\": %.6f, \"p95\": %.6f}, \"embedding_ms\": %.6f, "
               "\"peak_memory_bytes\": %ld, \"arena_bytes\": %zu}\n",
               target, frame, most, last, peak_bytes(), arena);
    else
        printf("frame %.3f ms (95 %%: %.3f ms), embedding %.3f ms, peak memory %ld kB of which the arena %zu kB\n",
               frame, most, last, peak_bytes() / 1024, arena / 1024);
}
