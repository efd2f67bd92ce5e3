#pragma once

/*
 * What two policies would decide differently: policy_diff() of hallpass/policy.h, step by step.
 *
 * diff_rules.c finds the rules that one policy has and the other has not, and from them the principals and accounts
 * whom a difference may concern; what no such rule concerns is decided by the same rules in both. Those pairs alone are
 * then decided under both policies (diff_pair.c), by the code of decisions itself, at every instant at which an answer may change
 * (diff_times.c) and with every justification, lifetime, surface and scopes that the conditions in question seem to ask for
 * (diff_concern.c). What comes out alike is merged (diff.c) and told (diff_words.c).
 */

#include "policy/decide.h"
#include "policy/example.h"
#include "policy/universe.h"
#include "policy/windows.h"

#define DIFF_MAX_ERAS 32
#define DIFF_MAX_VARIANTS 64 /* bits of a mask */

/* ---- the rules that differ (diff_rules.c) ---- */

/* Principals whom no rule and no condition tells apart: one of them is asked about. */
struct diff_class {
	uint32_t first; /* the one, an index into the universe's */
	uint32_t n;
};

struct diff_pairs {
	struct diff_class *classes;
	uint32_t n_classes;
	uint32_t *class_of; /* each principal's */
	uint64_t *list;	    /* class << 32 | account, ascending, each once */
	size_t n, size;
	bool truncated; /* there are more */
	json_t *rules;	/* {"renamed": [{"was", "now"}], "added", "removed", "changed": names, "groups": whose members differ} */
};

/* -1: memory. */
int diff_pairs_find(const struct universe *universe, struct diff_pairs *out, struct error *err);
void diff_pairs_fini(struct diff_pairs *pairs);

/* ---- whom and what a pair is asked about (diff_concern.c) ---- */

/* A way to ask. The rest is as in diff_query(). */
struct diff_variant {
	const char *justification, *surface, *scope; /* NULL: none; surface NULL: native */
	int64_t lifetime_s;			     /* 0: not asked */
};

/* The rules of both policies that may concern a principal, an account and a permission, and what they make it worth to ask. */
struct diff_concerned {
	const struct rule **rules;
	size_t n, size;
	bool may_be_allowed; /* by a binding of either */
	struct examples justifications, lifetimes, surfaces;
	struct diff_variant variants[DIFF_MAX_VARIANTS];
	size_t n_variants; /* the plain one is the first */
	struct window_zone zones[WINDOWS_MAX_ZONES]; /* UTC last */
	size_t n_zones;
	bool of_a_year; /* conditions tell months or dates apart: a whole year is looked at */
	struct era eras[DIFF_MAX_ERAS];
	size_t n_eras;
	bool more_eras;
};

struct diff_question {
	const struct policy *policies[2]; /* was, now */
	int64_t from, to;
	bool beyond; /* look at what begins or ends for good behind `to` as well */
};

int diff_concern(struct diff_concerned *concerned, const struct diff_question *question, const char *principal, const char *account,
		 enum policy_permission permission);
void diff_concerned_fini(struct diff_concerned *concerned);

/* Whether it does more with an attribute than hold it against whole constants, which the universe has where they are names. */
bool diff_looks_into(const struct condition *condition, unsigned slot);

/* ---- when (diff_times.c) ---- */

/* Its eras and zones, from its rules. */
void diff_take_eras(struct diff_concerned *concerned, const struct diff_question *question);

/* Instants at which a condition may change: found once for all pairs that it concerns. Zeros are an empty one. */
struct diff_cache {
	struct chunks memory;
	struct names keys;
	struct universe *found; /* by number of the key; of them the instants alone */
	uint32_t size;
};
void diff_cache_fini(struct diff_cache *cache);

struct diff_stats {
	uint64_t decisions;
	size_t instants; /* at most, of one pair */
	bool sampled, of_a_year;
};

/* What stands between two instants: everywhere in it the answers are the same. */
struct diff_cell {
	int64_t from, to;
	bool joins; /* it does not begin an era */
};

struct diff_cells {
	struct diff_cell *list;
	size_t n, size;
};

/* Adds the cells of all eras. -1: memory. */
int diff_cells_find(const struct diff_concerned *concerned, struct diff_cache *cache, struct diff_cells *cells, struct diff_stats *stats);

/* ---- one pair (diff_pair.c) ---- */

/* Everything else is absent, and nobody's process is known. */
struct policy_query diff_query(const struct diff_variant *variant, const char *principal, const char *account,
			       enum policy_permission permission, int64_t at);

/* What one policy gives. */
struct diff_answer {
	bool allow;
	const char *rule;
	int64_t lifetime_s; /* the longest that could be asked for, were no instant in the way */
	const struct rule *by[16]; /* bindings that allow it */
	size_t n_by;
	bool more_by;
};

void diff_answer(const struct policy *policy, const struct policy_query *query, struct diff_answer *out);
/* Whether one gives a scope that the other does not. False for permissions that have none. */
bool diff_scopes_differ(const struct diff_answer *was, const struct diff_answer *now, enum policy_permission permission);

/* Something found of one pair: what is the same for others, as JSON, and an instant at which it is so. */
typedef int diff_found_fn(const json_t *facts, int64_t at, const struct diff_variant *variant, const struct diff_answer *was,
			  const struct diff_answer *now, void *arg);
/* budget: of decisions. -1: memory. */
int diff_pair(const struct diff_question *question, const struct diff_concerned *concerned, const char *principal, const char *account,
	      enum policy_permission permission, struct diff_cache *cache, struct diff_stats *stats, diff_found_fn *found, void *arg,
	      struct error *err);

/* ---- words (diff_words.c) ---- */

#define DIFF_MORE_NAMES "…" /* the last of names that are more */

struct diff_words {
	const struct universe *universe;
	uint32_t *members[2]; /* of each policy's subjects, how many principals of the universe are in it */
};

int diff_words_init(struct diff_words *words, const struct universe *universe); /* -1: memory */
void diff_words_fini(struct diff_words *words);
/* "sentence", and "who" where there is one name for them, are added to a change that has all the rest. */
void diff_say(const struct diff_words *words, json_t *change);
