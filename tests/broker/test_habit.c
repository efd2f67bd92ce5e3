/* habit and mould: a record that is cast is the one that would be written, and for whom anything differs it is not cast. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "broker/habit.h"
#include "hallpass/cleanup.h"

static uint64_t seed = 0x9E3779B97F4A7C15;

static uint32_t rnd(uint32_t n) {
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* Text that is plain, or has to be escaped, or is cut, or looks like members of a record itself. */
static const char *some_text(void) {
	static const char *const texts[] = { "user:a@example.com", "a \"quoted\" one", "\x01\x1f", "\xC3\xA4\xFF", "", NULL,
					     ",\"pid\":1,\"request\":\"x\",\"askedAt\":\"\"" };
	static char longest[5000];
	uint32_t i = rnd(ARRAY_SIZE(texts) + 1);

	memset(longest, 'x', sizeof(longest) - 1);
	return i == ARRAY_SIZE(texts) ? longest : texts[i];
}

static struct instant some_time(void) {
	return (struct instant){ 1700000000 + rnd(100000000), rnd(1000000000) };
}

static struct audit_record some_record(void) {
	static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "openid" };

	return (struct audit_record){
		.type = RECORD_ISSUED, .flight = some_text(), .principal = some_text(), .auth = some_text(), .peer_known = true,
		.uid = rnd(2000), .gid = (int64_t)rnd(2000) - 1, .exe = some_text(), .session = some_text(), .surface = some_text(),
		.permission = some_text(), .target = some_text(), .asked_scopes = scopes, .n_asked_scopes = rnd(3), .scopes = scopes,
		.n_scopes = rnd(3), .asked_lifetime_s = rnd(2), .audience = some_text(), .decision = "ALLOW", .binding = some_text(),
		.policy = some_text(), .bound_by = some_text(), .ceiling_s = rnd(3), .lifetime_s = rnd(3600), .expires_at = 1700003600,
		.token_sha256 = some_text(), .cached = rnd(2), .error = some_text(),
	};
}

static void set(struct audit_record *record, const struct casting *casting) {
	record->time = casting->time;
	record->asked_at = casting->asked_at;
	record->request = casting->request;
	record->pid = casting->pid;
}

static void test_mould_casts_the_record_that_would_be_written(void **state) {
	static const char *const requests[] = { "0123456789-1", "abcdef0123-18446744073709551615", "r" };
	static const int64_t pids[] = { 1, 9, 10, 4194304, INT64_MAX };
	struct mould mould = { .text = RECORD_BUF };
	struct buf cast = RECORD_BUF, written = RECORD_BUF;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct audit_record record = some_record();
		struct casting casting = { { 1, 1 }, { 2, 2 }, "first", 3 };

		set(&record, &casting);
		assert_true(mould_make(&mould, &record));
		for (int k = 0; k < 4; k++) {
			casting = (struct casting){ some_time(), some_time(), requests[rnd(ARRAY_SIZE(requests))],
						    pids[rnd(ARRAY_SIZE(pids))] };
			if (k % 2)
				casting.asked_at.s = casting.time.s;
			set(&record, &casting);
			buf_reset(&cast);
			buf_reset(&written);
			assert_true(mould_cast(&mould, &casting, &cast));
			record_write(&record, &written);
			assert_true(buf_ok(&cast) && buf_ok(&written));
			assert_string_equal(cast.data, written.data);
			assert_int_equal(cast.len, written.len);
		}
	}
	mould_fini(&mould);
	buf_fini(&cast);
	buf_fini(&written);
}

static void test_mould_is_made_of_whole_records_alone(void **state) {
	const struct casting casting = { { 1700000000, 1 }, { 1700000000, 2 }, "r", 3 };
	struct mould mould = { .text = RECORD_BUF };
	struct audit_record record = { .type = RECORD_ISSUED, .peer_known = true };
	struct buf out = RECORD_BUF;

	(void)state;
	set(&record, &casting);
	assert_true(mould_make(&mould, &record));
	assert_false(mould_cast(&mould, &(struct casting){ { 300000000000, 0 }, { 1, 0 }, "r", 3 }, &out));
	assert_int_equal(out.len, 0);
	assert_false(mould_cast(&mould, &(struct casting){ { 1, 0 }, { 300000000000, 0 }, "r", 3 }, &out));
	assert_true(mould_cast(&mould, &casting, &out));
	record.pid = 0;
	assert_false(mould_make(&mould, &record));
	set(&record, &casting);
	record.request = NULL;
	assert_false(mould_make(&mould, &record));
	set(&record, &casting);
	record.asked_at.s = 0;
	assert_false(mould_make(&mould, &record));
	set(&record, &casting);
	record.peer_known = false;
	assert_false(mould_make(&mould, &record));
	mould_fini(&mould);
	buf_fini(&out);
}

/* --- whose habit it is */

static const char rules[2];

struct scene {
	struct habits habits;
	struct peer peer;
	struct habit_key key;
	struct casting casting;
	struct buf out;
};

static void scene_begin(struct scene *s) {
	struct audit_record record = { .type = RECORD_ISSUED, .principal = "user:a@example.com", .peer_known = true };

	*s = (struct scene){ .peer = { .family = AF_UNIX, .uid = 1, .gid = 2, .exe = "/bin/a", .how = "SO_PEERCRED" },
			     .casting = { { 1700000000, 1 }, { 1700000000, 2 }, "r-1", 3 },
			     .out = RECORD_BUF };
	s->key = (struct habit_key){ .ask = 7, .snapshot = 8, .rule = &rules[0], .bound_by = 1, .lifetime_s = 900, .token = 9,
				     .principal = "user:a@example.com", .peer = &s->peer, .spec_hash = 10 };
	set(&record, &s->casting);
	habit_learn(&s->habits, &s->key, &record);
}

static bool writes(struct scene *s) {
	bool written;

	buf_reset(&s->out);
	written = habit_write(&s->habits, &s->key, &s->casting, &s->out);
	assert_true(written == (s->out.len > 0));
	return written;
}

static void scene_end(struct scene *s) {
	habits_fini(&s->habits);
	buf_fini(&s->out);
}

/* Each change by itself, and back again. */
static void test_P1_habit_is_not_taken_for_another(void **state) {
	struct scene s;

	(void)state;
	scene_begin(&s);
	assert_true(writes(&s));
#define DIFFERS(what, value)                                                                                           \
	do {                                                                                                           \
		typeof(what) was = what;                                                                               \
		what = value;                                                                                          \
		if (writes(&s))                                                                                        \
			fail_msg("cast although %s differs", #what);                                                   \
		what = was;                                                                                            \
		assert_true(writes(&s));                                                                               \
	} while (0)
	DIFFERS(s.key.ask, 8);
	DIFFERS(s.key.ask, 7 + HABITS); /* on the same place */
	DIFFERS(s.key.snapshot, 9);
	DIFFERS(s.key.rule, &rules[1]);
	DIFFERS(s.key.bound_by, 2);
	DIFFERS(s.key.lifetime_s, 901);
	DIFFERS(s.key.token, 10);
	DIFFERS(s.key.principal, "user:b@example.com");
	DIFFERS(s.peer.uid, 2);
	DIFFERS(s.peer.gid, 3);
	DIFFERS(s.peer.exe[5], 'b');
	DIFFERS(s.peer.how[0], 'X');
	DIFFERS(s.casting.pid, 0);
#undef DIFFERS
	scene_end(&s);
}

static void test_habit_remembers_where_to_look(void **state) {
	struct policy_route *route;
	struct scene s;

	(void)state;
	scene_begin(&s);
	route = habit_route(habit_find(&s.habits, &s.key));
	assert_non_null(route);
	assert_false(route->found);
	assert_true(habit_spec_hash(habit_find(&s.habits, &s.key), s.key.rule) == 10);
	s.key.rule = &rules[1]; /* is not known yet when the route is wanted */
	assert_ptr_equal(habit_route(habit_find(&s.habits, &s.key)), route);
	assert_true(habit_spec_hash(habit_find(&s.habits, &s.key), s.key.rule) == 0);
	s.key.principal = "user:b@example.com";
	assert_null(habit_route(habit_find(&s.habits, &s.key)));
	s.key.principal = "user:a@example.com";
	s.key.snapshot++;
	assert_null(habit_route(habit_find(&s.habits, &s.key)));
	s.key.ask = 0; /* of an ask that nothing is known of */
	assert_null(habit_route(habit_find(&s.habits, &s.key)));
	assert_true(habit_spec_hash(habit_find(&s.habits, &s.key), s.key.rule) == 0);
	scene_end(&s);
}

/* A route that was found for one is of no use to the next on its place. */
static void test_habit_forgets_the_way_with_the_one_who_went_it(void **state) {
	struct audit_record record = { .type = RECORD_ISSUED, .peer_known = true };
	struct scene s;

	(void)state;
	scene_begin(&s);
	set(&record, &s.casting);
	habit_route(habit_find(&s.habits, &s.key))->found = true;
	s.key.token++;
	habit_learn(&s.habits, &s.key, &record);
	assert_true(habit_route(habit_find(&s.habits, &s.key))->found);
	s.key.snapshot++;
	habit_learn(&s.habits, &s.key, &record);
	assert_false(habit_route(habit_find(&s.habits, &s.key))->found);
	habit_route(habit_find(&s.habits, &s.key))->found = true;
	s.key.principal = "user:b@example.com";
	habit_learn(&s.habits, &s.key, &record);
	assert_false(habit_route(habit_find(&s.habits, &s.key))->found);
	habit_route(habit_find(&s.habits, &s.key))->found = true;
	s.key.ask += HABITS;
	habit_learn(&s.habits, &s.key, &record);
	assert_false(habit_route(habit_find(&s.habits, &s.key))->found);
	scene_end(&s);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mould_casts_the_record_that_would_be_written),
		cmocka_unit_test(test_mould_is_made_of_whole_records_alone),
		cmocka_unit_test(test_P1_habit_is_not_taken_for_another),
		cmocka_unit_test(test_habit_remembers_where_to_look),
		cmocka_unit_test(test_habit_forgets_the_way_with_the_one_who_went_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
