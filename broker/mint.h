#pragma once

/*
 * Flights and their tokens: equal mints in flight share one durable intent and one call to Google.
 *
 * A flight goes its way whether its waiters stay or leave: intent (durable, through the port below) -> call,
 * with retries inside its deadline -> checked token, cached. Nothing here decides: a spec comes from
 * an allowed decision, and a cached token is found only for a spec decided again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/fetch.h"
#include "broker/secret.h"
#include "broker/source/google_error.h"
#include "broker/source/source.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

#define MINT_ID_TOKEN_LIFE 3600 /* seconds, whatever is asked */

struct minter;
struct mint_wait;
struct flight;

/* An access token or ID token; or what signing gives: a blob's signature in base64, which has no end (0), or a JWT. Immutable once made; counted. */
struct token {
	unsigned refs;
	uint64_t serial; /* no other's in this process */
	struct secret value;
	bool plain; /* its text is a JSON string's as it stands */
	int64_t minted_at, expires_at; /* Unix seconds */
	int64_t asked_s;	       /* the lifetime that was decided for whom it was minted */
	char sha256[65];	       /* hex: what the record holds of it; of a signature's bytes, of all else as it stands */
	char flight[40];	       /* id of the intent that it came from */
	char key_id[GOOGLE_MAX_KEY_ID + 1]; /* signatures: of the key that made it */
	unsigned upstream_ms;	       /* latency of the call that gave it */
};

struct token *token_ref(struct token *token);
void token_unref(struct token *token); /* wipes with the last reference; takes NULL */

/* Such flights are nobody else's: they are not shared, and what they give is not kept. */
static inline bool mint_signs(enum policy_permission permission) {
	return permission == PERMISSION_SIGN_BLOB || permission == PERMISSION_SIGN_JWT;
}

struct mint_spec {
	enum policy_permission permission; /* any but IMPLICIT_DELEGATION */
	const char *principal;
	const char *target;
	const char *const *scopes;
	size_t n_scopes;
	const char *const *delegates;
	size_t n_delegates;
	const char *audience; /* ID tokens */
	bool include_email, use_email_azp; /* ID tokens */
	const char *payload, *payload_sha256; /* signatures: see struct ask */
	int64_t lifetime_s;   /* to ask for */
	int64_t expires_by;   /* Unix seconds: a token that lives past this is not released */
	uint64_t hash;	      /* minter_hash(), for who knows it; 0: not known */
};

/* What a flight needs from the world around it; the audit log in the daemon, a script in tests. */
struct mint_ports {
	/*
	 * Make the intent durable; context is mint_start()'s, and is not used after this. Answer by flight_intended(), later, never from inside;
	 * -1: refused at once. flight_id is what the outcomes will name.
	 */
	int (*intend)(void *world, struct flight *flight, const char *flight_id, const struct mint_spec *spec,
		      void *context, struct error *err);
	/* The flight ended with nobody waiting: record its outcome (token NULL: err says why). */
	void (*orphaned)(void *world, const char *flight_id, const struct mint_spec *spec, const struct token *token,
			 const struct error *err);
	int64_t (*now)(void *world); /* Unix seconds */
	void *world;
};
void flight_intended(struct flight *flight, const struct error *err); /* ERR_NONE: durable */

struct mint_options {
	const char *iam_endpoint; /* base URL; NULL: https://iamcredentials.<universe> */
	unsigned deadline_ms;	  /* one flight, retries included */
	unsigned max_cached;	  /* tokens */
	unsigned max_flights;	  /* further ones are ERR_LIMIT */
};

struct mint_result {
	struct token *token; /* borrowed until done() returns; NULL: error says why */
	const char *flight_id;
	bool shared;	     /* another request began this flight */
	bool intended;	     /* an intent is on disk, so the outcome must name it */
	struct error error;
	int upstream_status; /* 0: none arrived */
};
typedef void mint_done_fn(const struct mint_result *result, void *arg);

int minter_new(struct event_base *base, struct fetcher *fetcher, struct source *source,
	       const struct mint_options *options, const struct mint_ports *ports, struct log *log,
	       struct minter **out, struct error *err);
/*
 * Waiters hear ERR_CANCELLED, intended flights without any are orphaned(). A flight whose intent is still being
 * written stays behind until its flight_intended(), so the record may be closed before or after.
 */
void minter_free(struct minter *minter);
/* Whose tokens they are: "googleapis.com", by the credential. Borrowed. */
const char *minter_universe(const struct minter *minter);
/* A reload may bring another credential: flights under way keep the old one. Takes a reference. */
void minter_set_source(struct minter *minter, struct source *source);

/*
 * Still good, but less than a quarter of the time is left in which mint_cached() gives it out with this min_left_s:
 * time for mint_refresh(), so that the successor is there before anyone has to wait for it.
 */
bool mint_should_refresh(const struct token *token, int64_t now, int64_t min_left_s);

/* Of what a spec asks for, without its times and its payload: for spec->hash, of this minter. */
uint64_t minter_hash(const struct minter *minter, const struct mint_spec *spec);

/*
 * A cached token whose expiry fits the spec, that has at least min_left_s to live, and was not minted for much less than this spec asks for;
 * a new reference, or NULL.
 */
struct token *mint_cached(struct minter *minter, const struct mint_spec *spec, int64_t now, int64_t min_left_s);
/*
 * A cached token that has too little left to be given out gladly, and enough to be used: what there is while Google gives no
 * successor. A new reference, or NULL.
 */
struct token *mint_fading(struct minter *minter, const struct mint_spec *spec, int64_t now);
/* Whether what went wrong may be over the next time, as a no of Google's is not. */
bool mint_trouble_passes(const struct error *err);
/* Such trouble was there in the last seconds, and no successor: another try would only keep the client waiting. */
bool mint_had_trouble(struct minter *minter, const struct mint_spec *spec, int64_t now);
/*
 * Joins the equal flight, or begins one. done() once, never from inside. context goes to ports->intend.
 * ERR_DENIED: an ID token, which lives an hour, where less than that is allowed.
 */
struct mint_wait *mint_start(struct minter *minter, const struct mint_spec *spec, void *context, mint_done_fn *done,
			     void *arg, struct error *err);
/* The id of the flight that it waits for, as the outcome will name it. Borrowed. */
const char *mint_wait_flight(const struct mint_wait *wait);
void mint_cancel(struct mint_wait *wait); /* takes NULL; never for a wait whose done() has run */
/* It takes too long: mint_cancel(), and trouble. */
void mint_give_up(struct mint_wait *wait);
/* A token in use nears its expiry: begin a flight for its successor with nobody waiting (unless one is under way). */
void mint_refresh(struct minter *minter, const struct mint_spec *spec, void *context);

struct mint_counters {
	uint64_t calls, retries, failures, hits, misses, coalesced;
	unsigned cached, flights;
};
void mint_counters(const struct minter *minter, struct mint_counters *out);
