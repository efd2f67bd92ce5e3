/*
 * The metadata server of Google Cloud: the machine's own service account.
 *
 * The first refresh also asks who that is and which universe this is; both are for messages and
 * addresses, so a server that does not say is no failure (and asked again next time). Anything without Metadata-Flavor in its answer is not the
 * metadata server (a captive portal, say). Source: cloud.google.com/compute/docs/metadata/querying-metadata
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/source/kind.h"

#define ROOT "/computeMetadata/v1/"

struct own {
	size_t next;	   /* lookup of this refresh */
	unsigned answered; /* lookups that need not be made again: a bit each */
};

/* Asked for before the first token, until it is known. */
struct lookup {
	const char *path, *alphabet;
	char **(*where)(struct source *source);
};

static char **email_of(struct source *source) {
	return &source->email;
}

static char **project_of(struct source *source) {
	return &source->project;
}

static char **universe_of(struct source *source) {
	return &source->universe;
}

#define LOWER_AND_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789-."

static const struct lookup lookups[] = {
	{ "universe/universe-domain", LOWER_AND_DIGITS, universe_of },
	{ "project/project-id", LOWER_AND_DIGITS ":", project_of },
	{ "instance/service-accounts/default/email", LOWER_AND_DIGITS "@_", email_of },
};
#define N_LOOKUPS (sizeof(lookups) / sizeof(lookups[0]))

static void ask(struct source *source);

static bool from_metadata_server(const struct fetch_result *raw) {
	return raw->header && !strcmp(raw->header, "Google");
}

static void refuse_portal(struct source *source) {
	source_fail(source, ERR_UPSTREAM,
		    "%s: the answer has no Metadata-Flavor: Google, so it is not the metadata server's", source->calling);
}

static void on_lookup(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	struct own *own = source->own;
	const struct lookup *lookup = &lookups[own->next];
	char **where = lookup->where(source);
	struct error ignored;

	(void)answer;
	if (!from_metadata_server(raw))
		return refuse_portal(source);
	if (raw->status == 200 && raw->body_len && raw->body_len < 256 &&
	    strspn(raw->body, lookup->alphabet) == raw->body_len)
		copy_text(raw->body, where, &ignored);
	if (raw->status == 200 || raw->status == 404)
		own->answered |= 1u << own->next;
	own->next++;
	source_set_description(source, &ignored);
	ask(source);
}

static void on_token(struct source *source, const json_t *answer, const struct fetch_result *raw) {
	if (!from_metadata_server(raw))
		return refuse_portal(source);
	source_take_oauth_token(source, answer, raw);
}

static void ask(struct source *source) {
	static const char *const headers[] = { "Metadata-Flavor: Google", NULL };
	struct own *own = source->own;
	char url[SOURCE_MAX_URL];
	bool more;

	while (own->next < N_LOOKUPS && own->answered & 1u << own->next)
		own->next++;
	more = own->next < N_LOOKUPS;
	snprintf(url, sizeof(url), "http://%s" ROOT "%s", source->metadata_host,
		 more ? lookups[own->next].path : "instance/service-accounts/default/token");
	source_call(source, &(struct source_call){
				    .spec = { .method = "GET",
					      .url = url,
					      .headers = headers,
					      .want_header = "Metadata-Flavor" },
				    .text = more,
				    .optional = more,
				    .step = more ? on_lookup : on_token,
			    });
}

static int refresh(struct source *source, struct error *err) {
	struct own *own = source->own;

	(void)err;
	own->next = 0;
	ask(source);
	return 0;
}

static int read_file(struct source *source, const json_t *file, struct error *err) {
	char url[512];

	(void)file;
	source->own = calloc(1, sizeof(struct own));
	if (!source->own)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (strlen(source->metadata_host) > 256 || strpbrk(source->metadata_host, "/?#@ "))
		return error_set(err, ERR_INVALID, "metadata host '%.256s' is not host or host:port", source->metadata_host);
	snprintf(url, sizeof(url), "http://%s" ROOT, source->metadata_host);
	return source_check_url(source, "metadata host", url, err);
}

const struct source_kind source_metadata = { "metadata", read_file, refresh, free };
