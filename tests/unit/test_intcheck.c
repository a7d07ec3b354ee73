/* test_intcheck.c - every rule of an integer model has its sentence, with layer and reason. */
#include "lower/intcheck.h"
#include "ref/tiny_int.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static void grids_are_those_of_type_and_bits(void **state)
{
    (void)state;
    static const struct {
        int32_t type, bits;
        int64_t lo, hi;
    } grids[] = {{NB_EI_U8, 2, 0, 3},
                 {NB_EI_U8, 8, 0, 255},
                 {NB_EI_S8, 4, -8, 7},
                 {NB_EI_S8, 8, -128, 127},
                 {NB_EI_S32, 32, INT32_MIN, INT32_MAX}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        const nb_erange got = nb_int_grid(grids[i].type, grids[i].bits);
        assert_true(got.lo == grids[i].lo && got.hi == grids[i].hi);
    }
}

static void array_lengths_follow_from_kind_and_geometry(void **state)
{
    (void)state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    static const int32_t weights[9] = {0, 54, 0, 3, 0, 0, 0, 0, 24}, mults[9] = {0, 3, 0, 3, 2, 2, 0, 1, 4},
                         shifts[9] = {0, 3, 0, 3, 1, 2, 0, 1, 4};
    for (int32_t i = 0; i < 9; i++) {
        assert_int_equal(nb_estep_weights(&t.steps[i]), weights[i]);
        assert_int_equal(nb_estep_mults(&t.steps[i]), mults[i]);
        assert_int_equal(nb_estep_shifts(&t.steps[i]), shifts[i]);
    }
    assert_int_equal(nb_etensor_bytes(&t.tensors[1]), 75);
    assert_int_equal(nb_etensor_bytes(&t.tensors[8]), 16);
}

/* ---- what is refused ---- */

typedef struct {
    void (*bend)(ref_tiny *t);
    const char *sentence; /* part of it */
} fault;

#define BEND(name, code)                                                                                               \
    static void name(ref_tiny *t)                                                                                      \
    {                                                                                                                  \
        code;                                                                                                          \
    }
BEND(nameless, t->tinfo[2].name = "")
BEND(control_name, t->sinfo[3].name = "a\nb")
BEND(long_name,
     t->tinfo[0].name = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
                        "890123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
                        "567890123456789012345678901234567890123456789")
BEND(no_rows, t->tensors[1].h = 0)
BEND(huge_tensor, t->tensors[1].h = t->tensors[1].w = 16384)
BEND(tensor_type, t->tensors[1].type = 3)
BEND(tensor_bits, t->tinfo[1].bits = 9)
BEND(s32_bits, t->tinfo[8].bits = 8)
BEND(nan_scale, t->tinfo[1].scale = NAN)
BEND(zero_scale, t->tinfo[1].scale = 0)
BEND(denormal_scale, t->tinfo[1].scale = 1e-40f)
BEND(zero_off_grid, t->tensors[3].zero = 8)
BEND(step_kind, t->steps[1].kind = NB_STEP_KINDS)
BEND(too_many_inputs, t->steps[1].n_in = 2)
BEND(input_index, t->steps[1].in[0] = 9)
BEND(output_index, t->steps[1].out = -1)
BEND(reads_itself, t->steps[1].in[0] = 1)
BEND(cycle, t->steps[3].in[0] = 4)
BEND(writes_twice, t->steps[4].in[0] = 3; t->steps[4].out = 2)
BEND(same_name, t->sinfo[4].name = "c1")
BEND(no_table_first, t->steps[0] = t->steps[1])
BEND(second_table, t->steps[6].kind = NB_STEP_TABLE; t->steps[6].n_in = 0)
BEND(one_table, t->steps[0].one_table = 3)
BEND(reads_s32, t->tensors[1].type = NB_EI_S32; t->tinfo[1].bits = 32; t->tensors[1].zero = 0)
BEND(pool_to_s32, t->tensors[2].type = NB_EI_S32; t->tinfo[2].bits = 32; t->tensors[2].zero = 0)
BEND(clamp_off_grid, t->steps[3].hi = 8)
BEND(clamp_empty, t->steps[3].lo = 7; t->steps[3].hi = 6)
BEND(window_zero, t->steps[1].geom.kh = 0)
BEND(window_absurd, t->steps[1].geom.dilation.h = 2000000000)
BEND(output_size, t->steps[1].geom.oh = 4)
BEND(output_not_window, t->steps[1].geom.pad = nb_sides_of(0))
BEND(pool_channels, t->steps[2].geom.oc = 1; t->steps[2].geom.oh = 3)
BEND(pool_padding, t->steps[2].geom.pad = nb_sides_of(2))
BEND(mean_padding, t->steps[7].geom.pad.left = t->steps[7].geom.kw)
BEND(pool_grid, t->tensors[2].zero = 4)
BEND(no_rows_moved, ref_tiny_moves(t); t->steps[6].index[0] = NULL)
BEND(row_outside, ref_tiny_moves(t); t->moved[0][1] = 2)
BEND(channel_outside, ref_tiny_moves(t); t->moved[2][5] = -2)
BEND(moved_scale, ref_tiny_moves(t); t->tinfo[6].scale = 0.5f)
BEND(moved_clamp, ref_tiny_moves(t); t->steps[6].lo = 7)
BEND(groups, t->steps[1].geom.groups = 3)
BEND(geom_input, t->steps[1].geom.c = 1)
BEND(add_size, t->tensors[4].h = 1; t->tensors[4].w = 4)
BEND(concat_channels, t->steps[5].n_in = 1)
BEND(mult_small, t->mult[2] = 1 << 29)
BEND(mult_negative, t->mult[0] = -1)
BEND(shift_zero, t->shift[1] = 0)
BEND(shift_large, t->shift[2] = 63)
BEND(no_mult, t->steps[4].mult = NULL)
BEND(half_mult, t->steps[8].mult = t->mult)
BEND(no_weights, t->steps[1].weights = NULL)
BEND(weight_bits, t->sinfo[1].weight_bits = 1)
BEND(weight_off_grid, t->conv1[20] = 30)
BEND(weight_too_negative, t->conv1[20] = -128)
BEND(scale_count, t->sinfo[1].n_scale = 2)
BEND(scale_value, t->scales[2] = -1)
BEND(table_code, t->steps[0].hi = 254)
BEND(bias_too_large, t->bias[2] = INT32_MAX)
BEND(no_steps, t->n_steps = 0)
BEND(unwritten, t->n_steps = 8)
BEND(class_count, t->meta.classes = 5)
BEND(accuracy, t->meta.accuracy = NAN)

/* -5, 0, 1 and 6 as 2-bit indices, and what is wrong with them. */
#define BEND_LEVELS(name, code)                                                                                        \
    static void name(ref_tiny *t)                                                                                      \
    {                                                                                                                  \
        ref_tiny_levels(t, 2, (const int8_t[]){-5, 0, 1, 6}, 4);                                                       \
        code;                                                                                                          \
    }
BEND_LEVELS(no_level, t->conv1[20] = 5)
BEND_LEVELS(level_twice, t->levels[2] = 0)
BEND_LEVELS(levels_unsorted, t->levels[2] = -1)
BEND_LEVELS(level_too_low, t->levels[0] = -128)
BEND_LEVELS(too_many_levels, t->sinfo[1].weight_bits = 1)
BEND_LEVELS(one_level, t->sinfo[1].n_levels = 1)
BEND_LEVELS(levels_too_narrow, t->sinfo[1].weight_bits = 0)
BEND_LEVELS(levels_too_wide, t->sinfo[1].weight_bits = 9)

/* Blocks of 5 with 3 bits, exponents 0..3 in each channel. */
#define BEND_BLOCKS(name, code)                                                                                        \
    static void name(ref_tiny *t)                                                                                      \
    {                                                                                                                  \
        ref_tiny_blocks(t, 3, 5);                                                                                      \
        code;                                                                                                          \
    }
BEND_BLOCKS(no_exponent, t->conv1[18 + 6] = 7)
BEND_BLOCKS(block_too_negative, t->conv1[20] = -128)
BEND_BLOCKS(block_negative, t->sinfo[1].block = -1)
BEND_BLOCKS(block_too_wide, t->sinfo[1].weight_bits = 8)
BEND_BLOCKS(block_of_levels, t->sinfo[1].level = t->levels)

static const fault faults[] = {
    {no_exponent, "conv step 1 \"c1\": weight[1][5]: the block that begins here has no power of two"},
    {block_too_negative, "weight[1][2]: -128: must be -127..127"},
    {block_negative, "block: -1: must be 1 or more, 0 without blocks"},
    {block_too_wide, "weight_bits: 8: must be 2..7 in blocks"},
    {block_of_levels, "block: 5: must be 0 with levels"},
    {no_level, "conv step 1 \"c1\": weight[1][2]: 5: is none of its 4 levels"},
    {level_twice, "conv step 1 \"c1\": levels[2]: 0: must be more than the one before, 0"},
    {levels_unsorted, "levels[2]: -1: must be more than the one before, 0"},
    {level_too_low, "levels[0]: -128: must be -127..127"},
    {too_many_levels, "4 levels: must be 2..2, of weight_bits 1"},
    {one_level, "1 levels: must be 2..4, of weight_bits 2"},
    {levels_too_narrow, "weight_bits: 0: must be 1..8 with levels"},
    {levels_too_wide, "weight_bits: 9: must be 1..8 with levels"},
    {nameless, "tensor 2 \"\": has no name"},
    {control_name, "control character"},
    {long_name, "more than 200 bytes"},
    {no_rows, "tensor 1 \"c1.fq\": size 0x5x3"},
    {huge_tensor, "at most 67108864 values"},
    {tensor_type, "type 3: must be u8, s8 or s32"},
    {tensor_bits, "bits: 9: must be 1..8"},
    {s32_bits, "bits: 8: must be 1..8, and 32 for s32"},
    {nan_scale, "must be a positive normal number"},
    {zero_scale, "scale: 0:"},
    {denormal_scale, "must be a positive normal number"},
    {zero_off_grid, "tensor 3 \"dw.fq\": zero point 8"},
    {step_kind, "? step 1 \"c1\": kind "},
    {too_many_inputs, "conv step 1 \"c1\": 2 inputs: must be 1..1"},
    {input_index, "conv step 1 \"c1\": tensor 9: there are 9"},
    {output_index, "conv step 1 \"c1\": tensor -1: there are 9"},
    {reads_itself, "reads the tensor it writes (1)"},
    {cycle, "reads a tensor no earlier step has written: \"sum.fq\""},
    {writes_twice, "writes a tensor an earlier step has written: \"pool\""},
    {same_name, "an earlier step has the same name"},
    {no_table_first, "the first step must be the table"},
    {second_table, "only the first step reads the pixels, every other table a tensor"},
    {one_table, "table step 0 \"in\": one_table: 3: must be 0 or 1"},
    {reads_s32, "only u8 and s8 can be read"},
    {pool_to_s32, "maxpool step 2 \"pool\": output \"pool\" is s32: only conv gives s32"},
    {clamp_off_grid, "clamp -8..8: must lie within the grid of \"dw.fq\", -8..7"},
    {clamp_empty, "clamp 7..6"},
    {window_zero, "window 0x3"},
    {window_absurd, "dilation 2000000000"},
    {output_size, "writes 4x5x3, but \"c1.fq\" is 5x5x3"},
    {output_not_window, "output 5x5: the window gives 3x3 on 5x5"},
    {pool_channels, "writes 3x2x1"},
    {pool_padding, "window gives 4x4"},
    {mean_padding, "output 1x1: the window gives 1x3"},
    {pool_grid, "a maximum keeps its grid"},
    {no_rows_moved, "take step 6 \"clamp\": has no indices"},
    {row_outside, "rows[1]: 2: must be -1..1"},
    {channel_outside, "channels[5]: -2: must be -1..5"},
    {moved_scale, "what moves codes keeps their grid"},
    {moved_clamp, "must hold all codes of \"cat.fq\", -128..127"},
    {groups, "groups: 3: must divide 2 input and 3 output channels"},
    {geom_input, "reads 5x5x1, but \"in.fq\" is 5x5x2"},
    {add_size, "add step 4 \"sum\": input \"pool\" is 2x2x3, output \"sum.fq\" is 1x4x3"},
    {concat_channels, "inputs have 3 channels, the output 6"},
    {mult_small, "mult[2]: 536870912: must be at least 1073741824"},
    {mult_negative, "mult[0]: -1"},
    {shift_zero, "shift[1]: 0: must be 1..62"},
    {shift_large, "shift[2]: 63: must be 1..62"},
    {no_mult, "add step 4 \"sum\": has no multipliers or no shifts"},
    {half_mult, "conv step 8 \"fc\": has no multipliers or no shifts"},
    {no_weights, "conv step 1 \"c1\": has no table, weights"},
    {weight_bits, "weight_bits: 1: must be 2..8"},
    {weight_off_grid, "the weights of a channel must lie within 15 of each other (4 bits)"},
    {weight_too_negative, "conv step 1 \"c1\": weight[1][2]: -128: must be -127..127"},
    {scale_count, "2 weight scales: must be 1 or 3"},
    {scale_value, "weight_scale[2]: -1"},
    {table_code, "table step 0 \"in\": table[0][255]: 255: must be 0..254"},
    {bias_too_large, "conv step 1 \"c1\": channel 2: the accumulator could reach"},
    {no_steps, "the model has no steps"},
    {unwritten, "tensor 8 \"logits\": no step writes it"},
    {class_count, "5 classes, but the output \"logits\" has 4 values"},
    {accuracy, "accuracy: nan"},
};

static void every_fault_gives_a_sentence_with_layer_and_reason(void **state)
{
    nb_ctx *ctx = *state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        ref_tiny t;
        ref_tiny_fill(&t, 4);
        faults[i].bend(&t);
        nb_intmodel *m = NULL;
        nb_status st = ref_tiny_build(ctx, &t, &m);
        if (st == NB_OK || !strstr(nb_ctx_error(ctx), faults[i].sentence))
            fail_msg("fault %zu: status %d, want \"%s\", got \"%s\"", i, st, faults[i].sentence, nb_ctx_error(ctx));
        assert_null(m);
        assert_memory_equal(nb_ctx_error(ctx), "tiny: ", 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_are_those_of_type_and_bits),
        cmocka_unit_test(array_lengths_follow_from_kind_and_geometry),
        cmocka_unit_test(every_fault_gives_a_sentence_with_layer_and_reason),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
