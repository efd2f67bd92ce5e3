/* See why.h. */

#include <stdlib.h>
#include "broker/denials.h"
#include "broker/past.h"
#include "broker/surface/ask.h"
#include "broker/surface/why.h"
#include "broker/versions.h"
#include "hallpass/api.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

struct why {
	struct request_world *world;
	struct snapshot *snapshot;
	json_t *body; /* the ask's strings are in it */
	bool may_audit;
	char principal[PRINCIPAL_MAX];
	struct peer peer;
	bool peer_known;
	struct ask ask;
	char request[REQUEST_ID_MAX]; /* of the refused one; "": it is described in the question */
	struct instant at;
	bool past;
	struct version version; /* under which it is told */
	struct past_wait *wait;
	why_done_fn *done;
	void *arg;
};

static void why_free(struct why *why) {
	json_decref(why->body);
	snapshot_unref(why->snapshot);
	free(why);
}

/* ---- the answer ---- */

static void why_query(const struct why *why, struct policy_query *out) {
	const struct caller caller = { .peer = &why->peer };

	request_query(&why->ask, &caller, why->snapshot, why->at, out);
	out->principal = why->principal;
	if (why->peer_known)
		return;
	out->peer = (struct policy_peer){ 0 };
	out->origin_ip = NULL;
	out->origin_port = 0;
}

/* What the answer is about, since the question need not say it. */
static json_t *about_json(const struct why *why) {
	json_t *json = json_pack("{s:s, s:s, s:s, s:o}", API_PRINCIPAL, why->principal, API_SERVICE_ACCOUNT, why->ask.target,
				 API_PERMISSION, permission_name(why->ask.permission), API_TIME, time_json(why->at.s));

	if (why->request[0])
		json_object_set_new(json, API_REQUEST_ID, json_string(why->request));
	return json;
}

static json_t *version_json(const struct why *why) {
	return json_pack("{s:s, s:o, s:b}", "sha256", why->version.hash, "since", time_json(why->version.since), "past",
			 why->past);
}

static void why_answer(struct why *why, const struct policy *policy) {
	struct policy_query query;
	struct error none;
	json_t *json;

	why_query(why, &query);
	json = policy_explain(policy, &query, why->may_audit);
	if (json) {
		json_object_set_new(json, "about", about_json(why));
		json_object_set_new(json, "policy", version_json(why));
	}
	error_no_memory(&none);
	why->done(json, &none, NULL, why->arg);
	why_free(why);
}

static void why_fail(struct why *why, const struct error *err, const char *reason) {
	why->done(NULL, err, reason, why->arg);
	why_free(why);
}

static void on_loaded(struct policy *policy, const struct error *err, void *arg) {
	struct why *why = arg;
	struct error ours = *err;

	why->wait = NULL;
	if (policy) {
		why_answer(why, policy);
		return;
	}
	if (ours.code == ERR_INVALID)
		ours.code = ERR_INTERNAL; /* the file is at fault, not the question */
	why_fail(why, &ours, "POLICY_NOT_KEPT");
}

/* ---- the question ---- */

static int take_principal(struct why *why, const struct why_asker *asker, const char **reason, struct error *err) {
	const json_t *value = json_object_get(why->body, API_PRINCIPAL);
	const char *name = json_string_value(value);

	snprintf(why->principal, sizeof(why->principal), "%s", asker->caller->principal);
	why->peer = *asker->caller->peer;
	why->peer_known = true;
	if (!value)
		return 0;
	if (!name || !strchr(name, ':') || strlen(name) >= sizeof(why->principal))
		return error_set(err, ERR_INVALID, "principal must be one, like user:alice@example.com");
	if (!strcmp(name, why->principal))
		return 0;
	if (!asker->may_audit) {
		*reason = "NOT_OPERATOR";
		return error_set(err, ERR_DENIED, "%s is no operator: only those may ask about others", why->principal);
	}
	snprintf(why->principal, sizeof(why->principal), "%s", name);
	why->peer_known = false; /* who that would be is not who asks */
	return 0;
}

/* Whether nothing is described: then it is about the last refusal. */
static bool describes_nothing(const json_t *body) {
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)body, name, value)
		if (strcmp(name, API_TIME) && strcmp(name, API_PRINCIPAL))
			return false;
	return true;
}

static int take_denial(struct why *why, const char **refused_by, const char **reason, struct error *err) {
	const struct denial *denial = denials_find(why->world->denials, why->principal);

	if (!denial) {
		*reason = "NOTHING_DENIED";
		return error_set(err, ERR_NOT_FOUND,
				 "the policy has refused no request of %s since this broker started, or it is forgotten; name an account",
				 why->principal);
	}
	json_decref(why->body);
	why->body = json_incref(denial->ask.body);
	why->ask = denial->ask;
	why->peer = denial->peer;
	why->peer_known = true;
	why->at = denial->at;
	snprintf(why->request, sizeof(why->request), "%s", denial->request);
	*refused_by = denial->policy_sha256;
	return 0;
}

static int take_ask(struct why *why, struct error *err) {
	static const char *const extras[] = { API_PERMISSION, API_TIME, API_PRINCIPAL, NULL };
	const json_t *name = json_object_get(why->body, API_PERMISSION);
	enum policy_permission permission = PERMISSION_GET_ACCESS_TOKEN;

	if (name && (!json_is_string(name) || permission_parse(json_string_value(name), &permission) < 0))
		return error_set(err, ERR_INVALID,
				 "permission must be one of IAM's, like iam.serviceAccounts.getAccessToken");
	if (ask_parse(why->body, PERMISSION_GET_ACCESS_TOKEN, extras, &why->ask, err) < 0)
		return -1;
	why->ask.surface = "native";
	why->ask.permission = permission;
	return 0;
}

/* Under which policy: that which refused it, that which is in force now, or that which was then. */
static int take_version(struct why *why, const char *refused_by, int64_t now, const char **reason, struct error *err) {
	const struct versions *versions = why->world->versions;
	const struct version *then = refused_by		 ? versions_of(versions, refused_by)
				     : why->at.s >= now ? versions_of(versions, why->snapshot->policy_sha256)
							: versions_at(versions, why->at.s);
	char text[64];
	struct buf begin = BUF_ON(text);

	if (then) {
		why->version = *then;
		return 0;
	}
	*reason = "POLICY_NOT_KEPT";
	buf_add_time(&begin, versions->n ? versions->list[0].since : now);
	error_set(err, ERR_NOT_FOUND, "nobody knows which policy was in force then: the log begins at %s", text);
	return -1;
}

static int why_take(struct why *why, const struct why_asker *asker, struct instant now, const char **reason,
		    struct error *err) {
	const json_t *time = json_object_get(why->body, API_TIME);
	int64_t at = json_integer_value(time);
	const char *refused_by = NULL;

	if (time && !json_is_integer(time))
		return error_set(err, ERR_INVALID, "time must be an integer: Unix seconds");
	why->at = now;
	if (take_principal(why, asker, reason, err) < 0)
		return -1;
	if ((describes_nothing(why->body) ? take_denial(why, &refused_by, reason, err) : take_ask(why, err)) < 0)
		return -1;
	if (time) {
		why->at = (struct instant){ .s = at };
		refused_by = NULL;
	}
	return take_version(why, refused_by, now.s, reason, err);
}

void why_start(struct request_world *world, const struct why_asker *asker, const json_t *body, why_done_fn *done, void *arg,
	       struct why **out) {
	struct why *why = calloc(1, sizeof(*why));
	struct instant now = clock_now();
	const char *reason = NULL;
	struct error err = { 0 };

	*out = NULL;
	if (!why) {
		error_no_memory(&err);
		done(NULL, &err, NULL, arg);
		return;
	}
	why->world = world;
	why->snapshot = snapshot_ref(asker->snapshot);
	why->body = body ? json_incref((json_t *)body) : json_object();
	why->may_audit = asker->may_audit;
	why->done = done;
	why->arg = arg;
	if (why_take(why, asker, now, &reason, &err) < 0) {
		why_fail(why, &err, reason);
		return;
	}
	why->past = strcmp(why->version.hash, why->snapshot->policy_sha256) != 0;
	if (!why->past) {
		why_answer(why, why->snapshot->policy);
		return;
	}
	why->wait = past_start(world->past, &why->version, on_loaded, why);
	if (why->wait) {
		*out = why;
	} else {
		error_no_memory(&err);
		why_fail(why, &err, NULL);
	}
}

void why_cancel(struct why *why) {
	if (!why)
		return;
	past_cancel(why->wait);
	why_free(why);
}
