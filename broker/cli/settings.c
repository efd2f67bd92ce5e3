/*
 * A file of settings without some of them: sections of keys, exactly as Python's configparser takes them apart, since it is what gcloud
 * and gsutil read theirs with. See keep.h.
 */

#include <string.h>
#include <strings.h>
#include "broker/cli/keep.h"

struct place {
	struct str section;
	size_t indent;	  /* of the last key or section */
	bool key;	  /* a key was last: what is indented more goes on with it */
	bool any_section; /* one has begun */
	bool wanted;
};

static bool is_blank(char c) {
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str trimmed(struct str s) {
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	while (s.n && is_blank(*s.p))
		s.p++, s.n--;
	return s;
}

static bool is_unwanted(struct str section, struct str key, const struct unwanted *unwanted) {
	for (; unwanted->section; unwanted++)
		if (str_eq(section, str_of(unwanted->section)) &&
		    (!unwanted->key || (key.n == strlen(unwanted->key) && !strncasecmp(key.p, unwanted->key, key.n))))
			return true;
	return false;
}

static struct str key_of(struct str line) {
	size_t n = 0;

	while (n < line.n && line.p[n] != '=' && line.p[n] != ':')
		n++;
	return trimmed((struct str){ line.p, n });
}

/* "[core] whatever": as far as the last bracket. */
static bool section_of(struct str line, struct str *out) {
	const char *end = line.n > 2 && line.p[0] == '[' ? memrchr(line.p, ']', line.n) : NULL;

	if (!end || end == line.p + 1)
		return false;
	*out = (struct str){ line.p + 1, (size_t)(end - line.p) - 1 };
	return true;
}

/* Where a line that is neither empty nor a comment leads to. */
static void take_line(struct place *at, struct str line, size_t indent, const struct unwanted *unwanted) {
	if (at->any_section && at->key && indent > at->indent)
		return;
	at->indent = indent;
	at->key = !section_of(line, &at->section);
	at->any_section |= !at->key;
	at->wanted = !is_unwanted(at->section, at->key ? key_of(line) : STR(""), unwanted);
}

void settings_copy(struct str text, const struct unwanted *unwanted, struct buf *out) {
	struct place at = { .section = STR(""), .wanted = true };

	while (text.n) {
		const char *end = memchr(text.p, '\n', text.n);
		struct str line = { text.p, end ? (size_t)(end - text.p) + 1 : text.n }, bare = trimmed(line);

		text.p += line.n;
		text.n -= line.n;
		if (bare.n && *bare.p != '#' && *bare.p != ';')
			take_line(&at, bare, (size_t)(bare.p - line.p), unwanted);
		if (at.wanted)
			buf_add(out, line.p, line.n);
	}
}
