/* verify_programs.c - what runs outside of this process: the exported C under the compilers that are here, and the
 * exported ONNX model in ONNX Runtime.
 *
 * All of them are programs in the temporary folder that read images.bin and write logits.bin, and print the seconds
 * they took. Paths of the user never reach a command line; names in the folder are ours. What a compiler cannot do with
 * an empty program (-m32, a sanitizer) says nothing about the model: such a row is "not here". */
#include "cli/verify_all.h"

#include <nibble/export.h>

#include "base/check.h"
#include "base/files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_ARGS = 16, NUMBER_MAX_BYTES = 4096 };

/* ---- what a program left behind ---- */

/* logits.bin: exactly n * classes values of 4 bytes; the caller frees. */
static nb_status read_logits(const verify_job *j, uint8_t **out)
{
    char path[OUTSIDE_PATH_BYTES];
    const size_t want = 4 * (size_t)j->n * (size_t)j->m->classes;
    size_t len;
    outside_path(j->o, "logits.bin", path);
    NB_TRY(nb_file_read(j->c->ctx, path, want + 1, out, &len));
    if (len == want)
        return NB_OK;
    nb_free(j->c->ctx, *out);
    return nb_fail(j->c->ctx, NB_E_FORMAT, "wrote %zu bytes of logits, not %zu", len, want);
}

/* "SECONDS [more]" on stdout: per image, < 0 when it is no number; more (if not NULL) gets the rest of the line. */
static double read_seconds(const verify_job *j, char *more, size_t size)
{
    char path[OUTSIDE_PATH_BYTES], *end;
    uint8_t *bytes;
    size_t len;
    outside_path(j->o, "stdout", path);
    if (nb_file_read(j->c->ctx, path, NUMBER_MAX_BYTES, &bytes, &len) != NB_OK)
        return -1;
    double v = strtod((const char *)bytes, &end);
    if (more)
        snprintf(more, size, "%.*s", (int)strcspn(end + strspn(end, " "), "\n"), end + strspn(end, " "));
    const bool ok = end != (const char *)bytes && v >= 0;
    nb_free(j->c->ctx, bytes);
    return ok ? v / j->n : -1;
}

static void remove_file(const verify_job *j, const char *name)
{
    char path[OUTSIDE_PATH_BYTES];
    outside_path(j->o, name, path);
    remove(path);
}

/* A failure of reading or writing that is the row's, not the command's. */
static nb_status becomes_note(const verify_job *j, nb_status st, nb_check_row *r)
{
    if (st == NB_OK || st == NB_E_NOMEM || st == NB_E_STOPPED)
        return st;
    r->kind = NB_CHECK_BROKEN;
    snprintf(r->note, sizeof r->note, "%s", nb_ctx_error(j->c->ctx));
    return NB_OK;
}

/* ---- the exported C ---- */

static const char main_text[] = "#include \"net.h\"\n"
                                "#include <stdio.h>\n"
                                "#include <time.h>\n"
                                "int main(void)\n"
                                "{\n"
                                "    static uint8_t pixels[NET_INPUT_BYTES];\n"
                                "    static int32_t logits[NET_CLASSES];\n"
                                "    FILE *in = fopen(\"images.bin\", \"rb\"), *out = fopen(\"logits.bin\", \"wb\");\n"
                                "    clock_t spent = 0, start;\n"
                                "    if (!in || !out)\n"
                                "        return 1;\n"
                                "    while (fread(pixels, 1, sizeof pixels, in) == sizeof pixels) {\n"
                                "        start = clock();\n"
                                "        net_run(pixels, logits);\n"
                                "        spent += clock() - start;\n"
                                "        if (fwrite(logits, sizeof logits, 1, out) != 1)\n"
                                "            return 1;\n"
                                "    }\n"
                                "    if (net_selftest(pixels, logits)) {\n"
                                "        fprintf(stderr, \"error: the self-test fails\\n\");\n"
                                "        return 1;\n"
                                "    }\n"
                                "    printf(\"%.9f\\n\", (double)spent / CLOCKS_PER_SEC);\n"
                                "    return fclose(out) != 0;\n"
                                "}\n";

static const char empty_text[] =
    "#include <stdint.h>\n#include <stdio.h>\nint main(void) { return puts(\"0\") < 0; }\n";

typedef struct {
    const char *name, *option[4]; /* NULL after the last */
} compile_variant;

static const compile_variant variants[] = {
    {"-O0", {"-O0"}},
    {"-O3", {"-O3"}},
    {"-O3 -m32", {"-O3", "-m32"}},
    {"-O1 UBSan", {"-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"}},
};

static nb_status compile(verify_job *j, const char *compiler, const compile_variant *v, const char *const *sources,
                         outside_end *end)
{
    const char *argv[MAX_ARGS] = {compiler, "-std=c99"};
    int32_t n = 2;
    for (int32_t i = 0; v->option[i]; i++)
        argv[n++] = v->option[i];
    argv[n++] = "-o";
    argv[n++] = "program";
    for (int32_t i = 0; sources[i]; i++)
        argv[n++] = sources[i];
    remove_file(j, "program");
    return outside_run(j->o, argv, j->seconds, end);
}

static nb_status run_program(verify_job *j, outside_end *end)
{
    char path[OUTSIDE_PATH_BYTES];
    outside_path(j->o, "program", path);
    remove_file(j, "logits.bin");
    return outside_run(j->o, (const char *const[]){path, NULL}, j->seconds, end);
}

/* Can this compiler make a program that runs, of anything at all? */
static nb_status try_empty(verify_job *j, const char *compiler, const compile_variant *v, outside_end *end)
{
    NB_TRY(compile(j, compiler, v, (const char *const[]){"empty.c", NULL}, end));
    return end->ok ? run_program(j, end) : NB_OK;
}

/* *hangs: the compiler does not come back from an empty program. */
static nb_status verify_variant(verify_job *j, const char *name, const char *compiler, const compile_variant *v,
                                bool *hangs)
{
    outside_end end;
    char text[64];
    uint8_t *logits = NULL;
    snprintf(text, sizeof text, "C, %s %s", name, v->name);
    nb_check_row *r = verify_add(j, NB_CHECK_BROKEN, text);
    NB_TRY(try_empty(j, compiler, v, &end));
    *hangs = end.late;
    if (!end.ok)
        r->kind = NB_CHECK_ABSENT;
    if (end.ok)
        NB_TRY(compile(j, compiler, v, (const char *const[]){"net.c", "main.c", NULL}, &end));
    if (end.ok)
        NB_TRY(run_program(j, &end));
    snprintf(r->note, sizeof r->note, "%s", end.said);
    if (!end.ok)
        return NB_OK;
    r->seconds = read_seconds(j, NULL, 0);
    nb_status st = read_logits(j, &logits);
    if (st != NB_OK)
        return becomes_note(j, st, r);
    r->kind = NB_CHECK_EXACT;
    memcpy(j->got, logits, 4 * (size_t)j->n * (size_t)j->m->classes);
    nb_free(j->c->ctx, logits);
    verify_count(j, j->got, r);
    return NB_OK;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

nb_status verify_compiled(verify_job *j)
{
    static const char *const names[] = {"gcc", "clang", "cc"}; /* cc last: it mostly is one of the others */
    enum { N = (int)(sizeof names / sizeof *names) };
    char path[N][OUTSIDE_PATH_BYTES], net[OUTSIDE_PATH_BYTES];
    outside_path(j->o, "net.c", net);
    NB_TRY(nb_exporter_find("c")->write(j->c->ctx, j->m, net, &(nb_export_options){.prefix = "net"}));
    NB_TRY(outside_write(j->o, "main.c", main_text, sizeof main_text - 1));
    NB_TRY(outside_write(j->o, "empty.c", empty_text, sizeof empty_text - 1));
    int32_t n = 0;
    for (int32_t i = 0; i < N; i++) {
        bool known = !outside_find(names[i], path[n]);
        for (int32_t k = 0; k < n && !known; k++)
            known = same_file(path[k], path[n]);
        if (known)
            continue;
        bool hangs = false;
        for (size_t v = 0; v < sizeof variants / sizeof *variants && !hangs; v++)
            NB_TRY(verify_variant(j, names[i], path[n], &variants[v], &hangs));
        n++;
    }
    if (n == 0)
        snprintf(verify_add(j, NB_CHECK_ABSENT, "C")->note, OUTSIDE_TEXT_BYTES, "there is no gcc, clang or cc in PATH");
    return NB_OK;
}

/* ---- ONNX Runtime ---- */

/* On x86 without VNNI the default u8 x s8 kernels saturate; x64quantprecision makes them exact. */
static const char python_text[] =
    "import sys, time\n"
    "import numpy as np\n"
    "import onnxruntime as ort\n"
    "h, w, c, k = (int(v) for v in sys.argv[1:5])\n"
    "checked = 'there is no onnx.checker here'\n"
    "try:\n"
    "    import onnx\n"
    "except ImportError:\n"
    "    pass\n"
    "else:\n"
    "    onnx.checker.check_model('net.onnx', full_check=True)\n"
    "    checked = 'passes onnx.checker'\n"
    "options = ort.SessionOptions()\n"
    "options.add_session_config_entry('session.x64quantprecision', '1')\n"
    "options.log_severity_level = 3\n"
    "options.intra_op_num_threads = 1\n"
    "session = ort.InferenceSession('net.onnx', options, providers=['CPUExecutionProvider'])\n"
    "x = np.fromfile('images.bin', np.uint8).reshape(-1, h, w, c).transpose(0, 3, 1, 2)\n"
    "y = np.empty((len(x), k), np.float32)\n"
    "spent = 0\n"
    "for i in range(0, len(x), 100):\n"
    "    part = np.ascontiguousarray(x[i:i + 100])\n"
    "    start = time.process_time()\n"
    "    y[i:i + 100] = session.run(None, {'pixels': part})[0].reshape(len(part), k)\n"
    "    spent += time.process_time() - start\n"
    "y.tofile('logits.bin')\n"
    "print('%.9f' % spent, ort.__version__, checked)\n";

/* --python, $NB_PYTHON or python3; false: *r says why there is none. */
static bool find_python(const verify_job *j, char *path, nb_check_row *r)
{
    const char *name = j->python ? j->python : getenv("NB_PYTHON");
    const bool asked = name && *name;
    if (outside_find(asked ? name : "python3", path))
        return true;
    r->kind = j->python ? NB_CHECK_BROKEN : NB_CHECK_ABSENT; /* what was asked for on the command line must be there */
    snprintf(r->note, sizeof r->note, "%.100s: no such program%s", asked ? name : "python3",
             asked ? "" : " in PATH; --python says where one is");
    return false;
}

static nb_status run_onnx(verify_job *j, const char *python, outside_end *end)
{
    const nb_etensor *in = &j->m->e.tensors[nb_intmodel_input(j->m)];
    const int32_t v[4] = {in->h, in->w, in->c, j->m->classes};
    char number[4][16];
    const char *argv[MAX_ARGS] = {python, "run_net.py"};
    for (int32_t i = 0; i < 4; i++) {
        snprintf(number[i], sizeof number[i], "%d", v[i]);
        argv[2 + i] = number[i];
    }
    remove_file(j, "logits.bin");
    return outside_run(j->o, argv, j->seconds, end);
}

/* Floats in units of a logit, in place. */
static nb_status count_onnx(verify_job *j, const char *form, nb_check_row *r)
{
    char said[OUTSIDE_TEXT_BYTES];
    uint8_t *logits = NULL;
    r->seconds = read_seconds(j, said, sizeof said);
    nb_status st = read_logits(j, &logits);
    if (st != NB_OK)
        return becomes_note(j, st, r);
    const float unit = j->m->tensors[nb_intmodel_output(j->m)].scale;
    const int version = (int)strcspn(said, " ");
    float *values = (float *)(void *)logits;
    for (int64_t i = 0, n = (int64_t)j->n * j->m->classes; i < n; i++)
        values[i] /= unit;
    r->kind = NB_CHECK_ROUNDED;
    snprintf(r->name, sizeof r->name, "ONNX Runtime %.*s, %s", version < 16 ? version : 16, said, form);
    snprintf(r->note, sizeof r->note, "rounds ties to even;%s", said + version);
    verify_count_floats(j, values, r);
    nb_free(j->c->ctx, logits);
    return NB_OK;
}

static nb_status verify_form(verify_job *j, const char *python, const char *form, nb_onnx_form which)
{
    outside_end end;
    char net[OUTSIDE_PATH_BYTES], name[64];
    snprintf(name, sizeof name, "ONNX Runtime, %s", form);
    nb_check_row *r = verify_add(j, NB_CHECK_BROKEN, name);
    outside_path(j->o, "net.onnx", net);
    nb_status st = nb_exporter_find("onnx")->write(j->c->ctx, j->m, net, &(nb_export_options){.onnx_form = which});
    if (st != NB_OK) {
        NB_TRY(becomes_note(j, st, r));
        r->kind = st == NB_E_UNSUPPORTED ? NB_CHECK_ABSENT : NB_CHECK_BROKEN;
        return NB_OK;
    }
    NB_TRY(run_onnx(j, python, &end));
    snprintf(r->note, sizeof r->note, "%s", end.said);
    return end.ok ? count_onnx(j, form, r) : NB_OK;
}

nb_status verify_onnx(verify_job *j)
{
    outside_end end;
    char python[OUTSIDE_PATH_BYTES];
    nb_check_row *r = verify_add(j, NB_CHECK_BROKEN, "ONNX Runtime");
    if (!find_python(j, python, r))
        return NB_OK;
    NB_TRY(outside_write(j->o, "run_net.py", python_text, sizeof python_text - 1));
    NB_TRY(outside_run(j->o, (const char *const[]){python, "-c", "import numpy, onnxruntime", NULL}, j->seconds, &end));
    if (!end.ok) {
        r->kind = j->python ? NB_CHECK_BROKEN : NB_CHECK_ABSENT;
        snprintf(r->note, sizeof r->note, "%.100s: %s", python, end.said);
        return NB_OK;
    }
    j->n_rows--; /* it is here: a row for each form instead */
    NB_TRY(verify_form(j, python, "QDQ", NB_ONNX_QDQ));
    return verify_form(j, python, "QLinearConv", NB_ONNX_OPERATOR);
}
