/* name_map.h - which layer of ours a tensor of somebody else's file belongs to, said in a few lines of text.
 *
 *   # a comment
 *   layout oihw            convolution weights as in PyTorch (default), or ohwi, as in our own files
 *   conv1                  a module of theirs; the next layer of ours that has parameters, in order of execution
 *   layer{}.{}.conv1       {} stands for a number; lines next to each other that begin alike, with equally many {}, are
 *                          taken number by number
 *   head.fc -> fc          by name, in any order
 *   blocks.{}.c -> b{+1}   {} on the right repeats the numbers of the left in order, {+1} adds
 *   aux.* -> -             left out; * stands for any text, on the right for the same text again
 *   odd.name -> fc.bias    a whole tensor on the left, a parameter on the right
 *
 * A module is a tensor's name without its last part (weight, bias, running_mean, ...). The first line that matches
 * counts. num_batches_tracked is nobody's. */
#ifndef NB_IMPORT_NAME_MAP_H
#define NB_IMPORT_NAME_MAP_H

#include <nibble/import.h>

struct nb_arena;

enum { NB_MAP_NUMBERS = 6, NB_MAP_LINE = 240, NB_MAP_RULES = 4096 };

typedef struct {
    const char *theirs;
    const char *ours; /* NULL: the next in order; "-": left out */
    int32_t line, group, n_numbers;
} nb_map_rule;

typedef struct {
    const char *name; /* for messages: the path, or the built-in map's name */
    nb_map_rule *rules;
    int32_t n;
    bool ohwi;     /* layout of convolution weights */
    int32_t n_own; /* rules of the user's: one that matches nothing is an error */
} nb_map;

/* What the holes of a pattern matched. */
typedef struct {
    int64_t number[NB_MAP_NUMBERS];
    int32_t n;
    const char *rest; /* of *; not terminated */
    size_t rest_len;
} nb_map_holes;

/* Strings live in the arena. A mistake is NB_E_CONFIG "<name>:<line>: ...". */
nb_status nb_map_parse(nb_ctx *ctx, struct nb_arena *arena, const char *name, const char *text, nb_map *out);
/* The rules of own, and behind them those of a built-in text. */
nb_status nb_map_extend(nb_ctx *ctx, struct nb_arena *arena, const nb_map *own, const char *text, nb_map *out);
bool nb_map_match(const char *pattern, const char *text, size_t len, nb_map_holes *holes);
/* The right side with its holes filled, into buf; false when it is too long. */
bool nb_map_fill(const char *pattern, const nb_map_holes *holes, char *buf, size_t len);

#endif
