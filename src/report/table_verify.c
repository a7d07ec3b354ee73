/* table_verify.c - integers against the quantized network of training, layer by layer; implementations of the integers side by side. */
#include "report/tables.h"

#include "base/check.h"

#include <stdbool.h>
#include <stdio.h>

nb_status nb_table_of_verify(nb_ctx *ctx, const nb_verify_row *rows, int32_t n, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(ctx, &t));
    nb_table_column(t, "layer", "layer", NB_LEFT);
    nb_table_column(t, "outputs", "outputs", NB_RIGHT);
    nb_table_column(t, "rounding", "rounding", NB_RIGHT);
    nb_table_column(t, "percent", "%", NB_RIGHT);
    nb_table_column(t, "faults", "faults", NB_RIGHT);
    nb_table_column(t, "largest", "largest", NB_RIGHT);
    nb_table_column(t, "differ_running", "differ, running", NB_RIGHT);
    nb_table_column(t, "largest_running", "largest, running", NB_RIGHT);
    for (int32_t i = 0; i < n; i++) {
        const nb_verify_row *w = &rows[i];
        nb_table_row(t);
        nb_table_add_text(t, w->name);
        nb_table_add_int(t, w->outputs);
        nb_table_add_int(t, w->rounding);
        nb_table_add_real(t, 100.0 * (double)w->rounding / (double)w->outputs, 4);
        nb_table_add_int(t, w->faults);
        nb_table_add_int(t, w->largest);
        nb_table_add_int(t, w->differ_run);
        nb_table_add_int(t, w->largest_run);
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_checks(nb_ctx *ctx, const nb_check_row *rows, int32_t n, int32_t images, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(ctx, &t));
    nb_table_column(t, "implementation", "implementation", NB_LEFT);
    nb_table_column(t, "images", "images", NB_RIGHT);
    nb_table_column(t, "differing_logits", "logits that differ", NB_RIGHT);
    nb_table_column(t, "largest", "largest", NB_RIGHT);
    nb_table_column(t, "same_top1", "same top-1", NB_RIGHT);
    nb_table_column(t, "microseconds", "us/image", NB_RIGHT);
    nb_table_column(t, "note", "note", NB_LEFT);
    for (int32_t i = 0; i < n; i++) {
        const nb_check_row *r = &rows[i];
        const bool ran = r->kind == NB_CHECK_EXACT || r->kind == NB_CHECK_ROUNDED;
        nb_table_row(t);
        nb_table_add_text(t, r->name);
        if (ran) {
            nb_table_add_int(t, images);
            nb_table_add_int(t, r->differ);
            nb_table_add_real(t, r->largest, 0);
            nb_table_add_int(t, r->same_top1);
        }
        for (int32_t k = 0; !ran && k < 4; k++)
            nb_table_add_blank(t);
        if (ran && r->seconds >= 0)
            nb_table_add_real(t, 1e6 * r->seconds, 1);
        else
            nb_table_add_blank(t);
        char note[sizeof r->note + 16];
        snprintf(note, sizeof note, "%s%s",
                 r->kind == NB_CHECK_ABSENT   ? "not here: "
                 : r->kind == NB_CHECK_BROKEN ? "failed: "
                                              : "",
                 r->note);
        nb_table_add_text(t, note);
    }
    *out = t;
    return NB_OK;
}
