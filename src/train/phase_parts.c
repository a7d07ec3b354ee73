/* phase_parts.c - `weight_bits: [8, 6, 4]` in a phase: bits step down while one learning rate goes on.
 *
 * A network of other widths is another graph, so a part is a phase of its own to everyone else: of whole epochs, named
 * NAME.1, NAME.2, ..., its files beside those of other phases. Part i of n begins with epoch i * epochs / n, rounded down.
 * What a phase says in epochs of its own, a part is told in its. */
#include "train/phase_parts.h"
#include "base/arena.h"
#include "base/check.h"

#include <stdio.h>

typedef struct {
    nb_ctx *ctx;
    char where[64];
    nb_key key; /* of one width */
    int32_t *bits, n;
} width_list;

static nb_status add_width(void *ud, const char *text, const nb_conf *node)
{
    (void)text;
    width_list *l = ud;
    if (l->n == NB_MOST_PARTS)
        return nb_conf_fail(l->ctx, node, l->where, NB_E_CONFIG, "must be at most %d widths", NB_MOST_PARTS);
    return nb_conf_value(l->ctx, node, l->where, &l->key, &l->bits[l->n++]);
}

static const char *const width_name[] = {"activation_bits", "weight_bits"};

static nb_status check_widths(nb_ctx *ctx, const nb_phase *ph, const nb_phase_widths *w)
{
    const nb_phase_keys *k = &ph->keys;
    for (int32_t at = 0; at < 2; at++)
        for (int32_t i = 0; i < w->n; i++)
            if (w->bits[at][i] && !k->quant)
                return nb_conf_fail(ctx, ph->entry, ph->where, NB_E_CONFIG,
                                    "%s: %d: this phase has no codes: it needs `quant: on`", width_name[at],
                                    w->bits[at][i]);
    if (w->n > k->epochs)
        return nb_conf_fail(ctx, ph->entry, ph->where, NB_E_CONFIG, "%d widths in %g epochs: each needs one", w->n,
                            (double)k->length);
    if (w->n > 1 && k->patience)
        return nb_conf_fail(
            ctx, nb_conf_get(ph->entry, "patience"), ph->where, NB_E_CONFIG,
            "patience: %d: where a phase ends early, its later widths would never be: leave one of both "
            "out",
            k->patience);
    return NB_OK;
}

nb_status nb_phase_widths_bind(nb_ctx *ctx, const nb_phase *ph, nb_phase_widths *out)
{
    const nb_phase_keys *k = &ph->keys;
    const nb_conf *const text[] = {k->activation_bits, k->weight_bits};
    nb_phase_widths w = {.n = 1};
    int32_t n[2];
    for (int32_t at = 0; at < 2; at++) {
        width_list l = {ctx, "", {.name = width_name[at], .dflt = "0", .kind = NB_K_INT, .max = 8}, w.bits[at], 0};
        snprintf(l.where, sizeof l.where, "%s.%s", ph->where, width_name[at]);
        NB_TRY(nb_conf_each_text(ctx, text[at], l.where, add_width, &l));
        n[at] = l.n;
        w.n = l.n > w.n ? l.n : w.n;
    }
    for (int32_t at = 0; at < 2; at++) {
        if (n[at] > 1 && n[at] < w.n)
            return nb_conf_fail(ctx, text[at], ph->where, NB_E_CONFIG,
                                "%s: %d widths where %s has %d: say as many, or one", width_name[at], n[at],
                                width_name[!at], w.n);
        for (int32_t i = 1; i < w.n && n[at] == 1; i++)
            w.bits[at][i] = w.bits[at][0];
    }
    NB_TRY(check_widths(ctx, ph, &w));
    *out = w;
    return NB_OK;
}

/* What happens from an epoch of the whole phase on, in epochs of a part of it. */
static int32_t from_epoch(int32_t at, int32_t before, int32_t epochs)
{
    if (at < 0 || at >= before + epochs)
        return -1;
    return at > before ? at - before : 0;
}

nb_status nb_phase_split(nb_train_plan *p, const nb_phase *whole, const nb_phase_widths *w, nb_phase *part)
{
    const nb_phase_keys *k = &whole->keys;
    for (int32_t i = 0; i < w->n; i++) {
        const int32_t first = i * k->epochs / w->n, end = (i + 1) * k->epochs / w->n;
        const bool last = i + 1 == w->n;
        part[i] = *whole;
        nb_phase_keys *own = &part[i].keys;
        part[i].before = first;
        own->epochs = end - first;
        own->length = (last ? k->length : (float)end) - (float)first;
        own->bits[0] = w->bits[0][i];
        own->bits[1] = w->bits[1][i];
        own->freeze_bn_at = from_epoch(k->freeze_bn_at, first, own->epochs);
        own->freeze_ranges_at = from_epoch(k->freeze_ranges_at, first, own->epochs);
        own->reestimate_bn = last ? k->reestimate_bn : 0;
        if (w->n > 1) {
            part[i].watches = whole->watches && own->bits[1] <= whole->oscillation.bits; /* else there is nothing yet */
            own->name = nb_arena_printf(p->arena, "%s.%d", k->name, i + 1);
        }
        if (!own->name)
            return NB_E_NOMEM;
    }
    return NB_OK;
}
