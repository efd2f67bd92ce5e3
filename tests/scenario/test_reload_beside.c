/*
 * Reloads go on beside the event loop: held in the middle of one, the daemon answers; who asks meanwhile is told the truth;
 * and it ends well. The loads are held by a gate before a file that they open (tests/gate), so what is proven is an order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "broker/sha256.h"
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/world.h"

#define MANY 20000 /* bindings */
#define ZONE "Europe/Berlin"

/* The policy's bytes are read when its zone is opened: what is written after that is for the next reload. */
#define BINDING(name, account)                                                                                         \
	"  - {name: " name ", members: [\"" ME "\"], serviceAccounts: [" account "], condition: {title: any hour, expression: "       \
	"'request.time.getHours(\"" ZONE "\") >= 0'}}\n"
#define POLICY_A "version: 1\nbindings:\n" BINDING("dev", SA_DEV)
#define POLICY_B "version: 1\nbindings:\n" BINDING("prod", SA_PROD)

static struct world w;
static char gate[100];

static int setup(void **state) {
	char shim[4096];

	(void)state;
	world_start(&w);
	world_policy(&w, POLICY_A);
	snprintf(gate, sizeof(gate), "%s/gate", w.dir);
	assert_non_null(realpath(program("gate.so"), shim));
	assert_true(snprintf(w.wrap, sizeof(w.wrap), "env LD_PRELOAD=%s GATE=%s GATE_NAME=%s", shim, gate, ZONE) <
		    (int)sizeof(w.wrap));
	world_daemon(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	unlink(gate);
	world_end(&w);
	return 0;
}

static void shut_gate(void) {
	int fd = open(gate, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void open_gate(void) {
	assert_int_equal(unlink(gate), 0);
}

/* How often the gate was come to: once a load, the one at the start included. */
static long loads(void) {
	struct stat st;
	char log[128];

	snprintf(log, sizeof(log), "%s.log", gate);
	return stat(log, &st) == 0 ? (long)st.st_size : 0;
}

static void await_load(long n) {
	for (int i = 0; i < 15000 && loads() < n; i++)
		nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
	assert_int_equal(loads(), n);
}

static bool log_has(const char *text) {
	char command[512];

	snprintf(command, sizeof(command), "grep -qF '%s' %s/hallpassd.log", text, w.dir);
	return system(command) == 0;
}

static void await_log(const char *text) {
	for (int i = 0; i < 5000 && !log_has(text); i++)
		nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
	assert_true(log_has(text));
}

static bool signal_pends(int number) {
	char path[64], line[256];
	unsigned long long mask = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)w.daemon);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "ShdPnd:", 7))
			mask = strtoull(line + 7, NULL, 16);
	fclose(f);
	return mask >> (number - 1) & 1;
}

/* Signals it, and comes back when the event loop has seen that. */
static void hang_up(void) {
	struct answer a;

	kill(w.daemon, SIGHUP);
	while (signal_pends(SIGHUP))
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	for (int i = 0; i < 2; i++) {
		ask(&w, "GET", "/healthz", NULL, &a);
		assert_int_equal(a.status, 200);
		answer_fini(&a);
	}
}

static int begin_reload(void) {
	int fd = ask_begin(&w, "POST", "/v1/reload", "{}");

	assert_true(fd >= 0);
	return fd;
}

static bool answered(int fd, int within_ms) {
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, within_ms) > 0;
}

static void assert_reloaded(int fd, const char *policy) {
	char sha256[65];
	struct answer a;

	sha256_hex(policy, strlen(policy), sha256);
	assert_true(ask_end(fd, &a));
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_text(&a, "policySha256"), sha256);
	answer_fini(&a);
}

static void assert_token(const char *account, int status) {
	struct answer a;

	ask_token(&w, account, "", &a);
	assert_int_equal(a.status, status);
	answer_fini(&a);
}

static void assert_in_force(const char *policy) {
	char sha256[65];
	struct answer a;

	sha256_hex(policy, strlen(policy), sha256);
	ask(&w, "GET", "/v1/status", NULL, &a);
	assert_string_equal(answer_text(&a, "policy.sha256"), sha256);
	answer_fini(&a);
}

static const char *text_of(const json_t *record, const char *key) {
	const char *s = json_string_value(json_object_get(record, key));

	return s ? s : "";
}

/* The reloads on record: who, what came of it, under which policy. Each of want is "WHO REASON A" or "… B". */
static void assert_recorded(const char *const want[], size_t n) {
	json_t *records = world_records(&w, NULL, 0), *r;
	char hash_a[65], got[512];
	size_t i, at = 0;

	assert_non_null(records);
	sha256_hex(POLICY_A, strlen(POLICY_A), hash_a);
	json_array_foreach (records, i, r) {
		if (strcmp(text_of(r, "type"), "reload"))
			continue;
		assert_true(at < n);
		snprintf(got, sizeof(got), "%s %s %s", text_of(r, "principal"), text_of(r, "reason"),
			 strcmp(text_of(r, "policy"), hash_a) ? "B" : "A");
		assert_string_equal(got, want[at++]);
	}
	assert_int_equal(at, n);
	json_decref(records);
}

static void assert_ends_well(void) {
	int status = world_stop(&w, SIGTERM);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static char *large_policy(void) {
	size_t size = (size_t)MANY * 120 + 4096, n;
	char *text = malloc(size);

	assert_non_null(text);
	n = (size_t)snprintf(text, size, "%s", POLICY_B);
	for (int i = 0; i < MANY; i++)
		n += (size_t)snprintf(text + n, size - n, "  - {name: b%d, members: [\"user:u%d@example.com\"], serviceAccounts: [sa-%d@acme-ml.iam.gserviceaccount.com]}\n",
				      i, i, i);
	return text;
}

static void test_P7_a_reload_keeps_nobody_waiting(void **state) {
	char *policy = large_policy();
	struct answer a;
	int fd, meanwhile;

	(void)state;
	shut_gate();
	world_policy(&w, policy);
	fd = begin_reload();
	await_load(2);
	meanwhile = ask_begin(&w, "GET", "/healthz", NULL);
	assert_true(answered(meanwhile, 10000)); /* it hangs until the test ends, or is immediate */
	assert_true(ask_end(meanwhile, &a));
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_token(SA_DEV, 200);
	assert_token(SA_DEV, 200);
	assert_token(SA_PROD, 403);
	ask(&w, "GET", "/v1/list", NULL, &a);
	assert_int_equal(a.status, 200);
	answer_fini(&a);
	assert_in_force(POLICY_A);
	assert_false(answered(fd, 0));
	open_gate();
	assert_reloaded(fd, policy);
	assert_token(SA_PROD, 200);
	assert_token(SA_DEV, 403);
	assert_ends_well();
	free(policy);
}

/* Whoever asks while a load is under way may mean what was written since: one more answers them all. */
static void test_reload_of_who_asks_meanwhile_is_one_more(void **state) {
	int first, second, third;

	(void)state;
	shut_gate();
	first = begin_reload();
	await_load(2);
	world_policy(&w, POLICY_B);
	second = begin_reload();
	third = begin_reload();
	assert_in_force(POLICY_A); /* what was sent before this has arrived */
	hang_up();
	hang_up();
	assert_false(answered(first, 0) || answered(second, 0) || answered(third, 0));
	open_gate();
	assert_reloaded(first, POLICY_A);
	assert_reloaded(second, POLICY_B);
	assert_reloaded(third, POLICY_B);
	assert_token(SA_PROD, 200);
	assert_int_equal(loads(), 3);
	assert_ends_well();
	assert_recorded((const char *[]){ ME " RELOADED A", ME " RELOADED B", ME " RELOADED B", "SIGHUP RELOADED B" }, 4);
}

static void test_reload_goes_on_when_who_asked_leaves(void **state) {
	int fd;

	(void)state;
	shut_gate();
	fd = begin_reload();
	await_load(2);
	close(fd);
	world_policy(&w, POLICY_B);
	fd = begin_reload();
	assert_in_force(POLICY_A);
	close(fd);
	open_gate();
	await_load(3);
	assert_ends_well();
	assert_recorded((const char *[]){ ME " RELOADED A", ME " RELOADED B" }, 2);
}

static void test_reload_under_way_is_waited_for_at_the_end(void **state) {
	int fd;

	(void)state;
	shut_gate();
	world_policy(&w, POLICY_B);
	fd = begin_reload();
	await_load(2);
	kill(w.daemon, SIGTERM);
	await_log(" stopping ");
	open_gate();
	assert_reloaded(fd, POLICY_B);
	assert_int_equal(world_end_well(&w), 0);
}

/* A file system that hangs keeps nobody from stopping the daemon; the record says what became of the reload. */
static void test_reload_that_hangs_is_left_behind_at_the_end(void **state) {
	(void)state;
	shut_gate();
	kill(w.daemon, SIGHUP);
	await_load(2);
	hang_up();
	assert_ends_well();
	assert_true(log_has("hallpassd ended before its files were read"));
	assert_recorded((const char *[]){ "SIGHUP REFUSED A", "SIGHUP REFUSED A" }, 2);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P7_a_reload_keeps_nobody_waiting),
		SCENARIO(test_reload_of_who_asks_meanwhile_is_one_more),
		SCENARIO(test_reload_goes_on_when_who_asked_leaves),
		SCENARIO(test_reload_under_way_is_waited_for_at_the_end),
		SCENARIO(test_reload_that_hangs_is_left_behind_at_the_end),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
