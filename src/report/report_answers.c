/* report_answers.c - what the network says of the test images: by class, what it confuses, the mistakes it is surest of, with
 * their pictures. */
#include "report/report.h"

#include <nibble/image.h>

#include "report/html.h"

#include <string.h>

enum { PAIRS = 20, MISTAKES = 24, PICTURES = 12, MOST_SIDE = 256 };

static void matrix(const nb_report *r, nb_page *p)
{
    const nb_answered *a = &r->said;
    const char *label[NB_SVG_MATRIX];
    const int32_t *count = nb_report_confusion(p, a);
    for (int32_t i = 0; i < a->classes; i++)
        label[i] = nb_report_class(p, r, i);
    if (count)
        nb_page_matrix(p, "confusion",
                       "A row for what images are, a column for what the network says. The stronger a cell's colour, "
                       "the larger its share "
                       "of the row; wrong answers are drawn three times as strong, to be seen.",
                       &(nb_svg_matrix){.title = "Confusion", .n = a->classes, .count = count, .label = label});
}

/* Every n-th pixel of large ones: they are shown small. Of channels that are no colours, the first c. */
static nb_status shrink(nb_ctx *ctx, const nb_dsinfo *d, const uint8_t *from, int32_t *h, int32_t *w, int32_t c,
                        uint8_t **out)
{
    const int32_t large = d->h > d->w ? d->h : d->w, step = (large + MOST_SIDE - 1) / MOST_SIDE;
    *h = (d->h + step - 1) / step;
    *w = (d->w + step - 1) / step;
    uint8_t *to = nb_alloc(ctx, (size_t)*h * (size_t)*w * (size_t)c);
    if (!to)
        return NB_E_NOMEM;
    *out = to;
    for (int32_t y = 0; y < d->h; y += step)
        for (int32_t x = 0; x < d->w; x += step)
            for (int32_t k = 0; k < c; k++)
                *to++ = from[((int64_t)y * d->w + x) * d->c + k];
    return NB_OK;
}

static nb_status add_picture(nb_page *p, const nb_report *r, int32_t index, uint8_t *pixels)
{
    const nb_dsinfo *d = nb_data_info(r->images);
    const int32_t colours = d->c < 3 ? 1 : 3;
    uint8_t *small = NULL, *png = NULL;
    size_t len;
    int32_t label, h, w;
    nb_data_get(r->images, index, pixels, &label);
    nb_status st = nb_data_check(p->ctx, r->images);
    if (st == NB_OK)
        st = shrink(p->ctx, d, pixels, &h, &w, colours, &small);
    if (st == NB_OK)
        st = nb_png_write(p->ctx, small, h, w, colours, &png, &len);
    if (st == NB_OK) {
        nb_text_printf(&p->body, "<img width=\"96\" height=\"96\" alt=\"image %d\" src=\"data:image/png;base64,",
                       (int)index);
        nb_base64_add(&p->body, png, len);
        nb_text_add(&p->body, "\">");
    }
    nb_free(p->ctx, png);
    nb_free(p->ctx, small);
    return st;
}

/* Of the image: its file, without the folders, or its number. */
static const char *name_of(const nb_report *r, nb_page *p, int32_t at)
{
    const char *path = nb_data_image_name(r->images, at), *slash = path ? strrchr(path, '/') : NULL;
    const char *number = path ? NULL : nb_arena_printf(p->arena, "image %d", (int)at);
    return slash ? slash + 1 : path ? path : number ? number : "";
}

/* What is nearly 1 is not called 100 %. */
static void add_probability(nb_text *out, double p)
{
    nb_text_printf(out, p > 0.9999 ? "over 99.99 %%" : "%.2f %%", 100 * p);
}

static nb_status pictures(const nb_report *r, nb_page *p, const nb_mistake *rows, int32_t n)
{
    const nb_dsinfo *d = nb_data_info(r->images);
    uint8_t *pixels = nb_alloc(p->ctx, (size_t)d->h * (size_t)d->w * (size_t)d->c);
    nb_status st = pixels ? NB_OK : NB_E_NOMEM;
    nb_page_raw(p, "<div class=\"pics\">\n");
    for (int32_t i = 0; st == NB_OK && i < n; i++) {
        nb_page_raw(p, "<figure>");
        st = add_picture(p, r, rows[i].at, pixels);
        nb_page_raw(p, "<div>");
        nb_html_add(&p->body, name_of(r, p, rows[i].at));
        nb_page_raw(p, ":<br>is ");
        nb_html_add(&p->body, nb_report_class(p, r, rows[i].label));
        nb_page_raw(p, ",<br>said ");
        nb_html_add(&p->body, nb_report_class(p, r, rows[i].answer));
        nb_page_raw(p, ",<br>");
        add_probability(&p->body, rows[i].probability);
        nb_page_raw(p, "</div></figure>\n");
    }
    nb_page_raw(p, "</div>\n");
    nb_free(p->ctx, pixels);
    return st;
}

static nb_status mistakes(const nb_report *r, nb_page *p)
{
    nb_mistake *rows = NULL;
    nb_table *t;
    int32_t n;
    nb_status st = nb_mistakes_find(p->ctx, &r->said, MISTAKES, &rows, &n);
    const char **names = st == NB_OK ? nb_arena_array(p->arena, (size_t)n + 1, sizeof *names) : NULL;
    int32_t *indices = names ? nb_arena_array(p->arena, (size_t)n + 1, sizeof *indices) : NULL;
    if (!indices)
        st = NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < n; i++) {
        indices[i] = rows[i].at;
        names[i] = nb_data_image_name(r->images, rows[i].at);
    }
    if (st == NB_OK && n > 0) {
        nb_page_say(p,
                    "The %d mistakes it is surest of, and pictures of the first %d. The probability of an answer is "
                    "the softmax "
                    "of the logits%s.",
                    n, n < PICTURES ? n : PICTURES,
                    r->integers ? ", which are the last layer's integers times their scale" : "");
        st = pictures(r, p, rows, n < PICTURES ? n : PICTURES);
        if (st == NB_OK)
            st = nb_table_of_mistakes(p->ctx, &r->said, rows, n, names[0] ? names : NULL, indices, &t);
        if (st == NB_OK)
            nb_page_table(p, "mistakes", NULL, t);
    }
    nb_free(p->ctx, rows);
    return st;
}

void nb_section_answers(const nb_report *r, nb_page *p)
{
    const nb_answered *a = &r->said;
    nb_table *t;
    if (a->n == 0)
        return;
    nb_page_section(p, "answers", "Answers: classes, confusion, mistakes");
    if (a->classes <= NB_SVG_MATRIX) {
        nb_page_figures(p);
        matrix(r, p);
        nb_page_figures_end(p);
    }
    if (nb_page_ok(p, nb_table_of_pairs(p->ctx, a, PAIRS, &t)))
        nb_page_table(p, "pairs", "What is most often taken for what", t);
    if (nb_page_ok(p, nb_table_of_classes(p->ctx, a, &t)))
        nb_page_table(p, "classes", "By class", t);
    if (a->logits && r->images)
        nb_page_ok(p, mistakes(r, p));
}
