/* methods.c - the lists of formats, ranges and learnings, and how a config names them. */
#include <nibble/quant.h>

#include "base/check.h"

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

const char *nb_method_key(nb_method_kind kind)
{
    static const char *const keys[NB_METHOD_KINDS] = {"format", "range", "learn"};
    return keys[kind];
}

#define METHOD_OF(t) ((t) ? (nb_method){(t)->name, (t)->help, (t)->keys, (t)->attr_size, (t)} : (nb_method){0})

nb_method nb_method_at(nb_method_kind kind, int32_t i)
{
    switch (kind) {
    case NB_METHOD_FORMAT:
        return METHOD_OF(nb_formats[i]);
    case NB_METHOD_RANGE:
        return METHOD_OF(nb_ranges[i]);
    case NB_METHOD_LEARNING:
        return METHOD_OF(nb_learnings[i]);
    case NB_METHOD_KINDS:
        break;
    }
    NB_ASSERT(false);
    return (nb_method){0};
}

nb_method nb_method_find(nb_method_kind kind, const char *name)
{
    int32_t i = 0;
    while (nb_method_at(kind, i).name && strcmp(nb_method_at(kind, i).name, name) != 0)
        i++;
    return nb_method_at(kind, i);
}

const nb_format *nb_format_find(const char *name)
{
    return nb_method_find(NB_METHOD_FORMAT, name).table;
}

const nb_range *nb_range_find(const char *name)
{
    return nb_method_find(NB_METHOD_RANGE, name).table;
}

const nb_learning *nb_learning_find(const char *name)
{
    return nb_method_find(NB_METHOD_LEARNING, name).table;
}
