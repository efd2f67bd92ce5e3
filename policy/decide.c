/* See decide.h and include/hallpass/policy.h. */

#include <stdio.h>
#include "hallpass/cleanup.h"
#include "policy/condition.h"
#include "policy/decide.h"
#include "policy/scopes.h"

#define MIN_TIME (-62135596800) /* 0001-01-01T00:00:00Z */
#define MAX_TIME 253402300799   /* 9999-12-31T23:59:59Z */

/* ---- names ---- */

static const char *const permission_names[] = {
	[PERMISSION_GET_ACCESS_TOKEN] = "iam.serviceAccounts.getAccessToken",
	[PERMISSION_GET_OPEN_ID_TOKEN] = "iam.serviceAccounts.getOpenIdToken",
	[PERMISSION_SIGN_BLOB] = "iam.serviceAccounts.signBlob",
	[PERMISSION_SIGN_JWT] = "iam.serviceAccounts.signJwt",
	[PERMISSION_IMPLICIT_DELEGATION] = "iam.serviceAccounts.implicitDelegation",
};

const char *permission_name(enum policy_permission permission) {
	return permission_names[permission];
}

int permission_parse(const char *name, enum policy_permission *out) {
	for (size_t i = 0; i < ARRAY_SIZE(permission_names); i++)
		if (!strcmp(name, permission_names[i]) || !strcmp(name, strrchr(permission_names[i], '.') + 1)) {
			*out = (enum policy_permission)i;
			return 0;
		}
	return -1;
}

const char *decision_reason_name(enum decision_reason reason) {
	static const char *const names[] = {
		[REASON_NONE] = "NONE",
		[REASON_ALLOWED] = "ALLOWED",
		[REASON_NO_BINDING] = "NO_BINDING",
		[REASON_CONDITION_FALSE] = "CONDITION_FALSE",
		[REASON_CONDITION_ERROR] = "CONDITION_ERROR",
		[REASON_NOT_YET] = "NOT_YET",
		[REASON_EXPIRED] = "EXPIRED",
		[REASON_SCOPE] = "SCOPE",
		[REASON_DELEGATE] = "DELEGATE",
		[REASON_WINDOW_CLOSING] = "WINDOW_CLOSING",
		[REASON_DENY_RULE] = "DENY_RULE",
		[REASON_DENY_RULE_ERROR] = "DENY_RULE_ERROR",
		[REASON_INVALID] = "INVALID",
	};

	return names[reason];
}

const char *bound_by_name(enum bound_by bound_by) {
	static const char *const names[] = {
		[BOUND_BY_NONE] = "none",           [BOUND_BY_REQUEST] = "request",
		[BOUND_BY_DEFAULT] = "default",     [BOUND_BY_MAX_LIFETIME] = "maxLifetime",
		[BOUND_BY_CEILING] = "ceiling",     [BOUND_BY_NOT_AFTER] = "notAfter",
		[BOUND_BY_CONDITION] = "condition", [BOUND_BY_DENIAL_CONDITION] = "denialCondition",
		[BOUND_BY_GRANT] = "grant",
	};

	return names[bound_by];
}

/* ---- the query ---- */

static const char *scopes_fault(const struct policy_query *query) {
	if (query->n_scopes > POLICY_MAX_SCOPES)
		return "too many scopes";
	for (size_t i = 0; i < query->n_scopes; i++)
		if (!scope_well_formed(query->scopes[i]))
			return "a scope is malformed";
	return NULL;
}

static const char *delegates_fault(const struct policy_query *query) {
	char buf[MAX_EMAIL];

	if (query->n_delegates > MAX_DELEGATES)
		return "too many delegates";
	for (size_t i = 0; i < query->n_delegates; i++)
		if (canonical_email(query->delegates[i], buf) < 0)
			return "a delegate is not an e-mail address";
	return NULL;
}

static const char *numbers_fault(const struct policy_query *query) {
	if ((unsigned)query->permission >= N_PERMISSIONS)
		return "the permission is unknown";
	if (query->lifetime_s < 0 || query->ceiling_s < 0)
		return "the lifetime is negative";
	if (query->now < MIN_TIME || query->now > MAX_TIME || query->now_ns > 999999999 ||
	    query->clock_allowance_s < 0 || query->clock_allowance_s > MAX_ALLOWANCE)
		return "the time is out of range";
	if (query->claims && !json_is_object(query->claims))
		return "the claims are not an object";
	return NULL;
}

/* ---- one rule ---- */

static void tighten(int64_t bound, enum bound_by by, int64_t *until, enum bound_by *until_by) {
	if (bound < *until) {
		*until = bound;
		*until_by = by;
	}
}

/* As far as a token of this lifetime could live, or farther where somebody wants to know. */
static int64_t farthest(const struct decide *d, int64_t lifetime_s) {
	int64_t ahead = lifetime_s + d->q.clock_allowance_s;

	return d->q.now + (ahead > d->look_s ? ahead : d->look_s);
}

/* What no binding can exceed. */
static int64_t longest_lifetime(const struct decide *d) {
	int64_t lifetime = POLICY_MAX_LIFETIME;

	if (d->q.lifetime_s && d->q.lifetime_s < lifetime)
		lifetime = d->q.lifetime_s;
	return d->q.ceiling_s && d->q.ceiling_s < lifetime ? d->q.ceiling_s : lifetime;
}

const struct policy_query *query_for_condition(const struct policy_query *q, const struct rule *rule, struct policy_query *own) {
	static const char *const unknown[] = { NULL }; /* to a condition a list with what is no text is unknown */
	bool denies = rule->kind == RULE_DENY;

	if (q->permission != PERMISSION_GET_ACCESS_TOKEN || q->n_scopes || !condition_is_about(rule->condition, CONDITION_SCOPES))
		return q;
	*own = *q;
	own->scopes = denies ? unknown : rule->scopes;
	own->n_scopes = denies ? 1 : rule->n_scopes;
	return own;
}

struct verdict judge_denial(const struct decide *d, const struct rule *rule) {
	struct verdict v = { .rule = rule, .reason = REASON_DENY_RULE, .until = INT64_MAX };
	struct policy_query own;

	if (!rule->condition)
		return v;
	switch (condition_judge(rule->condition, query_for_condition(&d->q, rule, &own), false, farthest(d, longest_lifetime(d)), &v.until)) {
	case CONDITION_TRUE:
		break;
	case CONDITION_FALSE:
		v.reason = REASON_NONE;
		v.bound_by = BOUND_BY_DENIAL_CONDITION;
		break;
	case CONDITION_ERROR:
		v.reason = REASON_DENY_RULE_ERROR;
		break;
	}
	return v;
}

static bool any_scope(const struct decide *d, const struct rule *rule) {
	if (d->q.permission != PERMISSION_GET_ACCESS_TOKEN || d->q.n_scopes == 0)
		return true;
	return scopes_meet(rule->scopes, rule->n_scopes, d->q.scopes, d->q.n_scopes);
}

/* All but the condition. */
static enum decision_reason judge_state(const struct decide *d, const struct rule *rule) {
	if (d->q.now < rule->not_before)
		return REASON_NOT_YET;
	if (d->q.now >= rule->not_after)
		return REASON_EXPIRED;
	return any_scope(d, rule) ? REASON_ALLOWED : REASON_SCOPE;
}

/* until: from when on it no longer surely holds, as far as a token of this lifetime could live. */
static enum decision_reason judge_condition(const struct decide *d, const struct rule *rule, int64_t lifetime_s,
					    int64_t *until) {
	struct policy_query own;

	*until = INT64_MAX;
	if (!rule->condition)
		return REASON_ALLOWED;
	switch (condition_judge(rule->condition, query_for_condition(&d->q, rule, &own), true, farthest(d, lifetime_s), until)) {
	case CONDITION_TRUE:
		return REASON_ALLOWED;
	case CONDITION_FALSE:
		return REASON_CONDITION_FALSE;
	case CONDITION_ERROR:
		break;
	}
	return REASON_CONDITION_ERROR;
}

/* The lifetime by itself, before any instant bounds it. */
static int64_t relative_lifetime(const struct decide *d, const struct rule *rule, enum bound_by *by) {
	int64_t lifetime = rule->max_lifetime_s ? rule->max_lifetime_s : d->policy->default_lifetime_s;

	*by = rule->max_lifetime_s ? BOUND_BY_MAX_LIFETIME : BOUND_BY_DEFAULT;
	if (d->q.lifetime_s && d->q.lifetime_s <= lifetime) {
		lifetime = d->q.lifetime_s;
		*by = BOUND_BY_REQUEST;
	}
	if (d->q.ceiling_s && d->q.ceiling_s < lifetime) {
		lifetime = d->q.ceiling_s;
		*by = BOUND_BY_CEILING;
	}
	return lifetime;
}

/* Whole seconds that surely fit between now and an instant, less the allowance. */
static int64_t left_until(const struct decide *d, int64_t until) {
	return until - d->q.now - (d->q.now_ns > 0) - d->q.clock_allowance_s;
}

/*
 * The clock allowance is taken off instants alone: only they compare Google's clock with ours.
 */
static void judge_lifetime(const struct decide *d, struct verdict *v, int64_t condition_until) {
	enum bound_by until_by = d->until_by;
	int64_t left;

	v->until = d->until;
	tighten(v->rule->not_after, BOUND_BY_NOT_AFTER, &v->until, &until_by);
	tighten(condition_until, BOUND_BY_CONDITION, &v->until, &until_by);
	if (v->until == INT64_MAX)
		return;
	left = left_until(d, v->until);
	if (left < v->lifetime_s) {
		v->lifetime_s = left;
		v->bound_by = until_by;
	}
	if (v->lifetime_s < 1)
		v->reason = REASON_WINDOW_CLOSING;
}

struct verdict judge_binding(const struct decide *d, const struct rule *rule) {
	struct verdict v = { .rule = rule, .reason = judge_state(d, rule) };
	enum bound_by bound_by;
	int64_t lifetime_s, until;

	if (v.reason != REASON_ALLOWED)
		return v;
	lifetime_s = relative_lifetime(d, rule, &bound_by);
	v.reason = judge_condition(d, rule, lifetime_s, &until);
	if (v.reason != REASON_ALLOWED)
		return v;
	v.lifetime_s = lifetime_s;
	v.bound_by = bound_by;
	judge_lifetime(d, &v, until);
	return v;
}

/* ---- all of them ---- */

static void watch(const struct decide *d, const struct verdict *v) {
	if (d->watcher)
		d->watcher->verdict(d->watcher->arg, &d->q, v);
}

/* The rules of a set that concern the request, whose numbers in a route are from..end. */
struct walk {
	const struct policy_route *route;
	unsigned at, end;
	struct candidates candidates;
};

static void walk_begin(struct walk *w, const struct decide *d, const struct rule_set *set, unsigned from, unsigned end) {
	w->route = d->route;
	w->at = from;
	w->end = end;
	if (!d->route)
		candidates_begin(&w->candidates, set, &d->caller, d->account_id, d->account, d->q.permission);
}

static const struct rule *walk_next(struct walk *w) {
	if (!w->route)
		return candidates_next(&w->candidates);
	return w->at < w->end ? w->route->rules[w->at++] : NULL;
}

/* The first deny rule that applies, in file order, or one with rule NULL. */
static struct verdict run_denials(struct decide *d) {
	struct verdict worst = { 0 }, v;
	const struct rule *rule;
	struct walk walk;

	if (!d->policy->denials.n)
		return worst;
	walk_begin(&walk, d, &d->policy->denials, 0, d->route ? d->route->n_denials : 0);
	while ((rule = walk_next(&walk))) {
		v = judge_denial(d, rule);
		watch(d, &v);
		if (v.reason == REASON_NONE)
			tighten(v.until, v.bound_by, &d->until, &d->until_by);
		else if (!worst.rule || rule->index < worst.rule->index)
			worst = v;
	}
	return worst;
}

/*
 * Each delegate is decided like a request of its own for implicitDelegation by the same principal,
 * deny rules included; what bounds it bounds the token.
 */
static int run_delegates(struct decide *d, struct decision *out) {
	struct policy_query q;
	struct decision one;

	if (!d->q.n_delegates)
		return 0;
	q = d->q;
	q.permission = PERMISSION_IMPLICIT_DELEGATION;
	q.n_delegates = 0;
	q.lifetime_s = 0;
	for (size_t i = 0; i < d->q.n_delegates; i++) {
		q.service_account = d->q.delegates[i];
		policy_decide(d->policy, &q, &one);
		if (!one.allow) {
			out->reason = REASON_DELEGATE;
			out->rule = one.rule;
			out->title = one.title;
			return -1;
		}
		tighten(one.expires_by, one.bound_by, &d->until, &d->until_by); /* it was not looked at beyond that */
	}
	return 0;
}

/* Among refusals the one that is nearest to a yes is told. */
static int nearness(enum decision_reason reason) {
	static const int order[] = {
		[REASON_EXPIRED] = 1, [REASON_SCOPE] = 2,           [REASON_CONDITION_ERROR] = 3,
		[REASON_NOT_YET] = 4, [REASON_CONDITION_FALSE] = 5, [REASON_WINDOW_CLOSING] = 6,
		[REASON_ALLOWED] = 7,
	};

	return (size_t)reason < ARRAY_SIZE(order) ? order[reason] : 0;
}

static bool better(const struct verdict *a, const struct verdict *b) {
	if (!b->rule)
		return true;
	if (nearness(a->reason) != nearness(b->reason))
		return nearness(a->reason) > nearness(b->reason);
	if (a->reason == REASON_ALLOWED && a->lifetime_s != b->lifetime_s)
		return a->lifetime_s > b->lifetime_s;
	return a->rule->index < b->rule->index;
}

static struct verdict run_bindings(struct decide *d) {
	struct verdict best = { .reason = REASON_NO_BINDING }, v;
	const struct rule *rule;
	struct walk walk;

	walk_begin(&walk, d, &d->policy->bindings, d->route ? d->route->n_denials : 0, d->route ? d->route->n_rules : 0);
	while ((rule = walk_next(&walk))) {
		v = judge_binding(d, rule);
		watch(d, &v);
		if (better(&v, &best))
			best = v;
	}
	return best;
}

static void grant_scopes(const struct decide *d, const struct rule *rule, struct decision *out) {
	if (d->q.permission != PERMISSION_GET_ACCESS_TOKEN)
		return;
	if (d->q.n_scopes == 0) {
		memcpy(out->scopes, rule->scopes, rule->n_scopes * sizeof(*out->scopes));
		out->n_scopes = rule->n_scopes;
		return;
	}
	for (size_t i = 0; i < d->q.n_scopes; i++)
		if (scope_is_under(rule->scopes, rule->n_scopes, d->q.scopes[i]))
			out->scopes[out->n_scopes++] = d->q.scopes[i];
}

static void name_rule(struct decision *out, const struct verdict *v) {
	out->reason = v->reason;
	if (!v->rule)
		return;
	out->rule = v->rule->name;
	out->title = v->rule->condition ? condition_title(v->rule->condition) : NULL;
}

static void allow(const struct decide *d, const struct verdict *v, struct decision *out) {
	int64_t natural_end = d->q.now + v->lifetime_s + d->q.clock_allowance_s;

	out->allow = true;
	out->lifetime_s = v->lifetime_s;
	out->bound_by = v->bound_by;
	out->permitted_until = v->until;
	out->expires_by = v->until < natural_end ? v->until : natural_end;
	grant_scopes(d, v->rule, out);
}

/* A name that the policy has as it stands was judged when the policy was loaded. */
static bool is_known(const struct names *names, const char *name, struct str *out, uint32_t *id) {
	*out = (struct str){ name, strnlen(name, MAX_PRINCIPAL) };
	*id = names_find(names, name, out->n);
	return *id != NO_ID;
}

/* Other names are put into their canonical form first. False: there is none. */
static bool take_principal(struct decide *d, const char *principal) {
	const struct names *names = &d->policy->subjects;
	uint32_t id;

	if (!principal || !principal_may_ask(principal))
		return false;
	if (!is_known(names, principal, &d->who, &id)) {
		d->who = (struct str){ d->principal, principal_canonical(principal, d->principal) };
		id = names_find(names, d->who.p, d->who.n);
	}
	d->q.principal = d->who.p;
	caller_of(d->policy, d->who, id, &d->caller);
	return d->who.n;
}

/* What is a pattern stays one where patterns are welcome: a copy in any case, which lists change. */
static bool take_account(struct decide *d, const char *account, bool pattern) {
	const struct names *names = &d->policy->accounts;

	if (!account && !pattern)
		return false;
	if (pattern || !is_known(names, account, &d->account, &d->account_id)) {
		d->account = (struct str){ d->account_text, 0 };
		if (pattern)
			d->account.n = (size_t)snprintf(d->account_text, MAX_EMAIL, "%.*s", MAX_EMAIL - 1, account ? account : "");
		else
			d->account.n = email_canonical(account, d->account_text);
		d->account_id = names_find(names, d->account.p, d->account.n);
	}
	d->q.service_account = d->account.p;
	return pattern || d->account.n;
}

static const char *take_names(struct decide *d, const struct policy_query *query, bool pattern) {
	if (!take_principal(d, query->principal))
		return "the principal is malformed";
	return take_account(d, query->service_account, pattern) ? NULL : "the service account is not an e-mail address";
}

static void decide_init(struct decide *d, const struct policy *policy, const struct policy_query *query) {
	d->policy = policy;
	d->q = *query;
	d->until = INT64_MAX;
	d->until_by = BOUND_BY_NONE;
	d->look_s = 0;
	d->watcher = NULL;
	d->route = NULL;
}

static const char *query_fault(const struct policy_query *query) {
	const char *fault;

	if ((fault = numbers_fault(query)) || (fault = scopes_fault(query)))
		return fault;
	return query->n_delegates ? delegates_fault(query) : NULL;
}

const char *decide_begin(struct decide *d, const struct policy *policy, const struct policy_query *query, bool pattern,
			 const struct watcher *watcher) {
	const char *fault;

	decide_init(d, policy, query);
	d->watcher = watcher;
	fault = take_names(d, query, pattern);
	return fault ? fault : query_fault(query);
}

void decide_run(struct decide *d, struct decision *out) {
	struct verdict denial = run_denials(d), best;

	name_rule(out, &denial);
	if (denial.rule && !d->watcher)
		return;
	if (!denial.rule && run_delegates(d, out) < 0 && !d->watcher)
		return;
	best = run_bindings(d);
	if (denial.rule || out->reason == REASON_DELEGATE)
		return;
	name_rule(out, &best);
	if (best.reason == REASON_ALLOWED)
		allow(d, &best, out);
}

/* Until something else is known. */
static void decision_init(struct decision *out) {
	out->allow = false;
	out->reason = REASON_INVALID;
	out->rule = out->title = NULL;
	out->lifetime_s = out->expires_by = out->permitted_until = 0;
	out->bound_by = BOUND_BY_NONE;
	out->n_scopes = 0;
}

static void decide_end(struct decide *d, struct decision *out) {
	out->permitted_until = d->q.now + 1;
	decide_run(d, out);
}

void policy_decide(const struct policy *policy, const struct policy_query *query, struct decision *out) {
	struct decide d;

	decision_init(out);
	if (!decide_begin(&d, policy, query, false, NULL))
		decide_end(&d, out);
}

/* ---- by a route ---- */

static bool route_add(const struct decide *d, const struct rule_set *set, struct policy_route *route) {
	struct candidates candidates;
	const struct rule *rule;

	candidates_begin(&candidates, set, &d->caller, d->account_id, d->account, d->q.permission);
	while ((rule = candidates_next(&candidates))) {
		if (route->n_rules == POLICY_ROUTE_RULES)
			return false;
		route->rules[route->n_rules++] = rule;
	}
	return true;
}

/* Where a name is not the query's own it was put into another form. */
static void route_find(const struct decide *d, const struct policy_query *query, struct policy_route *route) {
	*route = (struct policy_route){ 0 };
	if (d->who.p != query->principal || d->account.p != query->service_account || !route_add(d, &d->policy->denials, route))
		return;
	route->n_denials = route->n_rules;
	route->principal_n = (unsigned short)d->who.n;
	route->account_n = (unsigned short)d->account.n;
	route->found = route_add(d, &d->policy->bindings, route);
}

static void decide_take_route(struct decide *d, const struct policy_query *query, const struct policy_route *route) {
	d->route = route;
	d->who = (struct str){ query->principal, route->principal_n };
	d->account = (struct str){ query->service_account, route->account_n };
}

void policy_decide_by_route(const struct policy *policy, const struct policy_query *query, struct policy_route *route,
			    struct decision *out) {
	struct decide d;

	decision_init(out);
	if (route->found) {
		decide_init(&d, policy, query);
		decide_take_route(&d, query, route);
		if (!query_fault(query))
			decide_end(&d, out);
	} else if (!decide_begin(&d, policy, query, false, NULL)) {
		decide_end(&d, out);
		route_find(&d, query, route);
	}
}
