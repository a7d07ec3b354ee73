/* test_export_text.c - the listing holds every integer of the model, the same bytes for the same model, and never half
 * of it. */
#include <nibble/export.h>

#include "base/files.h"
#include "ref/tiny_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char path[64];
} sandbox;

static int setup(void **state)
{
    sandbox *s = calloc(1, sizeof *s);
    s->ctx = nb_ctx_create();
    strcpy(s->path, "/tmp/nibble-text-XXXXXX");
    *state = s;
    int fd = mkstemp(s->path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    sandbox *s = *state;
    int rc = unlink(s->path);
    nb_ctx_destroy(s->ctx);
    free(s);
    return rc;
}

static char *listing(sandbox *s, const ref_tiny *t)
{
    nb_intmodel *m;
    uint8_t *text;
    size_t len;
    assert_int_equal(ref_tiny_build(s->ctx, t, &m), NB_OK);
    assert_int_equal(nb_exporter_find("text")->write(s->ctx, m, s->path, NULL), NB_OK);
    nb_intmodel_free(s->ctx, m);
    assert_int_equal(nb_file_read(s->ctx, s->path, 1 << 20, &text, &len), NB_OK);
    assert_int_equal(strlen((char *)text), len);
    return (char *)text;
}

static void assert_holds(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("not in the listing: %s", line);
}

static void the_listing_shows_tensors_steps_channels_and_weights(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.conv1[18] = -7; /* channel 1, first row */
    t.conv1[19] = 5;
    char *text = listing(s, &t);
    assert_holds(text, "accuracy  0.1\n");
    assert_holds(text, "input     5x5x2 u8 pixels\n");
    assert_holds(text, "     0  cat\n");
    assert_holds(text, "  | seed: 7\n  | # \"text\" \\ of?the config\n");
    assert_holds(text,
                 "     1  c1.fq                        5x5x3          u8      8              0.1      3          0\n");
    assert_holds(text, "\nstep 1: conv c1\n  reads     0 in.fq\n  writes    1 c1.fq, clamp 3..255\n"
                       "  5x5x2 -> 5x5x3, window 3x3, stride 1, pad 1, dilation 1, groups 1\n"
                       "  4 bits, 54 weights, 1350 macs, |accumulator| <= ");
    assert_holds(text, "\n         1        -500  1073754169     37            0.002\n");
    assert_holds(text, "\n         1   0   0: -7  5\n");
    assert_holds(text, "\n         1        -500           -      -            0.002\n"); /* plain sums */
    assert_holds(text,
                 "\nstep 4: add sum\n  reads     2 pool\n  reads     3 dw.fq\n  writes    4 sum.fq, clamp 0..255\n"
                 "  rescale   mult 1073741824  shift 37\n  rescale   mult 1073754169  shift 37\n");
    assert_holds(text, "  table of channel 0: pixel value -> code\n     0      0    1    2");
    nb_free(s->ctx, text);
}

static void levels_are_listed_with_their_weights(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_levels(&t, 3, (const int8_t[]){-127, -5, 0, 1, 77}, 5);
    t.conv1[18] = -127; /* channel 1, first row */
    t.conv1[19] = 77;
    char *text = listing(s, &t);
    assert_holds(text, "  3 bits, 54 weights, 1350 macs, |accumulator| <= ");
    assert_holds(text, "\n  levels: -127 -5 0 1 77\n");
    assert_holds(text, "\n         1   0   0: -127   77\n");
    nb_free(s->ctx, text);
}

static void indices_of_moved_codes_are_listed(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_moves(&t);
    char *text = listing(s, &t);
    assert_holds(text,
                 "\nstep 6: take clamp\n  reads     5 cat.fq\n  writes    6 clamp, clamp -128..127\n  rows      1 0\n"
                 "  columns   0 1\n  channels  -1 -1 5 0 1 2\n");
    nb_free(s->ctx, text);
}

static int lines_that_differ(const char *a, const char *b)
{
    int n = 0;
    while (*a && *b) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        n += la != lb || memcmp(a, b, la) != 0;
        a += la + (a[la] == '\n');
        b += lb + (b[lb] == '\n');
    }
    assert_true(!*a && !*b);
    return n;
}

static void a_changed_number_changes_one_line(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    char *before = listing(s, &t), *again = listing(s, &t);
    assert_string_equal(before, again);
    t.conv1[53] = t.conv1[53] == 1 ? 2 : 1; /* the bound moves too */
    char *after = listing(s, &t);
    assert_true(lines_that_differ(before, after) <= 2);
    nb_free(s->ctx, before);
    nb_free(s->ctx, again);
    nb_free(s->ctx, after);
}

static void the_same_model_with_little_known_is_listed_too(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 8);
    t.meta.accuracy = -1;
    t.meta.class_names = NULL;
    t.meta.config = "";
    char *text = listing(s, &t);
    assert_holds(text, "accuracy  not measured\n");
    assert_null(strstr(text, "config"));
    assert_null(strstr(text, "class names"));
    nb_free(s->ctx, text);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_exporters[0]->write(s->ctx, m, "/nowhere/list.txt", NULL), NB_E_IO);
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(nb_exporters[0]->write(s->ctx, m, "/dev/full", NULL), NB_E_IO);
    nb_intmodel_free(s->ctx, m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_listing_shows_tensors_steps_channels_and_weights),
        cmocka_unit_test(levels_are_listed_with_their_weights),
        cmocka_unit_test(indices_of_moved_codes_are_listed),
        cmocka_unit_test(a_changed_number_changes_one_line),
        cmocka_unit_test(the_same_model_with_little_known_is_listed_too),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
