/* sweep_axes.c - YAML to changes, choices and axes. */
#include "sweep/sweep_axes.h"

#include "base/check.h"
#include "base/textbuf.h"

#include <string.h>

/* ---- values as --set takes them ---- */

bool nb_is_plain(const char *text)
{
    return *text && strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+/-") == strlen(text);
}

static void add_flow(nb_text *t, const nb_conf *c)
{
    const bool map = nb_conf_is_map(c);
    const char *text = nb_conf_text(c);
    if (nb_conf_is_scalar(c) || nb_conf_is_empty(c)) {
        if (!text || nb_is_plain(text))
            nb_text_add(t, text && *text ? text : map ? "{}" : "\"\"");
        else
            nb_text_json(t, text);
        return;
    }
    nb_text_add(t, map ? "{" : "[");
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        nb_text_add(t, i ? ", " : "");
        if (map)
            nb_text_printf(t, "%s: ", nb_conf_key_at(c, i));
        add_flow(t, nb_conf_at(c, i));
    }
    nb_text_add(t, map ? "}" : "]");
}

static nb_status set_text(nb_sweep *s, const char *key, const nb_conf *value, const char **out)
{
    nb_text t;
    char *text;
    nb_text_init(s->ctx, &t);
    nb_text_printf(&t, "%s=", key);
    add_flow(&t, value);
    NB_TRY(nb_text_take(&t, &text));
    *out = nb_arena_strdup(s->arena, text);
    nb_free(s->ctx, text);
    return *out ? NB_OK : NB_E_NOMEM;
}

/* What runs are told by others: who they are, where they lie, what they begin with. */
static nb_status check_key(nb_sweep *s, const nb_conf *map, int32_t i, const char *where)
{
    const char *key = nb_conf_key_at(map, i);
    if (strcmp(key, "seed") != 0 && strcmp(key, "out") != 0)
        return NB_OK;
    return nb_conf_fail(s->ctx, nb_conf_at(map, i), where, NB_E_CONFIG,
                        "%s: the sweep sets it; seeds: [1, 2] says which seeds there are, out: DIR where all runs lie",
                        key);
}

/* {KEY: VALUE, ...} behind those of `before`. */
nb_status nb_changes_bind(nb_sweep *s, const nb_conf *map, const char *where, const nb_changes *before, nb_changes *out)
{
    if (!nb_conf_is_empty(map) && !nb_conf_is_map(map))
        return nb_conf_fail(s->ctx, map, where, NB_E_CONFIG,
                            "must be a map of keys and values, as --set takes them: {quant.weights.bits: 4}");
    const int32_t n = nb_conf_is_map(map) ? nb_conf_count(map) : 0, first = before ? before->n : 0;
    if (first + n > NB_SWEEP_MAX_SETS)
        return nb_conf_fail(s->ctx, map, where, NB_E_CONFIG, "more than %d changes", NB_SWEEP_MAX_SETS);
    out->n = first + n;
    out->set = nb_arena_array(s->arena, (size_t)out->n + 1, sizeof *out->set);
    if (!out->set)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < first; i++)
        out->set[i] = before->set[i];
    for (int32_t i = 0; i < n; i++) {
        NB_TRY(check_key(s, map, i, where));
        NB_TRY(set_text(s, nb_conf_key_at(map, i), nb_conf_at(map, i), &out->set[first + i]));
    }
    return NB_OK;
}

/* ---- axes ---- */

nb_status nb_too_many(nb_sweep *s, const nb_conf *c, const char *where, int32_t most, const char *what)
{
    return nb_conf_fail(s->ctx, c, where, NB_E_CONFIG, "more than %d %s", most, what);
}

static bool has_change(const nb_changes *c, const char *set)
{
    int32_t i = 0;
    while (i < c->n && strcmp(c->set[i], set) != 0)
        i++;
    return i < c->n;
}

static bool same_changes(const nb_choice *a, const nb_choice *b)
{
    bool same = a->quantize == b->quantize && a->c.n == b->c.n;
    for (int32_t i = 0; same && i < a->c.n; i++)
        same = has_change(&b->c, a->c.set[i]);
    return same;
}

/* Two rows of the same runs say nothing, and hide what was meant. */
nb_status nb_choices_differ(nb_sweep *s, const nb_conf *from, const char *where, const nb_choices *c)
{
    for (int32_t i = 1; i < c->n; i++)
        for (int32_t k = 0; k < i; k++) {
            if (strcmp(c->of[i].name, c->of[k].name) == 0)
                return nb_conf_fail(s->ctx, nb_conf_at(from, i), where, NB_E_CONFIG, "%s: is there already",
                                    c->of[i].name);
            if (same_changes(&c->of[i], &c->of[k]))
                return nb_conf_fail(s->ctx, nb_conf_at(from, i), where, NB_E_CONFIG,
                                    "%s: says the same as %s: let it change something else, or leave it out",
                                    c->of[i].name, c->of[k].name);
        }
    return NB_OK;
}

bool nb_change_undoes(const char *first, const char *second)
{
    const size_t n = (size_t)(strchr(second, '=') - second);
    return strncmp(first, second, n) == 0 && (first[n] == '=' || first[n] == '.');
}

/* Combined, x would not be what it is called. */
static nb_status check_combined(nb_sweep *s, const nb_conf *c, const char *where, const nb_choice *x,
                                const nb_choice *y)
{
    for (int32_t i = 0; i < x->c.n; i++)
        for (int32_t k = 0; k < y->c.n; k++)
            if (nb_change_undoes(x->c.set[i], y->c.set[k]))
                return nb_conf_fail(s->ctx, c, where, NB_E_CONFIG, "%s: undoes %s of %s: let one list set a key",
                                    y->c.set[k], x->c.set[i], x->name);
    return NB_OK;
}

/* Every nb_choice of a with every one of b. */
static nb_status product(nb_sweep *s, const nb_conf *c, const char *where, const nb_choices *a, const nb_choices *b,
                         nb_choices *out)
{
    nb_arena *arena = s->arena;
    if (a->n * b->n > NB_SWEEP_MAX_CHOICES)
        return nb_too_many(s, c, where, NB_SWEEP_MAX_CHOICES, "combinations");
    nb_choices r = {nb_arena_array(arena, (size_t)(a->n * b->n) + 1, sizeof *r.of), a->n * b->n};
    for (int32_t i = 0; r.of && i < r.n; i++) {
        const nb_choice *x = &a->of[i / b->n], *y = &b->of[i % b->n];
        nb_choice *z = &r.of[i];
        NB_TRY(check_combined(s, c, where, x, y));
        z->name = *x->name ? nb_arena_printf(arena, "%s %s", x->name, y->name) : y->name;
        z->c.n = x->c.n + y->c.n;
        z->c.set = nb_arena_array(arena, (size_t)z->c.n + 1, sizeof *z->c.set);
        if (!z->name || !z->c.set)
            return NB_E_NOMEM;
        memcpy(z->c.set, x->c.set, (size_t)x->c.n * sizeof *x->c.set);
        memcpy(z->c.set + x->c.n, y->c.set, (size_t)y->c.n * sizeof *y->c.set);
    }
    *out = r;
    return r.of ? NB_OK : NB_E_NOMEM;
}

const nb_choice nb_choice_nothing = {.name = "", .c = {.set = (const char *[]){NULL}}};

/* KEY: [VALUE, ...]: values are their own names. */
static nb_status values_of(nb_sweep *s, const char *key, const nb_conf *list, const char *where, nb_choices *out)
{
    if (nb_conf_count(list) == 0)
        return nb_conf_fail(s->ctx, list, where, NB_E_CONFIG, "%s: has no value", key);
    if (nb_conf_count(list) > NB_SWEEP_MAX_CHOICES)
        return nb_too_many(s, list, where, NB_SWEEP_MAX_CHOICES, "values");
    nb_choices r = {nb_arena_array(s->arena, (size_t)nb_conf_count(list) + 1, sizeof *r.of), nb_conf_count(list)};
    for (int32_t i = 0; r.of && i < r.n; i++) {
        const char *text = nb_conf_text(nb_conf_at(list, i));
        r.of[i].c = (nb_changes){nb_arena_array(s->arena, 1, sizeof *r.of[i].c.set), 1};
        if (!r.of[i].c.set)
            return NB_E_NOMEM;
        NB_TRY(set_text(s, key, nb_conf_at(list, i), r.of[i].c.set));
        r.of[i].name = text ? text : strchr(r.of[i].c.set[0], '=') + 1;
    }
    *out = r;
    return r.of ? nb_choices_differ(s, list, where, &r) : NB_E_NOMEM;
}

/* One map: names and their changes, or keys and lists of their values. */
static nb_status axis_of_map(nb_sweep *s, const nb_conf *map, const char *where, nb_choices *out)
{
    const int32_t n = nb_conf_count(map);
    nb_choices r = {(nb_choice[]){nb_choice_nothing}, 1};
    if (!nb_conf_is_map(map) || n == 0)
        return nb_conf_fail(
            s->ctx, map, where, NB_E_CONFIG,
            "must be names with their changes, {W4A8: {quant.weights.bits: 4}}, or keys with lists of values");
    const bool lists = nb_conf_is_list(nb_conf_at(map, 0));
    if (!lists) {
        if (n > NB_SWEEP_MAX_CHOICES)
            return nb_too_many(s, map, where, NB_SWEEP_MAX_CHOICES, "choices");
        r = (nb_choices){nb_arena_array(s->arena, (size_t)n, sizeof *r.of), n};
        if (!r.of)
            return NB_E_NOMEM;
    }
    for (int32_t i = 0; i < n; i++) {
        const nb_conf *value = nb_conf_at(map, i);
        const char *key = nb_conf_key_at(map, i);
        nb_choices values;
        if (nb_conf_is_list(value) != lists)
            return nb_conf_fail(s->ctx, value, where, NB_E_CONFIG,
                                "%s: a map has either names with their changes or keys with lists of values; a list of "
                                "maps combines them",
                                key);
        if (lists) {
            NB_TRY(check_key(s, map, i, where));
            NB_TRY(values_of(s, key, value, where, &values));
            NB_TRY(product(s, value, where, &r, &values, &r));
        } else {
            r.of[i].name = key;
            NB_TRY(nb_changes_bind(s, value, where, NULL, &r.of[i].c));
        }
    }
    *out = r;
    return lists ? NB_OK : nb_choices_differ(s, map, where, &r);
}

nb_status nb_axis_bind(nb_sweep *s, const nb_conf *c, const char *where, nb_choices *out)
{
    if (!nb_conf_is_list(c))
        return axis_of_map(s, c, where, out);
    nb_choices r = {(nb_choice[]){nb_choice_nothing}, 1};
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        nb_choices one;
        NB_TRY(axis_of_map(s, nb_conf_at(c, i), where, &one));
        NB_TRY(product(s, c, where, &r, &one, &r));
    }
    if (nb_conf_count(c) == 0)
        return nb_conf_fail(s->ctx, c, where, NB_E_CONFIG, "is empty");
    *out = r;
    return NB_OK;
}
