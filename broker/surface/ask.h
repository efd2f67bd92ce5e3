#pragma once

/*
 * From JSON to a struct ask: a closed schema, canonical forms, clear refusals.
 *
 * What passes here is what is decided on, recorded and sent upstream: nothing is rewritten later, but that a JWT without an
 * end gets one (request.c).
 */

#include <jansson.h>
#include "broker/request.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

/* Parses one JSON object; duplicate keys and trailing bytes are refused. ERR_INVALID with line:column. */
int ask_body(struct str body, json_t **out, struct error *err);

/*
 * Fills *ask from body's members; borrows its strings, does not take it; a payload is put into its canonical form there.
 * permission decides which members there may be. extra: names of further members that the caller reads itself,
 * NULL-terminated, or NULL.
 */
int ask_parse(json_t *body, enum policy_permission permission, const char *const *extra, struct ask *ask,
	      struct error *err);

/* "900s" or 900; 0: it is no lifetime that could be asked for. */
int64_t ask_seconds(const json_t *value);

/* A list of e-mails; value NULL or null: none. Borrows. name and one: what the list and an item are called. */
int ask_emails(const json_t *value, const char *name, const char *one, size_t max, const char **out, size_t *n,
	       struct error *err);

/*
 * Puts scopes that a request names (taken; NULL: none) into such a body, as far as those that stand there already go: a session that was
 * opened for less gives no more, whichever protocol asks. cloud-platform stands for all there are. What is no list of strings is left
 * for ask_parse() to refuse. ERR_INVALID: none of them is among the session's.
 */
int ask_narrow(json_t *body, json_t *scopes, struct error *err);
