/* data_fixture.h - what tests of data sets share: a context, a temporary folder that is removed again, files in it,
 * PNGs of every kind, and a data set opened from one line of YAML. */
#ifndef NB_TESTS_DATA_FIXTURE_H
#define NB_TESTS_DATA_FIXTURE_H

#include <nibble/dataset.h>
#include <nibble/extend/dataset_loader.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg; /* of the last section asked for */
    char dir[256];
} data_fixture;

/* cmocka's setup and teardown; *state is the fixture. */
int data_fixture_setup(void **state);
int data_fixture_teardown(void **state);

/* Paths below are relative to the folder; their own folders are made. */
void data_fixture_write(data_fixture *f, const char *name, const void *bytes, size_t len);
void data_fixture_write_gz(data_fixture *f, const char *name, const void *bytes, size_t len);
void data_fixture_mkdir(data_fixture *f, const char *name);
void data_fixture_remove(data_fixture *f, const char *name);
const char *data_fixture_path(data_fixture *f, const char *name); /* valid until the next call but three */

/* The `data` section of "data: <text>", with every %s in text replaced by the folder. */
const nb_conf *data_fixture_section(data_fixture *f, const char *text);
nb_status data_fixture_open(data_fixture *f, const char *text, const char *split, nb_data **out);

typedef struct {
    int32_t h, w, depth, type; /* libpng's bit depth and colour type */
    int32_t interlaced;
    const uint8_t *rows;         /* as the file has them: packed below 8 bits, big-endian above */
    const uint8_t (*palette)[4]; /* red, green, blue, alpha */
    int32_t n_palette;
} png_file;
void data_fixture_png(data_fixture *f, const char *name, const png_file *p);
/* A grey image of one level. */
void data_fixture_grey(data_fixture *f, const char *name, int32_t h, int32_t w, int32_t level);

#endif
