#pragma once

/*
 * The broker's half of `hallpass doctor`: is the way from here to Google whole, and what is to be done where it is not?
 *
 * Asks the IAM Credentials endpoint for any answer (network, proxy, certificates, clock), the credential for a token, and the IAM
 * API, for each account, what the credential may do there (testIamPermissions) and who else may (getIamPolicy). Nothing is
 * minted: afterwards there is no token of an account that was not there before (P1). That it was asked, by whom and about which
 * accounts, stands in the record. Runs beside everything else; each call counts against its asker's rate.
 */

#include <event2/event.h>
#include <jansson.h>
#include "broker/fetch.h"
#include "broker/request.h"
#include "broker/source/source.h"
#include "hallpass/api.h"

#define DOCTOR_MAX_ACCOUNTS API_DOCTOR_ACCOUNTS

struct doctor;

struct doctor_spec {
	struct event_base *base;
	struct request_world *requests;
	struct fetcher *fetcher;
	struct source *source;
	struct snapshot *snapshot; /* in force */
	const struct caller *caller; /* outlives the doctor */
	bool for_operator;
	const char *const *accounts; /* outlive the doctor */
	size_t n_accounts;
};

/* checks: a list of what finding_json() gives, to be taken; NULL: no memory. Once, later, unless cancelled. */
typedef void doctor_done_fn(json_t *checks, void *arg);

/* NULL: no memory. */
struct doctor *doctor_start(const struct doctor_spec *spec, doctor_done_fn *done, void *arg);
void doctor_cancel(struct doctor *doctor); /* takes NULL */
