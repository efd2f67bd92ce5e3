/*
 * hallpass setup kubectl: a user of the kubeconfig whose credentials an exec plugin gives, us. See setup.h.
 *
 * The user is an item of `users`, added as whole lines in front of the others; a context is made that user by its `user`. What stood there
 * before goes into the memory, and is put back from it: the text itself, quotes and all.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/setup.h"
#include "broker/file.h"
#include "hallpass/cleanup.h"
#include "hallpass/yaml.h"

#define OURS "hallpass"
#define EMPTY_USERS " []"
#define CONFIG_MAX (4 << 20)

struct edit {
	size_t at, n;
	char with[1024];
};

struct plan {
	struct setup *setup;
	struct setup_file *file;
	struct yaml_tree *tree;
	json_t *before;	  /* of the memory, for this file: {"users": TEXT, "contexts": {NAME: TEXT}} */
	json_t *contexts; /* of that */
	char user[300];
	struct edit edits[CLI_MAX_ARGS * 4];
	size_t n_edits;
};

static int edit(struct plan *p, size_t at, size_t n, const char *with, struct error *err) {
	struct edit *e = &p->edits[p->n_edits];

	if (p->n_edits == ARRAY_SIZE(p->edits) || snprintf(e->with, sizeof(e->with), "%s", with) >= (int)sizeof(e->with))
		return error_set(err, ERR_INVALID, "%s: too much to change at once", p->file->path);
	e->at = at;
	e->n = n;
	p->n_edits++;
	return 0;
}

/* From the last to the first, so that no offset moves before it is used. */
static void apply(struct plan *p) {
	while (p->n_edits) {
		size_t last = 0;

		for (size_t i = 1; i < p->n_edits; i++)
			if (p->edits[i].at > p->edits[last].at)
				last = i;
		setup_splice(&p->file->after, p->edits[last].at, p->edits[last].n, p->edits[last].with, strlen(p->edits[last].with));
		p->edits[last] = p->edits[--p->n_edits];
	}
}

static int cannot(const struct plan *p, const struct yaml_node *node, const char *what, struct error *err) {
	return error_set(err, ERR_INVALID, "%s:%u:%u: %s; hallpass adds to files in the layout that kubectl writes", p->file->path, node->line,
			 node->column, what);
}

/* --- places in the text */

static const char *text_of(const struct yaml_node *map, const char *key) {
	const struct yaml_node *node = yaml_find(map, key);

	return node && node->kind == YAML_SCALAR && node->text ? node->text : "";
}

/* Where a list's item begins: at the start of the line of its dash; *dash: the dash. -1: in brackets, or behind another. */
static int item_line(const struct plan *p, const struct yaml_node *item, size_t *line, size_t *dash, struct error *err) {
	const char *text = p->file->before;
	size_t at = item->offset;

	while (at && strchr(" \n", text[at - 1]))
		at--;
	if (!at || text[at - 1] != '-')
		return cannot(p, item, "this is written in one line", err);
	*dash = at - 1;
	for (at = *dash; at && text[at - 1] == ' ';)
		at--;
	*line = at;
	return !at || text[at - 1] == '\n' ? 0 : cannot(p, item, "this does not begin its line", err);
}

/* The end of an item's lines: those behind the first that are indented deeper than its dash. */
static size_t item_end(const struct plan *p, size_t line, size_t dash) {
	const char *text = p->file->before;
	size_t at = line;

	do {
		const char *end = strchr(text + at, '\n');

		if (!end)
			return p->file->n_before;
		at = (size_t)(end - text) + 1;
	} while (strspn(text + at, " ") > dash - line && text[at + strspn(text + at, " ")] != '\n');
	return at;
}

/* The length of a scalar as it is written. 0: not on one line, or not there. */
static size_t scalar_length(const struct plan *p, const struct yaml_node *node) {
	const char *text = p->file->before + node->offset;
	size_t n = 1;

	if (node->style == YAML_PLAIN)
		return node->n && !strncmp(text, node->text, node->n) ? node->n : 0;
	if (node->style != YAML_SINGLE_QUOTED && node->style != YAML_DOUBLE_QUOTED)
		return 0;
	for (; text[n] && text[n] != '\n'; n++) {
		if (text[n] == '\\' && *text == '"')
			n++;
		else if (text[n] == *text && text[n + 1] == *text && *text == '\'')
			n++;
		else if (text[n] == *text)
			return n + 1;
	}
	return 0;
}

/* --- users */

static bool is_ours(const struct yaml_node *item) {
	const char *command = text_of(yaml_find(yaml_find(item, "user"), "exec"), "command"), *slash = strrchr(command, '/');

	return !strncmp(text_of(item, "name"), OURS, strlen(OURS)) && !strcmp(slash ? slash + 1 : command, OURS);
}

static const struct yaml_node *find_named(const struct yaml_node *list, const char *name) {
	if (!list || list->kind != YAML_LIST)
		return NULL;
	yaml_each (item, list)
		if (!strcmp(text_of(item, "name"), name))
			return item;
	return NULL;
}

/* As kubectl itself would write it. */
static void write_user(const struct plan *p, int indent, char *out, size_t size) {
	const char *as = p->setup->cli->values[OPT_AS];
	char account[256] = "";

	if (as)
		snprintf(account, sizeof(account), "%*s      - --default-as\n%*s      - %s\n", indent, "", indent, "", as);
	snprintf(out, size,
		 "%*s- name: %s\n%*s  user:\n%*s    exec:\n%*s      apiVersion: client.authentication.k8s.io/v1\n%*s      args:\n"
		 "%*s      - kubectl-credential\n%s%*s      command: " OURS "\n%*s      interactiveMode: Never\n%*s      provideClusterInfo: false\n",
		 indent, "", p->user, indent, "", indent, "", indent, "", indent, "", indent, "", account, indent, "", indent, "", indent, "");
}

/* In front of the others; in place of `[]` or `null`; or with a `users:` of its own, at the top. */
static int add_user(struct plan *p, struct error *err) {
	const struct yaml_node *users = yaml_find(p->tree->root, "users");
	bool list = users && users->kind == YAML_LIST;
	char item[1000], text[1024];
	size_t line, dash, colon;

	if (list && users->first) {
		if (item_line(p, users->first, &line, &dash, err) < 0)
			return -1;
		write_user(p, (int)(dash - line), item, sizeof(item));
		return edit(p, line, 0, item, err);
	}
	write_user(p, 0, item, sizeof(item));
	if (!users) {
		snprintf(text, sizeof(text), "users:\n%s", item);
		json_object_set_new(p->before, "users", json_null());
		return edit(p, p->tree->root->first->key->offset, 0, text, err);
	}
	if (!list && !yaml_is_null(users))
		return cannot(p, users, "users is no list", err);
	colon = users->key->offset + strlen("users:");
	if (strncmp(p->file->before + colon - 1, ":", 1))
		return cannot(p, users, "users is written in another way", err);
	line = colon + strcspn(p->file->before + colon, "\n"); /* a comment, too */
	snprintf(text, sizeof(text), "\n%.*s", (int)strlen(item) - 1, item);
	json_object_set_new(p->before, "users", json_stringn(p->file->before + colon, line - colon));
	return edit(p, colon, line - colon, text, err);
}

static int remove_user(struct plan *p, const struct yaml_node *item, struct error *err) {
	size_t line, dash;

	return item_line(p, item, &line, &dash, err) < 0 ? -1 : edit(p, line, item_end(p, line, dash) - line, "", err);
}

/* Nothing would be left of the list: what was there without it comes back. */
static int remove_users(struct plan *p, const struct yaml_node *users, struct error *err) {
	const json_t *before = json_object_get(p->before, "users");
	size_t line = 0, dash, end, colon = users->key->offset + strlen("users:");

	yaml_each (item, users)
		if (item_line(p, item, &line, &dash, err) < 0)
			return -1;
	end = item_end(p, line, dash);
	if (json_is_null(before))
		return edit(p, users->key->offset, end - users->key->offset, "", err);
	end -= p->file->before[end - 1] == '\n';
	return edit(p, colon, end - colon, json_is_string(before) ? json_string_value(before) : EMPTY_USERS, err);
}

/* --- contexts */

static const struct yaml_node *user_of_context(const struct plan *p, const char *name, struct error *err) {
	const struct yaml_node *item = find_named(yaml_find(p->tree->root, "contexts"), name);
	const struct yaml_node *user = yaml_find(yaml_find(item, "context"), "user");

	if (!item)
		error_set(err, ERR_NOT_FOUND, "%s has no context \"%s\"; `kubectl config get-contexts` lists all", p->file->path, name);
	else if (!user || user->kind != YAML_SCALAR || !scalar_length(p, user))
		error_set(err, ERR_INVALID, "%s: context \"%s\" has no user that could be changed; `kubectl config set-context %s --user=%s` gives it one",
			  p->file->path, name, name, p->user);
	else
		return user;
	if (err->code == ERR_NOT_FOUND)
		err->code = ERR_INVALID; /* it is not the broker that is missing */
	return NULL;
}

static int change_context(struct plan *p, const char *name, struct error *err) {
	const struct yaml_node *user = user_of_context(p, name, err);

	if (!user)
		return -1;
	if (!strcmp(user->text, p->user))
		return 0;
	if (!json_object_get(p->contexts, name))
		json_object_set_new(p->contexts, name, json_stringn(p->file->before + user->offset, scalar_length(p, user)));
	return edit(p, user->offset, scalar_length(p, user), p->user, err);
}

static int restore_context(struct plan *p, const char *name, struct error *err) {
	const struct yaml_node *user = user_of_context(p, name, err);
	const char *before = json_string_value(json_object_get(p->contexts, name));
	int r;

	if (!user)
		return -1;
	if (strncmp(user->text, OURS, strlen(OURS)))
		return json_object_del(p->contexts, name), 0; /* it is somebody else's by now */
	if (!before) {
		buf_addf(&p->setup->notes, "context %s was left without a user: nobody remembers who it was; `kubectl config set-context %s --user=NAME`\n",
			 name, name);
		before = "\"\"";
	}
	r = edit(p, user->offset, scalar_length(p, user), before, err);
	json_object_del(p->contexts, name);
	return r;
}

static bool named(const struct cli *cli, const char *context) {
	for (size_t i = 0; i < cli->n_args; i++)
		if (!strcmp(cli->args[i], context))
			return true;
	return !cli->n_args;
}

static const struct yaml_node *list_of(const struct plan *p, const char *key) {
	static const struct yaml_node none = { .kind = YAML_LIST };
	const struct yaml_node *list = yaml_find(p->tree->root, key);

	return list && list->kind == YAML_LIST ? list : &none;
}

/* Whether a context that stays as it is has this user. */
static bool still_used(const struct plan *p, const char *user) {
	yaml_each (item, list_of(p, "contexts"))
		if (!strcmp(text_of(yaml_find(item, "context"), "user"), user) && !named(p->setup->cli, text_of(item, "name")))
			return true;
	return false;
}

static bool goes(const struct plan *p, const struct yaml_node *user) {
	return is_ours(user) && !still_used(p, text_of(user, "name"));
}

static int restore_contexts(struct plan *p, const struct yaml_node *users, struct error *err) {
	yaml_each (item, list_of(p, "contexts")) {
		const struct yaml_node *user = find_named(users, text_of(yaml_find(item, "context"), "user"));
		const char *name = text_of(item, "name");

		if (user && is_ours(user) && named(p->setup->cli, name) && restore_context(p, name, err) < 0)
			return -1;
	}
	return 0;
}

static int plan_remove(struct plan *p, struct error *err) {
	const struct yaml_node *users = list_of(p, "users");
	size_t left = 0, ours = 0, gone = 0;

	if (!users->first)
		return 0;
	if (restore_contexts(p, users, err) < 0)
		return -1;
	yaml_each (item, users) {
		left += !goes(p, item);
		ours += is_ours(item);
		gone += goes(p, item);
	}
	if (!left && remove_users(p, users, err) < 0)
		return -1;
	yaml_each (item, users)
		if (left && goes(p, item) && remove_user(p, item, err) < 0)
			return -1;
	if (ours == gone)
		json_object_del(p->before, "users");
	return 0;
}

static int plan_put(struct plan *p, struct error *err) {
	const struct cli *cli = p->setup->cli;
	const char *current = text_of(p->tree->root, "current-context");
	const struct yaml_node *there = find_named(yaml_find(p->tree->root, "users"), p->user);

	if (there && !is_ours(there))
		return cannot(p, there, "there is a user of this name that is not hallpass's", err);
	if (!there && add_user(p, err) < 0)
		return -1;
	for (size_t i = 0; i < cli->n_args; i++)
		if (change_context(p, cli->args[i], err) < 0)
			return -1;
	if (!cli->n_args && *current && change_context(p, current, err) < 0)
		return -1;
	if (!cli->n_args && !*current)
		buf_addf(&p->setup->notes,
			 "there is no current context; `kubectl --user=%s` is this user, and `hallpass setup kubectl CONTEXT` makes a context be\n", p->user);
	setup_note_account(p->setup);
	setup_need(p->setup, OURS);
	return 0;
}

static int load(struct plan *p, struct error *err) {
	struct yaml_problems problems;

	if (yaml_load((struct str){ p->file->before, p->file->n_before }, NULL, &p->tree, &problems, err) < 0)
		return error_wrap(err, "%s", p->file->path);
	if (!p->tree->root || p->tree->root->kind != YAML_MAP || !p->tree->root->first)
		return error_set(err, ERR_INVALID, "%s: this is no kubeconfig", p->file->path);
	if (p->tree->root->first->key->column != 1)
		return cannot(p, p->tree->root->first->key, "this is written as JSON, or indented", err);
	return 0;
}

/* Whether a file of $KUBECONFIG is the one meant: it has the context, or says which is the current one. One that cannot be read is not. */
static bool is_meant(const struct cli *cli, const char *path) {
	struct yaml_problems problems;
	struct yaml_tree *tree = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t n;
	bool meant = false;

	if (file_read(path, CONFIG_MAX, &text, &n, &err) < 0)
		return false;
	if (yaml_load((struct str){ text, n }, NULL, &tree, &problems, &err) == 0)
		meant = cli->n_args ? find_named(yaml_find(tree->root, "contexts"), cli->args[0]) != NULL : *text_of(tree->root, "current-context");
	yaml_tree_free(tree);
	free(text);
	return meant;
}

/* Of $KUBECONFIG's files the one meant, else the first; ~/.kube/config where there is no such variable. */
static int find_config(const struct cli *cli, char path[PATH_MAX], struct error *err) {
	const char *list = getenv("KUBECONFIG");
	char one[PATH_MAX];

	path[0] = '\0';
	for (const char *at = list ? list : ""; *at; at += strspn(at, ":")) {
		size_t n = strcspn(at, ":");

		snprintf(one, sizeof(one), "%.*s", (int)n, at);
		at += n;
		if (!*path || (!is_meant(cli, path) && is_meant(cli, one)))
			memcpy(path, one, sizeof(one));
	}
	return *path ? 0 : setup_path(path, NULL, NULL, ".kube/config", err);
}

int setup_kubectl(struct setup *s, struct error *err) {
	struct plan p = { .setup = s };
	char path[PATH_MAX];
	int r;

	if (find_config(s->cli, path, err) < 0)
		return -1;
	p.file = setup_file_open(s, path, 0600, err);
	if (!p.file)
		return -1;
	if (!p.file->before && s->remove)
		return json_object_del(json_object_get(s->memory, "kubectl"), p.file->real), 0;
	if (!p.file->before)
		return error_set(err, ERR_INVALID, "there is no %s; `gcloud container clusters get-credentials` makes one", path);
	snprintf(p.user, sizeof(p.user), OURS "%s%s", s->cli->values[OPT_AS] ? "-" : "", s->cli->values[OPT_AS] ? s->cli->values[OPT_AS] : "");
	p.before = memory_object(memory_object(s->memory, "kubectl"), p.file->real);
	p.contexts = memory_object(p.before, "contexts");
	r = load(&p, err);
	if (r == 0)
		r = s->remove ? plan_remove(&p, err) : plan_put(&p, err);
	if (r == 0)
		apply(&p);
	yaml_tree_free(p.tree);
	return r;
}
