#pragma once

/*
 * Expressions by themselves, for programs: one question as JSON, one answer as JSON.
 *
 *	{"id": ANY, "expr": TEXT, "bindings": {NAME: {"value": VALUE}}, "type_env": [DECL], "container": NAME,
 *	 "disable_check": BOOL, "disable_macros": BOOL, "check_only": BOOL}
 *
 *	{"id": ANY, "value": VALUE}				what it is
 *	{"id": ANY, "type": TYPE}				of which type it is, for check_only
 *	{"id": ANY, "error": "1:5: ...", "phase": "parse"}	or "check" or "eval"; line and column
 *	{"id": ANY, "error": "..."}				the question itself cannot be understood
 *
 * Values, types and declarations are proto3-JSON of cel.expr.Value, cel.expr.Type and cel.expr.Decl, as the conformance
 * suite of CEL writes them. Everything but expr may be missing. What is bound and not declared is dyn. A test of the suite is a
 * question as it stands: what else it says of itself is not looked at, and any other member is refused.
 *
 * Under the limits that conditions are under. No attribute of a request is declared here: see policy.h for those.
 */

#include <jansson.h>
#include "hallpass/error.h"
#include "hallpass/policy.h"

struct eval; /* the zones read so far, and memory; for one thread */

int eval_new(const struct policy_host *host, struct eval **out, struct error *err);
void eval_free(struct eval *eval); /* takes NULL */

/* Borrows the question. A new reference; NULL: memory. */
json_t *eval_answer(struct eval *eval, const json_t *question);
