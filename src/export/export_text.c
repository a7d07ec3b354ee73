/* export_text.c - the whole integer model as a listing for people and diff: one line per channel, one per row of
 * weights.
 *
 * Columns have fixed widths, so a change of one number changes one line. Nothing in it depends on time, place or
 * locale. */
#include <nibble/export.h>

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "lower/intcheck.h"

#include <inttypes.h>
#include <string.h>

enum { TABLE_ROW = 16 };

/* Texts that come from configs and data sets: no control characters reach the listing. */
static void put_clean(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fputc((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i], f);
}

static void put_head(FILE *f, const nb_intmodel *m)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    char number[NB_NUMTEXT];
    int64_t macs = 0;
    for (int32_t i = 0; i < m->e.n_steps; i++)
        macs += m->steps[i].macs;
    fprintf(f, "nibble integer model, listing 1\n\n");
    fprintf(f, "input     %dx%dx%d u8 pixels\n", in->h, in->w, in->c);
    fprintf(f, "classes   %d\n", m->classes);
    fprintf(f, "accuracy  %s\n", m->accuracy < 0 ? "not measured" : nb_double_text(number, m->accuracy));
    fprintf(f, "macs      %" PRId64 "\n", macs);
    fprintf(f, "arena     %" PRIu64 " bytes for tensors\n", m->e.tensor_bytes);
    if (m->class_names) {
        fprintf(f, "\nclass names\n");
        for (int32_t i = 0; i < m->classes; i++) {
            fprintf(f, "%6d  ", i);
            put_clean(f, m->class_names[i], strlen(m->class_names[i]));
            fputc('\n', f);
        }
    }
}

static void put_config(FILE *f, const char *config)
{
    fprintf(f, "%s", *config ? "\nconfig\n" : "");
    while (*config) {
        size_t n = strcspn(config, "\n");
        fprintf(f, "%s", n ? "  | " : "  |");
        put_clean(f, config, n);
        fputc('\n', f);
        config += n + (config[n] == '\n');
    }
}

static void put_tensors(FILE *f, const nb_intmodel *m)
{
    char size[64];
    char scale[NB_NUMTEXT];
    fprintf(f, "\ntensors: real = scale * (code - zero)\n");
    fprintf(f, "%6s  %-28s %-14s %-4s %4s %16s %6s %10s\n", "index", "name", "size", "type", "bits", "scale", "zero",
            "offset");
    for (int32_t i = 0; i < m->e.n_tensors; i++) {
        const nb_etensor *t = &m->e.tensors[i];
        snprintf(size, sizeof size, "%dx%dx%d", t->h, t->w, t->c);
        fprintf(f, "%6d  %-28s %-14s %-4s %4d %16s %6d %10" PRIu64 "\n", i, m->tensors[i].name, size,
                nb_etype_names[t->type], m->tensors[i].bits, nb_float_text(scale, m->tensors[i].scale), t->zero,
                t->offset);
    }
}

/* In the order of bytes, as they are stored. */
static void put_table(FILE *f, const nb_etensor *out, const nb_estep *s)
{
    const char *from = s->n_in ? "code, as a byte" : "pixel value";
    for (int32_t c = 0; c < nb_estep_tables(s, out); c++) {
        if (s->one_table)
            fprintf(f, "  table of all channels: %s -> code\n", from);
        else
            fprintf(f, "  table of channel %d: %s -> code\n", c, from);
        for (int32_t v = 0; v < 256; v++) {
            const uint8_t byte = s->table[c * 256 + v];
            const int32_t code = out->type == NB_EI_S8 && byte > 127 ? byte - 256 : byte;
            if (v % TABLE_ROW == 0)
                fprintf(f, "%6d  ", v);
            fprintf(f, "%5d%s", code, v % TABLE_ROW == TABLE_ROW - 1 ? "\n" : "");
        }
    }
}

static void put_channels(FILE *f, const nb_estep *s, const nb_sinfo *info)
{
    char scale[NB_NUMTEXT];
    fprintf(f, "  %8s %11s %11s %6s %16s\n", "channel", "bias", "mult", "shift", "weight scale");
    for (int32_t c = 0; c < s->geom.oc; c++) {
        fprintf(f, "  %8d %11d", c, s->bias[c]);
        if (s->mult)
            fprintf(f, " %11d %6d", s->mult[c], s->shift[c]);
        else
            fprintf(f, " %11s %6s", "-", "-");
        fprintf(f, " %16s\n", nb_float_text(scale, info->weight_scale[info->n_scale > 1 ? c : 0]));
    }
}

static void put_levels(FILE *f, const nb_sinfo *info)
{
    for (int32_t t = 0; t < info->n_tables; t++) {
        fprintf(f, "  levels%s", info->n_tables > 1 ? " of channel" : ":");
        if (info->n_tables > 1)
            fprintf(f, " %d:", t);
        for (int32_t i = 0; i < info->n_levels; i++)
            fprintf(f, " %d", info->level[t * info->n_levels + i]);
        fputc('\n', f);
    }
}

static void put_weights(FILE *f, const nb_estep *s, const nb_sinfo *info)
{
    const nb_geom *g = &s->geom;
    const int32_t inputs = g->c / g->groups;
    const int32_t width = info->weight_bits > 4 || info->level || info->block || info->n_low > 1 ? 5 : 3;
    const int8_t *w = s->weights;
    fprintf(f, "  weights: output channel, kernel row, kernel column: input channels\n");
    for (int32_t c = 0; c < g->oc; c++)
        for (int32_t y = 0; y < g->kh; y++)
            for (int32_t x = 0; x < g->kw; x++) {
                fprintf(f, "  %8d %3d %3d:", c, y, x);
                for (int32_t i = 0; i < inputs; i++)
                    fprintf(f, "%*d", width, *w++);
                fputc('\n', f);
            }
}

/* One number where all are equal. */
static void put_numbers(FILE *f, const int32_t *v, int32_t n)
{
    bool equal = true;
    for (int32_t i = 1; i < n; i++)
        equal = equal && v[i] == v[0];
    fprintf(f, "%d", v[0]);
    for (int32_t i = 1; i < n && !equal; i++)
        fprintf(f, "%s%d", n == 2 ? "x" : " ", v[i]);
}

static void put_geom(FILE *f, const nb_geom *g)
{
    fprintf(f, "  %dx%dx%d -> %dx%dx%d", g->h, g->w, g->c, g->oh, g->ow, g->oc);
    fprintf(f, ", window %dx%d, stride ", g->kh, g->kw);
    put_numbers(f, &g->stride.h, 2);
    fputs(", pad ", f);
    put_numbers(f, &g->pad.top, 4);
    fputs(", dilation ", f);
    put_numbers(f, &g->dilation.h, 2);
    fprintf(f, ", groups %d\n", g->groups);
}

static void put_indices(FILE *f, const nb_intmodel *m, const nb_estep *s)
{
    for (int32_t axis = 0; axis < 3; axis++) {
        const int32_t n = nb_estep_indices(&m->e, s, axis);
        if (n)
            fprintf(f, "  %-9s", nb_index_names[axis]);
        for (int32_t i = 0; i < n; i++)
            fprintf(f, " %d%s", s->index[axis][i], i + 1 < n ? "" : "\n");
    }
}

static void put_step(FILE *f, const nb_intmodel *m, int32_t i)
{
    const nb_estep *s = &m->e.steps[i];
    const nb_sinfo *info = &m->steps[i];
    fprintf(f, "\nstep %d: %s %s\n", i, nb_step_names[s->kind], info->name);
    for (int32_t k = 0; k < s->n_in; k++)
        fprintf(f, "  reads     %d %s\n", s->in[k], m->tensors[s->in[k]].name);
    fprintf(f, "  writes    %d %s, clamp %d..%d\n", s->out, m->tensors[s->out].name, s->lo, s->hi);
    if (s->kind == NB_STEP_TABLE)
        put_table(f, &m->e.tensors[s->out], s);
    if (s->geom.kh > 0)
        put_geom(f, &s->geom);
    put_indices(f, m, s);
    if (s->kind == NB_STEP_CONV) {
        fprintf(f, "  %d bit%s, %" PRId64 " weights, %" PRId64 " macs, |accumulator| <= %" PRId64 "\n",
                info->weight_bits, nb_plural(info->weight_bits), nb_estep_weights(s), info->macs, info->acc_bound);
        if (info->block)
            fprintf(f, "  blocks of %d weights with a power of two in common\n", info->block);
        if (info->level)
            put_levels(f, info);
        put_channels(f, s, info);
        put_weights(f, s, info);
        return;
    }
    for (int32_t k = 0, n = nb_estep_mults(s); k < n; k++)
        fprintf(f, "  rescale   mult %10d  shift %2d\n", s->mult[k], s->shift[nb_estep_shifts(s) > 1 ? k : 0]);
}

static nb_status write_text(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    (void)options;
    nb_atomic a;
    NB_TRY(nb_atomic_open(ctx, path, &a));
    put_head(a.f, m);
    put_config(a.f, m->config);
    put_tensors(a.f, m);
    for (int32_t i = 0; i < m->e.n_steps; i++)
        put_step(a.f, m, i);
    return nb_atomic_commit(&a); /* looks at the stream's error flag: a full disk is noticed here */
}

const nb_exporter nb_exporter_text = {.name = "text",
                                      .ext = ".txt",
                                      .help = "readable listing of every integer, for people and diff",
                                      .write = write_text};
