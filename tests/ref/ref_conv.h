/* ref_conv.h - convolution and its gradients as seven plain loops in double: the oracle of every convolution kernel. */
#ifndef REF_CONV_H
#define REF_CONV_H

#include <nibble/geom.h>

/* One image, NHWC and OHWI; bias may be NULL. All of y is written. */
void ref_conv_forward(double *y, const double *x, const double *w, const double *bias, const nb_geom *g);
/* dx and dw are written, not added to. */
void ref_conv_input_grad(double *dx, const double *dy, const double *w, const nb_geom *g);
void ref_conv_weight_grad(double *dw, const double *x, const double *dy, const nb_geom *g);

#endif
