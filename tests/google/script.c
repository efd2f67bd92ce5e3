/* Mishaps on demand. See google.h and README.md. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/google/google.h"

static const char *const mishap_names[] = { "none", "reset", "half", "huge", "garbage" };

/* What a script may say. */
static const struct {
	const char *name;
	bool is_text;
} members[] = { { "endpoint", true },	  { "times", false },	 { "latency_ms", false }, { "status", false },
		{ "retry_after", false }, { "lie_s", false }, { "mishap", true }, { "oauth", true } };

static const struct {
	int status;
	const char *name, *message;
} failures[] = {
	{ 400, "INVALID_ARGUMENT", "Request contains an invalid argument." },
	{ 401, "UNAUTHENTICATED", "Request had invalid authentication credentials." },
	{ 403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)." },
	{ 404, "NOT_FOUND", "Requested entity was not found." },
	{ 409, "ABORTED", "The operation was aborted." },
	{ 429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Generate credential requests'." },
	{ 500, "INTERNAL", "Internal error encountered." },
	{ 503, "UNAVAILABLE", "The service is currently unavailable." },
	{ 504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete." },
};

/* 0: none was said. */
static bool status_known(int status) {
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (failures[i].status == status)
			return true;
	return !status || status == 200;
}

/* A misspelt script would make a test pass that tests nothing. */
static const char *fault_of(const json_t *json) {
	const char *key, *mishap = json_string_value(json_object_get(json, "mishap"));
	json_t *value;

	json_object_foreach((json_t *)json, key, value) {
		size_t i = 0;

		while (i < sizeof(members) / sizeof(members[0]) && strcmp(members[i].name, key))
			i++;
		if (i == sizeof(members) / sizeof(members[0]))
			return "a script has endpoint, times, latency_ms, status, retry_after, lie_s, mishap and oauth";
		if (members[i].is_text ? !json_is_string(value) : !json_is_integer(value))
			return "endpoint, mishap and oauth are texts, all else are whole numbers";
	}
	if (!status_known((int)json_integer_value(json_object_get(json, "status"))))
		return "status is 200, 400, 401, 403, 404, 409, 429, 500, 503 or 504";
	if (json_integer_value(json_object_get(json, "times")) < 0 || json_integer_value(json_object_get(json, "latency_ms")) < 0)
		return "times and latency_ms are not below 0";
	for (size_t i = 0; mishap && i < sizeof(mishap_names) / sizeof(mishap_names[0]); i++)
		if (!strcmp(mishap_names[i], mishap))
			return NULL;
	return mishap ? "mishap is none, reset, half, huge or garbage" : NULL;
}

const char *script_add(struct world *world, const json_t *json) {
	const char *endpoint = json_string_value(json_object_get(json, "endpoint"));
	const char *mishap = json_string_value(json_object_get(json, "mishap"));
	const char *oauth = json_string_value(json_object_get(json, "oauth"));
	const json_t *times = json_object_get(json, "times"), *lie = json_object_get(json, "lie_s");
	const char *fault = json_is_object(json) ? fault_of(json) : "a script is an object";
	struct rule *rule, **at = &world->rules;

	if (fault)
		return fault;
	rule = calloc(1, sizeof(*rule));
	snprintf(rule->endpoint, sizeof(rule->endpoint), "%s", endpoint ? endpoint : "*");
	snprintf(rule->oauth, sizeof(rule->oauth), "%s", oauth ? oauth : "");
	rule->times = times ? (int)json_integer_value(times) : -1;
	rule->latency_ms = (unsigned)json_integer_value(json_object_get(json, "latency_ms"));
	rule->status = (int)json_integer_value(json_object_get(json, "status"));
	rule->retry_after = json_object_get(json, "retry_after")
				    ? (int)json_integer_value(json_object_get(json, "retry_after"))
				    : -1;
	rule->has_lie = lie != NULL;
	rule->lie_s = json_integer_value(lie);
	for (size_t i = 0; mishap && i < sizeof(mishap_names) / sizeof(mishap_names[0]); i++)
		if (!strcmp(mishap_names[i], mishap))
			rule->mishap = (enum mishap)i;
	while (*at)
		at = &(*at)->next;
	*at = rule;
	return NULL;
}

void script_clear(struct world *world) {
	struct rule *rule;

	while ((rule = world->rules)) {
		world->rules = rule->next;
		free(rule);
	}
}

struct rule script_take(struct world *world, const char *endpoint) {
	struct rule taken = { .retry_after = -1 };

	for (struct rule *rule = world->rules; rule; rule = rule->next) {
		if (!rule->times || (strcmp(rule->endpoint, "*") && strcmp(rule->endpoint, endpoint)))
			continue;
		if (rule->times > 0)
			rule->times--;
		taken = *rule;
		taken.next = NULL;
		break;
	}
	return taken;
}

static void lie(struct answer *a, int64_t by_s) {
	json_t *json = json_loads(a->body, 0, NULL);
	const char *was = json_string_value(json_object_get(json, "expireTime"));
	struct tm tm = { 0 };
	char text[40];
	time_t t;

	if (was && strptime(was, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		t = timegm(&tm) + (time_t)by_s;
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		json_object_set_new(json, "expireTime", json_string(text));
		free(a->body);
		a->body = json_dumps(json, JSON_INDENT(2));
	}
	json_decref(json);
}

void script_apply(const struct rule *rule, struct answer *a) {
	if (rule->status && rule->status != 200) {
		for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
			if (failures[i].status != rule->status)
				continue;
			free(a->body);
			answer_error(a, rule->status, failures[i].name, NULL, failures[i].message);
		}
	}
	if (rule->oauth[0]) {
		free(a->body);
		answer_reauth(a, rule->oauth);
	}
	if (rule->has_lie)
		lie(a, rule->lie_s);
	if (rule->mishap == MISHAP_GARBAGE) {
		free(a->body);
		a->body = strdup("<html>this is no JSON");
	}
	if (rule->mishap == MISHAP_HUGE) {
		free(a->body);
		a->body = malloc(20000001);
		memset(a->body, 'x', 20000000);
		a->body[20000000] = '\0';
	}
}
