/* See reload.h. */

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "broker/authn/principals.h"
#include "broker/clock.h"
#include "broker/notify.h"
#include "broker/reload.h"
#include "hallpass/cleanup.h"

#define END_MS 5000 /* a load that takes longer at the end hangs in a file system */

struct reload_wait {
	TAILQ_ENTRY(reload_wait) link;
	char who[PRINCIPAL_MAX];
	struct peer peer;
	bool by_signal;
	reload_done_fn *done; /* NULL: nobody listens any more */
	void *arg;
};
TAILQ_HEAD(reload_waits, reload_wait);

/* One reading of the files; the thread's between start and done. */
struct load {
	struct errand errand;
	struct reloader *reloader; /* the loop's alone; NULL: it did not wait any longer */
	char *config_path, *audit_dir;
	int64_t now;
	struct snapshot *snapshot; /* NULL: refused, see err */
	struct snapshot_notes notes;
	struct error err;
};

struct reloader {
	struct errands *errands;
	struct reload_ports ports;
	struct load *load; /* made ahead: a reload that is asked for has its memory */
	bool loading;
	struct reload_waits waits; /* for it */
	struct reload_waits next;  /* for the one after it */
	bool ending;
};

static void load_free(struct load *load) {
	if (!load)
		return;
	snapshot_notes_fini(&load->notes);
	free(load->config_path);
	free(load->audit_dir);
	free(load);
}

static void load_run(void *arg) {
	struct load *load = arg;

	if (snapshot_load(load->config_path, load->now, &load->snapshot, &load->notes, false, &load->err) < 0)
		return;
	if (snapshot_keep(load->snapshot, load->audit_dir, &load->err) < 0)
		snapshot_unref(take(&load->snapshot));
}

static void tell(struct reloader *r, struct reload_waits *waits, const struct snapshot *snapshot,
		 const struct snapshot_notes *notes, const struct error *err) {
	struct reload_wait *wait;

	while ((wait = TAILQ_FIRST(waits))) {
		const struct reload_by by = { wait->who, wait->by_signal ? NULL : &wait->peer };

		TAILQ_REMOVE(waits, wait, link);
		r->ports.ended(r->ports.arg, &by, snapshot ? NULL : err);
		if (wait->done)
			wait->done(snapshot, notes, err, wait->arg);
		free(wait);
	}
}

static void begin(struct reloader *r);

static void load_done(void *arg) {
	struct load *load = arg;
	struct reloader *r = load->reloader;
	struct snapshot *snapshot = load->snapshot;

	if (!r) { /* it came too late */
		snapshot_unref(snapshot);
		load_free(load);
		return;
	}
	if (snapshot && r->ports.take_up(r->ports.arg, snapshot, &load->notes, &load->err) < 0)
		snapshot_bury(take(&snapshot), r->errands);
	/* Who asks from inside this waits for the next. */
	tell(r, &r->waits, snapshot, &load->notes, &load->err);
	notify_service_manager("READY=1");
	snapshot_notes_fini(&load->notes);
	r->loading = false;
	if (!TAILQ_EMPTY(&r->next) && !r->ending)
		begin(r);
}

/* With what was asked so far. */
static void begin(struct reloader *r) {
	struct load *load = r->load;

	load->now = clock_now().s;
	load->snapshot = NULL;
	load->err = (struct error){ 0 };
	load->errand = (struct errand){ .run = load_run, .done = load_done, .arg = load };
	TAILQ_CONCAT(&r->waits, &r->next, link);
	r->loading = true;
	notify_reloading(clock_monotonic_us());
	errands_start(r->errands, &load->errand);
}

static void reloader_release(struct reloader *r) {
	if (r->loading)
		r->load->reloader = NULL;
	else
		load_free(r->load);
	free(r);
}

static struct load *load_new(const char *config_path, const char *audit_dir) {
	struct load *load = calloc(1, sizeof(*load));

	if (load && (!config_path || (load->config_path = strdup(config_path))) && (load->audit_dir = strdup(audit_dir)))
		return load;
	load_free(load);
	return NULL;
}

int reloader_new(struct errands *errands, const char *config_path, const char *audit_dir, const struct reload_ports *ports,
		 struct reloader **out, struct error *err) {
	struct reloader *r = calloc(1, sizeof(*r));

	if (!r || !(r->load = load_new(config_path, audit_dir))) {
		free(r);
		return error_no_memory(err);
	}
	r->load->reloader = r;
	r->errands = errands;
	r->ports = *ports;
	TAILQ_INIT(&r->waits);
	TAILQ_INIT(&r->next);
	*out = r;
	return 0;
}

void reloader_free(struct reloader *r) {
	const struct snapshot_notes none = { 0 };
	struct error err;

	if (!r)
		return;
	r->ending = true;
	errands_finish(r->errands, END_MS);
	error_set(&err, ERR_UNAVAILABLE, "hallpassd ended before its files were read");
	tell(r, &r->waits, NULL, &none, &err);
	tell(r, &r->next, NULL, &none, &err);
	reloader_release(r);
}

static bool signal_waits(const struct reloader *r) {
	const struct reload_wait *wait;

	TAILQ_FOREACH(wait, &r->next, link)
		if (wait->by_signal)
			return true;
	return false;
}

struct reload_wait *reload_start(struct reloader *r, const struct reload_by *by, reload_done_fn *done, void *arg) {
	struct reload_wait *wait;
	struct error err;

	if (!by->peer && signal_waits(r))
		return NULL;
	wait = calloc(1, sizeof(*wait));
	if (!wait) {
		error_no_memory(&err);
		r->ports.ended(r->ports.arg, by, &err);
		return NULL;
	}
	snprintf(wait->who, sizeof(wait->who), "%s", by->who);
	wait->by_signal = !by->peer;
	if (by->peer)
		wait->peer = *by->peer;
	wait->done = done;
	wait->arg = arg;
	TAILQ_INSERT_TAIL(&r->next, wait, link);
	if (!r->loading)
		begin(r);
	return wait;
}

void reload_cancel(struct reload_wait *wait) {
	if (wait)
		wait->done = NULL;
}
