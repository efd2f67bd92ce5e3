/*
 * hallpass as the helper of other programs: kubectl's, docker's and git's protocol, and the executable of external_account files. First the
 * protocols themselves, then the real programs, where they are installed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/base64.h"
#include "tests/lib/httpstub.h"
#include "tests/lib/running.h"
#include "tests/lib/shell.h"
#include "tests/lib/testcert.h"
#include "tests/lib/world.h"

#define POLICY_BOTH                                                                                                    \
	"version: 1\nbindings:\n  - {name: dev, members: [\"" ME "\"], serviceAccounts: [" SA_DEV ", " SA_LABEL "], maxLifetime: 1h, permissions: " \
	"[iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]}\n"

static struct world w;
static char out[65536], err[65536];

#define SH(...) shell(&w, __VA_ARGS__, out, sizeof(out), err, sizeof(err))

static int setup(void **state) {
	(void)state;
	world_start(&w);
	shell_begin(&w);
	world_policy(&w, POLICY_BOTH);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

/* Whether the token is one that Google gave, for this account. */
static void assert_token_of(const char *token, const char *account) {
	json_t *tokens = google_tokens(&w), *one;
	const char *holder = NULL;
	char sha[65];
	size_t i;

	text_sha256(token, sha);
	json_array_foreach(tokens, i, one)
		if (!strcmp(json_string_value(json_object_get(one, "sha256")), sha))
			holder = json_string_value(json_object_get(one, "holder"));
	if (!holder || strcmp(holder, account))
		fail_msg("\"%.40s\" is a token of %s", token, holder ? holder : "nobody's");
	json_decref(tokens);
}

static json_t *out_parsed(void) {
	json_t *json = json_loads(out, 0, NULL);

	if (!json)
		fail_msg("no JSON: %s", out);
	return json;
}

static const char *text_in(const json_t *json, const char *key) {
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "";
}

/* What was printed is JSON with a token of the account. */
static void assert_printed_token_of(const char *inside, const char *key, const char *account) {
	json_t *json = out_parsed();

	assert_token_of(text_in(inside ? json_object_get(json, inside) : json, key), account);
	json_decref(json);
}

/* JSON in base64, of either alphabet. NULL: it is none. */
static json_t *base64_json(const char *text, size_t n) {
	char plain[16384], *copy = strndup(text, n);
	size_t len = 0;
	bool ok;

	for (char *c = copy; *c; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	ok = n < sizeof(plain) && base64_decode(copy, n, plain, &len);
	free(copy);
	return ok ? json_loadb(plain, len, 0, NULL) : NULL;
}

/* Nothing on either stream that looks like a token. */
static void assert_no_token(void) {
	assert_null(strstr(out, "ya29."));
	assert_null(strstr(err, "ya29."));
	assert_null(strstr(out, "eyJ"));
	assert_null(strstr(err, "eyJ"));
}

/* --- which account */

static void test_helpers_know_their_account(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(SH("hallpass kubectl-credential"), 64);
	assert_non_null(strstr(err, "as which account?"));
	assert_string_equal(out, "");
	assert_int_equal(SH("HALLPASS_AS=" SA_LABEL " hallpass kubectl-credential"), 0);
	assert_printed_token_of("status", "token", SA_LABEL);
	assert_int_equal(SH("HALLPASS_AS=" SA_LABEL " hallpass kubectl-credential --as " SA_DEV), 0); /* what is said wins */
	assert_printed_token_of("status", "token", SA_DEV);
	assert_int_equal(SH("HALLPASS_AS=" SA_LABEL " hallpass kubectl-credential --default-as " SA_DEV), 0); /* what setup wrote gives way to a session */
	assert_printed_token_of("status", "token", SA_LABEL);
	assert_int_equal(SH("hallpass kubectl-credential --default-as " SA_DEV), 0);
	assert_printed_token_of("status", "token", SA_DEV);
	/* docker can say nothing: its helper looks up the registry. */
	assert_int_equal(SH("mkdir -p .config/hallpass; echo '{\"accounts\": {\"gcr.io\": \"" SA_LABEL "\"}}' > .config/hallpass/helpers.json\n"
			    "echo gcr.io | docker-credential-hallpass get"), 0);
	assert_printed_token_of(NULL, "Secret", SA_LABEL);
	assert_int_equal(SH("echo gcr.io | HALLPASS_AS=" SA_DEV " docker-credential-hallpass get"), 0); /* the session's own first */
	assert_printed_token_of(NULL, "Secret", SA_DEV);
	assert_int_equal(SH("echo us.gcr.io | docker-credential-hallpass get"), 1);
	assert_non_null(strstr(out, "as which account?"));
	/* By whichever port it was named to setup. */
	assert_int_equal(SH("rm .config/hallpass/helpers.json; hallpass setup docker us.gcr.io:443 --as " SA_LABEL " --yes >/dev/null 2>&1 && echo us.gcr.io:443 | docker-credential-hallpass get"), 0);
	assert_printed_token_of(NULL, "Secret", SA_LABEL);
	assert_int_equal(SH("hallpass setup docker --remove --yes >/dev/null 2>&1 && test ! -e .config/hallpass/helpers.json && test ! -e .docker/config.json"), 0);
	assert_int_equal(SH("echo '{\"accounts\": ' > .config/hallpass/helpers.json; echo gcr.io | docker-credential-hallpass get"), 1);
	assert_non_null(strstr(out, "helpers.json:2:0: "));
}

static void test_helpers_are_found_by_their_names(void **state) {
	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	assert_int_equal(SH("hallpass-kubectl-credential | grep -q ExecCredential && hallpass-gcp-executable | grep -q version && "
			    "docker-credential-hallpass version && printf 'protocol=https\\nhost=x.pkg.dev\\n' | git-credential-hallpass get | grep -q username=oauth2"),
			 0);
	assert_string_equal(out, "docker-credential-hallpass " HALLPASS_VERSION "\n");
	assert_int_equal(SH("docker-credential-hallpass --help | head -n 1"), 0);
	assert_string_equal(out, "usage: hallpass docker-credential [options] OPERATION\n");
}

/* --- kubectl */

static void test_helpers_kubectl_protocol(void **state) {
	static const char *const versions[] = { "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1" };
	static const struct {
		const char *info, *says;
	} wrong[] = {
		{ "{\"apiVersion\": \"client.authentication.k8s.io/v1alpha1\"}", "says apiVersion client.authentication.k8s.io/v1alpha1; hallpass speaks" },
		{ "{}", "is no ExecCredential" },
		{ "nonsense", "is no ExecCredential" },
		{ "", "is no ExecCredential" },
	};
	json_t *json, *status;
	char line[512];
	struct tm tm;

	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		snprintf(line, sizeof(line), "KUBERNETES_EXEC_INFO='{\"apiVersion\": \"%s\", \"kind\": \"ExecCredential\", \"spec\": {\"interactive\": false}}' "
					     "hallpass kubectl-credential --lifetime 20m", versions[i]);
		assert_int_equal(SH(line), 0);
		assert_string_equal(err, "");
		json = out_parsed();
		status = json_object_get(json, "status");
		assert_string_equal(text_in(json, "apiVersion"), versions[i]);
		assert_string_equal(text_in(json, "kind"), "ExecCredential");
		assert_token_of(text_in(status, "token"), SA_DEV);
		memset(&tm, 0, sizeof(tm));
		assert_non_null(strptime(text_in(status, "expirationTimestamp"), "%Y-%m-%dT%H:%M:%SZ", &tm));
		assert_in_range(timegm(&tm) - now_s(), 1100, 1200);
		json_decref(json);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(line, sizeof(line), "KUBERNETES_EXEC_INFO='%s' hallpass kubectl-credential", wrong[i].info);
		assert_int_equal(SH(line), 64);
		assert_string_equal(out, "");
		assert_non_null(strstr(err, wrong[i].says));
	}
}

static void test_helpers_kubectl_is_told_no(void **state) {
	(void)state;
	assert_int_equal(SH("hallpass kubectl-credential --as " SA_DEV), 69);
	assert_non_null(strstr(err, "unreachable: no broker at"));
	assert_string_equal(out, "");
	world_daemon(&w);
	assert_int_equal(SH("hallpass kubectl-credential --json --as " SA_PROD), 77);
	assert_non_null(strstr(err, "hallpass: denied: no binding lets " ME " use " SA_PROD));
	assert_non_null(strstr(err, "`hallpass why " SA_PROD "` explains it"));
	assert_string_equal(out, "");
}

/* --- docker */

static void test_helpers_docker_protocol(void **state) {
	static const struct {
		const char *input;
		int code;
		const char *out; /* NULL: a login */
	} gets[] = {
		{ "gcr.io\\n", 0, NULL },
		{ "https://gcr.io", 0, NULL },
		{ "eu.gcr.io", 0, NULL },
		{ "https://europe-docker.pkg.dev/v2/\\n", 0, NULL },
		{ "EUROPE-docker.PKG.dev", 0, NULL },
		{ "gcr.io:443", 0, NULL },
		{ "gcr.io:5000", 1, "credentials not found in native keychain\n" },
		{ "http://gcr.io", 1, "credentials not found in native keychain\n" },
		{ "docker.io", 1, "credentials not found in native keychain\n" },
		{ "https://index.docker.io/v1/", 1, "credentials not found in native keychain\n" },
		{ "gcr.io.example.com", 1, "credentials not found in native keychain\n" },
		{ "evilgcr.io", 1, "credentials not found in native keychain\n" },
		{ "pkg.dev", 1, "credentials not found in native keychain\n" },
		{ ".pkg.dev", 1, "credentials not found in native keychain\n" },
		{ "https://user@gcr.io@evil.example", 1, "credentials not found in native keychain\n" },
		{ "https://evil.example?.gcr.io", 1, "credentials not found in native keychain\n" },
		{ "evil.example#.pkg.dev", 1, "credentials not found in native keychain\n" },
		{ "evil.example\\\\.gcr.io", 1, "credentials not found in native keychain\n" },
		{ "", 1, "no credentials server URL\n" },
		{ "\\n", 1, "no credentials server URL\n" },
	};
	char line[512];
	json_t *json;

	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	for (size_t i = 0; i < ARRAY_SIZE(gets); i++) {
		snprintf(line, sizeof(line), "printf '%s' | docker-credential-hallpass get", gets[i].input);
		if (SH(line) != gets[i].code || (gets[i].out && strcmp(out, gets[i].out)))
			fail_msg("%s: %s%s", gets[i].input, out, err);
		assert_string_equal(err, "");
		if (gets[i].out)
			continue;
		json = out_parsed();
		assert_string_equal(text_in(json, "Username"), "oauth2accesstoken");
		assert_token_of(text_in(json, "Secret"), SA_DEV);
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(gets[i].input, "\\"), gets[i].input);
		assert_string_equal(text_in(json, "ServerURL"), line);
		json_decref(json);
	}
	/* Cut off where it is longest, it would be one of ours. */
	assert_int_equal(SH("printf 'https://%0496d.gcr.io.evil.example' 0 | docker-credential-hallpass get"), 1);
	assert_string_equal(out, "credentials not found in native keychain\n");
	assert_int_equal(SH("docker-credential-hallpass list </dev/null"), 0);
	assert_string_equal(out, "{}\n");
	assert_int_equal(SH("docker-credential-hallpass frobnicate </dev/null"), 1);
	assert_non_null(strstr(out, "knows get, store, erase, list and version, not \"frobnicate\""));
	assert_int_equal(SH("echo gcr.io | docker-credential-hallpass get --as " SA_PROD), 1);
	assert_string_equal(out, err); /* docker hides what it reads: the person is told, too */
	assert_non_null(strstr(out, "hallpass: denied: no binding lets"));
	assert_int_equal(occurrences(out, "\n"), 1);
}

/* --- git */

static void test_helpers_git_protocol(void **state) {
	static const struct {
		const char *input, *user; /* user NULL: nothing is said */
	} gets[] = {
		{ "protocol=https\\nhost=source.developers.google.com\\npath=p/acme/r/x\\n\\n", SA_DEV },
		{ "capability[]=authtype\\nprotocol=https\\nhost=source.developers.google.com\\nwwwauth[]=Basic realm=\"x\"\\n", SA_DEV },
		{ "protocol=https\\nhost=acme-1.europe-west3.sourcemanager.dev\\n\\n", SA_DEV },
		{ "protocol=https\\nhost=europe-west3-go.pkg.dev\\n\\n", "oauth2accesstoken" },
		{ "protocol=https\\nhost=acme.googlesource.com\\n\\n", "git-account" },
		{ "protocol=https\\nhost=googlesource.com\\n\\n", "git-account" },
		{ "protocol=https\\nhost=github.com\\n\\n", NULL },
		{ "protocol=https\\nhost=source.developers.google.com.example.org\\n\\n", NULL },
		{ "protocol=https\\nhost=source.developers.google.com:8443\\n\\n", NULL },
		{ "protocol=https\\nhost=evilgooglesource.com\\n\\n", NULL },
		{ "protocol=https\\nhost=evil.example?.googlesource.com\\n\\n", NULL },
		{ "protocol=https\\nhost=evil.example\\r.googlesource.com\\n\\n", NULL },
		{ "protocol=https\\nhost=evil.example#.googlesource.com\\n\\n", NULL },
		{ "protocol=https\\nhost=evil.example%%2f.googlesource.com\\n\\n", NULL },
		{ "protocol=http\\nhost=github.com\\n\\n", NULL },
		{ "", NULL },
	};
	char line[512], user[256], password[256];
	long long expiry;

	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	for (size_t i = 0; i < ARRAY_SIZE(gets); i++) {
		snprintf(line, sizeof(line), "printf '%s' | git-credential-hallpass get", gets[i].input);
		assert_int_equal(SH(line), 0);
		assert_string_equal(err, "");
		if (!gets[i].user) {
			assert_string_equal(out, "");
			continue;
		}
		assert_int_equal(sscanf(out, "username=%255s\npassword=%255s\npassword_expiry_utc=%lld\n", user, password, &expiry), 3);
		assert_string_equal(user, gets[i].user);
		assert_token_of(password, SA_DEV);
		assert_in_range(expiry - now_s(), 3000, 3600);
	}
	assert_int_equal(SH("printf 'protocol=https\\nhost=x.pkg.dev\\n\\n' | git-credential-hallpass get --as " SA_PROD), 0);
	assert_string_equal(out, "quit=1\n"); /* git asks nobody else, and no terminal */
	assert_non_null(strstr(err, "hallpass: denied: "));
}

/* --- P5: where tokens go */

/* Lookalikes, other ports, and hosts that are somebody else's. */
static void test_P5_helpers_give_tokens_to_googles_hosts_alone(void **state) {
	static const char *const hosts[] = { "github.com",     "gcr.io.example.com", "evilgcr.io",	    "pkg.dev.example.com", "evil-pkg.dev",
					     "127.0.0.1:5000", "gcr.io:5000",	     "googlesource.com.evil", "gcr.io@evil.example" };
	char line[512];

	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		snprintf(line, sizeof(line), "printf 'protocol=https\\nhost=%s\\n\\n' | git-credential-hallpass get; echo %s | docker-credential-hallpass get",
			 hosts[i], hosts[i]);
		assert_int_equal(SH(line), 1);
		assert_no_token();
	}
	assert_int_equal(google_calls(&w, "generateAccessToken"), 0);
}

static void test_P5_git_gets_tokens_for_https_alone(void **state) {
	(void)state;
	world_daemon(&w);
	setenv("HALLPASS_AS", SA_DEV, 1);
	assert_int_equal(SH("for p in http ftp '' ssh; do printf \"protocol=$p\\nhost=source.developers.google.com\\n\\n\" | git-credential-hallpass get; done"), 0);
	assert_string_equal(out, "quit=1\nquit=1\nquit=1\nquit=1\n");
	assert_non_null(strstr(err, "goes over https alone, not over http\n"));
	assert_no_token();
}

/* docker and git hand the token back to be kept or forgotten: it is read, and appears nowhere. */
static void test_P5_helpers_keep_no_token(void **state) {
	char command[256];

	(void)state;
	assert_int_equal(SH("for o in store erase; do\n"
			    "echo '{\"ServerURL\": \"gcr.io\", \"Username\": \"oauth2accesstoken\", \"Secret\": \"ya29.kept\"}' | docker-credential-hallpass $o &&\n"
			    "printf 'protocol=https\\nhost=x.pkg.dev\\nusername=u\\npassword=ya29.kept\\n\\n' | git-credential-hallpass $o || exit 1\n"
			    "done\nyes password=ya29.kept | head -c 1000000 | git-credential-hallpass store"), 0);
	assert_string_equal(out, "");
	assert_string_equal(err, "");
	snprintf(command, sizeof(command), "! grep -rlaF ya29.kept %s", w.dir);
	assert_int_equal(system(command), 0);
}

/* --- the executable */

static void assert_executable_says(const char *line, const char *code, const char *message) {
	json_t *json;

	assert_int_equal(SH(line), 0); /* or its message is not shown */
	assert_string_equal(err, "");
	json = out_parsed();
	assert_int_equal(json_integer_value(json_object_get(json, "version")), 1);
	assert_true(json_is_false(json_object_get(json, "success")));
	assert_string_equal(text_in(json, "code"), code);
	if (!strstr(text_in(json, "message"), message))
		fail_msg("%s", out);
	assert_null(json_object_get(json, "id_token"));
	json_decref(json);
}

static void test_helpers_executable_gives_the_handle(void **state) {
	json_t *json;

	(void)state;
	assert_int_equal(SH("printf handle-of-a-session > handle; HALLPASS_HANDLE_FILE=$PWD/handle "
			    "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=//hallpass.invalid/local GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:id_token "
			    "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE=$PWD/kept hallpass gcp-executable; test ! -e kept"), 0);
	json = out_parsed();
	assert_int_equal(json_integer_value(json_object_get(json, "version")), 1);
	assert_true(json_is_true(json_object_get(json, "success")));
	assert_string_equal(text_in(json, "token_type"), "urn:ietf:params:oauth:token-type:id_token");
	assert_string_equal(text_in(json, "id_token"), "handle-of-a-session");
	assert_in_range(json_integer_value(json_object_get(json, "expiration_time")) - now_s(), 60, 3600); /* wanted where there is an output file */
	json_decref(json);
	assert_executable_says("hallpass gcp-executable", "400", "there is no session here: run it within `hallpass run");
	assert_executable_says("HALLPASS_HANDLE_FILE=$PWD/gone hallpass gcp-executable", "401", "the session is over");
	assert_executable_says("HALLPASS_AS=" SA_DEV " HALLPASS_HANDLE_FILE=$PWD/handle hallpass gcp-executable --as " SA_LABEL, "400",
			       "this session is one of " SA_DEV ", not of " SA_LABEL);
	assert_executable_says("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:saml2 hallpass gcp-executable", "400",
			       "subject_token_type is urn:ietf:params:oauth:token-type:saml2");
	assert_int_equal(SH("GOOGLE_EXTERNAL_ACCOUNT_REVOKE=1 hallpass gcp-executable"), 0);
	assert_string_equal(out, "{\"version\": 1, \"success\": true}\n");
}

#define POOL "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"

static void test_helpers_executable_gives_id_tokens(void **state) {
	const char *token, *dot;
	json_t *json, *payload;

	(void)state;
	setenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", POOL, 1);
	assert_executable_says("hallpass gcp-executable --as " SA_DEV, "503", "hallpass: unreachable: no broker at");
	world_daemon(&w);
	assert_executable_says("hallpass gcp-executable", "400", "as which account?");
	assert_executable_says("hallpass gcp-executable --as " SA_PROD, "403", "hallpass: denied: no binding lets " ME);
	assert_int_equal(SH("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE=$PWD/kept hallpass gcp-executable --as " SA_DEV "; test ! -e kept"), 0);
	json = out_parsed();
	token = text_in(json, "id_token");
	dot = strchr(token, '.');
	assert_non_null(dot);
	payload = base64_json(dot + 1, strcspn(dot + 1, "."));
	assert_string_equal(text_in(payload, "aud"), POOL);
	assert_string_equal(text_in(payload, "email"), SA_DEV);
	assert_int_equal(json_integer_value(json_object_get(json, "expiration_time")) / 10, json_integer_value(json_object_get(payload, "exp")) / 10);
	json_decref(payload);
	json_decref(json);
}

/* --- a broker that is slow, or deaf */

/* Listens at the world's socket; backlog 0 is full after one connection. */
static int deaf_broker(int backlog) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
	unlink(w.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void assert_gives_up(const char *message) {
	struct cli cli = { .deadline_ms = 300 };
	struct error error = { 0 };
	int64_t began = now_s();
	json_t *reply = NULL;

	setenv("HALLPASS_SOCKET", w.socket, 1);
	assert_int_equal(client_try(&cli, "/v1/token", NULL, &reply, &error), -1);
	assert_int_equal(error.code, ERR_TIMEOUT);
	assert_non_null(strstr(error.message, message));
	assert_in_range(now_s() - began, 0, 10);
}

static void test_helpers_wait_no_longer_than_they_may(void **state) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = deaf_broker(8), others[8], n = 0;

	(void)state;
	assert_gives_up("did not answer within");
	close(fd);
	fd = deaf_broker(0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w.socket);
	do
		others[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (connect(others[n++], (struct sockaddr *)&un, sizeof(un)) == 0 && n < 8);
	assert_gives_up("takes nobody in");
	while (n--)
		close(others[n]);
	close(fd);
}

/* --- the real programs */

/* What came in for a request, with a header in it; malloc'd. */
static char *header_of(struct httpstub *stub, const char *request, int i, const char *name) {
	char *head = httpstub_request(stub, request, i), *at = head ? strcasestr(head, name) : NULL, *value = NULL;

	if (at) {
		at += strlen(name);
		value = strndup(at, strcspn(at, "\r\n"));
	}
	free(head);
	return value;
}

static void test_helpers_kubectl_itself(void **state) {
	static struct testcert ca, server;
	struct httpstub *stub;
	char line[4096], *bearer;
	int r;

	(void)state;
	if (!have("kubectl"))
		skip();
	world_daemon(&w);
	testcert_ca(&ca);
	testcert_server(&server, &ca, "IP:127.0.0.1", 1);
	stub = httpstub_new(server.cert_file, server.key_file);
	httpstub_on(stub, "GET /version", &STUB(200, "Content-Type: application/json\r\n", "{\"major\": \"1\"}"));
	snprintf(line, sizeof(line),
		 "mkdir -p .kube; cat > .kube/config <<E\n"
		 "apiVersion: v1\nkind: Config\nclusters:\n- {name: c, cluster: {server: 'https://127.0.0.1:%d', certificate-authority: %s}}\n"
		 "contexts:\n- context:\n    cluster: c\n    user: nobody\n  name: here\ncurrent-context: here\nusers:\n- name: nobody\n  user: {}\nE\n"
		 "hallpass setup kubectl --as " SA_DEV " --yes >/dev/null && kubectl get --raw /version",
		 httpstub_port(stub), ca.cert_file);
	r = SH(line);
	if (r)
		fail_msg("%d: %s%s", r, out, err);
	assert_string_equal(out, "{\"major\": \"1\"}");
	bearer = header_of(stub, "GET /version", 0, "\r\nAuthorization: Bearer ");
	assert_non_null(bearer);
	assert_token_of(bearer, SA_DEV);
	free(bearer);
	/* What hallpass says reaches the person. */
	world_policy(&w, "version: 1\nbindings: []\n");
	assert_int_equal(SH("hallpass reload && kubectl get --raw /version"), 1);
	assert_non_null(strstr(err, "hallpass: denied: no binding lets " ME));
	httpstub_free(stub);
	testcert_fini(&server);
	testcert_fini(&ca);
}

/* The login that docker sends with a pull. NULL: none. */
static json_t *login_of_pull(struct httpstub *daemon, int i) {
	char *text = header_of(daemon, "POST /v1.41/images/create", i, "\r\nX-Registry-Auth: ");
	json_t *json = text ? base64_json(text, strlen(text)) : NULL;

	free(text);
	return json;
}

static void test_helpers_docker_itself(void **state) {
	struct httpstub *daemon;
	char host[64];
	json_t *login;

	(void)state;
	if (!have("docker"))
		skip();
	world_daemon(&w);
	daemon = httpstub_new(NULL, NULL);
	snprintf(host, sizeof(host), "tcp://127.0.0.1:%d", httpstub_port(daemon));
	setenv("DOCKER_HOST", host, 1);
	httpstub_on(daemon, "HEAD /_ping", &STUB(200, "Api-Version: 1.41\r\nOstype: linux\r\n", ""));
	httpstub_on(daemon, "GET /_ping", &STUB(200, "Api-Version: 1.41\r\nOstype: linux\r\n", "OK"));
	httpstub_on(daemon, "POST /v1.41/images/create", &STUB(200, "Content-Type: application/json\r\n", "{\"status\": \"pulled\"}\n"));
	assert_int_equal(SH("hallpass setup docker --as " SA_DEV " europe-docker.pkg.dev gcr.io --yes >/dev/null && docker pull -q europe-docker.pkg.dev/acme/r/app:1"), 0);
	login = login_of_pull(daemon, 0);
	assert_non_null(login);
	assert_string_equal(text_in(login, "username"), "oauth2accesstoken");
	assert_string_equal(text_in(login, "serveraddress"), "europe-docker.pkg.dev");
	assert_token_of(text_in(login, "password"), SA_DEV);
	json_decref(login);
	/* Denied, docker goes on as nobody, and the person is told why. */
	world_policy(&w, "version: 1\nbindings: []\n");
	SH("hallpass reload && docker pull -q gcr.io/acme/app:1");
	assert_non_null(strstr(err, "hallpass: denied: no binding lets " ME));
	login = login_of_pull(daemon, 1);
	assert_string_equal(text_in(login, "password"), "");
	json_decref(login);
	httpstub_free(daemon);
}

static void test_helpers_git_itself(void **state) {
	char password[256] = "";

	(void)state;
	if (!have("git"))
		skip();
	world_daemon(&w);
	/* A helper that keeps what it is given, on a disk: it must not get the token. */
	assert_int_equal(SH("git config --global credential.helper 'store --file=kept' && hallpass setup git --as " SA_DEV " --yes >/dev/null && "
			    "printf 'protocol=https\\nhost=source.developers.google.com\\n\\n' | git credential fill | tee filled && git credential approve < filled && "
			    "git credential reject < filled; rm filled; test ! -s kept"), 0);
	assert_int_equal(sscanf(strstr(out, "password="), "password=%255s", password), 1);
	assert_token_of(password, SA_DEV);
	assert_non_null(strstr(out, "username=" SA_DEV "\n"));
	assert_string_equal(err, "");
	world_policy(&w, "version: 1\nbindings: []\n");
	assert_int_equal(SH("hallpass reload && printf 'protocol=https\\nhost=source.developers.google.com\\n\\n' | git credential fill"), 128);
	assert_non_null(strstr(err, "hallpass: denied: "));
	assert_null(strstr(err, "Username for")); /* nobody is asked for a password that there is not */
}

static void test_helpers_gcloud_runs_the_executable(void **state) {
	struct httpstub *sts;
	char line[2048], *request;

	(void)state;
	if (!have("gcloud"))
		skip();
	world_daemon(&w);
	sts = httpstub_new(NULL, NULL);
	httpstub_on(sts, "POST /v1/token", &STUB(200, "Content-Type: application/json\r\n",
						 "{\"access_token\": \"federated\", \"issued_token_type\": \"urn:ietf:params:oauth:token-type:access_token\", "
						 "\"token_type\": \"Bearer\", \"expires_in\": 3599}"));
	httpstub_on(sts, "POST /v1/introspect", &STUB(200, "Content-Type: application/json\r\n", "{\"active\": true, \"username\": \"principal://x\"}"));
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", 1);
	setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1", 1);
	setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1", 1);
	snprintf(line, sizeof(line),
		 "cat > adc.json <<E\n{\"type\": \"external_account\", \"audience\": \"" POOL "\", \"subject_token_type\": \"urn:ietf:params:oauth:token-type:jwt\", "
		 "\"token_url\": \"http://127.0.0.1:%d/v1/token\", \"token_info_url\": \"http://127.0.0.1:%d/v1/introspect\", "
		 "\"credential_source\": {\"executable\": {\"command\": \"hallpass gcp-executable --as " SA_DEV "\", \"timeout_millis\": 30000}}}\nE\n"
		 "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=$PWD/adc.json gcloud auth print-access-token",
		 httpstub_port(sts), httpstub_port(sts));
	if (SH(line))
		fail_msg("%s%s", out, err);
	assert_string_equal(out, "federated\n");
	request = httpstub_request(sts, "POST /v1/token", 0);
	assert_non_null(strstr(request, "subject_token=eyJ"));
	free(request);
	world_policy(&w, "version: 1\nbindings: []\n");
	assert_int_equal(SH("hallpass reload && CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=$PWD/adc.json gcloud auth print-access-token"), 1);
	assert_non_null(strstr(err, "hallpass: denied: no binding lets " ME));
	httpstub_free(sts);
}

/* In a session the executable's handle is exchanged at the session's own port. */
static void test_helpers_executable_in_a_session(void **state) {
	(void)state;
	if (!have("gcloud"))
		skip();
	world_daemon(&w);
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", 1);
	assert_int_equal(SH("cat > in-session <<'E'\n"
			    "printf '{\"type\": \"external_account\", \"audience\": \"//hallpass.invalid/local\", \"subject_token_type\": \"urn:ietf:params:oauth:token-type:jwt\", "
			    "\"token_url\": \"http://%s/v1/token\", \"token_info_url\": \"http://%s/v1/introspect\", \"credential_source\": {\"executable\": {\"command\": "
			    "\"hallpass-gcp-executable\"}}}' $GCE_METADATA_HOST $GCE_METADATA_HOST > adc.json\n"
			    "unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\n"
			    "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=$PWD/adc.json gcloud auth print-access-token\n"
			    "E\nhallpass run --as " SA_DEV " -- sh in-session"), 0);
	out[strcspn(out, "\n")] = '\0';
	assert_token_of(out, SA_DEV);
}

/* Whoever runs a program as another account means it: docker's own configuration gives way. */
static void test_helpers_are_the_sessions(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(SH("mkdir -p .config/hallpass; echo '{\"accounts\": {\"gcr.io\": \"" SA_LABEL "\"}}' > .config/hallpass/helpers.json\n"
			    "hallpass run --as " SA_DEV " -- sh -c 'echo gcr.io | docker-credential-hallpass get'"), 0);
	assert_printed_token_of(NULL, "Secret", SA_DEV);
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_helpers_know_their_account),
		SCENARIO(test_helpers_are_found_by_their_names),
		SCENARIO(test_helpers_kubectl_protocol),
		SCENARIO(test_helpers_kubectl_is_told_no),
		SCENARIO(test_helpers_docker_protocol),
		SCENARIO(test_helpers_git_protocol),
		SCENARIO(test_P5_helpers_give_tokens_to_googles_hosts_alone),
		SCENARIO(test_P5_git_gets_tokens_for_https_alone),
		SCENARIO(test_P5_helpers_keep_no_token),
		SCENARIO(test_helpers_executable_gives_the_handle),
		SCENARIO(test_helpers_executable_gives_id_tokens),
		SCENARIO(test_helpers_wait_no_longer_than_they_may),
		SCENARIO(test_helpers_kubectl_itself),
		SCENARIO(test_helpers_docker_itself),
		SCENARIO(test_helpers_git_itself),
		SCENARIO(test_helpers_gcloud_runs_the_executable),
		SCENARIO(test_helpers_executable_in_a_session),
		SCENARIO(test_helpers_are_the_sessions),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
