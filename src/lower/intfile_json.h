/* intfile_json.h - fields of the JSON objects in an integer checkpoint: there and of their type, or one sentence with the
 * object's place. A field that fails leaves something harmless. */
#ifndef NB_LOWER_INTFILE_JSON_H
#define NB_LOWER_INTFILE_JSON_H

#include <nibble/context.h>

#include <cjson/cJSON.h>

/* An object and where it stands, for messages: "tensor 3", "step 5", "geom of step 5". */
typedef struct {
    nb_ctx *ctx;
    const char *file;
    const cJSON *json;
    const char *what;
    int32_t index;
} nb_json;

/* It is an object of so many keys. */
nb_status nb_json_expect(const nb_json *o, int32_t n_keys);
nb_status nb_json_double(const nb_json *o, const char *key, double *out); /* finite */
/* v, which key has, is a whole number in min..max. */
nb_status nb_json_whole(const nb_json *o, const char *key, double v, double min, double max);
nb_status nb_json_int(const nb_json *o, const char *key, int32_t *out);
/* A number for all of v[n], or a list of n. */
nb_status nb_json_ints(const nb_json *o, const char *key, int32_t *v, int32_t n);
nb_status nb_json_text(const nb_json *o, const char *key, const char **out);
/* The place of a text in names[n]. */
nb_status nb_json_choice(const nb_json *o, const char *key, const char *const *names, int32_t n, int32_t *out);

#endif
