#!/usr/bin/env bash
# Measurements on one GPU, in parts that run separately: each stops by itself in time and writes its results as it goes.
#
#   benchmarks/gpu.sh [--out DIR] [--work DIR] [--device cuda|cpu] [--tiny] [--total SECONDS] [--side FILE] PART[:SECONDS]...
#
#   a  correctness: the tests marked gpu, and replayed steps against eager ones
#   b  1,024 seeds of modular addition stacked to their verdicts, against one at a time on the card and on the CPU
#   c  the published m-height study, resumable; share of the card's TF32 rate
#   d  ResNet-18 at 96 pixels: steps per second, then the published regimes and control arms
#   e  the study hospitals_decay by several processes at once, resumable
#   g  the m-height network compiled: seconds of a step
#
# --side FILE runs its shell commands beside all parts on idle CPU threads; runs that they leave in $RUNS are packed too.
# A part that fails does not stop the next. DIR gets results.tar.gz (all JSON and logs), mheight.tar.gz,
# hospitals-*.tar.gz and side-*.tar.gz.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
here=$PWD
out=gpu-results work=gpu-work device=cuda tiny="" total=100000 side="" python=${PYTHON:-python3}
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --out | --work | --device | --total | --side)
      [ $# -ge 2 ] || { echo "gpu.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2
      ;;
    --tiny) tiny=--tiny; shift ;;
    [a-eg] | [a-eg]:[0-9]*) parts+=("$1"); shift ;;
    *) echo "gpu.sh: unknown $1 (parts are a b c d e g, each with :SECONDS if wanted)" >&2; exit 2 ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2; }
declare -A name=([a]=a_correct [b]=b_stacked [c]=c_mheight [d]=d_resnet [e]=e_hospitals [g]=g_compiled)
mkdir -p "$out" "$work/json"
export RUNS=$work/side # for the commands of --side
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export PYTHONPATH=$here/src${PYTHONPATH:+:$PYTHONPATH}

keep() { # everything small, in one file that is never half written
  tar czf "$work/results.tar.gz" -C "$work" json && cp "$work/results.tar.gz" "$out/results.new" && mv "$out/results.new" "$out/results.tar.gz"
}
part() { # script, seconds, further options; replaces the shell that runs it, so that a signal reaches it
  local script=$1 seconds=$2
  shift 2
  BEGAN=$EPOCHREALTIME exec timeout --signal=TERM --kill-after=10 "$((seconds + 3))" \
    "$python" "benchmarks/gpu/$script.py" --out "$work/json" --work "$work" --device "$device" --seconds "$seconds" \
    $tiny "$@"
}

others=()
if [ -n "$side" ]; then
  (part f_side "$total" --commands "$side" >"$work/json/f_side.log" 2>&1) &
  others+=($!)
fi
for p in "${parts[@]}"; do # data that a later part needs is drawn while an earlier one runs
  case ${p%%:*} in c | d)
    nice "$python" benchmarks/gpu/prepare.py --part "${p%%:*}" --work "$work" $tiny >"$work/json/prepare_${p%%:*}.log" 2>&1 &
    others+=($!)
    ;;
  esac
done

for p in "${parts[@]}"; do
  letter=${p%%:*} limit=280
  [ "$letter" = "$p" ] || limit=${p#*:}
  left=$((total - SECONDS - 10))
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -lt 12 ]; then
    echo "== $letter: left out, $left s are too few"
    continue
  fi
  echo "== $letter: ${name[$letter]}, up to $limit s (${SECONDS} s gone)"
  (part "${name[$letter]}" "$limit") 2>&1 | tee "$work/json/${name[$letter]}.log"
  echo "== $letter: exit code ${PIPESTATUS[0]}"
  case $letter in
    c) tar czf "$out/mheight.tar.gz" -C "$work" mheight ;;
    e) "$python" benchmarks/gpu/pack.py "$work/hospitals" "$out/hospitals" --files 2 --mib 14 ;;
  esac
  keep
done
for job in "${others[@]}"; do
  kill -TERM "$job" 2>/dev/null
done
wait
[ ! -d "$work/side" ] || "$python" benchmarks/gpu/pack.py "$work/side" "$out/side" --files 1 --mib 14
keep
echo "== done after $SECONDS s"
