/* guard.h - memory between two pages nobody may touch: one byte too far is a fault, whatever the tool chain. */
#ifndef NB_REF_GUARD_H
#define NB_REF_GUARD_H

#include <stddef.h>

typedef struct {
    void *data; /* bytes of memory, filled with 0xA5 */
    void *map;
    size_t map_bytes;
} ref_guard;

/* The memory ends (GUARD_END) or begins (GUARD_BEGIN) right at a forbidden page. Stops the test when there is no
 * memory. */
typedef enum { GUARD_BEGIN, GUARD_END } ref_guard_side;
ref_guard ref_guard_alloc(size_t bytes, ref_guard_side side);
void ref_guard_free(ref_guard *g);

#endif
