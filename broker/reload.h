#pragma once

/*
 * Reloads: the files are read and checked on a thread beside the event loop, so no request waits for them; what came of it
 * is taken up on the loop, whole or not at all (P6).
 *
 * One at a time. Who asks while one is under way may have changed a file that it has read already: they are all answered by
 * the next, which begins when this one is over. Each of them is told, and each stands in the record.
 */

#include "broker/authn/peer.h"
#include "broker/errand.h"
#include "broker/snapshot.h"
#include "hallpass/error.h"

/* Who wants a reload: for the record. */
struct reload_by {
	const char *who;	 /* "SIGHUP", or a principal */
	const struct peer *peer; /* NULL: a signal, whose sender nobody vouches for */
};

/* Whose reload it is. Both run on the loop. */
struct reload_ports {
	/* Puts the snapshot in force and takes it, or says why not and leaves it. */
	int (*take_up)(void *arg, struct snapshot *snapshot, struct snapshot_notes *notes, struct error *err);
	/* Once for each who asked, before that is told; err NULL: it was taken up. Inside reload_start() where that has no memory. */
	void (*ended)(void *arg, const struct reload_by *by, const struct error *err);
	void *arg;
};

/* snapshot: the one that is in force by this reload, or NULL and err. notes: the findings as text for people. */
typedef void reload_done_fn(const struct snapshot *snapshot, const struct snapshot_notes *notes, const struct error *err,
			    void *arg);

struct reloader;
struct reload_wait;

/* config_path NULL: no file. audit_dir: where policies are kept before they come in force. errands is borrowed. */
int reloader_new(struct errands *errands, const char *config_path, const char *audit_dir, const struct reload_ports *ports,
		 struct reloader **out, struct error *err);
/* Waits a while for one that is under way, and takes it up; what did not end is refused. Takes NULL. */
void reloader_free(struct reloader *reloader);

/*
 * by is copied. done runs once, later, on the loop, unless the wait is cancelled. Two signals that wait for the same reload are
 * one: NULL, and done is not called. Neither is it where there is no memory: NULL, and what was asked for has ended.
 */
struct reload_wait *reload_start(struct reloader *reloader, const struct reload_by *by, reload_done_fn *done, void *arg);
/* Who asked has left. The reload goes on, and is recorded. Takes NULL. */
void reload_cancel(struct reload_wait *wait);
