/* config_case.h - what the tests of src/config share: a context, a parsed text, the sentence of a failure. */
#ifndef NB_TESTS_CONFIG_CASE_H
#define NB_TESTS_CONFIG_CASE_H

#include <nibble/extend/keys.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    const nb_conf *root;
} config_case;

/* Parses text as "x.yaml", with one override or NULL. */
static inline nb_status case_parse(config_case *t, const char *text, const char *set)
{
    *t = (config_case){.ctx = nb_ctx_create()};
    assert_non_null(t->ctx);
    nb_status st = nb_config_parse(t->ctx, "x.yaml", text, strlen(text), &set, set != NULL, &t->cfg);
    t->root = st == NB_OK ? nb_config_root(t->cfg) : NULL;
    return st;
}

static inline config_case case_open(const char *text, const char *set)
{
    config_case t;
    if (case_parse(&t, text, set) != NB_OK)
        fail_msg("%s", nb_ctx_error(t.ctx));
    return t;
}

static inline void case_close(config_case *t)
{
    nb_config_free(t->ctx, t->cfg);
    nb_ctx_destroy(t->ctx);
}

static inline void assert_refused(const char *text, const char *set, const char *sentence)
{
    config_case t;
    assert_int_equal(case_parse(&t, text, set), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), sentence);
    case_close(&t);
}

/* The canonical text of "text with one override". */
static inline void assert_prints(const char *text, const char *set, const char *want)
{
    config_case t = case_open(text, set);
    char *got = NULL;
    assert_int_equal(nb_config_print(t.ctx, t.cfg, &got), NB_OK);
    assert_string_equal(got, want);
    nb_free(t.ctx, got);
    case_close(&t);
}

#endif
