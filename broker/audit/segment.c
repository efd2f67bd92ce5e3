/* See segment.h. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/segment.h"

#define STAGE ((FRAME_MAX + 2 * SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE)
#define ZEROS 65536
#define ZERO_IOVS 16
#define STEP ((uint64_t)ZEROS * ZERO_IOVS) /* 1 MiB between syncs, so that commits beside it wait for no more */

static const uint8_t zeros[ZEROS] __attribute__((aligned(SEGMENT_PAGE)));

void segment_name(uint64_t number, char out[SEGMENT_NAME_MAX]) {
	snprintf(out, SEGMENT_NAME_MAX, "%06llu.j", (unsigned long long)number);
}

bool segment_number(const char *name, uint64_t *out) {
	char again[SEGMENT_NAME_MAX];
	uint64_t v = 0;

	for (const char *p = name; *p >= '0' && *p <= '9' && p - name < 18; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	segment_name(v, again);
	*out = v;
	return v > 0 && !strcmp(name, again);
}

int segment_error(const struct segment_dir *dir, const char *name, const char *what, int errnum, struct error *err) {
	uint64_t free_bytes;

	if (dir->io->free_bytes(dir->io->ctx, dir->fd, &free_bytes) < 0)
		return error_set(err, ERR_UNAVAILABLE, "audit log: %s %s/%s: %s", what, dir->path, name, strerror(errnum));
	return error_set(err, ERR_UNAVAILABLE, "audit log: %s %s/%s: %s (%llu bytes free)", what, dir->path, name,
			 strerror(errnum), (unsigned long long)free_bytes);
}

/*
 * Only what is compared is asked for: since Linux 6.13 whoever asks for a file's mtime makes the next write take a new
 * one, and the next fdatasync a second write for the inode, which doubled the time of a commit.
 */
static int look_at(int dirfd, const char *path, int flags, struct statx *out) {
	return statx(dirfd, path, flags, STATX_INO | STATX_NLINK | STATX_SIZE, out);
}

static bool is_it(const struct segment_id *id, const struct statx *found) {
	return found->stx_ino == id->ino && found->stx_dev_major == id->dev_major && found->stx_dev_minor == id->dev_minor;
}

/* Its size, too. */
static int identify(int fd, struct segment_id *out, uint64_t *size) {
	struct statx st;

	if (look_at(fd, "", AT_EMPTY_PATH, &st) < 0)
		return -1;
	*out = (struct segment_id){ st.stx_ino, st.stx_dev_major, st.stx_dev_minor };
	*size = st.stx_size;
	return 0;
}

int segment_dir_identify(struct segment_dir *dir, struct error *err) {
	uint64_t size;

	if (identify(dir->fd, &dir->id, &size) < 0)
		return segment_error(dir, "", "cannot look at", errno, err);
	return 0;
}

/* Around the page cache, or through it again. A file system without such a thing does as well without. */
static void set_direct(const struct segment *s, bool on) {
	int flags = fcntl(s->fd, F_GETFL);
	int r = flags < 0 ? -1 : fcntl(s->fd, F_SETFL, on && s->size % SEGMENT_PAGE == 0 ? flags | O_DIRECT : flags & ~O_DIRECT);

	(void)r;
}

/* Whole pages, fully or not at all. what: "cannot write", for people. */
static int write_pages(const struct segment_dir *dir, const struct segment *s, const struct iovec *iov, int n,
		       uint64_t offset, const char *what, struct error *err) {
	size_t want = 0;
	ssize_t r;

	for (int i = 0; i < n; i++)
		want += iov[i].iov_len;
	r = dir->io->pwritev(dir->io->ctx, s->fd, iov, n, offset);
	if (r < 0 && errno == EINVAL) { /* a disk of larger blocks than ours */
		set_direct(s, false);
		r = dir->io->pwritev(dir->io->ctx, s->fd, iov, n, offset);
	}
	if (r < 0)
		return segment_error(dir, s->name, what, errno, err);
	if ((size_t)r < want)
		return segment_error(dir, s->name, "short write to", ENOSPC, err); /* which it nearly always is */
	return 0;
}

static int write_zeros(const struct segment_dir *dir, const struct segment *s, uint64_t offset, uint64_t left, struct error *err) {
	struct iovec iov[ZERO_IOVS];
	int n;

	for (n = 0; n < ZERO_IOVS && left; n++) {
		iov[n] = (struct iovec){ (void *)zeros, left < ZEROS ? left : ZEROS };
		left -= iov[n].iov_len;
	}
	return write_pages(dir, s, iov, n, offset, "cannot fill", err);
}

static int fill_with_zeros(const struct segment_dir *dir, const struct segment *s, const atomic_bool *stop,
			   struct error *err) {
	int r = 0;

	set_direct(s, true);
	for (uint64_t offset = 0; r == 0 && offset < s->size; offset += STEP) {
		r = write_zeros(dir, s, offset, s->size - offset, err);
		if (r == 0 && dir->io->fdatasync(dir->io->ctx, s->fd) < 0)
			r = segment_error(dir, s->name, "cannot sync", errno, err);
		if (r == 0 && atomic_load(stop))
			r = error_set(err, ERR_CANCELLED, "stopping");
	}
	return r;
}

/* From NNNNNN.new to NNNNNN.j, durably. */
static int publish(const struct segment_dir *dir, const struct segment *s, const char *made, struct error *err) {
	struct stat st;

	if (dir->io->fsync(dir->io->ctx, s->fd) < 0)
		return segment_error(dir, made, "cannot sync", errno, err);
	/* The lock makes us the only one who names segments. */
	if (fstatat(dir->fd, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return segment_error(dir, s->name, "cannot name", EEXIST, err);
	if (renameat(dir->fd, made, dir->fd, s->name) < 0)
		return segment_error(dir, s->name, "cannot name", errno, err);
	if (dir->io->fsync(dir->io->ctx, dir->fd) < 0)
		return segment_error(dir, "", "cannot sync", errno, err);
	return 0;
}

int segment_make(const struct segment_dir *dir, uint64_t number, uint64_t size, const atomic_bool *stop,
		 struct segment *out, struct error *err) {
	struct segment s = { .number = number, .size = size };
	char made[SEGMENT_NAME_MAX + 8];

	segment_name(number, s.name);
	snprintf(made, sizeof(made), "%06llu.new", (unsigned long long)number);
	unlinkat(dir->fd, made, 0); /* half a one, of an earlier attempt */
	s.fd = dir->io->open(dir->io->ctx, dir->fd, made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s.fd < 0)
		return segment_error(dir, made, "cannot make", errno, err);
	if (dir->io->allocate(dir->io->ctx, s.fd, size) < 0 || identify(s.fd, &s.id, &s.size) < 0)
		segment_error(dir, made, "no room for", errno, err);
	else if (fill_with_zeros(dir, &s, stop, err) == 0 && publish(dir, &s, made, err) == 0) {
		*out = s;
		return 0;
	}
	unlinkat(dir->fd, made, 0);
	segment_discard(dir, &s);
	return -1;
}

int segment_open(const struct segment_dir *dir, uint64_t number, struct segment *out, struct error *err) {
	struct segment s = { .number = number };

	segment_name(number, s.name);
	s.fd = dir->io->open(dir->io->ctx, dir->fd, s.name, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (s.fd < 0 || identify(s.fd, &s.id, &s.size) < 0) {
		segment_error(dir, s.name, "cannot open", errno, err);
		segment_close(&s);
		return -1;
	}
	set_direct(&s, true);
	*out = s;
	return 0;
}

int segment_stage_init(struct segment_stage *stage) {
	*stage = (struct segment_stage){ .bytes = aligned_alloc(SEGMENT_PAGE, STAGE) };
	return stage->bytes ? 0 : -1;
}

void segment_stage_fini(struct segment_stage *stage) {
	free(stage->bytes);
	stage->bytes = NULL;
}

static uint64_t page_of(uint64_t offset) {
	return offset / SEGMENT_PAGE * SEGMENT_PAGE;
}

/* len bytes behind those of the page that the stage holds, then zeros to the end of theirs. How many there are. */
static size_t lay_out(struct segment_stage *stage, const struct segment *segment, const void *bytes, size_t len) {
	const uint64_t start = page_of(stage->end), end = stage->end + len, page_end = page_of(end + SEGMENT_PAGE - 1);
	const uint64_t until = page_end < segment->size ? page_end : segment->size;

	assert(end <= segment->size && page_end - start <= STAGE);
	memcpy(stage->bytes + (stage->end - start), bytes, len);
	memset(stage->bytes + (end - start), 0, until - end);
	return until - start;
}

/* It is on the disk: the page where the next bytes go is moved to the front. */
static void went_out(struct segment_stage *stage, size_t len) {
	const uint64_t start = page_of(stage->end);

	stage->end += len;
	memmove(stage->bytes, stage->bytes + (page_of(stage->end) - start), stage->end - page_of(stage->end));
}

int segment_write(const struct segment_dir *dir, const struct segment *segment, struct segment_stage *stage,
		  const void *bytes, size_t len, struct error *err) {
	struct iovec iov = { stage->bytes, lay_out(stage, segment, bytes, len) };

	if (write_pages(dir, segment, &iov, 1, page_of(stage->end), "cannot write", err) < 0)
		return -1;
	if (dir->io->fdatasync(dir->io->ctx, segment->fd) < 0)
		return segment_error(dir, segment->name, "cannot sync", errno, err);
	went_out(stage, len);
	return 0;
}

int segment_begin(const struct segment_dir *dir, const struct segment *segment, struct segment_stage *stage,
		  const struct journal_header *header, struct error *err) {
	uint8_t page[JOURNAL_HEADER];

	journal_header_write(header, page);
	stage->end = 0;
	return segment_write(dir, segment, stage, page, sizeof(page), err);
}

int segment_sync(const struct segment_dir *dir, uint64_t number, struct error *err) {
	char name[SEGMENT_NAME_MAX];
	int fd, r = -1;

	segment_name(number, name);
	fd = dir->io->open(dir->io->ctx, dir->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd >= 0)
		r = dir->io->fdatasync(dir->io->ctx, fd);
	if (r < 0)
		segment_error(dir, name, "cannot sync", errno, err);
	if (fd >= 0)
		close(fd);
	return r;
}

int segment_dir_check(const struct segment_dir *dir, struct error *err) {
	struct statx found;

	if (look_at(AT_FDCWD, dir->path, 0, &found) == 0 && is_it(&dir->id, &found))
		return 0;
	return error_set(err, ERR_UNAVAILABLE,
			 "audit log: the directory %s was moved, removed or replaced while in use; put it back, or restart "
			 "hallpassd to begin a new log there",
			 dir->path);
}

int segment_check(const struct segment_dir *dir, const struct segment *segment, struct error *err) {
	struct statx found, ours;

	if (segment_dir_check(dir, err) < 0)
		return -1;
	if (look_at(dir->fd, segment->name, AT_SYMLINK_NOFOLLOW, &found) == 0 && is_it(&segment->id, &found)) {
		if (found.stx_size >= segment->size)
			return 0;
		return error_set(err, ERR_UNAVAILABLE, "audit log: %s/%s was truncated while in use", dir->path, segment->name);
	}
	if (look_at(segment->fd, "", AT_EMPTY_PATH, &ours) < 0 || ours.stx_nlink == 0)
		return error_set(err, ERR_UNAVAILABLE, "audit log: %s/%s was removed or replaced while in use", dir->path,
				 segment->name);
	return error_set(err, ERR_UNAVAILABLE, "audit log: %s/%s was moved or replaced while in use", dir->path, segment->name);
}

void segment_close(struct segment *segment) {
	if (segment->fd >= 0)
		close(segment->fd); /* what counted was synced before; what was not is refused anyway */
	segment->fd = -1;
}

void segment_discard(const struct segment_dir *dir, struct segment *segment) {
	struct statx found;

	/* Only if the name still leads to our file. */
	if (look_at(dir->fd, segment->name, AT_SYMLINK_NOFOLLOW, &found) == 0 && is_it(&segment->id, &found))
		unlinkat(dir->fd, segment->name, 0);
	segment_close(segment);
}

void segment_trim(const struct segment_dir *dir, uint64_t number, uint64_t good_end) {
	struct segment s;
	struct error err;
	int r;

	if (segment_open(dir, number, &s, &err) < 0)
		return;
	r = s.size > good_end ? ftruncate(s.fd, (off_t)good_end) : 0;
	(void)r; /* the successor's header says where it ends, cut or not */
	segment_close(&s);
}
