/* test_intfile_read.c - no damaged integer checkpoint is accepted, and each kind of damage has its sentence. */
#include "base/files.h"
#include "base/safetensors.h"
#include "lower/intfile.h"
#include "ref/tiny_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char dir[64], path[96];
} sandbox;

static int setup(void **state)
{
    sandbox *s = calloc(1, sizeof *s);
    s->ctx = nb_ctx_create();
    strcpy(s->dir, "/tmp/nibble-intread-XXXXXX");
    *state = s;
    if (!mkdtemp(s->dir))
        return -1;
    snprintf(s->path, sizeof s->path, "%s/a.int.safetensors", s->dir);
    return 0;
}

static int teardown(void **state)
{
    sandbox *s = *state;
    unlink(s->path);
    int rc = rmdir(s->dir);
    nb_ctx_destroy(s->ctx);
    free(s);
    return rc;
}

typedef struct {
    char *header; /* NUL-terminated JSON */
    size_t header_len;
    uint8_t *bytes; /* the whole file */
    size_t len;
} file;

static file open_model(sandbox *s, const ref_tiny *t)
{
    nb_intmodel *m;
    file f = {0};
    assert_int_equal(ref_tiny_build(s->ctx, t, &m), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, m, s->path), NB_OK);
    nb_intmodel_free(s->ctx, m);
    assert_int_equal(nb_file_read(s->ctx, s->path, 1 << 20, &f.bytes, &f.len), NB_OK);
    memcpy(strstr((char *)f.bytes + 8, "crc32"), "CRC32", 5); /* or it would answer for every bent byte */
    for (int i = 7; i >= 0; i--)
        f.header_len = f.header_len << 8 | f.bytes[i];
    f.header = calloc(1, f.header_len + 1);
    memcpy(f.header, f.bytes + 8, f.header_len);
    return f;
}

static file open_tiny(sandbox *s)
{
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    return open_model(s, &t);
}

/* c1 with the levels -90, -5, 1, 2, 77 as 3-bit indices. */
static file open_levels(sandbox *s)
{
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_levels(&t, 3, (const int8_t[]){-90, -5, 1, 2, 77}, 5);
    return open_model(s, &t);
}

static void close_tiny(sandbox *s, file *f)
{
    free(f->header);
    nb_free(s->ctx, f->bytes);
}

/* Parses the file with the first `from` of the header replaced by `to`. */
static nb_status parse_edited(sandbox *s, const file *f, const char *from, const char *to)
{
    const char *at = strstr(f->header, from);
    if (!at)
        fail_msg("%s is not in the header", from);
    const size_t head = (size_t)(at - f->header), skip = head + strlen(from);
    const size_t header_len = f->header_len - strlen(from) + strlen(to), data = f->len - 8 - f->header_len;
    uint8_t *edited = malloc(8 + header_len + data), *p = edited + 8;
    for (int i = 0; i < 8; i++)
        edited[i] = (uint8_t)(header_len >> (8 * i));
    memcpy(p, f->header, head);
    memcpy(p + head, to, strlen(to));
    memcpy(p + head + strlen(to), f->header + skip, f->header_len - skip);
    memcpy(p + header_len, f->bytes + 8 + f->header_len, data);
    nb_intmodel *m = NULL;
    nb_status st = nb_intmodel_parse(s->ctx, "edited", edited, 8 + header_len + data, &m);
    nb_intmodel_free(s->ctx, m);
    free(edited);
    return st;
}

#define Q(x) "\\\"" x "\\\"" /* a quoted string inside the graph, which is a string itself */

typedef struct {
    const char *from, *to, *sentence;
} edit;

static const edit edits[] = {
    {"nibble-int 1", "nibble-int 99", "written by a newer Nibble (format \"nibble-int 99\""},
    {"nibble-int 1", "nibble-int 6",
     "format \"nibble-int 6\" is for features, and steps that no older one has: there are none"},
    {Q("kind") ":" Q("add"), Q("kind") ":" Q("mul"),
     "step 4: its kind, input or window: only format \"nibble-int 6\" has it"},
    {"nibble-int 1", "nibble-int 5",
     "format \"nibble-int 5\" is for oblong windows and means with padding: there are none"},
    {"nibble-int 1", "nibble-int 4", "format \"nibble-int 4\" is for layers with blocks: there are none"},
    {"nibble-int 1", "nibble-int 3",
     "format \"nibble-int 3\" is for layers with offsets or levels of each channel, or tensors of 1 bit: there are "
     "none"},
    {Q("packing") ":" Q("s4"), Q("packing") ":" Q("offset"),
     "step 1: packing: \"offset\": only format \"nibble-int 3\" has it"},
    {Q("bits") ":8", Q("bits") ":1", "tensor 0: bits: 1: only format \"nibble-int 3\" has it"},
    {"nibble-int 1", "nibble-int 0", "not an integer checkpoint (metadata \"format\" is \"nibble-int 0\""},
    {"nibble-int 1", "nibble-int 2", "format \"nibble-int 2\" is for layers with levels: there are none"},
    {Q("packing") ":" Q("s4"), Q("packing") ":" Q("bits"),
     "step 1: packing: \"bits\": only format \"nibble-int 2\" has it"},
    {"\"format\"", "\"fromat\"", "not an integer checkpoint (metadata \"format\" is missing"},
    {"\"graph\"", "\"graphs\"", "__metadata__ graph: must be a JSON object"},
    {"{" Q("tensors"), "{{" Q("tensors"), "__metadata__ graph: must be a JSON object"},
    {"]}\"", "]} x\"", "__metadata__ graph: must be a JSON object"},
    {"{" Q("tensors"), "{" Q("more") ":1," Q("tensors"), "must be a JSON object with \"tensors\" and \"steps\""},
    {Q("tensors") ":[", Q("tensors") ":[4,", "tensor 0: must be an object"},
    {Q("tensors") ":[", Q("tensors") ":[{},", "tensor 0: has 0 keys: must have 9"},
    {Q("h") ":5", Q("h") ":5," Q("x") ":1", "tensor 0: has 10 keys"},
    {Q("h") ":5", Q("hh") ":5", "tensor 0: \"h\" must be a number"},
    {Q("h") ":5", Q("h") ":" Q("5"), "tensor 0: \"h\" must be a number"},
    {Q("h") ":5", Q("h") ":5.5", "h: 5.5: must be a whole number"},
    {Q("h") ":5", Q("h") ":1e10", "h: 10000000000: must be a whole number"},
    {Q("h") ":5", Q("h") ":1e999", "\"h\" must be a number"},
    {Q("h") ":5", Q("h") ":-5", "tensor 0 \"in.fq\": size -5x5x2"},
    {Q("h") ":5", Q("h") ":6", "reads 5x5x2, but \"in.fq\" is 6x5x2"},
    {Q("name") ":" Q("in.fq"), Q("name") ":7", "tensor 0: \"name\" must be a string"},
    {Q("name") ":" Q("in.fq"), Q("name") ":" Q(""), "has no name"},
    {Q("u8"), Q("u9"), "tensor 0: type: \"u9\" is unknown"},
    {Q("u8"), Q("s8"), "zero point 128"},
    {Q("bits") ":8", Q("bits") ":0", "bits: 0: must be 1..8"},
    {Q("scale") ":0.0078125", Q("scale") ":1e39", "scale: 1e+39: must be a positive float"},
    {Q("scale") ":0.0078125", Q("scale") ":-1", "scale: -1: must be a positive float"},
    {Q("scale") ":0.0078125", Q("scale") ":1e-39", "must be a positive normal number"},
    {Q("offset") ":0", Q("offset") ":-64", "offset: -64: must be a whole number"},
    {Q("offset") ":0", Q("offset") ":32", "must be a multiple of 64"},
    {Q("offset") ":0", Q("offset") ":1e300", "must be a whole number in"},
    {Q("offset") ":0", Q("offset") ":4503599627370496", "must be at most 1073741824"},
    {Q("steps") ":[", Q("steps") ":[7,", "step 0: must be an object"},
    {Q("kind") ":" Q("conv"), Q("kind") ":" Q("fold"), "step 1: kind: \"fold\" is unknown"},
    {Q("kind") ":" Q("table"), Q("kind") ":" Q("concat"), "step 0 \"in\": 0 inputs: must be 1..8"},
    {Q("in") ":[0]", Q("in") ":0", "step 1: \"in\" must be a list"},
    {Q("in") ":[0]", Q("in") ":[0,0,0,0,0,0,0,0,0]", "\"in\" must be a list of at most 8"},
    {Q("in") ":[0]", Q("in") ":[" Q("0") "]", "\"in\" must hold numbers"},
    {Q("in") ":[0]", Q("in") ":[9]", "in: 9: must be a whole number in 0..8"},
    {Q("in") ":[0]", Q("in") ":[-1]", "in: -1: must be a whole number"},
    {Q("in") ":[0]", Q("in") ":[1]", "reads the tensor it writes"},
    {Q("in") ":[2]", Q("in") ":[4]", "step 3 \"dw\": reads a tensor no earlier step has written: \"sum.fq\""},
    {Q("out") ":1", Q("out") ":99", "tensor 99: there are 9"},
    {Q("out") ":1", Q("out") ":4294967297", "out: 4294967297: must be a whole number"},
    {Q("hi") ":255", Q("hi") ":256", "clamp 0..256"},
    {Q("geom") ":{", Q("geom") ":{" Q("z") ":0,", "geom of step 1: has 13 keys: must have 12"},
    {Q("kh") ":3", Q("kh") ":0", "window 0x3"},
    {Q("kh") ":3", Q("kh") ":2147483647", "window 2147483647x3"},
    {Q("oc") ":3", Q("oc") ":2147483647", "channels: 2147483647"},
    {Q("groups") ":1", Q("groups") ":0", "groups: 0"},
    {Q("stride") ":1", Q("stride") ":0", "stride 0"},
    {Q("stride") ":1", Q("stride") ":[1,2]", "step 1: its kind, input or window: only format \"nibble-int 5\" has it"},
    {Q("stride") ":1", Q("stride") ":[1]", "geom of step 1: \"stride\" has 1 numbers, not 2"},
    {Q("pad") ":1", Q("pad") ":[1,1,1,1,1]", "geom of step 1: \"pad\" must be a number or 4 of them"},
    {Q("pad") ":1", Q("pad") ":[1,true,1,1]", "geom of step 1: \"pad\" must be a number or 4 of them"},
    {Q("pad") ":1", Q("pad") ":[1,0.5,1,1]", "geom of step 1: pad: 0.5: must be a whole number"},
    {Q("weight_bits") ":4", Q("weight_bits") ":9", "weight_bits: 9: must be 2..8"},
    {Q("weight_bits") ":4", Q("weight_bits") ":2", "packing: \"s4\": must be \"s2\" for 2 bits"},
    {Q("weight_bits") ":4", Q("weight_bits") ":3", "must be -3..3 (3 bits)"},
    {"\"c1.weight\"", "\"c1.weights\"", "tensor \"c1.weight\" is missing"},
    {"\"c1.bias\"", "\"c1.boas\"", "tensor \"c1.bias\" is missing"},
    {"\"sum.shift\"", "\"sum.shaft\"", "tensor \"sum.shift\" is missing"},
    {"\"in.table\"", "\"in.cable\"", "tensor \"in.table\" is missing"},
    {"\"c1.weight_scale\"", "\"c1.weight_scales\"", "tensor \"c1.weight_scale\" is missing"},
    {"\"c1.bias\":{\"dtype\":\"I32\"", "\"c1.bias\":{\"dtype\":\"F32\"", "tensor \"c1.bias\" is F32: must be I32"},
    {"\"c1.bias\":{\"dtype\":\"I32\"", "\"c1.bias\":{\"dtype\":\"U32\"", "tensor \"c1.bias\" is U32: must be I32"},
    {"\"c1.weight\":{\"dtype\":\"U8\"", "\"c1.weight\":{\"dtype\":\"I8\"", "tensor \"c1.weight\" is I8: must be U8"},
    {"\"c1.weight\":{\"dtype\":\"U8\"", "\"c1.weight\":{\"dtype\":\"BOOL\"",
     "tensor \"c1.weight\" is of another dtype: must be U8"},
    {"\"c1.weight\":{\"dtype\":\"U8\",\"shape\":[27]", "\"c1.weight\":{\"dtype\":\"U8\",\"shape\":[27,1]",
     "in 1 dimensions"},
    {"\"c1.weight\":{\"dtype\":\"U8\",\"shape\":[27]", "\"c1.weight\":{\"dtype\":\"U8\",\"shape\":[26]",
     "tensor \"c1.weight\": data_offsets"},
    {"\"in.table\":{\"dtype\":\"U8\",\"shape\":[2,256]", "\"in.table\":{\"dtype\":\"U8\",\"shape\":[256,2]",
     "must have 2 x 256"},
    {"\"classes\":\"4\"", "\"classes\":\"5\"", "class_names: must be a list of 5 strings"},
    {"\"classes\":\"4\"", "\"classes\":\"4.5\"", "classes: must be a whole number"},
    {"\"classes\":\"4\"", "\"classes\":\"four\"", "classes: must be a number in 1..1.04858e+06"},
    {"\"classes\":\"4\"", "\"class\":\"4\"", "classes: must be a number"},
    {"[" Q("cat"), "[3", "class_names: must be a list of 4 strings"},
    {"\"accuracy\":", "\"task\":\"reconstruct\",\"accuracy\":",
     "__metadata__ task: only format \"nibble-int 6\" has it"},
    {"\"accuracy\":\"0.1\"", "\"accuracy\":\"1.1\"", "accuracy: must be a number in 0..1"},
    {"\"accuracy\":\"0.1\"", "\"accuracy\":\"\"", "accuracy: must be a number in 0..1"},
};

/* c1 in blocks of 5 with mantissas of 3 bits: 18 of them and 4 exponents, 66 bits to a channel. */
static file open_blocks(sandbox *s)
{
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_blocks(&t, 3, 5);
    return open_model(s, &t);
}

/* Each is refused with its sentence; the editing itself is sound. */
static void check_edits(sandbox *s, file f, const edit *e, size_t n)
{
    assert_int_equal(parse_edited(s, &f, "in.fq", "xy.fq"), NB_OK);
    for (size_t i = 0; i < n; i++) {
        const nb_status st = parse_edited(s, &f, e[i].from, e[i].to);
        if (st != NB_E_FORMAT || !strstr(nb_ctx_error(s->ctx), e[i].sentence) ||
            strncmp(nb_ctx_error(s->ctx), "edited: ", 8) != 0)
            fail_msg("%s -> %s: status %d, want \"%s\", got \"%s\"", e[i].from, e[i].to, st, e[i].sentence,
                     nb_ctx_error(s->ctx));
    }
    close_tiny(s, &f);
}

static void every_edit_of_the_header_gives_its_sentence(void **state)
{
    check_edits(*state, open_tiny(*state), edits, sizeof edits / sizeof *edits);
}

static void every_edit_of_features_gives_its_sentence(void **state)
{
    static const edit features[] = {
        {"nibble-int 6", "nibble-int 5", "tensor \"in.table\" has 256 values: must have 2 x 256"},
        {"int16 130", "int16 256",
         "__metadata__ features: must be \"TYPE ZERO STEP N CENTER... GAIN...\" with N of 1, 2"},
        {"int16 130 0.5 2 1", "int16 130 0.5 3 1", "features: must be"},
        {"int16 130 0.5 2 1", "int16 130 0.5 2", "features: must be"},
        {"int16 130 0.5 2 1", "", "features: must be"},
        {"[1,256]", "[2,256]", "tensor \"in.table\": data_offsets"},
        {"\"accuracy\":", "\"task\":\"rank\",\"accuracy\":", "__metadata__ task: \"rank\": must be \"reconstruct\""},
        {"\"accuracy\":", "\"task\":\"reconstruct\",\"accuracy\":",
         "has 4 values, the input that it is compared with 50"},
    };
    sandbox *s = *state;
    ref_tiny t;
    const nb_features map = {"int16", 130, 0.5f, 2, (const float[]){1, -7}, (const float[]){3, 1}};
    ref_tiny_fill(&t, 4);
    t.meta.features = &map;
    t.steps[0].one_table = 1;
    check_edits(s, open_model(s, &t), features, sizeof features / sizeof *features);
    t.steps[0].one_table = 0;
    file f = open_model(s, &t);
    assert_int_equal(parse_edited(s, &f, "int16 130", "int16 129"), NB_OK);
    assert_int_equal(parse_edited(s, &f, "nibble-int 6", "nibble-int 5"), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "__metadata__ features: only format \"nibble-int 6\" has it"));
    close_tiny(s, &f);
}

/* The clamp becomes one table for all its channels. */
static file open_lookup(sandbox *s)
{
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.steps[6].kind = NB_STEP_TABLE;
    t.steps[6].geom = (nb_geom){0};
    t.steps[6].one_table = 1;
    t.steps[6].lo = 0;
    t.steps[6].hi = 127;
    for (int32_t i = 0; i < 256; i++)
        t.table[i] = (uint8_t)(i / 2);
    t.steps[6].table = t.table;
    return open_model(s, &t);
}

static void every_edit_of_a_table_of_codes_gives_its_sentence(void **state)
{
    static const edit tables[] = {
        {"nibble-int 6", "nibble-int 5", "step 6: its kind, input or window: only format \"nibble-int 6\" has it"},
        {Q("in") ":[5],", Q("in") ":[],", "table step 6 \"clamp\": only the first step reads the pixels"},
        {"\"clamp.table\"", "\"clomp.table\"", "tensor \"clamp.table\" is missing"},
        {"\"clamp.table\":{\"dtype\":\"U8\",\"shape\":[1,256]", "\"clamp.table\":{\"dtype\":\"U8\",\"shape\":[2,128]",
         "tensor \"clamp.table\" has 256 values: must have 6 x 256 in 2 dimensions"},
        {"\"clamp.table\":{\"dtype\":\"U8\"", "\"clamp.table\":{\"dtype\":\"I8\"",
         "tensor \"clamp.table\" is I8: must be U8"},
        {Q("lo") ":0," Q("hi") ":127", Q("lo") ":0," Q("hi") ":126", "table[0][254]: 127: must be 0..126"},
    };
    check_edits(*state, open_lookup(*state), tables, sizeof tables / sizeof *tables);
}

static void every_edit_of_levels_gives_its_sentence(void **state)
{
    static const edit levels[] = {
        {"nibble-int 2", "nibble-int 1", "step 1: packing: \"bits\": only format \"nibble-int 2\" has it"},
        {Q("packing") ":" Q("bits"), Q("packing") ":" Q("i8"), "packing: \"i8\": must be \"s4\" for 3 bits"},
        {Q("weight_bits") ":3", Q("weight_bits") ":0", "step 1: weight_bits: 0: must be 1..8"},
        {Q("weight_bits") ":3", Q("weight_bits") ":9", "step 1: weight_bits: 9: must be 1..8"},
        {Q("weight_bits") ":3", Q("weight_bits") ":-2147483648", "must be 1..8"},
        {Q("weight_bits") ":3", Q("weight_bits") ":2", "tensor \"c1.levels\" has 5 values: must have 2..4"},
        {Q("weight_bits") ":3", Q("weight_bits") ":4", "tensor \"c1.weight\" has 21 values: must have 27"},
        {"\"c1.levels\"", "\"c1.level\"", "tensor \"c1.levels\" is missing"},
        {"\"c1.levels\":{\"dtype\":\"I8\"", "\"c1.levels\":{\"dtype\":\"U8\"",
         "tensor \"c1.levels\" is U8: must be I8"},
        {"\"c1.levels\":{\"dtype\":\"I8\",\"shape\":[5]", "\"c1.levels\":{\"dtype\":\"I8\",\"shape\":[5,1]",
         "in 1 dimensions"},
        {"\"c1.weight\":{\"dtype\":\"U8\"", "\"c1.weight\":{\"dtype\":\"I8\"",
         "tensor \"c1.weight\" is I8: must be U8"},
        {"\"dw.weight\"", "\"dw.levels\"", "tensor \"dw.weight\" is missing"},
    };
    check_edits(*state, open_levels(*state), levels, sizeof levels / sizeof *levels);
}

static void every_edit_of_blocks_gives_its_sentence(void **state)
{
    static const edit blocks[] = {
        {"nibble-int 4", "nibble-int 3", "step 1: packing: \"block\": only format \"nibble-int 4\" has it"},
        {Q("block") ":5", Q("blocks") ":5", "step 1: \"block\" must be a number"},
        {Q("block") ":5", Q("block") ":5.5", "step 1: block: 5.5: must be a whole number"},
        {Q("block") ":5", Q("block") ":0", "step 1: block: 0: must be 1 or more"},
        {Q("block") ":5", Q("block") ":-5", "step 1: block: -5: must be 1 or more"},
        {Q("block") ":5", Q("block") ":2", "tensor \"c1.weight\" has 27 values: must have 33"},
        {"," Q("block") ":5", "", "step 1: has 9 keys: must have 10"},
        {Q("packing") ":" Q("block"), Q("packing") ":" Q("s4"), "step 1: has 10 keys: must have 9"},
        {Q("weight_bits") ":3", Q("weight_bits") ":1", "step 1: weight_bits: 1: must be 2..7 in blocks"},
        {Q("weight_bits") ":3", Q("weight_bits") ":8", "step 1: weight_bits: 8: must be 2..7 in blocks"},
    };
    check_edits(*state, open_blocks(*state), blocks, sizeof blocks / sizeof *blocks);
}

static void every_edit_of_moves_gives_its_sentence(void **state)
{
    static const edit moves[] = {
        {"nibble-int 6", "nibble-int 5", "step 6: its kind, input or window: only format \"nibble-int 6\" has it"},
        {"\"clamp.rows\"", "\"clamp.row\"", "tensor \"clamp.rows\" is missing"},
        {"\"clamp.columns\"", "\"clamp.col\"", "tensor \"clamp.columns\" is missing"},
        {"\"clamp.channels\":{\"dtype\":\"I32\"", "\"clamp.channels\":{\"dtype\":\"F32\"", "is F32: must be I32"},
        {"\"clamp.channels\":{\"dtype\":\"I32\",\"shape\":[6]", "\"clamp.channels\":{\"dtype\":\"I32\",\"shape\":[2,3]",
         "in 1 dimensions"},
        {Q("take"), Q("blend"), "1 tensors belong to no step"},
        {Q("take"), Q("concat"), "tensor \"clamp.mult\" is missing"},
    };
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_moves(&t);
    check_edits(s, open_model(s, &t), moves, sizeof moves / sizeof *moves);
}

static void two_tensors_in_one_place_are_refused(void **state)
{
    sandbox *s = *state;
    file f = open_tiny(s);
    assert_int_equal(parse_edited(s, &f, Q("offset") ":128", Q("offset") ":0"), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "overlap in the arena"));
    close_tiny(s, &f);
}

static void an_extra_tensor_is_refused(void **state)
{
    sandbox *s = *state;
    file f = open_tiny(s);
    char from[64], to[128];
    const char *last = strrchr(f.header, '[');
    const char *comma = strchr(last, ',');
    snprintf(from, sizeof from, "%s", last);
    from[strcspn(from, " ")] = '\0'; /* "[a,b]}}" */
    const long end = strtol(comma + 1, NULL, 10);
    snprintf(to, sizeof to, "%.*s},\"spare\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[%ld,%ld]}}",
             (int)(strcspn(from, "}")), from, end, end);
    assert_int_equal(parse_edited(s, &f, from, to), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(s->ctx), "edited: 1 tensors belong to no step");
    close_tiny(s, &f);
}

/* Where a tensor's data stand in the file. */
static size_t data_at(sandbox *s, const file *f, const char *name)
{
    nb_st_file *st;
    assert_int_equal(nb_st_parse(s->ctx, "x", f->bytes, f->len, &st), NB_OK);
    size_t at = 8 + f->header_len;
    for (int32_t i = 0; i < nb_st_count(st) && strcmp(nb_st_at(st, i)->name, name) != 0; i++)
        at += nb_st_at(st, i)->bytes;
    nb_st_close(s->ctx, st);
    return at;
}

typedef struct {
    const char *tensor;
    size_t offset;
    uint8_t value;
    const char *sentence;
} bent_byte;

static void every_bent_byte_is_refused(sandbox *s, file *f, const bent_byte *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t at = data_at(s, f, data[i].tensor) + data[i].offset;
        const uint8_t was = f->bytes[at];
        nb_intmodel *m = NULL;
        f->bytes[at] = data[i].value;
        nb_status st = nb_intmodel_parse(s->ctx, "bent", f->bytes, f->len, &m);
        f->bytes[at] = was;
        if (st != NB_E_FORMAT || !strstr(nb_ctx_error(s->ctx), data[i].sentence))
            fail_msg("%s: status %d, want \"%s\", got \"%s\"", data[i].tensor, st, data[i].sentence,
                     nb_ctx_error(s->ctx));
        assert_null(m);
    }
}

/* c1 has 18 weights to a channel, 54 bits, the last two of 7 bytes are spare. */
static void levels_and_indices_outside_their_bounds_are_refused(void **state)
{
    sandbox *s = *state;
    static const bent_byte data[] = {
        {"c1.weight", 0, 0x07, "tensor \"c1.weight\": index 0 of channel 0 is none of its 5 levels"},
        {"c1.weight", 7, 0x28, "tensor \"c1.weight\": index 1 of channel 1 is none of its 5 levels"},
        {"c1.weight", 20, 0x40, "tensor \"c1.weight\": channel 2: unused bits of the last byte must be 0"},
        {"c1.weight", 6, 0x80, "tensor \"c1.weight\": channel 0: unused bits of the last byte must be 0"},
        {"c1.levels", 0, 0x80, "levels[0]: -128: must be -127..127"},
        {"c1.levels", 2, 0xFB, "levels[2]: -5: must be more than the one before, -5"},
        {"c1.levels", 3, 0x00, "levels[3]: 0: must be more than the one before, 1"},
        {"c1.bias", 3, 0x7F, "the accumulator could reach"},
    };
    file f = open_levels(s);
    every_bent_byte_is_refused(s, &f, data, sizeof data / sizeof *data);
    close_tiny(s, &f);
}

static void blocks_outside_their_bounds_are_refused(void **state)
{
    sandbox *s = *state;
    static const bent_byte data[] = {
        {"c1.weight", 0, 0x20, "weight 0 of channel 0 is more than 127, or its mantissa is not -3..3"},
        {"c1.weight", 9, 0x07, "weight 1 of channel 1 is more than 127, or its mantissa is not -3..3"},
        {"c1.weight", 8, 0x07, "tensor \"c1.weight\": channel 0: unused bits of the last byte must be 0"},
    };
    file f = open_blocks(s);
    every_bent_byte_is_refused(s, &f, data, sizeof data / sizeof *data);
    close_tiny(s, &f);
}

/* c1 has 3 bits, of a narrow grid; some channel is moved up by 9 so that there is a low for each. */
static void offsets_outside_their_bounds_are_refused(void **state)
{
    sandbox *s = *state;
    static const bent_byte one[] = {
        {"c1.low", 0, 0x7F, "is a weight of more than 127"},
        {"c1.low", 0, 0x80, "-128: must be -127..127"},
        {"c1.weight", 6, 0x80, "tensor \"c1.weight\": channel 0: unused bits of the last byte must be 0"},
    };
    static const bent_byte each[] = {
        {"c1.low", 1, 0xFC, "tensor \"c1.low\": must be the layer's smallest weight where that serves all channels"},
    };
    ref_tiny t;
    ref_tiny_fill(&t, 3);
    file f = open_model(s, &t);
    every_bent_byte_is_refused(s, &f, one, sizeof one / sizeof *one);
    close_tiny(s, &f);
    ref_tiny_fill(&t, 3);
    for (int32_t i = 0; i < 18; i++)
        t.conv1[18 + i] = (int8_t)(t.conv1[18 + i] + 9);
    f = open_model(s, &t);
    every_bent_byte_is_refused(s, &f, each, sizeof each / sizeof *each);
    close_tiny(s, &f);
}

static void codes_and_numbers_outside_their_bounds_are_refused(void **state)
{
    sandbox *s = *state;
    static const bent_byte data[] = {
        {"c1.weight", 3, 0x88, "tensor \"c1.weight\": weight[0][6]: -8: must be -7..7 (4 bits)"},
        {"dw.weight", 0, 0xC0, "unused bits of the last byte must be 0"},
        {"dw.weight", 0, 0x02, "weight[0][0]: -2: must be -1..1 (2 bits)"},
        {"fc.weight", 0, 0x80, "weight[0][0]: -128: must be -127..127 (8 bits)"},
        {"c1.mult", 3, 0x00, "mult[0]:"},
        {"c1.mult", 3, 0xC0, "mult[0]: -"},
        {"c1.shift", 4, 63, "shift[1]: 63"},
        {"c1.shift", 7, 0xFF, "shift[1]: -"},
        {"c1.bias", 3, 0x7F, "the accumulator could reach"},
        {"c1.weight_scale", 3, 0xFF, "weight_scale[0]:"},
    };
    file f = open_tiny(s);
    every_bent_byte_is_refused(s, &f, data, sizeof data / sizeof *data);
    close_tiny(s, &f);
}

static void truncate_everywhere(sandbox *s, file f)
{
    for (size_t len = 0; len < f.len; len += len < 64 ? 1 : 13) {
        nb_intmodel *m = NULL;
        uint8_t *cut = malloc(len + 1); /* its own block: the sanitizer sees reads behind it */
        memcpy(cut, f.bytes, len);
        assert_int_equal(nb_intmodel_parse(s->ctx, "cut", cut, len, &m), NB_E_FORMAT);
        assert_true(strlen(nb_ctx_error(s->ctx)) > 10);
        free(cut);
    }
    close_tiny(s, &f);
}

static void every_truncation_is_an_error(void **state)
{
    truncate_everywhere(*state, open_tiny(*state));
    truncate_everywhere(*state, open_levels(*state));
}

static void flip_everywhere(sandbox *s, file f)
{
    uint8_t pixels[4096] = {0};
    int accepted = 0;
    for (size_t i = 0; i < f.len; i++) {
        nb_intmodel *m = NULL;
        f.bytes[i] ^= (uint8_t)(1u << (i % 8));
        if (nb_intmodel_parse(s->ctx, "flipped", f.bytes, f.len, &m) == NB_OK) {
            void *arena = nb_alloc(s->ctx, nb_engine_arena_bytes(&m->e));
            const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
            if (arena && (int64_t)in->h * in->w * in->c <= (int64_t)sizeof pixels)
                nb_engine_run(&m->e, arena, pixels);
            nb_free(s->ctx, arena);
            accepted++;
        }
        nb_intmodel_free(s->ctx, m);
        f.bytes[i] ^= (uint8_t)(1u << (i % 8));
    }
    assert_true(accepted > 500); /* the table alone has 512 bytes, nearly all codes are as good as others */
    close_tiny(s, &f);
}

static void every_flipped_byte_is_an_error_or_a_model_that_runs(void **state)
{
    flip_everywhere(*state, open_tiny(*state));
    flip_everywhere(*state, open_levels(*state));
}

static void a_header_of_absurd_length_is_refused(void **state)
{
    sandbox *s = *state;
    file f = open_tiny(s);
    for (int byte = 3; byte < 8; byte++) {
        nb_intmodel *m = NULL;
        f.bytes[byte] = 0xFF;
        assert_int_equal(nb_intmodel_parse(s->ctx, "absurd", f.bytes, f.len, &m), NB_E_FORMAT);
        f.bytes[byte] = 0;
    }
    close_tiny(s, &f);
}

static void a_failing_allocation_anywhere_in_load_is_an_error_and_leaks_nothing(void **state)
{
    sandbox *s = *state;
    file f = open_levels(s);
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        nb_intmodel *m = NULL;
        nb_ctx_fail_alloc_at(s->ctx, ++n);
        st = nb_intmodel_load(s->ctx, s->path, &m);
        nb_ctx_fail_alloc_at(s->ctx, 0);
        assert_true(st == NB_OK || (st == NB_E_NOMEM && !m));
        nb_intmodel_free(s->ctx, m);
    }
    assert_true(n > 10);
    close_tiny(s, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_edit_of_the_header_gives_its_sentence),
        cmocka_unit_test(every_edit_of_features_gives_its_sentence),
        cmocka_unit_test(every_edit_of_a_table_of_codes_gives_its_sentence),
        cmocka_unit_test(every_edit_of_levels_gives_its_sentence),
        cmocka_unit_test(levels_and_indices_outside_their_bounds_are_refused),
        cmocka_unit_test(blocks_outside_their_bounds_are_refused),
        cmocka_unit_test(every_edit_of_blocks_gives_its_sentence),
        cmocka_unit_test(every_edit_of_moves_gives_its_sentence),
        cmocka_unit_test(two_tensors_in_one_place_are_refused),
        cmocka_unit_test(an_extra_tensor_is_refused),
        cmocka_unit_test(codes_and_numbers_outside_their_bounds_are_refused),
        cmocka_unit_test(offsets_outside_their_bounds_are_refused),
        cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(every_flipped_byte_is_an_error_or_a_model_that_runs),
        cmocka_unit_test(a_header_of_absurd_length_is_refused),
        cmocka_unit_test(a_failing_allocation_anywhere_in_load_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
