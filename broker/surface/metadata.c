/* See metadata.h. */

#include <assert.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/log.h"
#include "broker/secret.h"
#include "broker/status.h"
#include "broker/surface/ask.h"
#include "broker/surface/metadata.h"
#include "broker/surface/metadata_tree.h"
#include "broker/surface/oauth.h"
#include "broker/surface/uri.h"
#include "hallpass/cleanup.h"

#define FLAVOR "Metadata-Flavor: Google\r\nServer: Metadata Server for VM\r\n"
#define TEXT "application/text"
#define REPLY_MAX (1 << 20)
#define MAX_WAIT_S 86400

/* A question about the tree. Kept while it waits: the request's own bytes do not stay. */
struct asked {
	struct exchange *x;
	TAILQ_ENTRY(asked) link; /* while it waits for a change: */
	bool listed;
	struct event *timer;	 /* of its timeout_sec; NULL: none */
	char etag[METADATA_ETAG]; /* that the client has; "": the one there was when it came */
	bool wait, recursive, json, text;
	int64_t timeout_s;
	char *host, *target; /* for a redirect */
	struct uri_path path;
};

struct metadata {
	TAILQ_HEAD(waiting, asked) waiting;
	bool stopping;
};

/* --- replies */

static void reply(struct exchange *x, int status, const char *type, struct str body, const char *more) {
	struct buf extra = BUF_INIT(4096);

	buf_addf(&extra, FLAVOR "%s", more);
	exchange_reply(x, &(struct http_reply){ .status = status, .content_type = type, .body = body, .extra = extra.data });
	buf_fini(&extra);
}

static void refuse(struct exchange *x, int status, const char *error, const char *description, const char *more) {
	struct buf body = BUF_INIT(8192);

	oauth_error(&body, error, description);
	reply(x, status, "application/json", (struct str){ body.data, body.len }, more);
	buf_fini(&body);
}

static void not_found(struct exchange *x, const char *what) {
	refuse(x, 404, "not_found", what, "");
}

/* --- tokens */

static void refuse_outcome(struct exchange *x, const struct request_outcome *o, int status) {
	const char *reason = o->reason ? o->reason : status_of(o->error->code)->reason;

	refuse(x, status, reason, o->error->message, "");
}

/* The body holds a token: no copy of it stays behind. */
static void reply_token(struct exchange *x, const char *type, struct buf *body) {
	exchange_reply(x, &(struct http_reply){ .status = 200, .content_type = type, .body = { body->data, body->len },
						.extra = FLAVOR, .secret = true });
	wipe(body->data, body->len);
	buf_fini(body);
}

static void on_access_token(struct exchange *x, const struct request_outcome *o) {
	struct buf body = BUF_INIT(REPLY_MAX);

	if (!o->token) {
		refuse_outcome(x, o, oauth_status(o));
		return;
	}
	oauth_token(&body, o, 1);
	buf_addc(&body, '}');
	reply_token(x, "application/json", &body);
}

/*
 * 404 for every no: at a 403 gcloud takes the whole server for concealed, and gives up on access tokens, too. It asks for an ID token
 * of its own with each of them and does without one, but a 503, which will pass, makes it crash as well.
 */
static int id_token_status(const struct request_outcome *o) {
	static const char of_gcloud[] = "32555940559.apps.googleusercontent.com"; /* its client id, the same for everybody */
	int status = oauth_status(o);

	return status == 403 || !strcmp(o->ask->audience, of_gcloud) ? 404 : status;
}

static void on_id_token(struct exchange *x, const struct request_outcome *o) {
	struct buf body = BUF_INIT(REPLY_MAX);

	if (!o->token) {
		refuse_outcome(x, o, id_token_status(o));
		return;
	}
	if (buf_grow(&body, o->token->value.len + 1))
		buf_reset(&body);
	buf_add(&body, o->token->value.data, o->token->value.len);
	reply_token(x, TEXT, &body);
}

static void ask(struct exchange *x, enum policy_permission permission, json_t *body,
		void (*outcome)(struct exchange *x, const struct request_outcome *outcome)) {
	struct error err = { 0 };

	if (exchange_ask(x, permission, body, outcome, &err) < 0)
		refuse(x, status_of(err.code)->http, "invalid_request", err.message, "");
}

static void serve_token(struct exchange *x, const char *account, struct str query) {
	json_t *body = door_ask(x->door, PERMISSION_GET_ACCESS_TOKEN, account);
	char scopes[URI_MAX_TEXT];
	struct error err;
	int r = uri_parameter(query, "scopes", scopes, sizeof(scopes));

	if (r < 0)
		error_set(&err, ERR_INVALID, "scopes does not decode");
	else if (r > 0)
		r = ask_narrow(body, oauth_scopes(scopes), &err);
	if (r < 0) {
		json_decref(body);
		refuse(x, 400, "invalid_request", err.message, "");
		return;
	}
	ask(x, PERMISSION_GET_ACCESS_TOKEN, body, on_access_token);
}

/* format=full has the e-mail, as the real one's; it can have no instance, and licenses are those of one. */
static void serve_identity(struct exchange *x, const char *account, struct str query) {
	char audience[URI_MAX_TEXT] = "", format[16] = "standard", licenses[16] = "FALSE";
	json_t *body;

	if (uri_parameter(query, "audience", audience, sizeof(audience)) < 1 || !*audience) {
		refuse(x, 400, "invalid_request", "non-empty audience parameter required", "");
		return;
	}
	if (uri_parameter(query, "format", format, sizeof(format)) < 0 || (strcmp(format, "full") && strcmp(format, "standard")) ||
	    uri_parameter(query, "licenses", licenses, sizeof(licenses)) < 0 ||
	    (strcasecmp(licenses, "true") && strcasecmp(licenses, "false"))) {
		refuse(x, 400, "invalid_request", "format is standard or full, licenses TRUE or FALSE", "");
		return;
	}
	body = door_ask(x->door, PERMISSION_GET_OPEN_ID_TOKEN, account);
	json_object_set_new(body, "audience", json_string(audience));
	json_object_set_new(body, "includeEmail", json_boolean(!strcmp(format, "full")));
	ask(x, PERMISSION_GET_OPEN_ID_TOKEN, body, on_id_token);
}

/*
 * instance/service-accounts/ACCOUNT/token or …/identity. HEAD would have to issue a token to tell what GET's fields are, and no client of
 * Google's sends it: it issues none.
 */
static bool serve_computed(struct exchange *x, const struct uri_path *path, const struct http_request *request) {
	const char *account = path->n == 6 && !path->slash && !strcmp(path->segments[2], "instance") &&
					      !strcmp(path->segments[3], "service-accounts")
				      ? door_account(x->door, path->segments[4])
				      : NULL;

	if (!account || (strcmp(path->segments[5], "token") && strcmp(path->segments[5], "identity")))
		return false;
	if (request->method != HTTP_GET)
		refuse(x, 405, "method_not_allowed", "a token is given to GET alone", "Allow: GET\r\n");
	else if (!strcmp(path->segments[5], "token"))
		serve_token(x, account, request->query);
	else
		serve_identity(x, account, request->query);
	return true;
}

/* --- the tree */

static void asked_free(struct asked *asked) {
	if (asked->listed)
		TAILQ_REMOVE(&asked->x->door->front->metadata->waiting, asked, link);
	if (asked->timer)
		event_free(asked->timer);
	free(asked->host);
	free(asked->target);
	free(asked);
}

/* Gives the exchange back, which is to be answered; asked stays until asked_free(). */
static struct exchange *asked_end(struct asked *asked) {
	asked->x->waiting = NULL;
	return asked->x;
}

/* The scopes that the policy would give now: clients ask for those that they are shown. */
static void take_scopes(const struct exchange *x, struct decision *decision, struct metadata_account *account) {
	static const char *const cloud_platform[] = { "https://www.googleapis.com/auth/cloud-platform" };
	const struct snapshot *snapshot = x->door->front->requests->snapshot;
	const json_t *asked = json_object_get(x->door->terms, "scopes");
	struct ask ask = { .surface = surface_metadata.name, .target = account->email };
	struct policy_query query;

	for (size_t i = 0; i < json_array_size(asked) && i < POLICY_MAX_SCOPES; i++)
		ask.scopes[ask.n_scopes++] = json_string_value(json_array_get(asked, i));
	if (x->caller.principal[0]) {
		request_query(&ask, &x->caller, snapshot, clock_now(), &query);
		policy_decide(snapshot->policy, &query, decision);
	}
	account->scopes = decision->n_scopes ? decision->scopes : cloud_platform;
	account->n_scopes = decision->n_scopes ? decision->n_scopes : 1;
}

/* A new reference. with_scopes: exchange_identify() has been. */
static json_t *tree_of(const struct exchange *x, bool with_scopes) {
	const struct request_world *world = x->door->front->requests;
	struct metadata_account accounts[DOOR_MAX_ACCOUNTS] = { 0 };
	struct decision *decisions = calloc(x->door->n_accounts, sizeof(*decisions));
	char machine[256] = "localhost";
	struct metadata_facts facts = {
		.config = world->snapshot->config,
		.universe = minter_universe(world->minter),
		.machine = machine,
		.accounts = accounts,
		.n_accounts = x->door->n_accounts,
	};
	json_t *tree;

	if (!decisions)
		return NULL;
	gethostname(machine, sizeof(machine) - 1);
	for (size_t i = 0; i < x->door->n_accounts; i++) {
		accounts[i].email = x->door->accounts[i];
		if (with_scopes)
			take_scopes(x, &decisions[i], &accounts[i]);
	}
	tree = metadata_tree(&facts);
	free(decisions);
	return tree;
}

static void write_node(const struct asked *asked, const json_t *node, struct buf *body) {
	bool below = false;

	for (size_t i = 2; i < asked->path.n; i++)
		below |= !strcmp(asked->path.segments[i], "attributes");
	if (json_is_object(node) && asked->recursive)
		asked->text ? metadata_lines(node, body) : metadata_json(node, below, body);
	else if (json_is_object(node))
		asked->json ? metadata_list_json(node, body) : metadata_list(node, body);
	else
		asked->json ? metadata_json(node, below, body) : metadata_leaf(node, body);
}

static void reply_node(struct asked *asked, const json_t *node, const char *etag) {
	bool json = asked->json || (asked->recursive && !asked->text && json_is_object(node));
	struct buf body = BUF_INIT(REPLY_MAX);
	struct exchange *x = asked_end(asked);
	char more[48];

	write_node(asked, node, &body);
	snprintf(more, sizeof(more), "ETag: %s\r\n", etag);
	asked_free(asked);
	if (buf_ok(&body))
		reply(x, 200, json ? "application/json" : TEXT, (struct str){ body.data ? body.data : "", body.len }, more);
	else
		refuse(x, 500, "internal", "no memory for the answer", "");
	buf_fini(&body);
}

static void reply_moved(struct asked *asked) {
	struct buf more = BUF_INIT(URI_MAX_TEXT + 1024);
	struct exchange *x = asked_end(asked);
	size_t path = strcspn(asked->target, "?");

	buf_addf(&more, "Location: http://%s%.*s/%s\r\n", asked->host, (int)path, asked->target, asked->target + path);
	asked_free(asked);
	reply(x, 301, TEXT, STR(""), more.data ? more.data : "");
	buf_fini(&more);
}

static void refuse_asked(struct asked *asked) {
	struct exchange *x = asked_end(asked);

	asked_free(asked);
	not_found(x, "there is no such key, or no such service account behind this port");
}

static void refuse_without_memory(struct asked *asked) {
	struct exchange *x = asked_end(asked);

	asked_free(asked);
	refuse(x, 503, "temporarily_unavailable", "no memory for this request", "");
}

static bool needs_scopes(const struct asked *asked) {
	return asked->recursive || (asked->path.n == 6 && !strcmp(asked->path.segments[5], "scopes"));
}

static void on_timeout(evutil_socket_t fd, short events, void *arg);

/* Waits for another etag. False: it cannot. */
static bool wait_for_change(struct asked *asked) {
	struct front *front = asked->x->door->front;
	struct timeval span = { asked->timeout_s, 0 };

	if (asked->timeout_s && !asked->timer) {
		asked->timer = evtimer_new(front->base, on_timeout, asked);
		if (!asked->timer || evtimer_add(asked->timer, &span) < 0)
			return false;
	}
	if (!asked->listed)
		TAILQ_INSERT_TAIL(&front->metadata->waiting, asked, link);
	asked->listed = true;
	asked->x->waiting = asked;
	return true;
}

/* Answers, or goes on waiting. */
static void look(struct asked *asked) {
	json_t *tree = tree_of(asked->x, needs_scopes(asked));
	const json_t *node = metadata_find(tree, &asked->path, 2);
	char etag[METADATA_ETAG];

	if (!tree) {
		refuse_without_memory(asked);
	} else if (!node || json_is_null(node) || (asked->path.slash && !json_is_object(node))) {
		refuse_asked(asked);
	} else if (json_is_object(node) && !asked->path.slash) {
		reply_moved(asked);
	} else {
		metadata_etag(node, etag);
		if (asked->wait && !asked->etag[0])
			memcpy(asked->etag, etag, sizeof(etag));
		if (!asked->wait || asked->x->door->front->metadata->stopping || strcmp(asked->etag, etag) || !wait_for_change(asked))
			reply_node(asked, node, etag);
	}
	json_decref(tree);
}

static void on_timeout(evutil_socket_t fd, short events, void *arg) {
	struct asked *asked = arg;

	(void)fd, (void)events;
	asked->wait = false;
	look(asked);
}

static void on_identified(struct exchange *x) {
	struct asked *asked = take(&x->waiting);

	look(asked);
}

static void on_gone(struct exchange *x) {
	asked_free(x->waiting);
}

/* --- from a request */

static bool parameter_is_true(struct str query, const char *name) {
	char text[16];

	return uri_parameter(query, name, text, sizeof(text)) > 0 && !strcasecmp(text, "true");
}

/* False: one of them is none that there is. */
static bool take_parameters(struct asked *asked, struct str query) {
	char alt[8] = "", timeout[12] = "0", etag[64] = "";

	if (uri_parameter(query, "alt", alt, sizeof(alt)) < 0 || uri_parameter(query, "timeout_sec", timeout, sizeof(timeout)) < 0 ||
	    uri_parameter(query, "last_etag", etag, sizeof(etag)) < 0)
		return false;
	asked->recursive = parameter_is_true(query, "recursive");
	asked->wait = parameter_is_true(query, "wait_for_change");
	asked->json = !strcmp(alt, "json");
	asked->text = !strcmp(alt, "text");
	asked->timeout_s = atoll(timeout);
	if (asked->timeout_s > MAX_WAIT_S)
		asked->timeout_s = MAX_WAIT_S;
	snprintf(asked->etag, sizeof(asked->etag), "%.16s", etag);
	return (!*alt || asked->json || asked->text) && !timeout[strspn(timeout, "0123456789")];
}

static char *copy(struct str s) {
	return strndup(s.p ? s.p : "", s.n);
}

static void serve_tree(struct exchange *x, const struct uri_path *path, const struct http_request *request) {
	struct asked *asked = calloc(1, sizeof(*asked));

	if (!asked) {
		refuse(x, 503, "temporarily_unavailable", "no memory for this request", "");
		return;
	}
	asked->x = x;
	asked->path = *path;
	for (size_t i = 0; i < path->n; i++)
		asked->path.segments[i] = asked->path.text + (path->segments[i] - path->text);
	asked->host = copy(request->host);
	asked->target = copy(request->query.n ? (struct str){ request->path.p, request->path.n + 1 + request->query.n } : request->path);
	if (!asked->host || !asked->target) {
		asked_free(asked);
		refuse(x, 503, "temporarily_unavailable", "no memory for this request", "");
	} else if (!take_parameters(asked, request->query)) {
		asked_free(asked);
		refuse(x, 400, "invalid_request", "alt is json or text, timeout_sec a number of seconds", "");
	} else if (needs_scopes(asked)) {
		x->waiting = asked;
		exchange_identify(x, on_identified);
	} else {
		look(asked);
	}
}

/* What is above the tree. */
static void serve_above(struct exchange *x, const struct uri_path *path, const struct http_request *request) {
	struct buf more = BUF_INIT(1024);

	if (path->n && !path->slash) {
		buf_addf(&more, "Location: http://%.*s%.*s/\r\n", (int)request->host.n, request->host.p, (int)request->path.n,
			 request->path.p);
		reply(x, 301, TEXT, STR(""), more.data ? more.data : "");
		buf_fini(&more);
		return;
	}
	reply(x, 200, TEXT, path->n ? STR("v1/\n") : STR("computeMetadata/\n"), "");
}

static bool is_below(const struct uri_path *path) {
	return path->n >= 2 && !strcmp(path->segments[0], "computeMetadata") && !strcmp(path->segments[1], "v1");
}

static bool is_above(const struct uri_path *path) {
	return path->n == 0 || (path->n == 1 && !strcmp(path->segments[0], "computeMetadata"));
}

/* Whoever pings the root has no field to send yet; for all else it shows that no page made the request by itself. */
static void serve(struct exchange *x, const struct http_request *request) {
	struct str flavor = http_field(request, "metadata-flavor");
	struct uri_path path;

	if (request->method != HTTP_GET && request->method != HTTP_HEAD)
		refuse(x, 405, "method_not_allowed", "the metadata server takes GET alone", "Allow: GET, HEAD\r\n");
	else if (!str_eq(request->path, STR("/")) && !str_eq(flavor, STR("Google")))
		refuse(x, 403, "forbidden", "Missing Metadata-Flavor:Google header.", "");
	else if (!uri_path(request->path, &path) || (!is_below(&path) && !is_above(&path)))
		not_found(x, "there is no such path");
	else if (is_above(&path))
		serve_above(x, &path, request);
	else if (!serve_computed(x, &path, request))
		serve_tree(x, &path, request);
}

static bool takes(struct str path) {
	static const char root[] = "/computeMetadata";

	return str_eq(path, STR("/")) || (path.n >= sizeof(root) - 1 && !memcmp(path.p, root, sizeof(root) - 1));
}

const struct surface surface_metadata = { .name = "metadata", .takes = takes, .serve = serve, .gone = on_gone, .fields = FLAVOR };

/* --- who waits */

struct metadata *metadata_new(void) {
	struct metadata *metadata = calloc(1, sizeof(*metadata));

	if (metadata)
		TAILQ_INIT(&metadata->waiting);
	return metadata;
}

void metadata_free(struct metadata *metadata) {
	assert(!metadata || TAILQ_EMPTY(&metadata->waiting));
	free(metadata);
}

/* An answer may let its connection ask the next thing at once, which waits at the end: so far and no further. */
void metadata_changed(struct metadata *metadata) {
	struct asked *last = TAILQ_LAST(&metadata->waiting, waiting), *asked, *next;

	for (asked = TAILQ_FIRST(&metadata->waiting); asked; asked = next) {
		next = asked == last ? NULL : TAILQ_NEXT(asked, link);
		look(asked);
	}
}

void metadata_stop(struct metadata *metadata) {
	metadata->stopping = true;
	metadata_changed(metadata);
}
