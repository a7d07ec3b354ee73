/* rules.c - binds the `quant` section: general rules for weights and activations, and what single layers override. */
#include "quant/policy.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

const nb_key nb_quant_weight_keys[] = {
    NB_KEY_INT(nb_quant_keys, bits, "8", 1, 8, "bits of a weight code; 1: of format binary"),
    NB_KEY_ENUM(
        nb_quant_keys, scheme, "symmetric", "symmetric|full|asymmetric",
        "symmetric: -(2^(b-1)-1)..2^(b-1)-1; full: -2^(b-1)..2^(b-1)-1; asymmetric: 0..2^b-1 less a zero point; both "
        "are simulated with 8 bits"),
    NB_KEY_ENUM(
        nb_quant_keys, granularity, "channel", "channel|tensor|group|full",
        "one scale per output channel, per tensor, per group of output channels, or per output and input channel "
        "(simulated; of a 1x1 window, where that is one weight, per output channel)"),
    NB_KEY_INT(nb_quant_keys, group, "1", 1, 65536,
               "granularity group: output channels that share scale and zero point; the last group has what is left"),
    NB_KEY_STRING(nb_quant_keys, format, "uniform", "what a code means, see `nibble keys formats`"),
    NB_KEY_STRING(nb_quant_keys, range, "auto",
                  "how the range is found, see `nibble keys ranges`; auto: mse below 4 bits, minmax from there on"),
    NB_KEY_STRING(nb_quant_keys, learn, "none", "how scales are trained, see `nibble keys learnings`"),
    NB_KEY_STRING(nb_quant_keys, rounding, "nearest", "to which code a value goes, see `nibble keys roundings`"),
    {0}};

const nb_key nb_quant_act_keys[] = {
    NB_KEY_INT(nb_quant_keys, bits, "8", 1, 8, "bits of an activation code; 1: {0, 1}, scheme unsigned"),
    NB_KEY_ENUM(nb_quant_keys, scheme, "asymmetric", "asymmetric|symmetric|unsigned",
                "asymmetric: 0..2^b-1 with a zero point; symmetric: signed; unsigned: zero point 0 after relu, signed "
                "elsewhere"),
    NB_KEY_ENUM(nb_quant_keys, granularity, "tensor", "tensor|channel",
                "one scale per tensor, or per channel (simulated)"),
    NB_KEY_STRING(nb_quant_keys, format, "uniform", "what a code means, see `nibble keys formats`"),
    NB_KEY_STRING(nb_quant_keys, range, "auto",
                  "how the range is found, see `nibble keys ranges`; auto: mse below 8 bits, ema at 8"),
    NB_KEY_STRING(nb_quant_keys, learn, "none", "how scales are trained, see `nibble keys learnings`"),
    NB_KEY_STRING(nb_quant_keys, rounding, "nearest", "to which code a value goes, see `nibble keys roundings`"),
    {0}};

const nb_key nb_quant_section_keys[] = {
    NB_KEY_NODE(nb_quant_section, weights, "{bits, granularity, range, ...} or off",
                "rules for weights; off: they stay floats, and the network is simulated"),
    NB_KEY_NODE(nb_quant_section, activations, "{bits, scheme, range, ...} or off",
                "rules for activations; off: they stay floats (W4A32), and the network is simulated"),
    NB_KEY_NODE(nb_quant_section, layers, "{NAME: {weights: {...} or off, activations: ...}}",
                "what single layers do differently"),
    NB_KEY_INT(
        nb_quant_section, first_last_bits, "8", 0, 8,
        "bits of the first and last layer's weights, of the input and of what enters the last layer; 0 = as the "
        "others. Where a format has no such width, these weights are uniform, where a scheme has none, symmetric"),
    NB_KEY_ENUM(
        nb_quant_section, means, "keep", "keep|own",
        "grid of what an avgpool gives: its input's, or one of its own, finer where means are smaller than values"),
    NB_KEY_INT(nb_quant_section, join_bits, "0", 0, 8,
               "bits of values that only adds and concats read, of which no product is made; 0 = as the others"),
    NB_KEY_INT(
        nb_quant_section, table_bits, "8", 0, 8,
        "bits of values that only activations other than relu read, which become tables of 256 codes: no product "
        "is made of them; 0 = as the others"),
    NB_KEY_BOOL(nb_quant_section, simulate, "no",
                "train and evaluate in floats although the network could become integers (to compare the two)"),
    NB_KEY_INT(nb_quant_section, output_bits, "0", 0, 8, "bits of the network's output; 0 = int32 logits"),
    NB_KEY_ENUM(
        nb_quant_section, batchnorm, "keep", "keep|fold|fold_corrected",
        "keep: trained on, exact per-channel multiplier at the end; fold: once, into the weights before quantization; "
        "fold_corrected: trained on, and in every step folded into the weights with its running statistics, what comes "
        "out corrected to the batch's (a step takes about 2.5 times as long)"),
    NB_KEY_NODE(
        nb_quant_section, steps, "[STEP, ...], recommended or none",
        "what is done once to a network beside training, see `nibble keys steps`; default: `nibble quantize` does the "
        "recommended ones that gain, `nibble train` none"),
    NB_KEY_STRING(
        nb_quant_section, allocated, "",
        "written by `nibble allocate`: the budget that it chose the layers' bits for; reports mark such runs"),
    NB_KEY_BOOL(
        nb_quant_section, data_free, "no",
        "no image is looked at to quantize: ranges of activations are `bn` (unless they are fixed), and so are the "
        "recommended steps"),
    {0}};

static const nb_scheme weight_schemes[] = {NB_SCHEME_SYMMETRIC, NB_SCHEME_FULL, NB_SCHEME_ASYMMETRIC};

/* The method of one kind that a map names, or dflt. */
static const void *choose(nb_ctx *ctx, const nb_conf *map, const char *where, nb_method_kind kind, const char *dflt)
{
    static const char *const what[NB_METHOD_KINDS] = {"format", "range method", "learning", "rounding"};
    const nb_conf *named = map ? nb_conf_get(map, nb_method_key(kind)) : NULL;
    const char *name = named ? nb_conf_text(named) : dflt;
    char place[224];
    snprintf(place, sizeof place, "%s.%s", where, nb_method_key(kind));
    return nb_registry_choose(ctx, nb_method_list(kind), name ? name : "", named, place, what[kind]);
}

/* A format that finds its scales itself takes the range's place, and leaves it to minmax where it is replaced. */
static void imply_range(nb_fakequant_attr *a)
{
    const bool implied = nb_registry_find(nb_ranges, a->range->name) != a->range;
    if (a->format->range) {
        a->range = a->format->range;
        a->range_attr = a->format_attr;
    } else if (implied) {
        a->range = nb_registry_find(nb_ranges, "minmax");
        a->range_attr = NULL;
    }
}

enum { ACTIVATION_CHANNELS = 1 /* of their "tensor|channel" */ };

/* Binds one `weights` or `activations` map, the keys of its methods included; dflt: names of the methods when it has
 * none. */
static nb_status bind_part(nb_graph *g, const nb_conf *map, const char *where, bool weights, const char *const *dflt,
                           nb_fakequant_attr *out)
{
    const void *m[NB_METHOD_KINDS];
    void *attr[NB_METHOD_KINDS] = {0};
    nb_quant_keys keys = {0};
    nb_binding b[1 + NB_METHOD_KINDS] = {{weights ? nb_quant_weight_keys : nb_quant_act_keys, &keys}};
    int32_t n = 1;
    for (int32_t k = 0; k < NB_METHOD_KINDS; k++) {
        m[k] = choose(g->ctx, map, where, (nb_method_kind)k, dflt[k]);
        if (!m[k])
            return NB_E_CONFIG;
        nb_entry e;
        memcpy(&e, m[k], sizeof e);
        attr[k] = e.attr_size ? nb_graph_alloc(g, e.attr_size) : NULL;
        if (e.attr_size && !attr[k])
            return NB_E_NOMEM;
        const bool default_range = k == NB_METHOD_RANGE && ((const nb_range *)m[k])->pick;
        if (e.keys && !(weights && default_range)) /* what it picks for weights averages nothing */
            b[n++] = (nb_binding){e.keys, attr[k]};
    }
    NB_TRY(nb_conf_bind(g->ctx, map, where, b, n));
    const nb_format *f = m[NB_METHOD_FORMAT];
    *out = (nb_fakequant_attr){.format = m[NB_METHOD_FORMAT],
                               .range = m[NB_METHOD_RANGE],
                               .learning = m[NB_METHOD_LEARNING],
                               .rounding = m[NB_METHOD_ROUNDING],
                               .format_attr = f->attr ? f->attr : attr[NB_METHOD_FORMAT],
                               .range_attr = attr[NB_METHOD_RANGE],
                               .learning_attr = attr[NB_METHOD_LEARNING],
                               .range_conf = map && nb_conf_get(map, "range") ? nb_conf_get(map, "range") : map,
                               .bits = keys.bits,
                               .scheme = weights ? weight_schemes[keys.scheme] : (nb_scheme)keys.scheme,
                               .weights = weights,
                               .per_channel = weights && keys.granularity != NB_GRANULARITY_TENSOR,
                               .per_last = keys.granularity == (weights ? NB_GRANULARITY_FULL : ACTIVATION_CHANNELS),
                               .group = keys.granularity == NB_GRANULARITY_GROUP ? keys.group : 1};
    imply_range(out);
    const bool group = map && nb_conf_get(map, "group");
    if (group != (keys.granularity == NB_GRANULARITY_GROUP))
        return nb_conf_fail(g->ctx, nb_conf_get(map, group ? "group" : "granularity"), where, NB_E_CONFIG,
                            "granularity: group and group: N, how many output channels share a scale, go together");
    return NB_OK;
}

/* `weights: off`. *map is NULL then: the defaults are bound. */
static nb_status take_off(nb_ctx *ctx, const nb_conf **map, const char *where, bool *off)
{
    const char *text = nb_conf_text(*map);
    *off = text && strcmp(text, "off") == 0;
    if (text && *text && !*off)
        return nb_conf_fail(ctx, *map, where, NB_E_CONFIG, "%s: must be a map of keys, e.g. {bits: 8}, or off", text);
    *map = *off ? NULL : *map;
    return NB_OK;
}

/* Where a key of the map is said, or would be. */
static const nb_conf *said(const nb_conf *map, const char *key)
{
    const nb_conf *at = map ? nb_conf_get(map, key) : NULL;
    return at ? at : map;
}

/* A format that has but one width, or whose keys say how wide its codes are. */
static nb_status settle_width(nb_ctx *ctx, const nb_conf *map, const char *where, nb_fakequant_attr *a)
{
    const nb_format *f = a->format;
    const int32_t width = f->width                                    ? f->width(a->format_attr)
                          : f->min_bits && f->min_bits == f->max_bits ? f->min_bits
                                                                      : a->bits;
    const char *fault = f->fault ? f->fault(a->format_attr) : NULL;
    const nb_conf *bits = nb_conf_get(map, "bits"), *scheme = nb_conf_get(map, "scheme");
    if (bits && a->bits != width)
        return nb_conf_fail(ctx, bits, where, NB_E_CONFIG, "bits: %d: format %s has codes of %d bit%s: leave bits out",
                            a->bits, f->name, width, width == 1 ? "" : "s");
    if (scheme && f->width && a->scheme != NB_SCHEME_SYMMETRIC)
        return nb_conf_fail(ctx, scheme, where, NB_E_CONFIG, "scheme: codes of format %s have a sign: leave scheme out",
                            f->name);
    if (fault)
        return nb_conf_fail(ctx, said(map, "format"), where, NB_E_CONFIG, "format: %s: %s", f->name, fault);
    a->bits = width;
    return NB_OK;
}

static int32_t min_bits(const nb_fakequant_attr *a)
{
    return !a->weights && a->scheme == NB_SCHEME_UNSIGNED ? 1 : a->format->min_bits ? a->format->min_bits : 2;
}

static int32_t max_bits(const nb_fakequant_attr *a)
{
    return a->format->max_bits && !a->format->reals && !a->format->blocks ? a->format->max_bits : 8;
}

/* The bits that first and last layer have without a word about it: none that are simulated, if the others are not. */
static bool has_width(const nb_fakequant_attr *a, int32_t bits)
{
    const nb_format *f = a->format;
    return bits >= min_bits(a) && (!f->max_bits || bits <= f->max_bits) &&
           (!f->width || f->width(a->format_attr) == bits);
}

/* Weights of 8 bits have -127..127 alone, whatever the zero point: else they are simulated. */
static bool has_scheme(const nb_fakequant_attr *a)
{
    return !a->weights || a->scheme == NB_SCHEME_SYMMETRIC || a->bits <= 7;
}

static nb_status check_weights(nb_graph *g, const nb_conf *map, const char *where, const nb_fakequant_attr *a)
{
    const nb_format *f = a->format;
    const bool levels = f->levels || f->book || f->blocks;
    if (levels && a->scheme != NB_SCHEME_SYMMETRIC)
        return nb_conf_fail(
            g->ctx, said(map, "scheme"), where, NB_E_CONFIG,
            "scheme: format %s has levels of its own: full and asymmetric are of uniform, pow2 and fixed", f->name);
    if (f->blocks && a->per_last)
        return nb_conf_fail(g->ctx, said(map, "granularity"), where, NB_E_CONFIG,
                            "granularity: full: format %s has its blocks along the inputs: set granularity to channel",
                            f->name);
    const nb_conf *range = f->range && map ? nb_conf_get(map, "range") : NULL;
    if (range && (!nb_conf_text(range) || strcmp(nb_conf_text(range), "auto") != 0))
        return nb_conf_fail(g->ctx, range, where, NB_E_CONFIG,
                            "range: format %s finds its scales itself: leave range out, or say auto", f->name);
    return NB_OK;
}

/* Does the format hold so many bits, of such values, and the rounding go with it? map: where it is said, or would be. */
static nb_status check_format(nb_graph *g, const nb_conf *map, const char *where, const nb_fakequant_attr *a)
{
    const nb_format *f = a->format;
    if (!a->weights && f->weights_only)
        return nb_conf_fail(
            g->ctx, said(map, "format"), where, NB_E_CONFIG,
            "format: %s: is for weights only: activations can be uniform, pow2, fixed or a floating-point format",
            f->name);
    if (f->one_scale && a->learning->n_state > 0)
        return nb_conf_fail(g->ctx, said(map, "learn"), where, NB_E_CONFIG,
                            "learn: %s: format %s has one scale for all layers, which no single one can train: set "
                            "learn to none, or format to pow2",
                            a->learning->name, f->name);
    if (f->blocks && a->learning->n_state > 0)
        return nb_conf_fail(g->ctx, said(map, "learn"), where, NB_E_CONFIG,
                            "learn: %s: format %s takes its powers of two from the weights of each block: set learn to "
                            "none, or format to pow2",
                            a->learning->name, f->name);
    if (f->one_scale && (a->per_last || a->group > 1))
        return nb_conf_fail(g->ctx, said(map, "granularity"), where, NB_E_CONFIG,
                            "granularity: format %s has one scale for all layers: leave granularity out, or set format "
                            "to pow2",
                            f->name);
    if (!a->weights && a->bits == 1 && a->scheme != NB_SCHEME_UNSIGNED)
        return nb_conf_fail(
            g->ctx, said(map, "bits"), where, NB_E_CONFIG,
            "bits: 1: activations of 1 bit are 0 and 1 times a scale: set scheme to unsigned, or bits to 2 "
            "or more");
    if (a->bits < min_bits(a) || a->bits > max_bits(a))
        return nb_conf_fail(
            g->ctx, said(map, "bits"), where, NB_E_CONFIG,
            "format: %s: has codes of %d..%d bits, which fit into -127..127, not of %d: set bits to one "
            "of these%s",
            f->name, min_bits(a), max_bits(a), a->bits, a->weights && a->bits == 1 ? ", or format to binary" : "");
    if (!nb_fakequant_nearest(a) && (a->learning->n_state > 0 || f->edges))
        return nb_conf_fail(
            g->ctx, said(map, "rounding"), where, NB_E_CONFIG,
            "rounding: %s: goes with learn: none, as the gradient of a learned scale is that of rounding "
            "to nearest, and not with a format that says where codes end (%s, %s)",
            a->rounding->name, a->learning->name, f->name);
    return a->weights ? check_weights(g, map, where, a) : NB_OK;
}

/* Why the learning cannot be what these codes need, or NULL. */
static const char *refusal(const nb_fakequant_attr *a, bool nonnegative)
{
    if (!a->learning->refuses)
        return NULL;
    int8_t level[256];
    float real[256];
    nb_grid g = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, a->weights, level);
    nb_grid_take_reals(&g, real);
    return a->learning->refuses(&(nb_learn_site){&g, nonnegative, a->per_channel || a->per_last});
}

static void learn_nothing(nb_fakequant_attr *a)
{
    a->learning = nb_registry_find(nb_learnings, "none");
    a->learning_attr = NULL;
}

void nb_quant_for_value(const nb_node *n, nb_fakequant_attr *a)
{
    if (refusal(a, n->flags & NB_NODE_NONNEGATIVE))
        learn_nothing(a);
}

nb_status nb_quant_check_value(const nb_quant_rules *rules, const nb_node *n, const nb_fakequant_attr *a)
{
    const char *why = refusal(a, n->flags & NB_NODE_NONNEGATIVE);
    char where[192];
    snprintf(where, sizeof where, "quant.layers.%s.activations", n->name);
    return why ? nb_conf_fail(rules->g->ctx, rules->section.layers, where, NB_E_CONFIG, "learn: %s: %s",
                              a->learning->name, why)
               : NB_OK;
}

static nb_status check_methods(nb_graph *g, const nb_conf *map, const char *where, const nb_fakequant_attr *a)
{
    NB_TRY(check_format(g, map, where, a));
    const char *why = refusal(a, true); /* which values are is seen when they are placed */
    const nb_conf *named = map ? nb_conf_get(map, "learn") : NULL;
    return why ? nb_conf_fail(g->ctx, named ? named : map, where, NB_E_CONFIG, "learn: %s: %s", a->learning->name, why)
               : NB_OK;
}

void nb_quant_give_bits(int32_t bits, nb_fakequant_attr *a)
{
    if (!bits)
        return;
    a->bits = bits;
    if (!has_width(a, bits)) {
        a->format = nb_registry_find(nb_formats, "uniform");
        a->format_attr = NULL;
        imply_range(a);
    }
    if (!has_scheme(a))
        a->scheme = NB_SCHEME_SYMMETRIC;
    if (refusal(a, true))
        learn_nothing(a);
}

static nb_status bind_general(nb_quant_rules *r, bool weights)
{
    const char *const range = !weights && r->section.data_free ? "bn" : "auto";
    const char *const dflt[NB_METHOD_KINDS] = {"uniform", range, "none", "nearest"};
    const nb_conf *map = weights ? r->section.weights : r->section.activations;
    const char *where = weights ? "quant.weights" : "quant.activations";
    nb_fakequant_attr *a = weights ? &r->weights : &r->activations;
    bool off;
    NB_TRY(take_off(r->g->ctx, &map, where, &off));
    NB_TRY(bind_part(r->g, map, where, weights, dflt, a));
    a->bits = r->g->bits[weights] ? r->g->bits[weights] : a->bits;
    NB_TRY(settle_width(r->g->ctx, map, where, a));
    a->off = off;
    return check_methods(r->g, map, where, a);
}

nb_status nb_quant_rules_bind(nb_graph *g, const nb_conf *quant, nb_quant_rules *out)
{
    nb_quant_rules r = {.g = g};
    nb_binding b = {nb_quant_section_keys, &r.section};
    NB_TRY(nb_conf_bind(g->ctx, quant, "quant", &b, 1));
    static const char *const zero_or_bits[] = {"first_last_bits", "join_bits", "table_bits", "output_bits"};
    const int32_t bits[] = {r.section.first_last_bits, r.section.join_bits, r.section.table_bits,
                            r.section.output_bits};
    for (int32_t i = 0; i < 4; i++)
        if (bits[i] == 1)
            return nb_conf_fail(g->ctx, nb_conf_get(quant, zero_or_bits[i]), "quant", NB_E_CONFIG,
                                "%s: 1: must be 0 or in 2..8", zero_or_bits[i]);
    r.used = nb_graph_alloc(g, 2 * ((size_t)nb_conf_count(r.section.layers) + 1) * sizeof *r.used);
    if (!r.used)
        return NB_E_NOMEM;
    NB_TRY(bind_general(&r, true));
    NB_TRY(bind_general(&r, false));
    *out = r;
    return NB_OK;
}

/* The place of a layer's part in `used`. */
static bool *used_mark(const nb_quant_rules *rules, const char *layer, bool weights)
{
    const nb_conf *layers = rules->section.layers;
    for (int32_t i = 0; i < nb_conf_count(layers); i++)
        if (strcmp(nb_conf_key_at(layers, i), layer) == 0)
            return &rules->used[2 * i + !weights];
    return NULL;
}

/* Is a key of the table written in the map? */
static bool has_any(const nb_conf *map, const nb_key *keys)
{
    for (const nb_key *k = keys; k && k->name; k++)
        if (nb_conf_get(map, k->name))
            return true;
    return false;
}

/* A method that is named replaces the general one; one of its keys alone ("momentum: 0.1") refines it. */
static void override_methods(const nb_conf *own, const nb_fakequant_attr *a, nb_fakequant_attr *attr)
{
    if (nb_conf_get(own, "format") || has_any(own, a->format->keys)) {
        attr->format = a->format;
        attr->format_attr = a->format_attr;
    }
    if (nb_conf_get(own, "range") || has_any(own, a->range->keys)) {
        attr->range = a->range;
        attr->range_attr = a->range_attr;
        attr->range_conf = a->range_conf;
        attr->auto_range = false;
    }
    if (nb_conf_get(own, "rounding"))
        attr->rounding = a->rounding;
    if (nb_conf_get(own, "learn") || has_any(own, a->learning->keys)) {
        attr->learning = a->learning;
        attr->learning_attr = a->learning_attr;
    }
}

nb_status nb_quant_rules_override(const nb_quant_rules *rules, const char *layer, const char *part,
                                  nb_fakequant_attr *attr)
{
    const nb_conf *map = rules->section.layers ? nb_conf_get(rules->section.layers, layer) : NULL;
    const nb_conf *own = map ? nb_conf_get(map, part) : NULL;
    if (!own)
        return NB_OK;
    *used_mark(rules, layer, attr->weights) = true;
    char where[192];
    snprintf(where, sizeof where, "quant.layers.%s.%s", layer, part);
    nb_fakequant_attr a;
    const char *range = attr->format->range ? "minmax" : attr->range->name;
    const char *const dflt[NB_METHOD_KINDS] = {attr->format->name, range, attr->learning->name, attr->rounding->name};
    NB_TRY(take_off(rules->g->ctx, &own, where, &attr->off));
    NB_TRY(bind_part(rules->g, own, where, attr->weights, dflt, &a));
    attr->bits = nb_conf_get(own, "bits") ? a.bits : attr->bits;
    attr->scheme = nb_conf_get(own, "scheme") ? a.scheme : attr->scheme;
    if (nb_conf_get(own, "granularity")) {
        attr->per_channel = a.per_channel;
        attr->per_last = a.per_last;
        attr->group = a.group;
    }
    override_methods(own, &a, attr);
    imply_range(attr);
    NB_TRY(settle_width(rules->g->ctx, own, where, attr));
    return check_methods(rules->g, own, where, attr);
}

nb_status nb_quant_rules_pick_range(const nb_quant_rules *rules, const nb_node *n, bool logits, nb_fakequant_attr *a)
{
    const nb_range_use use = {.of = n, .bits = a->bits, .weights = a->weights, .logits = logits};
    if (a->range->pick) {
        a->range = nb_registry_find(nb_ranges, a->range->pick(&use));
        a->auto_range = true;
    }
    char why[400], where[192];
    if (rules->section.data_free && !a->weights && !a->range->data_free && n->op->role != NB_ROLE_INPUT)
        snprintf(why, sizeof why, "needs images, and quant.data_free: yes says that there are none: %s",
                 logits ? "give the output fixed, or leave output_bits out" : "leave range out, or say bn or fixed");
    else if (!a->range->refuse || !a->range->refuse(a->range_attr, &use, why, sizeof why))
        return NB_OK;
    snprintf(where, sizeof where, "quant, %s of %s", a->weights ? "weights" : "activations", n->name);
    return nb_conf_fail(rules->g->ctx, a->range_conf, where, NB_E_CONFIG, "range: %s: %s", a->range->name, why);
}

static nb_status check_layer_map(const nb_quant_rules *rules, const nb_conf *map, const char *layer)
{
    static const nb_key parts[] = {
        {.name = "weights", .kind = NB_K_NODE, .offset = 0, .help = "rules for its weights"},
        {.name = "activations", .kind = NB_K_NODE, .offset = sizeof(const nb_conf *), .help = "rules for its output"},
        {0}};
    const nb_conf *found[2] = {0};
    char where[160];
    snprintf(where, sizeof where, "quant.layers.%s", layer);
    nb_binding b = {parts, found};
    return nb_conf_bind(rules->g->ctx, map, where, &b, 1);
}

nb_status nb_quant_rules_check_names(const nb_quant_rules *rules)
{
    const nb_graph *g = rules->g;
    const nb_conf *layers = rules->section.layers;
    if (!nb_conf_is_empty(layers) && !nb_conf_is_map(layers))
        return nb_conf_fail(g->ctx, layers, "quant.layers", NB_E_CONFIG,
                            "must be a map from layer names to their rules");
    for (int32_t i = 0; layers && i < nb_conf_count(layers); i++) {
        const char *layer = nb_conf_key_at(layers, i);
        NB_TRY(check_layer_map(rules, nb_conf_at(layers, i), layer));
        if (nb_graph_find(g, layer))
            continue;
        const char **names = nb_alloc(g->ctx, (size_t)g->n * sizeof *names);
        if (!names)
            return NB_E_NOMEM;
        int32_t n = 0;
        for (int32_t k = 0; k < g->n; k++)
            if (!(g->node[k]->flags & NB_NODE_LEAF))
                names[n++] = g->node[k]->name;
        const char *near = nb_closest(layer, names, n);
        char where[160];
        snprintf(where, sizeof where, "quant.layers.%s", layer);
        nb_status st =
            nb_conf_fail(g->ctx, nb_conf_at(layers, i), where, NB_E_CONFIG, "the model has no such layer%s%s%s",
                         near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
        nb_free(g->ctx, names);
        return st;
    }
    return NB_OK;
}

nb_status nb_quant_rules_check_used(const nb_quant_rules *rules)
{
    static const char *const parts[] = {"weights", "activations"};
    static const char *const why[] = {"it has no weights that are quantized",
                                      "its output is not quantized (pools keep the grid of their input, the last layer "
                                      "gives int32 logits unless output_bits is set)"};
    const nb_conf *layers = rules->section.layers;
    for (int32_t i = 0; i < nb_conf_count(layers); i++)
        for (int32_t k = 0; k < 2; k++) {
            const nb_conf *own = nb_conf_get(nb_conf_at(layers, i), parts[k]);
            if (!own || rules->used[2 * i + k])
                continue;
            char where[192];
            snprintf(where, sizeof where, "quant.layers.%s.%s", nb_conf_key_at(layers, i), parts[k]);
            return nb_conf_fail(rules->g->ctx, own, where, NB_E_CONFIG, "changes nothing: %s", why[k]);
        }
    return NB_OK;
}
