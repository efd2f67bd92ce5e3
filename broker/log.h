#pragma once

/*
 * The operator's log: one escaped key=value line per event on stderr, rate-limited.
 *
 * Not the audit log (audit/): nothing here is a promise. Never give it a secret.
 *     log_info(log, "listening", "socket=%s mode=%04o", path, mode);
 * prints  2026-11-24T15:04:05.123Z info listening socket=/run/hallpass/hallpass.sock mode=0660
 * The formatted tail is escaped as a whole: control characters and bytes over 0x7E come out as \xHH.
 */

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log {
	int fd;
	enum log_level level;
	int64_t window;	    /* rate limit: the second being counted … */
	unsigned in_window; /* … lines in it … */
	uint64_t dropped;   /* … and lines not written since the last one that was */
};

void log_init(struct log *log, int fd, enum log_level level);
__attribute__((format(printf, 4, 5))) void log_event(struct log *log, enum log_level level, const char *event,
						     const char *fmt, ...);
int log_level_parse(const char *name, enum log_level *out);

#define log_error(log, event, ...) log_event(log, LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(log, event, ...) log_event(log, LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_info(log, event, ...) log_event(log, LOG_LEVEL_INFO, event, __VA_ARGS__)
/* On every request's way: costs a comparison where it says nothing. */
#define log_debug(log, event, ...)                                                                                     \
	do {                                                                                                           \
		if ((log)->level >= LOG_LEVEL_DEBUG)                                                                   \
			log_event(log, LOG_LEVEL_DEBUG, event, __VA_ARGS__);                                           \
	} while (0)
