/* See replay.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/replay.h"
#include "broker/versions.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

#define N_THEN 2 /* across a reload requests end under the one before */

/* A policy of the past; what cannot be had is remembered as well. */
struct then {
	char hash[SHA256_HEX]; /* "": none */
	struct policy *policy; /* NULL: err says why not */
	struct error err;
	uint64_t used;
};

struct replay {
	const char *dir;
	const struct policy *policy;
	char hash[SHA256_HEX];
	struct then thens[N_THEN];
	uint64_t turn;
};

int replay_new(const char *dir, const struct policy *policy, const char *hash, struct replay **out, struct error *err) {
	struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return error_set(err, ERR_INTERNAL, "out of memory");
	replay->dir = dir;
	replay->policy = policy;
	snprintf(replay->hash, sizeof(replay->hash), "%s", hash);
	*out = replay;
	return 0;
}

void replay_free(struct replay *replay) {
	if (!replay)
		return;
	for (size_t i = 0; i < N_THEN; i++)
		policy_unref(replay->thens[i].policy);
	free(replay);
}

/* ---- the policy of then ---- */

/* It was good when it came in force, which was before it decided. */
static void then_load(const char *dir, const struct recorded *asked, struct then *then) {
	const char *hash = asked->policy;
	struct policy_report report = { 0 };
	char *text = NULL;
	size_t len;

	policy_unref(take(&then->policy));
	then->err = (struct error){ 0 };
	snprintf(then->hash, sizeof(then->hash), "%s", hash);
	if (version_read(dir, hash, &text, &len, &then->err) < 0)
		return;
	policy_load(hash, (struct str){ text, len }, &zonefile_host, asked->query.now, &then->policy, &report, &then->err);
	policy_report_fini(&report);
	free(text);
}

static struct then *then_find(struct replay *replay, const struct recorded *asked) {
	struct then *oldest = &replay->thens[0];

	for (size_t i = 0; i < N_THEN; i++) {
		struct then *then = &replay->thens[i];

		if (!strcmp(then->hash, asked->policy) && then->used) {
			then->used = ++replay->turn;
			return then;
		}
		if (then->used < oldest->used)
			oldest = then;
	}
	then_load(replay->dir, asked, oldest);
	oldest->used = ++replay->turn;
	return oldest;
}

/* ---- comparing ---- */

static bool has_scope(const char *const *scopes, size_t n, const char *scope) {
	for (size_t i = 0; i < n; i++)
		if (!strcmp(scopes[i], scope))
			return true;
	return false;
}

static bool same_scopes(const struct recorded *asked, const struct decision *d) {
	for (size_t i = 0; i < d->n_scopes; i++)
		if (!has_scope(asked->granted, asked->n_granted, d->scopes[i]))
			return false;
	for (size_t i = 0; i < asked->n_granted; i++)
		if (!has_scope(d->scopes, d->n_scopes, asked->granted[i]))
			return false;
	return true;
}

static bool same_rule(const struct recorded *asked, const struct decision *d) {
	return !strcmp(asked->binding, d->rule ? d->rule : "");
}

/* What a signed blob is good for, and how long, nobody can see: it has no lifetime. */
static bool has_lifetime(const struct recorded *asked) {
	return asked->query.permission != PERMISSION_SIGN_BLOB;
}

static bool same_answer(const struct recorded *asked, const struct replay_answer *a) {
	const struct decision *d = &a->decision;

	if (asked->allowed != a->allow || !same_rule(asked, d))
		return false;
	if (!a->allow)
		return !strcmp(asked->reason, a->reason);
	if (has_lifetime(asked) && (asked->lifetime_s != d->lifetime_s || strcmp(asked->bound_by, bound_by_name(d->bound_by)) != 0))
		return false;
	return same_scopes(asked, d);
}

static unsigned changes_of(const struct recorded *asked, const struct replay_answer *now) {
	const struct decision *d = &now->decision;
	unsigned changes = 0;

	if (asked->allowed != now->allow)
		return 1u << (asked->allowed ? REPLAY_DENIED : REPLAY_ALLOWED);
	if (!now->allow)
		return 0;
	if (has_lifetime(asked) && d->lifetime_s != asked->lifetime_s)
		changes |= 1u << (d->lifetime_s < asked->lifetime_s ? REPLAY_SHORTER : REPLAY_LONGER);
	if (!same_scopes(asked, d))
		changes |= 1u << REPLAY_SCOPES;
	return !changes && !same_rule(asked, d) ? 1u << REPLAY_BINDING : changes;
}

/* Why it is not made though it is allowed, or NULL. A cached ID token has less than the hour left. */
static const char *outlives(const struct recorded *asked, const struct decision *d) {
	const struct policy_query *q = &asked->query;

	if (q->permission == PERMISSION_SIGN_JWT && q->lifetime_s && q->now + q->lifetime_s > d->expires_by)
		return REPLAY_JWT_OUTLIVES;
	if (q->permission == PERMISSION_GET_OPEN_ID_TOKEN && !asked->cached && q->now + MINT_ID_TOKEN_LIFE > d->expires_by)
		return REPLAY_ID_TOKEN_OUTLIVES;
	return NULL;
}

static void decide(const struct policy *policy, const struct recorded *asked, struct replay_answer *out) {
	const char *why;

	policy_decide(policy, &asked->query, &out->decision);
	why = out->decision.allow ? outlives(asked, &out->decision) : NULL;
	out->allow = out->decision.allow && !why;
	out->reason = why ? why : decision_reason_name(out->decision.reason);
}

void replay_one(struct replay *replay, const struct recorded *asked, struct replayed *out) {
	bool same_policy = !strcmp(asked->policy, replay->hash);
	struct then *then = same_policy ? NULL : then_find(replay, asked);
	const struct policy *policy = same_policy ? replay->policy : then->policy;

	*out = (struct replayed){ .why = "" };
	decide(replay->policy, asked, &out->now);
	if (policy) {
		decide(policy, asked, &out->again);
		out->faith = same_answer(asked, &out->again) ? REPLAY_FAITHFUL : REPLAY_UNFAITHFUL;
	} else {
		out->faith = REPLAY_UNPROVEN;
		out->why = then->err.message;
	}
	if (out->faith != REPLAY_UNFAITHFUL)
		out->changes = changes_of(asked, &out->now);
}
