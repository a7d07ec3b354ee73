/* test_locate.c - the search path: data.path alone when given, else $NB_DATA before the usual folders. */
#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* One image with one level under the names of MNIST. */
static void write_set(data_fixture *f, const char *folder, uint8_t level)
{
    const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, level};
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
    char name[256];
    snprintf(name, sizeof name, "%s/train-images-idx3-ubyte", folder);
    data_fixture_write(f, name, images, sizeof images);
    snprintf(name, sizeof name, "%s/train-labels-idx1-ubyte", folder);
    data_fixture_write(f, name, labels, sizeof labels);
}

static int32_t level_found(data_fixture *f, const char *text)
{
    nb_data *d;
    if (data_fixture_open(f, text, "train", &d) != NB_OK)
        return -1;
    uint8_t px;
    int32_t label;
    nb_data_get(d, 0, &px, &label);
    nb_data_close(f->ctx, d);
    return px;
}

static void places_are_searched_in_their_order(void **state)
{
    data_fixture *f = *state;
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    data_fixture_mkdir(f, "here");
    assert_int_equal(chdir(data_fixture_path(f, "here")), 0);
    unsetenv("NB_DATA");
    assert_int_equal(level_found(f, "{name: mnist}"), -1);
    assert_non_null(strstr(nb_ctx_error(f->ctx),
                           "mnist: train-images-idx3-ubyte not found in datasets/data/mnist, ../shared/data/mnist or "
                           "/usr/share/datasets/mnist: run datasets/get.sh mnist, or set data.path or NB_DATA"));
    write_set(f, "shared/data/mnist", 1);
    assert_int_equal(level_found(f, "{name: mnist}"), 1);
    write_set(f, "here/datasets/data/mnist", 2);
    assert_int_equal(level_found(f, "{name: mnist}"), 2);
    write_set(f, "env", 3);
    setenv("NB_DATA", data_fixture_path(f, "env"), 1);
    assert_int_equal(level_found(f, "{name: mnist}"), 3);
    write_set(f, "env/mnist", 4);
    assert_int_equal(level_found(f, "{name: mnist}"), 4);
    write_set(f, "path", 5);
    assert_int_equal(level_found(f, "{name: mnist, path: '%s/path'}"), 5);
    assert_int_equal(level_found(f, "{name: mnist, path: '%s/path/'}"), 5);
    assert_int_equal(level_found(f, "{name: mnist, path: '%s/elsewhere'}"), -1); /* an explicit path is not overruled */
    assert_non_null(strstr(nb_ctx_error(f->ctx),
                           "elsewhere: holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"));
    setenv("NB_DATA", "", 1);
    assert_int_equal(level_found(f, "{name: mnist}"), 2);
    unsetenv("NB_DATA");
    assert_int_equal(chdir(before), 0);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(places_are_searched_in_their_order, data_fixture_setup, data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
