/* cifar.h - the binary layout of CIFAR: records of label bytes and 32x32 planes of red, green and blue. */
#ifndef NB_DATASETS_CIFAR_H
#define NB_DATASETS_CIFAR_H

#include <nibble/context.h>

enum { NB_CIFAR_SIDE = 32, NB_CIFAR_PIXELS = 3 * NB_CIFAR_SIDE * NB_CIFAR_SIDE };

/* Checks a file of records: label_bytes (1 or 2) label bytes, of which the last counts, then the pixels. */
nb_status nb_cifar_check(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, int32_t label_bytes,
                         int32_t classes, int32_t *count);
/* Planes to interleaved pixels. */
void nb_cifar_interleave(uint8_t *hwc, const uint8_t *planes);
/* The lines of a names file as pointers into text, which is cut at the line ends; blank lines are skipped. Exactly
 * `classes`, or an error. */
nb_status nb_cifar_names(nb_ctx *ctx, const char *name, char *text, int32_t classes, const char **names);

#endif
