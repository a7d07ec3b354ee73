/* replay.c - runs a fuzz target over every file of the folders (or files) given, without any fuzzing engine: the
 * committed corpus is part of every test run, with every compiler. Exits non-zero when a folder cannot be read or holds
 * nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1); /* exactly the input: a read behind it is seen */
    int ok = size >= 0 && bytes && fread(bytes, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (ok)
        LLVMFuzzerTestOneInput(bytes, (size_t)size);
    else
        fprintf(stderr, "%s: cannot read\n", path);
    free(bytes);
    return ok ? 1 : -1;
}

/* Files run, or -1. */
static int run_path(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(s.st_mode))
        return run_file(path);
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort), done = 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && done >= 0)
            done = run_file(file) < 0 ? -1 : done + 1;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    if (done == 0)
        fprintf(stderr, "%s: no corpus files\n", path);
    return n < 0 || done == 0 ? -1 : done;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = run_path(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    const char *slash = strrchr(argv[0], '/');
    printf("  ok %s: %d inputs\n", slash ? slash + 1 : argv[0], total);
    return argc < 2;
}
