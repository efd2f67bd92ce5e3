#pragma once

/*
 * What tests of source credentials stand on: a scripted server, a clock, a directory for files, and an environment
 * in which Application Default Credentials find nothing but what the test puts there.
 */

#include <stdbool.h>
#include <stdint.h>
#include "broker/fetch.h"
#include "broker/log.h"
#include "broker/source/source.h"
#include "tests/lib/httpstub.h"

#define BED_NOW 1800000000 /* 2027-01-15T08:00:00Z */

struct bed {
	struct event_base *base;
	struct httpstub *stub;
	struct fetcher *fetcher;
	struct source *source;
	struct log log;
	int64_t now;
	char dir[64], file[128];

	/* the last answer of source_token(), or the error of bed_open() */
	int done;
	struct error error;
	char token[256];
	int64_t expires_at;
};

int bed_setup(void **state); /* for cmocka: *state is a struct bed */
int bed_teardown(void **state);

/* Writes a file (mode 0600) into the directory. $URL is the server's, $HOST its host:port, $DIR the directory. Its path: malloc'd. */
char *bed_write(const struct bed *bed, const char *name, const char *text);
/* source_open() with these options; now and the world are filled in. False: bed->error says why. */
bool bed_open(struct bed *bed, struct source_options options);
/* The same with this credential file. */
bool bed_open_text(struct bed *bed, const char *text);
/* Waits for a token; *bed then has it. */
void bed_ask(struct bed *bed);
void bed_on_token(const struct secret *token, int64_t expires_at, const struct error *err, void *bed);
/* Runs the loop until the server has seen n such requests; fails the test after 20 s. */
void bed_wait(struct bed *bed, const char *what, int n);
/* Scripts a reply. */
void bed_reply(struct bed *bed, const char *what, int status, const char *headers, const char *body);
/* What the operator's log has so far; malloc'd. */
char *bed_log(const struct bed *bed);
/* Fails unless the last error says this. */
void bed_assert_says(const struct bed *bed, const char *words);
/* The i-th request's text, or the test fails; malloc'd. */
char *bed_request(struct bed *bed, const char *what, int i);
/* A field of a form in a request, percent-decoded; "" where it is not. Into one of a few static buffers. */
const char *bed_field(const char *request, const char *name);
