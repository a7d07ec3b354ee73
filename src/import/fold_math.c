/* fold_math.c - arithmetic on constants, value by value, spread as ONNX spreads. */
#include "base/check.h"
#include "import/onnx_fold.h"

#include <math.h>

typedef enum { ADD, SUB, MUL, DIV, POW, MIN, MAX, EQUAL } two;
typedef enum { NEG, SQRT, RECIPROCAL, FLOOR, CEIL, ABS, EXP, LOG } one;

static double of_floats(two op, double a, double b)
{
    switch (op) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL:
        return a * b;
    case DIV:
        return a / b;
    case POW:
        return pow(a, b);
    case MIN:
        return isnan(a) || isnan(b) ? NAN : fmin(a, b);
    case MAX:
        return isnan(a) || isnan(b) ? NAN : fmax(a, b);
    default:
        return a == b;
    }
}

static int64_t int_pow(int64_t a, int64_t b)
{
    uint64_t y = 1, x = (uint64_t)a;
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    for (; b; b >>= 1, x *= x)
        y *= b & 1 ? x : 1;
    return (int64_t)y;
}

/* Wraps as a machine does; false: no number comes of it. */
static bool of_ints(two op, int64_t a, int64_t b, int64_t *y)
{
    const bool batch = a == ONNX_BATCH || b == ONNX_BATCH;
    const int64_t neutral = op == MUL || op == DIV ? 1 : 0;
    if (op == EQUAL) {
        *y = a == b;
        return true;
    }
    if (batch) { /* the number of images, plus 0 or times 1 */
        *y = ONNX_BATCH;
        return (op <= DIV && a == ONNX_BATCH && b == neutral) || ((op == ADD || op == MUL) && a == neutral);
    }
    if (op == DIV && (b == 0 || (b == -1 && a == INT64_MIN)))
        return false;
    switch (op) {
    case ADD:
        *y = (int64_t)((uint64_t)a + (uint64_t)b);
        return true;
    case SUB:
        *y = (int64_t)((uint64_t)a - (uint64_t)b);
        return true;
    case MUL:
        *y = (int64_t)((uint64_t)a * (uint64_t)b);
        return true;
    case DIV:
        *y = a / b;
        return true;
    case POW:
        *y = int_pow(a, b);
        return true;
    default:
        *y = (op == MIN) == (a < b) ? a : b;
        return true;
    }
}

static int64_t to_int(double v)
{
    return v != v ? 0 : v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? -INT64_MAX : (int64_t)v;
}

static nb_status math_fails(const fold_job *f)
{
    return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED,
                     "divides by 0, or computes with the number of images, which is not known before it runs");
}

typedef struct {
    const nb_st_tensor *t;
    int64_t stride[NB_ST_MAX_DIM], at;
} side;

/* One step of an odometer over out. */
static void advance(const nb_st_tensor *out, int64_t *at, side *sides, int32_t n)
{
    for (int32_t k = out->ndim - 1; k >= 0; k--) {
        const bool wraps = ++at[k] == out->shape[k];
        for (int32_t i = 0; i < n; i++)
            sides[i].at += wraps ? -sides[i].stride[k] * (out->shape[k] - 1) : sides[i].stride[k];
        if (!wraps)
            return;
        at[k] = 0;
    }
}

static nb_status pair(const fold_job *f, two op, const nb_st_tensor *a, const nb_st_tensor *b, nb_st_tensor *out)
{
    side s[2] = {{.t = a}, {.t = b}};
    int64_t dims[NB_ST_MAX_DIM], at[NB_ST_MAX_DIM] = {0};
    int32_t ndim;
    const bool ints = fold_is_int(a) && (fold_is_int(b) || op == POW), whole = ints && fold_is_int(b);
    if ((fold_is_int(a) != fold_is_int(b) && op != POW) || !fold_spread(a, b, &ndim, dims))
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "its inputs do not fit each other");
    NB_TRY(fold_new(f, ints || op == EQUAL ? NB_ST_I64 : NB_ST_F32, ndim, dims, out));
    int64_t *to = (int64_t *)(uintptr_t)out->data;
    float *to_float = (float *)(uintptr_t)out->data;
    fold_strides(a, ndim, s[0].stride);
    fold_strides(b, ndim, s[1].stride);
    for (int64_t i = 0; i < out->count; i++) {
        const double v = whole ? 0 : of_floats(op, fold_number(a, s[0].at), fold_number(b, s[1].at));
        if (whole && !of_ints(op, ((const int64_t *)a->data)[s[0].at], ((const int64_t *)b->data)[s[1].at], &to[i]))
            return math_fails(f);
        if (!whole && out->dtype == NB_ST_I64)
            to[i] = to_int(v);
        else if (!whole)
            to_float[i] = (float)v;
        advance(out, at, s, 2);
    }
    return NB_OK;
}

static two which(const fold_job *f)
{
    return (two)onnx_fold_find(f->d->op)->which;
}

/* Sum, Min and Max take any number. */
static nb_status fold_pairs(const fold_job *f)
{
    nb_st_tensor sum = *f->in[0];
    for (int32_t k = 1; k < f->n_in; k++) {
        nb_st_tensor next;
        if (!f->in[k])
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "input %d is missing", k);
        NB_TRY(pair(f, which(f), &sum, f->in[k], &next));
        sum = next;
    }
    return fold_give(f, 0, &sum);
}

static double of_float(one op, double v)
{
    switch (op) {
    case NEG:
        return -v;
    case SQRT:
        return sqrt(v);
    case RECIPROCAL:
        return 1 / v;
    case FLOOR:
        return floor(v);
    case CEIL:
        return ceil(v);
    case ABS:
        return fabs(v);
    case EXP:
        return exp(v);
    default:
        return log(v);
    }
}

static nb_status fold_one(const fold_job *f)
{
    nb_st_tensor out;
    const nb_st_tensor *t = f->in[0];
    const one op = (one)which(f);
    const bool ints = fold_is_int(t);
    NB_TRY(fold_new(f, ints ? NB_ST_I64 : NB_ST_F32, t->ndim, t->shape, &out));
    for (int64_t i = 0; i < t->count; i++) {
        if (ints) {
            const int64_t v = ((const int64_t *)t->data)[i];
            if ((op != NEG && op != ABS) || v == ONNX_BATCH)
                return math_fails(f);
            ((int64_t *)(uintptr_t)out.data)[i] = op == NEG || v < 0 ? -v : v;
            continue;
        }
        ((float *)(uintptr_t)out.data)[i] = (float)of_float(op, fold_number(t, i));
    }
    return fold_give(f, 0, &out);
}

static nb_status fold_where(const fold_job *f)
{
    side s[3] = {{.t = f->in[0]}, {.t = f->in[1]}, {.t = f->in[2]}};
    nb_st_tensor both = {0}, out;
    int64_t at[NB_ST_MAX_DIM] = {0};
    if (!fold_is_int(s[0].t) || s[1].t->dtype != s[2].t->dtype ||
        !fold_spread(s[0].t, s[1].t, &both.ndim, both.shape) || !fold_spread(&both, s[2].t, &both.ndim, both.shape))
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "its inputs do not fit each other");
    NB_TRY(fold_new(f, s[1].t->dtype, both.ndim, both.shape, &out));
    for (int32_t k = 0; k < 3; k++)
        fold_strides(s[k].t, out.ndim, s[k].stride);
    const int64_t none[NB_ST_MAX_DIM] = {0};
    nb_st_tensor to = out;
    to.ndim = 0;
    to.count = 1;
    for (int64_t i = 0; i < out.count; i++) {
        const side *from = &s[((const int64_t *)s[0].t->data)[s[0].at] ? 1 : 2];
        fold_copy(from->t, from->at, none, &to);
        to.data = (const uint8_t *)to.data + fold_bytes(&out);
        advance(&out, at, s, 3);
    }
    return fold_give(f, 0, &out);
}

const fold_operator fold_math[] = {
    {"Add", fold_pairs, "", 2, 2, ADD},
    {"Sub", fold_pairs, "", 2, 2, SUB},
    {"Mul", fold_pairs, "", 2, 2, MUL},
    {"Div", fold_pairs, "", 2, 2, DIV},
    {"Pow", fold_pairs, "", 2, 2, POW},
    {"Equal", fold_pairs, "", 2, 2, EQUAL},
    {"Sum", fold_pairs, "", 1, FOLD_IN, ADD},
    {"Min", fold_pairs, "", 1, FOLD_IN, MIN},
    {"Max", fold_pairs, "", 1, FOLD_IN, MAX},
    {"Where", fold_where, "", 3, 3, 0},
    {"Neg", fold_one, "", 1, 1, NEG},
    {"Sqrt", fold_one, "", 1, 1, SQRT},
    {"Reciprocal", fold_one, "", 1, 1, RECIPROCAL},
    {"Floor", fold_one, "", 1, 1, FLOOR},
    {"Ceil", fold_one, "", 1, 1, CEIL},
    {"Abs", fold_one, "", 1, 1, ABS},
    {"Exp", fold_one, "", 1, 1, EXP},
    {"Log", fold_one, "", 1, 1, LOG},
    {0},
};
