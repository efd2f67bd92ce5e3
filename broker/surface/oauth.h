#pragma once

/*
 * OAuth's words (RFC 6749), which the metadata server and the token exchange share: outcomes and errors to what clients parse. Pure.
 */

#include "broker/request.h"
#include "hallpass/buf.h"

#define OAUTH_GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange" /* RFC 8693 §2.1 */

/* What a failure is to a client: 503 makes it try again, and all else must not. */
int oauth_status(const struct request_outcome *outcome);
/* {"error", "error_description"} (RFC 6749 §5.2): gcloud, Python, Node and Go show the description to people. */
void oauth_error(struct buf *out, const char *error, const char *description);
/*
 * {"access_token", "expires_in", "token_type"} without its closing brace, for a surface to end. Has room for more_n further bytes: what
 * grows later would leave a copy of the token where it stood.
 */
void oauth_token(struct buf *out, const struct request_outcome *outcome, size_t more_n);
/* "a,b" or "a b" -> a new list of them; empty: NULL. text is cut up. */
json_t *oauth_scopes(char *text);
