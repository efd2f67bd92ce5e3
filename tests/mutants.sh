#!/bin/bash
# Tests of tests: switches a promise's mechanism off in a copy of the sources and sees the promise's test fail.
# usage: tests/mutants.sh [PATTERN]     A mutant that no test notices is a failure here.
set -u
cd "$(dirname "$0")/.."
here=$PWD pattern=${1:-.}
dir=$(mktemp -d "${TMPDIR:-/tmp}/hallpass-mutants.XXXXXX")
trap 'rm -rf "$dir"' EXIT
survived=0 killed=0

# NAME | FILE | sed program | test program | test filter (cmocka's)
mutants() {
	cat <<'EOF'
P1-fdatasync-compiled-out | broker/audit/io.c | s/fdatasync(fd)/(fd < 0)/ | scenario/test_order | test_P1_each_token*
P1-reply-without-record | broker/request.c | s/if (r == 0 && issuance) {/if (0 \&\& r == 0 \&\& issuance) {/ | scenario/test_order | test_P1_each_token*
P1-intent-not-awaited | broker/request.c | s/\tflight_intended(intent->flight, err);/\tflight_intended(intent->flight, \&(struct error){ 0 });/ | scenario/test_promises | test_P1_without_a_journal*
P2-expiry-not-checked | broker/mint.c | s/> *spec->expires_by/> spec->expires_by + 99999999/ | scenario/test_promises | test_P2_a_token_that_lives*
P2-cache-ignores-the-window | broker/cache.c | s/expires_at <= expires_by/expires_at <= expires_by + 99999999/; s/expires_at > expires_by/expires_at > expires_by + 99999999/ | scenario/test_promises | test_P2_a_cached_token*
P2-no-horizon | policy/condition.c | s/return horizon_until(.*/return INT64_MAX;/ | scenario/test_promises | test_P2_a_window_caps*
P2-rest-of-the-second-believed | policy/horizon.c | s/first_unsure(\&h, now.i, last/first_unsure(\&h, now.i + 1, last/ | policy/test_horizon | test_P2_what_is_sure*
P2-seconds-end-at-their-beginning | policy/horizon.c | s/{ b, 999999999 }/{ b, 0 }/ | policy/test_horizon | test_P2_what_is_sure*
P2-clocks-never-change | policy/cel_time.c | s/return transition < change ? transition : change;/return change;/ | policy/test_horizon | test_P2_what_is_sure*
P2-clauses-with-allowances-of-their-own | policy/horizon.c | s/h->arena, \&h->iterations)/h->arena, \&(uint32_t){ h->iterations })/ | policy/test_horizon | test_P2_clauses*
P2-parts-of-seconds-given-away | policy/decide.c | s/ - (d->q.now_ns > 0)// | policy/test_decide_random | test_P2*
P2-deny-rules-bound-nothing | policy/decide.c | s/tighten(v.until, v.bound_by, .*/(void)0;/ | policy/test_decide_random | test_P2*
P2-delegates-bound-nothing | policy/decide.c | s/tighten(one.expires_by, .*/(void)0;/ | policy/test_decide_random | test_P2*
P3-scopes-not-cut-down | policy/decide.c | s/if (scope_covers(rule->scopes.k., d->q.scopes.i.)) {/if (1) {/ | policy/test_decide_random | test_P2_P3*
P3-exceptions-for-all | policy/rules.c | s/ !caller_is_in(c->caller, rule->exceptions)/ rule->exceptions.n == 0/ | policy/test_decide_random | test_P2_P3*
P3-typos-dropped | policy/document.c | s/unknown_key(d, child->key, .*/(void)child;/ | policy/test_mutants | test_P3*
P3-errors-grant | policy/condition.c | s/return CONDITION_ERROR;/return CONDITION_TRUE;/ | scenario/test_promises | test_P3_deny_rules*
P4-anybody-is-somebody | broker/authn/principals.c | s/if (rule->uid >= 0 \&\& rule->uid != peer->uid)/if (0)/ | broker/test_principals | test_P4*
P5-token-in-the-log | broker/request.c | s/\treq->mint_wait = NULL;\n/&/; s/\tif (result->token)$/\tif (result->token) log_info(req->world->log, "x", "%s", result->token->value.data);\n\tif (result->token)/ | scenario/test_promises | test_P5_no_token*
P5-core-files | broker/main.c | s/setrlimit(RLIMIT_CORE, \&none);/(void)none;/ | scenario/test_promises | test_P5_no_core*
P6-bad-policy-taken | policy/document.c | s/if (.*n_errors.*)$/if (0)/ | scenario/test_promises | test_P6_a_bad_policy*
P7-cache-behind-upstream | broker/request.c | s/\treq->token = mint_cached(.*/\treq->token = NULL;/ | scenario/test_promises | test_P7*
EOF
}

run_one() { # NAME FILE SED TEST FILTER
	local tree="$dir/$1"
	mkdir -p "$tree"
	cp -r Makefile broker policy include tests contrib "$tree/"
	mkdir -p "$tree/build"
	cp -r build/. "$tree/build/" 2>/dev/null
	sed -i "$3" "$tree/$2"
	if cmp -s "$2" "$tree/$2"; then
		echo "FAILED $1: the mutation changes nothing in $2 any more; write it anew"
		survived=$((survived + 1))
		return
	fi
	touch "$tree/$2"
	if ! make -s -C "$tree" CFLAGS="${CFLAGS:--O2 -g} -Wno-error" "build/tests/$4" build/hallpassd build/hallpass >"$tree/log" 2>&1; then
		echo "FAILED $1: does not build"
		tail -5 "$tree/log"
		survived=$((survived + 1))
	elif (cd "$tree" && HALLPASS_TEST_FILTER="$5" timeout 300 "build/tests/$4" >"$tree/log" 2>&1); then
		echo "FAILED $1: survived $4 $5"
		survived=$((survived + 1))
	else
		echo "ok     $1: noticed by $4"
		killed=$((killed + 1))
	fi
	rm -rf "$tree"
}

while IFS='|' read -r name file program test filter; do
	trim() { local t=${1#"${1%%[![:space:]]*}"}; printf '%s' "${t%"${t##*[![:space:]]}"}"; }
	name=$(trim "$name")
	[[ "$name" =~ $pattern ]] || continue
	run_one "$name" "$(trim "$file")" "$(trim "$program")" "$(trim "$test")" "$(trim "$filter")"
done < <(mutants)
echo "mutants: $killed noticed, $survived not"
[ $survived -eq 0 ]
