#!/bin/sh
# get.sh - downloads a public data set, checks its SHA-256 and puts it where nibble looks for it.
#
#   datasets/get.sh NAME [FOLDER]    cifar10, cifar100, fashion-mnist or mnist
#
# FOLDER is $NB_DATA/NAME or, without NB_DATA, data/NAME beside this script.
#
# Nothing appears under its final name before its sum is right. An interrupted download is continued from its .part file; one with a
# wrong sum is deleted. Needs curl or wget, and sha256sum, shasum or openssl. NB_MIRROR=URL takes the files from URL/FILE instead.
set -eu

# name | SHA-256 | file | folder inside the archive, - for a plain file | places, tried in this order
# The sums are of the files their authors publish. Those of Fashion-MNIST hold, after gzip's header is put back, for Debian's
# dataset-fashion-mnist too; the others were compared between independent projects that pin them.
table() {
    if [ -n "${NB_GET_TABLE:-}" ]; then # for tests
        cat "$NB_GET_TABLE"
        return
    fi
    fashion=http://fashion-mnist.s3-website.eu-central-1.amazonaws.com
    fashion2=https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion
    mnist=https://ossci-datasets.s3.amazonaws.com/mnist
    mnist2=https://storage.googleapis.com/cvdf-datasets/mnist
    cifar=https://www.cs.toronto.edu/~kriz
    cat <<TABLE
fashion-mnist|3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84|train-images-idx3-ubyte.gz|-|$fashion $fashion2
fashion-mnist|a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845|train-labels-idx1-ubyte.gz|-|$fashion $fashion2
fashion-mnist|346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073|t10k-images-idx3-ubyte.gz|-|$fashion $fashion2
fashion-mnist|67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5|t10k-labels-idx1-ubyte.gz|-|$fashion $fashion2
mnist|440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609|train-images-idx3-ubyte.gz|-|$mnist $mnist2
mnist|3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c|train-labels-idx1-ubyte.gz|-|$mnist $mnist2
mnist|8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6|t10k-images-idx3-ubyte.gz|-|$mnist $mnist2
mnist|f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6|t10k-labels-idx1-ubyte.gz|-|$mnist $mnist2
cifar10|c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd|cifar-10-binary.tar.gz|cifar-10-batches-bin|$cifar
cifar100|58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec|cifar-100-binary.tar.gz|cifar-100-binary|$cifar
TABLE
}

fail() {
    echo "get.sh: $*" >&2
    exit 1
}

names() {
    table | cut -d'|' -f1 | sort -u | tr '\n' ' '
}

sum_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1" | cut -d' ' -f1
    elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1" | cut -d' ' -f1
    elif command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1" | cut -d' ' -f1
    else
        fail "needs sha256sum, shasum or openssl to check what it downloads"
    fi
}

# fetch URL FILE: continues FILE when it has a beginning.
fetch() {
    if command -v curl >/dev/null; then
        curl --fail --location --silent --show-error --retry 3 --continue-at - --output "$2" "$1" && return
        case $? in
        22 | 33 | 36) # refused, maybe because there is nothing to continue: from the start
            [ -f "$2" ] && rm -f "$2" && curl --fail --location --silent --show-error --output "$2" "$1"
            ;;
        *) return 1 ;;
        esac
    elif command -v wget >/dev/null; then
        wget --quiet --tries=3 --continue --output-document="$2" "$1"
    else
        fail "needs curl or wget"
    fi
}

# download SUM FILE "PLACES": leaves $dir/FILE.part with the right sum, or fails.
download() {
    part=$dir/$2.part
    [ -n "${NB_MIRROR:-}" ] && set -- "$1" "$2" "$NB_MIRROR"
    if [ -f "$part" ] && [ "$(sum_of "$part")" = "$1" ]; then
        return # complete, but the run before ended there
    fi
    for place in $3; do
        echo "get.sh: $place/$2"
        if ! fetch "$place/$2" "$part"; then
            echo "get.sh: $place/$2: download failed" >&2
            continue
        fi
        got=$(sum_of "$part")
        [ "$got" = "$1" ] && return
        rm -f "$part"
        echo "get.sh: $place/$2: SHA-256 is $got, must be $1: deleted" >&2
    done
    fail "$2: could not be had from any place; run it again to continue, or put the file at $part yourself"
}

# unpack ARCHIVE FOLDER: moves the files of FOLDER in the archive into $dir.
unpack() {
    tmp=$dir/.unpack.$$
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 1' HUP INT TERM
    rm -rf "$tmp"
    mkdir "$tmp"
    tar -xzf "$1" -C "$tmp" || fail "$1: could not be unpacked"
    [ -d "$tmp/$2" ] || fail "$1: holds no folder $2"
    for f in "$tmp/$2"/*; do
        mv -f "$f" "$dir/"
    done
    rm -rf "$tmp"
    trap - EXIT HUP INT TERM
}

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ "$1" = --help ] || [ "$1" = -h ]; then
    echo "usage: datasets/get.sh NAME [FOLDER]; NAME is one of: $(names)" >&2
    exit 2
fi
name=$1
if ! table | cut -d'|' -f1 | grep -qxF -- "$name"; then
    echo "get.sh: $name: unknown data set, must be one of: $(names)" >&2
    exit 2
fi
dir=${2:-${NB_DATA:-$(dirname "$0")/data}/$name}
mkdir -p "$dir" || fail "$dir: cannot be made"

# One file or archive: $1 is a line of the table. A marker says which archive was unpacked here.
get_line() {
    IFS='|' read -r _ sum file folder places <<LINE
$1
LINE
    if [ "$folder" = - ]; then
        if [ -f "$dir/$file" ] && [ "$(sum_of "$dir/$file")" = "$sum" ]; then
            echo "get.sh: $dir/$file is there and right"
            return
        fi
        download "$sum" "$file" "$places"
        mv -f "$dir/$file.part" "$dir/$file"
    else
        if [ "$(cat "$dir/.$file.sha256" 2>/dev/null)" = "$sum" ]; then
            echo "get.sh: $dir already holds the files of $file"
            return
        fi
        download "$sum" "$file" "$places"
        unpack "$dir/$file.part" "$folder"
        echo "$sum" >"$dir/.$file.sha256"
        rm -f "$dir/$file.part"
    fi
}

lines=$(table | awk -F'|' -v name="$name" '$1 == name')
while [ -n "$lines" ]; do
    first=$(printf '%s\n' "$lines" | head -n 1)
    lines=$(printf '%s\n' "$lines" | tail -n +2)
    get_line "$first"
done
echo "get.sh: $name is in $dir"
