#!/bin/bash
# Tests of tests: switches a promise's mechanism off in a copy of the sources and sees the promise's test fail.
# usage: tests/mutants.sh [PATTERN]     on what `make test` built (HALLPASS_BUILD); PATTERN: only mutants whose name matches
#
# A failure is: a mutant that no test notices; a mutation that changes nothing any more; a daemon that does not even start
# with it; and (HALLPASS_STRICT=1, as `make mutants` sets it) a test_P… of tests/scenario that no mutant made fail.
set -u
cd "$(dirname "$0")/.."
build=${HALLPASS_BUILD:-build} pattern=${1:-.}
dir=$PWD/$build-mutants # beside the build: its objects are linked there, not copied
rm -rf "$dir"
mkdir -p "$dir"
trap 'rm -rf "$dir"' EXIT
export build dir

# NAME | FILE | sed program | test program | test filter (cmocka's). One mechanism a row, and rows are cheap: a row for each new
# test_P… . FILE `-`: nothing is changed, and the third column is the environment of the test. Names sort by promise.
mutants() {
	cat <<'EOF'
P1-fdatasync-compiled-out | broker/audit/io.c | s/return fdatasync(fd);/return fd < 0;/ | scenario/test_order | test_P1_each_token_*
P1-eatmydata | - | LD_PRELOAD=libeatmydata.so | scenario/test_order | test_P1_each_token_*
P1-reply-before-record | broker/request.c | s/issuance ? &req->entry : NULL/NULL/; s/if (r == 0 && issuance) {/if (0) {/ | scenario/test_order | test_P1_each_token_*
P1-signatures-before-their-record | broker/request.c | s/bool issuance = req->token \&\& !req->abandoned;/bool issuance = req->token \&\& !req->abandoned \&\& !mint_signs(req->ask.permission);/ | scenario/test_order | test_P1_each_signature*
P1-signing-without-an-intent | broker/mint.c | s/^\tminter->n_flights++;/&\n\tflight->intended = true;\n\tflight_ask_credential(flight);/; s/^\tassert(flight->state == INTENDING && !flight->intended);/\treturn;/ | scenario/test_order | test_P1_each_signature*
P1-signing-without-a-journal | broker/audit/writer.c | s/return segment_check(w->dir, &w->segment, err);/return 0;/ | scenario/test_iam_credentials | test_P1_without_a_record*
P1-signatures-left-behind-not-recorded | broker/mint.c | s/if (TAILQ_EMPTY(&flight->waiting) && flight->intended)/if (0)/ | scenario/test_iam_credentials | test_P1_a_signature_that*
P1-payloads-not-recorded | broker/request.c | /^static void request_record/,/^}/s/\.payload_sha256 = .*// | scenario/test_iam_credentials | test_P1_a_signature*
P1-reply-before-record-killed | broker/request.c | s/issuance ? &req->entry : NULL/NULL/; s/if (r == 0 && issuance) {/if (0) {/ | scenario/test_crash | test_P1_no_token_is_lost_when_the_broker_is_killed_at_random
P1-reply-before-record-syscall | broker/request.c | s/issuance ? &req->entry : NULL/NULL/; s/if (r == 0 && issuance) {/if (0) {/ | scenario/test_crash | test_P1_no_token_is_lost_when_killed_at_each_*
P1-intent-not-awaited | broker/mint.c | s/^\tminter->n_flights++;/&\n\tflight->intended = true;\n\tflight_ask_credential(flight);/; s/^\tassert(flight->state == INTENDING && !flight->intended);/\treturn;/ | scenario/test_order | test_P1_each_token_*
P1-sync-error-ignored | broker/audit/segment.c | s/if (dir->io->fdatasync(dir->io->ctx, segment->fd) < 0)/if (dir->io->fdatasync(dir->io->ctx, segment->fd), 0)/ | scenario/test_order | test_P1_a_failing_fdatasync_releases_nothing
P1-record-error-ignored | broker/request.c | s/^\tif (err->code) {/\tif (0) {/ | scenario/test_faults | test_P1_the_disk_hangs
P1-removal-unnoticed | broker/audit/writer.c | s/return segment_check(w->dir, &w->segment, err);/return 0;/ | scenario/test_promises | test_P1_without_a_journal_nothing_is_issued_and_google_is_not_asked
P1-outcome-without-token | broker/request.c | s/req->token ? req->token->sha256 : NULL/NULL/ | scenario/test_promises | test_P1_intent_and_outcome_stand_in_the_record
P1-habits-of-another | broker/habit.c | s/habit->snapshot == key->snapshot/true/; s/habit->rule == key->rule && habit->bound_by == key->bound_by && habit->lifetime_s == key->lifetime_s/true/ | scenario/test_promises | test_P1_who_asks*
P1-habits-of-an-earlier-policy | broker/habit.c | s/habit->snapshot == key->snapshot && // | broker/test_habit | test_P1_habit*
P1-records-of-one-request | broker/audit/mould.c | s/put_request(put_text(mould, at, GAP_REQUEST), casting->request)/put_request(put_text(mould, at, GAP_REQUEST), "same")/ | broker/test_habit | test_mould_casts*
P1-answers-of-an-earlier-policy | broker/surface/issued.c | s/ && memo->snapshot == o->snapshot && memo->rule == o->decision->rule// | scenario/test_promises | test_P1_who_asks*
P1-requests-known-by-their-length | broker/http_memo.c | s/ && !memcmp(known->bytes, bytes, n)// | broker/test_http_memo | test_http_memo_knows_no*
P1-cached-not-recorded | broker/request.c | s/^\tif (req->quiet)$/\tif (req->quiet || req->cached)/ | scenario/test_promises | test_P1_a_cached_issuance_has_one_record_and_no_call
P1-a-doctor-mints | broker/doctor.c | s/call_iam(probe, "testIamPermissions", bearer, body.data)/call_iam(probe, "generateAccessToken", bearer, "{\\"scope\\":[\\"https:\/\/www.googleapis.com\/auth\/cloud-platform\\"]}")/ | scenario/test_doctor | test_P1_a_doctor_makes_no_token
P1-refusal-not-recorded | broker/request.c | s/^\tif (req->quiet)$/\tif (req->quiet || req->error.code == ERR_DENIED)/ | scenario/test_promises | test_P1_refusals_are_recorded_too
P1-abandoned-not-recorded | broker/request.c | s/^\tif (req->quiet)$/\tif (req->quiet || req->abandoned)/ | scenario/test_promises | test_P1_a_client_that_leaves_is_still_recorded
P1-released-before-its-sync | broker/audit/segment.c | s/if (dir->io->fdatasync(dir->io->ctx, segment->fd) < 0)/if (0)/ | broker/test_audit | test_audit_releases_only*
P1-dead-segment-used-again | broker/audit/writer.c | s/^\t\tbury(w, &err);$/\t\t(void)0;/ | broker/test_audit | test_P1_audit_loses_nothing*
P1-files-not-looked-after | broker/audit/writer.c | s/return segment_check(w->dir, &w->segment, err);/return 0;/ | broker/test_audit | test_P1_audit_notices_a_file*
P1-json-read-beyond-its-end | broker/json_reserve.c | s/^\tp = p ? p : reserve_take(size);/\t;/; s/^static void \*reserve_take/__attribute__((unused)) &/ | scenario/test_memory | test_P1_no_token_is_lost_whichever*
P1-no-memory-for-a-request | broker/request.c | s/^\tif (!req) {$/\tif (0) {/ | scenario/test_memory | test_P1_the_first_request*
P1-no-memory-at-a-port | broker/surface/exchange.c | s/^\tif (!x) {$/\tif (0) {/ | scenario/test_memory | test_P1_a_port*
P1-exceptions-thrown-through-C | policy/re2_shim.cc | s/catch (const std::bad_alloc &)/catch (int)/ | scenario/test_memory | test_P1_no_token_is_lost_when_memory*
P1-half-an-answer | broker/json_reserve.c | s/^\tfailures += !p;/\t;/ | scenario/test_memory | test_no_answer*
P1-no-memory-for-a-list | broker/surface/listing.c | s/^\tif (!l)$/\tif (0)/ | scenario/test_memory | test_list*
P1-no-memory-for-a-pattern | policy/no_memory.c | s/^\tfailures++;/\t;/ | scenario/test_memory | test_why*
P1-no-deadline-for-the-writer | broker/audit/audit.c | s/slot_of(audit, entry)->since_us < limit/0/ | broker/test_audit | test_P1_audit_refuses_after*
P1-free-space-of-long-ago | broker/audit/audit.c | s/if (!is_low(audit, b->free_bytes, &err))/if (b || !is_low(audit, 0, \&err))/ | broker/test_audit | test_P1_audit_acknowledges_nothing*
P1-late-records-not-named | broker/audit/audit.c | s/if (b->slots\[i\].refused)/if (0)/ | broker/test_audit | test_P1_audit_names*
P1-late-intents-count | broker/audit/recover.c | s/^\t\tclose_late(intents, json);/\t\t(void)0;/ | broker/test_recover | test_recover_does_not_count_late*
P1-client-that-left-counts | broker/audit/recover.c | s/ && head.type != RECORD_ABANDONED// | broker/test_recover | test_P1_recover_does_not_take*
P1-open-intents-not-closed | broker/audit/audit.c | s/TAILQ_FOREACH(intent, &recovery->open, in_order)/while ((intent = NULL))/ | broker/test_audit | test_audit_tells_what*
P1-chain-not-checked | broker/audit/scan.c | s/if (memcmp(frame->prev, scan->at.hash, JOURNAL_HASH))/if (0)/ | broker/test_recover | test_recover_refuses_a_frame_that*
P1-chain-between-segments | broker/audit/scan.c | s/s->first_index != scan->at.next_index || memcmp(s->hash, scan->at.hash, JOURNAL_HASH)/false/ | broker/test_recover | test_recover_refuses_a_frame_rewritten*
P1-segments-renumbered | broker/audit/scan.c | s/header.number != s->number || // | broker/test_recover | test_recover_refuses_a_segment_under*
P1-hash-not-checked | broker/audit/journal.c | s/if (memcmp(hash, out->hash, JOURNAL_HASH))/if (0)/ | broker/test_journal | test_journal_frame_notices*
P1-damage-cut-off-as-torn | broker/audit/scan.c | s/if (state == FRAME_GOOD) {/if (0) {/ | broker/test_recover | test_recover_refuses_a_bad_frame*
P1-two-brokers | broker/audit/audit.c | s/fcntl(audit->lock_fd, F_OFD_SETLK, &lock) < 0/0/ | broker/test_audit | test_audit_lets_one*
P1-two-brokers-without-the-file | broker/audit/audit.c | s/flock(audit->journal_fd, .*) < 0 \&\& errno/0 \&\& errno/ | broker/test_audit | test_P1_audit_lets_no_second*
P1-records-without-bounds | broker/audit/record.c | s/#define STRING_MAX 1024/#define STRING_MAX 100000/ | broker/test_record | test_record_never*
P1-write-error-ignored-ENOSPC | broker/audit/segment.c | s/if (r < 0)$/if (false)/; s/if ((size_t)r < want)/if (false)/ | scenario/test_faults | test_P1_write_fails_with_ENOSPC
P1-write-error-ignored-EIO | broker/audit/segment.c | s/if (r < 0)$/if (false)/; s/if ((size_t)r < want)/if (false)/ | scenario/test_faults | test_P1_write_fails_with_EIO
P1-write-error-ignored-EROFS | broker/audit/segment.c | s/if (r < 0)$/if (false)/; s/if ((size_t)r < want)/if (false)/ | scenario/test_faults | test_P1_write_fails_on_a_read_only_file_system
P1-size-limit-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_the_file_size_limit_is_reached
P1-short-write-ignored | broker/audit/segment.c | s/if ((size_t)r < want)/if (false)/ | scenario/test_faults | test_P1_write_is_short
P1-sync-error-ignored-once | broker/audit/segment.c | s/if (dir->io->fdatasync(dir->io->ctx, segment->fd) < 0)/if (dir->io->fdatasync(dir->io->ctx, segment->fd), 0)/ | scenario/test_faults | test_P1_fdatasync_fails_once
P1-sync-error-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_fdatasync_fails_for_a_while
P1-sync-errors-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_fdatasync_fails_for_ever
P1-full-disk-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_the_disk_is_full
P1-no-inodes-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_there_are_no_inodes
P1-low-water-ignored | broker/audit/audit.c | s/if (free_bytes >= audit->options.low_water_bytes)/if (true)/ | scenario/test_faults | test_P1_below_the_low_water_mark_only_refusals_are_recorded
P1-move-unnoticed | broker/audit/writer.c | s/return segment_check(w->dir, &w->segment, err);/return 0;/ | scenario/test_faults | test_P1_the_directory_is_moved_away
P1-mount-unnoticed | broker/audit/segment.c | s/ \&\& is_it(&dir->id, &found))$/)/ | scenario/test_faults | test_P1_something_is_mounted_over_the_directory
P1-clock-not-watched | broker/request.c | s/return now_s < audit_last_time(audit) - CLOCK_BACK_SECONDS;/return false;/ | scenario/test_faults | test_P1_the_clock_went_back_before_the_start
P1-no-deadline | broker/audit/audit.c | s/slot_of(audit, entry)->since_us < limit/false/ | scenario/test_faults | test_P1_the_disk_hangs
P1-read-only-not-told | broker/audit/writer.c | s/^\t*set_stuck(w, &err);/(void)err;/ | scenario/test_faults | test_P1_the_file_system_turns_read_only
P1-end-not-synced | broker/audit/writer.c | s/if (w->at.segment && segment_sync/if (0 \&\& segment_sync/ | broker/test_audit | test_P1_audit_syncs_what*
P1-page-without-its-beginning | broker/audit/segment.c | s/memmove(stage->bytes, .*;/(void)start;/ | broker/test_audit | test_P1_audit_a_crash_within*
P1-torn-frame-taken-for-a-newer | broker/audit/journal.c | s/p\[4\] > FRAME_VERSION/p[4] != FRAME_VERSION/ | broker/test_audit | test_P1_audit_a_crash_within*
P1-no-way-through-the-cache | broker/audit/segment.c | s/if (r < 0 && errno == EINVAL)/if (0)/ | broker/test_audit | test_P1_audit_writes_where*
P1-power-cut | broker/audit/io.c | s/return fdatasync(fd);/return fd < 0;/ | scenario/test_faults | test_P1_a_power_cut_loses_no_token
P2-no-horizon | policy/condition.c | s/\*until = horizon_until(.*/*until = INT64_MAX;/ | scenario/test_promises | test_P2_a_window_caps_the_token
P2-expiry-not-checked | broker/mint.c | s/ && token->expires_at <= flight->spec->expires_by)/)/; s/token->expires_at > wait->expires_by/false/ | scenario/test_promises | test_P2_a_token_that_lives_too_long_is_not_released
P2-exp-not-looked-at | broker/request.c | s/req->ask.exp <= req->decision.expires_by/true/ | scenario/test_iam_credentials | test_P2_a_jwt*
P2-jwts-of-an-hour | broker/request.c | s/int64_t life = req->decision.lifetime_s < .*/int64_t life = JWT_DEFAULT_LIFE;/ | scenario/test_iam_credentials | test_P2_a_jwt*
P2-signed-jwts-not-looked-at | broker/mint.c | s/if (flight->spec->permission == PERMISSION_SIGN_BLOB)/if (mint_signs(flight->spec->permission))/; s/token->expires_at > wait->expires_by/false/ | broker/test_mint | test_P2_mint_releases_no_jwt*
P2-cache-ignores-the-window | broker/cache.c | s/token->expires_at > spec->expires_by || // | scenario/test_promises | test_P2_a_cached_token_must_fit_this_request
P2-window-not-looked-at | policy/decide.c | s/d->q.now >= rule->not_after/false/ | scenario/test_promises | test_P2_a_window_that_has_closed_gives_nothing_from_the_cache
P2-no-clock-allowance | policy/decide.c | s/ - d->q.clock_allowance_s;/;/ | scenario/test_config | test_P2_the_clock_allowance_is_kept_free_before_the_end_of_a_window
P2-no-ceiling | broker/request.c | s/\.ceiling_s = snapshot->config->max_lifetime_s/.ceiling_s = 0/ | scenario/test_config | test_P2_no_token_lives_longer_than_the_hard_ceiling
P2-clock-not-watched | broker/request.c | s/return now_s < audit_last_time(audit) - CLOCK_BACK_SECONDS;/return false;/ | scenario/test_config | test_P2_a_clock_behind_the_record_issues_nothing
P2-expired-tokens-kept | broker/cache.c | s/token->expires_at <= now ||/false ||/; s/token->expires_at - now < min_left_s/false/ | scenario/test_config | test_P2_a_clock_that_jumps_ahead_empties_the_cache
P2-rest-of-the-second-believed | policy/horizon.c | s/first_unsure(\&h, now.i, last/first_unsure(\&h, now.i + 1, last/ | policy/test_horizon | test_P2_what_is_sure*
P2-seconds-end-at-their-beginning | policy/horizon.c | s/{ b, 999999999 }/{ b, 0 }/ | policy/test_horizon | test_P2_what_is_sure*
P2-clocks-never-change | policy/cel_time.c | s/return transition < change ? transition : change;/return change;/ | policy/test_horizon | test_P2_what_is_sure*
P2-errors-of-clauses-forgotten | policy/horizon.c | s/^\t\tmay_err .= .*/\t\t;/ | policy/test_horizon | test_P2_what_is_sure*
P2-durations-taken-off-at-the-wrong-end | policy/horizon.c | s/int64_t first = minus ? d.hi : d.lo, last = minus ? d.lo : d.hi;/int64_t first = d.hi, last = d.lo;/; s/cel_time_add(t.from, first, .*cel_time_add(t.to, last/cel_time_add(t.from, first, \&out.from) \&\& cel_time_add(t.from, last/ | policy/test_horizon | test_P2_what_is_sure*
P2-differences-seen-at-one-end | policy/horizon.c | s/cel_time_diff(a.to, b.from, &out.hi)/cel_time_diff(a.from, b.to, \&out.hi)/ | policy/test_horizon | test_P2_what_is_sure*
P2-quotients-seen-at-one-end | policy/horizon.c | s/(b.lo > 0 ? a.hi : a.lo) \/ b.lo/(b.lo > 0 ? a.lo : a.hi) \/ b.lo/ | policy/test_horizon | test_P2_what_is_sure*
P2-remainders-do-not-wrap | policy/horizon.c | s/out.hi = a.hi <= 0 ? 0 : m - 1;/out.hi = a.lo % m;/; s/out.lo = a.lo >= 0 ? 0 : 1 - m;/out.lo = a.lo % m;/ | policy/test_horizon | test_P2_what_is_sure*
P2-getters-seen-at-one-end | policy/horizon.c | s/out.hi = v > out.hi ? v : out.hi;/;/ | policy/test_horizon | test_P2_what_is_sure*
P2-members-seen-at-one-end | policy/horizon.c | s/can .= has(list, .*/can = has(list, cel_of_int(x.lo)) ? CAN_TRUE : CAN_FALSE;/ | policy/test_horizon | test_P2_what_is_sure*
P2-one-branch-believed | policy/horizon.c | s/^\tout = join(evaluate(h, node->kids\[1\]), .*/\tout = evaluate(h, node->kids[1]);/ | policy/test_horizon | test_P2_what_is_sure*
P2-errors-of-choices-forgotten | policy/horizon.c | s/if (!(can & CAN_ERR))$/if (true)/ | policy/test_horizon | test_P2_what_is_sure*
P2-unfollowed-parts-believed | policy/horizon.c | s/^\th->uncounted .= h->counted;$/\treturn set_of(value_once(h, node));/ | policy/test_horizon | test_P2_what_is_sure*
P2-numbers-of-other-kinds-equal-at-one-end | policy/horizon.c | s/cel_compare(cel_of_int(ints.hi), number)/cel_compare(cel_of_int(ints.lo), number)/ | policy/test_horizon | test_P2_what_is_sure*
P2-conditions-without-a-horizon | policy/condition.c | s/\*until = horizon_until(.*/*until = INT64_MAX;/ | policy/test_decide_horizon | test_P2*
P2-deny-conditions-without-a-horizon | policy/decide.c | s/tighten(v.until, v.bound_by, .*/(void)0;/ | policy/test_decide_horizon | test_P2*
P2-clauses-with-allowances-of-their-own | policy/horizon.c | s/h->arena, \&h->budget)/h->arena, \&(struct cel_budget){ h->budget.iterations, h->budget.cost })/ | policy/test_horizon | test_P2_clauses*
P2-bound-values-never-change | policy/horizon.c | s/^\tif (varies(value, h->changing, h->fixed)) {$/\tif (false) {/ | policy/test_horizon | test_P2_what_is_sure*
P2-first-look-without-the-time | policy/horizon.c | s/if (varies(kid, cel_slot_bit(time_slot), 0) \&\& !horizon_is_beyond/if (false \&\& !horizon_is_beyond/ | policy/test_horizon | test_P2_what_is_sure*
P2-invariants-of-one-instant | policy/proof_case.c | s/^\tright = cut(from, to);/\treturn INT64_MAX;/ | policy/test_invariants | test_P2_P6*
P2-dates-far-away-left-out | policy/proof_case.c | s/: search_after_dates(c, seen, to, work, known);/: INT64_MAX;/ | policy/test_invariants | test_P2_P6*
P2-open-attributes-taken-for-absent | policy/condition.c | s/^\t\t\tq.open .= .*/\t\t\t;/ | policy/test_invariants | test_P2_P6*
P2-strangers-by-one-name | policy/prover.c | s/\.any_principal = p->who->stands_for,/.any_principal = false,/ | policy/test_invariants | test_P2_P6*
P2-patterns-by-one-account | policy/prover.c | s/\.any_account = !p->target.account.n,/.any_account = false,/; s/p->query.service_account = p->target.account.n ? p->target.account.p : "";/p->query.service_account = "example@p.iam.gserviceaccount.com";/ | policy/test_invariants | test_P2_P6*
P2-deny-rules-believed-where-they-touch | policy/prover.c | s/permissions \& bit \&\& covers(p->denials/permissions \& bit \&\& touches(p, p->denials/ | policy/test_invariants | test_P2_P6*
P2-unsure-deny-rules-believed | policy/proof_case.c | s/return !(condition_can(c, denial, from, to, work) & HORIZON_FALSE);/return condition_can(c, denial, from, to, work) \& HORIZON_TRUE;/ | policy/test_invariants | test_P2_P6*
P2-always-on-no-scopes | policy/proof_case.c | s/^\tif (!view.any_request)$/\tif (0)/ | policy/test_invariants | test_invariants_always*
P2-always-without-deny-rules | policy/proof_case.c | s/condition_can(c, c->denials.i., from, to, work) != HORIZON_FALSE/false/ | policy/test_invariants | test_P2_P6*
P2-always-where-it-may-be | policy/proof_case.c | s/condition_can(c, c->bindings.i., from, to, work) == HORIZON_TRUE/condition_can(c, c->bindings[i], from, to, work) \& HORIZON_TRUE/ | policy/test_invariants | test_P2_P6*
P2-always-to-the-end-of-a-binding | policy/proof_case.c | s/ \&\& to < c->bindings.i.->not_after / / | policy/test_invariants | test_P2_P6*
P2-shown-for-one-shown-for-all | policy/prover.c | s/nobody_asks_who \&\& was_shown(p, before)/before->claim == p->claim_number/ | policy/test_invariants | test_P2_P6*
P2-parts-of-seconds-given-away | policy/decide.c | s/ - (d->q.now_ns > 0)// | policy/test_decide_random | test_P2*
P2-deny-rules-bound-nothing | policy/decide.c | s/tighten(v.until, v.bound_by, .*/(void)0;/ | policy/test_decide_random | test_P2*
P2-delegates-bound-nothing | policy/decide.c | s/tighten(one.expires_by, .*/(void)0;/ | policy/test_decide_random | test_P2*
P3-scopes-that-nobody-asked-for-unseen | policy/decide.c | s/if (q->permission != PERMISSION_GET_ACCESS_TOKEN ||/if (1 ||/ | policy/test_decide | test_decide_conditions_see_the_scopes*
P3-denials-escaped-without-scopes | policy/decide.c | s/denies ? unknown : rule->scopes/denies ? q->scopes : rule->scopes/; s/denies ? 1 : rule->n_scopes/denies ? 0 : rule->n_scopes/ | policy/test_decide | test_decide_denials_about_scopes*
P3-routes-cut-short | policy/decide.c | s/route->found = route_add(d, &d->policy->bindings, route);/route_add(d, \&d->policy->bindings, route), route->found = true;/ | policy/test_decide_random | test_P3_decisions_by*
P3-routes-without-deny-rules | policy/decide.c | s/d->route ? d->route->n_denials : 0);/0);/ | policy/test_decide_random | test_P3_decisions_by*
P3-zero-allows | policy/decide.c | s/^\tout->allow = false;/\tout->allow = true;/; s/^\tout->lifetime_s = out->expires_by = out->permitted_until = 0;/\tout->lifetime_s = 60, out->expires_by = 253402300799, out->permitted_until = 0;/; s/^\tout->n_scopes = 0;/\tout->n_scopes = 1, out->scopes[0] = "https:\/\/www.googleapis.com\/auth\/cloud-platform";/ | scenario/test_promises | test_P3_what_is_not_allowed_is_denied
P3-deny-rules-skipped | policy/decide.c | s/struct verdict denial = run_denials(d), best;/struct verdict denial = { 0 }, best;/ | scenario/test_promises | test_P3_deny_rules_win_and_errors_never_grant
P3-errors-grant | policy/condition.c | s/return CONDITION_ERROR;/return CONDITION_TRUE;/ | scenario/test_promises | test_P3_deny_rules_win_and_errors_never_grant
P3-deny-errors-pass | policy/decide.c | s/v.reason = REASON_DENY_RULE_ERROR;/v.reason = REASON_NONE;/ | scenario/test_promises | test_P3_deny_rules_win_and_errors_never_grant
P3-unknown-member-ignored | broker/surface/ask.c | s/return ask_unknown(.*/continue;/ | scenario/test_promises | test_P3_unknown_input_is_refused_with_the_reason
P3-second-of-two-members-wins | broker/surface/ask.c | s/JSON_REJECT_DUPLICATES/0/ | scenario/test_promises | test_P3_unknown_input_is_refused_with_the_reason
P3-scopes-not-cut-down | policy/decide.c | s/if (scope_is_under(rule->scopes, rule->n_scopes, d->q.scopes.i.))/if (1)/ | policy/test_decide_random | test_P2_P3*
P3-exceptions-for-all | policy/rules.c | s/ !caller_is_in(c->caller, rule->exceptions)/ rule->exceptions.n == 0/ | policy/test_decide_random | test_P2_P3*
P3-typos-dropped | policy/fields.c | s/unknown_key(d, child->key, .*/(void)child;/ | policy/test_mutants | test_P3*
P3-default-for-every-attribute | policy/condition.c | s/node->fn == CEL_FN_GET_ATTRIBUTE \&\& node->kids/false \&\& node->kids/ | policy/test_document | test_document_says_what*
P4-anybody-is-somebody | broker/authn/principals.c | s/if (rule->uid >= 0 \&\& rule->uid != peer->uid)/if (0)/ | broker/test_principals | test_P4*
P4-peer-uid-ignored | broker/authn/principals.c | s/rule->uid >= 0 && rule->uid != peer->uid/false/ | scenario/test_promises | test_P4_headers_do_not_say_who_one_is
P4-no-answer-is-no-group | broker/authn/accounts.c | s/^\treturn errno != ENOMEM .*/\treturn 0;/ | broker/test_accounts | test_P4_accounts_of_a_name_service*
P4-no-memory-is-no-group | broker/authn/accounts.c | s/^\treturn account->groups ? r : -1;/\treturn 0;/ | scenario/test_memory | test_P4_nobody*
P4-large-groups-unseen | broker/authn/accounts.c | s/(r == ERANGE \&\& room_grow(room))/false/ | broker/test_accounts | test_P4_accounts_know*
P4-users-not-compared-at-listeners | broker/authn/principals.c | s/rule->user && strcmp(rule->user, account->name)/false/ | scenario/test_metadata | test_P4_a_listener_knows*
P4-users-not-compared | broker/authn/principals.c | s/rule->user && strcmp(rule->user, account->name)/false/ | scenario/test_peers | test_P4_peers_rules_by_uid_user_and_group
P4-groups-not-looked-at | broker/authn/principals.c | s/return !rule->group || .*/return true;/ | scenario/test_peers | test_P4_peers_rules_by_uid_user_and_group
P4-group-of-the-process | broker/authn/principals.c | s/^#include <inttypes.h>/#include <grp.h>\n&/; s/return !rule->group || /&getgrnam(rule->group)->gr_gid == peer->gid || / | scenario/test_peers | test_P4_peers_rules_by_uid_user_and_group
P4-the-overflow-uid-is-somebody | broker/authn/peer.c | s/ && uid != OVERFLOW_UID// | scenario/test_peers | test_P4_the_overflow_uid_is_nobody
P4-uid-not-the-callers | broker/authn/peer.c | s/peer->uid = cred.uid;/peer->uid = geteuid();/ | scenario/test_peers | test_P4_root_in_a_user_namespace_is_who_he_is_outside
P4-who-writes-not-who-connected | broker/authn/peer.c | s/^\tpeer->uid = cred.uid;/\tchar control[CMSG_SPACE(sizeof(cred))], byte;\n\tstruct iovec iov = { \&byte, 1 };\n\tstruct msghdr msg = { .msg_iov = \&iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };\n\tsetsockopt(fd, SOL_SOCKET, SO_PASSCRED, \&(int){ 1 }, sizeof(int));\n\tpoll(\&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);\n\tif (recvmsg(fd, \&msg, MSG_PEEK) == 1 \&\& CMSG_FIRSTHDR(\&msg))\n\t\tmemcpy(\&cred, CMSG_DATA(CMSG_FIRSTHDR(\&msg)), sizeof(cred));\n&/ | scenario/test_peers | test_P4_a_passed_connection_is_its_connecters
P4-pid-not-the-callers | broker/authn/peer.c | s/peer->pid = cred.pid;/peer->pid = getpid();/ | scenario/test_peers | test_P4_a_passed_connection_is_its_connecters
P4-executable-of-the-broker | broker/authn/peer.c | s/"\/proc\/%lld\/exe", (long long)peer->pid/"\/proc\/self\/exe"/ | scenario/test_peers | test_P4_the_executable_is_that_of_the_process_that_connected
P4-executable-by-pid-alone | broker/authn/peer.c | s/ || !pidfd_alive(pidfd)// | scenario/test_peers | test_P4_a_process_that_is_gone_has_no_executable
P4-sockets-of-others-taken | broker/authn/sockdiag.c | s/if (!same_ends(msg, ends))/if (0)/ | broker/test_sockdiag | test_P4_sockdiag_names_nobody_unless*
P4-orphans-are-somebody | broker/authn/sockdiag.c | s/if (msg->idiag_inode == 0)/if (0)/ | broker/test_sockdiag | test_P4_sockdiag_names_nobody_unless*
P4-answers-of-anybody | broker/authn/sockdiag.c | s/sender == 0 ? one_answer(data, len, seq) : NULL/one_answer(data, len, seq)/ | broker/test_sockdiag | test_P4_sockdiag_takes*
P4-own-end-not-looked-at | broker/authn/sockdiag.c | s/ || info.tcpi_state != TCP_ESTABLISHED)/)/ | broker/test_sockdiag | test_P4_sockdiag_is_not_fooled*
P4-closing-sockets-count | broker/authn/sockdiag.c | s/if (msg->idiag_state != TCP_ESTABLISHED)/if (0)/ | broker/test_sockdiag | test_P4_sockdiag_names_nobody_once*
P4-not-asked-again | broker/conn.c | s/(!reply->secret || peer_stands(conn->fd, &conn->peer))/true/ | broker/test_conn | test_P4_conn_asks*
P4-any-handle-will-do | broker/door.c | s/ && CRYPTO_memcmp(text.p, door->handle.data, text.n) == 0// | scenario/test_sts | test_P4_sts_takes_the_sessions_handle_alone
P4-sts-asks-for-no-handle | broker/surface/sts.c | s/door_check_credential(x->door, conn_peer(x->conn), str_of(form->credential), &err) < 0/false/ | scenario/test_sts | test_P4_sts_takes_the_sessions_handle_alone
P4-refreshing-for-any-handle | broker/surface/sts.c | s/(door_check_credential(x->door, conn_peer(x->conn), str_of(form->credential), &err) < 0)/(grant == EXCHANGE \&\& door_check_credential(x->door, conn_peer(x->conn), str_of(form->credential), \&err) < 0)/ | scenario/test_sts | test_P4_sts_refreshes_by*
P4-handles-that-anybody-guesses | broker/session.c | s/if (door_check_handle(str_of(handle), err) < 0)/if (false)/ | scenario/test_sessions | test_sessions_are_refused_in_words
P4-handles-not-wanted-again | broker/cli/control.c | /json_object_set_new(c->body, API_HANDLE, /d | scenario/test_env | test_run_survives*
P4-handles-of-others | broker/session.c | s/if (door_takes_credential(session->door, str_of(handle)))/if (false)/ | scenario/test_sessions | test_P4_a_handle_is_one*
P4-sts-for-everybody | broker/door.c | s/door->uid < 0 || peer->uid == door->uid/true/ | scenario/test_sts | test_P4_sts_is_the_sessions_uids_alone
P4-forms-of-pages | broker/door.c | s/if (foreign_field(request).n)/if (0)/ | scenario/test_sts | test_P4_sts_gives_nothing_to_pages
P4-sts-gives-the-handle-away | broker/surface/sts_iam.c | s/door_takes_credential(door, str_of(handle))/true/ | scenario/test_sts | test_P4_sts_gives_the_handle_to_whom_has_it
P4-own-account-copied | broker/cli/profile.c | s/{ "core", "account" },// | scenario/test_logins | test_P4_run_leaves_the_users_logins_behind
P4-own-credentials-handed-on | broker/cli/environment.c | s/OTHER("GOOGLE_CREDENTIALS")/OTHER("NOBODY")/ | scenario/test_logins | test_P4_run_leaves_the_users_logins_behind
P4-own-configuration-of-gcloud | broker/cli/environment.c | s/"CLOUDSDK_CONFIG"/"NOBODY"/ | scenario/test_logins | test_P4_gcloud_does_not_take_the_own_login
P4-own-configuration-of-bq | broker/cli/environment.c | s/"CLOUDSDK_CONFIG"/"NOBODY"/ | scenario/test_logins | test_P4_bq_does_not_take_the_own_login
P4-own-boto | broker/cli/environment.c | s/"BOTO_PATH"/"NOBODY"/ | scenario/test_logins | test_P4_gsutil_does_not_take_the_own_login
P4-own-login-of-python | broker/cli/environment.c | s/"GOOGLE_APPLICATION_CREDENTIALS"/"NOBODY"/; s/"CLOUDSDK_CONFIG"/"NOBODY"/ | scenario/test_logins | test_P4_python_does_not_take_the_own_login
P4-own-login-of-node | broker/cli/environment.c | s/"GOOGLE_APPLICATION_CREDENTIALS"/"NOBODY"/; s/"CLOUDSDK_CONFIG"/"NOBODY"/ | scenario/test_logins | test_P4_node_does_not_take_the_own_login
P4-own-login-of-node-9 | broker/cli/environment.c | s/"GOOGLE_APPLICATION_CREDENTIALS"/"NOBODY"/ | scenario/test_logins | test_P4_node_9_does_not_take_the_own_login
P4-everybody-at-every-door | broker/door.c | s/door->uid < 0 || peer->uid == door->uid/true/ | scenario/test_sessions | test_P4_a_session_is_its_own_uids_alone
P4-any-handle | broker/door.c | s/CRYPTO_memcmp(text.p, door->handle.data, text.n) == 0/true/ | scenario/test_iam_credentials | test_P4_iam_takes*
P4-bearer-not-looked-at | broker/surface/iam_credentials.c | s/door_check_credential(x->door, conn_peer(x->conn), bearer, \&err) < 0/false/ | scenario/test_iam_credentials | test_P4_iam_takes*
P4-the-handle-is-enough | broker/door.c | s/door->uid < 0 || peer->uid == door->uid/true/ | scenario/test_iam_credentials | test_P4_iam_gives_another*
P4-pages-have-handles | broker/door.c | s/if (foreign_field(request).n)/if (0)/ | scenario/test_iam_credentials | test_P4_iam_gives_nothing*
P4-everybody-at-a-relay | broker/cli/relay.c | s/if (relay->uids\[i\] == peer->uid)/if (true)/ | scenario/test_relay | test_P4_a_relay_takes_its_own*
P4-pages-by-a-relay | broker/door.c | s/if (foreign_field(request).n)/if (0)/ | scenario/test_relay | test_P4_a_relay_takes_no_web_page
P4-everybody-enters-a-session | broker/surface/native_sessions.c | s/!strcmp(session_principal(session), call->caller.principal)/true/ | scenario/test_relay | test_P4_nobody_enters*
P4-every-uid-enters-a-session | broker/door.c | s/door->uid < 0 || peer->uid == door->uid/true/ | scenario/test_relay | test_P4_nobody_enters*
P4-pages-are-programs | broker/door.c | s/if (foreign_field(request).n)/if (0)/ | scenario/test_metadata | test_P4_metadata_gives_nothing*
P4-every-host-is-ours | broker/surface/foreign.c | s/^\treturn false;/\treturn true;/ | scenario/test_metadata | test_P4_metadata_gives_nothing*
P4-every-port-is-ours | broker/surface/foreign.c | s/return at == (ours.i..loopback ? port : 80);/return true;/ | broker/test_foreign | test_P4_foreign*
P4-pages-need-no-flavor | broker/surface/metadata.c | s/!str_eq(request->path, STR("\/")) \&\& !str_eq(flavor, STR("Google"))/false/; s/if (foreign_field(request).n)/if (0)/ | scenario/test_metadata | test_P4_metadata_gives_nothing*
P4-pages-in-a-browser | broker/door.c | s/if (foreign_field(request).n)/if (0)/; s/^static void on_request(void .arg, struct conn .conn, const struct http_request .request) {/&\n\t((struct http_request *)request)->fields[0] = (struct http_field){ STR("metadata-flavor"), STR("Google") };\n\t((struct http_request *)request)->method = HTTP_GET;/ | scenario/test_browser | test_P4_a_page_gets_no_token*
P4-rebound-pages | broker/surface/foreign.c | s/^\treturn false;/\treturn true;/ | scenario/test_browser | test_P4_a_rebound_page*
P4-look-up-not-cancelled | broker/request.c | s/^\taccounts_cancel(take(&req->account_wait));/\t;/ | scenario/test_peers | test_P4_clients_may_leave_while_their_account_is_looked_up
P5-any-request-kept | broker/http_memo.c | s/memo->lent || !is_plain(request)/memo->lent || (!is_plain(request) \&\& n == 0)/ | broker/test_http_memo | test_P5_http_memo*
P5-token-in-the-log | broker/request.c | s/^\t\treq->token = token_ref(result->token);/\t\tlog_info(req->world->log, "minted", "%s", result->token->value.data), req->token = token_ref(result->token);/ | scenario/test_promises | test_P5_no_token_in_the_log_the_record_or_the_process_listing
P5-token-in-the-record | broker/request.c | s/req->token ? req->token->sha256 : NULL/req->token ? req->token->value.data : NULL/ | scenario/test_promises | test_P5_no_token_in_the_log_the_record_or_the_process_listing
P5-payload-in-the-record | broker/request.c | s/return req->claims ? req->claims_sha256 : .*/return req->claims ? req->claims : req->ask.payload;/ | scenario/test_iam_credentials | test_P5_iam*
P5-signatures-kept | broker/mint.c | s/if (token \&\& !mint_signs(flight->spec->permission))/if (token)/; s/from->expires_at;/from->expires_at ? from->expires_at : INT64_MAX;/ | scenario/test_forget | test_P5_memory_holds_no*
P5-replies-of-signatures-not-wiped | broker/surface/iam_credentials.c | s/^\twipe(body.data, body.len);/\t(void)body;/ | scenario/test_forget | test_P5_memory_holds_no*
P5-signature-in-the-record | broker/request.c | s/req->token ? req->token->sha256 : NULL/req->token ? req->token->value.data : NULL/ | scenario/test_iam_credentials | test_P5_iam*
P5-token-in-an-error | broker/mint.c | s/struct buf until = BUF_INIT(64);/struct buf until = BUF_INIT(4096);/; s/^\tbuf_add_time(&until, token->expires_at);/&\n\tbuf_adds(\&until, token->text);/ | scenario/test_promises | test_P5_no_token_in_the_log_the_record_or_the_process_listing
P5-bearer-in-a-debug-line | broker/mint.c | s/^\tflight->bearer_expires_at = expires_at;/&\n\tlog_debug(flight->minter->log, "call", "bearer=%s", bearer->data);/ | scenario/test_promises | test_P5_no_token_in_the_log_the_record_or_the_process_listing
P5-core-files | broker/main.c | s/setrlimit(RLIMIT_CORE, &none);/(void)none;/ | scenario/test_promises | test_P5_no_core_file_holds_a_token
P5-keys-of-connections | broker/main.c | s/unsetenv("SSLKEYLOGFILE");// | scenario/test_upstream | test_P5_keys_of_connections*
P5-bearer-traced | broker/mint.c | s/^\tflight->bearer_expires_at = expires_at;/&\n\tlog_debug(flight->minter->log, "call", "bearer=%s", bearer->data);/ | scenario/test_forget | test_P5_a_thousand_tokens_leave_no_trace
P5-hash-of-the-flight | broker/request.c | s/req->token ? req->token->sha256 : NULL/req->token ? req->token->flight : NULL/ | scenario/test_forget | test_P5_a_thousand_tokens_leave_no_trace
P5-nothing-wiped | broker/secret.c | s/^\t\texplicit_bzero(data, len);/\t\t(void)data;/ | scenario/test_forget | test_P5_memory_holds_a_token_once_and_then_no_more
P5-replies-not-wiped | broker/conn.c | s/^\t\twipe(s->reply.data, s->reply.len);/\t\t;/ | scenario/test_forget | test_P5_memory_forgets_what_it_is_asked_about
P5-bodies-not-wiped | broker/surface/native.c | s/^\twipe(body->data, written);/\t(void)written;/ | scenario/test_forget | test_P5_memory_holds_a_token_once_and_then_no_more
P5-expired-tokens-kept | broker/cache.c | s/token->expires_at <= now ||/false ||/; s/token->expires_at - now < min_left_s/false/ | scenario/test_forget | test_P5_memory_holds_a_token_once_and_then_no_more
P5-answers-not-wiped | broker/fetch.c | s/wipe(fetch->body, fetch->body_len);/(void)0;/; s/wipe_realloc(fetch->body, size)/realloc(fetch->body, size)/ | scenario/test_forget | test_P5_memory_forgets_tokens_that_were_never_delivered
P5-what-was-sent-not-wiped | broker/fetch.c | s/wipe_free(fetch->sent);/free(fetch->sent);/ | scenario/test_forget | test_P5_memory_forgets_tokens_that_were_never_delivered
P5-handles-keep-header-lines | broker/handle.c | s/^\tcurl->easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);// | broker/test_fetch | test_P5_fetch_carries*
P5-handles-keep-bodies | broker/handle.c | s/^\tcurl->easy_setopt(easy, CURLOPT_HTTPGET, 1L);// | broker/test_fetch | test_P5_fetch_carries*
P5-handles-keep-methods | broker/handle.c | s/^\tcurl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);// | broker/test_fetch | test_P5_fetch_carries*
P5-handles-keep-paths | broker/handle.c | s/handles->curl->url_set(handle->url, CURLUPART_PATH, path, 0) == CURLUE_OK/path/ | broker/test_fetch | test_fetch_mixes_up*
P5-origins-by-their-beginning | broker/handle.c | s/origin->len == len \&\& !memcmp(origin->text, url, len)/!strncmp(origin->text, url, 7)/ | broker/test_fetch | test_fetch_trusts_each*
P5-copies-of-curl-not-wiped | broker/fetch.c | s/malloc, wipe_free, wipe_realloc, strdup/malloc, free, realloc, strdup/ | scenario/test_forget | test_P5_memory_forgets_tokens_that_were_never_delivered
P5-token-file-on-a-disk | broker/cli/private.c | s/!bases\[i\] || !is_tmpfs(bases\[i\])/!bases[i]/ | scenario/test_run | test_P5_run_writes_no_token_to_a_disk
P5-tokens-of-gcloud-left | broker/cli/private.c | s/stays ? forget(base_fd, name, fd)/stays ? (void)0/ | scenario/test_logins | test_P5_run_leaves_no_tokens_of_gclouds_behind
P5-questions-not-wiped | broker/conn.c | s/^\t\twipe(conn->in, conn->in_len);/\t\t;/ | scenario/test_forget | test_P5_memory_forgets_what_it_is_asked_about
P5-later-pieces-not-wiped | broker/conn.c | s/^\t\twipe(in + left, conn->in_len - left);/\t\t;/ | scenario/test_forget | test_P5_memory_forgets_what_it_is_asked_about
P5-answers-not-wiped-by-the-command | broker/cli/main.c | s/^\tsecret_json();/\t;/ | scenario/test_forget | test_P5_memory_of_run_forgets_its_token
P5-tokens-for-any-host | broker/cli/helper.c | s/if ((hosts\[i\].uses & use) && host_is(&hosts\[i\], host, n))/if (hosts[i].uses \& use)/ | scenario/test_helpers | test_P5_helpers_give_tokens_to_googles_hosts_alone
P5-tokens-for-lookalikes | broker/cli/helper.c | s/ && host\[n - k - 1\] == '.'// | scenario/test_helpers | test_P5_helpers_give_tokens_to_googles_hosts_alone
P5-tokens-over-http | broker/cli/helper_git.c | s/if (strcmp(q->protocol, "https")) {/if (0) {/ | scenario/test_helpers | test_P5_git_gets_tokens_for_https_alone
P5-tokens-kept-by-git | broker/cli/helper_git.c | s/^\tif (!strcmp(cli->args\[0\], "get")) {/\tif (strcmp(cli->args[0], "get"))\n\t\tputs(input);\n\telse {/ | scenario/test_helpers | test_P5_helpers_keep_no_token
P5-open-to-its-own-user | broker/main.c | s/^\tprctl(PR_SET_DUMPABLE, .*/\t;/ | scenario/test_forget | test_P5_a_process_of_the_same_user_cannot_look_inside
P5-cores-allowed | broker/main.c | s/^\tsetrlimit(RLIMIT_CORE, &none);/\t(void)none;/; s/^\tprctl(PR_SET_DUMPABLE, .*/\t;/ | scenario/test_forget | test_P5_a_crash_leaves_no_core
P6-bad-policy-taken | policy/document.c | s/if (report->findings\[i\].severity == POLICY_ERROR)/if (false)/; s/if (r == 0 || err->code == ERR_INVALID)/if (true)/ | scenario/test_promises | test_P6_a_bad_policy_is_refused_and_the_last_good_one_stays
P6-invariants-not-shown | policy/document.c | s/^\t\tinvariants_run(d);/\t\t;/ | policy/test_invariants | test_P6_an_invariant_that_fails_refuses_the_policy
P6-broken-invariant-comes-in-force | policy/document.c | s/^\t\tinvariants_run(d);/\t\t;/ | scenario/test_invariants | test_P6_a_policy_that_breaks_its_invariant_is_refused_and_the_last_good_one_stays
P6-tests-not-run | policy/document.c | s/^\t\ttests_run(d);/\t\t;/ | scenario/test_promises | test_P6_a_bad_policy_is_refused_and_the_last_good_one_stays
P6-snapshot-not-held | broker/request.c | s/\.policy = req->snapshot->policy_sha256/.policy = req->world->snapshot->policy_sha256/ | scenario/test_promises | test_P6_a_request_in_flight_finishes_under_its_snapshot
P6-hash-of-another-policy | broker/broker.c | s/^\tsnapshot_bury(b->requests.snapshot, b->errands);/\tmemcpy(snapshot->policy_sha256, b->requests.snapshot->policy_sha256, 65);/ | scenario/test_reload | test_P6_each_answer_agrees_with_the_policy_that_its_record_names
P6-no-file-is-read-as-one | broker/file.c | s/if (!S_ISREG(st.st_mode))/if (false)/ | scenario/test_reload | test_P6_a_policy_that_cannot_be_read_leaves_the_last_good_one
P6-policy-not-kept | broker/reload.c | s/if (snapshot_keep(.*) < 0)/if (false)/ | scenario/test_why | test_P6_a_policy_that_cannot_be_kept_does_not_come_in_force
P6-restart-keys-taken-up | broker/broker.c | s/if (config_needs_restart(/if (false \&\& config_needs_restart(/ | scenario/test_reload | test_P6_a_key_that_needs_a_restart_keeps_everything_as_it_is
P6-faulty-configuration-taken | broker/config.c | s/if (r == 0 && report->n_errors)/if (false)/ | scenario/test_reload | test_P6_a_configuration_with_a_fault_is_refused_whole
P6-half-a-configuration-taken | broker/config.c | s/^\tconfig->incomplete .= !copy;/\t(void)config;/ | scenario/test_memory | test_P6_a_reload*
P6-unread-configuration-taken | broker/config.c | s/^\t\tconfig->incomplete .= err.code != ERR_INVALID;/\t\t(void)0;/ | scenario/test_memory | test_P6_a_reload*
P6-half-a-policy-taken | policy/document.c | s/if (d->no_memory || d->memory_failures != policy_memory_failures())/if (0)/; s/!d->no_memory \&\& d->report->n_errors == 0/d->report->n_errors == 0/ | scenario/test_memory | test_P6_a_reload*
P6-no-memory-for-a-signal | broker/reload.c | s/^\tif (!wait) {$/\tif (0) {/ | scenario/test_memory | test_P6_a_signal*
P7-loop-by-the-environment | broker/broker.c | s/USE_CHANGELIST .*IGNORE_ENV/USE_CHANGELIST/; /event_config_require_features/d | scenario/test_front | test_front_waits_as_it_must*
P7-resets-unheard | broker/conn.c | s/^\tlook_again(s);/\t(void)look_again;/ | broker/test_conn | test_conn_tells_of_a_reset*
P7-resets-behind-bytes-unheard | broker/conn.c | s/ || has_failed(conn->fd)// ; s/^static bool has_failed/__attribute__((unused)) &/ | broker/test_conn | test_conn_tells_of_a_reset*
P7-ends-unheard | broker/conn.c | s/^\tlook_again(s);/\t(void)look_again;/; s/(r > 0 && events & EV_CLOSED)/(r > 0 \&\& events \& 0)/ | broker/test_conn | test_conn_tells_that*
P7-upstream-blocks-the-loop | broker/fetch.c | s/^#include <stddef.h>/#include <dlfcn.h>\n#include <time.h>\n&/; s/^\tLIST_INSERT_HEAD(&fetcher->running, fetch, link);/&\n\tCURLMcode (*perform)(CURLM *, int *) = dlsym(dlopen("libcurl.so.4", RTLD_NOW), "curl_multi_perform");\n\tfor (int n = 1; n; nanosleep(\&(struct timespec){ 0, 20000000 }, NULL))\n\t\tperform(fetcher->multi, \&n);/ | scenario/test_promises | test_P7_liveness_denials_and_cached_tokens_pass_a_slow_upstream
P7-bursts-called-at-once | broker/pace.c | s/if (!pace->left)/if (false)/ | broker/test_pace | test_pace_begins*
P7-bursts-left-behind | broker/fetch.c | s/^\tevent_add(fetcher->gap, .*/\t(void)us;/ | broker/test_fetch | test_fetch_begins_a_burst*
P7-calls-dead-once-the-loop-is-full | broker/fetch.c | s/^\t\t\treturn 0;/\t\t\treturn -1;/ | broker/test_fetch | test_fetch_outlives*
P7-connections-left-deaf | broker/conn.c | /event_add(&conn->read_event, NULL) < 0/{n;s/.*/\t\t(void)0;/} | scenario/test_memory | test_P1_a_port*
P7-calls-not-looked-after | broker/fetch.c | s/, fd, what, \&running) != CURLM_OK/, fd, what, \&running) < -9/ | scenario/test_memory | test_P1_no_token_is_lost_when_memory*
P7-calls-without-their-timer | broker/fetch.c | s/^\t\tevent_active(fetcher->timer, EV_TIMEOUT, 0);/\t\t;/ | broker/test_fetch | test_fetch_outlives*
P7-cache-behind-upstream | broker/request.c | s/\treq->token = mint_cached(.*/\treq->token = NULL;/; s/^\treq->fading = mint_fading(.*/\treq->fading = NULL;/ | scenario/test_promises | test_P7_liveness_denials_and_cached_tokens_pass_a_slow_upstream
P7-reloads-on-the-loop | broker/errand.c | s/e->started = pthread_create(.*/e->started = false;/ | scenario/test_reload_beside | test_P7_a_reload_keeps_nobody_waiting
P7-operators-need-names | broker/surface/native.c | s/account || (call->route->by_uid \&\& runs_the_broker(conn_peer(call->conn)))/account/ | scenario/test_peers | test_P7_a_name_service*
P7-names-asked-on-the-loop | broker/authn/strangers.c | s/errands_start(errands, &s->errand);/(void)errands; look_up(s); tell(s);/ | broker/test_strangers | test_P7_strangers*
P7-trouble-for-whoever-has-a-token | broker/request.c | s/^\treq->fading = mint_fading(.*/\treq->fading = NULL;/ | scenario/test_metadata | test_P7_a_token_that_ends_soon_outlasts*
P7-trouble-asked-for-each-time | broker/mint.c | s/REFRESH_PAUSE_S 5/REFRESH_PAUSE_S 0/ | scenario/test_metadata | test_P7_a_token_that_ends_soon_outlasts*
P7-slow-google-waited-for | broker/request.c | s/define PATIENCE_MS 2000/define PATIENCE_MS 60000/ | scenario/test_metadata | test_P7_a_token_that_ends_soon_waits*
EOF
}

trim() {
	local t=${1#"${1%%[![:space:]]*}"}
	printf '%s' "${t%"${t##*[![:space:]]}"}"
}

# The sources with the mutation and what was built of them, by hard links: sed, the compiler and the linker each replace what they
# write. The program is made anew; a test program too where it holds the code itself.
mutate() { # TREE FILE SED TEST
	local objects program
	mkdir -p "$1"
	cp -al Makefile broker policy include tests contrib "$build" "$1/" 2>/dev/null || cp -a Makefile broker policy include tests contrib "$build" "$1/"
	sed -i "$3" "$1/$2"
	if cmp -s "$2" "$1/$2"; then
		echo "the mutation changes nothing in $2 any more: write it anew"
		return 1
	fi
	objects="$1/$build/${2%.*}"
	case $2 in broker/cli/*) program=$build/hallpass ;; *) program=$build/hallpassd ;; esac
	rm -f "$objects".[od] "$1/$program" "$1/$build"/lib{broker,cli,policy}.a
	case $4 in
	scenario/*) set -- "$1" "$program" ;;
	*) set -- "$1" "$program" "$build/tests/$4" && rm -f "$1/$3" ;;
	esac
	make -s -C "$1" BUILD="$build" CFLAGS='-O0 -fno-omit-frame-pointer -Wno-error' "${@:2}" >"$1/log" 2>&1 && return
	echo "does not build: $(grep -m 1 error "$1/log")"
	return 1
}

run_one() { # a line of the table
	local name file program test filter tree why status began=$SECONDS
	IFS='|' read -r name file program test filter <<<"${1//||/@@}"
	name=$(trim "$name") file=$(trim "$file") program=$(trim "${program//@@/||}") test=$(trim "$test") filter=$(trim "$filter")
	tree=$dir/$name
	if [ "$file" = - ]; then
		mkdir -p "$tree"
		export "${program?}" HALLPASS_BUILD=$build
	elif why=$(mutate "$tree" "$file" "$program" "$test"); then
		export HALLPASS_BUILD=$tree/$build
	else
		echo "FAILED $name: $why"
		return
	fi
	case $test in scenario/*) program=$build/tests/$test ;; *) program=$HALLPASS_BUILD/tests/$test ;; esac
	[ -x "$program" ] || { echo "FAILED $name: there is no $program: build it, or take the row away" && return; }
	# The inner shell keeps to the log what bash has to say of a program that aborts.
	(HALLPASS_TEST_FILTER="$filter" CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 120 "$program"; exit $?) >"$tree/log" 2>&1 </dev/null
	status=$?
	if grep -q 'did not come up' "$tree/log"; then
		echo "FAILED $name: hallpassd does not even start with it"
	elif [ $status -ne 0 ] && [ $status -ne 124 ]; then # a wait without end is no finding
		sed -n 's/.*not ok [0-9]* - \(test_[A-Za-z0-9_]*\).*/\1/p' "$tree/log" >"$dir/$name.seen" # other output may stand before it, "…: Could not run test" behind
		echo "ok     $name: noticed by $filter ($((SECONDS - began)) s)"
	elif grep -q '# SKIP' "$tree/log"; then
		echo "skip   $name: $(grep -m 1 -o 'skipped: .*' "$tree/log")"
		sed -n 's/.*# SKIP //p' "$tree/log" >"$dir/$name.seen"
	else
		echo "FAILED $name: survived $test $filter"
	fi
	rm -rf "$tree"
}
export -f run_one mutate trim

# Tests of promises that no mutant has made fail. What "notices" is a test of a test itself.
unproven() { # WORD
	sed -n 's/^static void \(test_P[1-7]_[a-z0-9A-Z_]*\)(.*/\1/p' tests/scenario/test_*.c | sort >"$dir/tests"
	cat "$dir"/*.seen 2>/dev/null | sort -u | comm -23 "$dir/tests" - | grep -v _notice | sed "s/.*/$1 &: no mutant shows that it can fail: add one to the table/"
}

mutants | awk -F'[ |]' -v pattern="$pattern" '$1 ~ pattern' |
	xargs -d '\n' -P "${HALLPASS_TEST_JOBS:-2}" -I{} bash -c 'run_one "$1"' _ {} | tee "$dir/out"
[ "$pattern" != . ] || unproven "$([ -n "${HALLPASS_STRICT:-}" ] && echo FAILED || echo unproven)" | tee -a "$dir/out"
awk '{ n[$1]++ } END { printf "mutants: %d noticed, %d failed, %d skipped, %d promises unproven\n", n["ok"], n["FAILED"], n["skip"], n["unproven"]; exit n["FAILED"] > 0 || !n["ok"] }' "$dir/out"
