/* table_case.h - what the tests of tables share: a context, the text of a table. */
#ifndef NB_TESTS_TABLE_CASE_H
#define NB_TESTS_TABLE_CASE_H

#include "report/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static inline int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static inline int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

/* Frees t. */
static inline void assert_table(nb_ctx *ctx, nb_table *t, const char *want)
{
    char *got = NULL;
    assert_int_equal(nb_table_print(t, &got), NB_OK);
    assert_string_equal(got, want);
    nb_free(ctx, got);
    nb_table_free(t);
}

#endif
