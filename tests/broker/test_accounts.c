/* accounts: answered later and once, whole, remembered, silent after cancel; a name service that hangs or fails stalls nobody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "broker/authn/accounts.h"
#include "broker/clock.h"

/*
 * The name service of this test: libc's, but for one uid that it does not come back from until it is let go, and for
 * groups of the directory, with long names and many members, in which everybody is when it says so.
 */
#define HANGS 4000000009
#define DIRECTORY_GID 3000000000
#define DIRECTORY_GROUPS 200
#define DIRECTORY_BYTES 1000000 /* that a group's members take */
#define DIRECTORY_NAME "gcp-production-operators-%u@corp.example.com"

static pthread_mutex_t hang_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool hangs;
static atomic_bool directory; /* there are its groups */
static atomic_int user_error, group_error; /* what it says instead of an answer */

int getpwuid_r(uid_t uid, struct passwd *pw, char *scratch, size_t size, struct passwd **out) {
	static int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **);

	if (uid == HANGS) {
		hangs = true;
		pthread_mutex_lock(&hang_lock);
		pthread_mutex_unlock(&hang_lock);
		hangs = false;
	}
	if (user_error) {
		*out = NULL;
		return user_error;
	}
	if (!real)
		real = (int (*)(uid_t, struct passwd *, char *, size_t, struct passwd **))dlsym(RTLD_NEXT, "getpwuid_r");
	return real(uid, pw, scratch, size, out);
}

int getgrouplist(const char *user, gid_t gid, gid_t *gids, int *n) {
	static int (*real)(const char *, gid_t, gid_t *, int *);
	int room = *n;

	if (!real)
		real = (int (*)(const char *, gid_t, gid_t *, int *))dlsym(RTLD_NEXT, "getgrouplist");
	if (!directory)
		return real(user, gid, gids, n);
	*n = 1 + DIRECTORY_GROUPS;
	if (room < *n)
		return -1;
	gids[0] = gid;
	for (unsigned i = 0; i < DIRECTORY_GROUPS; i++)
		gids[1 + i] = DIRECTORY_GID + i;
	return *n;
}

int getgrgid_r(gid_t gid, struct group *group, char *scratch, size_t size, struct group **out) {
	static int (*real)(gid_t, struct group *, char *, size_t, struct group **);

	if (!real)
		real = (int (*)(gid_t, struct group *, char *, size_t, struct group **))dlsym(RTLD_NEXT, "getgrgid_r");
	if (gid < DIRECTORY_GID)
		return real(gid, group, scratch, size, out);
	*out = NULL;
	if (group_error || size < DIRECTORY_BYTES)
		return group_error ? group_error : ERANGE;
	snprintf(scratch, size, DIRECTORY_NAME, gid - (unsigned)DIRECTORY_GID);
	*group = (struct group){ .gr_name = scratch, .gr_gid = gid };
	*out = group;
	return 0;
}

struct world {
	struct event_base *base;
	struct accounts *accounts;
	int calls, without_answer, ticks;
	struct account last;
};

static int setup(void **state) {
	static struct world w;
	struct error err;

	directory = false;
	user_error = group_error = 0;
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
	if (account)
		w->last = *account;
	else
		w->without_answer++;
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

static void test_P4_accounts_know_every_group(void **state) {
	struct world *w = *state;
	char name[64];

	directory = true;
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->last.n_groups, 1 + DIRECTORY_GROUPS);
	assert_string_equal(w->last.groups[0], "root");
	for (unsigned i = 0; i < DIRECTORY_GROUPS; i++) {
		snprintf(name, sizeof(name), DIRECTORY_NAME, i);
		assert_string_equal(w->last.groups[1 + i], name);
	}
}

/* Half of somebody's groups would be somebody else, by the next rule of `peers:`. */
static void test_P4_accounts_of_a_name_service_that_fails_are_nobodys(void **state) {
	struct world *w = *state;

	directory = true;
	group_error = EIO;
	accounts_start(w->accounts, 0, on_done, w);
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 2);
	assert_int_equal(w->without_answer, 2);
	group_error = 0;
	user_error = EMFILE;
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->without_answer, 3);
	assert_null(accounts_find(w->accounts, 0, clock_boottime_ms()));
	user_error = 0;
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->without_answer, 3);
	assert_int_equal(w->last.n_groups, 1 + DIRECTORY_GROUPS);
}

static void test_accounts_keep_what_was_known_when_the_name_service_fails(void **state) {
	struct world *w = *state;

	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	user_error = EIO;
	assert_non_null(accounts_find(w->accounts, 0, clock_boottime_ms() + 61000)); /* asks again */
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->without_answer, 1);
	assert_string_equal(accounts_find(w->accounts, 0, clock_boottime_ms() + 61000)->name, "root");
}

static void on_done_ask_again(const struct account *account, void *arg) {
	struct world *w = arg;

	w->calls++;
	w->without_answer += !account;
	user_error = 0; /* of the answer that is told now: the next one is asked for anew */
	accounts_start(w->accounts, 0, on_done, w);
}

static void test_accounts_give_who_comes_later_an_answer_of_its_own(void **state) {
	struct world *w = *state;

	user_error = EIO;
	accounts_start(w->accounts, 0, on_done_ask_again, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 2);
	assert_int_equal(w->without_answer, 1);
	assert_string_equal(w->last.name, "root");
}

static void on_tick(evutil_socket_t fd, short events, void *arg) {
	struct world *w = arg;

	(void)fd, (void)events;
	w->ticks++;
}

/* P7: who is known already is found, who is not hears so in time, and the loop turns all the while. */
static void test_P7_accounts_of_a_name_service_that_hangs_stall_nobody(void **state) {
	struct world *w = *state;
	struct timeval often = { 0, 20000 };
	struct event *tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	struct accounts_wait *gone;

	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	pthread_mutex_lock(&hang_lock);
	accounts_start(w->accounts, HANGS, on_done, w);
	gone = accounts_start(w->accounts, HANGS, on_done, w);
	accounts_start(w->accounts, 4000000003, on_done, w); /* behind it */
	accounts_cancel(gone);
	event_add(tick, &often);
	while (w->calls < 3) {
		event_base_dispatch(w->base);
		assert_non_null(accounts_find(w->accounts, 0, clock_boottime_ms()));
	}
	assert_int_equal(w->without_answer, 2);
	assert_true(w->ticks > 10);
	/* It comes back: the answers that were too late are remembered for those who ask again. */
	pthread_mutex_unlock(&hang_lock);
	while (!accounts_find(w->accounts, 4000000003, clock_boottime_ms()))
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->calls, 3);
	accounts_start(w->accounts, 0, on_done, w);
	event_base_dispatch(w->base);
	assert_int_equal(w->calls, 4);
	assert_int_equal(w->without_answer, 2);
	event_free(tick);
}

static int threads(void) {
	DIR *d = opendir("/proc/self/task");
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_P7_the_end_does_not_wait_for_a_name_service_that_hangs(void **state) {
	struct world *w = *state;
	int before = threads();

	pthread_mutex_lock(&hang_lock);
	accounts_start(w->accounts, HANGS, on_done, w);
	accounts_start(w->accounts, 0, on_done, w);
	while (!hangs)
		usleep(1000);
	accounts_free(w->accounts);
	w->accounts = NULL;
	assert_int_equal(w->calls, 0);
	assert_int_equal(threads(), before + 1); /* it hangs still */
	pthread_mutex_unlock(&hang_lock);
	while (threads() > before)
		usleep(1000);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accounts_answers_later_and_remembers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_knows_who_is_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_is_silent_after_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P4_accounts_know_every_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P4_accounts_of_a_name_service_that_fails_are_nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_keep_what_was_known_when_the_name_service_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accounts_give_who_comes_later_an_answer_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P7_accounts_of_a_name_service_that_hangs_stall_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_P7_the_end_does_not_wait_for_a_name_service_that_hangs, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
