/* onnx_images.c - the network's input: images, signals or vectors, in which order, and of which size. */
#include "base/check.h"
#include "import/onnx_net.h"

#include <stdio.h>
#include <string.h>

enum { OF_COLOURS = 4, TEXT = 120 };

/* The one that the output needs; others may be there. */
static const onnx_port *find_input(const onnx_net *n)
{
    const onnx_port *found = NULL;
    for (size_t i = 0; i < n->file->n_inputs; i++) {
        if (!onnx_is_wanted(n, n->file->input[i].name))
            continue;
        if (found)
            return NULL;
        found = &n->file->input[i];
    }
    return found || n->file->n_inputs != 1 ? found : &n->file->input[0];
}

/* "[N, 3, ?, ?]" */
static const char *shape_text(const onnx_port *v, char *buf)
{
    int at = snprintf(buf, TEXT, v->ndim < 0 ? "of any rank" : "[");
    for (int32_t i = 0; i < v->ndim && at < TEXT - 24; i++)
        at += v->dim[i] > 0 ? snprintf(buf + at, (size_t)(TEXT - at), "%s%lld", i ? ", " : "", (long long)v->dim[i])
                            : snprintf(buf + at, (size_t)(TEXT - at), "%s%s", i ? ", " : "", i ? "?" : "N");
    snprintf(buf + at, (size_t)(TEXT - at), v->ndim < 0 ? "" : "]");
    return buf;
}

/* Sizes that the file leaves open are those that were given; what it says holds. */
static nb_status complete(const onnx_net *n, const onnx_port *port, onnx_port *v)
{
    char text[TEXT];
    const nb_onnx_size *given = n->given;
    if (given && v->ndim < 0) {
        v->ndim = given->n + 1;
        v->dim[0] = -1;
        for (int32_t i = 0; i < given->n; i++)
            v->dim[i + 1] = -1;
    }
    bool fits = !given || given->n == v->ndim - 1;
    bool open = v->ndim < 0;
    for (int32_t i = 1; i < v->ndim && given && fits; i++) {
        fits = v->dim[i] < 1 || v->dim[i] == given->d[i - 1];
        v->dim[i] = given->d[i - 1];
    }
    if (!fits)
        return nb_fail(n->ctx, NB_E_CONFIG, "%s: input '%.80s' is %s, which the size that was given does not fit",
                       n->file->path, v->name, shape_text(port, text));
    for (int32_t i = 1; i < v->ndim; i++)
        open = open || v->dim[i] < 1;
    return open ? nb_fail(n->ctx, NB_E_UNSUPPORTED,
                          "%s: input '%.80s' is %s: its size is not in the file; say it in the file's order, as in "
                          "--input 3x224x224",
                          n->file->path, v->name, shape_text(v, text))
                : NB_OK;
}

/* Channels stand last: a Transpose of the input says so, and a convolution that reads it says the contrary; where neither
 * does, four at most that would be more in the other order. */
static bool channels_last(const onnx_net *n, const onnx_port *v)
{
    static const int64_t image[] = {0, 3, 1, 2}, signal[] = {0, 2, 1};
    const int64_t *perm = v->ndim == 4 ? image : signal;
    for (size_t i = 0; i < n->file->n_nodes; i++) {
        const onnx_node *d = &n->file->node[i];
        const onnx_attr *a = onnx_attr_find(d, "perm");
        if (d->n_in == 0 || strcmp(d->in[0], v->name) != 0)
            continue;
        if (onnx_is_of_images(d->op))
            return false;
        if (strcmp(d->op, "Transpose") == 0 && a && a->kind == ONNX_A_INTS && a->n == (size_t)v->ndim &&
            memcmp(a->ints, perm, (size_t)v->ndim * sizeof *perm) == 0)
            return true;
    }
    return v->dim[1] > OF_COLOURS && v->dim[v->ndim - 1] <= OF_COLOURS;
}

/* Vectors are images of one row and one channel, signals of one row. */
static void set_sizes(onnx_net *n, const onnx_port *v, onnx_v_entry *e)
{
    const int32_t last = v->ndim - 1;
    const bool turned = last > 1 && channels_last(n, v);
    const int32_t c = turned ? last : 1, w = turned ? last - 1 : last;
    e->c = n->c = last == 1 ? 1 : (int32_t)v->dim[c];
    e->h = n->h = last < 3 ? 1 : (int32_t)v->dim[turned ? 1 : 2];
    e->w = n->w = (int32_t)v->dim[w];
    onnx_layout l = {.rank = v->ndim};
    onnx_layout_add(&l, 0, (onnx_atom){ONNX_AXIS_N, 0, 1});
    for (int32_t i = 1; i <= last; i++) {
        const int32_t axis = i == w ? ONNX_AXIS_W : i == c ? ONNX_AXIS_C : ONNX_AXIS_H;
        onnx_layout_add(&l, i, (onnx_atom){axis, (int32_t)v->dim[i], 1});
    }
    onnx_layout_set(e, &l);
}

nb_status onnx_read_images(onnx_net *n)
{
    enum { FLOAT = 1, FLOAT16 = 10, DOUBLE = 11, BFLOAT16 = 16 };
    const onnx_file *f = n->file;
    const onnx_port *port = find_input(n);
    char text[TEXT];
    if (!port)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: has %zu inputs; import takes networks of one: the images",
                       f->path, f->n_inputs);
    onnx_port v = *port;
    const bool floats = v.type == FLOAT || v.type == FLOAT16 || v.type == DOUBLE || v.type == BFLOAT16;
    if (!floats)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED,
                       "%s: input '%.80s' holds no floats: must be images, signals or vectors of them", f->path,
                       v.name);
    NB_TRY(complete(n, port, &v));
    bool fits = v.ndim >= 2 && v.ndim <= 4;
    for (int32_t i = 1; i < v.ndim; i++)
        fits = fits && v.dim[i] <= ONNX_MAX_SIDE;
    onnx_v_entry *e = onnx_intern(n, v.name), sizes = *e;
    if (e->kind != ONNX_V_NONE)
        return nb_fail(n->ctx, NB_E_FORMAT, "%s: input '%.80s' is an initializer as well", f->path, v.name);
    sizes.kind = ONNX_V_DATA;
    if (fits)
        set_sizes(n, &v, &sizes);
    if (!fits || n->c > NB_MAX_CHANNELS)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED,
                       "%s: input '%.80s' is %s: must be images [N, channels, height, width] or [N, height, width, "
                       "channels], signals [N, channels, length], or vectors [N, length]; at most %d channels, and %d "
                       "high and wide",
                       f->path, v.name, shape_text(&v, text), NB_MAX_CHANNELS, ONNX_MAX_SIDE);
    *e = sizes;
    n->batch = v.dim[0];
    n->layer[0] = (onnx_layer){.op = "input", .name = "input1", .node = ""};
    n->n = 1;
    return NB_OK;
}
