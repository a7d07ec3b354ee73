/* numtext.h - numbers as text that reads back as the same number, whatever the locale. */
#ifndef NB_BASE_NUMTEXT_H
#define NB_BASE_NUMTEXT_H

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>

enum { NB_NUMTEXT = 32 };

/* Between these two, snprintf and strtod of this thread use a point, whatever locale the program around us has set.
 * Without memory for a locale nothing changes (enter returns false). */
typedef struct {
    locale_t c, before;
} nb_c_locale;
bool nb_c_locale_enter(nb_c_locale *l);
void nb_c_locale_leave(nb_c_locale *l);

/* Shortest of %.1g .. %.9g (.17g) that gives the same float (double) again, always with a point, valid JSON for finite
 * values. Returns buf. */
const char *nb_float_text(char buf[NB_NUMTEXT], float v);
const char *nb_double_text(char buf[NB_NUMTEXT], double v);
/* The same without an exponent, from 1e-5 to 1e15: 100, where the shortest is 1e+02. */
const char *nb_plain_text(char buf[NB_NUMTEXT], double v);

/* How a noun ends that is counted: "%d bit%s". */
static inline const char *nb_plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

/* What %.*f is to show: a tie goes away from 0, also one that products and quotients moved by some units in the last place,
 * so that 87 of 160 are 54.38 % however that was computed. */
double nb_shown(double v, int decimals);
/* A share, 0..1, in percent with two decimals. */
static inline double nb_percent(double share)
{
    return nb_shown(100 * share, 2);
}

#endif
