/* Reload on the real daemon: configuration and policy are taken up together or not at all (P6), by whom may, and on record. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/world.h"

#define OTHER_UID 12345
#define OTHER "user:other@example.com"
#define POLICY_PROD                                                                                                    \
	"version: 1\nbindings:\n  - {name: prod, members: [\"" ME "\"], serviceAccounts: [" SA_PROD "], maxLifetime: 30m}\n"

static struct world w;
static char config_of[64]; /* whose configuration rewrite_config() remembers */

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	world_end(&w);
	return 0;
}

static void path_in(char out[256], const char *name) {
	snprintf(out, 256, "%s/%s", w.dir, name);
}

static void pause_ms(int ms) {
	nanosleep(&(struct timespec){ 0, ms * 1000000L }, NULL);
}

static bool log_has(const char *text) {
	char path[256], command[512];

	path_in(path, "hallpassd.log");
	snprintf(command, sizeof(command), "grep -qF '%s' %s", text, path);
	return system(command) == 0;
}

static void assert_log_will_have(const char *text) {
	for (int i = 0; i < 5000 && !log_has(text); i++)
		pause_ms(2);
	assert_true(log_has(text));
}

/*
 * Writes hallpassd.yaml as the daemon was started with, other lines in place of its `peers:` and `credential:` (NULL: as they
 * were), and more behind.
 */
static void rewrite_config(const char *peers, const char *credential, const char *more) {
	static char started_with[8192];
	char path[256], text[16384] = "", copy[8192], *save = NULL;
	FILE *f;

	path_in(path, "hallpassd.yaml");
	if (strcmp(config_of, w.dir) != 0) {
		f = fopen(path, "r");
		assert_non_null(f);
		started_with[fread(started_with, 1, sizeof(started_with) - 1, f)] = '\0';
		fclose(f);
		snprintf(config_of, sizeof(config_of), "%s", w.dir);
	}
	strcpy(copy, started_with);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if ((peers && !strncmp(line, "peers:", 6)) || (credential && !strncmp(line, "credential:", 11)))
			continue;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", line);
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s%s%s%s", text, peers ? peers : "", credential ? credential : "", more);
	assert_int_equal(fclose(f), 0);
}

/* POST /v1/reload: the status. */
static int reload(struct answer *a) {
	ask(&w, "POST", "/v1/reload", "{}", a);
	if (a->status != 200)
		print_message("%s\n%s", answer_text(a, "error.message"), answer_text(a, "error.details.0.metadata.findings"));
	return a->status;
}

static void assert_reloads(void) {
	struct answer a;

	assert_int_equal(reload(&a), 200);
	answer_fini(&a);
}

static void assert_token(const char *account, int status) {
	struct answer a;

	ask_token(&w, account, "", &a);
	assert_int_equal(a.status, status);
	answer_fini(&a);
}

static const char *text_of(const json_t *record, const char *key) {
	const char *s = json_string_value(json_object_get(record, key));

	return s ? s : "";
}

static json_t *stopped_records(void) {
	json_t *records;

	world_stop(&w, SIGTERM);
	records = world_records(&w, NULL, 0);
	assert_non_null(records);
	return records;
}

/* --- P6: every answer was given under one policy, the one that its record names */

#define CLIENTS 8
#define ALTERNATIONS 200
#define MAX_ANSWERS 40000

struct client {
	pthread_t thread;
	atomic_bool *stop;
	size_t n;
	struct {
		char request[40];
		bool dev, granted;
	} *answers;
	size_t broken; /* neither granted nor denied */
};

static void *client_main(void *arg) {
	struct client *c = arg;

	while (!atomic_load(c->stop) && c->n < MAX_ANSWERS) {
		bool dev = c->n % 2 == 0;
		struct answer a;

		ask_token(&w, dev ? SA_DEV : SA_PROD, "", &a);
		c->broken += a.status != 200 && a.status != 403;
		c->answers[c->n].dev = dev;
		c->answers[c->n].granted = a.status == 200;
		snprintf(c->answers[c->n++].request, sizeof(c->answers[0].request), "%s",
			 answer_text(&a, a.status == 200 ? "requestId" : "error.details.0.metadata.requestId"));
		answer_fini(&a);
	}
	return NULL;
}

static bool policy_comes(const char *sha256) {
	for (int i = 0; i < 2000; i++) {
		struct answer a;
		bool there;

		ask(&w, "GET", "/v1/status", NULL, &a);
		there = !strcmp(answer_text(&a, "policy.sha256"), sha256);
		answer_fini(&a);
		if (there)
			return true;
		pause_ms(1);
	}
	return false;
}

/* Back and forth, by request and by signal. False: one did not come. Nothing is asserted while the clients run. */
static bool alternate(const char *const policies[2], const char hashes[2][65]) {
	for (int i = 1; i <= ALTERNATIONS; i++) {
		struct answer a;

		world_policy(&w, policies[i % 2]);
		if (i % 4 < 2) {
			kill(w.daemon, SIGHUP);
			if (!policy_comes(hashes[i % 2]))
				return false;
			continue;
		}
		if (reload(&a) != 200 || strcmp(answer_text(&a, "policySha256"), hashes[i % 2]) != 0)
			return false;
		answer_fini(&a);
	}
	return true;
}

/* By request id: what each record says. */
static json_t *by_request(json_t *records) {
	json_t *map = json_object();

	for (size_t i = 0; i < json_array_size(records); i++) {
		json_t *r = json_array_get(records, i);

		if (*text_of(r, "request") && strcmp(text_of(r, "type"), "intent") != 0)
			json_object_set(map, text_of(r, "request"), r);
	}
	return map;
}

static void assert_consistent(const struct client *c, const json_t *map, const char hashes[2][65], size_t under[2]) {
	assert_int_equal(c->broken, 0);
	for (size_t i = 0; i < c->n; i++) {
		const json_t *r = json_object_get(map, c->answers[i].request);
		bool first = !strcmp(text_of(r, "policy"), hashes[0]);

		if (!r)
			fail_msg("request \"%s\" has no record", c->answers[i].request);
		assert_true(first || !strcmp(text_of(r, "policy"), hashes[1]));
		assert_string_equal(text_of(r, "type"), c->answers[i].granted ? "issued" : "denied");
		/* The first allows dev alone, the second prod alone. */
		assert_int_equal(c->answers[i].granted, c->answers[i].dev == first);
		under[!first]++;
	}
}

static void test_P6_each_answer_agrees_with_the_policy_that_its_record_names(void **state) {
	static const char *const policies[2] = { POLICY_DEV, POLICY_PROD };
	struct client clients[CLIENTS] = { 0 };
	size_t under[2] = { 0 }, answers = 0;
	json_t *records, *map;
	atomic_bool stop = false;
	char hashes[2][65];
	bool all;

	(void)state;
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 10000000}\n");
	for (int i = 0; i < 2; i++)
		text_sha256(policies[i], hashes[i]);
	world_daemon(&w);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].stop = &stop;
		clients[i].answers = calloc(MAX_ANSWERS, sizeof(*clients[i].answers));
		assert_non_null(clients[i].answers);
		pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
	}
	all = alternate(policies, hashes);
	atomic_store(&stop, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
	assert_true(all);
	records = stopped_records();
	map = by_request(records);
	for (int i = 0; i < CLIENTS; i++) {
		assert_consistent(&clients[i], map, hashes, under);
		answers += clients[i].n;
		free(clients[i].answers);
	}
	print_message("%zu answers, %zu under the one policy, %zu under the other, %zu reloads\n", answers, under[0],
		      under[1], records_count(records, "reload"));
	assert_true(under[0] > 0 && under[1] > 0);
	assert_int_equal(records_count(records, "reload"), ALTERNATIONS);
	json_decref(map);
	json_decref(records);
}

/* --- P6: what cannot be read is not taken up */

static void make_missing(const char *path) {
	(void)path;
}

static void make_directory(const char *path) {
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_fifo(const char *path) {
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void make_loop(const char *path) {
	assert_int_equal(symlink("policy.yaml", path), 0);
}

static void make_huge(const char *path) {
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 70 << 20), 0);
	close(fd);
}

static void make_secret(const char *path) {
	world_policy(&w, POLICY_PROD);
	assert_int_equal(chmod(path, 0), 0);
}

static void make_empty(const char *path) {
	world_policy(&w, "");
	(void)path;
}

static void make_binary(const char *path) {
	world_policy(&w, "version: 1\nbindings: \x01\xff\n");
	(void)path;
}

static const struct unreadable {
	const char *what;
	void (*make)(const char *path);
	int status;
	const char *message;
} unreadables[] = {
	{ "missing", make_missing, 404, "no policy at " },
	{ "a directory", make_directory, 400, "not a regular file" },
	{ "a FIFO", make_fifo, 400, "not a regular file" },
	{ "a loop of links", make_loop, 400, "Too many levels" },
	{ "70 MiB", make_huge, 400, "at most 67108864 are read" },
	{ "without read permission", make_secret, 400, "Permission denied" },
	{ "empty", make_empty, 400, "policy" },
	{ "binary", make_binary, 400, "2:" },
};

static void test_P6_a_policy_that_cannot_be_read_leaves_the_last_good_one(void **state) {
	size_t tried = 0;
	json_t *records;
	char path[256];

	(void)state;
	world_daemon(&w);
	path_in(path, "policy.yaml");
	for (size_t i = 0; i < ARRAY_SIZE(unreadables); i++) {
		const struct unreadable *u = &unreadables[i];
		struct answer a;

		if (u->make == make_secret && geteuid() == 0)
			continue; /* root may read all */
		assert_int_equal(remove(path), 0);
		u->make(path);
		print_message("%s: ", u->what);
		assert_int_equal(reload(&a), u->status);
		assert_non_null(strstr(answer_text(&a, "error.message"), u->message));
		assert_string_equal(answer_text(&a, "error.details.0.reason"), "RELOAD_REFUSED");
		answer_fini(&a);
		assert_token(SA_DEV, 200);
		assert_token(SA_PROD, 403);
		tried++;
		remove(path);
		world_policy(&w, POLICY_DEV);
	}
	assert_reloads();
	records = stopped_records();
	assert_int_equal(records_count(records, "reload"), tried + 1);
	json_decref(records);
}

/* --- who asked, and what is told */

static void test_reload_is_recorded_with_who_asked(void **state) {
	json_t *records, *r;
	struct answer a;

	(void)state;
	world_daemon(&w);
	world_policy(&w, "version: 1\nbindngs: []\n");
	assert_int_equal(reload(&a), 400);
	assert_non_null(strstr(answer_text(&a, "error.details.0.metadata.findings"), "did you mean"));
	assert_non_null(strstr(answer_text(&a, "error.details.0.metadata.findings"), ":2:1: "));
	answer_fini(&a);
	kill(w.daemon, SIGHUP);
	assert_log_will_have("reload-refused by=SIGHUP");
	assert_true(log_has("did you mean")); /* the findings are for whoever sent the signal */
	world_policy(&w, POLICY_PROD);
	assert_reloads();
	assert_token(SA_PROD, 200);
	records = stopped_records();
	r = records_last(records, "reload");
	assert_string_equal(text_of(r, "reason"), "RELOADED");
	assert_string_equal(text_of(r, "principal"), ME);
	assert_string_equal(text_of(r, "auth"), "SO_PEERCRED");
	assert_int_equal(json_integer_value(json_object_get(r, "uid")), geteuid());
	assert_int_equal(json_integer_value(json_object_get(r, "pid")), getpid());
	assert_string_equal(text_of(r, "policy"), text_of(records_last(records, "issued"), "policy"));
	json_array_remove(records, json_array_size(records) - 1);
	while (records_last(records, "reload") == r)
		json_array_remove(records, json_array_size(records) - 1);
	r = records_last(records, "reload");
	assert_string_equal(text_of(r, "principal"), "SIGHUP");
	assert_string_equal(text_of(r, "reason"), "REFUSED");
	assert_non_null(strstr(text_of(r, "error"), "bindngs"));
	assert_null(json_object_get(r, "uid"));
	json_decref(records);
}

/* May this uid reload? */
static void assert_reload_as(uid_t uid, int status, const char *reason) {
	struct answer a;

	ask_as_uid(&w, uid, "POST", "/v1/reload", "{}", &a);
	assert_int_equal(a.status, status);
	assert_string_equal(answer_text(&a, "error.details.0.reason"), reason);
	answer_fini(&a);
}

static void test_reload_is_for_operators(void **state) {
	json_t *records, *r;
	char peers[256];

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: asking as another uid needs root\n");
		skip();
	}
	world_daemon(&w);
	snprintf(peers, sizeof(peers), "peers: [{uid: 0, principal: \"" ME "\"}, {uid: %d, principal: \"" OTHER "\"}]\n", OTHER_UID);
	rewrite_config(peers, NULL, "");
	assert_reloads();
	assert_int_equal(chmod(w.dir, 0755), 0);
	assert_int_equal(chmod(w.socket, 0666), 0);
	world_policy(&w, POLICY_PROD);
	assert_reload_as(OTHER_UID, 403, "NOT_OPERATOR");
	assert_reload_as(OTHER_UID + 1, 401, "UNKNOWN_CALLER");
	assert_token(SA_PROD, 403);
	rewrite_config(peers, NULL, "operators: [\"" OTHER "\"]\n");
	assert_reload_as(OTHER_UID, 403, "NOT_OPERATOR"); /* not by what is only written down yet */
	assert_reloads();
	assert_reload_as(OTHER_UID, 200, "");
	assert_token(SA_PROD, 200);
	rewrite_config(peers, NULL, "operators: [\"user:somebody@example.com\"]\n");
	assert_reload_as(OTHER_UID, 200, ""); /* the last thing that it may do */
	assert_reload_as(OTHER_UID, 403, "NOT_OPERATOR");
	records = stopped_records();
	r = records_last(records, "reload");
	assert_string_equal(text_of(r, "reason"), "NOT_OPERATOR");
	assert_string_equal(text_of(r, "principal"), OTHER);
	assert_int_equal(json_integer_value(json_object_get(r, "uid")), OTHER_UID);
	json_decref(records);
}

/* --- configuration */

static void test_P6_a_key_that_needs_a_restart_keeps_everything_as_it_is(void **state) {
	static const struct {
		const char *config, *key;
	} cases[] = {
		{ "upstream: {timeout: 3s}\nlog: {level: debug}\n", "upstream.timeout" },
		{ "upstream: {caFile: ca.pem, connections: 3}\n", "upstream.connections, upstream.caFile" },
		{ "limits: {maxCachedTokens: 3, maxLifetime: 60s}\n", "limits.maxCachedTokens" },
	};
	struct answer a;

	(void)state;
	world_daemon(&w);
	world_policy(&w, POLICY_PROD);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rewrite_config(NULL, NULL, cases[i].config);
		assert_int_equal(reload(&a), 400);
		assert_non_null(strstr(answer_text(&a, "error.message"), cases[i].key));
		assert_non_null(strstr(answer_text(&a, "error.message"), "needs a restart"));
		answer_fini(&a);
		assert_token(SA_PROD, 403); /* the policy did not come along */
		ask_token(&w, SA_DEV, "", &a);
		assert_int_equal(a.status, 200);
		assert_true(answer_int(&a, "expiresIn") > 1700); /* nor did a limit */
		answer_fini(&a);
	}
	assert_false(log_has(" debug "));
	rewrite_config(NULL, NULL, "");
	assert_reloads();
	assert_token(SA_PROD, 200);
}

static void test_P6_a_configuration_with_a_fault_is_refused_whole(void **state) {
	struct answer a;

	(void)state;
	world_daemon(&w);
	world_policy(&w, POLICY_PROD);
	rewrite_config(NULL, NULL, "limits: {maxLifetime: 60s, brst: 4}\n");
	assert_int_equal(reload(&a), 400);
	assert_non_null(strstr(answer_text(&a, "error.details.0.metadata.findings"), "did you mean `limits.burst`?"));
	answer_fini(&a);
	assert_token(SA_PROD, 403);
	ask_token(&w, SA_DEV, "", &a);
	assert_true(answer_int(&a, "expiresIn") > 1700);
	answer_fini(&a);
}

static void test_reload_takes_up_peers_limits_and_the_log_level(void **state) {
	char peers[128];
	struct answer a;

	(void)state;
	world_daemon(&w);
	assert_token(SA_DEV, 200);
	assert_false(log_has(" debug "));
	rewrite_config(NULL, NULL, "limits: {maxLifetime: 60s}\nlog: {level: debug}\n");
	assert_reloads();
	ask_token(&w, SA_DEV, "", &a); /* the cached one lives too long by now */
	assert_int_equal(a.status, 200);
	assert_true(answer_int(&a, "expiresIn") <= 60);
	assert_string_equal(answer_text(&a, "boundBy"), "ceiling");
	answer_fini(&a);
	assert_log_will_have(" debug ");
	snprintf(peers, sizeof(peers), "peers: [{uid: %u, principal: \"" OTHER "\"}]\n", geteuid());
	rewrite_config(peers, NULL, "limits: {requestsPerMinute: 1, burst: 2}\n");
	assert_reloads();
	ask(&w, "GET", "/v1/whoami", NULL, &a);
	assert_string_equal(answer_text(&a, "principal"), OTHER);
	answer_fini(&a);
	assert_token(SA_DEV, 403); /* the cached tokens are somebody else's */
	assert_token(SA_DEV, 403);
	assert_token(SA_DEV, 429);
}

/* --- the broker's own credential */

static void assert_credential(const char *kind) {
	struct answer a;

	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_string_equal(answer_text(&a, "credential.kind"), kind);
	answer_fini(&a);
}

static void test_reload_takes_up_another_credential_or_nothing(void **state) {
	struct answer a;
	char path[256];
	FILE *f;

	(void)state;
	world_daemon(&w);
	assert_credential("service_account");
	path_in(path, "broken.json");
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("{\"type\": \"service_account\", \"client_email\": \"x\"}", f);
	fclose(f);
	chmod(path, 0600);
	world_policy(&w, POLICY_PROD);
	rewrite_config(NULL, "credential: {file: broken.json}\n", "");
	assert_int_not_equal(reload(&a), 200);
	assert_non_null(strstr(answer_text(&a, "error.message"), "broken.json"));
	answer_fini(&a);
	assert_credential("service_account");
	assert_token(SA_DEV, 200); /* the old credential still mints under the old policy */
	assert_token(SA_PROD, 403);
	rewrite_config(NULL, "credential: {file: google/external_account.json}\n", "");
	assert_reloads();
	assert_credential("external_account");
	assert_token(SA_PROD, 200);
	assert_int_equal(google_calls(&w, "sts"), 1);
}

/* The policy does not wait for a key that is being replaced, but who put it there must hear that it is not in use. */
static void test_reload_tells_that_the_credential_in_use_stays(void **state) {
	char key[256], aside[256];
	struct answer a;

	(void)state;
	world_daemon(&w);
	path_in(key, "google/broker-key.json");
	path_in(aside, "google/aside.json");
	assert_int_equal(rename(key, aside), 0);
	assert_int_equal(reload(&a), 200);
	assert_non_null(strstr(answer_text(&a, "findings"), "warning: the credential in use stays: "));
	assert_int_equal(json_integer_value(json_object_get(a.json, "warnings")), 1);
	answer_fini(&a);
	assert_token(SA_DEV, 200);
	assert_int_equal(rename(aside, key), 0);
	assert_int_equal(reload(&a), 200);
	assert_null(strstr(answer_text(&a, "findings"), "credential"));
	answer_fini(&a);
}

/* --- when nothing can be recorded */

static void test_reload_works_while_the_disk_fails_and_is_recorded_when_it_recovers(void **state) {
	json_t *records, *r;
	struct answer a;

	(void)state;
	if (system("command -v strace >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
		print_message("skipped: strace is not here or may not trace\n");
		skip();
	}
	snprintf(w.wrap, sizeof(w.wrap),
		 "strace -f -qq -o /dev/null -e trace=pwritev -e inject=pwritev:error=ENOSPC:when=4..12");
	world_daemon(&w);
	/* Until the disk has failed. */
	for (int i = 0; i < 50; i++) {
		ask_token(&w, SA_DEV, "", &a);
		answer_fini(&a);
		if (a.status == 503)
			break;
	}
	assert_int_equal(a.status, 503);
	world_policy(&w, POLICY_PROD);
	assert_reloads();
	/* A policy that takes something away must not wait for a disk. */
	assert_token(SA_DEV, 403);
	for (int i = 0; i < 5000; i++) {
		ask_token(&w, SA_PROD, "", &a);
		answer_fini(&a);
		if (a.status == 200)
			break;
		pause_ms(2);
	}
	assert_int_equal(a.status, 200);
	records = stopped_records();
	r = records_last(records, "reload");
	assert_string_equal(text_of(r, "reason"), "RELOADED");
	assert_string_equal(text_of(r, "policy"), text_of(records_last(records, "issued"), "policy"));
	json_decref(records);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P6_each_answer_agrees_with_the_policy_that_its_record_names),
		SCENARIO(test_P6_a_policy_that_cannot_be_read_leaves_the_last_good_one),
		SCENARIO(test_P6_a_key_that_needs_a_restart_keeps_everything_as_it_is),
		SCENARIO(test_P6_a_configuration_with_a_fault_is_refused_whole),
		SCENARIO(test_reload_is_recorded_with_who_asked),
		SCENARIO(test_reload_is_for_operators),
		SCENARIO(test_reload_takes_up_peers_limits_and_the_log_level),
		SCENARIO(test_reload_takes_up_another_credential_or_nothing),
		SCENARIO(test_reload_tells_that_the_credential_in_use_stays),
		SCENARIO(test_reload_works_while_the_disk_fails_and_is_recorded_when_it_recovers),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
