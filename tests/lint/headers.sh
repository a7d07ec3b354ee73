#!/usr/bin/env bash
# headers.sh - every public header stands alone, as C11 and as C++17; nibble.h brings all of the user tier and nothing of extend/, which
# extend.h brings all of.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
users=(include/nibble/*.h) extenders=(include/nibble/extend/*.h)
alone() { # COMPILER...
    local h
    for h in "${users[@]}" "${extenders[@]}"; do
        echo "#include <${h#include/}>" | "$@" -Iinclude -Wall -Wextra -Wpedantic -Werror -fsyntax-only - ||
            { echo "$h: does not stand alone: $*"; bad=1; }
    done
}
alone "${CC:-cc}" -std=c11 -x c
if command -v c++ >/dev/null; then alone c++ -std=c++17 -x c++; fi

brings() { # HEADER: the public ones that come with it, itself included
    echo "#include <${1#include/}>" | "${CC:-cc}" -std=c11 -x c -Iinclude -MM - | grep -oE 'include/nibble/[a-z_/]+\.h' | sort -u
}
[ "$(brings include/nibble/nibble.h)" = "$(printf '%s\n' "${users[@]}" | sort)" ] ||
    { echo "nibble.h must bring all of include/nibble/*.h and nothing else"; bad=1; }
missing=$(comm -13 <(brings include/nibble/extend/extend.h) <(printf '%s\n' "${extenders[@]}" | sort))
[ -z "$missing" ] || { echo "extend.h does not bring $missing"; bad=1; }
exit $bad
