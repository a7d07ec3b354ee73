/* format_block.c - block fixed point (block floating point): `block` weights in a row of an output channel have an exponent in
 * common, and each of them a mantissa of `bits` bits, -(2^(bits-1) - 1) .. 2^(bits-1) - 1.
 *
 * The step of a block is a power of two: s 2^e, e = 0..depth. s is the channel's (group's, tensor's): the smallest power of two
 * at which e = depth cuts off no weight by more than half a step. e is the smallest of which the same is true for the block
 * (`largest`), so that small blocks are as fine as they can be, or the one of least squared error. (MSFP and MX take
 * floor(log2 max), where the largest weight can be cut off by nearly a step.) Exponents follow from the weights wherever codes
 * do, they are no state.
 *
 * Codes are mantissa 2^e in units of s. With depth = 8 - bits they fit -127..127 and are lowered; what would be smaller than the
 * finest block is as fine as that. Deeper, and with 8 bits, the network is simulated. Blocks go in the order kernel row, kernel
 * column, input: what one sum takes in one after the other. */
#include <nibble/extend/quant.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTE_BITS = 8, MOST_DEPTH = 15, MSE_BELOW_BITS = 4 };
typedef enum { EXPONENTS_AUTO, EXPONENTS_LARGEST, EXPONENTS_MSE } exponent_rule;

typedef struct {
    int32_t block, exponents;
    const char *depth;
} block_attr;

static const nb_key block_keys[] = {
    NB_KEY_INT(
        block_attr, block, "16", 1, 65536,
        "weights that share an exponent, along the inputs of an output channel; the last block has what is left"),
    NB_KEY_STRING(
        block_attr, depth, "auto",
        "by how many powers of two a block's step can be below the coarsest: 0..15, simulated where more than 8 "
        "less bits; auto: so many, and 15 with 8 bits"),
    NB_KEY_ENUM(block_attr, exponents, "auto", "auto|largest|mse",
                "largest: the finest step that cuts nothing off; mse: that of least squared error; auto: mse below 4 "
                "bits, largest from there on"),
    {0}};

/* Of `depth`; -1: it is none. */
static int32_t depth_of(const block_attr *a, int32_t bits)
{
    char *end;
    if (strcmp(a->depth, "auto") == 0)
        return bits < BYTE_BITS ? BYTE_BITS - bits : MOST_DEPTH;
    const long depth = strtol(a->depth, &end, 10);
    return end != a->depth && !*end && depth >= 0 && depth <= MOST_DEPTH ? (int32_t)depth : -1;
}

static const char *block_fault(const void *attr)
{
    return depth_of(attr, BYTE_BITS) < 0 ? "depth must be auto or a whole number 0..15" : NULL;
}

static nb_weight_blocks block_blocks(const void *attr, int32_t bits)
{
    const block_attr *a = attr;
    const bool mse = a->exponents == EXPONENTS_MSE || (a->exponents == EXPONENTS_AUTO && bits < MSE_BELOW_BITS);
    return (nb_weight_blocks){.n = a->block, .depth = depth_of(a, bits), .least_error = mse};
}

static float block_scale(const void *attr, float wanted)
{
    (void)attr;
    return nb_power_of_two(wanted);
}

static void block_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    state[0] = fmaxf(fabsf(o->min), fabsf(o->max));
}

static void block_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    const int32_t depth = g->block.n > 0 ? g->block.depth : 0;
    const float most = ldexpf((float)(g->hi >> depth) + 0.5f, depth);
    *scale = nb_grid_scale(g, state[0] / most);
    *zero = 0;
}

static bool block_sound(const float *state)
{
    return state[0] >= 0;
}

static const nb_range block_range = {.name = "block",
                                     .help = "largest size of the weights",
                                     .n_state = 1,
                                     .observe = block_observe,
                                     .params = block_params,
                                     .sound = block_sound};

const nb_format nb_format_block = {
    .name = "block",
    .help = "weights of 2 to 7 bits, a power of two per block of inputs (block floating point); finds its scales",
    .max_bits = BYTE_BITS - 1,
    .weights_only = true,
    .keys = block_keys,
    .attr_size = sizeof(block_attr),
    .fault = block_fault,
    .scale = block_scale,
    .range = &block_range,
    .blocks = block_blocks};
