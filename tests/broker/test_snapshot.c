/* snapshot: configuration and policy together or not at all, with everything that was found, and its hash. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/snapshot.h"
#include "hallpass/cleanup.h"

#define SA "dev-sa@acme-ml.iam.gserviceaccount.com"
#define GOOD "version: 1\nbindings:\n  - {name: a, members: [\"user:a@x.org\"], serviceAccounts: [" SA "]}\n"

static char dir[] = "/tmp/hallpass-test-snapshot.XXXXXX";
static char config_path[128], policy_path[128];

static int setup(void **state) {
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(config_path, sizeof(config_path), "%s/hallpassd.yaml", dir);
	snprintf(policy_path, sizeof(policy_path), "%s/policy.yaml", dir);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	unlink(config_path);
	unlink(policy_path);
	return rmdir(dir);
}

static void put(const char *path, const char *text) {
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#define CONFIG "listeners: [{unix: s}]\naudit: {directory: a}\n"

static void test_snapshot_has_both_and_the_hash_of_the_bytes(void **state) {
	struct snapshot_notes notes;
	struct snapshot *s = NULL;
	struct error err;

	(void)state;
	put(config_path, CONFIG);
	put(policy_path, "version: 1\n");
	assert_int_equal(snapshot_load(config_path, 1000, &s, &notes, false, &err), 0);
	/* printf 'version: 1\n' | sha256sum */
	assert_string_equal(s->policy_sha256, "09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847");
	assert_int_equal(s->loaded_at, 1000);
	assert_int_equal(s->refs, 1);
	assert_ptr_equal(snapshot_ref(s), s);
	snapshot_unref(s);
	assert_non_null(s->policy);
	snapshot_unref(s);
	snapshot_unref(NULL);
	snapshot_notes_fini(&notes);
}

static void test_snapshot_is_whole_or_nothing(void **state) {
	static const struct {
		const char *config, *policy;
		enum error_code code;
		const char *message, *notes;
		size_t n_errors;
	} cases[] = {
		{ "limits: {brust: 1}\n", GOOD, ERR_INVALID, "limits.brust", "did you mean `limits.burst`?", 1 },
		{ "limits: {brust: 1, burst: 0}\n", GOOD, ERR_INVALID, "(and more)", ":1:27: error: ", 2 },
		{ CONFIG, "version: 2\n", ERR_INVALID, "policy.yaml:1:10: ", "error: ", 1 },
		{ CONFIG, GOOD "bindngs: []\n", ERR_INVALID, "bindngs", "did you mean \"bindings\"?", 1 },
		{ CONFIG, NULL, ERR_NOT_FOUND, "no policy at ", NULL, 0 },
		{ CONFIG "policy: elsewhere.yaml\n", GOOD, ERR_NOT_FOUND, "elsewhere.yaml", NULL, 0 },
		{ NULL, GOOD, ERR_NOT_FOUND, "hallpassd.yaml: No such file", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct snapshot_notes notes;
		struct snapshot *s = NULL;
		struct error err = { 0 };

		unlink(config_path);
		unlink(policy_path);
		if (cases[i].config)
			put(config_path, cases[i].config);
		if (cases[i].policy)
			put(policy_path, cases[i].policy);
		assert_int_equal(snapshot_load(config_path, 1000, &s, &notes, false, &err), -1);
		print_message("%s\n%s\n", err.message, notes.text.data ? notes.text.data : "");
		assert_null(s);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.message, cases[i].message));
		assert_int_equal(notes.n_errors, cases[i].n_errors);
		if (cases[i].notes)
			assert_non_null(strstr(notes.text.data, cases[i].notes));
		snapshot_notes_fini(&notes);
	}
}

static void test_snapshot_counts_warnings_of_a_good_policy(void **state) {
	struct snapshot_notes notes;
	struct snapshot *s = NULL;
	struct error err;

	(void)state;
	put(config_path, CONFIG);
	put(policy_path, "version: 1\nbindings:\n  - {name: a, members: [\"user:a@x.org\"], serviceAccounts: [" SA "], maxLifetime: 2h}\n");
	assert_int_equal(snapshot_load(config_path, 1000, &s, &notes, true, &err), 0);
	assert_int_equal(notes.n_errors, 0);
	assert_int_equal(notes.n_warnings, 1);
	assert_non_null(strstr(notes.text.data, "policy.yaml"));
	assert_non_null(strstr(notes.text.data, "\x1b[")); /* in colour, as asked */
	snapshot_notes_fini(&notes);
	snapshot_unref(s);
}

/* Who may write these files decides who may be whom. */
static void test_snapshot_warns_of_files_that_everybody_may_write(void **state) {
	static const struct {
		mode_t config, policy;
		size_t n_warnings;
	} cases[] = { { 0644, 0644, 0 }, { 0664, 0660, 0 }, { 0644, 0666, 1 }, { 0602, 0644, 1 }, { 0666, 0666, 2 } };

	(void)state;
	put(config_path, CONFIG);
	put(policy_path, GOOD);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct snapshot_notes notes;
		struct snapshot *s = NULL;
		struct error err;

		assert_int_equal(chmod(config_path, cases[i].config), 0);
		assert_int_equal(chmod(policy_path, cases[i].policy), 0);
		assert_int_equal(snapshot_load(config_path, 1000, &s, &notes, false, &err), 0);
		assert_int_equal(notes.n_warnings, cases[i].n_warnings);
		assert_int_equal(notes.n_warnings > 0, notes.text.data && strstr(notes.text.data, "= chmod o-w /"));
		snapshot_notes_fini(&notes);
		snapshot_unref(s);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_has_both_and_the_hash_of_the_bytes),
		cmocka_unit_test(test_snapshot_is_whole_or_nothing),
		cmocka_unit_test(test_snapshot_counts_warnings_of_a_good_policy),
		cmocka_unit_test(test_snapshot_warns_of_files_that_everybody_may_write),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
