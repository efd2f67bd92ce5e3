/* See source.h and kind.h: the table of kinds, and the one machine that refreshes each of them. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/log.h"
#include "broker/source/kind.h"
#include "hallpass/cleanup.h"

#define CALL_TIMEOUT_MS 10000
#define MAX_ATTEMPTS 3		  /* calls per refresh that trouble may cost … */
#define MAX_RETRY_AFTER 5	  /* … and seconds that a server may make us wait in between; a longer pause ends it */
#define FIRST_RETRY_MS 200
#define MAX_BACKOFF 60		  /* seconds between refreshes that fail … */
#define MAX_PAUSE 300		  /* … or as many as the server asks for, up to this */
#define REFRESH_AHEAD 225	  /* seconds; the metadata server has a new token 240 s before the old one ends */
#define MIN_LEFT 10		  /* seconds; a token with less is not handed out while another can be had */

static const struct source_kind *const kinds[] = {
	&source_service_account, &source_authorized_user, &source_metadata, &source_external_account,
	&source_impersonated,
};

struct source_wait {
	struct source *source;
	TAILQ_ENTRY(source_wait) link;
	source_done_fn *done;
	void *arg;
};

DEFINE_FREEP(struct source, source_unref)

int64_t source_now(const struct source *source) {
	return source->clock ? source->clock(source->world) : clock_now().s;
}

/* --- the token in hand, and its refresh */

static bool source_good(const struct source *source, int64_t now) {
	return source->token.len && now < source->expires_at;
}

/* What is nearly over is kept back while its successor is on the way. */
static bool source_ready(const struct source *source, int64_t now) {
	return source_good(source, now) && (!source->refreshing || source->expires_at - now >= MIN_LEFT);
}

static void source_forget_sent(struct source *source) {
	for (size_t i = 0; i < SOURCE_MAX_SENT; i++)
		secret_fini(&source->sent[i]);
}

static void source_settle(struct source *source) {
	source->refreshing = false;
	source->renewed = false;
	source_forget_sent(source);
	event_active(source->deliver, EV_TIMEOUT, 0);
}

static void source_failed(struct source *source, const struct error *err, bool for_ever) {
	int64_t now = source_now(source);
	unsigned doublings = source->failures < 6 ? source->failures : 6;
	int64_t backoff = (int64_t)1 << doublings;

	source->failures++;
	source->error = *err;
	source->trouble_passes = false;
	source->not_before = for_ever ? INT64_MAX : now + (backoff < MAX_BACKOFF ? backoff : MAX_BACKOFF);
	if (source_good(source, now))
		log_warning(source->log, "credential-refresh-failed", "token_left_s=%lld error=%s",
			    (long long)(source->expires_at - now), err->message);
	source_settle(source);
}

void source_fail(struct source *source, enum error_code code, const char *fmt, ...) {
	struct error err = { .code = code };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.message, sizeof(err.message), fmt, ap);
	va_end(ap);
	error_wrap(&err, "credential %s", source->describe);
	source_failed(source, &err, false);
}

void source_succeed(struct source *source, const struct google_token *token) {
	int64_t now = source_now(source), life = token->expires_at - now;
	int64_t ahead = life / 4 < REFRESH_AHEAD ? life / 4 : REFRESH_AHEAD;

	if (life <= 0)
		return source_fail(source, ERR_UPSTREAM, "%s: the token is over already", source->calling);
	if (secret_set(&source->token, token->text, token->len) < 0)
		return source_fail(source, ERR_INTERNAL, "out of memory");
	source->expires_at = token->expires_at;
	source->refresh_at = token->expires_at - ahead > now ? token->expires_at - ahead : now + 1;
	source->failures = 0;
	source->not_before = 0;
	source->error.code = ERR_NONE;
	source_settle(source);
}

void source_take_oauth_token(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	struct google_token token;
	struct error err;

	(void)raw;
	if (google_oauth_token(answer, source_now(source), &token, &err) < 0)
		source_fail(source, ERR_UPSTREAM, "%s: %s", source->calling, err.message);
	else
		source_succeed(source, &token);
}

static void source_first_step(struct source *source) {
	struct error err;

	if (source->kind->refresh(source, &err) < 0)
		source_fail(source, err.code, "%s", err.message);
}

static void on_retry(evutil_socket_t fd, short events, void *arg) {
	(void)fd, (void)events;
	source_first_step(arg);
}

/* A pause that is longer than any we set was left behind by a clock that has been put back. */
static bool source_holds_back(const struct source *source, int64_t now) {
	return now < source->not_before &&
	       (source->not_before == INT64_MAX || source->not_before - now <= MAX_PAUSE);
}

/* Begins a refresh when there is reason to, and nothing against it. */
static void source_want(struct source *source) {
	int64_t now = source_now(source);

	if (source->refreshing || source_holds_back(source, now))
		return;
	if (source_good(source, now) && now < source->refresh_at)
		return;
	source->refreshing = true;
	source->attempt = 1;
	source_first_step(source);
}

/* --- one call of a refresh */

/* Trouble that may pass: the whole refresh again, a little later. False: enough of that. */
static bool source_try_again(struct source *source, int64_t retry_after_s) {
	uint32_t ms, jitter = 0;
	struct timeval tv;

	if (source->attempt >= MAX_ATTEMPTS || retry_after_s > MAX_RETRY_AFTER)
		return false;
	if (getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK) < 0)
		jitter = 0;
	ms = FIRST_RETRY_MS << source->attempt++;
	ms = ms / 2 + jitter % (ms / 2);
	if (retry_after_s > 0)
		ms += (uint32_t)retry_after_s * 1000;
	tv = (struct timeval){ ms / 1000, ms % 1000 * 1000 };
	return event_add(source->retry, &tv) == 0;
}

/* A 401 may be about the inner credential's token, which its own source believes to be good: once more with another. */
static bool source_renew_inner(struct source *source) {
	if (!source->inner || source->renewed)
		return false;
	source->renewed = true;
	source_invalidate(source->inner, source->inner->expires_at);
	source_first_step(source);
	return true;
}

/* A server that asks for a pause gets it. */
static void source_pause(struct source *source, int64_t retry_after_s) {
	int64_t until = source_now(source) + (retry_after_s < MAX_PAUSE ? retry_after_s : MAX_PAUSE);

	if (until > source->not_before)
		source->not_before = until;
}

static void source_refused(struct source *source, const struct fetch_result *result) {
	bool busy = result->status == 429 || result->status >= 500, login_over;
	struct google_error said;
	struct error err;

	if (busy && source_try_again(source, result->retry_after_s))
		return;
	if (result->status == 401 && source_renew_inner(source))
		return;
	google_error_read(result->body, result->body_len, source->sent, SOURCE_MAX_SENT, &said);
	/* A person has to act: asking again with the same refresh token is of no use, whatever the pause. */
	login_over = source->kind == &source_authorized_user && !strcmp(said.code, "invalid_grant");
	error_set(&err, login_over ? ERR_REFUSED : ERR_UPSTREAM, "credential %s: %s: HTTP %d: %s%s", source->describe, source->calling,
		  result->status, said.words,
		  login_over ? "; the login must be renewed: run `gcloud auth application-default login`, then "
			       "`hallpass reload`"
			     : "");
	source_failed(source, &err, login_over);
	source->trouble_passes = busy;
	source_pause(source, result->retry_after_s);
}

static void on_fetched(const struct fetch_result *result, void *arg) {
	struct source *source = arg;
	json_t *answer = NULL;
	struct error err;

	source->fetch = NULL;
	if (result->error.code != ERR_NONE) {
		if (result->transient && source_try_again(source, -1))
			return;
		source_fail(source, result->error.code, "%s: %s", source->calling, result->error.message);
		source->trouble_passes = result->transient;
		return;
	}
	if (result->status != 200 && !source->step_is_optional)
		return source_refused(source, result);
	if (!source->step_wants_text && !(answer = google_json(result->body, result->body_len, &err)))
		return source_fail(source, ERR_UPSTREAM, "%s: the answer: %s", source->calling, err.message);
	source->step(source, answer, result);
	google_json_free(answer);
}

/* Keeps what is about to be sent, to know it again in an answer. What is there already stays. */
static int source_keep_sent(struct source *source, const struct source_call *call) {
	const struct secret *secrets[SOURCE_MAX_SENT] = { call->secret ? call->secret : call->spec.bearer, call->also };

	for (size_t i = 0; i < SOURCE_MAX_SENT; i++) {
		if (secrets[i] == &source->sent[i])
			continue;
		secret_fini(&source->sent[i]);
		if (secrets[i] && secrets[i]->len &&
		    secret_set(&source->sent[i], secrets[i]->data, secrets[i]->len) < 0)
			return -1;
	}
	return 0;
}

void source_call(struct source *source, const struct source_call *call) {
	struct fetch_spec spec = call->spec;
	struct error err;

	spec.timeout_ms = CALL_TIMEOUT_MS;
	spec.body_max = GOOGLE_MAX_ANSWER;
	snprintf(source->calling, sizeof(source->calling), "%s %.*s", spec.method, (int)strcspn(spec.url, "?"),
		 spec.url);
	source->step = call->step;
	source->step_wants_text = call->text;
	source->step_is_optional = call->optional;
	if (source_keep_sent(source, call) < 0)
		return source_fail(source, ERR_INTERNAL, "out of memory");
	if (fetch_start(source->fetcher, &spec, on_fetched, source, &source->fetch, &err) < 0)
		source_fail(source, err.code, "%s: %s", source->calling, err.message);
}

/* --- waiters */

/* Tells everybody who was waiting when it began: later ones (started by a done function, say) get the next round. */
static void on_deliver(evutil_socket_t fd, short events, void *arg) {
	cleanup(source_unrefp) struct source *source = source_ref(arg);
	static const struct error none = { 0 };
	struct source_wait *wait;

	(void)fd, (void)events;
	for (unsigned n = source->n_waiting; n && (wait = TAILQ_FIRST(&source->waiting)); n--) {
		source_done_fn *done = wait->done;
		void *done_arg = wait->arg;
		bool ready;

		source_want(source); /* each time: a done function may have invalidated the token */
		ready = source_ready(source, source_now(source));
		if (!ready && source->refreshing)
			return;
		source_cancel(wait);
		if (ready)
			done(&source->token, source->expires_at, &none, done_arg);
		else
			done(NULL, 0, &source->error, done_arg);
	}
}

const struct secret *source_in_hand(struct source *source, int64_t *expires_at) {
	source_want(source);
	*expires_at = source->expires_at;
	return source_ready(source, source_now(source)) ? &source->token : NULL;
}

struct source_wait *source_token(struct source *source, source_done_fn *done, void *arg) {
	struct source_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	*wait = (struct source_wait){ .source = source, .done = done, .arg = arg };
	TAILQ_INSERT_TAIL(&source->waiting, wait, link);
	source->n_waiting++;
	event_active(source->deliver, EV_TIMEOUT, 0);
	return wait;
}

void source_cancel(struct source_wait *wait) {
	if (!wait)
		return;
	TAILQ_REMOVE(&wait->source->waiting, wait, link);
	wait->source->n_waiting--;
	free(wait);
}

void source_invalidate(struct source *source, int64_t expires_at) {
	if (source->expires_at == expires_at)
		secret_fini(&source->token);
}

/* --- help for kinds */

int source_check_url(const struct source *source, const char *key, const char *url, struct error *err) {
	if (!url || fetch_may_call(source->fetcher, url, err) == 0)
		return 0;
	return error_wrap(err, "%s", key);
}

void form_add(struct buf *body, const char *key, const char *value) {
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	buf_addf(body, "%s%s=", body->len ? "&" : "", key);
	for (const char *p = value; *p; p++) {
		if (strchr(plain, *p))
			buf_addc(body, *p);
		else
			buf_addf(body, "%%%02X", (unsigned char)*p);
	}
}

int secret_buf_init(struct buf *buf, size_t ceiling, struct error *err) {
	*buf = BUF_INIT(ceiling);
	if (!buf_grow(buf, ceiling))
		return error_set(err, ERR_INTERNAL, "out of memory");
	buf_reset(buf);
	return 0;
}

void secret_buf_fini(struct buf *buf) {
	if (buf->data)
		wipe(buf->data, buf->size);
	buf_fini(buf);
}

int copy_text(const char *text, char **out, struct error *err) {
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return error_set(err, ERR_INTERNAL, "out of memory");
	free(*out);
	*out = copy;
	return 0;
}

int copy_string(const json_t *file, const char *key, bool required, char **out, struct error *err) {
	const char *text;

	if (google_string(file, key, required, SOURCE_MAX_URL, &text, err) < 0)
		return -1;
	return copy_text(text, out, err);
}

int copy_secret(const json_t *file, const char *key, bool required, struct secret *out, struct error *err) {
	const char *text;

	if (google_string(file, key, required, SOURCE_MAX_FILE, &text, err) < 0)
		return -1;
	if (text && secret_set(out, text, strlen(text)) < 0)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return 0;
}

static int read_all(int fd, char *data, size_t max, size_t *len) {
	ssize_t r = 1;

	for (*len = 0; *len < max && r > 0; *len += r > 0 ? (size_t)r : 0)
		r = read(fd, data + *len, max - *len);
	return r < 0 ? -1 : 0;
}

int read_small_file(const char *path, size_t max, char **data, size_t *len, struct error *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = -1;

	*data = NULL;
	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		error_set(err, ERR_INVALID, "%s: not a regular file", path);
	else if (!(*data = malloc(max + 2)))
		error_set(err, ERR_INTERNAL, "out of memory");
	else if (read_all(fd, *data, max + 1, len) < 0)
		error_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
	else if (*len > max)
		error_set(err, ERR_INVALID, "%s: longer than %zu bytes", path, max);
	else
		(*data)[*len] = '\0', r = 0;
	close(fd);
	if (r < 0)
		wipe_free(take(data));
	return r;
}

/* --- making one */

struct source *source_blank(struct event_base *base, struct fetcher *fetcher, const struct source_options *options,
			    struct log *log, struct error *err) {
	cleanup(source_unrefp) struct source *source = calloc(1, sizeof(*source));

	if (!source) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	source->refs = 1;
	TAILQ_INIT(&source->waiting);
	source->base = base;
	source->fetcher = fetcher;
	source->log = log;
	source->clock = options->now;
	source->world = options->world;
	source->retry = evtimer_new(base, on_retry, source);
	source->deliver = evtimer_new(base, on_deliver, source);
	if (!source->retry || !source->deliver) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	if (copy_text(options->metadata_host, &source->metadata_host, err) < 0 ||
	    copy_text(options->token_endpoint, &source->token_endpoint, err) < 0 ||
	    copy_text(options->iam_endpoint, &source->iam_endpoint, err) < 0 ||
	    copy_text(options->sts_endpoint, &source->sts_endpoint, err) < 0)
		return NULL;
	return take(&source);
}

static int read_universe(struct source *source, const json_t *file, struct error *err) {
	if (copy_string(file, "universe_domain", false, &source->universe, err) < 0)
		return -1;
	if (!source->universe)
		return copy_text("googleapis.com", &source->universe, err);
	/* It becomes a part of host names. */
	if (strspn(source->universe, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(source->universe) ||
	    strlen(source->universe) > 200)
		return error_set(err, ERR_INVALID, "universe_domain is not a domain");
	return 0;
}

int source_set_quota_project(struct source *source, const char *project, struct error *err) {
	struct buf line = BUF_INIT(256);

	/* It becomes a part of a header. */
	if (!*project || strspn(project, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != strlen(project) || strlen(project) > 128)
		return error_set(err, ERR_INVALID, "quota project '%.128s' is not a project's id", project);
	buf_addf(&line, "X-Goog-User-Project: %s", project);
	free(source->quota_header);
	source->quota_header = buf_take(&line);
	if (!source->quota_header)
		return error_set(err, ERR_INTERNAL, "out of memory");
	return source->project ? 0 : copy_text(project, &source->project, err);
}

static int read_quota_project(struct source *source, const json_t *file, struct error *err) {
	const char *project;

	if (google_string(file, "quota_project_id", false, SOURCE_MAX_URL, &project, err) < 0)
		return -1;
	return project ? source_set_quota_project(source, project, err) : 0;
}

static const struct source_kind *kind_find(const char *type) {
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i] != &source_metadata && !strcmp(kinds[i]->name, type))
			return kinds[i];
	}
	return NULL;
}

int source_set_description(struct source *source, struct error *err) {
	struct buf text = BUF_INIT(8192);

	buf_addf(&text, "%s", source->kind->name);
	if (source->email)
		buf_addf(&text, " %s", source->email);
	if (source->file)
		buf_addf(&text, " (%s)", source->file);
	if (!buf_ok(&text)) {
		buf_fini(&text);
		return error_set(err, ERR_INTERNAL, "out of memory");
	}
	free(source->describe);
	source->describe = buf_take(&text);
	return 0;
}

static int source_read_tree(struct source *source, const json_t *file, struct error *err) {
	const char *type;

	if (google_string(file, "type", true, 64, &type, err) < 0 || read_universe(source, file, err) < 0)
		return -1;
	source->kind = kind_find(type);
	if (!source->kind)
		return error_set(err, ERR_INVALID,
				 "type %s is not supported (service_account, authorized_user, external_account and "
				 "impersonated_service_account are)",
				 type);
	if (source->kind->read(source, file, err) < 0 || read_quota_project(source, file, err) < 0)
		return -1;
	return source_set_description(source, err);
}

int source_read(struct source *source, const char *text, size_t len, struct error *err) {
	cleanup(google_json_freep) json_t *file = google_json(text, len, err);

	return file ? source_read_tree(source, file, err) : -1;
}

int source_nest(struct source *parent, const json_t *file, struct source **out, struct error *err) {
	const struct source_options options = {
		.metadata_host = parent->metadata_host,
		.token_endpoint = parent->token_endpoint,
		.iam_endpoint = parent->iam_endpoint,
		.sts_endpoint = parent->sts_endpoint,
		.now = parent->clock,
		.world = parent->world,
	};
	cleanup(source_unrefp) struct source *source = NULL;

	if (parent->depth + 1 >= SOURCE_MAX_NESTING)
		return error_set(err, ERR_INVALID, "credentials are nested more than %d deep", SOURCE_MAX_NESTING);
	source = source_blank(parent->base, parent->fetcher, &options, parent->log, err);
	if (!source)
		return -1;
	source->depth = parent->depth + 1;
	if (copy_text(parent->file, &source->file, err) < 0 || source_read_tree(source, file, err) < 0)
		return -1;
	*out = take(&source);
	return 0;
}

static int source_read_file(struct source *source, struct error *err) {
	char *text;
	size_t len;
	int r;

	if (read_small_file(source->file, SOURCE_MAX_FILE, &text, &len, err) < 0)
		return error_wrap(err, "credential");
	r = source_read(source, text, len, err);
	wipe_free(text);
	return r < 0 ? error_wrap(err, "credential %s", source->file) : 0;
}

static int source_use_metadata(struct source *source, struct error *err) {
	source->kind = &source_metadata;
	if (copy_text("googleapis.com", &source->universe, err) < 0 || source->kind->read(source, NULL, err) < 0)
		return -1;
	return source_set_description(source, err);
}

static const char *source_key_id(const struct source *source) {
	while (source && !source->key_id)
		source = source->inner;
	return source ? source->key_id : NULL;
}

static bool source_holds_secret(const struct source *source) {
	while (source && !source->holds_secret)
		source = source->inner;
	return source != NULL;
}

int source_open(struct event_base *base, struct fetcher *fetcher, const struct source_options *options,
		struct log *log, struct source **out, struct error *err) {
	cleanup(source_unrefp) struct source *source = source_blank(base, fetcher, options, log, err);
	int r;

	if (!source || adc_pick(options, &source->file, &source->metadata_host, err) < 0)
		return -1;
	r = source->file ? source_read_file(source, err) : source_use_metadata(source, err);
	if (r < 0 || adc_set_quota_project(options, source, err) < 0)
		return -1;
	if (source->file)
		adc_warn_of_file(log, source->file, source->kind->name, source_key_id(source),
				 source_holds_secret(source), source_now(source));
	*out = take(&source);
	return 0;
}

struct source *source_ref(struct source *source) {
	source->refs++;
	return source;
}

static void source_free(struct source *source) {
	static const struct error over = { ERR_CANCELLED, "hallpassd is stopping, or the credential was replaced" };
	struct source_wait *wait;

	source->refs = 1; /* done functions may look, but not revive */
	fetch_cancel(source->fetch);
	source_cancel(source->inner_wait);
	while ((wait = TAILQ_FIRST(&source->waiting))) {
		source_done_fn *done = wait->done;
		void *arg = wait->arg;

		source_cancel(wait);
		done(NULL, 0, &over, arg);
	}
	source_unref(source->inner);
	if (source->kind)
		source->kind->forget(source->own);
	if (source->retry)
		event_free(source->retry);
	if (source->deliver)
		event_free(source->deliver);
	secret_fini(&source->token);
	source_forget_sent(source);
	free(source->file);
	free(source->email);
	free(source->universe);
	free(source->project);
	free(source->quota_header);
	free(source->describe);
	free(source->metadata_host);
	free(source->token_endpoint);
	free(source->iam_endpoint);
	free(source->sts_endpoint);
	free(source);
}

void source_unref(struct source *source) {
	if (source && --source->refs == 0)
		source_free(source);
}

bool source_login_is_over(const struct source *source) {
	while (source && source->not_before != INT64_MAX)
		source = source->inner;
	return source != NULL;
}

bool source_trouble_passes(const struct source *source) {
	while (source && !source->trouble_passes)
		source = source->inner;
	return source != NULL;
}

const struct error *source_trouble(const struct source *source) {
	return &source->error;
}

const char *source_waits_for(const struct source *source) {
	while (source->inner_wait)
		source = source->inner;
	return source->refreshing && source->calling[0] ? source->calling : NULL;
}

const char *source_file(const struct source *source) {
	return source->file;
}

const char *source_kind(const struct source *source) {
	return source->kind->name;
}

const char *source_describe(const struct source *source) {
	return source->describe;
}

void source_describe_to(const struct source *source, bool operators, struct buf *out) {
	if (operators)
		buf_adds(out, source->describe);
	else
		buf_addf(out, "%s%s%s", source->kind->name, source->email ? " " : "", source->email ? source->email : "");
}

const char *source_email(const struct source *source) {
	return source->email;
}

const char *source_universe(const struct source *source) {
	return source->universe;
}

const char *source_project(const struct source *source) {
	return source->project;
}

const char *source_quota_header(const struct source *source) {
	return source->quota_header;
}
