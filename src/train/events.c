/* events.c - see events.h.
 *
 * A record is TFRecord's: u64 length, u32 crc of these 8 bytes, the message, u32 crc of it; little-endian, CRC-32C (RFC 3720)
 * rotated right by 15 bits plus 0xa282ead8. The messages are tensorflow.Event in protobuf's encoding, few fields enough to
 * write by hand:
 *   Event    1 double wall_time   2 int64 step   3 string file_version   5 Summary summary
 *   Summary  1 repeated Value { 1 string tag   2 float simple_value }
 * The file begins with the version; then comes a record a row, all its values in one. Only the times in it are not known
 * from the rows, and they stand at the same place in every record: a record of a file is right if it is what would be
 * written at its own time, so an interrupted training needs no other memory of what was written. */
#include "train/events.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"

#include <math.h>
#include <string.h>

enum {
    MOST_BYTES = 1 << 30,
    MOST_MESSAGE = 512 /* twice what a row takes */,
    LENGTH = 8,
    CRC = 4,
    HEAD = LENGTH + CRC
};
enum { TIME_AT = HEAD + 1, TIME_END = TIME_AT + 8 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */

typedef struct {
    uint8_t b[MOST_MESSAGE];
    size_t n;
} message;

static uint32_t masked_crc32c(const uint8_t *b, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= b[i];
        for (int32_t k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void add_bytes(message *m, const void *bytes, size_t n)
{
    NB_ASSERT(n <= sizeof m->b - m->n);
    memcpy(m->b + m->n, bytes, n);
    m->n += n;
}

static void add_fixed(message *m, uint64_t v, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        add_bytes(m, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static void add_varint(message *m, uint64_t v)
{
    for (; v > 127; v >>= 7)
        add_fixed(m, (v & 127) | 128, 1);
    add_fixed(m, v, 1);
}

static void add_field(message *m, uint32_t number, uint32_t type)
{
    add_varint(m, number << 3 | type);
}

static void add_string(message *m, uint32_t number, const void *bytes, size_t n)
{
    add_field(m, number, BYTES);
    add_varint(m, n);
    add_bytes(m, bytes, n);
}

static void add_value(message *summary, const char *tag, double v)
{
    const float value = (float)v;
    uint32_t bits;
    message m = {.n = 0};
    memcpy(&bits, &value, sizeof bits);
    add_string(&m, 1, tag, strlen(tag));
    add_field(&m, 2, FIXED32);
    add_fixed(&m, bits, 4);
    add_string(summary, 1, m.b, m.n);
}

static void add_row(message *event, const nb_metrics_row *r, int64_t step)
{
    message summary = {.n = 0};
    add_value(&summary, "loss/train", r->loss);
    add_value(&summary, "loss/eval", r->eval_loss);
    add_value(&summary, "accuracy/train", r->train_accuracy);
    add_value(&summary, "accuracy/eval", r->accuracy);
    add_value(&summary, "schedule/lr", r->lr);
    add_value(&summary, "schedule/phase", r->phase + 1);
    add_field(event, 2, VARINT);
    add_varint(event, (uint64_t)step);
    add_string(event, 5, summary.b, summary.n);
}

/* Record i at that time: the version, then row i - 1. */
static message make_record(const nb_metrics *m, int32_t i, int64_t steps, double time)
{
    static const char version[] = "brain.Event:2";
    uint64_t bits;
    message event = {.n = 0}, record = {.n = 0};
    memcpy(&bits, &time, sizeof bits);
    add_field(&event, 1, FIXED64);
    add_fixed(&event, bits, 8);
    if (i == 0)
        add_string(&event, 3, version, sizeof version - 1);
    else
        add_row(&event, &m->row[i - 1], i * steps);
    add_fixed(&record, event.n, LENGTH);
    add_fixed(&record, masked_crc32c(record.b, LENGTH), CRC);
    add_bytes(&record, event.b, event.n);
    add_fixed(&record, masked_crc32c(event.b, event.n), CRC);
    return record;
}

static double time_of(const uint8_t *record)
{
    double time;
    uint64_t bits = 0;
    for (int32_t i = 0; i < TIME_END - TIME_AT; i++)
        bits |= (uint64_t)record[TIME_AT + i] << 8 * i;
    memcpy(&time, &bits, sizeof time);
    return time;
}

/* How many records from the first on are there, and the bytes they take. */
static int32_t count_right(const uint8_t *bytes, size_t len, const nb_metrics *m, int64_t steps, size_t *taken)
{
    int32_t n = 0;
    for (*taken = 0; n <= m->n && len - *taken >= TIME_END; n++) {
        const double time = time_of(bytes + *taken);
        const message want = make_record(m, n, steps, time);
        if (!isfinite(time) || len - *taken < want.n || memcmp(bytes + *taken, want.b, want.n) != 0)
            break;
        *taken += want.n;
    }
    return n;
}

nb_status nb_events_write(nb_ctx *ctx, const char *path, const nb_metrics *m, int64_t steps)
{
    uint8_t *old = NULL, *more;
    size_t len = 0, right = 0, n = 0;
    if (nb_file_exists(path))
        NB_TRY(nb_file_read(ctx, path, MOST_BYTES, &old, &len));
    const int32_t first = count_right(old, len, m, steps, &right);
    nb_free(ctx, old);
    more = nb_alloc(ctx, (size_t)(m->n + 1 - first) * sizeof(message) + 1);
    if (!more)
        return NB_E_NOMEM;
    for (int32_t i = first; i <= m->n; i++) {
        const message record = make_record(m, i, steps, nb_wall_time());
        memcpy(more + n, record.b, record.n);
        n += record.n;
    }
    const nb_status st = right == len && n == 0 ? NB_OK : nb_file_extend(ctx, path, right, more, n);
    nb_free(ctx, more);
    return st;
}
