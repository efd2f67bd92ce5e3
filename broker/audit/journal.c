/* See journal.h. */

#include <assert.h>
#include <string.h>
#include "broker/audit/journal.h"
#include "broker/sha256.h"

static const uint8_t segment_magic[8] = { 0xFF, 'H', 'P', 'J', 'R', 'N', 'L', '\n' };
static const uint8_t frame_magic_bytes[4] = { 0xFF, 'H', 'P', 'F' };

#define SEGMENT_VERSION 1
#define FRAME_VERSION 1
#define REASON_AT 98

static void put_be(uint8_t *p, unsigned bytes, uint64_t v) {
	while (bytes--) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get_be(const uint8_t *p, unsigned bytes) {
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static bool all_zero(const uint8_t *p, size_t n) {
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

void journal_header_write(const struct journal_header *header,
			  uint8_t page[JOURNAL_HEADER]) {
	size_t n = strnlen(header->reason, JOURNAL_REASON_MAX);

	memset(page, 0, JOURNAL_HEADER);
	memcpy(page, segment_magic, sizeof(segment_magic));
	put_be(page + 8, 4, SEGMENT_VERSION);
	put_be(page + 12, 4, header->why);
	put_be(page + 16, 8, header->number);
	put_be(page + 24, 8, header->first_index);
	put_be(page + 32, 8, (uint64_t)header->realtime_ns);
	put_be(page + 40, 8, (uint64_t)header->boottime_ns);
	put_be(page + 48, 8, header->predecessor);
	put_be(page + 56, 8, header->good_end);
	memcpy(page + 64, header->hash, JOURNAL_HASH);
	put_be(page + 96, 2, n);
	memcpy(page + REASON_AT, header->reason, n);
	sha256(page, JOURNAL_HEADER - JOURNAL_HASH, page + JOURNAL_HEADER - JOURNAL_HASH);
}

enum header_state journal_header_read(const uint8_t page[JOURNAL_HEADER],
				      struct journal_header *out) {
	uint8_t hash[JOURNAL_HASH];
	size_t n = get_be(page + 96, 2);

	if (all_zero(page, JOURNAL_HEADER))
		return HEADER_SPARE;
	sha256(page, JOURNAL_HEADER - JOURNAL_HASH, hash);
	if (memcmp(page, segment_magic, sizeof(segment_magic)) || get_be(page + 8, 4) != SEGMENT_VERSION ||
	    n > JOURNAL_REASON_MAX || memcmp(hash, page + JOURNAL_HEADER - JOURNAL_HASH, JOURNAL_HASH))
		return HEADER_BAD;
	*out = (struct journal_header){
		.why = (enum journal_why)get_be(page + 12, 4),
		.number = get_be(page + 16, 8),
		.first_index = get_be(page + 24, 8),
		.realtime_ns = (int64_t)get_be(page + 32, 8),
		.boottime_ns = (int64_t)get_be(page + 40, 8),
		.predecessor = get_be(page + 48, 8),
		.good_end = get_be(page + 56, 8),
	};
	memcpy(out->hash, page + 64, JOURNAL_HASH);
	memcpy(out->reason, page + REASON_AT, n);
	return HEADER_GOOD;
}

size_t frame_add(uint8_t *at, const void *text, size_t n) {
	assert(n <= UINT16_MAX);
	put_be(at, 2, n);
	memcpy(at + 2, text, n);
	return 2 + n;
}

uint32_t frame_seal(uint8_t *bytes, size_t entries_len, const struct frame *in,
		    const uint8_t prev[JOURNAL_HASH]) {
	uint32_t len = (uint32_t)(FRAME_HEAD + entries_len + JOURNAL_HASH);

	assert(entries_len <= FRAME_MAX_BODY && in->n >= 1 && in->n <= FRAME_MAX_ENTRIES);
	memcpy(bytes, frame_magic_bytes, sizeof(frame_magic_bytes));
	put_be(bytes + 4, 4, (uint64_t)FRAME_VERSION << 24);
	put_be(bytes + 8, 4, len);
	put_be(bytes + 12, 4, in->n);
	put_be(bytes + 16, 8, in->first_index);
	put_be(bytes + 24, 8, (uint64_t)in->realtime_ns);
	put_be(bytes + 32, 8, (uint64_t)in->boottime_ns);
	memcpy(bytes + 40, prev, JOURNAL_HASH);
	put_be(bytes + 72, 4, entries_len);
	put_be(bytes + 76, 4, 0);
	sha256(bytes, len - JOURNAL_HASH, bytes + len - JOURNAL_HASH);
	return len;
}

bool frame_magic(const uint8_t *p) {
	return memcmp(p, frame_magic_bytes, sizeof(frame_magic_bytes)) == 0;
}

bool frame_entry(struct str *entries, struct str *out) {
	size_t n;

	if (entries->n < 2)
		return false;
	n = get_be((const uint8_t *)entries->p, 2);
	if (n > entries->n - 2)
		return false;
	*out = (struct str){ entries->p + 2, n };
	*entries = (struct str){ entries->p + 2 + n, entries->n - 2 - n };
	return true;
}

/* Exactly n entries and nothing left over. */
static bool entries_right(struct str entries, uint32_t n) {
	struct str entry;

	while (n--) {
		if (!frame_entry(&entries, &entry))
			return false;
	}
	return entries.n == 0;
}

static void frame_decode(const uint8_t *p, struct frame *out) {
	uint32_t body = (uint32_t)get_be(p + 72, 4), extension = (uint32_t)get_be(p + 76, 4);

	*out = (struct frame){
		.len = (uint32_t)get_be(p + 8, 4),
		.n = (uint32_t)get_be(p + 12, 4),
		.first_index = get_be(p + 16, 8),
		.realtime_ns = (int64_t)get_be(p + 24, 8),
		.boottime_ns = (int64_t)get_be(p + 32, 8),
		.prev = p + 40,
		.entries = { (const char *)p + FRAME_HEAD, body },
		.extension = { NULL, extension },
	};
}

/* Why this head cannot be one, or NULL. */
static const char *head_fault(const uint8_t *p, const struct frame *f) {
	if (!frame_magic(p))
		return "no frame begins here";
	if (get_be(p + 5, 3) != 0 || f->n < 1 || f->n > FRAME_MAX_ENTRIES || f->entries.n > FRAME_MAX_BODY ||
	    f->extension.n > FRAME_MAX_EXTENSION || f->first_index > UINT64_MAX - f->n ||
	    f->len != FRAME_HEAD + f->entries.n + f->extension.n + JOURNAL_HASH)
		return "the frame's head is damaged";
	return NULL;
}

enum frame_state frame_parse(const uint8_t *p, size_t n, struct frame *out,
			     const char **why) {
	uint8_t hash[JOURNAL_HASH];

	*why = NULL;
	*out = (struct frame){ .len = FRAME_HEAD };
	if (n < FRAME_HEAD)
		return FRAME_SHORT;
	if (all_zero(p, FRAME_HEAD))
		return FRAME_NONE;
	/* 0 is no version: a crash left the last bytes of a page, and zeros where the next page was not written. */
	if (frame_magic(p) && p[4] > FRAME_VERSION) {
		*why = "a frame of a version that this hallpass does not know (a newer one wrote here, or it is damaged)";
		return FRAME_UNKNOWN;
	}
	frame_decode(p, out);
	*why = head_fault(p, out);
	if (*why)
		return FRAME_BAD;
	if (n < out->len)
		return FRAME_SHORT;
	out->extension.p = out->entries.p + out->entries.n;
	out->hash = p + out->len - JOURNAL_HASH;
	sha256(p, out->len - JOURNAL_HASH, hash);
	if (memcmp(hash, out->hash, JOURNAL_HASH))
		*why = "the frame's SHA-256 does not match its bytes";
	else if (!entries_right(out->entries, out->n))
		*why = "the frame's entries do not fill it";
	return *why ? FRAME_BAD : FRAME_GOOD;
}
