/* test_table_answers.c - accuracy by class, confusion and mistakes, by hand and against plain loops. */
#include "table_case.h"

#include "base/rng.h"

#include <cJSON.h>
#include <math.h>
#include <stdio.h>

static const char *const names[] = {"cat", "dog", "\x1b[31memu"};
static const int32_t labels[] = {0, 0, 0, 1, 1, 1, 1, 1}, answers[] = {0, 1, 1, 1, 0, 0, 2, 2};
static const nb_answered eight = {.n = 8, .classes = 3, .labels = labels, .answers = answers, .class_names = names};

static void classes_have_their_accuracy_and_what_they_are_taken_for(void **state)
{
    nb_table *t;
    assert_int_equal(nb_table_of_classes(*state, &eight, &t), NB_OK);
    assert_table(*state, t,
                 "   class     images  right  accuracy %  answers  right of these %     taken for  times\n"
                 "-  --------  ------  -----  ----------  -------  ----------------  -  ---------  -----\n"
                 "0  cat            3      1       33.33        3             33.33  1  dog            2\n"
                 "1  dog            5      1       20.00        3             33.33  0  cat            2\n"
                 "2  ?[31memu       0      0                    2              0.00\n"
                 "-  --------  ------  -----  ----------  -------  ----------------  -  ---------  -----\n"
                 "   all            8      2       25.00\n");
}

static void without_names_classes_are_numbers(void **state)
{
    nb_answered a = eight;
    nb_table *t;
    a.class_names = NULL;
    assert_int_equal(nb_table_of_pairs(*state, &a, 2, &t), NB_OK);
    assert_table(*state, t,
                 "class  answer  images\n"
                 "-----  ------  ------\n"
                 "    0       1       2\n"
                 "    1       0       2\n");
}

static void the_matrix_has_a_row_for_what_is_and_a_column_for_what_is_said(void **state)
{
    nb_table *t;
    assert_int_equal(nb_table_of_confusion(*state, &eight, &t), NB_OK);
    assert_table(*state, t,
                 "   class     0  1  2\n"
                 "-  --------  -  -  -\n"
                 "0  cat       1  2\n"
                 "1  dog       2  1  2\n"
                 "2  ?[31memu\n");
}

static void mistakes_are_named_surest_first(void **state)
{
    /* logits of log(odds): probabilities can be read off */
    const float l = logf(2), logits[] = {0, 0, 0, 0,     3 * l, 0, 0, l, 0,     0, 0,     0,
                                         l, 0, 0, 4 * l, l,     0, 0, 0, 2 * l, 0, 3 * l, 3.5f * l};
    const char *const images[] = {"b/1.png", "a\n2.png"};
    nb_answered a = eight;
    nb_mistake *rows;
    nb_table *t;
    int32_t n;
    a.logits = logits;
    assert_int_equal(nb_mistakes_find(*state, &a, 2, &rows, &n), NB_OK);
    assert_int_equal(n, 2);
    assert_int_equal(nb_table_of_mistakes(*state, &a, rows, n, images, (const int32_t[]){105, 101}, &t), NB_OK);
    assert_table(*state, t, /* 16 : 2 : 1, 1 : 8 : 1 */
                 "image    number     class     answer  probability  of its class\n"
                 "-------  ------  -  -----  -  ------  -----------  ------------\n"
                 "b/1.png     105  1  dog    0  cat          0.8421        0.1053\n"
                 "a?2.png     101  0  cat    1  dog          0.8000        0.1000\n");
    nb_free(*state, rows);
    assert_int_equal(nb_mistakes_find(*state, &a, 100, &rows, &n), NB_OK);
    assert_int_equal(n, 6);
    nb_free(*state, rows);
}

/* Probabilities that are 1 in double still have an order, and equal ones that of the images. */
static void mistakes_beyond_doubt_are_told_apart(void **state)
{
    const int32_t is[] = {0, 0, 0, 0}, said[] = {1, 1, 1, 1};
    const float logits[] = {0, 100, 0, 200, 0, 100, 0, 1e6f};
    const nb_answered a = {.n = 4, .classes = 2, .labels = is, .answers = said, .logits = logits};
    nb_mistake *rows;
    int32_t n;
    assert_int_equal(nb_mistakes_find(*state, &a, 4, &rows, &n), NB_OK);
    const int32_t want[] = {3, 1, 0, 2};
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(rows[i].at, want[i]);
        assert_true(rows[i].probability == 1);
    }
    nb_free(*state, rows);
}

/* ---- against plain loops ---- */

enum { MOST = 300, MOST_CLASSES = 40 };

typedef struct {
    nb_answered a;
    int32_t labels[MOST], answers[MOST];
    float logits[MOST * MOST_CLASSES];
    int32_t images[MOST_CLASSES][MOST_CLASSES];
} guesses;

static void guess(guesses *g, int32_t seed)
{
    nb_rng r = nb_rng_make((uint64_t)seed, 7);
    memset(g, 0, sizeof *g);
    const int32_t classes = 1 + (int32_t)nb_rng_below(&r, MOST_CLASSES), n = (int32_t)nb_rng_below(&r, MOST);
    for (int32_t i = 0; i < n; i++) {
        int32_t best = 0;
        for (int32_t c = 0; c < classes; c++) {
            g->logits[i * classes + c] = nb_rng_normal(&r);
            best = g->logits[i * classes + c] > g->logits[i * classes + best] ? c : best;
        }
        g->answers[i] = best;
        g->labels[i] = nb_rng_below(&r, 3) ? best : (int32_t)nb_rng_below(&r, (uint32_t)classes);
        g->images[g->labels[i]][best]++;
    }
    g->a = (nb_answered){.n = n, .classes = classes, .labels = g->labels, .answers = g->answers, .logits = g->logits};
}

static cJSON *json_of(nb_ctx *ctx, nb_table *t)
{
    char *text;
    assert_int_equal(nb_table_print_json(t, &text), NB_OK);
    cJSON *o = cJSON_Parse(text);
    assert_non_null(o);
    nb_free(ctx, text);
    nb_table_free(t);
    return o;
}

static int32_t whole(const cJSON *row, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, key);
    assert_non_null(v);
    return cJSON_IsNull(v) ? -1 : v->valueint;
}

static void check_pairs(nb_ctx *ctx, const guesses *g)
{
    nb_table *t;
    int32_t n = 0, at = 0;
    assert_int_equal(nb_table_of_pairs(ctx, &g->a, NB_ALL_PAIRS, &t), NB_OK);
    cJSON *rows = json_of(ctx, t);
    for (int32_t l = 0; l < g->a.classes; l++)
        for (int32_t s = 0; s < g->a.classes; s++) {
            if (!g->images[l][s])
                continue;
            const cJSON *row = cJSON_GetArrayItem(rows, n++);
            assert_int_equal(whole(row, "label"), l);
            assert_int_equal(whole(row, "answer_label"), s);
            assert_int_equal(whole(row, "images"), g->images[l][s]);
        }
    assert_int_equal(cJSON_GetArraySize(rows), n);
    cJSON_Delete(rows);
    assert_int_equal(nb_table_of_pairs(ctx, &g->a, 5, &t), NB_OK);
    rows = json_of(ctx, t);
    for (int32_t times = MOST; times > 0; times--) /* no wrong pair with more images is left out */
        for (int32_t l = 0; l < g->a.classes; l++)
            for (int32_t s = 0; s < g->a.classes; s++)
                if (l != s && g->images[l][s] == times && at < 5)
                    assert_int_equal(whole(cJSON_GetArrayItem(rows, at++), "images"), times);
    assert_int_equal(cJSON_GetArraySize(rows), at);
    cJSON_Delete(rows);
}

static void check_classes(nb_ctx *ctx, const guesses *g)
{
    nb_table *t;
    assert_int_equal(nb_table_of_classes(ctx, &g->a, &t), NB_OK);
    cJSON *rows = json_of(ctx, t);
    assert_int_equal(cJSON_GetArraySize(rows), g->a.classes);
    for (int32_t l = 0; l < g->a.classes; l++) {
        const cJSON *row = cJSON_GetArrayItem(rows, l);
        int32_t images = 0, answered = 0, worst = -1;
        for (int32_t s = 0; s < g->a.classes; s++) {
            images += g->images[l][s];
            answered += g->images[s][l];
            if (s != l && g->images[l][s] > (worst < 0 ? 0 : g->images[l][worst]))
                worst = s;
        }
        assert_int_equal(whole(row, "images"), images);
        assert_int_equal(whole(row, "correct"), g->images[l][l]);
        assert_int_equal(whole(row, "answered"), answered);
        assert_int_equal(whole(row, "taken_for_label"), worst);
        assert_int_equal(whole(row, "taken_for_images"), worst < 0 ? -1 : g->images[l][worst]);
        const cJSON *share = cJSON_GetObjectItemCaseSensitive(row, "accuracy_percent");
        assert_true(images ? fabs(share->valuedouble - 100.0 * g->images[l][l] / images) < 1e-9 : cJSON_IsNull(share));
    }
    cJSON_Delete(rows);
}

static double probability(const guesses *g, int32_t image, int32_t class)
{
    double sum = 0;
    for (int32_t c = 0; c < g->a.classes; c++)
        sum += exp((double)g->logits[image * g->a.classes + c]);
    return exp((double)g->logits[image * g->a.classes + class]) / sum;
}

static void check_mistakes(nb_ctx *ctx, const guesses *g)
{
    nb_mistake *m;
    int32_t n, wrong = 0;
    assert_int_equal(nb_mistakes_find(ctx, &g->a, 9, &m, &n), NB_OK);
    for (int32_t i = 0; i < n; i++) {
        assert_true(g->labels[m[i].at] == m[i].label && g->answers[m[i].at] == m[i].answer &&
                    m[i].label != m[i].answer);
        assert_true(fabs(m[i].probability - probability(g, m[i].at, m[i].answer)) < 1e-12);
        assert_true(fabs(m[i].of_the_label - probability(g, m[i].at, m[i].label)) < 1e-12);
        assert_true(i == 0 || m[i - 1].probability >= m[i].probability);
    }
    for (int32_t i = 0; i < g->a.n; i++) { /* nobody who is surer is left out */
        bool there = false;
        for (int32_t k = 0; k < n; k++)
            there = there || m[k].at == i;
        wrong += g->labels[i] != g->answers[i];
        if (g->labels[i] != g->answers[i] && !there)
            assert_true(probability(g, i, g->answers[i]) <= m[n - 1].probability + 1e-12);
    }
    assert_int_equal(n, wrong < 9 ? wrong : 9);
    nb_free(ctx, m);
}

static void tables_are_those_of_plain_loops(void **state)
{
    static guesses g;
    for (int32_t seed = 0; seed < 60; seed++) {
        guess(&g, seed);
        check_pairs(*state, &g);
        check_classes(*state, &g);
        check_mistakes(*state, &g);
    }
}

static void no_memory_is_said_and_nothing_is_lost(void **state)
{
    nb_answered a = eight;
    const float logits[24] = {0};
    nb_status st = NB_E_NOMEM;
    a.logits = logits;
    for (int64_t n = 1; n < 200 && st == NB_E_NOMEM; n++) {
        nb_table *t[3] = {0};
        nb_mistake *rows = NULL;
        int32_t wrong;
        nb_ctx_fail_alloc_at(*state, n);
        st = nb_table_of_classes(*state, &a, &t[0]);
        st = st == NB_OK ? nb_table_of_pairs(*state, &a, NB_ALL_PAIRS, &t[1]) : st;
        st = st == NB_OK ? nb_mistakes_find(*state, &a, 3, &rows, &wrong) : st;
        for (int32_t i = 0; i < 3; i++)
            nb_table_free(t[i]);
        nb_free(*state, rows);
    }
    nb_ctx_fail_alloc_at(*state, 0);
    assert_int_equal(st, NB_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(classes_have_their_accuracy_and_what_they_are_taken_for),
        TEST(without_names_classes_are_numbers),
        TEST(the_matrix_has_a_row_for_what_is_and_a_column_for_what_is_said),
        TEST(mistakes_are_named_surest_first),
        TEST(mistakes_beyond_doubt_are_told_apart),
        TEST(tables_are_those_of_plain_loops),
        TEST(no_memory_is_said_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
