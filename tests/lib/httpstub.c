/* See httpstub.h. Blocking sockets, one thread per connection. */

#include <arpa/inet.h>
#include <assert.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "broker/clock.h"
#include "tests/lib/httpstub.h"

#define MAX_RULES 64
#define MAX_REPLIES 16
#define MAX_REQUESTS 4096
#define MAX_CONNECTIONS 1024

struct rule {
	char what[256];
	struct httpstub_reply replies[MAX_REPLIES];
	int n, next;
};

struct request {
	char what[256];
	char *text;
};

struct connection {
	struct httpstub *stub;
	int fd;
	SSL *ssl;
	pthread_t thread;
	char *in;
	size_t len, size;
};

struct httpstub {
	int fd, port;
	char url[64];
	SSL_CTX *tls;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping, released;
	struct rule rules[MAX_RULES];
	int n_rules;
	struct request requests[MAX_REQUESTS];
	int n_requests;
	struct connection *connections[MAX_CONNECTIONS];
	int n_connections;
};

static ssize_t conn_read(struct connection *c, char *to, size_t n) {
	return c->ssl ? SSL_read(c->ssl, to, (int)n) : recv(c->fd, to, n, 0);
}

static bool conn_write(struct connection *c, const char *from, size_t n) {
	while (n) {
		ssize_t r = c->ssl ? SSL_write(c->ssl, from, (int)n) : send(c->fd, from, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		from += r;
		n -= (size_t)r;
	}
	return true;
}

static bool conn_fill(struct connection *c) {
	ssize_t r;

	if (c->size - c->len < 4096) {
		c->size = c->size * 2 + 8192;
		c->in = realloc(c->in, c->size);
		assert(c->in);
	}
	r = conn_read(c, c->in + c->len, c->size - c->len - 1);
	if (r <= 0)
		return false;
	c->len += (size_t)r;
	c->in[c->len] = '\0';
	return true;
}

/* One request, whole: its length in the buffer; 0: the peer is gone. */
static size_t conn_request(struct connection *c) {
	const char *end, *field;
	size_t need;

	for (;;) {
		end = c->len ? strstr(c->in, "\r\n\r\n") : NULL;
		if (end) {
			field = strcasestr(c->in, "\r\ncontent-length:");
			need = (size_t)(end - c->in) + 4;
			if (field && field < end)
				need += strtoul(field + 17, NULL, 10);
			if (c->len >= need)
				return need;
		}
		if (!conn_fill(c))
			return 0;
	}
}

static struct rule *rule_find(struct httpstub *stub, const char *what) {
	for (int i = 0; i < stub->n_rules; i++) {
		if (!strcmp(stub->rules[i].what, what))
			return &stub->rules[i];
	}
	return NULL;
}

/* Records the request and takes its reply. */
static struct httpstub_reply take_reply(struct httpstub *stub, const char *text, size_t len) {
	struct httpstub_reply reply = { .status = 404, .body = "{}" };
	char method[16] = "", path[200] = "";
	struct request *request;
	struct rule *rule;

	sscanf(text, "%15s %199[^ ?]", method, path);
	pthread_mutex_lock(&stub->lock);
	assert(stub->n_requests < MAX_REQUESTS);
	request = &stub->requests[stub->n_requests++];
	snprintf(request->what, sizeof(request->what), "%s %s", method, path);
	request->text = strndup(text, len);
	rule = rule_find(stub, request->what);
	if (rule) {
		reply = rule->replies[rule->next];
		if (rule->next + 1 < rule->n)
			rule->next++;
	}
	pthread_mutex_unlock(&stub->lock);
	return reply;
}

static void hold(struct httpstub *stub, bool for_ever) {
	pthread_mutex_lock(&stub->lock);
	while (!stub->stopping && (for_ever || !stub->released))
		pthread_cond_wait(&stub->changed, &stub->lock);
	pthread_mutex_unlock(&stub->lock);
}

static void flood(struct connection *c) {
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char chunk[] = "10\r\n0123456789abcdef\r\n";

	for (bool ok = conn_write(c, head, sizeof(head) - 1); ok;)
		ok = conn_write(c, chunk, sizeof(chunk) - 1);
}

static bool answer(struct connection *c, const struct httpstub_reply *reply) {
	const char *body = reply->body ? reply->body : "";
	size_t len = reply->body_size ? reply->body_size : strlen(body), sent = len;
	struct linger reset = { 1, 0 };
	char *big = NULL, head[2048];
	bool ok;

	if (reply->action == STUB_HOLD || reply->action == STUB_HANG)
		hold(c->stub, reply->action == STUB_HANG);
	if (reply->action == STUB_RESET)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (reply->action == STUB_FLOOD)
		flood(c);
	if (reply->action == STUB_RESET || reply->action == STUB_FLOOD || reply->action == STUB_HANG)
		return false;
	if (reply->body_size) {
		body = big = malloc(len);
		assert(big);
		memset(big, 'x', len);
	}
	if (reply->action == STUB_HALF)
		sent = len / 2;
	snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
		 reply->status, reply->headers ? reply->headers : "", len);
	ok = conn_write(c, head, strlen(head)) && conn_write(c, body, sent);
	free(big);
	return ok && reply->action != STUB_HALF;
}

static void *conn_run(void *arg) {
	struct connection *c = arg;
	struct httpstub_reply reply;
	bool open = true;
	size_t n;

	if (c->stub->tls) {
		c->ssl = SSL_new(c->stub->tls);
		SSL_set_fd(c->ssl, c->fd);
		open = SSL_accept(c->ssl) == 1;
	}
	while (open && (n = conn_request(c))) {
		reply = take_reply(c->stub, c->in, n);
		memmove(c->in, c->in + n, c->len - n + 1);
		c->len -= n;
		open = answer(c, &reply);
	}
	SSL_free(c->ssl);
	pthread_mutex_lock(&c->stub->lock);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->stub->lock);
	free(c->in);
	c->in = NULL;
	return NULL;
}

static void *accept_run(void *arg) {
	struct httpstub *stub = arg;
	struct connection *c;
	int fd, one = 1;

	while ((fd = accept(stub->fd, NULL, NULL)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = calloc(1, sizeof(*c));
		assert(c);
		c->stub = stub;
		c->fd = fd;
		pthread_mutex_lock(&stub->lock);
		assert(stub->n_connections < MAX_CONNECTIONS);
		stub->connections[stub->n_connections++] = c;
		pthread_mutex_unlock(&stub->lock);
		pthread_create(&c->thread, NULL, conn_run, c);
	}
	return NULL;
}

struct httpstub *httpstub_new(const char *cert_file, const char *key_file) {
	struct httpstub *stub = calloc(1, sizeof(*stub));
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int r;

	assert(stub);
	pthread_mutex_init(&stub->lock, NULL);
	pthread_cond_init(&stub->changed, NULL);
	if (cert_file) {
		stub->tls = SSL_CTX_new(TLS_server_method());
		r = SSL_CTX_use_certificate_chain_file(stub->tls, cert_file);
		assert(r == 1);
		r = SSL_CTX_use_PrivateKey_file(stub->tls, key_file, SSL_FILETYPE_PEM);
		assert(r == 1);
	}
	stub->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = bind(stub->fd, (struct sockaddr *)&sin, len);
	assert(r == 0);
	getsockname(stub->fd, (struct sockaddr *)&sin, &len);
	r = listen(stub->fd, 512);
	assert(r == 0);
	stub->port = ntohs(sin.sin_port);
	snprintf(stub->url, sizeof(stub->url), "%s://127.0.0.1:%d", cert_file ? "https" : "http", stub->port);
	pthread_create(&stub->thread, NULL, accept_run, stub);
	return stub;
}

void httpstub_free(struct httpstub *stub) {
	if (!stub)
		return;
	pthread_mutex_lock(&stub->lock);
	stub->stopping = true;
	pthread_cond_broadcast(&stub->changed);
	shutdown(stub->fd, SHUT_RDWR);
	pthread_mutex_unlock(&stub->lock);
	pthread_join(stub->thread, NULL);
	close(stub->fd);
	for (int i = 0; i < stub->n_connections; i++) {
		pthread_mutex_lock(&stub->lock);
		if (stub->connections[i]->fd >= 0)
			shutdown(stub->connections[i]->fd, SHUT_RDWR);
		pthread_mutex_unlock(&stub->lock);
		pthread_join(stub->connections[i]->thread, NULL);
		free(stub->connections[i]);
	}
	for (int i = 0; i < stub->n_requests; i++)
		free(stub->requests[i].text);
	SSL_CTX_free(stub->tls);
	pthread_mutex_destroy(&stub->lock);
	pthread_cond_destroy(&stub->changed);
	free(stub);
}

int httpstub_port(const struct httpstub *stub) {
	return stub->port;
}

const char *httpstub_url(const struct httpstub *stub) {
	return stub->url;
}

void httpstub_on(struct httpstub *stub, const char *what, const struct httpstub_reply *reply) {
	struct rule *rule;

	pthread_mutex_lock(&stub->lock);
	rule = rule_find(stub, what);
	if (!rule) {
		assert(stub->n_rules < MAX_RULES);
		rule = &stub->rules[stub->n_rules++];
		snprintf(rule->what, sizeof(rule->what), "%s", what);
	}
	assert(rule->n < MAX_REPLIES);
	rule->replies[rule->n++] = *reply;
	pthread_mutex_unlock(&stub->lock);
}

void httpstub_release(struct httpstub *stub) {
	pthread_mutex_lock(&stub->lock);
	stub->released = true;
	pthread_cond_broadcast(&stub->changed);
	pthread_mutex_unlock(&stub->lock);
}

int httpstub_count(struct httpstub *stub, const char *what) {
	int n = 0;

	pthread_mutex_lock(&stub->lock);
	for (int i = 0; i < stub->n_requests; i++)
		n += !what || !strcmp(stub->requests[i].what, what);
	pthread_mutex_unlock(&stub->lock);
	return n;
}

int httpstub_connections(struct httpstub *stub) {
	int n;

	pthread_mutex_lock(&stub->lock);
	n = stub->n_connections;
	pthread_mutex_unlock(&stub->lock);
	return n;
}

char *httpstub_request(struct httpstub *stub, const char *what, int i) {
	char *text = NULL;

	pthread_mutex_lock(&stub->lock);
	for (int k = 0; k < stub->n_requests && !text; k++) {
		if (!strcmp(stub->requests[k].what, what) && i-- == 0)
			text = strdup(stub->requests[k].text);
	}
	pthread_mutex_unlock(&stub->lock);
	return text;
}

static void on_tick(evutil_socket_t fd, short events, void *arg) {
	(void)fd, (void)events, (void)arg;
}

void run_until(struct event_base *base, const int *flag, int n) {
	int64_t give_up = clock_monotonic_us() + 20 * 1000000;
	struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	struct timeval tv = { 0, 5000 };

	event_add(tick, &tv); /* so that the loop wakes up to look at the clock */
	while (*flag < n && clock_monotonic_us() < give_up)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(tick);
	if (*flag < n) {
		fprintf(stderr, "run_until: %d of %d after 20 s\n", *flag, n);
		abort();
	}
}
