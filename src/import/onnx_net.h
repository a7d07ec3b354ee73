/* onnx_net.h - an ONNX graph on its way to a config: values by name, layers in order of execution, and what the files
 * of operators share. An operator is a function in operators.def; it turns one node into layers, or into nothing. */
#ifndef NB_IMPORT_ONNX_NET_H
#define NB_IMPORT_ONNX_NET_H

#include <nibble/extend/op.h>
#include <nibble/import.h>

#include "base/arena.h"
#include "import/onnx_file.h"
#include "import/onnx_layout.h"

enum { ONNX_SHAPE_MAX = 8, ONNX_KEYS = 160, ONNX_NAME = 100, ONNX_MAX_SIDE = 65536 };

#define ONNX_BATCH INT64_MIN /* the number of images, in the shapes that a graph computes */

typedef enum { ONNX_V_NONE, ONNX_V_CONSTANT, ONNX_V_DATA } onnx_v;

/* What a name stands for. DATA: the output of a layer, an image of c, h, w: [N, c, h, w], or [N, c*h*w] when flat, or in
 * another layout. Constants are the file's, or folded (onnx_fold.h). */
typedef struct onnx_v_entry {
    const char *name;
    int32_t uses; /* by nodes that the output needs, and as the output */
    bool wanted;  /* the output needs it */
    onnx_v kind;
    nb_st_tensor constant;
    int32_t layer, c, h, w;
    int32_t owner; /* of a constant: the first layer with weights from it */
    bool flat;
    onnx_layout layout;
    bool row;       /* the layer itself gives rows, not images */
    bool last;      /* softmax has been taken: nothing may follow */
    int32_t pad[4]; /* zeros around it that the next convolution takes over: top, left, bottom, right */
} onnx_v_entry;

typedef struct {
    const char *what; /* "weight", "bias", "gamma", ... */
    nb_st_tensor t;
} onnx_param;

typedef struct {
    const char *op;                        /* ours */
    char name[ONNX_NAME], keys[ONNX_KEYS]; /* keys: "out: 8, kernel: 3" */
    const char *node;                      /* theirs, for a comment */
    int32_t in[NB_MAX_IN], n_in;
    onnx_param param[4];
    int32_t n_params, copies; /* copies: layers after it that would have its name and got a number */
    bool reduced;             /* a mean over rows or columns, which one over the others completes */
    bool bias, needed, named; /* named: after its parameters, or somebody names it in an `in` */
} onnx_layer;

/* What is kept in another form than the file has it, or left out: one line for all nodes of a kind. */
typedef enum {
    ONNX_NOTE_UNUSED,
    ONNX_NOTE_SHARED,
    ONNX_NOTE_META,
    ONNX_NOTE_NORM,
    ONNX_NOTE_LRN,
    ONNX_NOTE_DROPOUT,
    ONNX_NOTE_SOFTMAX,
    ONNX_NOTE_IMAGE,
    ONNX_NOTES
} onnx_note_kind;

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    const onnx_file *file;
    const nb_onnx_size *given; /* sizes of the input, or NULL */
    struct {
        char *text; /* of the first */
        int32_t more;
    } note[ONNX_NOTES];
    onnx_v_entry *entry; /* hashed by name */
    uint32_t mask;
    onnx_layer *layer;
    int32_t n, cap;
    int32_t *named; /* hashed by name of a layer: its place + 1; 0: none */
    uint32_t named_mask;
    int32_t h, w, c; /* of an image */
    int32_t output;  /* layer that gives the logits */
    int32_t classes;
    bool reconstructs; /* the output has the shape of the input */
    int64_t batch;     /* images that the exporter saw; -1: any number */
    int32_t renamed;   /* inputs that were given names of their own */
    int64_t foldable;  /* elements that may still be made of constants */
} onnx_net;

/* Which layouts an operator takes: images and rows as they are meant here; the same, or 1-D signals; any, since it works
 * value by value and its output stands as its input does; any, for it asks for itself. */
typedef enum { ONNX_FIT_IMAGES, ONNX_FIT_WINDOW, ONNX_FIT_EACH, ONNX_FIT_ANY } onnx_fit_kind;

typedef nb_status (*onnx_fn)(onnx_net *n, const onnx_node *d);
typedef struct {
    const char *op;
    onnx_fn fn;
    const char *attrs; /* the attributes it understands, with blanks between */
    onnx_fit_kind fit;
} onnx_operator;

/* Translates the whole graph. */
nb_status onnx_net_translate(onnx_net *n);
/* Finds the input: its entry, and layer 0. */
nb_status onnx_read_images(onnx_net *n);
/* Everything that was noted, to the log. */
void onnx_net_say(const onnx_net *n);

/* ---- for operators ---- */

/* "model.onnx: node 'Conv_3' (Conv): ..." */
nb_status onnx_fail(const onnx_net *n, const onnx_node *d, nb_status st, const char *fmt, ...) NB_PRINTF(4, 5);
/* The same sentence for onnx_net_say. */
nb_status onnx_note(onnx_net *n, const onnx_node *d, onnx_note_kind kind, const char *fmt, ...) NB_PRINTF(4, 5);
/* Attributes, with defaults; a kind that cannot be is an error of the node. */
nb_status onnx_attr_int(const onnx_net *n, const onnx_node *d, const char *name, int64_t dflt, int64_t *out);
nb_status onnx_attr_float(const onnx_net *n, const onnx_node *d, const char *name, float dflt, float *out);
/* out[0..count): left alone when the attribute is not there; another number of values is an error. */
nb_status onnx_attr_ints(const onnx_net *n, const onnx_node *d, const char *name, int64_t *out, size_t count);
const onnx_attr *onnx_attr_find(const onnx_node *d, const char *name);

/* Input k's entry, or NULL when it is not given. */
onnx_v_entry *onnx_input(const onnx_net *n, const onnx_node *d, size_t k);
/* The entry of a name, which is made when it is new. */
onnx_v_entry *onnx_intern(onnx_net *n, const char *name);
/* Is it an operator that takes images only as [N, c, h, w]? */
bool onnx_is_of_images(const char *op);
/* Does the output need it? */
bool onnx_is_wanted(const onnx_net *n, const char *name);
/* Does a node read this output, or is it the network's? */
bool onnx_is_read(const onnx_net *n, const char *name);
/* Input k must be data (no softmax before it); zeros that wait around it become a pad. */
nb_status onnx_data(onnx_net *n, const onnx_node *d, size_t k, onnx_v_entry **out);
/* The same, zeros may wait. */
nb_status onnx_data_padded(const onnx_net *n, const onnx_node *d, size_t k, onnx_v_entry **out);
/* Input k must be a constant of finite floats. */
nb_status onnx_floats(const onnx_net *n, const onnx_node *d, size_t k, const nb_st_tensor **out);
/* Which axis of the image x (ONNX_AXIS_C, ...) an axis of the tensor is; negative ones count from the end. */
nb_status onnx_image_axis(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, int64_t axis, int32_t *out);
/* A short vector of integers: from input k, or from the attribute of that name. */
nb_status onnx_integers(const onnx_net *n, const onnx_node *d, size_t k, const char *attr, int64_t *out,
                        int32_t *count);

/* A new layer reading in[0..n_in-1] (layers); *out is its index. Name: from the parameter's name, or the node's. */
nb_status onnx_add_layer(onnx_net *n, const onnx_node *d, const char *op, const char *param_name, const int32_t *in,
                         int32_t n_in, int32_t *out);
/* Concat of images below or beside each other. */
nb_status onnx_concat_along(onnx_net *n, const onnx_node *d, bool columns);
/* x becomes those of its rows (0), columns (1) or channels (2) that `at` lists. */
nb_status onnx_pick(onnx_net *n, const onnx_node *d, onnx_v_entry *x, int32_t axis, const int32_t *at, int32_t count);
/* x becomes x with rows and columns on top, left, bottom, right, and channels before and behind; mode "": zeros. */
nb_status onnx_add_pad(onnx_net *n, const onnx_node *d, const char *mode, const int64_t p[6], onnx_v_entry *x);
void onnx_keys(onnx_net *n, int32_t layer, const char *fmt, ...) NB_PRINTF(3, 4);
/* Input k, if it is given, becomes the layer's bias. */
nb_status onnx_take_bias(onnx_net *n, const onnx_node *d, size_t k, int32_t layer, int64_t channels);
void onnx_give(onnx_net *n, int32_t layer, const char *what, const nb_st_tensor *t);
/* A layer of two inputs value by value: add, sub, mul. Sides of 1 are repeated; *out is what it gives. */
nb_status onnx_pair(onnx_net *n, const onnx_node *d, const char *op, const onnx_v_entry *a, const onnx_v_entry *b,
                    onnx_v_entry *out);
/* The node's first output is v; another meaning for that name is an error. */
nb_status onnx_output(onnx_net *n, const onnx_node *d, const onnx_v_entry *v);
nb_status onnx_output_at(onnx_net *n, const onnx_node *d, size_t output, const onnx_v_entry *v);
/* The part of ndim sizes that a Shape gives: its attributes start and end. */
nb_status onnx_shape_part(const onnx_net *n, const onnx_node *d, int32_t ndim, int64_t *first, int64_t *end);
/* A layer that gives v's values as rows (a flatten where it must). */
nb_status onnx_as_rows(onnx_net *n, const onnx_node *d, const onnx_v_entry *v, int32_t *layer);
/* Floats in the arena as a tensor. */
nb_status onnx_new_floats(onnx_net *n, const char *name, int32_t ndim, const int64_t *dims, float **data,
                          nb_st_tensor *out);

/* The operators; one that this list lacks does not compile. */
#define NB_OPERATOR(type, function, attributes) nb_status onnx_op_##function(onnx_net *n, const onnx_node *d);
#define NB_OPERATOR_WINDOW                      NB_OPERATOR
#define NB_OPERATOR_EACH                        NB_OPERATOR
#define NB_OPERATOR_ANY                         NB_OPERATOR
#include "import/operators.def"
#undef NB_OPERATOR
#undef NB_OPERATOR_WINDOW
#undef NB_OPERATOR_EACH
#undef NB_OPERATOR_ANY

#endif
