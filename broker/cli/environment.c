/* What programs are told by. See keep.h; which client wants which, is told there. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/keep.h"
#include "hallpass/cleanup.h"

/* Other credentials that would win over ours, or be taken where ours is not understood; and what keeps clients from asking ours. */
static const char *const others[] = {
	"CLOUDSDK_AUTH_ACCESS_TOKEN",
	"GOOGLE_APPLICATION_CREDENTIALS",
	"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
	"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
	"GOOGLE_OAUTH_ACCESS_TOKEN",
	"NO_GCE_CHECK",
	"GCE_METADATA_MTLS_MODE",
};

/* All three, or one client or another asks the machine's own metadata server, which on a cloud's machine is a real one. */
static const char *const metadata[] = { "GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT" };

/* With a proxy in the environment Python and Node ask it for loopback, too. */
static const char *const proxies[] = { "NO_PROXY", "no_proxy" };
#define OUR_HOSTS "127.0.0.1,localhost"

/* dev-sa@acme-ml.iam.gserviceaccount.com -> acme-ml; or as named. */
static const char *project_of(const struct keeper *k, char *out, size_t size) {
	static const char domain[] = ".iam.gserviceaccount.com";
	const char *account = k->lease.account, *at = strchr(account, '@'), *end = at ? strstr(at, domain) : NULL;

	if (k->cli->values[OPT_PROJECT])
		return k->cli->values[OPT_PROJECT];
	if (!end || end[strlen(domain)] || end - at >= (long)size)
		return NULL;
	snprintf(out, size, "%.*s", (int)(end - at - 1), at + 1);
	return out;
}

/* What is there, and our hosts behind it. */
static void add_hosts(const char *name, environment_fn *set, void *arg) {
	const char *there = getenv(name);
	struct buf value = BUF_INIT(65536);

	if (there && strstr(there, OUR_HOSTS))
		return;
	buf_addf(&value, "%s%s" OUR_HOSTS, there ? there : "", there && *there ? "," : "");
	if (buf_ok(&value))
		set(arg, name, value.data);
	buf_fini(&value);
}

static void take_hosts_away(const char *name, environment_fn *set, void *arg) {
	const char *there = getenv(name), *ours = there ? strstr(there, OUR_HOSTS) : NULL;
	struct buf value = BUF_INIT(65536);

	if (!ours || ours[strlen(OUR_HOSTS)])
		return;
	buf_add(&value, there, (size_t)(ours - there) - (ours > there));
	set(arg, name, value.len ? value.data : NULL);
	buf_fini(&value);
}

void environment_each(const struct keeper *k, environment_fn *set, void *arg) {
	char file[300], place[32], project[128];
	const char *named = project_of(k, project, sizeof(project));

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		set(arg, others[i], NULL);
	snprintf(place, sizeof(place), "127.0.0.1:%d", k->control.port);
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
		set(arg, metadata[i], place);
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		add_hosts(proxies[i], set, arg);
	snprintf(file, sizeof(file), "%s/token", k->private.dir);
	set(arg, "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", file);
	/* gcloud keeps a log of all that it prints, on disk: `gcloud auth print-access-token`, too (P5). */
	if (!getenv("CLOUDSDK_CORE_DISABLE_FILE_LOGGING"))
		set(arg, "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", "true");
	set(arg, "HALLPASS_SERVICE_ACCOUNT", k->lease.account);
	snprintf(file, sizeof(file), "%s/handle", k->private.dir);
	set(arg, "HALLPASS_HANDLE_FILE", file);
	if (named) {
		set(arg, "CLOUDSDK_CORE_PROJECT", named);
		set(arg, "GOOGLE_CLOUD_PROJECT", named);
	}
}

void environment_undo(environment_fn *set, void *arg) {
	static const char *const ours[] = { "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_CORE_DISABLE_FILE_LOGGING",
					    "HALLPASS_SERVICE_ACCOUNT", "HALLPASS_HANDLE_FILE", "CLOUDSDK_CORE_PROJECT",
					    "GOOGLE_CLOUD_PROJECT" };

	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
		set(arg, metadata[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		set(arg, ours[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		take_hosts_away(proxies[i], set, arg);
}
