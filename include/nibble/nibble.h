/* nibble.h - all that a user of the library needs; extend/extend.h is for who adds layers, quantizers, data sets. Nibble trains quantized convolutional networks and ships the integers. */
#ifndef NIBBLE_NIBBLE_H
#define NIBBLE_NIBBLE_H

#define NB_VERSION "0.1.0"

#include <nibble/config.h>
#include <nibble/context.h>
#include <nibble/dataset.h>
#include <nibble/engine.h>
#include <nibble/export.h>
#include <nibble/features.h>
#include <nibble/graph.h>
#include <nibble/image.h>
#include <nibble/import.h>
#include <nibble/intmodel.h>
#include <nibble/lower.h>
#include <nibble/model.h>
#include <nibble/post.h>
#include <nibble/registry.h>
#include <nibble/train.h>

#endif
