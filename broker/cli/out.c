/* What people see. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "broker/status.h"
#include "hallpass/cleanup.h"
#include "hallpass/utf8.h"

static const char *const sequences[] = {
	[COLOR_NONE] = "\033[0m",  [COLOR_BOLD] = "\033[1m",	[COLOR_DIM] = "\033[2m",  [COLOR_RED] = "\033[31m",
	[COLOR_GREEN] = "\033[32m", [COLOR_YELLOW] = "\033[33m", [COLOR_CYAN] = "\033[36m",
};

const char *out_color(const struct cli *cli, enum color color) {
	return cli->color ? sequences[color] : "";
}

const char *out_color_err(const struct cli *cli, enum color color) {
	return cli->color_err ? sequences[color] : "";
}

const char *out_safe(const char *text) {
	static char space[4][4096];
	static unsigned turn;
	char *out = space[turn++ % 4];
	size_t n = 0, len;

	for (const unsigned char *u = (const unsigned char *)text; *u && n < sizeof(space[0]) - 8; u += len) {
		len = *u < 0x20 || *u == 0x7F ? 0 : utf8_length(u, strnlen((const char *)u, 4));
		/* C1 controls are two-byte sequences that a terminal may obey. */
		if (len == 2 && u[0] == 0xC2 && u[1] < 0xA0)
			len = 0;
		if (len) {
			memcpy(out + n, u, len);
			n += len;
		} else {
			n += (size_t)sprintf(out + n, "\\x%02x", *u);
			len = 1;
		}
	}
	out[n] = '\0';
	return out;
}

int out_json(const json_t *json) {
	char *text = json_dumps(json, isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);

	if (text)
		puts(text);
	free(text);
	return text ? API_EXIT_OK : API_EXIT_FAILED;
}

/* --- times */

void out_span(int64_t s, struct buf *out) {
	if (s < 0)
		buf_addc(out, '-');
	s = s < 0 ? -s : s;
	if (s >= 86400)
		buf_addf(out, s % 86400 / 3600 ? "%lldd %lldh" : "%lldd", (long long)(s / 86400),
			 (long long)(s % 86400 / 3600));
	else if (s >= 3600)
		buf_addf(out, s % 3600 / 60 ? "%lldh %lldm" : "%lldh", (long long)(s / 3600), (long long)(s % 3600 / 60));
	else if (s >= 60)
		buf_addf(out, s % 60 && s < 600 ? "%lldm %llds" : "%lldm", (long long)(s / 60), (long long)(s % 60));
	else
		buf_addf(out, "%llds", (long long)s);
}

void out_when(int64_t at, int64_t now, struct buf *out) {
	time_t t = (time_t)at, n = (time_t)now;
	int64_t apart = at > now ? at - now : now - at;
	struct tm then, today;
	const char *form;
	char text[64];

	localtime_r(&t, &then);
	localtime_r(&n, &today);
	if (then.tm_year == today.tm_year && then.tm_yday == today.tm_yday)
		form = apart < 600 ? "%H:%M:%S" : "%H:%M";
	else
		form = apart < 6 * 86400 ? "%a %H:%M" : "%Y-%m-%d %H:%M";
	if (strftime(text, sizeof(text), form, &then))
		buf_adds(out, text);
}

/* --- numbers */

void out_number(int64_t n, struct buf *out) {
	if (n >= 1000) {
		out_number(n / 1000, out);
		buf_addf(out, ",%03d", (int)(n % 1000));
	} else {
		buf_addi(out, n);
	}
}

void out_count(int64_t n, const char *one, const char *many, struct buf *out) {
	out_number(n, out);
	buf_addf(out, " %s", n == 1 ? one : many);
}

/* --- the terminal */

size_t out_width(int fd) {
	struct winsize size;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* Columns a text takes on a terminal, counting code points. */
static size_t text_width(const char *s, size_t n) {
	size_t width = 0;

	for (; n && *s; s++, n--)
		width += ((unsigned char)*s & 0xC0) != 0x80;
	return width;
}

void out_folded(FILE *f, int indent, const char *text) {
	size_t width = out_width(fileno(f)), at = 0;

	while (*text) {
		size_t n = strcspn(text, " "), w = text_width(text, n);

		if (width && at && at + 1 + w >= width) {
			fprintf(f, "\n%*s", indent, "");
			at = (size_t)indent;
		} else if (at) {
			fputc(' ', f);
			at++;
		} else {
			at = (size_t)indent; /* the caller has written so much */
		}
		fwrite(text, 1, n, f);
		at += w;
		text += n + (text[n] == ' ');
	}
	fputc('\n', f);
}

static bool terminal_knows_utf8(void) {
	const char *names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "UTF-8") || strcasestr(value, "UTF8");
	}
	return false;
}

const char *out_mark(enum mark mark) {
	static const char *const marks[][2] = {
		[MARK_GOOD] = { "+", "✓" },
		[MARK_BAD] = { "x", "✗" },
		[MARK_NEUTRAL] = { "-", "·" },
	};

	return marks[mark][terminal_knows_utf8()];
}

/* Like the broker's own answers, so that a program has one shape to read. */
static void json_error(enum error_code code, const char *message, const char *hint) {
	json_t *json = json_pack("{s:{s:i, s:s, s:s, s:s*}}", "error", "code", status_of(code)->http, "message", message,
				 "status", status_of(code)->name, "hint", hint);

	if (json)
		out_json(json);
	json_decref(json);
}

void out_error(const struct cli *cli, enum error_code code, const char *kind, const char *message, const char *hint) {
	if (cli->json) {
		json_error(code, message, hint);
		return;
	}
	fflush(stdout);
	fprintf(stderr, "hallpass: %s%s%s: %s\n", out_color_err(cli, COLOR_RED), kind, out_color_err(cli, COLOR_NONE),
		out_safe(message));
	if (hint)
		fprintf(stderr, "%shint: %s%s\n", out_color_err(cli, COLOR_DIM), out_safe(hint),
			out_color_err(cli, COLOR_NONE));
}

/* --- tables */

#define TABLE_INDENT 4	    /* of a row's further lines */
#define TABLE_LAST_MIN 12 /* the last column may run over the edge, but not from its very start */

void table_init(struct table *t, const struct cli *cli, const char *const *heads, size_t columns) {
	*t = (struct table){ .cli = cli, .columns = columns, .cells = BUF_INIT(1 << 22) };
	for (size_t i = 0; i < columns; i++)
		table_add(t, COLOR_DIM, heads[i]);
}

void table_add(struct table *t, enum color color, const char *text) {
	if (t->n == ARRAY_SIZE(t->colors) / t->columns * t->columns)
		table_print(t);
	t->colors[t->n++] = color;
	buf_adds(&t->cells, out_safe(text));
	buf_add(&t->cells, "", 1);
}

static void table_measure(struct table *t) {
	const char *cell = t->cells.data;

	for (size_t i = 0; i < t->n; i++, cell += strlen(cell) + 1) {
		size_t *width = &t->widths[i % t->columns], w = text_width(cell, SIZE_MAX);

		if (w > *width)
			*width = w;
	}
}

/* Before which columns a row goes on in a new line. */
static void table_fold(const struct table *t, bool *folds) {
	size_t width = out_width(STDOUT_FILENO), at = 0;

	for (size_t i = 0; i < t->columns; i++) {
		bool last = i + 1 == t->columns;
		size_t w = last && t->widths[i] > TABLE_LAST_MIN ? TABLE_LAST_MIN : t->widths[i];

		folds[i] = width && i && at + w > width;
		at = (folds[i] ? TABLE_INDENT : at) + t->widths[i] + 2;
	}
}

static bool nothing_left(const char *const *cells, const bool *folds, size_t from, size_t columns) {
	for (size_t i = from; i < columns && (i == from || !folds[i]); i++)
		if (*cells[i])
			return false;
	return true;
}

static void print_row(const struct table *t, const char *const *cells, const enum color *colors, const bool *folds) {
	size_t gap = 0; /* blanks owed before the next cell that has a text */

	for (size_t i = 0; i < t->columns; i++) {
		if (folds[i] && nothing_left(cells, folds, i, t->columns)) {
			while (i + 1 < t->columns && !folds[i + 1])
				i++;
			continue;
		}
		if (folds[i]) {
			putchar('\n');
			gap = TABLE_INDENT;
		}
		if (*cells[i]) {
			printf("%*s%s%s%s", (int)gap, "", out_color(t->cli, colors[i]), cells[i],
			       out_color(t->cli, COLOR_NONE));
			gap = 0;
		}
		gap += t->widths[i] - text_width(cells[i], SIZE_MAX) + 2;
	}
	putchar('\n');
}

void table_print(struct table *t) {
	bool folds[TABLE_MAX_COLUMNS];
	const char *cells[TABLE_MAX_COLUMNS], *cell = t->cells.data;

	table_measure(t);
	table_fold(t, folds);
	for (size_t i = 0; i < t->n; i++, cell += strlen(cell) + 1) {
		cells[i % t->columns] = cell;
		if ((i + 1) % t->columns == 0)
			print_row(t, cells, t->colors + i + 1 - t->columns, folds);
	}
	buf_fini(&t->cells);
	t->cells = BUF_INIT(1 << 22);
	t->n = 0;
}
