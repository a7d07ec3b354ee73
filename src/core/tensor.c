/* tensor.c - shapes: counting with an overflow limit, comparing, printing. */
#include <nibble/extend/tensor.h>

#include <stdio.h>
#include <string.h>

/* Far above any tensor that fits in memory, far below overflow of byte counts. */
static const int64_t COUNT_LIMIT = (int64_t)1 << 40;

int64_t nb_shape_count(const nb_shape *s)
{
    int64_t n = 1;
    for (int32_t i = 0; i < s->ndim; i++) {
        if (s->d[i] < 0 || (s->d[i] > 0 && n > COUNT_LIMIT / s->d[i]))
            return -1;
        n *= s->d[i];
    }
    return n;
}

bool nb_shape_equal(const nb_shape *a, const nb_shape *b)
{
    return a->ndim == b->ndim && memcmp(a->d, b->d, (size_t)a->ndim * sizeof a->d[0]) == 0;
}

nb_shape nb_shape_of(int32_t ndim, int32_t d0, int32_t d1, int32_t d2, int32_t d3)
{
    return (nb_shape){.ndim = ndim, .d = {d0, ndim > 1 ? d1 : 0, ndim > 2 ? d2 : 0, ndim > 3 ? d3 : 0}};
}

const char *nb_shape_text(const nb_shape *s, char *buf, size_t len)
{
    size_t at = 0;
    if (len > 0)
        buf[0] = '\0';
    for (int32_t i = 0; i < s->ndim && at < len; i++) {
        int w = snprintf(buf + at, len - at, "%s%d", i ? "x" : "", s->d[i]);
        at += w > 0 ? (size_t)w : 0;
    }
    return buf;
}
