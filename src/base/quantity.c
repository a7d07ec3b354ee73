/* quantity.c - see quantity.h. In the C locale, whatever the program around us has set. */
#include "base/quantity.h"

#include "base/numtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const nb_unit nb_units_of_bytes[] = {{"", 1},       {"B", 1},         {"kB", 1000}, {"MB", 1000000},
                                     {"KiB", 1024}, {"MiB", 1 << 20}, {0}};
const nb_unit nb_units_of_counts[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {0}};

static bool is_none(const nb_unit *units, char *why, size_t size)
{
    int at = snprintf(why, size, "must be a plain number, like 40960 or 1.5, and a unit (");
    const char *comma = "";
    for (const nb_unit *u = units; u->name && at > 0 && (size_t)at < size; u++)
        if (*u->name) {
            at += snprintf(why + at, size - (size_t)at, "%s%s", comma, u->name);
            comma = ", ";
        }
    if (at > 0 && (size_t)at < size)
        snprintf(why + at, size - (size_t)at, ") or none");
    return false;
}

bool nb_quantity(const char *text, const nb_unit *units, int64_t *out, char *why, size_t size)
{
    const double most = 9007199254740992.0; /* 2^53: up to here a double is exact */
    const size_t digits = strspn(text, "0123456789.");
    char number[320] = "";
    if (digits == 0 || digits >= sizeof number || strspn(text, ".") == digits)
        return is_none(units, why, size);
    memcpy(number, text, digits);
    const char *unit = text + digits;
    unit += *unit == ' ';
    const nb_unit *u = units;
    while (u->name && strcmp(u->name, unit) != 0)
        u++;
    if (!u->name)
        return is_none(units, why, size);
    nb_c_locale locale;
    char *end;
    nb_c_locale_enter(&locale);
    const double v = floor(strtod(number, &end) * (double)u->times);
    nb_c_locale_leave(&locale);
    if (*end)
        return is_none(units, why, size);
    if (!(v >= 1 && v <= most)) {
        snprintf(why, size, "must be in 1..%.0f", most);
        return false;
    }
    *out = (int64_t)v;
    return true;
}
