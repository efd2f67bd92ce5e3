/*
 * Lines of ours between two comments. See setup.h.
 *
 *	# >>> hallpass setup git >>>
 *	...
 *	# <<< hallpass setup git <<<
 *
 * What is to be undone besides these lines stands in the first of them: the end of the line above, which was missing, or the file itself.
 */

#include <stdio.h>
#include <string.h>
#include "broker/cli/setup.h"

#define BEGIN "# >>> hallpass setup "
#define END "# <<< hallpass setup "
#define AND_LINE_END ", and the end of the line above"
#define AND_FILE ", and this file"

struct block {
	size_t at, end;	    /* its lines, with the comments */
	size_t lines;	    /* those between */
	size_t lines_end;
	bool line_end, file; /* what else is ours */
	char name[256];
};

static size_t line_end(const struct buf *text, size_t at) {
	const char *end = memchr(text->data + at, '\n', text->len - at);

	return end ? (size_t)(end - text->data) + 1 : text->len;
}

static bool ends_with(const char *text, const char *end) {
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

/* A first line's name, with what it says besides taken off. */
static bool read_begin(struct block *b, const char *line, size_t n) {
	char words[sizeof(b->name)];

	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (n < strlen(BEGIN) + 4 || n >= sizeof(words) || memcmp(line, BEGIN, strlen(BEGIN)) || memcmp(line + n - 4, " >>>", 4))
		return false;
	snprintf(words, sizeof(words), "%.*s", (int)(n - strlen(BEGIN) - 4), line + strlen(BEGIN));
	b->line_end = ends_with(words, AND_LINE_END);
	b->file = ends_with(words, AND_FILE);
	words[strlen(words) - (b->line_end ? strlen(AND_LINE_END) : b->file ? strlen(AND_FILE) : 0)] = '\0';
	snprintf(b->name, sizeof(b->name), "%s", words);
	return true;
}

static unsigned line_number(const struct buf *text, size_t at) {
	unsigned n = 1;

	for (size_t i = 0; i < at; i++)
		n += text->data[i] == '\n';
	return n;
}

/* The next block from an offset on. 1: found, 0: none, -1: it has no end. */
static int next_block(const struct setup_file *file, size_t from, struct block *b, struct error *err) {
	const struct buf *text = &file->after;
	char end[sizeof(b->name) + sizeof(END) + 8];

	for (size_t at = from; at < text->len; at = line_end(text, at)) {
		if (!read_begin(b, text->data + at, line_end(text, at) - at))
			continue;
		b->at = at;
		b->lines = line_end(text, at);
		snprintf(end, sizeof(end), END "%s <<<", b->name);
		for (at = b->lines; at < text->len; at = line_end(text, at)) {
			if (text->len - at < strlen(end) || memcmp(text->data + at, end, strlen(end)))
				continue;
			b->lines_end = at;
			b->end = line_end(text, at);
			return 1;
		}
		return error_set(err, ERR_INVALID, "%s:%u: here lines of hallpass's begin, and their last, \"%s\", is missing; put it back", file->path,
				 line_number(text, b->at), end);
	}
	return 0;
}

/* What goes with the last of our blocks is said by the first of them. */
static void bequeath(struct setup_file *file, size_t at, const char *what) {
	struct buf *text = &file->after;
	struct block b = { 0 };

	if (at < text->len && read_begin(&b, text->data + at, line_end(text, at) - at) && !b.line_end && !b.file)
		setup_splice(text, at + strlen(BEGIN) + strlen(b.name), 0, what, strlen(what));
}

/* Behind a line that goes on in the next one nothing can be added. */
static int check_end(const struct setup_file *file, struct error *err) {
	size_t n = file->after.len;

	while (n && (file->after.data[n - 1] == '\n' || file->after.data[n - 1] == '\r'))
		n--;
	if (n && file->after.data[n - 1] == '\\')
		return error_set(err, ERR_INVALID, "%s: its last line ends in a backslash, so that whatever is added would belong to it", file->path);
	return 0;
}

static int append(struct setup_file *file, const char *name, const char *lines, struct error *err) {
	struct buf *text = &file->after;
	bool open = text->len && text->data[text->len - 1] != '\n';

	if (check_end(file, err) < 0)
		return -1;
	buf_addf(text, "%s" BEGIN "%s%s >>>\n", open ? "\n" : "", name, open ? AND_LINE_END : !file->before && !text->len ? AND_FILE : "");
	buf_addf(text, "%s" END "%s <<<\n", lines, name);
	return 0;
}

int setup_block_put(struct setup_file *file, const char *name, const char *lines, struct error *err) {
	struct block b = { 0 };
	int r;

	while ((r = next_block(file, b.end, &b, err)) > 0)
		if (!strcmp(b.name, name)) {
			setup_splice(&file->after, b.lines, b.lines_end - b.lines, lines, strlen(lines));
			return 0;
		}
	return r < 0 ? -1 : append(file, name, lines, err);
}

static void take_out(struct setup_file *file, const struct block *b) {
	size_t at = b->at - (b->line_end && b->end == file->after.len && b->at > 0);

	setup_splice(&file->after, at, b->end - at, "", 0);
	if (b->line_end || b->file)
		bequeath(file, at, b->line_end ? AND_LINE_END : AND_FILE);
	if (b->file && !file->after.len)
		file->gone = true;
}

int setup_block_remove(struct setup_file *file, const char *name, bool prefix, struct error *err) {
	struct block b = { 0 };
	size_t from = 0;
	int r;

	while ((r = next_block(file, from, &b, err)) > 0) {
		from = b.end;
		if (prefix ? strncmp(b.name, name, strlen(name)) : strcmp(b.name, name))
			continue;
		from = b.at - (b.line_end && b.at > 0);
		take_out(file, &b);
	}
	return r;
}
