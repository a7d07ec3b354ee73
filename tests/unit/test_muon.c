/* test_muon.c - orthogonal steps beside those of NumPy (tests/golden/make_muon.py), and in a network. */
#include "optim_case.h"

#include "ref/data_fixture.h"
#include "ref/train_case.h"

#include "base/parallel.h"
#include "base/safetensors.h"
#include "train/matrix.h"
#include "train/optim.h"

#include <stdio.h>
#include <stdlib.h>

extern const nb_optimizer nb_optimizer_muon;

static const nb_st_tensor *tensor_of(const nb_st_file *f, int32_t k, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%d.%s", k, what);
    return nb_st_find(f, name);
}

static const char *meta_of(const nb_st_file *f, int32_t k, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%d.%s", k, what);
    return nb_st_meta(f, name);
}

static void steps_are_those_of_numpy(void **state)
{
    data_fixture *f = *state;
    nb_st_file *golden;
    int32_t k = 0;
    assert_int_equal(nb_st_open(f->ctx, "tests/golden/muon.safetensors", &golden), NB_OK);
    for (; tensor_of(golden, k, "w"); k++) {
        const nb_st_tensor *w0 = tensor_of(golden, k, "w"), *after = tensor_of(golden, k, "after");
        const float *g = tensor_of(golden, k, "g")->data, *want = after->data;
        const nb_matrix_size size = {(int32_t)w0->shape[0], (int32_t)w0->shape[1]};
        _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
        case_bind(&nb_optimizer_muon, meta_of(golden, k, "keys"), attr);
        const int64_t n = w0->count;
        float *w = nb_alloc(f->ctx, (size_t)n * sizeof *w), *m = nb_alloc(f->ctx, (size_t)n * sizeof *m);
        float *work = nb_alloc(f->ctx, (size_t)nb_optimizer_muon.work_floats(&size) * sizeof *work);
        memcpy(w, w0->data, (size_t)n * sizeof *w);
        for (int32_t t = 0; t < after->shape[0]; t++) {
            const nb_step_args a = {strtof(meta_of(golden, k, "lr"), NULL), strtof(meta_of(golden, k, "decay"), NULL),
                                    t + 1};
            nb_optimizer_muon.matrix(attr, &a, w, g + t * n, (float *const[]){m, NULL}, &size, work);
            for (int64_t i = 0; i < n; i++)
                assert_true(fabs((double)w[i] - (double)want[t * n + i]) < 1e-5);
        }
        nb_free(f->ctx, w);
        nb_free(f->ctx, m);
        nb_free(f->ctx, work);
    }
    assert_int_equal(k, 5);
    nb_st_close(f->ctx, golden);
}

static void everything_else_moves_along_its_momentum(void **state)
{
    (void)state;
    _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
    case_bind(&nb_optimizer_muon, "{momentum: 0.5, rest: 2}", attr);
    float w = 1, g = 2, m = 4, *moments[NB_MAX_MOMENTS] = {&m, NULL};
    const nb_step_args a = {.lr = 0.25f, .weight_decay = 0.5f, .t = 1};
    nb_optimizer_muon.update(attr, &a, &w, &g, moments, 1); /* m = 4, d = 2 + 2 */
    assert_true(m == 4 && w == (1 - 0.25f * 0.5f) - 0.5f * 4);
}

/* Which weights of a network are matrices, and that their steps have singular values near 1: of c1 [4, 9] the squares of a step's
 * values sum up to about 4. */
static void weights_of_convolutions_are_matrices(void **state)
{
    data_fixture *f = *state;
    for (int32_t linear = 0; linear < 2; linear++) {
        char text[2048];
        train_case t;
        nb_graph *g;
        nb_optim *o;
        snprintf(text, sizeof text,
                 "%strain: {batch: 8, optimizer: {name: muon, linear: %s}, phases: [{epochs: 2, lr: 0.1}]}\n",
                 train_case_head, linear ? "yes" : "no");
        assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
        assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
        assert_int_equal(nb_optim_create(f->ctx, t.plan, g, &o), NB_OK);
        int32_t matrices = 0;
        for (int32_t i = 0; i < nb_optim_count(o); i++) {
            const nb_slot *s = nb_optim_slot(o, i);
            matrices += s->work != NULL;
            for (int64_t k = 0; k < s->n; k++)
                s->leaf->out.grad[k] = (float)sin(1.7 * (double)(k * k) + i);
        }
        assert_int_equal(matrices, 2 + linear);
        float before[36], *w = nb_graph_find(g, "c1.weight")->out.data;
        memcpy(before, w, sizeof before);
        nb_optim_step(o, 1, 1, 0);
        double squares = 0;
        for (int32_t i = 0; i < 36; i++)
            squares += pow((double)(w[i] - before[i]), 2);
        assert_true(squares > 4 * 0.6 && squares < 4 * 1.5);
        nb_optim_free(f->ctx, o);
        nb_graph_free(g);
        train_case_close(&t);
    }
}

static void products_are_those_of_plain_loops(void **state)
{
    (void)state;
    enum { M = 5, N = 7, K = 6 };
    float a[M * K], b[K * N], bt[N * K], c[2][M * N];
    for (int32_t i = 0; i < M * K; i++)
        a[i] = (float)(i % 11) - 4;
    for (int32_t i = 0; i < K; i++)
        for (int32_t j = 0; j < N; j++)
            b[i * N + j] = bt[j * K + i] = (float)((3 * i + 5 * j) % 13) - 6;
    for (int32_t i = 0; i < M * N; i++)
        c[0][i] = c[1][i] = (float)i;
    nb_matrix_product(c[0], a, b, M, N, K, 2, 3, false);
    nb_matrix_product(c[1], a, bt, M, N, K, 2, 3, true);
    for (int32_t i = 0; i < M; i++)
        for (int32_t j = 0; j < N; j++) {
            float want = 3 * (float)(i * N + j);
            for (int32_t k = 0; k < K; k++)
                want += 2 * a[i * K + k] * b[k * N + j];
            assert_true(c[0][i * N + j] == want && c[1][i * N + j] == want); /* whole numbers */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_are_those_of_numpy, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test(everything_else_moves_along_its_momentum),
        cmocka_unit_test_setup_teardown(weights_of_convolutions_are_matrices, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test(products_are_those_of_plain_loops),
    };
    return cmocka_run_group_tests_name("muon", tests, NULL, NULL);
}
