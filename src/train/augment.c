/* augment.c - the registry of augmentations, and a chain bound from data.augment. */
#include "augment.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

#define NB_AUGMENTATION(name) extern const nb_augmentation nb_augmentation_##name;
#include "augmentations.def"
#undef NB_AUGMENTATION

#define NB_AUGMENTATION(name) &nb_augmentation_##name,
const nb_augmentation *const nb_augmentations[] = {
#include "augmentations.def"
    NULL};
#undef NB_AUGMENTATION

enum { MAX_NAME = 32, MAX_WHERE = 64, MAX_SECTION = 2 * MAX_WHERE };

typedef struct {
    const nb_augmentation *op;
    void *attr;
    uint64_t key; /* of its random stream, beside the seed */
} link;

struct nb_augment {
    nb_arena *arena;
    nb_dsinfo info;
    link at[NB_MAX_AUGMENT];
    int32_t n;
};

/* Writes the number of "crop4" into the key it is short for. */
static nb_status set_number(nb_ctx *ctx, const nb_conf *node, const char *where, const link *l, const char *digits)
{
    const nb_key *k = l->op->keys;
    while (strcmp(k->name, l->op->number_key) != 0)
        k++; /* the table is ours: it has the key it names */
    int64_t v = 0;
    for (const char *p = digits; *p && v <= INT32_MAX; p++)
        v = 10 * v + (*p - '0');
    if ((double)v < k->min || (double)v > k->max)
        return nb_conf_fail(ctx, node, where, NB_E_CONFIG, "%s%s: %s must be in %g..%g", l->op->name, digits, k->name,
                            k->min, k->max);
    const int32_t value = (int32_t)v;
    memcpy((char *)l->attr + k->offset, &value, sizeof value);
    return NB_OK;
}

static nb_status bind(nb_ctx *ctx, nb_augment *a, link *l, const nb_conf *keys, const char *where)
{
    char section[MAX_SECTION];
    snprintf(section, sizeof section, "%s %s", where, l->op->name);
    return nb_entry_bind(ctx, a->arena, l->op, keys, section, (nb_binding){0}, &l->attr);
}

static nb_status bind_name(nb_ctx *ctx, nb_augment *a, const nb_conf *node, const char *where, link *l)
{
    const char *text = nb_conf_text(node);
    char name[MAX_NAME];
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] >= '0' && text[len - 1] <= '9')
        len--;
    snprintf(name, sizeof name, "%.*s", (int)len, text);
    const nb_augmentation *op = nb_registry_find(nb_augmentations, name);
    const bool numbered = op && op->number_key && text[len];
    l->op = nb_registry_choose(ctx, nb_augmentations, numbered ? name : text, node, where, "augmentation");
    if (!l->op)
        return NB_E_CONFIG;
    NB_TRY(bind(ctx, a, l, NULL, where));
    return numbered ? set_number(ctx, node, where, l, text + len) : NB_OK;
}

static nb_status bind_map(nb_ctx *ctx, nb_augment *a, const nb_conf *node, const char *where, link *l)
{
    const char *name = nb_conf_key_at(node, 0);
    l->op = nb_registry_choose(ctx, nb_augmentations, name, node, where, "augmentation");
    if (!l->op)
        return NB_E_CONFIG;
    const nb_conf *keys = nb_conf_at(node, 0);
    if (!nb_conf_is_map(keys))
        return nb_conf_fail(ctx, keys, where, NB_E_CONFIG, "%s: must be followed by a map of keys, or stand alone",
                            name);
    return bind(ctx, a, l, keys, where);
}

static nb_status add(nb_ctx *ctx, nb_augment *a, const nb_conf *node, int32_t i)
{
    if (a->n == NB_MAX_AUGMENT)
        return nb_conf_fail(ctx, node, "data.augment", NB_E_CONFIG, "at most %d augmentations", NB_MAX_AUGMENT);
    char where[MAX_WHERE];
    snprintf(where, sizeof where, "data.augment[%d]", i);
    link *l = &a->at[a->n++];
    if (nb_conf_is_scalar(node))
        NB_TRY(bind_name(ctx, a, node, where, l));
    else if (nb_conf_is_map(node) && nb_conf_count(node) == 1)
        NB_TRY(bind_map(ctx, a, node, where, l));
    else
        return nb_conf_fail(ctx, node, where, NB_E_CONFIG,
                            "must be a name, like crop4, or one name with keys, like {crop: {pad: 4}}");
    l->key = nb_mix(nb_hash_text(l->op->name), (uint64_t)i);
    if (a->info.h == 1)
        return nb_conf_fail(ctx, node, where, NB_E_CONFIG, "%s: is for images: samples of 1x%dx%d are none",
                            l->op->name, a->info.w, a->info.c);
    if (!l->op->check)
        return NB_OK;
    char place[MAX_SECTION + 256];
    snprintf(place, sizeof place, "%s: %s", nb_conf_place(node), where);
    return l->op->check(ctx, l->attr, &a->info, place);
}

nb_status nb_augment_create(nb_ctx *ctx, const nb_conf *list, const nb_dsinfo *info, nb_augment **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_augment *a = nb_arena_alloc(arena, sizeof *a);
    if (!a) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    *a = (nb_augment){.arena = arena, .info = *info};
    nb_status st = NB_OK;
    if (list && nb_conf_is_list(list))
        for (int32_t i = 0; i < nb_conf_count(list) && st == NB_OK; i++)
            st = add(ctx, a, nb_conf_at(list, i), i);
    else if (list)
        st = add(ctx, a, list, 0); /* augment: flip */
    if (st == NB_OK)
        *out = a;
    else
        nb_augment_free(a);
    return st;
}

void nb_augment_free(nb_augment *a)
{
    if (a)
        nb_arena_free(a->arena);
}

void nb_augment_apply(const nb_augment *a, uint64_t seed, int32_t epoch, int32_t sample, uint8_t *img, uint8_t *scratch)
{
    uint8_t *src = img, *dst = scratch;
    for (int32_t i = 0; i < a->n; i++) {
        nb_rng r = nb_rng_make(nb_mix(seed, a->at[i].key), (uint64_t)epoch << 32 | (uint32_t)sample);
        a->at[i].op->apply(a->at[i].attr, &a->info, &r, dst, src);
        uint8_t *t = src;
        src = dst;
        dst = t;
    }
    if (src != img)
        memcpy(img, src, (size_t)a->info.h * (size_t)a->info.w * (size_t)a->info.c);
}
