/* net_program.c - exported programs: what stands around the steps. Arrays that hold the network's numbers are an example's
 * here. */
#include "net_program.h"

/* ==== cgen_text_arena ==== */
/* int32_t first: the arena is aligned to 4 bytes. */
static union {
    int32_t align;
    uint8_t bytes[NET_RAM_BYTES];
} net_arena;
typedef char net_arena_is_as_planned[sizeof(net_arena) == NET_RAM_BYTES ? 1 : -1];
typedef char net_shift_right_is_arithmetic[(-1 >> 1) == -1 ? 1 : -1];
/* ==== */

void net_run(const uint8_t *pixels, int32_t *logits)
{
    int32_t i;
    for (i = 0; i < NET_CLASSES; i++)
        logits[i] = pixels[i] + net_arena.bytes[0];
}

/* ==== cgen_text_argmax ==== */
int32_t net_argmax(const int32_t *logits)
{
    int32_t i, best = 0;
    for (i = 1; i < NET_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
/* ==== */

/* Noise, or waves; test_image() in export/export_c.c makes the same. */
/* ==== cgen_text_test_image ==== */
static void net_test_image(uint8_t *pixels, uint32_t k)
{
    uint32_t seed = k * 2654435761u + 12345u;
    int32_t i;
    for (i = 0; i < NET_INPUT_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(k & 1u ? ((uint32_t)i * (k + 2u)) ^ (seed >> 30) : seed >> 24);
    }
}
/* ==== */

enum { VECTORS = 2 };
static const int32_t net_expected[VECTORS][NET_CLASSES] = {{5, 4, 139}, {0, 0, 7}};

/* ==== cgen_text_selftest ==== */
int32_t net_selftest(uint8_t *pixels, int32_t *logits)
{
    int32_t k, i;
    for (k = 0; k < VECTORS; k++) {
        net_test_image(pixels, (uint32_t)k);
        net_run(pixels, logits);
        for (i = 0; i < NET_CLASSES; i++)
            if (logits[i] != net_expected[k][i])
                return 1 + k;
    }
    return 0;
}
/* ==== */
