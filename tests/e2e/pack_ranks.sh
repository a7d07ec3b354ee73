#!/usr/bin/env bash
# pack_ranks.sh - ranks that read the same packed data, each its own images, leave the bytes of one process; one that finds a
# damaged image, or other data than rank 0, ends the job with a sentence.
set -eu
. tests/e2e/common.bash
. tests/e2e/ranks.bash
run 0 pack tiny.yaml -o packed --shard 10000
data=(--set 'data={name: packed, path: packed, augment: [flip, crop1]}')
run 0 train tiny.yaml --quiet "${data[@]}"
mv run one
ranks 2 0 "$NIBBLE" train tiny.yaml --quiet "${data[@]}"
same_run run one
echo '  ok two ranks on packed data'

mkdir elsewhere
cp tiny.yaml elsewhere
run 0 pack tiny.yaml -o elsewhere/packed --set data.seed=5
cat >rank.sh <<'END'
[ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" = 0 ] || cd elsewhere
exec "$NIBBLE" "$@"
END
export NIBBLE
ranks 2 2 bash rank.sh train tiny.yaml --set out=never "${data[@]}"
sentence "rank 1 on $(uname -n) has other training images"
rm -r elsewhere/packed
ranks 2 1 bash rank.sh train tiny.yaml --set out=never "${data[@]}"
sentence "packed/index.safetensors: cannot open"

# All of the last shard's images are damaged: some rank meets one.
last=$(find packed -name 'train-*' | sort | tail -n 1)
begin=$(($(od -An -tu8 -N8 "$last") + 8)) end=$(($(wc -c <"$last") - 8))
head -c $((end - begin - 1000)) /dev/zero | dd of="$last" bs=1 seek=$((begin + 800)) conv=notrunc 2>/dev/null
ranks 2 1 "$NIBBLE" train tiny.yaml --set out=damaged "${data[@]}"
grep -q "$last: damaged: image" said || { cat out err >&2; die "a damaged image must end the job with its name"; }
echo '  ok other data, none and damaged ones'
