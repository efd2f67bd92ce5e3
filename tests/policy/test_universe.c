/* The finite universe of a policy: names, strangers, accounts of patterns, and the instants at which answers change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "policy/universe.h"
#include "tests/policy/load.h"

#define DAY 86400

static struct universe *universe_of(const struct policy *const *policies, size_t n) {
	struct universe *universe;
	struct error err;

	assert_int_equal(universe_new(policies, n, &universe, &err), 0);
	return universe;
}

/* "NAME" or "NAME = stands for", one a line. */
static void assert_list(const struct universe_list *list, const char *expected) {
	struct buf b = BUF_INIT(1 << 16);

	for (size_t i = 0; i < list->n; i++) {
		buf_adds(&b, list->items[i].name);
		if (list->items[i].stands_for)
			buf_addf(&b, " = %s", list->items[i].stands_for);
		buf_adds(&b, "\n");
	}
	assert_string_equal(b.data, expected);
	buf_fini(&b);
}

static const char everyone[] =
	"version: 1\n"
	"groups:\n"
	"  sre: [user:bob@example.com, group:leads]\n"
	"  leads: [serviceAccount:robot@acme.iam.gserviceaccount.com]\n"
	"bindings:\n"
	"  - {name: one, members: [group:sre, domain:example.com], serviceAccounts: [\"a*@acme.iam.gserviceaccount.com\"],\n"
	"     condition: {title: t, expression: 'request.auth.principal in [\"user:carol@example.com\", \"nobody\"] ||\n"
	"       resource.name == \"projects/-/serviceAccounts/deep@acme.iam.gserviceaccount.com\"'}}\n"
	"  - {name: two, members: [\"principal:x-y-z\"], serviceAccounts: [b@acme.iam.gserviceaccount.com]}\n";

static void test_universe_has_every_name_and_a_stranger_of_each_kind(void **state) {
	struct policy *policy = load_policy(STR(everyone));
	struct universe *u = universe_of((const struct policy *const[]){ policy }, 1);

	(void)state;
	assert_list(&u->principals, "principal:x-y-z\n"
				    "serviceAccount:robot@acme.iam.gserviceaccount.com\n"
				    "user:bob@example.com\n"
				    "user:carol@example.com\n"
				    "user:somebody@example.com = anybody else of example.com\n"
				    "user:somebody@elsewhere.example = anybody else\n");
	assert_list(&u->accounts, "b@acme.iam.gserviceaccount.com\n"
				  "deep@acme.iam.gserviceaccount.com\n"
				  "aexample@acme.iam.gserviceaccount.com = a*@acme.iam.gserviceaccount.com\n"
				  "example@elsewhere.iam.gserviceaccount.com = any other account\n");
	assert_true(universe_is_in(policy, "serviceAccount:robot@acme.iam.gserviceaccount.com",
				   names_find(&policy->subjects, "group:sre", 9)));
	assert_false(universe_is_in(policy, "user:carol@example.com", names_find(&policy->subjects, "group:sre", 9)));
	assert_false(u->sampled);
	universe_free(u);
	policy_unref(policy);
}

static void test_universe_of_two_policies_has_each_name_once(void **state) {
	static const char old_text[] =
		"version: 1\n"
		"bindings:\n"
		"  - {name: one, members: [user:a@example.com, domain:example.com], serviceAccounts: [x@acme.iam.gserviceaccount.com]}\n";
	static const char new_text[] =
		"version: 1\n"
		"bindings:\n"
		"  - {name: one, members: [user:somebody@example.com, user:a@example.com, domain:example.com, domain:other.example],\n"
		"     serviceAccounts: [x@acme.iam.gserviceaccount.com, y@acme.iam.gserviceaccount.com, \"*\"]}\n";
	struct policy *before = load_policy(STR(old_text)), *after = load_policy(STR(new_text));
	struct universe *u = universe_of((const struct policy *const[]){ before, after }, 2);

	(void)state;
	assert_list(&u->principals, "user:a@example.com\n"
				    "user:somebody@example.com\n"
				    "user:somebody2@example.com = anybody else of example.com\n"
				    "user:somebody@other.example = anybody else of other.example\n"
				    "user:somebody@elsewhere.example = anybody else\n");
	assert_list(&u->accounts, "x@acme.iam.gserviceaccount.com\n"
				  "y@acme.iam.gserviceaccount.com\n"
				  "example@elsewhere.iam.gserviceaccount.com = *\n");
	universe_free(u);
	policy_unref(before);
	policy_unref(after);
}

/* Each stands for what its pattern matches and no narrower one does. */
static void test_universe_has_an_account_where_patterns_overlap(void **state) {
	static const char text[] =
		"version: 1\n"
		"bindings:\n"
		"  - {name: one, members: [allAuthenticated], serviceAccounts: [\"train-*@p.iam.gserviceaccount.com\",\n"
		"     \"*-prod@p.iam.gserviceaccount.com\", \"*@p.iam.gserviceaccount.com\", \"ex*@p.iam.gserviceaccount.com\",\n"
		"     \"train-*@q.iam.gserviceaccount.com\"]}\n";
	struct policy *policy = load_policy(STR(text));
	struct universe *u = universe_of((const struct policy *const[]){ policy }, 1);

	(void)state;
	assert_list(&u->accounts,
		    "train-example@p.iam.gserviceaccount.com = train-*@p.iam.gserviceaccount.com\n"
		    "other-prod@p.iam.gserviceaccount.com = *-prod@p.iam.gserviceaccount.com\n"
		    "other@p.iam.gserviceaccount.com = *@p.iam.gserviceaccount.com\n"
		    "exexample@p.iam.gserviceaccount.com = ex*@p.iam.gserviceaccount.com\n"
		    "train-example@q.iam.gserviceaccount.com = train-*@q.iam.gserviceaccount.com\n"
		    "train-example-prod@p.iam.gserviceaccount.com = train-*-prod@p.iam.gserviceaccount.com\n"
		    "exexample-prod@p.iam.gserviceaccount.com = ex*-prod@p.iam.gserviceaccount.com\n"
		    "example@elsewhere.iam.gserviceaccount.com = any other account\n");
	universe_free(u);
	policy_unref(policy);
}

static const char timed[] =
	"version: 1\n"
	"bindings:\n"
	"  - {name: hours, members: [user:a@example.com], serviceAccounts: [x@acme.iam.gserviceaccount.com],\n"
	"     condition: {title: t, expression: 'request.auth.method == \"peer\" && request.time.getDayOfWeek(\"Europe/Berlin\") in [1, 2, 3, 4, 5] &&\n"
	"       request.time.getHours(\"Europe/Berlin\") >= 8 && request.time.getHours(\"Europe/Berlin\") < 18'}}\n"
	"  - {name: mixed, members: [user:b@example.com], serviceAccounts: [x@acme.iam.gserviceaccount.com], notAfter: 2026-03-31T12:00:00Z,\n"
	"     condition: {title: t, expression: 'request.time.getHours() >= (request.auth.method == \"peer\" ? 9 : 10) &&\n"
	"       request.time < (request.auth.method == \"peer\" ? timestamp(\"2026-03-30T09:30:00.5Z\") : timestamp(\"2026-04-01T00:00:00Z\"))'}}\n"
	"denyRules:\n"
	"  - {name: freeze, deniedPrincipals: [user:a@example.com], denialCondition: {title: t, expression: 'request.time == timestamp(\"2026-03-27T10:00:00Z\")'}}\n";

static bool is_allowed(const struct policy *policy, const char *principal, int64_t at) {
	struct policy_query q = { .principal = principal, .service_account = "x@acme.iam.gserviceaccount.com", .auth_method = "peer", .now = at };
	struct decision decision;

	policy_decide(policy, &q, &decision);
	return decision.allow;
}

/* From 2026-03-26 over a change of clocks; every second against the instant before it. */
static void test_universe_answers_change_at_its_instants_alone(void **state) {
	const int64_t from = 1774483200, to = from + (getenv("HALLPASS_SLOW") ? 1 : 8) * DAY;
	struct policy *policy = load_policy(STR(timed));
	struct universe *u = universe_of((const struct policy *const[]){ policy }, 1);
	size_t at = 0, changes = 0;
	struct error err;
	bool a = false, b = false;

	(void)state;
	assert_int_equal(universe_add_instants(u, from, to, &err), 0);
	assert_int_equal(u->instants[0], from);
	for (int64_t t = from; t <= to; t++) {
		bool new_a = is_allowed(policy, "user:a@example.com", t), new_b = is_allowed(policy, "user:b@example.com", t);
		bool critical = at < u->n_instants && u->instants[at] == t;

		at += critical;
		changes += new_a != a || new_b != b;
		assert_true(critical || (new_a == a && new_b == b));
		a = new_a;
		b = new_b;
	}
	assert_int_equal(at, u->n_instants);
	assert_true(getenv("HALLPASS_SLOW") || (changes > 15 && u->n_instants < 250));
	assert_false(u->sampled);
	universe_free(u);
	policy_unref(policy);
}

/* Every second is one of these: it is said that not all are there. */
static void test_universe_says_when_it_has_not_every_instant(void **state) {
	static const char text[] =
		"version: 1\n"
		"bindings:\n"
		"  - {name: odd, members: [user:a@example.com], serviceAccounts: [x@acme.iam.gserviceaccount.com],\n"
		"     condition: {title: t, expression: 'request.time.getSeconds() % 2 == 0'}}\n";
	struct policy *policy = load_policy(STR(text));
	struct universe *u = universe_of((const struct policy *const[]){ policy }, 1);
	struct error err;

	(void)state;
	assert_int_equal(universe_add_instants(u, TEST_NOW, TEST_NOW + 365 * DAY, &err), 0);
	assert_true(u->sampled);
	assert_true(u->n_instants > 1000 && u->n_instants < 30000);
	universe_free(u);
	policy_unref(policy);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_universe_has_every_name_and_a_stranger_of_each_kind),
		cmocka_unit_test(test_universe_of_two_policies_has_each_name_once),
		cmocka_unit_test(test_universe_has_an_account_where_patterns_overlap),
		cmocka_unit_test(test_universe_answers_change_at_its_instants_alone),
		cmocka_unit_test(test_universe_says_when_it_has_not_every_instant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
