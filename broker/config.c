/* See config.h. The table `keys` is the configuration's whole vocabulary. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "broker/authn/principals.h"
#include "broker/config.h"
#include "broker/email.h"
#include "broker/file.h"
#include "broker/handle.h"
#include "broker/mdoc.h"
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "hallpass/yaml.h"

#define CONFIG_MAX_BYTES 262144
#define MAX_LISTENERS 16
#define MAX_PEERS 4096
#define MAX_OPERATORS 256
#define MAX_ATTRIBUTES 256

enum type {
	TYPE_PATH,     /* relative to the file */
	TYPE_STRING,
	TYPE_NAME,     /* what may stand in a path: letters, digits, - . _ : */
	TYPE_URL,      /* http or https, no trailing slash, no query */
	TYPE_BOOL,
	TYPE_INT,
	TYPE_BYTES,    /* 64MiB, 512KiB, or plain bytes */
	TYPE_DURATION, /* in seconds: 90s, 30m, 1h */
	TYPE_MILLI,    /* in milliseconds, written as a duration of whole seconds, or 500ms */
	TYPE_LOG_LEVEL,
};

/* Every scalar key. min and max are in the field's own unit. */
static const struct key {
	const char *name; /* dotted */
	enum type type;
	size_t offset;
	const char *def; /* as one would write it; NULL: none, and the sentence says what then */
	int64_t min, max;
	bool reloadable;
	const char *sentence;
} keys[] = {
#define FIELD(f) offsetof(struct config, f)
	{ "policy", TYPE_PATH, FIELD(policy_path), NULL, 0, 0, true,
	  "The policy file. Without it: policy.yaml beside this file." },
	{ "credential.file", TYPE_PATH, FIELD(credential_file), NULL, 0, 0, true,
	  "The broker's own credential: a service-account key, authorized_user, external_account or "
	  "impersonated_service_account file. Without it: whatever Application Default Credentials pick." },
	{ "audit.directory", TYPE_PATH, FIELD(audit_dir), NULL, 0, 0, false,
	  "Where the record is kept, mode 0700. Without it: /var/lib/hallpass/audit for root, "
	  "$XDG_STATE_HOME/hallpass/audit (~/.local/state) else." },
	{ "audit.segmentSize", TYPE_BYTES, FIELD(audit_segment_bytes), "16MiB", 524288, 1073741824, false,
	  "Size of one preallocated journal segment." },
	{ "audit.lowWater", TYPE_BYTES, FIELD(audit_low_water_bytes), "64MiB", 0, 1099511627776, false,
	  "Free disk space under which nothing more is issued (refusals are still recorded)." },
	{ "audit.deadline", TYPE_MILLI, FIELD(audit_deadline_ms), "2s", 100, 60000, false,
	  "How long a request waits for its record to be durable before it is refused." },
	{ "limits.requestsPerMinute", TYPE_INT, FIELD(requests_per_minute), "600", 1, 100000000, true,
	  "How many requests one principal may make a minute, on average; `hallpass list` and `hallpass why` count, too, and a cached token of which clients ask before each call, having under 330 s left, counts a tenth." },
	{ "limits.burst", TYPE_INT, FIELD(burst), "300", 1, 100000000, true, "How many of them at once." },
	{ "limits.maxLifetime", TYPE_DURATION, FIELD(max_lifetime_s), "1h", 1, POLICY_MAX_LIFETIME, true,
	  "Hard ceiling on every token's lifetime, whatever the policy says." },
	{ "limits.clockAllowance", TYPE_DURATION, FIELD(clock_allowance_s), "5s", 0, 300, true,
	  "Kept free before the end of every window: for the difference between our clock and Google's, and the time "
	  "that the call takes." },
	{ "limits.maxConnections", TYPE_INT, FIELD(max_connections), "4096", 4, 1000000, true,
	  "Connections in all; further ones wait." },
	{ "limits.maxConnectionsPerUid", TYPE_INT, FIELD(max_connections_per_uid), "512", 1, 1000000, true,
	  "Connections of one uid; further ones are refused." },
	{ "limits.headTimeout", TYPE_MILLI, FIELD(head_timeout_ms), "10s", 100, 600000, true,
	  "From the first byte of a request to its last." },
	{ "limits.idleTimeout", TYPE_MILLI, FIELD(idle_timeout_ms), "75s", 100, 86400000, true,
	  "How long a connection may stay idle between requests." },
	{ "limits.writeTimeout", TYPE_MILLI, FIELD(write_timeout_ms), "10s", 100, 600000, true,
	  "How long a client may take to read an answer." },
	{ "limits.maxCachedTokens", TYPE_INT, FIELD(max_cached_tokens), "4096", 1, 1000000, false,
	  "Tokens kept in memory; the longest unused makes room." },
	{ "limits.maxMintsInFlight", TYPE_INT, FIELD(max_flights), "512", 1, 100000, false,
	  "Calls to Google under way at once; further ones are refused." },
	{ "limits.maxSessions", TYPE_INT, FIELD(max_sessions), "1024", 1, 60000, true,
	  "Sessions in all, each with a TCP port on loopback; further ones are refused." },
	{ "limits.maxSessionsPerPrincipal", TYPE_INT, FIELD(max_sessions_per_principal), "64", 1, 60000, true,
	  "Sessions of one principal; further ones are refused." },
	{ "upstream.timeout", TYPE_MILLI, FIELD(upstream_timeout_ms), "20s", 100, 600000, false,
	  "How long one mint may take, retries included." },
	{ "upstream.connections", TYPE_INT, FIELD(upstream_connections), "64", 1, 1024, false,
	  "Connections to one upstream host." },
	{ "upstream.proxy", TYPE_STRING, FIELD(upstream_proxy), NULL, 0, 0, false,
	  "HTTP proxy for every upstream call; \"\" for none. Without it: HTTPS_PROXY and NO_PROXY of the environment." },
	{ "upstream.caFile", TYPE_PATH, FIELD(upstream_ca_file), NULL, 0, 0, false,
	  "PEM bundle to trust upstream. Without it: the system's." },
	{ "upstream.allowHttp", TYPE_BOOL, FIELD(upstream_allow_http), "false", 0, 0, false,
	  "Plain http to hosts other than loopback and the metadata server. For tests alone." },
	{ "endpoints.iamCredentials", TYPE_URL, FIELD(iam_endpoint), NULL, 0, 0, false,
	  "Base URL of the IAM Credentials API. Without it: https://iamcredentials.<the credential's universe>." },
	{ "endpoints.iam", TYPE_URL, FIELD(iam_admin_endpoint), NULL, 0, 0, true,
	  "Base URL of the IAM API, which `hallpass doctor` asks who may what. Without it: https://iam.<the credential's universe>." },
	{ "endpoints.token", TYPE_URL, FIELD(token_endpoint), NULL, 0, 0, true,
	  "OAuth 2.0 token endpoint. Without it: the credential file's token_uri." },
	{ "endpoints.sts", TYPE_URL, FIELD(sts_endpoint), NULL, 0, 0, true,
	  "Security Token Service for external_account files. Without it: the file's token_url." },
	{ "endpoints.metadata", TYPE_STRING, FIELD(metadata_host), NULL, 0, 0, true,
	  "host:port of the metadata server as a source. Without it: GCE_METADATA_HOST, metadata.google.internal." },
	{ "instance.project", TYPE_NAME, FIELD(instance_project), NULL, 0, 0, true,
	  "What the metadata server says of the machine: its project. Without it: the account's own." },
	{ "instance.projectNumber", TYPE_INT, FIELD(instance_project_number), "0", 0, INT64_MAX, true, "The project's number." },
	{ "instance.zone", TYPE_NAME, FIELD(instance_zone), "us-central1-a", 0, 0, true, "Its zone." },
	{ "instance.machineType", TYPE_NAME, FIELD(instance_machine_type), "e2-medium", 0, 0, true, "Its machine type." },
	{ "instance.id", TYPE_INT, FIELD(instance_id), "0", 0, INT64_MAX, true, "Its number." },
	{ "instance.name", TYPE_NAME, FIELD(instance_name), NULL, 0, 0, true,
	  "Its name. Without it: this machine's, as far as its first dot." },
	{ "instance.hostname", TYPE_NAME, FIELD(instance_hostname), NULL, 0, 0, true,
	  "Its full name. Without it: NAME.c.PROJECT.internal." },
	{ "log.level", TYPE_LOG_LEVEL, FIELD(log_level), "info", 0, 0, true, "error, warning, info or debug." },
#undef FIELD
};

/* The keys that are lists or maps, for help and for the nearest-name search. */
static const struct list_key {
	const char *name, *form, *sentence;
	bool reloadable;
} list_keys[] = {
	{ "listeners", "[{unix: PATH, mode: \"0600\", group: NAME} | {tcp: \"127.0.0.1:PORT\", serviceAccounts: [EMAIL]}]",
	  "Sockets to serve. Where none of them is a Unix socket: $XDG_RUNTIME_DIR/hallpass/hallpass.sock, too, or /run/hallpass/hallpass.sock for root. A TCP "
	  "port, on loopback alone, is a metadata server with these accounts, the first being its default, and an IAM Credentials API, for "
	  "every uid that `peers:` makes somebody.",
	  false },
	{ "peers", "[{uid: N | user: NAME | group: NAME, principal: \"user:{name}@example.com\"}]",
	  "Who is who; the first rule that fits wins. Without it: our own uid is user:{name}@localhost.",
	  true },
	{ "operators", "[PRINCIPAL]", "Who may reload, besides root and the broker's own uid.", true },
	{ "instance.attributes", "{NAME: TEXT}", "Its attributes, as the metadata server shows them.", true },
};

struct parse {
	struct config *config;
	char *dir; /* of the file, for relative paths */
	struct policy_report *report;
	const struct yaml_node *given[ARRAY_SIZE(keys)]; /* each key's value, while the tree is there; NULL: not in the file */
};

/* A rule for peers without its group, a credential without its file is another one: what there is no memory for is not left out. */
static char *kept(struct config *config, char *copy) {
	config->incomplete |= !copy;
	return copy;
}

/* --- findings */

static void config_problem(struct parse *p, const struct yaml_node *at, const char *id, const char *fix,
			   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static void report_add(struct policy_report *report, const char *id, unsigned line, unsigned column, char *message,
		       const char *fix) {
	struct policy_finding *more;

	if (report->n_errors >= 20) {
		free(message);
		report->more_errors++;
		return;
	}
	more = message ? realloc(report->findings, (report->n + 1) * sizeof(*more)) : NULL;
	if (!more) {
		free(message);
		report->n_errors++;
		return;
	}
	report->findings = more;
	more[report->n++] = (struct policy_finding){ POLICY_ERROR, id, line, column, message, fix ? strdup(fix) : NULL };
	report->n_errors++;
}

static void config_problem(struct parse *p, const struct yaml_node *at, const char *id, const char *fix,
			   const char *fmt, ...) {
	char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	report_add(p->report, id, at ? at->line : 1, at ? at->column : 1, message, fix);
}

/* Offers the key, and the section that it stands in; `section` must live as long as what nearest found. */
static void offer_key(struct nearest *nearest, const char *name, char (*section)[32]) {
	const char *dot = strchr(name, '.');

	nearest_offer(nearest, name);
	if (dot) {
		snprintf(*section, sizeof(*section), "%.*s", (int)(dot - name), name);
		nearest_offer(nearest, *section);
	}
}

static void config_unknown_key(struct parse *p, const struct yaml_node *key, const char *dotted) {
	char fix[160], sections[ARRAY_SIZE(keys)][32];
	struct nearest nearest;

	nearest_init(&nearest, dotted);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		offer_key(&nearest, keys[i].name, &sections[i]);
	for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++)
		nearest_offer(&nearest, list_keys[i].name);
	if (nearest.best)
		snprintf(fix, sizeof(fix), "did you mean `%s`?", nearest.best);
	else
		snprintf(fix, sizeof(fix), "`hallpassd --help-config` lists every key");
	config_problem(p, key, "unknown-key", fix, "unknown key `%.80s`", dotted);
}

/* --- scalars */

static int parse_suffixed(const char *text, const char *const *suffixes, const int64_t *factors, size_t n,
			  int64_t *out) {
	int64_t v = 0;
	const char *s = text;

	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
			return -1;
	if (s == text)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s, suffixes[i]))
			return __builtin_mul_overflow(v, factors[i], out) ? -1 : 0;
	return -1;
}

static int parse_bytes(const char *text, int64_t *out) {
	static const char *const suffixes[] = { "", "KiB", "MiB", "GiB" };
	static const int64_t factors[] = { 1, 1 << 10, 1 << 20, 1 << 30 };

	return parse_suffixed(text, suffixes, factors, ARRAY_SIZE(suffixes), out);
}

static int parse_milli(const char *text, int64_t *out) {
	static const char *const suffixes[] = { "ms", "s", "m", "h" };
	static const int64_t factors[] = { 1, 1000, 60000, 3600000 };

	return parse_suffixed(text, suffixes, factors, ARRAY_SIZE(suffixes), out);
}

static int parse_seconds(const char *text, int64_t *out) {
	static const char *const suffixes[] = { "s", "m", "h" };
	static const int64_t factors[] = { 1, 60, 3600 };

	return parse_suffixed(text, suffixes, factors, ARRAY_SIZE(suffixes), out);
}

static int parse_int(const char *text, int64_t *out) {
	static const char *const suffixes[] = { "" };
	static const int64_t factors[] = { 1 };

	return parse_suffixed(text, suffixes, factors, 1, out);
}

static const struct {
	int (*parse)(const char *text, int64_t *out);
	const char *what;
} number_types[] = {
	[TYPE_INT] = { parse_int, "a number" },
	[TYPE_BYTES] = { parse_bytes, "a size like 64MiB" },
	[TYPE_DURATION] = { parse_seconds, "a duration like 30m" },
	[TYPE_MILLI] = { parse_milli, "a duration like 500ms or 10s" },
};

static bool url_is_plain(const char *url) {
	size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0;
	size_t n = strlen(url);

	return scheme && n > scheme && url[n - 1] != '/' && !strpbrk(url, "?# \"<>@\\") && n < 1024;
}

static bool name_is_plain(const char *name) {
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:";

	return *name && strlen(name) < 256 && !name[strspn(name, plain)];
}

static char *path_join(const char *dir, const char *path) {
	char *joined = NULL;

	if (path[0] == '/' || !dir)
		return strdup(path);
	return asprintf(&joined, "%s/%s", dir, path) < 0 ? NULL : joined;
}

/* Sets one field from its text. NULL: done; else what the value should have been. */
static const char *key_set(const struct key *key, struct config *config, const char *dir, const char *text) {
	void *field = (char *)config + key->offset;
	char **string = field;
	int64_t *number = field;

	switch (key->type) {
	case TYPE_PATH:
		if (!*text)
			return "a path";
		free(*string);
		*string = kept(config, path_join(dir, text));
		return NULL;
	case TYPE_NAME:
		if (!name_is_plain(text))
			return "a name of letters, digits and - . _ :";
		free(*string);
		*string = kept(config, strdup(text));
		return NULL;
	case TYPE_URL:
		if (!url_is_plain(text))
			return "a URL like https://iamcredentials.googleapis.com, without a slash at the end";
		/* fall through */
	case TYPE_STRING:
		free(*string);
		*string = kept(config, strdup(text));
		return NULL;
	case TYPE_BOOL:
		if (strcmp(text, "true") && strcmp(text, "false"))
			return "true or false";
		*(bool *)field = text[0] == 't';
		return NULL;
	case TYPE_LOG_LEVEL:
		return log_level_parse(text, field) < 0 ? "error, warning, info or debug" : NULL;
	default:
		return number_types[key->type].parse(text, number) < 0 ? number_types[key->type].what : NULL;
	}
}

static bool key_is_number(const struct key *key) {
	return key->type >= TYPE_INT && key->type <= TYPE_MILLI;
}

/* `a.b: x` and `a: {b: x}` are the same key: which of two counts would be a guess. */
static void config_given_twice(struct parse *p, const struct yaml_node *key, const char *dotted) {
	config_problem(p, key, "duplicate-key", "leave one of them", "`%s` is here twice, in two spellings", dotted);
}

static void key_parse(struct parse *p, struct config *config, const struct key *key, const struct yaml_node *node) {
	int64_t v;
	const char *want;

	if (p->given[key - keys]) {
		config_given_twice(p, node->key, key->name);
		return;
	}
	p->given[key - keys] = node;
	if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
		config_problem(p, node, "wrong-type", NULL, "`%s` wants one value, not %s", key->name,
			       yaml_kind_name(node));
		return;
	}
	want = key_set(key, config, p->dir, node->text);
	if (want) {
		config_problem(p, node, "wrong-value", key->sentence, "`%s` wants %s, not \"%.60s\"", key->name, want,
			       node->text);
		return;
	}
	v = key_is_number(key) ? *(int64_t *)((char *)config + key->offset) : 0;
	if (key_is_number(key) && (v < key->min || v > key->max))
		config_problem(p, node, "out-of-range", key->sentence, "`%s` is %.40s; it must be from %lld to %lld%s",
			       key->name, node->text, (long long)key->min, (long long)key->max,
			       key->type == TYPE_DURATION ? " seconds"
			       : key->type == TYPE_MILLI  ? " milliseconds"
			       : key->type == TYPE_BYTES  ? " bytes"
							  : "");
}

/* --- lists */

static bool item_is_map(struct parse *p, const struct yaml_node *item, const char *form) {
	if (item->kind == YAML_MAP)
		return true;
	config_problem(p, item, "wrong-type", NULL, "an item here is %s, not %s", form, yaml_kind_name(item));
	return false;
}

/* One text key of a list's item; *out is replaced. False: it is no text. */
static bool item_text(struct parse *p, const struct yaml_node *node, char **out) {
	if (node->kind != YAML_SCALAR || !node->n) {
		config_problem(p, node, "wrong-type", NULL, "`%s` wants text, not %s", node->key->text,
			       yaml_kind_name(node));
		return false;
	}
	free(*out);
	*out = kept(p->config, strdup(node->text));
	return *out != NULL;
}

static void listener_mode(struct parse *p, const struct yaml_node *node, struct config_listener *listener) {
	unsigned mode = 0;
	const char *s = node->kind == YAML_SCALAR ? node->text : "";

	for (; *s >= '0' && *s <= '7'; s++)
		mode = mode * 8 + (unsigned)(*s - '0');
	if (node->kind != YAML_SCALAR || *s || node->n < 3 || node->n > 4 || mode > 0777)
		config_problem(p, node, "wrong-value", NULL, "`mode` wants an octal mode like \"0660\"");
	else
		listener->mode = mode;
}

static void listener_unix_path(struct parse *p, const struct yaml_node *node, struct config_listener *listener) {
	char *path = NULL;

	if (item_text(p, node, &path)) {
		free(listener->unix_path);
		listener->unix_path = kept(p->config, path_join(p->dir, path));
		if (listener->unix_path && strlen(listener->unix_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			config_problem(p, node, "wrong-value", NULL, "a socket's path has at most %zu bytes",
				       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	}
	free(path);
}

static void listener_group(struct parse *p, const struct yaml_node *node, struct config_listener *listener) {
	item_text(p, node, &listener->group);
}

static void listener_tcp(struct parse *p, const struct yaml_node *node, struct config_listener *listener) {
	struct error err;

	if (item_text(p, node, &listener->tcp) && loopback_parse(listener->tcp, &listener->loopback, &err) < 0)
		config_problem(p, node, "wrong-value", NULL, "%s", err.message);
}

static void listener_accounts(struct parse *p, const struct yaml_node *node, struct config_listener *listener) {
	struct error err;

	if (node->kind != YAML_LIST || node->n == 0 || node->n > CONFIG_ACCOUNTS) {
		config_problem(p, node, "wrong-type", NULL, "`serviceAccounts` wants a list of 1 to %d e-mails", CONFIG_ACCOUNTS);
		return;
	}
	yaml_each(item, node) {
		if (email_check(str_of(item->kind == YAML_SCALAR ? item->text : ""), "an account", &err) < 0)
			config_problem(p, item, "wrong-value", NULL, "%s", err.message);
		else if ((listener->accounts[listener->n_accounts] = kept(p->config, strdup(item->text))))
			listener->n_accounts++;
	}
}

/* Each goes with one kind of listener. */
static const struct {
	const char *name;
	bool tcp;
	void (*parse)(struct parse *p, const struct yaml_node *node, struct config_listener *listener);
} listener_keys[] = {
	{ "unix", false, listener_unix_path }, { "mode", false, listener_mode },
	{ "group", false, listener_group },    { "tcp", true, listener_tcp },
	{ "serviceAccounts", true, listener_accounts },
};

/* Whether an earlier listener has the same place. */
static bool listener_taken(const struct config *config, const struct config_listener *l) {
	for (const struct config_listener *other = config->listeners; other < l; other++)
		if ((l->unix_path && other->unix_path && !strcmp(l->unix_path, other->unix_path)) ||
		    (l->tcp && other->tcp && !strcmp(l->tcp, other->tcp)))
			return true;
	return false;
}

static void parse_listener(struct parse *p, struct config *config, const struct yaml_node *item) {
	struct config_listener *l = &config->listeners[config->n_listeners++];
	bool tcp = yaml_find(item, "tcp") != NULL;
	size_t i;

	l->mode = 0600;
	if (!item_is_map(p, item, "a map like {unix: PATH} or {tcp: \"127.0.0.1:PORT\"}"))
		return;
	yaml_each(node, item) {
		for (i = 0; i < ARRAY_SIZE(listener_keys); i++)
			if (!strcmp(listener_keys[i].name, node->key->text) && listener_keys[i].tcp == tcp)
				break;
		if (i < ARRAY_SIZE(listener_keys))
			listener_keys[i].parse(p, node, l);
		else
			config_problem(p, node->key, "unknown-key",
				       tcp ? "a TCP listener has tcp and serviceAccounts" : "a listener has unix, mode and group",
				       "unknown key `%.60s`", node->key->text);
	}
	if (!l->unix_path && !l->tcp)
		config_problem(p, item, "missing-key", NULL, "a listener needs `unix: PATH` or `tcp: \"127.0.0.1:PORT\"`");
	if (listener_taken(config, l))
		config_problem(p, item, "duplicate-listener", NULL, "an earlier listener is at %s", l->tcp ? l->tcp : l->unix_path);
	if (l->tcp && !l->n_accounts && !yaml_find(item, "serviceAccounts"))
		config_problem(p, item, "missing-key", NULL, "a TCP listener needs `serviceAccounts`: whose tokens does it give?");
}

static void peer_uid(struct parse *p, const struct yaml_node *node, struct config_peer *peer) {
	if (yaml_int(node, 0, 4294967293, &peer->uid) < 0)
		config_problem(p, node, "wrong-value", NULL, "`uid` wants a numeric user id");
}

static void parse_peer(struct parse *p, struct config *config, const struct yaml_node *item) {
	struct config_peer *peer = &config->peers[config->n_peers++];
	struct error err;

	peer->uid = -1;
	if (!item_is_map(p, item, "a map like {uid: N, principal: \"user:x@example.com\"}"))
		return;
	yaml_each(node, item) {
		if (!strcmp(node->key->text, "uid"))
			peer_uid(p, node, peer);
		else if (!strcmp(node->key->text, "user"))
			item_text(p, node, &peer->user);
		else if (!strcmp(node->key->text, "group"))
			item_text(p, node, &peer->group);
		else if (!strcmp(node->key->text, "principal"))
			item_text(p, node, &peer->principal);
		else
			config_problem(p, node->key, "unknown-key", "a peer rule has uid, user, group and principal",
				       "unknown key `%.60s`", node->key->text);
	}
	if (peer->uid < 0 && !peer->user && !peer->group)
		config_problem(p, item, "missing-key", NULL, "a peer rule needs `uid`, `user` or `group`");
	if (!peer->principal)
		config_problem(p, item, "missing-key", NULL, "a peer rule needs `principal`");
	else if (principal_template_check(peer->principal, &err) < 0)
		config_problem(p, yaml_find(item, "principal"), "wrong-value", NULL, "%s", err.message);
	peer->plain = peer->principal && !strchr(peer->principal, '{');
}

static void parse_operator(struct parse *p, struct config *config, const struct yaml_node *item) {
	if (item->kind != YAML_SCALAR || !strchr(item->text, ':')) {
		config_problem(p, item, "wrong-type", NULL, "an operator is a principal like user:alice@example.com");
		return;
	}
	config->operators[config->n_operators] = kept(config, strdup(item->text));
	config->n_operators += config->operators[config->n_operators] != NULL;
}

/* Values are text as written, and any text; names are what may stand in a path. */
static void parse_attribute(struct parse *p, struct config *config, const struct yaml_node *item) {
	struct config_pair *pair = &config->instance_attributes[config->n_instance_attributes++];

	if (!name_is_plain(item->key->text))
		config_problem(p, item->key, "wrong-value", NULL, "an attribute's name has letters, digits and - . _ :");
	pair->name = kept(config, strdup(item->key->text));
	item_text(p, item, &pair->value);
}

static const struct {
	const char *name;
	size_t list_offset, item_size, max;
	void (*item)(struct parse *p, struct config *config, const struct yaml_node *item);
	enum yaml_kind kind;
} lists[] = {
	{ "listeners", offsetof(struct config, listeners), sizeof(struct config_listener), MAX_LISTENERS, parse_listener,
	  YAML_LIST },
	{ "peers", offsetof(struct config, peers), sizeof(struct config_peer), MAX_PEERS, parse_peer, YAML_LIST },
	{ "operators", offsetof(struct config, operators), sizeof(char *), MAX_OPERATORS, parse_operator, YAML_LIST },
	{ "instance.attributes", offsetof(struct config, instance_attributes), sizeof(struct config_pair), MAX_ATTRIBUTES,
	  parse_attribute, YAML_MAP },
};

static bool parse_list(struct parse *p, struct config *config, const char *name, const struct yaml_node *node) {
	void **items;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(name, lists[i].name))
			continue;
		if (node->kind != lists[i].kind || node->n == 0 || node->n > lists[i].max) {
			config_problem(p, node, "wrong-type", NULL, "`%s` wants a %s of 1 to %zu items", lists[i].name,
				       lists[i].kind == YAML_MAP ? "map" : "list", lists[i].max);
			return true;
		}
		items = (void **)((char *)config + lists[i].list_offset);
		if (*items) {
			config_given_twice(p, node->key, name);
			return true;
		}
		*items = calloc(node->n, lists[i].item_size);
		config->incomplete |= !*items;
		if (!*items)
			return true;
		yaml_each(item, node)
			lists[i].item(p, config, item);
		return true;
	}
	return false;
}

/* --- the file */

static const struct key *key_find(const char *dotted) {
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, dotted))
			return &keys[i];
	return NULL;
}

static bool key_is_section(const char *name) {
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strncmp(keys[i].name, name, n) && keys[i].name[n] == '.')
			return true;
	return false;
}

static void parse_map(struct parse *p, struct config *config, const struct yaml_node *map, const char *section) {
	char dotted[128];

	yaml_each(node, map) {
		const struct key *key;

		snprintf(dotted, sizeof(dotted), "%s%s%s", section, *section ? "." : "", node->key->text);
		key = key_find(dotted);
		if (key)
			key_parse(p, config, key, node);
		else if (!*section && key_is_section(dotted) && node->kind == YAML_MAP)
			parse_map(p, config, node, dotted);
		else if (!*section && key_is_section(dotted))
			config_problem(p, node, "wrong-type", NULL, "`%s` wants a mapping of keys, not %s", dotted,
				       yaml_kind_name(node));
		else if (!parse_list(p, config, dotted, node))
			config_unknown_key(p, node->key, dotted);
	}
}

/* Plain http over a network would be refused at each call; better here, where it can be mended. */
static void check_urls(struct parse *p, const struct config *config) {
	struct error err;
	char host[256];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *url = p->given[i] && keys[i].type == TYPE_URL ? p->given[i]->text : NULL;

		if (!url || !url_is_plain(url) || strncmp(url, "http://", 7))
			continue;
		snprintf(host, sizeof(host), "%.*s", (int)(url[7] == '[' ? strcspn(url + 7, "]") + 1 : strcspn(url + 7, ":/")), url + 7);
		if (url_judge(config->upstream_allow_http, url, "http", host, &err) < 0)
			config_problem(p, p->given[i], "plain-http", keys[i].sentence, "`%s`: %s", keys[i].name, err.message);
	}
}

static void config_text(struct parse *p, struct config *config, struct str text) {
	struct yaml_problems problems;
	struct yaml_tree *tree = NULL;
	struct error err;

	if (yaml_load(text, &(struct yaml_limits){ .bytes = CONFIG_MAX_BYTES }, &tree, &problems, &err) < 0) {
		config->incomplete |= err.code != ERR_INVALID;
		p->report->more_errors += problems.more;
		for (size_t i = 0; i < problems.n; i++)
			report_add(p->report, problems.list[i].id, problems.list[i].line, problems.list[i].column,
				   strdup(problems.list[i].message), NULL);
	} else if (tree->root && tree->root->kind != YAML_MAP) {
		config_problem(p, tree->root, "wrong-type", NULL, "a configuration is a mapping of keys, not %s",
			       yaml_kind_name(tree->root));
	} else if (tree->root) {
		parse_map(p, config, tree->root, "");
		check_urls(p, config);
	}
	yaml_tree_free(tree);
}

/* --- defaults */

/* NULL: neither the variable nor HOME is set. */
static char *env_path(struct config *config, const char *variable, const char *home_tail, const char *tail) {
	const char *base = getenv(variable), *home = getenv("HOME");
	char *path = NULL;

	if (base && base[0] == '/')
		return kept(config, asprintf(&path, "%s/%s", base, tail) < 0 ? NULL : path);
	if (!home_tail || !home || home[0] != '/')
		return NULL;
	return kept(config, asprintf(&path, "%s/%s/%s", home, home_tail, tail) < 0 ? NULL : path);
}

static void config_scalar_defaults(struct config *config) {
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *wrong = keys[i].def ? key_set(&keys[i], config, NULL, keys[i].def) : NULL;

		assert(!wrong);
	}
}

/* `hallpass` speaks to the broker by a Unix socket: without one nobody could open a session, or reload. */
static int config_default_listener(struct config *config, struct error *err) {
	char *path = geteuid() ? env_path(config, "XDG_RUNTIME_DIR", NULL, "hallpass/hallpass.sock")
			       : kept(config, strdup("/run/hallpass/hallpass.sock"));
	size_t n = config->n_listeners;
	struct config_listener *more;

	if (!path)
		return config->incomplete ? error_no_memory(err) : n ? 0 : error_set(err, ERR_INVALID, "no place for the socket: XDG_RUNTIME_DIR is not set; set it or name one with `listeners:`");
	more = realloc(config->listeners, (n + 1) * sizeof(*config->listeners));
	if (!more) {
		free(path);
		return error_no_memory(err);
	}
	config->listeners = more;
	config->listeners[n] = (struct config_listener){ .mode = geteuid() ? 0600 : 0666, .unix_path = path };
	config->n_listeners++;
	return 0;
}

static bool has_unix_listener(const struct config *config) {
	for (size_t i = 0; i < config->n_listeners; i++)
		if (config->listeners[i].unix_path)
			return true;
	return false;
}

static void config_default_peer(struct config *config) {
	config->peers = calloc(1, sizeof(*config->peers));
	config->incomplete |= !config->peers;
	if (!config->peers)
		return;
	config->n_peers = 1;
	config->peers[0].uid = geteuid();
	config->peers[0].principal = kept(config, strdup("user:{name}@localhost"));
}

static int config_fill(struct config *config, const char *dir, struct error *err) {
	if (!has_unix_listener(config) && config_default_listener(config, err) < 0)
		return -1;
	if (!config->n_peers)
		config_default_peer(config);
	if (!config->policy_path)
		config->policy_path = dir ? kept(config, path_join(dir, "policy.yaml"))
					  : env_path(config, "XDG_CONFIG_HOME", ".config", "hallpass/policy.yaml");
	if (!config->audit_dir)
		config->audit_dir = geteuid() ? env_path(config, "XDG_STATE_HOME", ".local/state", "hallpass/audit")
					      : kept(config, strdup("/var/lib/hallpass/audit"));
	if (config->incomplete)
		return error_no_memory(err);
	if (!config->policy_path)
		return error_set(err, ERR_INVALID, "no policy: HOME is not set; name the file with `policy:`");
	if (!config->audit_dir)
		return error_set(err, ERR_INVALID, "no place for the record: HOME is not set; set `audit.directory`");
	return 0;
}

static char *dir_of(const char *path) {
	const char *slash = strrchr(path, '/');
	char *dir;

	if (!slash)
		return strdup(".");
	dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	return dir;
}

int config_load(const char *path, struct config **out, struct policy_report *report, char **text, struct error *err) {
	struct config *config = calloc(1, sizeof(*config));
	struct parse p = { .config = config, .report = report };
	size_t len = 0;
	int r = 0;

	*text = NULL;
	if (!config)
		return error_no_memory(err);
	config_scalar_defaults(config);
	if (path) {
		config->path = kept(config, strdup(path));
		p.dir = kept(config, dir_of(path));
		r = file_read(path, CONFIG_MAX_BYTES, text, &len, err);
		if (r == 0)
			config_text(&p, config, (struct str){ *text, len });
		if (r == 0 && (config->incomplete || (report->n_errors && !report->n))) {
			policy_report_fini(report); /* what seems wrong may be what is missing */
			r = error_no_memory(err);
		}
		if (r == 0 && report->n_errors)
			r = error_set(err, ERR_INVALID, "%s:%u:%u: %s%s", path, report->findings[0].line,
				      report->findings[0].column, report->findings[0].message,
				      report->n_errors > 1 ? " (and more)" : "");
	}
	if (r == 0)
		r = config_fill(config, p.dir, err);
	free(p.dir);
	if (r == 0)
		*out = config;
	else
		config_free(config);
	return r;
}

void config_free(struct config *config) {
	if (!config)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].type <= TYPE_URL)
			free(*(char **)((char *)config + keys[i].offset));
	for (size_t i = 0; i < config->n_listeners; i++) {
		free(config->listeners[i].unix_path);
		free(config->listeners[i].group);
		free(config->listeners[i].tcp);
		for (size_t k = 0; k < config->listeners[i].n_accounts; k++)
			free(config->listeners[i].accounts[k]);
	}
	for (size_t i = 0; i < config->n_instance_attributes; i++) {
		free(config->instance_attributes[i].name);
		free(config->instance_attributes[i].value);
	}
	for (size_t i = 0; i < config->n_peers; i++) {
		free(config->peers[i].user);
		free(config->peers[i].group);
		free(config->peers[i].principal);
	}
	for (size_t i = 0; i < config->n_operators; i++)
		free(config->operators[i]);
	free(config->listeners);
	free(config->peers);
	free(config->operators);
	free(config->instance_attributes);
	free(config->path);
	free(config);
}

/* --- reload */

static bool strings_equal(const char *a, const char *b) {
	return a == b || (a && b && !strcmp(a, b));
}

static bool key_equal(const struct key *key, const struct config *a, const struct config *b) {
	const void *fa = (const char *)a + key->offset, *fb = (const char *)b + key->offset;

	if (key->type <= TYPE_URL)
		return strings_equal(*(char *const *)fa, *(char *const *)fb);
	if (key->type == TYPE_BOOL)
		return *(const bool *)fa == *(const bool *)fb;
	if (key->type == TYPE_LOG_LEVEL)
		return *(const enum log_level *)fa == *(const enum log_level *)fb;
	return *(const int64_t *)fa == *(const int64_t *)fb;
}

static bool listener_equal(const struct config_listener *a, const struct config_listener *b) {
	bool equal = strings_equal(a->unix_path, b->unix_path) && strings_equal(a->group, b->group) && a->mode == b->mode &&
		     strings_equal(a->tcp, b->tcp) && a->n_accounts == b->n_accounts;

	for (size_t i = 0; equal && i < a->n_accounts; i++)
		equal = strings_equal(a->accounts[i], b->accounts[i]);
	return equal;
}

static bool listeners_equal(const struct config *a, const struct config *b) {
	bool equal = a->n_listeners == b->n_listeners;

	for (size_t i = 0; equal && i < a->n_listeners; i++)
		equal = listener_equal(&a->listeners[i], &b->listeners[i]);
	return equal;
}

bool config_needs_restart(const struct config *running, const struct config *loaded, struct buf *names) {
	size_t before = names->len;

	if (!listeners_equal(running, loaded))
		buf_adds(names, "listeners");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!keys[i].reloadable && !key_equal(&keys[i], running, loaded))
			buf_addf(names, "%s%s", names->len > before ? ", " : "", keys[i].name);
	return names->len > before;
}

/* --- help */

/* One key as each form shows it; def NULL: none. */
static void help_text(struct buf *out, const char *name, const char *def, const char *sentence, bool reloadable) {
	buf_addf(out, "%s: %s\n    %s%s\n", name, def ? def : "-", sentence, reloadable ? "" : " (Restart.)");
}

static void help_man(struct buf *out, const char *name, const char *def, const char *sentence, bool reloadable) {
	buf_addf(out, ".It Cm %s\n", name);
	mdoc_text(sentence, out);
	if (def) {
		buf_adds(out, strchr("[{", def[0]) ? "Its form is " : "The default is ");
		buf_addf(out, "%s.\n", def);
	}
	if (!reloadable)
		buf_adds(out, "(Restart.)\n");
}

static void help_markdown(struct buf *out, const char *name, const char *def, const char *sentence, bool reloadable) {
	buf_addf(out, "| `%s` | `%s` | %s%s |\n", name, def ? def : "-", sentence, reloadable ? "" : " (Restart.)");
}

void config_help(enum config_help form, struct buf *out) {
	static void (*const forms[])(struct buf *out, const char *name, const char *def, const char *sentence,
				     bool reloadable) = {
		[CONFIG_HELP_TEXT] = help_text,
		[CONFIG_HELP_MAN] = help_man,
		[CONFIG_HELP_MARKDOWN] = help_markdown,
	};

	for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++)
		forms[form](out, list_keys[i].name, list_keys[i].form, list_keys[i].sentence, list_keys[i].reloadable);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		forms[form](out, keys[i].name, keys[i].def, keys[i].sentence, keys[i].reloadable);
}
