/* See httpask.h. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/httpask.h"

static int connect_to(const char *url) {
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void send_question(int fd, const char *method, const char *path, const char *headers, const char *body) {
	char *text;
	bool host = headers && strcasestr(headers, "Host:");
	int n = asprintf(&text, "%s %s HTTP/1.1\r\n%sConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method, path,
			 host ? "" : "Host: x\r\n", headers ? headers : "", body ? strlen(body) : (size_t)0, body ? body : "");

	assert(n > 0 && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n);
	free(text);
}

void http_ask(const char *url, const char *method, const char *path, const char *headers, const char *body,
	      struct http_answer *out) {
	int fd = connect_to(url);
	size_t have = 0, size = 1 << 16;
	const char *end;

	*out = (struct http_answer){ .text = calloc(1, size) };
	assert(fd >= 0 && out->text);
	send_question(fd, method, path, headers, body);
	for (;;) {
		ssize_t r = recv(fd, out->text + have, size - 1 - have, 0);

		if (r <= 0)
			break;
		have += (size_t)r;
		if (size - have < 4096)
			out->text = realloc(out->text, size *= 2);
		out->text[have] = '\0';
	}
	close(fd);
	end = strstr(out->text, "\r\n\r\n");
	out->body = end ? end + 4 : out->text + have;
	out->body_len = (size_t)(out->text + have - out->body);
	if (!strncmp(out->text, "HTTP/1.1 ", 9))
		out->status = atoi(out->text + 9);
	out->json = json_loadb(out->body, out->body_len, 0, NULL);
}

void http_answer_fini(struct http_answer *answer) {
	json_decref(answer->json);
	free(answer->text);
	*answer = (struct http_answer){ 0 };
}

static const json_t *dig(const json_t *at, const char *dotted) {
	char copy[200], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", dotted);
	for (char *part = strtok_r(copy, ".", &save); part && at; part = strtok_r(NULL, ".", &save))
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
	return at;
}

const char *http_answer_text(const struct http_answer *answer, const char *dotted) {
	const char *text = json_string_value(dig(answer->json, dotted));

	return text ? text : "";
}

long long http_answer_int(const struct http_answer *answer, const char *dotted) {
	return json_integer_value(dig(answer->json, dotted));
}
