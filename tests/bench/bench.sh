#!/bin/bash
# Side by side with the yardsticks, in turns; prints medians and ratios. usage: tests/bench/bench.sh BUILD [ROUNDS [JSON]]
# Servers run on one core, the load and the stand-in on the other, at real-time priority where that is allowed, so that
# what else the machine does counts less, and kept from halting where root may say so (as cyclictest does it): in a virtual
# machine a core that sleeps is woken by its hypervisor, which takes longer than all that is measured here.
# HALLPASS_BENCH_HALT=1 lets them. CPU is the server's own, from /proc/PID/task/*/schedstat. JSON: a file for the rows.
set -euo pipefail
shopt -s inherit_errexit # a load that fails within $(…), too
build=$(cd "$1" && pwd)
rounds=${2:-5}
json=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/hallpass-bench.XXXXXX")
pids=()
finish() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
need() { command -v "$1" >/dev/null || { echo "bench: $1 is missing: install it (contrib/deps.sh bench)" >&2; exit 69; }; }
need nginx
need curl
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
chrt -r 5 true 2>/dev/null && real="chrt -r 5" || real=
server="$real taskset -c 0" client="$real taskset -c 1"
awake=
[ -z "${HALLPASS_BENCH_HALT:-}" ] && [ -w /dev/cpu_dma_latency ] && exec 9>/dev/cpu_dma_latency && printf '\0\0\0\0' >&9 && awake=", cores kept awake"
[ "$(nproc)" -ge 2 ] || server=$real client=$real

# --- the world: stand-in, broker, nginx

$client "$build/google-standin" --port 0 --token-bytes 1024 --dir "$dir/google" >"$dir/google.out" 2>&1 &
pids+=($!)
for _ in $(seq 200); do [ -s "$dir/google/url" ] && break; sleep 0.05; done
url=$(cat "$dir/google/url")
sa=ml-training-dev-sa@acme-ml.iam.gserviceaccount.com

policy_text() { # N bindings, three conditions: what a middling organisation has
	cat <<EOF
version: 1
defaults: {maxLifetime: 1h}
bindings:
  - {name: misses, members: ["user:bench@example.com"], serviceAccounts: ["bench-*@acme-ml.iam.gserviceaccount.com"]}
  - name: bench
    members: ["user:bench@example.com"]
    serviceAccounts: [$sa]
    condition:
      title: Three conditions
      expression: request.time < timestamp("2099-01-01T00:00:00Z") && resource.name.startsWith("projects/-/serviceAccounts/ml-") && request.surface == "native"
EOF
	for i in $(seq 1 999); do
		printf '  - {name: b%d, members: ["user:u%d@example.com"], serviceAccounts: [sa-%d@acme-ml.iam.gserviceaccount.com]}\n' "$i" "$i" "$i"
	done
}
policy_text >"$dir/policy.yaml"
cat >"$dir/hallpassd.yaml" <<EOF
listeners: [{unix: hp.sock}]
peers: [{uid: $(id -u), principal: "user:bench@example.com"}]
credential: {file: google/broker-key.json}
policy: policy.yaml
audit: {directory: audit, lowWater: 1MiB}
limits: {requestsPerMinute: 100000000, burst: 100000000, maxConnections: 12000, maxConnectionsPerUid: 12000}
endpoints: {iamCredentials: "$url"}
log: {level: warning}
EOF
start_broker() {
	$server "$build/hallpassd" --config "$dir/hallpassd.yaml" 2>>"$dir/hallpassd.log" &
	broker=$!
	pids+=("$broker")
	for _ in $(seq 400); do [ -S "$dir/hp.sock" ] && return; sleep 0.02; done
	cat "$dir/hallpassd.log" >&2
	exit 1
}
start_broker
body="{\"serviceAccount\":\"$sa\"}"
size=$(curl -sf --unix-socket "$dir/hp.sock" -H 'Content-Type: application/json' -d "$body" http://localhost/v1/token | wc -c) || true
[ "$size" -gt 1024 ] || { echo "bench: no token from the broker" >&2; tail "$dir/hallpassd.log" >&2; exit 1; }
cat >"$dir/nginx.conf" <<EOF
daemon off; master_process off; worker_processes 1; pid $dir/nginx.pid; error_log $dir/nginx.err crit;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  server { listen unix:$dir/nginx.sock; default_type application/json;
    location /healthz { return 200 "ok\n"; }
    location / { return 200 '$(head -c "$size" /dev/zero | tr '\0' x)'; } } }
EOF
$server nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
nginx=$!
pids+=("$nginx")
for _ in $(seq 200); do [ -S "$dir/nginx.sock" ] && break; sleep 0.02; done

# --- measuring

cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ s += $1 } END { printf "%.0f\n", s }'; }
field() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
# median of the numbers on standard input, with min and max
median() { sort -g | awk '{ v[NR] = $1 } END { printf "%.3f %.3f %.3f", (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2, v[1], v[NR] }'; }
# one PID SOCKET CONNECTIONS REQUESTS METHOD PATH [BODY] -> "cpu_us rps p50 p99"
one() {
	local pid=$1 socket=$2 n=$4 before after out
	shift 2
	before=$(cpu_ns "$pid")
	out=$($client "$build/tests/bench/load" "unix:$socket" "$@")
	after=$(cpu_ns "$pid")
	echo "$(awk -v a="$after" -v b="$before" -v n="$n" 'BEGIN { printf "%.3f", (a - b) / n / 1000 }') $(field rps <<<"$out") $(field p50 <<<"$out") $(field p99 <<<"$out")"
}
row() { # NAME OURS YARDSTICK RATIO("m min max") GOAL-OP GOAL
	local m=${4%% *} rest=${4#* } word
	word=$(awk -v m="$m" -v g="$6" -v op="$5" 'BEGIN { ok = op == "<=" ? m <= g : m >= g; print ok ? "met" : "NOT MET" }')
	printf '%-56s %10s %10s  %6.2f (%s)  %s %s  %s\n' "$1" "$2" "$3" "$m" "$(awk '{ printf "%.2f-%.2f", $1, $2 }' <<<"$rest")" "$5" "$6" "$word"
	[ -z "$json" ] || printf '{"what":"%s","ours":%s,"yardstick":%s,"ratio":%s,"min":%s,"max":%s,"goal":"%s %s","verdict":"%s"}\n' \
		"$1" "$2" "$3" "$m" "${rest% *}" "${rest#* }" "$5" "$6" "$word" >>"$json"
}
ratio() { paste "$1" "$2" | awk '{ print $1 / $2 }' | median; }
med() { median <"$1" | cut -d' ' -f1; }

compare() { # KEY CONNECTIONS REQUESTS; ours: METHOD PATH BODY; theirs: path
	local key=$1 conns=$2 n=$3 method=$4 path=$5 data=$6 theirs=$7 r
	for r in $(seq "$rounds"); do
		read -r c s p q < <(one "$broker" "$dir/hp.sock" "$conns" "$n" "$method" "$path" ${data:+"$data"})
		echo "$c" >>"$dir/$key.cpu"; echo "$s" >>"$dir/$key.rps"; echo "$p" >>"$dir/$key.p50"; echo "$q" >>"$dir/$key.p99"
		read -r c s p q < <(one "$nginx" "$dir/nginx.sock" "$conns" "$n" "$method" "$theirs" ${data:+"$data"})
		echo "$c" >>"$dir/$key.ncpu"; echo "$s" >>"$dir/$key.nrps"
	done
}

[ -z "$json" ] || : >"$json"
printf 'hallpass bench: %s, %s cores, %s, %s, load %s%s\n' "$(uname -sr)" "$(nproc)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" \
	"$(df --output=fstype "$dir" | tail -1)" "$(cut -d' ' -f1 /proc/loadavg)" "${real:+, real-time priority}$awake"
printf '%-56s %10s %10s  %s\n' what ours yardstick 'ratio (min-max)  goal'

compare health 32 100000 GET /healthz '' /healthz
row 'liveness, 32 connections: CPU us/request vs nginx' "$(med "$dir/health.cpu")" "$(med "$dir/health.ncpu")" "$(ratio "$dir/health.cpu" "$dir/health.ncpu")" '<=' 0.75
compare c256 256 100000 POST /v1/token "$body" /
row 'cached, durable, 256 connections: CPU vs nginx' "$(med "$dir/c256.cpu")" "$(med "$dir/c256.ncpu")" "$(ratio "$dir/c256.cpu" "$dir/c256.ncpu")" '<=' 1.0
row '  the same: requests/s vs nginx' "$(med "$dir/c256.rps")" "$(med "$dir/c256.nrps")" "$(ratio "$dir/c256.rps" "$dir/c256.nrps")" '>=' 0.75
compare c32 32 50000 POST /v1/token "$body" /
row 'cached, durable, 32 connections: CPU vs nginx' "$(med "$dir/c32.cpu")" "$(med "$dir/c32.ncpu")" "$(ratio "$dir/c32.cpu" "$dir/c32.ncpu")" '<=' 2.0

for r in $(seq "$rounds"); do
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 1 5000 POST /v1/token "$body"); echo "$s" >>"$dir/one.rps"
	$server "$build/tests/bench/rawsync" "$dir/raw" 5000 | field rps >>"$dir/raw.rps"
done
row 'one client, durable: requests/s vs write+fdatasync' "$(med "$dir/one.rps")" "$(med "$dir/raw.rps")" "$(ratio "$dir/one.rps" "$dir/raw.rps")" '>=' 0.85

# --- what is not in the cache: the upstream takes 50 ms, as Google does on a good day

script() { curl -sf -d "$1" "$url/standin/script" >/dev/null; }
reset() { curl -sf -d '{}' "$url/standin/reset" >/dev/null; }
calls() { curl -sf "$url/standin/counters" | sed -n 's/.*"generateAccessToken": \([0-9]*\).*/\1/p' | head -1; }
miss='{"serviceAccount":"bench-######@acme-ml.iam.gserviceaccount.com"}'
one "$broker" "$dir/hp.sock" 8 500 POST /v1/token "$body" 1 "$miss" >/dev/null
for r in $(seq "$rounds"); do
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 64 2000 POST /v1/token "$body" 1 "$miss"); echo "$c" >>"$dir/mint.cpu"
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 1 1000 POST /v1/token "$body" 1 "$miss"); echo "$c" >>"$dir/mint1.cpu"
done
row 'uncached mints, 64 at once, plain HTTP: CPU us' "$(med "$dir/mint.cpu")" 150 "$(awk '{ print $1 / 150 }' "$dir/mint.cpu" | median)" '<=' 1.0
row '  the same, one at a time, which shares no flush' "$(med "$dir/mint1.cpu")" 150 "$(awk '{ print $1 / 150 }' "$dir/mint1.cpu" | median)" '<=' 1.0
reset
script '{"endpoint":"generateAccessToken","latency_ms":50}'
for r in $(seq "$rounds"); do
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 64 1280 POST /v1/token "$body" 1 "$miss"); echo "$s" >>"$dir/distinct.rps"
	before=$(calls)
	out=$($client "$build/tests/bench/load" "unix:$dir/hp.sock" 256 256 POST /v1/token "{\"serviceAccount\":\"bench-$RANDOM$RANDOM$RANDOM@acme-ml.iam.gserviceaccount.com\"}")
	field max <<<"$out" >>"$dir/cold.us"
	after=$(calls)
	echo $((after - before)) >>"$dir/cold.calls"
done
row '64 distinct mints in flight: mints/s vs 64 per 50 ms' "$(med "$dir/distinct.rps")" 1280 "$(awk '{ print $1 / 1280 }' "$dir/distinct.rps" | median)" '>=' 0.93
off=$(awk '{ d = $1 > 1 ? $1 : 2 - $1; if (d > worst) worst = d } END { print worst }' "$dir/cold.calls") # one, in each round
row '256 identical cold requests: upstream calls' "$(med "$dir/cold.calls")" 1 "$off $(median <"$dir/cold.calls" | cut -d' ' -f2-)" '<=' 1
row '  the same: us to the last answer vs upstream latency' "$(med "$dir/cold.us")" 50000 "$(awk '{ print $1 / 50000 }' "$dir/cold.us" | median)" '<=' 1.15
for r in $(seq "$rounds"); do
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 32 20000 POST /v1/token "$body"); echo "$q" >>"$dir/pure.p99"
	read -r c s p q < <(one "$broker" "$dir/hp.sock" 32 8000 POST /v1/token "$body" 10 "$miss"); echo "$q" >>"$dir/mixed.p99"
done
row 'p99 of the hits with 10 % misses vs without, us' "$(med "$dir/mixed.p99")" "$(med "$dir/pure.p99")" "$(ratio "$dir/mixed.p99" "$dir/pure.p99")" '<=' 1.2
reset

# The whole command, against curl doing the same; the shell's fork is in both.
t() { $client bash -c 'b=$(date +%s%N); for i in $(seq 50); do "$@" >/dev/null 2>&1 || exit 1; done; e=$(date +%s%N); echo $(((e - b) / 50000))' t "$@"; }
export HALLPASS_SOCKET="$dir/hp.sock"
for r in $(seq "$rounds"); do
	t "$build/hallpass" token "$sa" >>"$dir/cmd.us"
	t curl -sf --unix-socket "$dir/hp.sock" -H 'Content-Type: application/json' -d "$body" http://localhost/v1/token >>"$dir/curl.us"
done
row 'the command `hallpass token`: us, curl as multiple' "$(med "$dir/cmd.us")" "$(med "$dir/curl.us")" "$(ratio "$dir/curl.us" "$dir/cmd.us")" '>=' 4
row '  gcloud impersonation (1,085 ms, PERF) as multiple' "$(med "$dir/cmd.us")" 1085000 "$(awk '{ print 1085000 / $1 }' "$dir/cmd.us" | median)" '>=' 300

# Memory and start.
pss() { awk '/^Pss:/ { print $2 }' /proc/"$1"/smaps_rollup; }
before=$(pss "$broker")
"$build/tests/bench/idle" "$dir/hp.sock" 10000 >"$dir/idle.out" &
idle=$!
pids+=("$idle")
for _ in $(seq 400); do grep -q ready "$dir/idle.out" && break; sleep 0.05; done
grep -q ready "$dir/idle.out"
row '10,000 idle connections: KiB each' "$(awk -v a="$(pss "$broker")" -v b="$before" 'BEGIN { printf "%.2f", (a - b) / 10000 }')" 5 "$(awk -v a="$(pss "$broker")" -v b="$before" 'BEGIN { x = (a - b) / 50000; print x, x, x }')" '<=' 1.0
kill "$idle"; kill "$broker"; wait "$broker" 2>/dev/null || true

# Start and rest are measured with the example policy in a directory of their own. nginx's configuration is small, too, with as
# many connections as Debian's has: the 20,000 from above are memory that it writes at its start, for half of the time that it takes.
mkdir "$dir/small"
sed 's/^bindings:$/&\n  - {name: bench, members: ["user:bench@example.com"], serviceAccounts: [bench-000001@acme-ml.iam.gserviceaccount.com]}/' \
	"$here/../../contrib/policies/example.yaml" >"$dir/small/policy.yaml"
sed -e 's|google/broker-key|../google/broker-key|' "$dir/hallpassd.yaml" >"$dir/small/hallpassd.yaml"
sed -e 's/nginx\.sock/nginx2.sock/; s/nginx\.pid/nginx2.pid/; s/worker_connections [0-9]*/worker_connections 768/' "$dir/nginx.conf" >"$dir/nginx2.conf"
for r in $(seq "$rounds"); do
	$server "$build/tests/bench/firstaccept" "$dir/small/hp.sock" "$build/hallpassd" --config "$dir/small/hallpassd.yaml" | field us >>"$dir/start.us"
	$server "$build/tests/bench/firstaccept" "$dir/nginx2.sock" nginx -c "$dir/nginx2.conf" -p "$dir" | field us >>"$dir/nstart.us"
done
row 'exec to first accept: us vs nginx' "$(med "$dir/start.us")" "$(med "$dir/nstart.us")" "$(ratio "$dir/start.us" "$dir/nstart.us")" '<=' 1.0
"$build/hallpassd" --config "$dir/small/hallpassd.yaml" 2>>"$dir/hallpassd.log" &
small=$!
pids+=("$small")
for _ in $(seq 400); do [ -S "$dir/small/hp.sock" ] && break; sleep 0.02; done
sleep 1
rest() { row "$1" "$(pss "$small")" 4096 "$(awk -v a="$(pss "$small")" 'BEGIN { x = a / 4096; print x, x, x }')" '<=' 1.0; }
rest 'idle PSS beside nginx, before a first call: KiB'
curl -sf --unix-socket "$dir/small/hp.sock" -H 'Content-Type: application/json' -d '{"serviceAccount":"bench-000001@acme-ml.iam.gserviceaccount.com"}' http://localhost/v1/token >/dev/null
sleep 1
rest '  the same after the first mint, which loads libcurl'

"$here/policy.sh" "$build" "$rounds" ${json:+"$json"}

# Instructions do not depend on what else the machine does: for comparing commits.
command -v valgrind >/dev/null || { echo 'instructions per durable issuance: not counted, valgrind is missing'; exit 0; }
count() { # OUT SOCKET BODY COMMAND...: user-space instructions a request, without hashing
	local out=$1 socket=$2 data=$3 pid n=5000
	shift 3
	# valgrind counts each byte of a `rep movsb` as an instruction: copies go by vectors, in both
	GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824 valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file="$out" -q "$@" >/dev/null 2>&1 &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 600); do "$build/tests/bench/load" "unix:$socket" 1 1 POST /v1/token "$data" >/dev/null 2>&1 && break; sleep 0.1; done
	"$build/tests/bench/load" "unix:$socket" 32 500 POST /v1/token "$data" >/dev/null
	callgrind_control -i on "$pid" >/dev/null 2>&1
	"$build/tests/bench/load" "unix:$socket" 32 "$n" POST /v1/token "$data" >/dev/null
	callgrind_control -i off "$pid" >/dev/null 2>&1
	for _ in $(seq 100); do kill "$pid" 2>/dev/null || break; sleep 0.1; done # under valgrind a single signal may be lost
	wait "$pid" 2>/dev/null || true
	callgrind_annotate --threshold=100 --show-percs=no "$out" | tr -d , |
		awk -v n="$n" '/PROGRAM TOTALS/ { all = $1 } /libcrypto/ { hash += $1 } END { printf "%.0f\n", (all - hash) / n }'
}
kill "$small"; wait "$small" 2>/dev/null || true
ours=$(count "$dir/cg.ours" "$dir/hp.sock" "$body" "$build/hallpassd" --config "$dir/hallpassd.yaml")
theirs=$(count "$dir/cg.nginx" "$dir/nginx2.sock" "$body" nginx -c "$dir/nginx2.conf" -p "$dir")
row 'cached, durable: user-space instructions vs nginx' "$ours" "$theirs" "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { x = a / b; print x, x, x }')" '<=' 0.5
