#pragma once

/*
 * The last request of each principal that the policy refused: what `hallpass why` without an account is about.
 *
 * In memory alone, and bounded: of the principals the one whose refusal is oldest is forgotten first.
 */

#include "broker/authn/peer.h"
#include "broker/authn/principals.h"
#include "broker/clock.h"
#include "broker/request.h"

struct denial {
	char principal[PRINCIPAL_MAX], request[REQUEST_ID_MAX];
	struct peer peer;
	struct ask ask; /* with its body: the denial has a reference */
	struct instant at;
	char policy_sha256[65]; /* that refused it */
};

struct denials;

struct denials *denials_new(void); /* NULL: memory */
void denials_free(struct denials *denials); /* takes NULL */
/* Copies, and takes a reference to the body. Where there is no memory for it, nothing is remembered. */
void denials_note(struct denials *denials, const struct denial *denial);
/* Borrowed until the next note. NULL: none is remembered. */
const struct denial *denials_find(const struct denials *denials, const char *principal);
