/* export_c.c - the integer model as one freestanding C99 file and its header, for microcontrollers.
 *
 * No libc beyond stdint, no malloc, no float, no interpreter: one function per distinct layer shape, weights packed as
 * in the integer checkpoint, tensors in one static arena planned here. The arithmetic is the engine's
 * (kernels/rescale.h), so the logits are the engine's bit for bit; selftest() proves it on the target with images it
 * makes itself and the logits the engine gave for them at export. Both files hold a hash of both, which the source
 * compares when it is compiled: a source beside the header of another network does not become a program. */
#include "export/cgen.h"

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "base/rng.h"
#include "lower/intcheck.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { MAX_PREFIX = 40, PATH_BYTES = 4096, VECTORS = 4 };

/* ---- names ---- */

static bool is_identifier(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > MAX_PREFIX || !isalpha((unsigned char)s[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return true;
}

/* "out/net.c" -> "out/net.h", and "net" as the prefix when none is given. */
static nb_status names_of(nb_ctx *ctx, const char *path, const char *given, char *header, char *prefix)
{
    size_t n = strlen(path);
    const char *slash = strrchr(path, '/');
    const char *stem = slash ? slash + 1 : path;
    if (n < 3 || n >= PATH_BYTES || strcmp(path + n - 2, ".c") != 0 || !stem[2])
        return nb_fail(ctx, NB_E_CONFIG, "%s: must end in .c (its header is written beside it)", path);
    memcpy(header, path, n + 1);
    header[n - 1] = 'h';
    size_t len = n - 2 - (size_t)(stem - path);
    snprintf(prefix, MAX_PREFIX + 2, "%.*s", (int)(len > MAX_PREFIX ? MAX_PREFIX + 1 : len), stem);
    if (!given && is_identifier(prefix))
        return NB_OK;
    if (!given)
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: all names in the C begin with the file's, %.*s, which must be a letter and at most %d more "
                       "letters, digits or _: name the file so, or say another beginning with --prefix",
                       path, (int)len, stem, MAX_PREFIX - 1);
    if (!is_identifier(given))
        return nb_fail(ctx, NB_E_CONFIG, "prefix: %s: must be a letter and at most %d more letters, digits or _", given,
                       MAX_PREFIX - 1);
    snprintf(prefix, MAX_PREFIX + 1, "%s", given);
    return NB_OK;
}

/* ---- the header ---- */

static void put_define(cgen *g, const char *name, uint64_t v, const char *comment)
{
    cgen_printf(g, "#define NET_%-14s %" PRIu64 "%s%s%s\n", name, v, *comment ? " /* " : "", comment,
                *comment ? " */" : "");
}

static void put_header_top(cgen *g)
{
    nb_text_add(&g->out, "/* Written by nibble export --format c. What to know is in the .c file. */\n");
    cgen_add(g, "#ifndef NET_H\n#define NET_H\n\n#include <stdint.h>\n\n", NULL);
}

/* A macro, because who does not use it shall not pay for it. */
static void put_class_names(cgen *g)
{
    const nb_intmodel *m = g->m;
    if (!m->class_names)
        return;
    cgen_add(
        g,
        "/* static const char *const names[NET_CLASSES] = { NET_CLASS_NAMES };  the flash is that of who does it */\n"
        "#define NET_CLASS_NAMES",
        NULL);
    for (int32_t i = 0; i < m->classes; i++) {
        nb_text_add(&g->out, i ? ", \\\n    " : " \\\n    ");
        cgen_string(g, m->class_names[i]);
    }
    nb_text_add(&g->out, "\n\n");
}

static void put_header(cgen *g)
{
    const nb_intmodel *m = g->m;
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    const int32_t out = nb_intmodel_output(m);
    char scale[NB_NUMTEXT];
    put_define(g, "HEIGHT", (uint64_t)in->h, "of an image");
    put_define(g, "WIDTH", (uint64_t)in->w, "");
    put_define(g, "CHANNELS", (uint64_t)in->c, "");
    put_define(g, "INPUT_BYTES", (uint64_t)in->h * (uint64_t)in->w * (uint64_t)in->c,
               m->features ? "u8 codes, which net_features makes of features"
                           : "u8 pixels as they come from the camera or file, row by row, channels together");
    if (m->features) {
        put_define(g, "FEATURE_COLUMNS", (uint64_t)m->features->n, "");
        put_define(g, "FEATURE_ZERO", (uint64_t)m->features->zero, "the code of a column's center");
    }
    put_define(g, "CLASSES", (uint64_t)m->classes,
               m->task == NB_TASK_RECONSTRUCT ? "values that come out, the input's again" : "");
    put_define(g, "RAM_BYTES", g->ram, "static arena");
    put_define(g, "FLASH_BYTES", g->flash, "constants, without code and selftest");
    cgen_printf(g, "#define NET_%-14s ((float)%s) /* a logit is worth so much; argmax needs no scale */\n\n",
                "LOGIT_SCALE", nb_float_text(scale, m->tensors[out].scale));
    put_class_names(g);
    cgen_add(g, cgen_text_declarations, NULL);
    if (m->task == NB_TASK_RECONSTRUCT)
        cgen_add(g, cgen_text_score_declared, NULL);
    if (m->features)
        cgen_add(g, cgen_text_features_declared, NULL);
    nb_text_add(&g->out, "#endif\n");
}

/* ---- self-test ---- */

/* Noise, or waves; net_program.c has the same for the program. */
static void test_image(uint8_t *pixels, int32_t n, uint32_t k)
{
    uint32_t seed = k * 2654435761u + 12345u;
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(k & 1u ? ((uint32_t)i * (k + 2u)) ^ (seed >> 30) : seed >> 24);
    }
}

static int32_t logit_of(const nb_etensor *t, const void *out, int32_t i)
{
    return t->type == NB_EI_S32  ? ((const int32_t *)out)[i]
           : t->type == NB_EI_S8 ? ((const int8_t *)out)[i] - t->zero
                                 : ((const uint8_t *)out)[i] - t->zero;
}

static nb_status put_expected(cgen *g)
{
    const nb_intmodel *m = g->m;
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)], *out = &m->e.tensors[nb_intmodel_output(m)];
    const int32_t n = in->h * in->w * in->c;
    void *arena = nb_alloc(g->ctx, nb_engine_arena_bytes(&m->e) + 64);
    uint8_t *pixels = nb_alloc(g->ctx, (size_t)n);
    nb_status st = arena && pixels ? NB_OK : NB_E_NOMEM;
    cgen_printf(g, "static const int32_t net_expected[%d][NET_CLASSES] = {\n", VECTORS);
    for (uint32_t k = 0; st == NB_OK && k < VECTORS; k++) {
        test_image(pixels, n, k);
        const void *y = nb_engine_run(&m->e, (void *)(((uintptr_t)arena + 63) & ~(uintptr_t)63), pixels);
        nb_text_add(&g->out, "    {");
        for (int32_t i = 0; i < m->classes; i++)
            nb_text_printf(&g->out, "%s%d,", i ? i % 8 ? " " : "\n     " : "", logit_of(out, y, i));
        nb_text_add(&g->out, "},\n");
    }
    nb_text_add(&g->out, "};\n\n");
    nb_free(g->ctx, arena);
    nb_free(g->ctx, pixels);
    return st;
}

static nb_status put_selftest(cgen *g)
{
    char vectors[8];
    snprintf(vectors, sizeof vectors, "%d", VECTORS);
    nb_text_add(&g->out, "/* ---- self-test: images made here, logits as the engine gave them ---- */\n\n");
    cgen_helper(g, cgen_text_test_image);
    NB_TRY(put_expected(g));
    cgen_add(g, cgen_text_selftest, (const cgen_sub[]){{"VECTORS", vectors}, {NULL, NULL}});
    return NB_OK;
}

/* ---- the source ---- */

static void put_run(cgen *g)
{
    const nb_intmodel *m = g->m;
    const int32_t t = nb_intmodel_output(m);
    const nb_etensor *out = &m->e.tensors[t];
    cgen_add(g, "void net_run(const uint8_t *pixels, int32_t *logits)\n{\n    uint8_t *const a = net_arena.bytes;\n",
             NULL);
    if (g->offset[t] != CGEN_IN_LOGITS)
        nb_text_add(&g->out, "    int32_t i;\n");
    cgen_calls(g);
    if (g->offset[t] != CGEN_IN_LOGITS)
        cgen_printf(g, "    for (i = 0; i < %d; i++)\n        logits[i] = ((const %s *)(a + %" PRId64 "))[i] - %d;\n",
                    m->classes, cgen_type(out->type), g->offset[t], out->zero);
    nb_text_add(&g->out, "}\n\n");
    cgen_helper(g, cgen_text_argmax);
}

static void put_floats(cgen *g, const char *name, const float *v, int32_t n)
{
    char number[NB_NUMTEXT];
    cgen_printf(g, "static const float net_%s[NET_FEATURE_COLUMNS] = {", name);
    for (int32_t i = 0; i < n; i++) {
        nb_text_add(&g->out, i % 8 == 0 ? "\n    " : " ");
        nb_text_printf(&g->out, "(float)%s,", nb_float_text(number, v[i]));
    }
    nb_text_add(&g->out, "\n};\n");
}

/* Beside the network: what a program that brings codes leaves to its linker. */
static void put_features(cgen *g)
{
    const nb_features *f = g->m->features;
    if (!f)
        return;
    nb_text_add(&g->out, "/* ---- features to codes ---- */\n\n");
    put_floats(g, "center", f->center, f->n);
    put_floats(g, "gain", f->gain, f->n);
    nb_text_add(&g->out, "\n");
    cgen_helper(g, cgen_text_features);
}

static void put_score(cgen *g)
{
    const nb_estep *s = &g->m->e.steps[0];
    const nb_etensor *in = &g->m->e.tensors[s->out];
    char scale[NB_NUMTEXT];
    if (g->m->task != NB_TASK_RECONSTRUCT)
        return;
    nb_text_add(&g->out, "/* ---- how far a reconstruction is away ---- */\n\n");
    cgen_printf(g, "#define NET_INPUT_SCALE ((float)%s)\n#define NET_INPUT_ZERO %d\n",
                nb_float_text(scale, g->m->tensors[s->out].scale), in->zero);
    cgen_printf(g, "#define NET_INPUT_TABLES %d\n#define NET_INPUT_CODE %s\n\n", nb_estep_tables(s, in),
                cgen_type(in->type));
    cgen_helper(g, cgen_text_score);
}

static int64_t macs_of(const nb_intmodel *m)
{
    int64_t macs = 0;
    for (int32_t i = 0; i < m->e.n_steps; i++)
        macs += m->steps[i].macs;
    return macs;
}

static void put_top(cgen *g, const char *header)
{
    const char *slash = strrchr(header, '/');
    cgen_printf(
        g,
        "/* Written by nibble export --format c. Freestanding C99 (and C++): %s, no libc.\n"
        " *\n"
        " * flash   %zu bytes of constants (checked below), plus code\n"
        " * RAM     %zu bytes, static; the largest set of tensors alive at once is %zu\n"
        " * work    %" PRId64 " multiply-accumulates per image\n"
        " *\n"
        " * Results do not depend on compiler, options or instruction set: SMLAD and Helium paths add the same\n"
        " * integers. net_selftest() returns 0 where that holds. Without it (linker: --gc-sections) it costs nothing. "
        "*/\n",
        g->m->task == NB_TASK_RECONSTRUCT ? "integers only but net_score() and net_features()"
        : g->m->features                  ? "integers only but net_features()"
                                          : "integers only",
        g->flash, g->ram, g->live, macs_of(g->m));
    nb_text_add(&g->out, "#include \"");
    nb_text_add(&g->out, slash ? slash + 1 : header);
    nb_text_add(&g->out, "\"\n\n");
}

/* What both files say, without the lines that name it; 32 bits are what every preprocessor can compare. */
static uint32_t hash_of(const char *top, const char *body, const char *declarations)
{
    const uint64_t h = nb_mix(nb_mix(nb_hash_text(top), nb_hash_text(body)), nb_hash_text(declarations));
    return (uint32_t)(h ^ h >> 32);
}

/* The end of what is being written; the next piece begins. */
static nb_status take(cgen *g, char **piece)
{
    NB_TRY(nb_text_take(&g->out, piece));
    nb_text_init(g->ctx, &g->out);
    return NB_OK;
}

enum { TOP, BODY, DECLARATIONS, PIECES };

/* Everything but the hash, in an order that lets sizes be known before they are printed. */
static nb_status put_pieces(cgen *g, const char *header, char **piece)
{
    char *data = NULL;
    NB_TRY(cgen_plan(g));
    g->flash = cgen_flash_bytes(g->m);
    NB_TRY(cgen_data(g));
    NB_TRY(take(g, &data));
    cgen_helper(g, cgen_text_arena);
    nb_text_add(&g->out, data);
    nb_free(g->ctx, data);
    cgen_helpers(g);
    NB_TRY(cgen_functions(g));
    put_run(g);
    put_score(g);
    put_features(g);
    NB_TRY(put_selftest(g));
    NB_TRY(take(g, &piece[BODY]));
    put_top(g, header);
    NB_TRY(take(g, &piece[TOP]));
    put_header(g);
    return take(g, &piece[DECLARATIONS]);
}

static nb_status join(cgen *g, char *const *piece, char **source, char **declarations)
{
    const uint32_t hash = hash_of(piece[TOP], piece[BODY], piece[DECLARATIONS]);
    nb_text_add(&g->out, piece[TOP]);
    cgen_printf(g, "#if !defined(NET_HASH) || NET_HASH != 0x%08xu\n", hash);
    nb_text_add(&g->out, "#error \"this header belongs to another network: export the network again\"\n#endif\n\n");
    nb_text_add(&g->out, piece[BODY]);
    NB_TRY(take(g, source));
    put_header_top(g);
    cgen_printf(g, "#define NET_%-14s 0x%08xu /* of this network; the .c file has the same */\n", "HASH", hash);
    nb_text_add(&g->out, piece[DECLARATIONS]);
    return take(g, declarations);
}

static nb_status generate(cgen *g, const char *header, char **source, char **declarations)
{
    char *piece[PIECES] = {0};
    nb_status st = put_pieces(g, header, piece);
    if (st == NB_OK)
        st = join(g, piece, source, declarations);
    for (int i = 0; i < PIECES; i++)
        nb_free(g->ctx, piece[i]);
    return st;
}

/* The source first: between the renames it stands beside the earlier header, and refuses it. */
static nb_status write_both(nb_ctx *ctx, const char *path, const char *source, const char *header,
                            const char *declarations)
{
    NB_TRY(nb_output_check(ctx, header));
    nb_together_begin(ctx);
    nb_status st = nb_file_write(ctx, path, source, strlen(source));
    if (st == NB_OK)
        st = nb_file_write(ctx, header, declarations, strlen(declarations));
    return nb_together_end(ctx, st);
}

/* places: of its arrays. */
static nb_status open_cgen(nb_ctx *ctx, const nb_intmodel *m, const char *prefix, cgen *g, int64_t **places)
{
    const size_t n = (size_t)m->e.n_tensors, steps = (size_t)m->e.n_steps;
    *places = nb_alloc(ctx, (n + 2 * steps) * sizeof **places);
    if (!*places)
        return NB_E_NOMEM;
    *g = (cgen){.ctx = ctx, .m = m, .prefix = prefix, .offset = *places, .scratch = *places + n};
    g->same = (int32_t *)(void *)(*places + n + steps);
    nb_text_init(ctx, &g->out);
    return NB_OK;
}

static nb_status write_c(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    char header[PATH_BYTES], prefix[MAX_PREFIX + 2], *source = NULL, *declarations = NULL;
    int64_t *places;
    cgen g;
    NB_TRY(names_of(ctx, path, options ? options->prefix : NULL, header, prefix));
    NB_TRY(open_cgen(ctx, m, prefix, &g, &places));
    nb_status st = generate(&g, header, &source, &declarations);
    nb_text_free(&g.out);
    if (st == NB_OK)
        st = write_both(ctx, path, source, header, declarations);
    nb_free(ctx, source);
    nb_free(ctx, declarations);
    nb_free(ctx, places);
    return st;
}

static nb_status size_c(nb_ctx *ctx, const nb_intmodel *m, nb_export_size *out)
{
    int64_t *places;
    cgen g;
    NB_TRY(open_cgen(ctx, m, "", &g, &places));
    const nb_status st = cgen_plan(&g);
    if (st == NB_OK)
        *out = (nb_export_size){.flash_bytes = (int64_t)cgen_flash_bytes(m),
                                .ram_bytes = (int64_t)g.ram,
                                .ram_step = g.busiest,
                                .ram_scratch = (int64_t)cgen_scratch_bytes(m, g.busiest),
                                .macs = macs_of(m),
                                .settled = true};
    nb_free(ctx, places);
    return st;
}

const nb_exporter nb_exporter_c = {.name = "c",
                                   .ext = ".c",
                                   .beside = ".h",
                                   .help = "one freestanding C99 file and its header, for microcontrollers",
                                   .write = write_c,
                                   .size = size_c};
