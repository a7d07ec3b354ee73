/* one_thread.h - the fixture of tests that compute on one thread, waiting ones would eat the time of a busy machine: a
 * context, and calls that must succeed. One test file a program, so it is defined here. */
#ifndef NB_REF_ONE_THREAD_H
#define NB_REF_ONE_THREAD_H

#include <nibble/context.h>

#include "base/parallel.h"

static nb_ctx *ctx;

static int setup(void **state)
{
    (void)state;
    nb_set_threads(1);
    ctx = nb_ctx_create();
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    nb_ctx_destroy(ctx);
    return 0;
}

#define assert_ok(e)                                                                                                   \
    do {                                                                                                               \
        if ((e) != NB_OK)                                                                                              \
            fail_msg("%s", nb_ctx_error(ctx));                                                                         \
    } while (0)

#endif
