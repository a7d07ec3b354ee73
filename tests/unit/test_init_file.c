/* test_init_file.c - a config that names its checkpoint's tensors takes no others. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/checkpoint.h"
#include "train/init_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_hash_is_sixteen_hexadecimal_digits_behind_the_last_mark(void **state)
{
    (void)state;
    assert_int_equal(nb_init_path_bytes(""), 0);
    assert_int_equal(nb_init_path_bytes("a.safetensors"), 13);
    assert_int_equal(nb_init_path_bytes("a.safetensors#0123456789abcdef"), 13);
    assert_int_equal(nb_init_path_bytes("a#1#0123456789abcdef"), 3);
    assert_int_equal(nb_init_path_bytes("a#0123456789abcde"), 17);  /* fifteen */
    assert_int_equal(nb_init_path_bytes("a#0123456789abcdeg"), 18); /* no digit */
    assert_int_equal(nb_init_path_bytes("a#0123456789ABCDEF"), 18); /* not ours */
    assert_int_equal(nb_init_path_bytes("a0123456789abcdef#"), 18);
}

static nb_status open_init(data_fixture *f, const char *path, const char *hash)
{
    char init[400];
    nb_checkpoint *c = NULL;
    snprintf(init, sizeof init, "%s%s", path, hash);
    nb_status st = nb_init_open(f->ctx, &(nb_experiment){.init = init}, &c);
    assert_true((st == NB_OK) == (c != NULL));
    nb_checkpoint_close(f->ctx, c);
    return st;
}

static void only_the_tensors_of_the_hash_are_taken(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    nb_optim *o;
    char text[2048], hash[NB_INIT_HASH_BYTES], path[300];
    snprintf(text, sizeof text, "%strain: {batch: 8, ema: 0.9, optimizer: adam, phases: [{epochs: 2, lr: 0.1}]}\n",
             train_case_head);
    snprintf(path, sizeof path, "%s", data_fixture_path(f, "a.safetensors"));
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, t.plan, g, &o), NB_OK);
    nb_checkpoint_spec spec = {.graph = g, .config = text, .metrics = "", .phase_name = "", .accuracy = -1};
    spec.at.best_accuracy = -1;
    nb_init_hash_text(g, hash);
    assert_int_equal(strlen(hash), 17);
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &spec), NB_OK);
    assert_int_equal(open_init(f, path, ""), NB_OK);
    assert_int_equal(open_init(f, path, hash), NB_OK);
    spec.optim = o; /* moments and averages are not what one starts from */
    spec.accuracy = 0.5;
    spec.config = "seed: 2\n";
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &spec), NB_OK);
    assert_int_equal(open_init(f, path, hash), NB_OK);
    for (int32_t i = 0; i < g->n; i++) { /* one bit of one value */
        if (!(g->node[i]->flags & NB_NODE_PARAM))
            continue;
        uint32_t *bits = g->node[i]->out.data;
        bits[nb_count(&g->node[i]->out) - 1] ^= 1;
        break;
    }
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &spec), NB_OK);
    assert_int_equal(open_init(f, path, ""), NB_OK);
    assert_int_equal(open_init(f, path, hash), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "holds other weights (#"));
    assert_non_null(strstr(nb_ctx_error(f->ctx), hash));
    nb_optim_free(f->ctx, o);
    nb_graph_free(g);
    train_case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_is_sixteen_hexadecimal_digits_behind_the_last_mark),
        cmocka_unit_test_setup_teardown(only_the_tensors_of_the_hash_are_taken, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
