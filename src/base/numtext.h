/* numtext.h - numbers as text that reads back as the same number, whatever the locale. */
#ifndef NB_BASE_NUMTEXT_H
#define NB_BASE_NUMTEXT_H

enum { NB_NUMTEXT = 32 };

/* Shortest of %.1g .. %.9g (.17g) that gives the same float (double) again, always with a point, valid JSON for finite
 * values. Returns buf. */
const char *nb_float_text(char buf[NB_NUMTEXT], float v);
const char *nb_double_text(char buf[NB_NUMTEXT], double v);

#endif
