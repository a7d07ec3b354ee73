/* freestanding_main.c - a program without a C library: an integer model in its constants, the engine, memcpy, memset
 * and one system call.
 *
 * Linked with -nostdlib and without libgcc by engine_freestanding.sh: that it links shows what the engine needs, that
 * it exits with 0 shows that it works. The model has every kind of step; the expected logits were computed by
 * tests/ref/ref_engine.c. */
#include <nibble/engine.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
#if defined(__x86_64__) || defined(__i386__)
__attribute__((force_align_arg_pointer)) /* nobody called us: the stack is not as after a call */
#endif
void _start(void);

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    for (volatile char *t = to, *end = t + n; t < end; t++) /* volatile: compilers would turn the loop into memcpy */
        *t = ((const char *)from)[t - (volatile char *)to];
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    for (volatile char *t = to, *end = t + n; t < end; t++)
        *t = (char)byte;
    return to;
}

static void quit(long code)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60L), "D"(code) : "rcx", "r11", "memory");
#elif defined(__i386__)
    __asm__ volatile("int $0x80" : : "a"(1L), "b"(code) : "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = 93, x0 __asm__("x0") = code;
    __asm__ volatile("svc 0" : : "r"(x8), "r"(x0) : "memory");
#endif
    for (;;)
        ;
}

enum { PIXELS = 6 * 6, STEPS = 8, LOGITS = 3 };

static uint8_t table[256], arena[1 << 16] __attribute__((aligned(64))), packed[1 << 14] __attribute__((aligned(64)));
static int8_t conv_w[9 * 9], depthwise_w[9 * 9], linear_w[LOGITS * 72];
static const int32_t bias[9] = {100, -200, 300, 0, 50, -50, 7, 8, 9};
static const int32_t mult[9] = {1 << 30,    1500000000, INT32_MAX, 1 << 30, 1 << 30,
                                1200000000, 1 << 30,    1 << 30,   1 << 30};
static const int32_t shift[9] = {38, 39, 39, 38, 38, 39, 38, 38, 39}, unit_shift[8] = {30, 32, 30, 30, 30, 30, 30, 30};

static nb_geom window(int32_t h, int32_t c, int32_t oh, int32_t oc, int32_t k, int32_t stride, int32_t pad)
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

/* 0 when the model gives these logits. */
static int32_t run(nb_emodel *m, const int32_t *want)
{
    uint8_t pixels[PIXELS];
    for (int32_t i = 0; i < PIXELS; i++)
        pixels[i] = (uint8_t)(i * 7);
    if (nb_engine_check(m) != 0)
        return 2;
    if (nb_engine_arena_bytes(m) > sizeof arena || nb_engine_packed_bytes(m) > sizeof packed)
        return 3;
    nb_engine_prepare(m, packed);
    const int32_t *y = nb_engine_run(m, arena, pixels);
    for (int32_t i = 0; i < LOGITS; i++)
        if (y[i] != want[i])
            return 4;
    return nb_engine_argmax(m, y) == 0 ? 0 : 5;
}

static int32_t build_and_run(const int32_t *want)
{
    /* table 6x6x1, conv 6x6x9, depthwise 6x6x9, add, concat 6x6x18, maxpool 3x3x18, avgpool 2x2x18, linear 3 */
    const int32_t shapes[STEPS][2] = {
        {6, 1     },
        {6, 9     },
        {6, 9     },
        {6, 9     },
        {6, 18    },
        {3, 18    },
        {2, 18    },
        {1, LOGITS}
    };
    nb_etensor t[STEPS];
    nb_estep s[STEPS];
    for (int32_t i = 0; i < STEPS; i++) {
        const int32_t is_signed = i >= 2 && i < 7;
        t[i] = (nb_etensor){.h = shapes[i][0], .w = shapes[i][0], .c = shapes[i][1], .offset = (uint64_t)i * 1024};
        t[i].type = i == 7 ? NB_EI_S32 : is_signed ? NB_EI_S8 : NB_EI_U8;
        t[i].zero = i == 7 ? 0 : is_signed ? -3 : 10;
        s[i] = (nb_estep){.n_in = 1,
                          .in = {i - 1},
                          .out = i,
                          .lo = is_signed ? -128 : 0,
                          .hi = is_signed ? 127 : 255,
                          .bias = bias,
                          .mult = mult,
                          .shift = shift};
    }
    s[0].kind = NB_STEP_TABLE;
    s[0].n_in = 0;
    s[0].table = table;
    s[1].kind = s[2].kind = s[7].kind = NB_STEP_CONV;
    s[1].geom = window(6, 1, 6, 9, 3, 1, 1);
    s[1].weights = conv_w;
    s[2].geom = window(6, 9, 6, 9, 3, 1, 1);
    s[2].geom.groups = 9;
    s[2].weights = depthwise_w;
    s[3].kind = NB_STEP_ADD;
    s[4].kind = NB_STEP_CONCAT;
    s[3].n_in = s[4].n_in = 2;
    s[3].in[0] = s[4].in[0] = 1;
    s[3].in[1] = 2;
    s[4].in[1] = 3;
    s[3].shift = &unit_shift[2];
    s[4].shift = &unit_shift[2];
    s[5].kind = NB_STEP_MAXPOOL;
    s[5].geom = window(6, 18, 3, 18, 3, 2, 1);
    s[6].kind = NB_STEP_AVGPOOL;
    s[6].geom = window(3, 18, 2, 18, 2, 1, 0);
    s[6].shift = &unit_shift[1];
    s[7].geom = window(1, 72, 1, LOGITS, 1, 1, 0);
    s[7].weights = linear_w;
    s[7].lo = INT32_MIN;
    s[7].hi = INT32_MAX;
    nb_emodel m = {.n_tensors = STEPS, .n_steps = STEPS, .tensors = t, .steps = s, .tensor_bytes = STEPS * 1024};
    return run(&m, want);
}

void _start(void)
{
    static const int32_t want[LOGITS] = {109, -40, -19};
    for (int32_t i = 0; i < 256; i++)
        table[i] = (uint8_t)(255 - i / 2);
    for (int32_t i = 0; i < 81; i++) {
        conv_w[i] = (int8_t)(i * 37 % 255 - 127);
        depthwise_w[i] = (int8_t)(i * 53 % 255 - 127);
    }
    for (int32_t i = 0; i < LOGITS * 72; i++)
        linear_w[i] = (int8_t)(i * 91 % 255 - 127);
    quit(build_and_run(want));
}
