/* config_closest.c - "did you mean": the name a mistyped word was meant to be. */
#include <nibble/config.h>

#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 48, FAR = MAX_WORD };

static char fold(char c) /* learning-rate, Learning_Rate */
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return (char)(c == '-' ? '_' : c);
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b (Damerau, in the restricted form). */
static int32_t distance(const char *a, const char *b)
{
    int32_t rows[3][MAX_WORD + 1];
    size_t la = strlen(a);
    size_t lb = strlen(b);
    if (la > MAX_WORD || lb > MAX_WORD)
        return FAR;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (int32_t)j;
    for (size_t i = 1; i <= la; i++) {
        int32_t *row = rows[i % 3];
        const int32_t *up = rows[(i + 2) % 3];
        const int32_t *up2 = rows[(i + 1) % 3];
        row[0] = (int32_t)i;
        for (size_t j = 1; j <= lb; j++) {
            int32_t best = up[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[la % 3][lb];
}

static bool starts_alike(const char *a, const char *b) /* kernel_size and kernel, pad and padding */
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    size_t n = la < lb ? la : lb;
    return n >= 3 && strncmp(a, b, n) == 0;
}

/* The shortest name that goes on where the word ends: conv means conv2d, although count is as near. */
static const char *longer(const char *word, const char *const *names, int32_t n)
{
    const char *best = NULL;
    const size_t len = strlen(word);
    for (int32_t i = 0; len >= 3 && i < n; i++)
        if (!strncmp(word, names[i], len) && (!best || strlen(names[i]) < strlen(best)))
            best = names[i];
    return best;
}

const char *nb_closest(const char *word, const char *const *names, int32_t n)
{
    const char *best = NULL;
    int32_t limit =
        ((int32_t)strnlen(word, MAX_WORD) + 2) / 3; /* one slip in three letters still reads as the same word */
    int32_t best_distance = limit + 1;
    for (int32_t i = 0; i < n; i++) {
        int32_t d = distance(word, names[i]);
        if (d < best_distance && d < (int32_t)strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    if (best_distance > 1 && longer(word, names, n))
        best = longer(word, names, n);
    for (int32_t i = 0; !best && i < n; i++)
        if (starts_alike(word, names[i]))
            best = names[i];
    return best;
}

nb_hint nb_did_you_mean(const char *word, const char *const *names, int32_t n)
{
    nb_hint hint = {""};
    const char *near = nb_closest(word, names, n);
    if (near)
        snprintf(hint.text, sizeof hint.text, " (did you mean \"%.220s\"?)", near);
    return hint;
}
