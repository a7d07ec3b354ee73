/* op.h - inside a graph: nodes, and nb_op, the layer abstraction; building graphs and changing them in passes.
 *
 * A node is one step of the tape; what it does is a const table, nb_op (one file per layer in layers/). Parameters,
 * running statistics and quantizer state are leaf nodes, named "<layer>.<what>"; they are what a checkpoint holds. A
 * fake-quant node is an ordinary node, put on edges by quant/policy.c.
 *
 * Life of a graph:
 *   nb_graph_create
 *   nb_graph_add ...          op->build: shapes, leaves
 *   passes                    folding, fake-quant placement
 *   nb_graph_freeze           op->prepare: dtypes, saved and scratch bytes; steps; one memory plan
 *   nb_forward, nb_backward
 *
 * The graph's arena owns nodes, names, leaves; the plan's buffer owns everything that lives within one step. */
#ifndef NIBBLE_EXTEND_OP_H
#define NIBBLE_EXTEND_OP_H

#include <nibble/dataset.h>
#include <nibble/extend/cut.h>
#include <nibble/extend/keys.h>
#include <nibble/extend/tensor.h>
#include <nibble/geom.h>
#include <nibble/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_MAX_IN = 8 };

typedef struct nb_node nb_node;
typedef struct nb_lowering nb_lowering;
typedef struct nb_step nb_step; /* fusion.h */

/* nb_node.flags */
enum {
    NB_NODE_LEAF = 1,         /* no forward: value is set from outside */
    NB_NODE_PARAM = 2,        /* trained by the optimizer; has a gradient of its own */
    NB_NODE_BUFFER = 4,       /* saved in the checkpoint, not trained */
    NB_NODE_DECAY = 8,        /* weight decay applies (weights of conv and linear) */
    NB_NODE_NEEDS_GRAD = 16,  /* a parameter stands behind it: backward runs through it (set at freeze) */
    NB_NODE_NONNEGATIVE = 32, /* values are >= 0 by construction (set in build, e.g. by relu) */
    NB_NODE_BATCHED = 64,     /* shape.d[0] is the batch (set by nb_graph_add) */
    NB_NODE_QUANTIZER = 128,  /* a leaf that a quantizer made: its range's state, or what it learns */
    NB_NODE_READS_IN = 256,   /* as NB_OP_BWD_NEEDS_IN, of this node alone (set in prepare) */
    NB_NODE_REGRIDS = 512     /* NB_ROLE_KEEP that opens: what it makes of codes is real (set by placement) */
};

struct nb_node {
    const nb_op *op;
    const char *name;       /* "c1", "c1.weight", "block2.add": unique; used in every message and in the checkpoint */
    const char *where;      /* "configs/x.yaml:14" or "" */
    nb_tensor out;          /* value and gradient; shape.d[0] is cut->images except for leaves */
    nb_node *in[NB_MAX_IN]; /* always earlier in the array: no cycles by construction */
    int32_t n_in, id;
    uint32_t flags;
    uint32_t fresh; /* bit k: this node's backward is the first to write in[k]'s gradient (set at freeze) */
    void *attr;     /* op->attr_size bytes, filled from the config by op->keys */
    void *saved;    /* what forward leaves for backward: argmax, mean/rstd, masks */
    void *scratch;  /* see nb_node_scratch */
    size_t saved_bytes, scratch_bytes; /* asked for in prepare; scratch_bytes is per thread */
    void *priv;                        /* tables built in prepare, in the graph's arena */
    const nb_cut *cut;                 /* of the current batch, the graph's; out has cut->images of its images */
    const struct nb_tap *tap; /* set at freeze when a fused step works on this node's value image by image (fusion.h) */
};

/* nb_op.flags */
enum {
    NB_OP_BWD_NEEDS_IN = 1,  /* backward reads the values of its inputs: they are kept until then */
    NB_OP_BWD_NEEDS_OUT = 2, /* backward reads its own output value */
    NB_OP_BWD_SETS = 4, /* backward looks at `fresh`: writes (=) when its bit is set, adds (+=) otherwise. Without this
                                flag autograd zeroes fresh gradients first and backward always adds */
    NB_OP_VIEW = 8,     /* output shares data and gradient with in[0] (flatten); forward and backward are NULL */
    NB_OP_TRAIN_ONLY = 16,  /* identity in evaluation and left out of quantized graphs (dropout) */
    NB_OP_INTERNAL = 32,    /* not a layer one can write in a config (parameters, fake-quant) */
    NB_OP_TAPS = 64,        /* works image by image and serves n->tap */
    NB_OP_KEEPS_MEAN = 128, /* a channel's mean over all values stays what it is, and its deviation does not grow */
    NB_OP_MOVES = 256, /* channels change places or get zeros: nothing of one can be taken from before it to behind */
    NB_OP_SUBTRACTS = 512,   /* NB_ROLE_JOIN that takes off its second input */
    NB_OP_HOMOGENEOUS = 1024 /* f(s x) = s f(x) for s > 0 */
};

/* What a layer means to fake-quant placement and lowering. A value is *open* while it is still an exact function of an
 * accumulator (float in training), *closed* once a fake-quant node has turned it into codes. */
typedef enum {
    NB_ROLE_NONE,  /* leaves, dropout, dequantize */
    NB_ROLE_INPUT, /* pixels -> real values: opens */
    NB_ROLE_MAC, /* conv, linear: in[0] must be codes, in[1] is the weight, in[2] the bias if any: opens an accumulator */
    NB_ROLE_AFFINE, /* batch norm: per-channel scale and shift of an open MAC value */
    NB_ROLE_CLAMP,  /* relu: narrows the clamp of an open value */
    NB_ROLE_TABLE,  /* activations: one function of one value: of codes, or of an open value of another such: opens */
    NB_ROLE_JOIN,   /* add, sub, concat: every input must be codes: opens */
    NB_ROLE_KEEP,   /* pools, slices, flatten: codes in, codes on the same grid out (float in, float out) */
    NB_ROLE_LOSS, /* softmax_xent, mse: its input is the network's output, left open unless quant.output_bits asks otherwise */
    NB_ROLE_QUANTIZER, /* fake-quant: closes */
    NB_ROLE_PRODUCT    /* mul: as JOIN, but no sum of what it reads */
} nb_role;

/* A network whose output is given by such a layer (or by a clamp behind it) has no integers unless quant.output_bits says how
 * many bits they have. */
static inline bool nb_role_needs_output_bits(nb_role role)
{
    return role == NB_ROLE_TABLE || role == NB_ROLE_JOIN || role == NB_ROLE_PRODUCT;
}

/* THE layer abstraction: everything about one kind of layer, in one file. Its examples are built, gradient checked and
 * lowered by tests. */
struct nb_op {
    NB_ENTRY;
    uint8_t min_in, max_in; /* activation inputs taken from the config (parameters not counted) */
    uint32_t flags;
    nb_role role;
    /* Check inputs (n->in[0..n_in-1], shapes known), set out.shape (batch = g->room), append parameter leaves to
     * n->in. */
    nb_status (*build)(nb_graph *g, nb_node *n);
    /* Initial values of this node's parameter leaves, from seed alone (already mixed with the node's name). NULL:
     * leaves keep what build gave. */
    void (*init)(nb_node *n, uint64_t seed);
    /* After all passes: set out.dtype and out.q (default: float), saved_bytes, scratch_bytes, tables in priv. NULL is
     * fine. */
    nb_status (*prepare)(nb_graph *g, nb_node *n);
    void (*forward)(nb_node *n, const nb_run *r);  /* cannot fail: all was checked before */
    void (*backward)(nb_node *n, const nb_run *r); /* in[k]->out.grad may be NULL: then nobody needs it */
    nb_status (*lower)(nb_lowering *lo, const nb_node *n);
    /* NB_ROLE_AFFINE only: y = mul[c] * x + add[c] in evaluation, from the leaves' current values. Used by lowering and
     * static folding. */
    void (*affine)(const nb_node *n, double *mul, double *add);
    /* NB_ROLE_AFFINE that normalizes, else NULL: what its parameters say of channel c's values. */
    void (*moments)(const nb_node *n, int32_t c, double *mean, double *deviation);
    /* NB_ROLE_CLAMP only: narrows *low..*high to what it lets through. */
    void (*bounds)(const nb_node *n, float *low, float *high);
    /* NB_ROLE_TABLE only: y = f(x) with the leaves' current values, a row having one value, or one for each channel where
     * channels have functions of their own. The same bits for a value wherever it stands. */
    void (*each)(const nb_node *n, float *y, const float *x, int64_t rows);
    /* NB_ROLE_AFFINE only, before fake-quant nodes are placed: n reads a MAC that nobody else reads, and puts its factor
     * into the MAC's weights (batchnorm: fold_corrected). NULL: it cannot. */
    nb_status (*fold)(nb_graph *g, nb_node *n);
    /* NB_ROLE_AFFINE with leaves "mean" and "var" only: they are those of in[statistics_of]. */
    uint8_t statistics_of;
    int64_t (*macs)(const nb_node *n); /* per image; NULL = 0 */
    /* NB_ROLE_KEEP only: it can open (NB_NODE_REGRIDS). NULL: it cannot. */
    bool (*regrids)(const nb_node *n);
    /* Of convolutions and pools: what slides over in[0], once shapes are known. */
    nb_geom (*window)(const nb_node *n);
};

struct nb_graph {
    nb_ctx *ctx;
    struct nb_arena *arena;
    nb_node **node;
    int32_t n, cap;
    int32_t batch, max_batch; /* of all ranks */
    nb_cut cut;               /* of batch */
    bool shared;              /* it holds this rank's share of a batch; see nb_graph_share */
    /* Gradients of weights travel while the backward pass goes on (core/gather_later.h), and what needs them runs last; NULL:
     * they do not. later_bytes: what the largest needs, set by layers as they prepare. */
    struct nb_later *later;
    size_t later_bytes;
    int32_t room; /* images that its tensors have room for: max_batch, unless shared */
    const nb_graph
        *lender;           /* its weights (NB_NODE_DECAY) are used, not copied, where this graph has such ones; or NULL.
                               Set before layers are added */
    nb_dsinfo info;        /* of the data set: input shape, classes, normalisation */
    nb_node *input, *loss; /* loss is last; its in[0] is the logits */
    void *buffer;          /* the planned memory of one step */
    size_t planned_bytes;  /* its size: the peak */
    size_t param_bytes;    /* leaves: values and gradients */
    nb_compute compute;    /* set before freeze; default NB_COMPUTE_F32 */
    bool quantized, frozen;
    bool blank;  /* planned and asked, but never run: a step has no memory. Set before freeze */
    bool infers; /* set at freeze, before layers prepare: there is no way back, and nothing is kept for one */
    /* Of activations, of weights, in the place of what quant's general rules say; 0: as they say. Set before fake-quant nodes
     * are placed. */
    int32_t bits[2];
    const char *simulated, *instead;        /* as in nb_graph_facts */
    const struct nb_fusion *const *fusions; /* what freeze may fuse, ends with NULL; NULL: every node runs on its own */
    nb_step *step;                          /* set at freeze, in order of execution */
    int32_t n_steps;
};

/* An empty graph for samples like info's, at most max_batch at a time. */
NB_API nb_status nb_graph_create(nb_ctx *ctx, const nb_dsinfo *info, int32_t max_batch, nb_graph **out);

/* Before anything is added: of a batch it holds the images of this rank (cut.h). Batches stay what they are for who runs it:
 * nb_graph_set_batch counts the images of all ranks, nb_run has those of this one. */
NB_API void nb_graph_share(nb_graph *g);

/* Appends a node: attr (copied, op->attr_size bytes; NULL = zeros), inputs, then op->build. name is copied and must be
 * new. where may be NULL. */
NB_API nb_status nb_graph_add(nb_graph *g, const nb_op *op, const char *name, const char *where, const void *attr,
                              nb_node *const *in, int32_t n_in, nb_node **out);
/* For build(): appends a zero-filled leaf "<n->name>.<what>" to the graph and to n->in. flags: NB_NODE_PARAM [| DECAY]
 * or NB_NODE_BUFFER. */
NB_API nb_status nb_graph_leaf(nb_graph *g, nb_node *n, const char *what, nb_shape shape, uint32_t flags,
                               nb_node **out);
/* For passes: nb_graph_leaf, but the leaf is put right before n, which is in the graph already. */
NB_API nb_status nb_graph_late_leaf(nb_graph *g, nb_node *n, const char *what, nb_shape shape, uint32_t flags,
                                    nb_node **out);
/* For passes: nb_graph_add, but the node and its leaves are put right before node `before`; ids are renumbered. */
NB_API nb_status nb_graph_insert(nb_graph *g, int32_t before, const nb_op *op, const char *name, const void *attr,
                                 nb_node *const *in, int32_t n_in, nb_node **out);
/* For passes: everyone who reads `from` (except `but`, may be NULL) reads `to` instead. */
NB_API void nb_graph_rewire(nb_graph *g, const nb_node *from, nb_node *to, const nb_node *but);
/* For passes: node `id` goes to stand right before node `before`, which stands before it now; ids are renumbered. */
NB_API void nb_graph_move(nb_graph *g, int32_t id, int32_t before);
/* For passes: removes a node nobody reads any more. */
NB_API void nb_graph_remove(nb_graph *g, int32_t id);
NB_API nb_node *nb_graph_find(const nb_graph *g, const char *name);
NB_API int32_t nb_node_consumers(const nb_graph *g, const nb_node *x);          /* edges that read x */
NB_API const nb_node *nb_node_only_reader(const nb_graph *g, const nb_node *x); /* NULL: none or several edges */
NB_API void *nb_graph_alloc(nb_graph *g, size_t bytes); /* arena memory, zeroed; NULL sets the sentence */

/* Fails with "path:line: layer name: sentence" in front, for build and prepare. */
NB_API nb_status nb_node_fail(nb_graph *g, const nb_node *n, nb_status st, const char *fmt, ...) NB_PRINTF(4, 5);

/* This thread's scratch: n->scratch_bytes of 64-byte aligned memory, contents undefined. The plan is made for
 * nb_threads() at freeze: do not raise the number of threads after that. */
NB_API void *nb_node_scratch(const nb_node *n, int32_t thread);

/* Compares backward with central differences for every parameter, along one random direction and `samples` single
 * elements; *worst is the largest relative error seen. */
NB_API nb_status nb_grad_check(nb_graph *g, const nb_run *r, int32_t samples, double eps, double *worst);

#ifdef __cplusplus
}
#endif
#endif
