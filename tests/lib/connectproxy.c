/* See connectproxy.h. One thread, one tunnel after the other side by side, by poll(). */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/connectproxy.h"

#define MAX_TUNNELS 64

struct tunnel {
	int client, server; /* server -1: the CONNECT is still to come; client -1: free */
};

struct connect_proxy {
	int fd, stop, to_port, count;
	char url[64], last[256];
	pthread_t thread;
	pthread_mutex_t lock;
	struct tunnel tunnels[MAX_TUNNELS];
};

static int loopback(int port, struct sockaddr_in *in) {
	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	in->sin_port = htons((uint16_t)port);
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void tunnel_end(struct tunnel *t) {
	close(t->client);
	if (t->server >= 0)
		close(t->server);
	*t = (struct tunnel){ -1, -1 };
}

/* The head comes in one piece, from a client on the same machine. */
static void tunnel_begin(struct connect_proxy *proxy, struct tunnel *t) {
	static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	char head[4096];
	ssize_t n = recv(t->client, head, sizeof(head) - 1, 0);
	struct sockaddr_in in;

	head[n > 0 ? n : 0] = '\0';
	if (strncmp(head, "CONNECT ", 8) != 0 || !strstr(head, "\r\n\r\n")) {
		tunnel_end(t);
		return;
	}
	pthread_mutex_lock(&proxy->lock);
	proxy->count++;
	snprintf(proxy->last, sizeof(proxy->last), "%.*s", (int)strcspn(head + 8, " "), head + 8);
	pthread_mutex_unlock(&proxy->lock);
	t->server = loopback(proxy->to_port, &in);
	if (connect(t->server, (struct sockaddr *)&in, sizeof(in)) < 0 || send(t->client, yes, sizeof(yes) - 1, MSG_NOSIGNAL) < 0)
		tunnel_end(t);
}

static void pass_on(struct tunnel *t, int from, int to) {
	char data[65536];
	ssize_t n = recv(from, data, sizeof(data), 0);

	if (n <= 0 || send(to, data, (size_t)n, MSG_NOSIGNAL) != n)
		tunnel_end(t);
}

static void take_in(struct connect_proxy *proxy) {
	int fd = accept(proxy->fd, NULL, NULL);

	for (int i = 0; i < MAX_TUNNELS; i++) {
		if (proxy->tunnels[i].client < 0) {
			proxy->tunnels[i].client = fd;
			return;
		}
	}
	close(fd);
}

static void *run(void *arg) {
	struct connect_proxy *proxy = arg;
	struct pollfd fds[2 + 2 * MAX_TUNNELS] = { { .fd = proxy->stop, .events = POLLIN }, { .fd = proxy->fd, .events = POLLIN } };

	for (;;) {
		for (int i = 0; i < MAX_TUNNELS; i++) {
			fds[2 + 2 * i] = (struct pollfd){ .fd = proxy->tunnels[i].client, .events = POLLIN };
			fds[3 + 2 * i] = (struct pollfd){ .fd = proxy->tunnels[i].server, .events = POLLIN };
		}
		if (poll(fds, 2 + 2 * MAX_TUNNELS, -1) < 0 || fds[0].revents)
			return NULL;
		for (int i = 0; i < MAX_TUNNELS; i++) {
			struct tunnel *t = &proxy->tunnels[i];

			if (fds[2 + 2 * i].revents && t->server < 0)
				tunnel_begin(proxy, t);
			else if (fds[2 + 2 * i].revents)
				pass_on(t, t->client, t->server);
			if (fds[3 + 2 * i].revents && t->server >= 0)
				pass_on(t, t->server, t->client);
		}
		if (fds[1].revents)
			take_in(proxy);
	}
}

struct connect_proxy *connect_proxy_new(int to_port) {
	struct connect_proxy *proxy = calloc(1, sizeof(*proxy));
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int r;

	assert(proxy);
	for (int i = 0; i < MAX_TUNNELS; i++)
		proxy->tunnels[i] = (struct tunnel){ -1, -1 };
	pthread_mutex_init(&proxy->lock, NULL);
	proxy->to_port = to_port;
	proxy->stop = eventfd(0, EFD_CLOEXEC);
	proxy->fd = loopback(0, &in);
	r = bind(proxy->fd, (struct sockaddr *)&in, sizeof(in));
	assert(r == 0);
	r = listen(proxy->fd, 64);
	assert(r == 0);
	getsockname(proxy->fd, (struct sockaddr *)&in, &len);
	snprintf(proxy->url, sizeof(proxy->url), "http://127.0.0.1:%d", ntohs(in.sin_port));
	pthread_create(&proxy->thread, NULL, run, proxy);
	return proxy;
}

void connect_proxy_free(struct connect_proxy *proxy) {
	const uint64_t one = 1;
	ssize_t r;

	if (!proxy)
		return;
	r = write(proxy->stop, &one, sizeof(one));
	assert(r == sizeof(one));
	pthread_join(proxy->thread, NULL);
	for (int i = 0; i < MAX_TUNNELS; i++) {
		if (proxy->tunnels[i].client >= 0)
			tunnel_end(&proxy->tunnels[i]);
	}
	close(proxy->fd);
	close(proxy->stop);
	pthread_mutex_destroy(&proxy->lock);
	free(proxy);
}

const char *connect_proxy_url(const struct connect_proxy *proxy) {
	return proxy->url;
}

int connect_proxy_count(struct connect_proxy *proxy) {
	int n;

	pthread_mutex_lock(&proxy->lock);
	n = proxy->count;
	pthread_mutex_unlock(&proxy->lock);
	return n;
}

void connect_proxy_last(struct connect_proxy *proxy, char *out, unsigned long size) {
	pthread_mutex_lock(&proxy->lock);
	snprintf(out, size, "%s", proxy->last);
	pthread_mutex_unlock(&proxy->lock);
}
