#pragma once

/* How far text is plain ASCII, sixteen bytes at a time: nearly all that a broker reads and writes is. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int8_t ascii_block __attribute__((vector_size(16)));
typedef uint64_t ascii_words __attribute__((vector_size(16)));

static inline bool ascii_plain(char c, bool json) {
	return c >= 0x20 && c < 0x7F && !(json && (c == '"' || c == '\\'));
}

static inline bool ascii_block_plain(ascii_block v, bool json) {
	ascii_block other = (v < 0x20) | (v == 0x7F); /* signed: what is not ASCII is below 0 */
	ascii_words words;

	if (json)
		other |= (v == '"') | (v == '\\');
	words = (ascii_words)other;
	return !(words[0] | words[1]);
}

static inline ascii_block ascii_load(const char *s) {
	ascii_block v;

	memcpy(&v, s, sizeof(v));
	return v;
}

/* Of 8 to 16 bytes the first eight and the last eight. */
static inline ascii_block ascii_load_ends(const char *s, size_t n) {
	uint64_t first, last;

	memcpy(&first, s, sizeof(first));
	memcpy(&last, s + n - sizeof(last), sizeof(last));
	return (ascii_block)(ascii_words){ first, last };
}

/*
 * The bytes at the front that are visible ASCII or blanks; json: and go into a JSON string as they are (neither quote nor
 * backslash). json should be a constant.
 */
static inline size_t ascii_run(const char *s, size_t n, bool json) {
	const size_t block = sizeof(ascii_block);
	size_t i = 0;

	while (i + block <= n && ascii_block_plain(ascii_load(s + i), json))
		i += block;
	/* The end of the text once more, rather than its last bytes one by one. */
	if (n >= block ? i + block > n && ascii_block_plain(ascii_load(s + n - block), json)
		       : n >= block / 2 && ascii_block_plain(ascii_load_ends(s, n), json))
		return n;
	while (i < n && ascii_plain(s[i], json))
		i++;
	return i;
}
