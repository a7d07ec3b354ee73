/* test_export_c.c - the C exporter: names, what the header says, that the self-test can fail, that networks link
 * together. That the programs compute what the engine computes is tests/prop/test_exported_c.c. */
#include "ref/data_fixture.h"
#include "ref/tiny_int.h"

#include "base/files.h"

#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static nb_status export_tiny(data_fixture *f, int32_t bits, const char *path, const char *prefix)
{
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(f->ctx, bits, &m), NB_OK);
    nb_status st = nb_exporter_find("c")->write(f->ctx, m, path, &(nb_export_options){.prefix = prefix});
    nb_intmodel_free(f->ctx, m);
    return st;
}

static char *text_of(data_fixture *f, const char *name)
{
    uint8_t *text;
    size_t len;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 24, &text, &len), NB_OK);
    return (char *)text;
}

static void contains(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in:\n%.3000s", what, text);
}

static int shell(data_fixture *f, const char *command)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "cd '%s' && %s", f->dir, command);
    return system(whole);
}

static void the_header_states_sizes_and_scale(void **state)
{
    data_fixture *f = *state;
    assert_int_equal(export_tiny(f, 4, data_fixture_path(f, "net.c"), NULL), NB_OK);
    char *h = text_of(f, "net.h");
    contains(h, "#define NET_INPUT_BYTES    50 ");
    contains(h, "#define NET_CLASSES        4\n");
    /* the widest moment: pixels' codes 50, c1 75, two unpacked rows of 18 */
    contains(h, "#define NET_RAM_BYTES      164 ");
    /* table 512; weights 27 + 1 + 24; bias 4 * (3 + 3 + 4); mult and shift 5 * (3 + 3) */
    contains(h, "#define NET_FLASH_BYTES    634 ");
    contains(h, "#define NET_LOGIT_SCALE    ((float)1.1754944e-38)");
    contains(h, "void net_run(const uint8_t *pixels, int32_t *logits);");
    nb_free(f->ctx, h);
}

static void weights_stand_packed_as_trained(void **state)
{
    data_fixture *f = *state;
    static const char *const size[][2] = {{"2", "const uint8_t net_w1[14]"},
                                          {"4", "const uint8_t net_w1[27]"},
                                          {"8", "const int8_t net_w1[54]"},
                                          /* 18 weights to a channel of so many bits, from their smallest on */
                                          {"3", "const uint8_t net_w1[21]"},
                                          {"5", "const uint8_t net_w1[36]"},
                                          {"7", "const int8_t net_l1[1] = {\n    -63,"}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        assert_int_equal(export_tiny(f, atoi(size[i][0]), data_fixture_path(f, "net.c"), NULL), NB_OK);
        char *c = text_of(f, "net.c");
        contains(c, size[i][1]);
        contains(c, "const uint8_t net_w3[1]"); /* depthwise, 2 bits */
        nb_free(f->ctx, c);
    }
}

/* 5 levels of 3 bits: 18 indices to a channel are 54 bits. */
static void levels_stand_as_indices_and_a_table(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    ref_tiny_levels(&t, 3, (const int8_t[]){-127, -5, 1, 2, 77}, 5);
    assert_int_equal(ref_tiny_build(f->ctx, &t, &m), NB_OK);
    assert_int_equal(nb_exporter_find("c")->write(f->ctx, m, data_fixture_path(f, "net.c"), NULL), NB_OK);
    nb_intmodel_free(f->ctx, m);
    char *c = text_of(f, "net.c"), *h = text_of(f, "net.h");
    contains(c, "const uint8_t net_w1[21] = ");
    contains(c, "const int8_t net_l1[5] = {\n    -127, -5, 1, 2, 77,\n};");
    contains(c, " + sizeof(net_w1) + sizeof(net_b1) + sizeof(net_m1) + sizeof(net_s1) + sizeof(net_l1) + ");
    contains(h, "#define NET_FLASH_BYTES    633 "); /* as above, with 21 + 5 instead of 27 */
    contains(h, "#define NET_RAM_BYTES      164 ");
    assert_null(strstr(c, "net_unpack4("));
    nb_free(f->ctx, c);
    nb_free(f->ctx, h);
    if (system("command -v cc >/dev/null") == 0)
        assert_int_equal(shell(f, "cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c net.c"), 0);
}

static void two_networks_link_and_pass_their_self_tests(void **state)
{
    data_fixture *f = *state;
    static const char program[] =
        "#include <stdio.h>\n#include \"one.h\"\n#include \"two.h\"\nint main(void)\n{\n"
        "    static uint8_t pixels[ONE_INPUT_BYTES];\n    static int32_t logits[ONE_CLASSES];\n"
        "    return one_selftest(pixels, logits) + 10 * B_selftest(pixels, logits);\n}\n";
    if (system("command -v cc >/dev/null") != 0)
        skip();
    assert_int_equal(export_tiny(f, 4, data_fixture_path(f, "one.c"), NULL), NB_OK);
    assert_int_equal(export_tiny(f, 8, data_fixture_path(f, "two.c"), "B"), NB_OK);
    assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, "main.c"), program, strlen(program)), NB_OK);
    assert_int_equal(shell(f, "cc -std=c99 -Wall -Wextra -c one.c two.c main.c"), 0);
    assert_int_equal(shell(f, "cc -o both one.o two.o main.o && ./both"), 0);
    /* and they can fail: biases that are off */
    assert_int_equal(shell(f, "sed '/int32_t one_b8/,/;/s/,/1,/g' one.c >broken.c && ! cmp -s one.c broken.c"), 0);
    assert_int_not_equal(shell(f, "cc -o both broken.c two.o main.o && ./both"), 0);
}

static void a_wrong_name_is_refused_and_nothing_is_written(void **state)
{
    data_fixture *f = *state;
    static const char *const cases[][3] = {
        {"net.txt", NULL, "must end in .c"},
        {".c", NULL, "must end in .c"},
        {"1net.c", NULL,
         "1net.c: all names in the C begin with the file's, 1net, which must be a letter and at most 39 more "
         "letters, digits or _: name the file so, or say another beginning with --prefix"},
        {"a-b.c", NULL, "the file's, a-b, which must be a letter"},
        {"net.c", "a b", "prefix: a b: must be a letter"},
        {"net.c", "", "prefix: : must be a letter"},
        {"net.c", "_x", "prefix: _x: must be a letter"},
        {"net.c", "a23456789012345678901234567890123456789012", "must be a letter and at most"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = data_fixture_path(f, cases[i][0]);
        assert_int_equal(export_tiny(f, 4, path, cases[i][1]), NB_E_CONFIG);
        contains(nb_ctx_error(f->ctx), cases[i][2]);
        assert_false(nb_file_exists(path));
    }
    assert_int_equal(export_tiny(f, 4, "/nowhere/net.c", NULL), NB_E_IO);
}

/* A class is called what its folder is called. Names that would end a string or a comment, be replaced by the prefix, begin a
 * trigraph, join lines, or take digits for a part of an escape, come out of the compiler as they went in. */
static void class_names_come_out_of_the_header_as_they_went_in(void **state)
{
    data_fixture *f = *state;
    static const char *const names[] = {"\"}; int evil(void); //", "*/ net_run NET_H \\",
                                        "?\?/ \n\r\t\x01"
                                        "1\x7f%s",
                                        "\xc3\xa9"
                                        "2 caf\xc3\xa9"};
    static const char program[] = "#include <stdio.h>\n#include <string.h>\n#include \"net.h\"\n"
                                  "static const char *const names[NET_CLASSES] = { NET_CLASS_NAMES };\n"
                                  "int main(void)\n{\n    int i;\n    for (i = 0; i < NET_CLASSES; i++)\n"
                                  "        fwrite(names[i], 1, strlen(names[i]) + 1, stdout);\n"
                                  "    return 0;\n}\n";
    nb_intmodel *m;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.meta.class_names = names;
    assert_int_equal(ref_tiny_build(f->ctx, &t, &m), NB_OK);
    assert_int_equal(nb_exporter_find("c")->write(f->ctx, m, data_fixture_path(f, "net.c"), NULL), NB_OK);
    nb_intmodel_free(f->ctx, m);
    char *h = text_of(f, "net.h");
    contains(h,
             "#define NET_CLASS_NAMES \\\n    \"\\\"}; int evil(void); //\", \\\n    \"*/ net_run NET_H \\\\\", \\\n");
    nb_free(f->ctx, h);
    assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, "main.c"), program, strlen(program)), NB_OK);
    static const char *const compilers[] = {"cc -std=c99 -Wall -Wextra -Werror", "c++ -x c++ -std=c++11 -Wall"};
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++) {
        char command[256];
        snprintf(command, sizeof command, "command -v %.3s >/dev/null", compilers[i]);
        if (system(command) != 0)
            continue;
        snprintf(command, sizeof command, "%s net.c main.c -o said.exe && ./said.exe >said", compilers[i]);
        assert_int_equal(shell(f, command), 0);
        char *said = text_of(f, "said"), *at = said;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++, at += strlen(at) + 1)
            assert_string_equal(at, names[k]);
        nb_free(f->ctx, said);
    }
}

static void without_names_there_is_no_macro_of_names(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.meta.class_names = NULL;
    assert_int_equal(ref_tiny_build(f->ctx, &t, &m), NB_OK);
    assert_int_equal(nb_exporter_find("c")->write(f->ctx, m, data_fixture_path(f, "net.c"), NULL), NB_OK);
    nb_intmodel_free(f->ctx, m);
    char *h = text_of(f, "net.h");
    assert_null(strstr(h, "NAMES"));
    nb_free(f->ctx, h);
}

/* Of the same shape, so that but for the hash every mixture would be a program. */
static void a_source_refuses_the_header_of_another_network(void **state)
{
    data_fixture *f = *state;
    if (system("command -v cc >/dev/null") != 0)
        skip();
    data_fixture_mkdir(f, "x");
    data_fixture_mkdir(f, "y");
    nb_intmodel *other;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.bias[0]++;
    assert_int_equal(ref_tiny_build(f->ctx, &t, &other), NB_OK);
    assert_int_equal(nb_exporter_find("c")->write(f->ctx, other, data_fixture_path(f, "x/net.c"), NULL), NB_OK);
    nb_intmodel_free(f->ctx, other);
    assert_int_equal(export_tiny(f, 4, data_fixture_path(f, "y/net.c"), NULL), NB_OK);
    assert_int_equal(shell(f, "cc -std=c99 -c x/net.c && cc -std=c99 -c y/net.c"), 0);
    assert_int_equal(shell(f, "grep -q HASH x/net.h && sed '/HASH/d' x/net.h >a && sed '/HASH/d' y/net.h | cmp -s a -"),
                     0);
    assert_int_equal(shell(f, "cp x/net.h y/net.h && ! cc -std=c99 -c y/net.c 2>said"), 0);
    char *said = text_of(f, "said");
    contains(said, "this header belongs to another network: export the network again");
    nb_free(f->ctx, said);
}

static void equal_models_give_equal_bytes(void **state)
{
    data_fixture *f = *state;
    assert_int_equal(export_tiny(f, 4, data_fixture_path(f, "a.c"), "n"), NB_OK);
    char *first = text_of(f, "a.c");
    assert_int_equal(export_tiny(f, 4, data_fixture_path(f, "a.c"), "n"), NB_OK);
    char *again = text_of(f, "a.c");
    assert_string_equal(first, again);
    nb_free(f->ctx, first);
    nb_free(f->ctx, again);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    char path[512];
    snprintf(path, sizeof path, "%s", data_fixture_path(f, "mem.c"));
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st == NB_E_NOMEM; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_exporter_find("c")->write(f->ctx, m, path, NULL);
        assert_true(n < 1000);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    assert_int_equal(st, NB_OK);
    nb_intmodel_free(f->ctx, m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_header_states_sizes_and_scale),
        TEST(weights_stand_packed_as_trained),
        TEST(levels_stand_as_indices_and_a_table),
        TEST(two_networks_link_and_pass_their_self_tests),
        TEST(a_wrong_name_is_refused_and_nothing_is_written),
        TEST(class_names_come_out_of_the_header_as_they_went_in),
        TEST(without_names_there_is_no_macro_of_names),
        TEST(a_source_refuses_the_header_of_another_network),
        TEST(equal_models_give_equal_bytes),
        TEST(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
