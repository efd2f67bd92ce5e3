#pragma once

/*
 * OAuth 2.0 scopes: which are well-formed, and which lie under another.
 *
 * cloud-platform covers the narrower scopes of Google Cloud's own APIs and those that only
 * name the caller; it never covers Drive, Gmail, Calendar, the Admin SDK or anything else.
 * Source: "OAuth 2.0 Scopes for Google APIs", developers.google.com/identity/protocols/oauth2/scopes.
 */

#include <stdbool.h>

#define SCOPE_CLOUD_PLATFORM "https://www.googleapis.com/auth/cloud-platform"

bool scope_well_formed(const char *scope);
bool scope_covers(const char *ceiling, const char *asked);
