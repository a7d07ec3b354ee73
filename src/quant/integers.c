/* integers.c - can what a quantizer makes be integers of -127..127 with a scale that leaves the sum? If not, its network
 * is simulated, and says why in one clause. */
#include "quant/policy.h"

#include "base/check.h"
#include "base/numtext.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 320 };

nb_status nb_quant_simulate(nb_graph *g, const char *instead, const char *format, ...)
{
    char text[WHY_BYTES];
    va_list ap;
    if (g->simulated)
        return NB_OK;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    char *why = nb_graph_alloc(g, strlen(text) + 1);
    if (!why)
        return NB_E_NOMEM;
    memcpy(why, text, strlen(text) + 1);
    g->simulated = why;
    g->instead = instead;
    return NB_OK;
}

/* "weights of c1", "activations of relu1" */
static void name_of(const nb_node *fq, char *buf, size_t len)
{
    const nb_fakequant_attr *a = fq->attr;
    const char *of = fq->in[0]->name, *dot = a->weights ? strrchr(of, '.') : NULL;
    snprintf(buf, len, "%s of %.*s", a->weights ? "weights" : "activations", dot ? (int)(dot - of) : (int)strlen(of),
             of);
}

nb_status nb_quant_check_integers(nb_graph *g, const nb_node *fq)
{
    const nb_fakequant_attr *a = fq->attr;
    float real[256];
    int8_t level[256];
    char name[192];
    name_of(fq, name, sizeof name);
    if (a->per_last)
        return nb_quant_simulate(g, a->weights ? "channel or tensor would do" : "tensor would do",
                                 "%s: granularity %s gives one sum several scales", name,
                                 a->weights ? "full" : "channel");
    if (!a->weights && !nb_fakequant_nearest(a) && !a->rounding->random)
        return nb_quant_simulate(g, "nearest would do", "%s: rounding %s is not what integers are rescaled by", name,
                                 a->rounding->name);
    if (a->weights && a->bits == 8 && a->scheme != NB_SCHEME_SYMMETRIC)
        return nb_quant_simulate(g, "7 bits or symmetric would do", "%s: scheme %s with 8 bits does not fit -127..127",
                                 name, a->scheme == NB_SCHEME_FULL ? "full" : "asymmetric");
    nb_grid grid = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, a->weights, level);
    nb_grid_take_reals(&grid, real);
    if (grid.block.n > 0 && grid.hi > NB_MOST_LEVEL)
        return nb_quant_simulate(g, "bits and depth of 8 together would do",
                                 "%s: format %s with %d bit%s and a depth of %d does not fit -127..127", name,
                                 a->format->name, a->bits, nb_plural(a->bits), grid.block.depth);
    if (grid.real)
        return nb_quant_simulate(g, "uniform or pow2 would do", "%s: format %s with %d bit%s does not fit -127..127",
                                 name, a->format->name, a->bits, nb_plural(a->bits));
    return NB_OK;
}
