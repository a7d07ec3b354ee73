# ranks.bash - several processes by mpirun, for the scripts about ranks; sourced after common.bash. Exits with 77 where there is no
# mpirun that works. Leaves the script in $WORK with tiny.yaml, a config of less than a second.
case $("$NIBBLE" --version) in
*"MPI: Open MPI"*) launcher=$(command -v mpirun.openmpi || command -v mpirun) || exit 77 ;;
*"MPI: MPICH"*) launcher=$(command -v mpirun.mpich || command -v mpiexec) || exit 77 ;;
*) exit 77 ;; # built without
esac
# Open MPI otherwise refuses root, and more ranks than there are processors.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe # from Open MPI 5 on
export OMP_NUM_THREADS=1
cd "$WORK"
timeout 60 "$launcher" -n 3 true >out 2>&1 </dev/null || { # no fault of ours: a machine where it cannot start three processes
    cat out
    exit 77
}
cat >tiny.yaml <<'END'
seed: 3
out: run
data: {name: synth, count: 200, test_count: 100, height: 8, width: 8, channels: 3, classes: 4, augment: [flip, crop1]}
model:
  - input
  - conv2d: {name: c1, out: 8, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - conv2d: {name: dw, out: 8, kernel: 3, pad: 1, groups: 8}
  - batchnorm
  - relu
  - dropout: {p: 0.2}
  - resblock: {name: b1, out: 24, stride: 2}   # gradients large enough to be added up in pieces
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
quant:
  weights: {bits: 4, granularity: channel}
  activations: {bits: 8, scheme: asymmetric, range: ema}
train:
  batch: 20
  save_steps: 3
  optimizer: {name: sgd, momentum: 0.9, nesterov: yes, weight_decay: 1.0e-4}
  phases:
    - {name: float, epochs: 1, lr: 0.1}
    - {name: qat, epochs: 1, lr: 0.02, quant: on}
END

# ranks N CODE PROGRAM ARGS...: as run, for N of them. mpirun's own remarks are not ours.
ranks() {
    local n=$1 want=$2 code=0
    shift 2
    timeout 100 "$launcher" -n "$n" "$@" >out 2>err </dev/null || code=$?
    [ "$code" = "$want" ] || {
        cat out err >&2
        die "$n ranks of $*: exit $code, must be $want"
    }
    grep '^nibble: ' err >said || true
}
sentence() { # TEXT: ours is one, with this in it
    [[ $(wc -l <said) = 1 && $(<said) == *"$1"* ]] || {
        cat out err >&2
        die "must print one sentence that says: $1"
    }
}

# A rank tells its number and process, for who wants to end it; rank 1 is what $second says, in the folder $folder.
cat >rank.sh <<'END'
number=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}
echo $$ >pid.$number
[ "$number" = 0 ] || cd "${folder:-.}"
[ "$number" = 0 ] || [ -z "${second:-}" ] || exec "$second" "$@"
exec "$NIBBLE" "$@"
END
export NIBBLE
# begin FILE ARGS...: two ranks of a command, until FILE is there
begin() {
    local file=$1
    shift
    rm -f pid.*
    "$launcher" -n 2 bash rank.sh "$@" >out 2>err </dev/null &
    job=$!
    until [ -e "$file" ]; do
        kill -0 $job 2>/dev/null || { cat out err >&2; die "two ranks did not begin"; }
        sleep 0.02
    done
}
ended() { # the job that begin has begun, without success
    local code=0
    wait $job 2>/dev/null || code=$?
    [ $code != 0 ] || die "a job without one of its ranks must fail"
    grep '^nibble: ' err >said || true
}
