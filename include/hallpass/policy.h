#pragma once

/*
 * libpolicy: load a policy document, decide requests under it, explain why.
 *
 * Pure: no files, no clock, no sockets, no environment. The text comes as
 * bytes, the time as an argument, zone files through a callback at load.
 *
 * A struct policy is immutable and counted: a request takes a reference when
 * it begins and finishes under that snapshot whatever is loaded meanwhile (P6).
 * Everything a decision borrows lives as long as the snapshot and the query.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hallpass/buf.h"
#include "hallpass/error.h"

#define POLICY_MAX_SCOPES 32	  /* scopes of one request, and of one binding */
#define POLICY_MAX_LIFETIME 43200 /* seconds; Google's own ceiling under the org policy constraint */

/* What loading needs from outside. */
#define POLICY_TRY_AGAIN (-2)
struct policy_host {
	/*
	 * Gives the malloc'd bytes of an IANA zone's TZif file. The name is checked before
	 * (letters, digits, + - _ and single slashes), so it is safe to append to a directory.
	 * -1: there is no such zone. POLICY_TRY_AGAIN: it cannot be read now.
	 */
	int (*read_zone)(void *arg, const char *name, unsigned char **data, size_t *len);
	void *arg;
};

enum policy_severity {
	POLICY_ERROR,	/* the document is refused */
	POLICY_WARNING, /* lint: it loads, but look here */
	POLICY_NOTE,	/* nothing is wrong here, but IAM would not take it: for those who ask */
};

/* One thing found in a document. Positions are 1-based; columns count code points. */
struct policy_finding {
	enum policy_severity severity;
	const char *id; /* stable, e.g. "unknown-key", "cel-syntax", "lifetime-over-1h"; static text */
	unsigned line, column;
	char *message;	/* one sentence: what is wrong */
	char *fix;	/* one sentence: what to do; NULL when the message says it all */
};

struct policy_report {
	struct policy_finding *findings; /* in order of position; at most 20 errors, 200 warnings and 200 notes */
	size_t n, n_errors, n_warnings;	 /* in the list */
	size_t more_errors, more_warnings; /* which are not in it */
	size_t tests_run, tests_failed;
	size_t invariants_run, invariants_failed, invariants_skipped; /* skipped: there are errors enough, or no work left */
};

/* What lint looks for. A finding's message may say more than the sentence. */
struct policy_lint {
	const char *id, *sentence, *fix;
};
extern const struct policy_lint policy_lints[];
extern const size_t n_policy_lints;

void policy_report_fini(struct policy_report *report);

/*
 * Prints errors and warnings as "NAME:14:22: error: message" with the source line and a caret; notes are silent.
 * text is the document that was loaded. colour: ANSI sequences for a terminal.
 */
void policy_report_print(const struct policy_report *report, const char *name, struct str text, bool colour,
			 struct buf *out);

struct policy;

/*
 * Parses (YAML or JSON), checks, compiles every condition, runs the document's own tests and shows its invariants.
 * Gives one reference in *out. now: Unix seconds, for lint ("already over") and for invariants, which hold from then on.
 * Errors: ERR_INVALID with a one-line summary of the first finding; the report has all of them,
 * and is filled (with warnings, too) on success as well. The caller fini's the report either way.
 */
int policy_load(const char *name, struct str text, const struct policy_host *host, int64_t now, struct policy **out,
		struct policy_report *report, struct error *err);

/* A test or an invariant of a document, as it runs. All borrowed. */
struct policy_check {
	enum { POLICY_CHECK_TEST, POLICY_CHECK_INVARIANT } kind;
	const char *name;
	unsigned line, column;
	bool good;
	const char *id, *message, *fix; /* of one that is not good: as in its finding, but without its name; fix may be NULL */
	const json_t *counterexample;	/* the request that breaks an invariant, or of which nobody can tell; or NULL */
};

/* Who sees them run one by one, to time and to show them. Called while the document is loaded. */
struct policy_watch {
	void (*begins)(void *arg, const struct policy_check *check);
	void (*ended)(void *arg, const struct policy_check *check);
	/* After the last test: what none of them was decided by. kind: "binding" or "deny rule". */
	void (*untouched)(void *arg, const char *kind, const char *name, unsigned line, unsigned column);
	void *arg;
};

int policy_load_watched(const char *name, struct str text, const struct policy_host *host, int64_t now,
			const struct policy_watch *watch, struct policy **out, struct policy_report *report, struct error *err);

struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* takes NULL; safe from any thread */

/* IAM's names: iam.serviceAccounts.getAccessToken and so on. */
enum policy_permission {
	PERMISSION_GET_ACCESS_TOKEN,
	PERMISSION_GET_OPEN_ID_TOKEN,
	PERMISSION_SIGN_BLOB,
	PERMISSION_SIGN_JWT,
	PERMISSION_IMPLICIT_DELEGATION,
	N_PERMISSIONS
};

const char *permission_name(enum policy_permission permission);
int permission_parse(const char *name, enum policy_permission *out); /* -1: no such permission */

/* The doors that a request may come through, by number from 0 on; NULL: no more. */
const char *policy_surface(unsigned i);

/* Whether a request may come with it: "user:alice@example.com", "serviceAccount:…", "principal:…", well-formed. */
bool policy_principal_ok(const char *principal);

struct policy_peer {
	bool known; /* false: every request.peer attribute is "unknown", and using one in a condition errs */
	int64_t uid, gid, pid; /* -1: the kernel does not say */
	const char *exe;       /* absolute path, or NULL where the kernel will not say */
};

/* One request as conditions see it. All borrowed; NULL strings are absent attributes. */
struct policy_query {
	int64_t now; /* Unix seconds */
	uint32_t now_ns;
	const char *principal;	       /* "user:alice@example.com", "serviceAccount:…", "principal:…" */
	const char *auth_method;       /* "peer" */
	const json_t *claims;	       /* object or NULL */
	const char *const *access_levels;
	size_t n_access_levels;
	const char *service_account; /* target's email, canonical (lower case) */
	enum policy_permission permission;
	const char *const *scopes; /* as asked; none: the binding's ceiling, else cloud-platform */
	size_t n_scopes;
	int64_t lifetime_s; /* as asked; 0: not asked, the policy's default */
	const char *audience;
	const char *justification;
	const char *surface; /* "native" */
	struct policy_peer peer;
	const char *origin_ip;
	int origin_port;
	const char *const *delegates; /* emails; each needs implicitDelegation by a binding of the same principal */
	size_t n_delegates;
	int64_t ceiling_s;	   /* hard lifetime ceiling of the configuration; 0: none */
	int64_t clock_allowance_s; /* kept free before every absolute bound: clock skew and the call's own time */
};

enum decision_reason {
	REASON_NONE = 0,	/* zero: nothing decided, which denies */
	REASON_ALLOWED,
	REASON_NO_BINDING,	/* no binding names this principal, account and permission */
	REASON_CONDITION_FALSE, /* one does, its condition is false now */
	REASON_CONDITION_ERROR, /* one does, its condition errs */
	REASON_NOT_YET,		/* notBefore */
	REASON_EXPIRED,		/* notAfter */
	REASON_SCOPE,		/* none of the asked scopes is under the ceiling */
	REASON_DELEGATE,	/* a delegate without implicitDelegation */
	REASON_WINDOW_CLOSING,	/* less than one second left before the bound */
	REASON_DENY_RULE,	/* a deny rule applies */
	REASON_DENY_RULE_ERROR, /* a deny rule's condition errs, so it applies */
	REASON_INVALID,		/* the query itself cannot be decided (malformed principal, account, scope) */
};

const char *decision_reason_name(enum decision_reason reason); /* "CONDITION_FALSE": ErrorInfo.reason */

enum bound_by {
	BOUND_BY_NONE = 0,
	BOUND_BY_REQUEST,      /* the caller asked for so much */
	BOUND_BY_DEFAULT,      /* defaults.maxLifetime, or 1 h where there is none */
	BOUND_BY_MAX_LIFETIME, /* the binding's */
	BOUND_BY_CEILING,      /* the configuration's */
	BOUND_BY_NOT_AFTER,
	BOUND_BY_CONDITION,	   /* the horizon of the binding's condition */
	BOUND_BY_DENIAL_CONDITION, /* the horizon of a deny rule that would begin to apply */
	BOUND_BY_GRANT,
};

const char *bound_by_name(enum bound_by bound_by); /* "maxLifetime", "condition", … */

/* The zero value denies. */
struct decision {
	bool allow;
	enum decision_reason reason;
	const char *rule;	   /* name of the binding or deny rule that decided; NULL: none */
	const char *title;	   /* its condition's title, or NULL */
	int64_t lifetime_s;	   /* what to ask Google for; 1..POLICY_MAX_LIFETIME when allowed */
	int64_t expires_by;	   /* Unix seconds: a token that lives past this must not be released */
	int64_t permitted_until;   /* first second at which this answer no longer surely holds; INT64_MAX: no end seen */
	enum bound_by bound_by;	   /* which bound lifetime_s is */
	const char *scopes[POLICY_MAX_SCOPES]; /* granted: asked and under the ceiling */
	size_t n_scopes;
};

/* Decides. Never fails: what cannot be decided is a denial with its reason. No heap; safe from any one thread. */
void policy_decide(const struct policy *policy, const struct policy_query *query, struct decision *out);

/*
 * Which rules concern a principal, an account and a permission, for who asks with the same three again: found by the first
 * decision that it is given to, and good for this policy alone, into which it points. Starts as zeros, and stays empty where
 * many rules do, or the policy knows one of the names in another form or not at all.
 */
#define POLICY_ROUTE_RULES 8
struct policy_route {
	bool found;
	unsigned char n_denials, n_rules;	/* deny rules come first */
	unsigned short principal_n, account_n; /* bytes of the names */
	const void *rules[POLICY_ROUTE_RULES];
};

/* The same decision. The caller vouches for the three, and for the policy. */
void policy_decide_by_route(const struct policy *policy, const struct policy_query *query, struct policy_route *route,
			    struct decision *out);

/*
 * The sentence for a denied caller: what was false, and the smallest change that policy_decide() would allow. Shows only
 * rules that match the caller's principal, account and permission.
 */
void policy_denial_message(const struct policy *policy, const struct policy_query *query,
			   const struct decision *decision, struct buf *out);

/*
 * The decision explained: {"decision", "reason", "rule", "message" (of a denial), "lifetime", "boundBy", "candidates":
 * [{"binding", "result", "condition", "false": [{"expression", "values": {...}}], …}], "suggestions" (of a denial)}. Same code
 * path as policy_decide().
 * suggestions: [{"change": ["time", …], "sentence", and the new values: "at" (RFC 3339, within ten years), "lifetime" (seconds),
 * "scopes", "delegates", "justification", "surface"}, …], the smallest first, each allowed by policy_decide(), and made only
 * of rules that match the caller.
 * all: also rules that do not match the caller (for those who may audit), those about the account first where they are many.
 * "moreRules": how many there are besides those told. A new reference; NULL: memory.
 */
json_t *policy_explain(const struct policy *policy, const struct policy_query *query, bool all);

/*
 * How often on this thread a condition could not be evaluated or compiled, or a struct buf could not grow, because there was no memory.
 * Where that has changed while something was decided or told, it is not what the rules say, but still nothing that they do not grant.
 */
unsigned policy_memory_failures(void);

/*
 * Which accounts this principal may ask for, given everything else in the query (service_account is ignored), in the order
 * of the bindings. Patterns are listed as patterns; until is looked for 31 days ahead. One by one, since they may be
 * many: whoever lists has others to serve meanwhile. Takes as long as what names the principal, not as the policy.
 */
struct policy_listing;
/* Borrows both. -1: memory. */
int policy_listing_new(const struct policy *policy, const struct policy_query *query, struct policy_listing **out);
/*
 * 1: *out is the next, a new reference: {"serviceAccount", "binding", "title", "permissions", "scopes", "maxLifetime",
 * "allowed", "until", "reason"}. 0: there are no more. -1: memory.
 */
int policy_listing_next(struct policy_listing *listing, json_t **out);
void policy_listing_free(struct policy_listing *listing); /* takes NULL */

/*
 * What two policies decide differently from `from` on (Unix seconds): computed, by policy_decide()'s own code, for every principal and
 * account that they name, one that stands for each domain and pattern and for everybody else, every permission, and every instant
 * before `to` at which an answer may change; beyond: and around what begins or ends for good after that.
 *
 * {"changes": [{"change": "gains", "loses", "hours", "lifetime" or "scopes", "sentence", "who" (one name for all of them), "principals",
 * "serviceAccounts", "permissions", "with" (asked in these ways alone), "was", "now", "when", "differs": [[from, to], …], "bindingsWas",
 * "bindingsNow", "witness": {"principal", "serviceAccount", "permission", "time", …}}, …], "rules": {"renamed", "added", "removed", "changed",
 * "groups"}, "looked": what was looked at, and what was not}. A new reference; NULL: err, memory.
 */
json_t *policy_diff(const struct policy *was, const struct policy *now, int64_t from, int64_t to, bool beyond, struct error *err);

/* The document's form as JSON Schema 2020-12, for editors. A new reference; NULL: memory. */
json_t *policy_schema(void);

/* Counts for status and logs. */
struct policy_stats {
	size_t bindings, deny_rules, groups, tests, invariants;
};
void policy_stats(const struct policy *policy, struct policy_stats *out);

/* ---- One expression by itself: for `hallpass policy eval`, editors and tests ---- */

/* Names and their values: the attributes of conditions, absent until set, and any other name beside them. */
struct policy_attributes;

/* request.time is now (Unix seconds), resource.type and resource.service are those of service accounts, until they are set. */
int policy_attributes_new(const struct policy_host *host, int64_t now, struct policy_attributes **out, struct error *err);
void policy_attributes_free(struct policy_attributes *attributes); /* takes NULL; after the expressions compiled with it */

/*
 * value: a literal of CEL: a number, a text in quotes, a list or a map of them, timestamp("...") or duration("..."). What is no literal
 * is a text as it stands; for a timestamp RFC 3339, for a duration such as 15m. A name that is no attribute is declared with
 * its value's type. Not after an expression was compiled. ERR_INVALID: not of the attribute's type, or no name; ERR_LIMIT.
 */
int policy_attributes_set(struct policy_attributes *attributes, const char *name, struct str value, struct error *err);
int64_t policy_attributes_time(const struct policy_attributes *attributes); /* request.time, whole Unix seconds */

struct policy_expression;

/*
 * Compiles as conditions are, whatever its type. The report is filled as policy_load() does, with positions in the text; its
 * warnings are what a policy would refuse of a condition. The caller fini's it either way. -1: ERR_INVALID.
 */
int policy_expression_new(struct policy_attributes *attributes, struct str text, struct policy_expression **out,
			  struct policy_report *report, struct error *err);
void policy_expression_free(struct policy_expression *expression); /* takes NULL */
bool policy_expression_is_timed(const struct policy_expression *expression); /* a bool that depends on request.time */

/*
 * {"value": as in hallpass/eval.h, "type": "list(int)", "text": "[1, 2]"}, a new reference. NULL: it failed, and the report
 * has where and why; or, without a finding, memory.
 */
json_t *policy_eval(const struct policy_expression *expression, const struct policy_attributes *attributes,
		    struct policy_report *report);

/*
 * The first second from now through limit (Unix seconds) in which the condition is not surely true, everything but
 * request.time being as in the attributes; INT64_MAX: it surely is through limit. No heap.
 */
int64_t policy_horizon(const struct policy_expression *condition, const struct policy_attributes *attributes, int64_t now,
		       int64_t limit);
