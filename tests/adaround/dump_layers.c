/* dump_layers.c - what AdaRound is given for each layer of a network and what it makes of it, for compare.py.
 *
 * usage: dump_layers CONFIG CHECKPOINT DIR ITERATIONS [key=value]...
 * Layers come in order, each with those before it rounded already. DIR/<number>.bin: int32 filters, size, groups, rows,
 * held_rows; float low, high; floats mul, add, step [filters]; int32 first, last [filters]; float w [filters][size];
 * x [rows][groups][size], y [rows][filters], the same of held_rows rows of other images; int32 code [filters][size]. */
#include <nibble/extend/op.h>
#include <nibble/extend/quant.h>
#include <nibble/nibble.h>

#include "base/arena.h"
#include "post/layer_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 1024, BATCH = 64 };

static void must(nb_ctx *ctx, nb_status st)
{
    if (st == NB_OK)
        return;
    fprintf(stderr, "dump_layers: %s\n", nb_ctx_error(ctx));
    exit(1);
}

static void put(FILE *f, const void *p, size_t count)
{
    if (fwrite(p, 4, count, f) != count)
        abort();
}

/* Row by row, whatever parts x is cut into. */
static void put_x(FILE *f, const nb_adaround_problem *p, const float *x)
{
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t g = 0; g < p->groups; g++)
            put(f, x + nb_adaround_input(p, r, g), (size_t)p->size);
}

typedef struct {
    nb_ctx *ctx;
    nb_graph *g, *floats;
    const nb_data *data;
    int32_t *held; /* images that are not learned from */
    nb_adaround_keys keys;
    const char *dir;
} dump;

static void read_rows(const dump *d, nb_layer_rows *l, const int32_t *indices, float *x, float *y)
{
    const nb_pair floats = {.floats = d->floats, .data = d->data, .indices = indices, .n = IMAGES};
    const nb_pair quantized = {.quantized = d->g, .data = d->data, .indices = indices, .n = IMAGES};
    must(d->ctx, nb_layer_rows_want(&floats, l, 1, &y));
    must(d->ctx, nb_layer_rows_read(&quantized, l, x));
}

static void one_layer(const dump *d, nb_layer_rows *l, int32_t number)
{
    const size_t weights = (size_t)l->of.filters * (size_t)l->of.size, filters = (size_t)l->of.filters;
    const size_t nx = (size_t)l->of.rows * (size_t)l->of.size * (size_t)l->of.groups, ny = (size_t)l->of.rows * filters;
    float *x = nb_alloc(d->ctx, nx * 4), *y = nb_alloc(d->ctx, ny * 4), *w = l->mac->in[1]->in[0]->out.data;
    float *held_x = nb_alloc(d->ctx, nx * 4), *held_y = nb_alloc(d->ctx, ny * 4);
    int32_t *code = nb_alloc(d->ctx, weights * 4);
    nb_adaround_gain gain;
    char path[512];
    snprintf(path, sizeof path, "%s/%02d.bin", d->dir, number);
    FILE *f = fopen(path, "wb");
    if (!f || !x || !y || !held_x || !held_y || !code)
        abort();
    read_rows(d, l, d->held, held_x, held_y);
    read_rows(d, l, NULL, x, y);
    l->of.y = y;
    must(d->ctx, nb_adaround_solve(d->ctx, &l->of, &d->keys, NULL, code, &gain));
    const int32_t head[] = {l->of.filters, l->of.size, l->of.groups, l->of.rows, l->of.rows};
    put(f, head, 5);
    put(f, &l->of.low, 1);
    put(f, &l->of.high, 1);
    put(f, l->of.mul, filters);
    put(f, l->of.add, filters);
    put(f, l->of.step, filters);
    put(f, l->of.first, filters);
    put(f, l->of.last, filters);
    put(f, w, weights);
    put_x(f, &l->of, x);
    put(f, y, ny);
    put_x(f, &l->of, held_x);
    put(f, held_y, ny);
    put(f, code, weights);
    fclose(f);
    for (size_t i = 0; i < weights; i++)
        w[i] = l->of.step[i / (size_t)l->of.size] * (float)code[i];
    printf("%02d %s %.6g %.6g %.6g\n", number, l->mac->name, gain.wanted, gain.nearest, gain.learned);
    fflush(stdout);
    nb_free(d->ctx, x);
    nb_free(d->ctx, y);
    nb_free(d->ctx, held_x);
    nb_free(d->ctx, held_y);
    nb_free(d->ctx, code);
}

int main(int argc, char **argv)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg;
    nb_experiment exp;
    nb_data *data;
    nb_checkpoint *from;
    nb_arena *arena;
    if (argc < 5)
        return 2;
    dump d = {.ctx = ctx, .dir = argv[3], .keys = {{atoi(argv[4]), 0.1f, 0.3f, 0.2f}, 1024, 4}};
    must(ctx, nb_config_load(ctx, argv[1], (const char *const *)argv + 5, argc - 5, &cfg));
    must(ctx, nb_experiment_bind(ctx, cfg, &exp));
    must(ctx, nb_data_open(ctx, exp.data, "train", &data));
    must(ctx, nb_checkpoint_open(ctx, argv[2], &from));
    const nb_graph_spec spec = {.experiment = &exp,
                                .info = nb_data_info(data),
                                .max_batch = BATCH,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN,
                                .compute = NB_COMPUTE_F32};
    must(ctx, nb_graph_open(ctx, &spec, &(nb_params_source){.file = from, .mode = NB_PARAMS_CALIBRATE}, &d.g));
    must(ctx, nb_calibrate(d.g, data, NULL, IMAGES));
    must(ctx, nb_pair_open_twin(d.g, &exp, false, &d.floats));
    must(ctx, nb_arena_create(ctx, &arena));
    d.data = data;
    d.held = nb_alloc(ctx, IMAGES * sizeof *d.held);
    for (int32_t i = 0; i < IMAGES; i++)
        d.held[i] = IMAGES + i;
    for (int32_t i = 0, number = 0; i < d.g->n; i++) {
        nb_layer_rows l;
        if (d.g->node[i]->op->role != NB_ROLE_MAC)
            continue;
        must(ctx, nb_layer_rows_plan(arena, d.g, d.g->node[i], IMAGES, &l));
        one_layer(&d, &l, number++);
    }
    nb_free(ctx, d.held);
    nb_arena_free(arena);
    nb_graph_free(d.floats);
    nb_graph_free(d.g);
    nb_checkpoint_close(ctx, from);
    nb_data_close(ctx, data);
    nb_config_free(ctx, cfg);
    nb_ctx_destroy(ctx);
    return 0;
}
