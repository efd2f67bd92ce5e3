/* See handle.h. */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "broker/handle.h"
#include "hallpass/cleanup.h"

#define MAX_ORIGINS 8 /* that are known; what else is called is called with handles that are used once */

struct origin {
	SLIST_ENTRY(origin) link;
	SLIST_HEAD(, handle) idle;
	size_t len;
	char text[]; /* "https://host:port" */
};

/* --- which URLs */

/* Loopback never leaves the machine; the metadata server's plain HTTP does not leave the host under it. */
static bool host_speaks_plain_http(const char *host) {
	static const char *const names[] = { "localhost", "[::1]", "metadata.google.internal", "metadata",
					     "169.254.169.254", "[fd20:ce::254]" };
	struct in_addr in;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcasecmp(host, names[i]))
			return true;
	}
	return inet_pton(AF_INET, host, &in) == 1 && ntohl(in.s_addr) >> 24 == 127;
}

int url_judge(bool allow_http, const char *text, const char *scheme, const char *host, struct error *err) {
	int shown = (int)strcspn(text, "?");

	if (shown > 200)
		shown = 200;
	if (!*host)
		return error_set(err, ERR_INVALID, "'%.*s' is no URL to call; it looks like https://HOST/PATH", shown, text);
	if (!strcasecmp(scheme, "https"))
		return 0;
	if (strcasecmp(scheme, "http") != 0)
		return error_set(err, ERR_INVALID, "'%.*s' is not https", shown, text);
	if (allow_http || host_speaks_plain_http(host))
		return 0;
	return error_set(err, ERR_INVALID, "'%.*s' is plain http, and neither loopback nor the metadata server", shown, text);
}

/*
 * How long the origin is in a plain URL: one of which nobody could doubt where its host ends and its path begins, and whose path
 * is called as it stands. 0: not one of these.
 */
static size_t origin_length(const char *url) {
	static const char in_hosts[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
	static const char in_paths[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:@/";
	size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0, host;
	const char *path;

	host = scheme ? strspn(url + scheme, in_hosts) : 0;
	path = url + scheme + host;
	if (!host || *path != '/' || path[strspn(path, in_paths)] || strstr(path, "/."))
		return 0;
	return scheme + host;
}

static struct origin *origin_find(const struct handles *handles, const char *url, size_t len) {
	struct origin *origin;

	SLIST_FOREACH(origin, &handles->origins, link)
		if (origin->len == len && !memcmp(origin->text, url, len))
			return origin;
	return NULL;
}

/* NULL: one too many, or no memory. */
static struct origin *origin_add(struct handles *handles, const char *url, size_t len) {
	struct origin *origin = handles->n_origins < MAX_ORIGINS ? malloc(sizeof(*origin) + len) : NULL;

	if (!origin)
		return NULL;
	SLIST_INIT(&origin->idle);
	origin->len = len;
	memcpy(origin->text, url, len);
	SLIST_INSERT_HEAD(&handles->origins, origin, link);
	handles->n_origins++;
	return origin;
}

/* --- made */

static int handle_set_url(struct handles *handles, struct handle *handle, const char *text, bool *plain, struct error *err) {
	const struct curl *curl = handles->curl;
	char *scheme = NULL, *host = NULL;
	int r = -1;

	if (curl->url_set(handle->url, CURLUPART_URL, text, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl->url_get(handle->url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl->url_get(handle->url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		r = url_judge(handles->allow_http, text, "", "", err);
	else
		r = url_judge(handles->allow_http, text, scheme, host, err);
	*plain = r == 0 && !strcmp(scheme, "http");
	curl->free(scheme);
	curl->free(host);
	return r;
}

/*
 * What every exchange with an origin has in common: who is trusted, and what libcurl must not do by itself. -1: some of it could not
 * be set, for want of memory; libcurl's own would be in its place, other CAs, say, or another proxy.
 */
static int handle_set_trust(const struct handles *handles, CURL *easy, bool plain) {
	const struct curl *curl = handles->curl;
	/* Through a proxy plain HTTP would show the token to it; TLS goes by CONNECT. */
	const char *proxy = plain ? "" : handles->proxy;
	const CURLcode said[] = {
		curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https"),
		curl->easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L),
		curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L),
		curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L),
		curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L),
		curl->easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2),
		curl->easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L), /* each connection sees the certificate */
		curl->easy_setopt(easy, CURLOPT_CAINFO, handles->ca_file),
		curl->easy_setopt(easy, CURLOPT_CAPATH, NULL), /* its mere presence disables the CA cache: 35 ms a connection */
		curl->easy_setopt(easy, CURLOPT_PROXY_CAINFO, handles->ca_file),
		curl->easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL),
		curl->easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L),
		proxy ? curl->easy_setopt(easy, CURLOPT_PROXY, proxy) : CURLE_OK,
		proxy ? curl->easy_setopt(easy, CURLOPT_NOPROXY, "") : CURLE_OK, /* NO_PROXY is for the environment's */
		/* Wait for a handshake under way: where it offers HTTP/2, one connection does for all. */
		curl->easy_setopt(easy, CURLOPT_PIPEWAIT, plain ? 0L : 1L),
	};

	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		if (said[i] != CURLE_OK)
			return -1;
	return 0;
}

static void handle_set_habits(const struct handles *handles, CURL *easy) {
	const struct curl *curl = handles->curl;

	curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* or a cancelled fetch waits for its resolver thread */
	curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl->easy_setopt(easy, CURLOPT_USERAGENT, "hallpass/" HALLPASS_VERSION);
	curl->easy_setopt(easy, CURLOPT_BUFFERSIZE, 4096L); /* allotted, and wiped, for each exchange; answers are shorter */
}

static void handle_free(struct handles *handles, struct handle *handle) {
	if (handle->easy)
		handles->curl->easy_cleanup(handle->easy);
	handles->curl->url_cleanup(handle->url);
	free(handle);
}

static struct handle *handle_new(struct handles *handles, const char *url, struct error *err) {
	struct handle *handle = calloc(1, sizeof(*handle));
	bool plain = false;

	if (!handle) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	handle->easy = handles->curl->easy_init();
	handle->url = handles->curl->url();
	if (!handle->easy || !handle->url)
		error_set(err, ERR_INTERNAL, "out of memory");
	else if (handle_set_url(handles, handle, url, &plain, err) == 0) {
		handle_set_habits(handles, handle->easy);
		if (handle_set_trust(handles, handle->easy, plain) == 0)
			return handle;
		error_set(err, ERR_INTERNAL, "libcurl cannot be told whom to trust: out of memory");
	}
	handle_free(handles, handle);
	return NULL;
}

/* --- used, and used again */

/* NULL: there is none. */
static struct handle *handle_reuse(struct handles *handles, struct origin *origin, const char *path) {
	struct handle *handle = SLIST_FIRST(&origin->idle);

	if (!handle)
		return NULL;
	SLIST_REMOVE_HEAD(&origin->idle, idle);
	handles->n_idle--;
	if (handles->curl->url_set(handle->url, CURLUPART_PATH, path, 0) == CURLUE_OK)
		return handle;
	handle_free(handles, handle);
	return NULL;
}

struct handle *handle_get(struct handles *handles, const char *url, struct error *err) {
	size_t len = origin_length(url);
	struct origin *origin = len ? origin_find(handles, url, len) : NULL;
	struct handle *handle = origin ? handle_reuse(handles, origin, url + len) : NULL;

	if (!handle) {
		handle = handle_new(handles, url, err);
		if (!handle)
			return NULL;
		handle->origin = len && !origin ? origin_add(handles, url, len) : origin;
	}
	/* Both: what counts is the first, but libcurl makes a text of it where it has none, and must not be left with an earlier one. */
	if (handles->curl->easy_setopt(handle->easy, CURLOPT_CURLU, handle->url) == CURLE_OK &&
	    handles->curl->easy_setopt(handle->easy, CURLOPT_URL, url) == CURLE_OK)
		return handle;
	handle_free(handles, handle);
	error_set(err, ERR_INTERNAL, "out of memory");
	return NULL;
}

/* Takes away what was the last exchange's. The next one sets nearly all of it again; what it does not need must not be there. */
static void handle_blank(const struct handles *handles, CURL *easy) {
	const struct curl *curl = handles->curl;

	curl->easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
	curl->easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
	curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
	curl->easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
	curl->easy_setopt(easy, CURLOPT_PRIVATE, NULL);
	curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
	curl->easy_setopt(easy, CURLOPT_WRITEDATA, NULL);
}

void handle_put(struct handles *handles, struct handle *handle, bool again) {
	if (!handle)
		return;
	if (!again || !handle->origin || handles->n_idle >= handles->max_idle) {
		handle_free(handles, handle);
		return;
	}
	handle_blank(handles, handle->easy);
	SLIST_INSERT_HEAD(&handle->origin->idle, handle, idle);
	handles->n_idle++;
}

void handles_fini(struct handles *handles) {
	struct origin *origin;
	struct handle *handle;

	while ((origin = SLIST_FIRST(&handles->origins))) {
		while ((handle = SLIST_FIRST(&origin->idle))) {
			SLIST_REMOVE_HEAD(&origin->idle, idle);
			handle_free(handles, handle);
		}
		SLIST_REMOVE_HEAD(&handles->origins, link);
		free(origin);
	}
	handles->n_origins = handles->n_idle = 0;
}
