#!/bin/sh
# A fifth of the time for atheris, reader by reader, where its wheel exists; the rest for whole command lines.
#   usage: fuzz.sh PYTHON MINUTES SEED
set -eu
python=$1 minutes=$2 seed=$3
log=$(mktemp)
trap 'rm -f "$log"' EXIT
readers="pickles arrays partitions settings json pictures signatures"
if "$python" -c 'import atheris' 2>/dev/null || "$python" -m pip install -q --disable-pip-version-check atheris; then
    for reader in $readers; do
        seconds=$("$python" -c "print(max(int($minutes * 12 / 7), 1))")
        echo "$reader: $seconds seconds under atheris, seed $seed"
        "$python" tests/fuzzing/coverage_guided.py "$reader" "$seconds" "$seed" >"$log" 2>&1 || {
            cat "$log"
            exit 1
        }
        tail -1 "$log"
    done
else
    echo "atheris has no wheel for this Python: nothing was guided by coverage."
fi
"$python" tests/fuzzing/run.py --minutes "$("$python" -c "print($minutes * 0.8)")" --seed "$seed"
