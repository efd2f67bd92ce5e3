/* See reader.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/audit/reader.h"
#include "broker/audit/scan.h"
#include "hallpass/cleanup.h"

struct audit_reader {
	char *path;
	struct segment_dir dir;
	struct scan *scan;
	struct str entries; /* of the current frame, not given yet */
	uint64_t index;	    /* of the first of them */
};

DEFINE_FREEP(struct audit_reader, audit_reader_free)

void audit_reader_free(struct audit_reader *reader) {
	if (!reader)
		return;
	scan_free(reader->scan);
	if (reader->dir.fd >= 0)
		close(reader->dir.fd);
	free(reader->path);
	free(reader);
}

int audit_reader_open(const char *dir, struct audit_reader **out, struct error *err) {
	cleanup(audit_reader_freep) struct audit_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return error_set(err, ERR_INTERNAL, "out of memory");
	reader->dir.fd = -1;
	if (asprintf(&reader->path, "%s/journal", dir) < 0) {
		reader->path = NULL;
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	reader->dir = (struct segment_dir){
		.io = &journal_io_system,
		.fd = open(reader->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.path = reader->path,
	};
	if (reader->dir.fd < 0)
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES ? ERR_DENIED : ERR_UNAVAILABLE,
				 "audit log: cannot open %s: %s", reader->path, strerror(errno));
	if (scan_open(&reader->dir, &reader->scan, err) < 0)
		return -1;
	*out = take(&reader);
	return 0;
}

int audit_reader_next(struct audit_reader *reader, struct str *record, uint64_t *index, struct error *err) {
	struct frame frame;
	int r;

	while (!frame_entry(&reader->entries, record)) {
		reader->entries = (struct str){ 0 };
		r = scan_next(reader->scan, &frame, err);
		if (r <= 0)
			return r;
		reader->entries = frame.entries;
		reader->index = frame.first_index;
	}
	*index = reader->index++;
	return 1;
}

int audit_reader_check_end(struct audit_reader *reader, struct error *err) {
	uint64_t torn;

	return scan_tail(reader->scan, &torn, err) < 0 ? -1 : scan_check_rest(reader->scan, err);
}

int audit_reader_each(struct audit_reader *reader, audit_reader_fn *one, void *arg, struct error *err) {
	struct str record;
	uint64_t index;
	int r;

	while ((r = audit_reader_next(reader, &record, &index, err)) > 0)
		one(record, index, arg);
	return r;
}

int audit_reader_whole(struct audit_reader *reader, audit_reader_fn *one, void *arg, struct error *err) {
	int r = audit_reader_each(reader, one, arg, err);

	if (r < 0 || audit_reader_check_end(reader, err) == 0)
		return r;
	r = audit_reader_each(reader, one, arg, err);
	return r < 0 ? r : audit_reader_check_end(reader, err);
}
