/* check.h - the two macros of error handling: forward what the world did, assert what we promised. */
#ifndef NB_BASE_CHECK_H
#define NB_BASE_CHECK_H

#include <nibble/context.h>
#include <stdio.h>
#include <stdlib.h>

#define NB_TRY(e)                                                                                                      \
    do {                                                                                                               \
        nb_status st_ = (e);                                                                                           \
        if (st_ != NB_OK)                                                                                              \
            return st_;                                                                                                \
    } while (0)

/* A broken contract of ours: stop, in every build. Not for what a file or a user can cause. */
#define NB_ASSERT(x)                                                                                                   \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #x);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
