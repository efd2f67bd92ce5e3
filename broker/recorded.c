/* See recorded.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/recorded.h"
#include "hallpass/cleanup.h"

static const char *text_or(const json_t *record, const char *key, const char *otherwise) {
	const char *text = json_string_value(json_object_get(record, key));

	return text ? text : otherwise;
}

static int64_t number(const json_t *record, const char *key) {
	return (int64_t)json_integer_value(json_object_get(record, key));
}

/* What is more than fits was no request of ours. */
static size_t list_of(const json_t *record, const char *key, const char **out, size_t max) {
	const json_t *list = json_object_get(record, key);
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list) && n < max; i++)
		if (json_string_value(json_array_get(list, i)))
			out[n++] = json_string_value(json_array_get(list, i));
	return n;
}

/* "127.0.0.1:40000", "[::1]:40000" */
static void take_origin(struct recorded *a) {
	const char *from = text_or(a->record, "from", ""), *colon = strrchr(from, ':');
	bool brackets = *from == '[' && colon && colon[-1] == ']';
	size_t n = colon ? (size_t)(colon - from) - 2 * brackets : 0;

	if (!n || n >= sizeof(a->ip))
		return;
	memcpy(a->ip, from + brackets, n);
	a->query.origin_ip = a->ip;
	a->query.origin_port = atoi(colon + 1);
}

static void take_peer(struct recorded *a) {
	const json_t *gid = json_object_get(a->record, "gid"), *pid = json_object_get(a->record, "pid");

	a->query.peer = (struct policy_peer){
		.known = json_object_get(a->record, "uid") != NULL,
		.uid = number(a->record, "uid"),
		.gid = gid ? (int64_t)json_integer_value(gid) : -1,
		.pid = pid ? (int64_t)json_integer_value(pid) : -1,
		.exe = text_or(a->record, "exe", NULL),
	};
}

/* Records once said when they were written, and nothing of when it was decided: before the call to Google. */
static void take_instant(struct recorded *a) {
	struct instant at;

	if (!record_time(text_or(a->record, "askedAt", ""), &at)) {
		a->lacks |= RECORDED_LACKS_INSTANT;
		at = a->time;
		at.s -= number(a->record, "upstreamMs") / 1000;
	}
	a->query.now = at.s;
	a->query.now_ns = at.ns;
}

static void take_query(struct recorded *a, enum policy_permission permission) {
	const json_t *r = a->record;

	a->query = (struct policy_query){
		.principal = text_or(r, "principal", NULL),
		.auth_method = "peer",
		.service_account = text_or(r, "target", NULL),
		.permission = permission,
		.scopes = a->scopes,
		.n_scopes = list_of(r, "askedScopes", a->scopes, POLICY_MAX_SCOPES),
		.lifetime_s = number(r, "askedLifetime"),
		.audience = text_or(r, "audience", NULL),
		.justification = text_or(r, "justification", NULL),
		.surface = text_or(r, "surface", NULL),
		.delegates = a->delegates,
		.n_delegates = list_of(r, "delegates", a->delegates, ASK_MAX_DELEGATES),
		.ceiling_s = number(r, "ceiling"),
		.clock_allowance_s = number(r, "allowance"),
	};
	take_instant(a);
	take_peer(a);
	take_origin(a);
}

static void take_answer(struct recorded *a) {
	const json_t *r = a->record;

	a->reason = text_or(r, "reason", "");
	a->allowed = !strcmp(text_or(r, "decision", ""), "ALLOW") && a->type != RECORD_DENIED; /* what would live too long is refused though a shorter one is allowed */
	a->cached = json_is_true(json_object_get(r, "cached"));
	a->binding = text_or(r, "binding", "");
	a->bound_by = text_or(r, "boundBy", "");
	a->policy = text_or(r, "policy", "");
	a->request = text_or(r, "request", "");
	a->lifetime_s = number(r, "lifetime");
	a->n_granted = list_of(r, "scopes", a->granted, POLICY_MAX_SCOPES);
}

static bool is_outcome(enum record_type type) {
	return type == RECORD_ISSUED || type == RECORD_DENIED || type == RECORD_FAILED || type == RECORD_ABANDONED;
}

enum recorded_kind recorded_read(struct str record, struct recorded *out) {
	enum policy_permission permission;
	struct record_head head;

	record_head(record, &head);
	*out = (struct recorded){ .type = head.type };
	if (!is_outcome(head.type) || !(out->record = json_loadb(record.p, record.n, JSON_REJECT_DUPLICATES, NULL)))
		return RECORDED_OTHER;
	record_time(text_or(out->record, "time", ""), &out->time);
	if (!json_object_get(out->record, "request")) { /* what became of a flight that everybody had left */
		recorded_fini(out);
		return RECORDED_OTHER;
	}
	if (!json_object_get(out->record, "decision") ||
	    permission_parse(text_or(out->record, "permission", "?"), &permission) < 0) {
		recorded_fini(out);
		return RECORDED_UNDECIDED;
	}
	out->lacks = json_is_true(json_object_get(out->record, "cut")) ? RECORDED_LACKS_LISTS : 0;
	take_query(out, permission);
	take_answer(out);
	return RECORDED_DECIDED;
}

void recorded_fini(struct recorded *asked) {
	json_decref(take(&asked->record));
}
