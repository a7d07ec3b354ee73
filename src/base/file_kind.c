/* file_kind.c - magic numbers of the files that people have networks in, and a look at text.
 *
 * The remedy is one line to type, with the file's own name; names of formats are by content, since suffixes lie. */
#include "base/file_kind.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { LOOK = 4096, FIRST_ENTRY = 300, STEM = 200 };

static bool starts(const uint8_t *bytes, size_t len, const char *magic, size_t n)
{
    return len >= n && memcmp(bytes, magic, n) == 0;
}

bool nb_bytes_hold(const uint8_t *bytes, size_t len, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(bytes + i, word, n) == 0)
            return true;
    return false;
}

/* A zip's entries stand by name before their content: PyTorch's first is <name>/data.pkl. */
static const char *zip_kind(const uint8_t *bytes, size_t look)
{
    if (nb_bytes_hold(bytes, look, "/data/weights/") || nb_bytes_hold(bytes, look, "/models/model.json"))
        return "torchexport";
    if (nb_bytes_hold(bytes, look, "/data.pkl") && nb_bytes_hold(bytes, look, "ctorch.nn.modules"))
        return "torchmodule";
    if (nb_bytes_hold(bytes, look, "/data.pkl") || nb_bytes_hold(bytes, look, "/byteorder"))
        return nb_bytes_hold(bytes, look, "constants.pkl") || nb_bytes_hold(bytes, look, "/code/") ? "torchscript"
                                                                                                   : "torch";
    if (nb_bytes_hold(bytes, look < FIRST_ENTRY ? look : FIRST_ENTRY,
                      "/data/0")) /* TorchScript puts its tensors first */
        return "torchscript";
    if (nb_bytes_hold(bytes, look, "model.weights.h5") || nb_bytes_hold(bytes, look, "metadata.json"))
        return "keras";
    return nb_bytes_hold(bytes, look, ".npy") ? "npz" : "zip";
}

/* A ModelProto begins with ir_version, and goes on with a string or a message. */
static bool is_onnx(const uint8_t *b, size_t len)
{
    return len > 4 && b[0] == 0x08 && b[1] >= 1 && b[1] < 32 && (b[2] & 7) == 2 && b[2] >> 3 >= 2 && b[2] >> 3 <= 8;
}

/* A SavedModel begins with its schema's version, 1, and a MetaGraphDef, whose first is a MetaInfoDef; an ONNX model's
 * second is a string, or the graph, which begins with a node. */
static bool is_saved_model(const uint8_t *b, size_t len)
{
    const size_t look = len < LOOK ? len : LOOK;
    return len > 4 && b[0] == 0x08 && b[1] == 1 && b[2] == 0x12 &&
           (nb_bytes_hold(b, look, "serve") || nb_bytes_hold(b, look, "saved_model"));
}

/* "key:" at the beginning of a line */
static bool has_key(const char *text, size_t len, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i + n < len; i++)
        if ((i == 0 || text[i - 1] == '\n') && memcmp(text + i, key, n) == 0 && text[i + n] == ':')
            return true;
    return false;
}

/* A config may begin with any number of comments, as those that allocate writes. */
static const char *kind_of_text(const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end && (*text == '#' || *text == '\n')) {
        const char *line = memchr(text, '\n', (size_t)(end - text));
        text = line ? line + 1 : end;
    }
    const size_t rest = (size_t)(end - text), look = rest < LOOK ? rest : LOOK;
    const uint8_t *b = (const uint8_t *)text;
    if (starts(b, rest, "version https://git-lfs", 23))
        return "lfs";
    if (starts(b, rest, "<!DOCTYPE html", 14) || starts(b, rest, "<!doctype html", 14) || starts(b, rest, "<html", 5))
        return "html";
    return has_key(text, look, "model") || has_key(text, look, "data") || has_key(text, look, "train") ? "config"
                                                                                                       : "text";
}

static bool is_text(const uint8_t *bytes, size_t len)
{
    while (len && len >= LOOK - 4 && (bytes[len - 1] & 0xc0) == 0x80) /* a sequence that the look cuts */
        len--;
    for (size_t i = 0; i < len; i++)
        if ((bytes[i] < ' ' || bytes[i] == 0x7f) && bytes[i] != '\n' && bytes[i] != '\t' && bytes[i] != '\r')
            return false;
    return len >= 4 && (nb_utf8_valid((const char *)bytes, len) || nb_utf8_valid((const char *)bytes, len - 1));
}

static bool is_safetensors(const uint8_t *b, size_t len)
{
    return len > 9 && b[5] == 0 && b[6] == 0 && b[7] == 0 && b[8] == '{' && (b[9] == '"' || b[9] == '}');
}

static const char *kind_of(const uint8_t *b, size_t len)
{
    const size_t look = len < LOOK ? len : LOOK;
    static const struct {
        const char *magic;
        size_t at, n;
        const char *kind;
    } magics[] = {
        {"\x89HDF\r\n\x1a\n", 0, 8, "h5"}, {"TFL3", 4, 4, "tflite"},   {"\x89PNG\r\n\x1a\n", 0, 8, "png"},
        {"\xff\xd8\xff", 0, 3, "jpeg"},    {"\x1f\x8b", 0, 2, "gzip"}, {"\x93NUMPY", 0, 6, "npy"},
    };
    if (starts(b, len, "PK\3\4", 4))
        return zip_kind(b, look);
    if (is_safetensors(b, len))
        return "safetensors";
    if (len > 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5) /* a pickle, as torch.save wrote before it wrote zips */
        return nb_bytes_hold(b, look, "ctorch.nn.modules") ? "torchmodule" : "torch";
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (len > magics[i].at && starts(b + magics[i].at, len - magics[i].at, magics[i].magic, magics[i].n))
            return magics[i].kind;
    if (is_saved_model(b, len))
        return "savedmodel";
    if (is_onnx(b, len))
        return "onnx";
    return is_text(b, look) ? kind_of_text((const char *)b, len) : NULL;
}

/* @: the file; ^: without its suffix, where a new one follows. */
static const struct {
    const char *kind, *what;
} whats[] = {
    {"torch", "a PyTorch file (.pt, .pth); for a state dict: python -c \"import torch, safetensors.torch as s; d = "
              "torch.load('@', "
              "map_location='cpu'); d = d.get('state_dict', d.get('model', d)); s.save_file({k: v.clone() for k, v in "
              "d.items() if "
              "torch.is_tensor(v)}, '^.safetensors')\", then nibble import ^.safetensors --config CONFIG -o OUT"},
    {"torchmodule",
     "a whole PyTorch module, which runs its author's code when it is loaded; if you trust it: python -c \"import "
     "torch; m "
     "= torch.load('@', map_location='cpu', weights_only=False).eval(); torch.onnx.export(m, (torch.zeros(1, 3, 224, "
     "224),), '^.onnx')\" with the size of your images, then nibble import ^.onnx -o OUT"},
    {"torchexport",
     "a program of torch.export; python -c \"import torch; torch.onnx.export(torch.export.load('@'), (), "
     "'^.onnx')\", then nibble import ^.onnx -o OUT"},
    {"savedmodel",
     "a TensorFlow SavedModel; python -m tf2onnx.convert --saved-model FOLDER --output FOLDER.onnx with the "
     "folder it lies in, then nibble import FOLDER.onnx -o OUT"},
    {"torchscript",
     "a TorchScript file; python -c \"import torch, safetensors.torch as s; s.save_file(dict(torch.jit.load('@', "
     "map_location='cpu').state_dict()), '^.safetensors')\", then nibble import ^.safetensors --config CONFIG -o OUT"},
    {"keras", "a Keras file; python -c \"import keras; keras.models.load_model('@').export('^.onnx', format='onnx')\", "
              "then nibble import ^.onnx -o OUT"},
    {"h5",
     "an HDF5 file (Keras); python -m tf2onnx.convert --keras @ --output ^.onnx, then nibble import ^.onnx -o OUT"},
    {"tflite",
     "a TensorFlow Lite model; python -m tf2onnx.convert --tflite @ --output ^.onnx, then nibble import ^.onnx "
     "-o OUT (float models only)"},
    {"onnx", "an ONNX model; nibble import @ -o OUT makes a config and a checkpoint of it"},
    {"npz",
     "an archive of NumPy arrays; python -c \"import numpy as n, safetensors.numpy as s; "
     "s.save_file(dict(n.load('@')), '^.safetensors')\", then nibble import ^.safetensors --config CONFIG -o OUT"},
    {"npy", "a NumPy array"},
    {"safetensors", "a safetensors file; checkpoints are for eval, info, verify, export, run and quantize --from"},
    {"png", "a PNG image; nibble run CHECKPOINT @ says what a network sees in it"},
    {"jpeg", "a JPEG image; networks take PNG files"},
    {"gzip", "a gzip file; gunzip it first"},
    {"zip", "a zip archive"},
    {"config", "a config; nibble train @ makes a checkpoint of it"},
    {"html", "an HTML page"},
    {"lfs", "a Git LFS pointer; git lfs pull brings the file itself"},
    {"text", "a text file"},
};

static void fill_in(char *to, size_t size, const char *what, const char *name, const char *stem)
{
    size_t at = 0;
    to[0] = '\0';
    for (; *what && at + 1 < size; what++) {
        const int n = *what == '@'   ? snprintf(to + at, size - at, "%s", name)
                      : *what == '^' ? snprintf(to + at, size - at, "%s", stem)
                                     : snprintf(to + at, size - at, "%c", *what);
        at += n > 0 ? (size_t)n : 0;
    }
}

bool nb_file_is(const uint8_t *bytes, size_t len, const char *kind)
{
    const char *is = kind_of(bytes, len);
    return is && strcmp(is, kind) == 0;
}

const char *nb_file_kind(const char *name, const uint8_t *bytes, size_t len, char *buf, size_t size)
{
    const char *kind = kind_of(bytes, len), *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    const size_t stem = dot && dot > (slash ? slash : name) ? (size_t)(dot - name) : strlen(name);
    char short_name[STEM];
    snprintf(short_name, sizeof short_name, "%.*s", (int)(stem < STEM ? stem : STEM - 1), name);
    for (size_t i = 0; kind && i < sizeof whats / sizeof *whats; i++)
        if (strcmp(whats[i].kind, kind) == 0) {
            fill_in(buf, size, whats[i].what, name, short_name);
            return buf;
        }
    return NULL;
}
