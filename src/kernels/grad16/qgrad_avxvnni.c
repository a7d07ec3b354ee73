/* qgrad_avxvnni.c - 16-bit gradients with AVX-VNNI, for processors that have vpdpwssd but no AVX-512. */
#include "kernels/grad16/qgrad_isa.h"

#ifdef NB_WITH_AVXVNNI
#    include "kernels/grad16/qgrad_ymm.h"

/* {vex}: left to itself, the assembler takes AVX-512's encoding. */
#    define V_DOT(a, x, w) __asm__ volatile("%{vex%} vpdpwssd %2, %1, %0" : "+x"(a) : "x"(x), "x"(w))
#    define TILE_TARGET    __attribute__((target("avx2,avxvnni")))
#    include "kernels/grad16/qgrad_tile.h"
#    include "kernels/grad16/qgrad_winograd_tile.h"

const nb_qgrad_isa nb_qgrad_avxvnni = QGRAD_TILE_ISA;
#endif
