/* test_name_map.c - mapping files: patterns, groups, mistakes with their lines (name_map.c). */
#include "import/name_map.h"

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    nb_map map;
} fixture;

static void setup(fixture *f)
{
    f->ctx = nb_ctx_create();
    assert_int_equal(nb_arena_create(f->ctx, &f->arena), NB_OK);
}

static void teardown(fixture *f)
{
    nb_arena_free(f->arena);
    nb_ctx_destroy(f->ctx);
}

static nb_status parse(fixture *f, const char *text)
{
    return nb_map_parse(f->ctx, f->arena, "m.map", text, &f->map);
}

static bool matches(const char *pattern, const char *text, nb_map_holes *h)
{
    return nb_map_match(pattern, text, strlen(text), h);
}

static void a_hole_takes_a_whole_number_and_a_star_any_text(void **state)
{
    (void)state;
    nb_map_holes h;
    assert_true(matches("layer{}.{}.conv1", "layer3.12.conv1", &h));
    assert_int_equal(h.n, 2);
    assert_int_equal(h.number[0], 3);
    assert_int_equal(h.number[1], 12);
    assert_false(matches("layer{}.{}.conv1", "layer3..conv1", &h));
    assert_false(matches("layer{}", "layer", &h));
    assert_false(matches("layer{}", "layer1x", &h));
    assert_false(matches("layer{}", "layer12345678901", &h));
    assert_true(matches("aux.*", "aux.fc", &h));
    assert_true(matches("*.fc", "a.b.fc", &h));
    assert_int_equal(h.rest_len, 3);
    assert_false(matches("a*b", "ab2", &h));
    assert_true(matches("*", "", &h));
}

static void the_right_side_repeats_and_counts_on(void **state)
{
    (void)state;
    nb_map_holes h;
    char buf[32];
    assert_true(matches("layer{}.{}.*", "layer2.0.bn1", &h));
    assert_true(nb_map_fill("s{}.{+1}.x.*", &h, buf, sizeof buf));
    assert_string_equal(buf, "s2.1.x.bn1");
    assert_true(nb_map_fill("s{-1}", &h, buf, sizeof buf));
    assert_string_equal(buf, "s1");
    assert_false(nb_map_fill("s{}.{}.*", &h, buf, 8));
    assert_true(nb_map_fill("s{}.{}.*", &h, buf, 10));
}

static void lines_that_begin_alike_are_one_group(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    assert_int_equal(parse(&f, "# head\nconv1\n\nlayer{}.a # first\n  layer{}.b\nother{}\nx -> y\nlayer{}.a\n"), NB_OK);
    assert_int_equal(f.map.n, 6);
    assert_int_equal(f.map.rules[0].line, 2);
    assert_int_equal(f.map.rules[1].group, f.map.rules[2].group);
    assert_int_not_equal(f.map.rules[0].group, f.map.rules[1].group);
    assert_int_not_equal(f.map.rules[2].group, f.map.rules[3].group);
    assert_int_not_equal(f.map.rules[5].group, f.map.rules[1].group);
    assert_string_equal(f.map.rules[2].theirs, "layer{}.b");
    assert_string_equal(f.map.rules[4].ours, "y");
    assert_false(f.map.ohwi);
    assert_int_equal(parse(&f, "layout ohwi\na -> b"), NB_OK);
    assert_true(f.map.ohwi);
    teardown(&f);
}

static void expect(const char *text, const char *sentence)
{
    fixture f;
    setup(&f);
    nb_status st = parse(&f, text);
    if (st != NB_E_CONFIG || !strstr(nb_ctx_error(f.ctx), sentence))
        print_error("got %d: %s\nwant: %s\n", (int)st, nb_ctx_error(f.ctx), sentence);
    assert_int_equal(st, NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f.ctx), sentence));
    teardown(&f);
}

static void each_mistake_names_its_line(void **state)
{
    (void)state;
    expect("", "m.map: has no line");
    expect("a\nb{\n", "m.map:2: b{: braces");
    expect("a\n\nb}c\n", "m.map:3: b}c: braces");
    expect("a{+x} -> b", "m.map:1: a{+x}: braces");
    expect("a b", "m.map:1: a b: a name has no blanks");
    expect("a -> {}", "m.map:1: {}: has more {} or * than the left side");
    expect("a -> *", "m.map:1: *: has more");
    expect("a.*", "m.map:1: a.*: * is for lines with an arrow");
    expect("*.* -> a", "at most 6 {} and one *");
    expect("{}{}{}{}{}{}{}", "at most 6 {} and one *");
    expect("-> a", "a side is missing");
    expect("a ->", "a side is missing");
    expect("layout hwio\na", "m.map:1: hwio: layout must be oihw or ohwi");
    char line[NB_MAP_LINE + 8];
    memset(line, 'a', sizeof line);
    line[sizeof line - 1] = '\0';
    expect(line, "m.map:1: a line of 247 bytes");
}

static void a_map_has_a_largest_number_of_lines(void **state)
{
    (void)state;
    char text[2 * (NB_MAP_RULES + 1) + 1];
    for (int i = 0; i <= NB_MAP_RULES; i++)
        memcpy(text + 2 * i, "a\n", 3);
    expect(text, "m.map:4097: a: more than 4096 lines");
}

static void built_in_maps_are_sound(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_name_maps[i]; i++) {
        fixture f;
        setup(&f);
        assert_int_equal(parse(&f, nb_name_maps[i]->text), NB_OK);
        assert_true(strlen(nb_name_maps[i]->help) > 10);
        teardown(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hole_takes_a_whole_number_and_a_star_any_text),
        cmocka_unit_test(the_right_side_repeats_and_counts_on),
        cmocka_unit_test(lines_that_begin_alike_are_one_group),
        cmocka_unit_test(each_mistake_names_its_line),
        cmocka_unit_test(a_map_has_a_largest_number_of_lines),
        cmocka_unit_test(built_in_maps_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
