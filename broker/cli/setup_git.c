/*
 * hallpass setup git: a credential helper for hosts, in one's own git configuration. See setup.h.
 *
 * The helper of nobody comes first, which makes git forget all helpers of before: one that stores credentials would write tokens to a disk.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/helper.h"
#include "broker/cli/setup.h"

#define USUAL "source.developers.google.com"

/* git's own order: what GIT_CONFIG_GLOBAL names, ~/.gitconfig, and where that is not, $XDG_CONFIG_HOME/git/config. */
static int find_config(char path[PATH_MAX], struct error *err) {
	const char *named = getenv("GIT_CONFIG_GLOBAL");
	char other[PATH_MAX];

	if (named && *named) {
		snprintf(path, PATH_MAX, "%s", named);
		return 0;
	}
	if (setup_path(path, NULL, NULL, ".gitconfig", err) < 0 || setup_path(other, "XDG_CONFIG_HOME", "git/config", ".config/git/config", err) < 0)
		return -1;
	if (access(path, F_OK) < 0 && access(other, F_OK) == 0)
		memcpy(path, other, PATH_MAX);
	return 0;
}

static int host_of(const char *given, char *out, size_t size, struct error *err) {
	if (helper_host_named(given, HELPER_GIT, out, size))
		return 0;
	return error_set(err, ERR_INVALID,
			 "\"%s\" is no host of git repositories at Google: hallpass gives tokens to source.developers.google.com, *.sourcemanager.dev, "
			 "*.developerconnect.dev, *.googlesource.com and *.pkg.dev alone",
			 given);
}

static int plan_one(struct setup *s, struct setup_file *file, const char *given, struct error *err) {
	const char *as = s->cli->values[OPT_AS];
	char host[300], name[320], lines[1024];

	if (host_of(given, host, sizeof(host), err) < 0)
		return -1;
	snprintf(name, sizeof(name), "git %s", host);
	if (s->remove)
		return setup_block_remove(file, name, false, err);
	snprintf(lines, sizeof(lines),
		 "# The empty one keeps other helpers away: these tokens do not belong on a disk.\n"
		 "[credential \"https://%s\"]\n\thelper =\n\thelper = hallpass%s%s\n",
		 host, as ? " --default-as " : "", as ? as : "");
	return setup_block_put(file, name, lines, err);
}

int setup_git(struct setup *s, struct error *err) {
	char path[PATH_MAX];
	struct setup_file *file;

	if (find_config(path, err) < 0)
		return -1;
	file = setup_file_open(s, path, 0644, err);
	if (!file)
		return -1;
	if (!s->remove) {
		setup_note_account(s);
		setup_need(s, "git-credential-hallpass");
	}
	if (!s->cli->n_args)
		return s->remove ? setup_block_remove(file, "git ", true, err) : plan_one(s, file, USUAL, err);
	for (size_t i = 0; i < s->cli->n_args; i++)
		if (plan_one(s, file, s->cli->args[i], err) < 0)
			return -1;
	return 0;
}
