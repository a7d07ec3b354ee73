/* panel_tile.h - what the tiles of rows times panels share, of floats (fconv_tile.h) and of 16-bit codes (qgrad_tile.h),
 * which include it: wants V_WIDTH, TILE_ROWS and TILE_TARGET, has no guard.
 *
 * A tile has up to 8 rows, and there is one function per number of rows: TILES(f) is f(1) to f(8), TILE_TABLE(kind) the
 * functions kind_1 to kind_8 by their number. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __clang__
#    define TILE_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define TILE_UNROLL _Pragma("GCC unroll 32")
#endif
/* Makes p opaque: gcc else sees that all rows start at r->in, and adds offsets in the inner loop instead of keeping
 * pointers. */
#define TILE_KEEP(p) __asm__("" : "+r"(p))
#define TILE_INLINE  static inline __attribute__((always_inline)) TILE_TARGET

enum {
    WHOLE = NB_PANEL / V_WIDTH,       /* vectors of a panel */
    HALF = WHOLE > 1 ? WHOLE / 2 : 1, /* vectors of a block of few columns */
    HALF_ROWS = WHOLE > 1 ? 8 : TILE_ROWS,
    MAX_ROWS = 8
};

static __attribute__((noinline)) TILE_TARGET void store_part(float *out, const float *part, int32_t n_cols, bool add)
{
    for (int32_t j = 0; j < n_cols; j++)
        out[j] = add ? out[j] + part[j] : part[j];
}

#define TILES(f) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8)
#define TILE_TABLE(kind)                                                                                               \
    {                                                                                                                  \
        NULL, kind##_1, kind##_2, kind##_3, kind##_4, kind##_5, kind##_6, kind##_7, kind##_8                           \
    }
