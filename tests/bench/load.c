/*
 * A closed-loop HTTP/1.1 load generator: C connections, each with one request on the way, for a bounded count.
 *
 * usage: load (unix:PATH | tcp:PORT) CONNECTIONS REQUESTS METHOD PATH [BODY [EVERY OTHER]]
 * Each EVERY-th request has the body OTHER, in which ###### is replaced by a number that counts up from a
 * random one: for accounts that have no cached token yet. Prints one JSON object: requests, seconds, rps, and latencies in µs, those of OTHER apart where there are both.
 * Any answer but 200, or a broken connection, is an error and the exit status is 1: a benchmark that did not reach
 * its server is no benchmark.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 20000
#define ANSWER_BYTES 65536

struct client {
	int fd;
	size_t have; /* bytes of the answer so far */
	size_t want; /* its whole length; 0: the head is not complete */
	int64_t sent_us;
	bool other;
	char answer[4096];
};

/* What is sent. */
struct text {
	char head[8192];
	size_t n;
	char *number; /* in head: the six bytes to be replaced; NULL: none */
};

struct plan {
	struct text main, other;
	size_t every; /* 0: no others */
	size_t sent, others, first;
};

struct latencies {
	uint32_t *us;
	size_t n;
};

static int64_t now_us(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void die(const char *what) {
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int dial(const char *to) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool local = !strncmp(to, "unix:", 5);
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, r;

	if (fd < 0)
		die("socket");
	if (local) {
		if (strlen(to + 5) >= sizeof(un.sun_path)) {
			errno = ENAMETOOLONG;
			die(to);
		}
		strcpy(un.sun_path, to + 5);
		r = connect(fd, (struct sockaddr *)&un, sizeof(un));
	} else {
		in.sin_port = htons((uint16_t)atoi(to + 4));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		r = connect(fd, (struct sockaddr *)&in, sizeof(in));
	}
	if (r < 0)
		die(to);
	return fd;
}

static void ask(struct client *c, struct plan *plan) {
	struct text *text;

	c->other = plan->every && plan->sent % plan->every == plan->every - 1;
	text = c->other ? &plan->other : &plan->main;
	plan->sent++;
	if (c->other && text->number) {
		char digits[24];

		snprintf(digits, sizeof(digits), "%06zu", (plan->first + plan->others) % 1000000);
		memcpy(text->number, digits, 6);
	}
	plan->others += c->other;
	c->have = c->want = 0;
	c->sent_us = now_us();
	if (write(c->fd, text->head, text->n) != (ssize_t)text->n)
		die("write");
}

/* True when the answer is whole. */
static bool hear(struct client *c) {
	ssize_t r = read(c->fd, c->answer + c->have, sizeof(c->answer) - 1 - c->have);
	char *end, *length;

	if (r <= 0) {
		errno = r ? errno : ECONNRESET;
		die("read");
	}
	c->have += (size_t)r;
	c->answer[c->have] = '\0';
	if (!c->want && (end = strstr(c->answer, "\r\n\r\n"))) {
		length = strcasestr(c->answer, "\r\ncontent-length:");
		if (strncmp(c->answer, "HTTP/1.1 200", 12) || !length || length > end) {
			fprintf(stderr, "load: not a 200 with a length: %.300s\n", c->answer);
			exit(1);
		}
		c->want = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
		if (c->want >= sizeof(c->answer)) {
			fprintf(stderr, "load: answers of %zu bytes are too long\n", c->want);
			exit(1);
		}
	}
	return c->want && c->have >= c->want;
}

static int by_value(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t percentile(const struct latencies *sorted, double p) {
	return sorted->n ? sorted->us[(size_t)((double)(sorted->n - 1) * p)] : 0;
}

static void run(struct client *clients, size_t n, size_t requests, struct plan *plan, struct latencies *mains,
		struct latencies *others) {
	struct epoll_event events[256];
	size_t done = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; i < n; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &clients[i] };

		if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &e) < 0)
			die("epoll_ctl");
	}
	for (size_t i = 0; i < n && plan->sent < requests; i++)
		ask(&clients[i], plan);
	while (done < requests) {
		int k = epoll_wait(ep, events, 256, 30000);

		if (k <= 0) {
			errno = k ? errno : ETIMEDOUT;
			die("no answer");
		}
		for (int i = 0; i < k; i++) {
			struct client *c = events[i].data.ptr;
			struct latencies *of = c->other ? others : mains;

			if (!hear(c))
				continue;
			of->us[of->n++] = (uint32_t)(now_us() - c->sent_us);
			done++;
			if (plan->sent < requests)
				ask(c, plan);
		}
	}
	close(ep);
}

static void make_text(struct text *text, const char *method, const char *path, const char *body) {
	/* The headers that google-auth sends, give or take: 284 bytes for a GET. */
	text->n = (size_t)snprintf(
		text->head, sizeof(text->head),
		"%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\n"
		"Accept: */*\r\nConnection: keep-alive\r\nMetadata-Flavor: Google\r\n"
		"X-Goog-Api-Client: gl-python/3.11.2 auth/2.39.0 auth-request-type/at cred-type/mds\r\n%sContent-Length: %zu\r\n\r\n%s",
		method, path, body ? "Content-Type: application/json\r\n" : "", body ? strlen(body) : (size_t)0, body ? body : "");
	text->number = strstr(text->head, "######");
}

int main(int argc, char **argv) {
	static struct plan plan;
	struct latencies mains = { 0 }, others = { 0 };
	size_t n, requests;
	struct client *clients;
	int64_t began;
	double seconds;

	if (argc < 6 || argc == 8) {
		fprintf(stderr, "usage: load (unix:PATH | tcp:PORT) CONNECTIONS REQUESTS METHOD PATH [BODY [EVERY OTHER]]\n");
		return 64;
	}
	n = strtoul(argv[2], NULL, 10);
	requests = strtoul(argv[3], NULL, 10);
	if (n < 1 || n > MAX_CONNECTIONS || requests < 1)
		return 64;
	make_text(&plan.main, argv[4], argv[5], argc > 6 ? argv[6] : NULL);
	if (argc > 8) {
		plan.every = strtoul(argv[7], NULL, 10);
		plan.first = (size_t)now_us() % 1000000;
		make_text(&plan.other, argv[4], argv[5], argv[8]);
	}
	clients = calloc(n, sizeof(*clients));
	mains.us = calloc(requests, sizeof(*mains.us));
	others.us = calloc(requests, sizeof(*others.us));
	if (!clients || !mains.us || !others.us)
		die("memory");
	for (size_t i = 0; i < n; i++)
		clients[i].fd = dial(argv[1]);
	usleep(50000); /* accepting them is not what is measured */
	began = now_us();
	run(clients, n, requests, &plan, &mains, &others);
	seconds = (double)(now_us() - began) / 1e6;
	if (plan.every == 1)
		mains = others; /* all of them are others */
	qsort(mains.us, mains.n, sizeof(*mains.us), by_value);
	qsort(others.us, others.n, sizeof(*others.us), by_value);
	printf("{\"connections\":%zu,\"requests\":%zu,\"seconds\":%.6f,\"rps\":%.1f,\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u,\"other50\":%u}\n",
	       n, requests, seconds, (double)requests / seconds, percentile(&mains, 0.5), percentile(&mains, 0.9),
	       percentile(&mains, 0.99), percentile(&mains, 1), percentile(&others, 0.5));
	return 0;
}
