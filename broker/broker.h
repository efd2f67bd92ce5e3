#pragma once

/*
 * The daemon's world: built in order, run, undone in reverse.
 *
 * Owns the event loop and everything on it. The surfaces see only what stands here.
 */

#include <jansson.h>
#include "broker/log.h"
#include "broker/reload.h"
#include "broker/request.h"
#include "hallpass/error.h"

struct broker;

struct broker_options {
	const char *config_path; /* NULL: none, one user's helper */
	struct log *log;
};

/* Builds the world up to listening sockets. Errors say what to do; the exit code follows from err->code. */
int broker_new(const struct broker_options *options, struct broker **out, struct error *err);
/*
 * Opens the credential that a broker of this configuration would use, and calls nobody: its form. *about: what it is, for people.
 * ERR_INVALID: what is wrong with it; ERR_NOT_FOUND: there is none.
 */
int broker_check_credential(const struct config *config, struct log *log, struct buf *about, struct error *err);
/* Runs until SIGTERM or SIGINT has drained it. */
void broker_run(struct broker *broker);
void broker_free(struct broker *broker); /* takes NULL */

struct event_base *broker_base(struct broker *broker);
struct request_world *broker_requests(struct broker *broker);
struct sessions *broker_sessions(struct broker *broker);
struct fetcher *broker_fetcher(struct broker *broker);
struct source *broker_source(struct broker *broker); /* in use now: a reload may bring another */

/* Where configuration and policy are taken up anew; each attempt is recorded. */
struct reloader *broker_reloader(struct broker *broker);
/* Records that somebody wanted a reload who may not. */
void broker_reload_denied(struct broker *broker, const struct reload_by *by, const struct error *err);

/* What `hallpass status` shows; where the credential lies, to operators alone. A new reference. */
json_t *broker_status(struct broker *broker, bool for_operator);
