/* See doctor.h; what it says, in diagnosis.h. */

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include "broker/clock.h"
#include "broker/diagnosis.h"
#include "broker/doctor.h"
#include "broker/note.h"
#include "broker/source/google_error.h"
#include "hallpass/cleanup.h"

#define CALL_MS 8000
#define URL_MAX_BYTES 2048

/* Of everybody's, in the order that they are told in; then two for each account. */
enum { CHECK_RECORD, CHECK_UPSTREAM, CHECK_CLOCK, CHECK_CREDENTIAL, CHECK_ACCOUNTS };
#define MAX_CHECKS (CHECK_ACCOUNTS + 2 * DOCTOR_MAX_ACCOUNTS)

/* One call under way, and the finding that it leads to. */
struct probe {
	struct doctor *doctor;
	struct fetch *fetch; /* NULL: not under way */
	struct finding *finding;
	void (*heard)(struct probe *probe, const struct fetch_result *result);
	enum policy_permission asked[N_PERMISSIONS];
	size_t n_asked;
	int64_t began_us, began_s;
};

struct doctor {
	struct doctor_spec spec;
	struct source *source;
	struct snapshot *snapshot;
	struct patient patient;
	struct buf way, upstream; /* which is the endpoint's URL */
	char email[256];
	struct finding checks[MAX_CHECKS];
	size_t n_checks;
	struct probe reach, whose, accounts[2 * DOCTOR_MAX_ACCOUNTS];
	struct source_wait *source_wait;
	struct secret bearer; /* while it is to be found out whose it is */
	unsigned under_way;
	struct event *late, *deliver;
	doctor_done_fn *done;
	void *arg;
};

static void doctor_free(struct doctor *d) {
	fetch_cancel(d->reach.fetch);
	fetch_cancel(d->whose.fetch);
	for (size_t i = 0; i < ARRAY_SIZE(d->accounts); i++)
		fetch_cancel(d->accounts[i].fetch);
	source_cancel(d->source_wait);
	secret_fini(&d->bearer);
	for (size_t i = 0; i < d->n_checks; i++)
		finding_fini(&d->checks[i]);
	buf_fini(&d->way);
	buf_fini(&d->upstream);
	if (d->late)
		event_free(d->late);
	if (d->deliver)
		event_free(d->deliver);
	source_unref(d->source);
	snapshot_unref(d->snapshot);
	free(d);
}

/* --- the end */

static void on_deliver(evutil_socket_t fd, short events, void *arg) {
	struct doctor *d = arg;
	json_t *checks = json_array();
	bool whole = true;

	(void)fd, (void)events;
	for (size_t i = 0; i < d->n_checks; i++)
		whole &= json_array_append_new(checks, finding_json(&d->checks[i])) == 0;
	if (!whole)
		json_decref(take(&checks));
	d->done(checks, d->arg);
	doctor_free(d);
}

/* One thing that was waited for less. */
static void over(struct doctor *d) {
	assert(d->under_way);
	if (--d->under_way == 0)
		event_active(d->deliver, EV_TIMEOUT, 0);
}

/* --- calls */

/* Each counts as a request of its asker's. False: not now, and the finding says so. */
static bool admitted(struct doctor *d, struct finding *finding) {
	struct error err;

	if (request_admit(d->spec.requests, d->snapshot->config, d->spec.caller->principal, &err) == LIMIT_OK)
		return true;
	finding_say(finding, HEALTH_UNKNOWN, "not asked: %s", err.message);
	return false;
}

static void on_heard(const struct fetch_result *result, void *arg) {
	struct probe *probe = arg;

	probe->fetch = NULL;
	probe->heard(probe, result);
	over(probe->doctor);
}

static void probe_start(struct probe *probe, const char *method, const char *url, const struct secret *bearer, const char *type,
			const char *body) {
	const char *const headers[] = { type, bearer ? source_quota_header(probe->doctor->source) : NULL, NULL };
	const struct fetch_spec spec = {
		.method = method, .url = url, .headers = type ? headers : NULL, .bearer = bearer, .body = body, .body_len = body ? strlen(body) : 0,
		.timeout_ms = CALL_MS, .body_max = GOOGLE_MAX_ANSWER, .want_header = "date",
	};
	struct fetch_result nothing = { .trouble = FETCH_OTHER_TROUBLE };

	probe->began_us = clock_monotonic_us();
	probe->began_s = clock_now().s;
	probe->doctor->under_way++;
	if (fetch_start(probe->doctor->spec.fetcher, &spec, on_heard, probe, &probe->fetch, &nothing.error) < 0)
		on_heard(&nothing, probe); /* what comes after it goes on */
}

/* --- the endpoint: any answer will do */

static void heard_upstream(struct probe *probe, const struct fetch_result *result) {
	struct doctor *d = probe->doctor;

	diagnose_upstream(probe->finding, &d->patient, d->upstream.data, result, (clock_monotonic_us() - probe->began_us) / 1000);
	diagnose_clock(&d->checks[CHECK_CLOCK], result->error.code ? NULL : result->header, probe->began_s, clock_now().s,
		       d->snapshot->config->clock_allowance_s);
}

static void ask_upstream(struct doctor *d) {
	d->reach = (struct probe){ .doctor = d, .finding = &d->checks[CHECK_UPSTREAM], .heard = heard_upstream };
	if (admitted(d, d->reach.finding))
		probe_start(&d->reach, "GET", d->upstream.data, NULL, NULL, NULL);
}

/* --- accounts */

static void heard_impersonation(struct probe *probe, const struct fetch_result *result) {
	diagnose_impersonation(probe->finding, &probe->doctor->patient, probe->asked, probe->n_asked, result);
}

static void heard_others(struct probe *probe, const struct fetch_result *result) {
	diagnose_others(probe->finding, &probe->doctor->patient, result);
}

/* What the policy gives the caller there, at whatever time: that is what Google should let the broker do. */
static size_t permissions_of(const struct doctor *d, const char *account, enum policy_permission out[N_PERMISSIONS]) {
	struct ask ask = { .surface = "native", .target = account };
	struct policy_query query;
	size_t n = 0;

	for (int p = 0; p < PERMISSION_IMPLICIT_DELEGATION; p++) {
		struct decision decision = { 0 };

		ask.permission = (enum policy_permission)p;
		request_query(&ask, d->spec.caller, d->snapshot, clock_now(), &query);
		policy_decide(d->snapshot->policy, &query, &decision);
		if (decision.allow || (decision.reason != REASON_NO_BINDING && decision.reason != REASON_INVALID))
			out[n++] = (enum policy_permission)p;
	}
	if (n == 0 && d->spec.for_operator)
		out[n++] = PERMISSION_GET_ACCESS_TOKEN;
	return n;
}

static void iam_url(const struct doctor *d, const char *account, const char *verb, struct buf *out) {
	const char *endpoint = d->snapshot->config->iam_admin_endpoint;

	if (endpoint)
		buf_adds(out, endpoint);
	else
		buf_addf(out, "https://iam.%s", source_universe(d->source));
	buf_addf(out, "/v1/projects/-/serviceAccounts/%s:%s", account, verb);
}

static void call_iam(struct probe *probe, const char *verb, const struct secret *bearer, const char *body) {
	struct buf url = BUF_INIT(URL_MAX_BYTES);

	iam_url(probe->doctor, probe->finding->account, verb, &url);
	if (!buf_ok(&url))
		finding_say(probe->finding, HEALTH_FAIL, "the account's name is too long");
	else if (admitted(probe->doctor, probe->finding))
		probe_start(probe, "POST", url.data, bearer, "Content-Type: application/json", body);
	buf_fini(&url);
}

static void ask_impersonation(struct probe *probe, const struct secret *bearer) {
	struct buf body = BUF_INIT(1024);

	buf_adds(&body, "{\"permissions\":[");
	for (size_t i = 0; i < probe->n_asked; i++)
		buf_addf(&body, "%s\"%s\"", i ? "," : "", permission_name(probe->asked[i]));
	buf_adds(&body, "]}");
	call_iam(probe, "testIamPermissions", bearer, body.data);
	buf_fini(&body);
}

static void ask_account(struct doctor *d, size_t i, const struct secret *bearer) {
	struct probe *may = &d->accounts[2 * i], *others = may + 1;
	const char *account = d->spec.accounts[i];

	*may = (struct probe){ .doctor = d, .finding = &d->checks[CHECK_ACCOUNTS + 2 * i], .heard = heard_impersonation };
	*others = (struct probe){ .doctor = d, .finding = may->finding + 1, .heard = heard_others };
	may->n_asked = permissions_of(d, account, may->asked);
	if (!may->n_asked) {
		finding_say(may->finding, HEALTH_FAIL, "the policy gives you nothing there, so Google is not asked");
		finding_remedy(may->finding, "hallpass why %s", account);
		finding_say(others->finding, HEALTH_UNKNOWN, "not asked: it is not yours");
		return;
	}
	ask_impersonation(may, bearer);
	call_iam(others, "getIamPolicy?options.requestedPolicyVersion=3", bearer, "");
}

static void ask_accounts(struct doctor *d, const struct secret *bearer) {
	for (size_t i = 0; i < d->spec.n_accounts; i++)
		ask_account(d, i, bearer);
}

/* --- whose credential it is: a login's file does not say, and the command that grants a role must */

static void heard_whose(struct probe *probe, const struct fetch_result *result) {
	json_t *answer = result->error.code || result->status != 200 ? NULL : google_json(result->body, result->body_len, &(struct error){ 0 });
	const char *email = json_string_value(json_object_get(answer, "email"));
	struct doctor *d = probe->doctor;

	if (email && *email && strlen(email) < sizeof(d->email)) {
		snprintf(d->email, sizeof(d->email), "%s", email);
		d->patient.email = d->email;
	}
	google_json_free(answer);
	ask_accounts(d, &d->bearer);
	secret_fini(&d->bearer);
}

/* Beside the token endpoint. */
static void tokeninfo_url(const struct doctor *d, struct buf *out) {
	const char *token = d->snapshot->config->token_endpoint;
	size_t n = token ? strlen(token) : 0;

	if (n > 6 && !strcmp(token + n - 6, "/token"))
		buf_addf(out, "%sinfo", token);
	else
		buf_addf(out, "https://oauth2.%s/tokeninfo", source_universe(d->source));
}

static void ask_whose(struct doctor *d, const struct secret *bearer) {
	struct buf url = BUF_INIT(URL_MAX_BYTES);
	char *body = malloc(bearer->len + 16);

	d->whose = (struct probe){ .doctor = d, .heard = heard_whose };
	tokeninfo_url(d, &url);
	if (!body || !buf_ok(&url) || secret_set(&d->bearer, bearer->data, bearer->len) < 0) {
		ask_accounts(d, bearer);
	} else {
		memcpy(body, "access_token=", 13);
		memcpy(body + 13, bearer->data, bearer->len + 1);
		probe_start(&d->whose, "POST", url.data, NULL, "Content-Type: application/x-www-form-urlencoded", body);
	}
	wipe_free(body);
	buf_fini(&url);
}

/* --- the credential */

static void say_unasked(struct doctor *d) {
	for (size_t i = CHECK_ACCOUNTS; i < d->n_checks; i++)
		finding_say(&d->checks[i], HEALTH_UNKNOWN, "not asked: the credential gives no token");
}

static void on_token(const struct secret *token, int64_t expires_at, const struct error *err, void *arg) {
	struct doctor *d = arg;
	struct error uncounted;

	d->source_wait = NULL;
	diagnose_credential(&d->checks[CHECK_CREDENTIAL], &d->patient, token ? expires_at : 0, clock_now().s, err);
	if (!token)
		say_unasked(d);
	else if (d->spec.n_accounts && !d->patient.email && !strcmp(source_kind(d->source), "authorized_user") &&
		 request_admit(d->spec.requests, d->snapshot->config, d->spec.caller->principal, &uncounted) == LIMIT_OK)
		ask_whose(d, token);
	else
		ask_accounts(d, token);
	over(d);
}

static void on_late(evutil_socket_t fd, short events, void *arg) {
	struct doctor *d = arg;

	(void)fd, (void)events;
	if (!d->source_wait)
		return;
	source_cancel(take(&d->source_wait));
	diagnose_credential(&d->checks[CHECK_CREDENTIAL], &d->patient, 0, 0,
			    &(struct error){ ERR_TIMEOUT, "its endpoint does not answer in time" });
	say_unasked(d);
	over(d);
}

static void ask_credential(struct doctor *d) {
	const struct timeval patience = { 2 * CALL_MS / 1000, 0 };

	d->under_way++;
	d->source_wait = source_token(d->source, on_token, d);
	if (d->source_wait && evtimer_add(d->late, &patience) == 0)
		return;
	source_cancel(take(&d->source_wait));
	finding_say(&d->checks[CHECK_CREDENTIAL], HEALTH_UNKNOWN, "not asked: no memory for it");
	say_unasked(d);
	over(d);
}

/* --- the beginning */

static void look_at_record(struct doctor *d) {
	struct finding *finding = &d->checks[CHECK_RECORD];
	struct request_world *world = d->spec.requests;
	struct audit_status status;
	struct error err = { 0 };

	audit_status(world->audit, &status);
	if (status.healthy && *status.loss) {
		finding_say(finding, HEALTH_WARN, "%s", status.loss);
		return;
	}
	if (status.healthy && request_check_clock(world->audit, clock_now().s, &err) == 0) {
		finding_say(finding, HEALTH_OK, "the record can be kept, %lld MiB are free", (long long)(status.free_bytes >> 20));
		return;
	}
	finding_say(finding, HEALTH_FAIL, "nothing can be issued, since it could not be recorded: %s", status.healthy ? err.message : status.problem);
	if (!status.healthy)
		finding_remedy(finding, d->spec.for_operator ? "make room or mend the disk under %s; hallpassd goes on by itself"
							     : "tell whoever runs the broker", d->snapshot->config->audit_dir);
}

/* Nobody waits for it: nothing is given. */
static void record(const struct doctor *d) {
	struct audit_record record = {
		.type = RECORD_DOCTOR, .principal = d->spec.caller->principal, .surface = "native", .also = d->spec.accounts, .n_also = d->spec.n_accounts,
	};

	note_peer(&record, d->spec.caller->peer);
	note(d->spec.requests, &record);
}

static void name_checks(struct doctor *d) {
	static const char *const ids[] = {
		[CHECK_RECORD] = "record", [CHECK_UPSTREAM] = "upstream", [CHECK_CLOCK] = "google-clock", [CHECK_CREDENTIAL] = "credential",
	};

	d->n_checks = CHECK_ACCOUNTS + 2 * d->spec.n_accounts;
	for (size_t i = 0; i < CHECK_ACCOUNTS; i++)
		finding_init(&d->checks[i], ids[i], NULL);
	for (size_t i = CHECK_ACCOUNTS; i < d->n_checks; i++)
		finding_init(&d->checks[i], i % 2 == CHECK_ACCOUNTS % 2 ? "impersonation" : "others", d->spec.accounts[(i - CHECK_ACCOUNTS) / 2]);
}

static void meet_patient(struct doctor *d) {
	const char *endpoint = d->snapshot->config->iam_endpoint, *email = source_email(d->source);

	d->way = BUF_INIT(8192);
	d->upstream = BUF_INIT(URL_MAX_BYTES);
	if (endpoint)
		buf_addf(&d->upstream, "%s/", endpoint);
	else
		buf_addf(&d->upstream, "https://iamcredentials.%s/", source_universe(d->source));
	if (buf_ok(&d->upstream))
		fetcher_way(d->spec.fetcher, d->upstream.data, &d->way);
	d->patient = (struct patient){
		.source = d->source,
		.email = email && *email ? email : NULL,
		.way = d->way.data,
		.for_operator = d->spec.for_operator,
		.as_broker = d->spec.caller->peer->uid == (int64_t)geteuid(),
		.broker_uid = geteuid(),
	};
}

struct doctor *doctor_start(const struct doctor_spec *spec, doctor_done_fn *done, void *arg) {
	struct doctor *d = calloc(1, sizeof(*d));

	assert(spec->n_accounts <= DOCTOR_MAX_ACCOUNTS);
	if (!d)
		return NULL;
	d->spec = *spec;
	d->source = source_ref(spec->source);
	d->snapshot = snapshot_ref(spec->snapshot);
	d->done = done;
	d->arg = arg;
	d->late = evtimer_new(spec->base, on_late, d);
	d->deliver = evtimer_new(spec->base, on_deliver, d);
	name_checks(d);
	meet_patient(d);
	if (!d->late || !d->deliver || !buf_ok(&d->way) || !buf_ok(&d->upstream)) {
		doctor_free(d);
		return NULL;
	}
	record(d);
	d->under_way++; /* this function */
	look_at_record(d);
	ask_upstream(d);
	ask_credential(d);
	over(d);
	return d;
}

void doctor_cancel(struct doctor *d) {
	if (d)
		doctor_free(d);
}
