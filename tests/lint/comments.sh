#!/usr/bin/env bash
# comments.sh - every public function has a comment: its own, or one for the group of lines without a blank it stands in.
set -u
cd "$(dirname "$0")/../.." || exit 1
exec awk '
function close_group() { # a group ends at a blank line
    if (!comment && functions != "") { printf "%s", functions; bad = 1 }
    comment = 0
    functions = ""
}
FNR == 1 || /^$/ { close_group() }
/\/\*/ { comment = 1 }
/^(extern )?NB_API .*\(|^static inline .*\(/ { functions = functions sprintf("%s:%d: no comment: %s\n", FILENAME, FNR, $0) }
END { close_group(); exit bad }' include/nibble/*.h include/nibble/extend/*.h
