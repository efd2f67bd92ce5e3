/*
 * decide over random conditions and deny conditions, of all that the time can be asked: what is granted until then would be granted
 * at every second until then (P2), by asking at every second; and it is not shorter than it had to be.
 *
 * HALLPASS_HORIZON_POLICIES: how many; HALLPASS_HORIZON_SEED: where they begin.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/policy/gen_condition.h"
#include "tests/policy/load.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

#ifdef SANITIZED
#define POLICIES 150
#else
#define POLICIES 2000
#endif
#define SLOW_POLICIES 10 /* under valgrind */
#define FEW 100
#define SEED 20261126
#define LONGEST 1800 /* seconds asked for */

static const char *const others[] = { "request.auth.principal == 'user:alice@example.com'",
				      "request.auth.principal.startsWith('user:b')",
				      "origin.port > 1024",
				      "origin.port < 1024",
				      "has(request.justification)",
				      "request.peer.uid == 1", /* not known: errs */
				      "request.audience == 'x'" /* absent: errs */ };
static const struct gen_names names = { "origin.port", "request.peer.uid", NULL, others, ARRAY_SIZE(others) };

struct tally {
	unsigned long policies, grants, bound[2], tight, seconds;
};

static void put_rule(struct gen *g, struct buf *doc, const char *before) {
	g->text = BUF_INIT(65536);
	put_some_condition(g, false);
	buf_addf(doc, "%s      expression: |\n        %s\n", before, g->text.data);
	buf_fini(&g->text);
}

/* A binding with a condition, and half the time a deny rule with another. */
static struct policy *some_policy(struct gen *g, struct buf *doc) {
	buf_adds(doc, "version: 1\n");
	put_rule(g, doc,
		 "bindings:\n  - name: b\n    members: [user:alice@example.com]\n    serviceAccounts: [a@p.example]\n"
		 "    maxLifetime: 12h\n    condition:\n");
	if (rnd(g, 2))
		put_rule(g, doc, "denyRules:\n  - name: d\n    deniedPrincipals: [allAuthenticated]\n    denialCondition:\n");
	return load_policy((struct str){ doc->data, doc->len });
}

static struct decision decide(const struct policy *policy, const struct policy_query *q, int64_t s, uint32_t ns) {
	struct policy_query at = *q;
	struct decision d;

	at.now = s;
	at.now_ns = ns;
	policy_decide(policy, &at, &d);
	return d;
}

/* Nothing but a window that is about to close keeps it from being granted. */
static bool would_grant(const struct policy *policy, const struct policy_query *q, int64_t s, uint32_t ns) {
	enum decision_reason reason = decide(policy, q, s, ns).reason;

	return reason == REASON_ALLOWED || reason == REASON_WINDOW_CLOSING;
}

/* The first second from the query's on, through last, in which it would not be granted. */
static int64_t brute(const struct policy *policy, const struct policy_query *q, int64_t last) {
	for (int64_t s = q->now; s <= last; s++) {
		const uint32_t looks[] = { s == q->now ? q->now_ns : 0, 1, 500000000, 999999999 };

		for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
			if (looks[i] >= looks[0] && !would_grant(policy, q, s, looks[i]))
				return s;
	}
	return INT64_MAX;
}

static bool is_bound_by_time(const struct decision *d) {
	return d->reason == REASON_WINDOW_CLOSING || d->bound_by == BOUND_BY_CONDITION || d->bound_by == BOUND_BY_DENIAL_CONDITION;
}

static void check_instant(const struct policy *policy, const struct policy_query *q, const struct buf *doc, struct tally *tally) {
	struct decision d = decide(policy, q, q->now, q->now_ns);
	int64_t last = q->now + q->lifetime_s + q->clock_allowance_s + 1, ends;

	if (d.reason != REASON_ALLOWED && d.reason != REASON_WINDOW_CLOSING)
		return;
	ends = brute(policy, q, last);
	tally->seconds += (unsigned long)((ends < last ? ends : last) - q->now);
	if (d.allow && ends < d.expires_by)
		fail_msg("%s\nat %lld.%09u: granted until %lld, and not in second %lld", doc->data, (long long)q->now, q->now_ns,
			 (long long)d.expires_by, (long long)ends);
	tally->grants += d.allow;
	if (!is_bound_by_time(&d))
		return;
	tally->bound[d.bound_by == BOUND_BY_DENIAL_CONDITION]++;
	/* Of a window that closes nothing is said but that it does: within this second, or the allowance. */
	tally->tight += d.allow ? d.permitted_until == ends : ends <= q->now + 1 + q->clock_allowance_s + (q->now_ns > 0);
}

/* Where a few tries find one that grants. */
static struct policy_query some_query(struct gen *g, const struct policy *policy) {
	struct policy_query q = { .principal = "user:alice@example.com", .auth_method = "peer", .service_account = "a@p.example",
				  .origin_port = 2222, .surface = "native" };
	struct decision d;

	q.lifetime_s = 1 + rnd(g, rnd(g, 4) ? LONGEST / 3 : LONGEST);
	q.clock_allowance_s = rnd(g, 3) ? 0 : rnd(g, 20);
	for (int i = 0; i < 20; i++) {
		q.now = g->anchor + (int64_t)rnd(g, 3 * HOUR) - 3 * HOUR / 2;
		q.now_ns = rnd(g, 3) ? 0 : rnd(g, 1000000000);
		d = decide(policy, &q, q.now, q.now_ns);
		if (is_bound_by_time(&d) || (d.allow && i > 15))
			break;
	}
	return q;
}

static unsigned long number(const char *variable, unsigned long otherwise) {
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_P2_what_is_granted_would_be_granted_at_every_second(void **state) {
	unsigned long n = number("HALLPASS_HORIZON_POLICIES", getenv("HALLPASS_SLOW") ? SLOW_POLICIES : POLICIES);
	unsigned long seed = number("HALLPASS_HORIZON_SEED", SEED), bound;
	struct gen g = { .state = seed * 0x9E3779B97F4A7C15u + 3, .names = &names };
	struct zones *zones = zones_new(&test_host);
	struct tally tally = { 0 };
	struct error err;

	(void)state;
	for (; tally.policies < n; tally.policies++) {
		struct buf doc = BUF_INIT(1 << 17);
		struct policy *policy;

		g.zone = gen_zones[rnd(&g, ARRAY_SIZE(gen_zones))];
		assert_int_equal(zones_load(zones, str_of(g.zone), &g.ref, &err), 0);
		g.anchor = some_anchor(&g);
		policy = some_policy(&g, &doc);
		for (int i = 0; i < 3; i++) {
			struct policy_query q = some_query(&g, policy);

			check_instant(policy, &q, &doc, &tally);
		}
		policy_unref(policy);
		buf_fini(&doc);
	}
	zones_free(zones);
	bound = tally.bound[0] + tally.bound[1];
	print_message("%lu policies (seed %lu), %lu grants, %lu seconds asked at, each at four instants; %lu bound by a condition, %lu by a deny condition, "
		      "%.2f %% of them to the very last second\n", tally.policies, seed, tally.grants, tally.seconds, tally.bound[0], tally.bound[1],
		      bound ? 100.0 * (double)tally.tight / (double)bound : 100);
	if (n >= FEW) /* figures of fewer say little */
		assert_true(tally.tight * 100 >= bound * 95 && tally.grants >= n / 2 && tally.bound[0] && tally.bound[1]);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_P2_what_is_granted_would_be_granted_at_every_second),
	};
	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
