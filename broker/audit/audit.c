/* See audit.h. The event loop's side: who waits for which slot of which batch, deadlines, and what is told afterwards. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/audit.h"
#include "broker/audit/record.h"
#include "broker/audit/recover.h"
#include "broker/audit/writer.h"
#include "broker/clock.h"
#include "broker/log.h"
#include "hallpass/cleanup.h"

#define TICK_MS 50   /* how finely deadlines are watched, while somebody waits */
#define MAX_LATE 256 /* records named in one "late" */
#define MIN_DEADLINE_MS 100

TAILQ_HEAD(entries, audit_entry);

struct audit {
	struct log *log;
	char *path, *journal_path;
	int dir_fd, journal_fd, lock_fd, wake_fd;
	struct segment_dir dir;
	struct audit_options options;
	struct writer *writer;
	struct event *wake, *kick, *tick;
	bool kick_pending, tick_pending;
	struct entries waiting; /* in order of their coming */
	int64_t last_ns;	/* of any frame */
	uint64_t refused, refused_told, deaths;
	bool low; /* too little space is free, as was told */
	struct error trouble; /* why nothing is made durable now, as the operator's log was told; code 0: all is well */
	struct buf scratch; /* for records of our own */
};

/* --- slots: an entry remembers batch and slot as one number, 0 for none */

static unsigned slot_code(const struct batch *b, unsigned slot) {
	return (b->number << 16 | slot) + 1;
}

static struct batch_slot *slot_of(const struct audit *audit, const struct audit_entry *entry) {
	return &writer_batch(audit->writer, (entry->state - 1) >> 16)->slots[(entry->state - 1) & 0xFFFF];
}

/* --- records of our own */

static void tell(struct audit *audit, struct audit_record *record) {
	struct error err = { 0 };

	record->time = clock_now();
	buf_reset(&audit->scratch);
	record_write(record, &audit->scratch);
	if (!buf_ok(&audit->scratch) || audit_append(audit, audit->scratch.data, audit->scratch.len, NULL, &err) < 0)
		log_error(audit->log, "unrecorded", "type=%s error=\"%s\"", record_type_name(record->type), err.message);
}

/* The operator's log hears of it at once, the record when it goes on. */
static void begin_trouble(struct audit *audit, const struct error *err) {
	if (!audit->trouble.code)
		log_error(audit->log, "record-stopped", "error=\"%s\"", err->message);
	audit->trouble = *err;
}

/* Records are made durable (again). */
static void end_trouble(struct audit *audit) {
	struct writer_status s;
	bool died;

	writer_status(audit->writer, &s);
	died = s.deaths != audit->deaths;
	if (s.problem.code || (!died && !audit->trouble.code))
		return;
	log_error(audit->log, "record-goes-on", "file=%s refused=%llu after=\"%s\"", s.segment,
		  (unsigned long long)(audit->refused - audit->refused_told),
		  died ? s.death.message : audit->trouble.message);
	tell(audit, &(struct audit_record){ .type = RECORD_RECOVERED,
					    .file = died ? s.dead_segment : s.segment,
					    .error = died ? s.death.message : audit->trouble.message,
					    .refused = audit->refused - audit->refused_told });
	audit->deaths = s.deaths;
	audit->refused_told = audit->refused;
	audit->trouble.code = ERR_NONE;
}

/* Whether nothing is made durable now, as far as is known; says why. */
static bool in_trouble(const struct audit *audit, struct error *err) {
	struct writer_status s;

	if (audit->trouble.code) {
		*err = audit->trouble;
		return true;
	}
	if (!writer_stuck(audit->writer))
		return false;
	writer_status(audit->writer, &s);
	error_set(err, ERR_UNAVAILABLE, "%s", s.problem.code ? s.problem.message : "audit log: not writable");
	return true;
}

/* --- refusing */

/* Too little space is no failure, of which a "recovered" would tell: each is recorded by itself. */
static void count_refused(struct audit *audit, bool low) {
	audit->refused++;
	audit->refused_told += low;
}

static void refuse(struct audit *audit, struct audit_entry *entry, const struct error *err) {
	struct batch_slot *slot = slot_of(audit, entry);

	TAILQ_REMOVE(&audit->waiting, entry, link);
	slot->waiter = NULL;
	slot->refused = true;
	entry->state = 0;
	audit->refused++;
	entry->done(entry, err, entry->arg);
}

static void refuse_all(struct audit *audit, const struct error *err) {
	struct audit_entry *entry;

	while ((entry = TAILQ_FIRST(&audit->waiting)))
		refuse(audit, entry, err);
}

static bool is_low(const struct audit *audit, uint64_t free_bytes, struct error *err) {
	if (free_bytes >= audit->options.low_water_bytes)
		return false;
	error_set(err, ERR_UNAVAILABLE,
		  "audit log: %s has %llu bytes free, less than audit.lowWater (%llu): nothing is issued until there is room",
		  audit->path, (unsigned long long)free_bytes, (unsigned long long)audit->options.low_water_bytes);
	return true;
}

/* --- releasing */

/* Records that became durable after their waiters had been refused. */
struct late {
	uint64_t indices[MAX_LATE];
	size_t n;
};

static void tell_late(struct audit *audit, struct late *late) {
	if (late->n)
		tell(audit, &(struct audit_record){ .type = RECORD_LATE, .indices = late->indices, .n_indices = late->n });
	late->n = 0;
}

/*
 * audit_ready() goes by what was known last, which may be long ago; this frame's writer has looked again. What is in it stays
 * there, and counts as late.
 */
static void refuse_below_the_mark(struct audit *audit, struct batch *b) {
	struct error err;

	if (!is_low(audit, b->free_bytes, &err))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		if (b->slots[i].waiter) {
			refuse(audit, b->slots[i].waiter, &err);
			audit->refused_told++;
		}
	}
}

static void release_slot(struct audit *audit, struct batch *b, unsigned i, struct late *late) {
	static const struct error ok = { ERR_NONE, "" };
	struct audit_entry *entry = b->slots[i].waiter;

	if (b->slots[i].refused)
		late->indices[late->n++] = b->first_index + i;
	if (late->n == MAX_LATE)
		tell_late(audit, late);
	if (!entry)
		return;
	b->slots[i].waiter = NULL;
	TAILQ_REMOVE(&audit->waiting, entry, link);
	entry->state = 0;
	entry->index = b->first_index + i;
	entry->done(entry, &ok, entry->arg);
}

/* Whether there were any. */
static bool release_batches(struct audit *audit) {
	struct batches released;
	struct batch *b;
	struct late late = { .n = 0 };
	bool any = false;

	STAILQ_INIT(&released);
	writer_released(audit->writer, &released);
	while ((b = STAILQ_FIRST(&released))) {
		STAILQ_REMOVE_HEAD(&released, link);
		if (b->realtime_ns > audit->last_ns)
			audit->last_ns = b->realtime_ns;
		refuse_below_the_mark(audit, b);
		for (unsigned i = 0; i < b->n; i++)
			release_slot(audit, b, i, &late);
		writer_recycle(audit->writer, b);
		any = true;
	}
	tell_late(audit, &late);
	return any;
}

static void take_released(struct audit *audit) {
	if (release_batches(audit))
		end_trouble(audit);
}

/* --- deadlines */

static void watch_deadlines(struct audit *audit) {
	const struct timeval tick = { 0, TICK_MS * 1000 };

	if (!audit->tick_pending && !TAILQ_EMPTY(&audit->waiting))
		audit->tick_pending = event_add(audit->tick, &tick) == 0;
}

static void hangs(const struct audit *audit, struct error *err) {
	struct writer_status s;

	writer_status(audit->writer, &s);
	error_set(err, ERR_UNAVAILABLE, "audit log: %s%s%s was not written within %u ms, the disk hangs (%llu bytes free)",
		  audit->journal_path, s.segment[0] ? "/" : "", s.segment, audit->options.deadline_ms,
		  (unsigned long long)writer_free_bytes(audit->writer));
}

static void on_tick(evutil_socket_t fd, short events, void *arg) {
	struct audit *audit = arg;
	int64_t limit = clock_monotonic_us() - (int64_t)audit->options.deadline_ms * 1000;
	struct audit_entry *entry;
	struct error err;

	(void)fd, (void)events;
	audit->tick_pending = false;
	take_released(audit); /* it may be the loop that was late, not the disk */
	hangs(audit, &err);
	while ((entry = TAILQ_FIRST(&audit->waiting)) && slot_of(audit, entry)->since_us < limit) {
		begin_trouble(audit, &err);
		refuse(audit, entry, &err);
	}
	watch_deadlines(audit);
}

static void on_wake(evutil_socket_t fd, short events, void *arg) {
	struct audit *audit = arg;
	struct writer_status s;

	(void)fd, (void)events;
	take_released(audit);
	if (!writer_stuck(audit->writer))
		return;
	writer_status(audit->writer, &s);
	if (s.problem.code) {
		begin_trouble(audit, &s.problem);
		refuse_all(audit, &s.problem);
	}
}

static void on_kick(evutil_socket_t fd, short events, void *arg) {
	struct audit *audit = arg;

	(void)fd, (void)events;
	audit->kick_pending = false;
	writer_kick(audit->writer);
}

/* --- appending */

int audit_append(struct audit *audit, const char *json, size_t len, struct audit_entry *entry, struct error *err) {
	struct batch *b;

	if (len > AUDIT_MAX_ENTRY)
		return error_set(err, ERR_INTERNAL, "a record of %zu bytes; at most %d fit", len, AUDIT_MAX_ENTRY);
	if (entry && in_trouble(audit, err)) {
		audit->refused++;
		return -1;
	}
	if (writer_put(audit->writer, json, len, entry && entry->comes_back, &b, err) < 0) {
		audit->refused++;
		return -1;
	}
	b->slots[b->n - 1].waiter = entry;
	if (entry) {
		b->slots[b->n - 1].since_us = clock_tick_ms() * 1000;
		entry->state = slot_code(b, b->n - 1);
		TAILQ_INSERT_TAIL(&audit->waiting, entry, link);
		watch_deadlines(audit);
	}
	if (!audit->kick_pending) { /* once a turn of the loop: what comes in one turn shares a frame */
		audit->kick_pending = true;
		event_active(audit->kick, EV_TIMEOUT, 0);
	}
	return 0;
}

static bool ready_now(const struct audit *audit, bool *low, struct error *err) {
	*low = false;
	if (in_trouble(audit, err))
		return false;
	*low = is_low(audit, writer_free_bytes(audit->writer), err);
	return !*low;
}

bool audit_ready(struct audit *audit, struct error *err) {
	bool low, ready = ready_now(audit, &low, err);

	/* The operator's log hears once that it began, and once that it is over. */
	if (low && !audit->low)
		log_error(audit->log, "record-low", "error=\"%s\"", err->message);
	if (ready && audit->low)
		log_error(audit->log, "record-has-room", "free=%llu", (unsigned long long)writer_free_bytes(audit->writer));
	audit->low = low || (audit->low && !ready);
	if (!ready)
		count_refused(audit, low);
	return ready;
}

int64_t audit_last_time(const struct audit *audit) {
	return audit->last_ns / 1000000000;
}

void audit_status(const struct audit *audit, struct audit_status *out) {
	struct error err = { 0 };
	struct writer_status s;
	bool low;

	writer_status(audit->writer, &s);
	*out = (struct audit_status){
		.records = s.records,
		.frames = s.frames,
		.syncs = s.syncs,
		.refused = audit->refused,
		.next_index = s.at.next_index,
		.free_bytes = writer_free_bytes(audit->writer),
		.queued = s.queued,
		.healthy = ready_now(audit, &low, &err),
	};
	if (s.loss.code)
		snprintf(out->loss, sizeof(out->loss),
			 "%.400s: records that were durable are missing, or not where they were, though new ones are made; bring the file back "
			 "before hallpassd is started again, or keep this directory as it is and name another", s.loss.message);
	snprintf(out->problem, sizeof(out->problem), "%s", err.message);
	snprintf(out->segment, sizeof(out->segment), "%s", s.segment);
	memcpy(out->head, s.at.hash, sizeof(out->head));
}

/* --- opening */

/* A name that is new is durable once the directory that it is in was synced. */
static int sync_parent(const char *path, struct error *err) {
	const char *slash = strrchr(path, '/');
	char *parent = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int fd = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd >= 0 ? fsync(fd) : 0; /* where we may write and not read there is nothing to sync by */

	if (r < 0)
		error_set(err, ERR_UNAVAILABLE, "audit log: cannot sync %s: %s", parent, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(parent);
	return r;
}

/* Makes one directory, 0700, unless it is there. Where it may not be made the next step says so. */
static int make_dir(const char *path, struct error *err) {
	if (mkdir(path, 0700) == 0)
		return sync_parent(path, err);
	if (errno == EEXIST || errno == EROFS || errno == EACCES)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "audit log: cannot make %s: %s", path, strerror(errno));
}

/* The directory and those above it. */
static int make_dirs(const char *path, struct error *err) {
	char *copy = strdup(path);

	if (!copy)
		return error_set(err, ERR_INTERNAL, "out of memory");
	for (char *slash = copy; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (make_dir(copy, err) < 0) {
			free(copy);
			return -1;
		}
		if (slash)
			*slash = '/';
	}
	free(copy);
	return 0;
}

/* Ours alone: who else could write there could take records away. */
static int open_private(const char *path, int *out, struct error *err) {
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERR_UNAVAILABLE, "audit log: cannot open %s: %s", path, strerror(errno));
	*out = fd;
	if (st.st_uid != geteuid())
		return error_set(err, ERR_INVALID, "audit log: %s belongs to uid %u, not to us (%u)", path, st.st_uid, geteuid());
	if (st.st_mode & 077)
		return error_set(err, ERR_INVALID, "audit log: %s has mode %04o, others can reach it: chmod 700 %s", path,
				 st.st_mode & 07777, path);
	return 0;
}

static int in_use(const struct audit *audit, const char *pid, struct error *err) {
	return error_set(err, ERR_UNAVAILABLE, "audit log: %s is in use by another hallpassd (pid %s): one broker per directory",
			 audit->path, pid[0] ? pid : "unknown");
}

/* One broker per directory. The lock goes with the open file, so a forked child or a second open does not drop it. */
static int take_lock(struct audit *audit, struct error *err) {
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char pid[32] = "";
	ssize_t n;

	audit->lock_fd = openat(audit->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (audit->lock_fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "audit log: cannot open %s/lock: %s", audit->path, strerror(errno));
	if (fcntl(audit->lock_fd, F_OFD_SETLK, &lock) < 0) {
		n = pread(audit->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		return in_use(audit, pid, err);
	}
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (ftruncate(audit->lock_fd, 0) < 0 || pwrite(audit->lock_fd, pid, strlen(pid), 0) < 0)
		log_warning(audit->log, "lock", "cannot write our pid into %s/lock", audit->path);
	return 0;
}

/*
 * Somebody may remove the lock's file, thinking it stale, and a second broker would lock a new one: both would go on from the same
 * segment, and of two that do only the later counts. The directory cannot be removed from under those who hold it.
 */
static int lock_journal(struct audit *audit, struct error *err) {
	if (flock(audit->journal_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return in_use(audit, "", err);
	return 0; /* file systems that lock no directories have the file alone */
}

static int open_dirs(struct audit *audit, struct error *err) {
	if (asprintf(&audit->journal_path, "%s/journal", audit->path) < 0) {
		audit->journal_path = NULL;
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (make_dirs(audit->journal_path, err) < 0 || open_private(audit->path, &audit->dir_fd, err) < 0 ||
	    take_lock(audit, err) < 0 || open_private(audit->journal_path, &audit->journal_fd, err) < 0 ||
	    lock_journal(audit, err) < 0)
		return -1;
	audit->dir = (struct segment_dir){
		.io = audit->options.io ? audit->options.io : &journal_io_system,
		.fd = audit->journal_fd,
		.path = audit->journal_path,
	};
	return segment_dir_identify(&audit->dir, err);
}

static int make_events(struct audit *audit, struct event_base *base, struct error *err) {
	audit->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (audit->wake_fd >= 0) /* by edges: each write is one, and nobody has to read what it counts */
		audit->wake = event_new(base, audit->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, audit);
	audit->kick = event_new(base, -1, 0, on_kick, audit);
	audit->tick = event_new(base, -1, 0, on_tick, audit);
	if (!audit->wake || !audit->kick || !audit->tick || event_add(audit->wake, NULL) < 0)
		return error_set(err, ERR_INTERNAL, "audit log: cannot make events");
	return 0;
}

static const char *member(const json_t *json, const char *name) {
	return json_string_value(json_object_get(json, name));
}

/* What a crash left: the torn tail, and intents whose outcome nobody will ever know. */
static void tell_recovery(struct audit *audit, const struct recovery *recovery) {
	const struct open_intent *intent;
	char file[SEGMENT_NAME_MAX];

	if (recovery->torn) {
		segment_name(recovery->torn_segment, file);
		log_warning(audit->log, "recovered", "file=%s bytes=%llu were no whole frame and do not count", file,
			    (unsigned long long)recovery->torn);
		tell(audit, &(struct audit_record){ .type = RECORD_RECOVERED, .file = file, .bytes = recovery->torn });
	}
	TAILQ_FOREACH(intent, &recovery->open, in_order) {
		json_t *json = json_loads(intent->json, 0, NULL);

		tell(audit, &(struct audit_record){
				    .type = RECORD_UNKNOWN,
				    .flight = member(json, "flight"),
				    .request = member(json, "request"),
				    .principal = member(json, "principal"),
				    .permission = member(json, "permission"),
				    .target = member(json, "target"),
				    .binding = member(json, "binding"),
				    .lifetime_s = json_integer_value(json_object_get(json, "lifetime")),
				    .error = "the broker ended before the outcome was known: a token may have been minted, none was "
					     "handed over",
			    });
		json_decref(json);
	}
}

static int start(struct audit *audit, struct error *err) {
	struct recovery recovery;
	int r = recover(&audit->dir, audit->options.segment_bytes, audit->options.watch, &recovery, err);

	if (r == 0) {
		const struct writer_options options = {
			.dir = &audit->dir,
			.segment_bytes = audit->options.segment_bytes,
			.at = recovery.at,
			.next_number = recovery.next_number,
			.spare = recovery.spare,
			.low_water_bytes = audit->options.low_water_bytes,
			.wake_fd = audit->wake_fd,
		};

		recovery.spare.fd = -1; /* the writer's now */
		audit->last_ns = recovery.at.last_ns;
		r = writer_start(&options, &audit->writer, err);
	}
	if (r == 0)
		tell_recovery(audit, &recovery);
	recovery_fini(&recovery);
	return r;
}

static void free_events(struct audit *audit) {
	struct event **const events[] = { &audit->wake, &audit->kick, &audit->tick };

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
}

static void audit_free(struct audit *audit) {
	const int fds[] = { audit->wake_fd, audit->journal_fd, audit->lock_fd, audit->dir_fd };

	free_events(audit);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	buf_fini(&audit->scratch);
	free(audit->journal_path);
	free(audit->path);
	free(audit);
}

int audit_open(struct event_base *base, const struct audit_options *options, struct log *log, struct audit **out,
	       struct error *err) {
	struct audit *audit = calloc(1, sizeof(*audit));

	if (!audit || !(audit->path = strdup(options->dir))) {
		free(audit);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	audit->log = log;
	audit->options = *options;
	audit->options.dir = audit->path;
	audit->dir_fd = audit->journal_fd = audit->lock_fd = audit->wake_fd = -1;
	audit->scratch = RECORD_BUF;
	TAILQ_INIT(&audit->waiting);
	if (!audit->options.segment_bytes)
		audit->options.segment_bytes = JOURNAL_DEFAULT_SEGMENT;
	if (audit->options.segment_bytes < JOURNAL_MIN_SEGMENT)
		audit->options.segment_bytes = JOURNAL_MIN_SEGMENT;
	if (audit->options.deadline_ms < MIN_DEADLINE_MS)
		audit->options.deadline_ms = MIN_DEADLINE_MS;
	if (open_dirs(audit, err) < 0 || make_events(audit, base, err) < 0 || start(audit, err) < 0) {
		audit_free(audit);
		return -1;
	}
	*out = audit;
	return 0;
}

void audit_close(struct audit *audit) {
	struct error err;
	bool stopped;

	if (!audit)
		return;
	error_set(&err, ERR_UNAVAILABLE, "audit log: the broker is stopping and the disk does not answer");
	take_released(audit); /* what is to be told of these is still written */
	stopped = writer_stop(audit->writer, audit->options.deadline_ms);
	release_batches(audit);
	refuse_all(audit, &err);
	if (stopped) {
		writer_free(audit->writer);
		audit_free(audit);
		return;
	}
	/* The thread is still in the disk's hands: what it uses stays as it is. */
	log_error(audit->log, "audit-close", "the disk under %s hangs; what was queued may not be recorded", audit->path);
	free_events(audit);
}
