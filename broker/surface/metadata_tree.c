/* See metadata_tree.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/email.h"
#include "broker/json_reserve.h"
#include "broker/surface/metadata_tree.h"
#include "hallpass/cleanup.h"

/* --- building it: names in order, as the real one lists them */

static void put(json_t *dir, const char *name, json_t *value) {
	json_object_set_new(dir, name, value);
}

static json_t *texts(const char *const *list, size_t n) {
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_string(list[i]));
	return array;
}

static json_t *account_dir(const struct metadata_account *account, bool is_default) {
	static const char *const alias = "default";
	json_t *dir = json_object();

	put(dir, "aliases", texts(&alias, is_default));
	put(dir, "email", json_string(account->email));
	put(dir, "identity", json_null());
	put(dir, "scopes", texts(account->scopes, account->n_scopes));
	put(dir, "token", json_null());
	return dir;
}

static json_t *accounts_dir(const struct metadata_facts *facts) {
	json_t *dir = json_object();

	put(dir, "default", account_dir(&facts->accounts[0], true));
	for (size_t i = 0; i < facts->n_accounts; i++)
		put(dir, facts->accounts[i].email, account_dir(&facts->accounts[i], i == 0));
	return dir;
}

static json_t *attributes_dir(const struct config *config) {
	json_t *dir = json_object();

	for (size_t i = 0; i < config->n_instance_attributes; i++)
		put(dir, config->instance_attributes[i].name, json_string(config->instance_attributes[i].value));
	return dir;
}

static json_t *instance_dir(const struct metadata_facts *facts, const char *project) {
	const struct config *config = facts->config;
	long long number = config->instance_project_number;
	char name[300], hostname[700];
	json_t *dir = json_object();

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(facts->machine, "."), facts->machine);
	if (config->instance_name)
		snprintf(name, sizeof(name), "%s", config->instance_name);
	snprintf(hostname, sizeof(hostname), "%s.c.%s.internal", name, project);
	if (config->instance_hostname)
		snprintf(hostname, sizeof(hostname), "%s", config->instance_hostname);
	put(dir, "attributes", attributes_dir(config));
	put(dir, "hostname", json_string(hostname));
	put(dir, "id", json_integer(config->instance_id));
	put(dir, "machine-type", json_sprintf("projects/%lld/machineTypes/%s", number, config->instance_machine_type));
	put(dir, "name", json_string(name));
	put(dir, "service-accounts", accounts_dir(facts));
	put(dir, "zone", json_sprintf("projects/%lld/zones/%s", number, config->instance_zone));
	return dir;
}

static json_t *project_dir(const struct metadata_facts *facts, const char *project) {
	json_t *dir = json_object();

	put(dir, "attributes", json_object());
	put(dir, "numeric-project-id", json_integer(facts->config->instance_project_number));
	if (*project)
		put(dir, "project-id", json_string(project));
	return dir;
}

json_t *metadata_tree(const struct metadata_facts *facts) {
	json_t *tree = json_object(), *universe = json_object();
	char project[256] = "";

	if (facts->config->instance_project)
		snprintf(project, sizeof(project), "%s", facts->config->instance_project);
	else if (!email_project(facts->accounts[0].email, project, sizeof(project)))
		project[0] = '\0';
	put(tree, "instance", instance_dir(facts, project));
	put(tree, "project", project_dir(facts, project));
	put(universe, "universe-domain", json_string(facts->universe));
	put(tree, "universe", universe);
	return tree;
}

const json_t *metadata_find(const json_t *tree, const struct uri_path *path, size_t from) {
	for (size_t i = from; i < path->n && tree; i++)
		tree = json_is_object(tree) ? json_object_get(tree, path->segments[i]) : NULL;
	return tree;
}

/* --- writing it */

void metadata_list(const json_t *dir, struct buf *out) {
	const char *name;
	json_t *child;

	json_object_foreach((json_t *)dir, name, child)
		buf_addf(out, "%s%s\n", name, json_is_object(child) ? "/" : "");
}

void metadata_list_json(const json_t *dir, struct buf *out) {
	const char *name, *comma = "";
	json_t *child;

	buf_addc(out, '[');
	json_object_foreach((json_t *)dir, name, child) {
		struct buf text = BUF_INIT(1024);

		buf_addf(&text, "%s%s", name, json_is_object(child) ? "/" : "");
		buf_adds(out, comma);
		buf_add_json(out, text.data, text.len);
		buf_fini(&text);
		comma = ",";
	}
	buf_addc(out, ']');
}

void metadata_leaf(const json_t *leaf, struct buf *out) {
	if (json_is_integer(leaf))
		buf_addi(out, json_integer_value(leaf));
	else if (json_is_string(leaf))
		buf_add(out, json_string_value(leaf), json_string_length(leaf));
	for (size_t i = 0; i < json_array_size(leaf); i++) {
		if (i)
			buf_addc(out, '\n');
		metadata_leaf(json_array_get(leaf, i), out);
	}
}

/* service-accounts -> serviceAccounts */
static void add_camel(const char *name, struct buf *out) {
	bool raise = false;

	for (; *name; name++) {
		if (*name != '-')
			buf_addc(out, raise && *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name);
		raise = *name == '-';
	}
}

/* An account's name is an address, whatever is in it. */
static void add_name(const char *name, bool as_it_is, struct buf *out) {
	struct buf text = BUF_INIT(1024);

	if (as_it_is || strchr(name, '@'))
		buf_adds(&text, name);
	else
		add_camel(name, &text);
	buf_add_json(out, text.data ? text.data : "", text.len);
	buf_fini(&text);
}

static void add_leaf_json(const json_t *leaf, struct buf *out) {
	char *text = json_dumps(leaf, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		buf_adds(out, text);
	out->failed |= !text;
	json_reserve_free(text);
}

void metadata_json(const json_t *node, bool below_attributes, struct buf *out) {
	const char *name, *comma = "";
	json_t *child;

	if (!json_is_object(node)) {
		add_leaf_json(node, out);
		return;
	}
	buf_addc(out, '{');
	json_object_foreach((json_t *)node, name, child) {
		if (json_is_null(child)) /* each look at a token would issue one */
			continue;
		buf_adds(out, comma);
		add_name(name, below_attributes, out);
		buf_addc(out, ':');
		metadata_json(child, below_attributes || !strcmp(name, "attributes"), out);
		comma = ",";
	}
	buf_addc(out, '}');
}

static void add_lines(const json_t *node, const char *path, struct buf *out) {
	const char *name;
	json_t *child;

	json_object_foreach((json_t *)node, name, child) {
		struct buf below = BUF_INIT(4096);

		buf_addf(&below, "%s%s%s", path, *path ? "/" : "", name);
		if (json_is_object(child)) {
			add_lines(child, below.data ? below.data : "", out);
		} else if (!json_is_null(child)) {
			for (size_t i = 0; i < (json_is_array(child) ? json_array_size(child) : 1); i++) {
				buf_addf(out, "%s ", below.data);
				metadata_leaf(json_is_array(child) ? json_array_get(child, i) : child, out);
				buf_addc(out, '\n');
			}
		}
		buf_fini(&below);
	}
}

void metadata_lines(const json_t *dir, struct buf *out) {
	add_lines(dir, "", out);
}

void metadata_etag(const json_t *node, char out[METADATA_ETAG]) {
	char *text = json_dumps(node, JSON_COMPACT | JSON_ENCODE_ANY);
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a: it tells a change, and nobody gains by one that it does not tell */

	for (const char *s = text ? text : ""; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	json_reserve_free(text);
	snprintf(out, METADATA_ETAG, "%016llx", (unsigned long long)h);
}
