/* The functions that a C compiler may call by itself. libgait.so has its own copy, hidden from others, so that it
 * depends on no C library at all. Compiled with -fno-builtin, or the loops would become calls of themselves. */
#include <stddef.h>

/* Eight bytes at any address. */
typedef struct {
    unsigned char bytes[8];
} eight;

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; size >= sizeof(eight); size -= sizeof(eight), t += sizeof(eight), f += sizeof(eight))
        *(eight *)(void *)t = *(const eight *)(const void *)f;
    while (size--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t < f)
        while (size--)
            *t++ = *f++;
    else
        while (size--)
            t[size] = f[size];
    return to;
}

void *memset(void *to, int value, size_t size)
{
    unsigned char *t = to;
    while (size--)
        *t++ = (unsigned char)value;
    return to;
}

#ifdef __ARM_EABI__
void __aeabi_memcpy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

void __aeabi_memcpy4(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

void __aeabi_memcpy8(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

void __aeabi_memset(void *to, size_t size, int value)
{
    memset(to, value, size);
}

void __aeabi_memclr(void *to, size_t size)
{
    memset(to, 0, size);
}
#endif
