#!/bin/bash
# Line coverage of policy/ and broker/ after a `make coverage` run. usage: tests/coverage.sh BUILD
set -euo pipefail
build=$1
# gcov prints two lines a source file: its name, then "Lines executed:97.30% of 185".
find "$build/policy" "$build/broker" -name '*.gcda' -print0 |
	xargs -0 -n 1 sh -c 'gcov -n -o "${0%.gcda}.o" "$0" 2>/dev/null' |
	awk -F"[':%]| of " '
		/^File/ { file = $2 }
		/^Lines executed/ && file ~ /^(policy|broker)\/.*\.c$/ {
			n = $NF; hit = $2 * n / 100
			if (n > lines[file]) { lines[file] = n }
			if (hit > hits[file]) { hits[file] = hit }
			file = ""
		}
		END {
			for (f in lines) {
				printf "%6.1f %% of %5d  %s\n", 100 * hits[f] / lines[f], lines[f], f | "sort -n"
				split(f, part, "/"); sum[part[1]] += lines[f]; got[part[1]] += hits[f]
			}
			close("sort -n")
			for (p in sum) printf "%s/: %.1f %% of %d lines\n", p, 100 * got[p] / sum[p], sum[p]
		}'
