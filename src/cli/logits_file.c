/* logits_file.c - see logits_file.h. */
#include "cli/logits_file.h"

#include "base/check.h"
#include "base/safetensors.h"
#include "base/textbuf.h"

#include <string.h>

/* The name of image or class i, as a string that lives as long as its data set. */
typedef const char *(*name_fn)(const void *of, int32_t i);

static const char *class_name(const void *names, int32_t i)
{
    return ((const char *const *)names)[i];
}

static const char *image_name(const void *images, int32_t i)
{
    return nb_data_image_name(((const cli_images *)images)->data, cli_image_index(images, i));
}

/* ["a", "b"]; *text is freed with nb_free, after the file is saved. */
static nb_status add_names(nb_ctx *ctx, nb_st_writer *w, const char *tensor, name_fn name, const void *of, int32_t n,
                           char **text)
{
    nb_text t;
    nb_text_init(ctx, &t);
    for (int32_t i = 0; i < n; i++) {
        nb_text_add(&t, i ? ", " : "[");
        nb_text_json(&t, name(of, i));
    }
    nb_text_add(&t, "]");
    NB_TRY(nb_text_take(&t, text));
    const int64_t bytes = (int64_t)strlen(*text);
    return nb_st_add(w, tensor, NB_ST_U8, 1, &bytes, *text);
}

typedef struct {
    int32_t *indices;
    char *classes, *images;
} texts;

static nb_status add_all(cli *c, nb_st_writer *w, const cli_model *m, const cli_images *images, const nb_answers *said,
                         texts *t)
{
    const int64_t shape[2] = {images->n, m->info.classes}, one = 1;
    t->indices = nb_alloc(c->ctx, (size_t)images->n * sizeof *t->indices);
    if (!t->indices)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < images->n; i++)
        t->indices[i] = cli_image_index(images, i);
    if (said->integers) {
        NB_TRY(nb_st_add(w, "integers", NB_ST_I32, 2, shape, said->integers));
        NB_TRY(nb_st_add(w, "scale", NB_ST_F32, 1, &one, &m->integers->tensors[nb_intmodel_output(m->integers)].scale));
    }
    NB_TRY(nb_st_add(w, "logits", NB_ST_F32, 2, shape, said->logits));
    NB_TRY(nb_st_add(w, "labels", NB_ST_I32, 1, shape, said->labels));
    NB_TRY(nb_st_add(w, "indices", NB_ST_I32, 1, shape, t->indices));
    if (m->info.class_names)
        NB_TRY(add_names(c->ctx, w, "class_names", class_name, m->info.class_names, m->info.classes, &t->classes));
    if (image_name(images, 0))
        NB_TRY(add_names(c->ctx, w, "image_names", image_name, images, images->n, &t->images));
    return NB_OK;
}

nb_status cli_logits_save(cli *c, const cli_model *m, const cli_images *images, const nb_answers *said,
                          const char *path)
{
    nb_st_writer *w;
    texts t = {0};
    NB_TRY(nb_st_writer_create(c->ctx, &w));
    nb_status st = add_all(c, w, m, images, said, &t);
    if (st == NB_OK)
        st = nb_st_save(w, path);
    nb_st_writer_free(w);
    nb_free(c->ctx, t.indices);
    nb_free(c->ctx, t.classes);
    nb_free(c->ctx, t.images);
    return st;
}
