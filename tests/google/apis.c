/* BigQuery, Resource Manager, user info, a service on Cloud Run and Kubernetes, as far as clients ask them who they are. See google.h. */

#include <stdio.h>
#include <string.h>
#include "tests/google/google.h"

/* --- BigQuery: every query is `SELECT SESSION_USER()` */

static json_t *query_answer(const char *account, const char *job) {
	return json_pack("{s:s, s:b, s:{s:s, s:s, s:s}, s:{s:[{s:s, s:s, s:s}]}, s:[{s:[{s:s}]}], s:s, s:s, s:b}", "kind",
			 "bigquery#queryResponse", "jobComplete", 1, "jobReference", "projectId", "acme-ml", "jobId", job, "location", "US",
			 "schema", "fields", "name", "user", "type", "STRING", "mode", "NULLABLE", "rows", "f", "v", account, "totalRows", "1",
			 "totalBytesProcessed", "0", "cacheHit", 0);
}

static json_t *job(const struct question *q, const char *account, const char *id) {
	json_t *body = json_loads(q->body, 0, NULL), *configuration = json_object_get(body, "configuration"), *json;

	json = json_pack("{s:s, s:s+, s:s, s:{s:s, s:s, s:s}, s:{s:s}, s:{s:s, s:s, s:s, s:{s:s, s:s}}}", "kind", "bigquery#job", "id",
			 "acme-ml:US.", id, "user_email", account, "jobReference", "projectId", "acme-ml", "jobId", id, "location", "US",
			 "status", "state", "DONE", "statistics", "creationTime", "1795000000000", "startTime", "1795000000000", "endTime",
			 "1795000000001", "query", "statementType", "SELECT", "totalBytesProcessed", "0");
	json_object_set_new(json, "configuration",
			    configuration ? json_incref(configuration)
					  : json_pack("{s:s, s:{s:s, s:{s:s, s:s, s:s}}}", "jobType", "QUERY", "query", "query",
						      "SELECT SESSION_USER()", "destinationTable", "projectId", "acme-ml", "datasetId",
						      "standin", "tableId", "answer"));
	json_decref(body);
	return json;
}

/* The id that the client gave its job, or ours. */
static const char *job_id(const struct question *q, char *out, size_t size) {
	json_t *body = json_loads(q->body, 0, NULL);
	const char *id = json_string_value(json_object_get(json_object_get(body, "jobReference"), "jobId"));
	const char *slash = strrchr(q->path, '/') + 1;

	snprintf(out, size, "%s", id ? id : strcmp(slash, "jobs") && strcmp(slash, "queries") ? slash : "standin-job");
	json_decref(body);
	return out;
}

static json_t *datasets(const char *account) {
	char name[256] = "of_", *at;

	account_name(account, name + 3, sizeof(name) - 3);
	while ((at = strchr(name, '-')))
		*at = '_';
	return json_pack("{s:s, s:[{s:s, s:s+, s:{s:s, s:s}, s:s}]}", "kind", "bigquery#datasetList", "datasets", "kind", "bigquery#dataset",
			 "id", "acme-ml:", name, "datasetReference", "datasetId", name, "projectId", "acme-ml", "location", "US");
}

void on_bigquery(const struct question *q, struct answer *a) {
	const char *account = seen_bearer(q, "bigquery", a), *what;
	char id[256];

	if (!account)
		return;
	what = q->path + strlen("/bigquery/v2/projects/");
	what += strcspn(what, "/");
	job_id(q, id, sizeof(id));
	if (!strcmp(what, "/datasets"))
		answer_json(a, 200, datasets(account));
	else if (!strncmp(what, "/queries", 8))
		answer_json(a, 200, query_answer(account, id));
	else if (!strncmp(what, "/jobs", 5))
		answer_json(a, 200, job(q, account, id));
	else if (strstr(what, "/tables/answer/data"))
		answer_json(a, 200, json_pack("{s:s, s:s, s:[{s:[{s:s}]}]}", "kind", "bigquery#tableDataList", "totalRows", "1", "rows", "f",
					      "v", account));
	else if (strstr(what, "/tables/answer"))
		answer_json(a, 200, json_pack("{s:s, s:{s:[{s:s, s:s}]}, s:s}", "kind", "bigquery#table", "schema", "fields", "name", "user",
					      "type", "STRING", "numRows", "1"));
	else
		answer_error(a, 404, "NOT_FOUND", NULL, "Not found.");
}

/* --- Resource Manager: one project, whose name is its reader's */

static json_t *project(const char *account) {
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "projectId", "acme-ml", "projectNumber", "123456789012", "lifecycleState", "ACTIVE",
			 "name", account, "createTime", "2026-11-26T00:00:00.000Z");
}

void on_projects(const struct question *q, struct answer *a) {
	const char *one = strncmp(q->path, "/v1/projects/", 13) ? NULL : q->path + 13, *account;

	if (one && strpbrk(one, "/:"))
		return on_unknown(q, a);
	account = seen_bearer(q, "projects", a);
	if (account)
		answer_json(a, 200, one ? project(account) : json_pack("{s:[o]}", "projects", project(account)));
}

void on_userinfo(const struct question *q, struct answer *a) {
	const char *account = seen_bearer(q, "userinfo", a);

	if (account)
		answer_json(a, 200, json_pack("{s:s, s:s, s:b}", "sub", "100000000000000000002", "email", account, "email_verified", 1));
}

/* Where a token may be used from: nobody told. */
void on_locations(const struct question *q, struct answer *a) {
	size_t n = strlen(q->path), leaf = strlen("/allowedLocations");

	if (n < leaf || strcmp(q->path + n - leaf, "/allowedLocations"))
		answer_error(a, 405, "METHOD_NOT_ALLOWED", NULL, "not with this method");
	else if (seen_bearer(q, "locations", a))
		answer_error(a, 404, "NOT_FOUND", NULL, "Requested entity was not found.");
}

/* --- Cloud Run: a service that wants an ID token for itself */

void on_service(const struct question *q, struct answer *a) {
	const char *account = seen_id_token(q, "service", a);

	if (account)
		answer_text(a, account);
}

/* --- Kubernetes: `kubectl auth whoami` */

void on_kubernetes(const struct question *q, struct answer *a) {
	const char *account = seen_bearer(q, "kubernetes", a);

	if (!account)
		return;
	if (strstr(q->path, "/selfsubjectreviews"))
		answer_json(a, 201, json_pack("{s:s, s:s, s:{}, s:{s:{s:s, s:[s]}}}", "kind", "SelfSubjectReview", "apiVersion",
					      "authentication.k8s.io/v1", "metadata", "status", "userInfo", "username", account, "groups",
					      "system:authenticated"));
	else
		answer_json(a, 404, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "status", "Failure",
					      "message", "the server could not find the requested resource", "reason", "NotFound", "code", 404));
}
