/* See counterfactual.h. */

#include "hallpass/cleanup.h"
#include "policy/cel_time.h"
#include "policy/condition.h"
#include "policy/counterfactual.h"

#define MAX_JUDGINGS 20000 /* of rules, all tries together; each takes a microsecond or so */
#define MAX_WORK 300000	   /* nodes that the horizon looks at, all searches together; a few milliseconds */
#define MAX_STEPS 64	   /* instants that one search jumps to */
#define PAIR 100	   /* two changes are more than any single one */

static unsigned bit(int change) {
	return 1u << change;
}

/* ---- the changed query ---- */

void suggestion_apply(const struct counterfactual *c, const struct suggestion *s, struct policy_query *out) {
	*out = *c->query;
	if (s->changes & bit(CHANGE_LIFETIME))
		out->lifetime_s = s->lifetime_s;
	if (s->changes & bit(CHANGE_SCOPES)) {
		out->scopes = s->scopes;
		out->n_scopes = s->n_scopes;
	}
	if (s->changes & bit(CHANGE_JUSTIFICATION))
		out->justification = s->justification;
	if (s->changes & bit(CHANGE_DELEGATES)) {
		out->delegates = s->delegates;
		out->n_delegates = s->n_delegates;
	}
	if (s->changes & bit(CHANGE_SURFACE))
		out->surface = s->surface;
	if (s->changes & bit(CHANGE_TIME)) {
		out->now = s->at;
		out->now_ns = 0;
	}
}

/* One decision more. False: enough was tried. */
static bool spend(struct counterfactual *c) {
	if (c->judgings < c->rules)
		return false;
	c->judgings -= c->rules;
	return true;
}

static bool allows(struct counterfactual *c, const struct policy_query *q) {
	struct decision decision;

	if (!spend(c))
		return false;
	policy_decide(c->policy, q, &decision);
	return decision.allow;
}

/* ---- another instant ---- */

/* What one look at all rules tells of when the next could be different. */
struct bounds {
	struct counterfactual *c;
	int64_t limit;
	int64_t denials;  /* not before each deny rule that applies may have turned */
	int64_t bindings; /* nor before the first binding may let it through */
};

static int64_t may_turn(struct bounds *b, const struct rule *rule, const struct policy_query *query, bool wish) {
	int64_t limit = wish && b->bindings < b->limit ? b->bindings : b->limit; /* another one opens there */
	struct policy_query own, q;

	if (!rule->condition)
		return INT64_MAX;
	q = *query_for_condition(query, rule, &own);
	q.now_ns = 999999999; /* what comes after this second */
	return condition_when(rule->condition, &q, wish, limit, &b->c->work);
}

static int64_t may_open(struct bounds *b, const struct verdict *v, const struct policy_query *q) {
	switch (v->reason) {
	case REASON_ALLOWED:
		return q->now;
	case REASON_NOT_YET:
		return v->rule->not_before;
	case REASON_CONDITION_FALSE:
	case REASON_CONDITION_ERROR:
		return may_turn(b, v->rule, q, true);
	case REASON_WINDOW_CLOSING:
		return v->until;
	default:
		return INT64_MAX;
	}
}

static void note_bound(void *arg, const struct policy_query *q, const struct verdict *v) {
	struct bounds *b = arg;
	int64_t at;

	if (v->rule->kind == RULE_DENY && v->reason == REASON_NONE)
		return;
	if (v->rule->kind == RULE_DENY) {
		at = may_turn(b, v->rule, q, false);
		b->denials = at > b->denials ? at : b->denials;
	} else {
		at = may_open(b, v, q);
		b->bindings = at < b->bindings ? at : b->bindings;
	}
}

static int64_t next_allowed(struct counterfactual *c, const struct policy_query *query, int64_t limit);

/* Not before each delegate is allowed; query->now where they all are. */
static int64_t delegates_open(struct counterfactual *c, const struct policy_query *query, int64_t limit) {
	struct policy_query q = *query;
	int64_t latest = query->now, at;

	q.permission = PERMISSION_IMPLICIT_DELEGATION;
	q.n_delegates = 0;
	q.lifetime_s = 0;
	for (size_t i = 0; i < query->n_delegates && latest < INT64_MAX; i++) {
		q.service_account = query->delegates[i];
		at = next_allowed(c, &q, limit);
		latest = at > latest ? at : latest;
	}
	return latest;
}

/* The soonest second at which it could be allowed, after one at which it is not; query->now: it is allowed now. */
static int64_t next_chance(struct counterfactual *c, const struct policy_query *query, int64_t limit) {
	struct bounds b = { .c = c, .limit = limit, .denials = query->now, .bindings = INT64_MAX };
	const struct watcher watcher = { note_bound, &b };
	struct decision decision = { 0 };
	struct decide d;
	int64_t at;

	if (!spend(c) || decide_begin(&d, c->policy, query, false, &watcher))
		return INT64_MAX;
	decide_run(&d, &decision);
	if (decision.allow)
		return query->now;
	at = b.denials > b.bindings ? b.denials : b.bindings;
	if (at <= limit && query->n_delegates) {
		int64_t open = delegates_open(c, query, limit);

		at = open > at ? open : at;
	}
	return at > query->now ? at : query->now + 1;
}

/* The first second, from the query's instant through limit, at which it is allowed; INT64_MAX: none was seen. */
static int64_t next_allowed(struct counterfactual *c, const struct policy_query *query, int64_t limit) {
	struct policy_query q = *query;
	int64_t at;

	for (int i = 0; i < MAX_STEPS && c->work; i++) {
		at = next_chance(c, &q, limit);
		if (at == q.now)
			return at;
		if (at > limit)
			break;
		q.now = at;
		q.now_ns = 0;
	}
	return INT64_MAX;
}

/* ---- candidates: the i-th change of each kind, on top of what s already changes; the smaller ones first ---- */

enum drawn { NO_MORE, SKIP, DRAWN };

/* Shorter ones first, the longest of them before the others; then longer ones. */
static int64_t lifetime_rank(int64_t lifetime_s, int64_t asked_s) {
	return lifetime_s <= asked_s ? asked_s - lifetime_s : POLICY_MAX_LIFETIME + lifetime_s;
}

static enum drawn draw_lifetime(struct counterfactual *c, unsigned i, struct suggestion *s) {
	static const int64_t usual[] = { 43200, 14400, 3600, 1800, 900, 600, 300, 60 };
	int64_t asked = c->query->lifetime_s ? c->query->lifetime_s : 3600, sorted[ARRAY_SIZE(usual) + EXAMPLES], v;
	size_t n = 0, at;

	if (!c->about[CONDITION_LIFETIME])
		return NO_MORE;
	for (size_t k = 0; k < ARRAY_SIZE(usual) + c->lifetimes.n_spans; k++) {
		v = k < ARRAY_SIZE(usual) ? usual[k] : c->lifetimes.spans[k - ARRAY_SIZE(usual)];
		for (at = n++; at > 0 && lifetime_rank(sorted[at - 1], asked) > lifetime_rank(v, asked); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = v;
	}
	if (i >= n)
		return NO_MORE;
	s->lifetime_s = sorted[i];
	return sorted[i] < 1 || sorted[i] > POLICY_MAX_LIFETIME || sorted[i] == c->query->lifetime_s ? SKIP : DRAWN;
}

static void keep_scopes(struct counterfactual *c, struct suggestion *s,
			bool (*wanted)(struct counterfactual *c, const struct suggestion *s, const char *scope)) {
	s->n_scopes = 0;
	for (size_t i = 0; i < c->query->n_scopes; i++)
		if (wanted(c, s, c->query->scopes[i]))
			s->scopes[s->n_scopes++] = c->query->scopes[i];
}

static bool scope_is_mentioned(struct counterfactual *c, const struct suggestion *s, const char *scope) {
	(void)s;
	for (size_t i = 0; i < c->n_conditions; i++)
		if (condition_mentions(c->conditions[i], scope))
			return true;
	return false;
}

static bool scope_would_do_alone(struct counterfactual *c, const struct suggestion *s, const char *scope) {
	struct policy_query q;

	suggestion_apply(c, s, &q);
	q.scopes = &scope;
	q.n_scopes = 1;
	return allows(c, &q);
}

/* Without one; without those of which no condition speaks; with those that would do alone; without any. */
static enum drawn draw_scopes(struct counterfactual *c, unsigned i, struct suggestion *s) {
	const size_t n = c->query->n_scopes;

	if (n == 0 || i > n + 2 || !(c->about[CONDITION_SCOPES] || c->scopes_refused))
		return NO_MORE;
	s->n_scopes = 0;
	if (i < n) {
		for (size_t k = 0; k < n; k++)
			if (k != i)
				s->scopes[s->n_scopes++] = c->query->scopes[k];
	} else if (i == n) {
		keep_scopes(c, s, scope_is_mentioned);
	} else if (i == n + 1 && s->changes == bit(CHANGE_SCOPES)) {
		keep_scopes(c, s, scope_would_do_alone);
	}
	return s->n_scopes == n || (s->n_scopes == 0 && i < n + 2) ? SKIP : DRAWN;
}

static enum drawn draw_justification(struct counterfactual *c, unsigned i, struct suggestion *s) {
	if (i >= c->justifications.n)
		return NO_MORE;
	s->justification = c->justifications.texts[i];
	return DRAWN;
}

static enum drawn draw_surface(struct counterfactual *c, unsigned i, struct suggestion *s) {
	if (i >= c->surfaces.n)
		return NO_MORE;
	s->surface = c->surfaces.texts[i];
	return c->query->surface && !strcmp(s->surface, c->query->surface) ? SKIP : DRAWN;
}

/* Without one, without any. */
static enum drawn draw_delegates(struct counterfactual *c, unsigned i, struct suggestion *s) {
	const size_t n = c->query->n_delegates;

	if (n == 0 || i > n)
		return NO_MORE;
	s->n_delegates = 0;
	for (size_t k = 0; k < n && i < n; k++)
		if (k != i)
			s->delegates[s->n_delegates++] = c->query->delegates[k];
	return n == 1 && i < n ? SKIP : DRAWN;
}

static enum drawn draw_time(struct counterfactual *c, unsigned i, struct suggestion *s) {
	struct policy_query q;
	int64_t limit = c->query->now + c->ahead_s;

	if (i)
		return NO_MORE;
	s->changes &= ~bit(CHANGE_TIME);
	suggestion_apply(c, s, &q);
	q.now += c->from_s;
	s->changes |= bit(CHANGE_TIME);
	s->at = next_allowed(c, &q, limit < CEL_TIME_MAX_S ? limit : CEL_TIME_MAX_S);
	return s->at < INT64_MAX && s->at > c->query->now ? DRAWN : NO_MORE;
}

static enum drawn (*const draws[N_CHANGES])(struct counterfactual *c, unsigned i, struct suggestion *s) = {
	[CHANGE_LIFETIME] = draw_lifetime,	     [CHANGE_SCOPES] = draw_scopes,
	[CHANGE_JUSTIFICATION] = draw_justification, [CHANGE_DELEGATES] = draw_delegates,
	[CHANGE_SURFACE] = draw_surface,	     [CHANGE_TIME] = draw_time,
};

/* ---- trying them ---- */

/* What waiting asks of people: minutes less than another lifetime, a day more than a justification. */
static unsigned size_of_wait(int64_t s) {
	return s <= 600 ? 5 : s <= 3600 ? 35 : s <= 86400 ? 45 : 70;
}

static unsigned size_of(const struct counterfactual *c, const struct suggestion *s) {
	const unsigned sizes[N_CHANGES] = {
		[CHANGE_LIFETIME] = 10,
		[CHANGE_SCOPES] = s->n_scopes ? 15 : 20,
		[CHANGE_JUSTIFICATION] = 30,
		[CHANGE_DELEGATES] = s->n_delegates ? 40 : 50,
		[CHANGE_SURFACE] = 60,
		[CHANGE_TIME] = size_of_wait(s->at - c->query->now),
	};
	unsigned size = s->changes & (s->changes - 1) ? PAIR : 0;

	for (int k = 0; k < N_CHANGES; k++)
		size += s->changes & bit(k) ? sizes[k] : 0;
	return size;
}

static void keep(struct counterfactual *c, struct suggestion *s) {
	size_t at;

	s->size = size_of(c, s);
	if (c->n == MAX_SUGGESTIONS && c->list[c->n - 1].size <= s->size)
		return;
	at = c->n < MAX_SUGGESTIONS ? c->n++ : c->n - 1;
	for (; at > 0 && c->list[at - 1].size > s->size; at--)
		c->list[at] = c->list[at - 1];
	c->list[at] = *s;
}

/* The first change of this kind that makes what s has a yes. */
static bool try(struct counterfactual *c, struct suggestion *s, enum change kind) {
	struct policy_query q;
	enum drawn drawn;

	s->changes |= bit(kind);
	for (unsigned i = 0; (drawn = draws[kind](c, i, s)) != NO_MORE; i++) {
		suggestion_apply(c, s, &q);
		if (drawn == DRAWN && allows(c, &q)) {
			keep(c, s);
			return true;
		}
	}
	s->changes &= ~bit(kind);
	return false;
}

/* The same, on top of each change of another kind. */
static void try_pair(struct counterfactual *c, enum change one, enum change other) {
	struct suggestion s = { 0 };
	enum drawn drawn;

	for (unsigned i = 0;; i++) {
		s.changes = bit(one);
		drawn = draws[one](c, i, &s);
		if (drawn == NO_MORE || (drawn == DRAWN && try(c, &s, other)))
			return;
	}
}

static void try_all(struct counterfactual *c) {
	for (int k = 0; k < N_CHANGES; k++) {
		struct suggestion s = { 0 };

		try(c, &s, (enum change)k);
	}
	for (int k = 0; k < N_CHANGES && !c->n; k++)
		for (int l = k + 1; l < N_CHANGES; l++)
			try_pair(c, (enum change)k, (enum change)l);
}

/* A window that opens next year, the 29th of February: to wait for it is what one does when all else fails. */
static void try_far(struct counterfactual *c) {
	struct suggestion s = { 0 };

	c->from_s = SUGGEST_AHEAD_S;
	c->ahead_s = SUGGEST_FAR_S;
	c->work = MAX_WORK;
	try(c, &s, CHANGE_TIME);
}

/* ---- what there is to try with ---- */

struct collection {
	struct counterfactual *c;
	const struct decision *decision;
	bool zone_of_decision;
	unsigned bindings;
};

static void collect_zone(struct collection *of, const struct rule *rule) {
	bool decided = rule->name == of->decision->rule;

	if (of->zone_of_decision || (of->c->zone_name.n && !decided))
		return;
	if (condition_zone(rule->condition, &of->c->zone_name, &of->c->zone))
		of->zone_of_decision = decided;
}

static void collect(void *arg, const struct policy_query *q, const struct verdict *v) {
	struct collection *of = arg;
	struct counterfactual *c = of->c;
	const struct condition *condition = v->rule->condition;

	(void)q;
	c->rules++;
	of->bindings += v->rule->kind == RULE_BINDING;
	c->scopes_refused |= v->reason == REASON_SCOPE;
	c->hopeless |= v->rule->kind == RULE_DENY && !condition;
	if (!condition)
		return;
	for (int part = 0; part < N_CONDITION_PARTS; part++)
		c->about[part] |= condition_is_about(condition, (enum condition_part)part);
	condition_examples(condition, CONDITION_LIFETIME, &c->lifetimes);
	condition_examples(condition, CONDITION_JUSTIFICATION, &c->justifications);
	condition_examples(condition, CONDITION_SURFACE, &c->surfaces);
	if (condition_is_about(condition, CONDITION_SCOPES) && c->n_conditions < ARRAY_SIZE(c->conditions))
		c->conditions[c->n_conditions++] = condition;
	collect_zone(of, v->rule);
}

/* False: the query cannot be decided. */
static bool collect_from(struct collection *of, const struct policy_query *q) {
	const struct watcher watcher = { collect, of };
	struct decision decision = { 0 };
	struct decide d;

	if (decide_begin(&d, of->c->policy, q, false, &watcher))
		return false;
	decide_run(&d, &decision);
	return true;
}

static bool collect_all(struct collection *of) {
	struct policy_query q = *of->c->query;

	if (!collect_from(of, &q) || of->bindings == 0 || of->c->hopeless)
		return false;
	q.permission = PERMISSION_IMPLICIT_DELEGATION;
	q.n_delegates = 0;
	for (size_t i = 0; i < of->c->query->n_delegates; i++) {
		q.service_account = of->c->query->delegates[i];
		collect_from(of, &q);
	}
	return true;
}

void counterfactual_find(struct counterfactual *c, const struct policy *policy, const struct policy_query *query,
			 const struct decision *decision) {
	struct collection of = { .c = c, .decision = decision };

	*c = (struct counterfactual){ .policy = policy, .query = query, .ahead_s = SUGGEST_AHEAD_S, .judgings = MAX_JUDGINGS,
				      .work = MAX_WORK };
	if (decision->allow || !collect_all(&of))
		return;
	try_all(c);
	if (!c->n)
		try_far(c);
}

/* ---- in words ---- */

/* Rounded up: who waits so long has waited long enough. */
static void say_span(int64_t s, struct buf *out) {
	int64_t unit = s < 60 ? 1 : s < 86400 ? 60 : s < 60 * 86400 ? 3600 : 86400;

	s = (s + unit - 1) / unit * unit;
	if (s < 60)
		buf_addf(out, "%lld s", (long long)s);
	if (s >= 86400)
		buf_addf(out, "%lld d", (long long)(s / 86400));
	if (s >= 3600 && s % 86400 / 3600)
		buf_addf(out, "%s%lld h", s >= 86400 ? " " : "", (long long)(s % 86400 / 3600));
	if (s >= 60 && s < 86400 && s % 3600 / 60)
		buf_addf(out, "%s%lld min", s >= 3600 ? " " : "", (long long)(s % 3600 / 60));
}

/* Within a day the clock's hands are enough. */
static void say_time(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	static const char *const weekdays[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
	const struct cel_timestamp t = { s->at, 0 };
	int64_t wait = s->at - c->query->now;

	if (wait >= 86400)
		buf_addf(out, "on %s %04lld-%02lld-%02lld ", weekdays[cel_time_get(CEL_DAY_OF_WEEK, t, c->zone)],
			 (long long)cel_time_get(CEL_FULL_YEAR, t, c->zone),
			 (long long)cel_time_get(CEL_MONTH, t, c->zone) + 1, (long long)cel_time_get(CEL_DATE, t, c->zone));
	buf_addf(out, "at %02lld:%02lld", (long long)cel_time_get(CEL_HOURS, t, c->zone),
		 (long long)cel_time_get(CEL_MINUTES, t, c->zone));
	if (cel_time_get(CEL_SECONDS, t, c->zone))
		buf_addf(out, ":%02lld", (long long)cel_time_get(CEL_SECONDS, t, c->zone));
	buf_addc(out, ' ');
	if (c->zone_name.n)
		buf_add(out, c->zone_name.p, c->zone_name.n);
	else
		buf_adds(out, "UTC");
	buf_adds(out, ", in ");
	say_span(wait, out);
}

static void say_lifetime(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	(void)c;
	buf_adds(out, "with a lifetime of ");
	if (s->lifetime_s < 86400 && s->lifetime_s % 60)
		buf_addf(out, "%lld s", (long long)s->lifetime_s);
	else
		say_span(s->lifetime_s, out);
}

/* "scope x", "scopes x and y": of all those that are not in what is left. */
static void say_missing(const char *what, const char *const *all, size_t n, const char *const *left, size_t n_left,
			struct buf *out) {
	size_t missing = n - n_left, told = 0, k = 0;

	buf_addf(out, "%s%s ", what, missing == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++) {
		if (k < n_left && left[k] == all[i]) {
			k++;
			continue;
		}
		buf_addf(out, "%s%s", told == 0 ? "" : told + 1 == missing ? " and " : ", ", all[i]);
		told++;
	}
}

static void say_scopes(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	if (s->n_scopes == 0) {
		buf_adds(out, "with no scope asked for");
		return;
	}
	buf_adds(out, "with ");
	say_missing("scope", c->query->scopes, c->query->n_scopes, s->scopes, s->n_scopes, out);
	buf_adds(out, " dropped");
}

static void say_justification(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	(void)c;
	buf_addf(out, "with a justification like \"%s\"", s->justification);
}

static void say_delegates(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	buf_adds(out, "without ");
	say_missing("delegate", c->query->delegates, c->query->n_delegates, s->delegates, s->n_delegates, out);
}

static void say_surface(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	(void)c;
	buf_addf(out, "through the surface %s", s->surface);
}

static const struct {
	const char *name;
	void (*say)(const struct counterfactual *c, const struct suggestion *s, struct buf *out);
} words[N_CHANGES] = {
	[CHANGE_LIFETIME] = { "lifetime", say_lifetime },
	[CHANGE_SCOPES] = { "scopes", say_scopes },
	[CHANGE_JUSTIFICATION] = { "justification", say_justification },
	[CHANGE_DELEGATES] = { "delegates", say_delegates },
	[CHANGE_SURFACE] = { "surface", say_surface },
	[CHANGE_TIME] = { "time", say_time },
};

void suggestion_say(const struct counterfactual *c, const struct suggestion *s, struct buf *out) {
	const char *and = "";

	for (int k = 0; k < N_CHANGES; k++) {
		if (!(s->changes & bit(k)))
			continue;
		buf_adds(out, and);
		words[k].say(c, s, out);
		and = " and ";
	}
}

const char *change_name(enum change change) {
	return words[change].name;
}
