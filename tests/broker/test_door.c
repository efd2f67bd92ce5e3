/* door: its accounts, the terms of what is asked through it, and its handle. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "broker/door.h"
#include "broker/sha256.h"
#include "broker/surface/iam_credentials.h"
#include "broker/surface/metadata.h"
#include "broker/surface/sts.h"
#include "hallpass/cleanup.h"

#define A "a@p.iam.gserviceaccount.com"
#define B "b@p.iam.gserviceaccount.com"

static void test_door_knows_its_accounts_and_no_other(void **state) {
	const struct door door = { .accounts = { A, B }, .n_accounts = 2 };

	(void)state;
	assert_string_equal(door_account(&door, "default"), A);
	assert_string_equal(door_account(&door, B), B);
	assert_null(door_account(&door, "c@p.iam.gserviceaccount.com"));
	assert_null(door_account(&door, ""));
	assert_null(door_account(&door, "Default"));
}

static void assert_asks(const struct door *door, enum policy_permission permission, const char *want) {
	json_t *body = door_ask(door, permission, B), *expected = json_loads(want, 0, NULL);

	assert_true(json_equal(body, expected));
	json_decref(body);
	json_decref(expected);
}

static void test_door_asks_on_its_terms(void **state) {
	struct door door = { .accounts = { A }, .n_accounts = 1 };

	(void)state;
	assert_asks(&door, PERMISSION_GET_ACCESS_TOKEN, "{\"serviceAccount\": \"" B "\"}");
	door.terms = json_pack("{s:[s], s:s, s:s}", "scopes", "x", "lifetime", "60s", "justification", "INC-7");
	assert_asks(&door, PERMISSION_GET_ACCESS_TOKEN,
		    "{\"serviceAccount\": \"" B "\", \"scopes\": [\"x\"], \"lifetime\": \"60s\", \"justification\": \"INC-7\"}");
	assert_asks(&door, PERMISSION_GET_OPEN_ID_TOKEN, "{\"serviceAccount\": \"" B "\", \"justification\": \"INC-7\"}");
	assert_asks(&door, PERMISSION_SIGN_JWT, "{\"serviceAccount\": \"" B "\", \"justification\": \"INC-7\"}");
	assert_int_equal(json_object_size(door.terms), 3); /* they stay as they are */
	json_decref(door.terms);
}

static void test_door_of_a_session_takes_its_handle_alone(void **state) {
	struct door door = { .session = "0123456789abcdef" };
	char handle[DOOR_HANDLE + 1] = "";

	(void)state;
	assert_false(door_takes_credential(&door, STR(""))); /* none was made: nothing fits */
	memset(handle, 'a', DOOR_HANDLE);
	assert_int_equal(secret_set(&door.handle, handle, DOOR_HANDLE), 0);
	assert_true(door_takes_credential(&door, str_of(handle)));
	assert_false(door_takes_credential(&door, (struct str){ handle, DOOR_HANDLE - 1 }));
	assert_false(door_takes_credential(&door, STR("")));
	handle[DOOR_HANDLE - 1] = 'b';
	assert_false(door_takes_credential(&door, str_of(handle)));
	secret_fini(&door.handle);
}

/* Of a form that a broker's own has, and that what people make up has not. */
static void test_door_knows_what_a_handle_looks_like(void **state) {
#define HALF "3c28775931c2d8faedc7ee201eeedfa6"
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ HALF "9092873a2f5381a2760aa249aca52007", NULL },
		{ "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f", NULL }, /* as various as must be, and no more */
		{ "000102030405060708090a0b0c0d0e0e000102030405060708090a0b0c0d0e0e", "random" },
		{ "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "random" },
		{ "0000000000000000000000000000000000000000000000000000000000000000", "random" },
		{ HALF "9092873a2f5381a2760aa249aca5200", "64 hex digits" },
		{ HALF "9092873a2f5381a2760aa249aca520070", "64 hex digits" },
		{ HALF "9092873a2f5381a2760aa249aca5200G", "64 hex digits" },
		{ HALF "9092873A2F5381A2760AA249ACA52007", "64 hex digits" },
		{ HALF " 092873a2f5381a2760aa249aca52007", "64 hex digits" },
		{ "", "64 hex digits" },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if ((door_check_handle(str_of(cases[i].text), &err) == 0) != !cases[i].says)
			fail_msg("%s", cases[i].text);
		if (!cases[i].says)
			continue;
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.message, cases[i].says));
	}
}

static void test_door_of_the_configuration_takes_any_credential_but_none(void **state) {
	const struct door door = { .session = "" };

	(void)state;
	assert_true(door_takes_credential(&door, STR("whatever")));
	assert_false(door_takes_credential(&door, STR("")));
}

/* Of the last few that it gave. */
static void test_door_knows_whose_its_tokens_are(void **state) {
	struct door door = { .accounts = { "a@p.iam.gserviceaccount.com", "b@p.iam.gserviceaccount.com" }, .n_accounts = 2 };
	struct token token = { .expires_at = 1000 };
	int64_t expires_at = 0;
	char text[16];

	(void)state;
	assert_null(door_whose(&door, STR("t0"), 0, &expires_at));
	for (int i = 0; i <= DOOR_GIVEN; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		sha256_hex(text, strlen(text), token.sha256);
		door_note_given(&door, &token, door.accounts[i % 2]);
		door_note_given(&door, &token, door.accounts[i % 2]); /* again, from the cache: takes no second place */
	}
	assert_null(door_whose(&door, STR("t0"), 0, &expires_at)); /* the oldest made room */
	assert_string_equal(door_whose(&door, STR("t1"), 999, &expires_at), "b@p.iam.gserviceaccount.com");
	assert_int_equal(expires_at, 1000);
	assert_null(door_whose(&door, STR("t1"), 1000, &expires_at));
	door_note_given(&door, &token, "another@p.iam.gserviceaccount.com"); /* which it is not asked about */
	assert_string_equal(door_whose(&door, STR("t1"), 999, &expires_at), "b@p.iam.gserviceaccount.com");
}

/* A test or an invariant of a policy that speaks of one may; of another one, may not. */
static void test_policies_know_each_surface(void **state) {
	const struct surface *const surfaces[] = { &surface_metadata, &surface_iam_credentials, &surface_sts };
	unsigned n = 0;

	(void)state;
	assert_string_equal(policy_surface(0), "native");
	while (policy_surface(n))
		n++;
	assert_int_equal(n, 1 + ARRAY_SIZE(surfaces));
	for (size_t i = 0; i < ARRAY_SIZE(surfaces); i++)
		assert_string_equal(policy_surface((unsigned)i + 1), surfaces[i]->name);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_door_knows_whose_its_tokens_are),
		cmocka_unit_test(test_door_knows_its_accounts_and_no_other),
		cmocka_unit_test(test_door_asks_on_its_terms),
		cmocka_unit_test(test_policies_know_each_surface),
		cmocka_unit_test(test_door_of_a_session_takes_its_handle_alone),
		cmocka_unit_test(test_door_knows_what_a_handle_looks_like),
		cmocka_unit_test(test_door_of_the_configuration_takes_any_credential_but_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
