#!/bin/bash
# The main job, shown in under 30 lines against the bundled stand-in for Google. usage: contrib/demo.sh BUILD
set -euo pipefail
build=$(cd "${1:-build}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/hallpass-demo.XXXXXX")
pids=()
finish() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' cyan=$'\e[36m' off=$'\e[0m'; else bold='' dim='' cyan='' off=''; fi
say() { printf '%s\n' "${bold}$*${off}"; }
# Shows a command and what it says; its exit code must be the first argument, or the demo has failed.
show() {
	local want=$1 code=0
	shift
	printf '%s\n' "${cyan}\$ hallpass $*${off}"
	HALLPASS_SOCKET="$dir/hallpass.sock" "$build/hallpass" "$@" 2>&1 || code=$?
	[ "$code" -eq "$want" ] || { echo "demo: that exited with $code, not $want"; cat "$dir/hallpassd.log"; exit 1; } >&2
}

# Google's place is taken by a test tool on loopback; everything else is the real thing.
"$build/google-standin" --port 0 --dir "$dir/google" >"$dir/google.out" 2>&1 &
pids+=($!)
for _ in $(seq 200); do [ -s "$dir/google/url" ] && [ -s "$dir/google/broker-key.json" ] && break; sleep 0.05; done
url=$(cat "$dir/google/url")

# Not every uid has a name, in a container, say.
me=$(id -un 2>/dev/null) || me=uid-$(id -u)
# A window that closes in ten minutes, so that there is something to cap.
closes=$(date -u -d '+10 minutes' +%Y-%m-%dT%H:%M:%SZ)
cat >"$dir/policy.yaml" <<EOF
version: 1
groups:
  ml-engineers: ["user:$me@example.com"]
bindings:
  - name: train-dev
    title: Submit training jobs in dev
    members: [group:ml-engineers]
    serviceAccounts: [ml-training-dev-sa@acme-ml.iam.gserviceaccount.com]
    maxLifetime: 30m
  - name: label-dev
    title: Label data until the shift ends
    members: [group:ml-engineers]
    serviceAccounts: [ml-labeling-dev-sa@acme-ml.iam.gserviceaccount.com]
    condition: {title: This shift, expression: 'request.time < timestamp("$closes")'}
  - name: train-prod
    title: Train in production
    members: [group:ml-engineers]
    serviceAccounts: [ml-training-prod-sa@acme-ml.iam.gserviceaccount.com]
    condition: {title: Change window, expression: 'request.time >= timestamp("2030-01-01T00:00:00Z")'}
EOF
cat >"$dir/hallpassd.yaml" <<EOF
listeners: [{unix: hallpass.sock}]
peers: [{uid: $(id -u), principal: "user:$me@example.com"}]
credential: {file: google/broker-key.json}
policy: policy.yaml
audit: {directory: audit, segmentSize: 1MiB, lowWater: 1MiB}
endpoints: {iamCredentials: "$url"}
EOF
"$build/hallpassd" --config "$dir/hallpassd.yaml" 2>"$dir/hallpassd.log" &
pids+=($!)
for _ in $(seq 200); do [ -S "$dir/hallpass.sock" ] && break; sleep 0.05; done
[ -S "$dir/hallpass.sock" ] || { cat "$dir/hallpassd.log" >&2; exit 1; }

say "hallpass demo ${off}${dim}(Google is played by a stand-in on loopback; the broker is the real one)${off}"
say "1. A token, for half an hour:"
show 0 token ml-training-dev-sa@acme-ml.iam.gserviceaccount.com -v --lifetime 30m
say "2. One that its condition caps: the window closes at $(date -d "$closes" +%H:%M)"
show 0 token ml-labeling-dev-sa@acme-ml.iam.gserviceaccount.com -v --lifetime 1h
say "3. One that is denied, and why:"
show 77 token ml-training-prod-sa@acme-ml.iam.gserviceaccount.com
say "4. The record of these three, durable before any token left ${off}${dim}(without --result: each intent, too, written before Google is asked)${off}"
show 0 log --dir "$dir/audit" --result issued,denied
say "Go on with your own account: ${off}${cyan}gcloud auth application-default login && make run${off}"
