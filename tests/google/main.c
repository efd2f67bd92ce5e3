/*
 * google-standin: plays Google's token endpoints on loopback. A TEST TOOL: it hands out worthless tokens.
 * See README.md for its interface.
 */

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/keyvalq_struct.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "tests/google/google.h"
#include "tests/lib/testcert.h"

/* Where questions come in: the broker's, what clients take for Google's hosts, what they take for their machine's metadata server. */
enum { DOOR_BROKER, DOOR_GOOGLE, DOOR_MACHINE, N_DOORS };
struct door {
	struct world *world;
	const char *address;
	int port; /* -1: closed; 0: any */
	bool internet, wants_tls;
	SSL_CTX *tls;
};

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
		for (struct evkeyval *h = p->answer.headers.tqh_first; h; h = h->next.tqe_next)
			evhttp_add_header(headers, h->key, h->value);
		evbuffer_add(out, p->answer.body, p->answer.len ? p->answer.len : strlen(p->answer.body));
		evhttp_send_reply(p->req, p->answer.status, NULL, out);
		evbuffer_free(out);
	}
	if (p->timer)
		event_free(p->timer);
	evhttp_clear_headers(&p->answer.headers);
	free(p->answer.body);
	free(p);
}

static char *body_of(struct evhttp_request *req, size_t *n) {
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	char *body;

	*n = evbuffer_get_length(in);
	body = malloc(*n + 1);
	evbuffer_copyout(in, body, *n);
	body[*n] = '\0';
	return body;
}

static const char *method_of(struct evhttp_request *req) {
	static const struct {
		enum evhttp_cmd_type command;
		const char *name;
	} methods[] = { { EVHTTP_REQ_GET, "GET" },     { EVHTTP_REQ_HEAD, "HEAD" },	{ EVHTTP_REQ_POST, "POST" },
			{ EVHTTP_REQ_PUT, "PUT" },     { EVHTTP_REQ_DELETE, "DELETE" }, { EVHTTP_REQ_PATCH, "PATCH" } };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].command == evhttp_request_get_command(req))
			return methods[i].name;
	return "other";
}

/* "Basic …": user and password, in one malloc'd text; NULL: it is not of the form. */
static char *basic_of(const char *auth, const char **password) {
	unsigned char *text = NULL;
	char *colon;
	size_t n;

	*password = NULL;
	if (!auth || strncmp(auth, "Basic ", 6) || base64_decode(auth + 6, false, &text, &n) < 0)
		return NULL;
	colon = strchr((char *)text, ':');
	if (!colon) {
		free(text);
		return NULL;
	}
	*colon = '\0';
	*password = colon + 1;
	return (char *)text;
}

static void ask(struct pending *p, struct question *q) {
	char account[256] = "", verb[64] = "";
	const struct endpoint *e;
	const char *name;

	q->account = account;
	q->verb = verb;
	e = endpoint_find(q, account, sizeof(account), verb, sizeof(verb));
	name = *verb ? verb : e->name;
	p->ours = !strncmp(q->path, "/standin/", 9);
	if (!p->ours) {
		count(p->world, name, q->body);
		p->rule = script_take(p->world, name);
		if (++p->world->in_flight > p->world->max_in_flight)
			p->world->max_in_flight = p->world->in_flight;
	}
	if (q->internet && e->slip)
		seen_slip(q, name, e->slip);
	/* A call that a script makes fail mints nothing. */
	if (e->method && strcmp(e->method, q->method) != 0)
		answer_error(&p->answer, 405, "METHOD_NOT_ALLOWED", NULL, "not with this method");
	else if ((p->rule.status && p->rule.status != 200) || p->rule.oauth[0])
		answer_json(&p->answer, p->rule.status ? p->rule.status : 400, json_object());
	else
		e->answer(q, &p->answer);
	script_apply(&p->rule, &p->answer);
}

/* All that the head says. */
static void read_question(struct pending *p, const struct door *door) {
	const char *uri = evhttp_request_get_uri(p->req), *question, *auth, *flavor, *password;
	struct evkeyvalq *headers = evhttp_request_get_input_headers(p->req), query = { 0 };
	char *path, *decoded, *body, *user;
	struct question q = { .world = p->world, .internet = door->internet, .headers = headers, .query = &query };

	question = strchr(uri, '?');
	path = strndup(uri, question ? (size_t)(question - uri) : strlen(uri));
	decoded = evhttp_uridecode(path, 0, NULL);
	body = body_of(p->req, &q.body_len);
	auth = evhttp_find_header(headers, "Authorization");
	flavor = evhttp_find_header(headers, "Metadata-Flavor");
	user = basic_of(auth, &password);
	if (question)
		evhttp_parse_query_str(question + 1, &query);
	q.path = decoded;
	q.body = body;
	q.method = method_of(p->req);
	q.bearer = auth && !strncmp(auth, "Bearer ", 7) ? auth + 7 : NULL;
	q.user = user;
	q.password = password;
	q.metadata_flavor = flavor && !strcmp(flavor, "Google");
	q.forwarded = evhttp_find_header(headers, "X-Forwarded-For") != NULL;
	ask(p, &q);
	evhttp_clear_headers(&query);
	free(user);
	free(decoded);
	free(path);
	free(body);
}

static void on_request(struct evhttp_request *req, void *arg) {
	struct pending *p = calloc(1, sizeof(*p));
	const struct door *door = arg;
	struct timeval later;

	p->world = door->world;
	p->req = req;
	p->rule.retry_after = -1;
	TAILQ_INIT(&p->answer.headers);
	read_question(p, door);
	if (!p->rule.latency_ms) {
		send_answer(-1, 0, p);
		return;
	}
	later = (struct timeval){ p->rule.latency_ms / 1000, (p->rule.latency_ms % 1000) * 1000 };
	p->timer = evtimer_new(p->world->base, send_answer, p);
	evtimer_add(p->timer, &later);
}

/* --- doors */

static struct bufferevent *tls_connection(struct event_base *base, void *arg) {
	struct bufferevent *bev = bufferevent_openssl_socket_new(base, -1, SSL_new(arg), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);

	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

/* Google's names under a certificate of the day; whose CA stands in DIR/ca.pem. */
static SSL_CTX *make_tls(const struct world *world) {
	static const char names[] = "DNS:*.googleapis.com,DNS:*.pkg.dev,DNS:*.googlesource.com,DNS:*.hallpass.test,IP:127.0.0.1";
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	struct testcert ca, server;
	char path[640];
	FILE *f;

	testcert_ca(&ca);
	testcert_server(&server, &ca, names, 1);
	SSL_CTX_use_certificate(tls, server.cert);
	SSL_CTX_use_PrivateKey(tls, server.key);
	snprintf(path, sizeof(path), "%s/ca.pem", world->dir);
	f = fopen(path, "we");
	if (!f || PEM_write_X509(f, ca.cert) != 1 || fclose(f)) {
		fprintf(stderr, "google-standin: cannot write %s\n", path);
		return NULL;
	}
	testcert_fini(&server);
	testcert_fini(&ca);
	return tls;
}

/* Listens; the port, or -1. */
static int open_door(struct door *door) {
	struct evhttp *http = evhttp_new(door->world->base);
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, door->address, (uint16_t)door->port);
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	if (!bound) {
		fprintf(stderr, "google-standin: cannot bind %s:%d\n", door->address, door->port);
		return -1;
	}
	if (door->wants_tls && !(door->tls = make_tls(door->world)))
		return -1;
	getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&in, &len);
	evhttp_set_max_body_size(http, 1 << 20);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(http, on_request, door);
	if (door->tls)
		evhttp_set_bevcb(http, tls_connection, door->tls);
	return ntohs(in.sin_port);
}

static int serve(struct world *world, struct door *doors) {
	int port;

	mkdir(world->dir, 0700);
	for (struct door *door = doors; door < doors + N_DOORS; door++) {
		door->world = world;
		port = door->port < 0 ? 0 : open_door(door);
		if (port < 0)
			return 1;
		if (door == doors)
			snprintf(world->url, sizeof(world->url), "http://127.0.0.1:%d", port);
	}
	if (world_write(world) != 0) {
		fprintf(stderr, "google-standin: cannot write into %s\n", world->dir);
		return 1;
	}
	printf("google-standin (a test tool, not Google) listening on %s\n", world->url);
	fflush(stdout);
	event_base_dispatch(world->base);
	return 0;
}

static int usage(FILE *out, int code) {
	fprintf(out, "google-standin: a test tool that plays Google on loopback; its tokens are worthless.\n"
		     "usage: google-standin --dir DIR [--port N] [--google-port N] [--machine-port N] [--token-bytes N]   (see tests/google/README.md)\n");
	return code;
}

int main(int argc, char **argv) {
	static const struct option options[] = {
		{ "port", required_argument, NULL, DOOR_BROKER },
		{ "google-port", required_argument, NULL, DOOR_GOOGLE },
		{ "machine-port", required_argument, NULL, DOOR_MACHINE },
		{ "dir", required_argument, NULL, 'd' },
		{ "token-bytes", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct door doors[N_DOORS] = {
		[DOOR_BROKER] = { .address = "127.0.0.1", .port = 0 },
		[DOOR_GOOGLE] = { .address = "127.0.0.1", .port = -1, .internet = true, .wants_tls = true },
		[DOOR_MACHINE] = { .address = "169.254.169.254", .port = -1, .internet = true },
	};
	static struct world world;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c < N_DOORS)
			doors[c].port = atoi(optarg);
		else if (c == 'd')
			snprintf(world.dir, sizeof(world.dir), "%s", optarg);
		else if (c == 't')
			world.token_bytes = strtoul(optarg, NULL, 10);
		else
			return usage(c == 'h' ? stdout : stderr, c == 'h' ? 0 : 64);
	}
	signal(SIGPIPE, SIG_IGN);
	world.base = event_base_new();
	if (!world.dir[0] || !world.base || world_make(&world) < 0) {
		fprintf(stderr, "google-standin: --dir DIR is needed\n");
		return 64;
	}
	return serve(&world, doors);
}
