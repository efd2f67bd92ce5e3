#pragma once

/*
 * What impersonation begins with at a session's door: the credential that its IAM Credentials API wants to see, by token exchange.
 *
 * A client that impersonates (gcloud's --impersonate-service-account, google-auth's impersonated_credentials) first gets a token of
 * its own with the scope https://www.googleapis.com/auth/iam alone, and sends it to the IAM Credentials API as its bearer. At a session's
 * door that bearer is the handle, so this is what it gets for the handle that it brings: nothing that it had not, nothing of Google's, and
 * nothing to record. A session that was opened for that scope gets what it asks for.
 */

#include "broker/surface/surface.h"

/* Whether a form that is in order is such an exchange; it is then answered, and x is gone. */
bool sts_iam_serve(struct exchange *x, struct str form);
