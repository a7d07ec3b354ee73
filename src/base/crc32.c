/* crc32.c - see crc32.h. */
#include "base/crc32.h"

#include <zlib.h>

uint32_t nb_crc32(uint32_t before, const void *bytes, size_t len)
{
    return len ? (uint32_t)crc32_z(before, bytes, len) : before; /* zlib takes a NULL for a wish to begin */
}
