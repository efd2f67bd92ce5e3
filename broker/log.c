/* See log.h. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/log.h"
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"

#define LINES_PER_SECOND 200
#define LINE_MAX_BYTES 4096

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void log_init(struct log *log, int fd, enum log_level level) {
	*log = (struct log){ .fd = fd, .level = level };
}

int log_level_parse(const char *name, enum log_level *out) {
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (!strcmp(name, level_names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

static bool log_admit(struct log *log, int64_t second) {
	if (log->window != second) {
		log->window = second;
		log->in_window = 0;
	}
	if (log->in_window++ < LINES_PER_SECOND)
		return true;
	log->dropped++;
	return false;
}

static void log_add_escaped(struct buf *line, const char *text) {
	for (const unsigned char *u = (const unsigned char *)text; *u; u++) {
		if (*u >= 0x20 && *u < 0x7F)
			buf_addc(line, (char)*u);
		else
			buf_addf(line, "\\x%02x", *u);
	}
}

void log_event(struct log *log, enum log_level level, const char *event, const char *fmt, ...) {
	struct instant now;
	char text[LINE_MAX_BYTES], escaped[4 * LINE_MAX_BYTES + 512]; /* every byte, and the head */
	struct buf line = BUF_ON(escaped); /* that memory is out must be told, too */
	va_list ap;
	ssize_t r;

	if (level > log->level)
		return;
	now = clock_now();
	if (!log_admit(log, now.s))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_add_time(&line, now.s);
	line.len--; /* the Z goes behind the milliseconds */
	buf_addf(&line, ".%03uZ %s %s ", now.ns / 1000000, level_names[level], event);
	log_add_escaped(&line, text);
	if (log->dropped)
		buf_addf(&line, " dropped=%llu", (unsigned long long)log->dropped);
	log->dropped = 0;
	buf_addc(&line, '\n');
	/* Nobody to tell if stderr is gone; the log is no promise. */
	r = write(log->fd, line.data, line.len);
	(void)r;
}
