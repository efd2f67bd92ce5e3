#pragma once

/*
 * libcurl's handles: made for one origin (scheme, host and port), and used again for it. Private to fetch.c.
 *
 * To make one costs more than all else of an exchange: two dozen options, the URL, libcurl's own state. So what is the same
 * for each exchange with an origin (whom to trust, by which way, what libcurl must not do by itself) is set once, when a handle
 * is made, and a handle never calls another origin. What belongs to an exchange (path, header lines, body, times, where its
 * answer goes) is fetch.c's to set; handle_put() takes all of it away, and keeps no handle with which something went wrong.
 */

#include <stdbool.h>
#include <sys/queue.h>
#include "broker/curl.h"

struct origin;

struct handle {
	CURL *easy;
	CURLU *url;
	struct origin *origin; /* NULL: its URL is no plain one, and it is not used again */
	SLIST_ENTRY(handle) idle;
};

struct handles {
	const struct curl *curl;
	const char *ca_file, *proxy; /* borrowed; proxy NULL: the environment's */
	bool allow_http;
	unsigned max_idle, n_idle, n_origins;
	SLIST_HEAD(, origin) origins;
};

void handles_fini(struct handles *handles); /* of what is idle */

/*
 * A handle that calls this URL, and is otherwise blank. ERR_INVALID: not a URL to be called; ERR_INTERNAL. The URL has been read with
 * libcurl's own parser, so the transfer uses just what was judged.
 */
struct handle *handle_get(struct handles *handles, const char *url, struct error *err);
/* Out of its multi handle. Ends it, or keeps it blank (if again, and there is room). Takes NULL. */
void handle_put(struct handles *handles, struct handle *handle, bool again);

/* 0, or why this URL is not called. Nothing behind a `?` is quoted: it may be a secret. */
int url_judge(bool allow_http, const char *text, const char *scheme, const char *host, struct error *err);
