/* methods.c - the lists of formats, ranges, learnings and roundings, and how a config names them. */
#include <nibble/extend/quant.h>

#include <string.h>

#define NB_FORMAT(name) extern const nb_format nb_format_##name;
#include "quant/formats.def"
#undef NB_FORMAT
#define NB_RANGE(name) extern const nb_range nb_range_##name;
#include "quant/ranges.def"
#undef NB_RANGE
#define NB_LEARNING(name) extern const nb_learning nb_learning_##name;
#include "quant/learnings.def"
#undef NB_LEARNING

#define NB_ROUNDING(name) extern const nb_rounding nb_rounding_##name;
#include "quant/roundings.def"
#undef NB_ROUNDING

const nb_format *const nb_formats[] = {
#define NB_FORMAT(name) &nb_format_##name,
#include "quant/formats.def"
#undef NB_FORMAT
    NULL};

const nb_range *const nb_ranges[] = {
#define NB_RANGE(name) &nb_range_##name,
#include "quant/ranges.def"
#undef NB_RANGE
    NULL};

const nb_learning *const nb_learnings[] = {
#define NB_LEARNING(name) &nb_learning_##name,
#include "quant/learnings.def"
#undef NB_LEARNING
    NULL};

const nb_rounding *const nb_roundings[] = {
#define NB_ROUNDING(name) &nb_rounding_##name,
#include "quant/roundings.def"
#undef NB_ROUNDING
    NULL};

bool nb_format_says_bits(const char *name)
{
    const nb_format *f = nb_registry_find(nb_formats, name);
    return f && f->width;
}

const char *nb_codes_name(const char *format, const char *learn)
{
    const nb_learning *l = learn ? nb_registry_find(nb_learnings, learn) : NULL;
    if (format && strcmp(format, nb_formats[0]->name) != 0) /* uniform */
        return nb_format_says_bits(format) ? "" : format;
    return l && l->book ? l->name : "";
}

const char *nb_method_key(nb_method_kind kind)
{
    static const char *const keys[NB_METHOD_KINDS] = {"format", "range", "learn", "rounding"};
    return keys[kind];
}

const void *nb_method_list(nb_method_kind kind)
{
    static const void *const lists[NB_METHOD_KINDS] = {nb_formats, nb_ranges, nb_learnings, nb_roundings};
    return lists[kind];
}
