#pragma once

/*
 * The native API's exchanges, for the files that answer them (native.c has the table of routes).
 */

#include <jansson.h>
#include "broker/conn.h"
#include "broker/doctor.h"
#include "broker/request.h"
#include "broker/status.h"

struct broker;
struct listing;
struct native;
struct reload_wait;
struct route;
struct why;

/* One exchange that has begun and is not answered: either a request of the step table, or a question. */
struct call {
	struct native *native;
	struct conn *conn;
	struct request *request;	  /* NULL: a question, or already ended */
	struct accounts_wait *account_wait; /* a question that waits for its caller's account */
	struct why *why;		    /* … or for a policy of the past */
	struct reload_wait *reload_wait;    /* … or for a reload's end */
	struct listing *listing;	    /* … or for its turns */
	struct doctor *doctor;		    /* … or for what Google says */
	const struct route *route;
	struct snapshot *snapshot; /* questions: the one they began under */
	json_t *body;
	unsigned failures; /* of memory, before it began */
	struct caller caller; /* from here on: set when it is known, not cleared before */
	char name[40];	      /* behind a route's path that ends in a slash */
	const char *accounts[DOCTOR_MAX_ACCOUNTS]; /* the doctor's; of body */
	size_t n_accounts;
};

struct route {
	enum http_method method;
	const char *path;
	void (*run)(struct call *call, const struct http_request *request);
	/* A question, answered once the caller is known. */
	void (*answer)(struct call *call);
	bool by_uid; /* root and the broker's own uid may ask it even where `peers:` makes them nobody */
	bool counts; /* as a request of its principal: what takes as long as a decision, or longer */
};

/* Each answers, and frees call. */
void call_reply_json(struct call *call, json_t *json); /* takes json */
void call_no_memory(struct call *call);
void call_fail(struct call *call, const struct error *err, const char *reason, const struct status_detail *details,
	       size_t n_details);

struct broker *call_broker(const struct call *call);
/* Root, the broker's own uid, and whom `operators:` names. call->caller is known. */
bool call_is_operators(const struct call *call);

/* native_doctor.c */
void answer_doctor(struct call *call);
/* native_sessions.c */
void answer_session_open(struct call *call);
void answer_session_enter(struct call *call);
void answer_session_end(struct call *call);
