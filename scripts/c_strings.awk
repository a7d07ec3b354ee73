# c_strings.awk - pieces of C files as C strings, for a program that writes programs.
#
# usage: awk -f scripts/c_strings.awk FILE... >STRINGS.c
# A piece stands between the lines "/* ==== NAME ==== */" and "/* ==== */" and becomes `const char NAME[]`; what stands outside is for
# whoever compiles or reads the file itself. A mistake is one line on stderr and exit code 1.
function fail(what) {
    printf "%s:%d: %s\n", FILENAME, FNR, what > "/dev/stderr"
    failed = 1
    exit 1
}
function quoted(s,    i, c, out) { # by hand: awks differ on backslashes in gsub; "\?" because of trigraphs
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        out = out (c == "\\" || c == "\"" || c == "?" ? "\\" c : c)
    }
    return out
}
BEGIN { print "/* Made by scripts/c_strings.awk. */" }
FNR == 1 && name != "" { fail("the file before ends within " name) }
/^\/\* ==== [a-z_0-9]+ ==== \*\/$/ {
    if (name != "") fail("begins within " name)
    name = $3
    if (name in seen) fail(name " is there twice")
    seen[name] = 1
    lines = 0
    printf "extern const char %s[];\nconst char %s[] =", name, name
    next
}
$0 == "/* ==== */" {
    if (name == "") fail("an end without a beginning")
    if (!lines) fail(name " is empty")
    print ";"
    name = ""
    next
}
/====/ { fail("neither \"/* ==== NAME ==== */\" nor \"/* ==== */\": " $0) }
name != "" {
    lines++
    printf "\n    \"%s\\n\"", quoted($0)
}
END {
    if (!failed && name != "") fail("the last file ends within " name)
    exit failed
}
