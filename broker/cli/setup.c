/* hallpass setup: plan, show, ask, write. See setup.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/setup.h"
#include "hallpass/cleanup.h"

static const struct client {
	const char *name;
	int (*plan)(struct setup *setup, struct error *err);
	bool remembers; /* it has a memory */
} clients[] = {
	{ "docker", setup_docker, true }, { "gcloud", setup_gcloud, false }, { "git", setup_git, false },
	{ "kubectl", setup_kubectl, true }, { "shell", setup_shell, false }, { "terraform", setup_terraform, false },
};

void setup_need(struct setup *setup, const char *program) {
	const char *path = getenv("PATH");
	char copy[8192], file[PATH_MAX], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path ? path : "");
	for (char *dir = strtok_r(copy, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		snprintf(file, sizeof(file), "%s/%s", dir, program);
		if (access(file, X_OK) == 0)
			return;
	}
	buf_addf(&setup->notes, "%s is not in PATH, where it will be looked for; `make install` puts it into PREFIX/bin\n", program);
}

void setup_note_account(struct setup *setup) {
	if (!setup->cli->values[OPT_AS])
		buf_adds(&setup->notes, "no account was named: it works within `hallpass run --as ACCOUNT -- …` alone; --as gives it one for elsewhere\n");
}

/* It goes into files that others read, as a word of theirs. */
static int check_account(const struct setup *setup, struct error *err) {
	const char *as = setup->cli->values[OPT_AS];
	size_t n = as ? strspn(as, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@:") : 0;

	if (!as || (*as && !as[n] && strchr(as, '@') && n < 200))
		return 0;
	return error_set(err, ERR_INVALID, "--as is the address of a service account, like dev-sa@my-project.iam.gserviceaccount.com, not \"%s\"", as);
}

/* --- the memory is a file like the others */

static int open_memory(struct setup *s, struct error *err) {
	char path[MEMORY_PATH_MAX];
	struct setup_file *file;

	if (memory_path(path, err) < 0)
		return -1;
	file = setup_file_open(s, path, 0600, err);
	if (!file)
		return -1;
	file->ours = true;
	s->memory = memory_parse(path, file->before, err);
	return s->memory ? 0 : -1;
}

static int close_memory(struct setup *s, struct error *err) {
	struct setup_file *file = &s->files[0];
	cleanup(json_decrefp) json_t *before = NULL;
	char *text;

	if (!s->memory)
		return 0;
	before = memory_parse(file->path, file->before, err);
	text = memory_text(s->memory);
	file->gone = !text && (!before || json_object_size(before) != 0 || !file->before);
	if (text && !json_equal(before, s->memory)) { /* as somebody has laid it out, where nothing is new */
		buf_reset(&file->after);
		buf_adds(&file->after, text);
	}
	free(text);
	return 0;
}

/* --- showing and asking */

static bool changes(const struct setup *s) {
	for (size_t i = 0; i < s->n_files; i++)
		if (setup_file_changes(&s->files[i]))
			return true;
	return false;
}

/* 0: go on; else the exit code. */
static int ask(const struct setup *s) {
	const struct cli *cli = s->cli;
	char line[64];

	if (cli->values[OPT_YES])
		return 0;
	if (!isatty(STDIN_FILENO))
		return help_usage_error(cli->command, "nothing was written: there is no terminal to ask on; --yes writes it");
	fflush(stdout);
	fprintf(stderr, "%sWrite this? [y/N]%s ", out_color_err(cli, COLOR_BOLD), out_color_err(cli, COLOR_NONE));
	if (fgets(line, sizeof(line), stdin) && (*line == 'y' || *line == 'Y'))
		return 0;
	fprintf(stderr, "hallpass: nothing was written\n");
	return API_EXIT_FAILED;
}

static int write_one(struct setup_file *file, struct error *err) {
	return setup_file_changes(file) ? setup_file_write(file, err) : 0;
}

/* The memory, which is the first, before what it is about; and after it when that is undone. */
static int write_all(struct setup *s, struct error *err) {
	for (size_t i = 0; i < s->n_files; i++)
		if (write_one(&s->files[s->remove ? s->n_files - 1 - i : i], err) < 0)
			return -1;
	return 0;
}

static void tell_notes(const struct setup *s) {
	char *save = NULL;

	for (char *line = s->notes.len ? strtok_r(s->notes.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "%shint: %s%s\n", out_color_err(s->cli, COLOR_DIM), out_safe(line), out_color_err(s->cli, COLOR_NONE));
}

static int tell_json(const struct setup *s, bool written) {
	json_t *json = json_pack("{s:[], s:b}", "files", "written", written);
	int r;

	for (size_t i = 0; i < s->n_files; i++)
		if (setup_file_changes(&s->files[i]))
			json_array_append_new(json_object_get(json, "files"), json_string(s->files[i].path));
	r = out_json(json);
	json_decref(json);
	return r;
}

static void tell_written(const struct setup *s) {
	for (size_t i = s->n_files; i-- > 0;)
		if (setup_file_changes(&s->files[i]))
			printf("%s%s%s %s\n", out_color(s->cli, COLOR_GREEN), s->files[i].gone ? "removed" : "wrote", out_color(s->cli, COLOR_NONE),
			       setup_shown(s->files[i].path));
}

static int carry_out(struct setup *s) {
	struct error err = { 0 };
	int r;

	if (!changes(s)) {
		if (s->cli->json)
			return tell_json(s, false);
		printf("nothing to change: %s\n", s->idle.len ? s->idle.data : s->remove ? "there is nothing of hallpass's" : "it is set up");
		return API_EXIT_OK;
	}
	for (size_t i = s->n_files; !s->cli->json && i-- > 0;) /* the client's own first */
		if (setup_file_changes(&s->files[i]))
			diff_print(s->cli, &s->files[i]);
	if (s->cli->values[OPT_DRY_RUN])
		return s->cli->json ? tell_json(s, false) : API_EXIT_OK;
	if ((r = ask(s)) != 0)
		return r;
	if (write_all(s, &err) < 0)
		return client_tell(s->cli, &err, NULL);
	if (s->cli->json)
		return tell_json(s, true);
	tell_written(s);
	tell_notes(s);
	return API_EXIT_OK;
}

static int plan(struct setup *s, const struct client *client, struct error *err) {
	if (check_account(s, err) < 0 || (client->remembers && open_memory(s, err) < 0))
		return -1;
	return client->plan(s, err) < 0 ? -1 : close_memory(s, err);
}

int cmd_setup(struct cli *cli) {
	struct setup s = { .cli = cli, .remove = cli->values[OPT_REMOVE] != NULL, .notes = BUF_INIT(65536), .idle = BUF_INIT(4096) };
	const struct client *client = clients;
	struct error err = { 0 };
	int r;

	while (strcmp(client->name, command_word(cli->command)))
		client++;
	r = plan(&s, client, &err) < 0 ? client_tell(cli, &err, NULL) : carry_out(&s);
	for (size_t i = 0; i < s.n_files; i++)
		setup_file_fini(&s.files[i]);
	buf_fini(&s.notes);
	buf_fini(&s.idle);
	json_decref(s.memory);
	return r;
}
