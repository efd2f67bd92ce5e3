#pragma once

/*
 * A condition of a rule: the one place where policy meets CEL.
 *
 * Knows the attributes (request.time, resource.name, ...) and their types, turns a query into
 * their values, and asks the engine: what is it now, until when does that surely hold, and
 * which parts of it were false.
 */

#include "hallpass/policy.h"

struct condition_env; /* the declared attributes, and what was compiled with them; one a policy, immutable once that is loaded */
struct condition;

int condition_env_new(const struct policy_host *host, struct condition_env **out, struct error *err);
void condition_env_free(struct condition_env *env); /* takes NULL */

/* offset: bytes into the expression. */
struct condition_sink {
	void (*found)(void *arg, enum policy_severity severity, const char *id, size_t offset, const char *message,
		      const char *fix);
	void *arg;
};

/*
 * Compiles. What is wrong goes to the sink, and then *out is NULL with 0 returned; -1: memory.
 * title: borrowed as long as the condition, or NULL. The expression is copied. Equal expressions of one env are compiled
 * once; conditions are the env's, and go with it.
 */
int condition_new(struct condition_env *env, struct str expression, const char *title,
		  const struct condition_sink *sink, struct condition **out);

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
 * The parts that made it not `true`: [{"expression", "values": {name: value, ...}}, ...], the smallest
 * conjuncts that were false or erred. A new reference; NULL: memory.
 */
json_t *condition_false_parts(const struct condition *condition, const struct policy_query *query);
