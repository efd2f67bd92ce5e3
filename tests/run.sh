#!/bin/bash
# Runs test programs, two at a time, each with a time limit; prints a line each and the output of those that fail.
# usage: tests/run.sh LOGDIR PROGRAM...      HALLPASS_TEST_WRAP: a command to run each under (valgrind, eatmydata)
set -u
logs=$1
shift
mkdir -p "$logs"
export logs

one() {
	local name=${1##*/tests/} began=$SECONDS status
	name=${name//\//.} # two programs may have one name: broker.test_config, scenario.test_config
	local log="$logs/$name.log"
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 "${HALLPASS_TEST_SECONDS:-600}" ${HALLPASS_TEST_WRAP:-} "$1" >"$log" 2>&1 </dev/null
	status=$?
	local passed failed skipped
	# cmocka says "not ok" of a skipped test.
	passed=$(grep -av '# SKIP' "$log" | grep -ac '^ok ')
	failed=$(grep -av '# SKIP' "$log" | grep -ac '^not ok ')
	skipped=$(grep -acE '^(not )?ok .*# SKIP' "$log")
	# A program that dies without saying so has failed, and so has one that ran nothing.
	[ $status -ne 0 ] && [ "$failed" -eq 0 ] && failed=1
	[ $((passed + failed + skipped)) -eq 0 ] && failed=1
	echo "$passed $failed $skipped" >"$logs/$name.count"
	if [ "$failed" -gt 0 ]; then
		echo "FAILED $name (exit $status, $failed of $((passed + failed)) tests, $((SECONDS - began)) s)"
		tail -n "${HALLPASS_TEST_TAIL:-60}" "$log" | sed 's/^/    /'
	else
		echo "ok     $name ($passed tests, $skipped skipped, $((SECONDS - began)) s)"
	fi
	grep -ai '^skipped: ' "$log" | sed 's/^/       /'
	return 0
}
export -f one

rm -f "$logs"/*.count
printf '%s\n' "$@" | xargs -P "${HALLPASS_TEST_JOBS:-2}" -I{} bash -c 'one {}'
cat "$logs"/*.count 2>/dev/null | awk '{ p += $1; f += $2; s += $3 } END { printf "%s: %d passed, %d failed, %d skipped\n", ENVIRON["HALLPASS_TEST_NAME"] ? ENVIRON["HALLPASS_TEST_NAME"] : "tests", p, f, s; exit f > 0 || p == 0 }'
