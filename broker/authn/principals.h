#pragma once

/*
 * From a kernel's peer to a principal, by the configuration's `peers:` rules (P4).
 *
 * The first rule that fits wins. Knows no policy.
 */

#include "broker/authn/accounts.h"
#include "broker/authn/peer.h"
#include "broker/config.h"

#define PRINCIPAL_MAX 256

enum principal_verdict {
	PRINCIPAL_UNKNOWN = 0, /* no rule fits */
	PRINCIPAL_FOUND,
	PRINCIPAL_NEEDS_ACCOUNT, /* a rule asks for a name or a group: look the account up and call again */
};

/* account NULL: not looked up yet. out: PRINCIPAL_MAX bytes. */
enum principal_verdict principal_of(const struct config *config, const struct peer *peer,
				    const struct account *account, char *out);

/* Sets err to why nobody is found, for who wants to mend it. account NULL: not looked up, no rule asked for it. */
void principal_unknown(const struct peer *peer, const struct account *account, struct error *err);

/* Whether a template is one: only {name} and {uid}, and a member type in front ("user:{name}@example.com"). */
int principal_template_check(const char *template, struct error *err);
