/* block_branches.c - several paths from one input that come together again: the modules of Inception networks (Szegedy et
 * al. 2014), dense blocks, residual blocks of one's own.
 *
 * A path is a list of layers and blocks, as the model itself is; an empty one is the input. A path may have branches of its
 * own. A layer in it is called <name>.<path>.<place>, both from 1, or <name>. and what it calls itself. */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    const nb_conf *paths;
    int32_t join, repeat;
} branches_attr;

static const char *const joins[] = {"concat", "add", "mul"};

static const nb_key branches_keys[] = {
    NB_KEY_SECTION(branches_attr, paths, "list of lists of layers", "what each path does to the input; []: nothing"),
    NB_KEY_ENUM(branches_attr, join, "concat", "concat|add|mul", "how they come together; a single path need not"),
    NB_KEY_INT(branches_attr, repeat, "1", 1, 256, "number of such blocks in a row"),
    {0}};

/* A list, or one layer. */
static nb_status add_path(nb_model_builder *b, const char *name, int32_t p, const nb_conf *path, nb_node **x)
{
    const bool list = nb_conf_is_list(path);
    for (int32_t i = 0; i < (list ? nb_conf_count(path) : 1); i++) {
        char part[64], layer[64];
        snprintf(part, sizeof part, list ? "paths[%d][%d]" : "paths[%d]", p, i);
        snprintf(layer, sizeof layer, "%d.%d", p + 1, i + 1);
        NB_TRY(nb_model_entry(b, list ? nb_conf_at(path, i) : path, part, name, layer, x));
    }
    return NB_OK;
}

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const branches_attr *a = attr;
    const int32_t n = nb_conf_count(a->paths);
    nb_node *end[NB_MAX_IN];
    char layer[160];
    (void)i;
    for (int32_t p = 0; p < n; p++) {
        end[p] = *x;
        NB_TRY(add_path(b, name, p, nb_conf_at(a->paths, p), &end[p]));
    }
    *x = end[0];
    if (n == 1)
        return NB_OK;
    snprintf(layer, sizeof layer, "%s.%s", name, joins[a->join]);
    return nb_model_layer(b, joins[a->join], layer, "", end, n, x);
}

static nb_status branches_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const branches_attr *a = attr;
    const int32_t n = nb_conf_is_list(a->paths) ? nb_conf_count(a->paths) : 0;
    if (n < 1 || n > NB_MAX_IN)
        return nb_block_fail(b, name, NB_E_CONFIG, "paths: must be a list of 1 to %d paths, each a list of layers",
                             NB_MAX_IN);
    *out = in;
    return nb_unit_repeat(b, name, a->repeat, one_block, attr, out);
}

const nb_block nb_block_branches = {
    .name = "branches",
    .help = "several paths from one input, joined: Inception modules, dense blocks, residual blocks of one's own",
    .keys = branches_keys,
    .attr_size = sizeof(branches_attr),
    .expand = branches_expand,
    .examples = (const char *const[]){
        "branches: {paths: [[convbn: {out: 4, kernel: 1}], [convbn: {out: 6, kernel: [1, 5]}, convbn: {out: 5, kernel: "
        "[5, 1]}], [avgpool: {kernel: 3, stride: 1, pad: 1}, convbn: {out: 3, kernel: 1}]]}",
        "branches: {repeat: 2, paths: [[], [convbn: {out: 4}]]}",
        "branches: {join: add, paths: [[conv2d: {out: 8, kernel: 1}], [branches: {paths: [[convbn: {out: 5}], [convbn: "
        "{out: 3, kernel: 1}]]}]]}",
        NULL}};
