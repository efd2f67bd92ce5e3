/* P5 on the real daemon: a token's value is in the reply and in the cache, and nowhere else: not on disk, not in /proc, not in memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define CANARY "ya29.standin-" /* how each of the stand-in's tokens begins */
#define PLAIN_UID 12321

static struct world w;

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

static void unsanitized(const char *why) {
	if (!SANITIZED)
		return;
	print_message("skipped: under AddressSanitizer %s\n", why);
	skip();
}

static void needs_root(const char *what) {
	if (geteuid() == 0)
		return;
	print_message("skipped: %s needs root\n", what);
	skip();
}

static void fast(const char *more) {
	snprintf(w.config_more, sizeof(w.config_more), "limits: {requestsPerMinute: 10000000, burst: 1000000}\n%s", more);
}

/* Asks for a token that lives so long; its text. */
static void token_for(const char *account, int lifetime, char *out, size_t size) {
	struct answer a;
	char more[64];

	snprintf(more, sizeof(more), ", \"lifetime\": %d", lifetime);
	ask_token(&w, account, more, &a);
	assert_int_equal(a.status, 200);
	snprintf(out, size, "%s", answer_text(&a, "accessToken"));
	assert_memory_equal(out, CANARY, strlen(CANARY));
	explicit_bzero(a.text, sizeof(a.text));
	answer_fini(&a);
}

static void token_of(int lifetime, char *out, size_t size) {
	token_for(SA_DEV, lifetime, out, size);
}

/* --- on disk and in /proc */

static bool on_disk(const char *what) {
	char command[600];

	/* All but the stand-in's own files. */
	snprintf(command, sizeof(command), "find %s -path %s/google -prune -o -type f -print0 | xargs -0 grep -qaF '%s'", w.dir, w.dir, what);
	return system(command) == 0;
}

static bool in_proc(const char *name, const char *what) {
	static char text[1 << 20];
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", w.daemon, name);
	f = fopen(path, "r");
	if (!f && (errno == EACCES || errno == EPERM))
		return false; /* not even shown to its own user */
	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	return memmem(text, n, what, strlen(what)) != NULL;
}

static void test_P5_a_thousand_tokens_leave_no_trace(void **state) {
	static const char *const accounts[] = { SA_DEV, SA_PROD, SA_LABEL, SA_BATCH };
	char token[256], sha[65];
	json_t *records;

	(void)state;
	fast("log: {level: debug}\n");
	world_policy(&w, "version: 1\nbindings:\n  - {name: all, members: [\"" ME "\"], maxLifetime: 30m, serviceAccounts: [" SA_DEV
			 ", " SA_PROD ", " SA_LABEL ", " SA_BATCH "]}\n");
	world_daemon(&w);
	/* Each asks for some seconds less than the one before, so that no cached token fits. */
	for (int i = 0; i < 1000; i++)
		token_for(accounts[i % 4], 1800 - i / 4 * 7, token, sizeof(token));
	print_message("%lld mints\n", (long long)google_calls(&w, "generateAccessToken"));
	assert_true(google_calls(&w, "generateAccessToken") > 900);
	for (size_t i = 0; i < 3; i++)
		assert_false(in_proc((const char *[]){ "environ", "cmdline", "comm" }[i], "standin"));
	assert_false(on_disk(CANARY));
	assert_false(on_disk(token + strlen(CANARY)));
	world_stop(&w, SIGTERM);
	assert_false(on_disk(CANARY));
	assert_false(on_disk("PRIVATE KEY"));
	/* Whoever holds one can find it by its hash. */
	records = world_records(&w, NULL, 0);
	text_sha256(token, sha);
	assert_true(records_have_token(records, sha));
	json_decref(records);
	/* The search finds what is there. */
	world_policy(&w, token);
	assert_true(on_disk(CANARY));
}

/* --- in memory, read as only root can */

static size_t in_mapping(int mem, off_t from, off_t to, const char *what) {
	static char page[(1 << 20) + 256];
	size_t n = strlen(what), kept = 0, found = 0;

	for (off_t at = from; at < to;) {
		size_t want = (size_t)(to - at) < (1 << 20) ? (size_t)(to - at) : 1 << 20;
		ssize_t r = pread(mem, page + kept, want, at);
		char *hit = page;

		if (r <= 0)
			break;
		while ((hit = memmem(hit, kept + (size_t)r - (size_t)(hit - page), what, n))) {
			found++;
			hit += n;
		}
		at += r;
		/* What straddles two reads is found in the next one. */
		if (kept + (size_t)r >= n) {
			memmove(page, page + kept + (size_t)r - (n - 1), n - 1);
			kept = n - 1;
		}
	}
	return found;
}

/* How often a text stands in a process's writable memory. */
static size_t in_memory_of(pid_t pid, const char *what) {
	char path[64], line[512];
	size_t found = 0;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	assert_non_null(maps);
	assert_true(mem >= 0);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w')
			continue;
		size_t here = in_mapping(mem, (off_t)from, (off_t)to, what);

		if (here)
			print_message("    %zu in %s", here, line);
		found += here;
	}
	fclose(maps);
	close(mem);
	return found;
}

/* The same of the daemon's. */
static size_t in_memory(const char *what) {
	struct answer a;

	/* It wipes behind the reply that the client has by now: another answer says that it has. */
	ask(&w, "GET", "/healthz", NULL, &a);
	answer_fini(&a);
	return in_memory_of(w.daemon, what);
}

static void test_P5_memory_holds_a_token_once_and_then_no_more(void **state) {
	char first[256], second[256];

	(void)state;
	needs_root("reading the daemon's memory");
	unsanitized("freed memory is kept on purpose");
	fast("");
	world_clock(&w, 0);
	world_daemon(&w);
	token_of(600, first, sizeof(first));
	assert_int_equal(in_memory(first), 1); /* the cache */
	for (int i = 0; i < 50; i++)
		token_of(600, second, sizeof(second)); /* from the cache, each with a reply of its own */
	assert_string_equal(first, second);
	assert_int_equal(in_memory(first), 1);
	/* It expires, and the next mint clears it away. */
	world_clock(&w, 700);
	google_clock(&w, 700);
	token_of(600, second, sizeof(second));
	assert_string_not_equal(first, second);
	assert_int_equal(in_memory(first), 0);
	assert_int_equal(in_memory(second), 1);
}

/* Whatever becomes of the request: refused for its expiry, left by its client, or never read. */
static void test_P5_memory_forgets_tokens_that_were_never_delivered(void **state) {
	int fd;

	(void)state;
	needs_root("reading the daemon's memory");
	unsanitized("freed memory is kept on purpose");
	fast("");
	world_daemon(&w);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"lie_s\": 7200}");
	struct answer a;

	ask_token(&w, SA_DEV, "", &a);
	assert_int_equal(a.status, 502);
	answer_fini(&a);
	/* Of source and minted tokens alike only the credential's own is left: it was asked for once. */
	assert_true(in_memory(CANARY) <= 1);
	google_script(&w, "{\"endpoint\": \"generateAccessToken\", \"times\": 1, \"mishap\": \"half\"}");
	ask_token(&w, SA_DEV, ", \"lifetime\": 60", &a); /* half an answer, then another try */
	answer_fini(&a);
	fd = ask_begin(&w, "POST", "/v1/token", "{\"serviceAccount\": \"" SA_DEV "\", \"lifetime\": 50}");
	while (google_calls(&w, "generateAccessToken") < 4)
		;
	close(fd);
	ask(&w, "GET", "/healthz", NULL, &a);
	answer_fini(&a);
	assert_true(in_memory(CANARY) <= 3); /* the credential's, and the two in the cache */
}

/* Signatures and signed JWTs are kept nowhere: the reply is all that there is of them. */
static void test_P5_memory_holds_no_signature(void **state) {
	static const char *const asks[][3] = { { "signBlob", "{\"payload\":\"AAAA\"}", "signedBlob" },
					       { "signJwt", "{\"payload\":\"{}\"}", "signedJwt" } };
	static struct session_of_test s;
	char path[200], headers[300], tail[64];
	struct http_answer h;

	(void)state;
	needs_root("reading the daemon's memory");
	unsanitized("freed memory is kept on purpose");
	world_policy(&w, "version: 1\nbindings:\n  - {name: sign, members: [\"" ME "\"], serviceAccounts: [" SA_DEV "], permissions: [signBlob, signJwt]}\n");
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &s);
	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n", s.host, s.handle);
	for (size_t i = 0; i < 6; i++) {
		snprintf(path, sizeof(path), "/v1/projects/-/serviceAccounts/" SA_DEV ":%s", asks[i % 2][0]);
		http_ask(s.url, "POST", path, headers, asks[i % 2][1], &h);
		assert_int_equal(h.status, 200);
		snprintf(tail, sizeof(tail), "%.40s", http_answer_text(&h, asks[i % 2][2]) + strlen(http_answer_text(&h, asks[i % 2][2])) - 42);
		http_answer_fini(&h);
		assert_int_equal(in_memory(tail), 0);
	}
	session_leave(&s);
}

static void send_all(int fd, const char *text, size_t n) {
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

/* The reply, to a request that comes at once or, but for its last byte, first. */
static void post_in_pieces(const struct session_of_test *s, const char *headers, const char *body, int pieces, char *reply, size_t size) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)s->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n;
	static char text[8192];
	ssize_t r;

	n = snprintf(text, sizeof(text), "POST /v1/introspect HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n%s", headers, strlen(body), body);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	if (pieces > 1) {
		send_all(fd, text, (size_t)n - 1);
		while (in_memory("x=0000000000") == 0) /* it has arrived */
			;
		send_all(fd, text + n - 1, 1);
	} else {
		send_all(fd, text, (size_t)n);
	}
	r = read(fd, reply, size - 1);
	assert_true(r > 0);
	reply[r] = '\0';
	explicit_bzero(text, sizeof(text));
	close(fd);
}

/* A token that came back to be introspected, its request whole or in two pieces: the cache has it, and nothing else. */
static void test_P5_memory_forgets_what_it_is_asked_about(void **state) {
	static const char grant[] = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=urn:ietf:params:oauth:token-type:jwt&"
				    "audience=//hallpass.invalid/local&subject_token=";
	static struct session_of_test s;
	char headers[400], body[4096], token[200], reply[1024];
	struct http_answer h;

	(void)state;
	needs_root("reading the daemon's memory");
	unsanitized("freed memory is kept on purpose");
	world_daemon(&w);
	session_begin(&w, "{\"serviceAccount\": \"" SA_DEV "\"}", &s);
	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n", s.host);
	snprintf(body, sizeof(body), "%s%s", grant, s.handle);
	http_ask(s.url, "POST", "/v1/token", headers, body, &h);
	assert_int_equal(h.status, 200);
	snprintf(token, sizeof(token), "%s", http_answer_text(&h, "access_token"));
	http_answer_fini(&h);
	assert_int_equal(in_memory(token), 1);
	snprintf(body, sizeof(body), "x=%01500d&token=%s&y=1", 0, token);
	for (int pieces = 1; pieces <= 2; pieces++) {
		post_in_pieces(&s, headers, body, pieces, reply, sizeof(reply));
		assert_non_null(strstr(reply, "\"active\":true"));
		assert_int_equal(in_memory(token), 1);
	}
	/* Twice, from a web page, or where nobody asks for it: refused, and forgotten no less. */
	snprintf(body, sizeof(body), "token=%s&token=%s", token, token);
	http_ask(s.url, "POST", "/v1/introspect", headers, body, &h);
	assert_int_equal(h.status, 400);
	http_answer_fini(&h);
	assert_int_equal(in_memory(token), 1);
	snprintf(headers, sizeof(headers), "Host: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nOrigin: http://evil.example\r\n", s.host);
	http_ask(s.url, "POST", "/v1/introspect", headers, body, &h);
	assert_int_equal(h.status, 403);
	http_answer_fini(&h);
	assert_int_equal(in_memory(token), 1);
	snprintf(headers, sizeof(headers), "Host: %s\r\nAuthorization: Bearer %s\r\n", s.host, token);
	http_ask(s.url, "GET", "/nowhere", headers, NULL, &h);
	assert_int_equal(h.status, 404);
	http_answer_fini(&h);
	assert_int_equal(in_memory(token), 1);
	session_leave(&s);
}

/* `hallpass run` lives as long as its command, and holds the token file; of what is in it, it holds nothing. */
static void test_P5_memory_of_run_forgets_its_token(void **state) {
	char token[200];
	struct running r;

	(void)state;
	needs_root("reading another process's memory");
	unsanitized("freed memory is kept on purpose");
	world_daemon(&w);
	start(&w, &r, (const char *const[]){ program("hallpass"), "run", "--as", SA_DEV, "--", "sh", "-c",
					     "cat \"$HALLPASS_TOKEN_FILE\"; echo; exec sleep 1000", NULL });
	assert_true(wait_for(&r, "\n"));
	assert_non_null(strstr(r.text, CANARY));
	snprintf(token, sizeof(token), "%.*s", (int)strcspn(strstr(r.text, CANARY), "\n"), strstr(r.text, CANARY));
	assert_true(strlen(token) > 20);
	assert_true(in_memory_of(r.pid, SA_DEV) > 0); /* the search finds what is there */
	assert_int_equal(in_memory_of(r.pid, token + strlen(CANARY)), 0);
	assert_int_equal(kill(r.pid, SIGTERM), 0);
	finish(&r);
}

/* --- another process of the same user */

static void become_plain(void) {
	if (setgroups(0, NULL) < 0 || setresgid(PLAIN_UID, PLAIN_UID, PLAIN_UID) < 0 || setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID) < 0)
		_exit(99);
}

/* What a process of that user can do to pid: bit 1 opens its memory, bit 2 reads it, bit 4 lists its environment, bit 8 its files. */
static int powers_over(pid_t pid) {
	int status;
	pid_t child = fork();

	if (child == 0) {
		char path[64], byte;
		struct iovec here = { &byte, 1 }, there = { (void *)&w, 1 }; /* an address that is mapped here; EPERM comes first */
		int powers = 0, fd;

		become_plain();
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		powers |= (fd = open(path, O_RDONLY)) >= 0 ? 1 : 0;
		powers |= process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || (errno != EPERM && errno != EACCES) ? 2 : 0;
		snprintf(path, sizeof(path), "/proc/%d/environ", pid);
		powers |= (fd = open(path, O_RDONLY)) >= 0 && read(fd, &byte, 1) >= 0 ? 4 : 0;
		snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
		powers |= readlink(path, &byte, 1) >= 0 ? 8 : 0;
		_exit(powers);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static pid_t plain_process(void) {
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		become_plain();
		prctl(PR_SET_DUMPABLE, 1); /* as after exec */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_P5_a_process_of_the_same_user_cannot_look_inside(void **state) {
	char command[200];
	pid_t other;
	int control;

	(void)state;
	needs_root("being two processes of another user");
	unsanitized("the daemon stays open to its own leak check");
	snprintf(command, sizeof(command), "chown -R %d:%d %s && setpriv --version >/dev/null", PLAIN_UID, PLAIN_UID, w.dir);
	assert_int_equal(system(command), 0);
	snprintf(w.wrap, sizeof(w.wrap), "setpriv --reuid=%d --regid=%d --clear-groups", PLAIN_UID, PLAIN_UID);
	other = plain_process();
	control = powers_over(other);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	print_message("over an ordinary process of the same user: %d\n", control);
	if (control != 15) {
		print_message("skipped: this system does not let processes of one user look at each other to begin with\n");
		skip();
	}
	world_daemon(&w);
	assert_int_equal(powers_over(w.daemon), 0);
}

static int64_t proc_status(const char *key) {
	char path[64], line[256];
	int64_t n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", w.daemon);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			n = atoll(line + strlen(key));
	fclose(f);
	return n;
}

/* A forced crash leaves no core, not even where cores are welcome. */
static void test_P5_a_crash_leaves_no_core(void **state) {
	char token[256];
	int status;

	(void)state;
	unsanitized("SIGSEGV is the sanitizer's");
	snprintf(w.wrap, sizeof(w.wrap), "env -C %s prlimit --core=unlimited", w.dir); /* where a core would be written */
	world_daemon(&w);
	token_of(600, token, sizeof(token));
	assert_int_equal(proc_status("NoNewPrivs:"), 1);
	status = world_stop(&w, SIGSEGV);
	assert_true(WIFSIGNALED(status));
	assert_false(WCOREDUMP(status));
	assert_false(on_disk(token));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P5_a_thousand_tokens_leave_no_trace),
		SCENARIO(test_P5_memory_holds_a_token_once_and_then_no_more),
		SCENARIO(test_P5_memory_forgets_tokens_that_were_never_delivered),
		SCENARIO(test_P5_memory_holds_no_signature),
		SCENARIO(test_P5_memory_forgets_what_it_is_asked_about),
		SCENARIO(test_P5_memory_of_run_forgets_its_token),
		SCENARIO(test_P5_a_process_of_the_same_user_cannot_look_inside),
		SCENARIO(test_P5_a_crash_leaves_no_core),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
