/* See ignores.h. */

#include <stdlib.h>
#include <string.h>
#include "policy/ignores.h"

#define MARK "hallpass: ignore="

struct scan {
	struct ignores *out;
	struct str text;
	size_t at; /* start of the line */
	unsigned line;
	size_t pending; /* the first comment that waits for its line */
};

static int add(struct ignores *ignores, struct ignore ignore) {
	size_t size = ignores->size ? ignores->size * 2 : 16;
	struct ignore *list;

	if (ignores->n == ignores->size) {
		list = realloc(ignores->list, size * sizeof(*list));
		if (!list)
			return -1;
		ignores->list = list;
		ignores->size = size;
	}
	ignores->list[ignores->n++] = ignore;
	return 0;
}

static bool is_blank(char c) {
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_id(char c) {
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Where a comment begins in a line that holds the mark at `mark`: the # or // before it. -1: the mark is not in a comment. */
static int64_t comment_start(struct str line, size_t mark) {
	size_t i = mark;

	while (i > 0 && is_blank(line.p[i - 1]))
		i--;
	if (i > 0 && line.p[i - 1] == '#' && (i == 1 || is_blank(line.p[i - 2])))
		return (int64_t)i - 1;
	return i > 1 && line.p[i - 1] == '/' && line.p[i - 2] == '/' ? (int64_t)i - 2 : -1;
}

static unsigned column_at(struct str line, size_t at) {
	unsigned column = 1;

	for (size_t i = 0; i < at; i++)
		column += ((unsigned char)line.p[i] & 0xC0) != 0x80;
	return column;
}

/* The ids behind the mark, comma-separated. */
static int take_ids(struct scan *s, struct str line, size_t at, unsigned covers) {
	size_t start;

	do {
		start = at;
		while (at < line.n && is_id(line.p[at]))
			at++;
		if (add(s->out, (struct ignore){ covers, s->line, column_at(line, start), { line.p + start, at - start }, false }) < 0)
			return -1;
	} while (at < line.n && line.p[at++] == ',');
	return 0;
}

/* A line without text of its own: comments wait for the next one that has some. */
static bool is_bare(struct str line, size_t end) {
	for (size_t i = 0; i < end; i++)
		if (!is_blank(line.p[i]))
			return false;
	return true;
}

static bool is_comment(struct str line) {
	size_t i = 0;

	while (i < line.n && is_blank(line.p[i]))
		i++;
	return i == line.n || line.p[i] == '#' || (i + 1 < line.n && line.p[i] == '/' && line.p[i + 1] == '/');
}

static int scan_line(struct scan *s, struct str line) {
	const char *found = memmem(line.p, line.n, MARK, sizeof(MARK) - 1);
	size_t mark = found ? (size_t)(found - line.p) : 0;
	int64_t start = found ? comment_start(line, mark) : -1;

	if (!is_comment(line))
		for (; s->pending < s->out->n; s->pending++)
			s->out->list[s->pending].covers = s->line;
	if (start < 0)
		return 0;
	if (take_ids(s, line, mark + sizeof(MARK) - 1, s->line) < 0)
		return -1;
	if (!is_bare(line, (size_t)start))
		s->pending = s->out->n;
	return 0;
}

int ignores_find(struct ignores *ignores, struct str text) {
	struct scan s = { .out = ignores, .text = text, .line = 1 };
	const char *end;
	size_t n;

	if (!memmem(text.p, text.n, MARK, sizeof(MARK) - 1))
		return 0;
	for (; s.at < text.n; s.at += n + 1, s.line++) {
		end = memchr(text.p + s.at, '\n', text.n - s.at);
		n = end ? (size_t)(end - text.p) - s.at : text.n - s.at;
		if (scan_line(&s, (struct str){ text.p + s.at, n }) < 0)
			return -1;
	}
	return 0;
}

bool ignores_take(struct ignores *ignores, unsigned line, const char *id) {
	size_t low = 0, high = ignores->n, mid;
	bool taken = false;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (ignores->list[mid].covers < line)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < ignores->n && ignores->list[low].covers == line; low++)
		if (str_eq(ignores->list[low].id, str_of(id)))
			taken = ignores->list[low].used = true;
	return taken;
}

void ignores_fini(struct ignores *ignores) {
	free(ignores->list);
	*ignores = (struct ignores){ 0 };
}
