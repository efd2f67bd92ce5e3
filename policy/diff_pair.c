/* One principal, one account, one permission under two policies. See diff.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "policy/diff.h"
#include "policy/scopes.h"

#define MAX_KINDS 4	  /* different lifetimes, and scopes, of one pair in the course of time */
#define MAX_TOLD_SPANS 50
#define MAX_FACTS 64

/* ---- answers ---- */

struct policy_query diff_query(const struct diff_variant *v, const char *principal, const char *account,
			       enum policy_permission permission, int64_t at) {
	return (struct policy_query){
		.now = at,
		.principal = principal,
		.auth_method = "peer",
		.service_account = account,
		.permission = permission,
		.scopes = &v->scope,
		.n_scopes = v->scope != NULL,
		.lifetime_s = v->lifetime_s,
		.justification = v->justification,
		.surface = v->surface ? v->surface : "native",
	};
}

struct asking {
	const struct policy *policy;
	struct diff_answer *out;
	const struct rule *longest;
};

static void saw(void *arg, const struct policy_query *query, const struct verdict *v) {
	struct asking *a = arg;
	int64_t lifetime = v->rule->max_lifetime_s ? v->rule->max_lifetime_s : a->policy->default_lifetime_s;

	if (v->rule->kind != RULE_BINDING || v->reason != REASON_ALLOWED)
		return;
	if (query->lifetime_s && query->lifetime_s < lifetime)
		lifetime = query->lifetime_s;
	if (lifetime > a->out->lifetime_s || (lifetime == a->out->lifetime_s && v->rule->index < a->longest->index)) {
		a->out->lifetime_s = lifetime;
		a->longest = v->rule;
	}
	if (a->out->n_by < ARRAY_SIZE(a->out->by))
		a->out->by[a->out->n_by++] = v->rule;
	else
		a->out->more_by = true;
}

/*
 * Whether it is allowed does not depend on how long, and conditions do not see the configuration's ceiling: with a second of it
 * nobody looks hours ahead for the end of windows.
 */
void diff_answer(const struct policy *policy, const struct policy_query *query, struct diff_answer *out) {
	struct asking asking = { policy, out, NULL };
	const struct watcher watcher = { saw, &asking };
	struct decision decision = { 0 };
	struct decide d;

	*out = (struct diff_answer){ 0 };
	if (decide_begin(&d, policy, query, false, &watcher))
		return;
	d.q.ceiling_s = 1;
	decide_run(&d, &decision);
	out->allow = decision.allow;
	out->rule = decision.allow ? asking.longest->name : decision.rule;
}

static bool gives_scope(const struct diff_answer *a, const char *scope) {
	for (size_t i = 0; i < a->n_by; i++)
		for (uint32_t k = 0; k < a->by[i]->n_scopes; k++)
			if (scope_covers(a->by[i]->scopes[k], scope))
				return true;
	return a->more_by; /* perhaps */
}

static bool gives_more(const struct diff_answer *a, const struct diff_answer *than) {
	for (size_t i = 0; i < a->n_by; i++)
		for (uint32_t k = 0; k < a->by[i]->n_scopes; k++)
			if (!gives_scope(than, a->by[i]->scopes[k]))
				return true;
	return false;
}

bool diff_scopes_differ(const struct diff_answer *was, const struct diff_answer *now, enum policy_permission permission) {
	return permission == PERMISSION_GET_ACCESS_TOKEN && (gives_more(was, now) || gives_more(now, was));
}

/* Each scope of one that the other does not give, once. */
static json_t *scopes_beyond(const struct diff_answer *a, const struct diff_answer *than) {
	json_t *set = json_object(), *list = json_array();

	for (size_t i = 0; i < a->n_by; i++)
		for (uint32_t k = 0; k < a->by[i]->n_scopes; k++)
			if (!gives_scope(than, a->by[i]->scopes[k]) && !json_object_get(set, a->by[i]->scopes[k])) {
				json_object_set_new(set, a->by[i]->scopes[k], json_true());
				json_array_append_new(list, json_string(a->by[i]->scopes[k]));
			}
	json_decref(set);
	return list;
}

/* ---- one way to ask, in the course of time ---- */

/* Lifetimes, or scopes, that are otherwise at some times. */
struct course {
	int64_t was_s, now_s;
	struct diff_answer was, now;
	int64_t at;
	struct spans spans;
};

struct time_line {
	struct spans was, now, differs;
	int64_t at; /* of the first difference */
	struct diff_answer was_answer, now_answer;
	struct course lifetimes[MAX_KINDS], scopes[MAX_KINDS];
	size_t n_lifetimes, n_scopes;
};

static void time_line_fini(struct time_line *t) {
	spans_fini(&t->was);
	spans_fini(&t->now);
	spans_fini(&t->differs);
	for (size_t i = 0; i < MAX_KINDS; i++) {
		spans_fini(&t->lifetimes[i].spans);
		spans_fini(&t->scopes[i].spans);
	}
}

static bool same_lifetimes(const struct course *c, const struct diff_answer *was, const struct diff_answer *now) {
	return c->was_s == was->lifetime_s && c->now_s == now->lifetime_s;
}

static bool same_rules(const struct diff_answer *a, const struct diff_answer *b) {
	return a->n_by == b->n_by && !memcmp(a->by, b->by, a->n_by * sizeof(const struct rule *));
}

static bool same_scopes(const struct course *c, const struct diff_answer *was, const struct diff_answer *now) {
	return same_rules(&c->was, was) && same_rules(&c->now, now);
}

/* Those beyond the fourth kind go with it. */
static int add_course(struct course *courses, size_t *n, bool (*same)(const struct course *, const struct diff_answer *, const struct diff_answer *),
		      const struct diff_cell *cell, const struct diff_answer *was, const struct diff_answer *now) {
	size_t i = 0;

	while (i < *n && !same(&courses[i], was, now))
		i++;
	if (i == MAX_KINDS)
		i--;
	if (i == *n)
		courses[(*n)++] = (struct course){ .was_s = was->lifetime_s, .now_s = now->lifetime_s, .was = *was, .now = *now, .at = cell->from };
	return spans_add(&courses[i].spans, cell->from, cell->to, cell->joins);
}

static int add_difference(struct time_line *t, const struct diff_cell *cell, const struct diff_answer *was, const struct diff_answer *now) {
	if (!t->differs.n) {
		t->at = cell->from;
		t->was_answer = *was;
		t->now_answer = *now;
	}
	return spans_add(&t->differs, cell->from, cell->to, cell->joins);
}

static int add_cell(struct time_line *t, const struct diff_cell *cell, const struct diff_answer *was, const struct diff_answer *now,
		    enum policy_permission permission) {
	if (was->allow && spans_add(&t->was, cell->from, cell->to, cell->joins) < 0)
		return -1;
	if (now->allow && spans_add(&t->now, cell->from, cell->to, cell->joins) < 0)
		return -1;
	if (was->allow != now->allow)
		return add_difference(t, cell, was, now);
	if (!was->allow)
		return 0;
	if (was->lifetime_s != now->lifetime_s && add_course(t->lifetimes, &t->n_lifetimes, same_lifetimes, cell, was, now) < 0)
		return -1;
	return diff_scopes_differ(was, now, permission) ? add_course(t->scopes, &t->n_scopes, same_scopes, cell, was, now) : 0;
}

/* ---- facts ---- */

/* The same of several ways to ask. */
struct fact {
	char *key;
	json_t *json;
	uint64_t variants;
	int64_t at;
	struct diff_answer was, now;
};

struct facts {
	struct fact list[MAX_FACTS];
	size_t n;
	const struct diff_question *question;
	const struct diff_concerned *concerned;
};

static void facts_fini(struct facts *f) {
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].key);
		json_decref(f->list[i].json);
	}
}

static json_t *windows_json(const struct facts *f, const struct spans *spans) {
	const struct diff_concerned *c = f->concerned;
	struct buf text = BUF_INIT(8192);
	json_t *json;

	windows_say(spans, c->eras, c->n_eras, c->zones, c->n_zones, &text);
	json = json_string(text.data ? text.data : "");
	buf_fini(&text);
	return json;
}

static void set_spans(json_t *json, const struct spans *spans) {
	json_t *list = json_array();

	for (size_t i = 0; i < spans->n && i < MAX_TOLD_SPANS; i++)
		json_array_append_new(list, json_pack("[o, o]", time_json(spans->list[i].from), time_json(spans->list[i].to)));
	json_object_set_new(json, "differs", list);
	if (spans->n > MAX_TOLD_SPANS)
		json_object_set_new(json, "moreDiffers", json_integer((json_int_t)(spans->n - MAX_TOLD_SPANS)));
}

/* Takes json. */
static int add_fact(struct facts *f, json_t *json, size_t variant, int64_t at, const struct diff_answer *was, const struct diff_answer *now) {
	char *key = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t i = 0;

	if (!key) {
		json_decref(json);
		return -1;
	}
	while (i < f->n && strcmp(f->list[i].key, key))
		i++;
	if (i < f->n || i == MAX_FACTS) {
		free(key);
		json_decref(json);
		if (i < f->n)
			f->list[i].variants |= UINT64_C(1) << variant;
		return 0;
	}
	f->list[f->n++] = (struct fact){ key, json, UINT64_C(1) << variant, at, *was, *now };
	return 0;
}

static int add_access(struct facts *f, const struct time_line *t, size_t variant) {
	json_t *json;

	if (!t->differs.n)
		return 0;
	json = json_pack("{s:s, s:o, s:o}", "change", !t->was.n ? "gains" : !t->now.n ? "loses" : "hours", "was", windows_json(f, &t->was),
			 "now", windows_json(f, &t->now));
	if (json)
		set_spans(json, &t->differs);
	return add_fact(f, json, variant, t->at, &t->was_answer, &t->now_answer);
}

static int add_courses(struct facts *f, const struct time_line *t, size_t variant) {
	const struct course *c;
	json_t *json;

	for (size_t i = 0; i < t->n_lifetimes; i++) {
		c = &t->lifetimes[i];
		json = json_pack("{s:s, s:I, s:I, s:o}", "change", "lifetime", "was", (json_int_t)c->was_s, "now", (json_int_t)c->now_s, "when",
				 windows_json(f, &c->spans));
		if (json)
			set_spans(json, &c->spans);
		if (add_fact(f, json, variant, c->at, &c->was, &c->now) < 0)
			return -1;
	}
	for (size_t i = 0; i < t->n_scopes; i++) {
		c = &t->scopes[i];
		json = json_pack("{s:s, s:o, s:o, s:o}", "change", "scopes", "gains", scopes_beyond(&c->now, &c->was), "loses",
				 scopes_beyond(&c->was, &c->now), "when", windows_json(f, &c->spans));
		if (json)
			set_spans(json, &c->spans);
		if (add_fact(f, json, variant, c->at, &c->was, &c->now) < 0)
			return -1;
	}
	return 0;
}

static json_t *variant_json(const struct diff_variant *v) {
	json_t *json = json_object();

	if (v->justification)
		json_object_set_new(json, "justification", json_string(v->justification));
	if (v->lifetime_s)
		json_object_set_new(json, "lifetime", json_integer((json_int_t)v->lifetime_s));
	if (v->surface)
		json_object_set_new(json, "surface", json_string(v->surface));
	if (v->scope)
		json_object_set_new(json, "scopes", json_pack("[s]", v->scope));
	return json;
}

/* Where it is not so however one asks. */
static void set_variants(const struct diff_concerned *c, struct fact *fact) {
	json_t *list;

	if (c->n_variants == DIFF_MAX_VARIANTS ? fact->variants == UINT64_MAX : fact->variants == (UINT64_C(1) << c->n_variants) - 1)
		return;
	list = json_array();
	for (size_t i = 0; i < c->n_variants; i++)
		if (fact->variants >> i & 1)
			json_array_append_new(list, variant_json(&c->variants[i]));
	json_object_set_new(fact->json, "with", list);
}

/* ---- all of it ---- */

static int ask_in_one_way(struct facts *f, const struct diff_cells *cells, size_t variant, const char *principal, const char *account,
			  enum policy_permission permission) {
	const struct policy *const *policies = f->question->policies;
	struct time_line t = { 0 };
	struct diff_answer was, now;
	struct policy_query q;
	int r = 0;

	for (size_t i = 0; i < cells->n && r == 0; i++) {
		q = diff_query(&f->concerned->variants[variant], principal, account, permission, cells->list[i].from);
		diff_answer(policies[0], &q, &was);
		diff_answer(policies[1], &q, &now);
		r = add_cell(&t, &cells->list[i], &was, &now, permission);
	}
	if (r == 0 && (r = add_access(f, &t, variant)) == 0)
		r = add_courses(f, &t, variant);
	time_line_fini(&t);
	return r;
}

static int report(struct facts *f, diff_found_fn *found, void *arg) {
	for (size_t i = 0; i < f->n; i++) {
		struct fact *fact = &f->list[i];

		set_variants(f->concerned, fact);
		if (found(fact->json, fact->at, &f->concerned->variants[__builtin_ctzll(fact->variants)], &fact->was, &fact->now, arg) < 0)
			return -1;
	}
	return 0;
}

int diff_pair(const struct diff_question *q, const struct diff_concerned *c, const char *principal, const char *account,
	      enum policy_permission permission, struct diff_cache *cache, struct diff_stats *stats, diff_found_fn *found, void *arg,
	      struct error *err) {
	struct facts *facts = calloc(1, sizeof(*facts));
	struct diff_cells cells = { 0 };
	int r = facts ? diff_cells_find(c, cache, &cells, stats) : -1;

	if (facts) {
		facts->question = q;
		facts->concerned = c;
	}
	for (size_t v = 0; v < c->n_variants && r == 0; v++) {
		r = ask_in_one_way(facts, &cells, v, principal, account, permission);
		stats->decisions += 2 * cells.n;
	}
	if (r == 0)
		r = report(facts, found, arg);
	if (facts)
		facts_fini(facts);
	free(facts);
	free(cells.list);
	return r < 0 ? error_set(err, ERR_INTERNAL, "out of memory") : 0;
}
