/* listing: the whole list, or so much of it as fits and a word about that; and the event loop serves others between. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/surface/listing.h"
#include "broker/zonefile.h"
#include "hallpass/cleanup.h"

#define ALICE "user:alice@example.com"

struct bed {
	struct event_base *base;
	struct event *other; /* something else that the loop has to do, always */
	int ends[2];
	unsigned turns; /* of it */
	struct config config;
	struct snapshot snapshot;
	struct peer peer;
	struct caller caller;
	json_t *answer;
	size_t answer_len;
	unsigned done;
};

static void on_other(evutil_socket_t fd, short events, void *arg) {
	struct bed *bed = arg;

	(void)fd, (void)events;
	bed->turns++;
}

static void on_listed(const struct buf *body, void *arg) {
	struct bed *bed = arg;

	assert_true(buf_ok(body));
	bed->answer = json_loadb(body->data, body->len, 0, NULL);
	assert_non_null(bed->answer);
	bed->answer_len = body->len;
	bed->done++;
}

/* n bindings of alice, each with a condition that takes a while to look at, and as many of others. */
static void bed_init(struct bed *bed, unsigned n) {
	struct buf text = BUF_INIT(32 << 20);
	struct policy_report report;
	struct error err;

	*bed = (struct bed){ .base = event_base_new() };
	buf_adds(&text, "version: 1\nbindings:\n");
	for (unsigned i = 0; i < 2 * n; i++)
		buf_addf(&text, "- {name: b%u, members: ['user:%s@example.com'], serviceAccounts: [sa-%u@p.example], condition: {expression: 'request.time.getMonth(\"Europe/Berlin\") != 5'}}\n",
			 i, i % 2 ? "bob" : "alice", i);
	assert_int_equal(policy_load("p", (struct str){ text.data, text.len }, &zonefile_host, 0, &bed->snapshot.policy, &report, &err), 0);
	policy_report_fini(&report);
	buf_fini(&text);
	bed->config.max_lifetime_s = 3600;
	bed->snapshot.config = &bed->config;
	bed->caller.peer = &bed->peer;
	strcpy(bed->caller.principal, ALICE);
	assert_int_equal(pipe(bed->ends), 0);
	assert_int_equal(write(bed->ends[1], "x", 1), 1);
	bed->other = event_new(bed->base, bed->ends[0], EV_READ | EV_PERSIST, on_other, bed);
	event_add(bed->other, NULL);
}

static void bed_fini(struct bed *bed) {
	event_free(bed->other);
	close(bed->ends[0]);
	close(bed->ends[1]);
	json_decref(bed->answer);
	policy_unref(bed->snapshot.policy);
	event_base_free(bed->base);
}

static void run_until_done(struct bed *bed) {
	assert_int_equal(bed->done, 0);
	while (!bed->done)
		assert_int_equal(event_base_loop(bed->base, EVLOOP_ONCE), 0);
	assert_int_equal(bed->done, 1);
}

static void test_listing_has_all_that_name_the_caller_in_order(void **state) {
	const json_t *accounts, *entry;
	char name[32];
	struct bed bed;
	size_t i;

	(void)state;
	bed_init(&bed, 100);
	listing_start(bed.base, &bed.snapshot, &bed.caller, on_listed, &bed);
	run_until_done(&bed);
	assert_string_equal(json_string_value(json_object_get(bed.answer, "principal")), ALICE);
	assert_null(json_object_get(bed.answer, "truncated"));
	accounts = json_object_get(bed.answer, "accounts");
	assert_int_equal(json_array_size(accounts), 100);
	json_array_foreach (accounts, i, entry) {
		snprintf(name, sizeof(name), "b%zu", 2 * i);
		assert_string_equal(json_string_value(json_object_get(entry, "binding")), name);
	}
	bed_fini(&bed);
}

/* The other event is ready whenever the loop looks: it is served once a turn, and the list takes many. */
static void test_listing_of_thousands_lets_others_have_their_turns(void **state) {
	size_t n;
	struct bed bed;

	(void)state;
	bed_init(&bed, 6000);
	listing_start(bed.base, &bed.snapshot, &bed.caller, on_listed, &bed);
	run_until_done(&bed);
	n = json_array_size(json_object_get(bed.answer, "accounts"));
	print_message("%zu of 6000 in %zu bytes, in %u turns\n", n, bed.answer_len, bed.turns);
	assert_true(bed.turns > 1);
	assert_true(json_is_true(json_object_get(bed.answer, "truncated")));
	assert_in_range(n, 2000, 5999);
	assert_in_range(bed.answer_len, 1000000, 1 << 20);
	bed_fini(&bed);
}

static void test_listing_of_a_client_that_left_is_given_up(void **state) {
	struct listing *listing;
	struct bed bed;

	(void)state;
	bed_init(&bed, 6000);
	listing = listing_start(bed.base, &bed.snapshot, &bed.caller, on_listed, &bed);
	while (bed.turns < 2)
		event_base_loop(bed.base, EVLOOP_ONCE);
	assert_int_equal(bed.done, 0);
	listing_cancel(listing);
	while (bed.turns < 10)
		event_base_loop(bed.base, EVLOOP_ONCE);
	assert_int_equal(bed.done, 0);
	listing_cancel(NULL);
	bed_fini(&bed);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listing_has_all_that_name_the_caller_in_order),
		cmocka_unit_test(test_listing_of_thousands_lets_others_have_their_turns),
		cmocka_unit_test(test_listing_of_a_client_that_left_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
