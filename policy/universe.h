#pragma once

/*
 * The finite universe of a policy, or of several: whom, what and when it is enough to ask about.
 *
 * A policy tells apart the principals it names and, of all others, only those of the domains it names: so one stranger for
 * each domain and one for everybody else stand for all people there are. With accounts it is the same: those it names, one for
 * each pattern (and for each two that overlap), and one that none concerns. Conditions may look deeper: into the text of a name. Whoever
 * proves something of strangers leaves their names open (is_example); names that conditions spell out are in here.
 *
 * In time a policy's answers change where its notBefore, notAfter and the truths of its conditions do: those
 * instants are found by the interval analysis, not second by second.
 *
 * Owns all its names; knows nothing of requests. Heap; for load time and tools.
 */

#include "hallpass/cleanup.h"
#include "policy/rules.h"

struct universe_item {
	const char *name;	/* canonical: "user:alice@example.com"; "train@acme.iam.gserviceaccount.com" */
	const char *stands_for; /* "anybody else of example.com", an account pattern; NULL: for itself alone */
};

struct universe_list {
	struct universe_item *items; /* those that stand for themselves first, by name; then the others */
	size_t n, size;
};

struct universe {
	struct chunks memory;
	const struct policy *policies[2];
	size_t n_policies;
	struct names names; /* of both lists */
	struct universe_list principals, accounts;
	int64_t *instants; /* ascending, each once; none before universe_add_instants() */
	size_t n_instants, size_instants;
	bool sampled; /* there are more instants, or overlaps of patterns, than are in here */
};

/* Of one policy, or of two whose names become one universe. Borrows them. ERR_INTERNAL: memory. */
int universe_new(const struct policy *const *policies, size_t n, struct universe **out, struct error *err);
void universe_free(struct universe *universe); /* takes NULL */
DEFINE_FREEP(struct universe, universe_free)

/*
 * The critical instants in from..to (Unix seconds), `from` always among them: from one of them up to the next no rule begins or
 * ends, and no part of a condition that depends on the time alone changes its truth; so it is enough to
 * ask at each of them. What mixes the time with other attributes changes where its constants and getters do. A lifetime may be shorter
 * before the next one: that is not a change. ERR_INTERNAL: memory.
 */
int universe_add_instants(struct universe *universe, int64_t from, int64_t to, struct error *err);

/* The same of these rules alone. */
int universe_add_instants_of(struct universe *universe, const struct rule *const *rules, size_t n, int64_t from, int64_t to,
			     struct error *err);
/* An account that a pattern matches, made up: another one for each attempt. False: none that is well-formed. */
#define UNIVERSE_ATTEMPTS 6
bool universe_account(const struct pattern *pattern, unsigned attempt, char email[MAX_EMAIL]);

/* A member as a caller: what it is in. "group:…" and "domain:…" are in themselves. */
static inline bool universe_is_in(const struct policy *policy, const char *principal, uint32_t subject) {
	struct caller caller;

	caller_find(policy, str_of(principal), &caller);
	return caller_is_in(&caller, (struct ids){ &subject, 1 });
}
