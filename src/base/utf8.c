/* utf8.c - one table of what may follow what, for the check and for reading. */
#include "base/utf8.h"

/* Bytes of the sequence at s, 0 if there is none. Reads no byte behind the first wrong one: a NUL ends a text. */
static size_t sequence(const uint8_t *s, size_t left)
{
    uint8_t a = s[0], lo = 0x80, hi = 0xbf;
    size_t n = a < 0x80 ? 1 : a >= 0xc2 && a <= 0xdf ? 2 : a >= 0xe0 && a <= 0xef ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    if (a == 0xe0)
        lo = 0xa0;
    else if (a == 0xed)
        hi = 0x9f;
    else if (a == 0xf0)
        lo = 0x90;
    else if (a == 0xf4)
        hi = 0x8f;
    for (size_t i = 1; i < n; i++, lo = 0x80, hi = 0xbf)
        if (s[i] < lo || s[i] > hi)
            return 0;
    return n;
}

bool nb_utf8_valid(const char *s, size_t len)
{
    const uint8_t *p = (const uint8_t *)s;
    for (size_t i = 0, n; i < len; i += n) {
        n = sequence(p + i, len - i);
        if (n == 0)
            return false;
    }
    return true;
}

size_t nb_utf8_next(const char *s, uint32_t *cp)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t n = sequence(p, 4);
    *cp = n == 0 ? NB_UTF8_BROKEN : n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        *cp = *cp << 6 | (p[i] & 0x3f);
    return n ? n : 1;
}
