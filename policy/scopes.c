/* See scopes.h. */

#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/scopes.h"

#define PREFIX "https://www.googleapis.com/auth/"
#define MAX_SCOPE 256

/* Scopes without an address. */
static const char *const short_names[] = { "openid", "email", "profile" };

/* What they tell is who the token is for, which its holder knows. */
static const char *const identity[] = {
	"openid", "email", "profile", PREFIX "userinfo.email", PREFIX "userinfo.profile", PREFIX "accounts.reauth"
};

/* Behind the prefix. A trailing dot means the whole family. */
static const char *const google_cloud[] = {
	"appengine.admin",
	"appengine.apis",
	"bigquery",
	"bigquery.",
	"bigtable.",
	"cloud-bigtable.",
	"cloud-billing",
	"cloud-billing.readonly",
	"cloud-language",
	"cloud-platform",
	"cloud-platform.",
	"cloud-translation",
	"cloud-vision",
	"cloud_debugger",
	"cloudiot",
	"cloudkms",
	"cloudruntimeconfig",
	"compute",
	"compute.",
	"datastore",
	"devstorage.",
	"genomics",
	"logging.",
	"monitoring",
	"monitoring.",
	"ndev.clouddns.",
	"ndev.cloudman",
	"ndev.cloudman.readonly",
	"pubsub",
	"servicecontrol",
	"service.management",
	"service.management.",
	"source.",
	"spanner.",
	"sqlservice.admin",
	"sqlservice.login",
	"taskqueue",
	"trace.",
};

static bool listed(const char *const *list, size_t n, const char *scope) {
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], scope))
			return true;
	return false;
}

bool scope_well_formed(const char *scope) {
	if (listed(short_names, ARRAY_SIZE(short_names), scope))
		return true;
	if (strncmp(scope, "https://", 8) || !scope[8] || scope[8] == '/' || strnlen(scope, MAX_SCOPE + 1) > MAX_SCOPE)
		return false;
	for (const char *p = scope; *p; p++)
		if (*p <= 0x20 || *p >= 0x7F || *p == '"' || *p == '\\') /* RFC 6749 §3.3's scope-token */
			return false;
	return true;
}

static bool is_google_cloud(const char *scope) {
	const char *name = scope + sizeof(PREFIX) - 1;
	size_t n;

	if (strncmp(scope, PREFIX, sizeof(PREFIX) - 1))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(google_cloud); i++) {
		n = strlen(google_cloud[i]);
		if (google_cloud[i][n - 1] == '.' ? !strncmp(name, google_cloud[i], n) && name[n]
						  : !strcmp(name, google_cloud[i]))
			return true;
	}
	return false;
}

bool scope_covers(const char *ceiling, const char *asked) {
	if (!strcmp(ceiling, asked))
		return true;
	if (strcmp(ceiling, SCOPE_CLOUD_PLATFORM))
		return false;
	return listed(identity, ARRAY_SIZE(identity), asked) || is_google_cloud(asked);
}
