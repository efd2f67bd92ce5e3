/* hallpass policy diff, as people and scripts run it: what appears, and the exit code. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

static struct world w;
static char out[1 << 20], err[65536], old_path[128], new_path[128];

static int setup(void **state) {
	(void)state;
	world_start(&w);
	snprintf(old_path, sizeof(old_path), "%s/old.yaml", w.dir);
	snprintf(new_path, sizeof(new_path), "%s/new.yaml", w.dir);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

static void write_file(const char *path, const char *yaml) {
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(yaml, f);
	assert_int_equal(fclose(f), 0);
}

#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)
#define DIFF(...) CLI("policy", "diff", old_path, new_path, __VA_ARGS__)

static void assert_says(const char *text) {
	if (!strstr(out, text))
		fail_msg("\"%s\" is not in: %s%s", text, out, err);
}

#define HEAD "version: 1\ngroups:\n  ml: [user:ann@example.com, user:bob@example.com]\nbindings:\n"
#define DEV(name, from, to)                                                                                                             \
	"  - name: " name "\n    members: [group:ml]\n    serviceAccounts: [" SA_DEV "]\n    condition:\n      title: Office hours\n      expression: >-\n" \
	"        request.time.getDayOfWeek(\"Europe/Berlin\") in [1, 2, 3, 4, 5] && request.time.getHours(\"Europe/Berlin\") >= " from \
	" && request.time.getHours(\"Europe/Berlin\") < " to "\n"
#define PROD(who, more) "  - {name: prod, members: [" who "], serviceAccounts: [" SA_PROD "]" more "}\n"

static void test_diff_tells_who_gains_and_loses_what(void **state) {
	(void)state;
	write_file(old_path, HEAD DEV("dev", "8", "18") PROD("user:ann@example.com", ""));
	write_file(new_path, HEAD DEV("dev", "7", "20") PROD("user:bob@example.com", ", maxLifetime: 5m"));
	assert_int_equal(DIFF("--color", "never"), 0);
	assert_says("+ user:bob@example.com gains " SA_PROD ", by prod\n");
	assert_says("- user:ann@example.com loses " SA_PROD ", given by prod\n");
	assert_says("~ group:ml (2 principals): " SA_DEV ": Mon-Fri 08:00-18:00 Europe/Berlin -> Mon-Fri 07:00-20:00 Europe/Berlin\n");
	assert_says("changed: dev, prod\n");
	assert_says("looked at: 3 principals, among them one for anybody else; 3 accounts, among them one for any other account; all permissions; ");
	assert_says("held fixed: no delegates");
	assert_int_equal(DIFF("--exit-code"), 1);
	assert_int_equal(DIFF("-v", "--from", "2026-12-01T00:00:00Z", "--until", "2026-12-05T00:00:00Z"), 0);
	assert_says("    e.g. user:bob@example.com on " SA_PROD " at 2026-12-01T00:00:00Z\n");
	assert_says("2026-12-01T00:00:00Z to 2026-12-05T00:00:00Z; ");
}

static void test_diff_of_what_says_the_same_names_what_was_renamed(void **state) {
	(void)state;
	write_file(old_path, HEAD DEV("dev", "8", "18") PROD("user:ann@example.com", ""));
	write_file(new_path, HEAD "  # in another order, in another form\n" PROD("\"user:ann@example.com\"", ", permissions: [getAccessToken]") DEV("develop", "8", "18"));
	assert_int_equal(DIFF("--exit-code", "--color", "never"), 0);
	assert_says("no difference in what is allowed\nrenamed, and the same otherwise: dev -> develop\n");
	assert_says("looked at: ");
	assert_int_equal(DIFF("--json"), 0);
	assert_says("\"changes\":[]");
	assert_says("\"renamed\":[{\"kind\":\"binding\",\"was\":\"dev\",\"now\":\"develop\"}]");
}

static void test_diff_says_what_it_did_not_try(void **state) {
	(void)state;
	write_file(old_path, HEAD PROD("group:ml", ""));
	write_file(new_path, HEAD PROD("group:ml", ", condition: {title: t, expression: 'request.peer.exe == \"/usr/bin/gcloud\"'}"));
	assert_int_equal(DIFF("--color", "never"), 0);
	assert_says("not tried: prod asks for request.peer.exe; what that would let through, or keep out, is not in here\n");
	assert_says("group:ml (2 principals) loses " SA_PROD ", given by prod\n");
	/* Of a pattern's accounts one is tried: what else a name could have in it, is not. */
	write_file(old_path, HEAD "  - {name: any, members: [group:ml], serviceAccounts: ['*@acme-ml.iam.gserviceaccount.com'], condition: {title: t, expression: 'resource.name.contains(\"-dev@\")'}}\n");
	write_file(new_path, HEAD "  - {name: any, members: [group:ml], serviceAccounts: ['*@acme-ml.iam.gserviceaccount.com'], condition: {title: t, expression: 'resource.name.contains(\"-prod@\")'}}\n");
	assert_int_equal(DIFF("--color", "never"), 0);
	assert_says("no difference in what is allowed\n");
	assert_says("not tried: any asks for resource.name, of others than those looked at; what that");
	/* Whole names are looked at. */
	write_file(new_path, HEAD "  - {name: any, members: [group:ml], serviceAccounts: ['*@acme-ml.iam.gserviceaccount.com'], condition: {title: t, expression: 'resource.name == \"projects/-/serviceAccounts/" SA_DEV "\"'}}\n");
	write_file(old_path, HEAD PROD("group:ml", ""));
	assert_int_equal(DIFF("--color", "never"), 0);
	assert_says("gains " SA_DEV ", by any\n");
	if (strstr(out, "not tried"))
		fail_msg("%s", out);
}

/* What programs get: a request with which `hallpass why` would show the same. */
static void test_diff_in_json_has_a_witness_for_each_change(void **state) {
	json_t *all, *json;

	(void)state;
	write_file(old_path, HEAD PROD("group:ml", ", maxLifetime: 10m"));
	write_file(new_path, HEAD PROD("group:ml", ", maxLifetime: 5m"));
	assert_int_equal(DIFF("--json", "--from", "2026-12-01T00:00:00Z"), 0);
	all = json_loads(out, 0, NULL);
	json = json_array_get(json_object_get(all, "changes"), 0);
	assert_string_equal(json_string_value(json_object_get(json, "change")), "lifetime");
	assert_string_equal(json_string_value(json_object_get(json, "who")), "group:ml");
	assert_int_equal(json_integer_value(json_object_get(json, "was")), 600);
	assert_int_equal(json_integer_value(json_object_get(json, "now")), 300);
	json = json_object_get(json, "witness");
	assert_string_equal(json_string_value(json_object_get(json, "principal")), "user:ann@example.com");
	assert_string_equal(json_string_value(json_object_get(json, "time")), "2026-12-01T00:00:00Z");
	json_decref(all);
}

static void test_diff_refuses_what_cannot_be_compared(void **state) {
	(void)state;
	write_file(old_path, HEAD PROD("group:ml", ""));
	write_file(new_path, HEAD PROD("group:ml", ", condition: {title: t, expression: '1 +'}"));
	assert_int_equal(DIFF("--color", "never"), 78);
	assert_non_null(strstr(err, "new.yaml:5:"));
	assert_non_null(strstr(err, "a policy that hallpassd would refuse cannot be compared"));
	assert_int_equal(CLI("policy", "diff", old_path, "/nonexistent.yaml"), 78);
	assert_int_equal(CLI("policy", "diff", old_path), 64);
	assert_int_equal(CLI("policy", "diff", old_path, old_path, "--from", "soon"), 64);
	assert_int_equal(CLI("policy", "diff", old_path, old_path, "--until", "2001-01-01T00:00:00Z"), 64);
	assert_non_null(strstr(err, "--until must be behind --from"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_diff_tells_who_gains_and_loses_what),
		SCENARIO(test_diff_of_what_says_the_same_names_what_was_renamed),
		SCENARIO(test_diff_says_what_it_did_not_try),
		SCENARIO(test_diff_in_json_has_a_witness_for_each_change),
		SCENARIO(test_diff_refuses_what_cannot_be_compared),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
