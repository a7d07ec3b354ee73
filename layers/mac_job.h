/* mac_job.h - a mac layer's tables, and one pass over its batch: what mac.c, mac_forward.c and mac_backward.c share.
 *
 * A chunk is what a kernel takes at once: an image, or some items of a unit of the batch (extend/cut.h) where `per` is more.
 * A slot is a gradient of the weights, the sum over some units in a row. Chunks are numbered as they lie here, slots as they
 * are in the whole batch: of a batch that is shared this rank computes [slot, end_slot). */
#ifndef NB_LAYERS_MAC_JOB_H
#define NB_LAYERS_MAC_JOB_H

#include "mac.h"

#include <nibble/extend/cut.h>

#include "kernels/float/fconv.h"
#include "kernels/float/fwide.h"
#include "kernels/grad16/qgrad.h"

enum { NB_MAC_SLOTS = NB_MAX_UNITS, NB_MAC_ALIGN = 64 };

typedef struct {
    nb_geom geom;
    nb_fconv_plan *plan;
    nb_qgrad_plan *grad; /* backward on 16-bit integers; NULL: on floats */
    int32_t per, n_slots, slots_per_thread;
    bool integer;                  /* codes times codes */
    bool wide;                     /* what is left to floats goes to OpenBLAS: mac_wide.c */
    bool whole;                    /* wide, and one product is for the whole batch: there are no slots */
    struct nb_mac_matrix *matrix;  /* a large linear layer's integer passes: mac_matrix.c; NULL: by chunks */
    nb_geom item;                  /* of one batch item */
    int64_t x_item, y_item;        /* values per batch item */
    int64_t k;                     /* weights per output channel */
    size_t slot_bytes, grad_bytes; /* a slot: weight gradient in the kernel's layout, then double[oc] for the bias */
    size_t at_x, at_y, at_slots;   /* in a thread's scratch; kernels use it from 0 */
    size_t at_ipanels, at_weights, at_bias, at_scale, at_shift; /* in saved; panels of floats or of grad stand at 0 */
    size_t at_dy,
        at_sums; /* in saved of a wide layer: gradients of dy_items images from their tap, double[oc] of a whole one's bias */
    int32_t dy_items;
    size_t at_all_x, at_all_y,
        at_all_dx; /* in saved of a whole one that is shared: values and gradients of all ranks' images */
} nb_mac_priv;

typedef struct {
    nb_node *n;
    const nb_mac_priv *p;
    const nb_cut *cut;
    int64_t batch, n_chunks; /* that are here */
    int32_t chunks_per_unit; /* with per > 1 */
    int32_t n_slots, slot, end_slot;
} nb_mac_job;

nb_mac_job nb_mac_make_job(nb_node *n);
void *nb_mac_saved(const nb_mac_job *j, size_t at);
/* Batch items of a chunk, at most `per`: from *first on. */
int64_t nb_mac_chunk_items(const nb_mac_job *j, int64_t chunk, int64_t *first);
/* The first unit of a slot. */
int32_t nb_mac_slot_unit(const nb_mac_job *j, int32_t slot);
/* A slot's memory: the gradient of the weights, sums of the bias. */
void *nb_mac_slot(const nb_mac_job *j, int32_t slot);
double *nb_mac_slot_bias(const nb_mac_job *j, int32_t slot);
/* After all slots that are here: brings the others, adds up the bias, and calls who knows how weights lie in them, with how many are
 * left to add up: at once, or later in the backward pass. */
typedef void (*nb_mac_slots_fn)(const nb_mac_job *j, void *const *slots, int32_t n);
void nb_mac_gather_slots(const nb_mac_job *j, nb_mac_slots_fn finish);
/* The chunk's input as kernels read it: floats, or codes unless they are to be expanded. A short chunk is completed
 * with real zeros in buf, which holds a whole chunk. */
nb_fconv_image nb_mac_chunk_input(const nb_mac_job *j, int64_t chunk, bool expand, void *buf);
/* A large linear layer: it is worked on by parts of its weights. k: inputs. */
bool nb_mac_is_matrix(const nb_geom *item, int64_t k);
/* Of such a layer of codes times codes: p->matrix. int16: gradients on integers are wanted; goes_back says whether they can be. */
nb_status nb_mac_matrix_prepare(nb_graph *g, nb_mac_priv *p, bool int16);
bool nb_mac_matrix_goes_back(const nb_mac_priv *p);
/* Bytes of a thread's scratch, and what goes behind what is in saved already. */
size_t nb_mac_matrix_scratch(const nb_mac_priv *p);
void nb_mac_matrix_plan(const nb_node *n, nb_mac_priv *p, size_t *saved);
void nb_mac_matrix_forward(nb_mac_job *j);
void nb_mac_matrix_backward(nb_mac_job *j);
/* The float passes of a wide layer: bytes of a thread's scratch, and what goes behind what is in saved already. */
size_t nb_mac_wide_scratch(const nb_node *n, const nb_mac_priv *p);
void nb_mac_wide_plan(const nb_graph *g, const nb_node *n, nb_mac_priv *p, size_t *saved);
void nb_mac_wide_forward(nb_mac_job *j, const nb_run *r);
void nb_mac_wide_backward(nb_mac_job *j);
/* What takes the sums of outputs [first, first + n) to reals: the zero point leaves a sum while it is still exact, the bias is a
 * whole number of accumulator units as in the integers. */
void nb_mac_sums_to_reals(const nb_mac_job *j, int32_t first, int32_t n);
/* This rank's images among everybody's. */
void *nb_mac_own_images(const nb_mac_job *j, void *all, int64_t item_bytes);
/* all = what each rank has of it, `own` here; own NULL: it is there. Returns all. */
void *nb_mac_bring(const nb_mac_job *j, void *all, const void *own, int64_t item_bytes);
/* Few weights are packed, or their gradient finished, sooner than other threads are there. */
bool nb_mac_few(const nb_mac_job *j);
/* Panels of real weights into what is saved. */
void nb_mac_pack_real(nb_mac_job *j);
/* Weights as floats: the parameter itself, or its codes expanded. */
const float *nb_mac_real_weights(const nb_mac_job *j);

#endif
