/* fold_make.c - constants from sizes: Shape, Size, ConstantOfShape, Range; and Cast. */
#include "base/check.h"
#include "import/onnx_fold.h"

#include <math.h>
#include <string.h>

/* TensorProto.DataType */
enum { TO_FLOAT = 1, TO_INT32 = 6, TO_INT64 = 7, TO_BOOL = 9, TO_DOUBLE = 11 };

static nb_status fold_shape(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    nb_st_tensor out;
    int64_t first, end;
    NB_TRY(onnx_shape_part(f->n, f->d, t->ndim, &first, &end));
    NB_TRY(fold_new(f, NB_ST_I64, 1, &(int64_t){end - first}, &out));
    if (out.count)
        memcpy((void *)(uintptr_t)out.data, &t->shape[first], (size_t)out.count * sizeof *t->shape);
    return fold_give(f, 0, &out);
}

static nb_status fold_size(const fold_job *f)
{
    nb_st_tensor out;
    NB_TRY(fold_new(f, NB_ST_I64, 0, NULL, &out));
    *(int64_t *)(uintptr_t)out.data = f->in[0]->count;
    return fold_give(f, 0, &out);
}

static nb_status fold_constant_of_shape(const fold_job *f)
{
    const onnx_attr *a = onnx_attr_find(f->d, "value");
    const nb_st_tensor zero = {.dtype = NB_ST_F32, .count = 1, .data = &(float){0}, .bytes = 4};
    const nb_st_tensor *value = a ? &a->t : &zero;
    int64_t dims[ONNX_SHAPE_MAX];
    const int64_t none[NB_ST_MAX_DIM] = {0};
    int32_t ndim;
    nb_st_tensor out;
    NB_TRY(onnx_integers(f->n, f->d, 0, NULL, dims, &ndim));
    if (a && (a->kind != ONNX_A_TENSOR || value->count != 1 || value->dtype == NB_ST_OTHER))
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED, "value: must be one float or integer");
    NB_TRY(fold_new(f, value->dtype, ndim, dims, &out));
    fold_copy(value, 0, none, &out);
    return fold_give(f, 0, &out);
}

static nb_status fold_range(const fold_job *f)
{
    const nb_st_tensor *const *in = f->in;
    nb_st_tensor out;
    bool fits = true;
    for (int32_t k = 0; k < 3; k++)
        fits = fits && in[k]->count == 1 && in[k]->dtype == in[0]->dtype &&
               !(fold_is_int(in[k]) && *(const int64_t *)in[k]->data == ONNX_BATCH);
    const double start = fits ? fold_number(in[0], 0) : 0, step = fits ? fold_number(in[2], 0) : 0;
    const double count = fits && step != 0 ? ceil((fold_number(in[1], 0) - start) / step) : -1;
    if (!fits || !(step != 0) || !(count < 1e9))
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED, "must go in steps, from one known number to another");
    const bool ints = fold_is_int(in[0]);
    NB_TRY(fold_new(f, ints ? NB_ST_I64 : NB_ST_F32, 1, &(int64_t){count > 0 ? (int64_t)count : 0}, &out));
    for (int64_t i = 0; i < out.count; i++)
        if (ints)
            ((int64_t *)(uintptr_t)out.data)[i] = (int64_t)((uint64_t) * (const int64_t *)in[0]->data +
                                                            (uint64_t)i * (uint64_t) * (const int64_t *)in[2]->data);
        else
            ((float *)(uintptr_t)out.data)[i] = (float)(start + (double)i * step);
    return fold_give(f, 0, &out);
}

static nb_status to_floats(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    nb_st_tensor out;
    NB_TRY(fold_new(f, NB_ST_F32, t->ndim, t->shape, &out));
    for (int64_t i = 0; i < t->count; i++) {
        if (fold_is_int(t) && ((const int64_t *)t->data)[i] == ONNX_BATCH)
            return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED,
                             "computes with the number of images, which is not known before it runs");
        ((float *)(uintptr_t)out.data)[i] = (float)fold_number(t, i);
    }
    return fold_give(f, 0, &out);
}

static nb_status to_integers(const fold_job *f, int64_t type)
{
    const nb_st_tensor *t = f->in[0];
    nb_st_tensor out;
    NB_TRY(fold_new(f, NB_ST_I64, t->ndim, t->shape, &out));
    for (int64_t i = 0; i < t->count; i++) {
        const bool whole = fold_is_int(t);
        const double v = whole ? 0 : fold_number(t, i);
        const int64_t y = whole ? ((const int64_t *)t->data)[i] : v > -9e18 && v < 9e18 ? (int64_t)v : 0;
        ((int64_t *)(uintptr_t)out.data)[i] = type == TO_BOOL ? (whole ? y != 0 : v != 0) : y;
    }
    return fold_give(f, 0, &out);
}

static nb_status cast_to(const fold_job *f, int64_t type)
{
    const nb_st_tensor *t = f->in[0];
    const bool to_int = type == TO_INT32 || type == TO_INT64 || type == TO_BOOL;
    if (!to_int && type != TO_FLOAT && type != TO_DOUBLE)
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED,
                         "to: %lld: must be a float of 32 or 64 bits, int32, int64 or bool", (long long)type);
    if (to_int && !(fold_is_int(t) && type != TO_BOOL))
        return to_integers(f, type);
    return to_int || (!fold_is_int(t) && (t->dtype != NB_ST_F64 || type == TO_DOUBLE)) ? fold_give(f, 0, t)
                                                                                       : to_floats(f);
}

static nb_status fold_cast(const fold_job *f)
{
    int64_t type;
    NB_TRY(onnx_attr_int(f->n, f->d, "to", 0, &type));
    return cast_to(f, type);
}

static nb_status fold_cast_like(const fold_job *f)
{
    const nb_st_dtype like = f->in[1]->dtype;
    return cast_to(f, like == NB_ST_F32 ? TO_FLOAT : like == NB_ST_F64 ? TO_DOUBLE : like == NB_ST_I64 ? TO_INT64 : 0);
}

const fold_operator fold_make[] = {
    {"Shape", fold_shape, "start end", 1, 1, 0},
    {"Size", fold_size, "", 1, 1, 0},
    {"ConstantOfShape", fold_constant_of_shape, "value", 1, 1, 0},
    {"Range", fold_range, "", 3, 3, 0},
    {"Cast", fold_cast, "to saturate", 1, 1, 0},
    {"CastLike", fold_cast_like, "saturate", 2, 2, 0},
    {0},
};
