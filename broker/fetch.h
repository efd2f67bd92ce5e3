#pragma once

/*
 * One HTTP exchange with an upstream, run by libcurl on our event loop.
 *
 * The only file that uses libcurl: plain data in, plain data out, so that it and source/ can move
 * into a process of their own. The pattern for every asynchronous operation here:
 *  - done() is called exactly once, and never from inside fetch_start();
 *  - after fetch_cancel() returns, done() is not called and the fetch is gone;
 *  - the fetch frees itself right after done(); keep nothing that points at it.
 *
 * Of many that are started at once only some begin at once (pace.h).
 *
 * fetcher_free() cancels what is still running. Free the fetcher before the event_base.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "broker/secret.h"
#include "hallpass/buf.h"
#include "hallpass/error.h"

struct event_base;
struct fetch;
struct fetcher;
struct log;

struct fetch_options {
	const char *ca_file;	/* PEM bundle; NULL: the system's */
	const char *proxy;	/* "http://host:port"; NULL: HTTPS_PROXY and NO_PROXY of the environment; "": none */
	bool allow_http;	/* plain http to any host (test endpoints); loopback and metadata are always allowed */
	unsigned max_connections_per_host;
};

struct fetch_spec {
	const char *method;	    /* "GET", "POST" */
	const char *url;	    /* borrowed until fetch_start() returns */
	const char *const *headers; /* complete lines without CRLF; NULL-terminated; may be NULL */
	const struct secret *bearer; /* Authorization: Bearer …; NULL: none. Copied, wiped after use */
	const char *body;	    /* copied, wiped after use; NULL: none */
	size_t body_len;
	unsigned timeout_ms; /* for the whole exchange from when it begins; connecting gets at most 5 s of it */
	size_t body_max;     /* bytes of answer; a longer one is ERR_UPSTREAM */
	const char *want_header; /* name of an answer's field to hand back; static text; NULL: none */
};

/* What stood in the way of an answer, as far as that tells what to do. */
enum fetch_trouble {
	FETCH_NO_TROUBLE,
	FETCH_NO_NAME,	      /* the host's name is not known */
	FETCH_NO_CONNECTION,  /* nobody listens, or no way there */
	FETCH_NO_TRUST,	      /* its certificate, or ours to check it by */
	FETCH_NO_PROXY,	      /* the proxy said no, or is not there */
	FETCH_NO_TIME,	      /* nothing in time */
	FETCH_OTHER_TROUBLE,
};

struct fetch_result {
	int status;	  /* HTTP status, 0 if none arrived */
	const char *body; /* NUL-terminated, borrowed until done() returns, wiped after */
	size_t body_len;
	const char *header;    /* value of want_header, NULL: not there; borrowed until done() returns */
	int64_t retry_after_s; /* from Retry-After; -1: none */
	bool sent;	       /* the request may have reached the server (so a retry may be a second mint) */
	enum fetch_trouble trouble; /* with an error: which kind */
	bool transient;	       /* with an error: connection trouble, so the same again may work */
	struct error error;    /* ERR_NONE when an answer arrived, whatever its status; else ERR_UPSTREAM, ERR_TIMEOUT */
};

typedef void fetch_done_fn(const struct fetch_result *result, void *arg);

/*
 * Cheap: libcurl is loaded, and the CA bundle read, by the first fetch_start(). ERR_INVALID: a ca_file that is named and is none, a
 * proxy that is no address.
 */
int fetcher_new(struct event_base *base, const struct fetch_options *options, struct log *log, struct fetcher **out,
		struct error *err);
void fetcher_free(struct fetcher *fetcher);

/* By which proxy a URL is called, and by which file its certificate is checked: for people. No password of a proxy's. */
void fetcher_way(const struct fetcher *fetcher, const char *url, struct buf *out);

/* Whether fetch_start() would take this URL, as far as one sees without libcurl, which reads it then. ERR_INVALID: why not. */
int fetch_may_call(const struct fetcher *fetcher, const char *url, struct error *err);
int fetch_start(struct fetcher *fetcher, const struct fetch_spec *spec, fetch_done_fn *done, void *arg,
		struct fetch **out, struct error *err);
void fetch_cancel(struct fetch *fetch); /* takes NULL */
