/* See disk.h. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "broker/audit/journal.h"
#include "tests/lib/disk.h"

static ino_t inode(int fd) {
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static bool is_dead(const struct disk *disk, ino_t ino) {
	for (unsigned i = 0; i < disk->n_dead; i++)
		if (disk->dead[i] == ino)
			return true;
	return false;
}

/* Under the lock: counts; whether this call fails. Its file is dead from then on. */
static bool fails(struct disk *disk, enum disk_call call, int fd) {
	unsigned n = ++disk->calls[call];

	if (disk->fail != DISK_ALL && (disk->fail != call || n < disk->from || n > disk->to))
		return false;
	disk->failed++;
	if (fd >= 0 && disk->n_dead < sizeof(disk->dead) / sizeof(disk->dead[0]))
		disk->dead[disk->n_dead++] = inode(fd);
	errno = disk->errnum;
	return true;
}

static int disk_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode) {
	struct disk *disk = ctx;
	int fd = -1;

	pthread_mutex_lock(&disk->lock);
	if (!fails(disk, DISK_OPEN, -1))
		fd = openat(dirfd, name, flags, mode);
	if (fd >= 0 && flags & O_CREAT) { /* a new file, whatever its number meant before */
		for (unsigned i = 0; i < disk->n_dead; i++)
			if (disk->dead[i] == inode(fd))
				disk->dead[i] = 0;
	}
	pthread_mutex_unlock(&disk->lock);
	return fd;
}

static int disk_allocate(void *ctx, int fd, uint64_t size) {
	struct disk *disk = ctx;
	bool bad;

	pthread_mutex_lock(&disk->lock);
	bad = fails(disk, DISK_ALLOCATE, fd);
	pthread_mutex_unlock(&disk->lock);
	return bad ? -1 : journal_io_system.allocate(NULL, fd, size);
}

/* Not the zeros of a spare. */
static bool holds_words(const struct iovec *iov) {
	const uint8_t *p = iov->iov_base;

	return p[0] || memcmp(p, p + 1, iov->iov_len - 1);
}

/* Under the lock. */
static void note_write(struct disk *disk, int fd, const struct iovec *iov, uint64_t offset) {
	if (!holds_words(iov))
		return;
	if (offset < JOURNAL_HEADER) {
		disk->begun_too_soon |= disk->end && !disk->end_synced;
		return;
	}
	disk->frames_written++;
	disk->frame = inode(fd);
}

/* Under the lock: as a disk of larger blocks says it, or a file system that learns late that it cannot. */
static bool refuses_direct(struct disk *disk, int fd) {
	if (!disk->no_direct || !(fcntl(fd, F_GETFL) & O_DIRECT))
		return false;
	disk->direct_refused++;
	errno = EINVAL;
	return true;
}

static ssize_t disk_pwritev(void *ctx, int fd, const struct iovec *iov, int n, uint64_t offset) {
	struct disk *disk = ctx;
	ssize_t r;

	pthread_mutex_lock(&disk->lock);
	disk->reused += is_dead(disk, inode(fd));
	if (refuses_direct(disk, fd))
		r = -1;
	else if (!fails(disk, DISK_PWRITEV, fd)) {
		r = pwritev(fd, iov, n, (off_t)offset);
		note_write(disk, fd, iov, offset);
	} else if (disk->errnum == DISK_SHORT) {
		fcntl(fd, F_SETFL, 0); /* half a page does not go around the page cache */
		r = pwrite(fd, iov[0].iov_base, iov[0].iov_len / 2, (off_t)offset);
	} else
		r = -1;
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static bool gated(const struct disk *disk, bool frame) {
	return disk->hold_all || (disk->hold_frames && frame);
}

static int disk_fdatasync(void *ctx, int fd) {
	struct disk *disk = ctx;
	bool bad, frame;

	pthread_mutex_lock(&disk->lock);
	frame = disk->frame && disk->frame == inode(fd);
	while (gated(disk, frame) && !disk->pass) {
		disk->held++;
		pthread_cond_wait(&disk->changed, &disk->lock);
		disk->held--;
	}
	disk->pass -= gated(disk, frame);
	disk->reused += is_dead(disk, inode(fd));
	bad = fails(disk, DISK_FDATASYNC, fd);
	disk->frames_synced += frame && !bad;
	disk->end_synced |= !bad && disk->end && disk->end == inode(fd);
	if (frame)
		disk->frame = 0;
	pthread_mutex_unlock(&disk->lock);
	return bad ? -1 : 0;
}

static int disk_fsync(void *ctx, int fd) {
	struct disk *disk = ctx;
	struct stat st;
	bool bad;

	pthread_mutex_lock(&disk->lock);
	bad = fails(disk, DISK_FSYNC, fd);
	disk->dirs_synced += !bad && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	pthread_mutex_unlock(&disk->lock);
	return bad ? -1 : 0;
}

static int disk_free_bytes(void *ctx, int fd, uint64_t *out) {
	struct disk *disk = ctx;

	(void)fd;
	pthread_mutex_lock(&disk->lock);
	*out = disk->free_bytes;
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

void disk_init(struct disk *disk) {
	*disk = (struct disk){
		.io = { .open = disk_open, .allocate = disk_allocate, .pwritev = disk_pwritev, .fdatasync = disk_fdatasync,
			.fsync = disk_fsync, .free_bytes = disk_free_bytes, .ctx = disk },
		.free_bytes = 123456789,
	};
	pthread_mutex_init(&disk->lock, NULL);
	pthread_cond_init(&disk->changed, NULL);
}

void disk_fail(struct disk *disk, enum disk_call call, unsigned from, unsigned to, int errnum) {
	pthread_mutex_lock(&disk->lock);
	disk->fail = call;
	disk->from = from;
	disk->to = to;
	disk->errnum = errnum;
	pthread_mutex_unlock(&disk->lock);
}

void disk_heal(struct disk *disk) {
	disk_fail(disk, DISK_CALLS, 0, 0, 0);
}

void disk_hold(struct disk *disk, bool frames, bool all) {
	pthread_mutex_lock(&disk->lock);
	disk->hold_frames = frames;
	disk->hold_all = all;
	pthread_cond_broadcast(&disk->changed);
	pthread_mutex_unlock(&disk->lock);
}

void disk_pass(struct disk *disk, unsigned n) {
	pthread_mutex_lock(&disk->lock);
	disk->pass = n;
	pthread_cond_broadcast(&disk->changed);
	pthread_mutex_unlock(&disk->lock);
}

void disk_set_free(struct disk *disk, uint64_t bytes) {
	pthread_mutex_lock(&disk->lock);
	disk->free_bytes = bytes;
	pthread_mutex_unlock(&disk->lock);
}

struct disk disk_seen(struct disk *disk) {
	struct disk copy;

	pthread_mutex_lock(&disk->lock);
	copy = *disk;
	pthread_mutex_unlock(&disk->lock);
	return copy;
}
