/* test_engine_check.c - nb_engine_check names what is broken, and what it accepts runs inside its memory and gives the
 * interpreter's results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nibble/engine.h>
#include <stdbool.h>

#include "base/rng.h"
#include "ref/guard.h"
#include "ref/random_model.h"
#include "ref/ref_engine.h"

/* ---- each kind of damage, alone ---- */

/* table -> a; conv -> b; add(a, b) -> c; concat(a, c) -> d; maxpool -> e; avgpool -> f; linear -> g (s32) */
enum { A, B, C, D, E, F, G, TENSORS, STEPS = TENSORS };

typedef struct {
    uint8_t table[2 * 256];
    int8_t conv_w[2 * 9 * 2], linear_w[3 * 16];
    int32_t bias[3], mult[3], shift[3], add_mult[2], add_shift[1], index[4];
    nb_etensor t[TENSORS + 1]; /* one more that no step writes */
    nb_estep s[STEPS];
    nb_emodel e;
} sample;

static nb_geom square(int32_t h, int32_t c, int32_t oh, int32_t oc, int32_t k, int32_t stride, int32_t pad)
{
    return (nb_geom){.h = h,
                     .w = h,
                     .c = c,
                     .oh = oh,
                     .ow = oh,
                     .oc = oc,
                     .kh = k,
                     .kw = k,
                     .stride = {stride, stride},
                     .pad = {pad, pad, pad, pad},
                     .dilation = {1, 1},
                     .groups = 1};
}

static void make_sample(sample *m)
{
    *m = (sample){
        .mult = {1 << 30, 1 << 30, 1 << 30}, .shift = {31, 32, 33}, .add_mult = {1 << 29, 5}, .add_shift = {30}};
    memset(m->conv_w, 1, sizeof m->conv_w);
    memset(m->linear_w, -1, sizeof m->linear_w);
    const int32_t size[TENSORS][3] = {{4, 4, 2}, {4, 4, 2}, {4, 4, 2}, {4, 4, 4}, {4, 4, 4}, {2, 2, 4}, {1, 1, 3}};
    for (int32_t i = 0; i < TENSORS; i++)
        m->t[i] = (nb_etensor){.h = size[i][0], .w = size[i][1], .c = size[i][2], .offset = (uint64_t)i * 64};
    m->t[G].type = NB_EI_S32;
    m->t[TENSORS] = m->t[F];
    const int32_t kinds[STEPS] = {NB_STEP_TABLE,   NB_STEP_CONV,    NB_STEP_ADD, NB_STEP_CONCAT,
                                  NB_STEP_MAXPOOL, NB_STEP_AVGPOOL, NB_STEP_CONV};
    for (int32_t i = 0; i < STEPS; i++) {
        m->s[i] = (nb_estep){.kind = kinds[i], .n_in = i > 0, .in = {i - 1}, .out = i, .hi = 255};
        m->s[i].mult = m->mult;
        m->s[i].shift = m->shift;
        m->s[i].bias = m->bias;
    }
    m->s[A].in[0] = 0;
    m->s[A].table = m->table;
    m->s[B].geom = square(4, 2, 4, 2, 3, 1, 1);
    m->s[B].weights = m->conv_w;
    m->s[C].n_in = m->s[D].n_in = 2;
    m->s[C].in[0] = m->s[D].in[0] = A;
    m->s[C].in[1] = B;
    m->s[D].in[1] = C;
    m->s[C].mult = m->add_mult;
    m->s[C].shift = m->add_shift;
    m->s[E].geom = square(4, 4, 4, 4, 3, 1, 1);
    m->s[F].geom = square(4, 4, 2, 4, 2, 2, 0);
    m->s[G].geom = square(1, 16, 1, 3, 1, 1, 0); /* 2x2x4 read as 1x1x16 */
    m->s[G].weights = m->linear_w;
    m->s[G].lo = INT32_MIN;
    m->s[G].hi = INT32_MAX;
    m->e = (nb_emodel){
        .n_tensors = TENSORS, .n_steps = STEPS, .tensors = m->t, .steps = m->s, .tensor_bytes = TENSORS * 64};
}

enum { FINE = -1, TENSOR = 100, BIG = 1 << 28 };

/* where: the step that must be named, or TENSOR + the tensor, or FINE. */
static void expect_fault(const char *what, const sample *m, int32_t where)
{
    const int32_t got = nb_engine_check(&m->e), want = where >= TENSOR ? 1 + m->e.n_steps + where - TENSOR : 1 + where;
    if (got != want)
        fail_msg("%s: check says %d, not %d", what, (int)got, (int)want);
}

/* The second input of the sum is a pool of the first. */
static void as_gate(sample *m, int32_t h, int32_t w, int32_t c)
{
    m->t[B].h = h;
    m->t[B].w = w;
    m->t[B].c = c;
    m->s[B].geom = square(4, 2, h, c, 4 / h, 4 / h, 0);
}

#define HURT(where, what)                                                                                              \
    do {                                                                                                               \
        make_sample(m);                                                                                                \
        what;                                                                                                          \
        expect_fault(#what, m, where);                                                                                 \
    } while (0)

static void steps_that_read_or_write_the_wrong_things_are_named(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(FINE, (void)0);
    HURT(A, m->s[A].kind = NB_STEP_CONV);
    HURT(B, m->s[B].kind = NB_STEP_TABLE);
    HURT(B, m->s[B].kind = NB_STEP_TABLE; m->s[B].n_in = 0; m->s[B].table = m->table);
    HURT(A, m->s[A].one_table = 2);
    HURT(A, m->s[A].one_table = -1);
    HURT(B, m->s[B].kind = NB_STEP_KINDS);
    HURT(B, m->s[B].kind = -1);
    HURT(A, m->s[A].n_in = 1);
    HURT(B, m->s[B].n_in = 0);
    HURT(B, m->s[B].n_in = 2);
    HURT(D, m->s[D].n_in = NB_ENGINE_MAX_IN + 1);
    HURT(C, m->s[C].n_in = 1);
    HURT(B, m->s[B].in[0] = -1);
    HURT(B, m->s[B].in[0] = TENSORS);
    HURT(B, m->s[B].in[0] = B);                         /* reads what it writes */
    HURT(C, m->s[C].in[1] = D);                         /* reads what is not there yet */
    HURT(G, m->e.n_tensors++; m->s[G].in[0] = TENSORS); /* reads what nobody writes */
    HURT(C, m->e.n_steps = C + 1; m->t[C].type = NB_EI_S32);
    HURT(B, m->s[B].out = -1);
    HURT(B, m->s[B].out = TENSORS);
    HURT(C, m->s[C].out = B); /* a second writer */
    HURT(C, m->s[C].lo = 256);
    HURT(C, m->s[C].lo = -1); /* u8 */
    HURT(C, m->s[C].hi = 256);
    HURT(C, m->s[C].lo = 9; m->s[C].hi = 8);
}

/* B looks up what A gives. */
static void look_up(sample *m)
{
    m->s[B].kind = NB_STEP_TABLE;
    m->s[B].table = m->table;
}

static void tables_of_codes_are_checked_like_those_of_pixels(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(FINE, look_up(m));
    HURT(FINE, look_up(m); m->s[B].one_table = 1);
    HURT(FINE, look_up(m); m->t[A].type = NB_EI_S8; m->s[A].lo = -128; m->s[A].hi = 127);
    HURT(B, look_up(m); m->s[B].table = NULL);
    HURT(B, look_up(m); m->s[B].n_in = 0);
    HURT(B, look_up(m); m->s[B].n_in = 2);
    HURT(B, look_up(m); m->s[B].hi = 8; m->table[300] = 9);
    HURT(FINE, look_up(m); m->s[B].hi = 8; m->table[300] = 9; m->s[B].one_table = 1); /* nobody's entry */
    HURT(A, m->t[A].type = NB_EI_S8; m->table[1] = 200);                              /* -56 */
    HURT(B, look_up(m); m->e.n_steps = C; m->t[B].type = NB_EI_S32);
    HURT(F, m->s[F].kind = NB_STEP_TABLE; m->s[F].table = m->table); /* 4x4x4 values into 2x2x4 */
    HURT(FINE, look_up(m); m->e.n_steps = m->e.n_tensors = C; m->t[B].h = m->t[B].w = 1; m->t[B].c = 32;
         m->s[B].one_table = 1); /* another shape */
}

static void missing_arrays_and_bad_numbers_are_named(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(A, m->s[A].table = NULL);
    HURT(A, m->s[A].hi = 9; m->table[511] = 10);
    HURT(B, m->s[B].weights = NULL);
    HURT(B, m->s[B].bias = NULL);
    HURT(B, m->s[B].mult = NULL);
    HURT(B, m->s[B].shift = NULL);
    HURT(B, m->s[B].mult = NULL; m->s[B].shift = NULL); /* codes need them */
    HURT(G, m->s[G].shift = NULL);
    HURT(F, m->s[F].mult = NULL);
    HURT(B, m->mult[1] = (1 << 30) - 1);
    HURT(B, m->mult[1] = 0);
    HURT(G, m->mult[2] = -1);
    HURT(B, m->shift[1] = 0);
    HURT(B, m->shift[0] = 63);
    HURT(C, m->add_mult[0] = -1);
    HURT(FINE, m->add_mult[1] = -INT32_MAX); /* a difference */
    HURT(C, m->add_mult[1] = INT32_MIN);
    HURT(C, m->s[C].kind = NB_STEP_MUL; m->add_mult[0] = (1 << 30) - 1);
    HURT(C, m->s[C].kind = NB_STEP_MUL; m->add_mult[0] = 1 << 30; m->add_shift[0] = 63);
    HURT(C, m->add_shift[0] = 0);
    HURT(C, m->add_shift[0] = 63);
    HURT(B, m->bias[1] = INT32_MAX);
    HURT(G, m->bias[0] = INT32_MIN + 16); /* the linear sum goes down to -255 * 16 */
}

static void geometries_that_do_not_fit_are_named(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(B, m->s[B].geom.h = 5);
    HURT(F, m->s[F].geom.h = m->s[F].geom.w = 5);
    HURT(B, m->s[B].geom.c = 0);
    HURT(B, m->s[B].geom.oh = 3);
    HURT(B, m->s[B].geom.stride.w = 0);
    HURT(B, m->s[B].geom.stride = nb_hw_of(2));
    HURT(B, m->s[B].geom.kh = 0);
    HURT(B, m->s[B].geom.pad.right = -1);
    HURT(B, m->s[B].geom.pad.top = INT32_MAX);
    HURT(B, m->s[B].geom.dilation.h = 0);
    HURT(B, m->s[B].geom.dilation.w = INT32_MAX);
    HURT(B, m->s[B].geom.groups = 0);
    HURT(B, m->s[B].geom.groups = 3);
    HURT(B, m->s[B].geom.groups = INT32_MIN);
    HURT(B, m->s[B].geom.kh = m->s[B].geom.kw = 5; m->s[B].geom.pad = nb_sides_of(1));
    HURT(E, m->s[E].geom.oc = 3);
    HURT(E, m->s[E].geom.oc = m->t[E].c = 8; m->t[E].offset = 512; m->e.tensor_bytes = 1024);
    HURT(E, m->s[E].geom.dilation = nb_hw_of(2); m->s[E].geom.pad = nb_sides_of(2));
    HURT(E, m->s[E].geom = square(4, 4, 6, 4, 1, 1, 1); /* windows of padding alone */
         m->t[E].h = m->t[E].w = 6; m->t[E].offset = 512; m->e.tensor_bytes = 1024);
    HURT(E, m->s[E].geom = square(4, 4, 6, 4, 3, 1, 1); m->s[E].geom.kh = 1; m->s[E].geom.ow = m->t[E].w = 4;
         m->t[E].h = 6; m->t[E].offset = 512; m->e.tensor_bytes = 1024);
    HURT(E, m->s[E].geom = square(4, 4, 6, 4, 3, 1, 1); m->s[E].geom.kw = 1; m->s[E].geom.oh = m->t[E].h = 4;
         m->t[E].w = 6; m->t[E].offset = 512; m->e.tensor_bytes = 1024);
    HURT(F, m->s[F].geom.pad.top = m->s[F].geom.kh; m->s[F].geom.oh++); /* a window of padding alone */
    HURT(FINE, m->s[F].geom.groups = 7);                                /* pools do not look at groups */
}

/* e moves codes instead. */
static void make_moves(sample *m, int32_t kind)
{
    m->s[E].kind = kind;
    m->s[E].hi = 255;
    for (int32_t i = 0; i < 4; i++)
        m->index[i] = 3 - i;
    for (int32_t axis = 0; axis < 3; axis++)
        m->s[E].index[axis] = m->index;
}

static void indices_outside_are_named(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(FINE, make_moves(m, NB_STEP_TAKE));
    HURT(FINE, make_moves(m, NB_STEP_TAKE); m->index[2] = -1);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->index[2] = -2);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->index[3] = 4);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->s[E].index[2] = NULL);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->t[E].zero = 1);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->t[E].type = NB_EI_S8; m->s[E].hi = 127);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->s[E].hi = 254); /* would have to clamp */
    HURT(E, make_moves(m, NB_STEP_TAKE); m->s[E].lo = 1);
    HURT(FINE, make_moves(m, NB_STEP_TAKE); m->s[D].hi = m->s[E].hi = 254);
    HURT(E, make_moves(m, NB_STEP_TAKE); m->s[E].n_in = 2);
    HURT(FINE, make_moves(m, NB_STEP_BLEND); m->s[E].index[2] = NULL);
    HURT(FINE, make_moves(m, NB_STEP_BLEND); m->index[1] = 3 * 2048);
    HURT(E, make_moves(m, NB_STEP_BLEND); m->index[1] = 3 * 2048 + 1);
    HURT(E, make_moves(m, NB_STEP_BLEND); m->index[1] = -1);
    HURT(E, make_moves(m, NB_STEP_BLEND); m->t[E].c = 2);
}

static void tensors_of_wrong_shape_type_or_place_are_named(void **state)
{
    (void)state;
    sample samples[1], *m = samples;
    HURT(E, m->t[E].type = NB_EI_S8; m->s[E].hi = 100); /* a maximum keeps its grid */
    HURT(E, m->t[E].zero = 1);
    HURT(FINE, m->t[F].zero = 1); /* an average may change it */
    HURT(C, m->t[C].h = 3);
    HURT(FINE, m->s[C].kind = NB_STEP_MUL; m->add_mult[0] = 1 << 30);
    HURT(C, m->s[C].kind = NB_STEP_MUL; m->add_mult[0] = 1 << 30; m->s[C].n_in = 1);
    HURT(C, m->s[C].kind = NB_STEP_MUL; m->add_mult[0] = 1 << 30; m->t[C].h = 2); /* of two that have 4 */
    HURT(FINE, as_gate(m, 1, 1, 2));
    HURT(FINE, as_gate(m, 4, 4, 1));
    HURT(FINE, as_gate(m, 1, 1, 1));
    HURT(C, as_gate(m, 2, 2, 2));
    HURT(C, as_gate(m, 1, 1, 1); m->s[C].in[0] = B); /* y's sides are no input's */
    HURT(C, m->t[C].h = 2; m->t[C].w = 8);
    HURT(D, m->t[D].c = 3);
    HURT(D, m->s[D].kind = NB_STEP_ADD);
    HURT(TENSOR + B, m->t[B].c = 0);
    HURT(TENSOR + B, m->t[B].c = BIG / 8; m->e.tensor_bytes = BIG * 4u);
    HURT(TENSOR + TENSORS, m->e.n_tensors++);
    HURT(G, m->t[G].c = 4);
    HURT(TENSOR + B, m->t[B].h = 0);
    HURT(TENSOR + B, m->t[B].c = -2);
    HURT(TENSOR + B, m->t[B].h = BIG; m->t[B].w = BIG; m->t[B].c = BIG);
    HURT(TENSOR + B, m->t[B].type = 3);
    HURT(TENSOR + B, m->t[B].zero = 256);
    HURT(TENSOR + B, m->t[B].type = NB_EI_S8; m->t[B].zero = 128);
    HURT(TENSOR + G, m->t[G].zero = 1);
    HURT(B, m->t[B].type = NB_EI_S32); /* only logits are wide */
    HURT(TENSOR + B, m->t[B].offset = 65);
    HURT(TENSOR + B, m->t[B].offset = UINT64_MAX - 63);
    HURT(TENSOR + B, m->t[B].offset = TENSORS * 64);
    HURT(TENSOR + G, m->e.tensor_bytes -= 53);
    HURT(TENSOR + 0, m->e.tensor_bytes = UINT64_MAX);
    HURT(B, m->t[B].offset = m->t[A].offset);
    HURT(C, m->t[C].offset = m->t[A].offset); /* A is still read by D */
    HURT(D, m->t[D].offset = m->t[A].offset); /* read and overwritten by one step */
    HURT(FINE, m->t[E].offset = m->t[A].offset);
    HURT(0, m->e.n_steps = 0);
    HURT(0, m->e.n_steps = INT32_MIN);
    HURT(0, m->e.steps = NULL);
    HURT(TENSOR + 0, m->e.n_tensors = 0);
    HURT(TENSOR + 0, m->e.tensors = NULL);
    HURT(0, m->e.n_steps = NB_ENGINE_MAX_STEPS + 1);
    HURT(TENSOR + 0, m->e.n_tensors = NB_ENGINE_MAX_TENSORS + 1);
}

/* ---- accumulators ---- */

typedef struct {
    int32_t n, weight, zero, lo, hi, bias; /* n weights, the last n_negative of them negated */
    int32_t n_negative, type;
} sum_case;

/* One linear channel over n pixels whose codes are lo..hi. */
static int32_t check_sum(const sum_case *c)
{
    uint8_t table[256];
    memset(table, c->lo, sizeof table);
    int8_t *w = malloc((size_t)c->n);
    assert_non_null(w);
    for (int32_t i = 0; i < c->n; i++)
        w[i] = (int8_t)(i < c->n - c->n_negative ? c->weight : -c->weight);
    const int32_t mult = 1 << 30, shift = 40;
    const nb_etensor t[] = {{.h = c->n / 10 / (c->n > 100000 ? 10 : 1),
                             .w = c->n > 100000 ? 100 : 10,
                             .c = 1,
                             .type = c->type,
                             .zero = c->zero},
                            {.h = 1, .w = 1, .c = 1, .offset = (uint64_t)(c->n + 63) / 64 * 64}};
    nb_estep s[] = {{.kind = NB_STEP_TABLE, .out = 0, .lo = c->lo, .hi = c->hi, .table = table},
                    {.kind = NB_STEP_CONV,
                     .n_in = 1,
                     .out = 1,
                     .hi = 255,
                     .weights = w,
                     .bias = &c->bias,
                     .mult = &mult,
                     .shift = &shift,
                     .geom = square(1, c->n, 1, 1, 1, 1, 0)}};
    const nb_emodel e = {.n_tensors = 2, .n_steps = 2, .tensors = t, .steps = s, .tensor_bytes = t[1].offset + 1};
    const int32_t fault = nb_engine_check(&e);
    free(w);
    return fault;
}

/* In the order of the cases: 66310 * 127 * 255 = 2147449350 is 34297 below 2^31 - 1 (sums stay below 2^31 in magnitude); sums that fit only together with
 * their bias; few bits allow more weights, unless padding brings a far zero point; sums whose first half does not fit
 * although the whole does, (128 - 100) * 133000 * 127 and (255 - 100) * 90000 * 127. */
static void sums_are_accepted_to_the_last_unit_and_no_further(void **state)
{
    (void)state;
    const struct {
        sum_case c;
        int32_t fault;
    } cases[] = {
        {{.n = 66310, .weight = 127, .hi = 255, .bias = 34297}, 0},
        {{.n = 66310, .weight = 127, .hi = 255, .bias = 34298}, 2},
        {{.n = 66310, .weight = -127, .hi = 255, .bias = -34297}, 0},
        {{.n = 66310, .weight = -127, .hi = 255, .bias = -34298}, 2},
        {{.n = 90000, .weight = 127, .hi = 255, .bias = -1000000000}, 2},
        {{.n = 90000, .weight = -127, .hi = 255, .bias = 1000000000}, 2},
        {{.n = 90000, .weight = 127, .hi = 15}, 0},
        {{.n = 90000, .weight = 127, .hi = 15, .zero = 255}, 2},
        {{.n = 140000, .weight = 127, .hi = 15, .type = NB_EI_S8}, 0},
        {{.n = 140000, .weight = 127, .hi = 15, .type = NB_EI_S8, .zero = -128}, 2},
        {{.n = 266000, .weight = 127, .zero = -100, .lo = -128, .hi = -100, .n_negative = 133000, .type = NB_EI_S8}, 2},
        {{.n = 180000, .weight = 127, .zero = 100, .lo = 100, .hi = 255, .n_negative = 90000}, 2},
        {{.n = 180000, .weight = -127, .zero = 100, .lo = 100, .hi = 255, .n_negative = 90000}, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (check_sum(&cases[i].c) != cases[i].fault)
            fail_msg("case %d: check says %d", (int)i, (int)check_sum(&cases[i].c));
}

/* ---- mutations: whatever check lets pass must run inside its memory and give what the interpreter gives ---- */

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static int32_t mutated(nb_rng *r, int32_t v)
{
    const int32_t values[] = {0, 1, -1, 2, 3, 127, 128, 255, 256, 1 << 30, INT32_MAX, INT32_MIN, 1 << 20, 1 << 10};
    switch (pick(r, 0, 4)) {
    case 0:
        return values[pick(r, 0, 13)];
    case 1:
        return (int32_t)((uint32_t)v + (uint32_t)pick(r, -2, 2));
    case 2:
        return pick(r, 0, 8);
    case 3:
        return (int32_t)((uint32_t)v * 2u);
    default:
        return (int32_t)nb_rng_u32(r);
    }
}

static void mutate_array(nb_rng *r, const void *array, int64_t bytes)
{
    if (!array || bytes <= 0)
        return;
    if (bytes % 4 || pick(r, 0, 1)) { /* one byte; the arrays are our own */
        uint8_t *p = (uint8_t *)(uintptr_t)array;
        p[nb_rng_below(r, (uint32_t)bytes)] ^= (uint8_t)(1u << pick(r, 0, 7));
        return;
    }
    int32_t *p = (int32_t *)(uintptr_t)array + nb_rng_below(r, (uint32_t)(bytes / 4));
    *p = mutated(r, *p);
}

static void mutate_step(nb_rng *r, ref_model *m, nb_estep *s)
{
    int32_t *fields[] = {&s->kind,
                         &s->n_in,
                         &s->one_table,
                         &s->in[0],
                         &s->in[1],
                         &s->out,
                         &s->lo,
                         &s->hi,
                         &s->geom.h,
                         &s->geom.w,
                         &s->geom.c,
                         &s->geom.oh,
                         &s->geom.ow,
                         &s->geom.oc,
                         &s->geom.kh,
                         &s->geom.kw,
                         &s->geom.pad.left,
                         &s->geom.pad.bottom,
                         &s->geom.stride.h,
                         &s->geom.stride.w,
                         &s->geom.dilation.w,
                         &s->geom.groups};
    const int32_t n = (int32_t)(sizeof fields / sizeof *fields), axis = pick(r, 0, 2);
    const int32_t i = s->index[0] && pick(r, 0, 1) ? n + 9 : pick(r, 0, n + 8);
    const ref_step_bytes b = ref_model_step_bytes(&m->e, s);
    if (i < n)
        *fields[i] = mutated(r, *fields[i]);
    else if (i == n)
        s->in[pick(r, 0, 1)] = pick(r, 0, m->e.n_tensors - 1);
    else if (i == n + 1)
        s->out = pick(r, 0, m->e.n_tensors - 1);
    else if (i == n + 2)
        mutate_array(r, s->table, b.table);
    else if (i == n + 3)
        mutate_array(r, s->weights, b.weights);
    else if (i == n + 4)
        mutate_array(r, s->bias, b.bias);
    else if (i < n + 7)
        mutate_array(r, s->mult, b.mult);
    else if (i < n + 9)
        mutate_array(r, s->shift, b.shift);
    else
        mutate_array(r, s->index[axis], b.index[axis]);
}

static void mutate_tensor(nb_rng *r, ref_model *m, nb_etensor *t)
{
    int32_t *fields[] = {&t->h, &t->w, &t->c, &t->type, &t->zero};
    const int32_t i = pick(r, 0, 9);
    if (i < 5)
        *fields[i] = mutated(r, *fields[i]);
    else if (i < 8) /* somewhere else in the arena: overlaps, some harmless */
        t->offset = nb_rng_below(r, (uint32_t)(m->e.tensor_bytes / 64 + 2)) * 64u;
    else if (i == 8)
        t->offset = nb_rng_u32(r) * (uint64_t)nb_rng_u32(r);
    else
        m->e.tensor_bytes -= nb_rng_below(r, 100);
}

/* Gives an array the length the mutated geometry asks for, as check is promised; false if that is absurd. */
static bool resize(const void **array, int64_t old, int64_t now)
{
    if (now < 0 || !*array || now == old)
        return now >= 0;
    uint8_t *p = malloc(now ? (size_t)now : 1);
    assert_non_null(p);
    for (int64_t i = 0; i < now; i++)
        p[i] = old > 0 ? ((const uint8_t *)*array)[i % old] : 0;
    free((void *)(uintptr_t)*array);
    *array = p;
    return true;
}

static bool resize_all(ref_model *m, nb_estep *s, const ref_step_bytes *old)
{
    const ref_step_bytes now = ref_model_step_bytes(&m->e, s);
    const void *a[] = {s->table, s->weights, s->bias, s->mult, s->shift, s->index[0], s->index[1], s->index[2]};
    bool fits = resize(&a[0], old->table, now.table) && resize(&a[1], old->weights, now.weights) &&
                resize(&a[2], old->bias, now.bias) && resize(&a[3], old->mult, now.mult) &&
                resize(&a[4], old->shift, now.shift);
    s->table = a[0];
    s->weights = a[1];
    s->bias = a[2];
    s->mult = a[3];
    s->shift = a[4];
    for (int32_t axis = 0; axis < 3; axis++) {
        fits = resize(&a[5 + axis], old->index[axis], now.index[axis]) && fits;
        s->index[axis] = a[5 + axis];
    }
    return fits;
}

static void run_accepted(ref_model *m)
{
    const nb_etensor *in = &m->tensors[m->e.steps[0].out];
    const size_t pixels = (size_t)in->h * (size_t)in->w * (size_t)in->c, need = nb_engine_arena_bytes(&m->e);
    if (need > (size_t)1 << 24 || nb_engine_packed_bytes(&m->e) > (size_t)1 << 24)
        return;
    ref_guard image = ref_guard_alloc(pixels, GUARD_END), arena = ref_guard_alloc(need, GUARD_END);
    ref_guard packed = ref_guard_alloc(nb_engine_packed_bytes(&m->e), GUARD_END);
    for (size_t i = 0; i < pixels; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i * 37 + i / 11);
    nb_engine_prepare(&m->e, packed.data);
    ref_values want = ref_engine_run(&m->e, image.data);
    const void *y = nb_engine_run(&m->e, arena.data, image.data);
    assert_true(ref_engine_equal(&m->e, &want, m->e.steps[m->e.n_steps - 1].out, y));
    ref_values_free(&want);
    ref_guard_free(&image);
    ref_guard_free(&arena);
    ref_guard_free(&packed);
}

static void mutants_are_refused_or_run_as_the_interpreter_does(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(21, 0);
    int32_t refused = 0, accepted = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        ref_model *m = ref_model_random(seed);
        ref_step_bytes old[64];
        bool sane = true;
        for (int32_t i = 0; i < m->e.n_steps; i++)
            old[i] = ref_model_step_bytes(&m->e, &m->e.steps[i]);
        if (pick(&r, 0, 2))
            mutate_step(&r, m, &m->e.steps[pick(&r, 0, m->e.n_steps - 1)]);
        else
            mutate_tensor(&r, m, &m->tensors[pick(&r, 0, m->e.n_tensors - 1)]);
        for (int32_t i = 0; i < m->e.n_steps; i++)
            sane = resize_all(m, &m->e.steps[i], &old[i]) && sane;
        if (sane) {
            const int32_t fault = nb_engine_check(&m->e);
            assert_true(fault >= 0 && fault <= m->e.n_steps + m->e.n_tensors);
            if (fault)
                refused++;
            else
                run_accepted(m);
            accepted += !fault;
        }
        ref_model_free(m);
    }
    assert_true(refused > 500 && accepted > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_that_read_or_write_the_wrong_things_are_named),
        cmocka_unit_test(tables_of_codes_are_checked_like_those_of_pixels),
        cmocka_unit_test(missing_arrays_and_bad_numbers_are_named),
        cmocka_unit_test(geometries_that_do_not_fit_are_named),
        cmocka_unit_test(indices_outside_are_named),
        cmocka_unit_test(tensors_of_wrong_shape_type_or_place_are_named),
        cmocka_unit_test(sums_are_accepted_to_the_last_unit_and_no_further),
        cmocka_unit_test(mutants_are_refused_or_run_as_the_interpreter_does),
    };
    return cmocka_run_group_tests_name("engine_check", tests, NULL, NULL);
}
