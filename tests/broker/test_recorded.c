/* asked, replay: what a record keeps of a request, and when it is to be believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/replay.h"
#include "broker/versions.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

#define WHO "user:a@example.com"
#define ACCOUNT "sa@p.iam.gserviceaccount.com"
#define NOON 1774008000 /* 2026-03-20T12:00:00Z */

static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "openid" };
static const char *const delegates[] = { "d@p.iam.gserviceaccount.com", "e@p.iam.gserviceaccount.com" };

static struct recorded asked;

static enum recorded_kind read_text(const char *text) {
	recorded_fini(&asked);
	return recorded_read(str_of(text), &asked);
}

static enum recorded_kind read_record(const struct audit_record *record) {
	struct buf json = RECORD_BUF;
	enum recorded_kind kind;

	record_write(record, &json);
	kind = read_text(json.data);
	buf_fini(&json);
	return kind;
}

static int forget(void **state) {
	(void)state;
	recorded_fini(&asked);
	return 0;
}

static struct audit_record issued(void) {
	return (struct audit_record){
		.type = RECORD_ISSUED, .time = { NOON + 1, 0 }, .request = "r-1", .principal = WHO, .auth = "SO_PEERCRED", .peer_known = true,
		.uid = 1000, .gid = 1001, .pid = 77, .exe = "/usr/bin/python3", .ip = "::1", .ip_port = 41000, .surface = "metadata",
		.asked_at = { NOON, 123456789 }, .permission = "iam.serviceAccounts.getAccessToken", .target = ACCOUNT,
		.asked_scopes = scopes, .n_asked_scopes = 2, .scopes = scopes, .n_scopes = 1, .asked_lifetime_s = 900,
		.delegates = delegates, .n_delegates = 2, .audience = "https://x", .justification = "INC-7", .decision = "ALLOW",
		.binding = "dev", .policy = "ab", .bound_by = "request", .ceiling_s = 3600, .allowance_s = 5, .lifetime_s = 600,
	};
}

static void test_recorded_is_all_that_a_policy_was_told(void **state) {
	const struct audit_record record = issued();
	const struct policy_query *q = &asked.query;

	(void)state;
	assert_int_equal(read_record(&record), RECORDED_DECIDED);
	assert_int_equal(asked.lacks, 0);
	assert_int_equal(asked.type, RECORD_ISSUED);
	assert_int_equal(asked.time.s, NOON + 1);
	assert_int_equal(q->now, NOON);
	assert_int_equal(q->now_ns, 123456789);
	assert_string_equal(q->principal, WHO);
	assert_string_equal(q->auth_method, "peer");
	assert_string_equal(q->service_account, ACCOUNT);
	assert_int_equal(q->permission, PERMISSION_GET_ACCESS_TOKEN);
	assert_int_equal(q->n_scopes, 2);
	assert_string_equal(q->scopes[1], "openid");
	assert_int_equal(q->lifetime_s, 900);
	assert_string_equal(q->audience, "https://x");
	assert_string_equal(q->justification, "INC-7");
	assert_string_equal(q->surface, "metadata");
	assert_true(q->peer.known);
	assert_int_equal(q->peer.uid, 1000);
	assert_int_equal(q->peer.gid, 1001);
	assert_int_equal(q->peer.pid, 77);
	assert_string_equal(q->peer.exe, "/usr/bin/python3");
	assert_string_equal(q->origin_ip, "::1");
	assert_int_equal(q->origin_port, 41000);
	assert_int_equal(q->n_delegates, 2);
	assert_string_equal(q->delegates[1], delegates[1]);
	assert_int_equal(q->ceiling_s, 3600);
	assert_int_equal(q->clock_allowance_s, 5);
	assert_true(asked.allowed);
	assert_string_equal(asked.binding, "dev");
	assert_string_equal(asked.bound_by, "request");
	assert_string_equal(asked.policy, "ab");
	assert_string_equal(asked.request, "r-1");
	assert_int_equal(asked.lifetime_s, 600);
	assert_int_equal(asked.n_granted, 1);
}

static void test_recorded_has_nothing_that_was_not_there(void **state) {
	const struct policy_query *q = &asked.query;

	(void)state;
	assert_int_equal(read_text("{\"type\":\"denied\",\"time\":\"2026-03-20T12:00:00.000Z\",\"request\":\"r\",\"principal\":\"" WHO "\",\"uid\":7,"
				   "\"from\":\"127.0.0.1:9\",\"askedAt\":\"2026-03-20T11:59:59.000000000Z\","
				   "\"permission\":\"iam.serviceAccounts.signJwt\",\"target\":\"" ACCOUNT "\",\"decision\":\"DENY\",\"reason\":\"NO_BINDING\"}"),
			 RECORDED_DECIDED);
	assert_int_equal(q->permission, PERMISSION_SIGN_JWT);
	assert_true(q->peer.known);
	assert_int_equal(q->peer.gid, -1);
	assert_int_equal(q->peer.pid, -1);
	assert_null(q->peer.exe);
	assert_null(q->justification);
	assert_null(q->audience);
	assert_null(q->surface);
	assert_string_equal(q->origin_ip, "127.0.0.1");
	assert_int_equal(q->origin_port, 9);
	assert_int_equal(q->n_scopes + q->n_delegates + (size_t)q->lifetime_s + (size_t)q->ceiling_s + (size_t)q->clock_allowance_s, 0);
	assert_false(asked.allowed);
	assert_string_equal(asked.reason, "NO_BINDING");
	assert_string_equal(asked.binding, "");
	assert_int_equal(asked.lacks, 0);
}

static void test_recorded_says_what_a_record_lacks(void **state) {
	char *long_scopes[POLICY_MAX_SCOPES];
	struct audit_record record = issued();

	(void)state;
	record.asked_at = (struct instant){ 0 };
	record.time = (struct instant){ NOON + 3, 5000000 };
	record.upstream_ms = 2500;
	assert_int_equal(read_record(&record), RECORDED_DECIDED);
	assert_int_equal(asked.lacks, RECORDED_LACKS_INSTANT);
	assert_int_equal(asked.query.now, NOON + 1); /* before Google was asked */
	for (size_t i = 0; i < ARRAY_SIZE(long_scopes); i++)
		assert_true(asprintf(&long_scopes[i], "https://%0600zu", i) > 0);
	record = issued();
	record.asked_scopes = (const char *const *)long_scopes;
	record.n_asked_scopes = ARRAY_SIZE(long_scopes);
	assert_int_equal(read_record(&record), RECORDED_DECIDED);
	assert_int_equal(asked.lacks, RECORDED_LACKS_LISTS);
	for (size_t i = 0; i < ARRAY_SIZE(long_scopes); i++)
		free(long_scopes[i]);
}

static void test_recorded_leaves_other_records_alone(void **state) {
	static const char *const others[] = {
		"", "{}", "nonsense", "{\"type\":\"issued\"", "{\"type\":\"of a later version\",\"time\":\"2026-03-20T12:00:00.000Z\"}",
		"{\"type\":\"issued\",\"time\":\"2026-03-20T12:00:00.000Z\",\"flight\":\"f\",\"decision\":\"ALLOW\"}", /* everybody had left */
	};
	struct audit_record record = issued();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (read_text(others[i]) != RECORDED_OTHER)
			fail_msg("%s", others[i]);
	for (int type = RECORD_INTENT; type < N_RECORD_TYPES; type++) {
		bool outcome = type == RECORD_ISSUED || type == RECORD_DENIED || type == RECORD_FAILED || type == RECORD_ABANDONED;

		record.type = (enum record_type)type;
		assert_int_equal(read_record(&record), outcome ? RECORDED_DECIDED : RECORDED_OTHER);
	}
	record.type = RECORD_DENIED;
	record.decision = NULL; /* asked too often */
	assert_int_equal(read_record(&record), RECORDED_UNDECIDED);
	assert_int_equal(asked.time.s, NOON + 1);
	record.decision = "DENY";
	record.permission = "of.a.later.version";
	assert_int_equal(read_record(&record), RECORDED_UNDECIDED);
}

/* --- replay */

#define POLICY(name, more) "version: 1\nbindings:\n  - {name: " name ", members: [\"" WHO "\"], serviceAccounts: [" ACCOUNT "]" more "}\n"

static char dir[64];
static struct policy *policies[4];
static struct replay *replay;

static int replay_setup(void **state) {
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hallpass-replay.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int replay_teardown(void **state) {
	char command[100];

	replay_free(take(&replay));
	policy_unref(take(&policies[0]));
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return forget(state);
}

static void keep(const char *text, char hash[static SHA256_HEX]) {
	struct error err = { 0 };

	sha256_hex(text, strlen(text), hash);
	if (version_keep(dir, hash, str_of(text), &err) < 0)
		fail_msg("%s", err.message);
}

static void begin(const char *text) {
	struct policy_report report = { 0 };
	struct error err = { 0 };
	char hash[SHA256_HEX];

	sha256_hex(text, strlen(text), hash);
	if (policy_load("new", str_of(text), &zonefile_host, 0, &policies[0], &report, &err) < 0 ||
	    replay_new(dir, policies[0], hash, &replay, &err) < 0)
		fail_msg("%s", err.message);
	policy_report_fini(&report);
}

/* A record of a plain request as it would be under `POLICY(binding, ", maxLifetime: 5m")`. */
static void again(const char *hash, const char *binding, int64_t lifetime_s, struct replayed *out) {
	const struct audit_record record = {
		.type = RECORD_ISSUED, .time = { NOON, 0 }, .request = "r", .principal = WHO, .asked_at = { NOON, 0 },
		.permission = "iam.serviceAccounts.getAccessToken", .target = ACCOUNT, .scopes = scopes, .n_scopes = 1,
		.decision = "ALLOW", .binding = binding, .policy = hash, .bound_by = "maxLifetime", .lifetime_s = lifetime_s,
	};

	assert_int_equal(read_record(&record), RECORDED_DECIDED);
	replay_one(replay, &asked, out);
}

static void test_replay_says_nothing_of_what_it_cannot_reproduce(void **state) {
	char five[SHA256_HEX], ten[SHA256_HEX];
	struct replayed r;

	(void)state;
	keep(POLICY("five", ", maxLifetime: 5m"), five);
	keep(POLICY("ten", ", maxLifetime: 10m"), ten);
	begin(POLICY("new", ", maxLifetime: 5m"));
	again(five, "five", 300, &r);
	assert_int_equal(r.faith, REPLAY_FAITHFUL);
	assert_int_equal(r.changes, 1u << REPLAY_BINDING);
	again(ten, "ten", 600, &r);
	assert_int_equal(r.faith, REPLAY_FAITHFUL);
	assert_int_equal(r.changes, 1u << REPLAY_SHORTER);
	/* The policy that it names would have said otherwise. */
	again(five, "ten", 600, &r);
	assert_int_equal(r.faith, REPLAY_UNFAITHFUL);
	assert_int_equal(r.changes, 0);
	assert_true(r.again.allow);
	assert_string_equal(r.again.decision.rule, "five");
	again(five, "five", 299, &r);
	assert_int_equal(r.faith, REPLAY_UNFAITHFUL);
}

static void test_replay_without_the_policy_of_then_goes_by_the_record(void **state) {
	char five[SHA256_HEX], broken[SHA256_HEX];
	struct replayed r;

	(void)state;
	keep(POLICY("five", ", maxLifetime: 5m"), five);
	keep("version: 99\n", broken);
	begin(POLICY("new", ", maxLifetime: 1m"));
	again(broken, "five", 300, &r);
	assert_int_equal(r.faith, REPLAY_UNPROVEN);
	assert_int_equal(r.changes, 1u << REPLAY_SHORTER);
	assert_non_null(strstr(r.why, "version"));
	five[0] = five[0] == '0' ? '1' : '0';
	again(five, "five", 300, &r);
	assert_int_equal(r.faith, REPLAY_UNPROVEN);
	assert_non_null(strstr(r.why, "is not kept"));
	again("", "five", 300, &r);
	assert_int_equal(r.faith, REPLAY_UNPROVEN);
}

/* What is signed: a blob has no lifetime, and a JWT or ID token that would live too long is refused though the policy allows one. */
static void test_replay_of_what_was_signed(void **state) {
	static const struct {
		const char *permission;
		enum record_type type;
		const char *reason, *bound_by;
		int64_t asked_s, lifetime_s; /* as recorded */
		unsigned changes;
	} cases[] = {
		{ "signBlob", RECORD_ISSUED, NULL, NULL, 0, 0, 1u << REPLAY_BINDING },
		{ "signJwt", RECORD_ISSUED, NULL, "request", 200, 200, 1u << REPLAY_DENIED },
		{ "signJwt", RECORD_ISSUED, NULL, "request", 100, 100, 1u << REPLAY_BINDING },
		{ "signJwt", RECORD_ISSUED, NULL, "maxLifetime", 0, 300, 1u << REPLAY_SHORTER },
		{ "getOpenIdToken", RECORD_DENIED, REPLAY_ID_TOKEN_OUTLIVES, "maxLifetime", 0, 300, 0 },
		{ "signJwt", RECORD_DENIED, REPLAY_JWT_OUTLIVES, "maxLifetime", 400, 300, 0 },
	};
	char five[SHA256_HEX], permission[64];
	struct replayed r;

	(void)state;
	keep(POLICY("five", ", maxLifetime: 5m, permissions: [signBlob, signJwt, getOpenIdToken]"), five);
	begin(POLICY("new", ", maxLifetime: 2m, permissions: [signBlob, signJwt, getOpenIdToken]"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(permission, sizeof(permission), "iam.serviceAccounts.%s", cases[i].permission);
		assert_int_equal(read_record(&(struct audit_record){
					 .type = cases[i].type, .time = { NOON, 0 }, .request = "r", .principal = WHO, .asked_at = { NOON, 0 },
					 .permission = permission, .target = ACCOUNT, .decision = "ALLOW", .reason = cases[i].reason,
					 .binding = "five", .policy = five, .bound_by = cases[i].bound_by, .asked_lifetime_s = cases[i].asked_s,
					 .lifetime_s = cases[i].lifetime_s }),
				 RECORDED_DECIDED);
		replay_one(replay, &asked, &r);
		if (r.faith != REPLAY_FAITHFUL || r.changes != cases[i].changes)
			fail_msg("%zu: faith %d, changes %#x, again %s", i, (int)r.faith, r.changes, r.again.reason);
	}
}

/* More of them than are in memory, in every order. */
static void test_replay_under_many_policies_in_turn(void **state) {
	char hashes[4][SHA256_HEX], text[256], name[16];
	struct replayed r;
	unsigned seed = 4;

	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), POLICY("p%d", ", maxLifetime: %dm"), i, i + 1);
		keep(text, hashes[i]);
	}
	begin(POLICY("new", ", maxLifetime: 1m"));
	for (int i = 0; i < 200; i++) {
		int k = rand_r(&seed) % 4;

		snprintf(name, sizeof(name), "p%d", k);
		again(hashes[k], name, 60 * (k + 1), &r);
		assert_int_equal(r.faith, REPLAY_FAITHFUL);
		assert_int_equal(r.changes, 1u << (k ? REPLAY_SHORTER : REPLAY_BINDING));
	}
}

#define RECORDED(f) cmocka_unit_test_teardown(f, forget)
#define REPLAY(f) cmocka_unit_test_setup_teardown(f, replay_setup, replay_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		RECORDED(test_recorded_is_all_that_a_policy_was_told),
		RECORDED(test_recorded_has_nothing_that_was_not_there),
		RECORDED(test_recorded_says_what_a_record_lacks),
		RECORDED(test_recorded_leaves_other_records_alone),
		REPLAY(test_replay_says_nothing_of_what_it_cannot_reproduce),
		REPLAY(test_replay_without_the_policy_of_then_goes_by_the_record),
		REPLAY(test_replay_of_what_was_signed),
		REPLAY(test_replay_under_many_policies_in_turn),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
