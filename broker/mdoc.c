/* See mdoc.h. Source: mdoc(7), roff(7). */

#include <stddef.h>
#include <string.h>
#include "broker/mdoc.h"
#include "hallpass/cleanup.h"

static const struct {
	const char *text, *mdoc;
} escapes[] = {
	{ "\\", "\\e" }, { "…", "..." }, { "--", "\\-\\-" }, { ". ", ".\n" },
};

static size_t escape_at(const char *s) {
	size_t i = 0;

	while (i < ARRAY_SIZE(escapes) && strncmp(s, escapes[i].text, strlen(escapes[i].text)))
		i++;
	return i;
}

void mdoc_text(const char *text, struct buf *out) {
	for (const char *s = text; *s;) {
		size_t e = escape_at(s);

		if ((s == text || s[-1] == '\n') && (*s == '.' || *s == '\''))
			buf_adds(out, "\\&");
		if (e < ARRAY_SIZE(escapes)) {
			buf_adds(out, escapes[e].mdoc);
			s += strlen(escapes[e].text);
		} else {
			buf_addc(out, *s++);
		}
	}
	buf_addc(out, '\n');
}
