/* fuzz_checkpoint.c - any bytes as a training checkpoint: an error with a sentence, or a checkpoint whose values a
 * network takes or refuses, and whose table of epochs is one or is refused. */
#include "ref/train_case.h"
#include "train/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static const char train_section[] =
    "train: {batch: 8, phases: [{name: float, epochs: 2, lr: 0.1}, {name: qat, epochs: 2, lr: 0.1, quant: on}]}\n";

/* The network the checkpoints of the corpus are of; built once. */
static const train_case *experiment(void)
{
    static train_case t;
    if (!t.ctx) {
        char text[2048];
        snprintf(text, sizeof text, "%s%s", train_case_head, train_section);
        nb_ctx *ctx = nb_ctx_create();
        require(ctx && train_case_open(&t, ctx, "unused", text) == NB_OK);
    }
    return &t;
}

static void use(nb_ctx *ctx, const train_case *t, const nb_checkpoint *c)
{
    nb_metrics m = {0};
    require(c->config && c->info.classes >= 1 && c->info.std[0] > 0);
    for (int32_t i = 0; c->info.class_names && i < c->info.classes; i++)
        require(c->info.class_names[i] != NULL);
    nb_metrics_parse(ctx, "fuzz", c->metrics, t->plan, &m);
    nb_metrics_deinit(ctx, &m);
    for (int mode = NB_PARAMS_EXACT; mode <= NB_PARAMS_START; mode++) {
        nb_graph_spec spec = {.experiment = &t->exp,
                              .info = nb_data_info(t->train),
                              .max_batch = 1,
                              .quant = c->quantized,
                              .plan = NB_PLAN_INFER};
        nb_params_source from = {.file = c, .mode = (nb_params_mode)mode};
        nb_graph *g = NULL;
        if (nb_graph_open(ctx, &spec, &from, &g) != NB_OK)
            require(g == NULL && nb_ctx_error(ctx)[0] != '\0');
        nb_graph_free(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const train_case *t = experiment();
    nb_ctx *ctx = nb_ctx_create();
    nb_checkpoint *c = NULL;
    if (nb_checkpoint_parse(ctx, "fuzz", data, size, &c) == NB_OK)
        use(ctx, t, c);
    else
        require(c == NULL && nb_ctx_error(ctx)[0] != '\0');
    nb_checkpoint_close(ctx, c);
    nb_ctx_destroy(ctx);
    return 0;
}
