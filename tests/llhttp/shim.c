/*
 * llhttp (the parser of Node.js), strict, as one function: for tests/broker/test_llhttp.c, which loads it when it was built.
 *
 * Its sources are no part of this repository: Debian's node-llhttp has them in C (contrib/deps.sh unpacks it, the Makefile says where).
 */

#include <string.h>
#include "llhttp.h"
#include "tests/llhttp/shim.h"

struct walk {
	llhttp_settings_t settings;
	struct llhttp_seen *seen;
};

static struct walk *walk_of(llhttp_t *p) {
	return p->data;
}

static void put(char *to, size_t size, size_t *n, const char *at, size_t len) {
	if (len > size - *n)
		len = size - *n;
	memcpy(to + *n, at, len);
	*n += len;
}

static int on_url(llhttp_t *p, const char *at, size_t n) {
	struct llhttp_seen *s = walk_of(p)->seen;

	put(s->target, sizeof(s->target), &s->target_len, at, n);
	return 0;
}

/* Fields end up as "name\nvalue\n" each: no field holds a line feed. */
static int on_text(llhttp_t *p, const char *at, size_t n) {
	struct llhttp_seen *s = walk_of(p)->seen;

	put(s->fields, sizeof(s->fields), &s->fields_len, at, n);
	return 0;
}

static int on_text_end(llhttp_t *p) {
	return on_text(p, "\n", 1);
}

static int on_body(llhttp_t *p, const char *at, size_t n) {
	struct llhttp_seen *s = walk_of(p)->seen;

	put(s->body, sizeof(s->body), &s->body_len, at, n);
	return 0;
}

static int on_complete(llhttp_t *p) {
	struct llhttp_seen *s = walk_of(p)->seen;

	s->complete = 1;
	s->minor = p->http_minor;
	s->keep_alive = llhttp_should_keep_alive(p);
	strncpy(s->method, llhttp_method_name((llhttp_method_t)p->method), sizeof(s->method) - 1);
	return HPE_PAUSED;
}

void llhttp_see(const char *data, size_t len, struct llhttp_seen *out) {
	struct walk walk = { .seen = out };
	llhttp_t parser;
	const char *end;

	memset(out, 0, sizeof(*out));
	llhttp_settings_init(&walk.settings);
	walk.settings.on_url = on_url;
	walk.settings.on_header_field = on_text;
	walk.settings.on_header_field_complete = on_text_end;
	walk.settings.on_header_value = on_text;
	walk.settings.on_header_value_complete = on_text_end;
	walk.settings.on_body = on_body;
	walk.settings.on_message_complete = on_complete;
	llhttp_init(&parser, HTTP_REQUEST, &walk.settings);
	parser.data = &walk;
	llhttp_execute(&parser, data, len);
	end = out->complete ? llhttp_get_error_pos(&parser) : NULL;
	out->consumed = end ? (size_t)(end - data) : 0;
	if (!out->complete && llhttp_get_errno(&parser) != HPE_OK)
		strncpy(out->refusal, llhttp_errno_name(llhttp_get_errno(&parser)), sizeof(out->refusal) - 1);
}
