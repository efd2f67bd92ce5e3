#!/bin/sh
# Installs what building (and, with "check", testing) needs, on Debian and its like; elsewhere says what to install.
# usage: contrib/deps.sh build|check|bench
set -eu

build="gcc g++ make pkg-config libc6-dev libevent-dev libcurl4-openssl-dev libssl-dev libjansson-dev libyaml-dev libre2-dev tzdata ca-certificates"
check="libcmocka-dev clang libclang-rt-14-dev llvm valgrind strace eatmydata e2fsprogs procps openssl curl"
bench="nginx-light curl"

case "${1:-build}" in
build) want="$build" ;;
check) want="$build $check" ;;
bench) want="$build $bench" ;;
*) echo "usage: $0 build|check|bench" >&2; exit 64 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	cat >&2 <<EOF
hallpass: this is no Debian, so nothing is installed for you. What the build needs:
  a C17 and a C++17 compiler, GNU make, pkg-config, and the headers of
  libevent (2.1.12), libcurl (7.88), OpenSSL (3.0), jansson (2.14), libyaml (0.2.5), RE2, with their libraries;
  tests also: cmocka, clang with compiler-rt, llvm, valgrind, strace, eatmydata, e2fsprogs, curl.
Debian's names: $want
Set HALLPASS_NO_DEPS=1 once they are there.
EOF
	[ -n "${HALLPASS_NO_DEPS:-}" ] && exit 0
	exit 69
fi

# llhttp's C sources are an opinion that a test compares ours with; its package would bring all of Node.js, so it is only unpacked.
fetch_llhttp() {
	[ -e /usr/share/llhttp/llhttp.c ] || [ -e build-llhttp/usr/share/llhttp/llhttp.c ] && return 0
	mkdir -p build-llhttp
	if (cd build-llhttp && { apt-get download -qq node-llhttp || { $sudo apt-get update -qq && apt-get download -qq node-llhttp; }; } &&
		dpkg-deb -x node-llhttp_*.deb .) >/dev/null 2>&1; then
		echo "hallpass: unpacked the sources of llhttp (node-llhttp) into build-llhttp"
	else
		echo "hallpass: no node-llhttp to be had; its test will be skipped" >&2
	fi
}

missing=
for p in $want; do
	case "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" in
	installed) ;;
	*) missing="$missing $p" ;;
	esac
done
sudo=
[ "$(id -u)" -eq 0 ] || ! command -v sudo >/dev/null 2>&1 || sudo=sudo
[ "${1:-build}" != check ] || [ -n "${HALLPASS_NO_DEPS:-}" ] || fetch_llhttp
[ -z "$missing" ] && exit 0
[ -n "${HALLPASS_NO_DEPS:-}" ] && { echo "hallpass: not installed, because HALLPASS_NO_DEPS is set:$missing" >&2; exit 0; }

if [ "$(id -u)" -ne 0 ] && [ -z "$sudo" ]; then
	echo "hallpass: as root, run: apt-get install -y$missing" >&2
	exit 69
fi
echo "hallpass: installing$missing"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
