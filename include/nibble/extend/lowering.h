/* lowering.h - what a layer's lower() may say; implemented in src/lower/.
 *
 * nb_lower walks the nodes in order and holds per tensor either "integer tensor" or "open accumulator" with per-channel
 * scale, bias and clamp. conv and linear open one, batch norm edits scale and bias, relu raises the clamp, add, mul and
 * concat open one with several inputs, and the fake-quant node closes it: it computes multiplier, shift, int32 bias and
 * zero point and emits one engine step. */
#ifndef NIBBLE_EXTEND_LOWERING_H
#define NIBBLE_EXTEND_LOWERING_H

#include <nibble/extend/op.h>
#include <nibble/geom.h>
#include <nibble/take.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels -> real values (u8/255 - mean) / std, per channel: becomes the 256-entry table when the fake-quant node closes
 * it. real[c * 256 + v] is the exact float that training computes for pixel value v of channel c. */
NB_API nb_status nb_lower_input(nb_lowering *lo, const nb_node *n, const float *real);
/* y = n->op->each(x), value by value, on codes, or on an open table: becomes a table when the fake-quant node closes it.
 * maps: 1, or one for each channel. */
NB_API nb_status nb_lower_each(nb_lowering *lo, const nb_node *n, int32_t maps);
/* n->in[0] are codes, n->in[1] weight codes (OHWI), n->in[2] a float bias or absent. */
NB_API nb_status nb_lower_mac(nb_lowering *lo, const nb_node *n, const nb_geom *geom);
/* y = mul[c] * x + add[c] on the open accumulator of in[0] (or on codes: opens an identity depthwise step). */
NB_API nb_status nb_lower_affine(nb_lowering *lo, const nb_node *n, const double *mul, const double *add);
/* y = min(max(x, lo), hi); INFINITY is fine. On open values narrows the clamp; on codes emits a clamp step. */
NB_API nb_status nb_lower_clamp(nb_lowering *lo, const nb_node *n, double low, double high);
/* Open the sum, the difference or the product of in[0] and in[1]; sides of 1 are repeated. */
NB_API nb_status nb_lower_add(nb_lowering *lo, const nb_node *n);
NB_API nb_status nb_lower_sub(nb_lowering *lo, const nb_node *n);
NB_API nb_status nb_lower_mul(nb_lowering *lo, const nb_node *n);
NB_API nb_status nb_lower_concat(nb_lowering *lo,
                                 const nb_node *n); /* opens the concatenation of all inputs along channels */
typedef enum { NB_POOL_MAX, NB_POOL_AVG, NB_POOL_AVG_INSIDE } nb_pool_kind; /* inside: padding does not count */
NB_API nb_status nb_lower_pool(nb_lowering *lo, const nb_node *n, nb_pool_kind kind, const nb_geom *geom);
/* in[0]'s codes moved, or mixed with those beside them when t is a blend. */
NB_API nb_status nb_lower_take(nb_lowering *lo, const nb_node *n, const nb_take *t);
/* A mean of in[0]'s codes, open; padding counts. */
NB_API nb_status nb_lower_mean(nb_lowering *lo, const nb_node *n, const nb_geom *geom);
NB_API nb_status nb_lower_same(nb_lowering *lo, const nb_node *n);   /* n's value is in[0]'s (flatten) */
NB_API nb_status nb_lower_close(nb_lowering *lo, const nb_node *n);  /* n is a fake-quant node on in[0] */
NB_API nb_status nb_lower_output(nb_lowering *lo, const nb_node *n); /* in[0] is the network's output */

#ifdef __cplusplus
}
#endif
#endif
