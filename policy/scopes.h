#pragma once

/*
 * OAuth 2.0 scopes: which are well-formed, and which lie under another.
 *
 * cloud-platform covers the narrower scopes of Google Cloud's own APIs and those that only
 * name the caller; it never covers Drive, Gmail, Calendar, the Admin SDK or anything else.
 * Source: "OAuth 2.0 Scopes for Google APIs", developers.google.com/identity/protocols/oauth2/scopes.
 */

#include <stdbool.h>
#include <stddef.h>

#define SCOPE_CLOUD_PLATFORM "https://www.googleapis.com/auth/cloud-platform"

bool scope_well_formed(const char *scope);
bool scope_covers(const char *ceiling, const char *asked);

/* Whether one of the ceilings covers it. */
static inline bool scope_is_under(const char *const *ceilings, size_t n, const char *asked) {
	for (size_t i = 0; i < n; i++)
		if (scope_covers(ceilings[i], asked))
			return true;
	return false;
}

/* Whether they cover any of those that are asked for. */
static inline bool scopes_meet(const char *const *ceilings, size_t n, const char *const *asked, size_t n_asked) {
	for (size_t i = 0; i < n_asked; i++)
		if (scope_is_under(ceilings, n, asked[i]))
			return true;
	return false;
}
