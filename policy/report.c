/* Findings, printed for people. See include/hallpass/policy.h. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
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

/* What takes two columns on a terminal, and what takes none: the blocks that people write in. Source: UAX #11, UAX #44. */
static const struct {
	uint32_t from, to;
	unsigned columns;
} widths[] = {
	{ 0x300, 0x36F, 0 },	 { 0x483, 0x489, 0 },	  { 0x591, 0x5BD, 0 },	   { 0x610, 0x61A, 0 },	    { 0x64B, 0x65F, 0 },
	{ 0x1100, 0x115F, 2 },	 { 0x1AB0, 0x1AFF, 0 },	  { 0x1DC0, 0x1DFF, 0 },   { 0x200B, 0x200F, 0 },   { 0x20D0, 0x20FF, 0 },
	{ 0x231A, 0x231B, 2 },	 { 0x23E9, 0x23EC, 2 },	  { 0x25FD, 0x25FE, 2 },   { 0x2614, 0x2615, 2 },   { 0x2705, 0x2705, 2 },
	{ 0x274C, 0x274C, 2 },	 { 0x2753, 0x2757, 2 },	  { 0x2E80, 0x303E, 2 },   { 0x3041, 0x3247, 2 },   { 0x3250, 0x4DBF, 2 },
	{ 0x4E00, 0xA4CF, 2 },	 { 0xA960, 0xA97C, 2 },	  { 0xAC00, 0xD7A3, 2 },   { 0xF900, 0xFAFF, 2 },   { 0xFE00, 0xFE0F, 0 },
	{ 0xFE10, 0xFE19, 2 },	 { 0xFE20, 0xFE2F, 0 },	  { 0xFE30, 0xFE6F, 2 },   { 0xFF00, 0xFF60, 2 },   { 0xFFE0, 0xFFE6, 2 },
	{ 0x17000, 0x18CFF, 2 }, { 0x1B000, 0x1B2FF, 2 }, { 0x1F300, 0x1F64F, 2 }, { 0x1F680, 0x1F6FF, 2 }, { 0x1F900, 0x1F9FF, 2 },
	{ 0x1FA70, 0x1FAFF, 2 }, { 0x20000, 0x3FFFD, 2 }, { 0xE0100, 0xE01EF, 0 },
};

/* The code point in n well-formed bytes; bytes that are not count as themselves. */
static uint32_t code_point(const char *s, size_t n) {
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c = n == 1 ? u[0] : u[0] & (0xFFu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (u[i] & 0x3F);
	return c;
}

static unsigned columns_of(const char *s, size_t n) {
	uint32_t c = n >= 1 && n <= 4 ? code_point(s, n) : '?';

	for (size_t i = 0; i < ARRAY_SIZE(widths) && c >= widths[i].from; i++)
		if (c <= widths[i].to)
			return widths[i].columns;
	return 1;
}

static size_t next_character(struct str line, size_t at) {
	do
		at++;
	while (at < line.n && ((unsigned char)line.p[at] & 0xC0) == 0x80);
	return at;
}

/* Of a long line the part around the column. Control characters become blanks. The caret stands under the character, however
 * many columns those before it take. */
static void print_source(struct str line, unsigned column, struct buf *out) {
	unsigned first = column > MAX_SHOWN / 2 ? column - MAX_SHOWN / 2 : 1, c = 1, before = 0;
	size_t at = 0, next;

	buf_adds(out, "  | ");
	for (; at < line.n && c < first + MAX_SHOWN; at = next, c++) {
		next = next_character(line, at);
		if (c < first)
			continue;
		before += c < column ? columns_of(line.p + at, next - at) : 0;
		if ((unsigned char)line.p[at] < 0x20 || line.p[at] == 0x7F)
			buf_addc(out, ' ');
		else
			buf_add(out, line.p + at, next - at);
	}
	buf_adds(out, "\n  | ");
	before += column > c ? column - c : 0; /* behind the end of the line */
	while (before--)
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

static void print_more(size_t n, const char *what, const char *name, struct buf *out) {
	if (n)
		buf_addf(out, "%s: and %zu more %s%s\n", name, n, what, n == 1 ? "" : "s");
}

void policy_report_print(const struct policy_report *report, const char *name, struct str text, bool colour,
			 struct buf *out) {
	struct place place = { .text = text, .line = 1 };

	if (text.n >= 3 && !memcmp(text.p, "\xEF\xBB\xBF", 3)) /* a byte order mark has no column */
		place.text = (struct str){ text.p + 3, text.n - 3 };
	for (size_t i = 0; i < report->n; i++)
		if (report->findings[i].severity != POLICY_NOTE)
			print_finding(&report->findings[i], name, &place, colour, out);
	print_more(report->more_errors, "error", name, out);
	print_more(report->more_warnings, "warning", name, out);
	if (report->tests_run)
		buf_addf(out, "%zu of %zu tests passed\n", report->tests_run - report->tests_failed, report->tests_run);
	if (report->invariants_run)
		buf_addf(out, "%zu of %zu invariants hold\n", report->invariants_run - report->invariants_failed, report->invariants_run);
}
