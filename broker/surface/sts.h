#pragma once

/*
 * Token exchange (RFC 8693), refreshing (RFC 6749 §6) and introspection (RFC 7662) behind a door: what Google's libraries and gcloud do
 * with files of the types external_account and external_account_authorized_user whose token_url and token_info_url are ours. The second is
 * the one that Java, too, takes without TLS; the first is the one by which a program's own choice of scopes arrives.
 *
 *   POST /v1/token       grant_type=urn:ietf:params:oauth:grant-type:token-exchange, subject_token (what door_takes_credential() takes),
 *                        subject_token_type, audience (API_AUDIENCE_LOCAL, or one of the door's accounts: API_AUDIENCE_LOCAL/EMAIL),
 *                        requested_token_type?, scope?, options?
 *                        -> {access_token, expires_in, token_type, issued_token_type, scope}
 *   POST /v1/token       grant_type=refresh_token, refresh_token (the same credential), scope?; the door's default account
 *                        -> {access_token, expires_in, token_type, scope}; no other refresh_token: the client's own stays good
 *   POST /v1/introspect  token -> {active: true, username (its account), token_type, exp}, or {active: false}
 *
 * All are forms. Errors are RFC 6749's, their description being a sentence for people: it is all that clients show. Translates
 * only: a token is a request like any other. A client's own id and secret (gcloud sends the public ones) say nothing, and are not read.
 */

#include "broker/surface/surface.h"

extern const struct surface surface_sts;
