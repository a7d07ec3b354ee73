/* sweep_axes.h - changes of a config, choices between them, and axes of choices, as a sweep file writes them. */
#ifndef NB_SWEEP_SWEEP_AXES_H
#define NB_SWEEP_SWEEP_AXES_H

#include "sweep/sweep_plan.h"

enum { NB_SWEEP_MAX_SETS = 256, NB_SWEEP_MAX_CHOICES = 512 };

/* KEY=VALUE as --set takes them. */
typedef struct {
    const char **set;
    int32_t n;
} nb_changes;

typedef struct {
    const char *name;
    nb_changes c;
    bool quantize;
} nb_choice;

typedef struct {
    nb_choice *of;
    int32_t n;
} nb_choices;

extern const nb_choice nb_choice_nothing; /* no name, no changes */

/* {KEY: VALUE, ...}, behind those of `before` (NULL: none). where names the section in messages. */
nb_status nb_changes_bind(nb_sweep *s, const nb_conf *map, const char *where, const nb_changes *before,
                          nb_changes *out);
/* {NAME: changes, ...}, {KEY: [VALUE, ...]}, or a list of such maps: all combinations. */
nb_status nb_axis_bind(nb_sweep *s, const nb_conf *c, const char *where, nb_choices *out);
/* Fails where two have one name, or say the same; from: a list or map with one of them each. */
nb_status nb_choices_differ(nb_sweep *s, const nb_conf *from, const char *where, const nb_choices *c);
/* Of two KEY=VALUE: does the second, which is set later, undo the first? */
bool nb_change_undoes(const char *first, const char *second);
/* Letters, digits and the like: no quotes are needed. */
bool nb_is_plain(const char *text);
/* Fails: "more than <most> <what>". */
nb_status nb_too_many(nb_sweep *s, const nb_conf *c, const char *where, int32_t most, const char *what);

#endif
