/* gather_later.c - see gather_later.h.
 *
 * A gradient has two exchanges (cut_gather.h). When the k-th begins its first, the k-2nd ends its first and begins its second, and
 * the k-4th is done: an order that all ranks keep without a word, whoever is how far. Whatever travels has the backward
 * passes of two layers to arrive. */
#include "core/gather_later.h"

#include "base/check.h"
#include "base/ranks.h"

#include <stddef.h>
#include <string.h>

enum { PLACES = NB_MESSAGES, LAG = PLACES / 2 };

typedef struct {
    bool used, second; /* its second exchange is under way */
    void *unit[NB_MAX_UNITS];
    int32_t n, pieces;
    size_t floats;
    nb_piece piece[NB_GATHER_PIECES];
    nb_gathered_fn done;
    _Alignas(max_align_t) unsigned char what[NB_LATER_WHAT];
} under_way;

struct nb_later {
    size_t bytes;
    int64_t begun; /* so many were; the k-th has place k % PLACES */
    under_way place[PLACES];
    unsigned char *memory; /* [PLACES][bytes] */
};

nb_status nb_later_create(nb_ctx *ctx, size_t bytes, nb_later **out)
{
    nb_later *l = nb_alloc(ctx, sizeof *l);
    if (!l)
        return NB_E_NOMEM;
    l->bytes = bytes;
    l->memory = nb_alloc(ctx, PLACES * bytes);
    if (!l->memory) {
        nb_free(ctx, l);
        return NB_E_NOMEM;
    }
    *out = l;
    return NB_OK;
}

void nb_later_free(nb_ctx *ctx, nb_later *l)
{
    if (l)
        nb_free(ctx, l->memory);
    nb_free(ctx, l);
}

static under_way *place_of(nb_later *l, int64_t k)
{
    return k >= 0 && l->place[k % PLACES].used ? &l->place[k % PLACES] : NULL;
}

static void go_on(nb_later *l, int64_t k)
{
    under_way *u = place_of(l, k);
    const int32_t message = (int32_t)(k % PLACES);
    if (!u || u->second || nb_gather_is_short(u->floats, u->n))
        return;
    nb_ranks_complete(message, u->piece, u->pieces);
    nb_gather_add_own(u->unit, u->n, u->floats);
    u->pieces = nb_gather_sum_pieces(u->unit[0], u->floats, u->piece);
    u->second = true;
    nb_ranks_begin(message, u->piece, u->pieces);
}

static void end(nb_later *l, int64_t k)
{
    under_way *u = place_of(l, k);
    if (!u)
        return;
    nb_ranks_complete((int32_t)(k % PLACES), u->piece, u->pieces);
    u->used = false;
    u->done(u->what, u->unit, u->second ? 1 : u->n);
}

/* The place has what is this rank's of its own piece; the others' parts come there. */
static void begin(const nb_cut *c, nb_later *l, int64_t k, void *const *unit, size_t bytes)
{
    under_way *u = &l->place[k % PLACES];
    nb_piece own[NB_GATHER_PIECES];
    for (int32_t i = 0; i < u->n; i++)
        u->unit[i] = l->memory + (size_t)(k % PLACES) * l->bytes + (size_t)i * bytes;
    u->pieces = nb_gather_unit_pieces(c, u->unit, u->n, u->floats, bytes, u->piece);
    nb_gather_unit_pieces(c, unit, u->n, u->floats, bytes, own);
    nb_ranks_begin((int32_t)(k % PLACES), own, u->pieces);
    for (int32_t i = 0; i < u->pieces; i++)
        if (own[i].owner == nb_rank() && (own[i].to == 0 || own[i].to == nb_rank() + 1))
            memcpy(u->piece[i].data, own[i].data, own[i].bytes);
}

void nb_gather_later(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes, nb_gathered_fn done,
                     const void *what, size_t bytes_of_what)
{
    nb_later *l = c->later;
    NB_ASSERT(bytes_of_what <= NB_LATER_WHAT);
    if (!c->shared || !l || (size_t)n * bytes > l->bytes) {
        nb_later_finish(l); /* the order stays */
        done(what, unit, nb_gather_sums(c, unit, n, floats, bytes));
        return;
    }
    const int64_t k = l->begun++;
    end(l, k - PLACES);
    go_on(l, k - LAG);
    under_way *u = &l->place[k % PLACES];
    u->used = true;
    u->second = false;
    u->n = n;
    u->floats = floats;
    u->done = done;
    memcpy(u->what, what, bytes_of_what);
    begin(c, l, k, unit, bytes);
}

void nb_later_finish(nb_later *l)
{
    for (int64_t k = l ? l->begun - PLACES : 0; l && k < l->begun; k++)
        go_on(l, k);
    for (int64_t k = l ? l->begun - PLACES : 0; l && k < l->begun; k++)
        end(l, k);
}
