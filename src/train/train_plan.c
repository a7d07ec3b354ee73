/* train_plan.c - the `train` section: keys, optimizer, phases; bound and checked as a whole before anything runs.
 *
 * optimizer and schedule are written as a name (`schedule: cosine`) or as a map with a name (`{name: step, gamma:
 * 0.2}`). */
#include "train/train_plan.h"
#include "base/arena.h"
#include "base/check.h"
#include "train/loss_terms.h"
#include "train/optim.h"
#include "train/oscillation.h"
#include "train/phase_parts.h"
#include "train/train_layers.h"
#include <math.h>
#include <string.h>

enum { MAX_PHASES = 64, MAX_PHASE_NAME = 40 };

#define NB_OPTIMIZER(x) &nb_optimizer_##x,
const nb_optimizer *const nb_optimizers[] = {
#include "train/optimizers.def"
    NULL};
#undef NB_OPTIMIZER

#define NB_SCHEDULE(x) &nb_schedule_##x,
const nb_schedule *const nb_schedules[] = {
#include "train/schedules.def"
    NULL};
#undef NB_SCHEDULE

const nb_key nb_optimizer_common_keys[] = {
    NB_KEY_STRING(nb_optimizer_keys, name, "sgd", "which optimizer"),
    NB_KEY_FLOAT(nb_optimizer_keys, weight_decay, "0", 0, 1, "L2 penalty on the weights of conv and linear layers"),
    NB_KEY_BOOL(nb_optimizer_keys, decay_all, "no", "weight decay on biases and batch-norm parameters too"),
    NB_KEY_FLOAT(nb_optimizer_keys, clip, "0", 0, 1e9, "largest norm of the whole gradient; 0 = no clipping"),
    {0},
};

const nb_key nb_train_section_keys[] = {
    NB_KEY_INT(nb_train_keys, batch, "128", 1, 65536,
               "images per step; those that do not fill the last one of an epoch sit that epoch out"),
    NB_KEY_ENUM(nb_train_keys, compute, "auto", "f32|int16|auto",
                "gradients of quantized layers in floats or 16-bit integers (no bf16); auto = what is faster"),
    NB_KEY_NODE(nb_train_keys, optimizer, "{name: sgd, ...}", "optimizer and its keys; default sgd"),
    NB_KEY_SECTION(nb_train_keys, phases, "[{epochs: 8, lr: 0.1, ...}, ...]", "the phases of training, in order"),
    NB_KEY_NODE(nb_train_keys, teacher, "CKPT or {from: CKPT, share: 0.5, temperature: 2}",
                "a trained network whose answers are learned, too"),
    NB_KEY_NODE(nb_train_keys, layers, "{NAME: {lr: 0}}", "what single layers or blocks do differently"),
    NB_KEY_NODE(nb_train_keys, class_weights, "balanced | [1, 2.5, ...]",
                "what images count in the loss by their class; balanced = as rare as it is"),
    NB_KEY_ENUM(nb_train_keys, sampling, "all", "all|balanced",
                "in an epoch every image once, or every class as often, with images of small ones again and again"),
    NB_KEY_FLOAT(nb_train_keys, mixup, "0", 0, 1,
                 "mix images and labels in pairs, by shares of Beta(mixup, mixup); 0 = off"),
    NB_KEY_FLOAT(nb_train_keys, hard, "1", 0.01, 1,
                 "learn from this part of each batch, by the largest loss in a forward pass before the step, whose "
                 "loss and accuracy "
                 "of whole batches are shown; 1 = all"),
    NB_KEY_NODE(nb_train_keys, lookahead, "{steps: 5, share: 0.5, power: 0}",
                "every so many steps go only a part of the way they took"),
    NB_KEY_FLOAT(nb_train_keys, ema, "0", 0, 0.999999, "decay of the averaged weights that are evaluated; 0 = off"),
    NB_KEY_INT(nb_train_keys, save_steps, "0", 0, 1e9, "also save every so many steps; 0 = only after epochs"),
    NB_KEY_INT(nb_train_keys, save_seconds, "60", 0, 1e6, "also save after so many seconds; 0 = only after epochs"),
    {0},
};

const nb_key nb_lookahead_table[] = {
    NB_KEY_INT(nb_lookahead_keys, steps, "5", 1, 1e6, "steps between two looks back; the end of a phase is one, too"),
    NB_KEY_FLOAT(nb_lookahead_keys, share, "0.5", 0.001, 1, "part of the way since the last that is kept"),
    NB_KEY_FLOAT(nb_lookahead_keys, power, "0", 0, 100,
                 "the part that is not kept grows from 0 with this power of the phase's progress; 0 = all the time"),
    {0},
};

const nb_key nb_log_section_keys[] = {
    NB_KEY_BOOL(nb_log_keys, tensorboard, "no",
                "also write every epoch's metrics as a TensorBoard event file into the run folder"),
    {0},
};

const nb_key nb_phase_table[] = {
    NB_KEY_STRING(nb_phase_keys, name, "", "for tables and messages; default phase1, phase2, ..."),
    {.name = "epochs",
     .help = "times through the training images; the last may be a part, 2.5",
     .kind = NB_K_FLOAT,
     .offset = offsetof(nb_phase_keys, length),
     .min = 0.001,
     .max = 1e6},
    NB_KEY_FLOAT(nb_phase_keys, lr, NULL, 0, 1e3, "learning rate at the top of the schedule"),
    NB_KEY_FLOAT(nb_phase_keys, warmup, "0", 0, 1e6, "epochs in which the learning rate rises from 0"),
    NB_KEY_NODE(nb_phase_keys, schedule, "constant | step | cosine | linear | onecycle, or {name: ..., ...}",
                "how the learning rate goes on; default constant"),
    NB_KEY_BOOL(nb_phase_keys, quant, "off", "train with quantized weights and activations"),
    NB_KEY_NODE(nb_phase_keys, weight_bits, "8 | [8, 6, 0]",
                "in this phase, or in equal parts of it, in the place of quant's general rule; 0 = as it says"),
    NB_KEY_NODE(nb_phase_keys, activation_bits, "8 | [8, 6, 0]",
                "in this phase, or in equal parts of it, in the place of quant's general rule; 0 = as it says"),
    NB_KEY_INT(nb_phase_keys, freeze_bn_at, "-1", -1, 1e6,
               "epoch of this phase from which batch-norm statistics stand still; -1 = never"),
    NB_KEY_INT(nb_phase_keys, freeze_ranges_at, "-1", -1, 1e6,
               "epoch of this phase from which quantization ranges stand still; -1 = never"),
    NB_KEY_INT(nb_phase_keys, reestimate_bn, "0", 0, INT32_MAX,
               "images over which batch-norm statistics are taken anew at the end of the phase; 0 = they stay"),
    NB_KEY_INT(nb_phase_keys, patience, "0", 0, 1e6,
               "end the phase after so many epochs without a better one, and go on from the best; 0 = never"),
    NB_KEY_NODE(nb_phase_keys, oscillation, "{freeze: 0.1, ...}",
                "watch weights that jump between two codes, freeze or dampen them; {} = watch only"),
    NB_KEY_BOOL(nb_phase_keys, teacher, "yes", "learn from train.teacher, where there is one"),
    {0},
};

/* The name in a section that is a scalar or a map; dflt when there is none. *map is what to bind, or NULL. */
static const char *section_name(const nb_conf *c, const char *dflt, const nb_conf **map)
{
    *map = NULL;
    if (!c)
        return dflt;
    if (nb_conf_is_scalar(c))
        return *nb_conf_text(c) ? nb_conf_text(c) : dflt;
    *map = c;
    const nb_conf *name = nb_conf_is_map(c) ? nb_conf_get(c, "name") : NULL;
    return name && nb_conf_is_scalar(name) ? nb_conf_text(name) : dflt;
}

/* The scalar that section_name() took the name from. */
static const nb_conf *named_by(const nb_conf *c)
{
    return nb_conf_is_map(c) ? nb_conf_get(c, "name") : c;
}

static nb_status bind_optimizer(nb_ctx *ctx, nb_train_plan *p)
{
    const nb_conf *c = p->keys.optimizer, *map;
    const char *name = section_name(c, "sgd", &map);
    p->optimizer = nb_registry_choose(ctx, nb_optimizers, name, named_by(c), "train.optimizer", "optimizer");
    if (!p->optimizer)
        return NB_E_CONFIG;
    const nb_binding common = {nb_optimizer_common_keys, &p->optimizer_keys};
    NB_TRY(nb_entry_bind(ctx, p->arena, p->optimizer, map, "train.optimizer", common, &p->optimizer_attr));
    p->optimizer_keys.name = p->optimizer->name;
    return NB_OK;
}

static nb_status bind_lookahead(nb_ctx *ctx, nb_train_plan *p)
{
    const nb_conf *c = p->keys.lookahead;
    return c ? nb_conf_bind(ctx, c, "train.lookahead", &(nb_binding){nb_lookahead_table, &p->lookahead}, 1) : NB_OK;
}

static nb_status bind_schedule(nb_ctx *ctx, nb_train_plan *p, nb_phase *ph)
{
    static const nb_key name_key[] = {{.name = "name", .dflt = "constant", .kind = NB_K_STRING}, {0}};
    const nb_conf *c = ph->keys.schedule, *map;
    const char *name = section_name(c, "constant", &map), *bound_name;
    const char *where = nb_arena_printf(p->arena, "%s.schedule", ph->where);
    if (!where)
        return NB_E_NOMEM;
    ph->schedule = nb_registry_choose(ctx, nb_schedules, name, named_by(c), where, "schedule");
    if (!ph->schedule)
        return NB_E_CONFIG;
    const nb_binding common = {name_key, &bound_name};
    NB_TRY(nb_entry_bind(ctx, p->arena, ph->schedule, map, where, common, &ph->schedule_attr));
    return ph->schedule->prepare ? ph->schedule->prepare(ctx, ph->schedule_attr, where) : NB_OK;
}

/* Phase names stand in CSV files and tables as they are. */
static bool plain_name(const char *s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    return strlen(s) <= MAX_PHASE_NAME && strspn(s, allowed) == strlen(s);
}

/* Freezing that would never happen is a mistake in the config, not a wish. */
static nb_status check_freezing(nb_ctx *ctx, const nb_conf *c, const nb_phase *ph, const char *where)
{
    const char *const name[] = {"freeze_bn_at", "freeze_ranges_at"};
    const int32_t at[] = {ph->keys.freeze_bn_at, ph->keys.freeze_ranges_at};
    for (int32_t i = 0; i < 2; i++)
        if ((float)at[i] >= ph->keys.length)
            return nb_conf_fail(ctx, nb_conf_get(c, name[i]), where, NB_E_CONFIG,
                                "%s: %d: must be below the phase's %g epochs (0 = from its start, -1 = never)", name[i],
                                at[i], (double)ph->keys.length);
    if (at[1] >= 0 && !ph->keys.quant)
        return nb_conf_fail(ctx, nb_conf_get(c, name[1]), where, NB_E_CONFIG,
                            "%s: %d: this phase has no ranges to freeze: it needs `quant: on`", name[1], at[1]);
    return NB_OK;
}

/* Entry i of train.phases, whatever its widths. */
static nb_status bind_entry(nb_ctx *ctx, nb_train_plan *p, int32_t i, nb_phase *ph)
{
    const nb_conf *c = nb_conf_at(p->keys.phases, i);
    const char *where = nb_arena_printf(p->arena, "train.phases[%d]", i);
    if (!where)
        return NB_E_NOMEM;
    ph->entry = c;
    ph->where = where;
    if (!nb_conf_is_map(c))
        return nb_conf_fail(ctx, c, where, NB_E_CONFIG, "must be a map like {name: float, epochs: 8, lr: 0.1}");
    NB_TRY(nb_conf_bind(ctx, c, where, &(nb_binding){nb_phase_table, &ph->keys}, 1));
    if (!*ph->keys.name)
        ph->keys.name = nb_arena_printf(p->arena, "phase%d", i + 1);
    if (!ph->keys.name)
        return NB_E_NOMEM;
    if (!plain_name(ph->keys.name))
        return nb_conf_fail(ctx, nb_conf_get(c, "name"), where, NB_E_CONFIG,
                            "name: %s: must be at most %d letters, digits, or one of . _ + -", ph->keys.name,
                            MAX_PHASE_NAME);
    ph->keys.epochs = (int32_t)ceilf(ph->keys.length);
    if (ph->keys.warmup >= ph->keys.length)
        return nb_conf_fail(ctx, nb_conf_get(c, "warmup"), where, NB_E_CONFIG,
                            "warmup: %g: must be below the phase's %g epochs", (double)ph->keys.warmup,
                            (double)ph->keys.length);
    NB_TRY(check_freezing(ctx, c, ph, where));
    NB_TRY(nb_oscillation_bind(ctx, ph));
    ph->length = ph->keys.length;
    p->any_quant = p->any_quant || ph->keys.quant;
    return bind_schedule(ctx, p, ph);
}

/* Ranges of other widths begin anew, so they cannot stand still from there on. */
static nb_status check_ranges(nb_ctx *ctx, const nb_train_plan *p, int32_t i)
{
    const nb_phase *ph = &p->phase[i];
    const nb_phase_keys *k = &ph->keys, *was = &p->phase[i > 0 ? i - 1 : 0].keys;
    if (k->freeze_ranges_at != 0 || !was->quant || (k->bits[0] == was->bits[0] && k->bits[1] == was->bits[1]))
        return NB_OK;
    return nb_conf_fail(ctx, nb_conf_get(ph->entry, "freeze_ranges_at"), ph->where, NB_E_CONFIG,
                        "freeze_ranges_at: epoch %d, where widths change and ranges begin anew: must be later",
                        ph->before);
}

static nb_status bind_phases(nb_ctx *ctx, nb_train_plan *p)
{
    const nb_conf *c = p->keys.phases;
    if (!nb_conf_is_list(c) || nb_conf_count(c) < 1 || nb_conf_count(c) > MAX_PHASES)
        return nb_conf_fail(ctx, c, "train.phases", NB_E_CONFIG, "must be a list of 1..%d phases", MAX_PHASES);
    p->phase = nb_arena_array(p->arena, (size_t)nb_conf_count(c) * NB_MOST_PARTS, sizeof(nb_phase));
    if (!p->phase)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        nb_phase entry = {0};
        nb_phase_widths widths;
        NB_TRY(bind_entry(ctx, p, i, &entry));
        NB_TRY(nb_phase_widths_bind(ctx, &entry, &widths));
        NB_TRY(nb_phase_split(p, &entry, &widths, &p->phase[p->n_phases]));
        for (int32_t end = p->n_phases + widths.n; p->n_phases < end; p->n_phases++)
            NB_TRY(check_ranges(ctx, p, p->n_phases));
    }
    const nb_phase_keys *last = &p->phase[p->n_phases - 1].keys;
    if (last->bits[0] || last->bits[1])
        return nb_conf_fail(ctx, nb_conf_at(c, nb_conf_count(c) - 1), "train.phases", NB_E_CONFIG,
                            "the last phase makes the network that `quant` describes: set quant.%s.bits in the place "
                            "of %s, or step to 0",
                            last->bits[1] ? "weights" : "activations",
                            last->bits[1] ? "weight_bits" : "activation_bits");
    return NB_OK;
}

static nb_status bind_all(nb_ctx *ctx, const nb_conf *train, nb_train_plan *p)
{
    NB_TRY(nb_conf_bind(ctx, train, "train", &(nb_binding){nb_train_section_keys, &p->keys}, 1));
    NB_TRY(bind_optimizer(ctx, p));
    NB_TRY(bind_lookahead(ctx, p));
    NB_TRY(nb_layers_bind(ctx, p));
    NB_TRY(bind_phases(ctx, p));
    return nb_terms_bind(ctx, p);
}

nb_status nb_train_plan_create(nb_ctx *ctx, const nb_conf *train, nb_train_plan **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_train_plan *p = nb_arena_alloc(arena, sizeof *p);
    nb_status st = p ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        p->arena = arena;
        st = bind_all(ctx, train, p);
    }
    if (st == NB_OK)
        *out = p;
    else
        nb_arena_free(arena);
    return st;
}

void nb_train_plan_free(nb_ctx *ctx, nb_train_plan *p)
{
    (void)ctx;
    if (p)
        nb_arena_free(p->arena);
}

bool nb_phase_competes(const nb_train_plan *p, int32_t phase)
{
    int32_t last = p->n_phases - 1;
    while (last > 0 && p->phase[last].keys.quant != p->any_quant)
        last--;
    const nb_phase_keys *a = &p->phase[phase].keys, *b = &p->phase[last].keys;
    return a->quant == b->quant && a->bits[0] == b->bits[0] && a->bits[1] == b->bits[1];
}

int64_t nb_phase_epoch_steps(const nb_phase *p, int32_t e, int64_t per_epoch)
{
    const double part = (double)p->keys.length - e;
    if (part >= 1)
        return per_epoch;
    const int64_t steps = (int64_t)floor(part * (double)per_epoch + 0.5);
    return steps > 0 ? steps : 1;
}

int64_t nb_phase_steps(const nb_phase *p, int64_t per_epoch)
{
    const int32_t last = p->keys.epochs - 1;
    return last * per_epoch + nb_phase_epoch_steps(p, last, per_epoch);
}

/* A part of a phase takes its part of the phase's curve. */
double nb_phase_lr(const nb_phase *p, int64_t t, int64_t per_epoch)
{
    const nb_phase whole = {.keys = {.length = p->length, .epochs = (int32_t)ceilf(p->length)}};
    nb_schedule_at at = {
        .t = t + p->before * per_epoch, .n = nb_phase_steps(&whole, per_epoch), .per_epoch = per_epoch};
    at.warmup = (int64_t)floor((double)p->keys.warmup * (double)per_epoch + 0.5);
    if (at.warmup >= at.n)
        at.warmup = at.n - 1;
    double lr = (double)p->keys.lr;
    if (at.t < at.warmup)
        return lr * (double)(at.t + 1) / (double)at.warmup;
    return lr * p->schedule->factor(p->schedule_attr, &at);
}
