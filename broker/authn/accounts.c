/* See accounts.h. */

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>
#include "broker/authn/accounts.h"
#include "broker/clock.h"
#include "hallpass/cleanup.h"

#define GOOD_FOR_MS 60000
#define REMEMBERED 256 /* accounts; the oldest makes room */
#define NSS_BYTES 65536		   /* of the name service's answer, at first; a group may have many members … */
#define NSS_MAX_BYTES (16 << 20)   /* … but not so many */
#define FIRST_GROUPS 64
#define ANSWER_MS 5000 /* a name service that takes longer does not answer */
#define JOIN_MS 500    /* a look-up that takes longer at the end is left behind */

struct accounts_wait {
	TAILQ_ENTRY(accounts_wait) link;
	struct accounts *accounts;
	int64_t uid, deadline_ms;
	uint64_t turn; /* in which it began */
	accounts_done_fn *done;
	void *arg;
};

struct remembered {
	struct account *account; /* NULL: free */
	int64_t uid, at_ms;
};

/* One look-up, handed to the thread and back: asked -> answered. */
struct lookup {
	TAILQ_ENTRY(lookup) link;
	struct account *account;
	bool failed; /* the name service could not say */
};
TAILQ_HEAD(lookups, lookup);

struct accounts {
	struct event *wake, *late;
	int wake_fd;
	pthread_t thread;
	bool started;
	TAILQ_HEAD(, accounts_wait) waits; /* in order of deadline */
	uint64_t turn;			   /* answers that were told */
	struct remembered remembered[REMEMBERED];
	struct remembered *latest; /* the one found last: nearly always the one looked for */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more;
	struct lookups asked, answered;
	int64_t running_uid; /* -1: none */
	bool stop, finished;
	bool left; /* nobody waits for the thread: it frees what it shares */
};

static void account_free(struct account *account) {
	for (size_t i = 0; account && i < account->n_groups; i++)
		free(account->groups[i]);
	if (account)
		free(account->groups);
	free(account);
}

/* --- on the thread: asking the name service. -1: it could not say */

/* Where it puts its answers. */
struct room {
	char *p;
	size_t size;
};

static bool room_grow(struct room *room) {
	size_t size = room->size ? room->size * 2 : NSS_BYTES;
	char *p = size <= NSS_MAX_BYTES ? realloc(room->p, size) : NULL;

	if (!p)
		return false;
	room->p = p;
	room->size = size;
	return true;
}

/* Before it is asked. False: there is no memory for its answer. */
static bool room_ready(struct room *room) {
	errno = 0;
	return room->p || room_grow(room);
}

/* Whether to ask once more. */
static bool again(int r, struct room *room) {
	return r == EINTR || (r == ERANGE && room_grow(room));
}

/* These say that there is none (source: getpwnam(3)), but not where it had no memory to look: that is told by errno alone. */
static int answer_of(int r) {
	return errno != ENOMEM && (r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM) ? 0 : -1;
}

static int account_add_group(struct account *account, gid_t gid, struct room *room) {
	struct group group, *found = NULL;
	int r;

	if (!room_ready(room))
		return -1;
	do
		r = getgrgid_r(gid, &group, room->p, room->size, &found);
	while (again(r, room));
	if (r || !found)
		return answer_of(r); /* without a name no rule can mean it */
	account->groups[account->n_groups] = strdup(found->gr_name);
	if (!account->groups[account->n_groups])
		return -1;
	account->n_groups++;
	return 0;
}

/* All groups that the user is in. The caller frees; NULL: no memory, of which the name service tells by errno alone. */
static gid_t *group_ids(const char *user, gid_t gid, int *n) {
	gid_t *gids = NULL, *more;
	int r = -1;

	errno = 0;
	for (*n = FIRST_GROUPS; r < 0;) {
		more = errno == ENOMEM ? NULL : reallocarray(gids, (size_t)*n, sizeof(*gids));
		if (!more)
			break;
		gids = more;
		r = getgrouplist(user, gid, gids, n); /* -1: *n is what it takes */
	}
	if (r >= 0 && errno != ENOMEM)
		return gids;
	free(gids);
	return NULL;
}

static int account_add_groups(struct account *account, struct room *room) {
	int n, r = 0;
	gid_t *gids = group_ids(account->name, (gid_t)account->gid, &n);

	account->groups = gids ? calloc((size_t)n + 1, sizeof(*account->groups)) : NULL;
	for (int i = 0; account->groups && r == 0 && i < n; i++)
		r = account_add_group(account, gids[i], room);
	free(gids);
	return account->groups ? r : -1;
}

static int account_fill(struct account *account, struct room *room) {
	struct passwd pw, *found = NULL;
	int r;

	account->gid = -1;
	if (!room_ready(room))
		return -1;
	do
		r = getpwuid_r((uid_t)account->uid, &pw, room->p, room->size, &found);
	while (again(r, room));
	if (r || !found || strlen(found->pw_name) >= sizeof(account->name))
		return answer_of(r);
	account->exists = true;
	account->gid = found->pw_gid;
	strcpy(account->name, found->pw_name);
	return account_add_groups(account, room);
}

int accounts_has_user(const char *name) {
	struct room room = { NULL, 0 };
	struct passwd pw, *found = NULL;
	int r;

	if (!room_ready(&room))
		return -1;
	do
		r = getpwnam_r(name, &pw, room.p, room.size, &found);
	while (again(r, &room));
	r = found ? 1 : answer_of(r);
	free(room.p);
	return r;
}

int accounts_has_group(const char *name) {
	struct room room = { NULL, 0 };
	struct group group, *found = NULL;
	int r;

	if (!room_ready(&room))
		return -1;
	do
		r = getgrnam_r(name, &group, room.p, room.size, &found);
	while (again(r, &room));
	r = found ? 1 : answer_of(r);
	free(room.p);
	return r;
}

static void lookups_free(struct lookups *lookups) {
	struct lookup *lookup;

	while ((lookup = TAILQ_FIRST(lookups))) {
		TAILQ_REMOVE(lookups, lookup, link);
		account_free(lookup->account);
		free(lookup);
	}
}

/* What loop and thread share. */
static void accounts_release(struct accounts *a) {
	lookups_free(&a->asked);
	lookups_free(&a->answered);
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	pthread_cond_destroy(&a->more);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static void *accounts_thread(void *arg) {
	struct accounts *a = arg;
	struct room room = { NULL, 0 };
	struct lookup *lookup;
	bool left;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		lookup = TAILQ_FIRST(&a->asked);
		if (!lookup) {
			pthread_cond_wait(&a->more, &a->lock);
			continue;
		}
		TAILQ_REMOVE(&a->asked, lookup, link);
		a->running_uid = lookup->account->uid;
		pthread_mutex_unlock(&a->lock);
		lookup->failed = account_fill(lookup->account, &room) < 0;
		pthread_mutex_lock(&a->lock);
		a->running_uid = -1;
		TAILQ_INSERT_TAIL(&a->answered, lookup, link);
		eventfd_write(a->wake_fd, 1);
	}
	free(room.p);
	a->finished = true;
	left = a->left;
	pthread_mutex_unlock(&a->lock);
	if (left)
		accounts_release(a);
	return NULL;
}

/* Where this uid is remembered, or else the place that has been so for longest. */
static struct remembered *accounts_place(struct accounts *a, int64_t uid) {
	struct remembered *oldest = &a->remembered[0];

	if (a->latest && a->latest->uid == uid)
		return a->latest;
	for (size_t i = 0; i < REMEMBERED; i++) {
		struct remembered *r = &a->remembered[i];

		if (r->account && r->uid == uid)
			return a->latest = r;
		if (r->at_ms < oldest->at_ms)
			oldest = r;
	}
	return oldest;
}

/* Takes account. */
static void accounts_remember(struct accounts *a, struct account *account) {
	struct remembered *place = accounts_place(a, account->uid);

	account_free(place->account);
	*place = (struct remembered){ .account = account, .uid = account->uid, .at_ms = clock_boottime_ms() };
	a->latest = place;
}

static struct accounts_wait *accounts_waiting(struct accounts *a, int64_t uid, uint64_t turn) {
	struct accounts_wait *wait;

	TAILQ_FOREACH(wait, &a->waits, link)
		if (wait->uid == uid && wait->turn <= turn)
			break;
	return wait;
}

/* Everybody who waits for this uid; a done() may cancel others, so look anew after each, and start some, which wait on. */
static void accounts_tell(struct accounts *a, int64_t uid, const struct account *account) {
	uint64_t turn = a->turn++;
	struct accounts_wait *wait;

	while ((wait = accounts_waiting(a, uid, turn))) {
		TAILQ_REMOVE(&a->waits, wait, link);
		wait->done(account, wait->arg);
		free(wait);
	}
}

/* What failed is not remembered: what was known before stays good for its time, and the next one asks again. */
static void accounts_take(struct accounts *a, struct lookup *lookup) {
	struct account *account = lookup->account;
	int64_t uid = account->uid;

	if (lookup->failed)
		account_free(take(&account));
	else
		accounts_remember(a, account);
	free(lookup);
	accounts_tell(a, uid, account);
}

static void on_wake(evutil_socket_t fd, short events, void *arg) {
	struct accounts *a = arg;
	struct lookups done;
	struct lookup *lookup;
	eventfd_t n;

	(void)fd, (void)events;
	eventfd_read(a->wake_fd, &n);
	TAILQ_INIT(&done);
	pthread_mutex_lock(&a->lock);
	TAILQ_CONCAT(&done, &a->answered, link);
	pthread_mutex_unlock(&a->lock);
	while ((lookup = TAILQ_FIRST(&done))) {
		TAILQ_REMOVE(&done, lookup, link);
		accounts_take(a, lookup);
	}
}

static int accounts_arm(struct accounts *a) {
	struct accounts_wait *first = TAILQ_FIRST(&a->waits);
	int64_t ms = first ? first->deadline_ms - clock_boottime_ms() : 0;
	struct timeval tv = { ms > 0 ? ms / 1000 : 0, ms > 0 ? ms % 1000 * 1000 : 0 };

	return first ? event_add(a->late, &tv) : 0;
}

static void on_late(evutil_socket_t fd, short events, void *arg) {
	struct accounts *a = arg;
	int64_t now = clock_boottime_ms();
	struct accounts_wait *wait;

	(void)fd, (void)events;
	while ((wait = TAILQ_FIRST(&a->waits)) && wait->deadline_ms <= now) {
		TAILQ_REMOVE(&a->waits, wait, link);
		wait->done(NULL, wait->arg);
		free(wait);
	}
	accounts_arm(a);
}

int accounts_new(struct event_base *base, struct accounts **out, struct error *err) {
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return error_set(err, ERR_INTERNAL, "accounts: out of memory");
	TAILQ_INIT(&a->waits);
	TAILQ_INIT(&a->asked);
	TAILQ_INIT(&a->answered);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->more, NULL);
	a->running_uid = -1;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake_fd >= 0)
		a->wake = event_new(base, a->wake_fd, EV_READ | EV_PERSIST, on_wake, a);
	a->late = evtimer_new(base, on_late, a);
	if (!a->late || !a->wake || event_add(a->wake, NULL) < 0) {
		accounts_free(a);
		return error_set(err, ERR_INTERNAL, "accounts: cannot make an event: %s", strerror(errno));
	}
	*out = a;
	return 0;
}

/* False: it hangs in the name service, and will clean up behind itself. */
static bool accounts_join(struct accounts *a) {
	int64_t until_us = clock_monotonic_us() + JOIN_MS * 1000;
	struct timespec until = { until_us / 1000000, until_us % 1000000 * 1000 };
	bool finished;

	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->more);
	pthread_mutex_unlock(&a->lock);
	if (pthread_clockjoin_np(a->thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return true;
	pthread_mutex_lock(&a->lock);
	finished = a->finished;
	a->left = !finished;
	pthread_mutex_unlock(&a->lock);
	if (finished)
		pthread_join(a->thread, NULL);
	else
		pthread_detach(a->thread);
	return finished;
}

void accounts_free(struct accounts *a) {
	struct accounts_wait *wait;

	if (!a)
		return;
	while ((wait = TAILQ_FIRST(&a->waits)))
		accounts_cancel(wait);
	if (a->wake)
		event_free(a->wake);
	if (a->late)
		event_free(a->late);
	for (size_t i = 0; i < REMEMBERED; i++)
		account_free(a->remembered[i].account);
	if (!a->started || accounts_join(a))
		accounts_release(a);
}

static struct lookup *lookup_new(int64_t uid) {
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup || !(lookup->account = calloc(1, sizeof(*lookup->account)))) {
		free(lookup);
		return NULL;
	}
	lookup->account->uid = uid;
	return lookup;
}

/* Asks the thread, unless it was asked already. */
static int accounts_ask(struct accounts *a, int64_t uid) {
	struct lookup *lookup;
	bool asked;

	pthread_mutex_lock(&a->lock);
	asked = a->running_uid == uid;
	TAILQ_FOREACH(lookup, &a->asked, link)
		asked |= lookup->account->uid == uid;
	TAILQ_FOREACH(lookup, &a->answered, link)
		asked |= lookup->account->uid == uid;
	lookup = asked ? NULL : lookup_new(uid);
	if (lookup) {
		TAILQ_INSERT_TAIL(&a->asked, lookup, link);
		pthread_cond_signal(&a->more);
	}
	pthread_mutex_unlock(&a->lock);
	if (!asked && !lookup)
		return -1;
	if (!a->started && pthread_create(&a->thread, NULL, accounts_thread, a) == 0)
		a->started = true;
	return a->started ? 0 : -1;
}

const struct account *accounts_find(struct accounts *a, int64_t uid, int64_t now_ms) {
	struct remembered *place = accounts_place(a, uid);

	if (!place->account || place->uid != uid)
		return NULL;
	if (now_ms - place->at_ms > GOOD_FOR_MS) {
		if (now_ms - place->at_ms > 2 * GOOD_FOR_MS)
			return NULL; /* too old to be believed while the answer is on its way */
		accounts_ask(a, uid);
	}
	return place->account;
}

struct accounts_wait *accounts_start(struct accounts *a, int64_t uid, accounts_done_fn *done, void *arg) {
	struct accounts_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	wait->accounts = a;
	wait->uid = uid;
	wait->deadline_ms = clock_boottime_ms() + ANSWER_MS;
	wait->turn = a->turn;
	wait->done = done;
	wait->arg = arg;
	TAILQ_INSERT_TAIL(&a->waits, wait, link);
	if (accounts_ask(a, uid) == 0 && (wait != TAILQ_FIRST(&a->waits) || accounts_arm(a) == 0))
		return wait;
	accounts_cancel(wait); /* nobody would answer, or say that nobody does */
	return NULL;
}

void accounts_cancel(struct accounts_wait *wait) {
	if (!wait)
		return;
	TAILQ_REMOVE(&wait->accounts->waits, wait, link);
	free(wait);
}
