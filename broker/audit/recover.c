/* See recover.h. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/audit/record.h"
#include "broker/audit/recover.h"
#include "hallpass/cleanup.h"

#define BUCKETS 1024

struct intents {
	struct open_intents buckets[BUCKETS];
	struct open_intents *in_order;
};

static struct open_intents *bucket(struct intents *intents, struct str flight) {
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a; the ids are our own, random */

	for (size_t i = 0; i < flight.n; i++)
		h = (h ^ (unsigned char)flight.p[i]) * 0x100000001b3;
	return &intents->buckets[h % BUCKETS];
}

static void intent_free(struct open_intent *intent) {
	free(intent->json);
	free(intent);
}

static int intent_open(struct intents *intents, uint64_t index, struct str json, const struct record_head *head,
		       struct error *err) {
	struct open_intent *intent = calloc(1, sizeof(*intent));

	if (!intent || !(intent->json = calloc(1, json.n + 1))) {
		free(intent);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	memcpy(intent->json, json.p, json.n); /* NUL bytes too: flight is at the same place in it */
	intent->index = index;
	intent->flight = (struct str){ intent->json + (head->flight.p - json.p), head->flight.n };
	TAILQ_INSERT_TAIL(bucket(intents, intent->flight), intent, link);
	TAILQ_INSERT_TAIL(intents->in_order, intent, in_order);
	return 0;
}

static void intent_close(struct intents *intents, struct open_intent *intent) {
	TAILQ_REMOVE(bucket(intents, intent->flight), intent, link);
	TAILQ_REMOVE(intents->in_order, intent, in_order);
	intent_free(intent);
}

static void close_flight(struct intents *intents, struct str flight) {
	struct open_intent *intent;

	TAILQ_FOREACH(intent, bucket(intents, flight), link) {
		if (str_eq(intent->flight, flight)) {
			intent_close(intents, intent);
			return;
		}
	}
}

/* An intent that became durable late was refused: Google was not asked. */
static void close_late(struct intents *intents, struct str json) {
	json_t *record = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL), *value;
	struct open_intent *intent, *next;
	size_t i;

	json_array_foreach(json_object_get(record, "indices"), i, value) {
		for (intent = TAILQ_FIRST(intents->in_order); intent; intent = next) {
			next = TAILQ_NEXT(intent, in_order);
			if (json_is_integer(value) && intent->index == (uint64_t)json_integer_value(value))
				intent_close(intents, intent);
		}
	}
	json_decref(record);
}

static int note_record(struct intents *intents, const struct recover_watch *watch, uint64_t index, struct str json,
		       struct error *err) {
	struct record_head head;

	record_head(json, &head);
	if (watch && (head.type == RECORD_START || head.type == RECORD_RELOAD))
		watch->record(watch->arg, json);
	if (head.type == RECORD_LATE)
		close_late(intents, json);
	else if (head.flight.n && head.type == RECORD_INTENT)
		return intent_open(intents, index, json, &head, err);
	else if (head.flight.n && head.type != RECORD_ABANDONED) /* the flight goes on without that client */
		close_flight(intents, head.flight);
	return 0;
}

static int walk(struct scan *scan, struct intents *intents, const struct recover_watch *watch, struct error *err) {
	struct frame frame;
	struct str entry;
	uint64_t index;
	int r;

	while ((r = scan_next(scan, &frame, err)) > 0) {
		index = frame.first_index;
		while (frame_entry(&frame.entries, &entry)) {
			if (note_record(intents, watch, index++, entry, err) < 0)
				return -1;
		}
	}
	return r;
}

/* Segments behind the end of the chain: the spare, or one whose header was torn by a crash. */
static int judge_rest(const struct segment_dir *dir, struct scan *scan, uint64_t segment_bytes, struct recovery *out,
		      struct error *err) {
	const struct scan_segment *s;
	char name[SEGMENT_NAME_MAX];
	size_t n;

	s = scan_segments(scan, &n);
	for (size_t i = 0; i < n; i++) {
		if (s[i].number >= out->next_number)
			out->next_number = s[i].number + 1;
		if (s[i].number < out->at.segment || s[i].state == HEADER_GOOD)
			continue;
		if (scan_check_unused(scan, &s[i], err) < 0)
			return -1;
		segment_name(s[i].number, name);
		if (s[i].state == HEADER_SPARE && s[i].size == segment_bytes && out->spare.fd < 0) {
			if (segment_open(dir, s[i].number, &out->spare, err) < 0)
				return -1;
		} else
			unlinkat(dir->fd, name, 0);
	}
	return 0;
}

static const struct scan_segment *segment_of(const struct scan *scan, uint64_t number) {
	const struct scan_segment *s;
	size_t n;

	s = scan_segments(scan, &n);
	while (n && s->number != number)
		s++, n--;
	return n ? s : NULL;
}

/*
 * The torn tail of the last segment. Where that has no frame yet, a start before this one went no further than its header:
 * then of the one that it goes on from, too.
 */
static int find_torn(struct scan *scan, struct recovery *out, struct error *err) {
	const struct scan_segment *s = segment_of(scan, out->at.segment);
	uint64_t good_end = out->at.offset;

	if (scan_tail(scan, &out->torn, err) < 0)
		return -1;
	out->torn_segment = out->at.segment;
	while (s && !out->torn && good_end == JOURNAL_HEADER && s->predecessor) {
		good_end = s->good_end;
		out->torn_segment = s->predecessor;
		if (scan_used(scan, s->predecessor, good_end, UINT64_MAX, &out->torn, err) < 0)
			return -1;
		s = segment_of(scan, s->predecessor);
	}
	return 0;
}

/* Leavings of segments that were being made. */
static void remove_unfinished(const struct segment_dir *dir) {
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	size_t n;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(d))) {
		n = strlen(entry->d_name);
		if (n > 4 && !strcmp(entry->d_name + n - 4, ".new"))
			unlinkat(dir->fd, entry->d_name, 0);
	}
	closedir(d);
}

static int recover_by(const struct segment_dir *dir, struct scan *scan, uint64_t segment_bytes,
		      const struct recover_watch *watch, struct recovery *out, struct error *err) {
	struct intents *intents = malloc(sizeof(*intents));
	int r;

	if (!intents)
		return error_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < BUCKETS; i++)
		TAILQ_INIT(&intents->buckets[i]);
	intents->in_order = &out->open;
	r = walk(scan, intents, watch, err);
	free(intents); /* the intents stay, in order */
	if (r < 0)
		return -1;
	scan_position(scan, &out->at);
	if (find_torn(scan, out, err) < 0)
		return -1;
	return judge_rest(dir, scan, segment_bytes, out, err);
}

int recover(const struct segment_dir *dir, uint64_t segment_bytes, const struct recover_watch *watch, struct recovery *out,
	    struct error *err) {
	struct scan *scan;
	int r;

	*out = (struct recovery){ .next_number = 1, .spare.fd = -1 };
	TAILQ_INIT(&out->open);
	remove_unfinished(dir);
	if (scan_open(dir, &scan, err) < 0)
		return -1;
	r = recover_by(dir, scan, segment_bytes, watch, out, err);
	scan_free(scan);
	return r;
}

void recovery_fini(struct recovery *recovery) {
	struct open_intent *intent;

	while ((intent = TAILQ_FIRST(&recovery->open))) {
		TAILQ_REMOVE(&recovery->open, intent, in_order);
		intent_free(intent);
	}
	segment_close(&recovery->spare);
}
