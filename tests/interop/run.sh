#!/bin/bash
# Runs the interop suite in a network of its own that has only loopback. usage: tests/interop/run.sh BUILD [--only CLIENTS …]
# HALLPASS_INTEROP_CACHE: where client libraries are kept. HALLPASS_INTEROP_OFFLINE=1: only what is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
cache=${HALLPASS_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hallpass-interop}
command -v python3 >/dev/null || { echo 'skipped: interop: there is no python3'; exit 0; }
[ -n "${HALLPASS_INTEROP_OFFLINE:-}" ] || "$here/install.sh" "$cache"
unshare=(unshare --net --mount)
[ "$(id -u)" -eq 0 ] || unshare+=(--map-root-user)
"${unshare[@]}" true 2>/dev/null || { echo 'skipped: interop: no network namespace can be made here, and without one a client could slip past unseen'; exit 0; }
exec "${unshare[@]}" python3 -B "$here/interop.py" --build "$build" --cache "$cache" "$@"
