/* fuzz_config.c - any bytes as a config: a clean error, or a tree that binds without harm, prints, reads back equal and
 * prints the same bytes again.
 *
 * Lines that begin with "--set " at the start of the input become overrides, so that the fuzzer reaches those too. */
#include <nibble/extend/keys.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    int32_t out, mode;
    uint64_t seed;
    float cap;
    bool bias;
    const char *name;
    const nb_conf *in;
} attr;

static const nb_key attr_keys[] = {NB_KEY_STRING(attr, name, "", "name"),
                                   NB_KEY_INT(attr, out, "1", 1, 65536, "number of filters"),
                                   NB_KEY_ENUM(attr, mode, "zero", "zero|edge|wrap", "what lies outside"),
                                   NB_KEY_UINT64(attr, seed, "3", "of its weights"),
                                   NB_KEY_FLOAT(attr, cap, "inf", 0, INFINITY, "upper bound"),
                                   NB_KEY_BOOL(attr, bias, "yes", "add a bias"),
                                   NB_KEY_NODE(attr, in, "name or [name, ...]", "inputs"),
                                   {0}};

enum { MAX_SETS = 4, MAX_BYTES = 1 << 16 };

static void check(bool ok)
{
    if (!ok)
        abort();
}

static nb_status compare(void *ud, const char *text, const nb_conf *node)
{
    (void)ud;
    check(strcmp(text, nb_conf_text(node)) == 0);
    return NB_OK;
}

/* Every node as a section, as a list of words and as a named thing: whatever comes back, it must come back. */
static void bind_all(nb_ctx *ctx, const nb_conf *c)
{
    attr a = {0};
    const nb_binding b = {attr_keys, &a};
    const char *name = NULL;
    const nb_conf *body = NULL;
    if (nb_conf_bind(ctx, c, "section", &b, 1) == NB_OK)
        check(a.out >= 1 && a.out <= 65536 && a.mode >= 0 && a.mode <= 2 && a.cap >= 0 && a.name);
    if (nb_conf_named(ctx, c, "entry", &name, &body) == NB_OK)
        check(name && body);
    (void)nb_conf_each_text(ctx, c, "words", compare, NULL);
    for (int32_t i = 0; i < nb_conf_count(c); i++)
        bind_all(ctx, nb_conf_at(c, i));
}

static void round_trip(nb_ctx *ctx, const nb_config *cfg)
{
    char *once = NULL, *twice = NULL;
    nb_config *again = NULL;
    check(nb_config_print(ctx, cfg, &once) == NB_OK);
    check(nb_config_parse(ctx, "print", once, strlen(once), NULL, 0, &again) == NB_OK);
    check(nb_conf_equal(nb_config_root(cfg), nb_config_root(again)));
    check(nb_config_print(ctx, again, &twice) == NB_OK);
    check(strcmp(once, twice) == 0);
    nb_free(ctx, once);
    nb_free(ctx, twice);
    nb_config_free(ctx, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_BYTES)
        return 0;
    nb_ctx *ctx = nb_ctx_create();
    char *copy = ctx ? nb_alloc(ctx, size + 1) : NULL;
    check(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    char *text = copy;
    const char *sets[MAX_SETS];
    int32_t n_sets = 0;
    for (char *end; n_sets < MAX_SETS && !strncmp(text, "--set ", 6) && (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        sets[n_sets++] = text + 6;
    }
    nb_config *cfg = NULL;
    nb_experiment e;
    if (nb_config_parse(ctx, "fuzz", text, size - (size_t)(text - copy), sets, n_sets, &cfg) == NB_OK) {
        bind_all(ctx, nb_config_root(cfg));
        (void)nb_experiment_bind(ctx, cfg, &e);
        round_trip(ctx, cfg);
    } else {
        check(*nb_ctx_error(ctx) != '\0' && cfg == NULL);
    }
    nb_config_free(ctx, cfg);
    nb_free(ctx, copy);
    nb_ctx_destroy(ctx);
    return 0;
}
