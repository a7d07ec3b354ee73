/* kept_parts.c - see kept_parts.h. The file is written anew with every part, old or new, never half. */
#include "cli/kept_parts.h"

#include "base/check.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "base/safetensors.h"

#include <nibble/nibble.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char family[] = "nibble-steps ";

typedef struct kept_part {
    struct kept_part *next;
    char *name;
    float *values;
    int64_t n;
} kept_part;

static nb_status add(cli_kept_parts *k, const char *name, const float *values, int64_t n)
{
    nb_ctx *ctx = k->c->ctx;
    kept_part *p = nb_alloc(ctx, sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    *p = (kept_part){.name = nb_strdup(ctx, name), .values = nb_alloc(ctx, (size_t)n * sizeof *values), .n = n};
    if (k->last)
        k->last->next = p;
    else
        k->first = p;
    k->last = p;
    if (!p->name || !p->values)
        return NB_E_NOMEM;
    memcpy(p->values, values, (size_t)n * sizeof *values);
    return NB_OK;
}

static const kept_part *find(const cli_kept_parts *k, const char *name, int64_t n)
{
    for (const kept_part *p = k->first; p; p = p->next)
        if (strcmp(p->name, name) == 0 && p->n == n)
            return p;
    return NULL;
}

static bool get(void *ud, const char *part, float *values, int64_t n)
{
    const kept_part *p = find(ud, part, n);
    if (p)
        memcpy(values, p->values, (size_t)n * sizeof *values);
    return p != NULL;
}

static nb_status write_all(const cli_kept_parts *k)
{
    nb_st_writer *w;
    NB_TRY(nb_st_writer_create(k->c->ctx, &w));
    nb_status st = nb_st_set_meta(w, "format", "nibble-steps 1");
    if (st == NB_OK)
        st = nb_st_set_meta(w, "of", k->of);
    for (const kept_part *p = k->first; p && st == NB_OK; p = p->next)
        st = nb_st_add(w, p->name, NB_ST_F32, 1, &p->n, p->values);
    if (st == NB_OK)
        st = nb_st_set_crc32(w);
    if (st == NB_OK)
        st = nb_st_save(w, k->path);
    nb_st_writer_free(w);
    return st;
}

static nb_status make_parent(const cli_kept_parts *k)
{
    char parent[CLI_PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", k->path);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return NB_OK;
    *slash = '\0';
    return nb_make_dirs(k->c->ctx, parent);
}

static nb_status put(void *ud, const char *part, const float *values, int64_t n)
{
    cli_kept_parts *k = ud;
    if (!k->first)
        NB_TRY(make_parent(k));
    NB_TRY(add(k, part, values, n));
    return write_all(k);
}

/* Parts of anything else are nothing to us; a file that is none of these is somebody's. */
static nb_status read_all(cli_kept_parts *k)
{
    nb_st_file *f;
    if (!nb_file_exists(k->path))
        return NB_OK;
    NB_TRY(nb_st_open(k->c->ctx, k->path, &f));
    nb_status st =
        nb_st_check_format(k->c->ctx, f, family, 1, "what an interrupted `nibble quantize` leaves; move it away");
    const char *format = nb_st_meta(f, "format"), *of = nb_st_meta(f, "of");
    if (st != NB_OK && format && strncmp(format, family, sizeof family - 1) == 0)
        st = nb_fail(k->c->ctx, st, "%s; or remove it, and the steps begin anew", nb_ctx_error(k->c->ctx));
    for (int32_t i = 0; st == NB_OK && of && strcmp(of, k->of) == 0 && i < nb_st_count(f); i++) {
        const nb_st_tensor *t = nb_st_at(f, i);
        if (t->dtype == NB_ST_F32)
            st = add(k, t->name, t->data, t->count);
        k->found++;
    }
    nb_st_close(k->c->ctx, f);
    return st;
}

static nb_status hash_images(const cli_post_steps *steps, uint64_t *h)
{
    if (!steps->n_sample) /* and maybe no data set */
        return NB_OK;
    const nb_dsinfo *d = nb_data_info(steps->e->train);
    const size_t bytes = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    const int32_t *indices = cli_post_steps_images(steps);
    uint8_t *pixels = nb_alloc(steps->ctx, bytes);
    if (!pixels)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < steps->n_sample; i++) {
        int32_t label;
        nb_data_get(steps->e->train, indices[i], pixels, &label);
        *h = nb_mix(*h, nb_mix(nb_hash_bytes(pixels, bytes), (uint64_t)label));
    }
    nb_free(steps->ctx, pixels);
    return nb_data_check(steps->ctx, steps->e->train);
}

nb_status cli_kept_parts_open(cli *c, const cli_post_steps *steps, cli_kept_parts *k)
{
    const char *out = steps->e->out;
    uint64_t of = nb_hash_text(steps->e->text);
    const int len = snprintf(k->path, sizeof k->path, "%s.steps.safetensors", out);
    if (len < 0 || (size_t)len >= sizeof k->path)
        return nb_fail(c->ctx, NB_E_IO, "%s: the path is too long", out);
    NB_TRY(hash_images(steps, &of));
    snprintf(k->of, sizeof k->of, "%s %016" PRIx64, NB_VERSION, of);
    k->c = c;
    k->store = (nb_post_store){.get = get, .put = put, .ud = k};
    return read_all(k);
}

void cli_kept_parts_close(cli_kept_parts *k)
{
    if (k->first && nb_rank() == 0)
        remove(k->path);
    for (kept_part *p = k->first, *next; p; p = next) {
        next = p->next;
        nb_free(k->c->ctx, p->values);
        nb_free(k->c->ctx, p->name);
        nb_free(k->c->ctx, p);
    }
    *k = (cli_kept_parts){0};
}
