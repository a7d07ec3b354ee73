/* test_parallel.c - every chunk once, thread numbers in range, nesting, and results that do not depend on the thread
 * count. */
#include "base/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 1000, MAX_THREADS = 8 };

typedef struct {
    int32_t visits[N];
    int32_t bad_thread;
} visit_log;

static void visit(void *arg, int64_t chunk, int32_t thread)
{
    visit_log *v = arg;
    v->visits[chunk]++;
    if (thread < 0 || thread >= nb_threads())
        v->bad_thread = 1;
}

static void every_chunk_runs_exactly_once(void **state)
{
    (void)state;
    for (int32_t threads = 1; threads <= 4; threads++) {
        nb_set_threads(threads);
        for (int64_t n = 0; n <= N; n = n * 3 + 1) {
            visit_log v = {.bad_thread = 0};
            nb_parallel_for(n, visit, &v);
            for (int64_t i = 0; i < N; i++)
                assert_int_equal(v.visits[i], i < n);
            assert_int_equal(v.bad_thread, 0);
        }
    }
}

enum { STEPS = 300, PARTS = 5 };

typedef struct {
    atomic_int done[STEPS], early;
} step_log;

static void note_part(void *arg, int32_t step, int32_t part)
{
    step_log *l = arg;
    if (step > 0 && atomic_load(&l->done[step - 1]) != (1 << PARTS) - 1)
        atomic_store(&l->early, 1);
    atomic_fetch_or(&l->done[step], 1 << part);
}

static void all_parts_of_a_step_are_done_before_the_next_begins(void **state)
{
    (void)state;
    for (int32_t threads = 1; threads <= 8; threads++) {
        nb_set_threads(threads);
        step_log l = {.early = 0};
        nb_parallel_steps(STEPS, PARTS, note_part, &l);
        for (int32_t i = 0; i < STEPS; i++)
            assert_int_equal(atomic_load(&l.done[i]), (1 << PARTS) - 1);
        assert_int_equal(atomic_load(&l.early), 0);
    }
    nb_parallel_steps(0, PARTS, note_part, NULL);
}

static void nested_steps(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    nb_parallel_steps(3, PARTS, note_part, (step_log *)arg + chunk);
}

static void steps_inside_a_chunk_run_there(void **state)
{
    (void)state;
    static step_log l[4];
    nb_set_threads(3);
    nb_parallel_for(4, nested_steps, l);
    for (int32_t i = 0; i < 4; i++)
        assert_true(atomic_load(&l[i].done[2]) == (1 << PARTS) - 1 && !atomic_load(&l[i].early));
}

static void at_least_one_thread_is_reported_whatever_is_asked_for(void **state)
{
    (void)state;
    nb_set_threads(0);
    assert_int_equal(nb_threads(), 1);
    nb_set_threads(-5);
    assert_int_equal(nb_threads(), 1);
}

/* Per-thread scratch must not be shared by two chunks at once, nested calls included. */
typedef struct {
    int32_t busy[MAX_THREADS];
    int32_t clash[N];
} scratch_use;

static void inner(void *arg, int64_t chunk, int32_t thread)
{
    scratch_use *s = arg;
    if (s->busy[thread] != 1)
        s->clash[chunk] = 1;
}

static void outer(void *arg, int64_t chunk, int32_t thread)
{
    scratch_use *s = arg;
    if (s->busy[thread]++ != 0)
        s->clash[chunk] = 1;
    nb_parallel_for(3, inner, s);
    s->busy[thread]--;
}

static void a_nested_call_stays_on_its_thread(void **state)
{
    (void)state;
    nb_set_threads(4);
    scratch_use s = {{0}, {0}};
    nb_parallel_for(N, outer, &s);
    for (int i = 0; i < N; i++)
        assert_int_equal(s.clash[i], 0);
}

typedef struct {
    float x[N], partial[N];
} sums;

static void partial_sum(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    sums *s = arg;
    for (int64_t i = chunk * 64; i < nb_chunk_end(N, 64, chunk); i++)
        s->partial[chunk] += s->x[i];
}

static void chunked_sums_are_bit_equal_for_any_thread_count(void **state)
{
    (void)state;
    float first = 0.0f;
    for (int32_t threads = 1; threads <= 4; threads++) {
        nb_set_threads(threads);
        sums s = {{0}, {0}};
        for (int i = 0; i < N; i++)
            s.x[i] = 1.0f / (float)(i + 1);
        nb_parallel_for(nb_chunks(N, 64), partial_sum, &s);
        float total = 0.0f;
        for (int64_t i = 0; i < nb_chunks(N, 64); i++)
            total += s.partial[i];
        if (threads == 1)
            first = total;
        assert_memory_equal(&total, &first, sizeof total);
    }
}

static void chunks_cover_the_range_and_the_last_one_may_be_short(void **state)
{
    (void)state;
    assert_int_equal(nb_chunks(0, 8), 0);
    assert_int_equal(nb_chunks(8, 8), 1);
    assert_int_equal(nb_chunks(9, 8), 2);
    assert_int_equal(nb_chunk_end(9, 8, 0), 8);
    assert_int_equal(nb_chunk_end(9, 8, 1), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_runs_exactly_once),
        cmocka_unit_test(all_parts_of_a_step_are_done_before_the_next_begins),
        cmocka_unit_test(steps_inside_a_chunk_run_there),
        cmocka_unit_test(at_least_one_thread_is_reported_whatever_is_asked_for),
        cmocka_unit_test(a_nested_call_stays_on_its_thread),
        cmocka_unit_test(chunked_sums_are_bit_equal_for_any_thread_count),
        cmocka_unit_test(chunks_cover_the_range_and_the_last_one_may_be_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
