/* See journaldir.h. */

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/reader.h"
#include "tests/lib/journaldir.h"

void journaldir_make(struct journaldir *d) {
	*d = (struct journaldir){ .path = "/tmp/hallpass-journal.XXXXXX" };
	assert_non_null(mkdtemp(d->path));
	snprintf(d->journal, sizeof(d->journal), "%s/journal", d->path);
	assert_int_equal(mkdir(d->journal, 0700), 0);
	d->dir = (struct segment_dir){
		.io = &journal_io_system,
		.fd = open(d->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.path = d->journal,
	};
	assert_true(d->dir.fd >= 0);
}

void journaldir_remove(struct journaldir *d) {
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", d->path);
	assert_int_equal(system(command), 0);
	close(d->dir.fd);
}

static int open_segment(struct journaldir *d, uint64_t number) {
	char name[SEGMENT_NAME_MAX];
	int fd;

	segment_name(number, name);
	fd = openat(d->dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

void journaldir_poke(struct journaldir *d, uint64_t number, uint64_t offset, const void *bytes, size_t n) {
	int fd = open_segment(d, number);

	assert_int_equal(pwrite(fd, bytes, n, (off_t)offset), n);
	close(fd);
}

void journaldir_flip(struct journaldir *d, uint64_t number, uint64_t offset) {
	int fd = open_segment(d, number);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

void journaldir_truncate(struct journaldir *d, uint64_t number, uint64_t size) {
	int fd = open_segment(d, number);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

void journaldir_blank(struct journaldir *d, uint64_t number, uint64_t size) {
	journaldir_truncate(d, number, 0);
	journaldir_truncate(d, number, size);
}

bool journaldir_has(struct journaldir *d, const char *name) {
	return faccessat(d->dir.fd, name, F_OK, 0) == 0;
}

void journaldir_segment(struct journaldir *d, struct scan_position *at, uint64_t number, enum journal_why why) {
	struct journal_header header = {
		.why = why,
		.number = number,
		.first_index = at->next_index,
		.predecessor = at->segment,
		.good_end = at->offset,
	};
	uint8_t page[JOURNAL_HEADER];

	memcpy(header.hash, at->hash, sizeof(header.hash));
	journal_header_write(&header, page);
	journaldir_blank(d, number, JD_SEGMENT);
	journaldir_poke(d, number, 0, page, sizeof(page));
	at->segment = number;
	at->offset = JOURNAL_HEADER;
}

void journaldir_frame(struct journaldir *d, struct scan_position *at, const char *texts) {
	struct frame frame = { .first_index = at->next_index, .realtime_ns = at->last_ns };
	uint8_t *bytes = calloc(1, FRAME_MAX);
	size_t len = 0, n;
	uint32_t whole;

	assert_non_null(bytes);
	for (const char *p = texts; p; p = p[n] ? p + n + 1 : NULL, frame.n++) {
		n = strcspn(p, "|");
		len += frame_add(bytes + FRAME_HEAD + len, p, n);
	}
	whole = frame_seal(bytes, len, &frame, at->hash);
	journaldir_poke(d, at->segment, at->offset, bytes, whole);
	memcpy(at->hash, bytes + whole - JOURNAL_HASH, JOURNAL_HASH);
	at->offset += whole;
	at->next_index += frame.n;
	free(bytes);
}

char *journaldir_read(const char *path) {
	struct audit_reader *reader = NULL;
	struct error err = { 0 };
	struct str record;
	uint64_t index, expected = 0;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r = audit_reader_open(path, &reader, &err);

	while (r >= 0 && (r = audit_reader_next(reader, &record, &index, &err)) > 0) {
		assert_int_equal(index, expected);
		fprintf(out, "%s%.*s", expected++ ? "|" : "", (int)record.n, record.p);
	}
	audit_reader_free(reader);
	fclose(out);
	if (r == 0)
		return text;
	free(text);
	assert_true(asprintf(&text, "ERROR: %s", err.message) > 0);
	return text;
}
