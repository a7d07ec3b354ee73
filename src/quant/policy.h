/* policy.h - the `quant` section, bound: what placement needs to know. */
#ifndef NB_QUANT_POLICY_H
#define NB_QUANT_POLICY_H

#include "quant/fakequant.h"

typedef struct {
    nb_graph *g;
    nb_quant_section section;
    nb_fakequant_attr weights, activations; /* the general rules */
    bool *used; /* [2 * count of section.layers]: its weights, its activations were asked for */
} nb_quant_rules;

nb_status nb_quant_rules_bind(nb_graph *g, const nb_conf *quant, nb_quant_rules *out);
/* Applies `layers: {name: {weights: {...}}}` on top of *attr: only the keys that are written there change. */
nb_status nb_quant_rules_override(const nb_quant_rules *rules, const char *layer, const char *part,
                                  nb_fakequant_attr *attr);
/* Once all else of *a is known, for the values of n: the range that `auto` stands for; an error where it cannot be used. */
nb_status nb_quant_rules_pick_range(const nb_quant_rules *rules, const nb_node *n, bool logits, nb_fakequant_attr *a);
/* What `first_last_bits`, `join_bits` or `table_bits` makes of the general rule; 0: nothing. */
void nb_quant_give_bits(int32_t bits, nb_fakequant_attr *a);
/* Is x read by layers of this role alone (joins, tables)? */
bool nb_quant_only_read_by(const nb_graph *g, const nb_node *x, nb_role role);
/* The general rule for the values of n: what can only learn from others (pact, where there is no relu) learns nothing. */
void nb_quant_for_value(const nb_node *n, nb_fakequant_attr *a);
/* After single layers' rules: those must fit. */
nb_status nb_quant_check_value(const nb_quant_rules *rules, const nb_node *n, const nb_fakequant_attr *a);
/* g is simulated, and format says why; the first reason counts. instead: "... would do". */
nb_status nb_quant_simulate(nb_graph *g, const char *instead, const char *format, ...) NB_PRINTF(3, 4);
/* The same, if what the quantizer fq makes cannot be integers. */
nb_status nb_quant_check_integers(nb_graph *g, const nb_node *fq);
/* Every name under `layers` must be a layer of the graph: else an error with a suggestion. */
nb_status nb_quant_rules_check_names(const nb_quant_rules *rules);
/* After placement: a rule under `layers` that nothing asked for is a mistake, as an unknown key is. */
nb_status nb_quant_rules_check_used(const nb_quant_rules *rules);

#endif
