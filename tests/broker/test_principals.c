/* P4: a caller is who the kernel says; names come from the system, and only plain ones become part of a principal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "broker/authn/principals.h"
#include "hallpass/cleanup.h"

static struct config_peer rules[] = {
	{ .uid = 1001, .principal = (char *)"user:alice@example.com" },
	{ .uid = -1, .user = (char *)"bob", .principal = (char *)"user:robert@example.com" },
	{ .uid = -1, .group = (char *)"developers", .principal = (char *)"user:{name}@example.com" },
	{ .uid = 1009, .principal = (char *)"principal:uid/{uid}" },
};
static const struct config config = { .peers = rules, .n_peers = ARRAY_SIZE(rules) };

static const struct {
	int64_t uid;
	const char *name;  /* NULL: not looked up */
	const char *group; /* NULL: in none */
	enum principal_verdict verdict;
	const char *principal;
} cases[] = {
	{ 1001, NULL, NULL, PRINCIPAL_FOUND, "user:alice@example.com" }, /* by uid: no look-up needed */
	{ 1002, NULL, NULL, PRINCIPAL_NEEDS_ACCOUNT, NULL },
	{ 1002, "bob", "developers", PRINCIPAL_FOUND, "user:robert@example.com" }, /* the first that fits */
	{ 1003, "carol", "developers", PRINCIPAL_FOUND, "user:carol@example.com" },
	{ 1003, "carol", "staff", PRINCIPAL_UNKNOWN, NULL },
	{ 1003, "carol", NULL, PRINCIPAL_UNKNOWN, NULL },
	{ 1004, "", "developers", PRINCIPAL_UNKNOWN, NULL }, /* no such account */
	{ 1005, "e@evil.example", "developers", PRINCIPAL_UNKNOWN, NULL },
	{ 1006, "Eve", "developers", PRINCIPAL_UNKNOWN, NULL },
	{ 1009, "zoe", NULL, PRINCIPAL_FOUND, "principal:uid/1009" },
};

static void test_P4_principals_follow_the_rules_in_order(void **state) {
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct account account = { .uid = cases[i].uid };
		struct peer peer = { .uid = cases[i].uid };
		char out[PRINCIPAL_MAX] = "";

		if (cases[i].name && *cases[i].name) {
			account.exists = true;
			strcpy(account.name, cases[i].name);
		}
		if (cases[i].group) {
			account.groups = (char **)&cases[i].group;
			account.n_groups = 1;
		}
		assert_int_equal(principal_of(&config, &peer, cases[i].name ? &account : NULL, out), cases[i].verdict);
		if (cases[i].principal)
			assert_string_equal(out, cases[i].principal);
	}
}

static void test_principals_tell_why_somebody_is_nobody(void **state) {
	static const struct peer peer = { .uid = 1004 };
	static const struct {
		struct account account;
		const char *says, *not;
	} whos[] = {
		{ { .exists = true, .name = "carol" }, "uid 1004, user carol is nobody here: no rule under `peers:`", "(" },
		{ { .exists = true, .name = "Eve" }, "user Eve is nobody here: no rule under `peers:` in the broker's configuration fits it (a {name} has lower-case", NULL },
		{ { .exists = false }, "uid 1004 is nobody here: no rule under `peers:` in the broker's configuration fits it (this machine has no name for it", NULL },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(whos); i++) {
		principal_unknown(&peer, &whos[i].account, &err);
		print_message("%s\n", err.message);
		assert_int_equal(err.code, ERR_UNAUTHENTICATED);
		assert_non_null(strstr(err.message, whos[i].says));
		assert_true(!whos[i].not || !strstr(err.message, whos[i].not));
	}
	principal_unknown(&peer, NULL, &err);
	assert_null(strchr(err.message, '('));
}

static void test_principals_know_a_template_from_a_mistake(void **state) {
	static const struct {
		const char *template, *refusal; /* NULL: it is one */
	} templates[] = {
		{ "user:{name}@example.com", NULL }, { "serviceAccount:x@p.iam.gserviceaccount.com", NULL }, { "principal:uid/{uid}", NULL },
		{ "user:", "starts with user:" }, { "{name}", "starts with user:" }, { "group:x", "starts with user:" }, { "", "starts with user:" },
		{ "user:{name}", "want an e-mail" }, { "user:bob", "want an e-mail" }, { "user:{name}@{name}", "want an e-mail" },
		{ "serviceAccount:{uid}", "want an e-mail" }, { "user:{nam}", "only {name} and {uid}" }, { "user:{", "only {name}" }, { "user:}", "only {name}" }, { "user:{name}}", "only {name}" },
		{ "user:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "at most 176 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(templates); i++) {
		struct error err = { 0 };

		assert_int_equal(principal_template_check(templates[i].template, &err), templates[i].refusal ? -1 : 0);
		if (templates[i].refusal && !strstr(err.message, templates[i].refusal))
			fail_msg("%s: %s", templates[i].template, err.message);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P4_principals_follow_the_rules_in_order),
		cmocka_unit_test(test_principals_tell_why_somebody_is_nobody),
		cmocka_unit_test(test_principals_know_a_template_from_a_mistake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
