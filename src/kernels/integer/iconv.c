/* iconv.c - integer convolution: what is supported, and the choice of a variant and of a method per layer. */
#include "kernels/integer/iconv.h"

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_direct.h"
#include "kernels/integer/iconv_winograd.h"
#include "kernels/rescale.h"

enum {
    LANES = NB_ICONV_LANES,
    MAX_SIZE = 1 << 20,   /* of one dimension; keeps nb_geom_out in 32 bits */
    MAX_WINDOW = 1 << 10, /* of kernel and dilation */
    MAX_COUNT = 1 << 28   /* of each array: offsets fit in int32, bytes in the size_t of 32-bit machines */
};

static bool in_range(int32_t v, int32_t lo, int32_t hi)
{
    return lo <= v && v <= hi;
}

/* a * b * c * d <= MAX_COUNT, for factors up to 2^34. */
static bool small_product(int64_t a, int64_t b, int64_t c, int64_t d)
{
    int64_t p = a;
    const int64_t factor[3] = {b, c, d};
    for (int32_t i = 0; i < 3 && p <= MAX_COUNT; i++)
        p *= factor[i];
    return p <= MAX_COUNT;
}

bool nb_iconv_supports(const nb_geom *g)
{
    if (!in_range(g->h, 1, MAX_SIZE) || !in_range(g->w, 1, MAX_SIZE) || !in_range(g->c, 1, MAX_SIZE) ||
        !in_range(g->oc, 1, MAX_SIZE) || !in_range(g->stride.h, 1, MAX_SIZE) || !in_range(g->stride.w, 1, MAX_SIZE))
        return false;
    if (!in_range(g->pad.top, 0, MAX_SIZE) || !in_range(g->pad.left, 0, MAX_SIZE) ||
        !in_range(g->pad.bottom, 0, MAX_SIZE) || !in_range(g->pad.right, 0, MAX_SIZE))
        return false;
    if (!in_range(g->kh, 1, MAX_WINDOW) || !in_range(g->kw, 1, MAX_WINDOW) || !in_range(g->dilation.h, 1, MAX_WINDOW) ||
        !in_range(g->dilation.w, 1, MAX_WINDOW))
        return false;
    if (!in_range(g->groups, 1, g->c) || g->c % g->groups || g->oc % g->groups)
        return false;
    nb_geom fitting = *g;
    nb_geom_fit(&fitting);
    if (g->oh < 1 || g->oh != fitting.oh || g->ow < 1 || g->ow != fitting.ow)
        return false;
    const int64_t taps = (int64_t)g->kh * g->kw, cg = g->c / g->groups, ocg = g->oc / g->groups;
    const int64_t ph = (int64_t)(g->oh - 1) * g->stride.h + g->dilation.h * (g->kh - 1) + 1;
    const int64_t pw = (int64_t)(g->ow - 1) * g->stride.w + g->dilation.w * (g->kw - 1) + 1;
    /* Rounding up to steps and panels adds at most 3 values to a run and 15 channels to a group. */
    return small_product(ph, pw, g->c, 1) && small_product(g->oh, g->ow, g->oc, 1) &&
           small_product(g->h, g->w, g->c, 1) &&
           small_product(taps, cg + 3, g->groups, (ocg + LANES - 1) / LANES * LANES);
}

const nb_variant nb_iconv_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_iconv_##name},
#include "kernels/integer/iconv.def"
#undef VARIANT
    {0}};

static const nb_variant *best(void)
{
    return nb_variant_best(nb_iconv_variants);
}

static const nb_iconv_method *const *methods_of(const nb_variant *v)
{
    return ((const nb_iconv_isa *)v->kernels)->methods;
}

static int32_t choice(const nb_iconv_method *m, const nb_iconv_facts *f)
{
    return m->choose ? m->choose(f) : 1;
}

bool nb_iconv_accepts(const nb_iconv_method *method, const int8_t *w, nb_icodes x, const nb_geom *g)
{
    const nb_iconv_facts f = {g, x, w};
    return !nb_iconv_is_depthwise(g) && choice(method, &f) != 0;
}

const nb_iconv_method *nb_iconv_method_of(const void *packed)
{
    return ((const nb_iconv_header *)packed)->method;
}

/* Calls f for every method that a layer may end up with on this variant; the largest answer. */
static size_t largest(const nb_variant *v, const nb_geom *g, size_t (*f)(const nb_geom *g, nb_iconv_form form))
{
    size_t bytes = 0;
    for (; v; v = nb_variant_below(nb_iconv_variants, v))
        for (const nb_iconv_method *const *m = methods_of(v); *m; m++) {
            const size_t n = f(g, (*m)->form);
            bytes = n > bytes ? n : bytes;
        }
    return bytes;
}

static size_t packed_bytes(const nb_geom *g, nb_iconv_form form)
{
    return form == NB_ICONV_WINOGRAD ? nb_iconv_winograd_packed_bytes(g) : nb_iconv_direct_packed_bytes(g, form);
}

static size_t scratch_bytes(const nb_geom *g, nb_iconv_form form)
{
    return form == NB_ICONV_WINOGRAD ? nb_iconv_winograd_scratch_bytes(g) : nb_iconv_direct_scratch_bytes(g, form);
}

size_t nb_iconv_packed_bytes_on(const nb_variant *v, const nb_geom *g)
{
    return largest(v, g, packed_bytes);
}

size_t nb_iconv_scratch_bytes_on(const nb_variant *v, const nb_geom *g)
{
    return largest(v, g, scratch_bytes);
}

static const nb_iconv_method *first_that_accepts(const nb_variant *v, const nb_iconv_facts *f)
{
    for (;; v = nb_variant_below(nb_iconv_variants, v))
        for (const nb_iconv_method *const *m = methods_of(v); *m; m++)
            if (choice(*m, f))
                return *m;
}

static bool is_winograd(const nb_iconv_header *h)
{
    return h->method && h->method->form == NB_ICONV_WINOGRAD;
}

void nb_iconv_pack_on(const nb_variant *v, const nb_iconv_method *method, void *packed, const int8_t *w, nb_icodes x,
                      const nb_geom *g)
{
    nb_iconv_header *h = packed;
    memset(h, 0, NB_ICONV_HEADER);
    h->variant = v;
    if (!nb_iconv_is_depthwise(g)) {
        const nb_iconv_facts f = {g, x, w};
        h->method = method ? method : first_that_accepts(v, &f);
        h->base = h->method->form == NB_ICONV_BYTES ? x.lo + h->method->middle : 0;
        h->burst = choice(h->method, &f);
    }
    (is_winograd(h) ? nb_iconv_winograd_pack : nb_iconv_direct_pack)(packed, w, g);
}

size_t nb_iconv_packed_bytes(const nb_geom *g)
{
    return nb_iconv_packed_bytes_on(best(), g);
}

size_t nb_iconv_scratch_bytes(const nb_geom *g)
{
    return nb_iconv_scratch_bytes_on(best(), g);
}

void nb_iconv_pack(void *packed, const int8_t *w, nb_icodes x, const nb_geom *g)
{
    nb_iconv_pack_on(best(), NULL, packed, w, x, g);
}

void nb_iconv_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                   int32_t y0, int32_t y1, void *scratch)
{
    (is_winograd(packed) ? nb_iconv_winograd_rows : nb_iconv_direct_rows)(out, in, packed, g, y0, y1, scratch);
}

void nb_iconv_run(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const void *packed, const nb_geom *g,
                  void *scratch)
{
    const nb_iconv_output out = {.acc = acc};
    const nb_iconv_input in = {.x = x, .is_signed = x_signed, .zero = zero};
    nb_iconv_rows(&out, &in, packed, g, 0, g->oh, scratch);
}

void nb_iconv_requantize_on(const nb_variant *v, uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows,
                            int32_t c)
{
    NB_ICONV_FUNCTION(v, requantize)(codes, acc, q, rows, c);
}

void nb_iconv_requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    nb_iconv_requantize_on(best(), codes, acc, q, rows, c);
}

void nb_iconv_requantize_s32(int32_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, acc += c, codes += c)
        for (int32_t i = 0; i < c; i++) {
            const int32_t v = acc[i] + q->bias[i];
            codes[i] = q->mult ? nb_rescale(v, q->mult[i], q->shift[i], q->zero, q->lo, q->hi)
                               : nb_clamp_code(v, q->lo, q->hi);
        }
}
