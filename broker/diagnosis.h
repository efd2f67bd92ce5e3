#pragma once

/*
 * What the doctor says: from what was heard to a finding in words, with what to do about it.
 *
 * Words alone: no socket, no clock. Who is no operator of the broker is not shown its files, nor who else may what.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "broker/fetch.h"
#include "broker/source/source.h"
#include "hallpass/buf.h"
#include "hallpass/policy.h"

enum health {
	HEALTH_UNKNOWN, /* it could not be seen, and is perhaps nobody's business */
	HEALTH_OK,
	HEALTH_WARN,
	HEALTH_FAIL,
};

struct finding {
	const char *id;	     /* static: "credential" */
	const char *account; /* whom it is about; borrowed; NULL: nobody */
	enum health health;
	struct buf text, remedy; /* remedy empty: nothing is to be done */
};

/* Whom it is told to, and about which credential. */
struct patient {
	const struct source *source;
	const char *email;   /* the credential's account, however it became known; NULL: unknown */
	const char *way;     /* fetcher_way() */
	bool for_operator;
	bool as_broker;	     /* who asks is of the broker's own uid */
	int64_t broker_uid;
};

void finding_init(struct finding *finding, const char *id, const char *account);
void finding_fini(struct finding *finding);
/* Sets its health and text; what is to be done is said by finding_remedy(). */
__attribute__((format(printf, 3, 4))) void finding_say(struct finding *finding, enum health health, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void finding_remedy(struct finding *finding, const char *fmt, ...);
/* {"id", "serviceAccount"?, "status", "text", "remedy"?}. A new reference; NULL: no memory. */
json_t *finding_json(const struct finding *finding);

/* Any answer of the endpoint will do. */
void diagnose_upstream(struct finding *finding, const struct patient *patient, const char *url, const struct fetch_result *heard,
		       int64_t took_ms);
/* date: the answer's field, NULL: none. It was said between two instants of our clock; allowance_s: limits.clockAllowance. */
void diagnose_clock(struct finding *finding, const char *date, int64_t asked_at, int64_t heard_at, int64_t allowance_s);
/* expires_at 0: there is no token, err says why. */
void diagnose_credential(struct finding *finding, const struct patient *patient, int64_t expires_at, int64_t now, const struct error *err);
/* Of testIamPermissions, which was asked about these. */
void diagnose_impersonation(struct finding *finding, const struct patient *patient, const enum policy_permission *asked, size_t n_asked,
			    const struct fetch_result *heard);
/* Of getIamPolicy. */
void diagnose_others(struct finding *finding, const struct patient *patient, const struct fetch_result *heard);
