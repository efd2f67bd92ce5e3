/* google_error: what Google's endpoints answer, as values: JSON, times, base64url, tokens, and why they say no. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/source/google_error.h"

static void test_google_reads_times(void **state) {
	static const struct {
		const char *text;
		int64_t unix_s;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2027-01-15T08:00:00Z", 1800000000 },
		{ "2027-01-15T09:00:00+01:00", 1800000000 },
		{ "2027-01-15T02:30:00-05:30", 1800000000 },
		{ "2027-01-15T08:00:00.000000000Z", 1800000000 },
		{ "2027-01-15T08:00:00.000000001Z", 1800000001 }, /* a part of a second is as long as a whole one (P2) */
		{ "2027-01-15T08:00:00.5+00:00", 1800000001 },
		{ "2028-02-29T00:00:00Z", 1835395200 },
		{ "2100-02-28T23:59:59Z", 4107542399 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
		{ "1970-01-01T00:00:00+23:59", -86340 },
	};
	static const char *const bad[] = {
		"", "Z", "2027-01-15", "2027-01-15T08:00:00", "2027-01-15 08:00:00Z", "2027-01-15t08:00:00Z", "2027-01-15T08:00:00z",
		"2027-1-15T08:00:00Z", "2027-13-01T08:00:00Z", "2027-00-01T08:00:00Z", "2027-01-32T08:00:00Z", "2027-01-00T08:00:00Z",
		"2027-02-29T08:00:00Z", "2100-02-29T00:00:00Z", "2027-01-15T24:00:00Z", "2027-01-15T08:60:00Z", "2027-01-15T08:00:60Z",
		"1969-12-31T23:59:59Z", "99999-01-15T08:00:00Z", "-027-01-15T08:00:00Z", "2027-01-15T08:00:00.Z",
		"2027-01-15T08:00:00.0000000001Z", "2027-01-15T08:00:00+0100", "2027-01-15T08:00:00+24:00", "2027-01-15T08:00:00+01:60",
		"2027-01-15T08:00:00+01", "2027-01-15T08:00:00Z ", "2027-01-15T08:00:00Zx", " 2027-01-15T08:00:00Z", "2027/01/15T08:00:00Z",
	};
	int64_t t;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(google_time(good[i].text, &t), 0);
		if (t != good[i].unix_s)
			fail_msg("%s: %lld", good[i].text, (long long)t);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (google_time(bad[i], &t) == 0)
			fail_msg("'%s' was read", bad[i]);
	}
}

/* RFC 4648 §10, without padding. */
static void test_google_base64url_there_and_back(void **state) {
	static const char *const vectors[][2] = { { "", "" },	       { "f", "Zg" },	     { "fo", "Zm8" },
						  { "foo", "Zm9v" },   { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" },
						  { "foobar", "Zm9vYmFy" }, { "\xFB\xFF\xBF", "-_-_" } };
	static const char *const bad[] = { "Z", "Zg==", "Zh", "Zm9", "Zm9vY", "Zm+v", "Zm/v", "Zm9v\n", "Z g", "Zm9vYmF" };
	unsigned char out[16];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf text = BUF_INIT(64);

		base64url_add(&text, vectors[i][0], strlen(vectors[i][0]));
		assert_string_equal(text.data ? text.data : "", vectors[i][1]);
		assert_int_equal(base64url_decode(vectors[i][1], strlen(vectors[i][1]), out, sizeof(out), &n), 0);
		assert_int_equal(n, strlen(vectors[i][0]));
		assert_memory_equal(out, vectors[i][0], n);
		buf_fini(&text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base64url_decode(bad[i], strlen(bad[i]), out, sizeof(out), &n) == 0)
			fail_msg("'%s' was decoded", bad[i]);
	}
	assert_int_equal(base64url_decode("Zm9vYmFy", 8, out, 5, &n), -1); /* no room */
	assert_int_equal(base64url_decode("Zg\0g", 4, out, sizeof(out), &n), -1);
}

static json_t *object(const char *text) {
	struct error err;
	json_t *json = google_json(text, strlen(text), &err);

	if (!json)
		fail_msg("%s: %s", text, err.message);
	return json;
}

static void test_google_json_is_one_small_object(void **state) {
	static const char *const bad[][2] = {
		{ "", "not JSON" }, { "[]", "not a JSON object" }, { "\"a\"", "JSON" }, { "{} {}", "not JSON" }, { "{\"a\":1,\"a\":2}", "1:10: a key appears twice" },
		{ "{\"a\":\"\\u0000\"}", "not JSON" }, { "{\"a\":\"\xFF\"}", "not JSON" }, { "{\n\"a\":ya29.secret}", "2:" },
	};
	char *big = calloc(1, GOOGLE_MAX_ANSWER + 2);
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(google_json(bad[i][0], strlen(bad[i][0]), &err));
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err.message, bad[i][1]) || strstr(err.message, "secret"))
			fail_msg("%s: %s", bad[i][0], err.message);
	}
	memset(big, ' ', GOOGLE_MAX_ANSWER + 1);
	memcpy(big, "{}", 2);
	assert_null(google_json(big, GOOGLE_MAX_ANSWER + 1, &err));
	assert_non_null(strstr(err.message, "more than 65536 bytes"));
	google_json_free(google_json(big, GOOGLE_MAX_ANSWER, &err));
	google_json_free(NULL);
	free(big);
}

static void test_google_tokens_are_bounded_and_printable(void **state) {
	char *text = malloc(GOOGLE_MAX_TOKEN + 100);
	struct google_token token;
	struct error err;

	(void)state;
	for (int over = 0; over <= 1; over++) {
		json_t *json;
		int n = sprintf(text, "{\"expireTime\":\"2027-01-15T08:00:00Z\",\"accessToken\":\"");

		memset(text + n, 'x', (size_t)(GOOGLE_MAX_TOKEN + over));
		strcpy(text + n + GOOGLE_MAX_TOKEN + over, "\"}");
		json = object(text);
		assert_int_equal(google_iam_token(json, &token, &err), -over);
		google_json_free(json);
	}
	free(text);
}

/* Each way of saying it that is right, and all else, is read like the tree's reader reads it, or left to that. */
static void test_google_reads_plain_tokens_as_it_reads_trees(void **state) {
	static const char *const plain[] = {
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\n  \"accessToken\": \"ya29.x\",\n  \"expireTime\": \"2027-01-15T08:00:00Z\"\n}\n",
		" \t\r\n{ \"expireTime\" : \"2027-01-15T08:00:00.5+01:00\" , \"accessToken\" : \"~!\" } \r\n",
	};
	static const char *const other[] = {
		"", "{}", "{", "[]", "{\"accessToken\":\"ya29.x\"}", "{\"accessToken\":\"ya29.x\",\"accessToken\":\"ya29.y\"}",
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"", "{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z",
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"}x", "{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\",}",
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\",\"more\":\"x\"}", "{\"accessToken\":\"\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"a b\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "{\"accessToken\":\"a\\u0062\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"a\\\"b\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "{\"accessToken\":\"\xC3\xA9\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"a\x01\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "{\"accessToken\":7,\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"tomorrow\"}", "{\"accessToken\":\"ya29.x\",\"expireTime\":\"\"}", "{\"accessToken\":\"ya29.x\",\"expireTime\":null}",
		"{\"accesstoken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "{\"accessToken\" \"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"ya29.x\" \"expireTime\":\"2027-01-15T08:00:00Z\"}", "{accessToken:\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00Z\"}",
		"{\"accessToken\":\"ya29.x\",\"expireTime\":\"2027-01-15T08:00:00.000000000000000000000000000000000000000000000000000000Z\"}",
	};
	struct google_token token, tree;
	struct error err;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (!google_plain_iam_token(plain[i], strlen(plain[i]), &token))
			fail_msg("%s", plain[i]);
		json = object(plain[i]);
		assert_int_equal(google_iam_token(json, &tree, &err), 0);
		assert_int_equal(token.len, tree.len);
		assert_memory_equal(token.text, tree.text, tree.len);
		assert_int_equal(token.expires_at, tree.expires_at);
		assert_null(token.key_id);
		google_json_free(json);
		/* No byte behind the end is looked at. */
		for (size_t n = 0; n < strlen(plain[i]) - 3; n++) {
			char *part = test_malloc(n + 1);

			memcpy(part, plain[i], n);
			assert_false(google_plain_iam_token(part, n, &token));
			test_free(part);
		}
	}
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		if (google_plain_iam_token(other[i], strlen(other[i]), &token))
			fail_msg("%s", other[i]);
}

/* As long as a token may be, and a byte more, which is for the other reader to refuse. */
static void test_google_reads_long_plain_tokens(void **state) {
	char *text = test_malloc(GOOGLE_MAX_TOKEN + 200);
	struct google_token token;

	(void)state;
	for (int over = 0; over < 2; over++) {
		size_t n = (size_t)sprintf(text, "{\"expireTime\":\"2027-01-15T08:00:00Z\",\"accessToken\":\"");

		memset(text + n, 'x', (size_t)(GOOGLE_MAX_TOKEN + over));
		strcpy(text + n + GOOGLE_MAX_TOKEN + over, "\"}");
		assert_int_equal(google_plain_iam_token(text, strlen(text), &token), over == 0);
	}
	test_free(text);
}

static void test_google_reads_id_tokens(void **state) {
	static const struct {
		const char *token, *says;
		int64_t expires_at;
	} cases[] = {
		{ "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MDB9.c2ln", NULL, 1800003600 },
		{ "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MDB9", "not three parts", 0 },
		{ "a.eyJleHAiOjE4MDAwMDM2MDB9.b.c", "not three parts", 0 },
		{ ".eyJleHAiOjE4MDAwMDM2MDB9.c", "not three parts", 0 },
		{ "a..c", "not three parts", 0 },
		{ "a.eyJleHAiOjE4MDAwMDM2MDB9.", "not three parts", 0 },
		{ "a.eyJ!.c", "claims are not base64url", 0 },
		{ "a.Zm9v.c", "token's claims: ", 0 },
		{ "a.e30.c", "exp is not a time", 0 },				 /* {} */
		{ "a.eyJleHAiOiIxODAwMDAzNjAwIn0.c", "exp is not a time", 0 },	 /* {"exp":"1800003600"} */
		{ "a.eyJleHAiOjB9.c", "exp is not a time", 0 },			 /* {"exp":0} */
		{ "a.eyJleHAiOjEuNX0.c", "exp is not a time", 0 },		 /* {"exp":1.5} */
		{ "", "token is empty", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_pack("{s:s}", "token", cases[i].token);
		struct google_token token;
		struct error err;
		int r = google_id_token(json, &token, &err);

		assert_int_equal(r, cases[i].says ? -1 : 0);
		if (cases[i].says && !strstr(err.message, cases[i].says))
			fail_msg("%s: %s", cases[i].token, err.message);
		if (!cases[i].says)
			assert_int_equal(token.expires_at, cases[i].expires_at);
		google_json_free(json);
	}
}

static void test_google_reads_signatures(void **state) {
	static const struct {
		const char *answer, *says; /* NULL: taken */
		bool jwt;
	} cases[] = {
		{ "{\"keyId\":\"0a1b\",\"signedBlob\":\"AAEC\"}", NULL, false },
		{ "{\"keyId\":\"0a1b\",\"signedBlob\":\"AA E\"}", "a character that no token has", false },
		{ "{\"keyId\":\"0a1b\",\"signedBlob\":\"A-_A\"}", "signedBlob is not base64", false },
		{ "{\"keyId\":\"0a1b\"}", "signedBlob is missing", false },
		{ "{\"signedBlob\":\"AAEC\"}", "keyId is missing", false },
		{ "{\"keyId\":\"a\\nb\",\"signedBlob\":\"AAEC\"}", "keyId holds a character", false },
		{ "{\"keyId\":7,\"signedBlob\":\"AAEC\"}", "keyId is not a string", false },
		{ "{\"keyId\":\"0a1b\",\"signedJwt\":\"a.eyJleHAiOjE4MDAwMDM2MDB9.c\"}", NULL, true },
		{ "{\"keyId\":\"0a1b\",\"signedJwt\":\"a.e30.c\"}", "exp is not a time", true }, /* one that would never end */
		{ "{\"signedJwt\":\"a.eyJleHAiOjE4MDAwMDM2MDB9.c\"}", "keyId is missing", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = object(cases[i].answer);
		struct google_token token;
		struct error err;
		int r = (cases[i].jwt ? google_signed_jwt : google_signed_blob)(json, &token, &err);

		if (r != (cases[i].says ? -1 : 0) || (cases[i].says && !strstr(err.message, cases[i].says)))
			fail_msg("%s: %s", cases[i].answer, err.message);
		if (!cases[i].says) {
			assert_string_equal(token.key_id, "0a1b");
			assert_int_equal(token.expires_at, cases[i].jwt ? 1800003600 : 0);
		}
		google_json_free(json);
	}
}

static void test_google_words_its_errors(void **state) {
	static const struct {
		const char *body, *code, *reason, *words;
	} cases[] = {
		{ "{\"error\":{\"code\":403,\"message\":\"no\",\"status\":\"PERMISSION_DENIED\",\"details\":[{\"@type\":\"x\"},{\"reason\":"
		  "\"IAM_PERMISSION_DENIED\"},{\"reason\":\"LATER\"}]}}",
		  "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", "PERMISSION_DENIED: no" },
		{ "{\"error\":{\"message\":\"no\"}}", "", "", "no" },
		{ "{\"error\":{\"status\":\"X\"}}", "X", "", "X" },
		{ "{\"error\":{}}", "", "", "an error that cannot be read" },
		{ "{\"error\":{\"message\":5,\"status\":[],\"details\":{}}}", "", "", "an error that cannot be read" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\"}", "invalid_grant", "", "invalid_grant: Bad Request" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"x\",\"error_subtype\":\"invalid_rapt\"}", "invalid_grant", "invalid_rapt",
		  "invalid_grant: x (invalid_rapt)" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"x (invalid_rapt)\",\"error_subtype\":\"invalid_rapt\"}", "invalid_grant",
		  "invalid_rapt", "invalid_grant: x (invalid_rapt)" },
		{ "{\"error\":\"a\\nb\\u001bc\\u007fd\"}", "a b c d", "", "a b c d" },
		{ "{\"error\":\"Zür 日本 😀\"}", "Zür 日本 😀", "", "Zür 日本 😀" },
		{ "<html>", "", "", "an error that cannot be read" },
		{ "", "", "", "an error that cannot be read" },
	};
	struct google_error said;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		google_error_read(cases[i].body, strlen(cases[i].body), NULL, 0, &said);
		assert_string_equal(said.code, cases[i].code);
		assert_string_equal(said.reason, cases[i].reason);
		assert_string_equal(said.words, cases[i].words);
	}
}

static void test_google_cuts_words_between_characters(void **state) {
	struct google_error said;
	struct buf body = BUF_INIT(4096);

	(void)state;
	for (int before = 0; before < 4; before++) {
		buf_reset(&body);
		buf_addf(&body, "{\"error\":{\"message\":\"%.*s", before, "xyz");
		for (int i = 0; i < 300; i++)
			buf_adds(&body, "日");
		buf_adds(&body, "\"}}");
		google_error_read(body.data, body.len, NULL, 0, &said);
		assert_in_range(strlen(said.words), 310, 320);
		assert_int_equal((strlen(said.words) - (size_t)before) % 3, 0);
	}
	buf_fini(&body);
}

/* P5. */
static void test_google_errors_repeat_no_secret(void **state) {
	static const struct {
		const char *secret, *body, *words, *code;
	} cases[] = {
		{ "ya29.secret-0123456789-abcdefghij", "{\"error\":{\"message\":\"got ya29.secret-0123456789-abcdefghij\"}}", "not shown", "" },
		{ "ya29.secret-0123456789-abcdefghij", "{\"error\":{\"message\":\"got 0123456789-abcde\"}}", "not shown", "" },
		{ "ya29.secret-0123456789-abcdefghij", "{\"error\":{\"message\":\"got 0123456789-abcd\"}}", "got 0123456789-abcd", "" },
		{ "ya29.secret-0123456789-abcdefghij", "{\"error\":{\"status\":\"A\",\"message\":\"ghij ya29.secret-01234\"}}", "not shown", "A" },
		{ "ya29.secret-0123456789-abcdefghij", "{\"error\":\"secret-0123456789\"}", "not shown", "" },
		{ "ya29.secret-0123456789-abcdefghij",
		  "{\"error\":\"a\",\"error_description\":\"b\",\"error_subtype\":\"secret-0123456789\"}", "not shown", "a" },
		{ "12345678", "{\"error\":{\"message\":\"it is 12345678.\"}}", "not shown", "" },
		{ "1234567", "{\"error\":{\"message\":\"it is 1234567.\"}}", "it is 1234567.", "" }, /* as short as a word */
		{ "", "{\"error\":{\"message\":\"no\"}}", "no", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct secret secrets[] = { { NULL, 0 }, { (char *)cases[i].secret, strlen(cases[i].secret) } };
		struct google_error said;

		google_error_read(cases[i].body, strlen(cases[i].body), secrets, 2, &said);
		if (!strstr(said.words, cases[i].words) || strcmp(said.code, cases[i].code) != 0)
			fail_msg("%s: %s", cases[i].body, said.words);
		assert_null(strstr(said.reason, "secret"));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_google_reads_times),
		cmocka_unit_test(test_google_base64url_there_and_back),
		cmocka_unit_test(test_google_json_is_one_small_object),
		cmocka_unit_test(test_google_tokens_are_bounded_and_printable),
		cmocka_unit_test(test_google_reads_plain_tokens_as_it_reads_trees),
		cmocka_unit_test(test_google_reads_long_plain_tokens),
		cmocka_unit_test(test_google_reads_id_tokens),
		cmocka_unit_test(test_google_reads_signatures),
		cmocka_unit_test(test_google_words_its_errors),
		cmocka_unit_test(test_google_cuts_words_between_characters),
		cmocka_unit_test(test_google_errors_repeat_no_secret),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
