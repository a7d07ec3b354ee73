/* schedule.h - how the learning rate runs over a phase: one file per curve in src/train/, listed in schedules.def. */
#ifndef NIBBLE_EXTEND_SCHEDULE_H
#define NIBBLE_EXTEND_SCHEDULE_H

#include <nibble/extend/keys.h>
#include <nibble/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where in a phase a step stands, in steps. Warm-up is common to all schedules and over: warmup <= t < n. */
typedef struct {
    int64_t t, n, warmup, per_epoch;
} nb_schedule_at;

struct nb_schedule {
    NB_ENTRY;                                                         /* keys: beside `name` */
    nb_status (*prepare)(nb_ctx *ctx, void *attr, const char *where); /* after binding; NULL is fine */
    double (*factor)(const void *attr, const nb_schedule_at *at);     /* on the phase's lr */
};

#ifdef __cplusplus
}
#endif
#endif
