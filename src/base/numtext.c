/* numtext.c - numbers as text that reads back as the same number, whatever the locale.
 *
 * printf and strtod write and read the locale's decimal separator, so the search for the shortest text runs in the
 * locale and the separator becomes a point at the end. It may be longer than one byte. */
#include "base/numtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nb_c_locale_enter(nb_c_locale *l)
{
    l->before = (locale_t)0;
    l->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!l->c)
        return false;
    l->before = uselocale(l->c);
    return true;
}

void nb_c_locale_leave(nb_c_locale *l)
{
    if (!l->c)
        return;
    uselocale(l->before);
    freelocale(l->c);
}

static const char *with_point(char *out, const char *in)
{
    char *o = out;
    for (; *in; in++) {
        if (strchr("0123456789+-eEinfa", *in))
            *o++ = *in;
        else if (o == out || o[-1] != '.')
            *o++ = '.';
    }
    *o = '\0';
    return out;
}

const char *nb_float_text(char buf[NB_NUMTEXT], float v)
{
    char text[NB_NUMTEXT];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    return with_point(buf, text);
}

const char *nb_double_text(char buf[NB_NUMTEXT], double v)
{
    char text[NB_NUMTEXT];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return with_point(buf, text);
}

const char *nb_plain_text(char buf[NB_NUMTEXT], double v)
{
    static const double LEAST = 1e-5, MOST = 1e15;
    char text[NB_NUMTEXT];
    if (!strchr(nb_double_text(buf, v), 'e') || !(fabs(v) >= LEAST && fabs(v) < MOST))
        return buf;
    for (int decimals = 0; decimals <= 21; decimals++) { /* 17 digits of 1e-5 */
        snprintf(text, sizeof text, "%.*f", decimals, v);
        if (strtod(text, NULL) == v)
            return with_point(buf, text);
    }
    return buf;
}

double nb_shown(double v, int decimals)
{
    static const double UNITS = 8 * 2.220446049250313e-16, MOST = 1e15; /* beyond it there are no decimals to round */
    double power = 1;
    for (int i = 0; i < decimals; i++)
        power *= 10;
    const double x = v * power;
    return fabs(x) < MOST ? round(x + UNITS * x) / power : v;
}
