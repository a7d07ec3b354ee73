/* mac_job.h - a mac layer's tables, and one pass over its batch: what mac.c, mac_forward.c and mac_backward.c share.
 */
#ifndef NB_LAYERS_MAC_JOB_H
#define NB_LAYERS_MAC_JOB_H

#include "mac.h"

#include "kernels/float/fconv.h"
#include "kernels/float/fwide.h"
#include "kernels/grad16/qgrad.h"

enum { NB_MAC_SLOTS = 8, NB_MAC_ALIGN = 64 };

typedef struct {
    nb_geom geom;
    nb_fconv_plan *plan;
    nb_qgrad_plan *grad; /* backward on 16-bit integers; NULL: on floats */
    int32_t per, n_slots, slots_per_thread;
    bool integer;                  /* codes times codes */
    bool wide;                     /* what is left to floats goes to OpenBLAS: mac_wide.c */
    nb_geom item;                  /* of one batch item */
    int64_t x_item, y_item;        /* values per batch item */
    int64_t k;                     /* weights per output channel */
    size_t slot_bytes, grad_bytes; /* a slot: weight gradient in the kernel's layout, then double[oc] for the bias */
    size_t at_x, at_y, at_slots;   /* in a thread's scratch; kernels use it from 0 */
    size_t at_ipanels, at_weights, at_bias, at_scale, at_shift; /* in saved; panels of floats or of grad stand at 0 */
    size_t at_dy,
        at_sums; /* in saved of a wide layer: gradients of dy_items images from their tap, double[oc] of bias */
    int32_t dy_items;
} nb_mac_priv;

typedef struct {
    nb_node *n;
    const nb_mac_priv *p;
    int64_t batch, n_chunks, n_slots;
} nb_mac_job;

nb_mac_job nb_mac_make_job(nb_node *n);
void *nb_mac_saved(const nb_mac_job *j, size_t at);
/* Batch items of a chunk: `per`, or what is left for the last one. */
int64_t nb_mac_chunk_items(const nb_mac_job *j, int64_t chunk);
/* The chunk's input as kernels read it: floats, or codes unless they are to be expanded. A short chunk is completed
 * with real zeros in buf, which holds a whole chunk. */
nb_fconv_image nb_mac_chunk_input(const nb_mac_job *j, int64_t chunk, bool expand, void *buf);
/* The float passes of a wide layer, whose sizes go behind what is in saved and in a thread's scratch already. */
void nb_mac_wide_plan(const nb_graph *g, const nb_node *n, nb_mac_priv *p, size_t *saved, size_t *scratch);
void nb_mac_wide_forward(nb_mac_job *j, const nb_run *r);
void nb_mac_wide_backward(nb_mac_job *j);
/* Few weights are packed, or their gradient finished, sooner than other threads are there. */
bool nb_mac_few(const nb_mac_job *j);
/* Panels of real weights into what is saved. */
void nb_mac_pack_real(nb_mac_job *j);
/* Weights as floats: the parameter itself, or its codes expanded. */
const float *nb_mac_real_weights(const nb_mac_job *j);

#endif
