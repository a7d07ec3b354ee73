/* test_layers_errors.c - each mistake in a layer's entry gets a sentence that names the place, and running out of
 * memory anywhere is an error, never a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ref/small_model.h"

static nb_ctx *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = nb_ctx_create();
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    nb_ctx_destroy(ctx);
    return 0;
}

/* A list of layers after the input (which stands in line 2), and what the sentence must say. */
typedef struct {
    const char *layers;
    nb_status status;
    const char *place, *says;
} mistake;

static const mistake mistakes[] = {
    {"- conv2d: {kernel: 3}\n", NB_E_CONFIG, "test.yaml:3", "out"},
    {"- conv2d: {out: 4, groups: 2}\n", NB_E_SHAPE, "test.yaml:3: conv2d",
     "groups: 2: must divide the 3 input and the 4"},
    {"- conv2d: {out: 4, kernel: 9}\n", NB_E_SHAPE, "test.yaml:3: conv2d",
     "a 9 x 9 window does not fit into the 7 x 6"},
    {"- conv2d: {out: 4, stride: 2, turned: yes}\n", NB_E_CONFIG, "test.yaml:3: conv2d",
     "turned: needs stride 1 and a pad of less than the window"},
    {"- conv2d: {out: 4, kernel: [3, 2], pad: [0, 2, 0, 0], turned: yes}\n", NB_E_CONFIG, "test.yaml:3: conv2d",
     "turned: needs stride 1 and a pad of less than the window"},
    {"- dwconv2d: {kernel: 9}\n", NB_E_SHAPE, "test.yaml:3: dwconv2d", "a 9 x 9 window does not fit"},
    {"- flatten\n- conv2d: {out: 4}\n", NB_E_SHAPE, "test.yaml:4: conv2d",
     "needs an image (batch x height x width x chan"},
    {"- flatten\n- maxpool\n", NB_E_SHAPE, "test.yaml:4: maxpool", "flatten1 gives 2x126"},
    {"- maxpool: {kernel: 2, pad: 2}\n", NB_E_CONFIG, "test.yaml:3: maxpool",
     "pad: must be less than the kernel, 2 x 2"},
    {"- maxpool: {kernel: 15}\n", NB_E_SHAPE, "test.yaml:3: maxpool", "a 15 x 15 window does not fit"},
    {"- maxpool: {kernel: [33, 8]}\n", NB_E_CONFIG, "test.yaml:3: maxpool",
     "kernel: 33 x 8: must be 256 pixels at most"},
    {"- avgpool: {kernel: [2, 3], pad: [0, 3]}\n", NB_E_CONFIG, "test.yaml:3: avgpool",
     "pad: must be less than the kernel, 2 x 3"},
    {"- avgpool: {kernel: 3, pad: 1, ceil: yes}\n", NB_E_CONFIG, "test.yaml:3: avgpool", "with pad, set count_pad: no"},
    {"- avgpool: {kernel: [2, 0]}\n", NB_E_CONFIG, "test.yaml:3: avgpool", "needs `kernel: N` or `global: yes`"},
    {"- conv2d: {out: 4, kernel: [9, 1]}\n", NB_E_SHAPE, "test.yaml:3: conv2d",
     "a 9 x 1 window does not fit into the 7 x 6"},
    {"- conv2d: {out: 4, kernel: [3, 3, 3]}\n", NB_E_CONFIG, "test.yaml:3",
     "kernel: a list: must be a number or [rows, columns]"},
    {"- conv2d: {out: 4, stride: [1, 17]}\n", NB_E_CONFIG, "test.yaml:3", "stride: 17: must be in 1..16"},
    {"- conv2d: {out: 4, stride: [1, [2]]}\n", NB_E_CONFIG, "test.yaml:3", "stride: a list in a list: must be numbers"},
    {"- conv2d: {out: 4, pad: [1, 2, 3]}\n", NB_E_CONFIG, "test.yaml:3",
     "pad: a list: must be a number, [rows, columns] or [top, left, bottom, right]"},
    {"- conv2d: {out: 4, pad: [0, 65]}\n", NB_E_CONFIG, "test.yaml:3", "pad: 65: must be in 0..64"},
    {"- conv2d: {out: 4, pad: sam}\n", NB_E_CONFIG, "test.yaml:3", "pad: sam: must be"},
    {"- conv2d: {out: 4, pad: {top: 1}}\n", NB_E_CONFIG, "test.yaml:3", "pad: a section: must be a single value"},
    {"- avgpool\n", NB_E_CONFIG, "test.yaml:3: avgpool", "needs `kernel: N` or `global: yes`"},
    {"- avgpool: {kernel: 2, global: yes}\n", NB_E_CONFIG, "test.yaml:3: avgpool", "leave it out with `global: yes`"},
    {"- avgpool: {kernel: 8}\n", NB_E_SHAPE, "test.yaml:3: avgpool", "a 8 x 8 window does not fit"},
    {"- relu: {cap: 0}\n", NB_E_CONFIG, "test.yaml:3", "cap"},
    {"- dropout: {p: 1}\n", NB_E_CONFIG, "test.yaml:3", "p"},
    {"- conv2d: {name: a, out: 3}\n- add: {in: [a, input1]}\n", NB_E_SHAPE, "test.yaml:4: add",
     "a is 2x5x4x3, but input1 is 2x7x6x3"},
    {"- conv2d: {name: a, out: 3}\n- concat: {in: [a, input1]}\n", NB_E_SHAPE, "test.yaml:4: concat",
     "all must be equal but for channels"},
    {"- slice\n", NB_E_CONFIG, "test.yaml:3: slice", "needs `channels`, `rows` or `cols`"},
    {"- slice: {channels: \"3\"}\n", NB_E_SHAPE, "test.yaml:3: slice", "channels: 3: input1 has 3 of them"},
    {"- slice: {rows: \"-8\"}\n", NB_E_SHAPE, "test.yaml:3: slice", "rows: -8: input1 has 7 of them"},
    {"- slice: {rows: \"a:b\"}\n", NB_E_CONFIG, "test.yaml:3: slice",
     "rows: a:b: must be numbers or FROM:TO:STEP with commas between"},
    {"- slice: {cols: \"1:2:0\"}\n", NB_E_CONFIG, "test.yaml:3: slice", "cols: 1:2:0: must be numbers or FROM"},
    {"- slice: {cols: \"1:2:3:4\"}\n", NB_E_CONFIG, "test.yaml:3: slice", "cols: 1:2:3:4: must be numbers"},
    {"- slice: {cols: \"1,,2\"}\n", NB_E_CONFIG, "test.yaml:3: slice", "cols: 1,,2: must be numbers"},
    {"- slice: {cols: \"99999999999999999999:\"}\n", NB_E_CONFIG, "test.yaml:3: slice", "must be numbers"},
    {"- slice: {cols: \"6:\"}\n", NB_E_SHAPE, "test.yaml:3: slice", "0 columns would come of input1: must be 1.."},
    {"- flatten\n- slice: {rows: \"0, 0\"}\n", NB_E_SHAPE, "test.yaml:4: slice", "needs an image"},
    {"- shuffle: {groups: 2}\n", NB_E_SHAPE, "test.yaml:3: shuffle", "groups: 2: must divide the 3 channels of input1"},
    {"- pad: {pad: 7, mode: reflect}\n", NB_E_SHAPE, "test.yaml:3: pad",
     "pad: 7: must be at most 6 with mode: reflect, since input1 has 7"},
    {"- pad: {pad: [0, 7], mode: wrap}\n", NB_E_SHAPE, "test.yaml:3: pad",
     "pad: 7: must be at most 6 with mode: wrap, since input1 has 6"},
    {"- pad: {pad: same}\n", NB_E_CONFIG, "test.yaml:3: pad", "pad: same: has no meaning here"},
    {"- pad: {between: 1, mode: edge}\n", NB_E_CONFIG, "test.yaml:3: pad", "between: puts zeros: leave mode out"},
    {"- upsample: {size: [4, 0]}\n", NB_E_CONFIG, "test.yaml:3: upsample", "size: needs rows and columns"},
    {"- upsample: {size: 9, factor: [2, 3]}\n", NB_E_CONFIG, "test.yaml:3: upsample", "factor: not with size"},
    {"- upsample: {size: 16384}\n- upsample: {factor: 2}\n", NB_E_SHAPE, "test.yaml:4: upsample",
     "32768 rows would come of upsample1: must be 1..16384"},
    {"- flatten\n- upsample\n", NB_E_SHAPE, "test.yaml:4: upsample", "needs an image"},
    {"- add\n", NB_E_CONFIG, "test.yaml:3: add", "has 1 inputs, takes 2"},
    {"- linear: {out: 5}\n- softmax_xent\n", NB_E_SHAPE, "test.yaml:4: softmax_xent",
     "linear1 gives 5 values per image, the data h"},
    {"- dwconv2d: {multiplier: 64}\n- dwconv2d: {multiplier: 64}\n- dwconv2d: {multiplier: 64, kernel: 1}\n",
     NB_E_SHAPE, "test.yaml:5: dwconv2d", "multiplier: 64: 12288 channels would become m"},
};

static void mistakes_in_layers_are_named_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        char text[512];
        small_model m;
        snprintf(text, sizeof text, "model:\n- input\n%s", mistakes[i].layers);
        nb_status st = small_model_build(&m, ctx, text, 2);
        const char *said = nb_ctx_error(ctx);
        if (st != mistakes[i].status || strncmp(said, mistakes[i].place, strlen(mistakes[i].place)) != 0 ||
            !strstr(said, mistakes[i].says))
            fail_msg("%s-> %d: %s", mistakes[i].layers, st, st == NB_OK ? "no error" : said);
    }
}

static void mistakes_in_the_inputs_numbers_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"mean: dark", "test.yaml:2: input input1.mean: dark: must be a number in -1000..1000"},
        {"std: 0", "input1.std: 0: must be in 1e-06..1000"},
        {"std: [1, 2]", "test.yaml:2: input input1.std: 2 numbers for 3 channels"},
        {"mean: [1, 2, 3, 4]", "input1.mean: more than 3 numbers for 3 channels"},
        {"mean: [nan, 0, 0]", "input1.mean: nan: must be a number"},
        {"mean: [0.4, 123.675, 0.4]", "input1.mean: 123.675: must be at most 1 in size, since pixels are divided by "
                                      "255 first (123.675 / 255 is 0.485)"},
        {"std: 58.395", "input1.std: 58.395: must be at most 4"},
        {"mean: []", "mean"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        small_model m;
        snprintf(text, sizeof text, "model:\n- input: {%s}\n- linear: {out: 4}\n", cases[i][0]);
        if (small_model_build(&m, ctx, text, 2) != NB_E_CONFIG || !strstr(nb_ctx_error(ctx), cases[i][1]))
            fail_msg("%s: %s", cases[i][0], nb_ctx_error(ctx));
    }
}

static nb_status build_and_freeze(small_model *m)
{
    const char *text =
        "model:\n- input: {mean: 0.5}\n- conv2d: {name: a, out: 4, pad: 1}\n- batchnorm\n- relu\n- maxpool\n"
        "- dwconv2d: {name: b, pad: 1}\n- conv2d: {name: c, out: 4, pad: 1}\n- add: {name: d, in: [b, c]}\n"
        "- concat: {in: [b, d]}\n- dropout\n- avgpool: {global: yes}\n- flatten\n- linear: {out: 4}\n";
    nb_status st = small_model_build(m, ctx, text, 2);
    if (st != NB_OK)
        return st;
    st = nb_model_quantize(m->g, NULL);
    if (st == NB_OK)
        st = nb_graph_freeze(m->g, NB_PLAN_TRAIN);
    if (st != NB_OK)
        small_model_free(m);
    return st;
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    small_model m;
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        assert_true(n < 5000);
        nb_ctx_fail_alloc_at(ctx, n);
        st = build_and_freeze(&m);
        nb_ctx_fail_alloc_at(ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
    }
    small_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_in_layers_are_named_with_their_place),
        cmocka_unit_test(mistakes_in_the_inputs_numbers_are_named),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
