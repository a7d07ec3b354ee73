/* resize.h - which pixels an image of another size is made of; for the layer and for who reads others' files. */
#ifndef NB_CORE_RESIZE_H
#define NB_CORE_RESIZE_H

#include <stdint.h>

/* What lies upon each other: whole images, the centres of corner pixels, the first pixels. */
typedef enum { NB_ALIGN_HALF_PIXEL, NB_ALIGN_CORNERS, NB_ALIGN_ASYMMETRIC } nb_align;

/* Row (column) of `in` that is nearest to the i-th of `out`. */
int32_t nb_resize_nearest(int32_t i, int32_t in, int32_t out, nb_align align);
/* Where the i-th of `out` lies between those of `in`, in 2048ths (nibble/take.h). */
int32_t nb_resize_between(int32_t i, int32_t in, int32_t out, nb_align align);

#endif
