/* config: defaults, every type, every refusal at line:column with a remedy, what a reload cannot take up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/config.h"
#include "hallpass/cleanup.h"

static char dir[] = "/tmp/hallpass-test-config.XXXXXX";

static int setup(void **state) {
	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	setenv("HOME", "/home/x", 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/hallpassd.yaml", dir);
	unlink(path);
	return rmdir(dir);
}

static int load(const char *text, struct config **out, struct policy_report *report, struct error *err) {
	char path[64], *read_back;
	FILE *f;
	int r;

	snprintf(path, sizeof(path), "%s/hallpassd.yaml", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	r = config_load(path, out, report, &read_back, err);
	free(read_back);
	return r;
}

static void test_config_without_a_file_is_one_users_helper(void **state) {
	struct policy_report report = { 0 };
	struct config *c = NULL;
	struct error err;
	char *text;

	(void)state;
	assert_int_equal(config_load(NULL, &c, &report, &text, &err), 0);
	assert_int_equal(c->n_listeners, 1);
	assert_string_equal(c->listeners[0].unix_path,
			    geteuid() ? "/run/user/7/hallpass/hallpass.sock" : "/run/hallpass/hallpass.sock");
	assert_string_equal(c->policy_path, "/home/x/.config/hallpass/policy.yaml");
	assert_int_equal(c->peers[0].uid, geteuid());
	assert_int_equal(c->max_lifetime_s, 3600);
	assert_int_equal(c->audit_segment_bytes, 16 << 20);
	assert_int_equal(c->audit_deadline_ms, 2000);
	policy_report_fini(&report);
	config_free(c);
}

/* Who adds a port has not taken the socket away. */
static void test_config_keeps_the_socket_beside_a_port(void **state) {
	struct policy_report report = { 0 };
	struct config *c = NULL;
	struct error err;

	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(load("listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [a@p.x]}]\n", &c, &report, &err), 0);
	assert_int_equal(c->n_listeners, 2);
	assert_string_equal(c->listeners[0].tcp, "127.0.0.1:80");
	assert_string_equal(c->listeners[1].unix_path, geteuid() ? "/run/user/7/hallpass/hallpass.sock" : "/run/hallpass/hallpass.sock");
	config_free(c);
	assert_int_equal(load("listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [a@p.x]}, {unix: x}]\n", &c, &report, &err), 0);
	assert_int_equal(c->n_listeners, 2);
	config_free(c);
	policy_report_fini(&report);
}

static void test_config_reads_every_type(void **state) {
	static const char text[] = "listeners:\n"
				   "  - {unix: run/hp.sock, mode: \"0660\", group: developers}\n"
				   "  - {tcp: \"[::1]:8080\", serviceAccounts: [a@p.iam.gserviceaccount.com, b@p.x]}\n"
				   "instance:\n"
				   "  zone: europe-west3-a\n"
				   "  projectNumber: 4711\n"
				   "  attributes: {cluster-name: x, empty-ish: \" \"}\n"
				   "peers:\n"
				   "  - {user: bob, principal: \"user:bob@corp.example\"}\n"
				   "  - {group: developers, principal: \"user:{name}@example.com\"}\n"
				   "operators: [\"user:alice@example.com\"]\n"
				   "audit: {directory: /var/log/hp, segmentSize: 1MiB, deadline: 500ms}\n"
				   "limits:\n"
				   "  maxLifetime: 30m   # short\n"
				   "  requestsPerMinute: 42\n"
				   "endpoints: {iamCredentials: \"http://127.0.0.1:8080\"}\n"
				   "upstream: {allowHttp: true, proxy: \"\"}\n"
				   "log: {level: debug}\n";
	struct policy_report report = { 0 };
	struct config *c = NULL;
	struct error err;
	char want[80];

	(void)state;
	assert_int_equal(load(text, &c, &report, &err), 0);
	snprintf(want, sizeof(want), "%s/run/hp.sock", dir);
	assert_string_equal(c->listeners[0].unix_path, want);
	assert_int_equal(c->listeners[0].mode, 0660);
	assert_string_equal(c->listeners[0].group, "developers");
	assert_null(c->listeners[0].tcp);
	assert_null(c->listeners[1].unix_path);
	assert_string_equal(c->listeners[1].tcp, "[::1]:8080");
	assert_int_equal(c->listeners[1].loopback.port, 8080);
	assert_int_equal(c->listeners[1].n_accounts, 2);
	assert_string_equal(c->listeners[1].accounts[1], "b@p.x");
	assert_string_equal(c->instance_zone, "europe-west3-a");
	assert_string_equal(c->instance_machine_type, "e2-medium");
	assert_int_equal(c->instance_project_number, 4711);
	assert_int_equal(c->n_instance_attributes, 2);
	assert_string_equal(c->instance_attributes[0].name, "cluster-name");
	assert_string_equal(c->instance_attributes[1].value, " ");
	assert_int_equal(c->max_sessions_per_principal, 64);
	assert_int_equal(c->n_peers, 2);
	assert_string_equal(c->peers[1].principal, "user:{name}@example.com");
	assert_int_equal(c->n_operators, 1);
	assert_string_equal(c->audit_dir, "/var/log/hp");
	assert_int_equal(c->audit_segment_bytes, 1 << 20);
	assert_int_equal(c->audit_deadline_ms, 500);
	assert_int_equal(c->max_lifetime_s, 1800);
	assert_int_equal(c->requests_per_minute, 42);
	assert_string_equal(c->iam_endpoint, "http://127.0.0.1:8080");
	assert_true(c->upstream_allow_http);
	assert_string_equal(c->upstream_proxy, "");
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	snprintf(want, sizeof(want), "%s/policy.yaml", dir);
	assert_string_equal(c->policy_path, want);
	policy_report_fini(&report);
	config_free(c);
}

#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static void test_config_refuses_at_line_and_column(void **state) {
	static const struct {
		const char *text;
		unsigned line, column;
		const char *message, *fix;
	} cases[] = {
		{ "limit: {burst: 3}\n", 1, 1, "unknown key `limit`", "did you mean `limits`?" },
		{ "credentail: {file: a}\n", 1, 1, "unknown key `credentail`", "did you mean `credential`?" },
		{ "credential: {fil: a}\n", 1, 14, "unknown key `credential.fil`", "did you mean `credential.file`?" },
		{ "listener: []\n", 1, 1, "unknown key `listener`", "did you mean `listeners`?" },
		{ "flavour: 3\n", 1, 1, "unknown key `flavour`", "lists every key" },
		{ "limits:\n  maxLifetme: 1h\n", 2, 3, "unknown key `limits.maxLifetme`", "limits.maxLifetime" },
		{ "limits:\n  burst: 0\n", 2, 10, "must be from 1 to", NULL },
		{ "limits:\n  burst: ten\n", 2, 10, "wants a number", NULL },
		{ "limits:\n  burst: 99999999999999999999\n", 2, 10, "wants a number", NULL },
		{ "limits: [1]\n", 1, 9, "wants a mapping", NULL },
		{ "limits: {maxLifetime: 13h}\n", 1, 23, "must be from 1 to 43200 seconds", NULL },
		{ "audit: {segmentSize: 1KB}\n", 1, 22, "a size like 64MiB", NULL },
		{ "endpoints: {iamCredentials: \"https://x/\"}\n", 1, 29, "without a slash", NULL },
		{ "endpoints: {iamCredentials: \"ftp://x\"}\n", 1, 29, "a URL", NULL },
		{ "upstream: {allowHttp: yes}\n", 1, 23, "true or false", NULL },
		{ "log: {level: loud}\n", 1, 14, "error, warning, info or debug", NULL },
		{ "listeners: []\n", 1, 12, "a list of 1 to 16", NULL },
		{ "listeners: [{mode: \"0600\"}]\n", 1, 13, "needs `unix: PATH`", NULL },
		{ "listeners: [{unix: a, mode: \"0999\"}]\n", 1, 29, "octal mode", NULL },
		{ "listeners: [{unix: a, port: 1}]\n", 1, 23, "unknown key `port`", "unix, mode and group" },
		{ "listeners: [{tcp: \"127.0.0.1:8080\"}]\n", 1, 13, "needs `serviceAccounts`", NULL },
		{ "listeners: [{tcp: \"0.0.0.0:8080\", serviceAccounts: [a@p.x]}]\n", 1, 19, "not on loopback", NULL },
		{ "listeners: [{tcp: \"127.0.0.1:0\", serviceAccounts: [a@p.x]}]\n", 1, 19, "no port from 1", NULL },
		{ "listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [A@p.x]}]\n", 1, 53, "e-mail in lower case", NULL },
		{ "listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: []}]\n", 1, 52, "a list of 1 to 16 e-mails", NULL },
		{ "listeners: [{tcp: \"127.0.0.1:80\", mode: \"0600\"}]\n", 1, 35, "unknown key `mode`", "tcp and serviceAccounts" },
		{ "instance: {attributes: [a]}\n", 1, 24, "wants a map", NULL },
		{ "instance: {attributes: {\"a/b\": c}}\n", 1, 25, "an attribute's name", NULL },
		{ "instance: {attributes: {a: [c]}}\n", 1, 28, "wants text", NULL },
		{ "instance: {zone: \"a/b\"}\n", 1, 18, "a name of letters", NULL },
		{ "instance: {zones: a}\n", 1, 12, "unknown key `instance.zones`", "instance.zone" },
		{ "limits: {idleTimeout: 10ms}\n", 1, 23, "must be from 100 to", NULL },
		{ "limits: {sessionIdle: 12h}\n", 1, 10, "unknown key `limits.sessionIdle`", NULL }, /* there was one once */
		{ "peers: [{uid: 5}]\n", 1, 9, "needs `principal`", NULL },
		{ "peers: [{principal: \"user:x\"}]\n", 1, 9, "needs `uid`, `user` or `group`", NULL },
		{ "peers: [{uid: -1, principal: \"user:x\"}]\n", 1, 15, "numeric user id", NULL },
		{ "peers: [{uid: 4294967295, principal: \"user:x\"}]\n", 1, 15, "numeric user id", NULL },
		{ "peers: [{uid: 1, principal: alice}]\n", 1, 29, "a principal starts with", NULL },
		{ "peers: [{uid: 1, principal: \"user:{home}\"}]\n", 1, 29, "only {name} and {uid}", NULL },
		{ "operators: [alice]\n", 1, 13, "a principal like", NULL },
		{ "- a\n", 1, 1, "is a mapping of keys", NULL },
		{ "log: {level: info}\nlog: {level: debug}\n", 2, 1, "log", NULL },
		{ "policy: &a x\n", 1, 9, "anchor", NULL },
		{ "audit: {directory: a}\naudit.directory: b\n", 2, 1, "`audit.directory` is here twice", "leave one" },
		{ "instance: {attributes: {a: b}}\ninstance.attributes: {c: d, e: f, g: h}\n", 2, 1, "is here twice", "leave one" },
		{ "listeners: [{unix: a}, {unix: b}, {unix: a}]\n", 1, 35, "an earlier listener is at", NULL },
		{ "listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [a@p.x]}, {tcp: \"127.0.0.1:80\", serviceAccounts: [b@p.x]}]\n", 1, 62,
		  "an earlier listener is at 127.0.0.1:80", NULL },
		{ "listeners: [{unix: /" LONG LONG "}]\n", 1, 20, "at most 107 bytes", NULL },
		{ "endpoints: {iamCredentials: \"http://example.com\"}\n", 1, 29, "plain http, and neither loopback", NULL },
		{ "endpoints: {sts: \"http://127.0.0.1.example.com:80\"}\n", 1, 18, "plain http, and neither loopback", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_report report = { 0 };
		struct config *c = NULL;
		struct error err = { 0 };

		assert_int_equal(load(cases[i].text, &c, &report, &err), -1);
		print_message("%s", cases[i].text);
		for (size_t k = 0; k < report.n; k++)
			print_message("    %u:%u %s (%s)\n", report.findings[k].line, report.findings[k].column,
				      report.findings[k].message, report.findings[k].fix ? report.findings[k].fix : "");
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(report.n_errors >= 1);
		assert_int_equal(report.findings[0].line, cases[i].line);
		assert_int_equal(report.findings[0].column, cases[i].column);
		assert_non_null(strstr(report.findings[0].message, cases[i].message));
		if (cases[i].fix)
			assert_non_null(strstr(report.findings[0].fix, cases[i].fix));
		policy_report_fini(&report);
	}
}

static void test_config_takes_plain_http_where_it_is_meant(void **state) {
	static const char *const texts[] = {
		"endpoints: {iamCredentials: \"http://127.0.0.1:80\"}\n",
		"endpoints: {token: \"http://[::1]:80/token\"}\n",
		"endpoints: {iamCredentials: \"http://example.com\"}\nupstream: {allowHttp: true}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct policy_report report = { 0 };
		struct config *c = NULL;
		struct error err;

		print_message("%s", texts[i]);
		assert_int_equal(load(texts[i], &c, &report, &err), 0);
		policy_report_fini(&report);
		config_free(c);
	}
}

static void test_config_tells_what_needs_a_restart(void **state) {
	struct policy_report report = { 0 };
	struct buf names = BUF_INIT(1000);
	struct config *a = NULL, *b = NULL;
	struct error err;

	(void)state;
	assert_int_equal(load("limits: {burst: 3}\n", &a, &report, &err), 0);
	assert_int_equal(load("limits: {burst: 4}\n", &b, &report, &err), 0);
	assert_false(config_needs_restart(a, b, &names));
	config_free(b);
	assert_int_equal(load("audit: {directory: /x}\nlisteners: [{unix: y}]\n", &b, &report, &err), 0);
	assert_true(config_needs_restart(a, b, &names));
	assert_string_equal(names.data, "listeners, audit.directory");
	config_free(b);
	config_free(a);
	buf_reset(&names);
	assert_int_equal(load("listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [a@p.x, b@p.x]}]\n", &a, &report, &err), 0);
	assert_int_equal(load("listeners: [{tcp: \"127.0.0.1:80\", serviceAccounts: [a@p.x, c@p.x]}]\ninstance: {zone: z}\n", &b, &report, &err), 0);
	assert_true(config_needs_restart(a, b, &names));
	assert_string_equal(names.data, "listeners");
	buf_fini(&names);
	config_free(a);
	config_free(b);
	policy_report_fini(&report);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_without_a_file_is_one_users_helper),
		cmocka_unit_test(test_config_keeps_the_socket_beside_a_port),
		cmocka_unit_test(test_config_reads_every_type),
		cmocka_unit_test(test_config_refuses_at_line_and_column),
		cmocka_unit_test(test_config_takes_plain_http_where_it_is_meant),
		cmocka_unit_test(test_config_tells_what_needs_a_restart),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
