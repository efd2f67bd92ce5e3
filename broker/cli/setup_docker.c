/*
 * hallpass setup docker: credHelpers in docker's config.json. See setup.h.
 *
 * docker asks docker-credential-NAME for each registry that credHelpers gives to NAME. It tells a helper the registry and no more, so the
 * account of each is kept in the memory, where the helper finds it; and so is the name of the helper that stood there before.
 */

#include <stdlib.h>
#include <string.h>
#include "broker/cli/helper.h"
#include "broker/cli/setup.h"
#include "hallpass/cleanup.h"

#define OURS "hallpass"
#define HELPERS "credHelpers"
#define MADE "made by hallpass" /* of what is to go with the last of our registries */

/* Those that `gcloud auth configure-docker` takes when none is named, as far as they are Container Registry's. */
static const char *const usual[] = { "gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io" };

struct plan {
	struct setup *setup;
	struct setup_file *file;
	json_t *before;	  /* of the memory: {REGISTRY: HELPER, "credHelpers": MADE, "file": MADE} */
	json_t *accounts; /* of the memory */
	json_t *all;	  /* registries that are ours, {REGISTRY: true} */
};

/* "https://europe-docker.pkg.dev/" -> "europe-docker.pkg.dev". -1: hallpass has nothing for that one. */
static int registry_of(const char *given, char *out, size_t size, struct error *err) {
	if (helper_host_named(given, HELPER_DOCKER, out, size))
		return 0;
	return error_set(err, ERR_INVALID, "\"%s\" is no registry of Google's: hallpass gives tokens to gcr.io and *.pkg.dev alone", given);
}

static size_t helpers_of(const struct plan *p) {
	return setup_json_object(&p->file->after, setup_json_root(&p->file->after), HELPERS);
}

static void put(struct plan *p, const char *registry) {
	struct buf *text = &p->file->after;
	char host[MEMORY_HOST_MAX], *there;

	if (helpers_of(p) == JSON_NOWHERE) {
		setup_json_put(text, setup_json_root(text), HELPERS, "{}");
		json_object_set_new(p->before, HELPERS, json_string(MADE));
	}
	there = setup_json_string(text, helpers_of(p), registry);
	if (!there || strcmp(there, OURS))
		setup_json_put(text, helpers_of(p), registry, "\"" OURS "\"");
	if (there && strcmp(there, OURS))
		json_object_set_new(p->before, registry, json_string(there));
	free(there);
	memory_host(registry, host);
	if (p->setup->cli->values[OPT_AS])
		json_object_set_new(p->accounts, host, json_string(p->setup->cli->values[OPT_AS]));
}

static void take_out(struct plan *p, const char *registry) {
	struct buf *text = &p->file->after;
	const char *before = json_string_value(json_object_get(p->before, registry));
	char host[MEMORY_HOST_MAX], *there = helpers_of(p) == JSON_NOWHERE ? NULL : setup_json_string(text, helpers_of(p), registry);

	if (there && !strcmp(there, OURS) && before) {
		json_t *name = json_string(before);
		char *quoted = json_dumps(name, JSON_ENCODE_ANY);

		setup_json_put(text, helpers_of(p), registry, quoted);
		free(quoted);
		json_decref(name);
	} else if (there && !strcmp(there, OURS)) {
		setup_json_remove(text, helpers_of(p), registry);
	}
	free(there);
	json_object_del(p->before, registry);
	memory_host(registry, host);
	json_object_del(p->accounts, host);
}

/* What was made for our registries goes with the last of them, unless there is something else in it by now. */
static void tidy(struct plan *p) {
	struct buf *text = &p->file->after;

	if (json_object_get(p->before, HELPERS) && helpers_of(p) != JSON_NOWHERE && setup_json_is_empty(text, helpers_of(p))) {
		setup_json_remove(text, setup_json_root(text), HELPERS);
		json_object_del(p->before, HELPERS);
	}
	if (json_object_get(p->before, "file") && setup_json_is_empty(text, setup_json_root(text))) {
		p->file->gone = true;
		json_object_del(p->before, "file");
	}
}

static void note_ours(void *arg, const char *registry, const char *helper) {
	struct plan *p = arg;

	if (!strcmp(helper, OURS))
		json_object_set_new(p->all, registry, json_true());
}

static int plan_remove(struct plan *p, struct error *err) {
	const struct cli *cli = p->setup->cli;
	const char *registry;
	json_t *ignored;
	char name[300];

	for (size_t i = 0; i < cli->n_args; i++) {
		if (registry_of(cli->args[i], name, sizeof(name), err) < 0)
			return -1;
		json_object_set_new(p->all, name, json_true());
	}
	if (!cli->n_args && helpers_of(p) != JSON_NOWHERE)
		setup_json_each(&p->file->after, helpers_of(p), note_ours, p);
	json_object_foreach(p->all, registry, ignored)
		take_out(p, registry);
	tidy(p);
	if (!cli->n_args)
		json_object_clear(p->before);
	return 0;
}

static int plan_put(struct plan *p, struct error *err) {
	const struct cli *cli = p->setup->cli;
	char names[CLI_MAX_ARGS][300];

	for (size_t i = 0; i < cli->n_args; i++)
		if (registry_of(cli->args[i], names[i], sizeof(names[i]), err) < 0)
			return -1;
	/* Each comes first, so the last is put there before the others. */
	for (size_t i = cli->n_args; i-- > 0;)
		put(p, names[i]);
	for (size_t i = ARRAY_SIZE(usual); !cli->n_args && i-- > 0;)
		put(p, usual[i]);
	setup_note_account(p->setup);
	setup_need(p->setup, "docker-credential-hallpass");
	return 0;
}

int setup_docker(struct setup *s, struct error *err) {
	char path[PATH_MAX];
	struct plan p = { .setup = s };
	int r;

	if (setup_path(path, "DOCKER_CONFIG", "config.json", ".docker/config.json", err) < 0)
		return -1;
	p.file = setup_file_open(s, path, 0600, err);
	if (!p.file)
		return -1;
	if (!p.file->before && s->remove)
		return json_object_del(s->memory, "docker"), 0;
	p.before = memory_object(s->memory, "docker");
	p.accounts = memory_object(s->memory, "accounts");
	if (!p.file->before) {
		buf_adds(&p.file->after, "{\n}\n");
		json_object_set_new(p.before, "file", json_string(MADE));
	} else if (setup_json_check(p.file, err) < 0) {
		return -1;
	}
	if (setup_json_has(&p.file->after, setup_json_root(&p.file->after), HELPERS) && helpers_of(&p) == JSON_NOWHERE)
		return error_set(err, ERR_INVALID, "%s: " HELPERS " is no object, and docker wants one there", path);
	p.all = json_object();
	r = s->remove ? plan_remove(&p, err) : plan_put(&p, err);
	json_decref(p.all);
	return r;
}
