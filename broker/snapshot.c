/* See snapshot.h. */

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "broker/file.h"
#include "broker/sha256.h"
#include "broker/snapshot.h"
#include "broker/versions.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

#define NOTES_MAX_BYTES 65536

/* Findings, printed while the text they point into is at hand. */
static void notes_take(struct snapshot_notes *notes, struct policy_report *report, const char *name, struct str text,
		       bool colour) {
	const size_t max = notes->text.max, part = notes->text.len + NOTES_MAX_BYTES;

	/* What does not fit is one file's loss, not the next one's. */
	notes->text.max = part < max ? part : max;
	policy_report_print(report, name, text, colour, &notes->text);
	notes->text.max = max;
	notes->text.failed = false;
	notes->n_errors += report->n_errors + report->more_errors;
	notes->n_warnings += report->n_warnings + report->more_warnings;
	policy_report_fini(report);
}

/* Who may write these files decides who may be whom. */
static void note_writable(struct snapshot_notes *notes, const char *path) {
	struct stat st;

	if (stat(path, &st) < 0 || !(st.st_mode & S_IWOTH))
		return;
	buf_addf(&notes->text,
		 "%s: warning: everybody may write this file (mode %04o), and so lend themselves anything [writable-by-others]\n"
		 "  = chmod o-w %s\n",
		 path, (unsigned)(st.st_mode & 07777), path);
	notes->n_warnings++;
}

static int load_config(struct snapshot *snapshot, const char *path, struct snapshot_notes *notes, bool colour,
		       struct error *err) {
	struct policy_report report = { 0 };
	char *text = NULL;
	int r;

	r = config_load(path, &snapshot->config, &report, &text, err);
	notes_take(notes, &report, path ? path : "(defaults)", str_of(text ? text : ""), colour);
	if (path)
		note_writable(notes, path);
	free(text);
	return r;
}

static int load_policy(struct snapshot *snapshot, int64_t now, struct snapshot_notes *notes, bool colour,
		       struct error *err) {
	const char *path = snapshot->config->policy_path;
	struct policy_report report = { 0 };
	size_t len = 0;
	char *text = NULL;
	int r;

	r = file_read(path, VERSION_MAX_BYTES, &text, &len, err);
	if (r < 0) {
		if (err->code == ERR_NOT_FOUND)
			error_set(err, ERR_NOT_FOUND,
				  "no policy at %s: write one (contrib/policies has examples) or name another with `policy:`",
				  path);
		return r;
	}
	r = policy_load(path, (struct str){ text, len }, &zonefile_host, now, &snapshot->policy, &report, err);
	sha256_hex(text, len, snapshot->policy_sha256);
	notes_take(notes, &report, path, (struct str){ text, len }, colour);
	note_writable(notes, path);
	snapshot->policy_text = text;
	snapshot->policy_len = len;
	return r;
}

int snapshot_load(const char *config_path, int64_t now, struct snapshot **out, struct snapshot_notes *notes,
		  bool colour, struct error *err) {
	static atomic_uint_fast64_t last_serial;
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	*notes = (struct snapshot_notes){ .text = BUF_INIT(2 * NOTES_MAX_BYTES) };
	/* Room first: a warning that is lost would be none. */
	if (!snapshot || !buf_grow(&notes->text, 2 * NOTES_MAX_BYTES)) {
		free(snapshot);
		return error_no_memory(err);
	}
	buf_reset(&notes->text);
	snapshot->refs = 1;
	snapshot->serial = atomic_fetch_add(&last_serial, 1) + 1;
	snapshot->loaded_at = now;
	if (load_config(snapshot, config_path, notes, colour, err) < 0 ||
	    load_policy(snapshot, now, notes, colour, err) < 0) {
		snapshot_unref(snapshot);
		return -1;
	}
	*out = snapshot;
	return 0;
}

int snapshot_keep(struct snapshot *snapshot, const char *audit_dir, struct error *err) {
	const struct str text = { snapshot->policy_text, snapshot->policy_len };

	assert(text.p);
	if (version_keep(audit_dir, snapshot->policy_sha256, text, err) < 0)
		return -1;
	free(take(&snapshot->policy_text));
	return 0;
}

void snapshot_notes_fini(struct snapshot_notes *notes) {
	buf_fini(&notes->text);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot) {
	snapshot->refs++;
	return snapshot;
}

static void snapshot_empty(void *arg) {
	struct snapshot *snapshot = arg;

	policy_unref(snapshot->policy);
	config_free(snapshot->config);
	free(snapshot->policy_text);
}

void snapshot_unref(struct snapshot *snapshot) {
	if (!snapshot || --snapshot->refs)
		return;
	snapshot->burial = (struct errand){ .run = snapshot_empty, .done = free, .arg = snapshot };
	if (snapshot->burial_by) {
		errands_start(snapshot->burial_by, &snapshot->burial);
		return;
	}
	snapshot_empty(snapshot);
	free(snapshot);
}

void snapshot_bury(struct snapshot *snapshot, struct errands *errands) {
	if (snapshot)
		snapshot->burial_by = errands;
	snapshot_unref(snapshot);
}
