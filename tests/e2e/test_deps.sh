#!/usr/bin/env bash
# test_deps.sh - scripts/deps.sh on machines that are not this one, played by scripts: what is missing is installed or asked for, what
# cannot be had is named and does no harm; and tests/werror.sh takes warnings for errors only where they are known.
set -eu
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
tests=$PWD/tests deps=$PWD/scripts/deps.sh
mkdir "$t/bin"
for tool in bash cat grep mktemp rm sed tail; do
    ln -s "$(command -v $tool)" "$t/bin/$tool"
done
die() {
    echo "not ok - $*" >&2
    cat "$t/log" "$t/installed" >&2
    exit 1
}
play() { # NAME SCRIPT
    rm -f "$t/bin/$1"
    printf '#!%s\n%s\n' "$t/bin/bash" "$2" >"$t/bin/$1"
    chmod +x "$t/bin/$1"
}
# machine USER LISTED INSTALLED: who runs it, packages in apt's lists, packages installed; both lists are patterns of `case`
machine() {
    play id "echo $1"
    play apt-cache "case \$2 in $2) ;; *) exit 100 ;; esac"
    play dpkg-query "case \"\${*: -1}\" in $3) echo installed ;; *) exit 1 ;; esac"
    play pkg-config "case libopenblas-pthread-dev in $3) ;; *) exit 1 ;; esac"
    play clang "[ -e '$t/clang-works' ]"
    play apt-get "echo \"\$@\" >>'$t/installed'"
    : >"$t/installed"
}
run() { # CODE
    local code=0
    PATH=$t/bin bash "$deps" test >"$t/log" 2>&1 || code=$?
    [ "$code" = "$1" ] || die "exit $code, must be $1"
}
says() { grep -qF -- "$1" "$t/log" || die "does not say: $1"; }
calls() { grep -qE -- "$1" "$t/installed" || die "apt-get is not called: $1"; }

: >"$t/clang-works"
machine 0 '*' '*'
run 0
[ ! -s "$t/installed" ] || die "nothing to do"
[ ! -s "$t/log" ] || die "nothing to say"
echo "  ok nothing is missing"

machine 0 'libpng-dev | clang' 'clang | lib* | build* | pkg* | zlib* | data* | proto* | openmpi*'
run 0
says "not to be had here: tcc; the tests that need it are skipped"
[ ! -s "$t/installed" ] || die "there is nothing to install"
machine 1000 'libpng-dev | clang' 'clang | lib* | build* | pkg* | zlib* | data* | proto* | openmpi*'
run 0
says "not to be had here: tcc"
echo "  ok a compiler that has left the distribution is named and no reason to stop"

machine 1000 'libpng-dev | clang | tcc' 'clang | lib* | build* | pkg* | zlib* | data* | proto* | openmpi*'
run 2
says "apt-get install -y --no-install-recommends tcc"
machine 1000 'nothing' 'build*'
run 2
says "libpng-dev"
says "tcc"
[ ! -s "$t/installed" ] || die "must not install"
echo "  ok who is not root is told the command"

rm "$t/clang-works"
machine 0 '*' 'build*'
run 0
calls '^update'
calls '^install .* libpng-dev .*libcmocka-dev libopenblas-pthread-dev clang libomp-dev tcc .*libclang-rt-dev$'
# tcc is in the lists but cannot be installed.
machine 0 '*' 'build*'
play apt-get "echo \"\$@\" >>'$t/installed'; case \"\$*\" in *tcc*) exit 100 ;; esac"
run 0
calls '^install .* libpng-dev .*libcmocka-dev libopenblas-pthread-dev$'
calls '^install .* clang$'
says "not to be had here: tcc"
# What is needed cannot be installed.
play apt-get 'case "$*" in *libpng*) exit 100 ;; esac'
run 100
echo "  ok root gets what can be had"

werror() { # WHAT THE COMPILER SAYS, EXPECTED
    play fakecc "echo '$1'"
    said=$(PATH=$t/bin bash "$tests/werror.sh" fakecc) || die "werror.sh fails"
    [ "$said" = "$2" ] || die "werror.sh: $1 gives '$said'"
}
werror '__clang_major__ 12' -Werror
werror '__clang_major__ 99' ''
werror '14 4' -Werror
werror '99 4' ''
werror '' ''
werror 'other words' ''
[ -z "$(PATH=$t/bin bash "$tests/werror.sh" nothing)" ] || die "no compiler, no -Werror"
echo "  ok warnings of compilers that nobody has tried are no errors"
