/* See world.h. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>
#include "broker/audit/reader.h"
#include "tests/lib/world.h"

#define PATIENCE_MS 30000

static const char *build(void) {
	const char *b = getenv("HALLPASS_BUILD");

	return b ? b : "build";
}

/* Not by time(), which is a tick behind the clock that the daemon reads, and so now and then a second. */
int64_t now_s(void) {
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec;
}

static int64_t now_ms(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(int ms) {
	nanosleep(&(struct timespec){ ms / 1000, (ms % 1000) * 1000000L }, NULL);
}

static void write_file(const struct world *w, const char *name, const char *text) {
	char path[256], temp[264];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	snprintf(temp, sizeof(temp), "%s.new", path);
	f = fopen(temp, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(temp, path), 0);
}

static bool read_file(const char *path, char *out, size_t size) {
	FILE *f = fopen(path, "r");
	size_t n;

	out[0] = '\0';
	if (!f)
		return false;
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	fclose(f);
	return n > 0;
}

static pid_t spawn(char *const argv[], const char *log) {
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, STDERR_FILENO);
	dup2(fd, STDOUT_FILENO);
	execv(argv[0], argv);
	execvp(argv[0], argv);
	_exit(127);
}

void world_start(struct world *w) {
	char program[256], path[256], log[256], google[256];
	int64_t began = now_ms();

	snprintf(program, sizeof(program), "%s/google-standin", build());
	if (access(program, X_OK) < 0) {
		print_message("skipped: %s is not built\n", program);
		skip();
	}
	snprintf(w->dir, sizeof(w->dir), "/tmp/hallpass-scenario.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->tmpfs, sizeof(w->tmpfs), "/dev/shm/hallpass-test.XXXXXX");
	assert_non_null(mkdtemp(w->tmpfs));
	setenv("XDG_RUNTIME_DIR", w->tmpfs, 1);
	snprintf(w->socket, sizeof(w->socket), "%s/hp.sock", w->dir);
	snprintf(google, sizeof(google), "%s/google", w->dir);
	snprintf(path, sizeof(path), "%s/google/url", w->dir);
	snprintf(log, sizeof(log), "%s/google.log", w->dir);
	w->google = spawn((char *[]){ program, (char *)"--dir", google, NULL }, log);
	while (!read_file(path, w->url, sizeof(w->url)) && now_ms() - began < PATIENCE_MS)
		pause_ms(2);
	w->url[strcspn(w->url, "\n")] = '\0';
	assert_true(w->url[0] == 'h');
	world_policy(w, POLICY_DEV);
}

void world_end(struct world *w) {
	char command[256];
	int r;

	if (w->daemon > 0) {
		if (w->wrapped > 0)
			kill(w->wrapped, SIGKILL); /* what strace lets go of runs on */
		kill(w->daemon, SIGKILL);
		waitpid(w->daemon, NULL, 0);
	}
	if (w->google > 0) {
		kill(w->google, SIGKILL);
		waitpid(w->google, NULL, 0);
	}
	if (w->dir[0]) {
		snprintf(command, sizeof(command), "rm -rf %s %s", w->dir, w->tmpfs);
		r = system(command);
		(void)r;
	}
	memset(w, 0, sizeof(*w));
}

/*
 * Each request of the scenario, read back from its record and decided again under the policy that decided it, comes out as it
 * did. A policy.yaml that is none, or a record that was damaged on purpose, cannot be asked about.
 */
static int replays_faithfully(const struct world *w) {
	static char out[65536];
	char policy[128], audit[128], faithful[] = "\"unfaithful\":0,";

	snprintf(policy, sizeof(policy), "%s/policy.yaml", w->dir);
	snprintf(audit, sizeof(audit), "%s/audit", w->dir);
	if (access(audit, R_OK) < 0 || run_cli(w, out, sizeof(out), NULL, 0, "policy", "replay", policy, "--log", audit, "--json", NULL) != 0)
		return 0;
	if (strstr(out, faithful))
		return 0;
	print_error("not all records can be decided again as they were: %.2000s\n", out);
	run_cli(w, out, sizeof(out), NULL, 0, "policy", "replay", policy, "--log", audit, "-v", NULL);
	print_error("%.2000s\n", out);
	return 1;
}

int world_end_well(struct world *w) {
	int status = w->daemon > 0 ? world_stop(w, SIGTERM) : 0;

	if (status)
		world_log_tail(w);
	else
		status = replays_faithfully(w);
	world_end(w);
	return status;
}

void world_policy(struct world *w, const char *yaml) {
	write_file(w, "policy.yaml", yaml);
}

static void write_config(struct world *w) {
	char text[4096], peers[128], upstream[1024];

	snprintf(peers, sizeof(peers), "peers: [{uid: %u, principal: \"" ME "\"}]\n", geteuid());
	snprintf(upstream, sizeof(upstream), "credential: {file: google/broker-key.json}\nendpoints: {iamCredentials: \"%s\"}\n", w->url);
	snprintf(text, sizeof(text),
		 "listeners: [{unix: hp.sock}%s]\n"
		 "%s"
		 "policy: policy.yaml\n"
		 "audit: {directory: audit, segmentSize: 512KiB%s}\n"
		 "%s%s",
		 w->listeners_more, strstr(w->config_more, "peers:") ? "" : peers, w->audit_more[0] ? w->audit_more : ", lowWater: 0",
		 w->upstream[0] ? w->upstream : upstream, w->config_more);
	write_file(w, "hallpassd.yaml", text);
}

static void start_daemon(struct world *w, const char *log) {
	char relative[256], program[PATH_MAX], config[256], words[256], shim[300], clock[256];
	char *argv[40], *save = NULL;
	int n = 0;

	write_config(w);
	snprintf(relative, sizeof(relative), "%s/hallpassd", build());
	assert_non_null(realpath(relative, program)); /* it may be started in another directory */
	snprintf(config, sizeof(config), "%s/hallpassd.yaml", w->dir);
	snprintf(words, sizeof(words), "%s", w->wrap);
	for (char *word = strtok_r(words, " ", &save); word && n < 30; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	argv[n++] = program;
	argv[n++] = (char *)"--config";
	argv[n++] = config;
	argv[n] = NULL;
	snprintf(clock, sizeof(clock), "%s/clock", w->dir);
	snprintf(shim, sizeof(shim), "%s/fakeclock.so", build());
	if (access(clock, F_OK) == 0) {
		setenv("FAKECLOCK_FILE", clock, 1);
		setenv("LD_PRELOAD", shim, 1);
	}
	w->daemon = spawn(argv, log);
	unsetenv("LD_PRELOAD");
	unsetenv("FAKECLOCK_FILE");
}

/* strace does not pass signals on: hallpassd says itself who it is. */
static void find_wrapped(struct world *w) {
	struct answer a;

	w->wrapped = 0;
	if (!w->wrap[0])
		return;
	ask(w, "GET", "/v1/status", NULL, &a);
	w->wrapped = (pid_t)answer_int(&a, "pid");
	answer_fini(&a);
}

bool world_daemon_try(struct world *w) {
	char log[256];
	int64_t began = now_ms();

	snprintf(log, sizeof(log), "%s/hallpassd.log", w->dir);
	start_daemon(w, log);
	for (;;) {
		struct answer a;
		int fd = ask_begin(w, "GET", "/healthz", NULL);
		bool ok = fd >= 0 && ask_end(fd, &a);

		if (ok) {
			bool good = a.status == 200;

			answer_fini(&a);
			if (good) {
				find_wrapped(w);
				return true;
			}
		}
		if (now_ms() - began > PATIENCE_MS || waitpid(w->daemon, NULL, WNOHANG) == w->daemon) {
			w->daemon = 0;
			return false;
		}
		pause_ms(2);
	}
}

void world_daemon(struct world *w) {
	if (world_daemon_try(w))
		return;
	world_log_tail(w);
	fail_msg("hallpassd did not come up");
}

static int wait_exit(pid_t pid) {
	int64_t began = now_ms();
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() - began > PATIENCE_MS) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			fail_msg("a process did not end");
		}
		pause_ms(2);
	}
	return status;
}

int world_daemon_fails(struct world *w, char *text, size_t size) {
	char log[256];
	int status;

	snprintf(log, sizeof(log), "%s/fails.log", w->dir);
	unlink(log);
	start_daemon(w, log);
	status = wait_exit(w->daemon);
	w->daemon = 0;
	read_file(log, text, size);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int world_stop(struct world *w, int signal_number) {
	int status;

	kill(w->wrapped > 0 ? w->wrapped : w->daemon, signal_number);
	status = wait_exit(w->daemon);
	w->daemon = 0;
	return status;
}

void world_log_tail(const struct world *w) {
	char path[256], text[16384];

	snprintf(path, sizeof(path), "%s/hallpassd.log", w->dir);
	read_file(path, text, sizeof(text));
	print_message("--- hallpassd.log\n%s---\n", text);
}

/* --- HTTP */

int ask_begin(const struct world *w, const char *method, const char *path, const char *body) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char text[8192];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w->socket);
	n = snprintf(text, sizeof(text),
		     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method, path,
		     body ? "Content-Type: application/json\r\n" : "", body ? strlen(body) : (size_t)0, body ? body : "");
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
		close(fd);
		return -1;
	}
	return fd;
}

bool ask_end(int fd, struct answer *out) {
	size_t n = 0;
	char *body;

	memset(out, 0, sizeof(*out));
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, PATIENCE_MS) > 0 ? read(fd, out->text + n, sizeof(out->text) - 1 - n) : -1;

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	close(fd);
	out->text[n] = '\0';
	body = strstr(out->text, "\r\n\r\n");
	if (!body || strncmp(out->text, "HTTP/1.1 ", 9))
		return false;
	out->status = atoi(out->text + 9);
	out->json = json_loads(body + 4, 0, NULL);
	return true;
}

void ask(const struct world *w, const char *method, const char *path, const char *body, struct answer *out) {
	int fd = ask_begin(w, method, path, body);

	memset(out, 0, sizeof(*out));
	if (fd >= 0)
		ask_end(fd, out);
}

void ask_token(const struct world *w, const char *account, const char *more, struct answer *out) {
	char body[4096];

	snprintf(body, sizeof(body), "{\"serviceAccount\": \"%s\"%s}", account, more);
	ask(w, "POST", "/v1/token", body, out);
}

void answer_fini(struct answer *a) {
	json_decref(a->json);
	a->json = NULL;
}

static json_t *dig(json_t *at, const char *dotted) {
	char copy[200], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", dotted);
	for (char *part = strtok_r(copy, ".", &save); part && at; part = strtok_r(NULL, ".", &save))
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
	return at;
}

const char *answer_text(const struct answer *a, const char *dotted) {
	const char *s = json_string_value(dig(a->json, dotted));

	return s ? s : "";
}

int64_t answer_int(const struct answer *a, const char *dotted) {
	return json_integer_value(dig(a->json, dotted));
}

/* In the child: passes the bytes of the answer on. */
static void pass_on(int from, int to) {
	char bytes[4096];
	ssize_t r;

	while (from >= 0 && (r = recv(from, bytes, sizeof(bytes), 0)) > 0)
		if (write(to, bytes, (size_t)r) != r)
			_exit(1);
	_exit(0);
}

void ask_as_uid(const struct world *w, uid_t uid, const char *method, const char *path, const char *body,
		struct answer *out) {
	int p[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		pass_on(ask_begin(w, method, path, body), p[1]);
	}
	close(p[1]);
	ask_end(p[0], out);
	waitpid(pid, NULL, 0);
}

/* --- the stand-in, over TCP */

static json_t *google_ask(const struct world *w, const char *method, const char *path, const char *body) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static char text[8 << 20];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n;
	size_t have = 0;
	json_t *json = NULL;
	char *end;

	in.sin_port = htons((uint16_t)atoi(strrchr(w->url, ':') + 1));
	n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method,
		     path, body ? strlen(body) : (size_t)0, body ? body : "");
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	for (;;) {
		ssize_t r = recv(fd, text + have, sizeof(text) - 1 - have, 0);

		if (r <= 0)
			break;
		have += (size_t)r;
	}
	close(fd);
	text[have] = '\0';
	end = strstr(text, "\r\n\r\n");
	assert_non_null(end);
	assert_int_equal(atoi(text + 9), 200);
	json = json_loads(end + 4, 0, NULL);
	return json;
}

void google_script(const struct world *w, const char *json) {
	json_decref(google_ask(w, "POST", "/standin/script", json));
}

void google_reset(const struct world *w) {
	json_decref(google_ask(w, "POST", "/standin/reset", "{}"));
}

void google_clock(const struct world *w, int64_t offset_s) {
	char body[64];

	snprintf(body, sizeof(body), "{\"offset_s\": %lld}", (long long)offset_s);
	json_decref(google_ask(w, "POST", "/standin/clock", body));
}

int64_t google_calls(const struct world *w, const char *endpoint) {
	json_t *json = google_ask(w, "GET", "/standin/counters", NULL);
	int64_t n = json_integer_value(json_object_get(json_object_get(json, "calls"), endpoint));

	json_decref(json);
	return n;
}

json_t *google_tokens(const struct world *w) {
	return google_ask(w, "GET", "/standin/tokens", NULL);
}

void world_clock(struct world *w, int64_t offset_s) {
	char path[256];
	int fd;

	/* Written in place: the daemon has it mapped. */
	snprintf(path, sizeof(path), "%s/clock", w->dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &offset_s, sizeof(offset_s), 0), sizeof(offset_s));
	close(fd);
}

/* --- the record */

json_t *world_records(const struct world *w, char *why, size_t size) {
	struct audit_reader *reader = NULL;
	json_t *list = json_array();
	struct error err = { 0 };
	struct str record;
	uint64_t index;
	char dir[160];
	int r;

	snprintf(dir, sizeof(dir), "%s/audit", w->dir);
	r = audit_reader_open(dir, &reader, &err);
	while (r >= 0 && (r = audit_reader_next(reader, &record, &index, &err)) > 0)
		json_array_append_new(list, json_loadb(record.p, record.n, 0, NULL));
	audit_reader_free(reader);
	if (why)
		snprintf(why, size, "%s", r < 0 ? err.message : "");
	if (r < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static bool is_type(const json_t *record, const char *type) {
	const char *t = json_string_value(json_object_get(record, "type"));

	return t && !strcmp(t, type);
}

size_t records_count(const json_t *records, const char *type) {
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(records); i++)
		n += is_type(json_array_get(records, i), type);
	return n;
}

json_t *records_last(const json_t *records, const char *type) {
	for (size_t i = json_array_size(records); i-- > 0;)
		if (is_type(json_array_get(records, i), type))
			return json_array_get(records, i);
	return NULL;
}

bool records_have_token(const json_t *records, const char *sha256) {
	for (size_t i = 0; i < json_array_size(records); i++) {
		const char *t = json_string_value(json_object_get(json_array_get(records, i), "token"));

		if (t && !strcmp(t, sha256))
			return true;
	}
	return false;
}

void text_sha256(const char *text, char out[65]) {
	unsigned char md[32];

	EVP_Digest(text, strlen(text), md, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof(md); i++)
		snprintf(out + 2 * i, 3, "%02x", md[i]);
}

/* --- the command */

int run_cli(const struct world *w, char *out, size_t out_size, char *err, size_t err_size, ...) {
	char program[256], out_path[200], err_path[200];
	char *argv[64] = { program };
	int n = 1, status;
	va_list ap;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/hallpass", build());
	va_start(ap, err_size);
	while (n < 63 && (argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	snprintf(out_path, sizeof(out_path), "%s/cli.out", w->dir);
	snprintf(err_path, sizeof(err_path), "%s/cli.err", w->dir);
	unlink(out_path);
	unlink(err_path);
	pid = fork();
	if (pid == 0) {
		dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
		dup2(open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
		setenv("HALLPASS_SOCKET", w->socket, 1);
		execv(program, argv);
		_exit(127);
	}
	status = wait_exit(pid);
	if (out)
		read_file(out_path, out, out_size);
	if (err)
		read_file(err_path, err, err_size);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
