/* cut_gather.c - the cut of a batch among ranks, and pieces that go from one to the others. */
#include "core/cut_gather.h"

#include "base/check.h"
#include "base/ranks.h"

#include <math.h>

_Static_assert((int)NB_MAX_UNITS <= (int)NB_MAX_RANKS, "no more ranks share a batch than there are units");

static int32_t first_unit(int32_t batch, int32_t rank)
{
    return (int32_t)((int64_t)rank * nb_cut_units(batch) / nb_ranks());
}

static int32_t first_image(int32_t batch, int32_t rank)
{
    return nb_cut_unit(batch, first_unit(batch, rank));
}

static int32_t part_of_unit(int32_t batch, int32_t u)
{
    return (int32_t)((int64_t)u * nb_tap_parts(batch) / nb_cut_units(batch));
}

nb_cut nb_cut_of(int32_t batch, bool shared)
{
    shared = shared && nb_ranks() > 1 && nb_cut_units(batch) >= nb_ranks();
    nb_cut c = {.batch = batch, .shared = shared, .end_unit = nb_cut_units(batch)};
    if (shared) {
        c.unit = first_unit(batch, nb_rank());
        c.end_unit = first_unit(batch, nb_rank() + 1);
    }
    c.first = nb_cut_unit(batch, c.unit);
    c.images = nb_cut_unit(batch, c.end_unit) - c.first;
    c.part = part_of_unit(batch, c.unit);
    c.end_part = part_of_unit(batch, c.end_unit);
    NB_ASSERT(nb_tap_part(batch, c.part) == c.first && nb_tap_part(batch, c.end_part) == c.first + c.images);
    return c;
}

int32_t nb_cut_room(int32_t most, bool shared)
{
    int32_t room = 0;
    for (int32_t batch = 1; batch <= most; batch++) {
        const int32_t images = nb_cut_of(batch, shared).images;
        room = images > room ? images : room;
    }
    return room;
}

typedef struct {
    const nb_cut *c;
    nb_chunk_fn fn;
    void *arg;
} own_parts;

static void run_part(void *arg, int64_t i, int32_t thread)
{
    const own_parts *p = arg;
    p->fn(p->arg, p->c->part + i, thread);
}

void nb_cut_run(const nb_cut *c, nb_chunk_fn fn, void *arg)
{
    nb_parallel_for(c->end_part - c->part, run_part, &(own_parts){c, fn, arg});
}

/* Elements [from, end) of `bytes` each, owned by rank. */
static nb_piece stretch(void *data, size_t bytes, int32_t from, int32_t end, int32_t rank)
{
    return (nb_piece){(unsigned char *)data + (size_t)from * bytes, (size_t)(end - from) * bytes, rank, 0};
}

void nb_gather_parts(const nb_cut *c, const nb_gathered *g, int32_t n)
{
    enum { MOST = 4 };
    nb_piece piece[MOST * NB_MAX_UNITS];
    int32_t pieces = 0;
    NB_ASSERT(n <= MOST);
    if (!c->shared)
        return;
    for (int32_t i = 0; i < n; i++)
        for (int32_t r = 0; r < nb_ranks(); r++)
            piece[pieces++] = stretch(g[i].data, g[i].bytes, part_of_unit(c->batch, first_unit(c->batch, r)),
                                      part_of_unit(c->batch, first_unit(c->batch, r + 1)), r);
    nb_ranks_share(piece, pieces);
}

void nb_gather_images(const nb_cut *c, void *data, size_t bytes)
{
    nb_piece piece[NB_MAX_UNITS];
    if (!c->shared)
        return;
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = stretch(data, bytes, first_image(c->batch, r), first_image(c->batch, r + 1), r);
    nb_ranks_share(piece, nb_ranks());
}

/* Of units taken together to n. */
static int32_t owner_of(const nb_cut *c, int32_t i, int32_t n)
{
    const int32_t unit = (int32_t)((int64_t)i * nb_cut_units(c->batch) / n);
    int32_t r = 0;
    while (first_unit(c->batch, r + 1) <= unit)
        r++;
    return r;
}

void nb_gather_units(const nb_cut *c, void *const *unit, int32_t n, size_t bytes)
{
    nb_piece piece[NB_MAX_UNITS];
    if (!c->shared)
        return;
    for (int32_t i = 0; i < n; i++)
        piece[i] = (nb_piece){unit[i], bytes, owner_of(c, i, n), 0};
    nb_ranks_share(piece, n);
}

/* Rank r's piece of so many floats begins here. */
static size_t piece_at(size_t floats, int32_t r)
{
    return (size_t)r * floats / (size_t)nb_ranks();
}

static void add_units(void *const *unit, int32_t n, size_t from, size_t end)
{
    float *sum = unit[0];
    for (int32_t i = 1; i < n; i++)
        for (size_t k = from; k < end; k++)
            sum[k] += ((const float *)unit[i])[k];
}

bool nb_gather_is_short(size_t floats, int32_t n)
{
    enum { FEW = 4096 /* floats: a second message takes longer than all the units */ };
    return floats <= FEW || n == 1;
}

int32_t nb_gather_unit_pieces(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes,
                              nb_piece piece[NB_GATHER_PIECES])
{
    const size_t head = floats * sizeof(float);
    int32_t pieces = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t owner = owner_of(c, i, n);
        if (nb_gather_is_short(floats, n)) {
            piece[pieces++] = (nb_piece){unit[i], bytes, owner, 0};
            continue;
        }
        for (int32_t r = 0; r < nb_ranks(); r++) {
            const size_t from = piece_at(floats, r), some = piece_at(floats, r + 1) - from;
            piece[pieces++] = (nb_piece){(float *)unit[i] + from, some * sizeof(float), owner, 1 + r};
        }
        piece[pieces++] = (nb_piece){(unsigned char *)unit[i] + head, bytes - head, owner, 0};
    }
    return pieces;
}

void nb_gather_add_own(void *const *unit, int32_t n, size_t floats)
{
    add_units(unit, n, piece_at(floats, nb_rank()), piece_at(floats, nb_rank() + 1));
}

int32_t nb_gather_sum_pieces(void *sum, size_t floats, nb_piece piece[NB_GATHER_PIECES])
{
    for (int32_t r = 0; r < nb_ranks(); r++) {
        const size_t from = piece_at(floats, r), some = piece_at(floats, r + 1) - from;
        piece[r] = (nb_piece){(float *)sum + from, some * sizeof(float), r, 0};
    }
    return nb_ranks();
}

int32_t nb_gather_sums(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes)
{
    nb_piece piece[NB_GATHER_PIECES];
    if (!c->shared)
        return n;
    nb_ranks_share(piece, nb_gather_unit_pieces(c, unit, n, floats, bytes, piece));
    if (nb_gather_is_short(floats, n))
        return n;
    nb_gather_add_own(unit, n, floats);
    nb_ranks_share(piece, nb_gather_sum_pieces(unit[0], floats, piece));
    return 1;
}

bool nb_cut_divides(const nb_cut *c, int32_t n)
{
    const int32_t units = nb_cut_units(c->batch);
    for (int32_t r = 1; c->shared && r < nb_ranks(); r++) {
        int32_t i = 0;
        while (i < n && (int64_t)i * units / n < first_unit(c->batch, r))
            i++;
        if ((int64_t)i * units / n != first_unit(c->batch, r))
            return false;
    }
    return true;
}

void nb_gather_values(const nb_cut *c, float *x, const int32_t *image, int32_t n)
{
    nb_piece piece[NB_MAX_UNITS];
    if (!c->shared)
        return;
    for (int32_t r = 0, from = 0, end = 0; r < nb_ranks(); r++, from = end) {
        while (end < n && image[end] + c->first < first_image(c->batch, r + 1))
            end++;
        piece[r] = stretch(x, sizeof *x, from, end, r);
    }
    nb_ranks_share(piece, nb_ranks());
}

void nb_gather_extremes(const nb_cut *c, float *min, float *max)
{
    float each[NB_MAX_UNITS][2];
    nb_piece piece[NB_MAX_UNITS];
    if (!c->shared)
        return;
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = (nb_piece){each[r], sizeof each[r], r, 0};
    each[nb_rank()][0] = *min;
    each[nb_rank()][1] = *max;
    nb_ranks_share(piece, nb_ranks());
    *min = each[0][0];
    *max = each[0][1];
    for (int32_t r = 1; r < nb_ranks() && !isnan(*min); r++) { /* comparisons written so that a NaN sticks */
        *min = !(each[r][0] >= *min) ? each[r][0] : *min;
        *max = !(each[r][1] <= *max) ? each[r][1] : *max;
    }
}
