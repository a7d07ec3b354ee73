/* test_registry.c - lists of named things: finding, naming, choosing, binding. */
#include "config_case.h"

#include "base/arena.h"

#include <nibble/extend/keys.h>

typedef struct {
    int32_t size;
} fruit_attr;

typedef struct {
    NB_ENTRY;
    double price;
} fruit;

typedef struct {
    const char *name;
    int32_t legs;
} animal; /* no keys: begins with a name only */

static const nb_key fruit_keys[] = {NB_KEY_INT(fruit_attr, size, "3", 1, 9, "in cm"), {0}};
static const fruit apple = {.name = "apple", .keys = fruit_keys, .attr_size = sizeof(fruit_attr), .price = 2};
static const fruit melon = {.name = "melon", .help = "round"};
static const fruit *const fruits[] = {&apple, &melon, NULL};
static const animal cat = {"cat", 4}, hen = {"hen", 2}, ox = {"ox", 4};
static const animal *const animals[] = {&cat, &hen, &ox, NULL};
static const animal *const nobody[] = {NULL};

static void a_name_finds_its_entry_and_no_other(void **state)
{
    (void)state;
    assert_ptr_equal(nb_registry_find(fruits, "melon"), &melon);
    assert_ptr_equal(nb_registry_find(animals, "hen"), &hen);
    assert_int_equal(nb_registry_index(animals, "hen"), 1);
    assert_null(nb_registry_find(fruits, "melo"));
    assert_null(nb_registry_find(fruits, ""));
    assert_int_equal(nb_registry_index(nobody, "hen"), -1);
}

static void entries_are_walked_to_the_end(void **state)
{
    (void)state;
    const char *names[4] = {"", "", "", ""};
    char text[32], shorter[4];
    assert_string_equal(nb_entry_at(fruits, 0).name, "apple");
    assert_ptr_equal(nb_entry_at(fruits, 0).keys, fruit_keys);
    assert_string_equal(nb_entry_at(fruits, 1).help, "round");
    assert_null(nb_entry_at(fruits, 2).name);
    assert_int_equal(nb_registry_names(animals, names, 4), 3);
    assert_string_equal(names[1], "hen");
    assert_int_equal(nb_registry_names(animals, names, 1), 1);
    assert_string_equal(nb_registry_text(animals, text, sizeof text), "cat, hen, ox");
    assert_string_equal(nb_registry_text(animals, shorter, sizeof shorter), "cat");
    assert_string_equal(nb_registry_text(nobody, text, sizeof text), "");
}

static void an_unknown_name_gets_the_nearest_one(void **state)
{
    (void)state;
    config_case t = case_open("name: aple\n", NULL);
    const nb_conf *c = nb_conf_get(t.root, "name");
    assert_ptr_equal(nb_registry_choose(t.ctx, fruits, "apple", c, "basket", "fruit"), &apple);
    assert_null(nb_registry_choose(t.ctx, fruits, "aple", c, "basket", "fruit"));
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: basket: aple: unknown fruit (did you mean \"apple\"?)");
    case_close(&t);
}

static void keys_are_bound_beside_common_ones(void **state)
{
    (void)state;
    static const nb_key common[] = {NB_KEY_INT(fruit_attr, size, "1", 1, 9, ""), {0}};
    config_case t = case_open("size: 7\n", NULL);
    nb_arena *arena;
    fruit_attr shared = {0};
    void *attr = NULL;
    assert_int_equal(nb_arena_create(t.ctx, &arena), NB_OK);
    assert_int_equal(nb_entry_bind(t.ctx, arena, &apple, t.root, "a", (nb_binding){common, &shared}, &attr), NB_OK);
    assert_int_equal(((fruit_attr *)attr)->size, 7);
    assert_int_equal(shared.size, 7);
    assert_int_equal(nb_entry_bind(t.ctx, arena, &apple, NULL, "a", (nb_binding){0}, &attr), NB_OK);
    assert_int_equal(((fruit_attr *)attr)->size, 3);
    assert_int_equal(nb_entry_bind(t.ctx, arena, &melon, t.root, "m", (nb_binding){0}, &attr), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: m.size: unknown key (there are none)");
    nb_arena_free(arena);
    case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_finds_its_entry_and_no_other),
        cmocka_unit_test(entries_are_walked_to_the_end),
        cmocka_unit_test(an_unknown_name_gets_the_nearest_one),
        cmocka_unit_test(keys_are_bound_beside_common_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
