#!/usr/bin/env bash
# Everything that only a GPU can show, in one go: at most 9 minutes. Whoever has one for the first time runs this first.
#
#   benchmarks/gpu_checks.sh OUT [DATA]
#
# OUT gets environment.txt, one log per part, and results.tsv: part, exit code, seconds, last line printed (figures as JSON).
# DATA is NYU-v2 as in docs/data.md; without it the trainings see synthetic rooms. What may be set in the environment:
#
#   WHEELS   folder of wheels that are installed first, into OUT/site, where the machine lacks packages and a package index
#   LIMIT    seconds in all (540)        DEVICE   cuda; cpu is a dry run
#   BACKBONE resnetd50                   SIZE     pixels a side (128)
#   BATCH    16                          STEPS    steps that are timed (30)
#   EPOCHS   of a training at most (100)
#   TESTS    what pytest is given (the tests of the optimizer that know a GPU)
#
# Each part has a limit of its own, and what is finished is written at once. Exit code: 0, 1 if a part failed, 2 if nothing
# could begin.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
[ $# -ge 1 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1" && OUT=$(cd "$1" && pwd) || exit 2
DATA=${2:-}
LIMIT=${LIMIT:-540} DEVICE=${DEVICE:-cuda} BACKBONE=${BACKBONE:-resnetd50} SIZE=${SIZE:-128} BATCH=${BATCH:-16} STEPS=${STEPS:-30} EPOCHS=${EPOCHS:-100}
PYTHON=${PYTHON:-python3}
TESTS=${TESTS:-tests/optim/test_gpu_kernel.py tests/optim/test_prox_adam_in_use.py tests/optim/test_selection.py tests/optim/test_prox_oracle.py}
export PYTHONUNBUFFERED=1
DEADLINE=$((SECONDS + LIMIT)) FAILED=0

left() { echo $((DEADLINE - SECONDS)); }

# part NAME SECONDS COMMAND...: run it within its limit and what is left in all; its output goes into OUT/NAME.log.
part() {
    local name=$1 limit=$2 start=$SECONDS code
    shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 5 ]; then
        code=no_time
        echo "no time was left" >>"$OUT/$name.log"
    else
        timeout --kill-after=10 "$limit" "$@" >>"$OUT/$name.log" 2>&1
        code=$?
    fi
    [ "$code" = 0 ] || FAILED=1
    printf '%s\t%s\t%s\t%s\n' "$name" "$code" $((SECONDS - start)) "$(tail -n 1 "$OUT/$name.log")" | tee -a "$OUT/results.tsv"
    [ "$code" = 0 ]
}

if [ -n "${WHEELS:-}" ]; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$OUT/site" "$WHEELS"/*.whl || exit 2
    export PYTHONPATH=$OUT/site${PYTHONPATH:+:$PYTHONPATH}
fi
"$PYTHON" - "$DEVICE" >"$OUT/environment.txt" 2>&1 <<'PY' || { cat "$OUT/environment.txt" >&2; exit 2; }
import os, platform, sys
import torch
if sys.argv[1].startswith("cuda") and not torch.cuda.is_available():
    sys.exit("error: torch sees no CUDA device; DEVICE=cpu is a dry run")
import torchvision, pydantic, rich
print("python", platform.python_version(), "torch", torch.__version__, "torchvision", torchvision.__version__, "pydantic", pydantic.VERSION)
print("cores", os.cpu_count(), "threads", torch.get_num_threads())
if sys.argv[1].startswith("cuda"):
    print(torch.cuda.get_device_name(), "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())
PY
cat "$OUT/environment.txt"

# shellcheck disable=SC2086 -- several files are meant
part tests 120 "$PYTHON" -m pytest -m "not slow" $TESTS

part prox_adam 60 "$PYTHON" benchmarks/bench_prox_adam.py --device "$DEVICE" --backbone "$BACKBONE" --penalty l1_l2 group_l0 \
    --steps "$STEPS" --json

for options in "" "--compile" "--layout contiguous"; do
    # shellcheck disable=SC2086 -- several words are meant
    part train_step 75 "$PYTHON" benchmarks/bench_train_step.py --device "$DEVICE" --backbone "$BACKBONE" --size "$SIZE" \
        --batch "$BATCH" --steps "$STEPS" --precision bf16 --json $options
done

part compact 75 "$PYTHON" benchmarks/bench_compact.py --device "$DEVICE" --backbone "$BACKBONE" --size "$SIZE" --batch 1 "$BATCH" \
    --seconds $((STEPS / 4 + 1)) --json

# Dense and 70 %, for the time that is left: as many epochs as two runs can have.
if [ -z "$DATA" ]; then
    DATA=$OUT/rooms
    part trainings 30 "$PYTHON" prepare_data.py synthetic --dataset nyu --out "$DATA" --size $((SIZE + SIZE / 8)) --frames $((4 * BATCH))
fi
# train NAME SECONDS OVERRIDES...
train() {
    local name=$1 seconds=$2
    shift 2
    part trainings "$seconds" "$PYTHON" main_multi_trials.py --config_exp config/nyu_small.yaml --out_dir "$OUT/runs" "Experiment_name=$name" \
        "data_dir_NYU=$DATA" "device=$DEVICE" "backbone=$BACKBONE" "input_shape=$SIZE" "train_batch_size=$BATCH" \
        "checkpoint_folder=$OUT/runs" precision=bf16 sparsity_threshold=0.1 sparsity_until=0.5 "$@"
}
if train checks_first 90 group_sparsity=false epochs=2; then
    epochs=$("$PYTHON" - "$OUT/runs/checks_first_trial_0/metrics.jsonl" "$(left)" "$EPOCHS" <<'PY'
import json, sys
last = json.loads(open(sys.argv[1]).read().splitlines()[-1])
seconds = 0.4 * (float(sys.argv[2]) - 60)  # of one run; the rest is for start and test, what follows, and a slower hour
print(min(int(sys.argv[3]), max(2, int(seconds / (last["train_seconds"] + last["validation_seconds"])))))
PY
    )
    train checks_dense $(($(left) / 2)) group_sparsity=false "epochs=$epochs"
    train checks_sparse "$(left)" target_sparsity=0.7 "epochs=$epochs"
    part trainings "$(left)" "$PYTHON" compact_model.py --exp_folder_path "$OUT/runs/checks_sparse_trial_0"
fi
exit "$FAILED"
