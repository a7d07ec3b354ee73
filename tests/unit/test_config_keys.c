/* test_config_keys.c - key tables as aligned lines. */
#include "unit/config_case.h"

#include <math.h>

typedef struct {
    int32_t out;
    float cap;
    const char *name;
    const nb_conf *in;
} attr;

static const nb_key keys[] = {NB_KEY_INT(attr, out, NULL, 1, 8, "filters"),
                              NB_KEY_FLOAT(attr, cap, "inf", 0, INFINITY, "upper bound"),
                              NB_KEY_STRING(attr, name, "", "its name"),
                              NB_KEY_NODE(attr, in, "name or [name, ...]", "inputs"),
                              {.name = "a_name_longer_than_usual", .dflt = NB_REQUIRED, .help = "h", .kind = NB_K_NODE},
                              {0}};

static void collect(void *ud, const char *line)
{
    strcat(strcat(ud, line), "\n");
}

static void each_key_is_one_aligned_line(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    char got[1024] = "";
    assert_int_equal(nb_keys_print(ctx, keys, collect, got), NB_OK);
    assert_string_equal(got, "out                       int     required    1..8                      filters\n"
                             "cap                       float   inf         >= 0                      upper bound\n"
                             "name                      text    \"\"          text                      its name\n"
                             "in                        any     -           name or [name, ...]       inputs\n"
                             "a_name_longer_than_usual  any     required    anything                  h\n");
    nb_ctx_destroy(ctx);
}

static void a_table_without_keys_prints_nothing(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    char got[16] = "";
    static const nb_key none[] = {{0}};
    assert_int_equal(nb_keys_print(ctx, none, collect, got), NB_OK);
    assert_int_equal(nb_keys_print(ctx, NULL, collect, got), NB_OK);
    assert_string_equal(got, "");
    nb_ctx_destroy(ctx);
}

static void running_out_of_memory_is_a_status(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    char got[1024] = "";
    nb_ctx_fail_alloc_at(ctx, 1);
    assert_int_equal(nb_keys_print(ctx, keys, collect, got), NB_E_NOMEM);
    assert_string_equal(got, "");
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_is_one_aligned_line),
        cmocka_unit_test(a_table_without_keys_prints_nothing),
        cmocka_unit_test(running_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
