/* record: the JSON that people and programs parse. Always one object, one line, small enough; never more than was said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "broker/audit/audit.h"
#include "broker/audit/record.h"
#include "hallpass/cleanup.h"

static const struct instant noon = { 1774008000, 7999999 };

#define AT_NOON ",\"time\":\"2026-03-20T12:00:00.007Z\""

/* One line of printable text and whole UTF-8, that jansson takes; *out is what it means. */
static void assert_a_record(const struct buf *b, json_t **out) {
	json_error_t error;

	assert_true(buf_ok(b));
	assert_in_range(b->len, 2, AUDIT_MAX_ENTRY);
	for (size_t i = 0; i < b->len; i++)
		if ((unsigned char)b->data[i] < 0x20 || b->data[i] == 0x7F)
			fail_msg("byte %zu is %#x: %.200s", i, (unsigned)b->data[i], b->data);
	*out = json_loadb(b->data, b->len, JSON_REJECT_DUPLICATES, &error);
	if (!*out)
		fail_msg("%s at byte %d: %.300s", error.text, error.position, b->data);
	assert_true(json_is_object(*out));
}

static void assert_writes(const struct audit_record *record, const char *expected) {
	struct buf b = RECORD_BUF;
	json_t *json;

	record_write(record, &b);
	assert_a_record(&b, &json);
	assert_string_equal(b.data, expected);
	json_decref(json);
	buf_fini(&b);
}

static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "openid" };
static const char *const delegates[] = { "a@p.iam.gserviceaccount.com" };
static const uint64_t indices[] = { 3, INT64_MAX };

/* The order of keys, and that each is there; programs and `hallpass log` rely on it. */
static void test_record_writes_every_key_in_order(void **state) {
	(void)state;
	assert_writes(
		&(struct audit_record){
			.type = RECORD_ISSUED, .time = noon, .flight = "f-1", .request = "r-1", .principal = "user:a@example.com",
			.auth = "SO_PEERCRED", .peer_known = true, .uid = 0, .gid = 0, .pid = 77, .exe = "/usr/bin/python3", .ip = "127.0.0.1", .ip_port = 40001, .asked_at = { 1774007999, 12345678 },
			.ceiling_s = 3600, .allowance_s = 5, .surface = "native", .permission = "iam.serviceAccounts.getAccessToken", .target = "sa@p.iam.gserviceaccount.com",
			.asked_scopes = scopes, .n_asked_scopes = 2, .scopes = scopes, .n_scopes = 1, .asked_lifetime_s = 3600,
			.delegates = delegates, .n_delegates = 1, .audience = "https://x", .justification = "INC-7", .decision = "ALLOW",
			.reason = "ALLOWED", .binding = "dev", .policy = "ab", .bound_by = "maxLifetime", .lifetime_s = 900,
			.expires_at = 1774008900, .token_sha256 = "cd", .cached = true, .undelivered = true, .upstream_ms = 12,
			.upstream_status = 200, .error = "none", .file = "000001.j", .bytes = 5, .refused = 6, .indices = indices,
			.n_indices = 2 },
		"{\"type\":\"issued\"" AT_NOON ",\"flight\":\"f-1\",\"request\":\"r-1\",\"principal\":\"user:a@example.com\","
		"\"auth\":\"SO_PEERCRED\",\"uid\":0,\"gid\":0,\"pid\":77,\"exe\":\"/usr/bin/python3\",\"from\":\"127.0.0.1:40001\","
		"\"surface\":\"native\",\"askedAt\":\"2026-03-20T11:59:59.012345678Z\","
		"\"permission\":\"iam.serviceAccounts.getAccessToken\",\"target\":\"sa@p.iam.gserviceaccount.com\","
		"\"askedScopes\":[\"https://www.googleapis.com/auth/cloud-platform\",\"openid\"],"
		"\"scopes\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"askedLifetime\":3600,"
		"\"delegates\":[\"a@p.iam.gserviceaccount.com\"],\"audience\":\"https://x\",\"justification\":\"INC-7\","
		"\"decision\":\"ALLOW\",\"reason\":\"ALLOWED\",\"binding\":\"dev\",\"policy\":\"ab\",\"boundBy\":\"maxLifetime\","
		"\"ceiling\":3600,\"allowance\":5,\"lifetime\":900,\"expires\":\"2026-03-20T12:15:00Z\",\"token\":\"cd\",\"cached\":true,\"delivered\":false,"
		"\"upstreamMs\":12,\"upstreamStatus\":200,\"error\":\"none\",\"file\":\"000001.j\",\"bytes\":5,\"refused\":6,"
		"\"indices\":[3,9223372036854775807]}");
}

static void test_record_of_each_type_says_only_what_there_is(void **state) {
	static const struct {
		struct audit_record record;
		const char *expected;
	} cases[] = {
		{ { .type = RECORD_INTENT, .flight = "f" }, "{\"type\":\"intent\"" AT_NOON ",\"flight\":\"f\"}" },
		{ { .type = RECORD_ISSUED, .token_sha256 = "ab" }, "{\"type\":\"issued\"" AT_NOON ",\"token\":\"ab\"}" },
		{ { .type = RECORD_DENIED, .peer_known = true, .uid = 4294967294, .gid = 7 },
		  "{\"type\":\"denied\"" AT_NOON ",\"uid\":4294967294,\"gid\":7}" },
		{ { .type = RECORD_DENIED, .ip = "::1", .ip_port = 7 }, "{\"type\":\"denied\"" AT_NOON ",\"from\":\"[::1]:7\"}" },
		{ { .type = RECORD_FAILED, .upstream_status = 503 }, "{\"type\":\"failed\"" AT_NOON ",\"upstreamStatus\":503}" },
		{ { .type = RECORD_ABANDONED }, "{\"type\":\"abandoned\"" AT_NOON "}" },
		{ { .type = RECORD_UNKNOWN, .flight = "f" }, "{\"type\":\"unknown\"" AT_NOON ",\"flight\":\"f\"}" },
		{ { .type = RECORD_RELOAD, .policy = "ab" }, "{\"type\":\"reload\"" AT_NOON ",\"policy\":\"ab\"}" },
		{ { .type = RECORD_START }, "{\"type\":\"start\"" AT_NOON "}" },
		{ { .type = RECORD_STOP }, "{\"type\":\"stop\"" AT_NOON "}" },
		{ { .type = RECORD_RECOVERED, .file = "000001.j", .bytes = 9 },
		  "{\"type\":\"recovered\"" AT_NOON ",\"file\":\"000001.j\",\"bytes\":9}" },
		{ { .type = RECORD_LATE, .indices = indices, .n_indices = 1 }, "{\"type\":\"late\"" AT_NOON ",\"indices\":[3]}" },
		{ { .type = RECORD_OPENED, .peer_known = true, .uid = 7, .gid = -1, .session = "5e", .target = "sa@p.x", .also = delegates,
		    .n_also = 1, .port = 40000 },
		  "{\"type\":\"opened\"" AT_NOON ",\"uid\":7,\"session\":\"5e\",\"target\":\"sa@p.x\","
		  "\"also\":[\"a@p.iam.gserviceaccount.com\"],\"port\":40000}" },
		{ { .type = RECORD_OPENED, .session = "5e", .port = 80, .relayed = true },
		  "{\"type\":\"opened\"" AT_NOON ",\"session\":\"5e\",\"port\":80,\"relayed\":true}" },
		{ { .type = RECORD_DOCTOR, .also = delegates, .n_also = 1 },
		  "{\"type\":\"doctor\"" AT_NOON ",\"also\":[\"a@p.iam.gserviceaccount.com\"]}" },
		{ { .type = RECORD_CLOSED, .session = "5e", .reason = "CLIENT_LEFT", .counts_tokens = true },
		  "{\"type\":\"closed\"" AT_NOON ",\"session\":\"5e\",\"reason\":\"CLIENT_LEFT\",\"tokens\":0}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct audit_record record = cases[i].record;

		record.time = noon;
		assert_writes(&record, cases[i].expected);
	}
	assert_string_equal(record_type_name((enum record_type)0), "?");
	assert_string_equal(record_type_name((enum record_type)99), "?");
}

static void test_record_escapes_what_callers_say(void **state) {
	static const struct {
		const char *said, *stands; /* what it means when it is read again */
	} cases[] = {
		{ "plain", "plain" },
		{ "a\nb\r\n\tc\b\f", "a\nb\r\n\tc\b\f" },
		{ "\x01\x1f\x7f", "\x01\x1f\x7f" },
		{ "\"},{\"type\":\"issued", "\"},{\"type\":\"issued" },
		{ "back\\slash \\u0041", "back\\slash \\u0041" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },		   /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xe2\x80\xa8", "\xe2\x80\xa8" }, /* a line separator is no newline of ours */
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const list[] = { cases[i].said, cases[i].said };
		struct audit_record record = { .type = RECORD_DENIED, .time = noon, .justification = cases[i].said,
					       .exe = cases[i].said, .peer_known = true, .asked_scopes = list, .n_asked_scopes = 2 };
		struct buf b = RECORD_BUF;
		json_t *json;

		record_write(&record, &b);
		assert_a_record(&b, &json);
		assert_string_equal(json_string_value(json_object_get(json, "justification")), cases[i].stands);
		assert_string_equal(json_string_value(json_object_get(json, "exe")), cases[i].stands);
		assert_string_equal(json_string_value(json_array_get(json_object_get(json, "askedScopes"), 1)), cases[i].stands);
		assert_null(json_object_get(json, "cut"));
		json_decref(json);
		buf_fini(&b);
	}
}

/* A string of n bytes made of `piece`. Free it. */
static char *repeated(const char *piece, size_t n) {
	char *s = malloc(n + 1);
	size_t len = strlen(piece);

	assert_non_null(s);
	for (size_t i = 0; i < n; i++)
		s[i] = piece[i % len];
	s[n] = '\0';
	return s;
}

static void fill(struct audit_record *r, const char *s, const char *const *list, size_t n, const uint64_t *numbers, size_t n_numbers) {
	*r = (struct audit_record){
		.type = RECORD_RECOVERED, .time = { INT64_C(253402300799), 999999999 },
		.flight = s, .request = s, .principal = s, .auth = s, .peer_known = true, .uid = INT64_MIN, .gid = INT64_MAX,
		.pid = INT64_MIN, .exe = s, .ip = s, .ip_port = INT32_MIN, .asked_at = { INT64_C(253402300799), 999999999 },
		.ceiling_s = INT64_MIN, .allowance_s = INT64_MIN, .session = s, .surface = s, .permission = s, .target = s, .also = list, .n_also = n, .port = INT32_MIN, .asked_scopes = list, .n_asked_scopes = n,
		.scopes = list, .n_scopes = n, .asked_lifetime_s = INT64_MIN, .delegates = list, .n_delegates = n, .audience = s, .payload_sha256 = s,
		.justification = s, .decision = s, .reason = s, .binding = s, .policy = s, .bound_by = s, .lifetime_s = INT64_MIN,
		.expires_at = INT64_C(253402300799), .token_sha256 = s, .cached = true, .undelivered = true,
		.upstream_ms = UINT32_MAX, .upstream_status = INT32_MIN, .error = s, .file = s, .bytes = INT64_MAX,
		.refused = INT64_MAX, .counts_tokens = true, .tokens = INT64_MAX, .indices = numbers, .n_indices = n_numbers,
	};
}

#define MANY 20000

static void test_record_never_exceeds_an_entry(void **state) {
	static const char *const pieces[] = { "a", "\"", "\\", "\x01", "\n", "\x7f", "\xff", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x91" };
	static const size_t lengths[] = { 0, 171, 1024, 1025, 100000 };
	static const size_t counts[] = { 0, 8, MANY };
	static const char *list[MANY];
	static uint64_t numbers[MANY];
	size_t longest = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		numbers[i] = INT64_MAX;
	for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
		for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
			char *s = repeated(pieces[p], lengths[l]);

			for (size_t i = 0; i < MANY; i++)
				list[i] = s;
			for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
				struct buf b = RECORD_BUF;
				struct audit_record record;
				json_t *json;

				fill(&record, s, list, counts[c], numbers, counts[c]);
				record_write(&record, &b);
				assert_a_record(&b, &json);
				if (lengths[l] >= 100000 || counts[c] == MANY)
					assert_true(json_is_true(json_object_get(json, "cut")));
				longest = b.len > longest ? b.len : longest;
				json_decref(json);
				buf_fini(&b);
			}
			free(s);
		}
	}
	print_message("the longest has %zu bytes\n", longest);
}

static void assert_cut(const char *said, const char *end, bool cut) {
	struct audit_record record = { .type = RECORD_DENIED, .time = noon, .binding = said };
	struct buf b = RECORD_BUF;
	const char *stands;
	json_t *json;
	size_t n;

	record_write(&record, &b);
	assert_a_record(&b, &json);
	stands = json_string_value(json_object_get(json, "binding"));
	n = strlen(stands);
	assert_int_equal(json_is_true(json_object_get(json, "cut")), cut);
	assert_true(n >= strlen(end) && !strcmp(stands + n - strlen(end), end));
	assert_int_equal(strncmp(said, stands, n - strlen(end)), 0);
	json_decref(json);
	buf_fini(&b);
}

static void test_record_cuts_at_a_character_and_says_so(void **state) {
	char *fits = repeated("x", 1024), *over = repeated("x", 1025), *wide = repeated("\xf0\x9f\x94\x91", 4 * 257);
	char *odd = repeated("\xf0\x9f\x94\x91", 4 * 256);

	(void)state;
	assert_cut(fits, "xxxx", false);
	assert_cut(over, "xx\xe2\x80\xa6", true);
	assert_cut(odd, "\xf0\x9f\x94\x91", false);
	assert_cut(wide, "\xf0\x9f\x94\x91\xe2\x80\xa6", true);
	free(fits);
	free(over);
	free(wide);
	free(odd);
}

/* Any bytes at all, from a fixed seed. */
static void test_record_of_random_bytes_is_one_line_of_json(void **state) {
	static const unsigned char kinds[] = { '"', '\\', '\n', 0x7F, 0xC3, 0xA4, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x94, 0xFF, 'x', 1 };
	struct buf b = RECORD_BUF;
	unsigned seed = 20;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		char s[4096];
		const char *const list[] = { s, s + 1, s };
		size_t n = (size_t)rand_r(&seed) % (i % 10 ? 200 : sizeof(s));
		struct audit_record record;
		json_t *json;

		for (size_t k = 0; k < n; k++)
			s[k] = (char)(i % 2 ? kinds[(size_t)rand_r(&seed) % sizeof(kinds)] : (unsigned char)(rand_r(&seed) % 255 + 1));
		s[n] = '\0';
		fill(&record, s, list, n ? 3 : 0, NULL, 0);
		buf_reset(&b);
		record_write(&record, &b);
		assert_a_record(&b, &json);
		json_decref(json);
	}
	buf_fini(&b);
}

static void assert_head(const char *json, enum record_type type, const char *flight) {
	struct record_head head;

	record_head(str_of(json), &head);
	assert_int_equal(head.type, type);
	assert_true(str_eq(head.flight, str_of(flight)));
}

static void test_record_head_finds_type_and_flight_without_parsing(void **state) {
	(void)state;
	for (enum record_type type = RECORD_INTENT; type < N_RECORD_TYPES; type++) {
		struct audit_record record = { .type = type, .time = noon, .flight = type % 2 ? "ab-7" : NULL, .request = "r-1" };
		struct buf b = RECORD_BUF;

		record_write(&record, &b);
		assert_head(b.data, type, type % 2 ? "ab-7" : "");
		buf_fini(&b);
	}
	assert_head("", (enum record_type)0, "");
	assert_head("{}", (enum record_type)0, "");
	assert_head("{\"type\":\"", (enum record_type)0, "");
	assert_head("{\"type\":\"of a later version\"" AT_NOON ",\"flight\":\"f\"}", (enum record_type)0, "f");
	assert_head("{\"type\":\"intent\"", RECORD_INTENT, "");
	assert_head("{\"type\":\"intent\",\"time\":\"", RECORD_INTENT, "");
	assert_head("{\"type\":\"intent\"" AT_NOON ",\"flight\":\"unterminated", RECORD_INTENT, "");
	/* A caller's words are no head. */
	assert_head("{\"type\":\"denied\"" AT_NOON ",\"request\":\"\\\",\\\"flight\\\":\\\"f\"}", RECORD_DENIED, "");
}

static void test_record_time_reads_what_records_say(void **state) {
	static const struct {
		const char *text;
		struct instant at;
	} cases[] = {
		{ "2026-03-20T12:00:00.007Z", { 1774008000, 7000000 } },
		{ "2026-03-20T11:59:59.012345678Z", { 1774007999, 12345678 } },
		{ "2026-03-20T12:00:00Z", { 1774008000, 0 } },
	};
	static const char *const bad[] = { "", "today", "2026-03-20", "2026-03-20T12:00:00", "2026-03-20T12:00:00.5", "2026-03-20T12:00:00Zulu" };
	struct instant at;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(record_time(cases[i].text, &at));
		assert_int_equal(at.s, cases[i].at.s);
		assert_int_equal(at.ns, cases[i].at.ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(record_time(bad[i], &at));
}

static void test_record_without_memory_is_not_ok(void **state) {
	struct buf b = BUF_INIT(60);
	struct audit_record record = { .type = RECORD_DENIED, .time = noon, .justification = "long enough not to fit" };

	(void)state;
	record_write(&record, &b);
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_writes_every_key_in_order),
		cmocka_unit_test(test_record_of_each_type_says_only_what_there_is),
		cmocka_unit_test(test_record_escapes_what_callers_say),
		cmocka_unit_test(test_record_never_exceeds_an_entry),
		cmocka_unit_test(test_record_cuts_at_a_character_and_says_so),
		cmocka_unit_test(test_record_of_random_bytes_is_one_line_of_json),
		cmocka_unit_test(test_record_head_finds_type_and_flight_without_parsing),
		cmocka_unit_test(test_record_time_reads_what_records_say),
		cmocka_unit_test(test_record_without_memory_is_not_ok),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
