#pragma once

/* A session of a scenario, and what is asked at its port. */

#include "hallpass/buf.h"
#include "tests/lib/httpask.h"
#include "tests/lib/running.h"
#include "tests/lib/world.h"

struct session_of_test {
	int fd; /* the control connection */
	int port;
	char id[20], handle[80];
	char url[64], host[64]; /* "http://127.0.0.1:PORT", "127.0.0.1:PORT" */
};

/* Asks for one on a connection that stays; the answer's status. body: "{\"serviceAccount\": …}". */
int session_ask(const struct world *w, const char *body, int *fd, struct answer *out);
/* The same, and it must be given. */
void session_begin(const struct world *w, const char *body, struct session_of_test *s);
void session_leave(struct session_of_test *s); /* closes the control connection, where there is one */

/* What a door listened to by the configuration is asked as. */
void door_at(int port, struct session_of_test *s);
void door_at6(int port, struct session_of_test *s); /* on [::1], for md_bytes() and the like */

/* Each kind of port that there is; what holds of one surface's server must hold at all of them. */
enum place { PLACE_SESSION, PLACE_LISTENER, PLACE_LISTENER6, PLACE_RELAY, N_PLACES };
/* Starts the daemon with it, for SA_DEV. False: this machine has no such. relay: of PLACE_RELAY. place_end() is due either way. */
bool place_begin(struct world *w, enum place place, struct session_of_test *s, struct running *relay);
void place_end(struct session_of_test *s, struct running *relay);

/* GET, with Metadata-Flavor and the right Host; path below /computeMetadata/v1/. */
void md(const struct session_of_test *s, const char *path, struct http_answer *out);
/* Any request; headers: complete lines; without a Host among them the right one is sent. */
void md_raw(const struct session_of_test *s, const char *method, const char *path, const char *headers, struct http_answer *out);
/* What is sent as it is, and all that comes back until the end. */
void md_bytes(const struct session_of_test *s, const char *bytes, char *out, size_t size);
void md_str(const struct session_of_test *s, struct str bytes, char *out, size_t size);
int md_dial(const struct session_of_test *s); /* a socket; -1: nobody listens there */
/* Whether anybody listens at its port. */
bool md_listens(const struct session_of_test *s);

/* Waits until the record has so many of a type; the records. */
json_t *records_wait(const struct world *w, const char *type, size_t n);
