/* qnet.h - a quantized ONNX graph on its way to an integer model.
 *
 * Nodes are read in order. A name stands for a constant, for codes (a tensor of the engine), or for a real value that is
 * an exact function of codes: what a step would give if its output were quantized now. QuantizeLinear, or the output
 * grid of a QLinear operator, closes it, and it is one step. Multipliers follow from the scales; a file of ours says them
 * to the last bit in its metadata (qnet_close.c). */
#ifndef NB_IMPORT_QNET_H
#define NB_IMPORT_QNET_H

#include <nibble/import.h>

#include "base/arena.h"
#include "import/onnx_file.h"
#include "lower/intbuild.h"

typedef enum { Q_NONE, Q_CONSTANT, Q_IMAGE, Q_REAL } q_kind;

typedef struct {
    double scale;
    int32_t zero;
    bool is_signed;
} q_grid;

/* kind NB_STEP_KINDS: the tensor in[0] as it is. */
typedef struct {
    nb_step_kind kind;
    int32_t in[NB_ENGINE_MAX_IN], n_in;
    nb_geom geom;
    const int8_t *weights; /* OHWI */
    int32_t bits;
    double *unit;      /* CONV: [oc] real value of a sum's 1 */
    int64_t *bias;     /* CONV: [oc] in sums of codes less their zero point */
    double sign;       /* ADD: of the second */
    double lo, hi;     /* real clamp */
    int32_t base;      /* of codes as indices: where the first one's table begins */
    int32_t *share[2]; /* BLEND: where rows and columns lie, and how far it is rounded */
    int32_t rounded;
    bool in_codes; /* nothing has dequantized it: it keeps its grid where an operator does not say another */
} q_open;

typedef struct {
    const char *name;
    q_kind kind;
    nb_st_tensor t;                   /* CONSTANT */
    const nb_st_tensor *scale, *zero; /* of a constant that a DequantizeLinear reads; NULL: it is a number itself */
    int64_t axis;
    q_open open;     /* REAL */
    int32_t c, h, w; /* REAL, IMAGE */
    bool flat;       /* [N, c*h*w] */
    bool last;       /* channels last: [N, h, w, c], or so flattened */
} q_value;

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    const onnx_file *file;
    const nb_onnx_integers_options *options;
    nb_intbuilder *b;
    q_value *value;
    int32_t n_values, most_values, n_rows;
    int32_t *index; /* hashed by name: value's place + 1; 0: none */
    uint32_t mask;
    const char *ours; /* metadata nibble.multipliers, or NULL */
} qnet;

typedef nb_status (*q_fn)(qnet *n, const onnx_node *d);

/* "net.onnx: node 'Conv_3' (Conv): ..." */
nb_status q_fail(const qnet *n, const onnx_node *d, const char *fmt, ...) NB_PRINTF(3, 4);
q_value *q_find(const qnet *n, const char *name); /* NULL: nothing has made it */
const q_value *q_input(const qnet *n, const onnx_node *d, size_t k);
nb_status q_output(qnet *n, const onnx_node *d, q_value v);
nb_status q_real(const qnet *n, const onnx_node *d, size_t k, const q_value **out);
/* A constant's values; floats of 32 bits, integers of any width. */
nb_status q_constant(const qnet *n, const onnx_node *d, size_t k, const nb_st_tensor **out);
double q_number(const nb_st_tensor *t, int64_t i);
nb_status q_grid_of(const qnet *n, const onnx_node *d, size_t scale, size_t zero, q_grid *out);
int64_t q_int(const onnx_node *d, const char *name, int64_t dflt);
nb_status q_ints(const qnet *n, const onnx_node *d, const char *name, int64_t *out, size_t count);
/* The tensor's grid. */
q_grid q_tensor_grid(const qnet *n, int32_t tensor);
/* Codes that the node reads are on the grid that it says. */
nb_status q_check_operands(const qnet *n, const onnx_node *d);
/* A new tensor on that grid. */
nb_status q_tensor(qnet *n, const char *name, const q_value *like, q_grid g, int32_t *out);
/* v as codes on grid g: a step, or the tensor it is already. */
nb_status q_close(qnet *n, const onnx_node *d, const q_value *v, const q_grid *g, q_value *out);
/* The last value as the model's output. */
nb_status q_close_logits(qnet *n, const q_value *v);
/* A tensor that has v's codes: v itself, where it is one. */
nb_status q_codes(qnet *n, const onnx_node *d, const q_value *v, int32_t *tensor);

/* The tensor as a value; who has it in codes says so. */
q_open q_of_tensor(const qnet *n, int32_t tensor);
nb_status q_add_step(qnet *n, const onnx_node *d, nb_estep *s, const nb_sinfo *info);
/* The grid of what a table gives: our exporter's metadata say it, or whoever reads `name`. */
nb_status q_reader_grid(const qnet *n, const onnx_node *d, const char *name, q_grid *g);
bool q_said_grid(const qnet *n, const char *name, q_grid *g);
/* A mixture of pixels: a number that it is rounded with, and the cast to codes. */
nb_status q_round_blend(qnet *n, const onnx_node *d, const q_value *v, double by);
nb_status q_end_blend(qnet *n, const onnx_node *d, const q_value *v);

/* v, or, where it is an image that was flattened in the engine's order, a tensor of its own that is a vector. */
nb_status q_as_row(qnet *n, const onnx_node *d, const q_value *v, q_value *out);

/* The operators: qnet_ops.c, qnet_mac.c, qnet_moves.c, qnet_shape.c. */
typedef struct {
    const char *op;
    q_fn fn;
} q_operator;
q_fn q_operator_find(const char *op);
nb_status q_op_conv(qnet *n, const onnx_node *d);
nb_status q_op_flatten(qnet *n, const onnx_node *d);
nb_status q_op_reshape(qnet *n, const onnx_node *d);
nb_status q_op_squeeze(qnet *n, const onnx_node *d);
nb_status q_op_transpose(qnet *n, const onnx_node *d);
nb_status q_op_pad(qnet *n, const onnx_node *d);
nb_status q_op_slice(qnet *n, const onnx_node *d);
nb_status q_op_gather(qnet *n, const onnx_node *d);
nb_status q_op_matmul(qnet *n, const onnx_node *d);
nb_status q_op_gemm(qnet *n, const onnx_node *d);
nb_status q_op_qlinear_gemm(qnet *n, const onnx_node *d);
nb_status q_op_qlinear_conv(qnet *n, const onnx_node *d);
nb_status q_op_conv_integer(qnet *n, const onnx_node *d);
nb_status q_add_bias(qnet *n, const onnx_node *d, const q_value *x, const q_value *bias);
bool q_is_open_mac(const q_value *v);

#endif
