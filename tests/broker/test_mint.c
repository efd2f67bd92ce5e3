/* mint: intent before call, one call for equal requests, retries inside the deadline, and no token past its permission. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/log.h"
#include "broker/mint.h"
#include "hallpass/buf.h"
#include "tests/lib/httpstub.h"

#define NOW 1800000000 /* 2027-01-15T08:00:00Z */
#define TARGET "train@acme.iam.gserviceaccount.com"
#define ACCESS "POST /v1/projects/-/serviceAccounts/" TARGET ":generateAccessToken"
#define ID "POST /v1/projects/-/serviceAccounts/" TARGET ":generateIdToken"
#define MAX_WAITS 300

enum intend { INTEND_LATER, INTEND_REFUSE, INTEND_FAIL, INTEND_NEVER };

struct world {
	struct event_base *base;
	struct httpstub *stub;
	struct fetcher *fetcher;
	struct source *source;
	struct minter *minter;
	struct log log;
	int64_t now;
	char file[64], texts[64][256];
	int n_texts;

	enum intend intend;
	struct flight *intending[MAX_WAITS];
	int n_intending, intents;
	struct event *intended;
	void *last_context;

	int orphans;
	char orphan_token[64];
	struct error orphan_error;

	int done;
	struct mint_result last;
	struct token *token;
	int started_again;
};

static int64_t world_now(void *arg) {
	return ((struct world *)arg)->now;
}

static int world_intend(void *arg, struct flight *flight, const char *flight_id, const struct mint_spec *spec,
			void *context, struct error *err) {
	struct world *w = arg;

	assert_int_equal(strlen(flight_id), 32);
	assert_string_equal(spec->target, TARGET);
	w->intents++;
	w->last_context = context;
	if (w->intend == INTEND_REFUSE)
		return error_set(err, ERR_UNAVAILABLE, "no room on disk");
	w->intending[w->n_intending++] = flight;
	if (w->intend != INTEND_NEVER)
		event_active(w->intended, EV_TIMEOUT, 0);
	return 0;
}

static void on_intended(evutil_socket_t fd, short events, void *arg) {
	struct world *w = arg;
	struct error err = { 0 };

	(void)fd, (void)events;
	if (w->intend == INTEND_FAIL)
		error_set(&err, ERR_UNAVAILABLE, "the disk is gone");
	while (w->n_intending)
		flight_intended(w->intending[--w->n_intending], &err);
}

static void world_orphaned(void *arg, const char *flight_id, const struct mint_spec *spec, const struct token *token,
			   const struct error *err) {
	struct world *w = arg;

	assert_non_null(flight_id);
	assert_string_equal(spec->target, TARGET);
	w->orphans++;
	snprintf(w->orphan_token, sizeof(w->orphan_token), "%s", token ? token->value.data : "");
	w->orphan_error = *err;
}

static void make_minter(struct world *w, struct mint_options options) {
	const struct mint_ports ports = { world_intend, world_orphaned, world_now, w };
	struct error err;

	minter_free(w->minter);
	options.iam_endpoint = httpstub_url(w->stub);
	options.max_cached = 64;
	assert_int_equal(minter_new(w->base, w->fetcher, w->source, &options, &ports, &w->log, &w->minter, &err), 0);
}

static void write_credential(struct world *w) {
	FILE *f;

	snprintf(w->file, sizeof(w->file), "/tmp/hallpass-mint-XXXXXX");
	f = fdopen(mkstemp(w->file), "w");
	fprintf(f,
		"{\"type\":\"authorized_user\",\"client_id\":\"id\",\"client_secret\":\"s\",\"refresh_token\":\"r\","
		"\"account\":\"broker@acme.iam.gserviceaccount.com\",\"token_uri\":\"%s/token\"}",
		httpstub_url(w->stub));
	fclose(f);
}

static int setup(void **state) {
	struct world *w = calloc(1, sizeof(*w));
	struct source_options options = { .file = w->file, .now = world_now, .world = w };
	struct error err;

	w->now = NOW;
	log_init(&w->log, 2, LOG_LEVEL_ERROR);
	w->base = event_base_new();
	w->stub = httpstub_new(NULL, NULL);
	w->intended = event_new(w->base, -1, 0, on_intended, w);
	write_credential(w);
	httpstub_on(w->stub, "POST /token",
		    &STUB(200, NULL, "{\"access_token\":\"ya29.broker-itself-0123456789\",\"expires_in\":3600}"));
	assert_int_equal(fetcher_new(w->base, &(struct fetch_options){ 0 }, &w->log, &w->fetcher, &err), 0);
	if (source_open(w->base, w->fetcher, &options, &w->log, &w->source, &err) < 0)
		fail_msg("%s", err.message);
	make_minter(w, (struct mint_options){ .deadline_ms = 15000 });
	*state = w;
	return 0;
}

static int teardown(void **state) {
	struct world *w = *state;

	minter_free(w->minter);
	source_unref(w->source);
	fetcher_free(w->fetcher);
	httpstub_free(w->stub);
	event_free(w->intended);
	event_base_free(w->base);
	token_unref(w->token);
	unlink(w->file);
	free(w);
	return 0;
}

/* An answer with a token that ends so many seconds after NOW. */
static const char *answer(struct world *w, const char *token, int64_t ends_in_s) {
	struct buf text = BUF_INIT(256);
	char *to = w->texts[w->n_texts++];

	buf_addf(&text, "{\"accessToken\":\"%s\",\"expireTime\":\"", token);
	buf_add_time(&text, NOW + ends_in_s);
	buf_adds(&text, "\"}");
	snprintf(to, sizeof(w->texts[0]), "%s", text.data);
	buf_fini(&text);
	return to;
}

static void reply(struct world *w, int status, const char *headers, const char *body) {
	httpstub_on(w->stub, ACCESS, &STUB(status, headers, body));
}

static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform",
				      "https://www.googleapis.com/auth/bigquery" };
static const char *const scopes_turned[] = { "https://www.googleapis.com/auth/bigquery",
					     "https://www.googleapis.com/auth/cloud-platform" };

static struct mint_spec spec_of(int64_t lifetime_s) {
	return (struct mint_spec){
		.permission = PERMISSION_GET_ACCESS_TOKEN,
		.principal = "user:alice@example.com",
		.target = TARGET,
		.scopes = scopes,
		.n_scopes = 2,
		.lifetime_s = lifetime_s,
		.expires_by = NOW + lifetime_s + 30,
	};
}

static void on_done(const struct mint_result *result, void *arg) {
	struct world *w = arg;

	w->done++;
	w->last = *result;
	w->last.token = NULL;
	token_unref(w->token);
	w->token = result->token ? token_ref(result->token) : NULL;
}

static struct mint_wait *start(struct world *w, const struct mint_spec *spec) {
	struct error err;
	struct mint_wait *wait = mint_start(w->minter, spec, w, on_done, w, &err);

	if (!wait)
		fail_msg("%s", err.message);
	return wait;
}

static void mint(struct world *w, const struct mint_spec *spec) {
	int before = w->done;

	start(w, spec);
	assert_int_equal(w->done, before);
	run_until(w->base, &w->done, before + 1);
}

static void test_mint_asks_for_what_was_decided(void **state) {
	static const char *const delegates[] = { "first@acme.iam.gserviceaccount.com",
						 "second@acme.iam.gserviceaccount.com" };
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	char *seen;

	spec.delegates = delegates;
	spec.n_delegates = 2;
	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_string_equal(w->token->value.data, "ya29.minted");
	assert_true(w->token->plain);
	assert_int_equal(w->token->expires_at, NOW + 900);
	assert_int_equal(w->token->minted_at, NOW);
	assert_string_equal(w->token->sha256, "1aeb7046289bb5a4700a13ddc025bfa8694189648eb6602b8814c9af1b587f15");
	assert_int_equal(strlen(w->token->flight), 32);
	assert_true(w->last.intended && !w->last.shared);
	assert_int_equal(w->last.upstream_status, 200);
	assert_ptr_equal(w->last_context, w);
	seen = httpstub_request(w->stub, ACCESS, 0);
	assert_non_null(strstr(seen, "Authorization: Bearer ya29.broker-itself-0123456789\r\n"));
	assert_non_null(strstr(seen, "\r\n\r\n{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\","
				     "\"https://www.googleapis.com/auth/bigquery\"],\"lifetime\":\"900s\",\"delegates\":["
				     "\"projects/-/serviceAccounts/first@acme.iam.gserviceaccount.com\","
				     "\"projects/-/serviceAccounts/second@acme.iam.gserviceaccount.com\"]}"));
	free(seen);
}

static void test_mint_calls_nobody_without_an_intent(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct error err;

	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	w->intend = INTEND_REFUSE;
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	w->intend = INTEND_FAIL;
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_UNAVAILABLE);
	assert_false(w->last.intended);
	assert_null(w->token);
	assert_int_equal(httpstub_count(w->stub, NULL), 0);
}

static void test_mint_tries_again_after_trouble(void **state) {
	static const struct httpstub_reply troubles[] = {
		{ .status = 500, .body = "{}" },	  { .status = 503, .body = "<html>" },
		{ .status = 429, .body = "{}" },	  { .action = STUB_RESET },
		{ .status = 200, .body = "{\"accessToken\":\"half", .action = STUB_HALF },
	};
	struct world *w = *state;
	struct mint_counters counters;

	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		struct mint_spec spec = spec_of(900 + (int64_t)i);

		teardown(state);
		setup(state);
		w = *state;
		httpstub_on(w->stub, ACCESS, &troubles[i]);
		reply(w, 200, NULL, answer(w, "ya29.second", 900));
		mint(w, &spec);
		if (w->last.error.code != ERR_NONE)
			fail_msg("trouble %zu: %s", i, w->last.error.message);
		assert_string_equal(w->token->value.data, "ya29.second");
		mint_counters(w->minter, &counters);
		/* libcurl itself repeats a request on a kept connection that was reset before any answer. */
		assert_int_equal(httpstub_count(w->stub, ACCESS), 2);
		assert_int_equal(counters.calls, counters.retries + 1);
		assert_int_equal(w->intents, 1);
	}
}

/* What a login costs goes to the project that its file names: gcloud's own answers for no API. */
static void test_mint_names_the_quota_project(void **state) {
	struct world *w = *state;
	struct source_options options = { .file = w->file, .now = world_now, .world = w };
	struct mint_spec spec = spec_of(900);
	struct source *charged;
	struct error err;
	char *seen;
	FILE *f = fopen(w->file, "w");

	fprintf(f,
		"{\"type\":\"authorized_user\",\"client_id\":\"id\",\"client_secret\":\"s\",\"refresh_token\":\"r\","
		"\"quota_project_id\":\"acme-ml\",\"token_uri\":\"%s/token\"}",
		httpstub_url(w->stub));
	fclose(f);
	reply(w, 200, NULL, answer(w, "ya29.one", 900));
	mint(w, &spec);
	seen = httpstub_request(w->stub, ACCESS, 0);
	assert_null(strcasestr(seen, "\r\nX-Goog-User-Project:"));
	free(seen);
	if (source_open(w->base, w->fetcher, &options, &w->log, &charged, &err) < 0)
		fail_msg("%s", err.message);
	minter_set_source(w->minter, charged);
	source_unref(charged);
	mint(w, &spec);
	seen = httpstub_request(w->stub, ACCESS, 1);
	assert_non_null(strstr(seen, "\r\nX-Goog-User-Project: acme-ml\r\n"));
	free(seen);
}

static void test_mint_does_not_repeat_refusals(void **state) {
	static const struct {
		int status;
		const char *body, *says;
	} cases[] = {
		{ 400, "{\"error\":{\"code\":400,\"message\":\"Request contains an invalid argument.\","
		       "\"status\":\"INVALID_ARGUMENT\"}}",
		  "INVALID_ARGUMENT: Request contains an invalid argument." },
		{ 403, "{\"error\":{\"code\":403,\"message\":\"Permission 'iam.serviceAccounts.getAccessToken' denied on "
		       "resource (or it may not exist).\",\"status\":\"PERMISSION_DENIED\",\"details\":[{\"reason\":"
		       "\"IAM_PERMISSION_DENIED\"}]}}",
		  "the broker's own identity (broker@acme.iam.gserviceaccount.com) needs "
		  "roles/iam.serviceAccountTokenCreator (Service Account Token Creator) on " TARGET
		  "; roles/iam.serviceAccountUser is not enough" },
		{ 403, "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"details\":[{\"reason\":"
		       "\"ACCESS_TOKEN_SCOPE_INSUFFICIENT\"}]}}",
		  "lacks the cloud-platform scope" },
		{ 403, "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}",
		  "; name a project of yours for it: `gcloud auth application-default set-quota-project PROJECT`" },
		{ 403, "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"details\":[{\"reason\":\"USER_PROJECT_DENIED\"}]}}",
		  "; broker@acme.iam.gserviceaccount.com needs roles/serviceusage.serviceUsageConsumer there" },
		{ 404, "not json", "an error that cannot be read" },
		{ 403, "{\"error\":{\"message\":\"you sent ya29.broker-itself-0123456789\"}}", "is not shown" },
		{ 302, "", "HTTP 302" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mint_spec spec = spec_of(900);

		teardown(state);
		setup(state);
		w = *state;
		reply(w, cases[i].status, NULL, cases[i].body);
		mint(w, &spec);
		assert_int_equal(w->last.error.code, cases[i].status >= 400 ? ERR_REFUSED : ERR_UPSTREAM);
		assert_int_equal(w->last.upstream_status, cases[i].status);
		assert_true(w->last.intended);
		if (!strstr(w->last.error.message, cases[i].says))
			fail_msg("'%s' without '%s'", w->last.error.message, cases[i].says);
		assert_null(strstr(w->last.error.message, "ya29."));
		assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
	}
}

static void test_mint_names_the_constraint_for_long_lifetimes(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(7200);

	reply(w, 400, NULL, "{\"error\":{\"message\":\"no\",\"status\":\"INVALID_ARGUMENT\"}}");
	mint(w, &spec);
	assert_non_null(strstr(w->last.error.message, "iam.allowServiceAccountCredentialLifetimeExtension"));
}

static void test_mint_renews_the_credential_once_after_401(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	reply(w, 401, NULL, "{\"error\":{\"status\":\"UNAUTHENTICATED\"}}");
	reply(w, 200, NULL, answer(w, "ya29.second", 900));
	reply(w, 401, NULL, "{\"error\":{\"status\":\"UNAUTHENTICATED\"}}");
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(httpstub_count(w->stub, "POST /token"), 2);
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_int_equal(w->last.upstream_status, 401);
	assert_int_equal(httpstub_count(w->stub, ACCESS), 4);
}

static void test_mint_honours_retry_after_that_fits(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	int64_t began = clock_monotonic_us();

	reply(w, 429, "Retry-After: 1\r\n", "{}");
	reply(w, 200, NULL, answer(w, "ya29.second", 900));
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_true(clock_monotonic_us() - began >= 1000000);
}

static void test_mint_gives_up_at_once_when_retry_after_does_not_fit(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	int64_t began = clock_monotonic_us();

	reply(w, 429, "Retry-After: 30\r\n", "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"slow down\"}}");
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_non_null(strstr(w->last.error.message, "slow down"));
	assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
	assert_true(clock_monotonic_us() - began < 10000000);
}

static void test_mint_keeps_its_deadline(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	make_minter(w, (struct mint_options){ .deadline_ms = 300 });
	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .action = STUB_HANG });
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_TIMEOUT);
	assert_true(w->last.intended);
}

static void test_mint_keeps_its_deadline_while_the_credential_hangs(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	char says[128];

	httpstub_on(w->stub, "POST /token", &(struct httpstub_reply){ .action = STUB_HANG });
	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	mint(w, &spec); /* takes the good credential; the next one hangs */
	w->now += 3600;
	spec.expires_by += 3600;
	make_minter(w, (struct mint_options){ .deadline_ms = 300 });
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_TIMEOUT);
	assert_non_null(strstr(w->last.error.message, "authorized_user"));
	snprintf(says, sizeof(says), "): POST %s/token: no token in time", httpstub_url(w->stub));
	assert_non_null(strstr(w->last.error.message, says));
}

/* P2. */
static void test_mint_releases_no_token_that_outlives_its_permission(void **state) {
	static const struct {
		const char *body, *says;
	} lies[] = {
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"2027-01-15T08:15:31Z\"}", "lives until 2027-01-15T08:15:31Z, "
											   "1 s past what the policy allows" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"2027-01-15T08:15:30.000000001Z\"}", "1 s past" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"9999-12-31T23:59:59Z\"}", "past what the policy allows" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"2027-01-15T08:00:00Z\"}", "ended at" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"1970-01-01T00:00:00Z\"}", "ended at" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"tomorrow\"}", "expireTime is not a time" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"2027-02-30T08:10:00Z\"}", "expireTime is not a time" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":1800000100}", "expireTime is not a string" },
		{ "{\"accessToken\":\"ya29.lie\"}", "expireTime is missing" },
		{ "{\"accessToken\":\"\",\"expireTime\":\"2027-01-15T08:10:00Z\"}", "accessToken is empty" },
		{ "{\"accessToken\":5,\"expireTime\":\"2027-01-15T08:10:00Z\"}", "accessToken is not a string" },
		{ "{\"accessToken\":\"ya29.a b\",\"expireTime\":\"2027-01-15T08:10:00Z\"}", "no token has" },
		{ "{\"accessToken\":\"ya29.lie\",\"accessToken\":\"ya29.two\",\"expireTime\":\"2027-01-15T08:10:00Z\"}",
		  "appears twice" },
		{ "[\"ya29.lie\"]", "not a JSON object" },
		{ "{\"accessToken\":\"ya29.lie\",\"expireTime\":\"2027-01-15T08:10:00Z\"} x", "not JSON" },
		{ "", "not JSON" },
	};
	struct world *w = *state;
	struct mint_counters counters;
	struct mint_spec spec = spec_of(900);

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		teardown(state);
		setup(state);
		w = *state;
		reply(w, 200, NULL, lies[i].body);
		mint(w, &spec);
		assert_null(w->token);
		assert_int_equal(w->last.error.code, ERR_UPSTREAM);
		if (!strstr(w->last.error.message, lies[i].says))
			fail_msg("'%s' without '%s'", w->last.error.message, lies[i].says);
		assert_null(strstr(w->last.error.message, "ya29."));
		mint_counters(w->minter, &counters);
		assert_int_equal(counters.cached, 0);
		assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
	}
}

static void test_mint_refuses_a_huge_answer(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .status = 200, .body_size = 10 * 1000 * 1000 });
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_non_null(strstr(w->last.error.message, "longer than"));
	assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
}

static void test_mint_shares_one_call_among_256(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct mint_counters counters;

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .status = 200, .body = answer(w, "ya29.minted", 900),
							       .action = STUB_HOLD });
	for (int i = 0; i < 256; i++) {
		/* Seconds go by while they arrive, and some say their scopes in another order. */
		spec.expires_by += i % 64 == 63;
		spec.scopes = i % 2 ? scopes : scopes_turned;
		start(w, &spec);
	}
	httpstub_release(w->stub);
	run_until(w->base, &w->done, 256);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_true(w->last.shared);
	assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
	assert_int_equal(httpstub_count(w->stub, "POST /token"), 1);
	assert_int_equal(w->intents, 1);
	assert_int_equal(w->orphans, 0);
	mint_counters(w->minter, &counters);
	assert_int_equal(counters.coalesced, 255);
	assert_int_equal(counters.calls, 1);
}

static void test_mint_joins_no_flight_that_may_outlive_the_request(void **state) {
	struct world *w = *state;
	struct mint_spec longer = spec_of(900), shorter = spec_of(900), brief = spec_of(900), other = spec_of(900);

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .status = 200, .body = answer(w, "ya29.one", 300),
							       .action = STUB_HOLD });
	shorter.expires_by--;		   /* the first flight's token could live a second too long */
	brief.lifetime_s = 300;		   /* would get more than asked for */
	other.principal = "user:bob@example.com"; /* another person's token is another token */
	start(w, &longer);
	start(w, &shorter);
	start(w, &brief);
	start(w, &other);
	longer.lifetime_s = 3600;	   /* would get a quarter of what was asked for */
	longer.expires_by += 2700;
	start(w, &longer);
	httpstub_release(w->stub);
	run_until(w->base, &w->done, 5);
	assert_int_equal(httpstub_count(w->stub, ACCESS), 5);
	assert_int_equal(w->intents, 5);
}

/* Nobody gets minutes for an hour, because somebody wanted minutes before. */
static void test_mint_keeps_short_tokens_for_short_requests(void **state) {
	static const struct {
		int64_t lifetime_s;
		bool found;
	} cases[] = { { 600, true }, { 800, true }, { 801, false }, { 3600, false }, { 500, false } };
	struct world *w = *state;
	struct mint_spec spec = spec_of(600);
	struct token *token;

	reply(w, 200, NULL, answer(w, "ya29.short", 600));
	mint(w, &spec);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		spec = spec_of(cases[i].lifetime_s);
		token = mint_cached(w->minter, &spec, NOW, 60);
		if ((token != NULL) != cases[i].found)
			fail_msg("of 600 s for %lld s: %s", (long long)cases[i].lifetime_s, token ? "found" : "not found");
		token_unref(token);
		token = mint_fading(w->minter, &spec, NOW); /* when there is no other, it is better than none */
		assert_int_equal(token != NULL, cases[i].lifetime_s >= 600);
		token_unref(token);
	}
}

static void test_mint_goes_on_when_a_waiter_leaves(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct mint_wait *leaving;

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .status = 200, .body = answer(w, "ya29.minted", 900),
							       .action = STUB_HOLD });
	leaving = start(w, &spec);
	start(w, &spec);
	mint_cancel(leaving);
	httpstub_release(w->stub);
	run_until(w->base, &w->done, 1);
	assert_true(w->last.shared);
	assert_string_equal(w->token->value.data, "ya29.minted");
	assert_int_equal(w->orphans, 0);
}

static void test_mint_records_and_keeps_what_nobody_waits_for(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct token *token;

	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	mint_cancel(start(w, &spec));
	run_until(w->base, &w->orphans, 1);
	assert_int_equal(w->done, 0);
	assert_string_equal(w->orphan_token, "ya29.minted");
	token = mint_cached(w->minter, &spec, NOW, 60);
	assert_non_null(token);
	token_unref(token);
	spec.expires_by = NOW + 899;
	assert_null(mint_cached(w->minter, &spec, NOW, 60));
}

static void test_mint_records_failures_nobody_waits_for(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	reply(w, 403, NULL, "{}");
	mint_cancel(start(w, &spec));
	run_until(w->base, &w->orphans, 1);
	assert_int_equal(w->orphan_error.code, ERR_REFUSED);
}

static void on_done_start_again(const struct mint_result *result, void *arg) {
	struct world *w = arg;
	struct mint_spec spec = spec_of(900);

	on_done(result, arg);
	if (w->started_again++ == 0)
		start(w, &spec);
}

static void test_mint_may_start_again_from_done(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct error err;

	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	assert_non_null(mint_start(w->minter, &spec, w, on_done_start_again, w, &err));
	run_until(w->base, &w->done, 2);
	assert_int_equal(w->intents, 2);
	assert_false(w->last.shared);
}

static void test_mint_bounds_flights(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct error err;

	make_minter(w, (struct mint_options){ .max_flights = 1 });
	reply(w, 200, NULL, answer(w, "ya29.minted", 900));
	start(w, &spec);
	spec.principal = "user:bob@example.com";
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	assert_int_equal(err.code, ERR_LIMIT);
	run_until(w->base, &w->done, 1);
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_NONE);
}

static void test_mint_refuses_what_no_url_may_hold(void **state) {
	static const char *const targets[] = { "", "a/b@c", "a@b:generateAccessToken?", "../x", "a b@c", "a%2f@b", "a@b\n" };
	struct world *w = *state;
	struct error err;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct mint_spec spec = spec_of(900);

		spec.target = targets[i];
		assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	struct mint_spec spec = spec_of(0);
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	spec = spec_of(900);
	spec.n_scopes = 0;
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	spec = spec_of(900);
	spec.permission = PERMISSION_SIGN_BLOB;
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	assert_int_equal(w->intents, 0);
}

static void test_mint_refuses_specs_that_no_decision_has(void **state) {
	static const char *const wrong_delegates[] = { "a@b", "a/b" }, *const empty_scope[] = { "" };
	static char long_text[4096];
	struct world *w = *state;
	struct mint_spec cases[5];
	struct error err;

	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 0; i < 5; i++)
		cases[i] = spec_of(3600);
	cases[0].delegates = wrong_delegates, cases[0].n_delegates = 2;
	cases[1].delegates = wrong_delegates, cases[1].n_delegates = 17;
	cases[2].scopes = empty_scope, cases[2].n_scopes = 1;
	cases[3].permission = PERMISSION_GET_OPEN_ID_TOKEN;
	cases[4].permission = PERMISSION_GET_OPEN_ID_TOKEN, cases[4].audience = long_text;
	for (size_t i = 0; i < 5; i++) {
		assert_null(mint_start(w->minter, &cases[i], w, on_done, w, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	assert_int_equal(w->intents, 0);
}

static void test_mint_fails_with_the_credentials_own_words(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	w->now += 3600; /* whatever was in hand is over */
	spec.expires_by += 3600;
	httpstub_on(w->stub, "POST /token", &STUB(400, NULL, "{\"error\":\"invalid_grant\",\"error_description\":\"revoked\"}"));
	mint(w, &spec); /* the first reply stays good */
	w->now += 3600;
	spec.expires_by += 3600;
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_REFUSED);
	assert_non_null(strstr(w->last.error.message, "invalid_grant: revoked"));
	assert_true(w->last.intended);
	assert_int_equal(httpstub_count(w->stub, ACCESS), 1);
}

static void test_mint_flights_keep_the_credential_they_began_with(void **state) {
	struct world *w = *state;
	struct source_options options = { .file = w->file, .now = world_now, .world = w };
	struct mint_spec spec = spec_of(900);
	struct source *other;
	struct mint_wait *wait;
	struct error err;

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .status = 200, .body = answer(w, "ya29.minted", 900),
							       .action = STUB_HOLD });
	wait = start(w, &spec);
	assert_int_equal(strlen(mint_wait_flight(wait)), 32);
	while (httpstub_count(w->stub, ACCESS) == 0)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_int_equal(source_open(w->base, w->fetcher, &options, &w->log, &other, &err), 0);
	minter_set_source(w->minter, other);
	source_unref(w->source); /* what a reload does */
	w->source = other;
	httpstub_release(w->stub);
	run_until(w->base, &w->done, 1);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(httpstub_count(w->stub, "POST /token"), 1);
	spec.principal = "user:bob@example.com";
	mint(w, &spec);
	assert_int_equal(httpstub_count(w->stub, "POST /token"), 2); /* the other one asks for itself */
}

/* Without an endpoint in the configuration, IAM Credentials of the credential's universe is called. */
static void test_mint_calls_the_universe_of_its_credential(void **state) {
	const struct mint_ports ports = { world_intend, world_orphaned, world_now, *state };
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct error err;

	minter_free(w->minter);
	assert_int_equal(minter_new(w->base, w->fetcher, w->source, &(struct mint_options){ .max_cached = 1, .deadline_ms = 500 }, &ports, &w->log, &w->minter, &err), 0);
	httpstub_on(w->stub, "CONNECT iamcredentials.googleapis.com:443", &STUB(403, NULL, ""));
	setenv("HTTPS_PROXY", httpstub_url(w->stub), 1);
	mint(w, &spec);
	unsetenv("HTTPS_PROXY");
	/* The proxy's refusal, or on a busy machine the deadline in the middle of another attempt. */
	assert_true(w->last.error.code == ERR_UPSTREAM || w->last.error.code == ERR_TIMEOUT);
	assert_true(httpstub_count(w->stub, "CONNECT iamcredentials.googleapis.com:443") > 0);
}

static void test_mint_gives_id_tokens(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(3600);
	char *seen;

	spec.permission = PERMISSION_GET_OPEN_ID_TOKEN;
	spec.n_scopes = 0;
	spec.audience = "https://run.example.com";
	spec.include_email = true;
	/* {"exp":1800003600}, and then {"exp":1800003631} */
	httpstub_on(w->stub, ID, &STUB(200, NULL, "{\"token\":\"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MDB9.c2ln\"}"));
	httpstub_on(w->stub, ID, &STUB(200, NULL, "{\"token\":\"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MzF9.c2ln\"}"));
	httpstub_on(w->stub, ID, &STUB(200, NULL, "{\"token\":\"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MDB9\"}"));
	mint(w, &spec);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(w->token->expires_at, NOW + 3600);
	seen = httpstub_request(w->stub, ID, 0);
	assert_non_null(strstr(seen, "\r\n\r\n{\"audience\":\"https://run.example.com\",\"includeEmail\":true}"));
	free(seen);
	mint(w, &spec);
	assert_null(w->token);
	assert_non_null(strstr(w->last.error.message, "1 s past what the policy allows"));
	mint(w, &spec);
	assert_null(w->token);
	assert_non_null(strstr(w->last.error.message, "three parts"));
}

static struct mint_spec id_spec(int64_t life_s) {
	struct mint_spec spec = spec_of(life_s);

	spec.permission = PERMISSION_GET_OPEN_ID_TOKEN;
	spec.n_scopes = 0;
	spec.audience = "https://run.example.com";
	spec.expires_by = NOW + life_s;
	return spec;
}

/* Google's ID tokens live an hour: where that is too long, nobody is asked, and the reason is said. */
static void test_mint_asks_for_no_id_token_that_cannot_be_released(void **state) {
	struct world *w = *state;
	struct mint_spec spec = id_spec(3599);
	struct error err;

	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.message, "ID tokens live one hour, whatever is asked, but this permission allows 3599 s"));
	mint_refresh(w->minter, &spec, w);
	assert_int_equal(w->intents, 0);
	spec.lifetime_s = 1800; /* what the policy says, not with the allowance for the clocks on top */
	spec.expires_by = NOW + 1805;
	assert_null(mint_start(w->minter, &spec, w, on_done, w, &err));
	assert_non_null(strstr(err.message, "this permission allows 1800 s"));
	spec = id_spec(3600);
	httpstub_on(w->stub, ID, &(struct httpstub_reply){ .status = 200, .action = STUB_HOLD, .body =
		    "{\"token\":\"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDM2MDB9.c2ln\"}" });
	start(w, &spec);
	spec = id_spec(43200); /* whatever else is allowed: the same token does */
	start(w, &spec);
	httpstub_release(w->stub);
	run_until(w->base, &w->done, 2);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_int_equal(w->intents, 1);
	assert_int_equal(httpstub_count(w->stub, ID), 1);
}

/* The clock goes on while Google is busy: the call that succeeds asks for what is left. */
static void on_retry_clock(evutil_socket_t fd, short events, void *arg) {
	struct world *w = arg;

	(void)fd, (void)events;
	if (httpstub_count(w->stub, ACCESS) >= 1)
		w->now = NOW + 40;
}

static void test_mint_asks_for_what_is_left_after_a_pause(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct event *tick = event_new(w->base, -1, EV_PERSIST, on_retry_clock, w);
	struct timeval tv = { 0, 1000 };
	char *seen;

	event_add(tick, &tv);
	reply(w, 503, "Retry-After: 1\r\n", "{}");
	reply(w, 200, NULL, answer(w, "ya29.second", 900));
	mint(w, &spec);
	event_free(tick);
	assert_int_equal(w->last.error.code, ERR_NONE);
	seen = httpstub_request(w->stub, ACCESS, 0);
	assert_non_null(strstr(seen, "\"lifetime\":\"900s\""));
	free(seen);
	seen = httpstub_request(w->stub, ACCESS, 1);
	assert_non_null(strstr(seen, "\"lifetime\":\"860s\""));
	free(seen);
}

/* Or the token would end past what was decided, and be thrown away. One second is nothing: it may just have turned. */
static void test_mint_asks_for_what_a_slow_way_to_the_first_call_left(void **state) {
	static const struct {
		int64_t slow_s;
		const char *asked;
	} cases[] = { { -5, "\"lifetime\":\"900s\"" }, { 1, "\"lifetime\":\"900s\"" }, { 8, "\"lifetime\":\"892s\"" } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mint_spec spec = spec_of(900);
		char principal[32], *seen;

		snprintf(principal, sizeof(principal), "user:slow%zu@example.com", i);
		spec.principal = principal;
		w->now = NOW;
		reply(w, 200, NULL, answer(w, "ya29.slow", 900));
		start(w, &spec);
		w->now = NOW + cases[i].slow_s; /* the intent is not durable before */
		run_until(w->base, &w->done, (int)i + 1);
		assert_int_equal(w->last.error.code, ERR_NONE);
		seen = httpstub_request(w->stub, ACCESS, i);
		assert_non_null(strstr(seen, cases[i].asked));
		free(seen);
	}
}

static void test_mint_refreshes_ahead_with_nobody_waiting(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);
	struct token *token;

	reply(w, 200, NULL, answer(w, "ya29.first", 900));
	reply(w, 200, NULL, answer(w, "ya29.second", 1600));
	mint(w, &spec);
	assert_false(mint_should_refresh(w->token, NOW + 675, 0));
	assert_true(mint_should_refresh(w->token, NOW + 676, 0));
	assert_false(mint_should_refresh(w->token, NOW + 900, 0));
	/* Given out while 330 s are left: 570 s of use, the last quarter of which is from 427 s on. */
	assert_false(mint_should_refresh(w->token, NOW + 428, 330));
	assert_true(mint_should_refresh(w->token, NOW + 429, 330));
	assert_true(mint_should_refresh(w->token, NOW + 899, 330));
	assert_false(mint_should_refresh(w->token, NOW, 900));
	mint_refresh(w->minter, &spec, w);
	assert_int_equal(w->intents, 1); /* the successor would live no longer */
	w->now = NOW + 700;
	spec.expires_by += 700;
	mint_refresh(w->minter, &spec, w);
	mint_refresh(w->minter, &spec, w); /* one under way is enough */
	run_until(w->base, &w->orphans, 1);
	assert_int_equal(w->intents, 2);
	assert_string_equal(w->orphan_token, "ya29.second");
	token = mint_cached(w->minter, &spec, w->now, 60);
	assert_string_equal(token->value.data, "ya29.second");
	token_unref(token);
}

static void test_mint_refresh_failures_do_not_storm(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900);

	reply(w, 200, NULL, answer(w, "ya29.first", 900));
	reply(w, 403, NULL, "{}");
	mint(w, &spec);
	w->now = NOW + 700;
	spec.expires_by += 700;
	mint_refresh(w->minter, &spec, w);
	run_until(w->base, &w->orphans, 1);
	mint_refresh(w->minter, &spec, w);
	assert_int_equal(w->intents, 2);
	w->now += 5;
	mint_refresh(w->minter, &spec, w);
	assert_int_equal(w->intents, 3);
	run_until(w->base, &w->orphans, 2);
}

static void test_mint_stopping_tells_everybody(void **state) {
	struct world *w = *state;
	struct mint_spec spec = spec_of(900), other = spec_of(900);

	httpstub_on(w->stub, ACCESS, &(struct httpstub_reply){ .action = STUB_HANG });
	start(w, &spec);
	other.principal = "user:bob@example.com";
	mint_cancel(start(w, &other));
	while (httpstub_count(w->stub, ACCESS) < 2)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	w->intend = INTEND_NEVER;
	spec.principal = "user:carol@example.com";
	start(w, &spec);
	minter_free(w->minter);
	w->minter = NULL;
	assert_int_equal(w->done, 2);
	assert_int_equal(w->orphans, 1);
	assert_int_equal(w->last.error.code, ERR_CANCELLED);
	assert_int_equal(w->orphan_error.code, ERR_CANCELLED);
	on_intended(-1, 0, w); /* the record's late answer finds the flight still there */
}

/* --- signatures */

#define BLOB "POST /v1/projects/-/serviceAccounts/" TARGET ":signBlob"
#define JWT "POST /v1/projects/-/serviceAccounts/" TARGET ":signJwt"

static struct mint_spec spec_of_signature(enum policy_permission permission, const char *payload) {
	struct mint_spec spec = spec_of(900);

	spec.permission = permission;
	spec.n_scopes = 0;
	spec.payload = payload;
	spec.payload_sha256 = "00";
	return spec;
}

/* signJwt's answer with a JWT that ends so many seconds after NOW. */
static const char *jwt_answer(struct world *w, int64_t ends_in_s) {
	struct buf text = BUF_INIT(256);
	char claims[64], *to = w->texts[w->n_texts++];
	int n = snprintf(claims, sizeof(claims), "{\"exp\":%lld}", (long long)(NOW + ends_in_s));

	buf_adds(&text, "{\"keyId\":\"k1\",\"signedJwt\":\"eyJhbGciOiJSUzI1NiJ9.");
	base64url_add(&text, claims, (size_t)n);
	buf_adds(&text, ".c2ln\"}");
	snprintf(to, sizeof(w->texts[0]), "%s", text.data);
	buf_fini(&text);
	return to;
}

static void test_mint_signs(void **state) {
	static const char *const delegates[] = { "first@acme.iam.gserviceaccount.com" };
	struct mint_spec blob = spec_of_signature(PERMISSION_SIGN_BLOB, "aGFsbHBhc3M="),
			 jwt = spec_of_signature(PERMISSION_SIGN_JWT, "{\"exp\":1800000900}");
	struct world *w = *state;
	char *seen;

	blob.delegates = delegates;
	blob.n_delegates = 1;
	blob.expires_by = NOW + 1; /* of no matter: nobody sees an end in a blob */
	httpstub_on(w->stub, BLOB, &STUB(200, NULL, "{\"keyId\":\"k1\",\"signedBlob\":\"AAECAw==\"}"));
	mint(w, &blob);
	assert_int_equal(w->last.error.code, ERR_NONE);
	assert_string_equal(w->token->value.data, "AAECAw==");
	assert_string_equal(w->token->key_id, "k1");
	assert_string_equal(w->token->sha256, "054edec1d0211f624fed0cbca9d4f9400b0e491c43742af2c5b0abebf0c990d8"); /* of 00 01 02 03 */
	assert_int_equal(w->token->expires_at, 0);
	seen = httpstub_request(w->stub, BLOB, 0);
	assert_non_null(strstr(seen, "\r\n\r\n{\"payload\":\"aGFsbHBhc3M=\",\"delegates\":[\"projects/-/serviceAccounts/first@acme.iam.gserviceaccount.com\"]}"));
	free(seen);
	httpstub_on(w->stub, JWT, &STUB(200, NULL, jwt_answer(w, 900)));
	mint(w, &jwt);
	assert_int_equal(w->token->expires_at, NOW + 900);
	seen = httpstub_request(w->stub, JWT, 0);
	assert_non_null(strstr(seen, "\r\n\r\n{\"payload\":\"{\\\"exp\\\":1800000900}\"}"));
	free(seen);
}

/* What Google signed is looked at, whatever it was asked: a JWT past its permission, or without an end, is not released. */
static void test_P2_mint_releases_no_jwt_that_outlives_its_permission(void **state) {
	struct mint_spec jwt = spec_of_signature(PERMISSION_SIGN_JWT, "{}");
	struct world *w = *state;

	httpstub_on(w->stub, JWT, &STUB(200, NULL, jwt_answer(w, 931)));
	httpstub_on(w->stub, JWT, &STUB(200, NULL, "{\"keyId\":\"k1\",\"signedJwt\":\"eyJhbGciOiJSUzI1NiJ9.e30.c2ln\"}"));
	httpstub_on(w->stub, JWT, &STUB(200, NULL, jwt_answer(w, 930)));
	mint(w, &jwt);
	assert_null(w->token);
	assert_int_equal(w->last.error.code, ERR_UPSTREAM);
	assert_non_null(strstr(w->last.error.message, "1 s past what the policy allows"));
	assert_null(strstr(w->last.error.message, "eyJ"));
	mint(w, &jwt);
	assert_null(w->token);
	assert_non_null(strstr(w->last.error.message, "exp is not a time"));
	mint(w, &jwt);
	assert_non_null(w->token);
}

/* Each has an intent and a call of its own, at the same time and after one another. */
static void test_mint_neither_shares_nor_keeps_signatures(void **state) {
	struct mint_spec blob = spec_of_signature(PERMISSION_SIGN_BLOB, "AAAA");
	struct world *w = *state;
	struct mint_counters counters;

	httpstub_on(w->stub, BLOB, &STUB(200, NULL, "{\"keyId\":\"k1\",\"signedBlob\":\"AAEC\"}"));
	start(w, &blob);
	start(w, &blob);
	run_until(w->base, &w->done, 2);
	mint(w, &blob);
	assert_int_equal(w->intents, 3);
	assert_int_equal(httpstub_count(w->stub, BLOB), 3);
	mint_counters(w->minter, &counters);
	assert_int_equal(counters.cached, 0);
	assert_int_equal(counters.coalesced, 0);
	mint_cancel(start(w, &blob)); /* nobody waits any more: it is made all the same, and recorded */
	while (!w->orphans)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_string_equal(w->orphan_token, "AAEC");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_mint_asks_for_what_was_decided),
		T(test_mint_calls_nobody_without_an_intent),
		T(test_mint_tries_again_after_trouble),
		T(test_mint_names_the_quota_project),
		T(test_mint_does_not_repeat_refusals),
		T(test_mint_names_the_constraint_for_long_lifetimes),
		T(test_mint_renews_the_credential_once_after_401),
		T(test_mint_honours_retry_after_that_fits),
		T(test_mint_gives_up_at_once_when_retry_after_does_not_fit),
		T(test_mint_keeps_its_deadline),
		T(test_mint_keeps_its_deadline_while_the_credential_hangs),
		T(test_mint_releases_no_token_that_outlives_its_permission),
		T(test_mint_refuses_a_huge_answer),
		T(test_mint_shares_one_call_among_256),
		T(test_mint_joins_no_flight_that_may_outlive_the_request),
		T(test_mint_keeps_short_tokens_for_short_requests),
		T(test_mint_goes_on_when_a_waiter_leaves),
		T(test_mint_records_and_keeps_what_nobody_waits_for),
		T(test_mint_records_failures_nobody_waits_for),
		T(test_mint_may_start_again_from_done),
		T(test_mint_bounds_flights),
		T(test_mint_refuses_what_no_url_may_hold),
		T(test_mint_refuses_specs_that_no_decision_has),
		T(test_mint_fails_with_the_credentials_own_words),
		T(test_mint_flights_keep_the_credential_they_began_with),
		T(test_mint_calls_the_universe_of_its_credential),
		T(test_mint_gives_id_tokens),
		T(test_mint_asks_for_no_id_token_that_cannot_be_released),
		T(test_mint_asks_for_what_is_left_after_a_pause),
		T(test_mint_asks_for_what_a_slow_way_to_the_first_call_left),
		T(test_mint_refreshes_ahead_with_nobody_waiting),
		T(test_mint_refresh_failures_do_not_storm),
		T(test_mint_stopping_tells_everybody),
		T(test_mint_signs),
		T(test_P2_mint_releases_no_jwt_that_outlives_its_permission),
		T(test_mint_neither_shares_nor_keeps_signatures),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
