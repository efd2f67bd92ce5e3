/* See past.h. */

#include <stdlib.h>
#include "broker/past.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

struct past {
	struct errands *errands;
	char *dir;
	char hash[SHA256_HEX]; /* of the last one; "": none */
	struct policy *policy;
	unsigned under_way;
	bool ended; /* nobody but the errands under way has it */
};

/* One question; the thread's between start and done, but for `done` and `arg`. */
struct past_wait {
	struct errand errand;
	struct past *past;
	struct version version;
	struct policy *policy;
	struct error err;
	past_done_fn *done; /* NULL: nobody listens any more */
	void *arg;
};

static void past_release(struct past *past) {
	policy_unref(past->policy);
	free(past->dir);
	free(past);
}

/* --- on the thread */

static void load(void *arg) {
	struct past_wait *wait = arg;
	struct policy_report report = { 0 };
	char *text = NULL;
	size_t len;

	if (wait->policy || version_read(wait->past->dir, wait->version.hash, &text, &len, &wait->err) < 0)
		return;
	/* Its invariants were shown from when it came in force on. */
	if (policy_load(wait->version.hash, (struct str){ text, len }, &zonefile_host, wait->version.since, &wait->policy, &report,
			&wait->err) < 0)
		error_wrap(&wait->err, "the policy with SHA-256 %.12s… is not one that this hallpassd can read", wait->version.hash);
	policy_report_fini(&report);
	free(text);
}

/* Giving back a hundred thousand rules takes a while, too. */
static void drop(void *arg) {
	struct past_wait *wait = arg;

	policy_unref(wait->policy);
}

/* --- on the loop */

/* The wait gets the one that was remembered before. */
static void remember(struct past *past, struct past_wait *wait) {
	struct policy *before = past->policy;

	past->policy = wait->policy;
	wait->policy = before;
	memcpy(past->hash, wait->version.hash, SHA256_HEX);
}

static void loaded(void *arg) {
	struct past_wait *wait = arg;
	struct past *past = wait->past;
	struct errands *errands = past->errands;

	past->under_way--;
	if (wait->done)
		wait->done(wait->policy, &wait->err, wait->arg);
	if (wait->policy && !past->ended)
		remember(past, wait);
	if (past->ended && !past->under_way)
		past_release(past);
	wait->errand = (struct errand){ .run = drop, .done = free, .arg = wait };
	errands_start(errands, &wait->errand);
}

int past_new(struct errands *errands, const char *dir, struct past **out, struct error *err) {
	struct past *past = calloc(1, sizeof(*past));

	if (!past || !(past->dir = strdup(dir))) {
		free(past);
		return error_no_memory(err);
	}
	past->errands = errands;
	*out = past;
	return 0;
}

void past_free(struct past *past) {
	if (!past)
		return;
	past->ended = true;
	if (!past->under_way)
		past_release(past);
}

struct past_wait *past_start(struct past *past, const struct version *version, past_done_fn *done, void *arg) {
	struct past_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	wait->past = past;
	wait->version = *version;
	wait->policy = strcmp(past->hash, version->hash) ? NULL : policy_ref(past->policy);
	wait->done = done;
	wait->arg = arg;
	wait->errand = (struct errand){ .run = load, .done = loaded, .arg = wait };
	past->under_way++;
	errands_start(past->errands, &wait->errand);
	return wait;
}

void past_cancel(struct past_wait *wait) {
	if (wait)
		wait->done = NULL;
}
