#!/bin/bash
# What the documents say is what the tables say. usage: tests/docs.sh BUILD
set -u
build=$1
failed=0
missing() { echo "check-docs: $1"; failed=1; }

# README's reference is the table itself.
while IFS= read -r line; do
	grep -qxF -- "$line" README.md || missing "README.md lacks the line: $line (hallpassd --help-config=markdown prints them)"
done < <("$build/hallpassd" --help-config=markdown)
# Every promise has a paragraph in README and a test by its name.
for p in P1 P2 P3 P4 P5 P6 P7; do
	grep -q "\*\*$p" README.md || missing "README.md does not tell of promise $p"
	grep -rqiE "test_${p}_" tests/scenario tests/broker tests/policy || missing "no test is named after promise $p"
done
[ $failed -eq 0 ] && echo 'check-docs: README tells what the tables tell'
exit $failed
