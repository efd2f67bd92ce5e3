/* See habit.h. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "broker/habit.h"

struct habit {
	uint64_t ask; /* 0: nothing is remembered here */
	uint64_t snapshot;
	const void *rule;
	int bound_by;
	int64_t lifetime_s;
	int64_t uid, gid;
	uint64_t token;
	char how[sizeof(((struct peer *)0)->how)];
	char exe[sizeof(((struct peer *)0)->exe)];
	char principal[PRINCIPAL_MAX];
	uint64_t spec_hash;
	struct policy_route route;
	struct mould mould;
};

static struct habit **habit_place(struct habits *habits, const struct habit_key *key) {
	assert(key->ask && key->peer->family == AF_UNIX);
	return &habits->habits[key->ask % HABITS];
}

static bool habit_asks(const struct habit *habit, const struct habit_key *key) {
	return habit->ask == key->ask && habit->snapshot == key->snapshot && !strcmp(habit->principal, key->principal);
}

static bool habit_fits(const struct habit *habit, const struct habit_key *key) {
	const struct peer *peer = key->peer;

	return habit_asks(habit, key) && habit->rule == key->rule && habit->bound_by == key->bound_by && habit->lifetime_s == key->lifetime_s &&
	       habit->uid == peer->uid && habit->gid == peer->gid && habit->token == key->token &&
	       !strcmp(habit->how, peer->how) && !strcmp(habit->exe, peer->exe);
}

static void habit_free(struct habit *habit) {
	if (habit)
		mould_fini(&habit->mould);
	free(habit);
}

void habits_fini(struct habits *habits) {
	for (size_t i = 0; i < HABITS; i++)
		habit_free(habits->habits[i]);
	*habits = (struct habits){ 0 };
}

struct habit *habit_find(const struct habits *habits, const struct habit_key *key) {
	struct habit *habit = key->ask ? habits->habits[key->ask % HABITS] : NULL;

	return habit && habit_asks(habit, key) ? habit : NULL;
}

struct policy_route *habit_route(struct habit *habit) {
	return habit ? &habit->route : NULL;
}

uint64_t habit_spec_hash(const struct habit *habit, const void *rule) {
	return habit && habit->rule == rule ? habit->spec_hash : 0;
}

bool habit_write(struct habits *habits, const struct habit_key *key, const struct casting *casting, struct buf *out) {
	struct habit *habit = *habit_place(habits, key);

	return habit && habit_fits(habit, key) && casting->pid > 0 && mould_cast(&habit->mould, casting, out);
}

void habit_learn(struct habits *habits, const struct habit_key *key, const struct audit_record *record) {
	struct habit **place = habit_place(habits, key);
	struct habit *habit = *place ? *place : calloc(1, sizeof(*habit));

	if (!habit)
		return;
	if (!*place)
		habit->mould.text = RECORD_BUF;
	*place = habit;
	if (!habit_asks(habit, key))
		habit->route = (struct policy_route){ 0 };
	habit->ask = mould_make(&habit->mould, record) ? key->ask : 0;
	habit->snapshot = key->snapshot;
	habit->spec_hash = key->spec_hash;
	habit->rule = key->rule;
	habit->bound_by = key->bound_by;
	habit->lifetime_s = key->lifetime_s;
	habit->uid = key->peer->uid;
	habit->gid = key->peer->gid;
	habit->token = key->token;
	memcpy(habit->how, key->peer->how, sizeof(habit->how));
	memcpy(habit->exe, key->peer->exe, sizeof(habit->exe));
	strcpy(habit->principal, key->principal);
}
