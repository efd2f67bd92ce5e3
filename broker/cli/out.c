/* What people see. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/cli.h"
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

void out_span(int64_t s, struct buf *out) {
	if (s < 0)
		buf_addc(out, '-');
	s = s < 0 ? -s : s;
	if (s >= 86400)
		buf_addf(out, "%lldd %lldh", (long long)(s / 86400), (long long)(s % 86400 / 3600));
	else if (s >= 3600)
		buf_addf(out, s % 3600 / 60 ? "%lldh %lldm" : "%lldh", (long long)(s / 3600), (long long)(s % 3600 / 60));
	else if (s >= 60)
		buf_addf(out, s % 60 && s < 600 ? "%lldm %llds" : "%lldm", (long long)(s / 60), (long long)(s % 60));
	else
		buf_addf(out, "%llds", (long long)s);
}

void out_error(const struct cli *cli, const char *kind, const char *message, const char *hint) {
	fflush(stdout);
	fprintf(stderr, "hallpass: %s%s%s: %s\n", out_color_err(cli, COLOR_RED), kind, out_color_err(cli, COLOR_NONE),
		out_safe(message));
	if (hint)
		fprintf(stderr, "%shint: %s%s\n", out_color_err(cli, COLOR_DIM), out_safe(hint),
			out_color_err(cli, COLOR_NONE));
}

/* --- tables */

void table_init(struct table *t, const struct cli *cli, size_t columns) {
	t->cli = cli;
	t->columns = columns;
	t->n = 0;
	t->cells = BUF_INIT(1 << 22);
}

void table_add(struct table *t, enum color color, const char *text) {
	if (t->n == sizeof(t->colors) / sizeof(t->colors[0]))
		table_print(t);
	t->colors[t->n++] = color;
	buf_adds(&t->cells, out_safe(text));
	buf_add(&t->cells, "", 1);
}

/* Columns a text takes on a terminal, counting code points. */
static size_t text_width(const char *s) {
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

void table_print(struct table *t) {
	size_t widths[16] = { 0 };
	const char *cell = t->cells.data;

	for (size_t i = 0; i < t->n; i++, cell += strlen(cell) + 1)
		if (text_width(cell) > widths[i % t->columns])
			widths[i % t->columns] = text_width(cell);
	cell = t->cells.data;
	for (size_t i = 0; i < t->n; i++, cell += strlen(cell) + 1) {
		bool last = (i + 1) % t->columns == 0;

		printf("%s%s%s", out_color(t->cli, t->colors[i]), cell, out_color(t->cli, COLOR_NONE));
		if (last)
			putchar('\n');
		else
			printf("%*s", (int)(widths[i % t->columns] - text_width(cell) + 2), "");
	}
	buf_fini(&t->cells);
	t->n = 0;
}
