#pragma once

/*
 * The IAM Credentials API (iamcredentials.googleapis.com, v1), for clients whose endpoint can be set: gcloud, Node, google-auth's own kin.
 *
 *   POST /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken   {scope, lifetime?, delegates?} -> {accessToken, expireTime}
 *   POST …:generateIdToken   {audience, includeEmail?, useEmailAzp?, delegates?} -> {token}
 *   POST …:signBlob          {payload, delegates?} -> {keyId, signedBlob}
 *   POST …:signJwt           {payload, delegates?} -> {keyId, signedJwt}
 *
 * Google's forms of requests, replies and errors; rules it has none. The path names the account, and whom the policy lets use it
 * gets what he asks, behind whichever door. The bearer must be what the door takes as a credential (door.h), besides the
 * kernel's word. On a session's terms: its justification always, its lifetime as a ceiling, its delegates for its own
 * accounts; the scopes are the request's.
 */

#include "broker/surface/surface.h"

extern const struct surface surface_iam_credentials;
