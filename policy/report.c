/* Findings, printed for people. See include/hallpass/policy.h. */

#include <stdlib.h>
#include "hallpass/policy.h"

#define MAX_SHOWN 160 /* columns of a source line */
#define RED "\x1b[1;31m"
#define YELLOW "\x1b[1;33m"
#define BOLD "\x1b[1m"
#define PLAIN "\x1b[0m"

void policy_report_fini(struct policy_report *report) {
	for (size_t i = 0; i < report->n; i++) {
		free(report->findings[i].message);
		free(report->findings[i].fix);
	}
	free(report->findings);
	*report = (struct policy_report){ 0 };
}

/* Findings come in order of their lines, so that the text is walked once. */
struct place {
	struct str text;
	size_t at; /* start of line */
	unsigned line;
};

static struct str line_of(struct place *place, unsigned line) {
	const char *end, *start;

	if (line < place->line) {
		place->at = 0;
		place->line = 1;
	}
	for (; place->line < line; place->line++) {
		end = memchr(place->text.p + place->at, '\n', place->text.n - place->at);
		if (!end)
			return STR("");
		place->at = (size_t)(end - place->text.p) + 1;
	}
	start = place->text.p + place->at;
	end = place->text.n > place->at ? memchr(start, '\n', place->text.n - place->at) : NULL;
	return (struct str){ start, end ? (size_t)(end - start) : place->text.n - place->at };
}

static size_t next_character(struct str line, size_t at) {
	do
		at++;
	while (at < line.n && ((unsigned char)line.p[at] & 0xC0) == 0x80);
	return at;
}

/* Of a long line the part around the column. Control characters become blanks. */
static void print_source(struct str line, unsigned column, struct buf *out) {
	unsigned first = column > MAX_SHOWN / 2 ? column - MAX_SHOWN / 2 : 1, c = 1;
	size_t at = 0, next;

	buf_adds(out, "  | ");
	for (; at < line.n && c < first + MAX_SHOWN; at = next, c++) {
		next = next_character(line, at);
		if (c < first)
			continue;
		if ((unsigned char)line.p[at] < 0x20 || line.p[at] == 0x7F)
			buf_addc(out, ' ');
		else
			buf_add(out, line.p + at, next - at);
	}
	buf_adds(out, "\n  | ");
	for (c = first; c < column; c++)
		buf_addc(out, ' ');
	buf_adds(out, "^\n");
}

static void print_finding(const struct policy_finding *f, const char *name, struct place *place, bool colour,
			  struct buf *out) {
	bool error = f->severity == POLICY_ERROR;

	buf_addf(out, "%s%s:%u:%u: %s%s:%s %s [%s]\n", colour ? BOLD : "", name, f->line, f->column,
		 !colour ? ""
		 : error ? RED
			 : YELLOW,
		 error ? "error" : "warning", colour ? PLAIN : "", f->message, f->id);
	print_source(line_of(place, f->line), f->column, out);
	if (f->fix)
		buf_addf(out, "  = %s\n", f->fix);
}

void policy_report_print(const struct policy_report *report, const char *name, struct str text, bool colour,
			 struct buf *out) {
	struct place place = { .text = text, .line = 1 };

	if (text.n >= 3 && !memcmp(text.p, "\xEF\xBB\xBF", 3)) /* a byte order mark has no column */
		place.text = (struct str){ text.p + 3, text.n - 3 };
	for (size_t i = 0; i < report->n; i++)
		print_finding(&report->findings[i], name, &place, colour, out);
	if (report->tests_run)
		buf_addf(out, "%zu of %zu tests passed\n", report->tests_run - report->tests_failed, report->tests_run);
}
