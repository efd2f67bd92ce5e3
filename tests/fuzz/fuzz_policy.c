// links: policy
/*
 * policy: any bytes as a document; what loads decides, explains and lists without contradicting itself, and what it
 * grants it would still grant while the token lives (P2).
 */
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "hallpass/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const principals[] = { "user:alice@example.com", "serviceAccount:a@b.cc", "principal:p", "group:x",
					  "user:x@corp.example" };
static const char *const accounts[] = { "a@p.iam.gserviceaccount.com", "ml-training-dev-sa@acme-ml.iam.gserviceaccount.com",
					"x@acme-prod.iam.gserviceaccount.com" };
static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "openid" };

static void require(bool truth) {
	if (!truth)
		abort();
}

static int no_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	(void)arg, (void)name, (void)data, (void)len;
	return -1;
}

/* Seconds and parts of them until the token is dead. */
static void stays_allowed(const struct policy *policy, const struct policy_query *q, const struct decision *first) {
	struct policy_query later = *q;
	int64_t step = (first->expires_by - q->now) / 16 + 1;
	struct decision d;

	for (later.now = q->now; later.now < first->expires_by; later.now += step)
		for (later.now_ns = q->now_ns; later.now_ns < 1000000000; later.now_ns += 499999999) {
			policy_decide(policy, &later, &d);
			require(d.reason == REASON_ALLOWED || d.reason == REASON_WINDOW_CLOSING);
		}
}

static void ask(const struct policy *policy, const struct policy_query *q) {
	struct buf b = BUF_INIT(1 << 16);
	struct decision d;
	json_t *why;

	policy_decide(policy, q, &d);
	require(d.allow == (d.reason == REASON_ALLOWED));
	if (d.allow) {
		require(d.lifetime_s >= 1 && d.lifetime_s <= POLICY_MAX_LIFETIME && d.rule && d.bound_by);
		require(d.expires_by <= d.permitted_until && d.expires_by >= q->now + d.lifetime_s);
		require(!q->lifetime_s || d.lifetime_s <= q->lifetime_s);
		stays_allowed(policy, q, &d);
	} else {
		require(d.lifetime_s == 0 && d.n_scopes == 0 && d.expires_by == 0);
		policy_denial_message(policy, q, &d, &b);
		require(b.len > 0);
	}
	why = policy_explain(policy, q, true);
	require(why && !strcmp(json_string_value(json_object_get(why, "decision")), d.allow ? "ALLOW" : "DENY"));
	json_decref(why);
	buf_fini(&b);
}

static void list(const struct policy *policy, const struct policy_query *q) {
	struct policy_listing *listing;
	json_t *entry;

	require(policy_listing_new(policy, q, &listing) == 0);
	while (policy_listing_next(listing, &entry) > 0)
		json_decref(entry);
	policy_listing_free(listing);
}

static void ask_all(const struct policy *policy) {
	for (size_t p = 0; p < ARRAY_SIZE(principals); p++)
		for (size_t a = 0; a < ARRAY_SIZE(accounts); a++) {
			struct policy_query q = { .now = 1795532645 + (int64_t)a * 40000, .principal = principals[p],
						  .now_ns = a == 1 ? 250000000 : 0, .service_account = accounts[a], .auth_method = "peer", .surface = "native",
						  .lifetime_s = (int64_t)p * 500, .clock_allowance_s = (int64_t)a * 5,
						  .scopes = scopes, .n_scopes = a };

			ask(policy, &q);
			if (a == 0)
				list(policy, &q);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const struct policy_host host = { no_zone, NULL };
	struct str text = { (const char *)data, size };
	struct buf b = BUF_INIT(1 << 20);
	struct policy_report report;
	struct policy *policy;
	struct error err;
	int r = policy_load("fuzz", text, &host, 1795532645, &policy, &report, &err);

	require((r == 0) == (policy != NULL) && (r == 0) == (report.n_errors == 0));
	policy_report_print(&report, "fuzz", text, true, &b);
	if (policy)
		ask_all(policy);
	policy_unref(policy);
	policy_report_fini(&report);
	buf_fini(&b);
	return 0;
}
