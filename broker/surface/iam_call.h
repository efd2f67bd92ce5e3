#pragma once

/*
 * One call of the IAM Credentials API, read: Google's path, query and body in, the body of an ask (ask.h) out. Pure.
 *
 * What Google takes is taken, in each form that its clients send (protobuf's JSON: null is not there, either spelling of a
 * name); what it refuses is refused, with words that say what to do.
 */

#include <jansson.h>
#include "broker/surface/uri.h"
#include "hallpass/error.h"
#include "hallpass/policy.h"

/* Not to be copied: it points into itself. */
struct iam_call {
	const char *method; /* "signJwt" */
	enum policy_permission permission;
	const char *account; /* as the path has it, decoded */
	bool compact;	     /* the answer is wanted without blanks (prettyPrint=false) */
	struct uri_path path;
};

/* False: there is no such method. */
bool iam_call_find(struct str path, struct iam_call *call);

/*
 * The rest of it. ask has the terms that it is asked on, and gets what is asked: the call's delegates for theirs, the shorter
 * of both lifetimes, the call's scopes within those of its terms. ERR_INVALID: as Google would say it, ask is then half done.
 */
int iam_call_read(struct iam_call *call, struct str query, struct str body, json_t *ask, struct error *err);
