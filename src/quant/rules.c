/* rules.c - binds the `quant` section: general rules for weights and activations, and what single layers override. */
#include "quant/policy.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

const nb_key nb_quant_weight_keys[] = {
    NB_KEY_INT(nb_quant_keys, bits, "8", 2, 8, "bits of a weight code; grid -(2^(b-1)-1) .. 2^(b-1)-1"),
    NB_KEY_ENUM(nb_quant_keys, granularity, "channel", "channel|tensor", "one scale per output channel or per tensor"),
    NB_KEY_STRING(nb_quant_keys, range, "minmax", "how the range is found, see `nibble keys quantizers`"),
    {0}};

const nb_key nb_quant_act_keys[] = {
    NB_KEY_INT(nb_quant_keys, bits, "8", 2, 8, "bits of an activation code"),
    NB_KEY_ENUM(nb_quant_keys, scheme, "asymmetric", "asymmetric|symmetric|unsigned",
                "asymmetric: 0..2^b-1 with a zero point; symmetric: signed; unsigned: zero point 0 after relu, signed "
                "elsewhere"),
    NB_KEY_STRING(nb_quant_keys, range, "ema", "how the range is found, see `nibble keys quantizers`"),
    {0}};

const nb_key nb_quant_section_keys[] = {
    NB_KEY_NODE(nb_quant_section, weights, "{bits, granularity, range, ...}", "rules for weights"),
    NB_KEY_NODE(nb_quant_section, activations, "{bits, scheme, range, ...}", "rules for activations"),
    NB_KEY_NODE(nb_quant_section, layers, "{NAME: {weights: {...}, activations: {...}}}",
                "what single layers do differently"),
    NB_KEY_INT(nb_quant_section, first_last_bits, "8", 0, 8,
               "bits of the first and last layer's weights, of the input and of what enters the last layer; 0 = as the "
               "others"),
    NB_KEY_INT(nb_quant_section, output_bits, "0", 0, 8, "bits of the network's output; 0 = int32 logits"),
    NB_KEY_ENUM(
        nb_quant_section, batchnorm, "keep", "keep|fold",
        "keep: trained on, exact per-channel multiplier at the end; fold: into the weights before quantization"),
    NB_KEY_NODE(nb_quant_section, steps, "[STEP, ...]",
                "what is done to the float network, once, before it is quantized: see `nibble keys steps`"),
    {0}};

/* Binds one `weights` or `activations` map, the range method's own keys included; dflt: the method when it names none.
 */
static nb_status bind_part(nb_graph *g, const nb_conf *map, const char *where, bool weights, const char *dflt,
                           nb_fakequant_attr *out)
{
    const nb_conf *named = map ? nb_conf_get(map, "range") : NULL;
    const char *name = named ? nb_conf_text(named) : dflt;
    const nb_quantizer *method = name ? nb_quantizer_find(name) : NULL;
    if (!method) {
        const char *names[64];
        int32_t n = 0;
        for (; nb_quantizers[n] && n < 64; n++)
            names[n] = nb_quantizers[n]->name;
        char place[224];
        snprintf(place, sizeof place, "%s.range", where);
        return nb_conf_unknown(g->ctx, named, place, "range method", names, n);
    }
    nb_quant_keys keys = {0};
    void *attr = method->attr_size ? nb_graph_alloc(g, method->attr_size) : NULL;
    if (method->attr_size && !attr)
        return NB_E_NOMEM;
    nb_binding b[2] = {{weights ? nb_quant_weight_keys : nb_quant_act_keys, &keys}, {method->keys, attr}};
    NB_TRY(nb_conf_bind(g->ctx, map, where, b, method->keys ? 2 : 1));
    *out = (nb_fakequant_attr){.method = method,
                               .method_attr = attr,
                               .bits = keys.bits,
                               .scheme = weights ? NB_SCHEME_SYMMETRIC : (nb_scheme)keys.scheme,
                               .weights = weights,
                               .per_channel = weights && keys.granularity == NB_GRANULARITY_CHANNEL};
    return NB_OK;
}

nb_status nb_quant_rules_bind(nb_graph *g, const nb_conf *quant, nb_quant_rules *out)
{
    nb_quant_rules r = {.g = g};
    nb_binding b = {nb_quant_section_keys, &r.section};
    NB_TRY(nb_conf_bind(g->ctx, quant, "quant", &b, 1));
    static const char *const zero_or_bits[] = {"first_last_bits", "output_bits"};
    for (int32_t i = 0; i < 2; i++)
        if ((i == 0 ? r.section.first_last_bits : r.section.output_bits) == 1)
            return nb_conf_fail(g->ctx, nb_conf_get(quant, zero_or_bits[i]), "quant", NB_E_CONFIG,
                                "%s: 1: must be 0 or in 2..8", zero_or_bits[i]);
    r.used = nb_graph_alloc(g, 2 * ((size_t)nb_conf_count(r.section.layers) + 1) * sizeof *r.used);
    if (!r.used)
        return NB_E_NOMEM;
    NB_TRY(bind_part(g, r.section.weights, "quant.weights", true, "minmax", &r.weights));
    NB_TRY(bind_part(g, r.section.activations, "quant.activations", false, "ema", &r.activations));
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
    NB_TRY(bind_part(rules->g, own, where, attr->weights, attr->method->name, &a));
    attr->bits = nb_conf_get(own, "bits") ? a.bits : attr->bits;
    attr->scheme = nb_conf_get(own, "scheme") ? a.scheme : attr->scheme;
    attr->per_channel = nb_conf_get(own, "granularity") ? a.per_channel : attr->per_channel;
    if (nb_conf_get(own, "range")) {
        attr->method = a.method;
        attr->method_attr = a.method_attr;
    } else if (a.method_attr) {
        /* a method key alone ("momentum: 0.1") refines the general method */
        for (const nb_key *k = a.method->keys; k && k->name; k++)
            if (nb_conf_get(own, k->name))
                attr->method_attr = a.method_attr;
    }
    return NB_OK;
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
