/* crc32.h - the checksum of PNG, gzip and zlib (ISO 3309), by zlib. */
#ifndef NB_BASE_CRC32_H
#define NB_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes that gave `before` and these behind them; before is 0 where there are none. */
uint32_t nb_crc32(uint32_t before, const void *bytes, size_t len);

#endif
