#!/usr/bin/env bash
# install_test.sh - installs into a temporary prefix with spaces and a quote, builds a C and a C++ program against it by pkg-config and one
# against the engine alone, runs them, uninstalls, and looks for anything left behind. Files of a stranger stay as they are.
set -eu
MAKE=${MAKE:-make} CC=${CC:-cc}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix="$dir/my \"usr\" isn't yours"
fail() {
    cat "$dir/log"
    echo "not ok - $*"
    exit 1
}
make_it() { # TARGET VARIABLE=VALUE...
    $MAKE --no-print-directory CC="$CC" "$@" >"$dir/log" 2>&1
}
others() { # what a stranger has, must be as it was
    [ "$(cat "$dir/my" "$prefix/include/nibble/mine.h" "$prefix/bin/other")" = "$(printf 'a\nb\nc')" ] || fail "a stranger's file is gone"
}

# The first word of the prefix, and neighbours of what is installed, are a stranger's; so is a program called nibble.
mkdir -p "$prefix/bin" "$prefix/include/nibble"
echo a >"$dir/my"
echo b >"$prefix/include/nibble/mine.h"
echo c >"$prefix/bin/other"
echo stranger >"$prefix/bin/nibble"
! make_it install PREFIX="$prefix" || fail "must not replace a stranger's program"
grep -qF "$prefix/bin/nibble: is there and is not what Nibble installed" "$dir/log" || fail "must say which file is in the way"
! make_it uninstall PREFIX="$prefix" || fail "must not uninstall what was not installed"
[ "$(cat "$prefix/bin/nibble")" = stranger ] || fail "must not touch a stranger's program"
[ ! -e "$prefix/lib" ] || fail "must touch nothing"
rm "$prefix/bin/nibble"
others
! make_it install PREFIX=usr || fail "PREFIX must be absolute"
make_it install PREFIX="$prefix" || fail "cannot be installed"
make_it install PREFIX="$prefix" || fail "cannot be installed again"
others

cat >"$dir/use.c" <<'END'
#include <nibble/nibble.h>
#include <stdio.h>
int main(void)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg = NULL;
    nb_status st = nb_config_load(ctx, "/nowhere.yaml", NULL, 0, &cfg);
    printf("%s: %s\n", NB_VERSION, nb_ctx_error(ctx));
    nb_ctx_destroy(ctx);
    return st == NB_E_IO ? 0 : 1;
}
END
cat >"$dir/extend.c" <<'END'
#include <nibble/nibble.h>

#include <nibble/extend/extend.h>
int main(void)
{
    return nb_layers[0] && nb_layers[0]->forward && nb_layers[0]->build ? 0 : 1;
}
END
cat >"$dir/engine.c" <<'END'
#include <nibble/engine.h>
int main(void)
{
    const nb_emodel nothing = {0};
    return nb_engine_check(&nothing) ? 0 : 1;
}
END
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
flags=$(pkg-config --cflags --libs nibble) # as words of a shell
eval "$CC -std=c11 -Wall -Wextra $(tests/werror.sh "$CC") -o '$dir/use' '$dir/use.c' $flags"
"$dir/use"
if command -v c++ >/dev/null; then
    eval "c++ -x c++ -Wall -Wextra $(tests/werror.sh c++) -o '$dir/use++' '$dir/use.c' $flags"
    "$dir/use++" >/dev/null
fi
eval "$CC -std=c11 -Wall -Wextra $(tests/werror.sh "$CC") -o '$dir/extend' '$dir/extend.c' $flags"
"$dir/extend"
$CC -std=c11 -I"$prefix/include" -o "$dir/engine" "$dir/engine.c" -L"$prefix/lib" -lnibble_engine
"$dir/engine"
[ "$(pkg-config --modversion nibble)" = "$("$dir/use" | sed 's/:.*//')" ]
"$prefix/bin/nibble" --help >/dev/null
# The shared library shows what the headers declare and nothing else; the examples run on it.
[ -z "$(nm -D --defined-only "$prefix/lib/libnibble.so" | awk '$2 != "A" && $3 !~ /^nb_/')" ]
"$prefix/bin/nibble" train configs/synth-tiny.yaml --quiet --set out="$dir/run" >/dev/null
png=$dir/image.png
cat >"$dir/png.c" <<'END'
#include <png.h>
int main(int argc, char **argv)
{
    static unsigned char pixels[20 * 20 * 3];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 20, .height = 20, .format = PNG_FORMAT_RGB};
    for (unsigned i = 0; i < sizeof pixels; i++)
        pixels[i] = (unsigned char)(i * 7);
    return argc != 2 || !png_image_write_to_file(&image, argv[1], 0, pixels, 0, NULL);
}
END
# shellcheck disable=SC2046
$CC -std=c11 -o "$dir/png" "$dir/png.c" $(pkg-config --cflags --libs libpng) && "$dir/png" "$png"
eval "$CC -std=c11 -Wall -Wextra $(tests/werror.sh "$CC") -o '$dir/classify' experiments/embed/classify.c $flags"
ldd "$dir/classify" | grep -qF "$prefix/lib/libnibble.so.0"
said=$("$dir/classify" "$dir/run/model.int.safetensors" "$png")
[ -n "$said" ]
if command -v python3 >/dev/null; then
    [ "$(python3 experiments/embed/classify.py "$dir/run/model.int.safetensors" "$png")" = "$said" ]
fi
if "$dir/classify" "$dir/run/config.yaml" "$png" 2>/dev/null; then exit 1; fi
# The shared library has the C of exported programs in it: what it writes is a program, and what the installed tool writes.
cat >"$dir/export.c" <<'END'
#include <nibble/nibble.h>
#include <nibble/export.h>
int main(int argc, char **argv)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m = NULL;
    nb_status st = argc == 3 ? nb_intmodel_load(ctx, argv[1], &m) : NB_E_CONFIG;
    if (st == NB_OK)
        st = nb_exporter_find("c")->write(ctx, m, argv[2], NULL);
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
    return st != NB_OK;
}
END
eval "$CC -std=c11 -Wall -Wextra $(tests/werror.sh "$CC") -o '$dir/export' '$dir/export.c' $flags"
mkdir "$dir/c"
"$dir/export" "$dir/run/model.int.safetensors" "$dir/net.c"
"$prefix/bin/nibble" export "$dir/run/model.int.safetensors" --format c -o "$dir/c/net.c" >/dev/null
cmp "$dir/net.c" "$dir/c/net.c" && cmp "$dir/net.h" "$dir/c/net.h"
$CC -std=c99 -c -o "$dir/net.o" "$dir/net.c"

# A list of an earlier version, with a file that this one has no more and one that somebody has changed since.
echo old >"$prefix/lib/libnibble.so.0.0.1"
echo new >"$prefix/lib/changed"
echo "$(cksum <"$prefix/lib/libnibble.so.0.0.1") lib/libnibble.so.0.0.1" >>"$prefix/share/nibble/installed"
echo "1 4 lib/changed" >>"$prefix/share/nibble/installed"
make_it install PREFIX="$prefix" || fail "cannot be installed over an earlier version"
[ ! -e "$prefix/lib/libnibble.so.0.0.1" ] || fail "an earlier version's files must go"
[ -e "$prefix/lib/changed" ] || fail "what somebody has changed must stay"

rm "$prefix/lib/changed"
echo mine >"$prefix/lib/libnibble.a"
make_it uninstall PREFIX="$prefix" || fail "cannot be uninstalled"
grep -qF "kept, because it is not what was installed: $prefix/lib/libnibble.a" "$dir/log" || fail "must say what is kept"
others
rm "$prefix/lib/libnibble.a" "$prefix/include/nibble/mine.h" "$prefix/bin/other"
left=$(find "$prefix" ! -type d)
[ -z "$left" ] || fail "uninstall left behind: $left"
[ ! -e "$prefix/include/nibble/extend" ] || fail "uninstall left an empty folder behind"
make_it install DESTDIR="$dir/a stage" PREFIX=/opt/nibble || fail "cannot be staged"
grep -qx 'prefix=/opt/nibble' "$dir/a stage/opt/nibble/lib/pkgconfig/nibble.pc"
# Interrupted after the list was written and before all files were: the next one is none the wiser.
rm "$dir/a stage/opt/nibble/lib/libnibble.a"
make_it install DESTDIR="$dir/a stage" PREFIX=/opt/nibble || fail "cannot be installed after an interruption"
make_it uninstall DESTDIR="$dir/a stage" PREFIX=/opt/nibble || fail "cannot be uninstalled from a stage"
left=$(find "$dir/a stage" ! -type d)
[ -z "$left" ] || fail "uninstall left behind: $left"
