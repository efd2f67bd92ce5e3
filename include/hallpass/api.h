#pragma once

/*
 * The native API: JSON over HTTP/1.1 on hallpassd's Unix socket, and what both sides must call the same.
 *
 *   POST /v1/token    {serviceAccount, scopes?, lifetime? ("900s" or 900), delegates?, justification?}
 *                     -> {accessToken, expireTime, expiresIn, serviceAccount, scopes, binding, boundBy, title?,
 *                         permittedUntil?, requestId, cached, fading?} (fading: it ends soon, and Google gives no other now)
 *   POST /v1/idToken  {serviceAccount, audience, includeEmail?, useEmailAzp?, delegates?, justification?}
 *                     -> {token, expireTime, expiresIn, serviceAccount, binding, boundBy, requestId, cached}
 *   GET  /v1/whoami   -> {principal, how, uid, gid, pid, exe?}
 *   GET  /v1/list     -> {principal, accounts: [what policy_listing_next() gives], truncated: true where there were more}
 *   POST /v1/why      {serviceAccount, scopes?, lifetime?, delegates?, justification?, permission?, time? (Unix seconds), principal?}
 *                     -> what policy_explain() gives, and about {principal, serviceAccount, permission, time, requestId?},
 *                        policy {sha256, since, past}. Without anything but time and principal: about the last request of the
 *                        principal that the policy refused. A time of the past is told by the policy that was in force then.
 *                        principal: another than the caller, for operators
 *   GET  /v1/status   -> {version, pid, uptime, config?, policy, credential, audit, tokens, connections, sessions,
 *                     listeners: [{address, port, serviceAccounts}] (TCP)}
 *   POST /v1/reload   -> {policySha256, findings, warnings}; operators only
 *                     (root and the broker's own uid may ask for status and reload even where `peers:` makes them nobody)
 *   POST /v1/doctor   {serviceAccounts? (up to 16)}
 *                     -> {time (the broker's, Unix seconds), network (as below; 0: unknown), checks: [{id, serviceAccount?, status (ok, warn, fail, note), text, remedy?}]}:
 *                     whether Google can be reached, the credential is good, and Google lets the broker use these accounts. No token
 *                     is made. Each of its calls to Google counts as a request
 *   POST /v1/sessions {serviceAccount, also? (further accounts), scopes?, lifetime?, delegates?, justification?, port?, handle? (both had before, and
 *                     wanted again after the broker restarted; a handle that another session has is a 503), relayed?}
 *                     -> {session, port, network?, handle, serviceAccount, also, caFile? (upstream.caFile)}: a door on 127.0.0.1:port for the
 *                     caller's uid alone, which lives as long as this connection, and ends with a 408 on it when the broker ends it
 *                     network? tells whose loopback that is (the inode of /proc/self/ns/net): in a container it is another
 *                     relayed: true: port is where the caller's relay listens (in a container, say), and nobody does here
 *   POST /v1/sessions/ID -> {session}: from the next request on this connection speaks what the session's port does; for a relay
 *   DELETE /v1/sessions/ID -> {session, tokens}
 *   GET  /v1/version  -> {name, version}
 *   GET  /healthz     -> ok
 *
 * A session's port, and each TCP listener, speaks other people's protocols: the metadata server (broker/surface/metadata.h), and token
 * exchange and introspection, POST /v1/token and /v1/introspect as forms (broker/surface/sts.h).
 *
 * Times are RFC 3339 in UTC. A POST's Content-Type is application/json. Errors have Google's shape: {"error": {code,
 * message, status, details: [ErrorInfo{reason, domain: "hallpass", metadata{requestId, principal, serviceAccount, rule,
 * findings}}]}}; reasons are decision_reason_name()'s, and UNKNOWN_CALLER, RATE_LIMITED, RECORD_UNAVAILABLE, CLOCK_BEHIND,
 * UPSTREAM_REFUSED (Google says no, and will until somebody changes something), UPSTREAM_FAILED, DEADLINE_EXCEEDED,
 * INVALID_REQUEST, NOT_OPERATOR, RELOAD_REFUSED, NOTHING_DENIED, POLICY_NOT_KEPT, NAME_SERVICE, NOT_FOUND, UNAVAILABLE,
 * INTERNAL, BAD_CREDENTIAL and CREDENTIALS_MISSING (a bearer that is not the session's handle), JWT_OUTLIVES_PERMISSION (its exp),
 * MALFORMED_REQUEST (no HTTP/1.1, too large, or not in time), MISDIRECTED_REQUEST (a Host that is not ours), FOREIGN_REQUEST (a field that only browsers and proxies send: Origin, Referer,
 * Sec-Fetch-*, X-Forwarded-For, Forwarded, Via).
 */

#define API_PATH_TOKEN "/v1/token"
#define API_PATH_ID_TOKEN "/v1/idToken"
#define API_PATH_WHOAMI "/v1/whoami"
#define API_PATH_LIST "/v1/list"
#define API_PATH_WHY "/v1/why"
#define API_PATH_STATUS "/v1/status"
#define API_PATH_RELOAD "/v1/reload"
#define API_PATH_DOCTOR "/v1/doctor"
#define API_PATH_SESSIONS "/v1/sessions"
#define API_PATH_VERSION "/v1/version"
#define API_PATH_HEALTHZ "/healthz"

/* At a session's port: */
#define API_PATH_EXCHANGE "/v1/token"
#define API_PATH_INTROSPECT "/v1/introspect"
#define API_AUDIENCE_OURS "//hallpass.invalid/" /* how those begin that are nobody's but hallpass's */
#define API_AUDIENCE_LOCAL API_AUDIENCE_OURS "local" /* Python asks Google about one with /projects/N/ in it */

#define API_SERVICE_ACCOUNT "serviceAccount"
#define API_SCOPES "scopes"
#define API_LIFETIME "lifetime"
#define API_DELEGATES "delegates"
#define API_JUSTIFICATION "justification"
#define API_AUDIENCE "audience"
#define API_INCLUDE_EMAIL "includeEmail"
#define API_PERMISSION "permission"
#define API_TIME "time"
#define API_PRINCIPAL "principal"

#define API_CHECKS "checks"
#define API_SERVICE_ACCOUNTS "serviceAccounts"
#define API_DOCTOR_ACCOUNTS 16

#define API_ALSO "also"
#define API_PORT "port"
#define API_RELAYED "relayed"
#define API_NETWORK "network"
#define API_SESSION "session"
#define API_HANDLE "handle"
#define API_CA_FILE "caFile"
#define API_TOKENS "tokens"

#define API_ACCESS_TOKEN "accessToken"
#define API_TOKEN "token"
#define API_EXPIRE_TIME "expireTime"
#define API_EXPIRES_IN "expiresIn"
#define API_BINDING "binding"
#define API_BOUND_BY "boundBy"
#define API_TITLE "title"
#define API_PERMITTED_UNTIL "permittedUntil"
#define API_REQUEST_ID "requestId"
#define API_CACHED "cached"
#define API_FADING "fading"

/* What `hallpass` exits with; `hallpass run` exits with the command's own code. Source: sysexits.h. */
enum api_exit {
	API_EXIT_OK = 0,
	API_EXIT_DIFFERS = 1, /* asked for with --exit-code */
	API_EXIT_USAGE = 64,
	API_EXIT_UNREACHABLE = 69, /* no broker */
	API_EXIT_FAILED = 70,	   /* and trying again is of no use */
	API_EXIT_TRY_AGAIN = 75,   /* 429, 5xx: may pass */
	API_EXIT_DENIED = 77,
	API_EXIT_CONFIG = 78,
};
