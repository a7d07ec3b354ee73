/* train_plan.h - the registry of schedules, for the files that make it up. */
#ifndef NB_TRAIN_TRAIN_PLAN_H
#define NB_TRAIN_TRAIN_PLAN_H

#include <nibble/extend/optimizer.h>
#include <nibble/extend/schedule.h>
#include <nibble/train.h>

#define NB_SCHEDULE(x) extern const nb_schedule nb_schedule_##x;
#include "train/schedules.def"
#undef NB_SCHEDULE

#endif
