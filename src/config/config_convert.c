/* config_convert.c - a scalar's text to the type its key asks for, strictly: the whole text must be one value of the
 * type.
 *
 * Numbers do not depend on the locale of the program that embeds us. */
#include "config/config_tree.h"

#include "base/check.h"
#include "base/numtext.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_unbounded(const nb_key *k)
{
    return k->min == 0 && k->max == 0;
}

static void int_bounds(const nb_key *k, long long *lo, long long *hi)
{
    bool any = is_unbounded(k);
    *lo = any || k->min < INT32_MIN ? INT32_MIN : (long long)ceil(k->min);
    *hi = any || k->max > INT32_MAX ? INT32_MAX : (long long)floor(k->max);
}

static void float_bounds(const nb_key *k, double *lo, double *hi)
{
    bool any = is_unbounded(k);
    *lo = any ? -FLT_MAX : k->min;
    *hi = any ? FLT_MAX : k->max;
}

static char *allowed_int(const nb_key *k, char *buf, size_t size)
{
    long long lo = 0;
    long long hi = 0;
    int_bounds(k, &lo, &hi);
    if (lo == INT32_MIN && hi == INT32_MAX)
        snprintf(buf, size, "any integer");
    else if (hi == INT32_MAX)
        snprintf(buf, size, ">= %lld", lo);
    else
        snprintf(buf, size, "%lld..%lld", lo, hi);
    return buf;
}

static char *allowed_float(const nb_key *k, char *buf, size_t size)
{
    double lo = 0;
    double hi = 0;
    float_bounds(k, &lo, &hi);
    nb_c_locale locale;
    nb_c_locale_enter(&locale);
    if (lo <= -FLT_MAX && hi >= FLT_MAX)
        snprintf(buf, size, "any number");
    else if (hi >= FLT_MAX)
        snprintf(buf, size, ">= %g", lo);
    else if (lo <= -FLT_MAX)
        snprintf(buf, size, "<= %g", hi);
    else
        snprintf(buf, size, "%g..%g", lo, hi);
    nb_c_locale_leave(&locale);
    return buf;
}

const char *nb_key_allowed(const nb_key *k, char *buf, size_t size)
{
    switch (k->kind) {
    case NB_K_INT:
        return allowed_int(k, buf, size);
    case NB_K_FLOAT:
        return allowed_float(k, buf, size);
    case NB_K_UINT64:
        snprintf(buf, size, ">= 0");
        return buf;
    case NB_K_BOOL:
        snprintf(buf, size, "yes | no");
        return buf;
    case NB_K_STRING:
        snprintf(buf, size, "text");
        return buf;
    case NB_K_HW:
    case NB_K_SIDES:
        allowed_int(k, buf, size);
        snprintf(buf + strlen(buf), size - strlen(buf), "%s",
                 k->kind == NB_K_HW ? ", or [rows, columns]"
                                    : ", [rows, columns], [top, left, bottom, right], or same");
        return buf;
    case NB_K_ENUM:
    case NB_K_NODE:
        break;
    }
    size_t n = 0;
    for (const char *s = k->choices ? k->choices : "anything"; *s && n + 4 < size; s++) {
        bool spread = k->kind == NB_K_ENUM && *s == '|';
        n += (size_t)snprintf(buf + n, size - n, spread ? " | " : "%c", *s);
    }
    if (n == 0)
        snprintf(buf, size, "%s", "");
    return buf;
}

/* "must be a number in 0..1", "must be >= 0", "must be an integer" from a noun (or NULL) and what is allowed. */
static void must_be(char *why, size_t size, const char *noun, const char *allowed)
{
    bool any = strncmp(allowed, "any ", 4) == 0, relation = *allowed == '>' || *allowed == '<';
    snprintf(why, size, "must be%s%s%s%s", noun ? " " : "", noun ? noun : "",
             any        ? ""
             : relation ? " "
                        : " in ",
             any ? "" : allowed);
}

static bool to_int(const nb_key *k, const char *text, void *dst, char *why, size_t size)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t n = strspn(digits, "0123456789");
    char allowed[64];
    if (!n || digits[n]) {
        must_be(why, size, "an integer", allowed_int(k, allowed, sizeof allowed));
        return false;
    }
    long long lo = 0;
    long long hi = 0;
    int_bounds(k, &lo, &hi);
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (v < lo) {
        must_be(why, size, NULL, allowed_int(k, allowed, sizeof allowed));
        if (lo == INT32_MIN)
            snprintf(why, size, "must be in %lld..%lld", lo, hi);
        return false;
    }
    if (v > hi || errno == ERANGE) {
        snprintf(why, size, "must be in %lld..%lld", lo, hi);
        return false;
    }
    *(int32_t *)dst = (int32_t)v;
    return true;
}

static bool to_uint64(const char *text, void *dst, char *why, size_t size)
{
    size_t n = strspn(text, "0123456789");
    errno = 0;
    unsigned long long v = n && !text[n] ? strtoull(text, NULL, 10) : 0;
    if (!n || text[n] || errno == ERANGE) {
        snprintf(why, size, "must be an integer in 0..18446744073709551615");
        return false;
    }
    *(uint64_t *)dst = v;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits] with a digit before or after the point: no hex, no nan, no "1_000". */
static bool is_decimal(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789");
    size_t fraction = 0;
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        size_t n = strspn(s, "0123456789");
        s += n;
        if (!n)
            return false;
    }
    return !*s;
}

static bool is_infinity(const char *s)
{
    s += *s == '-' || *s == '+';
    s += *s == '.'; /* YAML's own spelling */
    return !strcmp(s, "inf");
}

/* False when the C locale cannot be had (out of memory). Too small for a double is NaN here: it is not 0. */
static bool read_decimal(const char *text, double *v)
{
    nb_c_locale locale;
    if (!nb_c_locale_enter(&locale))
        return false;
    errno = 0;
    *v = strtod(text, NULL);
    if (errno == ERANGE && *v == 0)
        *v = (double)NAN;
    nb_c_locale_leave(&locale);
    return true;
}

static bool to_float(const nb_key *k, const char *text, void *dst, char *why, size_t size)
{
    char allowed[64];
    double lo = 0;
    double hi = 0;
    float_bounds(k, &lo, &hi);
    allowed_float(k, allowed, sizeof allowed);
    bool infinite = is_infinity(text), takes_inf = hi > (double)FLT_MAX;
    double v = *text == '-' ? -(double)INFINITY : (double)INFINITY;
    if (!infinite && !is_decimal(text)) {
        must_be(why, size, is_unbounded(k) ? "a finite number" : "a number", allowed);
        size_t n = strlen(why);
        if (takes_inf)
            snprintf(why + n, size - n, " or inf");
        return false;
    }
    if (!infinite && !read_decimal(text, &v)) {
        snprintf(why, size, "cannot be read: out of memory");
        return false;
    }
    if (v < lo || v > hi) {
        must_be(why, size, is_unbounded(k) ? "a finite number" : NULL, allowed);
        return false;
    }
    if (!infinite && !(v == 0 || (fabs(v) <= (double)FLT_MAX && fabs(v) >= (double)FLT_MIN))) {
        snprintf(why, size, "must be a number a 32-bit float can hold, 1.2e-38 to 3.4e38 in size");
        return false;
    }
    *(float *)dst = (float)v;
    return true;
}

static bool to_bool(const char *text, void *dst, char *why, size_t size)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcmp(text, words[i])) {
            *(bool *)dst = i & 1;
            return true;
        }
    }
    snprintf(why, size, "must be yes or no (also true, false, on, off)");
    return false;
}

enum { MAX_CHOICES = 32, MAX_CHOICES_BYTES = 512 };

static bool to_enum(const nb_key *k, const char *text, void *dst, char *why, size_t size)
{
    char words[MAX_CHOICES_BYTES];
    char *next = words;
    const char *names[MAX_CHOICES];
    int32_t n = 0;
    NB_ASSERT(strlen(k->choices) < sizeof words);
    memcpy(words, k->choices, strlen(k->choices) + 1);
    while (next) {
        NB_ASSERT(n < MAX_CHOICES);
        names[n++] = next;
        next = strchr(next, '|');
        if (next)
            *next++ = '\0';
    }
    for (int32_t i = 0; i < n; i++) {
        if (!strcmp(text, names[i])) {
            *(int32_t *)dst = i;
            return true;
        }
    }
    const char *near = nb_closest(text, names, n);
    size_t at = (size_t)snprintf(why, size, "must be ");
    for (int32_t i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(why + at, size - at, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", names[i]);
    if (near && at < size)
        snprintf(why + at, size - at, " (did you mean \"%s\"?)", near);
    return false;
}

/* One number for rows and columns, or all sides. */
static bool to_same(const nb_key *k, const char *text, int32_t *dst, char *why, size_t size)
{
    const int32_t n = k->kind == NB_K_HW ? 2 : 4;
    const bool by_size = k->kind == NB_K_SIDES && !strcmp(text, "same");
    dst[0] = -1;
    if (!by_size && !to_int(k, text, dst, why, size))
        return false;
    for (int32_t i = 1; i < n; i++)
        dst[i] = dst[0];
    return true;
}

bool nb_conf_convert(const nb_key *k, const char *text, void *dst, char *why, size_t size)
{
    switch (k->kind) {
    case NB_K_INT:
        return to_int(k, text, dst, why, size);
    case NB_K_UINT64:
        return to_uint64(text, dst, why, size);
    case NB_K_FLOAT:
        return to_float(k, text, dst, why, size);
    case NB_K_BOOL:
        return to_bool(text, dst, why, size);
    case NB_K_ENUM:
        return to_enum(k, text, dst, why, size);
    case NB_K_STRING:
        *(const char **)dst = text;
        return true;
    case NB_K_HW:
    case NB_K_SIDES:
        return to_same(k, text, dst, why, size);
    case NB_K_NODE:
        break;
    }
    return false; /* a node is not converted */
}
