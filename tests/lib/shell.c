/* See shell.h. */

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
#include <sys/wait.h>
#include <unistd.h>
#include "hallpass/cleanup.h"
#include "tests/lib/running.h"
#include "tests/lib/shell.h"

static const char *const links[] = { "hallpass", "docker-credential-hallpass", "git-credential-hallpass", "hallpass-gcp-executable",
				     "hallpass-kubectl-credential" };
static const char *const foreign[] = {
	"HALLPASS_AS", "HALLPASS_HANDLE_FILE", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "DOCKER_HOST", "KUBECONFIG", "KUBERNETES_EXEC_INFO", "ZDOTDIR",
	"GIT_CONFIG_GLOBAL", "CLOUDSDK_CONFIG", "CLOUDSDK_ACTIVE_CONFIG_NAME", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE",
	"GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", "GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "SHELL",
};

void shell_begin(const struct world *w) {
	static char before[8192]; /* PATH, as it was before the first world */
	char real[PATH_MAX], path[PATH_MAX + 8192];

	if (!before[0])
		snprintf(before, sizeof(before), "%s", getenv("PATH"));
	assert_non_null(realpath(program("hallpass"), real));
	snprintf(path, sizeof(path), "%s/bin", w->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", w->dir, links[i]);
		assert_int_equal(symlink(real, path), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		unsetenv(foreign[i]);
	snprintf(path, sizeof(path), "%s/bin:%s", w->dir, before);
	setenv("PATH", path, 1);
	setenv("HOME", w->dir, 1);
	setenv("HALLPASS_SOCKET", w->socket, 1);
}

static void read_into(const struct world *w, const char *name, char *out, size_t size) {
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	out[fread(out, 1, size - 1, f)] = '\0';
	fclose(f);
	unlink(path);
}

int shell(const struct world *w, const char *line, char *out, size_t out_size, char *err, size_t err_size) {
	char command[16384];
	int status;

	snprintf(command, sizeof(command), "cd %s && { %s\n} >shell.out 2>shell.err", w->dir, line);
	status = system(command);
	read_into(w, "shell.out", out, out_size);
	read_into(w, "shell.err", err, err_size);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool have(const char *name) {
	char command[256];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	if (system(command) == 0)
		return true;
	print_message("skipped: %s is not installed\n", name);
	return false;
}
