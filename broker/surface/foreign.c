/* See foreign.h. */

#include <string.h>
#include <strings.h>
#include "broker/surface/foreign.h"
#include "hallpass/cleanup.h"

struct str foreign_field(const struct http_request *request) {
	static const struct {
		size_t n;
		const char *name;
		bool prefix;
	} foreign[] = {
		{ 6, "origin", false }, { 7, "referer", false }, { 10, "sec-fetch-", true }, { 15, "x-forwarded-for", false },
		{ 9, "forwarded", false }, { 3, "via", false },
	};

	for (size_t i = 0; i < request->n_fields; i++) {
		struct str name = request->fields[i].name;

		if (!strchr("orsxfvORSXFV", name.p[0]))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(foreign); k++)
			if ((foreign[k].prefix ? name.n >= foreign[k].n : name.n == foreign[k].n) &&
			    !strncasecmp(name.p, foreign[k].name, foreign[k].n))
				return name;
	}
	return (struct str){ NULL, 0 };
}

void foreign_field_error(struct str field, struct error *err) {
	error_set(err, ERR_DENIED, "a request with the field %.*s comes from a web page or through a proxy, and gets nothing here",
		  (int)field.n, field.p);
}

int body_is_json(const struct http_request *request, struct error *err) {
	if (!http_type_is(request, "application/json"))
		return error_set(err, ERR_INVALID, "the Content-Type must be application/json");
	return 0;
}

/* The port behind a host, 80 where there is none; host is cut to what is before it. http.c has seen to the form. */
static unsigned take_port(struct str *host) {
	size_t at = host->n;
	unsigned port = 0;

	while (at && host->p[at - 1] >= '0' && host->p[at - 1] <= '9')
		at--;
	if (!at || host->p[at - 1] != ':')
		return 80;
	for (size_t i = at; i < host->n; i++)
		port = port * 10 + (unsigned)(host->p[i] - '0');
	host->n = at - 1;
	return port;
}

static bool name_is(struct str name, const char *want) {
	return name.n == strlen(want) && !strncasecmp(name.p, want, name.n);
}

bool host_is_ours(struct str host, uint16_t port) {
	static const struct {
		const char *name;
		bool loopback;
	} ours[] = {
		{ "127.0.0.1", true },		      { "localhost", true }, { "[::1]", true },
		{ "metadata.google.internal", false }, { "metadata", false }, { "169.254.169.254", false },
	};
	unsigned at = host.n ? take_port(&host) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (name_is(host, ours[i].name))
			return at == (ours[i].loopback ? port : 80);
	return false;
}
