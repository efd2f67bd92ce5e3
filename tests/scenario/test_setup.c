/*
 * hallpass setup: what it writes into other programs' files, that it leaves everything else alone, and that --remove leaves no trace. The
 * random tests make files as people and programs write them, set up, and compare: what the program reads then, and every byte after --remove.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/file.h"
#include "hallpass/buf.h"
#include "hallpass/cleanup.h"
#include "hallpass/yaml.h"
#include "tests/lib/httpstub.h"
#include "tests/lib/port.h"
#include "tests/lib/running.h"
#include "tests/lib/shell.h"
#include "tests/lib/world.h"

#define ROUNDS (SANITIZED || getenv("HALLPASS_SLOW") ? 8 : 25)

static struct world w;
static char out[65536], err[65536];

#define SH(...) shell(&w, __VA_ARGS__, out, sizeof(out), err, sizeof(err))
#define CLI(...) run_cli(&w, out, sizeof(out), err, sizeof(err), __VA_ARGS__, NULL)

static int setup(void **state) {
	(void)state;
	world_start(&w);
	shell_begin(&w);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	return world_end_well(&w);
}

/* --- files */

struct bytes {
	char *p; /* NULL: there is no file */
	size_t n;
	mode_t mode;
};

static struct bytes read_home(const char *name) {
	char path[PATH_MAX];
	struct bytes b = { 0 };
	struct error e;
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	if (file_read(path, 1 << 20, &b.p, &b.n, &e) == 0 && stat(path, &st) == 0)
		b.mode = st.st_mode;
	return b;
}

static void assert_same(const struct bytes *a, const struct bytes *b) {
	if (!a->p != !b->p)
		fail_msg("there %s a file", b->p ? "is" : "is not");
	if (!a->p)
		return;
	if (a->n != b->n || memcmp(a->p, b->p, a->n))
		fail_msg("before:\n%s|\nafter:\n%s|", a->p, b->p);
	assert_int_equal(a->mode, b->mode);
}

static void write_home(const char *name, const struct buf *text, mode_t mode) {
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text->data ? text->data : "", 1, text->len, f), text->len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static bool exists(const char *name) {
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	return access(path, F_OK) == 0;
}

/* --- chance: its seed is told where a test fails */

static uint64_t chance_state;

static unsigned chance(unsigned n) {
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (unsigned)(chance_state >> 33) % n;
}

static const char *pick(const char *const *list, size_t n) {
	return list[chance((unsigned)n)];
}
#define PICK(...) pick((const char *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })))

/* --- what is always the same: put, put again, take out */

struct client {
	const char *words[8]; /* `hallpass setup` these */
	const char *file;
	void (*write)(struct buf *text);		/* one as it may be */
	void (*check)(const struct bytes *before, const struct bytes *after); /* what has changed, and what has not */
};

static int run_setup(const struct client *c, const char *more) {
	char line[1024] = "hallpass setup";

	for (size_t i = 0; c->words[i]; i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), " '%s'", c->words[i]);
	snprintf(line + strlen(line), sizeof(line) - strlen(line), " --yes %s", more);
	return SH(line);
}

/* The file itself, or a link to it, as people keep their dotfiles. */
static void place(const struct client *c, const struct buf *text) {
	static const mode_t modes[] = { 0600, 0644, 0640, 0400 };
	mode_t mode = modes[chance(ARRAY_SIZE(modes))];
	char line[1024];

	snprintf(line, sizeof(line), "rm -rf dotfiles .config .docker .kube '%s'; mkdir -p dotfiles \"$(dirname '%s')\"", c->file, c->file);
	assert_int_equal(SH(line), 0);
	if (!chance(8))
		return; /* there is none */
	if (chance(3)) {
		write_home(c->file, text, mode);
		return;
	}
	write_home("dotfiles/one", text, mode);
	snprintf(line, sizeof(line), "ln -s \"$(realpath --relative-to=\"$(dirname '%s')\" dotfiles/one)\" '%s'", c->file, c->file);
	assert_int_equal(SH(chance(2) ? line : (snprintf(line, sizeof(line), "ln -s $PWD/dotfiles/one '%s'", c->file), line)), 0);
}

static bool is_link(const char *name) {
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static void one_round(const struct client *c) {
	struct buf text = BUF_INIT(1 << 20);
	struct bytes before, after, again, removed;
	bool link;

	c->write(&text);
	place(c, &text);
	before = read_home(c->file);
	link = is_link(c->file);
	if (!before.p && !strcmp(c->words[0], "kubectl"))
		goto done; /* kubectl needs a cluster, so there it is refused */
	if (run_setup(c, "") != 0)
		fail_msg("%s%s\n%.*s|", out, err, (int)text.len, text.data ? text.data : "");
	after = read_home(c->file);
	assert_non_null(after.p);
	c->check(&before, &after);
	if (before.p)
		assert_int_equal(before.mode, after.mode);
	assert_int_equal(run_setup(c, ""), 0);
	if (strncmp(out, "nothing to change: it is set up\n", 32))
		fail_msg("%s%s", out, err);
	again = read_home(c->file);
	assert_same(&after, &again);
	assert_int_equal(run_setup(c, "--remove"), 0);
	removed = read_home(c->file);
	assert_same(&before, &removed);
	assert_int_equal(is_link(c->file), link);
	assert_false(exists(".config/hallpass/helpers.json"));
	assert_int_equal(run_setup(c, "--remove"), 0);
	assert_non_null(strstr(out, "nothing to change: there is nothing of hallpass's"));
	free(after.p);
	free(again.p);
	free(removed.p);
done:
	free(before.p);
	buf_fini(&text);
}

static void rounds(const struct client *c) {
	const char *seed = getenv("HALLPASS_SEED");

	chance_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)now_s() * 2654435761u + (uint64_t)getpid();
	print_message("HALLPASS_SEED=%llu\n", (unsigned long long)chance_state);
	for (int i = 0; i < ROUNDS; i++)
		one_round(c);
}

/* --- files of lines: git's configuration, a shell's start-up file */

static void write_lines(struct buf *text) {
	unsigned n = chance(12);

	for (unsigned i = 0; i < n; i++) {
		buf_adds(text, PICK("# a comment", "[user]", "\tname = Bj\xc3\xb6rn", "[alias]", "\tl = log --oneline # short", "", "   ", "; another", "[core]",
				    "\teditor = \"vi\"", "# caf\xe9 in Latin-1", "[credential]", "\thelper = cache", "# >>> conda initialize >>>",
				    "# <<< conda initialize <<<", "# >>> hallpass setup of old"));
		buf_adds(text, i + 1 < n || chance(3) ? PICK("\n", "\n", "\n", "\r\n") : "");
	}
}

/* What was there is still there, in front. */
static void check_lines(const struct bytes *before, const struct bytes *after) {
	assert_true(after->n > before->n);
	assert_true(!before->p || !memcmp(before->p, after->p, before->n));
	assert_null(before->p && strstr(before->p, "hallpass setup git") ? "" : NULL);
}

static void check_git(const struct bytes *before, const struct bytes *after) {
	check_lines(before, after);
	assert_non_null(strstr(after->p, "\n[credential \"https://source.developers.google.com\"]\n\thelper =\n\thelper = hallpass --default-as " SA_DEV "\n"));
}

static void test_setup_git_leaves_no_trace(void **state) {
	static const struct client c = { { "git", "--as", SA_DEV }, ".gitconfig", write_lines, check_git };

	(void)state;
	rounds(&c);
}

static void test_setup_shell_leaves_no_trace(void **state) {
	static const struct client bash = { { "shell", "bash" }, ".bashrc", write_lines, check_lines };
	static const struct client zsh = { { "terraform", "zsh", "--as", SA_DEV }, ".zshrc", write_lines, check_lines };
	static const struct client fish = { { "shell", "fish" }, ".config/fish/config.fish", write_lines, check_lines };

	(void)state;
	rounds(&bash);
	rounds(&zsh);
	rounds(&fish);
}

/* Several blocks in one file, gone one by one in any order. */
static void test_setup_blocks_are_independent(void **state) {
	static const char *const words[] = { "git", "git x.pkg.dev", ("git a.b.sourcemanager.dev --as " SA_DEV) };
	static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	static const char *const texts[] = { NULL, "", "[a]", "[a]\n", "\n", "[a]\r\n" };
	static const char *const hosts[] = { "source.developers.google.com", "x.pkg.dev", "a.b.sourcemanager.dev" };
	char line[256];

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
		for (size_t o = 0; o < ARRAY_SIZE(orders); o++) {
			struct buf text = BUF_INIT(64);
			struct bytes before, after;

			SH("rm -f .gitconfig");
			buf_adds(&text, texts[t] ? texts[t] : "");
			if (texts[t])
				write_home(".gitconfig", &text, 0644);
			before = read_home(".gitconfig");
			for (size_t i = 0; i < 3; i++) {
				snprintf(line, sizeof(line), "hallpass setup %s --yes", words[i]);
				assert_int_equal(SH(line), 0);
			}
			for (size_t i = 0; i < 3; i++) {
				snprintf(line, sizeof(line), "hallpass setup git %s --remove --yes", hosts[orders[o][i]]);
				assert_int_equal(SH(line), 0);
			}
			after = read_home(".gitconfig");
			assert_same(&before, &after);
			free(before.p);
			free(after.p);
			buf_fini(&text);
		}
}

/* --- docker's JSON */

static void write_blanks(struct buf *text, unsigned layout, unsigned depth) {
	static const char *const units[] = { "", "\t", "  ", "    " };

	if (layout == 0)
		return;
	buf_addc(text, '\n');
	for (unsigned i = 0; i < depth; i++)
		buf_adds(text, units[layout]);
}

static void write_value(struct buf *text, unsigned layout, unsigned depth);

static void write_helpers(struct buf *text, unsigned layout, unsigned depth) {
	static const char *const hosts[] = { "us.gcr.io", "gcr.io", "marketplace.gcr.io", "europe-docker.pkg.dev", "public.ecr.aws" };
	bool first = true;

	buf_addc(text, '{');
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (chance(2))
			continue;
		buf_adds(text, first ? "" : ",");
		write_blanks(text, layout, depth + 1);
		buf_addf(text, "\"%s\":%s\"%s\"", hosts[i], PICK("", " "), PICK("gcloud", "gcr", "ecr-login", "a b"));
		first = false;
	}
	write_blanks(text, layout, first ? chance(2) * depth : depth);
	buf_addc(text, '}');
}

static void write_object(struct buf *text, unsigned layout, unsigned depth) {
	static const char *const names[] = { "auths", "HttpHeaders", "psFormat", "credHelper\\u0073", "plugins", "a \\\"quoted\\\" name", "credsStore" };
	bool first = true;

	buf_addc(text, '{');
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (chance(2) || (depth && strstr(names[i], "cred")))
			continue;
		buf_adds(text, first ? "" : ",");
		write_blanks(text, layout, depth + 1);
		buf_addf(text, "\"%s\":%s", !strcmp(names[i], "credHelper\\u0073") && chance(4) ? "credHelpers" : names[i], PICK("", " "));
		if (!strncmp(names[i], "credHelper", 10))
			write_helpers(text, layout, depth + 1);
		else
			write_value(text, layout, depth + 1);
		first = false;
	}
	write_blanks(text, layout, depth);
	buf_addc(text, '}');
}

static void write_value(struct buf *text, unsigned layout, unsigned depth) {
	if (depth < 3 && chance(2))
		write_object(text, layout, depth);
	else
		buf_adds(text, PICK("\"text, with {braces} and \\\"quotes\\\"\"", "true", "null", "-1.5e3", "[1, {\"a\": []}, \"]\"]", "\"c2VjcmV0\"", "{}", "\"\""));
}

static void write_docker(struct buf *text) {
	buf_adds(text, PICK("", "", "\n", " "));
	write_object(text, chance(4), 0);
	buf_adds(text, PICK("", "\n", "\n\n", "\r\n"));
}

static void check_docker(const struct bytes *before, const struct bytes *after) {
	json_t *was = before->p ? json_loads(before->p, 0, NULL) : json_object(), *is = json_loads(after->p, 0, NULL);

	assert_non_null(was);
	assert_non_null(is);
	if (!json_object_get(was, "credHelpers"))
		json_object_set_new(was, "credHelpers", json_object());
	json_object_set_new(json_object_get(was, "credHelpers"), "gcr.io", json_string("hallpass"));
	json_object_set_new(json_object_get(was, "credHelpers"), "europe-docker.pkg.dev", json_string("hallpass"));
	if (!json_equal(was, is))
		fail_msg("%s\n%s", before->p ? before->p : "", after->p);
	json_decref(was);
	json_decref(is);
}

static void test_setup_docker_leaves_no_trace(void **state) {
	static const struct client c = { { "docker", "gcr.io", "https://europe-docker.pkg.dev/", "--as", SA_DEV }, ".docker/config.json", write_docker, check_docker };

	(void)state;
	rounds(&c);
}

/* docker writes its file anew at each login: order and layout are its own then, and ours is still taken out. */
static void test_setup_docker_is_undone_after_docker_wrote(void **state) {
	json_t *before, *after;
	struct bytes b;

	(void)state;
	assert_int_equal(SH("mkdir .docker; echo '{\"auths\": {}, \"credHelpers\": {\"gcr.io\": \"gcloud\", \"public.ecr.aws\": \"ecr-login\"}}' > .docker/config.json\n"
			    "hallpass setup docker gcr.io eu.gcr.io --yes"), 0);
	b = read_home(".docker/config.json");
	before = json_loads(b.p, 0, NULL);
	free(b.p);
	assert_string_equal(json_string_value(json_object_get(json_object_get(before, "credHelpers"), "gcr.io")), "hallpass");
	b.p = json_dumps(before, JSON_SORT_KEYS | JSON_INDENT(8));
	json_decref(before);
	write_home(".docker/config.json", &(struct buf){ .data = b.p, .len = strlen(b.p) }, 0600);
	free(b.p);
	assert_int_equal(SH("hallpass setup docker --remove --yes"), 0);
	b = read_home(".docker/config.json");
	after = json_loads(b.p, 0, NULL);
	before = json_loads("{\"auths\": {}, \"credHelpers\": {\"gcr.io\": \"gcloud\", \"public.ecr.aws\": \"ecr-login\"}}", 0, NULL);
	assert_true(json_equal(before, after));
	assert_null(strstr(b.p, "hallpass"));
	json_decref(before);
	json_decref(after);
	free(b.p);
}

/* --- a kubeconfig */

static void write_context(struct buf *text, const char *dash, const char *name, const char *user) {
	buf_addf(text, "%s- context:\n%s    cluster: gke_a\n", dash, dash);
	if (chance(2))
		buf_addf(text, "%s    namespace: default\n", dash);
	buf_addf(text, "%s    user: %s%s\n%s  name: %s\n", dash, user, PICK("", "", "   # mine"), dash, name);
}

static void write_users(struct buf *text, const char *dash) {
	unsigned n = chance(4);

	if (n == 0) {
		buf_adds(text, PICK("", "users: []\n", "users: null\n", "users:\n", "users:   []   \n", "users: [] # none yet\n", "users: ~\n"));
		return;
	}
	buf_addf(text, "users:%s\n%s", PICK("", " ", " # whoever"), PICK("", "# a comment\n", "\n"));
	for (unsigned i = 0; i < n; i++)
		buf_addf(text, "%s- name: user%u\n%s  user:\n%s    %s\n", dash, i, dash, dash,
			 PICK("token: abc", "client-key-data: QUJD\n          # deep", "exec: {command: gke-gcloud-auth-plugin, apiVersion: client.authentication.k8s.io/v1}", "password: \"#\""));
}

static void write_kubeconfig(struct buf *text) {
	const char *dash = PICK("", "  "), *current = PICK("current-context: b\n", "current-context: \"a\"\n");
	bool early = chance(2);

	buf_adds(text, PICK("", "---\n", "# top\n"));
	buf_adds(text, "apiVersion: v1\n");
	buf_adds(text, early ? current : "");
	if (early)
		write_users(text, dash);
	buf_addf(text, "clusters:\n%s- cluster:\n%s    server: https://10.0.0.1\n%s  name: gke_a\n", dash, dash, dash);
	buf_addf(text, "contexts:\n%s", PICK("", "# these\n"));
	write_context(text, dash, "a", PICK("gke_a", "\"\"", "'it''s me'", "\"quo\\\"ted\""));
	write_context(text, dash, "b", PICK("user0", "\"user1\"", "name with blanks"));
	buf_adds(text, early ? "" : current);
	buf_addf(text, "kind: Config\npreferences: {}\n");
	if (!early)
		write_users(text, dash);
	if (chance(3) == 0)
		text->len -= text->data[text->len - 1] == '\n';
}

/* Files come from Windows, too. */
static void write_kubeconfig_crlf(struct buf *text) {
	struct buf lf = BUF_INIT(1 << 20);

	write_kubeconfig(&lf);
	for (size_t i = 0; i < lf.len; i++)
		buf_adds(text, lf.data[i] == '\n' ? "\r\n" : (char[]){ lf.data[i], '\0' });
	buf_fini(&lf);
}

static json_t *yaml_json(const char *text, size_t n) {
	struct yaml_problems problems;
	struct yaml_tree *tree = NULL;
	struct error e;
	json_t *json;

	if (yaml_load((struct str){ text, n }, NULL, &tree, &problems, &e) < 0)
		fail_msg("%s\n%s", e.message, text);
	json = yaml_to_json(tree->root);
	yaml_tree_free(tree);
	return json;
}

static json_t *named(const json_t *list, const char *name) {
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one)
		if (!strcmp(json_string_value(json_object_get(one, "name")), name))
			return one;
	return NULL;
}

#define KUBE_USER "hallpass-" SA_DEV

static void check_kubeconfig(const struct bytes *before, const struct bytes *after) {
	json_t *was = yaml_json(before->p, before->n), *is = yaml_json(after->p, after->n), *users = json_object_get(was, "users"), *user, *exec;
	const char *current = json_string_value(json_object_get(was, "current-context"));

	user = named(json_object_get(is, "users"), KUBE_USER);
	exec = json_object_get(json_object_get(user, "user"), "exec");
	assert_string_equal(json_string_value(json_object_get(exec, "command")), "hallpass");
	assert_string_equal(json_string_value(json_array_get(json_object_get(exec, "args"), 2)), SA_DEV);
	if (!json_is_array(users)) {
		json_object_set_new(was, "users", json_array());
		users = json_object_get(was, "users");
	}
	json_array_insert(users, 0, user);
	json_object_set_new(json_object_get(named(json_object_get(was, "contexts"), current), "context"), "user", json_string(KUBE_USER));
	if (!json_equal(was, is))
		fail_msg("before:\n%s\nafter:\n%s", before->p, after->p);
	json_decref(was);
	json_decref(is);
}

static void test_setup_kubectl_leaves_no_trace(void **state) {
	static const struct client c = { { "kubectl", "--as", SA_DEV }, ".kube/config", write_kubeconfig, check_kubeconfig };

	static const struct client crlf = { { "kubectl", "--as", SA_DEV }, ".kube/config", write_kubeconfig_crlf, check_kubeconfig };

	(void)state;
	rounds(&c);
	rounds(&crlf);
}

#define KUBECONFIG_TWO                                                                                                          \
	"apiVersion: v1\nkind: Config\ncontexts:\n- context:\n    cluster: c\n    user: one\n  name: a\n- context:\n    cluster: c\n    user: two\n  name: b\n" \
	"current-context: a\nusers:\n- name: one\n  user: {}\n- name: two\n  user: {}\n"

/* kubectl writes its file anew, too, sorted and without comments; and two accounts can be set up, and undone, one after the other. */
static void test_setup_kubectl_of_two_accounts(void **state) {
	(void)state;
	if (!have("kubectl"))
		skip();
	assert_int_equal(SH("mkdir .kube; printf '%s' '" KUBECONFIG_TWO "' > .kube/config; hallpass setup kubectl --as " SA_DEV " --yes && "
			    "hallpass setup kubectl b --as " SA_LABEL " --yes && kubectl config use-context b >/dev/null && "
			    "kubectl config view -o jsonpath='{.contexts[*].context.user}'"), 0);
	assert_non_null(strstr(out, KUBE_USER " hallpass-" SA_LABEL));
	assert_int_equal(SH("hallpass setup kubectl a --remove --yes >/dev/null && kubectl config view -o jsonpath='{.contexts[*].context.user} {.users[*].name}'"), 0);
	assert_string_equal(out, "one hallpass-" SA_LABEL " hallpass-" SA_LABEL " one two");
	assert_int_equal(SH("hallpass setup kubectl --remove --yes >/dev/null && kubectl config view -o jsonpath='{.contexts[*].context.user} {.users[*].name}'"), 0);
	assert_string_equal(out, "one two one two");
	assert_false(exists(".config/hallpass/helpers.json"));
}

/* Of several files the one that has the context. */
static void test_setup_kubectl_of_several_files(void **state) {
	(void)state;
	assert_int_equal(SH("printf '%s' '" KUBECONFIG_TWO "' > two; sed 's/name: a$/name: x/; s/name: b$/name: y/; /current/d' two > one; cp one saved; export KUBECONFIG=gone:one:two\n"
			    "hallpass setup kubectl --as " SA_DEV " --yes >/dev/null && cmp one saved && hallpass setup kubectl y --as " SA_DEV " --yes >/dev/null && "
			    "! cmp -s one saved && grep -c hallpass one two; hallpass setup kubectl y --remove --yes >/dev/null && cmp one saved && "
			    "hallpass setup kubectl --remove --yes >/dev/null; ! grep hallpass two"), 0);
	assert_string_equal(out, "one:3\ntwo:3\n");
	assert_int_equal(SH("KUBECONFIG=one:two hallpass setup kubectl z --yes"), 64);
	assert_non_null(strstr(err, "/one has no context \"z\""));
}

static void test_setup_kubectl_refuses_what_it_cannot_edit(void **state) {
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{\"apiVersion\": \"v1\", \"users\": []}", "this is written as JSON, or indented" },
		{ "a: &x 1\nb: *x\n", "config: 1:4: " },
		{ "users: {a: b}\n", "users is no list" },
		{ "users: [{name: a}]\n", "this is written in one line" },
		{ "users:\n- name: hallpass-" SA_DEV "\n  user: {token: x}\n", "that is not hallpass's" },
		{ "current-context: gone\nusers: []\n", "has no context \"gone\"" },
		{ "current-context: c\ncontexts:\n- name: c\n  context: {cluster: x}\nusers: []\n", "has no user that could be changed" },
		{ "just text", "this is no kubeconfig" },
		{ "", "this is no kubeconfig" },
	};
	char line[1024];

	(void)state;
	assert_int_equal(SH("hallpass setup kubectl --yes"), 64);
	assert_non_null(strstr(err, "get-credentials` makes one"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "mkdir -p .kube; printf '%%s' '%s' > .kube/config; cp .kube/config saved; hallpass setup kubectl --as " SA_DEV " --yes; "
					     "r=$?; cmp .kube/config saved && exit $r", cases[i].text);
		assert_int_equal(SH(line), 64);
		if (!strstr(err, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err);
		assert_false(exists(".config/hallpass/helpers.json"));
	}
}

/* --- gcloud */

#define POLICY_LISTENER "{tcp: \"127.0.0.1:0\", serviceAccounts: [" SA_DEV "]}"

static void test_setup_gcloud(void **state) {
	char url[64];
	struct bytes b;
	json_t *json;
	int port = free_port();

	(void)state;
	assert_int_equal(CLI("setup", "gcloud", "--yes"), 69); /* it is the broker that has the port */
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_LABEL ", " SA_DEV "]}", port);
	world_daemon(&w);
	assert_int_equal(SH("mkdir -p .config/gcloud/configurations; echo '[core]' > .config/gcloud/configurations/config_default; hallpass setup gcloud --as " SA_DEV " --yes"), 0);
	b = read_home(".config/hallpass/gcloud.json");
	json = json_loads(b.p, 0, NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/token", port);
	assert_string_equal(json_string_value(json_object_get(json, "token_url")), url);
	assert_string_equal(json_string_value(json_object_get(json, "audience")), "//hallpass.invalid/local/" SA_DEV);
	assert_int_equal(b.mode & 0777, 0600);
	json_decref(json);
	free(b.p);
	b = read_home(".config/gcloud/configurations/config_hallpass");
	assert_non_null(strstr(b.p, "[core]\nproject = acme-ml\ndisable_file_logging = true\n[auth]\ncredential_file_override = "));
	free(b.p);
	assert_int_equal(SH("hallpass setup gcloud --as " SA_DEV " --yes"), 0);
	assert_string_equal(out, "nothing to change: it is set up\n");
	assert_int_equal(SH("hallpass setup gcloud --yes"), 0); /* the listener's own account */
	assert_non_null(strstr(out, "+  \"audience\": \"//hallpass.invalid/local/" SA_LABEL));
	assert_int_equal(SH("hallpass setup gcloud --as " SA_PROD " --yes"), 70);
	assert_non_null(strstr(err, "no port of the broker's is for " SA_PROD "; put this line into "));
	assert_int_equal(SH("hallpass setup gcloud --remove --yes; ls -A .config/gcloud/configurations .config/hallpass"), 0);
	assert_non_null(strstr(out, ".config/gcloud/configurations:\nconfig_default\n\n.config/hallpass:\n"));
	assert_null(strstr(out, "helpers.json\n"));
	assert_int_equal(SH("echo '[core]' > .config/gcloud/configurations/config_hallpass; hallpass setup gcloud --yes"), 64);
	assert_non_null(strstr(err, "that hallpass did not write"));
}

/* gcloud outside of any session: a token of the account's, and nothing of it stays on disk. */
static void test_setup_gcloud_itself(void **state) {
	char sha[65], line[512];
	json_t *records;

	(void)state;
	if (!have("gcloud"))
		skip();
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_LABEL ", " SA_DEV "]}", free_port());
	world_daemon(&w);
	setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", 1);
	assert_int_equal(SH("hallpass setup gcloud --as " SA_DEV " --yes >/dev/null && gcloud --configuration=hallpass auth print-access-token && "
			    "gcloud --configuration=hallpass config get project"), 0);
	assert_string_equal(out + strcspn(out, "\n"), "\nacme-ml\n");
	out[strcspn(out, "\n")] = '\0';
	text_sha256(out, sha);
	records = world_records(&w, NULL, 0);
	assert_true(records_have_token(records, sha));
	assert_string_equal(json_string_value(json_object_get(records_last(records, "issued"), "target")), SA_DEV);
	json_decref(records);
	snprintf(line, sizeof(line), "! grep -rlaF '%.100s' %s/.config", out, w.dir);
	assert_int_equal(system(line), 0);
	assert_int_equal(SH("gcloud auth print-access-token"), 1); /* the user's own configuration has no login, still */
}

static void test_setup_gcloud_needs_none_in_a_session(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(SH("hallpass setup gcloud --yes"), 0);
	assert_non_null(strstr(out, "nothing to change: `hallpass run --as " SA_DEV " -- gcloud …` works as it is\n"));
	assert_false(exists(".config/hallpass/gcloud.json"));
}

/* gcloud writes a configuration anew, without comments: what made it ours goes all the same, the rest is the user's. */
static void test_setup_gcloud_is_undone_after_gcloud_wrote(void **state) {
	(void)state;
	if (!have("gcloud"))
		skip();
	snprintf(w.listeners_more, sizeof(w.listeners_more), ", {tcp: \"127.0.0.1:%d\", serviceAccounts: [" SA_DEV "]}", free_port());
	world_daemon(&w);
	assert_int_equal(SH("hallpass setup gcloud --yes >/dev/null && gcloud config set --configuration=hallpass core/verbosity error && "
			    "gcloud config list --configuration=hallpass --format='value(auth.credential_file_override)'"), 0);
	assert_non_null(strstr(out, "/.config/hallpass/gcloud.json\n"));
	assert_int_equal(SH("hallpass setup gcloud --remove --yes >/dev/null; cat .config/gcloud/configurations/config_hallpass"), 0);
	assert_null(strstr(out, "credential_file_override"));
	assert_non_null(strstr(out, "verbosity = error"));
}

/* --- what the shells make of their lines */

static void test_setup_shell_functions_work(void **state) {
	(void)state;
	world_daemon(&w);
	assert_int_equal(SH("{ hallpass setup shell bash --yes && hallpass setup terraform bash --as " SA_DEV " --yes; } >/dev/null 2>&1 && "
			    "printf '#!/bin/sh\\necho \"$HALLPASS_AS $*\"\\n' > bin/terraform && chmod +x bin/terraform && "
			    "bash --norc -c 'PS1=\"$ \"; . ./.bashrc; terraform plan -out=\"a b\"; become " SA_DEV " && echo in $HALLPASS_AS; become; "
			    "echo out $HALLPASS_AS; HALLPASS_AS=" SA_DEV "; echo \"${PS1@P}\"; complete -p hallpass'"), 0);
	assert_string_equal(out, SA_DEV " plan -out=a b\nin " SA_DEV "\nout\n(ml-training-dev-sa) $ \ncomplete -o default -F _hallpass hallpass\n");
	assert_string_equal(err, "");
}

/* Terraform itself, whose state lies in a bucket: it comes with a token of the account. */
static void test_setup_terraform_itself(void **state) {
	struct httpstub *storage;
	char line[2048], *request, *bearer, sha[65];
	json_t *records;

	(void)state;
	if (!have("terraform"))
		skip();
	world_daemon(&w);
	storage = httpstub_new(NULL, NULL);
	httpstub_on(storage, "GET /storage/v1/b/acme-state/o", &STUB(200, "Content-Type: application/json\r\n", "{\"kind\": \"storage#objects\"}"));
	snprintf(line, sizeof(line),
		 "hallpass setup terraform bash --as " SA_DEV " --yes >/dev/null 2>&1; mkdir tf && cd tf && "
		 "printf 'terraform {\\n  backend \"gcs\" {\\n    bucket = \"acme-state\"\\n  }\\n}\\n' > main.tf && "
		 "GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT=http://127.0.0.1:%d/storage/v1/ CHECKPOINT_DISABLE=1 bash --norc -c '. ../.bashrc; terraform init -no-color'",
		 httpstub_port(storage));
	SH(line); /* there is a list of what is in the bucket, and no more: it ends with an error */
	assert_non_null(strstr(out, "Successfully configured the backend \"gcs\"!"));
	request = httpstub_request(storage, "GET /storage/v1/b/acme-state/o", 0);
	assert_non_null(request);
	bearer = strcasestr(request, "\r\nAuthorization: Bearer ");
	assert_non_null(bearer);
	bearer += strlen("\r\nAuthorization: Bearer ");
	bearer[strcspn(bearer, "\r")] = '\0';
	text_sha256(bearer, sha);
	records = world_records(&w, NULL, 0);
	assert_true(records_have_token(records, sha));
	json_decref(records);
	free(request);
	httpstub_free(storage);
}

static void test_setup_shell_lines_are_a_shells(void **state) {
	(void)state;
	assert_int_equal(SH("for s in bash zsh fish; do hallpass setup shell $s --yes && hallpass setup terraform $s --as " SA_DEV " --yes || exit 1; done >/dev/null"), 0);
	assert_int_equal(SH("bash -n .bashrc"), 0);
	if (have("zsh"))
		assert_int_equal(SH("zsh -n .zshrc"), 0);
	if (have("fish"))
		assert_int_equal(SH("fish -n .config/fish/config.fish"), 0);
	assert_int_equal(SH("SHELL=/bin/tcsh hallpass setup shell --yes"), 64);
	assert_non_null(strstr(err, "your shell is tcsh"));
	assert_int_equal(SH("SHELL=/usr/bin/bash hallpass setup shell --yes"), 0); /* $SHELL's, which has it */
	assert_int_equal(SH("hallpass setup terraform bash --yes"), 64);
	assert_non_null(strstr(err, "as whom shall terraform run?"));
}

/* --- asking, and showing */

static void test_setup_asks_before_it_writes(void **state) {
	struct running r;

	(void)state;
	assert_int_equal(SH("hallpass setup git </dev/null"), 64);
	assert_non_null(strstr(out, "+\thelper = hallpass\n"));
	assert_non_null(strstr(err, "nothing was written: there is no terminal to ask on; --yes writes it"));
	assert_int_equal(SH("hallpass setup git --dry-run"), 0);
	assert_non_null(strstr(out, "--- /dev/null\n+++ ~/.gitconfig\n@@ -0,0 +1,6 @@\n+# >>> hallpass setup git "));
	assert_false(exists(".gitconfig"));
	start_on_terminal(&w, &r, 100, (const char *const[]){ program("hallpass"), "setup", "git", NULL });
	assert_true(wait_for(&r, "Write this? [y/N]"));
	assert_non_null(strstr(r.text, "\x1b[32m+\thelper = hallpass\x1b[0m"));
	assert_int_equal(write(r.fd, "n\n", 2), 2);
	assert_int_equal(finish(&r), 70);
	assert_non_null(strstr(r.text, "nothing was written"));
	assert_false(exists(".gitconfig"));
	start_on_terminal(&w, &r, 100, (const char *const[]){ program("hallpass"), "setup", "git", NULL });
	assert_true(wait_for(&r, "Write this? [y/N]"));
	assert_int_equal(write(r.fd, "y\n", 2), 2);
	assert_int_equal(finish(&r), 0);
	assert_true(exists(".gitconfig"));
	assert_int_equal(SH("hallpass setup git --remove --json"), 64);
	assert_int_equal(SH("hallpass setup git --remove --json --yes"), 0);
	assert_non_null(strstr(out, "{\"files\":[\""));
	assert_non_null(strstr(out, "/.gitconfig\"],\"written\":true}"));
	assert_false(exists(".gitconfig"));
}

/* What was shown is what is replaced: who else writes the file while the question stands keeps what he wrote. */
static void test_setup_leaves_what_changed_meanwhile(void **state) {
	struct running r;

	(void)state;
	assert_int_equal(SH("echo '[user]' > .gitconfig"), 0);
	start_on_terminal(&w, &r, 100, (const char *const[]){ program("hallpass"), "setup", "git", NULL });
	assert_true(wait_for(&r, "Write this? [y/N]"));
	assert_int_equal(SH("echo '[core]' >> .gitconfig; cp .gitconfig saved"), 0);
	assert_int_equal(write(r.fd, "y\n", 2), 2);
	assert_int_equal(finish(&r), 75);
	assert_non_null(strstr(r.text, "/.gitconfig was changed meanwhile, and is left as it is; try again"));
	assert_int_equal(SH("cmp saved .gitconfig && ls -A | grep -c hallpass-"), 1);
	assert_string_equal(out, "0\n");
}

static void test_setup_makes_files_as_others_do(void **state) {
	(void)state;
	assert_int_equal(SH("umask 027; hallpass setup git --yes >/dev/null 2>&1; hallpass setup docker --yes >/dev/null 2>&1; "
			    "stat -c %a .gitconfig .docker .docker/config.json .config/hallpass/helpers.json"), 0);
	assert_string_equal(out, "640\n700\n600\n600\n");
}

/* A dotfile may be linked into a directory that is not there yet, or not any more: links stay links, and the file is made where they lead. */
static void test_setup_follows_a_link_to_nothing(void **state) {
	static const struct {
		const char *links, *file;
	} cases[] = {
		{ "ln -s dotfiles/git .gitconfig", "dotfiles/git" },
		{ "mkdir dotfiles; ln -s $HOME/dotfiles/git .gitconfig", "dotfiles/git" },
		{ "mkdir -p dotfiles; ln -s ../kept/git dotfiles/git; ln -s dotfiles/git .gitconfig", "kept/git" },
		{ "mkdir dotfiles; ln -s git2 dotfiles/git; ln -s ../kept/git dotfiles/git2; ln -s $HOME/dotfiles/git .gitconfig", "kept/git" },
	};
	char line[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line),
			 "rm -rf dotfiles kept .gitconfig; %s; links() { find . -type l | xargs ls -l; }; links > links; file=%s; "
			 "hallpass setup git --yes && grep -q 'helper = hallpass' $file && test ! -L $file && links | cmp - links && "
			 "hallpass setup git --remove --yes && test ! -e $file && links | cmp - links",
			 cases[i].links, cases[i].file);
		if (SH(line) != 0)
			fail_msg("%s: %s%s", cases[i].links, out, err);
	}
	assert_int_equal(SH("ln -sf .gitconfig .gitconfig; hallpass setup git --yes"), 64);
	assert_non_null(strstr(err, "/.gitconfig: Too many levels of symbolic links"));
	assert_int_equal(SH("rm .gitconfig; touch file; ln -s file/git .gitconfig; hallpass setup git --yes"), 64);
	assert_non_null(strstr(err, "/.gitconfig: Not a directory"));
}

/* Other people's secrets stand in these files: what is shown around a change does not show them. */
static void test_setup_shows_no_secret(void **state) {
	(void)state;
	assert_int_equal(SH("mkdir .docker; printf '{\\n\\t\"auths\": {\\n\\t\\t\"x.example\": {\\n\\t\\t\\t\"auth\": \"c2VjcmV0\",\\n\\t\\t\\t\"identitytoken\": \"eyJxyz\"\\n\\t\\t}\\n\\t},\\n"
			    "\\t\"credHelpers\": {\\n\\t\\t\"gcr.io\": \"gcloud\"\\n\\t}\\n}\\n' > .docker/config.json; hallpass setup docker gcr.io --dry-run"), 0);
	assert_null(strstr(out, "c2VjcmV0"));
	assert_null(strstr(out, "eyJxyz"));
	assert_int_equal(SH("printf '{\\n\\t\"auths\": {\\n\\t\\t\"x.example\": { \"auth\": \"c2VjcmV0\" }\\n\\t}\\n}\\n' > .docker/config.json; hallpass setup docker gcr.io --dry-run"), 0);
	assert_null(strstr(out, "c2VjcmV0"));
	assert_int_equal(SH("printf '{\"credHelpers\": {}, \"auths\": {\"x.example\": {\"auth\": \"c2VjcmV0\"}}}' > .docker/config.json; hallpass setup docker gcr.io --dry-run"), 0);
	assert_non_null(strstr(out, "+{\"credHelpers\": {\"gcr.io\": \"hallpass\"}, \"auths\": …\n"));
	assert_null(strstr(out, "c2VjcmV0"));
	assert_int_equal(SH("mkdir .kube; printf 'users:\\n- name: a\\n  user:\\n    token: c2VjcmV0\\n' > .kube/config; hallpass setup kubectl --dry-run"), 0);
	assert_non_null(strstr(out, "+- name: hallpass\n"));
	assert_non_null(strstr(out, "     token: …\n"));
	assert_null(strstr(out, "c2VjcmV0"));
	/* On lines of its own; what comes behind it is shown again. */
	assert_int_equal(SH("printf 'users:\\n- user:\\n    client-key-data: |\\n      c2Vj\\n\\n      cmV0\\n  name: a\\n' > .kube/config; hallpass setup kubectl --dry-run"), 0);
	assert_non_null(strstr(out, "     client-key-data: …\n        …\n"));
	assert_null(strstr(out, "c2Vj"));
	assert_int_equal(SH("printf '[http]\\n\\textraheader = \\\\\\n\\t\\tc2VjcmV0\\n\\tproxy = http://p\\n' > .gitconfig; hallpass setup git --dry-run"), 0);
	assert_non_null(strstr(out, " \textraheader = …\n \t\t …\n \tproxy = http://p\n"));
	assert_null(strstr(out, "c2VjcmV0"));
	/* Nor does a mistake. */
	assert_int_equal(SH("printf '{\"auths\": {\"x.example\": {\"auth\": c2VjcmV0}}}' > .docker/config.json; hallpass setup docker gcr.io --dry-run"), 64);
	assert_non_null(strstr(err, ": invalid token; it has to be right before it is added to"));
	assert_null(strstr(err, "c2VjcmV0"));
}

static void test_setup_refuses_in_words(void **state) {
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "hallpass setup docker docker.io --yes", "\"docker.io\" is no registry of Google's" },
		{ "hallpass setup git github.com --yes", "\"github.com\" is no host of git repositories at Google" },
		{ "hallpass setup git --as Me --yes", "--as is the address of a service account" },
		{ "hallpass setup git --as \"$(printf 'a@b\\n[x]')\" --yes", "--as is the address of a service account" },
		{ "mkdir .docker; printf '{\"a\": 1,}' > .docker/config.json; hallpass setup docker --yes", "config.json:1:9: " },
		{ "printf '[]' > .docker/config.json; hallpass setup docker --yes", "a JSON object is expected" },
		{ "printf '{\"credHelpers\": []}' > .docker/config.json; hallpass setup docker --yes", "credHelpers is no object" },
		{ "printf 'a = b\\\\\\\\\\n' > .gitconfig; hallpass setup git --yes", "its last line ends in a backslash" },
		{ "printf '# >>> hallpass setup git x >>>\\n' > .gitconfig; hallpass setup git --yes", ".gitconfig:1: here lines of hallpass's begin, and their last" },
		{ "HALLPASS_HANDLE_FILE=x hallpass setup gcloud --yes", "run it outside of one" },
		{ "env -u HOME hallpass setup git --yes", "HOME is not set" },
		{ "rm .gitconfig; mkdir .gitconfig; hallpass setup git --yes", "not a regular file" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(SH(cases[i].line), 64);
		if (!strstr(err, cases[i].says))
			fail_msg("%s: %s", cases[i].line, err);
	}
	assert_int_equal(SH("hallpass setup"), 64);
	assert_non_null(strstr(err, "hallpass setup what? There are: docker, gcloud, git, kubectl, shell, terraform"));
}

#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		SCENARIO(test_setup_git_leaves_no_trace),
		SCENARIO(test_setup_shell_leaves_no_trace),
		SCENARIO(test_setup_blocks_are_independent),
		SCENARIO(test_setup_docker_leaves_no_trace),
		SCENARIO(test_setup_docker_is_undone_after_docker_wrote),
		SCENARIO(test_setup_kubectl_leaves_no_trace),
		SCENARIO(test_setup_kubectl_of_two_accounts),
		SCENARIO(test_setup_kubectl_of_several_files),
		SCENARIO(test_setup_kubectl_refuses_what_it_cannot_edit),
		SCENARIO(test_setup_gcloud),
		SCENARIO(test_setup_gcloud_itself),
		SCENARIO(test_setup_gcloud_needs_none_in_a_session),
		SCENARIO(test_setup_gcloud_is_undone_after_gcloud_wrote),
		SCENARIO(test_setup_shell_functions_work),
		SCENARIO(test_setup_terraform_itself),
		SCENARIO(test_setup_shell_lines_are_a_shells),
		SCENARIO(test_setup_asks_before_it_writes),
		SCENARIO(test_setup_leaves_what_changed_meanwhile),
		SCENARIO(test_setup_makes_files_as_others_do),
		SCENARIO(test_setup_follows_a_link_to_nothing),
		SCENARIO(test_setup_shows_no_secret),
		SCENARIO(test_setup_refuses_in_words),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
