#!/usr/bin/env bash
# links.sh - what the pages link to is there: files of the tree, and headings below their anchors as GitHub makes them.
set -eu
cd "$(dirname "$0")/../.."
status=0
anchors() { # FILE: of its headings, code blocks left out
    awk '/^```/ { code = !code } !code && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" |
        sed 's/`//g; s/\[\([^]]*\)\]([^)]*)/\1/g; s/[^a-z0-9 _-]//g; s/ /-/g'
}
while IFS=: read -r file link; do
    target=${link%%#*} anchor=
    [[ $link == *#* ]] && anchor=${link#*#}
    path=$file
    [ -z "$target" ] || path=$(dirname "$file")/$target
    if [ ! -e "$path" ]; then
        echo "$file: links to $target, which is not there"
        status=1
    elif [ -n "$anchor" ] && ! anchors "$path" | grep -qxF -- "$anchor"; then
        echo "$file: $link: $path has no such heading"
        status=1
    fi
done < <(find . -path ./build -prune -o -path ./runs -prune -o -name '*.md' -print | sed 's|^\./||' | sort | while read -r file; do
    awk '/^```/ { code = !code } !code' "$file" | grep -oE '\]\([^) ]+\)' | sed "s|^](|$file:|; s|)$||" | grep -v ':https\?:' || true
done)
exit $status
