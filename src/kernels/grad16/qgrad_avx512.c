/* qgrad_avx512.c - 16-bit gradients with AVX-512: a panel is one register. */
#include "kernels/grad16/qgrad_isa.h"

#ifdef NB_WITH_AVX512
#    include "kernels/grad16/qgrad_zmm.h"
#    define V_DOT(a, x, w) __asm__ volatile("vpaddd %1, %0, %0" : "+v"(a) : "v"(_mm512_madd_epi16(x, w)))
#    define TILE_TARGET    __attribute__((target("avx512f,avx512bw")))
#    include "kernels/grad16/qgrad_tile.h"
#    include "kernels/grad16/qgrad_winograd_tile.h"

const nb_qgrad_isa nb_qgrad_avx512 = QGRAD_TILE_ISA;
#endif
