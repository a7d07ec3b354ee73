/* pack_set.c - any data set that the loaders know, written as a packed one (shard.h).
 *
 * Shards are cut by size alone, each is finished before it has its name, and the index comes last: what a kill leaves is
 * a folder without an index, in which whole shards of the same images are kept. Such a shard is read again, because mean,
 * deviation and fingerprint are of all images, and so what is damaged in it is found. Images are decoded by all threads,
 * a block at a time, and written in order: the files do not depend on their number. */
#include "fingerprint.h"
#include "shard.h"
#include "stats.h"
#include "unmeasured.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/lock.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/textbuf.h"

enum { BLOCK_IMAGES = 512, BLOCK_BYTES = 32 << 20, GRAIN = 8, BAD_SHOWN = 50, SOURCE_BYTES = 17 };

typedef struct {
    nb_ctx *ctx;
    const nb_conf *data;
    const nb_pack_job *job;
    nb_pack_result *result;
    nb_pack_index index;
    uint64_t source; /* hash of what is packed and how */
    char text[SOURCE_BYTES];
    const char *root; /* of the images' names, taken off them; "" */
    bool measure;
    nb_pixel_stats stats; /* of the training images */
    nb_ctx **thread;      /* [threads]: a context is one thread's */
    uint8_t *pixels;      /* [block] images */
    int32_t *labels;
    nb_status *status;
    char **why;        /* [block] of images that could not be read */
    int32_t block;     /* images at a time */
    int64_t all, done; /* images of both splits */
    int32_t bad;
    char *first_bad;
} packing;

/* One split on its way. */
typedef struct {
    packing *p;
    nb_data *data;
    int32_t which; /* 0 train, 1 test */
    nb_pack_split *split;
    int32_t from, n; /* first image of the block, and how many it has */
    nb_fingerprint chunk;
} packed_split;

/* ---- what is packed ---- */

static uint64_t hash_conf(uint64_t h, const nb_conf *c)
{
    if (nb_conf_is_scalar(c))
        return nb_mix(h, nb_hash_text(nb_conf_text(c)));
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        if (nb_conf_is_map(c))
            h = nb_mix(h, nb_hash_text(nb_conf_key_at(c, i)));
        h = hash_conf(nb_mix(h, (uint64_t)i), nb_conf_at(c, i));
    }
    return h;
}

/* All keys of the section but those that are training's; the path as it is on this machine. */
static uint64_t hash_section(const nb_conf *data)
{
    static const char *const not_ours[] = {"augment", "validation", "memory", "path"};
    uint64_t h = 0;
    for (int32_t i = 0; nb_conf_is_map(data) && i < nb_conf_count(data); i++) {
        const char *key = nb_conf_key_at(data, i);
        bool counts = true;
        for (size_t k = 0; k < sizeof not_ours / sizeof *not_ours; k++)
            counts &= strcmp(key, not_ours[k]) != 0;
        if (counts)
            h = hash_conf(nb_mix(h, nb_hash_text(key)), nb_conf_at(data, i));
    }
    const char *path = nb_conf_is_map(data) ? nb_conf_text(nb_conf_get(data, "path")) : NULL;
    char *real = path ? realpath(path, NULL) : NULL;
    h = nb_mix(h, nb_hash_text(real ? real : path ? path : ""));
    free(real);
    return h;
}

/* Of the images [from, from + n): which they are, and when their files changed; 0: they have no files. */
static uint64_t hash_files(const packed_split *s, int32_t from, int32_t n)
{
    uint64_t h = nb_mix(s->p->source, (uint64_t)from);
    struct stat sb;
    for (int32_t i = from; i < from + n; i++) {
        const char *name = nb_data_image_name(s->data, i);
        if (!name || stat(name, &sb) != 0)
            return 0;
        h = nb_mix(nb_mix(h, nb_hash_text(name)), (uint64_t)sb.st_size);
        h = nb_mix(h, nb_mix((uint64_t)sb.st_mtim.tv_sec, (uint64_t)sb.st_mtim.tv_nsec));
    }
    return h ? h : 1;
}

/* Without the folder of the data set, which may move. */
static const char *short_name(const packing *p, const char *name)
{
    const size_t n = strlen(p->root);
    if (!name || !n || strncmp(name, p->root, n) != 0)
        return name ? name : "";
    name += n;
    while (*name == '/')
        name++;
    return name;
}

/* ---- reading ---- */

static void read_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const packed_split *s = arg;
    packing *p = s->p;
    nb_ctx *ctx = p->thread[thread];
    for (int64_t i = chunk * GRAIN, end = nb_chunk_end(s->n, GRAIN, chunk); i < end; i++) {
        p->status[i] = nb_data_try(ctx, s->data, s->from + (int32_t)i,
                                   p->pixels + (size_t)i * nb_shard_image_bytes(&p->index.shape), &p->labels[i]);
        if (p->status[i] != NB_OK)
            p->why[i] = nb_strdup(ctx, nb_ctx_error(ctx));
    }
}

static void note_progress(packing *p, int32_t n)
{
    p->done += n;
    if (p->job->at)
        p->job->at(p->job->ud, (double)p->done / (double)p->all);
}

/* What is known of all images, in order. */
static void count_image(packed_split *s, int32_t index, const uint8_t *hwc, int32_t label)
{
    packing *p = s->p;
    const nb_shard_shape *shape = &p->index.shape;
    if (p->measure && s->which == 0)
        nb_pixel_stats_add(&p->stats, hwc, (int64_t)shape->h * shape->w, shape->c);
    nb_fingerprint_image(&s->chunk, hwc, nb_shard_image_bytes(shape), label);
    if ((index + 1) % NB_FINGERPRINT_CHUNK == 0 || index + 1 == s->split->images) {
        nb_fingerprint_chunk(&s->split->print, &s->chunk);
        s->chunk = (nb_fingerprint){0};
    }
}

/* Goes on to the others, so that all are listed at once; nothing is written any more. */
static nb_status note_bad(packing *p, nb_status st, const char *why)
{
    if (st == NB_E_NOMEM || !why)
        return nb_fail(p->ctx, NB_E_NOMEM, "out of memory");
    if (++p->bad == 1)
        return (p->first_bad = nb_strdup(p->ctx, why)) ? NB_OK : NB_E_NOMEM;
    if (p->bad == 2)
        nb_log(p->ctx, "%s", p->first_bad);
    if (p->bad <= BAD_SHOWN)
        nb_log(p->ctx, "%s", why);
    return NB_OK;
}

/* n images from s->from on, into w unless some image was bad. */
static nb_status take_block(packed_split *s, int32_t n, nb_shard_writer *w)
{
    packing *p = s->p;
    const size_t each = nb_shard_image_bytes(&p->index.shape);
    nb_status st = NB_OK;
    s->n = n;
    nb_parallel_for(nb_chunks(n, GRAIN), read_chunk, s);
    for (int32_t i = 0; i < n; i++) {
        const uint8_t *hwc = p->pixels + (size_t)i * each;
        if (p->status[i] != NB_OK && st == NB_OK)
            st = note_bad(p, p->status[i], p->why[i]);
        nb_free(p->ctx, p->why[i]);
        p->why[i] = NULL;
        if (st != NB_OK || p->bad)
            continue;
        count_image(s, s->from + i, hwc, p->labels[i]);
        nb_shard_add(w, hwc, p->labels[i]);
    }
    s->from += n;
    note_progress(p, n);
    return st;
}

/* ---- shards ---- */

static nb_status names_of(const packed_split *s, int32_t from, int32_t n, nb_text *names)
{
    nb_text_init(s->p->ctx, names);
    for (int32_t i = from; i < from + n; i++) {
        const char *name = short_name(s->p, nb_data_image_name(s->data, i));
        nb_text_bytes(names, name, strlen(name) + 1);
    }
    return names->st;
}

static nb_status write_images(packed_split *s, const nb_shard_spec *spec, const char *path, uint32_t *checksum)
{
    packing *p = s->p;
    nb_shard_writer w;
    NB_TRY(nb_shard_create(p->ctx, path, spec, &p->index.shape, &w));
    nb_status st = NB_OK;
    for (int32_t left = spec->n, n; left > 0 && st == NB_OK; left -= n) {
        n = left < p->block ? left : p->block;
        st = take_block(s, n, &w);
    }
    if (st == NB_OK && !p->bad)
        return nb_shard_commit(p->ctx, &w, spec, checksum);
    nb_shard_abort(p->ctx, &w);
    return st;
}

/* Is there a shard of the same images, and is it whole? Then its images are counted, and s stands behind them. */
static nb_status keep(packed_split *s, const nb_shard_spec *spec, const char *path, bool *kept, uint32_t *checksum)
{
    packing *p = s->p;
    const size_t each = nb_shard_image_bytes(&p->index.shape);
    nb_shard old;
    *kept = false;
    if (strcmp(spec->source, "0") == 0 || p->bad)
        return NB_OK;
    nb_status st = nb_shard_open(p->ctx, path, spec->split, spec->number, &p->index.shape, &old);
    if (st != NB_OK)
        return st == NB_E_NOMEM ? st : NB_OK; /* not there, or not whole: it will be written */
    const packed_split before = *s;
    const nb_pixel_stats stats = p->stats;
    const nb_fingerprint print = s->split->print;
    bool good = strcmp(old.source, spec->source) == 0 && old.n == spec->n && old.name_bytes == spec->name_bytes &&
                memcmp(old.names, spec->names, spec->name_bytes) == 0;
    for (int32_t i = 0; i < old.n && good; i++) {
        good = nb_shard_read(p->ctx, &old, i, each, p->pixels) == NB_OK;
        if (good)
            count_image(s, s->from + i, p->pixels, old.labels[i]);
    }
    if (good) {
        *checksum = old.checksum;
        s->from += old.n;
        note_progress(p, old.n);
    } else {
        *s = before;
        p->stats = stats;
        s->split->print = print;
    }
    *kept = good;
    nb_shard_close(p->ctx, &old);
    return NB_OK;
}

static nb_status pack_shard(packed_split *s, int32_t number, int32_t n)
{
    packing *p = s->p;
    char path[NB_SHARD_PATH], source[SOURCE_BYTES];
    nb_text names;
    bool kept = false;
    struct stat sb;
    uint32_t *checksum = &s->split->sums[number];
    NB_TRY(nb_shard_path(p->ctx, p->job->out, nb_pack_split_names[s->which], number, path));
    snprintf(source, sizeof source, "%" PRIx64, hash_files(s, s->from, n));
    nb_status st = names_of(s, s->from, n, &names);
    const nb_shard_spec spec = {.split = nb_pack_split_names[s->which],
                                .source = source,
                                .number = number,
                                .n = n,
                                .names = names.s,
                                .name_bytes = names.len};
    s->split->n[number] = n;
    if (st == NB_OK)
        st = keep(s, &spec, path, &kept, checksum);
    if (st == NB_OK && !kept)
        st = write_images(s, &spec, path, checksum);
    nb_text_free(&names);
    p->result->kept += kept;
    if (st == NB_OK && stat(path, &sb) == 0)
        p->result->bytes += sb.st_size;
    return st;
}

/* What a packing with more shards left behind. */
static nb_status remove_behind(packing *p, const char *split, int32_t number)
{
    char path[NB_SHARD_PATH];
    for (;; number++) {
        NB_TRY(nb_shard_path(p->ctx, p->job->out, split, number, path));
        if (unlink(path) != 0)
            return NB_OK;
    }
}

static nb_status pack_split(packing *p, nb_data *data, int32_t which)
{
    const int32_t count = nb_data_info(data)->count;
    const int64_t fit = p->job->shard_bytes / (int64_t)nb_shard_image_bytes(&p->index.shape);
    const int32_t most = fit < 1 ? 1 : fit < count ? (int32_t)fit : count;
    nb_pack_split *split = &p->index.split[which];
    packed_split s = {.p = p, .data = data, .which = which, .split = split};
    split->images = count;
    split->n_shards = (count - 1) / most + 1;
    if (split->n_shards > NB_SHARD_MAX)
        return nb_fail(p->ctx, NB_E_CONFIG, "%s: more than %d files for a split: make them larger", p->job->out,
                       NB_SHARD_MAX);
    split->n = nb_arena_array(p->index.arena, (size_t)split->n_shards, sizeof *split->n);
    split->sums = nb_arena_array(p->index.arena, (size_t)split->n_shards, sizeof *split->sums);
    if (!split->n || !split->sums)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < split->n_shards; i++)
        NB_TRY(pack_shard(&s, i, count - i * most < most ? count - i * most : most));
    p->result->images[which] = count;
    p->result->shards[which] = split->n_shards;
    return p->bad ? NB_OK : remove_behind(p, nb_pack_split_names[which], split->n_shards);
}

/* ---- the folder ---- */

/* An index of the same source goes, so that nobody reads a mixture; one of another is left alone. */
static nb_status clear_folder(packing *p)
{
    char path[NB_SHARD_PATH];
    nb_pack_index old;
    snprintf(path, sizeof path, "%s/" NB_PACK_INDEX, p->job->out);
    if (!nb_file_exists(path))
        return NB_OK;
    const nb_status st = nb_pack_index_read(p->ctx, p->job->out, &old);
    if (st == NB_E_NOMEM)
        return st;
    const bool same = st == NB_OK && strcmp(old.source, p->text) == 0;
    if (st == NB_OK)
        nb_arena_free(old.arena);
    if (st == NB_OK && !same && !p->job->force)
        return nb_fail(p->ctx, NB_E_CONFIG,
                       "%s: holds what was packed of another data set, or with other keys: choose another folder, or "
                       "say --force",
                       p->job->out);
    if (unlink(path) != 0)
        return nb_fail(p->ctx, NB_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    return NB_OK;
}

static nb_status make_room(packing *p)
{
    const size_t each = nb_shard_image_bytes(&p->index.shape);
    const int32_t threads = nb_threads();
    p->block = each > BLOCK_BYTES / BLOCK_IMAGES ? (int32_t)(BLOCK_BYTES / each) : BLOCK_IMAGES;
    p->block = p->block < 1 ? 1 : p->block;
    p->pixels = nb_alloc(p->ctx, (size_t)p->block * each);
    p->labels = nb_alloc(p->ctx, (size_t)p->block * sizeof *p->labels);
    p->status = nb_alloc(p->ctx, (size_t)p->block * sizeof *p->status);
    p->why = nb_alloc(p->ctx, (size_t)p->block * sizeof *p->why);
    p->thread = nb_alloc(p->ctx, (size_t)threads * sizeof(nb_ctx *));
    if (!p->pixels || !p->labels || !p->status || !p->why || !p->thread)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < threads; i++)
        if (!(p->thread[i] = nb_ctx_create()))
            return nb_fail(p->ctx, NB_E_NOMEM, "out of memory");
    return NB_OK;
}

static void give_room_back(packing *p)
{
    for (int32_t i = 0; p->thread && i < nb_threads(); i++)
        nb_ctx_destroy(p->thread[i]);
    nb_free(p->ctx, p->thread);
    nb_free(p->ctx, p->pixels);
    nb_free(p->ctx, p->labels);
    nb_free(p->ctx, p->status);
    nb_free(p->ctx, p->why);
    nb_free(p->ctx, p->first_bad);
}

static nb_status describe(packing *p, const nb_dsinfo *train, const nb_dsinfo *test)
{
    nb_pack_index *x = &p->index;
    x->shape = (nb_shard_shape){train->h, train->w, train->c, train->classes};
    if (train->h != test->h || train->w != test->w || train->c != test->c || train->classes != test->classes)
        return nb_fail(p->ctx, NB_E_SHAPE,
                       "data: training images are %dx%dx%d in %d classes, test images are %dx%dx%d in %d classes",
                       train->h, train->w, train->c, train->classes, test->h, test->w, test->c, test->classes);
    x->features = train->features;
    x->class_names = train->class_names;
    x->source = p->text;
    x->mean = nb_arena_array(x->arena, (size_t)train->c, sizeof *x->mean);
    x->std = nb_arena_array(x->arena, (size_t)train->c, sizeof *x->std);
    if (!x->mean || !x->std)
        return NB_E_NOMEM;
    memcpy(x->mean, train->mean, (size_t)train->c * sizeof *x->mean);
    memcpy(x->std, train->std, (size_t)train->c * sizeof *x->std);
    p->all = (int64_t)train->count + test->count;
    *p->result = (nb_pack_result){.h = train->h, .w = train->w, .c = train->c, .classes = train->classes};
    return NB_OK;
}

static nb_status pack_both(packing *p, nb_data *const data[2])
{
    NB_TRY(describe(p, nb_data_info(data[0]), nb_data_info(data[1])));
    NB_TRY(make_room(p));
    NB_TRY(clear_folder(p));
    for (int32_t i = 0; i < 2; i++)
        NB_TRY(pack_split(p, data[i], i));
    if (p->bad > 1)
        return nb_fail(p->ctx, NB_E_FORMAT, "%d of %" PRId64 " images cannot be used%s; the first is %s", p->bad,
                       p->all, p->bad > BAD_SHOWN ? "" : ", all are listed", p->first_bad);
    if (p->bad)
        return nb_fail(p->ctx, NB_E_FORMAT, "%s (of %" PRId64 " images it is the only one that cannot be used)",
                       p->first_bad, p->all);
    if (p->measure)
        nb_pixel_stats_finish(&p->stats, p->index.shape.c, p->index.mean, p->index.std);
    return nb_pack_index_write(p->ctx, p->job->out, &p->index);
}

static nb_status pack_locked(packing *p)
{
    nb_data *data[2] = {NULL, NULL};
    nb_status st = NB_OK;
    for (int32_t i = 0; i < 2 && st == NB_OK; i++)
        st = nb_data_open_unmeasured(p->ctx, p->data, nb_pack_split_names[i], &data[i], &p->measure);
    if (st == NB_OK)
        st = pack_both(p, data);
    for (int32_t i = 0; i < 2; i++)
        nb_data_close(p->ctx, data[i]);
    return st;
}

nb_status nb_data_pack(nb_ctx *ctx, const nb_conf *data, const nb_pack_job *job, nb_pack_result *out)
{
    packing *p = nb_alloc(ctx, sizeof *p);
    nb_lock lock = {0};
    if (!p)
        return NB_E_NOMEM;
    const char *root = nb_conf_is_map(data) ? nb_conf_text(nb_conf_get(data, "path")) : NULL;
    *p = (packing){
        .ctx = ctx, .data = data, .job = job, .result = out, .source = hash_section(data), .root = root ? root : ""};
    snprintf(p->text, sizeof p->text, "%016" PRIx64, p->source);
    nb_status st = nb_make_dirs(ctx, job->out);
    if (st == NB_OK)
        st = nb_lock_take(ctx, job->out, 0, &lock);
    if (st == NB_OK)
        st = nb_arena_create(ctx, &p->index.arena);
    if (st == NB_OK)
        st = pack_locked(p);
    give_room_back(p);
    nb_arena_free(p->index.arena);
    nb_lock_release(&lock);
    nb_free(ctx, p);
    return st;
}
