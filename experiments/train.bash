# train.bash - what the experiments share; sourced, with nibble and config set.

# train DIR ARGUMENT...: one run into DIR. A finished one is kept, an interrupted one goes on.
train() {
    local dir=$1
    shift
    [ -f "$dir/done" ] && return
    "$nibble" train "$config" --set out="$dir" "$@" --resume
    touch "$dir/done"
} >&2
