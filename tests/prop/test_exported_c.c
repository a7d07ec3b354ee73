/* test_exported_c.c - random networks as C programs: every one, compiled, gives the engine's logits.
 *
 * Networks are exported with prefixes of their own and compiled together, many in one translation unit, which also
 * proves that two networks never share a name. A program calls every selftest(): the images are made there, the logits
 * are the engine's. NB_TEST_CC is the compiler with its options; tests/exported.sh goes through many. */
#include "ref/data_fixture.h"
#include "ref/named_model.h"
#include "ref/random_network.h"

#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NETWORKS = 10, TOGETHER = 25 };

/* Exports network `seed` as <dir>/n<seed>.c and puts its call into main.c. */
static int32_t export_one(data_fixture *f, int32_t seed, FILE *main_c, FILE *calls)
{
    char *text = calloc(1, REF_NETWORK_BYTES), name[32];
    ref_street s;
    nb_intmodel *m = NULL;
    assert_non_null(text);
    ref_network_text(seed, text);
    ref_network_open(seed, text, &s);
    nb_status st = ref_network_integers(&s, &m);
    if (st == NB_OK) {
        snprintf(name, sizeof name, "n%d.c", seed);
        const char *path = data_fixture_path(f, name);
        if (nb_exporter_find("c")->write(s.ctx, m, path, NULL) != NB_OK)
            fail_msg("%s\n%s", text, nb_ctx_error(s.ctx));
        fprintf(main_c, "#include \"n%d.c\"\n", seed);
        fprintf(calls, "    if (n%d_selftest(pixels, logits)) { printf(\"network %d\\n\"); bad++; }\n", seed, seed);
    }
    assert_true(st == NB_OK || st == NB_E_RANGE);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
    free(text);
    return st == NB_OK;
}

/* The same for a random model with steps that move codes by any indices, or weights with levels or blocks; a network of
 * the config's kind has none. */
static int32_t export_levels(data_fixture *f, int32_t seed, FILE *main_c, FILE *calls)
{
    ref_model *r = ref_model_random((uint64_t)seed);
    nb_intmodel *m = NULL;
    int32_t layers = 0;
    char name[32];
    for (int32_t i = 0; i < r->e.n_steps; i++)
        layers += r->levels[i].n > 0 || r->levels[i].block > 0 || r->e.steps[i].index[0];
    nb_status st = layers ? ref_named_model(f->ctx, r, &m) : NB_E_RANGE;
    if (st == NB_OK && m->classes > 1024)
        st = NB_E_RANGE; /* more logits than a microcontroller's main() has room for */
    if (st == NB_OK) {
        snprintf(name, sizeof name, "l%d.c", seed);
        st = nb_exporter_find("c")->write(f->ctx, m, data_fixture_path(f, name), NULL);
    }
    if (st == NB_OK) {
        fprintf(main_c, "#include \"l%d.c\"\n", seed);
        fprintf(calls, "    if (l%d_selftest(pixels, logits)) { printf(\"levels %d\\n\"); bad++; }\n", seed, seed);
    }
    assert_true(st == NB_OK || st == NB_E_RANGE);
    nb_intmodel_free(f->ctx, m);
    ref_model_free(r);
    return st == NB_OK;
}

typedef int32_t export_fn(data_fixture *f, int32_t seed, FILE *main_c, FILE *calls);

static void export_group(data_fixture *f, export_fn *export, int32_t first, int32_t n)
{
    char *calls_text;
    size_t len;
    FILE *calls = open_memstream(&calls_text, &len), *main_c = fopen(data_fixture_path(f, "main.c"), "w");
    int32_t done = 0;
    assert_true(calls && main_c);
    fprintf(main_c, "#include <stdio.h>\n");
    for (int32_t i = first; i < first + n; i++)
        done += export(f, i, main_c, calls);
    fclose(calls);
    fprintf(
        main_c,
        "int main(void)\n{\n    static uint8_t pixels[4096];\n    static int32_t logits[1024];\n    int bad = 0;\n");
    fprintf(main_c, "%s    return bad != 0;\n}\n", calls_text);
    free(calls_text);
    assert_int_equal(fclose(main_c), 0);
    assert_true(done > 0);
}

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *fmt, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command);
}

static void compile_and_run(data_fixture *f, export_fn *export)
{
    const char *from = getenv("NB_TEST_SEED"), *count = getenv("NB_TEST_NETWORKS"), *cc = getenv("NB_TEST_CC");
    const int32_t first = from ? atoi(from) : 0, n = count ? atoi(count) : NETWORKS;
    cc = cc ? cc : "cc -std=c99 -O0 -Wall -Wextra -Wpedantic";
    if (shell("command -v cc >/dev/null") != 0)
        skip();
    for (int32_t i = first; i < first + n; i += TOGETHER) {
        export_group(f, export, i, n - (i - first) < TOGETHER ? n - (i - first) : TOGETHER);
        if (shell("cd '%s' && %s -o all main.c && ./all", f->dir, cc) != 0)
            fail_msg("networks %d.. in %s", i, f->dir);
    }
}

static void every_exported_network_gives_the_logits_of_the_engine(void **state)
{
    compile_and_run(*state, export_one);
}

static void every_exported_network_with_levels_gives_the_logits_of_the_engine(void **state)
{
    compile_and_run(*state, export_levels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_exported_network_gives_the_logits_of_the_engine, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(every_exported_network_with_levels_gives_the_logits_of_the_engine,
                                        data_fixture_setup, data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
