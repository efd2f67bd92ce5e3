#pragma once

/*
 * What is in force: configuration and policy, taken up together or not at all (P6).
 *
 * Immutable and counted; a request holds the one it began with to its end.
 */

#include <stdbool.h>
#include "broker/config.h"
#include "hallpass/policy.h"

struct snapshot {
	unsigned refs;
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

/* config_path NULL: no file. Errors carry the first finding; notes has all. */
int snapshot_load(const char *config_path, int64_t now, struct snapshot **out, struct snapshot_notes *notes,
		  bool colour, struct error *err);
/*
 * Keeps the policy beside the log (versions.h): before it is put in force, and once. What was not kept must not come in
 * force. Errors: version_keep()'s.
 */
int snapshot_keep(struct snapshot *snapshot, struct error *err);
void snapshot_notes_fini(struct snapshot_notes *notes);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* takes NULL */
