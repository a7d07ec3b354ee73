/* numtext.c - numbers as text that reads back as the same number, whatever the locale.
 *
 * printf and strtod write and read the locale's decimal separator, so the search for the shortest text runs in the
 * locale and the separator becomes a point at the end. It may be longer than one byte. */
#include "lower/numtext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *with_point(char *buf)
{
    char *out = buf;
    for (const char *in = buf; *in; in++) {
        if (strchr("0123456789+-eEinfa", *in))
            *out++ = *in;
        else if (out == buf || out[-1] != '.')
            *out++ = '.';
    }
    *out = '\0';
    return buf;
}

const char *nb_float_text(char buf[NB_NUMTEXT], float v)
{
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(buf, NB_NUMTEXT, "%.*g", digits, (double)v);
        if (strtof(buf, NULL) == v)
            break;
    }
    return with_point(buf);
}

const char *nb_double_text(char buf[NB_NUMTEXT], double v)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, NB_NUMTEXT, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    return with_point(buf);
}
