/* data_fixture.c - see data_fixture.h. Anything that goes wrong here is the test's fault, so it stops. */
#include "data_fixture.h"

#include "base/check.h"
#include "base/files.h"

#include <dirent.h>
#include <png.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

int data_fixture_setup(void **state)
{
    data_fixture *f = calloc(1, sizeof *f);
    NB_ASSERT(f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/nibble-test-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    NB_ASSERT(mkdtemp(f->dir));
    f->ctx = nb_ctx_create();
    NB_ASSERT(f->ctx);
    *state = f;
    return 0;
}

static void remove_tree(const char *path)
{
    struct stat sb;
    if (lstat(path, &sb) != 0)
        return;
    if (!S_ISDIR(sb.st_mode)) {
        unlink(path);
        return;
    }
    DIR *d = opendir(path);
    NB_ASSERT(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char child[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        remove_tree(child);
    }
    closedir(d);
    rmdir(path);
}

int data_fixture_teardown(void **state)
{
    data_fixture *f = *state;
    nb_config_free(f->ctx, f->cfg);
    nb_ctx_destroy(f->ctx);
    remove_tree(f->dir);
    free(f);
    return 0;
}

const char *data_fixture_path(data_fixture *f, const char *name)
{
    static char path[4][1024];
    static int32_t next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", f->dir, name);
    return p;
}

void data_fixture_mkdir(data_fixture *f, const char *name)
{
    NB_ASSERT(nb_make_dirs(f->ctx, data_fixture_path(f, name)) == NB_OK);
}

static void make_parent(data_fixture *f, const char *name)
{
    char parent[512];
    snprintf(parent, sizeof parent, "%s", name);
    char *slash = strrchr(parent, '/');
    if (slash) {
        *slash = '\0';
        data_fixture_mkdir(f, parent);
    }
}

void data_fixture_write(data_fixture *f, const char *name, const void *bytes, size_t len)
{
    make_parent(f, name);
    FILE *o = fopen(data_fixture_path(f, name), "wb");
    NB_ASSERT(o);
    NB_ASSERT(fwrite(bytes, 1, len, o) == len);
    NB_ASSERT(fclose(o) == 0);
}

void data_fixture_write_gz(data_fixture *f, const char *name, const void *bytes, size_t len)
{
    make_parent(f, name);
    gzFile o = gzopen(data_fixture_path(f, name), "wb");
    NB_ASSERT(o);
    NB_ASSERT(gzwrite(o, bytes, (unsigned)len) == (int)len);
    NB_ASSERT(gzclose(o) == Z_OK);
}

void data_fixture_remove(data_fixture *f, const char *name)
{
    remove_tree(data_fixture_path(f, name));
}

const nb_conf *data_fixture_section(data_fixture *f, const char *text)
{
    char yaml[2048] = "data: ";
    size_t n = strlen(yaml);
    for (const char *p = text; *p; p++) {
        const char *piece = strncmp(p, "%s", 2) == 0 ? f->dir : NULL;
        NB_ASSERT(n + sizeof f->dir + 2 < sizeof yaml);
        if (piece) {
            n += (size_t)snprintf(yaml + n, sizeof yaml - n, "%s", piece);
            p++;
        } else {
            yaml[n++] = *p;
        }
    }
    yaml[n++] = '\n';
    nb_config_free(f->ctx, f->cfg);
    f->cfg = NULL;
    NB_ASSERT(nb_config_parse(f->ctx, "test.yaml", yaml, n, NULL, 0, &f->cfg) == NB_OK);
    return nb_conf_get(nb_config_root(f->cfg), "data");
}

nb_status data_fixture_open(data_fixture *f, const char *text, const char *split, nb_data **out)
{
    return nb_data_open(f->ctx, data_fixture_section(f, text), split, out);
}

void data_fixture_png(data_fixture *f, const char *name, const png_file *p)
{
    make_parent(f, name);
    FILE *o = fopen(data_fixture_path(f, name), "wb");
    NB_ASSERT(o);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    NB_ASSERT(png && info);
    png_init_io(png, o);
    png_set_IHDR(png, info, (png_uint_32)p->w, (png_uint_32)p->h, p->depth, p->type,
                 p->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_color colours[256];
    png_byte alpha[256];
    for (int32_t i = 0; i < p->n_palette; i++) {
        colours[i] = (png_color){p->palette[i][0], p->palette[i][1], p->palette[i][2]};
        alpha[i] = p->palette[i][3];
    }
    if (p->n_palette) {
        png_set_PLTE(png, info, colours, p->n_palette);
        png_set_tRNS(png, info, alpha, p->n_palette, NULL);
    }
    png_write_info(png, info);
    const size_t row = png_get_rowbytes(png, info);
    for (int32_t pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int32_t y = 0; y < p->h; y++)
            png_write_row(png, p->rows + (size_t)y * row);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    NB_ASSERT(fclose(o) == 0);
}

void data_fixture_grey(data_fixture *f, const char *name, int32_t h, int32_t w, int32_t level)
{
    uint8_t *rows = malloc((size_t)(h * w));
    NB_ASSERT(rows);
    memset(rows, level, (size_t)(h * w));
    data_fixture_png(f, name, &(png_file){.h = h, .w = w, .depth = 8, .type = PNG_COLOR_TYPE_GRAY, .rows = rows});
    free(rows);
}
