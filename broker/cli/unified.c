/* What would change, as a unified diff. See setup.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/cli/setup.h"
#include "hallpass/cleanup.h"

#define CONTEXT 3
#define MAX_CELLS ((size_t)16 << 20)

struct lines {
	struct str *line; /* without their ends */
	size_t *shown;	  /* how much of each may be seen */
	size_t n;
	bool open; /* the last has no end */
};

enum op_kind { OP_KEEP, OP_DROP, OP_ADD };
struct op {
	enum op_kind kind;
	size_t a, b; /* the lines that it is about, or stands before */
};

/* Other people's secrets stand in these files, near what we change: their names are shown, their values are not. */
static size_t shown_length(struct str line) {
	static const char *const words[] = { "auth", "token", "password", "passwd", "secret", "-data", "_key", "apikey", "extraheader" };
	size_t shown = SIZE_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t at = 0; at + strlen(words[i]) <= line.n && at < shown; at++) {
			if (strncasecmp(line.p + at, words[i], strlen(words[i])))
				continue;
			while (at < line.n && line.p[at] != ':' && line.p[at] != '=')
				at++;
			shown = at < line.n && at + 1 < shown ? at + 1 : shown;
		}
	return shown;
}

static size_t indent_of(struct str line) {
	size_t n = 0;

	while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++;
	return n;
}

/* A value goes on in the lines below that are indented deeper, unless it is an object or a list of JSON's, whose members speak for themselves. */
static void hide(struct lines *lines) {
	size_t below = SIZE_MAX;

	for (size_t i = 0; i < lines->n; i++) {
		struct str line = lines->line[i];
		size_t indent = indent_of(line), shown = shown_length(line);

		if (indent > below && indent < line.n) {
			lines->shown[i] = indent;
			continue;
		}
		below = shown == SIZE_MAX || strchr("{[", line.p[line.n - 1]) ? SIZE_MAX : indent;
		lines->shown[i] = shown < line.n ? shown : line.n;
	}
}

/* ours: nobody else's secret is among them. False: no memory. */
static bool split(const char *text, size_t n, bool ours, struct lines *out) {
	*out = (struct lines){ .line = calloc(n + 1, sizeof(struct str)), .shown = calloc(n + 1, sizeof(size_t)) };
	if (!out->line || !out->shown)
		return false;
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t len = end ? (size_t)(end - text) - at : n - at;

		out->shown[out->n] = len;
		out->line[out->n++] = (struct str){ text + at, len };
		out->open = !end;
		at += len + 1;
	}
	if (!ours)
		hide(out);
	return true;
}

static void lines_fini(struct lines *lines) {
	free(lines->line);
	free(lines->shown);
}

static bool same(const struct lines *a, size_t i, const struct lines *b, size_t j) {
	bool open_a = a->open && i + 1 == a->n, open_b = b->open && j + 1 == b->n;

	return str_eq(a->line[i], b->line[j]) && open_a == open_b;
}

/*
 * For each pair of places the length of what is common behind them (LCS), between what is the same at both ends. Where that were too large a
 * table, NULL: all between is dropped and added.
 */
static uint16_t *common_behind(const struct lines *a, const struct lines *b, size_t from, size_t to_a, size_t to_b) {
	size_t rows = to_a - from + 1, columns = to_b - from + 1;
	uint16_t *table = rows < UINT16_MAX && rows * columns <= MAX_CELLS ? calloc(rows * columns, sizeof(*table)) : NULL;

	for (size_t i = rows - 1; table && i-- > 0;)
		for (size_t j = columns - 1; j-- > 0;) {
			uint16_t down = table[(i + 1) * columns + j], right = table[i * columns + j + 1];

			table[i * columns + j] = same(a, from + i, b, from + j) ? (uint16_t)(table[(i + 1) * columns + j + 1] + 1)
									      : down > right ? down : right;
		}
	return table;
}

static size_t compare(const struct lines *a, const struct lines *b, struct op *ops) {
	size_t from = 0, to_a = a->n, to_b = b->n, i = 0, j = 0, n = 0;
	uint16_t *table;

	while (from < a->n && from < b->n && same(a, from, b, from))
		from++;
	while (to_a > from && to_b > from && same(a, to_a - 1, b, to_b - 1))
		to_a--, to_b--;
	table = common_behind(a, b, from, to_a, to_b);
	while (i < a->n || j < b->n) {
		size_t columns = to_b - from + 1, at = (i - from) * columns + j - from;
		bool between = i >= from && j >= from && (i < to_a || j < to_b);

		if (!between || (table && i < to_a && j < to_b && same(a, i, b, j)))
			ops[n++] = (struct op){ OP_KEEP, i++, j++ };
		else if (i < to_a && (j == to_b || !table || table[at + columns] >= table[at + 1]))
			ops[n++] = (struct op){ OP_DROP, i++, j };
		else
			ops[n++] = (struct op){ OP_ADD, i, j++ };
	}
	free(table);
	return n;
}

static void print_line(const struct cli *cli, const struct lines *of, size_t i, enum op_kind kind) {
	static const struct {
		char sign;
		enum color color;
	} looks[] = { [OP_KEEP] = { ' ', COLOR_NONE }, [OP_DROP] = { '-', COLOR_RED }, [OP_ADD] = { '+', COLOR_GREEN } };
	struct str line = of->line[i];
	size_t n = of->shown[i];
	char text[2048];

	snprintf(text, sizeof(text), "%.*s", (int)n, line.p);
	printf("%s%c%.*s", out_color(cli, looks[kind].color), looks[kind].sign, (int)strspn(text, "\t"), text); /* tabs are layout, not mischief */
	printf("%s%s%s\n", out_safe(text + strspn(text, "\t")), n < line.n ? " …" : "", out_color(cli, COLOR_NONE));
	if (of->open && i + 1 == of->n)
		puts("\\ No newline at end of file");
}

static void print_range(char sign, size_t first, size_t n) {
	printf(" %c%zu,%zu", sign, n ? first + 1 : first, n);
}

static void print_hunk(const struct cli *cli, const struct lines *a, const struct lines *b, const struct op *ops, size_t from, size_t to) {
	size_t in_a = 0, in_b = 0;

	for (size_t i = from; i < to; i++) {
		in_a += ops[i].kind != OP_ADD;
		in_b += ops[i].kind != OP_DROP;
	}
	printf("%s@@", out_color(cli, COLOR_CYAN));
	print_range('-', ops[from].a, in_a);
	print_range('+', ops[from].b, in_b);
	printf(" @@%s\n", out_color(cli, COLOR_NONE));
	for (size_t i = from; i < to; i++)
		print_line(cli, ops[i].kind == OP_ADD ? b : a, ops[i].kind == OP_ADD ? ops[i].b : ops[i].a, ops[i].kind);
}

static void print_hunks(const struct cli *cli, const struct lines *a, const struct lines *b, const struct op *ops, size_t n) {
	for (size_t i = 0, quiet; i < n; i++) {
		size_t from = i > CONTEXT ? i - CONTEXT : 0, to = i;

		if (ops[i].kind == OP_KEEP)
			continue;
		for (quiet = 0; to < n && quiet <= 2 * CONTEXT; to++)
			quiet = ops[to].kind == OP_KEEP ? quiet + 1 : 0;
		to -= quiet > CONTEXT ? quiet - CONTEXT : 0;
		print_hunk(cli, a, b, ops, from, to);
		i = to;
	}
}

void diff_print(const struct cli *cli, const struct setup_file *file) {
	struct lines a, b;
	struct op *ops;
	bool whole = split(file->before ? file->before : "", file->before ? file->n_before : 0, file->ours, &a);

	whole &= split(file->after.data ? file->after.data : "", file->gone ? 0 : file->after.len, file->ours, &b);
	ops = calloc(a.n + b.n + 1, sizeof(*ops));
	if (whole && ops) {
		printf("%s--- %s\n+++ %s%s\n", out_color(cli, COLOR_BOLD), file->before ? setup_shown(file->path) : "/dev/null",
		       file->gone ? "/dev/null" : setup_shown(file->path), out_color(cli, COLOR_NONE));
		print_hunks(cli, &a, &b, ops, compare(&a, &b, ops));
	}
	free(ops);
	lines_fini(&a);
	lines_fini(&b);
}
