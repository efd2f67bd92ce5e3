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
# And so are its commands: each row stands in `hallpass help`.
while IFS='|' read -r _ command sentence _; do
	name=$(sed -E 's/.*`hallpass ([a-z-]+( [a-z]+)?).*/\1/' <<<"$command")
	"$build/hallpass" help | grep -qF -- "$(printf '  %-19s %s' "$name" "$(sed 's/^ *//; s/ *$//' <<<"$sentence")")" ||
		missing "README.md and \`hallpass help\` differ on the command $name"
done < <(grep -E '^\| `hallpass [a-z]' README.md)
while IFS= read -r name; do
	grep -qE "^\| \`hallpass $name[ \`]" README.md || missing "README.md does not tell of the command $name"
done < <("$build/hallpass" help | sed -nE 's/^  ([a-z-]+( [a-z]+)?) .*/\1/p')
# And what programs are given.
for name in $(sed -n '/} variables\[\]/,/^};/p' broker/cli/environment.c | sed -nE 's/^\s*(\{ |[A-Z]+\()"([A-Z_]+)".*/\2/p'); do
	grep -qE "^\|.*\`$name\`" README.md || missing "README.md does not tell of the variable $name"
done
# The policy's reference has every key of the tables, and every attribute of a condition.
for key in $(sed -n '/struct field [a-z_]*\[\]/,/^};/p' policy/*.c | grep -oE '\{ *"[A-Za-z]+"' | tr -d '{ "') \
	$(grep -oE '\] = \{ "[a-z_.]+"' policy/condition.c | sed 's/.*"\(.*\)"/\1/'); do
	grep -qF -- "\`$key\`" contrib/doc/policy.md || missing "contrib/doc/policy.md lacks \`$key\`"
done
# And each finding of lint, as the program tells it; the schema for editors is what the program prints.
while IFS= read -r line; do
	grep -qxF -- "$line" contrib/doc/policy.md || missing "contrib/doc/policy.md lacks the line: $line"
done < <("$build/hallpass" policy lints | awk '/^[^ ]/ { id = $0 } /^  [^=]/ { what = substr($0, 3) } /^  = / { print "| `" id "` | " what " | " substr($0, 5) " |" }')
"$build/hallpass" policy schema | cmp -s - contrib/policy.schema.json ||
	missing "contrib/policy.schema.json is not what \`hallpass policy schema\` prints"
# Every example of the guide does what it is said to do.
tests/guide.sh "$build" || failed=1
# Every promise has a paragraph in README and a test by its name.
for p in P1 P2 P3 P4 P5 P6 P7; do
	grep -q "\*\*$p" README.md || missing "README.md does not tell of promise $p"
	grep -rqiE "test_${p}_" tests/scenario tests/broker tests/policy || missing "no test is named after promise $p"
done
# The links that are installed are the names that hallpass goes by.
links=$(sed -n 's/^LINKS = //p' Makefile | tr ' ' '\n' | sort)
[ "$links" = "$("$build/hallpass" help --json | grep -oE '"link": ?"[^"]*"' | sed 's/.*"\(.*\)"/\1/' | sort)" ] ||
	missing "the Makefile's LINKS are not the names in \`hallpass help --json\`"
# Manual pages are well-formed.
if command -v mandoc >/dev/null; then
	for page in "$build"/share/*.[158]; do
		mandoc -Tlint -W warning "$page" || missing "$page is ill-formed"
	done
else
	echo 'check-docs: skipped: the manual pages are not looked at, since mandoc is not here'
fi
# Completion is a program of each shell's.
for shell in bash zsh fish; do
	if command -v "$shell" >/dev/null; then
		"$shell" -n "$build/share/completion.$shell" || missing "the completion for $shell is ill-formed"
	else
		echo "check-docs: skipped: completion for $shell is not looked at, since $shell is not here"
	fi
done
# The units say nothing that systemd does not know.
if command -v systemd-analyze >/dev/null; then
	bad=$(sed "s|=[^ ]*/bin/hallpassd*|=/bin/true|" "$build/share/system.service" >"$build/share/verify.service" &&
		systemd-analyze verify "$build/share/verify.service" 2>&1 | grep -E 'verify.service:[0-9]+:')
	[ -z "$bad" ] || missing "$bad"
else
	echo 'check-docs: skipped: the units are not looked at, since systemd-analyze is not here'
fi
[ $failed -eq 0 ] && echo 'check-docs: the documents tell what the tables tell'
exit $failed
