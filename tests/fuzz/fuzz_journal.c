// links: broker
/*
 * The journal: directories of segments that the input describes, good, damaged and forged (with hashes that are right again),
 * through scan, recovery and reader. Nothing crashes; what is accepted chains; recovery that succeeds finds the same again.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/audit/reader.h"
#include "broker/audit/record.h"
#include "broker/audit/recover.h"
#include "broker/sha256.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM (JOURNAL_HEADER + 65536)

static char path[64], journal[80];
static struct segment_dir dir = { .io = &journal_io_system, .fd = -1, .path = journal };
static uint8_t bytes[ROOM];

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t next(struct input *in) {
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static void clean_up(void) {
	char command[100];
	int r;

	snprintf(command, sizeof(command), "rm -rf %s", path);
	r = system(command);
	(void)r;
}

static void make_dir(void) {
	int r;

	snprintf(path, sizeof(path), "%s/hallpass-fuzz.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(path))
		abort();
	snprintf(journal, sizeof(journal), "%s/journal", path);
	r = mkdirat(AT_FDCWD, journal, 0700);
	dir.fd = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(r == 0 && dir.fd >= 0);
	atexit(clean_up);
}

static void empty_dir(void) {
	char name[SEGMENT_NAME_MAX];

	for (uint64_t number = 1; number < 20; number++) {
		segment_name(number, name);
		unlinkat(dir.fd, name, 0);
	}
}

static void put_be32(uint8_t *p, uint32_t v) {
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* One frame at p, as the input says: good, or with some bytes changed, before or after its hash was made. */
static size_t put_frame(struct input *in, uint8_t *p, size_t room, struct scan_position *at, uint8_t how) {
	struct frame frame = { .first_index = at->next_index, .realtime_ns = next(in) };
	size_t len = 0, n;
	uint32_t whole;

	for (unsigned entries = next(in) % 4 + 1u; entries; entries--, frame.n++) {
		n = next(in);
		n = n < in->n ? n : in->n;
		if (FRAME_HEAD + len + 2 + n + JOURNAL_HASH > room)
			break;
		len += frame_add(p + FRAME_HEAD + len, in->p, n);
		in->p += n;
		in->n -= n;
	}
	if (!frame.n)
		return 0;
	whole = frame_seal(p, len, &frame, at->hash);
	if (how & 1)
		p[(size_t)(next(in) | (how & 2 ? next(in) << 8 : 0)) % whole] ^= next(in);
	if (how & 4)
		put_be32(p + 4 * (next(in) % 20u), next(in));
	if (how & 8)
		sha256(p, whole - JOURNAL_HASH, p + whole - JOURNAL_HASH);
	memcpy(at->hash, p + whole - JOURNAL_HASH, JOURNAL_HASH);
	at->next_index += frame.n;
	at->offset += whole;
	return whole;
}

static void put_segment(struct input *in, struct scan_position *at) {
	uint8_t flags = next(in);
	struct journal_header header = {
		.why = JOURNAL_WHY_START,
		.number = flags & 1 ? next(in) % 16 + 1u : at->segment + 1,
		.predecessor = flags & 2 ? next(in) % 16 : at->segment,
		.good_end = flags & 4 ? JOURNAL_HEADER + next(in) * 16u : at->offset,
		.first_index = flags & 8 ? next(in) : at->next_index,
	};
	size_t end = JOURNAL_HEADER, frames = next(in) % 5u, n;
	char name[SEGMENT_NAME_MAX];
	int fd;

	memset(bytes, 0, sizeof(bytes));
	memcpy(header.hash, at->hash, sizeof(header.hash));
	journal_header_write(&header, bytes);
	if (flags & 16)
		bytes[next(in) * 16u % JOURNAL_HEADER] ^= next(in);
	if (flags & 32)
		memset(bytes, 0, JOURNAL_HEADER);
	at->segment = header.number;
	at->offset = JOURNAL_HEADER;
	while (frames--) {
		n = put_frame(in, bytes + end, sizeof(bytes) - end, at, next(in));
		end += n;
	}
	segment_name(header.number, name);
	fd = openat(dir.fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	n = (size_t)pwrite(fd, bytes, flags & 64 ? end - next(in) % JOURNAL_HEADER : end, 0);
	if (flags & 128 && ftruncate(fd, JOURNAL_MIN_SEGMENT) < 0)
		abort();
	(void)n;
	close(fd);
}

static void scan_all(void) {
	uint8_t hash[JOURNAL_HASH] = { 0 };
	struct scan *scan = NULL;
	struct scan_position at;
	struct error err = { 0 };
	uint64_t index = 0, torn;
	struct frame frame;
	struct str entry;
	int r = scan_open(&dir, &scan, &err);

	assert(r == 0);
	while ((r = scan_next(scan, &frame, &err)) > 0) {
		assert(frame.first_index == index && !memcmp(frame.prev, hash, JOURNAL_HASH));
		for (uint32_t i = 0; i < frame.n; i++, index++)
			assert(frame_entry(&frame.entries, &entry));
		assert(!frame_entry(&frame.entries, &entry));
		memcpy(hash, frame.hash, JOURNAL_HASH);
	}
	assert(r == 0 || err.message[0]);
	scan_position(scan, &at);
	assert(r < 0 || (at.next_index == index && !memcmp(at.hash, hash, JOURNAL_HASH)));
	if (r == 0)
		scan_tail(scan, &torn, &err);
	scan_free(scan);
}

static void recover_twice(void) {
	struct recovery first, second;
	struct error err = { 0 };

	if (recover(&dir, JOURNAL_MIN_SEGMENT, &first, &err) == 0) {
		int r = recover(&dir, JOURNAL_MIN_SEGMENT, &second, &err);

		assert(r == 0 && first.at.segment == second.at.segment && first.at.offset == second.at.offset);
		assert(first.at.next_index == second.at.next_index && first.torn == second.torn);
		recovery_fini(&second);
	}
	recovery_fini(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct input in = { data, size };
	struct scan_position at = { 0 };
	struct audit_reader *reader = NULL;
	struct record_head head;
	struct frame frame;
	struct error err;
	struct str record;
	const char *why;
	uint64_t index;

	if (dir.fd < 0)
		make_dir();
	record_head((struct str){ (const char *)data, size }, &head);
	frame_parse(data, size, &frame, &why);
	for (unsigned segments = next(&in) % 4 + 1u; segments; segments--)
		put_segment(&in, &at);
	scan_all();
	if (audit_reader_open(path, &reader, &err) == 0)
		while (audit_reader_next(reader, &record, &index, &err) > 0)
			record_head(record, &head);
	audit_reader_free(reader);
	recover_twice();
	empty_dir();
	return 0;
}
