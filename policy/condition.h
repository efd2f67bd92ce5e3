#pragma once

/*
 * A condition of a rule: the one place where policy meets CEL.
 *
 * Knows the attributes (request.time, resource.name, ...) and their types, turns a query into
 * their values, and asks the engine: what is it now, until when does that surely hold, and
 * which parts of it were false.
 */

#include "hallpass/policy.h"
#include "policy/cel.h"
#include "policy/example.h"
#include "policy/zones.h"

#define CONDITION_MEMORY 32768 /* bytes that one evaluation may take */

struct condition_env; /* the declared attributes, and what was compiled with them; one a policy, immutable once that is loaded */
struct condition;

int condition_env_new(const struct policy_host *host, struct condition_env **out, struct error *err);
void condition_env_free(struct condition_env *env); /* takes NULL */

/* offset: bytes into the expression. */
struct condition_sink {
	void (*found)(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message,
		      const char *fix);
	void *arg;
	bool only_counts; /* nobody will read it: fixes need not be looked for */
};

/*
 * Compiles. What is wrong goes to the sink, and then *out is NULL with 0 returned; -1: memory.
 * title: borrowed as long as the condition, or NULL. The expression is copied. Equal expressions of one env are compiled
 * once; conditions are the env's, and go with it.
 */
int condition_new(struct condition_env *env, struct str expression, const char *title,
		  const struct condition_sink *sink, struct condition **out);

/* What was compiled, one expression after the other, each once; NULL: no more. */
const struct cel_program *condition_env_program(const struct condition_env *env, uint32_t i);

/* What lint looks into. */
const struct cel_program *condition_program(const struct condition *condition);
uint32_t condition_time_slot(void);
bool condition_iam_has(uint32_t slot); /* whether IAM's own conditions have this attribute, too */

const char *condition_title(const struct condition *condition); /* or NULL */
const char *condition_expression(const struct condition *condition);

enum condition_result { CONDITION_ERROR = 0, CONDITION_FALSE, CONDITION_TRUE };

/* No heap. why: what erred, for people; empty otherwise. May be NULL. */
enum condition_result condition_eval(const struct condition *condition, const struct policy_query *query, char *why,
				     size_t why_size);

/*
 * The first second through limit in which the condition is no longer surely `want`, from the query's instant on:
 * query->now where it may turn within that second; INT64_MAX: it surely is through limit. No heap.
 */
int64_t condition_horizon(const struct condition *condition, const struct policy_query *query, bool want,
			  int64_t limit);

/*
 * Both at once: what it is, and where that is `want`, in *until the horizon (or INT64_MAX); what it is otherwise leaves
 * *until alone. No heap.
 */
enum condition_result condition_judge(const struct condition *condition, const struct policy_query *query, bool want,
				      int64_t limit, int64_t *until);

/*
 * The parts that made it not `true`: [{"expression", "values": {name: value, ...}}, ...], the smallest
 * conjuncts that were false or erred. A new reference; NULL: memory.
 */
json_t *condition_false_parts(const struct condition *condition, const struct policy_query *query);

/*
 * The other way round, for a condition that is not `wish` at the query's instant: the first second through limit in which
 * it might be; INT64_MAX: surely in none. *work bounds the search, see horizon_when(). No heap.
 */
int64_t condition_when(const struct condition *condition, const struct policy_query *query, bool wish, int64_t limit,
		       uint32_t *work);

/*
 * A request that is not all known. What the query does not say could be anything where any_request, and the same of the names of
 * who asks and of the account.
 */
struct condition_view {
	const struct policy_query *query; /* its instant does not count */
	bool any_principal, any_account, any_request;
	bool counted; /* see horizon.h */
};

/* Out of HORIZON_TRUE, HORIZON_FALSE, HORIZON_ERROR: what it could be from one second through another. No heap. */
unsigned condition_within(const struct condition *condition, const struct condition_view *view, int64_t from, int64_t to,
			  uint32_t *work);
/* The part of it that could be this or that: its text, p NULL where there is none. */
struct str condition_doubt(const struct condition *condition, const struct condition_view *view, int64_t from, int64_t to,
			   uint32_t *work);
bool condition_is_about_principal(const struct condition *condition);

/* What of a request its caller could change. */
enum condition_part { CONDITION_SCOPES, CONDITION_LIFETIME, CONDITION_JUSTIFICATION, CONDITION_SURFACE, N_CONDITION_PARTS };

bool condition_is_about(const struct condition *condition, enum condition_part part);
/* Adds values of that part for which it might be true: guesses, see example.h. Of LIFETIME spans; of SCOPES none. */
void condition_examples(const struct condition *condition, enum condition_part part, struct examples *out);
/* Whether this text stands in it as a constant. */
bool condition_mentions(const struct condition *condition, const char *text);
/* The zone that it names first. False: it names none. */
bool condition_zone(const struct condition *condition, struct str *name, struct zone_ref *zone);
/* --- for expressions by themselves (expression.c): the same names, the same complaints */

/* An environment with the attributes, a slot each from 0 on; *out is to be freed also after an error, if it is there. */
int condition_declare(struct zones *zones, struct cel_env **out, struct error *err);
const char *condition_attribute(unsigned slot, const struct cel_type **type); /* NULL: no more */

/* What is well-typed and no condition all the same. False: it was told, as an error. */
bool condition_review(const struct cel_program *program, const struct condition_sink *sink);
void condition_complain(const struct zones *zones, const struct cel_errors *errors, struct str expression,
			const struct condition_sink *sink);
