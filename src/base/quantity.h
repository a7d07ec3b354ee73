/* quantity.h - "40KiB", "1.5M": a number and its unit, as users write amounts. */
#ifndef NB_BASE_QUANTITY_H
#define NB_BASE_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name; /* "KiB"; NULL ends a list */
    int64_t times;
} nb_unit;

extern const nb_unit nb_units_of_bytes[];  /* B, kB, MB, KiB, MiB; without: bytes */
extern const nb_unit nb_units_of_counts[]; /* k, M, G; without: ones */

/* A decimal number, then a unit or none; parts of one are dropped. False: it is none, or not in 1..2^53; then why [size] says
 * what it must be, the end of a sentence. */
enum { NB_QUANTITY_WHY = 128 };
bool nb_quantity(const char *text, const nb_unit *units, int64_t *out, char *why, size_t size);

#endif
