/* ibytes.h - memcpy and memset, with or without a hosted libc, and how a byte becomes a code. */
#ifndef NB_KERNELS_IBYTES_H
#define NB_KERNELS_IBYTES_H

#include <stddef.h>
#include <stdint.h>

#ifdef NB_FREESTANDING /* a bare target may have no <string.h>, but must provide these two (compilers emit calls to    \
                          them anyway) */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
#else
#    include <string.h>
#endif

static inline int32_t nb_code(uint8_t byte, int32_t is_signed)
{
    return is_signed ? (int32_t)(byte ^ 0x80) - 0x80 : (int32_t)byte;
}

#endif
