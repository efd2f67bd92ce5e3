/*
 * See mint.h. A flight's way: intent -> credential -> call (-> pause -> credential -> call …) -> finish.
 * Each arrow is one operation under way and at most one timer; finishing takes the flight out of the table
 * first, so that done functions may begin the same mint again.
 */

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include "broker/cache.h"
#include "broker/clock.h"
#include "broker/log.h"
#include "broker/mint.h"
#include "broker/sha256.h"
#include "hallpass/ascii.h"
#include "hallpass/base64.h"
#include "hallpass/hex.h"

#define DEFAULT_DEADLINE_MS 10000
#define DEFAULT_FLIGHTS 1024
#define BUCKETS 256
#define MAX_CALLS 8 /* per flight, whatever the deadline */
#define FIRST_PAUSE_MS 100
#define MAX_PAUSE_MS 2000
#define REFRESH_PAUSE_S 5 /* between two refreshes of one spec */
#define FADING_LEAST_S 10 /* with less a client could not do much any more */
#define MAX_DELEGATES 16
#define MAX_TEXT 2048	   /* bytes of one scope, account, audience */
#define MAX_BODY (64 * 1024)
#define MAX_PAYLOAD (24 * 1024) /* bytes; escaped they take at most twice as many */
#define IDS_AT_ONCE 16 /* as many bytes as the kernel gives whole, whatever signal comes */
#define BEARER_HEAD 24 /* as much of the bearer as is enough to know it again in an error */

struct mint_wait {
	struct flight *flight;
	TAILQ_ENTRY(mint_wait) link;
	mint_done_fn *done;
	void *arg;
	int64_t expires_by;
	bool shared;
};

enum flight_state { INTENDING, CREDENTIAL, CALLING, PAUSING };

struct flight {
	struct minter *minter; /* NULL: gone; only flight_intended() is still to come */
	LIST_ENTRY(flight) same_bucket;
	uint64_t hash;
	char id[40];
	struct mint_spec *spec;
	TAILQ_HEAD(, mint_wait) waiting;
	enum flight_state state;
	bool intended;
	bool renewed;	/* a 401 cost us the credential's token once */
	unsigned calls;
	int64_t deadline_ms; /* monotonic */
	int64_t began_at;    /* Unix seconds */
	int64_t called_us;
	int status;	   /* last one from upstream */
	struct error last; /* why the last call has to be made again */
	struct source *source;
	struct source_wait *source_wait;
	int64_t bearer_expires_at;
	char bearer_head[BEARER_HEAD];
	size_t bearer_head_len;
	struct fetch *fetch;
	struct event *timer;
};

struct minter {
	struct event_base *base;
	struct fetcher *fetcher;
	struct source *source;
	struct log *log;
	struct mint_ports ports;
	char *iam_endpoint; /* NULL: by the source's universe */
	unsigned deadline_ms, max_flights, n_flights;
	uint64_t seed[2], random;
	unsigned char ids[IDS_AT_ONCE][16]; /* random; those of the next flights */
	size_t ids_left;
	struct cache *cache;
	struct mint_counters counters;
	LIST_HEAD(flights, flight) buckets[BUCKETS];
};

/* What differs between the calls. */
struct call {
	const char *verb;
	void (*add_body)(const struct mint_spec *spec, int64_t lifetime_s, struct buf *body);
	int (*read)(const json_t *answer, struct google_token *out, struct error *err);
	bool (*read_plain)(const char *answer, size_t len, struct google_token *out); /* without a tree; NULL: never */
};

static int64_t now_ms(void) {
	return clock_monotonic_us() / 1000;
}

static int64_t minter_now(const struct minter *minter) {
	return minter->ports.now(minter->ports.world);
}

/* xorshift64*: for jitter and nothing else. */
static uint32_t minter_random(struct minter *minter) {
	minter->random ^= minter->random >> 12;
	minter->random ^= minter->random << 25;
	minter->random ^= minter->random >> 27;
	return (uint32_t)(minter->random * 0x2545F4914F6CDD1D >> 32);
}

/* --- tokens */

struct token *token_ref(struct token *token) {
	token->refs++;
	return token;
}

void token_unref(struct token *token) {
	if (!token || --token->refs)
		return;
	secret_fini(&token->value);
	free(token);
}

/* Of a signature's bytes, in whatever form they are found. False: no memory. */
static bool token_hash(struct token *token, bool binary) {
	size_t len = token->value.len;
	char *bytes;
	bool ok;

	if (!binary) {
		sha256_hex(token->value.data, len, token->sha256);
		return true;
	}
	bytes = malloc(len / 4 * 3 + 3);
	ok = bytes && base64_decode(token->value.data, len, bytes, &len);
	if (ok)
		sha256_hex(bytes, len, token->sha256);
	wipe_free(bytes);
	return ok;
}

static struct token *token_new(const struct flight *flight, const struct google_token *from) {
	static uint64_t last_serial;
	struct token *token = calloc(1, sizeof(*token));

	if (!token || secret_set(&token->value, from->text, from->len) < 0) {
		free(token);
		return NULL;
	}
	token->refs = 1;
	token->plain = ascii_run(from->text, from->len, true) == from->len;
	token->serial = ++last_serial;
	token->minted_at = minter_now(flight->minter);
	token->expires_at = from->expires_at;
	token->asked_s = flight->spec->lifetime_s;
	token->upstream_ms = (unsigned)((clock_monotonic_us() - flight->called_us) / 1000);
	memcpy(token->flight, flight->id, sizeof(token->flight));
	if (from->key_id)
		snprintf(token->key_id, sizeof(token->key_id), "%s", from->key_id);
	if (token_hash(token, flight->spec->permission == PERMISSION_SIGN_BLOB))
		return token;
	token_unref(token);
	return NULL;
}

bool mint_should_refresh(const struct token *token, int64_t now, int64_t min_left_s) {
	int64_t left = token->expires_at - now, life = token->expires_at - token->minted_at;
	int64_t useful = life > min_left_s ? life - min_left_s : 0;

	return left > 0 && left - min_left_s < useful / 4;
}

/* --- flights: made, found, ended */

static void flight_free(struct flight *flight) {
	source_cancel(flight->source_wait);
	fetch_cancel(flight->fetch);
	source_unref(flight->source);
	if (flight->timer)
		event_free(flight->timer);
	free(flight->spec);
	wipe(flight->bearer_head, sizeof(flight->bearer_head));
	free(flight);
}

static void wait_end(struct mint_wait *wait, struct mint_result *result) {
	mint_done_fn *done = wait->done;
	void *arg = wait->arg;

	TAILQ_REMOVE(&wait->flight->waiting, wait, link);
	result->shared = wait->shared;
	free(wait);
	done(result, arg);
}

/* Everybody hears; nobody there: the record does. */
static void flight_tell(struct flight *flight, struct token *token, const struct error *err) {
	const struct mint_ports *ports = &flight->minter->ports;
	struct mint_wait *wait;

	if (TAILQ_EMPTY(&flight->waiting) && flight->intended)
		ports->orphaned(ports->world, flight->id, flight->spec, token, err);
	while ((wait = TAILQ_FIRST(&flight->waiting))) {
		struct mint_result result = {
			.flight_id = flight->id,
			.intended = flight->intended,
			.upstream_status = flight->status,
			.error = *err,
		};

		/* Joining has seen to it; this is the promise itself (P2). */
		if (token && token->expires_at > wait->expires_by)
			error_set(&result.error, ERR_UPSTREAM, "the shared token lives longer than this request may");
		else
			result.token = token;
		wait_end(wait, &result);
	}
}

bool mint_trouble_passes(const struct error *err) {
	return err->code == ERR_UPSTREAM || err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE || err->code == ERR_LIMIT;
}

/* token: ours to keep, NULL: err says why (it may be the flight's own). The flight is gone afterwards. */
static void flight_finish(struct flight *flight, struct token *token, const struct error *err) {
	struct minter *minter = flight->minter;

	LIST_REMOVE(flight, same_bucket);
	minter->n_flights--;
	event_del(flight->timer);
	if (token && !mint_signs(flight->spec->permission))
		cache_add(minter->cache, flight->spec, token, minter_now(minter));
	if (!token && mint_trouble_passes(err))
		cache_note_trouble(minter->cache, flight->spec, minter_now(minter));
	minter->counters.failures += token == NULL;
	flight_tell(flight, token, err);
	token_unref(token);
	flight_free(flight);
}

__attribute__((format(printf, 3, 4))) static void flight_fail(struct flight *flight, enum error_code code,
							      const char *fmt, ...) {
	struct error err = { .code = code };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.message, sizeof(err.message), fmt, ap);
	va_end(ap);
	flight_finish(flight, NULL, &err);
}

static int64_t flight_left_ms(const struct flight *flight) {
	return flight->deadline_ms - now_ms();
}

static void flight_arm(struct flight *flight, int64_t ms) {
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(flight->timer, &tv);
}

/* --- the calls */

static void add_list(struct buf *body, const char *key, const char *prefix, const char *const *list, size_t n) {
	buf_addc(body, '"');
	buf_adds(body, key);
	buf_adds(body, "\":[");
	for (size_t i = 0; i < n; i++) {
		struct buf name = BUF_INIT(MAX_TEXT + 64);

		buf_adds(&name, prefix);
		buf_adds(&name, list[i]);
		if (i)
			buf_addc(body, ',');
		buf_add_json(body, name.data, name.len);
		body->failed |= name.failed;
		buf_fini(&name);
	}
	buf_addc(body, ']');
}

static void add_delegates(const struct mint_spec *spec, struct buf *body) {
	if (!spec->n_delegates)
		return;
	buf_addc(body, ',');
	add_list(body, "delegates", "projects/-/serviceAccounts/", spec->delegates, spec->n_delegates);
}

static void add_access_token_body(const struct mint_spec *spec, int64_t lifetime_s, struct buf *body) {
	buf_addc(body, '{');
	add_list(body, "scope", "", spec->scopes, spec->n_scopes);
	buf_adds(body, ",\"lifetime\":\"");
	buf_addi(body, lifetime_s);
	buf_adds(body, "s\"");
	add_delegates(spec, body);
	buf_addc(body, '}');
}

static void add_id_token_body(const struct mint_spec *spec, int64_t lifetime_s, struct buf *body) {
	(void)lifetime_s;
	buf_adds(body, "{\"audience\":");
	buf_add_json(body, spec->audience, strlen(spec->audience));
	buf_addf(body, ",\"includeEmail\":%s%s", spec->include_email ? "true" : "false", spec->use_email_azp ? ",\"useEmailAzp\":true" : "");
	add_delegates(spec, body);
	buf_addc(body, '}');
}

static void add_sign_body(const struct mint_spec *spec, int64_t lifetime_s, struct buf *body) {
	(void)lifetime_s;
	buf_adds(body, "{\"payload\":");
	buf_add_json(body, spec->payload, strlen(spec->payload));
	add_delegates(spec, body);
	buf_addc(body, '}');
}

static const struct call calls[N_PERMISSIONS] = {
	[PERMISSION_GET_ACCESS_TOKEN] = { "generateAccessToken", add_access_token_body, google_iam_token, google_plain_iam_token },
	[PERMISSION_GET_OPEN_ID_TOKEN] = { "generateIdToken", add_id_token_body, google_id_token, NULL },
	[PERMISSION_SIGN_BLOB] = { "signBlob", add_sign_body, google_signed_blob, NULL },
	[PERMISSION_SIGN_JWT] = { "signJwt", add_sign_body, google_signed_jwt, NULL },
};

/* --- what came back */

static void flight_ask_credential(struct flight *flight);

/* Again, after a pause that fits the deadline; else what went wrong is the end. */
static void flight_again(struct flight *flight, int64_t retry_after_s) {
	unsigned doublings = flight->calls < 8 ? flight->calls - 1 : 7;
	uint32_t most = FIRST_PAUSE_MS << doublings;
	int64_t pause_ms;

	if (most > MAX_PAUSE_MS)
		most = MAX_PAUSE_MS;
	pause_ms = most / 2 + minter_random(flight->minter) % (most / 2);
	if (retry_after_s > 0)
		pause_ms += retry_after_s * 1000;
	if (flight->calls >= MAX_CALLS || pause_ms >= flight_left_ms(flight))
		return flight_finish(flight, NULL, &flight->last);
	flight->minter->counters.retries++;
	flight->state = PAUSING;
	flight_arm(flight, pause_ms);
}

static const char *who_calls(const struct flight *flight) {
	const char *email = source_email(flight->source);

	return email ? email : source_describe(flight->source);
}

/* What to do about it, for refusals whose words leave people guessing. */
static void add_hint(const struct flight *flight, const struct google_error *said, struct error *err) {
	size_t n = strlen(err->message);
	bool sentence = n > 0 && err->message[n - 1] == '.'; /* Google's full stop, not in the middle of ours */
	char *at = err->message + n - sentence;
	size_t size = sizeof(err->message) - n + sentence;
	bool access_token = flight->spec->permission == PERMISSION_GET_ACCESS_TOKEN;

	if (!strcmp(said->reason, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"))
		snprintf(at, size, "; the broker's own credential (%.80s) lacks the cloud-platform scope",
			 who_calls(flight));
	else if (!strcmp(said->reason, "SERVICE_DISABLED") && !source_quota_header(flight->source) &&
		 !strcmp(source_kind(flight->source), "authorized_user"))
		snprintf(at, size,
			 "; name a project of yours for it: `gcloud auth application-default set-quota-project PROJECT`, then "
			 "`hallpass reload`");
	else if (!strcmp(said->reason, "SERVICE_DISABLED"))
		snprintf(at, size, "; enable it: `gcloud services enable iamcredentials.googleapis.com`");
	else if (!strcmp(said->reason, "USER_PROJECT_DENIED"))
		snprintf(at, size, "; %.120s needs roles/serviceusage.serviceUsageConsumer there, or another quota project",
			 who_calls(flight));
	else if (flight->status == 403)
		snprintf(at, size,
			 "; the broker's own identity (%.120s) needs roles/iam.serviceAccountTokenCreator (Service "
			 "Account Token Creator) on %.120s; roles/iam.serviceAccountUser is not enough",
			 who_calls(flight), flight->spec->n_delegates ? flight->spec->delegates[0] : flight->spec->target);
	else if (flight->status == 400 && access_token && flight->spec->lifetime_s > 3600)
		snprintf(at, size,
			 "; more than 3600 s needs %.120s in the organisation policy constraint "
			 "iam.allowServiceAccountCredentialLifetimeExtension",
			 flight->spec->target);
}

static void flight_refused(struct flight *flight, const struct fetch_result *result) {
	const struct secret bearer = { flight->bearer_head, flight->bearer_head_len };
	struct google_error said;

	google_error_read(result->body, result->body_len, &bearer, 1, &said);
	error_set(&flight->last, ERR_UPSTREAM, "Google refuses %s for %.120s: HTTP %d: %s",
		  calls[flight->spec->permission].verb, flight->spec->target, result->status, said.words);
	if (result->status == 401 && !flight->renewed) {
		flight->renewed = true;
		flight->minter->counters.retries++;
		source_invalidate(flight->source, flight->bearer_expires_at);
		return flight_ask_credential(flight);
	}
	if (result->status == 429 || result->status >= 500)
		return flight_again(flight, result->retry_after_s);
	/* Not 502: libraries that ask us would try again, and again. */
	if (result->status >= 400 && result->status < 500 && result->status != 401)
		flight->last.code = ERR_REFUSED;
	add_hint(flight, &said, &flight->last);
	flight_finish(flight, NULL, &flight->last);
}

/* P2: a token that lives longer than this permission may is not released, not kept, and wiped with the answer. */
static int check_expiry(const struct flight *flight, const struct google_token *token, struct error *err) {
	int64_t now = minter_now(flight->minter);
	struct buf until = BUF_INIT(64);

	if (flight->spec->permission == PERMISSION_SIGN_BLOB) /* nobody can see an end in it */
		return 0;
	if (token->expires_at > now && token->expires_at <= flight->spec->expires_by)
		return 0;
	buf_add_time(&until, token->expires_at);
	if (token->expires_at <= now)
		error_set(err, ERR_UPSTREAM,
			  "Google answered with a token that ended at %s, %lld s ago by this machine's clock",
			  until.data ? until.data : "?", (long long)(now - token->expires_at));
	else
		error_set(err, ERR_UPSTREAM,
			  "Google answered with a token that lives until %s, %lld s past what the policy allows%s",
			  until.data ? until.data : "?", (long long)(token->expires_at - flight->spec->expires_by),
			  flight->spec->permission == PERMISSION_GET_OPEN_ID_TOKEN
				  ? "; Google's ID tokens live one hour, whatever is asked"
				  : "");
	buf_fini(&until);
	return -1;
}

/* NULL: it may not be given out, or there is no memory. */
static struct token *take_token(const struct flight *flight, const struct google_token *from, struct error *err) {
	struct token *token;

	if (check_expiry(flight, from, err) < 0)
		return NULL;
	token = token_new(flight, from);
	if (!token)
		error_set(err, ERR_INTERNAL, "out of memory");
	return token;
}

static struct token *read_token(const struct flight *flight, const struct fetch_result *result, struct error *err) {
	const struct call *call = &calls[flight->spec->permission];
	struct google_token from;
	struct token *token = NULL;
	json_t *answer;

	err->code = ERR_NONE;
	if (call->read_plain && call->read_plain(result->body, result->body_len, &from))
		return take_token(flight, &from, err);
	answer = google_json(result->body, result->body_len, err);
	if (answer && call->read(answer, &from, err) == 0) {
		token = take_token(flight, &from, err);
	} else {
		err->code = ERR_UPSTREAM;
		error_wrap(err, "Google's answer to %s", call->verb);
	}
	google_json_free(answer);
	return token;
}

static void on_answer(const struct fetch_result *result, void *arg) {
	struct flight *flight = arg;
	struct error err = { 0 };
	struct token *token;

	flight->fetch = NULL;
	flight->status = result->status;
	if (result->error.code != ERR_NONE) {
		error_set(&flight->last, result->error.code, "%s for %.120s: %s", calls[flight->spec->permission].verb,
			  flight->spec->target, result->error.message);
		if (result->transient)
			return flight_again(flight, -1);
		return flight_finish(flight, NULL, &flight->last);
	}
	if (result->status != 200)
		return flight_refused(flight, result);
	token = read_token(flight, result, &err);
	flight_finish(flight, token, &err);
}

/* --- the way there */

static void add_url(const struct flight *flight, struct buf *url) {
	const struct minter *minter = flight->minter;

	buf_adds(url, minter->iam_endpoint ? minter->iam_endpoint : "https://iamcredentials.");
	buf_adds(url, minter->iam_endpoint ? "" : source_universe(flight->source));
	buf_adds(url, "/v1/projects/-/serviceAccounts/");
	buf_adds(url, flight->spec->target);
	buf_addc(url, ':');
	buf_adds(url, calls[flight->spec->permission].verb);
}

/*
 * What is left by now of the lifetime that was decided: a call after a slow disk, a slow credential or another call must not
 * reach further than one made at once. That a second turned on the way to the first one is within every clock allowance.
 */
static int64_t flight_lifetime(const struct flight *flight) {
	int64_t waited = minter_now(flight->minter) - flight->began_at;
	int64_t left = flight->spec->lifetime_s - (waited > (flight->calls == 1) ? waited : 0);

	return left > 1 ? left : 1;
}

static int flight_fetch(struct flight *flight, const struct secret *bearer, int64_t left_ms, struct error *err) {
	const char *const headers[] = { "Content-Type: application/json", source_quota_header(flight->source), NULL };
	struct buf url = BUF_INIT(2 * MAX_TEXT), body = BUF_INIT(MAX_BODY);
	int r = -1;

	add_url(flight, &url);
	calls[flight->spec->permission].add_body(flight->spec, flight_lifetime(flight), &body);
	if (!buf_ok(&url) || !buf_ok(&body))
		error_set(err, ERR_INTERNAL, "out of memory");
	else
		r = fetch_start(flight->minter->fetcher,
				&(struct fetch_spec){
					.method = "POST",
					.url = url.data,
					.headers = headers,
					.bearer = bearer,
					.body = body.data,
					.body_len = body.len,
					.timeout_ms = (unsigned)left_ms,
					.body_max = GOOGLE_MAX_ANSWER,
				},
				on_answer, flight, &flight->fetch, err);
	buf_fini(&url);
	buf_fini(&body);
	return r;
}

static void flight_call(struct flight *flight, const struct secret *bearer, int64_t expires_at) {
	int64_t left_ms = flight_left_ms(flight);
	struct error failed;

	if (left_ms <= 0)
		return flight_fail(flight, ERR_TIMEOUT, "no time is left for %s",
				   calls[flight->spec->permission].verb);
	flight->bearer_expires_at = expires_at;
	flight->bearer_head_len = bearer->len < BEARER_HEAD ? bearer->len : BEARER_HEAD;
	memcpy(flight->bearer_head, bearer->data, flight->bearer_head_len);
	flight->state = CALLING;
	flight->calls++;
	flight->minter->counters.calls++;
	flight->called_us = clock_monotonic_us();
	if (flight_fetch(flight, bearer, left_ms, &failed) < 0)
		flight_finish(flight, NULL, &failed);
}

static void on_credential(const struct secret *bearer, int64_t expires_at, const struct error *err, void *arg) {
	struct flight *flight = arg;

	flight->source_wait = NULL;
	event_del(flight->timer);
	if (err->code != ERR_NONE)
		return flight_finish(flight, NULL, err);
	flight_call(flight, bearer, expires_at);
}

static void flight_ask_credential(struct flight *flight) {
	int64_t left_ms, expires_at;
	const struct secret *bearer = source_in_hand(flight->source, &expires_at);

	if (bearer)
		return flight_call(flight, bearer, expires_at);
	left_ms = flight_left_ms(flight);
	flight->state = CREDENTIAL;
	flight_arm(flight, left_ms > 0 ? left_ms : 0);
	flight->source_wait = source_token(flight->source, on_credential, flight);
	if (!flight->source_wait)
		flight_fail(flight, ERR_UNAVAILABLE, "no memory for this; try again");
}

static void on_flight_timer(evutil_socket_t fd, short events, void *arg) {
	struct flight *flight = arg;
	const char *calling;

	(void)fd, (void)events;
	if (flight->state == PAUSING)
		return flight_ask_credential(flight);
	assert(flight->state == CREDENTIAL);
	calling = source_waits_for(flight->source);
	flight_fail(flight, ERR_TIMEOUT, "credential %s: %s%sno token in time", source_describe(flight->source), calling ? calling : "",
		    calling ? ": " : "");
}

void flight_intended(struct flight *flight, const struct error *err) {
	assert(flight->state == INTENDING && !flight->intended);
	if (!flight->minter)
		return flight_free(flight);
	if (err->code != ERR_NONE)
		return flight_finish(flight, NULL, err);
	flight->intended = true;
	flight_ask_credential(flight);
}

static int flight_set_id(struct flight *flight, struct error *err) {
	struct minter *minter = flight->minter;

	if (minter->ids_left == 0) {
		if (getrandom(minter->ids, sizeof(minter->ids), 0) != (ssize_t)sizeof(minter->ids))
			return error_set(err, ERR_INTERNAL, "no randomness");
		minter->ids_left = IDS_AT_ONCE;
	}
	hex_text(flight->id, minter->ids[--minter->ids_left], sizeof(minter->ids[0]));
	return 0;
}

static int flight_begin(struct minter *minter, const struct mint_spec *spec, uint64_t hash, void *context, struct flight **out,
			struct error *err) {
	struct flight *flight;

	if (minter->n_flights >= minter->max_flights)
		return error_set(err, ERR_LIMIT, "%u mints are under way already", minter->n_flights);
	flight = calloc(1, sizeof(*flight));
	if (!flight)
		return error_set(err, ERR_INTERNAL, "out of memory");
	TAILQ_INIT(&flight->waiting);
	flight->minter = minter;
	flight->deadline_ms = now_ms() + minter->deadline_ms;
	flight->began_at = minter_now(minter);
	flight->hash = hash;
	flight->spec = mint_spec_copy(spec);
	flight->timer = evtimer_new(minter->base, on_flight_timer, flight);
	flight->source = source_ref(minter->source);
	if (!flight->spec || !flight->timer) {
		flight_free(flight);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (flight_set_id(flight, err) < 0 ||
	    minter->ports.intend(minter->ports.world, flight, flight->id, flight->spec, context, err) < 0) {
		flight_free(flight);
		return -1;
	}
	LIST_INSERT_HEAD(&minter->buckets[flight->hash % BUCKETS], flight, same_bucket);
	minter->n_flights++;
	*out = flight;
	return 0;
}

/*
 * What another request asked for has to be three quarters of the time at least, so that nobody gets minutes for the hour
 * that was asked. ID tokens all live as long.
 */
static bool asks_enough(int64_t asked_s, const struct mint_spec *spec) {
	return spec->permission == PERMISSION_GET_OPEN_ID_TOKEN || asked_s >= spec->lifetime_s - spec->lifetime_s / 4;
}

/* A flight whose token will fit this request: its bounds are inside this one's, and it asks for enough. */
static bool flight_serves(const struct flight *flight, const struct mint_spec *spec) {
	return flight->spec->expires_by <= spec->expires_by && asks_enough(flight->spec->lifetime_s, spec) &&
	       (spec->permission == PERMISSION_GET_OPEN_ID_TOKEN || flight->spec->lifetime_s <= spec->lifetime_s);
}

/* any: of the same key, whatever its bounds. */
static struct flight *flight_find(struct minter *minter, const struct mint_spec *spec, uint64_t hash, bool any) {
	struct flight *flight;

	LIST_FOREACH(flight, &minter->buckets[hash % BUCKETS], same_bucket) {
		if (flight->hash == hash && mint_spec_same(flight->spec, spec) &&
		    (any || flight_serves(flight, spec)))
			return flight;
	}
	return NULL;
}

/* --- what may be asked at all; the policy has seen it, but URLs and bodies are made here */

static bool is_account(const char *text) {
	size_t n = text ? strlen(text) : 0;

	return n > 0 && n <= 256 && text[0] != '.' &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._@") == n;
}

/* A call whose answer could not be released is not made. */
static int check_id_token_life(const struct mint_spec *spec, int64_t now, struct error *err) {
	int64_t left = spec->expires_by - now;

	if (spec->permission != PERMISSION_GET_OPEN_ID_TOKEN || left >= MINT_ID_TOKEN_LIFE)
		return 0;
	/* expires_by is wider than what the policy says by the allowance for the clocks. */
	if (left > spec->lifetime_s)
		left = spec->lifetime_s;
	return error_set(err, ERR_DENIED,
			 "Google's ID tokens live one hour, whatever is asked, but this permission allows %lld s: it takes a "
			 "maxLifetime of 1h and a window with an hour left",
			 (long long)(left > 0 ? left : 0));
}

static int check_access_token(const struct mint_spec *spec, struct error *err) {
	if (spec->n_scopes < 1 || spec->n_scopes > POLICY_MAX_SCOPES)
		return error_set(err, ERR_INVALID, "an access token needs 1 to %d scopes", POLICY_MAX_SCOPES);
	if (spec->lifetime_s < 1 || spec->lifetime_s > POLICY_MAX_LIFETIME)
		return error_set(err, ERR_INVALID, "the lifetime is not 1 to %d s", POLICY_MAX_LIFETIME);
	for (size_t i = 0; i < spec->n_scopes; i++) {
		if (!*spec->scopes[i] || strlen(spec->scopes[i]) > MAX_TEXT)
			return error_set(err, ERR_INVALID, "a scope is empty or over %d bytes", MAX_TEXT);
	}
	return 0;
}

static int check_id_token(const struct mint_spec *spec, struct error *err) {
	if (!spec->audience || !*spec->audience || strlen(spec->audience) > MAX_TEXT)
		return error_set(err, ERR_INVALID, "an ID token needs an audience of at most %d bytes", MAX_TEXT);
	return 0;
}

static int check_payload(const struct mint_spec *spec, struct error *err) {
	if (!spec->payload || !*spec->payload || strlen(spec->payload) > MAX_PAYLOAD || !spec->payload_sha256)
		return error_set(err, ERR_INVALID, "a signature needs a payload of at most %d bytes", MAX_PAYLOAD);
	return 0;
}

static int check_spec(const struct mint_spec *spec, struct error *err) {
	static int (*const checks[N_PERMISSIONS])(const struct mint_spec *spec, struct error *err) = {
		[PERMISSION_GET_ACCESS_TOKEN] = check_access_token,
		[PERMISSION_GET_OPEN_ID_TOKEN] = check_id_token,
		[PERMISSION_SIGN_BLOB] = check_payload,
		[PERMISSION_SIGN_JWT] = check_payload,
	};

	if ((unsigned)spec->permission >= N_PERMISSIONS || !checks[spec->permission])
		return error_set(err, ERR_INVALID, "there is no call for this permission");
	if (!spec->principal || !is_account(spec->target))
		return error_set(err, ERR_INVALID, "the target is not a service account's email");
	if (checks[spec->permission](spec, err) < 0)
		return -1;
	if (spec->n_delegates > MAX_DELEGATES)
		return error_set(err, ERR_INVALID, "more than %d delegates", MAX_DELEGATES);
	for (size_t i = 0; i < spec->n_delegates; i++) {
		if (!is_account(spec->delegates[i]))
			return error_set(err, ERR_INVALID, "a delegate is not a service account's email");
	}
	return 0;
}

/* --- entry points */

uint64_t minter_hash(const struct minter *minter, const struct mint_spec *spec) {
	return mint_spec_hash(spec, minter->seed);
}

struct token *mint_cached(struct minter *minter, const struct mint_spec *spec, int64_t now, int64_t min_left_s) {
	struct token *token = cache_find(minter->cache, spec, now, min_left_s);

	if (!token || !asks_enough(token->asked_s, spec)) {
		minter->counters.misses++;
		return NULL;
	}
	minter->counters.hits++;
	return token_ref(token);
}

struct token *mint_fading(struct minter *minter, const struct mint_spec *spec, int64_t now) {
	struct token *token = cache_find(minter->cache, spec, now, FADING_LEAST_S);

	return token ? token_ref(token) : NULL;
}

bool mint_had_trouble(struct minter *minter, const struct mint_spec *spec, int64_t now) {
	return cache_had_trouble(minter->cache, spec, now, REFRESH_PAUSE_S);
}

struct mint_wait *mint_start(struct minter *minter, const struct mint_spec *spec, void *context, mint_done_fn *done,
			     void *arg, struct error *err) {
	struct mint_wait *wait;
	struct flight *flight;
	uint64_t hash;

	if (check_spec(spec, err) < 0 || check_id_token_life(spec, minter_now(minter), err) < 0)
		return NULL;
	wait = calloc(1, sizeof(*wait));
	if (!wait) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	*wait = (struct mint_wait){ .done = done, .arg = arg, .expires_by = spec->expires_by };
	hash = mint_spec_hash(spec, minter->seed);
	flight = mint_signs(spec->permission) ? NULL : flight_find(minter, spec, hash, false);
	wait->shared = flight != NULL;
	minter->counters.coalesced += wait->shared;
	if (!flight && flight_begin(minter, spec, hash, context, &flight, err) < 0) {
		free(wait);
		return NULL;
	}
	wait->flight = flight;
	TAILQ_INSERT_TAIL(&flight->waiting, wait, link);
	return wait;
}

const char *mint_wait_flight(const struct mint_wait *wait) {
	return wait->flight->id;
}

void mint_cancel(struct mint_wait *wait) {
	if (!wait)
		return;
	TAILQ_REMOVE(&wait->flight->waiting, wait, link);
	free(wait);
}

void mint_give_up(struct mint_wait *wait) {
	struct flight *flight = wait->flight;

	cache_note_trouble(flight->minter->cache, flight->spec, minter_now(flight->minter));
	mint_cancel(wait);
}

void mint_refresh(struct minter *minter, const struct mint_spec *spec, void *context) {
	int64_t now = minter_now(minter);
	struct token *best = cache_find(minter->cache, spec, now, 0);
	uint64_t hash = mint_spec_hash(spec, minter->seed);
	struct flight *flight;
	struct error err;

	/* In a closing window the successor would end no later than what we have. */
	if (best && (spec->expires_by <= best->expires_at || now + spec->lifetime_s <= best->expires_at))
		return;
	if (check_spec(spec, &err) < 0 || check_id_token_life(spec, now, &err) < 0 || flight_find(minter, spec, hash, true))
		return;
	if (!cache_admit_refresh(minter->cache, spec, now, REFRESH_PAUSE_S))
		return;
	if (flight_begin(minter, spec, hash, context, &flight, &err) < 0)
		log_warning(minter->log, "refresh-refused", "target=%s error=%s", spec->target, err.message);
}

int minter_new(struct event_base *base, struct fetcher *fetcher, struct source *source,
	       const struct mint_options *options, const struct mint_ports *ports, struct log *log,
	       struct minter **out, struct error *err) {
	struct minter *minter = calloc(1, sizeof(*minter));

	if (!minter)
		return error_set(err, ERR_INTERNAL, "out of memory");
	minter->base = base;
	minter->fetcher = fetcher;
	minter->source = source_ref(source);
	minter->log = log;
	minter->ports = *ports;
	minter->deadline_ms = options->deadline_ms ? options->deadline_ms : DEFAULT_DEADLINE_MS;
	minter->max_flights = options->max_flights ? options->max_flights : DEFAULT_FLIGHTS;
	minter->iam_endpoint = options->iam_endpoint ? strdup(options->iam_endpoint) : NULL;
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&minter->buckets[i]);
	if (getrandom(minter->seed, sizeof(minter->seed), 0) == (ssize_t)sizeof(minter->seed))
		minter->cache = cache_new(options->max_cached, minter->seed);
	minter->random = minter->seed[0] | 1;
	if (!minter->cache || (options->iam_endpoint && !minter->iam_endpoint)) {
		minter_free(minter);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	*out = minter;
	return 0;
}

static void flight_abandon(struct flight *flight) {
	struct error over;

	error_set(&over, ERR_CANCELLED, "hallpassd is stopping");
	if (flight->state != INTENDING)
		return flight_finish(flight, NULL, &over);
	/* The record still holds a pointer to it. */
	LIST_REMOVE(flight, same_bucket);
	flight_tell(flight, NULL, &over);
	source_unref(flight->source);
	flight->source = NULL;
	flight->minter = NULL;
}

void minter_free(struct minter *minter) {
	struct flight *flight;

	if (!minter)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while ((flight = LIST_FIRST(&minter->buckets[i])))
			flight_abandon(flight);
	}
	cache_free(minter->cache);
	source_unref(minter->source);
	free(minter->iam_endpoint);
	free(minter);
}

void minter_set_source(struct minter *minter, struct source *source) {
	source_ref(source);
	source_unref(minter->source);
	minter->source = source;
}

const char *minter_universe(const struct minter *minter) {
	return source_universe(minter->source);
}

void mint_counters(const struct minter *minter, struct mint_counters *out) {
	*out = minter->counters;
	out->cached = cache_count(minter->cache);
	out->flights = minter->n_flights;
}
