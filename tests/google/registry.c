/* Artifact Registry, as docker speaks to it, and a git server: both take a token as the password of Basic. See google.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/google/google.h"

/* --- docker: /v2/ says where a token is to be had, /v2/token gives it for user and password, the rest wants it as bearer */

static const char manifest[] = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\","
			       "\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":2,\"digest\":"
			       "\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"},\"layers\":[]}";

static void ask_for_token(const struct question *q, struct answer *a) {
	const char *host = evhttp_find_header(q->headers, "Host");
	char text[300];

	snprintf(text, sizeof(text), "Bearer realm=\"https://%s/v2/token\",service=\"%s\"", host ? host : "", host ? host : "");
	answer_header(a, "WWW-Authenticate", text);
	answer_json(a, 401, json_pack("{s:[{s:s, s:s}]}", "errors", "code", "UNAUTHORIZED", "message", "authentication required"));
}

void on_registry(const struct question *q, struct answer *a) {
	bool token = !strcmp(q->path, "/v2/token");

	answer_header(a, "Docker-Distribution-Api-Version", "registry/2.0");
	if (!token && !q->bearer) {
		ask_for_token(q, a);
	} else if (token && (!q->password || (strcmp(q->user, "oauth2accesstoken") && strcmp(q->user, "_dcgcloud_token")))) {
		seen_slip(q, "registry", "it comes without a password, or under another name than oauth2accesstoken");
		answer_unauthenticated(a);
	} else if (seen_bearer(q, "registry", a)) {
		if (token) {
			answer_json(a, 200, json_pack("{s:s, s:i}", "token", q->password, "expires_in", 300));
		} else if (strstr(q->path, "/manifests/")) {
			a->status = 200;
			a->type = "application/vnd.docker.distribution.manifest.v2+json";
			a->body = strdup(manifest);
		} else if (strstr(q->path, "/blobs/")) {
			answer_json(a, 200, json_object());
		} else {
			answer_text(a, "{}");
		}
	}
}

/* --- git: what `git ls-remote` reads, one branch named after whoever reads it */

static void packet(char *out, size_t size, const char *text) {
	snprintf(out + strlen(out), size - strlen(out), "%04zx%s", strlen(text) + 4, text);
}

void on_git(const struct question *q, struct answer *a) {
	const char *account;
	char name[128], line[300], out[800] = "";

	if (!q->password) {
		answer_header(a, "WWW-Authenticate", "Basic realm=\"git\"");
		answer_text(a, "");
		a->status = 401;
		return;
	}
	account = seen_bearer(q, "git", a);
	if (!account)
		return;
	packet(out, sizeof(out), "# service=git-upload-pack\n");
	strcat(out, "0000");
	snprintf(line, sizeof(line), "cfe0c9d62a3cb4ab8ea9bd5ce98ad2b0f4dd9a8c refs/heads/%s", account_name(account, name, sizeof(name)));
	a->len = strlen(out);
	a->body = malloc(1500);
	memcpy(a->body, out, a->len);
	/* The capabilities stand behind a NUL. */
	a->len += (size_t)sprintf(a->body + a->len, "%04zx%s%cagent=standin\n0000", 4 + strlen(line) + 1 + 14, line, '\0');
	a->status = 200;
	a->type = "application/x-git-upload-pack-advertisement";
}
