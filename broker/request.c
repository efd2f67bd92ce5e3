/* See request.h. The table of steps below is the architecture: read it first. */

#include <assert.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "broker/audit/record.h"
#include "broker/clock.h"
#include "broker/denials.h"
#include "broker/log.h"
#include "broker/request.h"
#include "hallpass/cleanup.h"

#define CLOCK_BACK_SECONDS 60 /* realtime may be so far behind the last record */
#define CLIENTS_WANT_S 330 /* of a token, and some seconds for the way; with less they ask again before each of their calls */
#define LOCAL_CALL_SAVES 900 /* thousandths of a request, where that is what they do */
#define PATIENCE_MS 2000 /* for a successor, where there is a token to fall back on: clients hang up after 3 s */
#define JWT_DEFAULT_LIFE 3600 /* seconds, or fewer, for claims without an exp: a JWT that never ends is not made */

struct request {
	struct request_world *world;
	struct snapshot *snapshot; /* the one it began under */
	size_t step;
	struct instant now; /* when it began: what it is decided at */

	struct token *token;
	struct token *fading; /* to fall back on, while its successor is asked for */
	struct event *patience; /* with it */
	char *claims; /* a JWT's with the end that they got here; NULL: as asked */
	bool cached, abandoned, fell_back;
	bool waited; /* so now is not now any more */
	bool quiet; /* an earlier record stands for this one (rate limit) */
	const struct habit *habit; /* of this request's first turn alone: others may learn in the next */
	uint64_t spec_hash; /* minter_hash() of what is looked for; 0: nothing was yet */
	int upstream_status;
	const char *reason; /* for ErrorInfo and the record; NULL: the error code's own */

	/* At most one of these is under way. */
	struct accounts_wait *account_wait;
	struct mint_wait *mint_wait;
	bool recording;
	struct audit_entry entry;

	request_reply_fn *reply;
	void *arg;

	/* From here on request_start() sets what is read; the rest of this memory is as it was. */
	char id[REQUEST_ID_MAX];
	char flight[REQUEST_ID_MAX]; /* "": no intent was made for it */
	char claims_sha256[SHA256_HEX]; /* with claims */
	struct ask ask;
	struct peer peer;
	struct decision decision;
	struct caller caller;
	struct error error;
};

enum next {
	GO_ON,	/* to the following step */
	WAIT,	/* an operation is running; its done continues us */
	SETTLE, /* nothing more to find out: record and reply */
};

static bool request_advance(struct request *req, enum next next);

static enum next request_refuse(struct request *req, const char *reason) {
	req->reason = reason;
	return SETTLE;
}

/* --- authenticate: who is it, by the kernel's word */

/* Somebody whom nobody knows must not fill the record: one line a second stands for those above the rate. */
static bool request_unknown_again(struct request *req) {
	const struct config *config = req->snapshot->config;
	char key[32];

	snprintf(key, sizeof(key), "uid %lld", (long long)req->peer.uid);
	return limiter_admit(req->world->limiter, key, clock_tick_ms(), (unsigned)config->requests_per_minute,
			     (unsigned)config->burst) == LIMIT_EXCEEDED_AGAIN;
}

static enum next request_identify(struct request *req, const struct account *account) {
	switch (principal_of(req->snapshot->config, &req->peer, account, req->caller.principal)) {
	case PRINCIPAL_FOUND:
		return GO_ON;
	case PRINCIPAL_NEEDS_ACCOUNT:
		return WAIT;
	case PRINCIPAL_UNKNOWN:
		break;
	}
	req->caller.principal[0] = '\0';
	req->quiet = request_unknown_again(req);
	principal_unknown(&req->peer, account, &req->error);
	return request_refuse(req, "UNKNOWN_CALLER");
}

static void on_account(const struct account *account, void *arg) {
	struct request *req = arg;

	req->account_wait = NULL;
	if (account) {
		request_advance(req, request_identify(req, account));
		return;
	}
	error_set(&req->error, ERR_UNAVAILABLE, "the system's name service does not say in time who uid %lld is; try again",
		  (long long)req->peer.uid);
	request_advance(req, request_refuse(req, "NAME_SERVICE"));
}

static enum next step_authenticate(struct request *req) {
	const struct account *account;
	enum next next = request_identify(req, NULL); /* rules by uid need no more */

	if (next != WAIT)
		return next;
	account = accounts_find(req->world->accounts, req->peer.uid, clock_boottime_ms());
	if (account)
		next = request_identify(req, account);
	if (next != WAIT)
		return next;
	req->account_wait = accounts_start(req->world->accounts, req->peer.uid, on_account, req);
	if (req->account_wait)
		return WAIT;
	error_no_memory(&req->error);
	return SETTLE;
}

/* --- admit: not too often */

enum limit_verdict request_admit(struct request_world *world, const struct config *config, const char *principal,
				 struct error *err) {
	enum limit_verdict verdict = limiter_admit(world->limiter, principal, clock_tick_ms(),
						   (unsigned)config->requests_per_minute, (unsigned)config->burst);

	if (verdict != LIMIT_OK)
		error_set(err, ERR_LIMIT, "%s asks too often: at most %lld requests a minute (limits.requestsPerMinute)",
			  principal, (long long)config->requests_per_minute);
	return verdict;
}

static enum next step_admit(struct request *req) {
	enum limit_verdict verdict =
		request_admit(req->world, req->snapshot->config, req->caller.principal, &req->error);

	if (verdict == LIMIT_OK)
		return GO_ON;
	req->quiet = verdict == LIMIT_EXCEEDED_AGAIN;
	return request_refuse(req, "RATE_LIMITED");
}

/* --- decide: pure, and on every request */

void request_query(const struct ask *ask, const struct caller *caller, const struct snapshot *snapshot,
		   struct instant now, struct policy_query *out) {
	*out = (struct policy_query){
		.now = now.s,
		.now_ns = now.ns,
		.principal = caller->principal,
		.auth_method = "peer",
		.service_account = ask->target,
		.permission = ask->permission,
		.scopes = ask->scopes,
		.n_scopes = ask->n_scopes,
		.lifetime_s = ask->lifetime_s,
		.audience = ask->audience,
		.justification = ask->justification,
		.surface = ask->surface,
		.peer = { .known = true,
			  .uid = caller->peer->uid,
			  .gid = caller->peer->gid,
			  .pid = caller->peer->pid ? caller->peer->pid : -1,
			  .exe = caller->peer->exe[0] ? caller->peer->exe : NULL },
		.origin_ip = caller->peer->ip[0] ? caller->peer->ip : NULL,
		.origin_port = caller->peer->port,
		.delegates = ask->delegates,
		.n_delegates = ask->n_delegates,
		.ceiling_s = snapshot->config->max_lifetime_s,
		.clock_allowance_s = snapshot->config->clock_allowance_s,
	};
}

/* For the question that comes next: why? */
static void request_note_denial(const struct request *req) {
	struct denial denial = { .peer = req->peer, .ask = req->ask, .at = req->now };

	snprintf(denial.principal, sizeof(denial.principal), "%s", req->caller.principal);
	snprintf(denial.request, sizeof(denial.request), "%s", req->id);
	memcpy(denial.policy_sha256, req->snapshot->policy_sha256, sizeof(denial.policy_sha256));
	denials_note(req->world->denials, &denial);
}

/* How long a JWT is to live is what its claims say; to be decided on like any lifetime. */
static int request_take_exp(struct request *req) {
	int64_t life = req->ask.exp - req->now.s;

	if (!req->ask.exp)
		return 0;
	if (life < 1)
		return error_set(&req->error, ERR_INVALID, "the claims' exp is past: %lld s ago by this machine's clock",
				 (long long)-life);
	if (life > POLICY_MAX_LIFETIME)
		return error_set(&req->error, ERR_INVALID, "the claims' exp is %lld s ahead, and Google signs none beyond 12 hours (%d s)",
				 (long long)life, POLICY_MAX_LIFETIME);
	req->ask.lifetime_s = life;
	return 0;
}

/* P2 for what is signed: a JWT ends with its permission, or is not made. What a signed blob is good for, nobody can see. */
static enum next request_bound_claims(struct request *req) {
	struct buf claims = BUF_INIT(strlen(req->ask.payload) + 64), until = BUF_INIT(64);
	int64_t life = req->decision.lifetime_s < JWT_DEFAULT_LIFE ? req->decision.lifetime_s : JWT_DEFAULT_LIFE;

	if (req->ask.exp && req->ask.exp <= req->decision.expires_by)
		return GO_ON;
	if (req->ask.exp) {
		buf_add_time(&until, req->now.s + req->decision.lifetime_s);
		error_set(&req->error, ERR_DENIED,
			  "the JWT would live %lld s, and %lld s are allowed (%s): let its exp be at most %lld (%s), or leave it out, "
			  "and it is set",
			  (long long)req->ask.lifetime_s, (long long)req->decision.lifetime_s, bound_by_name(req->decision.bound_by),
			  (long long)(req->now.s + req->decision.lifetime_s), until.data ? until.data : "?");
		buf_fini(&until);
		return request_refuse(req, "JWT_OUTLIVES_PERMISSION");
	}
	buf_add(&claims, req->ask.payload, strlen(req->ask.payload) - 1); /* canonical: the last byte closes the object */
	buf_addf(&claims, "%s\"exp\":%lld}", claims.len > 1 ? "," : "", (long long)(req->now.s + life));
	req->claims = buf_take(&claims);
	if (!req->claims) {
		error_set(&req->error, ERR_INTERNAL, "no memory for the claims");
		return SETTLE;
	}
	sha256_hex(req->claims, strlen(req->claims), req->claims_sha256);
	return GO_ON;
}

/* What the request's record and its token depend on, as far as it is known yet. */
static struct habit_key request_habit(const struct request *req) {
	return (struct habit_key){
		.ask = req->ask.serial,
		.snapshot = req->snapshot->serial,
		.rule = req->decision.rule,
		.bound_by = (int)req->decision.bound_by,
		.lifetime_s = req->decision.lifetime_s,
		.token = req->token ? req->token->serial : 0,
		.principal = req->caller.principal,
		.peer = &req->peer,
		.spec_hash = req->spec_hash,
	};
}

static enum next step_decide(struct request *req) {
	struct buf message = BUF_INIT(sizeof(req->error.message) - 1);
	const struct habit_key key = request_habit(req);
	struct habit *habit = habit_find(&req->world->habits, &key);
	struct policy_route *route = habit_route(habit);
	const unsigned failures = policy_memory_failures();
	struct policy_query query;

	req->habit = habit;
	if (request_take_exp(req) < 0)
		return SETTLE;
	request_query(&req->ask, &req->caller, req->snapshot, req->now, &query);
	if (route)
		policy_decide_by_route(req->snapshot->policy, &query, route, &req->decision);
	else
		policy_decide(req->snapshot->policy, &query, &req->decision);
	if (req->decision.allow)
		return req->ask.permission == PERMISSION_SIGN_JWT ? request_bound_claims(req) : GO_ON;
	if (failures != policy_memory_failures()) { /* the rules might have said yes */
		error_no_memory(&req->error);
		return SETTLE;
	}
	policy_denial_message(req->snapshot->policy, &query, &req->decision, &message);
	error_set(&req->error, ERR_DENIED, "%s", message.data ? message.data : "not allowed");
	buf_fini(&message);
	request_note_denial(req);
	return request_refuse(req, decision_reason_name(req->decision.reason));
}

/* --- find: a token of ours that fits what was just decided */

static const char *request_payload_sha256(const struct request *req) {
	return req->claims ? req->claims_sha256 : req->ask.payload ? req->ask.payload_sha256 : NULL;
}

static void request_mint_spec(const struct request *req, struct mint_spec *spec) {
	*spec = (struct mint_spec){
		.permission = req->ask.permission,
		.principal = req->caller.principal,
		.target = req->ask.target,
		.scopes = req->decision.scopes,
		.n_scopes = req->ask.permission == PERMISSION_GET_ACCESS_TOKEN ? req->decision.n_scopes : 0,
		.delegates = req->ask.delegates,
		.n_delegates = req->ask.n_delegates,
		.audience = req->ask.audience,
		.include_email = req->ask.include_email,
		.use_email_azp = req->ask.use_email_azp,
		.payload = req->claims ? req->claims : req->ask.payload,
		.payload_sha256 = request_payload_sha256(req),
		.lifetime_s = req->decision.lifetime_s,
		.expires_by = req->decision.expires_by,
		.hash = req->spec_hash,
	};
}

/*
 * Clients ask again when 225 to 300 s are left, so a token that near its end makes them loop;
 * where the window itself is that short, half of it must do.
 */
static int64_t request_min_left(const struct request *req) {
	return req->decision.lifetime_s > 2 * CLIENTS_WANT_S ? CLIENTS_WANT_S : req->decision.lifetime_s / 2;
}

bool request_clock_is_back(const struct audit *audit, int64_t now_s) {
	return now_s < audit_last_time(audit) - CLOCK_BACK_SECONDS;
}

int request_check_clock(const struct audit *audit, int64_t now_s, struct error *err) {
	if (!request_clock_is_back(audit, now_s))
		return 0;
	return error_set(err, ERR_UNAVAILABLE,
			 "the clock is %lld s behind the last record in the log; nothing is issued until it is set right "
			 "(if it was wrong when that record was made, restart hallpassd with another audit.directory)",
			 (long long)(audit_last_time(audit) - now_s));
}

static void request_cached(struct request *req) {
	req->cached = true;
	memcpy(req->flight, req->token->flight, sizeof(req->flight));
	if (req->token->expires_at - req->now.s < CLIENTS_WANT_S)
		limiter_give_back(req->world->limiter, req->caller.principal, clock_tick_ms(), LOCAL_CALL_SAVES,
				  (unsigned)req->snapshot->config->burst);
}

/*
 * A token that fades is better than none: whoever holds it is not to hear of trouble that passes before it ends. While that
 * lasts each of his calls may bring him here again, so he is answered at once.
 */
static enum next request_fall_back(struct request *req) {
	req->token = take(&req->fading);
	req->fell_back = true;
	request_cached(req);
	log_debug(req->world->log, "fading", "request=%s target=%s left=%lld", req->id, req->ask.target,
		  (long long)(req->token->expires_at - req->now.s));
	return SETTLE;
}

static enum next request_find_fading(struct request *req, const struct mint_spec *spec) {
	req->fading = mint_fading(req->world->minter, spec, req->now.s);
	return req->fading && mint_had_trouble(req->world->minter, spec, req->now.s) ? request_fall_back(req) : GO_ON;
}

static enum next step_find(struct request *req) {
	struct mint_spec spec;

	if (request_check_clock(req->world->audit, req->now.s, &req->error) < 0)
		return request_refuse(req, "CLOCK_BEHIND");
	if (!audit_ready(req->world->audit, &req->error))
		return request_refuse(req, "RECORD_UNAVAILABLE");
	if (mint_signs(req->ask.permission))
		return GO_ON;
	req->spec_hash = habit_spec_hash(req->habit, req->decision.rule);
	request_mint_spec(req, &spec);
	if (!req->spec_hash)
		spec.hash = req->spec_hash = minter_hash(req->world->minter, &spec);
	req->token = mint_cached(req->world->minter, &spec, req->now.s, request_min_left(req));
	if (!req->token)
		return request_find_fading(req, &spec);
	request_cached(req);
	if (mint_should_refresh(req->token, req->now.s, request_min_left(req)))
		mint_refresh(req->world->minter, &spec, req);
	return SETTLE;
}

/* --- mint: a durable intent, then Google; both belong to the flight (mint.h) */

static void orphaned(void *arg, const char *flight_id, const struct mint_spec *spec, const struct token *token,
		     const struct error *err);

static void request_end_patience(struct request *req) {
	if (req->patience)
		event_free(take(&req->patience));
}

/* The flight goes on, and tells the record how it ended. */
static void on_patience(evutil_socket_t fd, short events, void *arg) {
	struct request *req = arg;

	(void)fd, (void)events;
	request_end_patience(req);
	mint_give_up(take(&req->mint_wait));
	request_advance(req, request_fall_back(req));
}

static void request_be_patient(struct request *req) {
	const struct timeval span = { PATIENCE_MS / 1000, PATIENCE_MS % 1000 * 1000 };

	req->patience = evtimer_new(req->world->base, on_patience, req);
	if (req->patience)
		evtimer_add(req->patience, &span);
}

/* Without an intent nobody was asked: then it is the record that is not available. */
static void request_mint_failed(struct request *req, const struct error *err, bool intended) {
	req->error = *err;
	if (!intended && err->code == ERR_UNAVAILABLE)
		req->reason = "RECORD_UNAVAILABLE";
}

static void on_minted(const struct mint_result *result, void *arg) {
	struct request *req = arg;
	struct mint_spec spec;

	req->mint_wait = NULL;
	request_end_patience(req);
	if (!result->token && req->fading && result->intended && mint_trouble_passes(&result->error)) {
		request_mint_spec(req, &spec);
		orphaned(req->world, result->flight_id, &spec, NULL, &result->error); /* what this request ends with is not its end */
		request_advance(req, request_fall_back(req));
		return;
	}
	req->upstream_status = result->upstream_status;
	if (result->intended)
		snprintf(req->flight, sizeof(req->flight), "%s", result->flight_id);
	if (result->token)
		req->token = token_ref(result->token);
	else
		request_mint_failed(req, &result->error, result->intended);
	request_advance(req, SETTLE);
}

static enum next step_mint(struct request *req) {
	struct mint_spec spec;
	struct error err;

	request_mint_spec(req, &spec);
	req->mint_wait = mint_start(req->world->minter, &spec, req, on_minted, req, &err);
	if (req->mint_wait) {
		if (req->fading)
			request_be_patient(req);
		return WAIT;
	}
	if (req->fading && err.code == ERR_LIMIT)
		return request_fall_back(req);
	request_mint_failed(req, &err, false);
	return SETTLE;
}

/* --- record: an issuance waits for the disk, a refusal rides with the next batch */

static enum record_type request_result(const struct request *req) {
	if (req->abandoned)
		return RECORD_ABANDONED;
	if (req->token)
		return RECORD_ISSUED;
	return req->error.code == ERR_DENIED || req->error.code == ERR_UNAUTHENTICATED || req->error.code == ERR_LIMIT
		       ? RECORD_DENIED
		       : RECORD_FAILED;
}

static void request_record(const struct request *req, enum record_type type, struct audit_record *r) {
	bool ends = req->decision.allow && req->ask.permission != PERMISSION_SIGN_BLOB;
	bool asked_google = type != RECORD_INTENT && req->flight[0] && !req->cached;

	*r = (struct audit_record){
		.type = type,
		.time = clock_now(),
		.request = req->id,
		.flight = req->flight[0] ? req->flight : NULL,
		.principal = req->caller.principal[0] ? req->caller.principal : NULL,
		.auth = req->peer.how,
		.peer_known = true,
		.uid = req->peer.uid,
		.gid = req->peer.gid,
		.pid = req->peer.pid,
		.exe = req->peer.exe[0] ? req->peer.exe : NULL,
		.ip = req->peer.ip[0] ? req->peer.ip : NULL,
		.ip_port = req->peer.port,
		.session = req->ask.session[0] ? req->ask.session : NULL,
		.surface = req->ask.surface,
		.asked_at = req->now,
		.permission = permission_name(req->ask.permission),
		.target = req->ask.target,
		.asked_scopes = req->ask.scopes,
		.n_asked_scopes = req->ask.n_scopes,
		.scopes = req->decision.scopes,
		.n_scopes = req->decision.n_scopes,
		.asked_lifetime_s = req->ask.lifetime_s,
		.decision = req->decision.reason ? req->decision.allow ? "ALLOW" : "DENY" : NULL,
		.reason = req->reason ? req->reason : req->error.code ? status_of(req->error.code)->reason : NULL,
		.binding = req->decision.rule,
		.policy = req->snapshot->policy_sha256,
		.bound_by = ends ? bound_by_name(req->decision.bound_by) : NULL,
		.ceiling_s = req->snapshot->config->max_lifetime_s,
		.allowance_s = req->snapshot->config->clock_allowance_s,
		.lifetime_s = ends ? req->decision.lifetime_s : 0,
		.expires_at = req->token ? req->token->expires_at : 0,
		.token_sha256 = req->token ? req->token->sha256 : NULL,
		.cached = req->cached,
		.upstream_ms = asked_google && req->token ? req->token->upstream_ms : 0,
		.upstream_status = asked_google ? req->upstream_status : 0,
		.justification = req->ask.justification,
		.audience = req->ask.audience,
		.payload_sha256 = request_payload_sha256(req),
		.delegates = req->ask.delegates,
		.n_delegates = req->ask.n_delegates,
		.error = req->error.code ? req->error.message : NULL,
	};
}

/* Hands world->record to the audit log. -1: it is not on its way, err says why. */
static int append_written(struct request_world *world, struct audit_entry *entry, struct error *err) {
	const struct buf *json = &world->record;

	if (!buf_ok(json))
		return error_set(err, ERR_INTERNAL, "no memory for the record");
	return audit_append(world->audit, json->data, json->len, entry, err);
}

/* Writes a record there and hands it over likewise. */
static int append(struct request_world *world, const struct audit_record *record, struct audit_entry *entry,
		  struct error *err) {
	buf_reset(&world->record);
	record_write(record, &world->record);
	return append_written(world, entry, err);
}

static bool request_is_habitual(const struct request *req, enum record_type type) {
	return type == RECORD_ISSUED && req->cached && req->ask.serial && !req->error.code && req->peer.family == AF_UNIX;
}

/* Into world->record; from an earlier one's text where that one was like it. */
static void request_write_record(const struct request *req, enum record_type type) {
	const struct habit_key key = request_habit(req);
	const struct casting casting = { req->waited ? clock_now() : req->now, req->now, req->id, req->peer.pid };
	const bool habitual = request_is_habitual(req, type);
	struct request_world *world = req->world;
	struct audit_record record;

	buf_reset(&world->record);
	if (habitual && habit_write(&world->habits, &key, &casting, &world->record))
		return;
	buf_reset(&world->record); /* where memory failed, it may be there now */
	request_record(req, type, &record);
	record_write(&record, &world->record);
	if (habitual)
		habit_learn(&world->habits, &key, &record);
}

static void on_recorded(struct audit_entry *entry, const struct error *err, void *arg) {
	struct request *req = arg;

	(void)entry;
	req->recording = false;
	if (err->code) {
		token_unref(take(&req->token));
		req->error = *err;
		req->reason = "RECORD_UNAVAILABLE";
	}
	request_advance(req, GO_ON);
}

static enum next step_record(struct request *req) {
	const enum record_type type = request_result(req);
	bool issuance = req->token && !req->abandoned;
	struct error err;
	int r;

	if (req->quiet)
		return GO_ON;
	request_write_record(req, type);
	req->entry = (struct audit_entry){ .done = on_recorded, .arg = req, .comes_back = true };
	r = append_written(req->world, issuance ? &req->entry : NULL, &err);
	if (r == 0 && issuance) {
		req->recording = true;
		return WAIT;
	}
	if (r < 0 && issuance) {
		token_unref(take(&req->token));
		req->error = err;
		req->reason = "RECORD_UNAVAILABLE";
	} else if (r < 0) {
		log_warning(req->world->log, "unrecorded", "request=%s result=%s error=\"%s\"", req->id, record_type_name(type),
			    err.message);
	}
	return GO_ON;
}

/* --- reply */

void request_details(const struct request_outcome *o, struct status_detail details[REQUEST_DETAILS]) {
	details[0] = (struct status_detail){ "requestId", o->id };
	details[1] = (struct status_detail){ "principal", *o->principal ? o->principal : NULL };
	details[2] = (struct status_detail){ "serviceAccount", o->ask->target };
	details[3] = (struct status_detail){ "rule", o->decision->rule };
}

static enum next step_reply(struct request *req) {
	struct request_outcome outcome = {
		.id = req->id,
		.principal = req->caller.principal,
		.ask = &req->ask,
		.decision = &req->decision,
		.token = req->token,
		.error = &req->error,
		.reason = req->reason,
		.cached = req->cached,
		.fading = req->fell_back,
		.snapshot = req->snapshot->serial,
		.now = clock_now().s,
	};

	if (!req->abandoned)
		req->reply(&outcome, req->arg);
	return GO_ON;
}

static const struct {
	const char *name;
	enum next (*run)(struct request *req);
} steps[] = {
	{ "authenticate", step_authenticate },
	{ "admit", step_admit },
	{ "decide", step_decide },
	{ "find", step_find },
	{ "mint", step_mint },
#define STEP_RECORD 5
	{ "record", step_record },
	{ "reply", step_reply },
};

static void request_free(struct request *req) {
	assert(!req->account_wait && !req->mint_wait && !req->recording);
	token_unref(req->token);
	token_unref(req->fading);
	request_end_patience(req);
	snapshot_unref(req->snapshot);
	json_decref(req->ask.body);
	free(req->claims);
	pool_put(&req->world->pool, req);
}

/* The only place that changes step, and the only place that frees. False once freed. */
static bool request_advance(struct request *req, enum next next) {
	static const char *const names[] = { "go on", "wait", "settle" };

	for (;;) {
		log_debug(req->world->log, "step", "request=%s step=%s next=\"%s\"", req->id, steps[req->step].name,
			  names[next]);
		if (next == WAIT) {
			req->waited = true;
			req->habit = NULL;
			return true;
		}
		req->step = (next == SETTLE && req->step < STEP_RECORD) ? STEP_RECORD : req->step + 1;
		if (req->step == ARRAY_SIZE(steps))
			break;
		next = steps[req->step].run(req);
	}
	request_free(req);
	return false;
}

static bool request_waits(const struct request *req) {
	return req->account_wait || req->mint_wait || req->recording;
}

/* PREFIX-NUMBER, without printf: it is on every request's way. */
static void request_name(struct request *req) {
	size_t n = strlen(req->world->id_prefix);
	uint64_t v = req->world->next_id++;
	char digits[24];
	size_t d = sizeof(digits);

	digits[--d] = '\0';
	do {
		digits[--d] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	digits[--d] = '-';
	memcpy(req->id, req->world->id_prefix, n);
	memcpy(req->id + n, digits + d, sizeof(digits) - d);
}

/* Nothing was looked at, nothing is given: there is nothing to record. */
static void request_without_memory(const struct ask *ask, request_reply_fn *reply, void *arg) {
	struct decision decision;
	struct error err;

	memset(&decision, 0, sizeof(decision));
	error_set(&err, ERR_UNAVAILABLE, "no memory for this request; try again");
	reply(&(struct request_outcome){ .id = "", .principal = "", .ask = ask, .decision = &decision, .error = &err, .now = clock_now().s }, arg);
	json_decref(ask->body);
}

void request_start(struct request_world *world, const struct peer *peer, const struct ask *ask,
		   request_reply_fn *reply, void *arg, struct request **out) {
	struct request *req = pool_get(&world->pool, sizeof(*req));

	if (!req) {
		*out = NULL;
		request_without_memory(ask, reply, arg);
		return;
	}
	memset(req, 0, offsetof(struct request, id));
	req->flight[0] = req->caller.principal[0] = req->error.message[0] = '\0';
	req->error.code = ERR_NONE;
	memset(&req->decision, 0, offsetof(struct decision, scopes));
	req->decision.n_scopes = 0;
	req->world = world;
	req->snapshot = snapshot_ref(world->snapshot);
	req->now = clock_now();
	memcpy(&req->ask, ask, offsetof(struct ask, scopes) + ask->n_scopes * sizeof(ask->scopes[0]));
	peer_copy(&req->peer, peer);
	req->caller.peer = &req->peer;
	req->reply = reply;
	req->arg = arg;
	request_name(req);
	*out = request_advance(req, steps[0].run(req)) ? req : NULL;
}

void request_abandon(struct request *req) {
	assert(request_waits(req)); /* called from the loop, so some step is waiting */
	req->abandoned = true;
	if (req->recording)
		return; /* the record is on its way; only the reply is saved */
	accounts_cancel(take(&req->account_wait));
	if (req->mint_wait)
		snprintf(req->flight, sizeof(req->flight), "%s", mint_wait_flight(req->mint_wait));
	request_end_patience(req);
	mint_cancel(take(&req->mint_wait));
	error_set(&req->error, ERR_CANCELLED, "%s",
		  req->world->stopping ? "hallpassd stopped before there was an answer" : "the client left");
	request_advance(req, SETTLE);
}

/* --- the minter's half of the record (mint.h): intents, and outcomes that nobody waited for */

/* An intent on its way to the disk. */
struct intent {
	struct flight *flight;
	struct audit_entry entry;
};

static void on_intent(struct audit_entry *entry, const struct error *err, void *arg) {
	struct intent *intent = arg;

	(void)entry;
	flight_intended(intent->flight, err);
	free(intent);
}

static int intend(void *arg, struct flight *flight, const char *flight_id, const struct mint_spec *spec, void *context,
		  struct error *err) {
	struct intent *intent = calloc(1, sizeof(*intent));
	const struct request *req = context;
	struct audit_record record;

	(void)spec;
	if (!intent)
		return error_set(err, ERR_INTERNAL, "out of memory");
	request_record(req, RECORD_INTENT, &record);
	record.flight = flight_id;
	record.cached = false; /* a refresh ahead is asked for by a request that was served from the cache */
	record.token_sha256 = NULL;
	record.expires_at = 0;
	intent->flight = flight;
	intent->entry = (struct audit_entry){ .done = on_intent, .arg = intent };
	if (append(arg, &record, &intent->entry, err) == 0)
		return 0;
	free(intent);
	return -1;
}

/* Everybody left; the token was minted all the same, or the call failed: nobody can deny it later. */
static void orphaned(void *arg, const char *flight_id, const struct mint_spec *spec, const struct token *token,
		     const struct error *err) {
	struct request_world *world = arg;
	struct error lost;
	struct audit_record record = {
		.type = token ? RECORD_ISSUED : RECORD_FAILED,
		.time = clock_now(),
		.flight = flight_id,
		.principal = spec->principal,
		.permission = permission_name(spec->permission),
		.target = spec->target,
		.scopes = spec->scopes,
		.n_scopes = spec->n_scopes,
		.lifetime_s = spec->permission != PERMISSION_SIGN_BLOB ? spec->lifetime_s : 0,
		.expires_at = token ? token->expires_at : 0,
		.token_sha256 = token ? token->sha256 : NULL,
		.upstream_ms = token ? token->upstream_ms : 0,
		.audience = spec->audience,
		.payload_sha256 = spec->payload_sha256,
		.undelivered = true,
		.error = token ? NULL : err->message,
	};

	if (append(world, &record, NULL, &lost) < 0)
		log_warning(world->log, "unrecorded", "flight=%s error=\"%s\"", flight_id, lost.message);
}

static int64_t now(void *arg) {
	(void)arg;
	return clock_now().s;
}

struct mint_ports request_mint_ports(struct request_world *world) {
	return (struct mint_ports){ .intend = intend, .orphaned = orphaned, .now = now, .world = world };
}
