#pragma once

/*
 * What a document means once it is checked: rules, and the index that finds those that
 * concern a caller and an account among a hundred thousand.
 *
 * Names become numbers at load. A subject is whatever `members` may say: allAuthenticated
 * (always 0), one principal, a domain, a group. Each principal and domain knows, as a sorted
 * list, the groups it is in, nested ones included; so "is this caller a member" is whether two
 * sorted lists meet, and needs no memory.
 *
 * A rule is found through its accounts or through its members, whichever list is shorter for the
 * request at hand. The star of a pattern stands before the @, so a pattern is found through the domain
 * behind it; only the star alone concerns every account.
 *
 * Everything here is built by document.c and its sections (groups.c, doctest.c, …) and then never changes.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include "hallpass/policy.h"
#include "policy/chunks.h"
#include "policy/email.h"

#define SUBJECT_ALL 0 /* allAuthenticated */
#define DOMAIN_ANY 0  /* of the pattern "*" */
#define NO_ID UINT32_MAX
#define MAX_PRINCIPAL (2 * MAX_EMAIL)

struct condition;

/* Numbers for strings, 0 up, in order of first sight. */
struct names {
	const char **list;
	struct name_slot {
		const char *name; /* list[id] */
		uint32_t id;	  /* NO_ID: free */
		uint32_t hash;
	} *slots; /* open addressing */
	uint32_t n, n_slots;
};

/* A sorted list of numbers. */
struct ids {
	const uint32_t *v;
	uint32_t n;
};

/* For each key 0 .. n_keys-1 a sorted list: items[start[k]] .. items[start[k + 1]]. */
struct postings {
	uint32_t n_keys;
	uint32_t *start, *items;
};

/* An account pattern: one * somewhere in the local part, or all there is. It matches no '@'. */
struct pattern {
	struct str prefix, suffix;
	uint32_t domain; /* number of what stands behind the @ */
};

enum rule_kind { RULE_BINDING, RULE_DENY, RULE_ENTITLEMENT };

struct rule {
	enum rule_kind kind;
	uint32_t index; /* file order within its kind */
	const char *name, *title;
	unsigned line, column;
	struct ids members, exceptions; /* subjects; exceptions: deny rules alone */
	struct ids accounts;
	const struct pattern *patterns;
	uint32_t n_patterns;
	uint32_t permissions;      /* bit 1 << enum policy_permission */
	const char *const *scopes; /* the ceiling */
	uint32_t n_scopes;
	int64_t max_lifetime_s;        /* 0: not given */
	int64_t not_before, not_after; /* INT64_MIN, INT64_MAX: not given */
	struct condition *condition;   /* NULL: always */
};

/* What may be asked for, to have for a while: nothing until a grant is active. */
struct entitlement {
	struct rule rule; /* what a grant of it gives; members: who may ask */
	int64_t max_request_s;
	bool justification_required;
	struct condition *justification; /* what a justification must fit; NULL: any will do */
	bool has_approvers;		 /* false: nobody needs to approve */
	struct ids approvers;
	uint32_t approvals_needed;
	bool approver_justification;
	int64_t expires_after_s; /* an unanswered request's */
};

struct rule_set {
	struct rule *rules;
	uint32_t n;
	const struct names *domains;
	const uint32_t *domain_of; /* each account's domain among these, or NO_ID */
	struct postings by_account, by_domain, by_subject;
};

struct policy {
	atomic_uint refs;
	struct chunks memory;
	struct names subjects, accounts;
	struct names domains; /* of account patterns */
	uint32_t *domain_of;  /* each account's number among these, or NO_ID */
	bool has_domains;     /* some subject is one */
	struct postings groups_of; /* subject -> itself and the groups it is in */
	struct rule_set bindings, denials;
	struct entitlement *entitlements;
	uint32_t n_entitlements;
	int64_t default_lifetime_s;
	struct policy_stats stats;
	struct condition_env *env;
};

/* -1: memory. The string is copied. */
int names_intern(struct names *names, struct chunks *memory, const char *s, size_t n, uint32_t *id);
uint32_t names_find(const struct names *names, const char *s, size_t n); /* NO_ID: not there */
void names_fini(struct names *names);

/* A (key, item) pair; postings_build() sorts, drops doubles and lays out. -1: memory. */
struct pair {
	uint32_t key, item;
};
int pair_compare(const void *a, const void *b); /* for qsort(): by key, then by item */
int id_compare(const void *a, const void *b);	/* the same of numbers */
int postings_build(struct postings *postings, uint32_t n_keys, struct pair *pairs, size_t n);
struct ids postings_at(const struct postings *postings, uint32_t key);
void postings_fini(struct postings *postings);

bool ids_have(struct ids ids, uint32_t id);
uint32_t ids_meet(struct ids a, struct ids b); /* the smallest number in both, or NO_ID */

/* Builds the indexes of both sets over their rules, once all names are known. -1: memory. */
int rules_index(struct policy *policy);

bool pattern_matches(const struct pattern *pattern, struct str account);
bool pattern_within(const struct pattern *inner, const struct pattern *outer); /* outer matches all that inner does */
bool patterns_overlap(const struct pattern *a, const struct pattern *b);
/* What both match, if they overlap: but for accounts so short that their ends run into each other. */
struct pattern pattern_common(const struct pattern *a, const struct pattern *b);
bool rule_covers_account(const struct rule *rule, uint32_t account_id, struct str account);

/* Who asks, as lists of subjects: the principal's own, its domain's, everybody's. Borrows the policy. */
struct caller {
	struct ids sets[3];
};
/* principal: canonical (lower-case e-mail). Never fails: an unknown principal is in the lists of everybody. */
void caller_find(const struct policy *policy, struct str principal, struct caller *out);
/* The same where its number among the subjects is known, or NO_ID. */
void caller_of(const struct policy *policy, struct str principal, uint32_t id, struct caller *out);
bool caller_is_in(const struct caller *caller, struct ids subjects);

/* The rules that may concern a caller and an account: members, accounts and permission match. No memory. */
struct candidates {
	const struct rule_set *set;
	const struct caller *caller;
	struct str account;
	uint32_t account_id, domain_id, permission_bit;
	bool by_subject;
	struct ids by_account[3]; /* that name it, that have a pattern of its domain, that have one for all */
	size_t ahead; /* entries of the index that may be passed on the way */
	unsigned set_at;
	uint32_t subject_at, item_at;
	struct ids items;
};
void candidates_begin(struct candidates *c, const struct rule_set *set, const struct caller *caller,
		      uint32_t account_id, struct str account, enum policy_permission permission);
const struct rule *candidates_next(struct candidates *c); /* NULL: no more. Each rule once; not in file order. */

/* "user", "serviceAccount", … of a member or principal; what follows the colon in *rest. NULL: no such kind. */
const char *principal_kind(const char *principal, const char **rest);

/* Whether it is of a kind that a request may come with: no domain, no group. */
bool principal_may_ask(const char *principal);

/*
 * "user:…" and the like, principals a request may come with, into buf, the kind kept and an e-mail lower-cased. Gives the
 * length; 0: not well-formed, or too long.
 */
size_t principal_canonical(const char *s, char buf[MAX_PRINCIPAL]);

/* The same as 0, or -1 where it is not well-formed or too long. */
static inline int canonical_principal(const char *s, char buf[MAX_PRINCIPAL]) {
	return principal_canonical(s, buf) ? 0 : -1;
}
static inline int canonical_email(const char *s, char buf[MAX_EMAIL]) {
	return email_canonical(s, buf) ? 0 : -1;
}
static inline int canonical_domain(const char *s, char buf[MAX_EMAIL]) {
	return domain_canonical(s, buf) ? 0 : -1;
}
