/* fusion.h - steps: at freeze the graph becomes a list of them, each one node or a fused chain of nodes.
 *
 * A fusion is a pattern of layers and one implementation of the whole chain (one file in layers/, one line in
 * fusions.def). The values and gradients between the nodes of a chain are never stored and get no memory. A chain gives
 * the same bits as its nodes one by one, which is what runs when a graph has no table of fusions (g->fusions = NULL):
 * that is the oracle. */
#ifndef NIBBLE_EXTEND_FUSION_H
#define NIBBLE_EXTEND_FUSION_H

#include <nibble/extend/op.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_MAX_CHAIN = 4 };

typedef struct nb_fusion nb_fusion;
typedef struct nb_tap nb_tap;

struct nb_step {
    const nb_fusion *fusion;     /* NULL: one node, run by its op */
    nb_node *node[NB_MAX_CHAIN]; /* in order; each but the last is read by the next and by nobody else */
    int32_t n;
    void *priv; /* of the fusion, in the graph's arena */
    bool waits; /* set at freeze: its backward comes last, when gradients of weights have come from other ranks */
};

/* What the only reader of a node, a fused step, does image by image while that image is in cache. Its prepare sets
 * x->tap where the op of x says NB_OP_TAPS; the gradient of x is then asked for, never stored: x->out.grad is NULL, and
 * what grad() reads (the value of x, what the step's nodes saved, the step's gradient) is kept until x has run
 * backward. */
struct nb_tap {
    const nb_step *step;
    /* An image of x has just been written, by its place in x. A part's (cut.h) come in order, parts at once. */
    void (*value)(const nb_tap *t, const nb_run *r, int32_t part, int32_t image);
    /* The gradient of one image of x into buf. After the step's backward. */
    void (*grad)(const nb_tap *t, float *buf, int32_t image);
};

enum { /* nb_fusion.flags */
       /* Every input of the first node gets the same gradient: the step's own, masked. So their gradients may share its
        * memory, and backward, when it finds in[k]->out.grad == out.grad, works in place. */
       NB_FUSION_PASSES_GRAD = 1
};

struct nb_fusion {
    const char *name, *help;
    /* Op names in order, optional ones in brackets: "add [relu] [fakequant]". Several patterns end with NULL, the first
     * that matches counts. Of the chain's nodes, only the first may read other values than the node before it. */
    const char *const *patterns;
    uint32_t flags;
    /* After all nodes were prepared: can this chain be fused? NULL: always. */
    bool (*fits)(const nb_step *s);
    /* Tables in s->priv; may change saved_bytes and scratch_bytes of the chain's nodes. NULL is fine. */
    nb_status (*prepare)(nb_graph *g, nb_step *s);
    void (*forward)(const nb_step *s, const nb_run *r);
    void (*backward)(const nb_step *s,
                     const nb_run *r); /* as nb_op.backward with NB_OP_BWD_SETS: looks at `fresh` of the first node */
};

extern NB_API const nb_fusion
    *const nb_fusions[]; /* all of layers/fusions.def, ends with NULL; nb_model_build sets them */

/* The node whose value and gradient are the step's. */
static inline nb_node *nb_step_last(const nb_step *s)
{
    return s->node[s->n - 1];
}

#ifdef __cplusplus
}
#endif
#endif
