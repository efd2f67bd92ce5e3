#!/bin/bash
# Runs fuzz targets two at a time. usage: tests/fuzz/run.sh BUILD SECONDS TARGET...
set -u
build=$1 seconds=$2
shift 2
export build seconds
mkdir -p "$build/fuzz"

one() {
	local corpus="tests/fuzz/corpus/$1" found="$build/fuzz/$1" log="$build/fuzz/$1.log"
	mkdir -p "$found"
	local dict="tests/fuzz/$1.dict"
	[ -d "$corpus" ] || corpus=
	[ -e "$dict" ] && dict="-dict=$dict" || dict=
	if "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
		-artifact_prefix="$build/fuzz/$1-" -print_final_stats=1 $dict "$found" $corpus >"$log" 2>&1; then
		echo "ok     fuzz_$1 ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s)"
	else
		echo "FAILED fuzz_$1"
		tail -n 40 "$log" | sed 's/^/    /'
		touch "$build/fuzz/failed"
	fi
}
export -f one

rm -f "$build/fuzz/failed" "$build/summary"
[ $# -eq 0 ] || printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'one {}'
[ ! -e "$build/fuzz/failed" ] || exit 1
echo "fuzz: $# targets ran for $seconds s each, nothing found" | tee "$build/summary"
