/* What would change, as a unified diff. See setup.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/cli/setup.h"
#include "hallpass/cleanup.h"

#define CONTEXT 3

struct lines {
	struct str *line; /* without their ends */
	size_t n;
	bool open; /* the last has no end */
};

enum op_kind { OP_KEEP, OP_DROP, OP_ADD };
struct op {
	enum op_kind kind;
	size_t a, b; /* the lines that it is about, or stands before */
};

static void split(const char *text, size_t n, struct lines *out) {
	*out = (struct lines){ .line = calloc(n + 1, sizeof(struct str)) };
	for (size_t at = 0; out->line && at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t len = end ? (size_t)(end - text) - at : n - at;

		out->line[out->n++] = (struct str){ text + at, len };
		out->open = !end;
		at += len + 1;
	}
}

static bool same(const struct lines *a, size_t i, const struct lines *b, size_t j) {
	bool open_a = a->open && i + 1 == a->n, open_b = b->open && j + 1 == b->n;

	return str_eq(a->line[i], b->line[j]) && open_a == open_b;
}

/* How many lines of each are to be left behind until they are alike again: as few as can be. */
static void resync(const struct lines *a, size_t i, const struct lines *b, size_t j, size_t *drop, size_t *add) {
	size_t left = a->n - i + b->n - j;

	for (size_t sum = 1; sum <= left; sum++)
		for (*drop = sum > b->n - j ? sum - (b->n - j) : 0; *drop <= sum && *drop <= a->n - i; ++*drop) {
			*add = sum - *drop;
			if (i + *drop == a->n && j + *add == b->n)
				return;
			if (i + *drop < a->n && j + *add < b->n && same(a, i + *drop, b, j + *add))
				return;
		}
}

static size_t compare(const struct lines *a, const struct lines *b, struct op *ops) {
	size_t i = 0, j = 0, n = 0, drop, add;

	while (i < a->n || j < b->n) {
		if (i < a->n && j < b->n && same(a, i, b, j)) {
			ops[n++] = (struct op){ OP_KEEP, i++, j++ };
			continue;
		}
		resync(a, i, b, j, &drop, &add);
		while (drop--)
			ops[n++] = (struct op){ OP_DROP, i++, j };
		while (add--)
			ops[n++] = (struct op){ OP_ADD, i, j++ };
	}
	return n;
}

/* Other people's secrets stand in these files, near what we change: names are shown, values are not. */
static size_t shown_length(struct str line) {
	static const char *const words[] = { "auth", "token", "password", "passwd", "secret", "-data", "_key", "apikey" };
	size_t name = 0;

	while (name < line.n && line.p[name] != ':' && line.p[name] != '=')
		name++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t at = 0; at + strlen(words[i]) <= name; at++)
			if (!strncasecmp(line.p + at, words[i], strlen(words[i])))
				return name < line.n ? name + 1 : name;
	return line.n;
}

static void print_line(const struct cli *cli, const struct lines *of, size_t i, enum op_kind kind) {
	static const struct {
		char sign;
		enum color color;
	} looks[] = { [OP_KEEP] = { ' ', COLOR_NONE }, [OP_DROP] = { '-', COLOR_RED }, [OP_ADD] = { '+', COLOR_GREEN } };
	struct str line = of->line[i];
	size_t n = kind == OP_KEEP ? shown_length(line) : line.n;
	char text[2048];

	snprintf(text, sizeof(text), "%.*s", (int)n, line.p);
	for (char *tab = strchr(text, '\t'); tab && tab == text + strspn(text, "\t"); tab = strchr(text, '\t'))
		break;
	printf("%s%c", out_color(cli, looks[kind].color), looks[kind].sign);
	for (const char *c = text; *c == '\t'; c++)
		putchar('\t');
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

	split(file->before ? file->before : "", file->before ? file->n_before : 0, &a);
	split(file->after.data ? file->after.data : "", file->gone ? 0 : file->after.len, &b);
	ops = calloc(a.n + b.n + 1, sizeof(*ops));
	if (a.line && b.line && ops) {
		printf("%s--- %s\n+++ %s%s\n", out_color(cli, COLOR_BOLD), file->before ? out_safe(file->path) : "/dev/null",
		       file->gone ? "/dev/null" : out_safe(file->path), out_color(cli, COLOR_NONE));
		print_hunks(cli, &a, &b, ops, compare(&a, &b, ops));
	}
	free(ops);
	free(a.line);
	free(b.line);
}
