/* test_export_tflite.c - the TensorFlow Lite exporter: files whose tables, tensors and operators fit together. What
 * kernels compute from them is compared by `make check-tflite`, which needs LiteRT. */
#include "ref/data_fixture.h"
#include "ref/random_network.h"
#include "ref/ref_flatbuf.h"
#include "ref/tiny_int.h"

#include "base/files.h"
#include "kernels/integer/ipool.h"

#include <nibble/export.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { INT32 = 2, UINT8 = 3, INT64 = 4, INT16 = 7, INT8 = 9, INT4 = 17 };
enum {
    ADD = 0,
    AVERAGE = 1,
    CONV = 3,
    DEPTHWISE = 4,
    FULLY = 9,
    POOL = 17,
    MUL = 18,
    PAD = 34,
    GATHER = 36,
    MEAN = 40,
    SUB = 41,
    CAST = 53,
    MAXIMUM = 55,
    MINIMUM = 57,
    QUANTIZE = 114
};

typedef struct {
    ref_flat f;
    size_t codes, tensors, ops, buffers, metadata;
    int32_t input, output;
} net;

static int32_t int_at(const net *n, size_t vector, int32_t i)
{
    assert_true(i < ref_flat_count(&n->f, vector, 4));
    return ref_flat_number(&n->f, vector + 4 + 4 * (size_t)i, 4);
}

static net open_net(data_fixture *f, const char *name)
{
    net n;
    uint8_t *bytes;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 26, &bytes, &n.f.len), NB_OK);
    n.f.b = bytes;
    const size_t model = ref_flat_root(&n.f, "TFL3");
    assert_int_equal(ref_flat_i32(&n.f, model, 0), 3);
    n.codes = ref_flat_to(&n.f, model, 1);
    n.buffers = ref_flat_to(&n.f, model, 4);
    n.metadata = ref_flat_to(&n.f, model, 6);
    assert_int_equal(ref_flat_count(&n.f, ref_flat_to(&n.f, model, 2), 4), 1);
    const size_t graph = ref_flat_item(&n.f, ref_flat_to(&n.f, model, 2), 0);
    n.tensors = ref_flat_to(&n.f, graph, 0);
    n.ops = ref_flat_to(&n.f, graph, 3);
    n.input = int_at(&n, ref_flat_to(&n.f, graph, 1), 0);
    n.output = int_at(&n, ref_flat_to(&n.f, graph, 2), 0);
    return n;
}

static void close_net(data_fixture *f, net *n)
{
    nb_free(f->ctx, (void *)(uintptr_t)n->f.b);
}

static size_t tensor(const net *n, int32_t i)
{
    return ref_flat_item(&n->f, n->tensors, i);
}

static int32_t type_of(const net *n, int32_t i)
{
    return ref_flat_i8(&n->f, tensor(n, i), 1);
}

static const char *name_of(const net *n, int32_t i)
{
    return ref_flat_string(&n->f, ref_flat_to(&n->f, tensor(n, i), 3));
}

static int32_t named(const net *n, const char *name)
{
    for (int32_t i = 0; i < ref_flat_count(&n->f, n->tensors, 4); i++)
        if (!strcmp(name_of(n, i), name))
            return i;
    fail_msg("no tensor %s", name);
    return 0;
}

/* A constant's bytes; NULL: the tensor is none. */
static const uint8_t *bytes_of(const net *n, int32_t i, int32_t *len)
{
    const int32_t buffer = ref_flat_i32(&n->f, tensor(n, i), 2);
    const size_t data = buffer ? ref_flat_to(&n->f, ref_flat_item(&n->f, n->buffers, buffer), 0) : 0;
    *len = ref_flat_count(&n->f, data, 1);
    assert_true(!data || (data + 4) % 16 == 0);
    return data ? n->f.b + data + 4 : NULL;
}

/* Scale number c of a tensor, its zero point, and how many it has. */
static double scale_of(const net *n, int32_t i, int32_t c, int32_t *zero, int32_t *count)
{
    const size_t q = ref_flat_to(&n->f, tensor(n, i), 4), scales = ref_flat_to(&n->f, q, 2);
    float v;
    *count = ref_flat_count(&n->f, scales, 4);
    assert_int_equal(ref_flat_count(&n->f, ref_flat_to(&n->f, q, 3), 8), *count);
    *zero = ref_flat_number(&n->f, ref_flat_to(&n->f, q, 3) + 4, 4);
    memcpy(&v, n->f.b + scales + 4 + 4 * (c % *count), 4);
    return (double)v;
}

static int32_t op_of(const net *n, size_t op)
{
    const size_t code = ref_flat_item(&n->f, n->codes, ref_flat_i32(&n->f, op, 0));
    assert_int_equal(ref_flat_i8(&n->f, code, 0), ref_flat_i32(&n->f, code, 3));
    assert_true(ref_flat_i32(&n->f, code, 2) >= 1);
    return ref_flat_i32(&n->f, code, 3);
}

static int32_t count_of(const net *n, int32_t code)
{
    int32_t count = 0;
    for (int32_t i = 0; i < ref_flat_count(&n->f, n->ops, 4); i++)
        count += op_of(n, ref_flat_item(&n->f, n->ops, i)) == code;
    return count;
}

/* The operator that computes a tensor. */
static size_t maker(const net *n, int32_t t)
{
    for (int32_t i = 0; i < ref_flat_count(&n->f, n->ops, 4); i++)
        if (int_at(n, ref_flat_to(&n->f, ref_flat_item(&n->f, n->ops, i), 2), 0) == t)
            return ref_flat_item(&n->f, n->ops, i);
    fail_msg("nothing computes %s", name_of(n, t));
    return 0;
}

static int32_t operand(const net *n, size_t op, int32_t i)
{
    return int_at(n, ref_flat_to(&n->f, op, 1), i);
}

/* What a constant must be long, what a tensor must have. */
static void assert_tensor(const net *n, int32_t i)
{
    const size_t shape = ref_flat_to(&n->f, tensor(n, i), 0);
    const int32_t type = type_of(n, i);
    int32_t len, zero, scales = 0;
    int64_t values = 1;
    for (int32_t k = 0; k < ref_flat_count(&n->f, shape, 4); k++)
        values *= int_at(n, shape, k);
    if (bytes_of(n, i, &len))
        assert_int_equal(len, type == INT4 ? (values + 1) / 2 : values * (type == INT32 ? 4 : type == INT64 ? 8 : 1));
    if (ref_flat_to(&n->f, tensor(n, i), 4))
        assert_true(scale_of(n, i, 0, &zero, &scales) > 0 && (type != INT8 || (zero >= -128 && zero <= 127)));
    assert_true(scales > 0 || type == INT32 || type == UINT8);
}

/* Operators stand in order, every operand is the input, a constant or computed before, and computed once. */
static void assert_sound(const net *n)
{
    const int32_t tensors = ref_flat_count(&n->f, n->tensors, 4), ops = ref_flat_count(&n->f, n->ops, 4);
    int32_t len;
    bool *there = test_calloc((size_t)tensors, sizeof *there);
    assert_int_equal(ref_flat_field(&n->f, ref_flat_item(&n->f, n->buffers, 0), 0), 0);
    for (int32_t i = 0; i < tensors; i++) {
        assert_tensor(n, i);
        there[i] = i == n->input || bytes_of(n, i, &len);
    }
    for (int32_t i = 0; i < ops; i++) {
        const size_t op = ref_flat_item(&n->f, n->ops, i);
        const int32_t in = ref_flat_count(&n->f, ref_flat_to(&n->f, op, 1), 4),
                      out = int_at(n, ref_flat_to(&n->f, op, 2), 0);
        for (int32_t k = 0; k < in; k++)
            assert_true(there[operand(n, op, k)]);
        assert_false(there[out]);
        there[out] = true;
        op_of(n, op);
        assert_true(ref_flat_i8(&n->f, op, 3) != 0 && ref_flat_to(&n->f, op, 4) != 0);
    }
    assert_true(there[n->output]);
    test_free(there);
}

static nb_status write_to(data_fixture *f, const nb_intmodel *m, const char *name, const nb_export_options *o)
{
    return nb_exporter_find("tflite")->write(f->ctx, m, data_fixture_path(f, name), o);
}

/* The tiny model with scales that say its multipliers. */
typedef struct {
    ref_tiny t;
    int32_t shift[2], mean[2];
} consistent;

static void fill(consistent *c, int32_t bits)
{
    const float half = 0.1f * 128,
                scales[9] = {0.0078125f, 0.1f,      0.1f,  half * 1073754169.0f / 137438953472.0f, half, half,
                             half,       half * 16, 0.001f};
    ref_tiny_fill(&c->t, bits);
    for (int32_t i = 0; i < 9; i++)
        c->t.tinfo[i].scale = scales[i];
    c->shift[0] = 30;
    c->shift[1] = 37;
    c->t.steps[5].shift = c->shift;
}

static net exported(data_fixture *f, const consistent *c, const nb_export_options *o)
{
    nb_intmodel *m;
    assert_int_equal(ref_tiny_build(f->ctx, &c->t, &m), NB_OK);
    if (write_to(f, m, "tiny.tflite", o) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    nb_intmodel_free(f->ctx, m);
    net n = open_net(f, "tiny.tflite");
    assert_sound(&n);
    return n;
}

static void all_kinds_of_steps_become_operators(void **state)
{
    data_fixture *f = *state;
    consistent c;
    fill(&c, 8);
    net n = exported(f, &c, NULL);
    static const int32_t want[][2] = {{CONV, 1}, {DEPTHWISE, 1}, {POOL, 1}, {ADD, 1}, {MEAN, 1}, {FULLY, 1}, {PAD, 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(count_of(&n, want[i][0]), want[i][1]);
    assert_string_equal(name_of(&n, n.input), "in.fq");
    assert_string_equal(name_of(&n, n.output), "logits");
    close_net(f, &n);
}

/* u8 codes around 128 become int8 ones around 0, signed ones stay. */
static void codes_are_int8(void **state)
{
    data_fixture *f = *state;
    consistent c;
    int32_t zero, count;
    fill(&c, 8);
    net n = exported(f, &c, NULL);
    assert_int_equal(type_of(&n, n.input), INT8);
    assert_true(scale_of(&n, n.input, 0, &zero, &count) == 0.0078125);
    assert_int_equal(zero, 0);
    scale_of(&n, named(&n, "c1.fq"), 0, &zero, &count);
    assert_int_equal(zero, 3 - 128);
    scale_of(&n, named(&n, "dw.fq"), 0, &zero, &count);
    assert_int_equal(zero, -1);
    close_net(f, &n);
}

static void scales_of_weights_say_the_multipliers(void **state)
{
    data_fixture *f = *state;
    consistent c;
    int32_t zero, count, len;
    fill(&c, 8);
    net n = exported(f, &c, NULL);
    const size_t conv = maker(&n, named(&n, "c1.fq"));
    for (int32_t k = 0; k < 3; k++) {
        const double x = scale_of(&n, operand(&n, conv, 0), 0, &zero, &count),
                     w = scale_of(&n, operand(&n, conv, 1), k, &zero, &count), y = 0.1f,
                     want = ldexp(c.t.mult[k], -c.t.shift[k]);
        assert_int_equal(count, 3);
        assert_true(fabs(x * w / y - want) < want * 1e-7);
        assert_true(fabs(scale_of(&n, operand(&n, conv, 2), k, &zero, &count) - x * w) < 1e-7 * x * w);
    }
    const int32_t *bias = (const int32_t *)(const void *)bytes_of(&n, operand(&n, conv, 2), &len);
    for (int32_t k = 0; k < 3; k++) { /* the engine's holds -128 * sum w, this one not */
        int32_t sum = 0;
        for (int32_t i = 0; i < 18; i++)
            sum += c.t.conv1[k * 18 + i];
        assert_int_equal(bias[k], c.t.bias[k] + 128 * sum);
    }
    assert_memory_equal(bytes_of(&n, operand(&n, conv, 1), &len), c.t.conv1, 54);
    assert_int_equal(ref_flat_i8(&n.f, ref_flat_to(&n.f, conv, 4), 0), 0); /* SAME */
    assert_int_equal(ref_flat_i8(&n.f, ref_flat_to(&n.f, conv, 4), 3), 1); /* RELU: from the zero point up */
    close_net(f, &n);
}

static void weights_of_four_bits_are_int4_when_asked_for(void **state)
{
    data_fixture *f = *state;
    for (int32_t wide = 0; wide < 2; wide++) {
        consistent c;
        int32_t len;
        fill(&c, 4);
        net n = exported(f, &c, &(nb_export_options){.tflite_int4 = !wide});
        const int32_t w = named(&n, "c1.weight");
        const uint8_t *bytes = bytes_of(&n, w, &len);
        assert_int_equal(type_of(&n, w), wide ? INT8 : INT4);
        assert_int_equal(type_of(&n, named(&n, "dw.weight")), wide ? INT8 : INT4);
        assert_int_equal(type_of(&n, named(&n, "fc.weight")), INT8); /* 8 bits */
        for (int32_t i = 0; i < 54; i++)                             /* -7..7: bytes have room for 16 times that */
            assert_int_equal((int8_t)(wide ? bytes[i] : (bytes[i / 2] << (i % 2 ? 0 : 4)) & 0xf0), 16 * c.t.conv1[i]);
        close_net(f, &n);
    }
}

/* The last layer has 6 inputs of -128..127 around 7, clamped to 7..31, and plain sums. */
static void logits_are_int16_that_cannot_saturate(void **state)
{
    data_fixture *f = *state;
    consistent c;
    int32_t zero, count;
    fill(&c, 8);
    net n = exported(f, &c, NULL);
    assert_int_equal(type_of(&n, n.output), INT16);
    double largest = 0;
    for (int32_t k = 0; k < 4; k++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < 6; i++)
            sum += c.t.last[k * 6 + i];
        double up = c.t.bias[k] + 7 * sum, down = up;
        for (int32_t i = 0; i < 6; i++) {
            const int32_t v = c.t.last[k * 6 + i];
            *(v > 0 ? &up : &down) += 24 * v;
        }
        largest = fmax(largest, fmax(fabs(up), fabs(down)));
    }
    const double step = scale_of(&n, n.output, 0, &zero, &count);
    assert_int_equal(zero, 0);
    assert_true(largest * 0.001f <= step * 32767 && (step == (double)0.001f || largest * 0.001f > step / 2 * 32767));
    const size_t fc = maker(&n, n.output);
    assert_int_equal(op_of(&n, fc), FULLY);
    assert_int_equal(type_of(&n, operand(&n, fc, 0)), INT16);
    assert_int_equal(type_of(&n, operand(&n, fc, 2)), INT64);
    close_net(f, &n);
}

/* clamp: 7..31; dw: -8..7, of int8. */
static void narrow_clamps_are_a_maximum_and_a_minimum(void **state)
{
    data_fixture *f = *state;
    consistent c;
    int32_t len;
    fill(&c, 8);
    net n = exported(f, &c, NULL);
    const size_t below = maker(&n, named(&n, "clamp.below")), above = maker(&n, named(&n, "clamp"));
    assert_int_equal(op_of(&n, below), MAXIMUM);
    assert_int_equal(op_of(&n, above), MINIMUM);
    assert_int_equal((int8_t)*bytes_of(&n, operand(&n, below, 1), &len), 7);
    assert_int_equal((int8_t)*bytes_of(&n, operand(&n, above, 1), &len), 31);
    assert_int_equal(op_of(&n, maker(&n, named(&n, "dw.fq"))), MINIMUM);
    close_net(f, &n);
}

static void the_table_of_pixels_goes_along_or_comes_first(void **state)
{
    data_fixture *f = *state;
    consistent c;
    fill(&c, 8); /* channel 0: code = pixel; channel 1: 255 - pixel */
    net n = exported(f, &c, NULL);
    const size_t meta = ref_flat_item(&n.f, n.metadata, 0),
                 data = ref_flat_to(&n.f, ref_flat_item(&n.f, n.buffers, ref_flat_i32(&n.f, meta, 1)), 0);
    assert_string_equal(ref_flat_string(&n.f, ref_flat_to(&n.f, meta, 0)), "nibble.pixels");
    assert_int_equal(ref_flat_count(&n.f, data, 1), 512);
    for (int32_t i = 0; i < 512; i++)
        assert_int_equal((int8_t)n.f.b[data + 4 + (size_t)i], c.t.table[i] - 128);
    close_net(f, &n);
    n = exported(f, &c, &(nb_export_options){.tflite_pixels = true});
    assert_int_equal(type_of(&n, n.input), UINT8);
    assert_int_equal(count_of(&n, CAST) + count_of(&n, GATHER), 2);
    assert_int_equal(count_of(&n, ADD), 2);
    close_net(f, &n);
    memcpy(c.t.table + 256, c.t.table, 256);
    n = exported(f, &c, &(nb_export_options){.tflite_pixels = true});
    assert_int_equal(op_of(&n, maker(&n, named(&n, "in.fq"))), QUANTIZE);
    assert_int_equal(count_of(&n, GATHER), 0);
    close_net(f, &n);
}

/* s8 codes: entry k of the file's table is that of code k - 128, of which the engine's table has the byte. */
static void tables_within_the_network_are_gathers(void **state)
{
    data_fixture *f = *state;
    consistent c;
    uint8_t table[256];
    int32_t len;
    fill(&c, 8);
    for (int32_t i = 0; i < 256; i++)
        table[i] = (uint8_t)(i * 7);
    c.t.steps[6] = (nb_estep){
        .kind = NB_STEP_TABLE, .n_in = 1, .in = {5}, .out = 6, .lo = -128, .hi = 127, .table = table, .one_table = 1};
    net n = exported(f, &c, NULL);
    const size_t op = maker(&n, named(&n, "clamp"));
    assert_int_equal(op_of(&n, op), GATHER);
    const int8_t *in_file = (const int8_t *)bytes_of(&n, operand(&n, op, 0), &len);
    assert_int_equal(len, 256);
    for (int32_t code = -128; code < 128; code++)
        assert_int_equal(in_file[code + 128], (int8_t)table[(uint8_t)code]);
    close_net(f, &n);
}

static void differences_and_products_have_operators(void **state)
{
    data_fixture *f = *state;
    consistent c;
    fill(&c, 8);
    int32_t mult[2] = {c.t.mult[0], -c.t.mult[1]}, exponent;
    c.t.steps[4].mult = mult;
    net n = exported(f, &c, NULL);
    assert_int_equal(count_of(&n, SUB), 1);
    assert_int_equal(count_of(&n, ADD), 0);
    close_net(f, &n);
    const double ratio = (double)c.t.tinfo[2].scale * (double)c.t.tinfo[3].scale / (double)c.t.tinfo[4].scale;
    mult[0] = (int32_t)(frexp(ratio, &exponent) * 2147483648.0);
    mult[1] = 31 - exponent;
    c.t.steps[4].kind = NB_STEP_MUL;
    c.t.steps[4].shift = mult + 1;
    n = exported(f, &c, NULL);
    assert_int_equal(count_of(&n, MUL), 1);
    close_net(f, &n);
}

/* Rows the other way round; two channels of zeros and four others. */
static void moved_codes_are_paddings_and_gathers(void **state)
{
    data_fixture *f = *state;
    consistent c;
    fill(&c, 8);
    ref_tiny_moves(&c.t);
    net n = exported(f, &c, NULL);
    assert_int_equal(count_of(&n, GATHER), 2);
    assert_int_equal(count_of(&n, PAD), 1);
    close_net(f, &n);
}

static void assert_refused(data_fixture *f, const ref_tiny *t, const char *why)
{
    nb_intmodel *m;
    if (ref_tiny_build(f->ctx, t, &m) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    assert_int_equal(write_to(f, m, "bad.tflite", NULL), NB_E_UNSUPPORTED);
    if (!strstr(nb_ctx_error(f->ctx), why))
        fail_msg("%s", nb_ctx_error(f->ctx));
    assert_false(nb_file_exists(data_fixture_path(f, "bad.tflite")));
    nb_intmodel_free(f->ctx, m);
}

static void bilinear_upsampling_is_refused(void **state)
{
    data_fixture *f = *state;
    static const int32_t places[2] = {0, NB_BLEND_ONE};
    consistent c;
    fill(&c, 8);
    c.t.steps[6] = (nb_estep){.kind = NB_STEP_BLEND, .n_in = 1, .in = {5}, .out = 6, .lo = -128, .hi = 127};
    c.t.steps[6].index[0] = c.t.steps[6].index[1] = places;
    assert_refused(f, &c.t, "clamp: a bilinear upsample mixes pixels with shares in 2048ths");
}

static void random_networks_become_sound_files(void **state)
{
    data_fixture *f = *state;
    int32_t written = 0, padded = 0;
    for (int32_t seed = 0; seed < 30; seed++) {
        char text[REF_NETWORK_BYTES];
        ref_street s;
        nb_intmodel *m = NULL;
        ref_network_text(seed, text);
        ref_network_open(seed, text, &s);
        nb_status st = ref_network_integers(&s, &m);
        if (st == NB_OK) {
            st = nb_exporter_find("tflite")->write(s.ctx, m, data_fixture_path(f, "net.tflite"), NULL);
            if (st != NB_OK && !strstr(nb_ctx_error(s.ctx), "leaves padding out of a mean only") &&
                !strstr(nb_ctx_error(s.ctx), "a bilinear upsample mixes pixels"))
                fail_msg("seed %d: %s", seed, nb_ctx_error(s.ctx));
        }
        if (st == NB_OK) {
            net n = open_net(f, "net.tflite");
            assert_sound(&n);
            written++;
            padded += count_of(&n, PAD) > 0;
            close_net(f, &n);
        }
        nb_intmodel_free(s.ctx, m);
        ref_street_close(&s);
    }
    assert_true(written > 20 && padded > 0);
}

static void what_no_operator_says_is_refused(void **state)
{
    data_fixture *f = *state;
    consistent c;
    fill(&c, 8);
    c.t.tinfo[4].scale *= 1.5f;
    assert_refused(f, &c.t, "sum: multiplies by 0.0078125, not by 0.00520833 as the scales");
    fill(&c, 8);
    c.t.tinfo[7].scale *= 1.5f;
    assert_refused(f, &c.t, "mean: multiplies by 0.015625");
    fill(&c, 8);
    c.t.tinfo[8].scale = 1.17549435e-38f;
    assert_refused(f, &c.t, "fc: channel 0: its weights would need a scale of");
}

/* Windows in the place of the first pool, 5x5 to 2x2, whose padding does not count. */
static void set_inside(consistent *c, int32_t k, nb_sides pad)
{
    nb_estep *s = &c->t.steps[2];
    fill(c, 8);
    s->kind = NB_STEP_AVGPOOL_INSIDE;
    s->geom.kh = s->geom.kw = k;
    s->geom.stride = nb_hw_of(3);
    s->geom.pad = pad;
    nb_avgpool_multiplier(k * k, c->mean, c->mean + 1);
    s->mult = c->mean;
    s->shift = c->mean + 1;
}

static void means_that_leave_padding_out_need_it_where_same_puts_it(void **state)
{
    data_fixture *f = *state;
    consistent c;
    set_inside(&c, 3, (nb_sides){0, 0, 1, 1});
    net n = exported(f, &c, NULL);
    assert_int_equal(count_of(&n, AVERAGE), 1);
    close_net(f, &n);
    set_inside(&c, 2, (nb_sides){1, 1, 0, 0});
    assert_refused(f, &c.t,
                   "pool: TensorFlow Lite leaves padding out of a mean only where it lies as SAME puts it, not "
                   "[1, 1, 0, 0]");
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    consistent c;
    fill(&c, 4);
    assert_int_equal(ref_tiny_build(f->ctx, &c.t, &m), NB_OK);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st == NB_E_NOMEM; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = write_to(f, m, "mem.tflite", &(nb_export_options){.tflite_pixels = true});
        assert_true(n < 1000);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    assert_int_equal(st, NB_OK);
    nb_intmodel_free(f->ctx, m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
static const struct CMUnitTest tests[] = {
    TEST(all_kinds_of_steps_become_operators),
    TEST(codes_are_int8),
    TEST(scales_of_weights_say_the_multipliers),
    TEST(weights_of_four_bits_are_int4_when_asked_for),
    TEST(logits_are_int16_that_cannot_saturate),
    TEST(narrow_clamps_are_a_maximum_and_a_minimum),
    TEST(the_table_of_pixels_goes_along_or_comes_first),
    TEST(tables_within_the_network_are_gathers),
    TEST(differences_and_products_have_operators),
    TEST(moved_codes_are_paddings_and_gathers),
    TEST(bilinear_upsampling_is_refused),
    TEST(random_networks_become_sound_files),
    TEST(what_no_operator_says_is_refused),
    TEST(means_that_leave_padding_out_need_it_where_same_puts_it),
    TEST(running_out_of_memory_anywhere_is_an_error),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
