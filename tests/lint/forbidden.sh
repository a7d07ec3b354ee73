#!/usr/bin/env bash
# forbidden.sh - what must not be in the sources: notes to self, output and exits below the tool, unchecked C functions.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
deny() { # deny PATTERN WHY FILE...
    local pattern=$1 why=$2 hits
    shift 2
    hits=$(grep -nE "$pattern" "$@" /dev/null)
    [ -z "$hits" ] || { printf '%s\n  ^ %s\n' "$hits" "$why"; bad=1; }
}
mapfile -t all < <(git ls-files -co --exclude-standard '*.c' '*.h' '*.def' '*.sh' '*.yaml' Makefile | grep -v '^tests/lint/')
mapfile -t lib < <(ls src/*/*.c src/*/*.h src/kernels/*/*.[ch] src/export/c/*.[ch] layers/*.[ch] datasets/*.[ch] | grep -v -e '^src/cli/' -e '^src/base/check.h$')
deny '\<(TODO|FIXME|XXX|HACK)\>' 'finish it or leave it out' "${all[@]}"
deny '\<(printf|puts|putchar|perror|exit|abort|vprintf)\(|\<(stdout|stderr)\>' 'only src/cli prints and exits' "${lib[@]}"
deny '\<(strcpy|strcat|sprintf|gets|strtok|atoi|atof|atol|rand|srand)\(' 'has no bounds, no errors or hidden state' "${lib[@]}" src/cli/*.[ch]
deny '\<(malloc|calloc|realloc|aligned_alloc|posix_memalign)\(' 'memory comes from nb_alloc or an arena' \
    $(printf '%s\n' "${lib[@]}" | grep -v '^src/base/context.c$')
deny '\<assert_(not_)?in_range\(' 'cmocka 2 deprecates it: assert_true with both bounds' tests/unit/*.[ch] tests/prop/*.c tests/ref/*.[ch]
deny '(-o|--output) *[^ ]?/dev/null' 'tcc run as root replaces the device by a file: a temporary file' \
    $(printf '%s\n' "${all[@]}" | grep -E '\.sh$|^Makefile$|^src/cli/')
exit $bad
