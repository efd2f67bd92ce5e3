/* What programs are told by. See keep.h; the table `variables` is all of it. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "broker/email.h"
#include "hallpass/cleanup.h"

enum what { SET, UNSET, LEAVE };

/* --- their values */

static enum what nothing(const struct keeper *k, const char *text, struct buf *out) {
	(void)k, (void)text, (void)out;
	return UNSET;
}

static enum what fixed(const struct keeper *k, const char *text, struct buf *out) {
	(void)k;
	buf_adds(out, text);
	return SET;
}

/* HOST:PORT, or with a scheme the URL. */
static enum what place(const struct keeper *k, const char *text, struct buf *out) {
	buf_addf(out, "%s127.0.0.1:%d%s", text ? text : "", k->control.port, text ? "/" : "");
	return SET;
}

static enum what session_file(const struct keeper *k, const char *text, struct buf *out) {
	buf_addf(out, "%s/%s", k->private.dir, text);
	return SET;
}

/* Clients that have none ask the metadata server. */
static enum what credential_file(const struct keeper *k, const char *text, struct buf *out) {
	return k->cli->values[OPT_METADATA] ? UNSET : session_file(k, text, out);
}

/* gcloud asks for scopes of its own. */
static enum what external_file(const struct keeper *k, const char *text, struct buf *out) {
	char name[300];

	(void)text;
	profile_external(k->lease.account, name, sizeof(name));
	return credential_file(k, name, out);
}

static enum what program_file(const struct keeper *k, const char *text, struct buf *out) {
	return (k->cli->values[OPT_EXTERNAL] ? external_file : credential_file)(k, text, out);
}

static enum what account_file(const struct keeper *k, const char *text, struct buf *out) {
	buf_addf(out, "%s/%s", k->identity.dir, text);
	return SET;
}

/* The user's boto files without his credentials, and ours last. */
static enum what boto_files(const struct keeper *k, const char *text, struct buf *out) {
	char name[32];

	for (int i = 0; snprintf(name, sizeof(name), "%s-%d", text, i), faccessat(k->identity.fd, name, F_OK, 0) == 0; i++)
		buf_addf(out, "%s%s/%s", i ? ":" : "", k->identity.dir, name);
	return SET;
}

static enum what account(const struct keeper *k, const char *text, struct buf *out) {
	(void)text;
	buf_adds(out, k->lease.account);
	return SET;
}

/* As named, else the account's. */
static enum what project(const struct keeper *k, const char *text, struct buf *out) {
	const char *named = k->cli->values[OPT_PROJECT];
	char own[EMAIL_MAX] = "";

	(void)text;
	if (!named && !email_project(k->lease.account, own, sizeof(own)))
		return LEAVE;
	buf_adds(out, named ? named : own);
	return SET;
}

static enum what ca_file(const struct keeper *k, const char *text, struct buf *out) {
	(void)text;
	buf_adds(out, k->control.ca_file);
	return *k->control.ca_file && access(k->control.ca_file, R_OK) == 0 ? SET : LEAVE;
}

/* Whole, since the command may go elsewhere. */
static enum what socket_named(const struct keeper *k, const char *text, struct buf *out) {
	const char *named = k->cli->values[OPT_SOCKET];
	char whole[PATH_MAX];

	(void)text;
	if (!named)
		return LEAVE;
	buf_adds(out, realpath(named, whole) ? whole : named);
	return SET;
}

/* --- all of them */

#define OTHER(name) { name, nothing, NULL, false, "Not set: another credential." }
#define HINDRANCE(name) { name, nothing, NULL, false, "Not set: it keeps clients from asking." }

static const struct variable {
	const char *name;
	enum what (*value)(const struct keeper *k, const char *text, struct buf *out);
	const char *text;
	bool users_wins; /* what is set already stays */
	const char *sentence; /* for the manual page */
} variables[] = {
	/* All three, or one client or another asks the machine's own metadata server, which on a cloud's machine is a real one. */
	{ "GCE_METADATA_HOST", place, NULL, false,
	  "The session's port on loopback: a metadata server. All three, since clients differ in which they read." },
	{ "GCE_METADATA_IP", place, NULL, false, "The same." },
	{ "GCE_METADATA_ROOT", place, NULL, false, "The same." },
	/* C++, Go and older Node.js look for the user's own login where nothing else names a file. */
	{ "GOOGLE_APPLICATION_CREDENTIALS", program_file, "credentials.json", false,
	  "A file by which Google's client libraries get tokens at the port: credentials.json, with --external-account ACCOUNT.json. Not set with --metadata." },
	{ "GOOGLE_CLOUD_PROJECT", project, NULL, false, "The account's project, or --project." },
	/* gcloud's tokens and accounts never cross over to another account's; and its logs hold what it prints, tokens, too (P5). */
	{ "CLOUDSDK_CONFIG", account_file, "gcloud", false,
	  "gcloud's directory for this account, on tmpfs: the user's configurations without account and credentials." },
	{ "CLOUDSDK_CORE_ACCOUNT", account, NULL, false, "The account." },
	{ "CLOUDSDK_CORE_PROJECT", project, NULL, false, "The account's project, or --project." },
	/* Not the file with a token: that would win, and gcloud would never look into it again. */
	{ "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", external_file, NULL, false,
	  "ACCOUNT.json, by which gcloud renews its token; there is one for each of --also, too. Not set with --metadata." },
	{ "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", fixed, "true", true,
	  "true, unless it is set: gcloud logs what it prints." },
	{ "BOTO_PATH", boto_files, "boto", false,
	  "gsutil's settings: the user's without credentials, and the account's." },
	/* Google's own would be asked with the account's token, past the policy and the record. */
	{ "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", place, "http://", false,
	  "The port's IAM Credentials API, for gcloud's --impersonate-service-account." },
	/* A broker that trusts a certificate of its own stands behind a proxy that the programs have before them, too. */
	{ "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", ca_file, NULL, true,
	  "The broker's upstream.caFile, where it has one; what is set already stays." },
	{ "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", ca_file, NULL, true, "The same." },
	{ "NODE_EXTRA_CA_CERTS", ca_file, NULL, true, "The same." },
	{ "REQUESTS_CA_BUNDLE", ca_file, NULL, true, "The same." },
	{ "SSL_CERT_FILE", ca_file, NULL, true, "The same." },
	/* For hallpass itself, and programs that know of it. */
	{ "HALLPASS_AS", account, NULL, false, "The account." },
	{ "HALLPASS_HANDLE_FILE", session_file, "handle", false,
	  "A file with the handle that the port's token exchange and its IAM Credentials API want to see." },
	{ "HALLPASS_SOCKET", socket_named, NULL, false,
	  "The broker's socket, where --socket named it." },
	{ "HALLPASS_TOKEN_FILE", session_file, "token", false,
	  "A file with a token, mode 0600, replaced before each expiry." },
	/* Other credentials, which would win over ours or be taken where ours is not understood. */
	OTHER("BOTO_CONFIG"),
	OTHER("CLOUDSDK_AUTH_ACCESS_TOKEN"),
	OTHER("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"),
	OTHER("CLOUDSDK_AUTH_DISABLE_CREDENTIALS"),
	OTHER("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"),
	OTHER("GCLOUD_KEYFILE_JSON"),
	OTHER("GOOGLE_BACKEND_CREDENTIALS"),
	OTHER("GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT"),
	OTHER("GOOGLE_CLOUD_KEYFILE_JSON"),
	OTHER("GOOGLE_CREDENTIALS"),
	OTHER("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"),
	OTHER("GOOGLE_OAUTH_ACCESS_TOKEN"),
	/* What keeps clients from asking ours. */
	HINDRANCE("CLOUDSDK_CORE_CHECK_GCE_METADATA"),
	HINDRANCE("CLOUDSDK_CORE_PASS_CREDENTIALS_TO_GSUTIL"),
	HINDRANCE("GCE_METADATA_MTLS_MODE"),
	HINDRANCE("NO_GCE_CHECK"),
};

/* With a proxy in the environment Python and Node ask it for loopback, too: ours stands behind what is there. */
static const char *const proxies[] = { "NO_PROXY", "no_proxy" };
#define OUR_HOSTS "127.0.0.1,localhost"

static void add_hosts(const char *name, environment_fn *set, void *arg) {
	const char *there = getenv(name);
	struct buf value = BUF_INIT(65536);

	if (there && strstr(there, OUR_HOSTS))
		return;
	buf_addf(&value, "%s%s" OUR_HOSTS, there ? there : "", there && *there ? "," : "");
	if (buf_ok(&value))
		set(arg, name, value.data);
	buf_fini(&value);
}

static void take_hosts_away(const char *name, environment_fn *set, void *arg) {
	const char *there = getenv(name), *ours = there ? strstr(there, OUR_HOSTS) : NULL;
	struct buf value = BUF_INIT(65536);

	if (!ours || ours[strlen(OUR_HOSTS)])
		return;
	buf_add(&value, there, (size_t)(ours - there) - (ours > there));
	set(arg, name, value.len ? value.data : NULL);
	buf_fini(&value);
}

void environment_each(const struct keeper *k, environment_fn *set, void *arg) {
	struct buf value = BUF_INIT(65536);

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const struct variable *v = &variables[i];
		enum what what;

		if (v->users_wins && getenv(v->name))
			continue;
		buf_reset(&value);
		buf_adds(&value, "");
		what = v->value(k, v->text, &value);
		if (what != LEAVE)
			set(arg, v->name, what == SET ? value.data : NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		add_hosts(proxies[i], set, arg);
	buf_fini(&value);
}

void environment_describe(void (*one)(const char *name, const char *sentence)) {
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		one(variables[i].name, variables[i].sentence);
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		one(proxies[i], "Gains " OUR_HOSTS ".");
}

/* --- and back again */

void environment_remember(struct buf *out) {
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *there = getenv(variables[i].name);

		if (!there)
			continue;
		buf_addf(out, "%s=%s", variables[i].name, there);
		buf_addc(out, '\0');
	}
}

/* Such as find no value of ours, or another than the user's. */
bool environment_takes_away(const char *name) {
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		if (!strcmp(variables[i].name, name))
			return !variables[i].users_wins;
	return false;
}

/* NAME=VALUE, each with a NUL behind it. NULL: it was not set. */
static const char *was(struct str before, const char *name) {
	size_t n = strlen(name);

	while (before.n) {
		size_t len = strnlen(before.p, before.n);

		if (len > n && !strncmp(before.p, name, n) && before.p[n] == '=')
			return before.p + n + 1;
		len += len < before.n;
		before.p += len;
		before.n -= len;
	}
	return NULL;
}

/* Whether it can be nobody's but ours: where nothing was written down of before, all else may be the user's own. */
static bool is_surely_ours(const struct variable *v) {
	return v->value == place || v->value == session_file || v->value == program_file || v->value == external_file || v->value == account_file || v->value == boto_files || v->value == account;
}

void environment_undo(struct str before, environment_fn *set, void *arg) {
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		if (before.n || is_surely_ours(&variables[i]))
			set(arg, variables[i].name, was(before, variables[i].name));
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		take_hosts_away(proxies[i], set, arg);
}
