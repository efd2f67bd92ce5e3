/*
 * decide, against a decision that is written down as the documentation tells it: no index, no intervals, every second
 * of a window looked at. Random policies, and one of a hundred thousand bindings.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "tests/policy/load.h"

#define POLICIES 250
#define QUERIES 60 /* of each */
#define BIG 100000
#define MAX_WHO 4
#define MAX_ACCOUNTS 3
#define DEFAULT_LIFETIME 900
#define N_SCOPES 4

/* ---- the model ---- */

struct who {
	enum { EVERYBODY, USER, DOMAIN, GROUP, ROBOT, SUBJECT } kind;
	unsigned n;
};

struct cond {
	enum { ALWAYS, BEFORE, FROM, BETWEEN, NEVER, ERRS, FIRST_MINUTES, ERRS_FROM, SHORT_LIVED } kind;
	int64_t a, b;
};

struct model_rule {
	struct who members[MAX_WHO], exceptions[MAX_WHO];
	unsigned n_members, n_exceptions, permissions, n_accounts;
	struct {
		enum { EXACT, PREFIX, ANY } kind;
		unsigned n;
	} accounts[MAX_ACCOUNTS];
	bool scopes[N_SCOPES];
	int64_t max_lifetime, not_before, not_after; /* 0: none */
	struct cond cond;
};

struct model {
	unsigned n_users, n_groups, n_accounts, n_bindings, n_denials;
	struct who (*groups)[MAX_WHO];
	struct model_rule *bindings, *denials;
	uint64_t state;
};

static const char *const scope_texts[N_SCOPES] = {
	"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/logging.read",
	"https://www.googleapis.com/auth/drive", "openid"
};
static const bool scope_covers[N_SCOPES][N_SCOPES] = {
	{ true, true, false, true }, { [1] = true }, { [2] = true }, { [3] = true }
};

static uint32_t rnd(struct model *m, uint32_t n) {
	m->state ^= m->state << 13;
	m->state ^= m->state >> 7;
	m->state ^= m->state << 17;
	return (uint32_t)(m->state >> 32) % n;
}

static bool one_in(struct model *m, uint32_t n) {
	return rnd(m, n) == 0;
}

static struct who some_who(struct model *m, unsigned n_groups) {
	switch (rnd(m, 12)) {
	case 0:
		return (struct who){ EVERYBODY, 0 };
	case 1:
		return (struct who){ DOMAIN, rnd(m, 3) };
	case 2:
		return (struct who){ ROBOT, rnd(m, 3) };
	case 3:
		return (struct who){ SUBJECT, rnd(m, 3) };
	case 4:
	case 5:
	case 6:
	case 7:
		return n_groups ? (struct who){ GROUP, rnd(m, n_groups) } : (struct who){ USER, rnd(m, m->n_users) };
	default:
		return (struct who){ USER, rnd(m, m->n_users) };
	}
}

static int64_t some_time(struct model *m) {
	return TEST_NOW + (int64_t)rnd(m, 7200) - 1800;
}

static struct cond some_cond(struct model *m) {
	struct cond c = { .kind = one_in(m, 2) ? ALWAYS : rnd(m, SHORT_LIVED + 1) };

	c.a = some_time(m);
	c.b = c.a + 1 + rnd(m, 3000);
	if (c.kind == FIRST_MINUTES)
		c.a = rnd(m, 61);
	return c;
}

static void some_rule(struct model *m, struct model_rule *r, bool deny) {
	memset(r, 0, sizeof(*r));
	r->n_members = 1 + rnd(m, MAX_WHO);
	for (unsigned i = 0; i < r->n_members; i++)
		r->members[i] = some_who(m, m->n_groups);
	if (deny && one_in(m, 2))
		r->exceptions[r->n_exceptions++] = some_who(m, m->n_groups);
	r->n_accounts = 1 + rnd(m, MAX_ACCOUNTS);
	for (unsigned i = 0; i < r->n_accounts; i++) {
		r->accounts[i].kind = one_in(m, 6) ? PREFIX : one_in(m, 20) ? ANY : EXACT;
		r->accounts[i].n = rnd(m, r->accounts[i].kind == PREFIX ? 10 : m->n_accounts);
	}
	r->permissions = 1u << (one_in(m, 3) ? PERMISSION_IMPLICIT_DELEGATION : PERMISSION_GET_ACCESS_TOKEN);
	if (one_in(m, 3))
		r->permissions |= 1u << PERMISSION_GET_ACCESS_TOKEN | 1u << PERMISSION_SIGN_JWT;
	r->scopes[one_in(m, 3) ? rnd(m, N_SCOPES) : 0] = true;
	r->scopes[rnd(m, N_SCOPES)] = true;
	r->max_lifetime = one_in(m, 4) ? 0 : 1 + rnd(m, 4000);
	r->not_before = one_in(m, 6) && !deny ? some_time(m) : 0;
	r->not_after = r->not_before ? r->not_before : TEST_NOW;
	r->not_after = one_in(m, 4) && !deny ? r->not_after + 1 + rnd(m, 4000) : 0;
	r->cond = some_cond(m);
}

static void model_new(struct model *m, uint64_t seed, unsigned n_bindings, unsigned n_denials, unsigned n_names) {
	*m = (struct model){ .n_users = n_names, .n_groups = n_names / 2, .n_accounts = n_names, .n_bindings = n_bindings,
			     .n_denials = n_denials, .state = seed * 0x9E3779B97F4A7C15u + 1 };
	m->groups = calloc(m->n_groups, sizeof(*m->groups));
	m->bindings = calloc(n_bindings + 1, sizeof(*m->bindings));
	m->denials = calloc(n_denials + 1, sizeof(*m->denials));
	for (unsigned g = 0; g < m->n_groups; g++)
		for (int i = 0; i < MAX_WHO; i++)
			m->groups[g][i] = some_who(m, g); /* only earlier ones: no circles */
	for (unsigned i = 0; i < n_bindings; i++)
		some_rule(m, &m->bindings[i], false);
	for (unsigned i = 0; i < n_denials; i++)
		some_rule(m, &m->denials[i], true);
}

static void model_free(struct model *m) {
	free(m->groups);
	free(m->bindings);
	free(m->denials);
}

/* ---- as a document ---- */

static int who_text(struct who w, char *out, size_t size) {
	switch (w.kind) {
	case EVERYBODY:
		return snprintf(out, size, "allAuthenticated");
	case USER:
		return snprintf(out, size, "user:u%u@d%u.example", w.n, w.n % 3);
	case DOMAIN:
		return snprintf(out, size, "domain:d%u.example", w.n);
	case GROUP:
		return snprintf(out, size, "group:g%u", w.n);
	case ROBOT:
		return snprintf(out, size, "serviceAccount:s%u@d%u.example", w.n, w.n);
	default:
		return snprintf(out, size, "principal:p/%u", w.n);
	}
}

static void put_who(struct buf *b, const char *key, const struct who *list, unsigned n) {
	char text[80];

	buf_addf(b, "%s: [", key);
	for (unsigned i = 0; i < n; i++) {
		who_text(list[i], text, sizeof(text));
		buf_addf(b, "%s'%s'", i ? "," : "", text);
	}
	buf_addc(b, ']');
}

static void put_time(struct buf *b, const char *before, int64_t t, const char *after) {
	buf_adds(b, before);
	buf_add_time(b, t);
	buf_adds(b, after);
}

static void put_cond(struct buf *b, const char *key, const struct cond *c) {
	if (c->kind == ALWAYS)
		return;
	buf_addf(b, ",%s: {expression: '", key);
	switch (c->kind) {
	case BEFORE:
	case ERRS_FROM:
		put_time(b, "request.time < timestamp(\"", c->a, c->kind == BEFORE ? "\")" : "\") || request.peer.uid == 1");
		break;
	case FROM:
		put_time(b, "request.time >= timestamp(\"", c->a, "\")");
		break;
	case BETWEEN:
		put_time(b, "request.time >= timestamp(\"", c->a, "\")");
		put_time(b, " && request.time < timestamp(\"", c->b, "\")");
		break;
	case FIRST_MINUTES:
		buf_addf(b, "request.time.getMinutes() < %d", (int)c->a);
		break;
	case SHORT_LIVED:
		buf_adds(b, "request.lifetime <= duration(\"600s\")");
		break;
	default:
		buf_adds(b, c->kind == ERRS ? "request.peer.uid == 1" : "false");
	}
	buf_adds(b, "'}");
}

static void put_accounts(struct buf *b, const struct model_rule *r) {
	static const char *const forms[] = { "'a%u@p.example'", "'a%u*@p.example'", "'*'" };

	buf_adds(b, ",serviceAccounts: [");
	for (unsigned i = 0; i < r->n_accounts; i++) {
		char text[64];

		snprintf(text, sizeof(text), forms[r->accounts[i].kind], r->accounts[i].n);
		buf_addf(b, "%s%s", i ? "," : "", text);
	}
	buf_addc(b, ']');
}

static void put_permissions(struct buf *b, const struct model_rule *r) {
	const char *separator = ",permissions: [";

	for (unsigned p = 0; p < N_PERMISSIONS; p++)
		if (r->permissions & 1u << p) {
			buf_addf(b, "%s%s", separator, permission_name((enum policy_permission)p));
			separator = ",";
		}
	buf_addc(b, ']');
}

static void put_binding(struct buf *b, const struct model_rule *r, unsigned i) {
	const char *separator = ",scopes: [";
	bool bare = r->scopes[0] && !r->scopes[1] && !r->scopes[2] && !r->scopes[3]; /* the default */

	buf_addf(b, "- {name: b%u,", i);
	put_who(b, "members", r->members, r->n_members);
	put_accounts(b, r);
	if (r->permissions != 1u << PERMISSION_GET_ACCESS_TOKEN) /* the default */
		put_permissions(b, r);
	for (unsigned s = 0; s < N_SCOPES && !bare; s++)
		if (r->scopes[s]) {
			buf_addf(b, "%s%s", separator, scope_texts[s]);
			separator = ",";
		}
	buf_adds(b, bare ? "" : "]");
	if (r->max_lifetime)
		buf_addf(b, ",maxLifetime: %llds", (long long)r->max_lifetime);
	if (r->not_before)
		put_time(b, ",notBefore: ", r->not_before, "");
	if (r->not_after)
		put_time(b, ",notAfter: ", r->not_after, "");
	put_cond(b, "condition", &r->cond);
	buf_adds(b, "}\n");
}

static void put_denial(struct buf *b, const struct model_rule *r, unsigned i) {
	buf_addf(b, "- {name: d%u,", i);
	put_who(b, "deniedPrincipals", r->members, r->n_members);
	if (r->n_exceptions) {
		buf_addc(b, ',');
		put_who(b, "exceptionPrincipals", r->exceptions, r->n_exceptions);
	}
	put_accounts(b, r);
	put_permissions(b, r);
	put_cond(b, "denialCondition", &r->cond);
	buf_adds(b, "}\n");
}

/* only: a binding by itself, without deny rules; -1: all. */
static struct policy *model_load(const struct model *m, int only) {
	struct buf b = BUF_INIT(64 << 20);
	struct policy *policy;

	buf_addf(&b, "version: 1\ndefaults: {maxLifetime: %ds}\ngroups:\n", DEFAULT_LIFETIME);
	for (unsigned g = 0; g < m->n_groups; g++) {
		char key[16];

		snprintf(key, sizeof(key), "  g%u", g);
		put_who(&b, key, m->groups[g], MAX_WHO);
		buf_addc(&b, '\n');
	}
	buf_adds(&b, "bindings:\n");
	for (unsigned i = 0; i < m->n_bindings; i++)
		if (only < 0 || i == (unsigned)only)
			put_binding(&b, &m->bindings[i], i);
	buf_adds(&b, m->n_denials && only < 0 ? "denyRules:\n" : "");
	for (unsigned i = 0; i < m->n_denials && only < 0; i++)
		put_denial(&b, &m->denials[i], i);
	assert_true(buf_ok(&b));
	policy = load_policy((struct str){ b.data, b.len });
	buf_fini(&b);
	return policy;
}

/* ---- the decision, naively ---- */

struct question {
	struct who who;
	unsigned account, n_delegates, delegates[2];
	enum policy_permission permission;
	int64_t now, lifetime, ceiling, allowance;
	uint32_t now_ns;
	bool scopes[N_SCOPES];
};

struct answer {
	enum decision_reason reason;
	int rule; /* -1: none; deny rules count from 1000000 */
	int64_t lifetime, expires_by, until;
	enum bound_by by;
	bool scopes[N_SCOPES];
};

#define DENIAL 1000000

static bool is_in(const struct model *m, struct who caller, struct who w) {
	switch (w.kind) {
	case EVERYBODY:
		return true;
	case DOMAIN:
		return caller.kind == USER && caller.n % 3 == w.n;
	case GROUP:
		for (int i = 0; i < MAX_WHO; i++)
			if (is_in(m, caller, m->groups[w.n][i]))
				return true;
		return false;
	default:
		return caller.kind == w.kind && caller.n == w.n;
	}
}

static bool is_any(const struct model *m, struct who caller, const struct who *list, unsigned n) {
	for (unsigned i = 0; i < n; i++)
		if (is_in(m, caller, list[i]))
			return true;
	return false;
}

static bool covers(const struct model_rule *r, unsigned account) {
	char name[16], prefix[16];

	for (unsigned i = 0; i < r->n_accounts; i++) {
		snprintf(name, sizeof(name), "a%u", account);
		snprintf(prefix, sizeof(prefix), "a%u", r->accounts[i].n);
		if (r->accounts[i].kind == ANY || (r->accounts[i].kind == EXACT && r->accounts[i].n == account) ||
		    (r->accounts[i].kind == PREFIX && !strncmp(name, prefix, strlen(prefix))))
			return true;
	}
	return false;
}

static bool concerns(const struct model *m, const struct model_rule *r, const struct question *q) {
	return (r->permissions & 1u << q->permission) && covers(r, q->account) &&
	       is_any(m, q->who, r->members, r->n_members) && !is_any(m, q->who, r->exceptions, r->n_exceptions);
}

enum truth { NO, YES, ERROR };

static enum truth truth_at(const struct cond *c, const struct question *q, int64_t s) {
	switch (c->kind) {
	case ALWAYS:
		return YES;
	case BEFORE:
		return s < c->a;
	case FROM:
		return s >= c->a;
	case BETWEEN:
		return s >= c->a && s < c->b;
	case FIRST_MINUTES:
		return s / 60 % 60 < c->a;
	case ERRS_FROM:
		return s < c->a ? YES : ERROR;
	case SHORT_LIVED:
		return q->lifetime ? q->lifetime <= 600 : ERROR;
	case ERRS:
		return ERROR;
	default:
		return NO;
	}
}

/* The first second through limit at which it is another. */
static int64_t turns_at(const struct cond *c, const struct question *q, int64_t limit) {
	enum truth now = truth_at(c, q, q->now);

	for (int64_t s = q->now; s <= limit; s++)
		if (truth_at(c, q, s) != now)
			return s;
	return INT64_MAX;
}

static int64_t least(int64_t a, int64_t b) {
	return a < b ? a : b;
}

static void bound(int64_t at, enum bound_by by, int64_t *until, enum bound_by *until_by) {
	if (at < *until) {
		*until = at;
		*until_by = by;
	}
}

static bool grants_scope(const struct model_rule *r, const struct question *q, bool out[N_SCOPES]) {
	bool asked = false, any = false;

	for (int s = 0; s < N_SCOPES; s++)
		asked |= q->scopes[s];
	for (int s = 0; s < N_SCOPES; s++) {
		out[s] = !asked && r->scopes[s];
		for (int k = 0; k < N_SCOPES && asked && q->scopes[s]; k++)
			out[s] |= r->scopes[k] && scope_covers[k][s];
		any |= out[s];
	}
	return any;
}

static struct answer judge(const struct model *m, unsigned i, const struct question *q, int64_t until, enum bound_by by) {
	const struct model_rule *r = &m->bindings[i];
	struct answer a = { .rule = (int)i, .until = until };
	int64_t left;

	if (r->not_before && q->now < r->not_before)
		return a.reason = REASON_NOT_YET, a;
	if (r->not_after && q->now >= r->not_after)
		return a.reason = REASON_EXPIRED, a;
	if (!grants_scope(r, q, a.scopes) && q->permission == PERMISSION_GET_ACCESS_TOKEN)
		return a.reason = REASON_SCOPE, a;
	if (truth_at(&r->cond, q, q->now) != YES)
		return a.reason = truth_at(&r->cond, q, q->now) == NO ? REASON_CONDITION_FALSE : REASON_CONDITION_ERROR, a;
	a.lifetime = r->max_lifetime ? r->max_lifetime : DEFAULT_LIFETIME;
	a.by = r->max_lifetime ? BOUND_BY_MAX_LIFETIME : BOUND_BY_DEFAULT;
	if (q->lifetime && q->lifetime <= a.lifetime)
		a.lifetime = q->lifetime, a.by = BOUND_BY_REQUEST;
	if (q->ceiling && q->ceiling < a.lifetime)
		a.lifetime = q->ceiling, a.by = BOUND_BY_CEILING;
	if (r->not_after)
		bound(r->not_after, BOUND_BY_NOT_AFTER, &a.until, &by);
	bound(turns_at(&r->cond, q, q->now + a.lifetime + q->allowance), BOUND_BY_CONDITION, &a.until, &by);
	left = a.until == INT64_MAX ? INT64_MAX : a.until - q->now - q->allowance - (q->now_ns > 0);
	if (left < a.lifetime)
		a.lifetime = left, a.by = by;
	a.reason = a.lifetime < 1 ? REASON_WINDOW_CLOSING : REASON_ALLOWED;
	a.expires_by = least(a.until, q->now + a.lifetime + q->allowance);
	return a;
}

/* The nearest to a yes, then the longest, then the first. */
static bool beats(const struct answer *a, const struct answer *b) {
	static const int near[] = { [REASON_NO_BINDING] = 0, [REASON_EXPIRED] = 1,  [REASON_SCOPE] = 2, [REASON_CONDITION_ERROR] = 3,
				    [REASON_NOT_YET] = 4,    [REASON_CONDITION_FALSE] = 5, [REASON_WINDOW_CLOSING] = 6,
				    [REASON_ALLOWED] = 7 };

	if (a->reason != b->reason)
		return near[a->reason] > near[b->reason];
	return a->reason == REASON_ALLOWED && a->lifetime > b->lifetime;
}

static struct answer reference(const struct model *m, const struct question *q) {
	struct answer best = { .reason = REASON_NO_BINDING, .rule = -1 }, a;
	int64_t until = INT64_MAX, longest = 43200;
	enum bound_by by = BOUND_BY_NONE;

	longest = q->lifetime ? least(q->lifetime, longest) : longest;
	longest = q->ceiling ? least(q->ceiling, longest) : longest;
	for (unsigned i = 0; i < m->n_denials; i++) {
		const struct model_rule *r = &m->denials[i];
		enum truth t = truth_at(&r->cond, q, q->now);

		if (concerns(m, r, q) && t != NO)
			return (struct answer){ .reason = t == YES ? REASON_DENY_RULE : REASON_DENY_RULE_ERROR, .rule = DENIAL + (int)i };
	}
	for (unsigned i = 0; i < m->n_denials; i++)
		if (concerns(m, &m->denials[i], q))
			bound(turns_at(&m->denials[i].cond, q, q->now + longest + q->allowance), BOUND_BY_DENIAL_CONDITION,
			      &until, &by);
	for (unsigned i = 0; i < q->n_delegates; i++) {
		struct question hop = *q;

		hop.account = q->delegates[i];
		hop.permission = PERMISSION_IMPLICIT_DELEGATION;
		hop.n_delegates = 0;
		hop.lifetime = 0;
		a = reference(m, &hop);
		if (a.reason != REASON_ALLOWED)
			return (struct answer){ .reason = REASON_DELEGATE, .rule = a.rule };
		bound(a.expires_by, a.by, &until, &by);
	}
	for (unsigned i = 0; i < m->n_bindings; i++) {
		if (!concerns(m, &m->bindings[i], q))
			continue;
		a = judge(m, i, q, until, by);
		if (beats(&a, &best))
			best = a;
	}
	return best;
}

/* ---- both, side by side ---- */

static struct question some_question(struct model *m) {
	static const unsigned kinds[] = { USER, USER, USER, USER, USER, ROBOT, SUBJECT };
	struct question q = { .who.kind = kinds[rnd(m, 7)] };

	q.account = rnd(m, m->n_accounts + 2);
	q.now = some_time(m);
	q.now_ns = one_in(m, 2) ? rnd(m, 1000000000) : 0;
	q.allowance = (int64_t)rnd(m, 3) * 5;
	q.who.n = rnd(m, q.who.kind == USER ? m->n_users + 1 : 4);
	q.lifetime = one_in(m, 2) ? 1 + rnd(m, 5000) : 0;
	q.ceiling = one_in(m, 4) ? 1 + rnd(m, 4000) : 0;
	q.permission = one_in(m, 8) ? PERMISSION_SIGN_JWT : PERMISSION_GET_ACCESS_TOKEN;
	for (int s = 0; s < N_SCOPES; s++)
		q.scopes[s] = one_in(m, 3);
	q.n_delegates = one_in(m, 4) ? 1 + rnd(m, 2) : 0;
	for (unsigned i = 0; i < q.n_delegates; i++)
		q.delegates[i] = rnd(m, m->n_accounts);
	return q;
}

/* What a query borrows. */
struct texts {
	char principal[80], account[32], delegates[2][32];
	const char *scopes[N_SCOPES], *delegate_list[2];
};

static struct policy_query query_of(const struct question *q, struct texts *t) {
	struct policy_query out = { .now = q->now, .now_ns = q->now_ns, .principal = t->principal, .service_account = t->account,
				    .permission = q->permission, .scopes = t->scopes, .lifetime_s = q->lifetime,
				    .ceiling_s = q->ceiling, .clock_allowance_s = q->allowance,
				    .delegates = t->delegate_list, .n_delegates = q->n_delegates };

	who_text(q->who, t->principal, sizeof(t->principal));
	snprintf(t->account, sizeof(t->account), "a%u@p.example", q->account);
	for (unsigned i = 0; i < q->n_delegates; i++) {
		snprintf(t->delegates[i], sizeof(t->delegates[i]), "a%u@p.example", q->delegates[i]);
		t->delegate_list[i] = t->delegates[i];
	}
	for (int s = 0; s < N_SCOPES; s++)
		if (q->scopes[s])
			t->scopes[out.n_scopes++] = scope_texts[s];
	return out;
}

static void rule_text(int rule, char out[32]) {
	snprintf(out, 32, rule < 0 ? "%s" : rule < DENIAL ? "%sb%d" : "%sd%d", "", rule < DENIAL ? rule : rule - DENIAL);
}

static bool has_scope(const struct decision *d, const char *scope) {
	for (size_t i = 0; i < d->n_scopes; i++)
		if (!strcmp(d->scopes[i], scope))
			return true;
	return false;
}

static void check_allowed(const struct question *q, const struct answer *a, const struct decision *d) {
	assert_int_equal(d->lifetime_s, a->lifetime);
	assert_string_equal(bound_by_name(d->bound_by), bound_by_name(a->by));
	assert_int_equal(d->expires_by, a->expires_by);
	assert_int_equal(d->permitted_until, a->until);
	for (int s = 0; s < N_SCOPES; s++)
		assert_int_equal(has_scope(d, scope_texts[s]), q->permission == PERMISSION_GET_ACCESS_TOKEN && a->scopes[s]);
	/* P2, once more in words: what is asked of Google ends before anything does that it rests on */
	assert_true(a->until == INT64_MAX || q->now + (q->now_ns > 0) + d->lifetime_s + q->allowance <= d->permitted_until);
	assert_true(d->expires_by <= d->permitted_until && d->lifetime_s >= 1);
}

static void check_question(const struct model *m, const struct policy *policy, const struct question *q) {
	struct answer a = reference(m, q);
	struct texts t;
	struct policy_query query = query_of(q, &t);
	struct decision d;
	char rule[32];

	rule_text(a.rule, rule);
	policy_decide(policy, &query, &d);
	if (d.reason != a.reason || strcmp(d.rule ? d.rule : "", rule))
		fail_msg("%s as %s at %lld: %s by %s, not %s by %s", t.principal, t.account, (long long)q->now,
			 decision_reason_name(d.reason), d.rule ? d.rule : "nobody", decision_reason_name(a.reason), rule);
	assert_int_equal(d.allow, a.reason == REASON_ALLOWED);
	if (d.allow)
		check_allowed(q, &a, &d);
	else
		assert_true(d.lifetime_s == 0 && d.n_scopes == 0 && d.expires_by == 0 && d.bound_by == BOUND_BY_NONE);
}

static void assert_same(const struct decision *a, const struct decision *b) {
	assert_int_equal(a->allow, b->allow);
	assert_string_equal(decision_reason_name(a->reason), decision_reason_name(b->reason));
	assert_ptr_equal(a->rule, b->rule);
	assert_ptr_equal(a->title, b->title);
	assert_int_equal(a->lifetime_s, b->lifetime_s);
	assert_int_equal(a->expires_by, b->expires_by);
	assert_int_equal(a->permitted_until, b->permitted_until);
	assert_int_equal(a->bound_by, b->bound_by);
	assert_int_equal(a->n_scopes, b->n_scopes);
	for (size_t i = 0; i < a->n_scopes; i++)
		assert_string_equal(a->scopes[i], b->scopes[i]);
}

/* Who asks the same again, at other times and for other lifetimes, goes by the rules that were found the first time. */
static bool check_route(struct model *m, const struct policy *policy, const struct question *q) {
	struct policy_route route = { 0 };
	struct texts t;
	struct policy_query query = query_of(q, &t);
	struct decision looked_up, routed;

	for (int i = 0; i < 4; i++) {
		policy_decide(policy, &query, &looked_up);
		policy_decide_by_route(policy, &query, &route, &routed);
		assert_same(&looked_up, &routed);
		query.now = some_time(m);
		query.lifetime_s = rnd(m, 4000);
	}
	query.now = INT64_MAX; /* what is wrong with a query is still seen */
	policy_decide_by_route(policy, &query, &route, &routed);
	assert_string_equal(decision_reason_name(routed.reason), "INVALID");
	return route.found;
}

static unsigned policies(void) {
	return getenv("HALLPASS_SLOW") ? POLICIES / 20 : POLICIES;
}

static void test_P3_decisions_by_a_route_are_the_same(void **state) {
	unsigned routes = 0, asked = 0;

	(void)state;
	for (unsigned seed = 1; seed <= policies(); seed++) {
		struct policy *policy;
		struct model m;

		model_new(&m, seed, 1 + seed % 40, seed % 6, 4 + seed % 12);
		policy = model_load(&m, -1);
		for (int i = 0; i < QUERIES; i++, asked++) {
			struct question q = some_question(&m);

			routes += check_route(&m, policy, &q);
		}
		policy_unref(policy);
		model_free(&m);
	}
	print_message("%u of %u went by a route\n", routes, asked);
	assert_true(routes * 3 > asked);
	assert_true(routes < asked); /* there are policies with too many rules for one */
}

static void test_P2_P3_decisions_are_those_of_the_naive_reference(void **state) {
	unsigned allowed = 0, asked = 0;

	(void)state;
	for (unsigned seed = 1; seed <= policies(); seed++) {
		struct policy *policy;
		struct model m;

		model_new(&m, seed, 1 + seed % 40, seed % 6, 4 + seed % 12);
		policy = model_load(&m, -1);
		for (int i = 0; i < QUERIES; i++) {
			struct question q = some_question(&m);

			check_question(&m, policy, &q);
			allowed += reference(&m, &q).reason == REASON_ALLOWED;
			asked++;
		}
		policy_unref(policy);
		model_free(&m);
	}
	print_message("%u questions, %u allowed\n", asked, allowed);
	assert_true(allowed * 10 > asked);
}

/* What a policy grants, the binding that it names grants by itself, and no less. */
static void check_subset(const struct model *m, const struct policy *policy, const struct question *q) {
	struct texts t;
	struct policy_query query = query_of(q, &t);
	struct decision all, alone;
	struct policy *single;

	policy_decide(policy, &query, &all);
	if (!all.allow)
		return;
	single = model_load(m, atoi(all.rule + 1));
	policy_decide(single, &query, &alone);
	assert_true(alone.allow);
	assert_string_equal(alone.rule, all.rule);
	assert_true(all.lifetime_s <= alone.lifetime_s && all.expires_by <= alone.expires_by &&
		    all.permitted_until <= alone.permitted_until);
	assert_int_equal(all.n_scopes, alone.n_scopes);
	for (size_t i = 0; i < all.n_scopes; i++)
		assert_true(has_scope(&alone, all.scopes[i]));
	policy_unref(single);
}

static void test_P3_a_grant_is_within_what_its_binding_gives_alone(void **state) {
	(void)state;
	for (unsigned seed = 1; seed <= policies() / 2; seed++) {
		struct policy *policy;
		struct model m;

		model_new(&m, 1000 + seed, 12, 2, 6);
		policy = model_load(&m, -1);
		for (int i = 0; i < 10; i++) {
			struct question q = some_question(&m);

			q.n_delegates = 0; /* they need bindings of their own */
			check_subset(&m, policy, &q);
		}
		policy_unref(policy);
		model_free(&m);
	}
}

/* One deny rule more never turns a denial into a grant, nor makes one longer; one for everybody leaves none. */
static void test_P3_deny_rules_only_take_away(void **state) {
	(void)state;
	for (unsigned seed = 1; seed <= policies() / 2; seed++) {
		struct policy *with, *without, *none;
		struct model m;

		model_new(&m, 5000 + seed, 12, 4, 6);
		with = model_load(&m, -1);
		m.n_denials--;
		without = model_load(&m, -1);
		m.denials[0] = (struct model_rule){ .members = { { EVERYBODY, 0 } }, .n_members = 1, .permissions = (1 << N_PERMISSIONS) - 1,
						    .accounts = { { ANY, 0 } }, .n_accounts = 1, .cond.kind = seed % 2 ? ALWAYS : ERRS };
		none = model_load(&m, -1);
		for (int i = 0; i < QUERIES; i++) {
			struct question q = some_question(&m);
			struct texts t;
			struct policy_query query = query_of(&q, &t);
			struct decision a, b, c;

			policy_decide(with, &query, &a);
			policy_decide(without, &query, &b);
			policy_decide(none, &query, &c);
			assert_true(!a.allow || (b.allow && a.lifetime_s <= b.lifetime_s));
			assert_int_equal(c.reason, seed % 2 ? REASON_DENY_RULE : REASON_DENY_RULE_ERROR);
		}
		policy_unref(with);
		policy_unref(without);
		policy_unref(none);
		model_free(&m);
	}
}

static void nobody_is_everybody(struct who *who, unsigned n) {
	for (unsigned i = 0; i < n; i++)
		who[i].kind = who[i].kind == EVERYBODY ? USER : who[i].kind;
}

/* Rules that concern few each, and a document of at most 10 MiB. */
static void calm(struct model *m) {
	for (unsigned g = 0; g < m->n_groups; g++)
		nobody_is_everybody(m->groups[g], MAX_WHO);
	for (unsigned i = 0; i < m->n_denials; i++) {
		m->denials[i].n_members = m->denials[i].n_accounts = 1;
		nobody_is_everybody(m->denials[i].members, 1);
		m->denials[i].accounts[0].kind = EXACT;
	}
	for (unsigned i = 0; i < m->n_bindings; i++) {
		struct model_rule *r = &m->bindings[i];

		r->n_members = r->n_accounts = 1;
		nobody_is_everybody(r->members, 1);
		r->accounts[0].kind = r->accounts[0].kind == PREFIX && i % 64 == 0 ? PREFIX : EXACT;
		r->permissions = 1u << PERMISSION_GET_ACCESS_TOKEN;
		r->not_before = r->not_after = 0;
		r->max_lifetime = i % 8 ? 0 : r->max_lifetime;
		r->cond.kind = i % 64 ? ALWAYS : r->cond.kind;
		memcpy(r->scopes, (bool[N_SCOPES]){ true }, sizeof(r->scopes));
	}
}

static void test_decide_finds_the_same_among_a_hundred_thousand(void **state) {
	unsigned n = getenv("HALLPASS_SLOW") ? BIG / 50 : BIG, allowed = 0;
	struct policy_stats stats;
	struct policy *policy;
	struct model m;

	(void)state;
	model_new(&m, 77, n, n / 1000, n / 50);
	calm(&m);
	policy = model_load(&m, -1);
	policy_stats(policy, &stats);
	assert_int_equal(stats.bindings, n);
	for (int i = 0; i < 200; i++) {
		struct question q = some_question(&m);

		if (i % 2) { /* of a rule that is there */
			const struct model_rule *r = &m.bindings[rnd(&m, n)];

			q.account = r->accounts[0].n;
			q.who = r->members[0].kind == USER || r->members[0].kind == ROBOT ? r->members[0] : q.who;
		}
		q.n_delegates = 0;
		check_question(&m, policy, &q);
		allowed += reference(&m, &q).reason == REASON_ALLOWED;
	}
	print_message("%u bindings: 200 questions, %u allowed\n", n, allowed);
	assert_true(allowed > 5);
	policy_unref(policy);
	model_free(&m);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P2_P3_decisions_are_those_of_the_naive_reference),
		cmocka_unit_test(test_P3_decisions_by_a_route_are_the_same),
		cmocka_unit_test(test_P3_a_grant_is_within_what_its_binding_gives_alone),
		cmocka_unit_test(test_P3_deny_rules_only_take_away),
		cmocka_unit_test(test_decide_finds_the_same_among_a_hundred_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
