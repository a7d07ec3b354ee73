/* test_table_profile.c - what profile shows of two weights tensors that can be done by hand. */
#include "table_case.h"

#include "ref/street.h"
#include "report/table_profile.h"

typedef struct {
    ref_street s;
    nb_graph *g;
    nb_profile_formats formats;
    nb_profile *p;
} shown_case;

/* One 1x1 convolution of one input with weights -1, -0.5, 0, 0.25 and 1, at 3 bits: codes -3..3. */
static void open_case(shown_case *c, bool channels)
{
    static const float w[5] = {-1.0f, -0.5f, 0.0f, 0.25f, 1.0f};
    *c = (shown_case){.p = NULL};
    assert_int_equal(ref_street_open(&c->s,
                                     "data: {name: synth, count: 8, height: 8, width: 8, classes: 2}\n"
                                     "model: [input, {conv2d: {name: c1, out: 5, kernel: 1}}, {linear: {name: fc, out: "
                                     "2}}]\n",
                                     1, REF_FLOAT),
                     NB_OK);
    memcpy(nb_graph_find(c->s.graph, "c1.weight")->out.data, w, sizeof w);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = 1,
                                .quant = true,
                                .unrounded = true,
                                .plan = NB_PLAN_INFER,
                                .reference = true};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    assert_int_equal(nb_graph_open(c->s.ctx, &spec, &from, &c->g), NB_OK);
    assert_int_equal(nb_profile_formats_parse(c->s.ctx, "uniform", "3", &c->formats), NB_OK);
    const nb_profile_job job = {.graph = c->g,
                                .experiment = &c->s.exp,
                                .formats = &c->formats,
                                .layer = "c1",
                                .channels = channels,
                                .target_db = 10};
    assert_int_equal(nb_profile_run(&job, &c->p), NB_OK);
}

static void close_case(shown_case *c)
{
    nb_profile_free(c->p);
    nb_profile_formats_free(&c->formats);
    nb_graph_free(c->g);
    ref_street_close(&c->s);
}

static void show(const shown_case *c, nb_status (*make)(const nb_profile *, nb_table **), const char *want)
{
    nb_table *t;
    assert_int_equal(make(c->p, &t), NB_OK);
    assert_table(c->s.ctx, t, want);
}

/* One scale over -1..1 is 1/3: -0.5 and 0.25 go to -2/3 and 1/3, 1/6 and 1/12 away, 5/144 in squares; all squares are 2.3125, a
 * step's are 1/108. Evenly spread over -1..1 four of five values would have that. A weight alone is its channel's end. */
static void a_tensor_is_a_row_of_each(void **state)
{
    (void)state;
    shown_case c;
    open_case(&c, false);
    show(&c, nb_table_of_statistics,
         "layer  of       values  min  max   mean    std  kurtosis  >4 std  >6 std  zeros %  fit      center  spread  "
         "on the grid\n"
         "-----  -------  ------  ---  ---  -----  -----  --------  ------  ------  -------  -------  ------  ------  "
         "-----------\n"
         "c1     weights       5   -1    1  -0.05  0.678      1.97       0       0       20  uniform       0       1  "
         "██·██·█\n");
    show(&c, nb_table_of_sqnr,
         "layer  of       uniform 3  pred.\n"
         "-----  -------  ---------  -----\n"
         "c1     weights      150.5  150.5\n");
    show(&c, nb_table_of_network,
         "all      format   bits  scales   range   sum of squares   SQNR  worst  of\n"
         "-------  -------  ----  -------  ------  --------------  -----  -----  --\n"
         "weights  uniform     3  one      minmax          0.0347   18.2   18.2  c1\n"
         "weights  uniform     3  one      clip            0.0407   17.5   17.5  c1\n"
         "weights  uniform     3  channel  minmax        2.05e-15  150.5  150.5  c1\n"
         "weights  uniform     3  channel  clip          2.05e-15  150.5  150.5  c1\n");
    show(&c, nb_table_of_errors,
         "layer  of       format   bits  scales   range        MSE  sum of squares   PSNR   SQNR  predicted  by step  "
         "clipped %  to 0 %  0 codes %\n"
         "-----  -------  -------  ----  -------  ------  --------  --------------  -----  -----  ---------  -------  "
         "---------  ------  ---------\n"
         "c1     weights  uniform     3  one      minmax   0.00694          0.0347   21.6   18.2       18.0     17.0   "
         "       0       0         20\n"
         "c1     weights  uniform     3  one      clip     0.00814          0.0407   19.7   17.5       19.3     18.2   "
         "       0       0         20\n"
         "c1     weights  uniform     3  channel  minmax  4.11e-16        2.05e-15  153.9  150.5      150.5     18.8   "
         "       0       0         20\n"
         "c1     weights  uniform     3  channel  clip    4.11e-16        2.05e-15  153.9  150.5      150.5     18.8   "
         "       0       0         20\n");
    show(&c, nb_table_of_codes,
         "layer  of       format   bits  scales  range      value  count\n"
         "-----  -------  -------  ----  ------  ------  --------  -----\n"
         "c1     weights  uniform     3  one     minmax        -1      1\n"
         "c1     weights  uniform     3  one     minmax  -0.66667      1\n"
         "c1     weights  uniform     3  one     minmax  -0.33333      0\n"
         "c1     weights  uniform     3  one     minmax         0      1\n"
         "c1     weights  uniform     3  one     minmax   0.33333      1\n"
         "c1     weights  uniform     3  one     minmax   0.66667      0\n"
         "c1     weights  uniform     3  one     minmax         1      1\n"
         "c1     weights  uniform     3  one     clip    -0.87286      1\n"
         "c1     weights  uniform     3  one     clip    -0.58191      1\n"
         "c1     weights  uniform     3  one     clip    -0.29095      0\n"
         "c1     weights  uniform     3  one     clip           0      1\n"
         "c1     weights  uniform     3  one     clip     0.29095      1\n"
         "c1     weights  uniform     3  one     clip     0.58191      0\n"
         "c1     weights  uniform     3  one     clip     0.87286      1\n");
    show(&c, nb_table_of_proposals,
         "layer  of       bits   SQNR  reached  keys                                            reason\n"
         "-----  -------  ----  -----  -------  ----------------------------------------------  "
         "--------------------------------------------\n"
         "c1     weights     3  150.5  yes      {bits: 3, granularity: channel, range: minmax}  150.5 dB; a scale per "
         "channel gains 132.3 dB\n");
    close_case(&c);
}

static void channels_are_rows_too(void **state)
{
    (void)state;
    shown_case c;
    open_case(&c, true);
    show(&c, nb_table_of_channels,
         "layer  of       channel  values   min   max  mean  std  kurtosis  >4 std  >6 std  zeros %  fit       center  "
         "spread\n"
         "-----  -------  -------  ------  ----  ----  ----  ---  --------  ------  ------  -------  --------  ------  "
         "------\n"
         "c1     weights        0       1    -1    -1    -1    0                 0       0        0  constant      -1  "
         "     0\n"
         "c1     weights        1       1  -0.5  -0.5  -0.5    0                 0       0        0  constant    -0.5  "
         "     0\n"
         "c1     weights        2       1     0     0     0    0                 0       0      100  constant       0  "
         "     0\n"
         "c1     weights        3       1  0.25  0.25  0.25    0                 0       0        0  constant    0.25  "
         "     0\n"
         "c1     weights        4       1     1     1     1    0                 0       0        0  constant       1  "
         "     0\n");
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_is_a_row_of_each),
        cmocka_unit_test(channels_are_rows_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
