#!/bin/bash
# Runs every example of the guide: writes its files, runs its commands, compares what they print.
# usage: tests/guide.sh BUILD [GUIDE]
#
#	```yaml NAME		a file; `NAME +` adds to the one of that name
#	```console		commands behind "$ ", and what each prints; a line "..." stands for any lines
set -u
build=$(cd "$1" && pwd) guide=$(realpath "${2:-contrib/doc/guide.md}")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export PATH=$build:$PATH NO_COLOR=1 TERM=dumb TZ=UTC LC_ALL=C.UTF-8
failed=0 blocks=0 ran=0

wrong() { echo "guide: line $1: $2"; failed=1; }

# Whether the printed lines are those that were promised: "..." for any.
matches() { # PRINTED PROMISED
	local head=${2%%$'...\n'*} tail=${2##*$'...\n'}
	[ "$1" = "$2" ] && return
	[ "$head" != "$2" ] && [[ $1 == "$head"* && $1 == *"$tail" ]] && [ ${#1} -ge $((${#head} + ${#tail})) ]
}

run() { # LINE COMMAND PROMISED
	local printed
	printed=$(bash -c "$2" 2>&1 </dev/null; printf x)
	printed=${printed%x} ran=$((ran + 1))
	matches "$printed" "$3" && return
	wrong "$1" "$ $2 prints"
	diff <(printf '%s' "$3") <(printf '%s' "$printed") | sed 's/^</    promised: /; s/^>/    printed:  /; /^[0-9-]/d'
}

console() { # LINE TEXT
	local at=$1 n=$1 line command='' promised=''
	while IFS= read -r line; do
		n=$((n + 1))
		if [[ $line == '$ '* ]]; then
			[ -z "$command" ] || run "$at" "$command" "$promised"
			command=${line#'$ '} promised='' at=$n
		elif [ -z "$command" ]; then
			wrong "$n" 'what is this, before any command?'
		elif [[ $command == *\\ && -z $promised ]]; then
			command+=$'\n'$line
		else
			promised+=$line$'\n'
		fi
	done <<<"${2%$'\n'}"
	run "$at" "$command" "$promised"
}

block() { # LINE KIND TEXT
	local language name more
	read -r language name more <<<"$2"
	blocks=$((blocks + 1))
	case $language/$more in
	yaml/) printf '%s' "$3" >"$name" ;;
	yaml/+) printf '%s' "$3" >>"$name" ;;
	console/) console "$1" "$3" ;;
	*) wrong "$1" "nobody runs a block \"$2\"" ;;
	esac
}

number=0 kind='' text='' begin=0
while IFS= read -r line; do
	number=$((number + 1))
	if [[ -z $kind && $line == '```'* ]]; then
		kind=${line#'```'} text='' begin=$number
		[ -n "$kind" ] || kind='?'
	elif [[ -n $kind && $line == '```' ]]; then
		block "$begin" "$kind" "$text"
		kind=''
	elif [ -n "$kind" ]; then
		text+=$line$'\n'
	fi
done <"$guide"
[ -z "$kind" ] || wrong "$begin" 'a block without an end'
[ $ran -gt 0 ] || wrong 1 'no command at all'
[ $failed -eq 0 ] && echo "guide: $blocks blocks, $ran commands, and each prints what it is said to print"
exit $failed
