#!/usr/bin/env bash
# install.sh - installs into a temporary prefix, builds a C and a C++ program against it by pkg-config and one against the engine
# alone, runs them, uninstalls, and looks for anything left behind.
set -eu
MAKE=${MAKE:-make} CC=${CC:-cc}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
$MAKE --no-print-directory CC="$CC" PREFIX="$dir/usr" install >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }

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
cat >"$dir/engine.c" <<'END'
#include <nibble/engine.h>
int main(void)
{
    const nb_emodel nothing = {0};
    return nb_engine_check(&nothing) ? 0 : 1;
}
END
export PKG_CONFIG_PATH="$dir/usr/lib/pkgconfig" LD_LIBRARY_PATH="$dir/usr/lib"
# shellcheck disable=SC2046
$CC -std=c11 -Wall -Wextra -Werror -o "$dir/use" "$dir/use.c" $(pkg-config --cflags --libs nibble)
"$dir/use"
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    c++ -x c++ -Wall -Wextra -Werror -o "$dir/use++" "$dir/use.c" $(pkg-config --cflags --libs nibble)
    "$dir/use++" >/dev/null
fi
$CC -std=c11 -I"$dir/usr/include" -o "$dir/engine" "$dir/engine.c" -L"$dir/usr/lib" -lnibble_engine
"$dir/engine"
[ "$(pkg-config --modversion nibble)" = "$("$dir/use" | sed 's/:.*//')" ]
"$dir/usr/bin/nibble" --help >/dev/null
# The shared library shows what the headers declare and nothing else; the examples run on it.
[ -z "$(nm -D --defined-only "$dir/usr/lib/libnibble.so" | awk '$2 != "A" && $3 !~ /^nb_/')" ]
"$dir/usr/bin/nibble" train configs/synth-tiny.yaml --quiet --set out="$dir/run" >/dev/null
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
# shellcheck disable=SC2046
$CC -std=c11 -Wall -Wextra -Werror -o "$dir/classify" experiments/embed/classify.c $(pkg-config --cflags --libs nibble)
ldd "$dir/classify" | grep -q "$dir/usr/lib/libnibble.so.0"
said=$("$dir/classify" "$dir/run/model.int.safetensors" $png)
[ -n "$said" ]
if command -v python3 >/dev/null; then
    [ "$(python3 experiments/embed/classify.py "$dir/run/model.int.safetensors" $png)" = "$said" ]
fi
if "$dir/classify" "$dir/run/config.yaml" $png 2>/dev/null; then exit 1; fi

$MAKE --no-print-directory CC="$CC" PREFIX="$dir/usr" uninstall >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
left=$(find "$dir/usr" ! -type d)
[ -z "$left" ] || { echo "uninstall left behind: $left"; exit 1; }
$MAKE --no-print-directory CC="$CC" DESTDIR="$dir/stage" PREFIX=/opt/nibble install >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
grep -qx 'prefix=/opt/nibble' "$dir/stage/opt/nibble/lib/pkgconfig/nibble.pc"
