/* compare.c - see compare.h. */
#include "cli/compare.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>

enum { FEW_IMAGES = 8 };

nb_status cli_compare_judge(cli *c, const char *what, const nb_verify_report *r, int32_t steps)
{
    for (int32_t i = 0; i < steps; i++) {
        const nb_verify_row *w = &r->rows[i];
        if (w->faults)
            return nb_fail(c->ctx, NB_E_RANGE,
                           "%s: %s: on %" PRId64 " of %" PRId64
                           " outputs engine and training network differ (by up to %d) where no rounding explains it: "
                           "the integers are damaged or of another network; if they are as nibble wrote them it is a "
                           "fault of nibble, please report it with this config",
                           what, w->name, w->faults, w->outputs, w->largest);
    }
    return NB_OK;
}

nb_status cli_compare_few(cli *c, const char *what, nb_graph *g, const nb_intmodel *m, const nb_data *data)
{
    const int32_t count = nb_data_info(data)->count;
    nb_verify_report r;
    nb_status st = nb_verify(g, m, data, count < FEW_IMAGES ? count : FEW_IMAGES, &r);
    if (st != NB_OK)
        return st;
    st = cli_compare_judge(c, what, &r, m->e.n_steps);
    nb_free(c->ctx, r.rows);
    return st;
}

void cli_compare_warn_dead(const char *what, const nb_eval *e)
{
    if (e->n > 1 && e->unlike == 0)
        fprintf(stderr,
                "nibble: warning: %s: all %d images have the same logits, so nothing of an image reaches the output (a "
                "relu that is never positive, a gamma or weights of 0, a range that rounds to one code?) or all images "
                "are one: look at them and at `nibble info`, lower lr or train from other weights\n",
                what, e->n);
}
