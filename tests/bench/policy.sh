#!/bin/bash
# The policy engine by itself: conditions, compiling, decisions, horizons, and the instructions of a decision.
# usage: tests/bench/policy.sh BUILD [ROUNDS [JSON]]; rows as bench.sh prints them.
set -euo pipefail
build=$1 rounds=${2:-5} json=${3:-} goal=2000
"$build/tests/bench/policybench" "$rounds" ${json:+"$json"}

# They do not depend on what else the machine does. The request and the conditions are those of bench.sh.
command -v valgrind >/dev/null || { echo 'instructions per decision: not counted, valgrind is missing'; exit 0; }
n=1000
count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=policy_decide \
	"$build/tests/bench/policybench" -n $n decide 2>&1 | awk -v n=$n '/Collected/ { printf "%.0f", $NF / n }')
[ "${count:-0}" -gt 0 ] || { echo 'bench: callgrind has counted nothing' >&2; exit 1; }
ratio=$(awk -v a="$count" -v b=$goal 'BEGIN { printf "%.2f", a / b }')
word=$(awk -v r="$ratio" 'BEGIN { print r <= 1 ? "met" : "NOT MET" }')
what='a decision, three conditions, horizon: instructions'
printf '%-56s %10s %10s  %6s (%s-%s)  <= 1  %s\n' "$what" "$count" $goal "$ratio" "$ratio" "$ratio" "$word"
[ -z "$json" ] || printf '{"what":"%s","ours":%s,"yardstick":%s,"ratio":%s,"min":%s,"max":%s,"goal":"<= 1","verdict":"%s"}\n' \
	"$what" "$count" $goal "$ratio" "$ratio" "$ratio" "$word" >>"$json"
