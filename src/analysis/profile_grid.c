/* profile_grid.c - see profile_grid.h. */
#include "analysis/profile_grid.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 2048, WORD = 64, MAX_NAMES = 64, MIN_BITS = 2, MAX_BITS = 8 };

/* ---- which there are ---- */

/* The next word of a list into buf; false: that was all. */
static bool next_word(const char **list, char buf[WORD])
{
    *list += strspn(*list, ", ");
    size_t n = strcspn(*list, ", ");
    snprintf(buf, WORD, "%.*s", (int)(n < WORD ? n : WORD - 1), *list);
    *list += n;
    return n > 0;
}

static nb_status add(nb_ctx *ctx, nb_profile_formats *f, const nb_format *format, const void *attr, int32_t bits)
{
    if (f->n == NB_PROFILE_MAX_FORMATS)
        return nb_fail(ctx, NB_E_CONFIG, "--formats, --bits: that is more than %d formats and widths",
                       NB_PROFILE_MAX_FORMATS);
    for (int32_t i = 0; i < f->n; i++)
        if (f->of[i].format == format && f->of[i].bits == bits)
            return nb_fail(ctx, NB_E_CONFIG, "--formats, --bits: %s of %d bit%s: is named twice", format->name, bits,
                           nb_plural(bits));
    nb_profile_format *p = &f->of[f->n++];
    *p = (nb_profile_format){.format = format, .attr = attr, .bits = bits};
    if (format->width)
        snprintf(p->name, sizeof p->name, "%s", format->name);
    else
        snprintf(p->name, sizeof p->name, "%.24s %d", format->name, bits);
    snprintf(p->key, sizeof p->key, "%.16s_%d_db", format->name, bits);
    snprintf(p->predicted, sizeof p->predicted, "%.16s_%d_predicted_db", format->name, bits);
    return NB_OK;
}

static nb_status next_bits(nb_ctx *ctx, const char **list, int32_t *bits)
{
    char word[WORD], *end;
    *bits = 0;
    if (!next_word(list, word))
        return NB_OK;
    const long v = strtol(word, &end, 10);
    if (*end || v < MIN_BITS || v > MAX_BITS)
        return nb_fail(ctx, NB_E_CONFIG, "--bits: %s: must be whole numbers %d..%d, separated by commas", word,
                       MIN_BITS, MAX_BITS);
    *bits = (int32_t)v;
    return NB_OK;
}

static nb_status add_widths(nb_ctx *ctx, nb_profile_formats *f, const nb_format *format, const void *attr,
                            const char *bits)
{
    const int32_t least = format->min_bits ? format->min_bits : MIN_BITS,
                  most = format->max_bits ? format->max_bits : MAX_BITS, before = f->n;
    if (format->width)
        return add(ctx, f, format, attr, format->width(attr));
    if (least == most)
        return add(ctx, f, format, attr, least);
    for (int32_t b = 1; b;) {
        NB_TRY(next_bits(ctx, &bits, &b));
        if (b && b >= least && (b <= most || format->reals))
            NB_TRY(add(ctx, f, format, attr, b));
    }
    return f->n > before ? NB_OK
                         : nb_fail(ctx, NB_E_CONFIG, "--bits: %s has %d to %d bits: name some of these", format->name,
                                   least, most);
}

/* Formats that the grid of one layer can show. */
static bool is_shown(const nb_format *format)
{
    return !format->one_scale && !format->blocks;
}

static nb_status unknown(nb_ctx *ctx, const char *word)
{
    const char *names[MAX_NAMES];
    char all[512];
    size_t at = 0;
    int32_t n = 0;
    for (int32_t i = 0; nb_formats[i] && n < MAX_NAMES && at < sizeof all; i++) {
        if (!is_shown(nb_formats[i]))
            continue;
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", n ? ", " : "", nb_formats[i]->name);
        names[n++] = nb_formats[i]->name;
    }
    return nb_fail(ctx, NB_E_CONFIG, "--formats: %s: there is no such format%s; there are: %s", word,
                   nb_did_you_mean(word, names, n).text, all);
}

static nb_status parse(nb_ctx *ctx, const char *formats, const char *bits, nb_profile_formats *f)
{
    char word[WORD];
    NB_TRY(nb_arena_create(ctx, &f->arena));
    while (next_word(&formats, word)) {
        const nb_format *format = nb_registry_find(nb_formats, word);
        void *attr;
        if (!format)
            return unknown(ctx, word);
        if (format->one_scale)
            return nb_fail(
                ctx, NB_E_CONFIG,
                "--formats: %s: has one scale for all layers, which no layer alone can show: pow2 has one for "
                "each",
                word);
        if (format->blocks)
            return nb_fail(
                ctx, NB_E_CONFIG,
                "--formats: %s: has a step for every block of weights, where this shows one grid: pow2 has one for "
                "each channel",
                word);
        NB_TRY(nb_entry_bind(ctx, f->arena, format, NULL, word, (nb_binding){0}, &attr));
        NB_TRY(add_widths(ctx, f, format, format->attr ? format->attr : attr, bits));
    }
    return f->n ? NB_OK : nb_fail(ctx, NB_E_CONFIG, "--formats: names no format");
}

nb_status nb_profile_formats_parse(nb_ctx *ctx, const char *formats, const char *bits, nb_profile_formats *out)
{
    nb_profile_formats f = {.n = 0};
    const nb_status st = parse(ctx, formats, bits, &f);
    if (st == NB_OK)
        *out = f;
    else
        nb_profile_formats_free(&f);
    return st;
}

void nb_profile_formats_free(nb_profile_formats *f)
{
    nb_arena_free(f->arena);
    *f = (nb_profile_formats){.n = 0};
}

/* ---- rounding ---- */

/* Where codes are integers: all of lo..hi, or the levels. */
static void place_codes(nb_rounder *r)
{
    const nb_grid *g = &r->grid;
    r->n_codes = g->n_levels ? g->n_levels : g->hi - g->lo + 1;
    for (int32_t i = 0; i < r->n_codes; i++)
        r->slot[(uint8_t)(g->level ? g->level[i] : g->lo + i)] = (uint8_t)i;
}

void nb_rounder_init(nb_rounder *r, const nb_profile_format *f, bool weights)
{
    memset(r, 0, sizeof *r);
    r->grid = nb_grid_of(f->format, f->attr, f->bits, weights ? NB_SCHEME_SYMMETRIC : NB_SCHEME_ASYMMETRIC, weights,
                         r->level);
    nb_grid_take_reals(&r->grid, r->real);
    if (r->grid.real)
        nb_k_reals(&r->reals, r->grid.real, r->grid.n_levels);
    if (r->grid.level)
        nb_k_levels(&r->levels, r->grid.level, r->grid.n_levels);
    r->levels.passes = f->format->passes;
    r->n_codes = r->grid.n_levels;
    if (!r->grid.real && (r->grid.level || !f->format->book))
        place_codes(r);
}

void nb_rounder_book(nb_rounder *r, const float *state)
{
    const float passes = r->levels.passes;
    nb_grid_book(&r->grid, state, r->level, r->edge);
    nb_k_levels_at(&r->levels, r->grid.level, r->grid.edge, r->grid.n_levels);
    r->levels.passes = passes;
    place_codes(r);
}

int32_t nb_rounder_values(const nb_rounder *r, float scale, int32_t zero, double *level, double *edge)
{
    const nb_grid *g = &r->grid;
    for (int32_t i = 0; i < r->n_codes; i++)
        level[i] = (double)scale * (g->real    ? (double)g->real[i]
                                    : g->level ? (double)g->level[i]
                                               : (double)(g->lo + i - zero));
    for (int32_t i = 0; i < r->n_codes; i++)
        edge[i] = i == r->n_codes - 1 ? INFINITY
                  : g->edge           ? (double)scale * (double)g->edge[i]
                                      : (level[i] + level[i + 1]) / 2;
    return r->n_codes;
}

static void to_codes(const nb_rounder *r, float scale, int32_t zero, const float *x, int64_t n, uint8_t *code,
                     uint8_t *inside)
{
    if (r->grid.n_levels)
        nb_k_quantize_levels(code, inside, x, n, scale, &r->levels);
    else
        nb_k_quantize(code, inside, x, n, scale, zero, r->grid.lo, r->grid.hi);
}

typedef struct {
    const nb_rounder *r;
    float scale;
    int32_t zero, groups;
    double value[NB_GRID_CODES]; /* of a code, as a byte */
    nb_rounded *sums;
    int64_t *count;
} measuring;

/* Of BLOCK values at most, the first of them of group `group`. */
static void measure_block(const measuring *m, const float *x, int64_t n, int32_t group)
{
    uint8_t code[BLOCK], inside[BLOCK / 8];
    float y[BLOCK];
    const bool reals = m->r->grid.real != NULL;
    if (reals)
        nb_k_quantize_reals(y, inside, x, n, m->scale, &m->r->reals);
    else
        to_codes(m->r, m->scale, m->zero, x, n, code, inside);
    for (int64_t i = 0; i < n; i++) {
        const double to = reals ? (double)y[i] : m->value[code[i]], e = (double)x[i] - to;
        nb_rounded *s = &m->sums[group];
        s->noise += e * e;
        s->clipped += !(inside[i / 8] >> (i % 8) & 1);
        s->vanished += x[i] != 0.0f && to == 0;
        s->at_zero += to == 0;
        group = group + 1 == m->groups ? 0 : group + 1;
    }
    for (int64_t i = 0; m->count && !reals && i < n; i++)
        m->count[m->r->slot[code[i]]]++;
}

void nb_rounder_measure(const nb_rounder *r, float scale, int32_t zero, const float *x, int64_t n, nb_rounded *sums,
                        int32_t groups, int64_t *count)
{
    double level[NB_GRID_CODES] = {0}, edge[NB_GRID_CODES];
    measuring m = {.r = r, .scale = scale, .zero = zero, .groups = groups, .sums = sums, .count = count};
    nb_rounder_values(r, scale, zero, level, edge);
    for (int32_t i = 0; i < NB_GRID_CODES; i++)
        m.value[i] = level[r->slot[i]];
    for (int64_t at = 0; at < n; at += BLOCK)
        measure_block(&m, x + at, n - at < BLOCK ? n - at : BLOCK, (int32_t)(at % groups));
}

void nb_rounded_merge(nb_rounded *to, const nb_rounded *from)
{
    to->noise += from->noise;
    to->clipped += from->clipped;
    to->vanished += from->vanished;
    to->at_zero += from->at_zero;
}
