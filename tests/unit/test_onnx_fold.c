/* test_onnx_fold.c - what exporters compute from constants (onnx_fold.c, fold_math.c, fold_move.c, fold_make.c): by its values as
 * weights. */
#include "operator_case.h"

#ifdef NB_ONNX

#    include <stdio.h>

/* The lines make w, [2, outputs]; its values in our order, one output's two weights after the other. */
static void expect_values(data_fixture *f, const char *lines, int32_t count, const float *want)
{
    char model[1024];
    snprintf(model, sizeof model, "%s\nGlobalAveragePool pool x\nFlatten rows pool\nMatMul y rows,w\noutput y", lines);
    expect_weights(f, model, "y.weight", count, want);
}

#    define VALUES(...)                                                                                                \
        sizeof((float[]){__VA_ARGS__}) / sizeof(float), (float[])                                                      \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }
#    define AS_WEIGHTS "\nCast c v to=1\nints s 2,-1\nReshape w c,s"

static void values_are_moved(void **state)
{
    data_fixture *f = *state;
    const char *abcd = "values a 1,2,3,4\nints s2 2,2\nReshape m a,s2\n";
    char text[512];
    static const struct {
        const char *lines;
        float want[4];
    } cases[] = {
        {"Identity w m", {1, 3, 2, 4}},
        {"Transpose w m perm=1,0", {1, 2, 3, 4}},
        {"Transpose w m", {1, 2, 3, 4}},
        {"ints i 1,0\nGather w m,i", {3, 1, 4, 2}},
        {"ints i -1,0\nGather w m,i axis=1", {2, 4, 1, 3}},
        {"ints from 1\nints to -9\nints ax 0\nints by -1\nSlice w m,from,to,ax,by", {3, 1, 4, 2}},
        {"ints from 1\nints to 9223372036854775807\nints ax 1\nSlice h m,from,to,ax\nConcat w h,h axis=1",
         {2, 4, 2, 4}},
        {"Split h,k m axis=1\nConcat w k,h axis=1", {2, 4, 1, 3}},
        {"ints n 1,3\nSplit h,k a,n axis=0\nConcat q k,h axis=0\nReshape w q,s2", {2, 4, 3, 1}},
        {"ints ax 0\nUnsqueeze u m,ax\nSqueeze q u,ax\nSqueeze w q", {1, 3, 2, 4}},
        {"Flatten q m axis=0\nints e 2,2\nReshape w q,e", {1, 3, 2, 4}},
        {"ints from 0\nints to 1\nints ax 1\nSlice h m,from,to,ax\nints e 2,2\nExpand w h,e", {1, 3, 1, 3}},
        {"ints from 0\nints to 1\nSlice h m,from,to\nints e 2,1\nTile w h,e", {1, 1, 2, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s%s", abcd, cases[i].lines);
        expect_values(f, text, 4, cases[i].want);
    }
}

static void numbers_are_computed(void **state)
{
    data_fixture *f = *state;
    expect_values(f, "values a 1,4\nvalues b 2,0.5\nSub q a,b\nMul r q,q\nints s 2,1\nReshape w r,s",
                  VALUES(1, 12.25f));
    expect_values(f, "values a -1,1\nAbs b a\nExp e b\nLog l e\nAdd q l,b\nints s 2,1\nReshape w q,s", VALUES(2, 2));
    expect_values(f, "values a 4,9\nSqrt q a\nReciprocal r q\nDiv t a,r\nints s 2,1\nReshape w t,s", VALUES(8, 27));
    expect_values(f, "values a -1.5,1.5\nFloor l a\nCeil h a\nNeg m h\nSum q l,m,a\nints s 2,1\nReshape w q,s",
                  VALUES(-2.5f, 0.5f));
    expect_values(
        f, "values a 1,5\nvalues b 3\nvalues c 2,2\nMax q a,b,c\nMin r a,b,c\nPow t q,r\nints s 2,1\nReshape w t,s",
        VALUES(3, 25));
    expect_values(f, "ints a 7,-7\nints b 2\nDiv q a,b\nAdd v q,a" AS_WEIGHTS, VALUES(10, -10));
    expect_values(f, "ints a 1,2\nints b 1,1\nEqual e a,b\nints d 5,6\nWhere v e,d,b" AS_WEIGHTS, VALUES(5, 1));
    expect_values(f, "values a 2.7,-2.7\nCast q a to=7\nCast b a to=9\nAdd v q,b" AS_WEIGHTS, VALUES(3, -1));
}

static void constants_come_from_sizes(void **state)
{
    data_fixture *f = *state;
    expect_values(f, "Shape s4 x start=1 end=3\nCast c s4 to=1\nints s 2,-1\nReshape w c,s", VALUES(2, 8));
    expect_values(f, "ints n 2,2\nConstantOfShape z n\nvalues one 1\nAdd w z,one", VALUES(1, 1, 1, 1));
    expect_values(
        f, "ints a 3\nints b 7\nints by 2\nSqueeze p0 a\nSqueeze p1 b\nSqueeze p2 by\nRange v p0,p1,p2" AS_WEIGHTS,
        VALUES(3, 5));
    expect_values(f, "ints n 4,5\nSize m n\nShape k n\nAdd v k,n" AS_WEIGHTS, VALUES(6, 7));
}

static void the_number_of_images_is_moved_but_not_computed_with(void **state)
{
    data_fixture *f = *state;
    expect(
        f,
        "floats w 3x128\nShape s x\nints i 0\nGather n s,i\nints one 1\nMul m n,one\nints r -1\nConcat t m,r axis=0\n"
        "Reshape q x,t\nGemm y q,w transB=1\noutput y",
        "linear");
    refuse(
        f,
        "floats w 3x128\nShape s x\nints i 0\nGather n s,i\nints two 2\nMul m n,two\nints r -1\nConcat t m,r axis=0\n"
        "Reshape q x,t\nGemm y q,w transB=1\noutput y",
        "computes with the number of images");
    refuse(f, "floats w 3x128\nShape s x\nCast c s to=1\nGemm y c,w\noutput y", "computes with the number of images");
}

static void what_cannot_be_folded_is_refused(void **state)
{
    data_fixture *f = *state;
    static const struct {
        const char *model, *sentence;
    } cases[] = {
        {"ints a 1,2\nints b 0\nDiv y a,b\noutput y", "divides by 0"},
        {"ints n 70000,70000,70000\nConstantOfShape y n\noutput y", "would be larger than the model allows"},
        {"ints a 0\nints b 900000000\nints c 1\nSqueeze d a\nSqueeze e b\nSqueeze g c\nRange y d,e,g\noutput y",
         "would be larger than the model allows"},
        {"values a 1,2,3\nints s 2,2\nReshape y a,s\noutput y", "makes 4 values of 3"},
        {"values a 1,2,3\nints s -1,-1\nReshape y a,s\noutput y", "makes dimensions that cannot be"},
        {"values a 1,2,3\nvalues b 1,2\nAdd y a,b\noutput y", "its inputs do not fit each other"},
        {"values a 1,2,3\nvalues b 1,2\nConcat y a,b axis=1\noutput y", "axis: 1: must be in -1..0"},
        {"values a 1,2,3\nTranspose y a perm=1,\noutput y", "perm: must hold each axis once"},
        {"values a 1,2,3\nints ax 0\nSqueeze y a,ax\noutput y", "axes: 0 has 3 elements"},
        {"values a 1,2,3\nints n 1,1\nSplit y,z a,n axis=0\noutput y", "split: does not add up to 3"},
        {"values a 1,2,3\nints n 2,2\nTile y a,n\noutput y", "repeats: 2 numbers for 1 axes"},
        {"values a 1,2,3\nCast y a to=8\noutput y", "to: 8: must be a float of 32 or 64 bits"},
        {"Tile y x,x\noutput y", "is supported for constants only"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(f, cases[i].model, cases[i].sentence);
}

ONNX_TESTS(ONNX_TEST(values_are_moved), ONNX_TEST(numbers_are_computed), ONNX_TEST(constants_come_from_sizes),
           ONNX_TEST(the_number_of_images_is_moved_but_not_computed_with), ONNX_TEST(what_cannot_be_folded_is_refused))

#endif
