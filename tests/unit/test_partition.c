/* test_partition.c - the blocks that a quantized network is cut into. */
#include "post/partition.h"

#include "ref/post_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "stem[stem] b1[b1.c1 b1.c2] ..." */
static void describe(const char *model, const char *quant, nb_block_size size, char *text, size_t bytes)
{
    char yaml[2048];
    ref_street s;
    nb_graph *g;
    nb_arena *arena;
    nb_post_block *block;
    int32_t n;
    snprintf(yaml, sizeof yaml,
             "seed: 1\ndata: {name: synth, count: 32, height: 12, width: 12, channels: 3, classes: 3}\nmodel: "
             "%s\nquant: %s\n",
             model, quant);
    if (ref_street_open(&s, yaml, 4, REF_FLOAT) != NB_OK || ref_quantized(&s, 4, 8, &g) != NB_OK)
        fail_msg("%s", nb_ctx_error(s.ctx));
    assert_int_equal(nb_arena_create(s.ctx, &arena), NB_OK);
    assert_int_equal(nb_blocks_find(arena, g, size, &block, &n), NB_OK);
    *text = '\0';
    for (int32_t i = 0; i < n; i++) {
        size_t at = strlen(text);
        snprintf(text + at, bytes - at, "%s%s[", i ? " " : "", block[i].name);
        for (int32_t k = 0; k < block[i].n_macs; k++) {
            at = strlen(text);
            snprintf(text + at, bytes - at, "%s%s", k ? " " : "", block[i].mac[k]->name);
        }
        at = strlen(text);
        snprintf(text + at, bytes - at, "]");
        assert_true(i == 0 || block[i].from == block[i - 1].to);
    }
    nb_arena_free(arena);
    nb_graph_free(g);
    ref_street_close(&s);
}

static const char resnet[] = "[input, {conv2d: {name: stem, out: 4, pad: 1, bias: no}}, batchnorm, relu,\n"
                             "  {resblock: {name: b1, out: 4}}, {resblock: {name: b2, out: 6, stride: 2}},\n"
                             "  {resblock: {name: b3, out: 8, stride: 2}}, {avgpool: {global: yes}},\n"
                             "  {linear: {name: fc, out: 3}}]";
static const char mobile[] =
    "[input, {conv2d: {name: stem, out: 4, pad: 1, bias: no}}, batchnorm, {relu: {cap: 6}},\n"
    "  {invres: {name: a, out: 4, expand: 1, stride: 2}}, {invres: {name: b, out: 6, expand: 2, repeat: 2}},\n"
    "  {conv2d: {name: top, out: 8, kernel: 1}}, relu, {avgpool: {global: yes}}, {linear: {name: fc, out: 3}}]";
static const char dense[] =
    "[input, {conv2d: {name: stem, out: 4, pad: 1}}, {relu: {name: r}}, {conv2d: {name: d1, out: 4, pad: 1, in: r}},\n"
    "  {relu: {name: r1}}, {concat: {name: j1, in: [r, r1]}}, {conv2d: {name: d2, out: 4, pad: 1}}, {relu: {name: "
    "r2}},\n"
    "  {concat: {name: j2, in: [j1, r2]}}, {conv2d: {name: t, out: 4, kernel: 1}}, relu, {maxpool: {kernel: 2}},\n"
    "  {conv2d: {name: u, out: 4, pad: 1}}, relu, {linear: {name: fc, out: 3}}]";
static const char plain[] = "[input, {conv2d: {name: c1, out: 4, pad: 1}}, relu, {maxpool: {kernel: 2}}, {conv2d: "
                            "{name: c2, out: 4, pad: 1}}, relu,\n"
                            "  {dwconv2d: {name: c3, pad: 1}}, relu, {conv2d: {name: c4, out: 4}}, relu, {conv2d: "
                            "{name: c5, out: 4, pad: 1}}, relu,\n"
                            "  {conv2d: {name: c6, out: 4, pad: 1}}, relu, flatten, {linear: {name: f1, out: 5}}, "
                            "relu, {linear: {name: f2, out: 3}}]";

static void networks_are_cut_where_all_behind_depends_on_one_value(void **state)
{
    (void)state;
    static const char usual[] = "{weights: {bits: 4}}";
    static const struct {
        const char *model, *quant;
        nb_block_size size;
        const char *want;
    } cases[] = {
        {resnet, usual, NB_BLOCKS,
         "stem[stem] b1[b1.c1 b1.c2] b2[b2.c1 b2.c2 b2.short] b3[b3.c1 b3.c2 b3.short] fc[fc]"},
        {resnet, "{weights: {bits: 4}, activations: off}", NB_BLOCKS,
         "stem[stem] b1[b1.c1 b1.c2] b2[b2.c1 b2.c2 b2.short] b3[b3.c1 b3.c2 b3.short] fc[fc]"},
        {resnet, "{weights: {bits: 4}, batchnorm: fold, output_bits: 8}", NB_BLOCKS,
         "stem[stem] b1[b1.c1 b1.c2] b2[b2.c1 b2.c2 b2.short] b3[b3.c1 b3.c2 b3.short] fc[fc]"},
        {mobile, usual, NB_BLOCKS,
         "stem[stem] a[a.depth a.project] b.1[b.1.expand b.1.depth b.1.project] b.2[b.2.expand b.2.depth b.2.project] "
         "top[top] fc[fc]"},
        {mobile, usual, NB_BLOCKS_SINGLE,
         "stem[stem] a.depth[a.depth] a.project[a.project] b.1.expand[b.1.expand] b.1.depth[b.1.depth] "
         "b.1.project[b.1.project] b.2[b.2.expand b.2.depth b.2.project] top[top] fc[fc]"},
        {dense, usual, NB_BLOCKS, "stem[stem] d1[d1] d2[d2] t..u[t u] fc[fc]"},
        {plain, usual, NB_BLOCKS, "c1[c1] c2..c5[c2 c3 c4 c5] c6..f1[c6 f1] f2[f2]"},
        {plain, "{weights: {bits: 4}, output_bits: 8}", NB_BLOCKS, "c1[c1] c2..c5[c2 c3 c4 c5] c6..f1[c6 f1] f2[f2]"},
        {plain, usual, NB_BLOCKS_SINGLE, "c1[c1] c2[c2] c3[c3] c4[c4] c5[c5] c6[c6] f1[f1] f2[f2]"},
        {"[input, {conv2d: {name: c1, out: 4}}, relu, {conv2d: {name: c2, out: 3}}, {avgpool: {global: yes}}]", usual,
         NB_BLOCKS, "c1[c1] c2[c2]"},
        {"[input, {linear: {name: only, out: 3}}]", usual, NB_BLOCKS, "only[only]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        describe(cases[i].model, cases[i].quant, cases[i].size, text, sizeof text);
        if (strcmp(text, cases[i].want) != 0)
            fail_msg("case %zu: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_cut_where_all_behind_depends_on_one_value),
    };
    return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
