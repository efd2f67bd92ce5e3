#pragma once

/*
 * What is in force: configuration and policy, taken up together or not at all (P6).
 *
 * Immutable and counted; a request holds the one it began with to its end. It may be loaded and freed on another thread;
 * its references are the event loop's alone.
 */

#include <stdbool.h>
#include "broker/config.h"
#include "broker/errand.h"
#include "hallpass/policy.h"

struct snapshot {
	unsigned refs;
	uint64_t serial; /* no other's in this process */
	struct errands *burial_by; /* who frees it after the last reference; NULL: whoever gives that up */
	struct errand burial;
	struct config *config;
	struct policy *policy;
	char policy_sha256[65]; /* hex, over the file's bytes */
	char *policy_text;	/* these bytes, until they are kept */
	size_t policy_len;
	int64_t loaded_at;	/* Unix seconds */
};

/* Where findings go that came with a load, good or bad: printed text, plain. */
struct snapshot_notes {
	struct buf text;
	size_t n_errors, n_warnings;
};

/* config_path NULL: no file. Errors carry the first finding; notes has all. Safe from any thread. */
int snapshot_load(const char *config_path, int64_t now, struct snapshot **out, struct snapshot_notes *notes,
		  bool colour, struct error *err);
/*
 * Keeps the policy beside the log (versions.h): before it is put in force, and once. What was not kept must not come in
 * force. Safe from any thread. Errors: version_keep()'s.
 */
int snapshot_keep(struct snapshot *snapshot, const char *audit_dir, struct error *err);
void snapshot_notes_fini(struct snapshot_notes *notes);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* takes NULL */
/*
 * The same, and when the last reference is given up, whoever holds it, the memory is given back beside the event loop:
 * a hundred thousand rules take a while. NULL: nothing.
 */
void snapshot_bury(struct snapshot *snapshot, struct errands *errands);
