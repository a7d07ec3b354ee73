/* report_layers.c - the table that `nibble info` prints, and where bytes and multiplications are. */
#include "report/report.h"

enum { SHOWN = 24 };

/* Those with most of it, largest first: at most SHOWN. */
static int32_t largest(const nb_layer_rows *l, int64_t (*of)(const nb_layer_row *), int32_t *index)
{
    int32_t n = 0;
    for (int32_t i = 0; i < l->n; i++) {
        if (of(&l->rows[i]) <= 0)
            continue;
        int32_t at = n;
        while (at > 0 && of(&l->rows[index[at - 1]]) < of(&l->rows[i]))
            at--;
        n += n < SHOWN;
        for (int32_t k = n - 1; k > at; k--)
            index[k] = index[k - 1];
        if (at < SHOWN)
            index[at] = i;
    }
    return n;
}

static int64_t bytes_of(const nb_layer_row *r)
{
    return r->bytes;
}

static int64_t macs_of(const nb_layer_row *r)
{
    return r->macs;
}

static void bars(const nb_report *r, nb_page *p, const char *name, const char *title, const char *unit,
                 int64_t (*of)(const nb_layer_row *))
{
    int32_t index[SHOWN];
    const char *label[SHOWN];
    double value[SHOWN];
    const int32_t n = largest(&r->layers, of, index);
    for (int32_t i = 0; i < n; i++) {
        label[i] = r->layers.rows[index[i]].name;
        value[i] = (double)of(&r->layers.rows[index[i]]);
    }
    if (n > 0)
        nb_page_bars(
            p, name, n == SHOWN ? "the largest" : NULL,
            &(nb_svg_bars){.title = title, .n = n, .n_series = 1, .label = label, .series = &unit, .value = value});
}

/* What the table's columns are of, as far as it is not plain. */
static void say_columns(const nb_report *r, nb_page *p)
{
    const int64_t all = nb_layers_total(&r->layers).bytes;
    bool merged = false;
    for (int32_t i = 0; i < r->layers.n; i++)
        merged |= r->layers.rows[i].output_bits == 0;
    if (r->integers)
        nb_page_say(
            p, "Kinds are those of the integers: a linear layer is a convolution with one window there, and the input "
               "looks every pixel up in a table. Bytes are those of the parameters in the checkpoint: weights packed "
               "at their bits, and 12 for each output channel (bias, multiplier, shift).");
    else
        nb_page_say(p, "Bytes are those of the parameters: 4 for what is float.");
    if (r->exported.macs > 0 && r->exported.flash_bytes != all)
        nb_page_say(
            p, "The exported C has %lld bytes of constants in place of %lld, because a shift takes one byte in it.",
            (long long)r->exported.flash_bytes, (long long)all);
    if (merged)
        nb_page_say(p, "Output bits are missing where a layer is merged into the next one.");
}

void nb_section_layers(const nb_report *r, nb_page *p)
{
    nb_table *t;
    if (!r->model || r->layers.n == 0)
        return;
    nb_page_section(p, "layers", "Layers");
    if (nb_page_ok(p, nb_table_of_layers(p->ctx, &r->layers, &t)))
        nb_page_table(p, "layers", NULL, t);
    say_columns(r, p);
    nb_page_figures(p);
    bars(r, p, "bytes", "Bytes of parameters", "bytes", bytes_of);
    bars(r, p, "macs", "Multiply-accumulates per image", "macs", macs_of);
    nb_page_figures_end(p);
}
