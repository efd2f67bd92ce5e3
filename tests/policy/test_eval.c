/* eval: questions as JSON and their answers; expression: names given values by people, and until when it holds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "hallpass/cleanup.h"
#include "hallpass/eval.h"
#include "tests/policy/load.h"

/* ---- questions ---- */

static int eval_setup(void **state) {
	struct eval *eval;
	struct error err;

	assert_int_equal(eval_new(&test_host, &eval, &err), 0);
	*state = eval;
	return 0;
}

static int eval_teardown(void **state) {
	eval_free(*state);
	return 0;
}

/* The answer without its id, as text. Good until the next. */
static const char *answer(struct eval *eval, const char *question) {
	static char *text;
	json_error_t error;
	json_t *json = json_loads(question, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error), *reply;

	if (!json)
		fail_msg("%s: %s", question, error.text);
	reply = eval_answer(eval, json);
	assert_true(json_equal(json_object_get(reply, "id"), json_object_get(json, "id") ? json_object_get(json, "id") : json_null()));
	json_object_del(reply, "id");
	free(text);
	text = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(reply);
	json_decref(json);
	return text;
}

static void expect_answers(struct eval *eval, const char *const (*rows)[2], size_t n) {
	for (size_t i = 0; i < n; i++) {
		const char *got = answer(eval, rows[i][0]);

		if (strcmp(got, rows[i][1]))
			fail_msg("%s\n   expected %s\n   got      %s", rows[i][0], rows[i][1], got);
	}
}

#define INT(n) "{\"value\":{\"int64Value\":\"" n "\"}}"

static void test_eval_values_have_a_form(void **state) {
	static const char *const rows[][2] = {
		{ "{\"id\": 7, \"expr\": \"1 + 1\"}", INT("2") },
		{ "{\"id\": {\"a\": [1]}, \"expr\": \"-9223372036854775808\"}", INT("-9223372036854775808") },
		{ "{\"expr\": \"18446744073709551615u\"}", "{\"value\":{\"uint64Value\":\"18446744073709551615\"}}" },
		{ "{\"expr\": \"null\"}", "{\"value\":{\"nullValue\":null}}" },
		{ "{\"expr\": \"!false\"}", "{\"value\":{\"boolValue\":true}}" },
		{ "{\"expr\": \"0.5\"}", "{\"value\":{\"doubleValue\":0.5}}" },
		{ "{\"expr\": \"2.0\"}", "{\"value\":{\"doubleValue\":2.0}}" },
		{ "{\"expr\": \"-0.0\"}", "{\"value\":{\"doubleValue\":-0.0}}" },
		{ "{\"expr\": \"0.0 / 0.0\"}", "{\"value\":{\"doubleValue\":\"NaN\"}}" },
		{ "{\"expr\": \"-1.0 / 0.0\"}", "{\"value\":{\"doubleValue\":\"-Infinity\"}}" },
		{ "{\"expr\": \"'a\\\\u0000b'\"}", "{\"value\":{\"stringValue\":\"a\\u0000b\"}}" },
		{ "{\"expr\": \"b'\\\\x00\\\\xff'\"}", "{\"value\":{\"bytesValue\":\"AP8=\"}}" },
		{ "{\"expr\": \"[1, 'a']\"}", "{\"value\":{\"listValue\":{\"values\":[{\"int64Value\":\"1\"},{\"stringValue\":\"a\"}]}}}" },
		{ "{\"expr\": \"{'k': []}\"}",
		  "{\"value\":{\"mapValue\":{\"entries\":[{\"key\":{\"stringValue\":\"k\"},\"value\":{\"listValue\":{\"values\":[]}}}]}}}" },
		{ "{\"expr\": \"type(1)\"}", "{\"value\":{\"typeValue\":\"int\"}}" },
		{ "{\"expr\": \"type([])\"}", "{\"value\":{\"typeValue\":\"list\"}}" },
		{ "{\"expr\": \"timestamp('2026-01-01T01:00:00.5+01:00')\"}",
		  "{\"value\":{\"objectValue\":{\"@type\":\"type.googleapis.com/google.protobuf.Timestamp\",\"value\":\"2026-01-01T00:00:00.5Z\"}}}" },
		{ "{\"expr\": \"duration('1h')\"}",
		  "{\"value\":{\"objectValue\":{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"3600s\"}}}" },
		{ "{\"expr\": \"cidr('10.0.0.0/8')\"}", "{\"value\":{\"objectValue\":{\"@type\":\"net.CIDR\",\"value\":\"10.0.0.0/8\"}}}" },
		{ "{\"expr\": \"optional.none()\"}", "{\"value\":{\"objectValue\":{\"@type\":\"optional_type\",\"value\":null}}}" },
	};

	expect_answers(*state, rows, ARRAY_SIZE(rows));
}

/* Each value comes back as it went in. */
static void test_eval_takes_what_it_gives(void **state) {
	static const char *const values[] = {
		"{\"int64Value\":\"-5\"}", "{\"uint64Value\":\"5\"}", "{\"nullValue\":null}", "{\"boolValue\":false}", "{\"doubleValue\":-0.0}",
		"{\"doubleValue\":\"Infinity\"}", "{\"stringValue\":\"\\u0000\"}", "{\"bytesValue\":\"AP8=\"}", "{\"typeValue\":\"map\"}",
		"{\"typeValue\":\"acme.Thing\"}", "{\"listValue\":{\"values\":[{\"listValue\":{\"values\":[]}}]}}",
		"{\"mapValue\":{\"entries\":[{\"key\":{\"boolValue\":true},\"value\":{\"int64Value\":\"1\"}}]}}",
		"{\"objectValue\":{\"@type\":\"type.googleapis.com/google.protobuf.Timestamp\",\"value\":\"0001-01-01T00:00:00Z\"}}",
		"{\"objectValue\":{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"-0.000000001s\"}}",
	};
	char question[512], want[512];

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		snprintf(question, sizeof(question), "{\"expr\": \"x\", \"bindings\": {\"x\": {\"value\": %s}}}", values[i]);
		snprintf(want, sizeof(want), "{\"value\":%s}", values[i]);
		assert_string_equal(answer(*state, question), want);
	}
}

static void test_eval_names_the_phase_of_an_error(void **state) {
	static const char *const rows[][2] = {
		{ "{\"expr\": \"1 +\"}", "{\"error\":\"1:4: expected an expression after '+', and the expression ends\",\"phase\":\"parse\"}" },
		{ "{\"expr\": \"1 + 'a'\"}",
		  "{\"error\":\"1:3: found no matching overload for '_+_' applied to '(int, string)'\",\"phase\":\"check\"}" },
		{ "{\"expr\": \"1 + dyn('a')\"}", "{\"error\":\"1:3: no such overload\",\"phase\":\"eval\"}" },
		{ "{\"expr\": \"1 + 'a'\", \"disable_check\": true}", "{\"error\":\"1:3: no such overload\",\"phase\":\"eval\"}" },
		{ "{\"expr\": \"\\n 1 / 0\"}", "{\"error\":\"2:4: division by zero\",\"phase\":\"eval\"}" },
		{ "{\"expr\": \"[].exists(e, e)\", \"disable_macros\": true}", "{\"error\":\"1:4: undeclared reference to 'exists' (in container '')\",\"phase\":\"check\"}" },
		{ "{\"expr\": \"'a'.matches('(')\"}", "{\"error\":\"1:13: no regular expression: missing ): (\",\"phase\":\"eval\"}" },
	};

	expect_answers(*state, rows, ARRAY_SIZE(rows));
}

static void test_eval_knows_declarations_and_containers(void **state) {
	static const char *const rows[][2] = {
		{ "{\"expr\": \"y\", \"container\": \"x\", \"bindings\": {\"x.y\": {\"value\": {\"int64Value\": \"1\"}}}}", INT("1") },
		{ "{\"expr\": \"f(x)\", \"check_only\": true, \"type_env\": ["
		  "{\"name\": \"x\", \"ident\": {\"type\": {\"primitive\": \"INT64\"}}},"
		  "{\"name\": \"f\", \"function\": {\"overloads\": [{\"params\": [{\"primitive\": \"INT64\"}],"
		  "\"resultType\": {\"listType\": {\"elemType\": {\"wellKnown\": \"DURATION\"}}}}]}}]}",
		  "{\"type\":{\"listType\":{\"elemType\":{\"wellKnown\":\"DURATION\"}}}}" },
		{ "{\"expr\": \"{'a': 1u}\", \"check_only\": true}",
		  "{\"type\":{\"mapType\":{\"keyType\":{\"primitive\":\"STRING\"},\"valueType\":{\"primitive\":\"UINT64\"}}}}" },
		{ "{\"expr\": \"optional.of(null)\", \"check_only\": true}",
		  "{\"type\":{\"abstractType\":{\"name\":\"optional_type\",\"parameterTypes\":[{\"null\":null}]}}}" },
		{ "{\"expr\": \"int\", \"check_only\": true}", "{\"type\":{\"type\":{\"primitive\":\"INT64\"}}}" },
		{ "{\"expr\": \"dyn(1)\", \"check_only\": true}", "{\"type\":{\"dyn\":{}}}" },
		/* a test of the suite as it stands */
		{ "{\"expr\": \"1\", \"section\": \"s\", \"name\": \"n\", \"description\": \"\", \"locale\": \"\", \"expect\": {\"kind\": \"value\"}}", INT("1") },
	};

	expect_answers(*state, rows, ARRAY_SIZE(rows));
}

/* What cannot be understood is refused by name, never guessed at. */
static void test_eval_refuses_questions(void **state) {
	static const char *const rows[][2] = {
		{ "[]", "a question is an object" },
		{ "{}", "a question has an \\\"expr\\\"" },
		{ "{\"expr\": 1}", "\\\"expr\\\" is text" },
		{ "{\"expr\": \"1\", \"disable_chek\": true}", "a question has no \\\"disable_chek\\\"" },
		{ "{\"expr\": \"1\", \"disable_check\": \"true\"}", "\\\"disable_check\\\" is true or false" },
		{ "{\"expr\": \"1\", \"bindings\": []}", "\\\"bindings\\\" is an object" },
		{ "{\"expr\": \"1\", \"type_env\": {}}", "\\\"type_env\\\" is a list" },
		{ "{\"expr\": \"1\", \"type_env\": [{\"name\": \"x\"}]}", "a declaration has a name, and an ident or a function" },
		{ "{\"expr\": \"1\", \"type_env\": [{\"name\": \"x\", \"ident\": {\"type\": {\"primitive\": \"INT\"}}}]}", "x: a primitive type is" },
		{ "{\"expr\": \"1\", \"type_env\": [{\"name\": \"x\", \"ident\": {}}]}", "x: a type is an object with one member" },
		{ "{\"expr\": \"1\", \"type_env\": [{\"name\": \"x\", \"ident\": {\"type\": {\"primitve\": 1}}}]}", "\\\"primitve\\\" is no form of a type" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": 1}}}", "x: a value is an object with one member" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"int64Value\": \"1.5\"}}}}", "x: an int64Value is a string of digits" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"int64Value\": \"9223372036854775808\"}}}}", "x: an int64Value is a string" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"int64Value\": \" 1\"}}}}", "x: an int64Value is a string of digits" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"uint64Value\": \"-1\"}}}}", "x: a uint64Value is a string of digits" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"doubleValue\": \"1\"}}}}", "x: a doubleValue is a number" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"bytesValue\": \"!\"}}}}", "x: a bytesValue is base64" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"stringValue\": 1}}}}", "x: a stringValue is a string" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"listValue\": {\"values\": 1}}}}}", "x: a listValue is" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"mapValue\": {\"entries\": [{}]}}}}}", "x: a value is an object" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"mapValue\": {\"entries\": [{\"key\": {\"doubleValue\": 1}, \"value\": {\"nullValue\": null}}]}}}}}",
		  "x: a map's keys are" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"objectValue\": {\"@type\": \"acme.Thing\", \"value\": {}}}}}}",
		  "x: there are no messages of type acme.Thing here" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"objectValue\": {\"@type\": \"type.googleapis.com/google.protobuf.Timestamp\", \"value\": \"2026\"}}}}}",
		  "x: a Timestamp is RFC 3339" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"value\": {\"objectValue\": {\"@type\": \"type.googleapis.com/google.protobuf.Int32Value\", \"value\": 2147483648}}}}}",
		  "x: an integer is out of its range" },
		{ "{\"expr\": \"1\", \"bindings\": {\"x\": {\"unknown\": {}}}}", "x: a value is an object" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = answer(*state, rows[i][0]);

		if (!strstr(got, rows[i][1]) || strstr(got, "phase"))
			fail_msg("%s\n   expected %s\n   got      %s", rows[i][0], rows[i][1], got);
	}
}

static void test_eval_bounds_what_it_is_given(void **state) {
	json_t *question = json_pack("{s:s, s:{}}", "expr", "1", "bindings"), *bindings = json_object_get(question, "bindings"), *deep, *reply;
	char name[16];

	for (int i = 0; i < 1001; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		json_object_set_new(bindings, name, json_pack("{s:{s:n}}", "value", "nullValue"));
	}
	reply = eval_answer(*state, question);
	assert_string_equal(json_string_value(json_object_get(reply, "error")), "more than 1000 names");
	json_decref(reply);
	json_object_clear(bindings);
	deep = json_pack("{s:n}", "nullValue");
	for (int i = 0; i < 300; i++)
		deep = json_pack("{s:{s:[o]}}", "listValue", "values", deep);
	json_object_set_new(bindings, "x", json_pack("{s:o}", "value", deep));
	reply = eval_answer(*state, question);
	assert_string_equal(json_string_value(json_object_get(reply, "error")), "x: a value is nested too deeply");
	json_decref(reply);
	json_decref(question);
	assert_non_null(strstr(answer(*state, "{\"expr\": \"lists.range(9000).map(x, x).size()\"}"), "\"phase\":\"eval\"")); /* a condition's memory */
}

/* ---- names and values ---- */

#define NOON 1780315200 /* 2026-06-01T12:00:00Z */

/* The value's text, or "ID LINE:COLUMN"; sets: name, value, ..., NULL. */
static const char *outcome(const char *text, const char *const *sets) {
	static char out[512];
	struct policy_attributes *attributes;
	struct policy_expression *expression = NULL;
	struct policy_report one, two = { 0 };
	struct error err;
	json_t *json = NULL;

	assert_int_equal(policy_attributes_new(&test_host, NOON, &attributes, &err), 0);
	for (; sets && *sets; sets += 2)
		if (policy_attributes_set(attributes, sets[0], str_of(sets[1]), &err) < 0) {
			policy_attributes_free(attributes);
			return strcpy(out, err.message);
		}
	if (policy_expression_new(attributes, str_of(text), &expression, &one, &err) == 0)
		json = policy_eval(expression, attributes, &two);
	if (json) {
		snprintf(out, sizeof(out), "%s %s", json_string_value(json_object_get(json, "type")), json_string_value(json_object_get(json, "text")));
		if (one.n)
			snprintf(out + strlen(out), sizeof(out) - strlen(out), " (%s)", one.findings[0].id);
	} else {
		const struct policy_finding *f = two.n ? two.findings : one.findings;

		assert_int_equal(f->severity, POLICY_ERROR);
		snprintf(out, sizeof(out), "%s %u:%u", f->id, f->line, f->column);
	}
	json_decref(json);
	policy_report_fini(&one);
	policy_report_fini(&two);
	policy_expression_free(expression);
	policy_attributes_free(attributes);
	return out;
}

#define SETS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_expression_reads_values(void **state) {
	const struct {
		const char *text;
		const char *const *sets;
		const char *outcome;
	} rows[] = {
		{ "1 + 2 * 3", NULL, "int 7" },
		{ "x", SETS("x", "-5"), "int -5" },
		{ "x", SETS("x", "5u"), "uint 5u" },
		{ "x", SETS("x", "\"a\""), "string \"a\"" },
		{ "x", SETS("x", "alice"), "string \"alice\"" },
		{ "x", SETS("x", ""), "string \"\"" },
		{ "x", SETS("x", "2026-01-01"), "string \"2026-01-01\"" }, /* not 2024 */
		{ "x", SETS("x", "1 + 1"), "string \"1 + 1\"" },
		{ "x", SETS("x", "[1, -2, {'a': true}]"), "list(dyn) [1, -2, {\"a\": true}]" },
		{ "x", SETS("x", "timestamp('2026-01-01T00:00:00Z')"), "timestamp timestamp(\"2026-01-01T00:00:00Z\")" },
		{ "x.y == 'z'", SETS("x", "{'y': 'z'}"), "bool true" },
		{ "a.b + 1", SETS("a.b", "1"), "int 2" },
		{ "x", SETS("x", "1", "x", "2"), "int 2" }, /* the last one counts */
		{ "dyn(x)", SETS("x", "[1]"), "list(dyn) [1]" },
		/* attributes have their types */
		{ "request.time", NULL, "timestamp timestamp(\"2026-06-01T12:00:00Z\")" },
		{ "request.time", SETS("request.time", "2026-03-02T10:00:00.5+01:00"), "timestamp timestamp(\"2026-03-02T09:00:00.5Z\")" },
		{ "request.lifetime", SETS("request.lifetime", "15m"), "duration duration(\"900s\")" },
		{ "request.justification", SETS("request.justification", "7"), "string \"7\"" },
		{ "request.justification", SETS("request.justification", "'INC-7'"), "string \"INC-7\"" },
		{ "request.auth.principal", SETS("request.auth.principal", "user:a@b.cc"), "string \"user:a@b.cc\"" },
		{ "request.scopes.hasOnly(['a'])", SETS("request.scopes", "['a', 'b']"), "bool false" },
		{ "request.auth.claims.n", SETS("request.auth.claims", "{'n': 3}"), "int 3" },
		{ "request.peer.uid == 1000", SETS("request.peer.uid", "1000"), "bool true" },
		{ "resource.type", NULL, "string \"iam.googleapis.com/ServiceAccount\"" },
		{ "has(request.audience)", NULL, "bool false" },
		{ "request.time.getHours('Europe/Berlin') == 14", NULL, "bool true" },
		/* what fails, and where */
		{ "request.audience == 'x'", NULL, "cel-eval 1:9" },
		{ "1 / 0", NULL, "cel-eval 1:3" },
		{ "1 +\n 'a'", NULL, "cel-type 1:3" },
		{ "1 +\n )", NULL, "cel-syntax 2:2" },
		{ "request.tme", NULL, "cel-type 1:1" },
		{ "request.time.getHours('Mars/Olympus')", NULL, "cel-type 1:23" },
		/* what a policy would refuse */
		{ "string(request.time) > ''", NULL, "bool true (cel-unbounded)" },
		{ "true || timestamp('now') < request.time", NULL, "bool true (cel-constant)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = outcome(rows[i].text, rows[i].sets);

		if (strcmp(got, rows[i].outcome))
			fail_msg("%s\n   expected %s\n   got      %s", rows[i].text, rows[i].outcome, got);
	}
}

static void test_expression_refuses_values(void **state) {
	static const char *const rows[][3] = {
		{ "request.time", "yesterday", "request.time is of type timestamp, which this is not: yesterday" },
		{ "request.time", "5", "request.time is of type timestamp, which this is not: 5" },
		{ "request.lifetime", "1d", "request.lifetime is of type duration, which this is not: 1d" },
		{ "request.scopes", "a", "request.scopes is of type list(string), which this is not: a" },
		{ "request.scopes", "[1]", "request.scopes is of type list(string), which this is not: [1]" },
		{ "request.auth.claims", "{1: 2}", "request.auth.claims is of type map(string, dyn), which this is not: {1: 2}" },
		{ "request.peer.uid", "alice", "request.peer.uid is of type int, which this is not: alice" },
		{ "request.tme", "5", "conditions have no request.tme; did you mean request.time?" },
		{ "origin.nothing", "5", "conditions have no origin.nothing" },
		{ "", "5", "\"\" is no name" },
		{ "a b", "5", "\"a b\" is no name" },
		{ "5", "5", "\"5\" is no name" },
		{ "a..b", "5", "\"a..b\" is no name" },
		{ "a.", "5", "\"a.\" is no name" },
		{ "x", "timestamp('now')", "x: 'now' is no RFC 3339 time" },
		{ "x", "[1, 'a', {1.5: 2}]", "x: " },
		{ "x", "\xFF", "x: it is not UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = outcome("1", SETS(rows[i][0], rows[i][1]));

		if (strncmp(got, rows[i][2], strlen(rows[i][2])))
			fail_msg("%s=%s\n   expected %s\n   got      %s", rows[i][0], rows[i][1], rows[i][2], got);
	}
}

static int64_t horizon(const char *text, int64_t now, int64_t limit) {
	struct policy_attributes *attributes;
	struct policy_expression *expression;
	struct policy_report report;
	struct error err;
	int64_t until;

	assert_int_equal(policy_attributes_new(&test_host, NOON, &attributes, &err), 0);
	assert_int_equal(policy_attributes_set(attributes, "request.auth.principal", str_of("user:a@b.cc"), &err), 0);
	assert_int_equal(policy_expression_new(attributes, str_of(text), &expression, &report, &err), 0);
	until = policy_horizon(expression, attributes, now, limit);
	policy_report_fini(&report);
	policy_expression_free(expression);
	policy_attributes_free(attributes);
	return until;
}

static void test_P2_the_horizon_of_a_condition(void **state) {
	static const struct {
		const char *text;
		int64_t from, limit, until; /* after NOON; INT64_MAX: through the limit */
	} rows[] = {
		{ "request.time < timestamp('2026-06-01T12:01:00Z')", 0, 3600, 60 },
		{ "request.time < timestamp('2026-06-01T12:01:00Z')", 30, 3600, 60 },
		{ "request.time < timestamp('2026-06-01T12:01:00Z')", 60, 3600, 60 }, /* false now */
		{ "request.time < timestamp('2026-06-01T12:01:00Z')", 0, 59, INT64_MAX },
		{ "request.time.getHours('Europe/Berlin') < 18", 0, 86400, 4 * 3600 },
		{ "request.auth.principal.endsWith('b.cc')", 0, 3600, INT64_MAX },
		{ "request.auth.principal.endsWith('evil')", 0, 3600, 0 },
		{ "request.audience == 'x'", 0, 3600, 0 }, /* errs */
		{ "string(request.time) > ''", 0, 3600, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t got = horizon(rows[i].text, NOON + rows[i].from, NOON + rows[i].limit);

		got = got == INT64_MAX ? got : got - NOON;
		if (got != rows[i].until)
			fail_msg("%s: until %lld, not %lld", rows[i].text, (long long)got, (long long)rows[i].until);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_eval_values_have_a_form, eval_setup, eval_teardown),
		cmocka_unit_test_setup_teardown(test_eval_takes_what_it_gives, eval_setup, eval_teardown),
		cmocka_unit_test_setup_teardown(test_eval_names_the_phase_of_an_error, eval_setup, eval_teardown),
		cmocka_unit_test_setup_teardown(test_eval_knows_declarations_and_containers, eval_setup, eval_teardown),
		cmocka_unit_test_setup_teardown(test_eval_refuses_questions, eval_setup, eval_teardown),
		cmocka_unit_test_setup_teardown(test_eval_bounds_what_it_is_given, eval_setup, eval_teardown),
		cmocka_unit_test(test_expression_reads_values),
		cmocka_unit_test(test_expression_refuses_values),
		cmocka_unit_test(test_P2_the_horizon_of_a_condition),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
