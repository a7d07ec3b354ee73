/* test_file_kind.c - formats by their first bytes, and the line that converts them (base/file_kind.c). */
#include "base/file_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static char said[NB_FILE_KIND_BYTES];

static bool is(const char *name, const void *bytes, size_t len, const char *text)
{
    return nb_file_kind(name, bytes, len, said, sizeof said) && strstr(said, text);
}

#define IS(name, bytes, text) assert_true(is(name, bytes, sizeof bytes - 1, text))

static void networks_of_others_are_told_with_the_line_that_converts_them(void **state)
{
    (void)state;
    IS("d/net.pth", "PK\3\4\0\0\0\0\10\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\10\0\22\0net/data.pkl", "a PyTorch file");
    assert_non_null(strstr(said, "d = torch.load('d/net.pth', map_location='cpu'); d = d.get('state_dict', "));
    assert_non_null(strstr(said, "if torch.is_tensor(v)}, 'd/net.safetensors')"));
    assert_non_null(strstr(said, "nibble import d/net.safetensors --config CONFIG -o OUT"));
    IS("net.pt", "\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", "a PyTorch file");
    IS("net.pt", "PK\3\4\0\0net/data.pkl\0\0net/constants.pkl", "a TorchScript file");
    IS("net.pt", "PK\3\4\0\0script/data/0FB", "a TorchScript file");
    IS("net.h5", "\x89HDF\r\n\x1a\n\0\0", "python -m tf2onnx.convert --keras net.h5 --output net.onnx");
    IS("net.keras", "PK\3\4\0\0metadata.json", "a Keras file");
    IS("a.b/net", "\x1c\0\0\0TFL3\0\0", "python -m tf2onnx.convert --tflite a.b/net --output a.b/net.onnx");
    IS("net.pb", "\x08\x08\x12\x07pytorch", "an ONNX model; nibble import net.pb -o OUT");
    IS("net.pt", "PK\3\4\0\0net/data.pklFB\2\0ZZ\x80\2ctorch.nn.modules.container\nSequential\n",
       "a whole PyTorch module");
    assert_non_null(
        strstr(said, "weights_only=False).eval(); torch.onnx.export(m, (torch.zeros(1, 3, 224, 224),), 'net.onnx')"));
    IS("net.pt2", "PK\3\4\0\0net/data/weights/weight_0",
       "torch.onnx.export(torch.export.load('net.pt2'), (), 'net.onnx')");
    IS("m/saved_model.pb", "\x08\1\x12\x20\x0a\x10\x0a\0\x12\5serve", "--saved-model FOLDER --output FOLDER.onnx");
    IS("x.npz", "PK\3\4\0\0w.npy", "an archive of NumPy arrays");
}

static void a_config_is_told_from_other_text(void **state)
{
    (void)state;
    IS("c.yaml", "# mine\nseed: 1\nmodel:\n  - input\n", "a config; nibble train c.yaml");
    IS("c.yaml", "train: {batch: 3}\n", "a config");
    IS("w.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer");
    IS("c.txt", "a model: it is\n", "a text file");
    IS("x.html", "<!DOCTYPE html>\n<pre>\nmodel:\n  - input\n</pre>\n", "an HTML page");
    char long_comment[9000]; /* as allocate writes them: a line for each layer */
    memset(long_comment, '#', sizeof long_comment);
    for (size_t i = 60; i < sizeof long_comment; i += 60)
        long_comment[i] = '\n';
    memcpy(long_comment + sizeof long_comment - 19, "\nmodel:\n  - input\n", 19);
    assert_true(is("c.yaml", long_comment, sizeof long_comment, "a config"));
    IS("c.txt", "gr\xc3\xbc\xc3\x9f dich", "a text file");
    assert_null(nb_file_kind("x", (const uint8_t *)"\xff\xfe\0m", 4, said, sizeof said));
    assert_null(nb_file_kind("x", (const uint8_t *)"", 0, said, sizeof said));
    assert_null(nb_file_kind("x", (const uint8_t *)"a\1b", 3, said, sizeof said));
}

static void images_and_our_own_files_are_known(void **state)
{
    (void)state;
    IS("x.png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image");
    IS("x.png", "\xff\xd8\xff\xe0..JFIF", "a JPEG image");
    IS("x.gz", "\x1f\x8b\x08\0", "a gzip file");
    IS("x", "\x80\2\0\0\0\0\0\0{\"__metadata__\"", "a safetensors file"); /* a length that looks like a pickle */
    IS("x.zip", "PK\3\4\0\0readme", "a zip archive");
}

static void a_long_name_is_cut_and_memory_is_not_left(void **state)
{
    (void)state;
    char name[2000], small[40];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_non_null(nb_file_kind(name, (const uint8_t *)"\x80\2\x8a\n", 4, said, sizeof said));
    assert_true(strlen(said) < sizeof said);
    assert_ptr_equal(nb_file_kind(name, (const uint8_t *)"\x80\2\x8a\n", 4, small, sizeof small), small);
    assert_true(strlen(small) < sizeof small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_of_others_are_told_with_the_line_that_converts_them),
        cmocka_unit_test(a_config_is_told_from_other_text),
        cmocka_unit_test(images_and_our_own_files_are_known),
        cmocka_unit_test(a_long_name_is_cut_and_memory_is_not_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
