/* extend.h - all of extend/: for who adds layers, blocks, quantizers, data sets, optimizers, schedules or post-training
 * steps. What is written against these headers is one file and one line of a .def file, built with the library; they
 * change from version to version more than the others do. */
#ifndef NIBBLE_EXTEND_EXTEND_H
#define NIBBLE_EXTEND_EXTEND_H

#include <nibble/extend/block.h>
#include <nibble/extend/cut.h>
#include <nibble/extend/dataset_loader.h>
#include <nibble/extend/fusion.h>
#include <nibble/extend/keys.h>
#include <nibble/extend/lowering.h>
#include <nibble/extend/op.h>
#include <nibble/extend/optimizer.h>
#include <nibble/extend/post_step.h>
#include <nibble/extend/quant.h>
#include <nibble/extend/schedule.h>
#include <nibble/extend/tensor.h>

#endif
