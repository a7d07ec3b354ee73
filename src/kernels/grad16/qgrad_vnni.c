/* qgrad_vnni.c - 16-bit gradients with AVX-512 VNNI: products and sum in one instruction, which does not saturate. */
#include "kernels/grad16/qgrad_isa.h"

#ifdef NB_WITH_VNNI
#    include "kernels/grad16/qgrad_zmm.h"
#    define V_DOT(a, x, w) __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(a) : "v"(x), "v"(w))
#    define TILE_TARGET    __attribute__((target("avx512f,avx512bw,avx512vnni")))
#    include "kernels/grad16/qgrad_tile.h"
#    include "kernels/grad16/qgrad_winograd_tile.h"

const nb_qgrad_isa nb_qgrad_vnni = QGRAD_TILE_ISA;
#endif
