/* See listing.h. */

#include <stdlib.h>
#include "broker/clock.h"
#include "broker/surface/listing.h"
#include "hallpass/cleanup.h"

#define BODY_MAX (1 << 20)
#define TAIL_MAX 64  /* what closes the answer */
#define TURN_US 1000 /* after that others have theirs */

struct listing {
	struct event *go_on;
	struct ask ask;
	struct policy_query query;
	struct policy_listing *accounts;
	struct buf body;
	bool any, truncated;
	listing_done_fn *done;
	void *arg;
};

static void listing_free(struct listing *l) {
	policy_listing_free(l->accounts);
	if (l->go_on)
		event_free(l->go_on);
	buf_fini(&l->body);
	free(l);
}

static int add_bytes(const char *bytes, size_t n, void *arg) {
	buf_add(arg, bytes, n);
	return 0;
}

/* An entry that does not fit any more is left out, and that is said. Takes entry. */
static void add_entry(struct listing *l, json_t *entry) {
	const size_t before = l->body.len;

	if (l->any)
		buf_addc(&l->body, ',');
	if (json_dump_callback(entry, add_bytes, &l->body, JSON_COMPACT) < 0)
		l->body.failed = true;
	json_decref(entry);
	l->any = true;
	if (l->body.len > BODY_MAX - TAIL_MAX) {
		l->truncated = true;
		l->body.len = before;
	}
}

/* False: no more is added. */
static bool add_next(struct listing *l) {
	json_t *entry;
	int r = policy_listing_next(l->accounts, &entry);

	if (r > 0)
		add_entry(l, entry);
	else if (r < 0)
		l->body.failed = true;
	return r > 0 && buf_ok(&l->body) && !l->truncated;
}

/* By a timer: what event_active() makes active is run before the sockets are looked at. */
static int next_turn(struct listing *l) {
	const struct timeval now = { 0, 0 };

	return event_add(l->go_on, &now);
}

static void take_turn(evutil_socket_t fd, short events, void *arg) {
	const int64_t until_us = clock_monotonic_us() + TURN_US;
	struct listing *l = arg;
	bool more;

	(void)fd, (void)events;
	do
		more = add_next(l);
	while (more && clock_monotonic_us() < until_us);
	if (more && next_turn(l) == 0)
		return;
	l->body.failed |= more;
	buf_adds(&l->body, l->truncated ? "],\"truncated\":true}\n" : "]}\n");
	l->done(&l->body, l->arg);
	listing_free(l);
}

struct listing *listing_start(struct event_base *base, struct snapshot *snapshot, const struct caller *caller,
			      listing_done_fn *done, void *arg) {
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->ask.surface = "native";
	l->body = BUF_INIT(BODY_MAX + BODY_MAX / 8); /* and any one entry */
	l->done = done;
	l->arg = arg;
	l->go_on = evtimer_new(base, take_turn, l);
	request_query(&l->ask, caller, snapshot, clock_now(), &l->query);
	buf_adds(&l->body, "{\"principal\":");
	buf_add_json(&l->body, caller->principal, strlen(caller->principal));
	buf_adds(&l->body, ",\"accounts\":[");
	if (l->go_on && policy_listing_new(snapshot->policy, &l->query, &l->accounts) == 0 && next_turn(l) == 0)
		return l;
	listing_free(l);
	return NULL;
}

void listing_cancel(struct listing *l) {
	if (l)
		listing_free(l);
}
