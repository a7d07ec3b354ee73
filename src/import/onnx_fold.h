/* onnx_fold.h - nodes whose inputs are all known are evaluated while the graph is read: what exporters compute from shapes and
 * weights. Floats of any width come in and 32 bits go out; integers and truth values are 64 bits wide, and among them
 * ONNX_BATCH, the number of images, may be moved but not computed with. */
#ifndef NB_IMPORT_ONNX_FOLD_H
#define NB_IMPORT_ONNX_FOLD_H

#include "import/onnx_net.h"

enum { FOLD_IN = 64 };

/* A node on its way; in[k] is NULL where an input is left out. */
typedef struct {
    onnx_net *n;
    const onnx_node *d;
    const nb_st_tensor *in[FOLD_IN];
    int32_t n_in;
} fold_job;

typedef struct {
    const char *op;
    nb_status (*fn)(const fold_job *f);
    const char *attrs;
    int32_t min_in, max_in;
    int32_t which; /* for functions that serve several operators */
} fold_operator;

/* NULL: it is not folded. */
const fold_operator *onnx_fold_find(const char *op);
/* All inputs that are given are constants. */
bool onnx_fold_can(const onnx_net *n, const onnx_node *d);
nb_status onnx_fold(onnx_net *n, const onnx_node *d, const fold_operator *o);

/* ---- for its parts ---- */

bool fold_is_int(const nb_st_tensor *t);
size_t fold_bytes(const nb_st_tensor *t); /* of one element */
/* A new tensor of F32 or I64, or of the kind of `like`; too large a one is an error of the node. */
nb_status fold_new(const fold_job *f, nb_st_dtype dtype, int32_t ndim, const int64_t *dims, nb_st_tensor *out);
/* The same values under other dimensions, of which there are as many. */
nb_status fold_view(const fold_job *f, const nb_st_tensor *t, int32_t ndim, const int64_t *dims);
nb_status fold_give(const fold_job *f, size_t output, const nb_st_tensor *t);
/* Element i as either kind; integers: not ONNX_BATCH. */
double fold_number(const nb_st_tensor *t, int64_t i);
/* An axis of t, negative ones counted from the end; else an error. */
nb_status fold_axis(const fold_job *f, int64_t axis, int32_t ndim, int32_t *out);
/* Dimensions that a and b spread to; false: they do not. */
bool fold_spread(const nb_st_tensor *a, const nb_st_tensor *b, int32_t *ndim, int64_t *dims);
/* Copies t into out, whose axis i steps by stride[i] elements of t, from element `from` on. */
void fold_copy(const nb_st_tensor *t, int64_t from, const int64_t *stride, nb_st_tensor *out);
/* Strides of t where it is spread to ndim dimensions. */
void fold_strides(const nb_st_tensor *t, int32_t ndim, int64_t *stride);

/* fold_math.c, fold_move.c, fold_make.c */
extern const fold_operator fold_math[], fold_move[], fold_make[]; /* end with a NULL op */

#endif
