#!/bin/bash
# One user's helper against Google itself, with Application Default Credentials. usage: contrib/run.sh BUILD
set -euo pipefail
build=$(cd "${1:-build}" && pwd)
conf=${XDG_CONFIG_HOME:-$HOME/.config}/hallpass
adc=${GOOGLE_APPLICATION_CREDENTIALS:-${CLOUDSDK_CONFIG:-$HOME/.config/gcloud}/application_default_credentials.json}

# The same order as hallpassd's: a file, or the metadata server where there is one.
if [ ! -r "$adc" ] && [ -z "${GCE_METADATA_HOST:-}" ] && ! getent hosts metadata.google.internal >/dev/null; then
	cat >&2 <<EOF
hallpass: no Application Default Credentials at $adc.
  Get some:   gcloud auth application-default login
  Then:       make run
EOF
	exit 78
fi
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
	XDG_RUNTIME_DIR=/tmp/hallpass-runtime-$(id -u)
	mkdir -p -m 700 "$XDG_RUNTIME_DIR"
	[ -O "$XDG_RUNTIME_DIR" ] || { echo "hallpass: $XDG_RUNTIME_DIR belongs to somebody else; set XDG_RUNTIME_DIR" >&2; exit 78; }
	export XDG_RUNTIME_DIR
fi
mkdir -p "$conf"
if [ ! -e "$conf/policy.yaml" ]; then
	sed "s/user:me@example.com/user:$(id -un)@localhost/" "$(dirname "$0")/policies/workstation.yaml" >"$conf/policy.yaml"
	echo "hallpass: wrote $conf/policy.yaml; name your service accounts there, then run make run again." >&2
	exit 0
fi
socket=$XDG_RUNTIME_DIR/hallpass/hallpass.sock
[ "$(id -u)" -ne 0 ] || socket=/run/hallpass/hallpass.sock
echo "hallpass: serving $socket under $conf/policy.yaml (Ctrl-C ends it)."
echo "hallpass: in another terminal:  $build/hallpass --socket $socket list"
exec "$build/hallpassd"
