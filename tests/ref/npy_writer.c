/* npy_writer.c - a header padded to 64 bytes, as NumPy pads it, and the data. */
#include "ref/npy_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void npy_write_raw(const char *path, int version, const char *dictionary, const void *data, size_t bytes)
{
    const size_t head = version == 1 ? 10 : 12, len = strlen(dictionary);
    const size_t size = (head + len + 1 + 63) / 64 * 64 - head;
    const unsigned char begin[12] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)size, (unsigned char)(size >> 8)};
    FILE *f = fopen(path, "wb");
    if (!f)
        abort();
    fwrite(begin, 1, head, f);
    fwrite(dictionary, 1, len, f);
    for (size_t i = len; i + 1 < size; i++)
        fputc(' ', f);
    fputc('\n', f);
    fwrite(data, 1, bytes, f);
    if (fclose(f) != 0)
        abort();
}

void npy_write(const char *path, const char *descr, const char *shape, const void *data, size_t bytes)
{
    char dictionary[256];
    snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    npy_write_raw(path, 1, dictionary, data, bytes);
}
