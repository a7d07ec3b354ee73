/* utf8.h - well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms, no surrogates), checked and read. */
#ifndef NB_BASE_UTF8_H
#define NB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NB_UTF8_BROKEN = 0xfffd };

bool nb_utf8_valid(const char *s, size_t len);
/* The next character of s (not at its end) and its length; a byte that begins none is NB_UTF8_BROKEN of length 1. */
size_t nb_utf8_next(const char *s, uint32_t *cp);
/* Of a terminal or of YAML, below U+0100. */
static inline bool nb_utf8_is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

#endif
