/*
 * hallpass setup gcloud: a configuration of gcloud's by the name "hallpass", for when it is not run by `hallpass run`. See setup.h.
 *
 * It names a credential file of the kind external_account, without any secret in it, which sends gcloud to a TCP listener of the broker's for
 * its tokens. The kernel says there who asks. The configurations that the user has, and his login, stay what they are.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/setup.h"
#include "broker/email.h"
#include "hallpass/api.h"
#include "hallpass/json.h"

#define BLOCK "gcloud"

struct listener {
	char url[64];
	char account[200];
};

/* The first listener that has the account; without --as, the first account of the first. 0: there is none. */
static int find_listener(const struct setup *s, const json_t *status, struct listener *out) {
	const json_t *list = json_object_get(status, "listeners"), *accounts;
	const char *as = s->cli->values[OPT_AS];
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one) {
		accounts = json_object_get(one, "serviceAccounts");
		if (as && !list_has(accounts, as))
			continue;
		snprintf(out->url, sizeof(out->url), "http://%s:%d", json_string_value(json_object_get(one, "address")),
			 (int)json_integer_value(json_object_get(one, "port")));
		snprintf(out->account, sizeof(out->account), "%s", as ? as : json_string_value(json_array_get(accounts, 0)));
		return 1;
	}
	return 0;
}

/* For the example to be one that can be pasted: the first account that the policy gives, where it gives one. */
static void first_account(struct setup *s, char *out, size_t size) {
	json_t *reply = NULL, *item;
	struct error ignored;
	size_t i;

	snprintf(out, size, "ACCOUNT");
	if (client_try(s->cli, API_PATH_LIST, NULL, &reply, &ignored) == 0)
		json_array_foreach(json_object_get(reply, "accounts"), i, item) {
			const char *account = json_string_value(json_object_get(item, "serviceAccount"));

			if (account && !strchr(account, '*')) {
				snprintf(out, size, "%s", account);
				break;
			}
		}
	json_decref(reply);
}

#define HOW                                                                                                            \
	"put this line into %s (where there is a `listeners:`, as one more of its items) and restart hallpassd:\n"      \
	"listeners: [{tcp: \"127.0.0.1:8585\", serviceAccounts: [%s]}]"

/* 1: there is a listener; 0: none, and that is told as no failure where no account was asked for. */
static int ask_broker(struct setup *s, struct listener *out, struct error *err) {
	const char *as = s->cli->values[OPT_AS], *config;
	char account[200];
	json_t *status = NULL;
	int r = client_try(s->cli, API_PATH_STATUS, NULL, &status, err);

	if (r == 0 && !(r = find_listener(s, status, out))) {
		config = json_string_value(json_object_get(status, "config"));
		config = config ? config : "hallpassd.yaml";
		if (as) {
			r = error_set(err, ERR_REFUSED, "no port of the broker's is for %s; " HOW, as, config, as);
		} else {
			first_account(s, account, sizeof(account));
			buf_addf(&s->idle, "`hallpass run --as %s -- gcloud …` works as it is\nfor a gcloud without `hallpass run` " HOW, account, config, account);
		}
	}
	json_decref(status);
	return r;
}

/* gcloud wants a subject token, and the broker that there is one; this file itself holds it, since it is none that anybody could use. */
static void put_credential(struct setup_file *file, const struct listener *l) {
	struct buf *text = &file->after;

	buf_reset(text);
	buf_addf(text, "{\n  \"type\": \"external_account\",\n  \"audience\": \"" API_AUDIENCE_LOCAL "/%s\",\n", l->account);
	buf_adds(text, "  \"subject_token_type\": \"urn:ietf:params:oauth:token-type:jwt\",\n");
	buf_addf(text, "  \"token_url\": \"%s" API_PATH_EXCHANGE "\",\n  \"token_info_url\": \"%s" API_PATH_INTROSPECT "\",\n", l->url, l->url);
	buf_adds(text, "  \"credential_source\": {\n    \"file\": ");
	buf_add_json(text, file->path, strlen(file->path));
	buf_adds(text, ",\n    \"format\": {\"type\": \"json\", \"subject_token_field_name\": \"no_secret\"}\n  },\n"
		       "  \"no_secret\": \"the kernel says who asks\"\n}\n");
}

static int put_configuration(struct setup *s, struct setup_file *file, const struct listener *l, const char *credential, struct error *err) {
	const char *named = s->cli->values[OPT_PROJECT];
	char own[EMAIL_MAX] = "", project[EMAIL_MAX + 16] = "", lines[PATH_MAX + 512];

	if (file->before && file->n_before && strncmp(file->before, "# >>> hallpass setup " BLOCK, strlen("# >>> hallpass setup " BLOCK)))
		return error_set(err, ERR_INVALID, "%s is a configuration of gcloud's that hallpass did not write; `gcloud config configurations rename` "
						   "makes room for it", file->path);
	if (named || email_project(l->account, own, sizeof(own)))
		snprintf(project, sizeof(project), "project = %.200s\n", named ? named : own);
	snprintf(lines, sizeof(lines), "[core]\n%sdisable_file_logging = true\n[auth]\ncredential_file_override = %s\n", project, credential);
	return setup_block_put(file, BLOCK, lines, err);
}

static int put(struct setup *s, struct setup_file *credential, struct setup_file *configuration, struct error *err) {
	struct listener l;
	int r = ask_broker(s, &l, err);

	if (r <= 0)
		return r;
	buf_addf(&s->notes,
		 "`gcloud --configuration=hallpass …` works as %s; `gcloud config configurations activate hallpass` makes that the rule\n", l.account);
	put_credential(credential, &l);
	return put_configuration(s, configuration, &l, credential->path, err);
}

/* Where gcloud has written the file anew, without our comments, the line that matters goes. */
static int take_out(struct setup_file *credential, struct setup_file *configuration, struct error *err) {
	struct buf *text = &configuration->after;
	char *at, *end;

	if (setup_block_remove(configuration, BLOCK, false, err) < 0)
		return -1;
	credential->gone = true;
	at = text->len ? strstr(text->data, credential->path) : NULL;
	if (!at)
		return 0;
	end = at + strcspn(at, "\n");
	while (at > text->data && at[-1] != '\n')
		at--;
	setup_splice(text, (size_t)(at - text->data), (size_t)(end - at) + (*end == '\n'), "", 0);
	return 0;
}

int setup_gcloud(struct setup *s, struct error *err) {
	char path[PATH_MAX];
	struct setup_file *credential, *configuration;

	if (getenv("HALLPASS_HANDLE_FILE"))
		return error_set(err, ERR_INVALID, "this is a session, in which gcloud's configuration may be the session's own: run it outside of one");
	if (setup_path(path, "XDG_CONFIG_HOME", "hallpass/gcloud.json", ".config/hallpass/gcloud.json", err) < 0 ||
	    !(credential = setup_file_open(s, path, 0600, err)) ||
	    setup_path(path, "CLOUDSDK_CONFIG", "configurations/config_hallpass", ".config/gcloud/configurations/config_hallpass", err) < 0 ||
	    !(configuration = setup_file_open(s, path, 0600, err)))
		return -1;
	credential->ours = true;
	return s->remove ? take_out(credential, configuration, err) : put(s, credential, configuration, err);
}
