/* test_events.c - the event file by a reader of its own: framing, checksums, values; what an interrupted training leaves. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/events.h"

#include "base/files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 7, MOST = 8, TAGS = 6 };

/* ---- the reader: knows TFRecord, CRC-32C and protobuf, nothing of events.c ---- */

typedef struct {
    double time;
    uint64_t step;
    char version[32];
    int32_t n;
    char tag[TAGS][32];
    float value[TAGS];
} event;

static uint64_t little(const uint8_t *b, int32_t n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v << 8 | b[n];
    return v;
}

static uint32_t crc32c(const uint8_t *b, size_t n)
{
    uint32_t table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int32_t k = 0; k < 8; k++)
            table[i] = table[i] & 1 ? 0x82f63b78u ^ table[i] >> 1 : table[i] >> 1;
    }
    while (n-- > 0)
        crc = table[(crc ^ *b++) & 255] ^ crc >> 8;
    return ~crc;
}

static uint32_t unmasked(uint32_t crc)
{
    crc -= 0xa282ead8u;
    return crc >> 17 | crc << 15;
}

static uint64_t varint(const uint8_t **at)
{
    uint64_t v = 0;
    for (int32_t shift = 0;; shift += 7) {
        v |= (uint64_t)(**at & 127) << shift;
        if (*(*at)++ < 128)
            return v;
    }
}

/* The next field: its number, and where its content is. Fixed ones and strings have their bytes, varints their value in *len. */
static uint64_t field(const uint8_t **at, const uint8_t **content, size_t *len)
{
    const uint64_t key = varint(at);
    *len = (key & 7) == 0 || (key & 7) == 2 ? (size_t)varint(at) : (key & 7) == 1 ? 8 : 4;
    *content = *at;
    *at += (key & 7) == 0 ? 0 : *len;
    return key >> 3;
}

static void read_value(const uint8_t *at, const uint8_t *end, event *e)
{
    const uint8_t *content;
    size_t len;
    assert_true(e->n < TAGS);
    while (at < end) {
        const uint64_t number = field(&at, &content, &len);
        assert_true(number == 1 || number == 2);
        if (number == 1)
            memcpy(e->tag[e->n], content, len);
        else
            memcpy(&e->value[e->n], content, 4);
    }
    e->n++;
}

static void read_event(const uint8_t *at, const uint8_t *end, event *e)
{
    const uint8_t *content, *inner;
    size_t len, size;
    *e = (event){0};
    while (at < end) {
        switch (field(&at, &content, &len)) {
        case 1:
            memcpy(&e->time, content, 8);
            break;
        case 2:
            e->step = len;
            break;
        case 3:
            memcpy(e->version, content, len);
            break;
        case 5:
            for (const uint8_t *p = content; p < content + len;) {
                assert_int_equal(field(&p, &inner, &size), 1);
                read_value(inner, inner + size, e);
            }
            break;
        default:
            fail();
        }
    }
    assert_ptr_equal(at, end);
}

/* All events of a file that must be whole; how many. */
static int32_t read_file(data_fixture *f, const char *name, event out[MOST])
{
    uint8_t *bytes;
    size_t len, at = 0;
    int32_t n = 0;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 20, &bytes, &len), NB_OK);
    while (at < len) {
        assert_true(n < MOST && len - at >= 16);
        const size_t size = (size_t)little(bytes + at, 8);
        assert_true(size <= len - at - 16);
        assert_int_equal(crc32c(bytes + at, 8), unmasked((uint32_t)little(bytes + at + 8, 4)));
        assert_int_equal(crc32c(bytes + at + 12, size), unmasked((uint32_t)little(bytes + at + 12 + size, 4)));
        read_event(bytes + at + 12, bytes + at + 12 + size, &out[n++]);
        at += 16 + size;
    }
    nb_free(f->ctx, bytes);
    return n;
}

static float value_of(const event *e, const char *tag)
{
    for (int32_t i = 0; i < e->n; i++)
        if (strcmp(e->tag[i], tag) == 0)
            return e->value[i];
    fail_msg("no %s", tag);
    return NAN;
}

/* ---- tests ---- */

static nb_metrics_row table[] = {{0, 0, 0.1, 1.5, 0.25, 1.4, 0.3, false, NULL},
                                 {0, 1, 0.05, 1.25, 0.5, 1.2, 0.55, false, NULL},
                                 {1, 0, 0.01, 1, 0.75, 0.9, 0.7, true, NULL}};

static void write_rows(data_fixture *f, int32_t n)
{
    const nb_metrics m = {.row = table, .n = n};
    assert_int_equal(nb_events_write(f->ctx, data_fixture_path(f, "e"), &m, STEPS), NB_OK);
}

static void the_reader_knows_the_checksum(void **state)
{
    uint8_t ones[32]; /* of RFC 3720, B.4 */
    (void)state;
    memset(ones, 255, sizeof ones);
    assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(ones, sizeof ones), 0x62a8ab43u);
}

static void a_row_is_an_event_with_its_step_and_values(void **state)
{
    event e[MOST];
    write_rows(*state, 3);
    assert_int_equal(read_file(*state, "e", e), 4);
    assert_string_equal(e[0].version, "brain.Event:2");
    for (int32_t i = 0; i < 3; i++) {
        const event *at = &e[i + 1];
        assert_int_equal(at->step, (i + 1) * STEPS);
        assert_true(at->time >= e[i].time && at->time > 1.6e9 && at->time < 1e11);
        assert_int_equal(at->n, TAGS);
        assert_true(value_of(at, "loss/train") == (float)table[i].loss);
        assert_true(value_of(at, "loss/eval") == (float)table[i].eval_loss);
        assert_true(value_of(at, "accuracy/train") == (float)table[i].train_accuracy);
        assert_true(value_of(at, "accuracy/eval") == (float)table[i].accuracy);
        assert_true(value_of(at, "schedule/lr") == (float)table[i].lr);
        assert_true(value_of(at, "schedule/phase") == (float)(table[i].phase + 1));
    }
}

static void events_that_are_there_keep_their_times(void **state)
{
    event e[MOST], again[MOST];
    write_rows(*state, 2);
    read_file(*state, "e", e);
    write_rows(*state, 3);
    assert_int_equal(read_file(*state, "e", again), 4);
    for (int32_t i = 0; i < 3; i++)
        assert_true(e[i].time == again[i].time);
}

/* Whatever a kill left of the last record, or a bit that changed: from there on the file is written anew. */
static void a_damaged_record_and_what_follows_are_written_again(void **state)
{
    data_fixture *f = *state;
    event e[MOST];
    uint8_t *bytes;
    size_t len;
    write_rows(f, 3);
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "e"), 1 << 20, &bytes, &len), NB_OK);
    for (size_t i = 0; i < len; i += 5) {
        data_fixture_write(f, "e", bytes, i);
        write_rows(f, 3);
        assert_int_equal(read_file(f, "e", e), 4);
        bytes[i] ^= 1;
        data_fixture_write(f, "e", bytes, len);
        bytes[i] ^= 1;
        write_rows(f, 3);
        assert_int_equal(read_file(f, "e", e), 4);
    }
    nb_free(f->ctx, bytes);
}

static void points_of_another_training_are_not_kept(void **state)
{
    event e[MOST];
    write_rows(*state, 3);
    table[1].loss += 1;
    write_rows(*state, 2);
    assert_int_equal(read_file(*state, "e", e), 3);
    assert_true(value_of(&e[2], "loss/train") == (float)table[1].loss);
    table[1].loss -= 1;
    write_rows(*state, 0);
    assert_int_equal(read_file(*state, "e", e), 1);
}

static void where_it_cannot_be_written_that_is_said(void **state)
{
    data_fixture *f = *state;
    const nb_metrics m = {.row = table, .n = 3};
    data_fixture_mkdir(f, "folder");
    assert_int_equal(nb_events_write(f->ctx, data_fixture_path(f, "folder"), &m, STEPS), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "is a folder"));
    assert_int_equal(nb_events_write(f->ctx, data_fixture_path(f, "none/e"), &m, STEPS), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "none/e: cannot write: No such file"));
}

/* Of a whole training, stopped after any step of it and resumed. */
static void stopped_and_resumed_every_epoch_is_there_once(void **state)
{
    data_fixture *f = *state;
    event e[MOST];
    char text[2048];
    snprintf(text, sizeof text, "%s%s", train_case_head,
             "log: {tensorboard: yes}\n"
             "train: {batch: 32, phases: [{epochs: 2, lr: 0.1}, {epochs: 1, lr: 0.01, quant: on}]}\n");
    for (int32_t after = 1; after <= 9; after++) { /* 3 steps an epoch */
        char out[16], name[64];
        train_case t;
        snprintf(out, sizeof out, "run%d", (int)after);
        data_fixture_mkdir(f, out);
        assert_int_equal(train_case_open(&t, f->ctx, data_fixture_path(f, out), text), NB_OK);
        t.stop_after = after;
        assert_int_equal(train_case_run(&t, false), after < 9 ? NB_E_STOPPED : NB_OK);
        t.stop_after = 0;
        assert_int_equal(train_case_run(&t, true), NB_OK);
        snprintf(name, sizeof name, "%s/" NB_EVENTS_FILE, out);
        assert_int_equal(read_file(f, name, e), 4);
        for (int32_t i = 1; i <= 3; i++)
            assert_int_equal(e[i].step, 3 * i);
        assert_true(value_of(&e[3], "accuracy/eval") == (float)t.result.phase[1].accuracy);
        train_case_close(&t);
    }
}

static void without_the_key_there_is_no_such_file(void **state)
{
    data_fixture *f = *state;
    char text[2048];
    train_case t;
    snprintf(text, sizeof text, "%s%s", train_case_head, "train: {batch: 32, phases: [{epochs: 1, lr: 0.1}]}\n");
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_run(&t, false), NB_OK);
    train_case_close(&t);
    assert_false(nb_file_exists(data_fixture_path(f, NB_EVENTS_FILE)));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_reader_knows_the_checksum),
        TEST(a_row_is_an_event_with_its_step_and_values),
        TEST(events_that_are_there_keep_their_times),
        TEST(a_damaged_record_and_what_follows_are_written_again),
        TEST(points_of_another_training_are_not_kept),
        TEST(where_it_cannot_be_written_that_is_said),
        TEST(stopped_and_resumed_every_epoch_is_there_once),
        TEST(without_the_key_there_is_no_such_file),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
