/* accounts: answered later and once, remembered, silent after cancel. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "broker/authn/accounts.h"
#include "broker/clock.h"

struct world {
	struct event_base *base;
	struct accounts *accounts;
	int calls;
	struct account last;
};

static int setup(void **state) {
	static struct world w;
	struct error err;

	w = (struct world){ .base = event_base_new() };
	*state = &w;
	return accounts_new(w.base, &w.accounts, &err);
}

static int teardown(void **state) {
	struct world *w = *state;

	accounts_free(w->accounts);
	event_base_free(w->base);
	return 0;
}

static void on_done(const struct account *account, void *arg) {
	struct world *w = arg;

	w->calls++;
	w->last = *account;
	event_base_loopbreak(w->base);
}

static void test_accounts_answers_later_and_remembers(void **state) {
	struct world *w = *state;
	const struct account *a;

	assert_null(accounts_find(w->accounts, 0, clock_boottime_ms()));
	accounts_start(w->accounts, 0, on_done, w);
	assert_int_equal(w->calls, 0);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 1);
	assert_true(w->last.exists);
	assert_string_equal(w->last.name, "root");
	assert_true(w->last.n_groups >= 1);
	assert_string_equal(w->last.groups[0], "root");
	a = accounts_find(w->accounts, 0, clock_boottime_ms());
	assert_non_null(a);
	assert_string_equal(a->name, "root");
	/* Good for two minutes at the very most. */
	assert_null(accounts_find(w->accounts, 0, clock_boottime_ms() + 121000));
}

static void test_accounts_knows_who_is_nobody(void **state) {
	struct world *w = *state;

	accounts_start(w->accounts, 4000000001, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 1);
	assert_false(w->last.exists);
}

static void test_accounts_is_silent_after_cancel(void **state) {
	struct world *w = *state;
	struct accounts_wait *wait = accounts_start(w->accounts, 0, on_done, w);

	accounts_cancel(wait);
	accounts_start(w->accounts, 4000000002, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->last.uid, 4000000002);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accounts_answers_later_and_remembers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_knows_who_is_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_is_silent_after_cancel, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
