#pragma once

/*
 * One request for a token, from the first byte understood to the last byte answered.
 *
 * Owns: what was asked, the identity, the snapshot it began under, the decision, the token, and whatever it
 * is waiting for. Knows nothing of HTTP: a surface fills a struct ask and formats the answer. Ends exactly
 * once, in request_advance(). Recording always happens, and happens before the reply (P1).
 */

#include <jansson.h>
#include <stdbool.h>
#include "broker/audit/audit.h"
#include "broker/authn/accounts.h"
#include "broker/authn/peer.h"
#include "broker/authn/principals.h"
#include "broker/clock.h"
#include "broker/habit.h"
#include "broker/limit.h"
#include "broker/mint.h"
#include "broker/pool.h"
#include "broker/sha256.h"
#include "broker/snapshot.h"
#include "broker/status.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

#define ASK_MAX_DELEGATES 8
#define ASK_SESSION_MAX 17 /* 64 random bits in hex, and the NUL */
#define REQUEST_ID_MAX 40

struct request;
struct log;
struct denials;
struct past;
struct versions;

/* What requests stand on. Built by the broker, borrowed by every request. */
struct request_world {
	struct event_base *base;
	struct audit *audit;
	struct minter *minter;
	struct accounts *accounts;
	struct limiter *limiter;
	struct log *log;
	struct snapshot *snapshot; /* in force; replaced by a reload */
	struct versions *versions; /* what was in force before, and when */
	struct past *past;
	struct denials *denials;
	char id_prefix[16];	   /* of this process' life */
	uint64_t next_id;
	struct buf record; /* scratch: the record being written */
	struct habits habits;
	struct pool pool;  /* of struct request */
	bool stopping;	   /* who is left unanswered from now on did not leave */
};

/* What was asked. Strings are borrowed from `body`, which the request takes. */
struct ask {
	enum policy_permission permission; /* any but IMPLICIT_DELEGATION */
	const char *surface;
	const char *target; /* e-mail, canonical */
	size_t n_scopes;
	const char *delegates[ASK_MAX_DELEGATES];
	size_t n_delegates;
	int64_t lifetime_s; /* 0: not asked */
	const char *audience;
	bool include_email, use_email_azp;
	const char *payload; /* to be signed: a blob in base64, or a JWT's claims; canonical */
	char payload_sha256[SHA256_HEX]; /* of the blob's bytes, or of the claims */
	int64_t exp; /* of the claims, Unix seconds; 0: they have none */
	const char *justification;
	char session[ASK_SESSION_MAX]; /* through whose port it came; "": none */
	json_t *body; /* owner of the strings */
	uint64_t serial; /* the same for the same words, asked again (http_memo.h); 0: nothing is known of an earlier time */
	const char *scopes[POLICY_MAX_SCOPES]; /* the last: request_start() copies those that there are */
};

/* What a surface may read of a finished request. */
struct request_outcome {
	const char *id;
	const char *principal; /* "" when the caller is not known */
	const struct ask *ask;
	const struct decision *decision;
	const struct token *token; /* NULL: error says why */
	const struct error *error;
	const char *reason; /* for ErrorInfo; NULL: the error code's own */
	bool cached;
	bool fading; /* likewise, and near its end: Google gives no other now */
	uint64_t snapshot; /* serial of the one that the decision points into */
	int64_t now; /* when it was decided */
};

/* What a refusal's ErrorInfo says of it. */
#define REQUEST_DETAILS 4
void request_details(const struct request_outcome *outcome, struct status_detail details[REQUEST_DETAILS]);

/* Called exactly once unless the request was abandoned; the surface replies inside. */
typedef void request_reply_fn(const struct request_outcome *outcome, void *arg);

/* Takes ask->body. *out borrows the request while it waits; NULL when it has already ended. */
void request_start(struct request_world *world, const struct peer *peer, const struct ask *ask,
		   request_reply_fn *reply, void *arg, struct request **out);
/* The client left: no reply, but a record. */
void request_abandon(struct request *request);

/* Whether the clock went backwards, against the record's own times: then nothing is issued. Asked for each issuance. */
bool request_clock_is_back(const struct audit *audit, int64_t now_s);
/* The same with words: ERR_UNAVAILABLE when it did. */
int request_check_clock(const struct audit *audit, int64_t now_s, struct error *err);

/* The minter's half of the record: what mint.h asks the world for. */
struct mint_ports request_mint_ports(struct request_world *world);

/* Counts against limits.requestsPerMinute, for requests and for questions that take as long; err: why not now. */
enum limit_verdict request_admit(struct request_world *world, const struct config *config, const char *principal,
				 struct error *err);

/* For read-only questions (whoami, list, why): fills a query as a request would. */
struct caller {
	char principal[PRINCIPAL_MAX];
	const struct peer *peer;
};
void request_query(const struct ask *ask, const struct caller *caller, const struct snapshot *snapshot,
		   struct instant now, struct policy_query *out);
