/*
 * diff: what it says is so, and what is so it says. Random pairs of policies are held against policy_decide() on the whole grid of
 * their universe: every principal, account, permission, critical instant and way to ask; and at instants in between.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "policy/diff.h"
#include "tests/policy/load.h"

#define DAY 86400
#define FAR_AWAY 1814313600 /* 2027-06-30T00:00:00Z */
#define MONDAY 1795392000 /* 2026-11-23T00:00:00Z */

static unsigned seed;

static unsigned rnd(unsigned n) {
	return (unsigned)rand_r(&seed) % n;
}

/* ---- random policies ---- */

static const char *const people[] = { "user:ann@a.example", "user:bob@a.example", "user:cat@b.example", "serviceAccount:ci@p.iam.gserviceaccount.com" };
static const char *const others[] = { "group:g0", "group:g1", "group:g2", "domain:a.example", "domain:c.example", "allAuthenticated" };
static const char *const accounts[] = { "dev@p.iam.gserviceaccount.com", "prod@p.iam.gserviceaccount.com", "dev@q.iam.gserviceaccount.com",
					"*@p.iam.gserviceaccount.com", "d*@q.iam.gserviceaccount.com", "*" };
static const char *const permissions[] = { "getAccessToken", "getOpenIdToken", "implicitDelegation" };
static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/bigquery", "openid" };
static const char *const conditions[] = {
	"request.time.getHours('Europe/Berlin') >= 8 && request.time.getHours('Europe/Berlin') < 18",
	"request.time.getHours('Europe/Berlin') >= 9 && request.time.getHours('Europe/Berlin') < 18",
	"request.time.getDayOfWeek('America/New_York') in [1, 2, 3, 4, 5]",
	"request.time.getDayOfWeek() == 2 || request.time.getHours() < 3",
	"request.time < timestamp('2026-11-26T12:34:56Z')",
	"request.time >= timestamp('2026-11-25T01:00:00Z') && request.time.getMinutes() < 30",
	"request.time >= timestamp('2027-03-01T00:00:00Z')",
	"has(request.justification) && request.justification.startsWith('INC-')",
	"!has(request.lifetime) || request.lifetime <= duration('300s')",
	"request.surface == 'metadata' || request.time.getHours() >= 12",
	"request.auth.principal.endsWith('@a.example')",
	"request.auth.principal == 'user:bob@a.example' || request.time < timestamp('2026-11-24T00:00:00Z')",
	"resource.name == 'projects/-/serviceAccounts/dev@p.iam.gserviceaccount.com'",
	"request.scopes.exists(s, s == 'openid') || size(request.scopes) == 0",
	"request.justification == 'x' && request.time.getHours() > 5",
	"has(request.justification) && request.time + duration('90m') < timestamp('2027-06-30T00:00:00Z')",
	"request.surface == 'metadata' ? request.time.getHours() < 7 : request.time.getMinutes() >= 30",
	"has(request.lifetime) && request.time + request.lifetime < timestamp('2026-11-27T00:00:00Z')",
	"request.time + request.lifetime <= timestamp('2027-06-30T00:00:00Z') || request.time.getHours() == 3",
	"request.time.getMonth('Europe/Berlin') != 1",
	"request.time.getDate() < 15 || request.time.getFullYear() == 2028",
	"request.peer.uid == 0",
	"true",
	"false",
};
static const char *const bounds[] = { "2026-11-24T10:00:00Z", "2026-11-28T00:00:00Z", "2027-06-30T00:00:00Z" };

static void add_list(struct buf *b, const char *key, const char *const *from, unsigned n_from, const char *const *more, unsigned n_more) {
	unsigned n = 1 + rnd(2);

	buf_addf(b, ", %s: [", key);
	for (unsigned i = 0; i < n; i++) {
		unsigned k = rnd(n_from + n_more);

		buf_addf(b, "%s\"%s\"", i ? ", " : "", k < n_from ? from[k] : more[k - n_from]);
	}
	buf_adds(b, "]");
}

#define N_RULES 12

/* Rules of a policy, as lines; some of them "". */
struct model {
	char bindings[N_RULES][1024], denials[N_RULES][1024], groups[3][256];
	unsigned n_bindings, n_denials, lifetime;
	unsigned names; /* whose names begin with what */
};

static void random_rule(char *line, bool denial) {
	struct buf b = BUF_INIT(1023);

	add_list(&b, denial ? "deniedPrincipals" : "members", people, ARRAY_SIZE(people), others, ARRAY_SIZE(others));
	if (denial && rnd(2))
		add_list(&b, "exceptionPrincipals", people, ARRAY_SIZE(people), others, 4);
	add_list(&b, "serviceAccounts", accounts, ARRAY_SIZE(accounts), NULL, 0);
	if (rnd(3) == 0)
		add_list(&b, "permissions", permissions, ARRAY_SIZE(permissions), NULL, 0);
	if (!denial && rnd(3) == 0)
		buf_addf(&b, ", maxLifetime: %us", 60 * (1 + rnd(20)));
	if (!denial && rnd(4) == 0)
		add_list(&b, "scopes", scopes, ARRAY_SIZE(scopes), NULL, 0);
	if (!denial && rnd(6) == 0)
		buf_addf(&b, ", notAfter: %s", bounds[rnd(ARRAY_SIZE(bounds))]);
	if (!denial && rnd(8) == 0)
		buf_addf(&b, ", notBefore: 2026-11-24T05:00:00Z");
	if (rnd(2))
		buf_addf(&b, ", %s: {title: t, expression: \"%s\"}", denial ? "denialCondition" : "condition", conditions[rnd(ARRAY_SIZE(conditions))]);
	assert_true(buf_ok(&b));
	snprintf(line, 1024, "%s", b.data);
	buf_fini(&b);
}

static void random_group(struct model *m, unsigned g) {
	snprintf(m->groups[g], sizeof(m->groups[g]), "\"%s\", \"%s\"%s", people[rnd(ARRAY_SIZE(people))],
		 rnd(3) ? people[rnd(ARRAY_SIZE(people))] : "domain:b.example", g && rnd(2) ? ", group:g0" : "");
}

static void random_model(struct model *m) {
	*m = (struct model){ .n_bindings = 1 + rnd(6), .n_denials = rnd(3), .lifetime = 900 };
	for (unsigned i = 0; i < m->n_bindings; i++)
		random_rule(m->bindings[i], false);
	for (unsigned i = 0; i < m->n_denials; i++)
		random_rule(m->denials[i], true);
	for (unsigned g = 0; g < 3; g++)
		random_group(m, g);
}

/* As people edit policies: a rule, a group, a name, the order. */
static void edit(struct model *m) {
	char line[1024];
	unsigned i = rnd(m->n_bindings), k = rnd(m->n_bindings);

	switch (rnd(8)) {
	case 0:
		random_rule(m->bindings[i], false);
		break;
	case 1:
		if (m->n_bindings < N_RULES)
			random_rule(m->bindings[m->n_bindings++], false);
		break;
	case 2:
		if (m->n_bindings > 1)
			memcpy(m->bindings[i], m->bindings[--m->n_bindings], sizeof(line));
		break;
	case 3:
		random_group(m, rnd(3));
		break;
	case 4:
		m->names++;
		break;
	case 5:
		memcpy(line, m->bindings[i], sizeof(line));
		memcpy(m->bindings[i], m->bindings[k], sizeof(line));
		memcpy(m->bindings[k], line, sizeof(line));
		break;
	case 6:
		if (m->n_denials && rnd(2))
			m->n_denials--;
		else if (m->n_denials < N_RULES)
			random_rule(m->denials[m->n_denials++], true);
		break;
	case 7:
		m->lifetime = rnd(2) ? 600 : 900;
		break;
	}
}

static void write_model(const struct model *m, struct buf *b) {
	buf_addf(b, "version: 1\ndefaults: {maxLifetime: %us}\ngroups:\n", m->lifetime);
	for (unsigned g = 0; g < 3; g++)
		buf_addf(b, "  g%u: [%s]\n", g, m->groups[g]);
	buf_adds(b, "bindings:\n");
	for (unsigned i = 0; i < m->n_bindings; i++)
		buf_addf(b, "  - {name: b%u-%u%s}\n", m->names, i, m->bindings[i]);
	buf_adds(b, m->n_denials ? "denyRules:\n" : "");
	for (unsigned i = 0; i < m->n_denials; i++)
		buf_addf(b, "  - {name: d%u%s}\n", i, m->denials[i]);
}

/* ---- the grid ---- */

struct grid {
	struct policy *policies[2];
	struct buf texts[2];
	struct diff_question question;
	struct universe *u;
	json_t *diff;
	size_t differences, cells;
};

static void grid_print(const struct grid *g, const char *principal, const char *account, int permission, int64_t at) {
	char *text = json_dumps(json_object_get(g->diff, "changes"), JSON_INDENT(1));

	fprintf(stderr, "%s on %s, permission %d, at %lld\n--- was:\n%s--- now:\n%s--- %s\n", principal, account, permission, (long long)at,
		    g->texts[0].data, g->texts[1].data, text);
	free(text);
}

static bool perhaps; /* what is said of times behind those that are told one by one */

static int64_t time_of(const json_t *json) {
	struct tm tm = { 0 };

	assert_non_null(strptime(json_string_value(json), "%Y-%m-%dT%H:%M:%SZ", &tm));
	return (int64_t)timegm(&tm);
}

static bool has(const json_t *list, const char *text) {
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), text))
			return true;
	return false;
}

static bool spans_have(const json_t *change, int64_t at) {
	const json_t *spans = json_object_get(change, "differs");
	const json_t *last = json_array_get(spans, json_array_size(spans) - 1);

	for (size_t i = 0; i < json_array_size(spans); i++) {
		const json_t *span = json_array_get(spans, i);

		if (time_of(json_array_get(span, 0)) <= at && at < time_of(json_array_get(span, 1)))
			return true;
	}
	return json_object_get(change, "moreDiffers") && at >= time_of(json_array_get(last, 1)) && perhaps;
}

static bool is_variant(const json_t *json, const struct diff_variant *v) {
	const char *justification = json_string_value(json_object_get(json, "justification"));
	const char *surface = json_string_value(json_object_get(json, "surface"));
	const char *scope = json_string_value(json_array_get(json_object_get(json, "scopes"), 0));

	return !strcmp(justification ? justification : "", v->justification ? v->justification : "") &&
	       !strcmp(surface ? surface : "", v->surface ? v->surface : "") && !strcmp(scope ? scope : "", v->scope ? v->scope : "") &&
	       json_integer_value(json_object_get(json, "lifetime")) == v->lifetime_s;
}

static bool is_asked_so(const json_t *change, const struct diff_variant *v) {
	const json_t *with = json_object_get(change, "with");

	for (size_t i = 0; i < json_array_size(with); i++)
		if (is_variant(json_array_get(with, i), v))
			return true;
	return !with;
}

enum kind { ACCESS, LIFETIME, SCOPES };

static bool is_kind(const json_t *change, enum kind kind, const struct diff_answer *was, const struct diff_answer *now) {
	const char *name = json_string_value(json_object_get(change, "change"));

	if (kind == LIFETIME)
		return !strcmp(name, "lifetime") && json_integer_value(json_object_get(change, "was")) == was->lifetime_s &&
		       json_integer_value(json_object_get(change, "now")) == now->lifetime_s;
	if (kind == SCOPES)
		return !strcmp(name, "scopes");
	return !strcmp(name, "gains") || !strcmp(name, "loses") || !strcmp(name, "hours");
}

static bool is_told(const struct grid *g, enum kind kind, const char *principal, const char *account, int permission, int64_t at,
		    const struct diff_variant *v, const struct diff_answer *was, const struct diff_answer *now) {
	const json_t *changes = json_object_get(g->diff, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change)
		if (is_kind(change, kind, was, now) && has(json_object_get(change, "principals"), principal) &&
		    has(json_object_get(change, "serviceAccounts"), account) &&
		    has(json_object_get(change, "permissions"), permission_name((enum policy_permission)permission)) && is_asked_so(change, v) &&
		    spans_have(change, at))
			return true;
	return false;
}

static void assert_told_as_it_is(struct grid *g, const char *principal, const char *account, int permission, int64_t at,
				 const struct diff_variant *v) {
	struct policy_query q = diff_query(v, principal, account, (enum policy_permission)permission, at);
	struct diff_answer answers[2];
	struct decision plain;
	bool differs[3];

	for (size_t s = 0; s < 2; s++) {
		diff_answer(g->policies[s], &q, &answers[s]);
		policy_decide(g->policies[s], &q, &plain);
		assert_int_equal(answers[s].allow, plain.allow);
		if (plain.allow)
			assert_true(plain.lifetime_s <= answers[s].lifetime_s);
	}
	differs[ACCESS] = answers[0].allow != answers[1].allow;
	differs[LIFETIME] = answers[0].allow && answers[1].allow && answers[0].lifetime_s != answers[1].lifetime_s;
	differs[SCOPES] = answers[0].allow && answers[1].allow && diff_scopes_differ(&answers[0], &answers[1], (enum policy_permission)permission);
	g->cells++;
	for (enum kind kind = ACCESS; kind <= SCOPES; kind++) {
		bool told;

		if (kind != ACCESS && !(answers[0].allow && answers[1].allow))
			continue;
		perhaps = differs[kind];
		told = is_told(g, kind, principal, account, permission, at, v, &answers[0], &answers[1]);
		g->differences += differs[kind];
		if (told == differs[kind])
			continue;
		grid_print(g, principal, account, permission, at);
		fail_msg("kind %d: %s, and it is %s; justification %s, lifetime %lld, surface %s, scope %s", (int)kind, told ? "told" : "not told",
			 differs[kind] ? "so" : "not so", v->justification ? v->justification : "-", (long long)v->lifetime_s,
			 v->surface ? v->surface : "-", v->scope ? v->scope : "-");
	}
}

/* Its ends, and some instants within. */
static void check_era(struct grid *g, const char *principal, const char *account, int permission, struct era era, const struct diff_variant *v) {
	assert_told_as_it_is(g, principal, account, permission, era.from, v);
	assert_told_as_it_is(g, principal, account, permission, era.to - 1, v);
	if (era.from == FAR_AWAY) /* request.time + duration("90m") is there before it */
		assert_told_as_it_is(g, principal, account, permission, era.from - 3600, v);
	for (int i = 0; i < 5; i++)
		assert_told_as_it_is(g, principal, account, permission, era.from + rnd((unsigned)(era.to - era.from)), v);
}

static void check_pair(struct grid *g, const char *principal, const char *account, int permission) {
	struct diff_concerned *c = malloc(sizeof(*c));

	assert_int_equal(diff_concern(c, &g->question, principal, account, (enum policy_permission)permission), 0);
	for (size_t v = 0; c->may_be_allowed && v < c->n_variants; v++) {
		for (size_t i = 0; i < g->u->n_instants; i++)
			assert_told_as_it_is(g, principal, account, permission, g->u->instants[i], &c->variants[v]);
		for (size_t e = 0; e < c->n_eras; e++)
			check_era(g, principal, account, permission, c->eras[e], &c->variants[v]);
	}
	diff_concerned_fini(c);
	free(c);
}

/* At its witness each is so. */
static void check_witnesses(struct grid *g) {
	const json_t *changes = json_object_get(g->diff, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change) {
		const json_t *w = json_object_get(change, "witness");
		const char *kind = json_string_value(json_object_get(change, "change"));
		struct diff_variant v = {
			.justification = json_string_value(json_object_get(w, "justification")),
			.surface = json_string_value(json_object_get(w, "surface")),
			.scope = json_string_value(json_array_get(json_object_get(w, "scopes"), 0)),
			.lifetime_s = json_integer_value(json_object_get(w, "lifetime")),
		};
		enum policy_permission permission;
		struct diff_answer was, now;
		struct policy_query q;

		assert_int_equal(permission_parse(json_string_value(json_object_get(w, "permission")), &permission), 0);
		q = diff_query(&v, json_string_value(json_object_get(w, "principal")), json_string_value(json_object_get(w, "serviceAccount")), permission,
			       time_of(json_object_get(w, "time")));
		diff_answer(g->policies[0], &q, &was);
		diff_answer(g->policies[1], &q, &now);
		if (!strcmp(kind, "gains") || !strcmp(kind, "loses"))
			assert_int_equal(now.allow - was.allow, *kind == 'g' ? 1 : -1);
		else if (!strcmp(kind, "hours"))
			assert_true(now.allow != was.allow);
		else if (!strcmp(kind, "lifetime"))
			assert_true(was.allow && now.allow && was.lifetime_s != now.lifetime_s);
		else
			assert_true(was.allow && now.allow && diff_scopes_differ(&was, &now, permission));
		assert_true(strlen(json_string_value(json_object_get(change, "sentence"))) > 10);
		assert_true(spans_have(change, q.now));
	}
}

static void grid_begin(struct grid *g, const struct model *was, const struct model *now, int64_t days) {
	struct error err = { 0 };

	*g = (struct grid){ .texts = { BUF_INIT(1 << 20), BUF_INIT(1 << 20) } };
	write_model(was, &g->texts[0]);
	write_model(now, &g->texts[1]);
	for (size_t s = 0; s < 2; s++)
		g->policies[s] = load_policy((struct str){ g->texts[s].data, g->texts[s].len });
	g->question = (struct diff_question){ { g->policies[0], g->policies[1] }, MONDAY + 12345, MONDAY + days * DAY, rnd(3) == 0 };
	g->diff = policy_diff(g->policies[0], g->policies[1], g->question.from, g->question.to, g->question.beyond, &err);
	assert_non_null(g->diff);
	assert_int_equal(universe_new((const struct policy *const *)g->policies, 2, &g->u, &err), 0);
	assert_int_equal(universe_add_instants(g->u, g->question.from, g->question.to - 1, &err), 0);
}

static void grid_end(struct grid *g) {
	json_decref(g->diff);
	universe_free(g->u);
	for (size_t s = 0; s < 2; s++) {
		policy_unref(g->policies[s]);
		buf_fini(&g->texts[s]);
	}
}

static void test_diff_tells_what_is_so_and_nothing_else(void **state) {
	unsigned n = getenv("HALLPASS_SLOW") ? 10 : 250, with_changes = 0;
	size_t cells = 0, differences = 0;
	struct model was, now;
	struct grid g;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		seed = i + 1;
		random_model(&was);
		now = was;
		for (unsigned k = rnd(3); k < 3; k++)
			edit(&now);
		grid_begin(&g, &was, &now, 8);
		for (size_t p = 0; p < g.u->principals.n; p++)
			for (size_t a = 0; a < g.u->accounts.n; a++)
				for (int permission = 0; permission < N_PERMISSIONS; permission++)
					check_pair(&g, g.u->principals.items[p].name, g.u->accounts.items[a].name, permission);
		check_witnesses(&g);
		with_changes += json_array_size(json_object_get(g.diff, "changes")) > 0;
		cells += g.cells;
		differences += g.differences;
		grid_end(&g);
	}
	print_message("%u pairs, %u with changes, %zu cells, %zu differences\n", n, with_changes, cells, differences);
	assert_true(with_changes > n / 3 && with_changes < n);
}

/* The same rules in another order, under other names. */
static void test_diff_of_a_policy_that_says_the_same_is_empty(void **state) {
	struct model was, now;
	struct grid g;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		seed = 1000 + i;
		random_model(&was);
		now = was;
		now.names = i % 2;
		for (unsigned k = 0; k < was.n_bindings; k++)
			memcpy(now.bindings[k], was.bindings[was.n_bindings - 1 - k], sizeof(was.bindings[k]));
		grid_begin(&g, &was, &now, 31);
		assert_int_equal(json_array_size(json_object_get(g.diff, "changes")), 0);
		assert_int_equal(json_integer_value(json_object_get(json_object_get(g.diff, "looked"), "pairs")), 0);
		assert_int_equal(json_array_size(json_object_get(json_object_get(g.diff, "rules"), "added")), 0);
		assert_int_equal(json_array_size(json_object_get(json_object_get(g.diff, "rules"), "removed")), 0);
		assert_int_equal(json_array_size(json_object_get(json_object_get(g.diff, "rules"), "renamed")), i % 2 ? was.n_bindings : 0);
		grid_end(&g);
	}
}

/* Everybody has an account, and a pattern's rule concerns all people: that is so many pairs, not their square. */
static void test_diff_looks_at_all_of_many(void **state) {
	struct policy *policies[2];
	struct error err = { 0 };
	json_t *diff;

	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		struct buf b = BUF_INIT(8 << 20);

		buf_adds(&b, "version: 1\nbindings:\n");
		for (unsigned i = 0; i < 8000; i++)
			buf_addf(&b, "- {name: b%u, members: [\"user:u%u@a.example\"], serviceAccounts: [s%u@p.iam.gserviceaccount.com]}\n", i, i, i);
		buf_addf(&b, "- {name: all, members: [\"domain:a.example\"], serviceAccounts: [\"dev-*@p.iam.gserviceaccount.com\"], maxLifetime: %um}\n", 20 + s);
		policies[s] = load_policy((struct str){ b.data, b.len });
		buf_fini(&b);
	}
	diff = policy_diff(policies[0], policies[1], MONDAY, MONDAY + 31 * DAY, true, &err);
	assert_non_null(diff);
	assert_true(json_is_false(json_object_get(json_object_get(diff, "looked"), "truncated")));
	assert_int_equal(json_array_size(json_object_get(diff, "changes")), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(diff, "changes"), 0), "who")), "domain:a.example");
	json_decref(diff);
	policy_unref(policies[0]);
	policy_unref(policies[1]);
}

/* ---- in words ---- */

#define HEAD "version: 1\ngroups:\n  ml: [user:ann@a.example, user:bob@a.example]\nbindings:\n"
#define RULE(name, who, more) "  - {name: " name ", members: [" who "], serviceAccounts: [sa@p.iam.gserviceaccount.com]" more "}\n"
#define WHEN(expression) ", condition: {title: t, expression: \"" expression "\"}"
#define BERLIN(from, to) \
	WHEN("request.time.getDayOfWeek('Europe/Berlin') in [1, 2, 3, 4, 5] && request.time.getHours('Europe/Berlin') >= " from " && request.time.getHours('Europe/Berlin') < " to)
#define SA "sa@p.iam.gserviceaccount.com"

static const struct told {
	const char *was, *now;
	const char *sentences; /* a line each */
} told[] = {
	{ HEAD RULE("a", "user:ann@a.example", ""), HEAD RULE("a", "group:ml", ""), "user:bob@a.example gains " SA ", by a\n" },
	{ HEAD RULE("a", "user:cat@b.example", ""), HEAD RULE("a", "user:cat@b.example", "") RULE("b", "group:ml", BERLIN("8", "18")),
	  "group:ml (2 principals) gains " SA ": Mon-Fri 08:00-18:00 Europe/Berlin, by b\n" },
	{ HEAD RULE("a", "group:ml", "") RULE("b", "user:cat@b.example", ""), HEAD RULE("a", "group:ml", ""),
	  "user:cat@b.example loses " SA ", given by b\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "group:ml", "") "denyRules:\n  - {name: stop, deniedPrincipals: [allAuthenticated], exceptionPrincipals: [user:bob@a.example], serviceAccounts: [\"*\"]}\n",
	  "user:ann@a.example loses " SA ", given by a, because of stop\n" },
	{ HEAD RULE("a", "group:ml", BERLIN("8", "18")), HEAD RULE("a", "group:ml", BERLIN("7", "20")),
	  "group:ml (2 principals): " SA ": Mon-Fri 08:00-18:00 Europe/Berlin -> Mon-Fri 07:00-20:00 Europe/Berlin\n" },
	{ HEAD RULE("a", "group:ml", ", notAfter: 2027-06-30T00:00:00Z"), HEAD RULE("a", "group:ml", ", notAfter: 2027-12-31T00:00:00Z"),
	  "group:ml (2 principals): " SA ": always until 2027-06-30 00:00 UTC -> always until 2027-12-31 00:00 UTC\n" },
	{ HEAD RULE("a", "group:ml", BERLIN("8", "18")), HEAD RULE("a", "group:ml", ", notAfter: 2027-06-30T00:00:00Z" BERLIN("8", "18")),
	  "group:ml (2 principals): " SA ": Mon-Fri 08:00-18:00 Europe/Berlin -> Mon-Fri 08:00-18:00 Europe/Berlin until 2027-06-30 02:00\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "group:ml", WHEN("request.time < timestamp('2026-12-24T12:00:00Z') || request.time >= timestamp('2027-01-02T00:00:00Z')")),
	  "group:ml (2 principals): " SA ": always -> always until 2026-12-24 12:00 UTC; always from 2027-01-02 00:00 UTC\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "group:ml", WHEN("request.time.getDate() == 1")),
	  "group:ml (2 principals): " SA ": always -> 2026-12-01 00:00 to 2026-12-02 00:00, 2027-01-01 00:00 to 2027-01-02 00:00, 2027-02-01 00:00 to 2027-02-02 00:00, "
	  "2027-03-01 00:00 to 2027-03-02 00:00 UTC, and 8 times more; 2028-03-01 00:00 to 2028-03-02 00:00 UTC\n" },
	{ HEAD RULE("a", "group:ml", ", maxLifetime: 30m"), HEAD RULE("a", "group:ml", ", maxLifetime: 90s"),
	  "group:ml (2 principals): " SA ": at most 30 min -> 1 min 30 s\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "group:ml", ", scopes: [openid, \"https://www.googleapis.com/auth/drive\"]"),
	  "group:ml (2 principals): " SA ": gains the scope https://www.googleapis.com/auth/drive, loses the scope https://www.googleapis.com/auth/cloud-platform\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "group:ml", WHEN("has(request.justification) && request.justification.startsWith('INC-')")),
	  "group:ml (2 principals) loses " SA " (in a plain request), given by a\n" },
	{ HEAD RULE("a", "group:ml", WHEN("false")), HEAD RULE("a", "group:ml", WHEN("request.justification.startsWith('INC-')")),
	  "group:ml (2 principals) gains " SA " (with a justification like \"INC-\"), by a\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("a", "allAuthenticated", ""),
	  "anybody else gains " SA ", by a\n" },
	{ HEAD RULE("a", "group:ml", ", permissions: [getAccessToken, getOpenIdToken]"), HEAD RULE("a", "group:ml", ""),
	  "group:ml (2 principals) loses " SA " (getOpenIdToken), given by a\n" },
	{ HEAD RULE("a", "group:ml", ""), HEAD RULE("b", "group:ml", ""), "" },
	/* alike until the clocks change */
	{ HEAD RULE("a", "group:ml", WHEN("request.time.getHours('Europe/Berlin') >= 14")),
	  HEAD RULE("a", "group:ml", WHEN("request.time.getHours('America/New_York') >= 8 && request.time.getHours('America/New_York') < 18")),
	  "group:ml (2 principals): " SA ": daily 14:00-24:00 Europe/Berlin -> daily 08:00-18:00 America/New_York\n" },
	{ HEAD RULE("a", "group:ml", WHEN("request.time.getHours('Europe/Berlin') >= 14")), HEAD RULE("a", "group:ml", WHEN("request.time.getHours() >= 13 && request.time.getHours() < 23")),
	  "group:ml (2 principals): " SA ": daily 14:00-24:00 Europe/Berlin -> daily 13:00-23:00 UTC\n" },
	/* in other months */
	{ HEAD RULE("a", "group:ml", BERLIN("8", "18")), HEAD RULE("a", "group:ml", BERLIN("8", "18 && request.time.getMonth('Europe/Berlin') != 6")),
	  "group:ml (2 principals): " SA ": Mon-Fri 08:00-18:00 Europe/Berlin -> Mon-Fri 08:00-18:00 Europe/Berlin until 2027-07-01 00:00; "
	  "Mon-Fri 08:00-18:00 Europe/Berlin from 2027-08-01 00:00\n" },
	{ HEAD RULE("a", "group:ml", WHEN("false")), HEAD RULE("a", "group:ml", WHEN("request.time.getMonth() == 1 && request.time.getDate() == 29")),
	  "group:ml (2 principals) gains " SA ": always from 2028-02-29 00:00 until 2028-03-01 00:00 UTC, by a\n" },
	{ HEAD RULE("a", "group:ml", WHEN("request.time.getFullYear() < 2031")), HEAD RULE("a", "group:ml", WHEN("request.time.getFullYear() != 2031")),
	  "group:ml (2 principals): " SA ": always until 2031-01-01 00:00 UTC -> always until 2031-01-01 00:00 UTC; always from 2032-01-01 00:00 UTC\n" },
};

static void test_diff_tells_it_in_words(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		struct policy *was = load_policy(str_of(told[i].was)), *now = load_policy(str_of(told[i].now));
		struct error err = { 0 };
		json_t *diff = policy_diff(was, now, MONDAY + 12345, MONDAY + 12345 + 31 * DAY, true, &err), *change;
		struct buf text = BUF_INIT(1 << 16);
		size_t k;

		assert_non_null(diff);
		json_array_foreach(json_object_get(diff, "changes"), k, change)
			buf_addf(&text, "%s\n", json_string_value(json_object_get(change, "sentence")));
		if (strcmp(text.data ? text.data : "", told[i].sentences))
			fail_msg("%zu: \"%s\" instead of \"%s\"", i, text.data ? text.data : "", told[i].sentences);
		buf_fini(&text);
		json_decref(diff);
		policy_unref(was);
		policy_unref(now);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff_looks_at_all_of_many),
		cmocka_unit_test(test_diff_tells_it_in_words),
		cmocka_unit_test(test_diff_tells_what_is_so_and_nothing_else),
		cmocka_unit_test(test_diff_of_a_policy_that_says_the_same_is_empty),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
