#pragma once

/*
 * The daemon's world: built in order, run, undone in reverse.
 *
 * Owns the event loop and everything on it. The surfaces see only what stands here.
 */

#include <jansson.h>
#include "broker/log.h"
#include "broker/request.h"
#include "hallpass/error.h"

struct broker;

struct broker_options {
	const char *config_path; /* NULL: none, one user's helper */
	struct log *log;
};

/* Builds the world up to listening sockets. Errors say what to do; the exit code follows from err->code. */
int broker_new(const struct broker_options *options, struct broker **out, struct error *err);
/* Runs until SIGTERM or SIGINT has drained it. */
void broker_run(struct broker *broker);
void broker_free(struct broker *broker); /* takes NULL */

struct request_world *broker_requests(struct broker *broker);
struct sessions *broker_sessions(struct broker *broker);

/* Who wants a reload: for the record. */
struct reload_by {
	const char *who;	 /* "SIGHUP", or a principal */
	const struct peer *peer; /* NULL: a signal, whose sender nobody vouches for */
};

/*
 * Takes up configuration and policy anew, whole or not at all (P6); the attempt is recorded either way.
 * notes gets the findings as text for people; the caller fini's it.
 */
int broker_reload(struct broker *broker, const struct reload_by *by, struct snapshot_notes *notes, struct error *err);
/* Records that somebody wanted a reload who may not. */
void broker_reload_denied(struct broker *broker, const struct reload_by *by, const struct error *err);

/* What `hallpass status` shows. A new reference. */
json_t *broker_status(struct broker *broker);
