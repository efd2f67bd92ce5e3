#pragma once

/*
 * The JSON of one record: the format that people and programs parse.
 *
 * One object, one line, no blanks, keys in the order below; what is absent is left out, never null.
 * Text that is too long for its place is cut at a character and ends in U+2026, and the record then
 * says "cut":true. Control characters are escaped and ill-formed UTF-8 is U+FFFD: a record is always one line.
 *
 *   type           "intent", "issued", "denied", ... (see record_names in record.c)
 *   time           RFC 3339 UTC with milliseconds: when it was said, not when it was durable (the frame has that)
 *   flight         id that ties the outcomes to their intent; a cached issuance names the flight its token came from
 *   request        id of the request, as replies and logs show it
 *   principal      who: "user:alice@example.com"
 *   auth           how that is known: "SO_PEERCRED", ...
 *   uid gid pid exe   the peer by the kernel's word
 *   from           "127.0.0.1:40000": where a TCP connection came from
 *   session        id of the session through whose port it was asked, or that was opened or closed
 *   surface        "native", "metadata", "iamCredentials", "sts"
 *   askedAt        RFC 3339 UTC with nanoseconds: when the request came, the instant it was decided at
 *   permission     "iam.serviceAccounts.getAccessToken", ...
 *   target         email of the service account
 *   askedScopes scopes   asked and granted
 *   askedLifetime  seconds, as asked
 *   delegates audience justification   as asked
 *   payload        SHA-256 of what is to be signed, hex: of the blob's bytes, or of the JWT's claims as they stand in it
 *   decision       "ALLOW" or "DENY"
 *   reason         decision_reason_name()
 *   binding        name of the binding or deny rule that decided
 *   policy         SHA-256 of the policy document in force, hex
 *   boundBy        what bound the lifetime: bound_by_name(); both as decided for this request, which a token of the cache was not made for
 *   ceiling allowance   seconds: limits.maxLifetime and limits.clockAllowance of the configuration it was decided with
 *   lifetime       seconds, granted
 *   expires        RFC 3339 UTC, whole seconds: the token's end
 *   token          SHA-256 of the token, hex; of a signed JWT likewise, and of the bytes of a blob's signature
 *   cached         true: issued from the cache, no call to Google and no intent of its own
 *   delivered      false: the token was not handed over (the client had left)
 *   upstreamMs     latency of the call to Google
 *   upstreamStatus its HTTP status
 *   error          in words
 *   file bytes     which file of the journal a "recovered" is about, how many bytes at its end did not count (after a crash)
 *   also port      of a session: its further accounts, its TCP port
 *   relayed        true: that port is a relay's, in a container say
 *   tokens         how many tokens and signatures a session gave
 *   refused        how many issuances were refused while nothing could be written, and records lost
 *   indices        of a "late": records that became durable after their requests had been refused
 *   cut            true: something above was cut
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/clock.h"
#include "hallpass/buf.h"

enum record_type {
	RECORD_INTENT = 1, /* Google will be asked */
	RECORD_ISSUED,	   /* a token is about to be handed over */
	RECORD_DENIED,	   /* the policy, or the limits, said no */
	RECORD_FAILED,	   /* Google, the credential or the record failed */
	RECORD_ABANDONED,  /* the client left; what became of its flight tells another record */
	RECORD_UNKNOWN,	   /* an intent of a broker that ended before its outcome was recorded */
	RECORD_RELOAD,	   /* a policy or configuration was loaded, or refused */
	RECORD_START,
	RECORD_STOP,
	RECORD_RECOVERED, /* the journal lost its tail to a crash, or goes on after a failure of the disk */
	RECORD_LATE,
	RECORD_OPENED, /* a session began */
	RECORD_CLOSED, /* it ended: reason says why, tokens how many it gave */
	RECORD_DOCTOR, /* Google was asked whether the accounts in also could be had; no token was */
	N_RECORD_TYPES
};

/* All borrowed; NULL strings, zero numbers and empty lists are left out (uid, gid and pid as a group). */
struct audit_record {
	enum record_type type;
	struct instant time;
	const char *flight, *request;
	const char *principal, *auth;
	bool peer_known;
	int64_t uid, gid, pid; /* gid -1, pid 0: not known */
	const char *exe;
	const char *ip; /* NULL: no TCP */
	int ip_port;
	const char *session;
	const char *surface, *permission, *target;
	struct instant asked_at;
	const char *const *also;
	size_t n_also;
	int port;
	bool relayed;
	bool counts_tokens; /* prints "tokens", 0 as well */
	uint64_t tokens;
	const char *const *asked_scopes;
	size_t n_asked_scopes;
	const char *const *scopes;
	size_t n_scopes;
	int64_t asked_lifetime_s;
	const char *const *delegates;
	size_t n_delegates;
	const char *audience, *justification;
	const char *payload_sha256;
	const char *decision, *reason, *binding, *policy, *bound_by;
	int64_t ceiling_s, allowance_s;
	int64_t lifetime_s, expires_at;
	const char *token_sha256;
	bool cached;
	bool undelivered; /* prints "delivered":false */
	unsigned upstream_ms;
	int upstream_status;
	const char *error;
	const char *file;
	uint64_t bytes, refused;
	const uint64_t *indices;
	size_t n_indices;
};

/* A time as a record has it. False: it is none. */
bool record_time(const char *text, struct instant *out);

/* Room that is always enough; a record is never longer than AUDIT_MAX_ENTRY. */
#define RECORD_BUF BUF_INIT(65535)

/* Appends the JSON to an empty buf made by RECORD_BUF (keep it and buf_reset() it: no allocation then). */
void record_write(const struct audit_record *record, struct buf *out);

/* Where in a record's text the values stand that mould.h puts others into, in this order; with their quotes. */
enum record_gap_of { GAP_TIME, GAP_REQUEST, GAP_PID, GAP_ASKED_AT, RECORD_GAPS };
struct record_gap {
	size_t at, end; /* 0, 0: the record has none */
};
void record_write_gaps(const struct audit_record *record, struct buf *out, struct record_gap gaps[RECORD_GAPS]);

const char *record_type_name(enum record_type type);

/* The first members of a record, found without parsing the rest. */
struct record_head {
	enum record_type type; /* 0: not one of ours */
	struct str flight;     /* n 0: none */
};

void record_head(struct str json, struct record_head *out);
