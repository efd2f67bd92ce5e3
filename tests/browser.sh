#!/bin/bash
# What a web page can do, tried by a real Chromium. Where none is installed Debian's is unpacked, with what it needs, beside other caches;
# nothing is installed. usage: tests/browser.sh BUILD     HALLPASS_BROWSER_CACHE: where to
set -eu
build=$1
cache=${HALLPASS_BROWSER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hallpass-chromium}
browser=chromium-headless-shell
for name in $browser chromium chromium-browser google-chrome; do
	command -v "$name" >/dev/null && cache='' && break
done

# All that apt would install, unpacked into a root of its own; the libraries are found by their path.
fetch() {
	local packages
	packages=$(apt-get install -s --no-install-recommends $browser 2>/dev/null | awk '/^Inst/ { print $2 }')
	[ -n "$packages" ] || { echo "browser: apt has no $browser here; install a Chromium" >&2; exit 69; }
	rm -rf "$cache.new" && mkdir -p "$cache.new/bin"
	echo "browser: fetching $browser and $(($(wc -w <<<"$packages") - 1)) packages that it needs, 100 MB, into $cache"
	(cd "$cache.new" && apt-get download -qq $packages 2>/dev/null && for p in *.deb; do dpkg-deb -x "$p" root; done && rm -f -- *.deb)
	cat >"$cache.new/bin/$browser" <<-EOF
	#!/bin/sh
	lib=$cache/root/usr/lib
	LD_LIBRARY_PATH=\$lib/$(gcc -print-multiarch):\$lib/$(gcc -print-multiarch)/pulseaudio exec \$lib/chromium/$browser "\$@"
	EOF
	chmod +x "$cache.new/bin/$browser"
	rm -rf "$cache" && mv "$cache.new" "$cache"
}

if [ -n "$cache" ]; then
	[ -x "$cache/bin/$browser" ] || fetch
	PATH=$cache/bin:$PATH
fi
HALLPASS_BUILD=$build HALLPASS_TEST_NAME=browser tests/run.sh "$build/logs" "$build/tests/scenario/test_browser"
HALLPASS_BUILD=$build tests/mutants.sh 'P4-(pages|rebound)'
