/* test_op_resize.c - Resize and Upsample of ONNX (op_resize.c); images are 8 x 8. */
#include "operator_case.h"

#ifdef NB_ONNX

static void what_exporters_write_becomes_an_upsample(void **state)
{
    data_fixture *f = *state;
    expect(f,
           "values s 1,1,2,2\nResize y x,-,s mode=nearest coordinate_transformation_mode=asymmetric "
           "nearest_mode=floor\noutput y",
           "- upsample: {factor: 2}");
    expect(f, "values s 1,1,2,3\nResize y x,-,s mode=nearest\noutput y", "- upsample: {factor: [2, 3]}");
    expect(f,
           "ints z 1,2,12,8\nResize y x,-,-,z mode=nearest coordinate_transformation_mode=asymmetric "
           "nearest_mode=floor\noutput y",
           "- upsample: {size: [12, 8], align: asymmetric}");
    expect(f, "values s 1,1,2,2\nResize y x,-,s mode=linear\noutput y", "- upsample: {factor: 2, mode: bilinear}");
    expect(f, "ints z 1,2,16,16\nResize y x,-,-,z mode=linear coordinate_transformation_mode=align_corners\noutput y",
           "- upsample: {factor: 2, mode: bilinear, align: corners}");
    expect(f,
           "values s 1,1,2,2\nResize y x,-,s mode=linear coordinate_transformation_mode=pytorch_half_pixel\noutput y",
           "- upsample: {factor: 2, mode: bilinear}");
    expect(f, "values s 0.5,0.75\nResize y x,-,s axes=2,3 mode=linear\noutput y",
           "- upsample: {size: [4, 6], mode: bilinear}");
    expect(f, "values s 1,1,2,2\nUpsample y x,s mode=linear\noutput y",
           "- upsample: {factor: 2, mode: bilinear, align: asymmetric}");
    expect(f, "values s 1,1,1,1\nfloats w 4x2x3x3\nResize z x,-,s\nConv y z,w\noutput y", "- input\n  - conv2d");
}

static void rows_and_columns_may_differ_and_nearest_pixels_be_any(void **state)
{
    data_fixture *f = *state;
    expect(f, "values s 1,1,2,1\nResize y x,-,s nearest_mode=ceil\noutput y",
           "- slice: {rows: \":2, 1:3, 2:4, 3:5, 4:6, 5:7, 6:, 7, 7\"}");
    expect(f,
           "ints z 1,2,4,1\nResize y x,-,-,z mode=linear coordinate_transformation_mode=pytorch_half_pixel\noutput y",
           "- upsample: {size: [4, 8], mode: bilinear}  # y\n  - upsample: {size: [4, 1], mode: bilinear, align: "
           "corners}");
    expect(f,
           "ints z 1,2,3,4\nResize y x,-,-,z coordinate_transformation_mode=tf_half_pixel_for_nn "
           "nearest_mode=floor\noutput y",
           "- upsample: {size: [3, 4]}");
}

static void what_it_is_not_is_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, "values s 1,1,2,2\nResize y x,-,s mode=cubic\noutput y",
           "mode: 'cubic': nearest and linear are supported");
    refuse(f, "values s 1,1,2,2\nResize y x,-,s mode=linear antialias=1\noutput y", "antialias: is not supported");
    refuse(f, "values s 1,1,2,2\nResize y x,-,s coordinate_transformation_mode=tf_crop_and_resize\noutput y",
           "coordinate_transformation_mode: 'tf_crop_and_resize' is not supported");
    refuse(f, "values s 1,1,1.4,1.4\nResize y x,-,s mode=linear coordinate_transformation_mode=asymmetric\noutput y",
           "coordinate_transformation_mode 'asymmetric' with scales 1.4 and 1.4 gives shares");
    refuse(f, "values s 1,2,2,2\nResize y x,-,s\noutput y", "resizes axis 1: only rows and columns can be");
    refuse(f, "values s 1,1,0.1,2\nResize y x,-,s\noutput y", "gives 0 rows or columns: must be 1..16384");
    refuse(f, "values s 1,2\nResize y x,-,s\noutput y", "scales: must be 4 numbers");
    refuse(f, "ints z 4,4\nResize y x,-,-,z\noutput y", "sizes: must be 4 numbers");
    refuse(f, "Resize y x\noutput y", "has neither scales nor sizes");
    refuse(f, "values s 2,2\nResize y x,-,s axes=4,5\noutput y", "axes: must be some of 0..3");
    refuse(f, "values s 1,1,2,2\nFlatten r x\nResize y r,-,s\noutput y", "needs images, but its input is flat");
}

ONNX_TESTS(ONNX_TEST(what_exporters_write_becomes_an_upsample),
           ONNX_TEST(rows_and_columns_may_differ_and_nearest_pixels_be_any), ONNX_TEST(what_it_is_not_is_refused))

#endif
