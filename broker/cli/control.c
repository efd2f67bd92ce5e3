/* The connection that a session lives by. See keep.h. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/cli/keep.h"
#include "broker/loopback.h"

#define ANSWER_MAX 65536
#define ANSWER_MS 30000
#define RETRY_MS 100
#define RETRY_MAX_MS 5000

/* --- the connection itself */

static void hang_up(struct control *c, enum control_state state) {
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = state;
	if (c->in.data)
		explicit_bzero(c->in.data, c->in.len);
	buf_reset(&c->in);
}

/* Later, and later each time. */
static void back_off(struct control *c) {
	hang_up(c, CONTROL_DOWN);
	c->retry_ms = c->retry_ms ? c->retry_ms * 2 : RETRY_MS;
	if (c->retry_ms > RETRY_MAX_MS)
		c->retry_ms = RETRY_MAX_MS;
	c->at_ms = keep_now_ms() + c->retry_ms;
}

/* --- opening it */

static int send_request(struct control *c, struct error *err) {
	if (c->port)
		json_object_set_new(c->body, API_PORT, json_integer(c->port));
	if (c->relayed)
		json_object_set_new(c->body, API_RELAYED, json_true());
	c->fd = client_dial(c->cli, err);
	if (c->fd < 0)
		return -1;
	c->state = CONTROL_OPENING;
	c->at_ms = keep_now_ms() + ANSWER_MS;
	return client_send(c->fd, API_PATH_SESSIONS, c->body, true, err);
}

static void tell_port(struct control *c, int port) {
	char text[300];

	if (c->port == port)
		snprintf(text, sizeof(text), "the broker is back, and the session goes on");
	else
		snprintf(text, sizeof(text),
			 "the broker is back, but port %d could not be had again: what was started before asks for its tokens "
			 "there and finds nobody, or somebody else; start it anew",
			 c->port);
	keep_tell(c->cli, c->port == port ? COLOR_GREEN : COLOR_RED, text);
}

static int opened(struct control *c, const json_t *reply, struct error *err) {
	const char *handle = json_string_value(json_object_get(reply, API_HANDLE)), *ca = json_string_value(json_object_get(reply, API_CA_FILE));
	const char *id = json_string_value(json_object_get(reply, API_SESSION));
	uint64_t network = (uint64_t)json_integer_value(json_object_get(reply, API_NETWORK));
	int port = (int)json_integer_value(json_object_get(reply, API_PORT));

	if (!handle || !id || port < 1)
		return error_set(err, ERR_INTERNAL, "the broker's answer has no session");
	if (c->private && private_write(c->private, "handle", handle, err) < 0)
		return -1;
	/* Programs read it once: it is wanted again, like the port, of the next broker. */
	if (json_object_set_new(c->body, API_HANDLE, json_string(handle)) < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	snprintf(c->ca_file, sizeof(c->ca_file), "%s", ca ? ca : "");
	if (c->told)
		tell_port(c, port);
	/* Where it is not the same, the one that programs were told of is wanted again the next time. */
	if (!c->port)
		c->port = port;
	c->elsewhere = network && loopback_network() && network != loopback_network();
	snprintf(c->session, sizeof(c->session), "%s", id);
	c->times++;
	c->told = false;
	c->retry_ms = 0;
	c->state = CONTROL_OPEN;
	return 0;
}

/* An answer to the request for a session. */
static int take_answer(struct control *c, int status, const char *body, struct error *err) {
	json_t *reply = json_loads(body, 0, NULL);
	int r = status == 200 && reply ? opened(c, reply, err) : client_error(status, reply, err);

	json_decref(reply);
	if (c->in.data)
		explicit_bzero(c->in.data, c->in.len);
	buf_reset(&c->in);
	return r;
}

/* More bytes. False: the connection is at its end. */
static bool read_more(struct control *c) {
	char *at = buf_grow(&c->in, 4096);
	ssize_t n = at ? recv(c->fd, at, 4096, MSG_DONTWAIT) : 0;

	c->in.len -= at ? 4096 - (size_t)(n > 0 ? n : 0) : 0;
	if (at)
		c->in.data[c->in.len] = '\0';
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

int control_begin(struct control *c, const json_t *token_body, struct error *err) {
	const char *body = NULL;
	int status = 0;

	c->fd = -1;
	c->in = BUF_INIT(ANSWER_MAX);
	c->body = json_copy((json_t *)token_body);
	for (size_t i = 0; i < c->cli->n_also; i++) {
		if (i == 0)
			json_object_set_new(c->body, API_ALSO, json_array());
		json_array_append_new(json_object_get(c->body, API_ALSO), json_string(c->cli->also[i]));
	}
	if (send_request(c, err) < 0)
		return -1;
	while (status == 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		if (poll(&p, 1, control_timeout_ms(c)) == 0)
			return error_set(err, ERR_TIMEOUT, "the broker did not open a session within %d s", ANSWER_MS / 1000);
		if (!read_more(c))
			return error_set(err, ERR_UNAVAILABLE, "the broker closed the connection without an answer");
		status = client_whole_answer(&c->in, &body);
	}
	return take_answer(c, status, body, err);
}

/* --- keeping it */

static void ended(struct control *c, const char *why) {
	char text[1200];

	snprintf(text, sizeof(text), "%s; tokens are no longer given at port %d", out_safe(why), c->port);
	keep_tell(c->cli, COLOR_RED, text);
	hang_up(c, CONTROL_ENDED);
}

/* It dropped: with a word, which was its end, or without. */
static void dropped(struct control *c) {
	const char *body = "";
	struct error err = { 0 };
	json_t *reply;

	if (client_whole_answer(&c->in, &body) == 408) {
		reply = json_loads(body, 0, NULL);
		client_error(408, reply, &err);
		json_decref(reply);
		ended(c, err.message);
		return;
	}
	if (!c->told)
		keep_tell(c->cli, COLOR_YELLOW, "the broker is gone; the session is opened again when it is back");
	c->told = true;
	back_off(c);
}

static void try_again(struct control *c) {
	struct error err;

	if (send_request(c, &err) < 0)
		back_off(c);
}

static void answered(struct control *c) {
	const char *body = NULL;
	struct error err = { 0 };
	int status = client_whole_answer(&c->in, &body);

	if (status == 0)
		return;
	if (status > 0 && take_answer(c, status, body, &err) == 0)
		return;
	if (status > 0 && (err.code == ERR_DENIED || err.code == ERR_UNAUTHENTICATED || err.code == ERR_INVALID))
		ended(c, err.message);
	else
		back_off(c);
}

int control_fd(const struct control *c) {
	return c->fd;
}

int control_timeout_ms(const struct control *c) {
	int64_t left = c->at_ms - keep_now_ms();

	if (c->state == CONTROL_OPEN || c->state == CONTROL_ENDED)
		return -1;
	return left < 0 ? 0 : (int)left;
}

void control_turn(struct control *c, bool readable) {
	bool goes_on = !readable || read_more(c);

	if (c->state == CONTROL_OPEN && !goes_on)
		dropped(c);
	else if (c->state == CONTROL_OPENING && readable && goes_on)
		answered(c);
	else if (c->state == CONTROL_OPENING && (!goes_on || control_timeout_ms(c) == 0))
		back_off(c);
	else if (c->state == CONTROL_DOWN && control_timeout_ms(c) == 0)
		try_again(c);
}

void control_end(struct control *c) {
	hang_up(c, CONTROL_ENDED);
	buf_fini(&c->in);
	json_decref(c->body);
	c->body = NULL;
}
