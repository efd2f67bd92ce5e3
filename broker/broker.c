/* See broker.h. */

#include <assert.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "broker/audit/recover.h"
#include "broker/authn/strangers.h"
#include "broker/broker.h"
#include "broker/clock.h"
#include "broker/conn.h"
#include "broker/denials.h"
#include "broker/listener.h"
#include "broker/note.h"
#include "broker/notify.h"
#include "broker/past.h"
#include "broker/session.h"
#include "broker/surface/metadata.h"
#include "broker/surface/native.h"
#include "broker/versions.h"
#include "hallpass/cleanup.h"

#define DRAIN_SECONDS 10	   /* requests under way get so long after SIGTERM */

enum { SIGNAL_TERM, SIGNAL_INT, SIGNAL_HUP, N_SIGNALS };

struct broker {
	struct log *log;
	struct event_base *base;
	char *config_path;
	struct event *signals[N_SIGNALS];
	struct event *deadline; /* of the drain */
	struct errands *errands;
	struct errands *names; /* of the name service, which may hang: a thread that nothing else waits for */
	struct versions versions;
	struct reloader *reloader;
	struct fetcher *fetcher;
	struct source *source;
	struct native *native;
	struct conn_server *conns;
	struct conn_handler native_handler;
	struct listener *listeners[16];
	size_t n_listeners;
	struct front front;
	struct door *doors[16]; /* of the configuration's TCP listeners */
	size_t n_doors;
	struct sessions *sessions;
	struct request_world requests;
	int64_t started_at; /* 0: not yet */
	bool draining;
};

/* The record of what came in force, and our own memory of it: the same instant in both. */
static void record_version(struct broker *b, struct audit_record *record) {
	note(&b->requests, record);
	versions_add(&b->versions, record->time.s, b->requests.snapshot->policy_sha256);
}

/* --- building it, in order */

static int build_snapshot(struct broker *b, struct error *err) {
	struct snapshot_notes notes = { 0 };
	int r = snapshot_load(b->config_path, clock_now().s, &b->requests.snapshot, &notes, isatty(STDERR_FILENO), err);

	if (notes.text.data)
		fprintf(stderr, "%s", notes.text.data);
	snapshot_notes_fini(&notes);
	if (r == 0)
		b->log->level = b->requests.snapshot->config->log_level;
	return r;
}

static void on_version(void *arg, struct str json) {
	versions_add_record(arg, json);
}

static int build_audit(struct broker *b, struct error *err) {
	const struct config *config = b->requests.snapshot->config;
	const struct recover_watch watch = { on_version, &b->versions };
	const struct audit_options options = {
		.dir = config->audit_dir,
		.segment_bytes = (uint64_t)config->audit_segment_bytes,
		.low_water_bytes = (uint64_t)config->audit_low_water_bytes,
		.deadline_ms = (unsigned)config->audit_deadline_ms,
		.watch = &watch,
	};
	int64_t now = clock_now().s;

	if (audit_open(b->base, &options, b->log, &b->requests.audit, err) < 0)
		return -1;
	if (request_clock_is_back(b->requests.audit, now))
		log_error(b->log, "clock-behind", "now=%lld last_record=%lld nothing is issued until the clock is right",
			  (long long)now, (long long)audit_last_time(b->requests.audit));
	return 0;
}

/* What was in force, and what is: the first record of this life names it, so it is kept before. */
static int build_versions(struct broker *b, struct error *err) {
	const char *dir = b->requests.snapshot->config->audit_dir;

	b->requests.versions = &b->versions;
	if (snapshot_keep(b->requests.snapshot, dir, err) < 0 || errands_new(b->base, &b->errands, err) < 0 ||
	    errands_new(b->base, &b->names, err) < 0)
		return -1;
	return past_new(b->errands, dir, &b->requests.past, err);
}

static int open_source(struct broker *b, const struct config *config, struct source **out, struct error *err) {
	const struct source_options options = {
		.file = config->credential_file,
		.metadata_host = config->metadata_host,
		.token_endpoint = config->token_endpoint,
		.iam_endpoint = config->iam_endpoint,
		.sts_endpoint = config->sts_endpoint,
	};

	return source_open(b->base, b->fetcher, &options, b->log, out, err);
}

static int build_fetcher(struct broker *b, const struct config *config, struct error *err) {
	const struct fetch_options options = {
		.ca_file = config->upstream_ca_file,
		.proxy = config->upstream_proxy,
		.allow_http = config->upstream_allow_http,
		.max_connections_per_host = (unsigned)config->upstream_connections,
	};

	return fetcher_new(b->base, &options, b->log, &b->fetcher, err);
}

static int build_upstream(struct broker *b, struct error *err) {
	const struct config *config = b->requests.snapshot->config;
	const struct mint_options mint = {
		.iam_endpoint = config->iam_endpoint,
		.deadline_ms = (unsigned)config->upstream_timeout_ms,
		.max_cached = (unsigned)config->max_cached_tokens,
		.max_flights = (unsigned)config->max_flights,
	};
	struct mint_ports ports = request_mint_ports(&b->requests);

	if (build_fetcher(b, config, err) < 0 || open_source(b, config, &b->source, err) < 0)
		return -1;
	return minter_new(b->base, b->fetcher, b->source, &mint, &ports, b->log, &b->requests.minter, err);
}

static struct conn_limits limits_of(const struct config *config) {
	return (struct conn_limits){
		.max_connections = (unsigned)config->max_connections,
		.max_connections_per_uid = (unsigned)config->max_connections_per_uid,
		.head_timeout_ms = (unsigned)config->head_timeout_ms,
		.idle_timeout_ms = (unsigned)config->idle_timeout_ms,
		.write_timeout_ms = (unsigned)config->write_timeout_ms,
	};
}

static int build_front(struct broker *b, struct error *err) {
	struct conn_limits limits = limits_of(b->requests.snapshot->config);

	if (native_new(b, &b->native, &b->native_handler, err) < 0 ||
	    conn_server_new(b->base, &limits, b->log, &b->conns, err) < 0)
		return -1;
	b->front = (struct front){ .base = b->base, .conns = b->conns, .requests = &b->requests, .metadata = metadata_new() };
	if (!b->front.metadata)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return sessions_new(&b->front, &b->sessions, err);
}

static void on_signal(evutil_socket_t signal_number, short events, void *arg);

static int build_signals(struct broker *b, struct error *err) {
	static const int numbers[N_SIGNALS] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < N_SIGNALS; i++) {
		b->signals[i] = evsignal_new(b->base, numbers[i], on_signal, b);
		if (!b->signals[i] || event_add(b->signals[i], NULL) < 0)
			return error_set(err, ERR_INTERNAL, "cannot watch signal %d", numbers[i]);
	}
	return 0;
}

static int build_requests(struct broker *b, struct error *err) {
	unsigned char random[5];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(err, ERR_INTERNAL, "no random numbers");
	snprintf(b->requests.id_prefix, sizeof(b->requests.id_prefix), "%02x%02x%02x%02x%02x", random[0], random[1],
		 random[2], random[3], random[4]);
	b->requests.base = b->base;
	b->requests.next_id = 1;
	b->requests.record = RECORD_BUF;
	b->requests.log = b->log;
	b->requests.limiter = limiter_new();
	b->requests.denials = denials_new();
	if (!b->requests.limiter || !b->requests.denials)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return accounts_new(b->base, &b->requests.accounts, err);
}

static int take_up(void *arg, struct snapshot *snapshot, struct snapshot_notes *notes, struct error *err);
static void reload_ended(void *arg, const struct reload_by *by, const struct error *err);

static int build_reloader(struct broker *b, struct error *err) {
	const struct reload_ports ports = { take_up, reload_ended, b };

	return reloader_new(b->errands, b->config_path, b->requests.snapshot->config->audit_dir, &ports, &b->reloader, err);
}

/*
 * Edges, and ends of connections that are told at once, are what conn.c and audit.c are made for, so no word in the environment
 * (EVENT_NOEPOLL) takes them away: the loop would turn without a rest.
 */
static int build_loop(struct broker *b, struct error *err) {
	struct event_config *config = event_config_new();

	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_IGNORE_ENV);
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
		b->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	return b->base ? 0 : error_set(err, ERR_INTERNAL, "no event loop");
}

static int build_unix_listener(struct broker *b, const struct config_listener *l, struct error *err) {
	struct listener **listener = &b->listeners[b->n_listeners];
	int id;

	if (listener_unix(l->unix_path, l->mode, l->group, listener, err) < 0)
		return -1;
	b->n_listeners++;
	if (conn_server_listen(b->conns, listener_fd(*listener), &b->native_handler, &id, err) < 0)
		return error_wrap(err, "%s", l->unix_path);
	log_info(b->log, "listening", "socket=%s mode=%04o", l->unix_path, l->mode);
	return 0;
}

static int build_tcp_listener(struct broker *b, const struct config_listener *l, struct error *err) {
	const struct door_spec spec = {
		.at = l->loopback, .uid = -1, .accounts = (const char *const *)l->accounts, .n_accounts = l->n_accounts,
	};

	if (sockdiag_check(err) < 0 || door_new(&b->front, &spec, &b->doors[b->n_doors], err) < 0)
		return error_wrap(err, "listener tcp: %s", l->tcp);
	b->n_doors++;
	log_info(b->log, "listening", "tcp=%s default=%s", l->tcp, l->accounts[0]);
	return 0;
}

static int build_listeners(struct broker *b, struct error *err) {
	const struct config *config = b->requests.snapshot->config;

	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *l = &config->listeners[i];

		if ((l->tcp ? build_tcp_listener : build_unix_listener)(b, l, err) < 0)
			return -1;
	}
	return 0;
}

/* The rate limiter's table first: in a heap that reading files has used it would be cleared, which takes up all of it. */
static int (*const builders[])(struct broker *b, struct error *err) = {
	build_loop,	build_requests, build_snapshot, build_audit,   build_versions,
	build_upstream, build_reloader, build_front,	build_signals, build_listeners,
};

int broker_new(const struct broker_options *options, struct broker **out, struct error *err) {
	struct broker *b = calloc(1, sizeof(*b));

	if (!b)
		return error_set(err, ERR_INTERNAL, "out of memory");
	b->log = options->log;
	b->config_path = options->config_path ? strdup(options->config_path) : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(builders); i++) {
		if (builders[i](b, err) < 0) {
			broker_free(b);
			return -1;
		}
	}
	b->started_at = clock_now().s;
	record_version(b, &(struct audit_record){ .type = RECORD_START });
	strangers_start(b->names, b->requests.snapshot->config, b->log);
	log_info(b->log, "started", "version=%s policy=%s sha256=%s credential=\"%s\"", HALLPASS_VERSION,
		 b->requests.snapshot->config->policy_path, b->requests.snapshot->policy_sha256,
		 source_describe(b->source));
	*out = b;
	return 0;
}

int broker_check_credential(const struct config *config, struct log *log, struct buf *about, struct error *err) {
	struct broker b = { .log = log };
	struct source *source = NULL;
	int r = build_loop(&b, err) < 0 || build_fetcher(&b, config, err) < 0 ? -1 : open_source(&b, config, &source, err);

	if (r == 0)
		buf_adds(about, source_describe(source));
	source_unref(source);
	fetcher_free(b.fetcher);
	if (b.base)
		event_base_free(b.base);
	return r;
}

/* --- undoing it, in reverse */

void broker_free(struct broker *b) {
	if (!b)
		return;
	reloader_free(b->reloader);
	sessions_free(b->sessions);
	for (size_t i = 0; i < b->n_doors; i++)
		door_free(b->doors[i]);
	b->requests.stopping = true;
	conn_server_free(b->conns); /* pending requests end here */
	metadata_free(b->front.metadata);
	for (size_t i = 0; i < b->n_listeners; i++)
		listener_free(b->listeners[i]);
	native_free(b->native);
	minter_free(b->requests.minter); /* flights whose intents are on their way end in audit_close() */
	source_unref(b->source);
	fetcher_free(b->fetcher);
	if (b->started_at)
		note(&b->requests, &(struct audit_record){ .type = RECORD_STOP });
	audit_close(b->requests.audit);
	accounts_free(b->requests.accounts);
	limiter_free(b->requests.limiter);
	denials_free(b->requests.denials);
	past_free(b->requests.past);
	versions_fini(&b->versions);
	buf_fini(&b->requests.record);
	pool_fini(&b->requests.pool);
	habits_fini(&b->requests.habits);
	snapshot_unref(b->requests.snapshot);
	errands_free(b->names);
	errands_free(b->errands); /* older ones may be on their way */
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (b->signals[i])
			event_free(b->signals[i]);
	if (b->deadline)
		event_free(b->deadline);
	if (b->base)
		event_base_free(b->base);
	free(b->config_path);
	free(b);
}

/* --- running it */

static void on_drained(void *arg) {
	struct broker *b = arg;

	event_base_loopbreak(b->base);
}

static void on_drain_deadline(evutil_socket_t fd, short events, void *arg) {
	struct broker *b = arg;

	(void)fd, (void)events;
	log_warning(b->log, "drain-deadline", "requests under way after %d s are given up", DRAIN_SECONDS);
	event_base_loopbreak(b->base);
}

static void broker_drain(struct broker *b) {
	struct timeval wait = { DRAIN_SECONDS, 0 };

	if (b->draining) {
		event_base_loopbreak(b->base); /* asked twice: now */
		return;
	}
	b->draining = true;
	log_info(b->log, "stopping", "requests under way get %d s", DRAIN_SECONDS);
	notify_service_manager("STOPPING=1");
	b->deadline = evtimer_new(b->base, on_drain_deadline, b);
	if (b->deadline)
		evtimer_add(b->deadline, &wait);
	conn_server_stop_listening(b->conns, -1);
	/* Gone at once: a client that comes now is told so, and does not wait for a server that will not answer. */
	while (b->n_listeners)
		listener_free(b->listeners[--b->n_listeners]);
	for (size_t i = 0; i < b->n_doors; i++)
		door_stop(b->doors[i]);
	sessions_stop(b->sessions);
	metadata_stop(b->front.metadata);
	conn_server_drain(b->conns, on_drained, b);
}

/* Nobody else is there to read what is wrong. */
static void on_reloaded(const struct snapshot *snapshot, const struct snapshot_notes *notes, const struct error *err, void *arg) {
	(void)err, (void)arg;
	if (!snapshot && notes->text.data)
		fprintf(stderr, "%s", notes->text.data);
}

static void on_signal(evutil_socket_t signal_number, short events, void *arg) {
	struct broker *b = arg;

	(void)events;
	if (signal_number == SIGHUP)
		reload_start(b->reloader, &(struct reload_by){ .who = "SIGHUP" }, on_reloaded, NULL);
	else
		broker_drain(b);
}

void broker_run(struct broker *b) {
	malloc_trim(0); /* what reading the files took is no longer needed */
	notify_service_manager("READY=1");
	event_base_dispatch(b->base);
}

struct event_base *broker_base(struct broker *b) {
	return b->base;
}

struct request_world *broker_requests(struct broker *b) {
	return &b->requests;
}

struct sessions *broker_sessions(struct broker *b) {
	return b->sessions;
}

struct fetcher *broker_fetcher(struct broker *b) {
	return b->fetcher;
}

struct source *broker_source(struct broker *b) {
	return b->source;
}

struct reloader *broker_reloader(struct broker *b) {
	return b->reloader;
}

/* --- reload */

static bool strings_differ(const char *a, const char *b) {
	return a != b && (!a || !b || strcmp(a, b));
}

static bool credential_differs(const struct config *a, const struct config *b) {
	return strings_differ(a->credential_file, b->credential_file) ||
	       strings_differ(a->token_endpoint, b->token_endpoint) || strings_differ(a->sts_endpoint, b->sts_endpoint) ||
	       strings_differ(a->metadata_host, b->metadata_host);
}

/*
 * The credential is opened anew each time: a key may have been replaced in its file, a login renewed. When that fails
 * and the configuration names no other, the running one stays, so that a new policy does not wait for it; who asked is told.
 */
static int reload_source(struct broker *b, const struct config *loaded, struct source **out, struct snapshot_notes *notes,
			 struct error *err) {
	*out = NULL;
	if (open_source(b, loaded, out, err) == 0)
		return 0;
	if (credential_differs(b->requests.snapshot->config, loaded))
		return -1;
	log_warning(b->log, "credential-kept", "the one in use stays: %s", err->message);
	buf_addf(&notes->text, "warning: the credential in use stays: %s\n", err->message);
	notes->n_warnings++;
	return 0;
}

static int check_keys(struct broker *b, const struct snapshot *snapshot, struct error *err) {
	char text[1024];
	struct buf names = BUF_ON(text);
	int r = 0;

	if (config_needs_restart(b->requests.snapshot->config, snapshot->config, &names))
		r = error_set(err, ERR_INVALID, "%s changed, which needs a restart; nothing was taken up", text);
	return r;
}

static int take_up(void *arg, struct snapshot *snapshot, struct snapshot_notes *notes, struct error *err) {
	struct broker *b = arg;
	struct source *source = NULL;
	struct conn_limits limits;

	if (versions_room(&b->versions) < 0)
		return error_no_memory(err);
	if (check_keys(b, snapshot, err) < 0 || reload_source(b, snapshot->config, &source, notes, err) < 0)
		return -1;
	snapshot_bury(b->requests.snapshot, b->errands);
	b->requests.snapshot = snapshot;
	limits = limits_of(snapshot->config);
	conn_server_set_limits(b->conns, &limits);
	b->log->level = snapshot->config->log_level;
	if (source) {
		minter_set_source(b->requests.minter, source);
		source_unref(b->source);
		b->source = source;
	}
	metadata_changed(b->front.metadata);
	strangers_start(b->names, snapshot->config, b->log);
	return 0;
}

static void record_reload(struct broker *b, const struct reload_by *by, const char *reason, const char *error) {
	struct audit_record record = { .type = RECORD_RELOAD, .principal = by->who, .reason = reason, .error = error };

	if (by->peer)
		note_peer(&record, by->peer);
	record_version(b, &record);
}

void broker_reload_denied(struct broker *b, const struct reload_by *by, const struct error *err) {
	log_warning(b->log, "reload-denied", "by=%s uid=%lld", by->who, by->peer ? (long long)by->peer->uid : -1);
	record_reload(b, by, "NOT_OPERATOR", err->message);
}

static void reload_ended(void *arg, const struct reload_by *by, const struct error *err) {
	struct broker *b = arg;

	record_reload(b, by, err ? "REFUSED" : "RELOADED", err ? err->message : NULL);
	if (err)
		log_error(b->log, "reload-refused", "by=%s the last good policy stays in force: %s", by->who, err->message);
	else
		log_info(b->log, "reloaded", "by=%s sha256=%s", by->who, b->requests.snapshot->policy_sha256);
}

/* --- status */

static json_t *status_audit(struct broker *b) {
	struct error clock = { 0 };
	struct audit_status s;
	const char *problem;

	audit_status(b->requests.audit, &s);
	request_check_clock(b->requests.audit, clock_now().s, &clock);
	problem = !s.healthy ? s.problem : clock.code ? clock.message : *s.loss ? s.loss : NULL;
	return json_pack("{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:s?}", "healthy", !problem, "directory",
			 b->requests.snapshot->config->audit_dir, "segment", s.segment, "records",
			 (json_int_t)s.records, "frames", (json_int_t)s.frames, "nextIndex", (json_int_t)s.next_index,
			 "freeBytes", (json_int_t)s.free_bytes, "problem", problem);
}

static json_t *status_policy(struct broker *b) {
	const struct snapshot *snapshot = b->requests.snapshot;
	struct policy_stats s;
	struct buf at = BUF_INIT(64);
	json_t *out;

	policy_stats(snapshot->policy, &s);
	buf_add_time(&at, snapshot->loaded_at);
	out = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "file", snapshot->config->policy_path, "sha256",
			snapshot->policy_sha256, "loadedAt", at.data, "bindings", (json_int_t)s.bindings, "denyRules",
			(json_int_t)s.deny_rules, "groups", (json_int_t)s.groups, "tests", (json_int_t)s.tests,
			"invariants", (json_int_t)s.invariants);
	buf_fini(&at);
	return out;
}

static json_t *status_mint(struct broker *b) {
	struct mint_counters c;

	mint_counters(b->requests.minter, &c);
	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "cached", (int)c.cached, "inFlight",
			 (int)c.flights, "calls", (json_int_t)c.calls, "retries", (json_int_t)c.retries, "failures",
			 (json_int_t)c.failures, "hits", (json_int_t)c.hits, "misses", (json_int_t)c.misses, "shared",
			 (json_int_t)c.coalesced);
}

static json_t *status_connections(struct broker *b) {
	struct conn_counters c;

	conn_server_counters(b->conns, &c);
	return json_pack("{s:i, s:I, s:I, s:I}", "open", (int)c.open, "accepted", (json_int_t)c.accepted, "requests",
			 (json_int_t)c.requests, "refused", (json_int_t)c.refused);
}

/* The configuration's TCP listeners: where, and whose tokens they give. */
static json_t *status_doors(struct broker *b) {
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_doors; i++) {
		const struct door *door = b->doors[i];
		json_t *accounts = json_array();

		for (size_t k = 0; k < door->n_accounts; k++)
			json_array_append_new(accounts, json_string(door->accounts[k]));
		json_array_append_new(list, json_pack("{s:s, s:i, s:o}", "address", door->at.family == AF_INET6 ? "[::1]" : "127.0.0.1", "port",
						      (int)door->at.port, "serviceAccounts", accounts));
	}
	return list;
}

static json_t *status_credential(const struct broker *b, bool for_operator) {
	struct buf description = BUF_INIT(8192);
	json_t *json;

	source_describe_to(b->source, for_operator, &description);
	json = json_pack("{s:s, s:s, s:s?, s:s}", "kind", source_kind(b->source), "description", description.data ? description.data : "",
			 "identity", source_email(b->source), "universe", source_universe(b->source));
	buf_fini(&description);
	return json;
}

json_t *broker_status(struct broker *b, bool for_operator) {
	return json_pack("{s:s, s:i, s:I, s:s?, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "version", HALLPASS_VERSION, "pid", (int)getpid(),
			 "uptime", (json_int_t)(clock_now().s - b->started_at), "config", b->config_path, "policy", status_policy(b),
			 "credential", status_credential(b, for_operator), "audit", status_audit(b), "tokens", status_mint(b),
			 "connections", status_connections(b), "sessions", (int)sessions_count(b->sessions), "listeners",
			 status_doors(b));
}
