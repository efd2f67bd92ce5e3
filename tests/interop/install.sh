#!/bin/bash
# Client libraries for the interop suite, by name from their languages' own registries, into a folder that is kept for the next
# time and is none of the repository's. What cannot be had is left out, and the suite says so.
# usage: tests/interop/install.sh CACHE        HALLPASS_INTEROP_FRESH=1: the newest of each, whatever is there
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=$1
mkdir -p "$cache"
cd "$cache" || exit 1
[ -z "${HALLPASS_INTEROP_FRESH:-}" ] || rm -rf python node node9 go java

# NAME SOURCE FUNCTION: done once, however often the suite runs, and again where our own source, "-" for none, is newer.
once() {
	local name=$1 source=$here/clients/$2
	shift 2
	[ -e "$name/.done" ] && ! [ "$source" -nt "$name/.done" ] && return
	echo "interop: installing the $name clients"
	rm -rf "$name"
	mkdir -p "$name"
	if (cd "$name" && "$@") >"$name.log" 2>&1; then
		touch "$name/.done"
	else
		echo "interop: no $name clients: $(grep -m 1 -iE 'error|cannot|not found' "$name.log" || tail -n 1 "$name.log")"
	fi
}

python_() {
	python3 -m venv . && bin/pip install -q --disable-pip-version-check google-auth requests google-cloud-storage google-cloud-bigquery pyarrow
}
node_() {
	npm init -y && npm install --no-audit --no-fund google-auth-library @google-cloud/storage
}
node9_() { # what many programs still hold
	npm init -y && npm install --no-audit --no-fund google-auth-library@9
}
go_() {
	cp "$here/clients/main.go" . && go mod init interop && go mod tidy && go build -o who .
}
java_() {
	cat >pom.xml <<-'POM'
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		<modelVersion>4.0.0</modelVersion><groupId>hallpass</groupId><artifactId>interop</artifactId><version>1</version>
		<dependencies><dependency><groupId>com.google.auth</groupId><artifactId>google-auth-library-oauth2-http</artifactId>
		<version>[1,2)</version></dependency></dependencies></project>
	POM
	mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib && javac -cp 'lib/*' -d . "$here/clients/Who.java"
}

command -v python3 >/dev/null && once python - python_
command -v npm >/dev/null && once node - node_ && once node9 - node9_
command -v go >/dev/null && once go main.go go_
command -v mvn >/dev/null && once java Who.java java_
exit 0
