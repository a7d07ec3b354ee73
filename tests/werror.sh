#!/usr/bin/env bash
# werror.sh - prints -Werror for a compiler whose warnings somebody has looked at, nothing for any other: what a compiler of next
# year warns about is news for us, no failure for a user. Raise the numbers after `make test` has gone through with newer ones.
#
# usage: tests/werror.sh COMPILER
newest_gcc=16 newest_clang=21
version=$(echo '__clang_major__ __GNUC__' | $1 -E -P -x c - 2>/dev/null | tail -n 1)
case $version in
'__clang_major__ '*) [ "${version##* }" -le $newest_gcc ] ;;
[0-9]*) [ "${version%% *}" -le $newest_clang ] ;;
*) false ;;
esac 2>/dev/null && echo -Werror
exit 0
