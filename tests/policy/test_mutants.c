/*
 * Policy files with a mistake in them (a typo, a lost line, a slipped indentation): what they grant more than the
 * original they grant because they say so. A thousand mutants of each document; HALLPASS_MUTANTS: how many,
 * HALLPASS_MUTANTS_SEED: where they begin.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "hallpass/yaml.h"
#include "policy/condition.h"
#include "policy/scopes.h"
#include "tests/policy/load.h"

#define MUTANTS 1000
#define SEED 23
#define CLOUD "https://www.googleapis.com/auth/cloud-platform"

/* ---- mutation ---- */

struct mutation {
	char *text;
	size_t n;
	uint64_t state;
};

static size_t rnd(struct mutation *m, size_t n) {
	m->state ^= m->state << 13;
	m->state ^= m->state >> 7;
	m->state ^= m->state << 17;
	return n ? (size_t)(m->state >> 32) % n : 0;
}

/* len bytes at an offset become these. */
static void splice(struct mutation *m, size_t at, size_t len, const char *with, size_t n) {
	char *text = malloc(m->n - len + n + 1);

	memcpy(text, m->text, at);
	memcpy(text + at, with, n);
	memcpy(text + at + n, m->text + at + len, m->n - at - len);
	free(m->text);
	m->text = text;
	m->n += n - len;
	m->text[m->n] = '\0';
}

static void line_at(const struct mutation *m, size_t at, size_t *begin, size_t *len) {
	const char *end = memchr(m->text + at, '\n', m->n - at);

	while (at > 0 && m->text[at - 1] != '\n')
		at--;
	*begin = at;
	*len = end ? (size_t)(end - m->text) + 1 - at : m->n - at;
}

static void change_byte(struct mutation *m) {
	char c = (char)(' ' + rnd(m, 95));

	splice(m, rnd(m, m->n), 1, &c, 1);
}

static void drop_byte(struct mutation *m) {
	splice(m, rnd(m, m->n), 1, "", 0);
}

static void swap_bytes(struct mutation *m) {
	size_t at = rnd(m, m->n - 1);
	char two[2] = { m->text[at + 1], m->text[at] };

	splice(m, at, 2, two, 2);
}

static void add_byte(struct mutation *m) {
	static const char some[] = " \n\t:-#'\"[]{},|>&*!%@.abcxyz019";
	char c = some[rnd(m, sizeof(some) - 1)];

	splice(m, rnd(m, m->n), 0, &c, 1);
}

static void drop_line(struct mutation *m) {
	size_t begin, len;

	line_at(m, rnd(m, m->n), &begin, &len);
	splice(m, begin, len, "", 0);
}

static void repeat_line(struct mutation *m) {
	char copy[512];
	size_t begin, len;

	line_at(m, rnd(m, m->n), &begin, &len);
	len = len > sizeof(copy) ? sizeof(copy) : len;
	memcpy(copy, m->text + begin, len);
	splice(m, begin, 0, copy, len);
}

static void move_line(struct mutation *m) {
	char copy[512];
	size_t begin, len;

	line_at(m, rnd(m, m->n), &begin, &len);
	len = len > sizeof(copy) ? sizeof(copy) : len;
	memcpy(copy, m->text + begin, len);
	splice(m, begin, len, "", 0);
	line_at(m, rnd(m, m->n), &begin, &(size_t){ 0 });
	splice(m, begin, 0, copy, len);
}

static void indent_line(struct mutation *m) {
	size_t begin, len;

	line_at(m, rnd(m, m->n), &begin, &len);
	if (rnd(m, 2) || len < 4 || strncmp(m->text + begin, "  ", 2))
		splice(m, begin, 0, "  ", 2);
	else
		splice(m, begin, 2, "", 0);
}

static void cut_off(struct mutation *m) {
	m->n = rnd(m, m->n);
	m->text[m->n] = '\0';
}

/* Words that a hand may confuse. */
static void confuse(struct mutation *m) {
	static const char *const pairs[][2] = {
		{ "ALLOW", "DENY" },	    { "deniedPrincipals", "members" }, { "denyRules", "bindings" },
		{ "condition", "title" },   { "notAfter", "notBefore" },       { "30m", "30" },
		{ "alice", "*" },	    { "group:", "user:" },	       { "true", "yes" },
		{ ">=", ">" },		    { "&&", "||" },		       { "user:", "" },
		{ "sre", "everybody" },	    { "expression", "expresion" },     { "tests:", "#tests:" },
		{ "expect", "expects" },    { "2026", "20266" },	       { "exceptionPrincipals", "deniedPrincipals" },
		{ "@acme-prod", "@acme" },  { "[", "" },		       { "'", "" },
		{ "\"", "" },		    { "15m", "15h" },		       { "https://", "http://" },
		{ "ml-engineers", "allAuthenticated" },
	};
	const char *const *pair = pairs[rnd(m, ARRAY_SIZE(pairs))];
	const char *found = NULL;

	for (size_t tries = 0; tries < 8 && !found; tries++)
		found = strstr(m->text + rnd(m, m->n), pair[0]);
	if (found)
		splice(m, (size_t)(found - m->text), strlen(pair[0]), pair[1], strlen(pair[1]));
}

static void mutate(struct mutation *m, struct str original) {
	static void (*const kinds[])(struct mutation *) = { change_byte, drop_byte,   swap_bytes, add_byte, drop_line,
							    repeat_line, move_line,   indent_line, cut_off,  confuse,
							    confuse,	 change_byte, drop_line };
	size_t times = 1 + rnd(m, 2);

	m->text = strndup(original.p, original.n);
	m->n = original.n;
	for (size_t i = 0; i < times; i++)
		if (m->n > 8)
			kinds[rnd(m, ARRAY_SIZE(kinds))](m);
}

/* ---- whether a text says so: read from its tree, by nothing that loads policies ---- */

static bool is_text(const struct yaml_node *node, const char *text) {
	return node && node->kind == YAML_SCALAR && !strcasecmp(node->text, text);
}

static bool names(const struct yaml_node *root, const struct yaml_node *members, const char *principal, int depth) {
	if (!members || depth > 8)
		return false;
	yaml_each (m, members) {
		const char *at = strchr(principal, '@');

		if (is_text(m, "allAuthenticated") || is_text(m, principal))
			return true;
		if (m->kind == YAML_SCALAR && !strncmp(m->text, "domain:", 7) && at && !strcasecmp(m->text + 7, at + 1))
			return true;
		if (m->kind == YAML_SCALAR && !strncmp(m->text, "group:", 6) &&
		    names(root, yaml_find(yaml_find(root, "groups"), m->text + 6), principal, depth + 1))
			return true;
	}
	return false;
}

static bool has_account(const struct yaml_node *accounts, const char *account) {
	if (!accounts)
		return false;
	yaml_each (a, accounts) {
		const char *star = a->kind == YAML_SCALAR ? strchr(a->text, '*') : NULL;
		size_t tail = star ? strlen(star + 1) : 0, n = strlen(account);

		if (is_text(a, account))
			return true;
		if (star && !strncasecmp(a->text, account, (size_t)(star - a->text)) && n >= tail &&
		    !strcasecmp(account + n - tail, star + 1))
			return true;
	}
	return false;
}

static bool has_permission(const struct yaml_node *rule) {
	const struct yaml_node *permissions = yaml_find(rule, "permissions");

	if (!permissions)
		return true;
	yaml_each (p, permissions)
		if (is_text(p, "getAccessToken") || is_text(p, "iam.serviceAccounts.getAccessToken"))
			return true;
	return false;
}

static bool has_only_known_keys(const struct yaml_node *rule) {
	static const char *const known[] = { "name",   "title",	       "description", "members",  "serviceAccounts", "permissions",
					     "scopes", "maxLifetime", "notBefore",   "notAfter", "condition" };
	bool found;

	yaml_each (child, rule) {
		found = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found |= !strcmp(child->key->text, known[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool has_scopes(const struct yaml_node *rule, const struct decision *d) {
	const struct yaml_node *scopes = yaml_find(rule, "scopes");
	bool covered;

	for (size_t i = 0; i < d->n_scopes; i++) {
		covered = !scopes && scope_covers(CLOUD, d->scopes[i]);
		if (scopes)
			yaml_each (s, scopes)
				covered |= s->kind == YAML_SCALAR && scope_covers(s->text, d->scopes[i]);
		if (!covered)
			return false;
	}
	return true;
}

static int64_t longest(const struct yaml_node *root, const struct yaml_node *rule) {
	const struct yaml_node *node = yaml_find(rule, "maxLifetime");
	int64_t s = 3600;

	if (!node)
		node = yaml_find(yaml_find(root, "defaults"), "maxLifetime");
	if (node && yaml_duration(node, 1, 43200, &s) < 0)
		return 0;
	return s;
}

static void ignore(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message, const char *fix) {
	(void)arg, (void)severity, (void)id, (void)offset, (void)message, (void)fix;
}

static enum condition_result condition_of(const struct yaml_node *node, const struct policy_query *q, enum condition_result none) {
	const struct yaml_node *expression = yaml_find(node, "expression");
	enum condition_result result = CONDITION_ERROR;
	struct condition *condition = NULL;
	struct condition_env *env;
	struct error err;

	if (!node)
		return none;
	assert_int_equal(condition_env_new(&test_host, &env, &err), 0);
	if (expression && condition_new(env, (struct str){ expression->text, expression->n }, NULL,
					&(struct condition_sink){ .found = ignore }, &condition) == 0 && condition)
		result = condition_eval(condition, q, NULL, 0);
	condition_env_free(env);
	return result;
}

static bool binding_says_so(const struct yaml_node *root, const struct yaml_node *rule, const struct policy_query *q,
			    const struct decision *d) {
	return has_only_known_keys(rule) && names(root, yaml_find(rule, "members"), q->principal, 0) &&
	       has_account(yaml_find(rule, "serviceAccounts"), q->service_account) && has_permission(rule) &&
	       has_scopes(rule, d) && d->lifetime_s <= longest(root, rule) &&
	       condition_of(yaml_find(rule, "condition"), q, CONDITION_TRUE) == CONDITION_TRUE;
}

static bool a_deny_rule_objects(const struct yaml_node *root, const struct policy_query *q) {
	const struct yaml_node *rules = yaml_find(root, "denyRules");

	if (!rules)
		return false;
	yaml_each (rule, rules)
		if (names(root, yaml_find(rule, "deniedPrincipals"), q->principal, 0) &&
		    !names(root, yaml_find(rule, "exceptionPrincipals"), q->principal, 0) &&
		    (!yaml_find(rule, "serviceAccounts") || has_account(yaml_find(rule, "serviceAccounts"), q->service_account)) &&
		    has_permission(rule) && condition_of(yaml_find(rule, "denialCondition"), q, CONDITION_TRUE) != CONDITION_FALSE)
			return true;
	return false;
}

static bool says_so(const struct yaml_node *root, const struct policy_query *q, const struct decision *d) {
	const struct yaml_node *bindings = yaml_find(root, "bindings");

	if (a_deny_rule_objects(root, q) || !bindings)
		return false;
	yaml_each (rule, bindings)
		if (is_text(yaml_find(rule, "name"), d->rule))
			return binding_says_so(root, rule, q, d);
	return false;
}

/* ---- asking ---- */

static const char *const principals[] = { "user:alice@example.com", "user:carol@example.com", "user:mallory@example.org",
					  "serviceAccount:a@b.cc", "principal:p", "user:x@corp.example" };
static const char *const accounts[] = { "ml-training-dev-sa@acme-ml.iam.gserviceaccount.com", "log-reader@acme-prod.iam.gserviceaccount.com",
					"a@p.iam.gserviceaccount.com", "x@acme-prod.iam.gserviceaccount.com" };
static const int64_t times[] = { 1772442000, 1772488800, 1798189200, TEST_NOW, 1900000000 }; /* noon, night, freeze, now, 2030 */
static const char *const scopes[] = { CLOUD, "https://www.googleapis.com/auth/logging.read", "https://www.googleapis.com/auth/drive" };

#define N_QUERIES (ARRAY_SIZE(principals) * ARRAY_SIZE(accounts) * ARRAY_SIZE(times) * 2)

static struct policy_query query(size_t i) {
	size_t p = i % ARRAY_SIZE(principals), a = i / ARRAY_SIZE(principals) % ARRAY_SIZE(accounts),
	       t = i / ARRAY_SIZE(principals) / ARRAY_SIZE(accounts) % ARRAY_SIZE(times);

	return (struct policy_query){ .now = times[t], .principal = principals[p], .service_account = accounts[a],
				      .auth_method = "peer", .surface = "native", .scopes = scopes,
				      .n_scopes = i >= N_QUERIES / 2 ? ARRAY_SIZE(scopes) : 0 };
}

static bool is_broader(const struct decision *a, const struct decision *b) {
	return a->allow && (!b->allow || a->lifetime_s > b->lifetime_s || a->n_scopes > b->n_scopes);
}

struct tally {
	unsigned loaded, refused, broader;
};

static void check_grants(const struct policy *original, const struct policy *policy, struct str text, struct tally *tally) {
	struct yaml_problems problems;
	struct yaml_tree *tree;
	struct error err;

	assert_int_equal(yaml_load(text, NULL, &tree, &problems, &err), 0);
	for (size_t i = 0; i < N_QUERIES; i++) {
		struct policy_query q = query(i);
		struct decision before, after;

		policy_decide(original, &q, &before);
		policy_decide(policy, &q, &after);
		if (!is_broader(&after, &before))
			continue;
		tally->broader++;
		if (!says_so(tree->root, &q, &after))
			fail_msg("%s as %s at %lld: granted by %s, which does not say so:\n%s", q.principal, q.service_account,
				 (long long)q.now, after.rule, text.p);
	}
	yaml_tree_free(tree);
}

static void check_refusal(const struct policy_report *report, const struct error *err, struct str text) {
	unsigned lines = 1;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	assert_int_equal(err->code, ERR_INVALID);
	assert_in_range(report->n_errors, 1, 20);
	for (size_t i = 0; i < report->n; i++) {
		const struct policy_finding *f = &report->findings[i];

		if (f->line < 1 || f->line > lines || f->column < 1 || !f->message[0] || !f->id[0])
			fail_msg("%u:%u of %u lines: %s\n%s", f->line, f->column, lines, f->message, text.p);
	}
}

static void check_mutant(const struct policy *original, struct str text, struct tally *tally) {
	struct buf b = BUF_INIT(1 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;

	if (policy_load("mutant", text, &test_host, TEST_NOW, &policy, &report, &err) == 0) {
		tally->loaded++;
		check_grants(original, policy, text, tally);
	} else {
		tally->refused++;
		check_refusal(&report, &err, text);
	}
	policy_report_print(&report, "mutant", text, true, &b);
	assert_true(buf_ok(&b));
	buf_fini(&b);
	policy_report_fini(&report);
	policy_unref(policy);
}

static void test_P3_a_mistake_in_a_policy_never_grants_what_it_does_not_say(void **state) {
	static const char *const files[] = { "contrib/policies/example.yaml", "tests/fuzz/corpus/policy/conditions.yaml",
					     "tests/fuzz/corpus/policy/small.json" };
	const char *wanted = getenv("HALLPASS_MUTANTS"), *seed = getenv("HALLPASS_MUTANTS_SEED");
	unsigned long n = wanted ? strtoul(wanted, NULL, 10) : getenv("HALLPASS_SLOW") ? 40 : MUTANTS;
	struct mutation m = { .state = (seed ? strtoul(seed, NULL, 10) : SEED) * 0x9E3779B97F4A7C15u + 1 };

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		struct str original = { 0 };
		struct tally tally = { 0 };
		struct policy *policy;
		char *text = file_bytes(files[f], &original.n);

		assert_non_null(text);
		original.p = text;
		policy = load_policy(original);
		for (unsigned long i = 0; i < n; i++) {
			mutate(&m, original);
			check_mutant(policy, (struct str){ m.text, m.n }, &tally);
			free(m.text);
		}
		print_message("%s: %lu mutants, %u refused, %u loaded, %u grants more and each in so many words\n", files[f], n,
			      tally.refused, tally.loaded, tally.broader);
		assert_true(tally.refused > n / 4 && tally.loaded > n / 20);
		policy_unref(policy);
		free(text);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P3_a_mistake_in_a_policy_never_grants_what_it_does_not_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
