/* gain.h - what a step gains: less loss, or outputs nearer to those of the float network.
 *
 * The loss is what a network is for, but it needs labels that say something: of random weights, or of images of other
 * classes than the network knows, it goes up and down by chance. So it judges where the float network is better than
 * a guess by more than three standard errors, in what is right or in its loss, on images enough; else the SQNR of the outputs does, in dB, against the float network as it was
 * before the first step of all.
 *
 * A loss goes down by chance, too: quantized, a network can have less of it than in float, and the step that takes it back to
 * the float network's outputs would raise it. So a higher SQNR is a gain as well where the loss, image by image, does not rise by
 * more than one standard error. Measured on networks that were trained for an epoch or two, the loss keeps the better steps
 * (it sees what is more right than the float network); on GhostNet with random weights the SQNR does, by 0.5 dB. */
#ifndef NB_POST_GAIN_H
#define NB_POST_GAIN_H

#include <nibble/post.h>
#include <nibble/train.h>

typedef struct {
    nb_eval eval;
    double sqnr; /* dB; INFINITY: equal */
    float *loss; /* of each image, where it is judged by; NULL: it is not */
} nb_post_gain;

/* The quantized network, or, where the input's graph is the float one, what it will be: quantized and calibrated on the
 * images. The first time, the float network comes first, and the report hears of both; of too many outputs the first
 * images alone are looked at. */
nb_status nb_post_gain_start(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out);
nb_status nb_post_gain_measure(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out);
void nb_post_gain_free(nb_ctx *ctx, nb_post_gain *g); /* zeroed is fine */

/* Is the network better than it was? */
bool nb_post_gain_is(const nb_post_gain *before, const nb_post_gain *after);

/* Is a network with these outputs [n][classes] better than a guess, so that the labels say something? false of few images. */
nb_status nb_post_knows_labels(nb_ctx *ctx, const float *outputs, const int32_t *labels, int32_t n, int32_t classes,
                               bool *yes);

/* What the float network gives. */
nb_status nb_post_reference_create(nb_ctx *ctx, struct nb_post_reference **out);
void nb_post_reference_free(nb_ctx *ctx, struct nb_post_reference *r);

#endif
