#pragma once

/*
 * What a kind of upstream credential gives to source.c, and what it may use. Private to source/.
 *
 * A kind reads its file once, and then refreshes in steps: each step makes one call by source_call(), whose answer
 * leads to the next step, until source_succeed() or source_fail(). Failures of a call (HTTP, connection, JSON) never
 * reach the kind: source.c words them, tries again what may be tried again, and tells the waiters.
 */

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "broker/fetch.h"
#include "broker/secret.h"
#include "broker/source/google_error.h"
#include "broker/source/source.h"

#define SOURCE_MAX_FILE (64 * 1024)
#define SOURCE_MAX_URL 2048
#define SOURCE_MAX_SENT 2    /* secrets in one call */
#define SOURCE_MAX_NESTING 4 /* impersonated by impersonated by … */
#define CLOUD_PLATFORM "https://www.googleapis.com/auth/cloud-platform"

struct source_kind {
	const char *name; /* the file's "type" */
	/* Checks the file, keeps what it needs in source->own. ERR_INVALID says what is wrong with which key. */
	int (*read)(struct source *source, const json_t *file, struct error *err);
	/* The first step. -1: it cannot be taken (not tried again before the next refresh). */
	int (*refresh)(struct source *source, struct error *err);
	void (*forget)(void *own); /* frees source->own, wiping what is secret; takes NULL */
};

extern const struct source_kind source_service_account, source_authorized_user, source_metadata,
	source_external_account, source_impersonated;

/* answer: a JSON object (NULL where the call asked for text); raw: as it came. Both borrowed. */
typedef void source_step_fn(struct source *source, const json_t *answer, const struct fetch_result *raw);

struct source {
	unsigned refs, depth;
	const struct source_kind *kind;
	void *own; /* the kind's */
	char *file; /* path, for people; NULL: none */
	char *email, *universe, *project, *describe;
	char *quota_header; /* the line that names who pays for its calls; NULL: none */
	const char *key_id; /* private_key_id, borrowed from own; NULL: none */
	bool holds_secret;  /* the file, and not only the way to one */
	struct event_base *base;
	struct fetcher *fetcher;
	struct log *log;
	char *metadata_host, *token_endpoint, *iam_endpoint, *sts_endpoint;
	int64_t (*clock)(void *world);
	void *world;

	/* the token in hand */
	struct secret token;
	int64_t expires_at, refresh_at;

	/* the refresh in flight */
	bool refreshing;
	unsigned attempt;
	struct fetch *fetch;
	struct event *retry;
	source_step_fn *step;
	bool step_wants_text, step_is_optional;
	char calling[SOURCE_MAX_URL]; /* method and URL without its query, for people */
	struct secret sent[SOURCE_MAX_SENT]; /* what must not come back in an error */
	struct source *inner;	      /* impersonation: whose token is used … */
	bool renewed;		      /* … and that a 401 has cost it once in this refresh */
	struct source_wait *inner_wait;

	/* after a failed refresh */
	struct error error;
	unsigned failures;   /* in a row */
	int64_t not_before;  /* no refresh earlier than this; INT64_MAX: never again */
	bool trouble_passes; /* the last one failed for what may be over by then: no connection, a busy server */

	TAILQ_HEAD(, source_wait) waiting;
	unsigned n_waiting;
	struct event *deliver;
};

int64_t source_now(const struct source *source);

/* Kind, account and file, once more: the account may have become known. */
int source_set_description(struct source *source, struct error *err);

/* Who pays. ERR_INVALID: no project's id. */
int source_set_quota_project(struct source *source, const char *project, struct error *err);

struct source_call {
	struct fetch_spec spec;	     /* timeout_ms and body_max are filled in */
	bool text;		     /* the answer is not JSON */
	bool optional;		     /* the step gets the answer whatever its status */
	const struct secret *secret; /* what body or header hold and no error may repeat; NULL: the bearer */
	const struct secret *also;   /* likewise; NULL: nothing more */
	source_step_fn *step;
};
void source_call(struct source *source, const struct source_call *call);
void source_succeed(struct source *source, const struct google_token *token);
/* For good: not tried again within this refresh. */
__attribute__((format(printf, 3, 4))) void source_fail(struct source *source, enum error_code code, const char *fmt,
						       ...);
/* ERR_INVALID, naming the key: not a URL that the fetcher would call. NULL is none, and fine. */
int source_check_url(const struct source *source, const char *key, const char *url, struct error *err);
/* The common last step: an OAuth token in the answer. */
void source_take_oauth_token(struct source *source, const json_t *answer, const struct fetch_result *raw);

/*
 * POST to IAM Credentials for the token of url's account, with the given bearer; ends the refresh. lifetime_s 0: 1 h.
 * delegates: JSON array of accounts or NULL.
 */
void source_impersonate(struct source *source, const char *url, const json_t *delegates, int64_t lifetime_s,
			const struct secret *bearer);
/* Checks an impersonation URL, moves it to the configured IAM endpoint, learns the account's email. */
int source_read_impersonation_url(struct source *source, const char *url, char **out, struct error *err);

/* One application/x-www-form-urlencoded pair, with & in front where needed. */
void form_add(struct buf *body, const char *key, const char *value);
/* A buffer for secrets: all its memory at once, so that growing leaves no copy; wiped by the other. */
int secret_buf_init(struct buf *buf, size_t ceiling, struct error *err);
void secret_buf_fini(struct buf *buf);

/* Copies a string member; *out stays NULL when it is optional and missing. */
int copy_string(const json_t *file, const char *key, bool required, char **out, struct error *err);
int copy_secret(const json_t *file, const char *key, bool required, struct secret *out, struct error *err);
/* strdup; ERR_INTERNAL. */
int copy_text(const char *text, char **out, struct error *err);

/* A whole regular file of at most max bytes; data is for wipe_free(). */
int read_small_file(const char *path, size_t max, char **data, size_t *len, struct error *err);

/* Makes a source from a credential document; file may be NULL. parent gives everything else. For kinds that nest, tests and fuzzers. */
int source_nest(struct source *parent, const json_t *file, struct source **out, struct error *err);
int source_read(struct source *source, const char *text, size_t len, struct error *err);
struct source *source_blank(struct event_base *base, struct fetcher *fetcher, const struct source_options *options,
			    struct log *log, struct error *err);

/* adc.c: which file Application Default Credentials would pick; *path NULL: the metadata server. */
int adc_pick(const struct source_options *options, char **path, char **metadata_host, struct error *err);
/* adc.c: the environment's word on who pays, which comes before the file's where nobody named the file. */
int adc_set_quota_project(const struct source_options *options, struct source *source, struct error *err);
/* adc.c: what is worth a warning about a credential file: who may read its secret, how old it is. */
void adc_warn_of_file(struct log *log, const char *path, const char *kind, const char *key_id, bool holds_secret,
		      int64_t now);
