/*
 * See fetch.h. The shape is that of libcurl's multi_socket interface: libcurl says which sockets and
 * which timer it wants watched, we tell it when they are ready, and what is finished is collected
 * after curl_multi_socket_action() has returned, so that done() may start or cancel anything.
 *
 * libcurl gets allocators that wipe what they free: its copies of headers and bodies hold tokens.
 */

#include <assert.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include "broker/clock.h"
#include "broker/fetch.h"
#include "broker/file.h"
#include "broker/handle.h"
#include "broker/log.h"
#include "broker/pace.h"
#include "hallpass/cleanup.h"

#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define MAX_CA_FILE (8 * 1024 * 1024)
#define CONNECT_TIMEOUT_MS 5000
#define MAX_CONNECTIONS_PER_HOST 64
#define MAX_HEADERS 32
#define FIRST_BODY 4096
#define BEARER "Authorization: Bearer "

struct fetcher {
	struct event_base *base;
	struct log *log;
	char *ca_file, *proxy; /* proxy NULL: the environment's */
	unsigned max_connections;
	struct curl curl; /* loaded by the first fetch_start() */
	bool initialised; /* curl_global_init() was ours */
	CURLM *multi;
	struct handles handles;
	struct event *timer;
	int64_t due_us; /* when libcurl wants it, monotonic */
	bool unarmed;	/* there was no room for it in the loop */
	LIST_HEAD(, fetch) running;
	struct pace pace;
	TAILQ_HEAD(, fetch) held; /* those of the running that begin later */
	struct event *gap;	  /* then */
};

struct fetch {
	struct fetcher *fetcher;
	LIST_ENTRY(fetch) link;
	TAILQ_ENTRY(fetch) behind; /* while it is held */
	int64_t began_us;	   /* monotonic */
	struct handle *handle;
	CURL *easy; /* the handle's */
	bool added, held; /* to the multi handle; until its time comes */
	char *sent; /* header lines and body, in one piece */
	struct curl_slist lines[MAX_HEADERS + 1]; /* into sent; the last one is for the bearer */
	fetch_done_fn *done;
	void *arg;
	char *body;
	size_t body_len, body_size, body_max;
	const char *want_header;
	bool too_long;
	char curl_error[CURL_ERROR_SIZE];
};

/* again: nothing went wrong with its handle. */
static void fetch_end(struct fetch *fetch, bool again) {
	struct fetcher *fetcher = fetch->fetcher;

	if (fetch->held)
		TAILQ_REMOVE(&fetcher->held, fetch, behind);
	if (fetch->added)
		fetcher->curl.multi_remove_handle(fetcher->multi, fetch->easy);
	handle_put(&fetcher->handles, fetch->handle, again);
	wipe_free(fetch->sent);
	if (fetch->body)
		wipe(fetch->body, fetch->body_len); /* what is behind was never written */
	free(fetch->body);
	free(fetch);
}

static void fetch_free(struct fetch *fetch) {
	if (fetch)
		fetch_end(fetch, false);
}

DEFINE_FREEP(struct fetch, fetch_free)

/* --- by which proxy */

/* Without "http://" and without what stands before an @. */
static const char *bare_proxy(const char *url) {
	const char *scheme = strstr(url, "://"), *at = strrchr(url, '@');

	return at ? at + 1 : scheme ? scheme + 3 : url;
}

/* The environment's, as libcurl looks for it; NULL: none. */
static const char *environment_proxy(const char **name) {
	static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		*name = names[i];
		if (getenv(names[i]) && *getenv(names[i]))
			return getenv(names[i]);
	}
	return NULL;
}

/* Whether NO_PROXY names the host or a domain above it. (libcurl knows ranges of addresses, too; this is for people.) */
static bool is_excepted(const char *url) {
	const char *except = getenv("no_proxy") ? getenv("no_proxy") : getenv("NO_PROXY");
	const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
	size_t len = strcspn(host, ":/"), n;

	for (const char *p = except ? except : ""; *(p += strspn(p, ", .")); p += n) {
		n = strcspn(p, ", ");
		if (n == 1 && *p == '*')
			return true;
		if (n <= len && !strncasecmp(host + len - n, p, n) && (n == len || host[len - n - 1] == '.'))
			return true;
	}
	return false;
}

/* Through which a URL is called, and by which name that was said; NULL: none. */
static const char *proxy_for(const struct fetcher *fetcher, const char *url, const char **name) {
	const char *proxy = fetcher->proxy;

	*name = "upstream.proxy";
	if (!strncasecmp(url, "http:", 5))
		return NULL;
	if (!proxy) /* libcurl asks the environment; "" is none at all */
		proxy = is_excepted(url) ? NULL : environment_proxy(name);
	return proxy && *proxy ? proxy : NULL;
}

void fetcher_way(const struct fetcher *fetcher, const char *url, struct buf *out) {
	const char *name, *proxy = proxy_for(fetcher, url, &name);

	if (!strncasecmp(url, "http:", 5)) {
		buf_adds(out, "by plain HTTP, through no proxy");
		return;
	}
	if (proxy)
		buf_addf(out, "through the proxy %s (%s)", bare_proxy(proxy), name);
	else
		buf_adds(out, "through no proxy");
	buf_addf(out, ", certificates checked against %s", fetcher->ca_file);
}

/* --- what came back */

/* What trying again may cure. Certificates, addresses and answers that are too long do not get better. */
static bool code_is_transient(CURLcode code) {
	static const CURLcode transient[] = {
		CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_SSL_CONNECT_ERROR,
		CURLE_OPERATION_TIMEDOUT,    CURLE_GOT_NOTHING,		 CURLE_SEND_ERROR,	CURLE_RECV_ERROR,
		CURLE_PARTIAL_FILE,	     CURLE_HTTP2,		 CURLE_HTTP2_STREAM,	CURLE_PROXY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(transient); i++) {
		if (transient[i] == code)
			return true;
	}
	return false;
}

/* The proxy that no way was found through, where that is what went wrong; NULL: it is not. */
static const char *proxy_in_the_way(const struct fetch *fetch, CURLcode code, const char **name) {
	const struct curl *curl = &fetch->fetcher->curl;
	curl_off_t ready_us = 0;
	const char *url = NULL;
	long proxy_said = 0;

	curl->easy_getinfo(fetch->easy, CURLINFO_EFFECTIVE_URL, &url);
	curl->easy_getinfo(fetch->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_said);
	curl->easy_getinfo(fetch->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
	if (!url || !code_is_transient(code) || ready_us || proxy_said / 100 == 2)
		return NULL;
	return proxy_for(fetch->fetcher, url, name);
}

static enum fetch_trouble trouble_of(const struct fetch *fetch, CURLcode code) {
	static const struct {
		CURLcode code;
		enum fetch_trouble trouble;
	} table[] = {
		{ CURLE_COULDNT_RESOLVE_PROXY, FETCH_NO_PROXY },     { CURLE_PROXY, FETCH_NO_PROXY },
		{ CURLE_COULDNT_RESOLVE_HOST, FETCH_NO_NAME },	     { CURLE_COULDNT_CONNECT, FETCH_NO_CONNECTION },
		{ CURLE_PEER_FAILED_VERIFICATION, FETCH_NO_TRUST },  { CURLE_SSL_CACERT_BADFILE, FETCH_NO_TRUST },
		{ CURLE_OPERATION_TIMEDOUT, FETCH_NO_TIME },
	};
	const char *name;

	if (proxy_in_the_way(fetch, code, &name))
		return FETCH_NO_PROXY;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].code == code)
			return table[i].trouble;
	return FETCH_OTHER_TROUBLE;
}

static void fetch_error(const struct fetch *fetch, CURLcode code, struct error *err) {
	const char *what = fetch->curl_error[0] ? fetch->curl_error : fetch->fetcher->curl.easy_strerror(code);
	const char *name, *proxy = proxy_in_the_way(fetch, code, &name);

	if (fetch->too_long || code == CURLE_FILESIZE_EXCEEDED)
		error_set(err, ERR_UPSTREAM, "the answer is longer than %zu bytes", fetch->body_max);
	else if (proxy)
		error_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UPSTREAM,
			  "the proxy %.120s (%s) lets nothing through: %s; see that it runs and what it wants, or name another: upstream.proxy in "
			  "hallpassd.yaml (\"\" is none)",
			  bare_proxy(proxy), name, what);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		error_set(err, ERR_TIMEOUT, "no answer in time: %s", what);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		error_set(err, ERR_UPSTREAM, "its certificate is not to be trusted (checked against %s): %s",
			  fetch->fetcher->ca_file, what);
	else
		error_set(err, ERR_UPSTREAM, "%s", what);
}

static const char *fetch_header(const struct fetch *fetch, const char *name) {
	struct curl_header *header;

	if (!name || fetch->fetcher->curl.easy_header(fetch->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

/* Seconds or a date (RFC 9110 §10.2.3). What is neither counts as not there. */
static int64_t retry_after(const struct fetch *fetch) {
	const char *value = fetch_header(fetch, "retry-after");
	size_t digits = value ? strspn(value, "0123456789") : 0;
	int64_t at;

	if (!value || !*value)
		return -1;
	if (!value[digits])
		return digits <= 9 ? atol(value) : 999999999;
	at = fetch->fetcher->curl.getdate(value, NULL);
	if (at < 0)
		return -1;
	at -= clock_now().s;
	return at > 0 ? at : 0;
}

static void fetch_finish(struct fetch *fetch, CURLcode code) {
	struct fetch_result result = { .body = fetch->body ? fetch->body : "", .body_len = fetch->body_len };
	long status = 0, sent = 0;

	LIST_REMOVE(fetch, link);
	fetch->fetcher->curl.easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	fetch->fetcher->curl.easy_getinfo(fetch->easy, CURLINFO_REQUEST_SIZE, &sent);
	result.status = (int)status;
	result.sent = sent > 0;
	result.retry_after_s = retry_after(fetch);
	result.header = fetch_header(fetch, fetch->want_header);
	if (code == CURLE_OK) {
		pace_learn(&fetch->fetcher->pace, clock_monotonic_us() - fetch->began_us);
	} else {
		fetch_error(fetch, code, &result.error);
		result.trouble = trouble_of(fetch, code);
		result.transient = code_is_transient(code);
	}
	fetch->done(&result, fetch->arg);
	fetch_end(fetch, code == CURLE_OK);
}

/* Runs outside every libcurl callback, so done() may start or cancel other fetches. */
static void fetcher_drain(struct fetcher *fetcher) {
	struct fetch *fetch;
	CURLMsg *msg;
	int left;

	while ((msg = fetcher->curl.multi_info_read(fetcher->multi, &left))) {
		assert(msg->msg == CURLMSG_DONE);
		fetcher->curl.easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
		fetch_finish(fetch, msg->data.result);
	}
}

/* --- libcurl's callbacks */

/* libcurl asks once: where the loop has no room for the timer, it is looked after in each turn. */
static void fetcher_arm(struct fetcher *fetcher, int64_t now_us) {
	int64_t us = fetcher->due_us > now_us ? fetcher->due_us - now_us : 0;

	fetcher->unarmed = event_add(fetcher->timer, &(struct timeval){ us / 1000000, us % 1000000 }) < 0;
	if (fetcher->unarmed)
		event_active(fetcher->timer, EV_TIMEOUT, 0);
}

static struct fetch *begun_by(const struct fetcher *fetcher, int64_t us) {
	struct fetch *fetch;

	LIST_FOREACH(fetch, &fetcher->running, link)
		if (fetch->added && fetch->began_us <= us)
			break;
	return fetch;
}

/*
 * Where memory ran out in it, libcurl says nothing of when it wants to go on, nor with which transfer; and 7.88 may have emptied a
 * table of that one's socket into which it writes with the next step, dividing by its size. They all end, and so do their sockets.
 */
static void fetcher_give_up(struct fetcher *fetcher) {
	const int64_t now_us = clock_monotonic_us(); /* done() may start others */
	struct fetch *fetch;

	while ((fetch = begun_by(fetcher, now_us)))
		fetch_finish(fetch, CURLE_OUT_OF_MEMORY);
}

static void fetcher_act(struct fetcher *fetcher, curl_socket_t fd, int what) {
	bool failed;
	int running;

	failed = fetcher->curl.multi_socket_action(fetcher->multi, fd, what, &running) != CURLM_OK;
	fetcher_drain(fetcher);
	if (failed)
		fetcher_give_up(fetcher);
}

static void on_socket_event(evutil_socket_t fd, short events, void *arg) {
	fetcher_act(arg, fd, ((events & EV_READ) ? CURL_CSELECT_IN : 0) | ((events & EV_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short events, void *arg) {
	struct fetcher *fetcher = arg;

	(void)fd, (void)events;
	if (fetcher->unarmed && clock_monotonic_us() < fetcher->due_us)
		fetcher_arm(fetcher, clock_monotonic_us());
	else
		fetcher_act(fetcher, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * These never fail. A callback that says -1 makes the whole multi handle dead: what is under way would never end, not even by its
 * timeout, and libcurl takes nothing new as long as it is there. A socket that nobody watches ends its transfer by the timeout.
 */
static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *slot) {
	struct fetcher *fetcher = arg;
	struct event *ev = slot;
	short events = EV_PERSIST;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (ev)
			event_free(ev);
		fetcher->curl.multi_assign(fetcher->multi, fd, NULL);
		return 0;
	}
	events |= (what & CURL_POLL_IN) ? EV_READ : 0;
	events |= (what & CURL_POLL_OUT) ? EV_WRITE : 0;
	if (ev) {
		event_del(ev);
		event_assign(ev, fetcher->base, fd, events, on_socket_event, fetcher);
	} else {
		ev = event_new(fetcher->base, fd, events, on_socket_event, fetcher);
		if (!ev)
			return 0;
		fetcher->curl.multi_assign(fetcher->multi, fd, ev);
	}
	event_add(ev, NULL);
	return 0;
}

static int timer_cb(CURLM *multi, long timeout_ms, void *arg) {
	struct fetcher *fetcher = arg;
	int64_t now_us = clock_monotonic_us();

	(void)multi;
	fetcher->unarmed = false;
	fetcher->due_us = now_us + timeout_ms * 1000;
	if (timeout_ms < 0)
		event_del(fetcher->timer);
	else
		fetcher_arm(fetcher, now_us);
	return 0;
}

/* --- when one begins */

/* Arms the timer; nothing runs yet. */
static int fetch_begin(struct fetch *fetch, int64_t now_us) {
	fetch->held = false;
	fetch->began_us = now_us;
	fetch->added = fetch->fetcher->curl.multi_add_handle(fetch->fetcher->multi, fetch->easy) == CURLM_OK;
	return fetch->added ? 0 : -1;
}

static void fetcher_wait(struct fetcher *fetcher, int64_t now_us) {
	int64_t us = pace_wait_us(&fetcher->pace, now_us);

	event_add(fetcher->gap, &(struct timeval){ .tv_usec = us > 0 ? us : 0 });
}

static void on_gap(evutil_socket_t fd, short events, void *arg) {
	struct fetcher *fetcher = arg;
	int64_t now_us = clock_monotonic_us();
	struct fetch *fetch;

	(void)fd, (void)events;
	while ((fetch = TAILQ_FIRST(&fetcher->held))) {
		if (!pace_begin(&fetcher->pace, now_us))
			return fetcher_wait(fetcher, now_us);
		TAILQ_REMOVE(&fetcher->held, fetch, behind);
		if (fetch_begin(fetch, now_us) < 0)
			fetch_finish(fetch, CURLE_OUT_OF_MEMORY);
	}
}

/* Nobody overtakes who is held. */
static int fetch_begin_or_hold(struct fetch *fetch) {
	struct fetcher *fetcher = fetch->fetcher;
	int64_t now_us = clock_monotonic_us();

	if (TAILQ_EMPTY(&fetcher->held)) {
		if (pace_begin(&fetcher->pace, now_us))
			return fetch_begin(fetch, now_us);
		fetcher_wait(fetcher, now_us);
	}
	fetch->held = true;
	TAILQ_INSERT_TAIL(&fetcher->held, fetch, behind);
	return 0;
}

/* --- the body */

/* Grows without leaving a copy behind. */
static bool body_reserve(struct fetch *fetch, size_t want) {
	size_t size = fetch->body_size ? fetch->body_size : FIRST_BODY;
	char *body;

	if (want <= fetch->body_size)
		return true;
	while (size < want)
		size *= 2;
	body = wipe_realloc(fetch->body, size);
	if (!body)
		return false;
	fetch->body = body;
	fetch->body_size = size;
	return true;
}

static size_t write_cb(char *data, size_t size, size_t n, void *arg) {
	struct fetch *fetch = arg;
	size_t len = size * n;

	if (len > fetch->body_max - fetch->body_len) {
		fetch->too_long = true;
		return 0; /* CURLE_WRITE_ERROR */
	}
	if (!body_reserve(fetch, fetch->body_len + len + 1))
		return 0;
	memcpy(fetch->body + fetch->body_len, data, len);
	fetch->body_len += len;
	fetch->body[fetch->body_len] = '\0';
	return len;
}

/* --- the fetcher */

static int fetcher_ready(struct fetcher *fetcher, struct error *err) {
	const struct curl *curl = &fetcher->curl;
	unsigned max = fetcher->max_connections;

	if (fetcher->multi)
		return 0;
	if (!curl->multi_init && curl_load(&fetcher->curl, err) < 0)
		return -1;
	/* Counted by libcurl, so several fetchers may each say it; only the first one's allocators count. */
	if (!fetcher->initialised &&
	    curl->global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc, strdup, calloc) != CURLE_OK)
		return error_set(err, ERR_INTERNAL, "libcurl cannot be initialised");
	fetcher->initialised = true;
	fetcher->multi = curl->multi_init();
	if (!fetcher->multi)
		return error_set(err, ERR_INTERNAL, "out of memory");
	curl->multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, socket_cb);
	curl->multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	curl->multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, timer_cb);
	curl->multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	curl->multi_setopt(fetcher->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)max);
	curl->multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)max * 2);
	return 0;
}

/* libcurl reads it at the first call: too late to hear of a wrong name. */
static int check_ca_file(const char *path, struct error *err) {
	char *text = NULL;
	size_t len;
	int r;

	if (!path)
		return 0;
	if (file_read(path, MAX_CA_FILE, &text, &len, err) < 0) {
		err->code = ERR_INVALID; /* what is not found is the configuration's fault */
		return error_wrap(err, "upstream.caFile");
	}
	r = memmem(text, len, "-----BEGIN ", 11) ? 0 : error_set(err, ERR_INVALID, "upstream.caFile: %s: holds no certificate in PEM", path);
	free(text);
	return r;
}

/* [SCHEME://][USER:PASSWORD@]HOST[:PORT], as far as libcurl would refuse it. Never quoted: it may hold a password. */
static int check_proxy(const char *proxy, struct error *err) {
	static const char *const schemes[] = { "http", "https", "socks4", "socks4a", "socks5", "socks5h" };
	const char *end = proxy ? strstr(proxy, "://") : NULL;
	bool known = !end;

	for (size_t i = 0; end && i < ARRAY_SIZE(schemes); i++)
		known |= strlen(schemes[i]) == (size_t)(end - proxy) && !strncasecmp(proxy, schemes[i], strlen(schemes[i]));
	if (!proxy || (known && !strpbrk(proxy, " \t\"<>\\") && (!end || end[3])))
		return 0;
	return error_set(err, ERR_INVALID, "upstream.proxy is no proxy's address like http://proxy.example.com:3128");
}

int fetcher_new(struct event_base *base, const struct fetch_options *options, struct log *log, struct fetcher **out,
		struct error *err) {
	struct fetcher *fetcher;

	if (check_ca_file(options->ca_file, err) < 0 || check_proxy(options->proxy, err) < 0)
		return -1;
	fetcher = calloc(1, sizeof(*fetcher));
	if (!fetcher)
		return error_set(err, ERR_INTERNAL, "out of memory");
	LIST_INIT(&fetcher->running);
	TAILQ_INIT(&fetcher->held);
	fetcher->base = base;
	fetcher->log = log;
	fetcher->max_connections = options->max_connections_per_host ? options->max_connections_per_host
								      : MAX_CONNECTIONS_PER_HOST;
	fetcher->ca_file = strdup(options->ca_file ? options->ca_file : SYSTEM_CA_FILE);
	fetcher->proxy = options->proxy ? strdup(options->proxy) : NULL;
	fetcher->timer = evtimer_new(base, on_timer, fetcher);
	fetcher->gap = evtimer_new(base, on_gap, fetcher);
	if (!fetcher->ca_file || (options->proxy && !fetcher->proxy) || !fetcher->timer || !fetcher->gap) {
		fetcher_free(fetcher);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	fetcher->handles = (struct handles){ .curl = &fetcher->curl,
					     .ca_file = fetcher->ca_file,
					     .proxy = fetcher->proxy,
					     .allow_http = options->allow_http,
					     .max_idle = fetcher->max_connections };
	*out = fetcher;
	return 0;
}

void fetcher_free(struct fetcher *fetcher) {
	struct fetch *fetch;

	if (!fetcher)
		return;
	while ((fetch = LIST_FIRST(&fetcher->running)))
		fetch_cancel(fetch);
	handles_fini(&fetcher->handles);
	if (fetcher->multi)
		fetcher->curl.multi_cleanup(fetcher->multi); /* may call socket_cb() and timer_cb() */
	if (fetcher->timer)
		event_free(fetcher->timer);
	if (fetcher->gap)
		event_free(fetcher->gap);
	if (fetcher->initialised)
		fetcher->curl.global_cleanup();
	free(fetcher->ca_file);
	free(fetcher->proxy);
	free(fetcher);
}

/* --- one fetch */

int fetch_may_call(const struct fetcher *fetcher, const char *url, struct error *err) {
	static const char in_hosts[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:";
	const char *at = strstr(url, "://");
	size_t n = at ? strcspn(at + 3, "/?#") : 0;
	char scheme[8] = "", host[256] = "";

	if (at && at - url < (ptrdiff_t)sizeof(scheme) && n < sizeof(host) && strspn(at + 3, in_hosts) == n) {
		memcpy(scheme, url, (size_t)(at - url));
		memcpy(host, at + 3, n);
		host[*host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":")] = '\0';
	}
	return url_judge(fetcher->handles.allow_http, url, scheme, host, err);
}

static int check_line(const char *line, struct error *err) {
	for (const char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7F)
			return error_set(err, ERR_INVALID, "a header line holds a control character");
	return 0;
}

static char *append(char *to, const void *from, size_t len) {
	memcpy(to, from, len);
	return to + len;
}

/* The i-th line begins here. */
static void add_line(struct fetch *fetch, size_t i, char *line) {
	fetch->lines[i].data = line;
	if (i)
		fetch->lines[i - 1].next = &fetch->lines[i];
}

static int count_lines(const struct fetch_spec *spec, size_t *n, size_t *bytes, struct error *err) {
	for (*n = 0; spec->headers && spec->headers[*n]; ++*n) {
		if (*n >= MAX_HEADERS)
			return error_set(err, ERR_INVALID, "more than %d header lines", MAX_HEADERS);
		if (check_line(spec->headers[*n], err) < 0)
			return -1;
		*bytes += strlen(spec->headers[*n]) + 1;
	}
	if (!spec->bearer)
		return 0;
	*bytes += sizeof(BEARER) + spec->bearer->len;
	return check_line(spec->bearer->data, err);
}

/* One copy of all that is sent, where it is wiped at the end; libcurl makes none of its own that would stay. */
static int fetch_set_request(struct fetch *fetch, const struct fetch_spec *spec, struct error *err) {
	size_t n, bytes = spec->body_len;
	const char *implied = spec->body ? "POST" : "GET";
	const struct curl *curl = &fetch->fetcher->curl;
	char *p;

	if (count_lines(spec, &n, &bytes, err) < 0)
		return -1;
	p = fetch->sent = malloc(bytes + 1);
	if (!p)
		return error_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < n; i++) {
		add_line(fetch, i, p);
		p = append(p, spec->headers[i], strlen(spec->headers[i]) + 1);
	}
	if (spec->bearer) {
		add_line(fetch, n++, p);
		p = append(p, BEARER, sizeof(BEARER) - 1);
		p = append(p, spec->bearer->data, spec->bearer->len + 1);
	}
	if (n)
		curl->easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->lines);
	if (spec->body) {
		memcpy(p, spec->body, spec->body_len);
		curl->easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
		curl->easy_setopt(fetch->easy, CURLOPT_POSTFIELDS, p);
	}
	if (strcmp(spec->method, implied) != 0)
		curl->easy_setopt(fetch->easy, CURLOPT_CUSTOMREQUEST, spec->method);
	return 0;
}

static void fetch_set_transfer(struct fetch *fetch, const struct fetch_spec *spec) {
	long connect_ms = spec->timeout_ms < CONNECT_TIMEOUT_MS ? (long)spec->timeout_ms : CONNECT_TIMEOUT_MS;
	const struct curl *curl = &fetch->fetcher->curl;
	CURL *easy = fetch->easy;

	curl->easy_setopt(easy, CURLOPT_PRIVATE, fetch);
	curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->curl_error);
	curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_cb);
	curl->easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
	curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)spec->timeout_ms);
	curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	curl->easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)spec->body_max);
}

int fetch_start(struct fetcher *fetcher, const struct fetch_spec *spec, fetch_done_fn *done, void *arg,
		struct fetch **out, struct error *err) {
	cleanup(fetch_freep) struct fetch *fetch = NULL;

	if (fetcher_ready(fetcher, err) < 0)
		return -1;
	fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return error_set(err, ERR_INTERNAL, "out of memory");
	fetch->fetcher = fetcher;
	fetch->done = done;
	fetch->arg = arg;
	fetch->body_max = spec->body_max;
	fetch->want_header = spec->want_header;
	fetch->handle = handle_get(&fetcher->handles, spec->url, err);
	if (!fetch->handle)
		return -1;
	fetch->easy = fetch->handle->easy;
	if (fetch_set_request(fetch, spec, err) < 0)
		return -1;
	fetch_set_transfer(fetch, spec);
	if (fetch_begin_or_hold(fetch) < 0)
		return error_set(err, ERR_INTERNAL, "libcurl refuses a transfer");
	LIST_INSERT_HEAD(&fetcher->running, fetch, link);
	*out = take(&fetch);
	return 0;
}

void fetch_cancel(struct fetch *fetch) {
	if (!fetch)
		return;
	LIST_REMOVE(fetch, link);
	fetch_free(fetch);
}
