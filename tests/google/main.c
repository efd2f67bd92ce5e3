/*
 * google-standin: plays Google's token endpoints on loopback. A TEST TOOL: it hands out worthless tokens.
 * See README.md for its interface.
 */

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/google/google.h"

/* One answer on its way. */
struct pending {
	struct world *world;
	struct evhttp_request *req;
	struct answer answer;
	struct rule rule;
	struct event *timer;
	bool ours; /* one of the test's own questions: not counted */
};

static void count(struct world *world, const char *name, const char *body) {
	json_int_t n = json_integer_value(json_object_get(world->counters, name));

	json_object_set_new(world->counters, name, json_integer(n + 1));
	json_object_set_new(world->last, name, json_string(body ? body : ""));
}

/* Sends a head that promises more than comes, or nothing, and closes. */
static void break_off(struct pending *p) {
	struct evhttp_connection *conn = evhttp_request_get_connection(p->req);
	static const char half[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"accessTok";
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(conn));
	struct linger reset = { 1, 0 };

	if (p->rule.mishap == MISHAP_HALF) {
		ssize_t r = write(fd, half, sizeof(half) - 1);
		(void)r;
		shutdown(fd, SHUT_RDWR);
	} else {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	evhttp_connection_free(conn); /* takes the request with it */
}

static void send_answer(evutil_socket_t fd, short events, void *arg) {
	struct pending *p = arg;
	struct evkeyvalq *headers = evhttp_request_get_output_headers(p->req);
	struct evbuffer *out;
	time_t now = (time_t)world_now(p->world);
	char text[64];
	struct tm tm;

	(void)fd, (void)events;
	if (!p->ours)
		p->world->in_flight--;
	if (p->rule.mishap == MISHAP_RESET || p->rule.mishap == MISHAP_HALF) {
		break_off(p);
	} else {
		out = evbuffer_new();
		if (p->rule.retry_after >= 0) {
			snprintf(text, sizeof(text), "%d", p->rule.retry_after);
			evhttp_add_header(headers, "Retry-After", text);
		}
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
		evhttp_add_header(headers, "Date", text);
		evhttp_add_header(headers, "Content-Type", p->answer.type);
		evhttp_add_header(headers, "Server", "google-standin (a test tool, not Google)");
		evhttp_add_header(headers, "Metadata-Flavor", "Google");
		evbuffer_add(out, p->answer.body, strlen(p->answer.body));
		evhttp_send_reply(p->req, p->answer.status, NULL, out);
		evbuffer_free(out);
	}
	if (p->timer)
		event_free(p->timer);
	free(p->answer.body);
	free(p);
}

static char *body_of(struct evhttp_request *req) {
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t n = evbuffer_get_length(in);
	char *body = malloc(n + 1);

	evbuffer_copyout(in, body, n);
	body[n] = '\0';
	return body;
}

static const char *method_of(struct evhttp_request *req) {
	enum evhttp_cmd_type command = evhttp_request_get_command(req);

	return command == EVHTTP_REQ_POST ? "POST" : command == EVHTTP_REQ_GET ? "GET" : "other";
}

static void ask(struct pending *p, const char *path, struct evkeyvalq *query, char *body) {
	struct evkeyvalq *headers = evhttp_request_get_input_headers(p->req);
	const char *auth = evhttp_find_header(headers, "Authorization");
	const char *flavor = evhttp_find_header(headers, "Metadata-Flavor");
	char account[256] = "", verb[64] = "";
	const struct endpoint *e = endpoint_find(path, account, sizeof(account), verb, sizeof(verb));
	const char *name = e && *verb ? verb : e ? e->name : "unknown";
	struct question q = {
		.world = p->world, .path = path, .body = body, .account = account, .verb = verb, .query = query,
		.bearer = auth && !strncmp(auth, "Bearer ", 7) ? auth + 7 : NULL,
		.metadata_flavor = flavor && !strcmp(flavor, "Google"),
		.forwarded = evhttp_find_header(headers, "X-Forwarded-For") != NULL, .method = method_of(p->req),
	};

	p->ours = !strncmp(path, "/standin/", 9);
	if (!p->ours) {
		count(p->world, name, body);
		p->rule = script_take(p->world, name);
		if (++p->world->in_flight > p->world->max_in_flight)
			p->world->max_in_flight = p->world->in_flight;
	}
	/* A call that a script makes fail mints nothing. */
	if (!e)
		answer_error(&p->answer, 404, "NOT_FOUND", NULL, "no such endpoint in the stand-in");
	else if (e->method && strcmp(e->method, q.method) != 0)
		answer_error(&p->answer, 405, "METHOD_NOT_ALLOWED", NULL, "not with this method");
	else if ((p->rule.status && p->rule.status != 200) || p->rule.oauth[0])
		answer_json(&p->answer, p->rule.status ? p->rule.status : 400, json_object());
	else
		e->answer(&q, &p->answer);
	script_apply(&p->rule, &p->answer);
}

static void on_request(struct evhttp_request *req, void *arg) {
	struct pending *p = calloc(1, sizeof(*p));
	const char *uri = evhttp_request_get_uri(req), *question = strchr(uri, '?');
	char *path = strndup(uri, question ? (size_t)(question - uri) : strlen(uri)), *decoded, *body = body_of(req);
	struct evkeyvalq query = { 0 };
	struct timeval later;

	p->world = arg;
	p->req = req;
	p->rule.retry_after = -1;
	decoded = evhttp_uridecode(path, 0, NULL);
	if (question)
		evhttp_parse_query_str(question + 1, &query);
	ask(p, decoded, &query, body);
	evhttp_clear_headers(&query);
	free(decoded);
	free(path);
	free(body);
	if (!p->rule.latency_ms) {
		send_answer(-1, 0, p);
		return;
	}
	later = (struct timeval){ p->rule.latency_ms / 1000, (p->rule.latency_ms % 1000) * 1000 };
	p->timer = evtimer_new(p->world->base, send_answer, p);
	evtimer_add(p->timer, &later);
}

static int serve(struct world *world, int port) {
	struct evhttp *http = evhttp_new(world->base);
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", (uint16_t)port);
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	if (!bound) {
		fprintf(stderr, "google-standin: cannot bind 127.0.0.1:%d\n", port);
		return 1;
	}
	getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&in, &len);
	snprintf(world->url, sizeof(world->url), "http://127.0.0.1:%d", ntohs(in.sin_port));
	evhttp_set_max_body_size(http, 1 << 20);
	evhttp_set_gencb(http, on_request, world);
	if (world_write(world) != 0) {
		fprintf(stderr, "google-standin: cannot write into %s\n", world->dir);
		return 1;
	}
	printf("google-standin (a test tool, not Google) listening on %s\n", world->url);
	fflush(stdout);
	event_base_dispatch(world->base);
	return 0;
}

int main(int argc, char **argv) {
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "dir", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct world world;
	int c, port = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p') {
			port = atoi(optarg);
		} else if (c == 'd') {
			snprintf(world.dir, sizeof(world.dir), "%s", optarg);
		} else {
			fprintf(c == 'h' ? stdout : stderr,
				"google-standin: a test tool that plays Google on loopback; its tokens are worthless.\n"
				"usage: google-standin --dir DIR [--port N]   (see tests/google/README.md)\n");
			return c == 'h' ? 0 : 64;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	world.base = event_base_new();
	if (!world.dir[0] || !world.base || world_make(&world) < 0) {
		fprintf(stderr, "google-standin: --dir DIR is needed\n");
		return 64;
	}
	return serve(&world, port);
}
