#pragma once

/*
 * The upstream credential: whatever Application Default Credentials would pick, or what the
 * configuration names. Gives an access token that may call the IAM Credentials API.
 *
 * One refresh in flight; a token in use is refreshed 225 s (or a quarter of its life) ahead of expiry, and only one
 * with less than 10 s left is worth waiting for its successor. A failing refresh with a good token in hand is a log
 * line, not an outage; further ones wait: seconds that double up to a minute, or as long as the server asks for (5 min
 * at most). A login that is over (invalid_grant) is not tried again. What was sent is never quoted from an answer (P5).
 * Each kind is one file and one row of source.c's table.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/fetch.h"
#include "broker/secret.h"
#include "hallpass/error.h"

struct source;
struct log;
struct event_base;

struct source_options {
	const char *file;	     /* credential file; NULL: as Application Default Credentials pick */
	const char *metadata_host;   /* "host:port"; NULL: GCE_METADATA_HOST or metadata.google.internal */
	const char *token_endpoint;  /* overrides token_uri of key and authorized_user files; NULL: the file's */
	const char *iam_endpoint;    /* base URL of IAM Credentials; NULL: https://iamcredentials.<universe_domain> */
	const char *sts_endpoint;    /* overrides an external_account file's token_url; NULL: the file's */
	int64_t (*now)(void *world); /* Unix seconds; NULL: the system's clock */
	void *world;
};

/* token: borrowed until done() returns. err->code ERR_NONE: good. */
typedef void source_done_fn(const struct secret *token, int64_t expires_at, const struct error *err, void *arg);

/*
 * Reads and checks the file (so that a bad one is found at start), fetches nothing yet.
 * Errors: ERR_INVALID with the file's name and position; ERR_NOT_FOUND: no credential anywhere (says where it looked).
 */
int source_open(struct event_base *base, struct fetcher *fetcher, const struct source_options *options,
		struct log *log, struct source **out, struct error *err);
struct source *source_ref(struct source *source);
void source_unref(struct source *source); /* takes NULL; the last one fails its waiters with ERR_CANCELLED */

/*
 * The token in hand, if there is one that may be used, so that nobody waits for what is there already; borrowed until the loop goes on.
 * Begins its refresh where that is due. NULL: source_token().
 */
const struct secret *source_in_hand(struct source *source, int64_t *expires_at);
/* done() once, never from inside. NULL: no memory, and it is not called. Errors from upstream name file, endpoint and Google's own words. */
struct source_wait *source_token(struct source *source, source_done_fn *done, void *arg);
void source_cancel(struct source_wait *wait);
/* A 401 said that the token which expires then is no good: forget it, unless another took its place already. */
void source_invalidate(struct source *source, int64_t expires_at);

/* A person has to log in again; nothing is tried until the credential is opened anew. */
bool source_login_is_over(const struct source *source);
/* Why the last refresh failed; ERR_NONE where it did not. Borrowed. */
const struct error *source_trouble(const struct source *source);
/* That may be over the next time; it is tried again without anybody's doing. */
bool source_trouble_passes(const struct source *source);
/* "POST https://…": the call under way, its own or that of the credential behind it; NULL: none. Borrowed until the loop goes on. */
const char *source_waits_for(const struct source *source);
const char *source_file(const struct source *source); /* its path, or NULL */

const char *source_kind(const struct source *source);	    /* "service_account", "authorized_user", … */
const char *source_describe(const struct source *source);   /* for operators and logs: kind, principal where known, file */
void source_describe_to(const struct source *source, bool operators, struct buf *out); /* for people: where it lies is for operators */
const char *source_email(const struct source *source);	    /* principal, or NULL where not known */
const char *source_universe(const struct source *source);   /* "googleapis.com" */
const char *source_project(const struct source *source);    /* project_id or quota_project_id, or NULL */
/*
 * "X-Goog-User-Project: PROJECT", for each call of an API of Google's that bears the token; NULL: none. A person's login has it, since
 * gcloud's own project, to which the login belongs, answers for no API. Source: cloud.google.com/docs/quotas/set-quota-project
 */
const char *source_quota_header(const struct source *source);
