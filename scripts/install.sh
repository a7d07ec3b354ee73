#!/usr/bin/env bash
# install.sh - `make install` and `make uninstall`: what Nibble puts below $DESTDIR$PREFIX, and takes away again.
#
# usage: scripts/install.sh install FOLDER VERSION ABI DEPENDENCIES [THREADS] | uninstall       PREFIX and DESTDIR in the environment
# FOLDER holds the products, DEPENDENCIES are names for pkg-config, THREADS is the OpenMP runtime for the linker.
# share/nibble/installed lists every file with its checksum. Nothing is overwritten and nothing is removed that is not in it with the
# bytes it was installed with; a file of an earlier version that this one has no more goes when this one is installed.
set -eu
dest=${DESTDIR:-}$PREFIX
list=$dest/share/nibble/installed

fail() {
    echo "make $command: $*" >&2
    exit 1
}

# "SUM SIZE" of a file, "-> TARGET" of a link, nothing for what is not there, "other" for the rest.
state() {
    if [ -L "$1" ]; then
        echo "-> $(readlink "$1")"
    elif [ -f "$1" ]; then
        cksum <"$1"
    elif [ -e "$1" ]; then
        echo other
    fi
}

# Is this path, relative to $dest, as the list has it? Without a list there may be a Nibble from the time before there were lists.
ours() {
    if [ -f "$list" ]; then
        grep -qxF -- "$(state "$dest/$1") $1" "$list"
    else
        [ "$(state "$dest/$1")" != other ] && grep -qs 'define NB_VERSION' "$dest/include/nibble/nibble.h"
    fi
}

# A path as pkg-config reads it.
escaped() {
    # shellcheck disable=SC2001 # one expression for all of them
    sed -e 's/[] \\"'\''#&;()<>|*?`~{}[]/\\&/g' -e 's/\$/$$/g' <<<"$1"
}

# put MODE FILE NAME, put_link TARGET NAME: below $dest, old content or new and never a part.
put() {
    install -m "$1" "$2" "$dest/$3.new"
    mv -fT "$dest/$3.new" "$dest/$3"
}
put_link() {
    ln -sfn "$1" "$dest/$2.new"
    mv -fT "$dest/$2.new" "$dest/$2"
}
write_list() { # stdin
    cat >"$list.new"
    chmod 644 "$list.new"
    mv -fT "$list.new" "$list"
}

command=${1:-}
case $PREFIX in
*$'\n'* | *$'\t'*) fail "PREFIX: must not have line ends or tabs in it" ;;
/*) ;;
*) fail "PREFIX=$PREFIX: must be an absolute path" ;;
esac

case $command in
install)
    from=$2 version=$3 abi=$4 dependencies=$5 threads=${6:-}
    text=$(<nibble.pc.in) prefix=$(escaped "$PREFIX")
    text=${text//@PREFIX@/"$prefix"} text=${text//@VERSION@/"$version"} text=${text//@DEPS@/"$dependencies"} text=${text//@OMP@/"$threads"}
    pc=$(mktemp)
    trap 'rm -f "$pc"' EXIT
    printf '%s\n' "$text" >"$pc"

    # What goes where: "MODE FILE NAME" or "-> TARGET NAME". Every name is ours and of one word; @pc is the file made above.
    plan="755 $from/nibble bin/nibble
644 $from/libnibble.a lib/libnibble.a
644 $from/libnibble_engine.a lib/libnibble_engine.a
755 $from/libnibble.so.$version lib/libnibble.so.$version
-> libnibble.so.$version lib/libnibble.so.$abi
-> libnibble.so.$abi lib/libnibble.so
644 @pc lib/pkgconfig/nibble.pc"
    for h in include/nibble/*.h include/nibble/extend/*.h; do
        plan+=$'\n'"644 $h $h"
    done
    new=""
    while read -r how what name; do
        [ -z "$(state "$dest/$name")" ] || ours "$name" ||
            fail "$dest/$name: is there and is not what Nibble installed; move it away or choose another PREFIX"
        [ "$what" != @pc ] || what=$pc
        if [ "$how" = '->' ]; then new+="-> $what $name"$'\n'; else new+="$(cksum <"$what") $name"$'\n'; fi
    done <<<"$plan"

    install -d "$dest/bin" "$dest/lib/pkgconfig" "$dest/include/nibble/extend" "$dest/share/nibble"
    old=""
    [ ! -f "$list" ] || old=$(<"$list")
    printf '%s\n' "$new$old" | write_list # before the first file: after an interruption all of them are known to be ours
    while read -r how what name; do
        [ "$what" != @pc ] || what=$pc
        if [ "$how" = '->' ]; then put_link "$what" "$name"; else put "$how" "$what" "$name"; fi
    done <<<"$plan"
    while read -r _ _ name; do # what an earlier version had
        [[ -z $name || $plan == *" $name"* ]] || ! ours "$name" || rm -f "$dest/$name"
    done <<<"$old"
    printf '%s' "$new" | write_list
    echo "installed nibble $version below $dest"
    ;;
uninstall)
    [ -f "$list" ] || fail "$list: no such file, so nothing here is known to be Nibble's and nothing was removed"
    while read -r _ _ name; do
        if [ -n "$name" ] && ours "$name"; then
            rm -f "$dest/$name"
        elif [ -n "$name" ] && [ -n "$(state "$dest/$name")" ]; then
            echo "kept, because it is not what was installed: $dest/$name"
        fi
    done <"$list"
    rm -f "$list"
    rmdir "$dest/share/nibble" "$dest/include/nibble/extend" "$dest/include/nibble" 2>/dev/null || true # not when somebody has put something there
    echo "uninstalled from $dest"
    ;;
*)
    echo "usage: PREFIX=/path scripts/install.sh install FOLDER VERSION ABI DEPENDENCIES [THREADS] | uninstall" >&2
    exit 2
    ;;
esac
