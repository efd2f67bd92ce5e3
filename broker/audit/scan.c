/* See scan.h. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/scan.h"
#include "hallpass/cleanup.h"

#define WINDOW (FRAME_MAX + 65536) /* holds any frame wherever it begins */
#define MAX_SEGMENTS 1000000
#define SPARE_LOOK 65536 /* of a blank segment the beginning is looked at, where its first frame would be */
#define REMEDY "restore the file from a backup, or move the directory away to begin a new log"

struct scan {
	struct segment_dir dir;
	struct scan_segment *segments;
	size_t n_segments, room;
	int fd; /* of the current segment */
	char name[SEGMENT_NAME_MAX];
	struct scan_position at;
	/* A follower may have read what was then refused: where it was before the last frame, and before this segment. */
	struct scan_position before, entry;
	uint8_t *window;	     /* a part of the current segment */
	uint64_t window_at;
	size_t window_len;
};

void scan_free(struct scan *scan) {
	if (!scan)
		return;
	if (scan->fd >= 0)
		close(scan->fd);
	free(scan->segments);
	free(scan->window);
	free(scan);
}

static int damaged(const struct scan *scan, const char *what, struct error *err) {
	return error_set(err, ERR_INVALID, "audit log: %s/%s at byte %llu: %s; %s", scan->dir.path, scan->name,
			 (unsigned long long)scan->at.offset, what, REMEDY);
}

static int compare_segments(const void *a, const void *b) {
	const struct scan_segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static struct scan_segment *find_segment(struct scan *scan, uint64_t number) {
	struct scan_segment key = { .number = number };

	return scan->n_segments ? bsearch(&key, scan->segments, scan->n_segments, sizeof(key), compare_segments) : NULL;
}

static int open_number(const struct scan *scan, uint64_t number, char name[SEGMENT_NAME_MAX]) {
	segment_name(number, name);
	return scan->dir.io->open(scan->dir.io->ctx, scan->dir.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
}

/* A header counts once it is good; until then we look again each time. */
static int read_header(struct scan *scan, struct scan_segment *s, struct error *err) {
	uint8_t page[JOURNAL_HEADER] = { 0 };
	struct journal_header header;
	char name[SEGMENT_NAME_MAX];
	struct stat st;
	ssize_t r = -1;
	int fd = open_number(scan, s->number, name);

	if (fd >= 0 && fstat(fd, &st) == 0)
		r = pread(fd, page, sizeof(page), 0);
	if (r < 0)
		segment_error(&scan->dir, name, "cannot read", errno, err);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return -1;
	s->size = (uint64_t)st.st_size;
	s->state = r < (ssize_t)sizeof(page) ? HEADER_BAD : journal_header_read(page, &header);
	if (s->state != HEADER_GOOD)
		return 0;
	if (header.number != s->number || header.predecessor >= s->number) {
		s->state = HEADER_BAD;
		return 0;
	}
	s->predecessor = header.predecessor;
	s->good_end = header.good_end;
	s->first_index = header.first_index;
	memcpy(s->hash, header.hash, JOURNAL_HASH);
	return 0;
}

static int add_segment(struct scan *scan, uint64_t number, struct error *err) {
	struct scan_segment *more;

	if (scan->n_segments == scan->room) {
		if (scan->room >= MAX_SEGMENTS)
			return error_set(err, ERR_LIMIT, "audit log: more than %d segments in %s", MAX_SEGMENTS,
					 scan->dir.path);
		scan->room = scan->room ? scan->room * 2 : 16;
		more = realloc(scan->segments, scan->room * sizeof(*more));
		if (!more)
			return error_set(err, ERR_INTERNAL, "out of memory");
		scan->segments = more;
	}
	scan->segments[scan->n_segments++] = (struct scan_segment){ .number = number };
	return 0;
}

static int list_new(struct scan *scan, DIR *d, struct error *err) {
	const size_t known = scan->n_segments;
	struct dirent *entry;
	uint64_t number;
	bool seen;

	while ((entry = readdir(d))) {
		if (!segment_number(entry->d_name, &number))
			continue;
		seen = known && bsearch(&(struct scan_segment){ .number = number }, scan->segments, known,
					sizeof(struct scan_segment), compare_segments);
		if (!seen && add_segment(scan, number, err) < 0)
			return -1;
	}
	if (scan->n_segments)
		qsort(scan->segments, scan->n_segments, sizeof(*scan->segments), compare_segments);
	return 0;
}

static int refresh(struct scan *scan, struct error *err) {
	int fd = openat(scan->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d) {
		segment_error(&scan->dir, "", "cannot list", errno, err);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	r = list_new(scan, d, err);
	closedir(d);
	for (size_t i = 0; r == 0 && i < scan->n_segments; i++) {
		if (scan->segments[i].state != HEADER_GOOD)
			r = read_header(scan, &scan->segments[i], err);
	}
	return r;
}

int scan_open(const struct segment_dir *dir, struct scan **out, struct error *err) {
	struct scan *scan = calloc(1, sizeof(*scan));

	if (!scan)
		return error_set(err, ERR_INTERNAL, "out of memory");
	scan->dir = *dir;
	scan->fd = -1;
	scan->window = malloc(WINDOW);
	if (!scan->window) {
		scan_free(scan);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	if (refresh(scan, err) < 0) {
		scan_free(scan);
		return -1;
	}
	*out = scan;
	return 0;
}

/* The one that goes on from this segment (0: that begins the log): the highest that says so. */
static struct scan_segment *successor(const struct scan *scan, uint64_t number) {
	for (size_t i = scan->n_segments; i > 0; i--) {
		struct scan_segment *s = &scan->segments[i - 1];

		if (s->state == HEADER_GOOD && s->predecessor == number && s->number > number)
			return s;
	}
	return NULL;
}

static int enter(struct scan *scan, struct scan_segment *s, struct error *err) {
	int fd;

	if (s->first_index != scan->at.next_index || memcmp(s->hash, scan->at.hash, JOURNAL_HASH))
		return error_set(err, ERR_INVALID,
				 "audit log: %s/%06llu.j does not go on where %06llu.j ends (record %llu); %s",
				 scan->dir.path, (unsigned long long)s->number, (unsigned long long)scan->at.segment,
				 (unsigned long long)scan->at.next_index, REMEDY);
	fd = open_number(scan, s->number, scan->name);
	if (fd < 0)
		return segment_error(&scan->dir, scan->name, "cannot read", errno, err);
	if (scan->fd >= 0)
		close(scan->fd);
	scan->fd = fd;
	s->on_chain = true;
	scan->entry = scan->at;
	scan->at.segment = s->number;
	scan->at.offset = JOURNAL_HEADER;
	scan->window_len = 0;
	return 0;
}

/* At least n bytes from the position, or as many as the file has: gives how many. Not looked for beyond most bytes. */
static int64_t fill_at_most(struct scan *scan, uint64_t at, size_t n, size_t most, const uint8_t **p, struct error *err) {
	size_t got = 0;
	ssize_t r;

	if (at >= scan->window_at && at + n <= scan->window_at + scan->window_len) {
		*p = scan->window + (at - scan->window_at);
		return (int64_t)(scan->window_len - (at - scan->window_at));
	}
	while (got < most) {
		r = pread(scan->fd, scan->window + got, most - got, (off_t)(at + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return segment_error(&scan->dir, scan->name, "cannot read", errno, err);
		if (r == 0)
			break;
		got += (size_t)r;
	}
	scan->window_at = at;
	scan->window_len = got;
	*p = scan->window;
	return (int64_t)got;
}

static int64_t fill(struct scan *scan, uint64_t at, size_t n, const uint8_t **p, struct error *err) {
	return fill_at_most(scan, at, n, WINDOW, p, err);
}

/* -1: cannot read. Otherwise the frame's state in *state; FRAME_SHORT then means that the file ends before. */
static int parse_at(struct scan *scan, uint64_t at, struct frame *frame, enum frame_state *state, const char **why,
		    struct error *err) {
	const uint8_t *p;
	int64_t got;

	frame->len = FRAME_HEAD;
	for (int i = 0; i < 2; i++) {
		got = fill(scan, at, frame->len, &p, err);
		if (got < 0)
			return -1;
		*state = frame_parse(p, (size_t)got, frame, why);
		if (*state != FRAME_SHORT)
			return 0;
	}
	if (!*why)
		*why = "the file ends inside a frame";
	return 0;
}

static int accept(struct scan *scan, const struct frame *frame, struct error *err) {
	if (frame->first_index != scan->at.next_index)
		return damaged(scan, "the frame's first index does not follow", err);
	if (memcmp(frame->prev, scan->at.hash, JOURNAL_HASH))
		return damaged(scan, "the frame does not chain to the one before", err);
	scan->before = scan->at;
	scan->at.offset += frame->len;
	scan->at.next_index += frame->n;
	memcpy(scan->at.hash, frame->hash, JOURNAL_HASH);
	if (frame->realtime_ns > scan->at.last_ns)
		scan->at.last_ns = frame->realtime_ns;
	return 1;
}

/* All frames of a segment that has a successor must be there. */
static int next_before(struct scan *scan, uint64_t good_end, struct frame *frame, struct error *err) {
	enum frame_state state;
	const char *why;

	if (parse_at(scan, scan->at.offset, frame, &state, &why, err) < 0)
		return -1;
	if (state == FRAME_GOOD && scan->at.offset + frame->len <= good_end)
		return accept(scan, frame, err);
	return damaged(scan, state == FRAME_NONE ? "zeros in place of a frame" : why ? why : "a frame crosses the end", err);
}

/* In the last segment anything but a good frame is the end for now. */
static int next_of_last(struct scan *scan, struct frame *frame, struct error *err) {
	enum frame_state state;
	const char *why;

	if (parse_at(scan, scan->at.offset, frame, &state, &why, err) < 0)
		return -1;
	if (state == FRAME_GOOD)
		return accept(scan, frame, err);
	if (state == FRAME_UNKNOWN)
		return damaged(scan, why, err);
	scan->window_len = 0; /* look again next time */
	return 0;
}

static bool on_chain(struct scan *scan, uint64_t number) {
	struct scan_segment *s = find_segment(scan, number);

	return s && s->on_chain;
}

/*
 * Nothing begun may lie beyond the end of the chain; and what was tried in vain has no successor, so whatever was begun
 * goes on from a part of the chain.
 */
static int check_no_orphan(struct scan *scan, struct error *err) {
	for (size_t i = 0; i < scan->n_segments; i++) {
		const struct scan_segment *s = &scan->segments[i];

		if (s->state != HEADER_GOOD ||
		    (s->number <= scan->at.segment && (!s->predecessor || on_chain(scan, s->predecessor))))
			continue;
		return error_set(err, ERR_INVALID,
				 "audit log: %s/%06llu.j goes on from %06llu.j, which is missing, damaged or replaced; %s",
				 scan->dir.path, (unsigned long long)s->number, (unsigned long long)s->predecessor, REMEDY);
	}
	return 0;
}

/* The frames that a follower saw behind another one's good end were refused; they come again. */
static void step_back(struct scan *scan) {
	const struct scan_segment *s = scan->at.segment ? successor(scan, scan->entry.segment) : NULL;

	if (s && s->number > scan->at.segment) { /* all that was in this segment */
		find_segment(scan, scan->at.segment)->on_chain = false;
		scan->at = scan->entry;
	}
	s = successor(scan, scan->at.segment);
	if (s && scan->at.segment && scan->at.offset > s->good_end && scan->before.segment == scan->at.segment &&
	    scan->before.offset == s->good_end)
		scan->at = scan->before;
}

static int scan_step(struct scan *scan, struct frame *frame, struct error *err) {
	struct scan_segment *s;

	step_back(scan);
	while ((s = successor(scan, scan->at.segment))) {
		if (scan->at.segment && scan->at.offset != s->good_end)
			return next_before(scan, s->good_end, frame, err);
		if (enter(scan, s, err) < 0)
			return -1;
	}
	return scan->at.segment ? next_of_last(scan, frame, err) : 0;
}

int scan_next(struct scan *scan, struct frame *frame, struct error *err) {
	int r;

	/* At the end: look for new segments and try again; twice, for one may have been begun while we looked. */
	for (int i = 0; i < 3; i++) {
		r = scan_step(scan, frame, err);
		if (r)
			return r;
		if (i < 2 && refresh(scan, err) < 0)
			return -1;
	}
	return check_no_orphan(scan, err);
}

void scan_position(const struct scan *scan, struct scan_position *out) {
	*out = scan->at;
}

/* The end of the last byte that is not zero; `end` where these are all zeros. */
static uint64_t last_used(const uint8_t *p, size_t n, uint64_t at, uint64_t end) {
	static const uint8_t zeros[4096];

	while (n >= sizeof(zeros) && !memcmp(p + n - sizeof(zeros), zeros, sizeof(zeros)))
		n -= sizeof(zeros); /* megabytes of them, at each start */
	while (n && !p[n - 1])
		n--;
	return n ? at + n : end;
}

/* Looks for a good frame from byte `from` on; *end becomes the end of the last byte that is not zero. */
static int find_frame(struct scan *scan, uint64_t from, uint64_t *found, uint64_t *end, struct error *err) {
	enum frame_state state;
	struct frame frame;
	const uint8_t *p, *q;
	const char *why;
	uint64_t looked = 0;
	int64_t got;

	for (uint64_t at = from;;) {
		got = fill(scan, at, FRAME_HEAD, &p, err);
		if (got <= 0)
			return (int)got;
		if (at + (uint64_t)got > looked) {
			looked = at + (uint64_t)got;
			*end = last_used(p, (size_t)got, at, *end);
		}
		q = got >= FRAME_HEAD ? memchr(p, 0xFF, (size_t)got - 3) : NULL;
		if (!q) {
			at += got >= FRAME_HEAD ? (uint64_t)got - 3 : (uint64_t)got;
			if (got < FRAME_HEAD)
				return 0;
			continue;
		}
		at += (uint64_t)(q - p);
		if (frame_magic(q)) {
			if (parse_at(scan, at, &frame, &state, &why, err) < 0)
				return -1;
			if (state == FRAME_GOOD) {
				*found = at;
				return 1;
			}
		}
		at++;
	}
}

int scan_tail(struct scan *scan, uint64_t *torn, struct error *err) {
	uint64_t found = 0, end = scan->at.offset;
	int r;

	*torn = 0;
	if (!scan->at.segment)
		return 0;
	scan->window_len = 0;
	r = find_frame(scan, scan->at.offset, &found, &end, err);
	scan->window_len = 0;
	*torn = end - scan->at.offset;
	if (r > 0) {
		char what[96];

		snprintf(what, sizeof(what), "a bad frame, and a good one behind it at byte %llu", (unsigned long long)found);
		return damaged(scan, what, err);
	}
	return r;
}

const struct scan_segment *scan_segments(const struct scan *scan, size_t *n) {
	*n = scan->n_segments;
	return scan->segments;
}

static int used_in(struct scan *scan, uint64_t from, uint64_t most, uint64_t *n, struct error *err) {
	const uint8_t *p;
	uint64_t end = from;
	int64_t got;

	for (uint64_t at = from; at - from < most; at += (uint64_t)got) {
		/* A spare was never in the page cache: each page that is looked at comes from the disk. */
		got = fill_at_most(scan, at, 1, most - (at - from) < WINDOW ? most - (at - from) : WINDOW, &p, err);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		end = last_used(p, (size_t)got, at, end);
	}
	*n = end - from;
	return 0;
}

int scan_used(struct scan *scan, uint64_t number, uint64_t from, uint64_t most, uint64_t *n, struct error *err) {
	const int fd = scan->fd;
	char name[SEGMENT_NAME_MAX];
	int r;

	scan->fd = open_number(scan, number, name);
	if (scan->fd < 0) {
		scan->fd = fd;
		return segment_error(&scan->dir, name, "cannot read", errno, err);
	}
	scan->window_len = 0;
	r = used_in(scan, from, most, n, err);
	scan->window_len = 0;
	close(scan->fd);
	scan->fd = fd;
	return r;
}

static int not_empty(const struct scan *scan, const char *name, const char *what, struct error *err) {
	return error_set(err, ERR_INVALID, "audit log: %s/%s at byte 0: the header is %s; %s", scan->dir.path, name, what,
			 REMEDY);
}

int scan_check_unused(struct scan *scan, const struct scan_segment *s, struct error *err) {
	const bool bad = s->state == HEADER_BAD;
	char name[SEGMENT_NAME_MAX];
	uint64_t used;

	segment_name(s->number, name);
	if (bad && s->size < JOURNAL_MIN_SEGMENT)
		return not_empty(scan, name, "damaged, and the file was truncated", err);
	if (scan_used(scan, s->number, JOURNAL_HEADER, bad ? UINT64_MAX : SPARE_LOOK, &used, err) < 0)
		return -1;
	if (used)
		return not_empty(scan, name, bad ? "damaged, and records are behind it" : "blank, and records are behind it",
				 err);
	return 0;
}

int scan_check_rest(struct scan *scan, struct error *err) {
	for (size_t i = 0; i < scan->n_segments; i++) {
		const struct scan_segment *s = &scan->segments[i];

		if (s->number > scan->at.segment && s->state != HEADER_GOOD && scan_check_unused(scan, s, err) < 0)
			return -1;
	}
	return 0;
}
