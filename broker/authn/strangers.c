/* See strangers.h. */

#include <stdlib.h>
#include <string.h>
#include "broker/authn/accounts.h"
#include "broker/authn/strangers.h"
#include "hallpass/cleanup.h"

/* A name, and what it is thought to be. */
struct name {
	char *text;
	bool is_group, unknown;
};

struct strangers {
	struct errand errand;
	struct log *log;
	size_t n;
	struct name names[];
};

static struct strangers *names_of(const struct config *config, struct log *log) {
	struct strangers *s = calloc(1, sizeof(*s) + 2 * config->n_peers * sizeof(*s->names));

	if (!s)
		return NULL;
	s->log = log;
	for (size_t i = 0; i < config->n_peers; i++) {
		const char *const texts[] = { config->peers[i].user, config->peers[i].group };

		for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
			if (texts[k] && (s->names[s->n].text = strdup(texts[k])))
				s->names[s->n++].is_group = k == 1;
	}
	return s;
}

static void names_free(struct strangers *s) {
	for (size_t i = 0; i < s->n; i++)
		free(s->names[i].text);
	free(s);
}

static void look_up(void *arg) {
	struct strangers *s = arg;

	for (size_t i = 0; i < s->n; i++)
		s->names[i].unknown = (s->names[i].is_group ? accounts_has_group : accounts_has_user)(s->names[i].text) == 0;
}

static const char *kind_of(const struct name *name) {
	return name->is_group ? "group" : "user";
}

static void tell(void *arg) {
	struct strangers *s = arg;

	for (size_t i = 0; i < s->n; i++)
		if (s->names[i].unknown)
			log_warning(s->log, "peers-unknown", "%s=%s this machine knows none of that name, so that rule under `peers:` fits nobody",
				    kind_of(&s->names[i]), s->names[i].text);
	names_free(s);
}

size_t strangers_note(const struct config *config, struct buf *out) {
	struct strangers *s = names_of(config, NULL);
	size_t found = 0;

	if (!s)
		return 0;
	look_up(s);
	for (size_t i = 0; i < s->n; i++) {
		if (!s->names[i].unknown)
			continue;
		buf_addf(out, "%s: warning: this machine knows no %s \"%s\", so that rule under `peers:` fits nobody [unknown-%s]\n"
			      "  = getent %s lists those that it knows\n",
			 config->path ? config->path : "(defaults)", kind_of(&s->names[i]), s->names[i].text, kind_of(&s->names[i]),
			 s->names[i].is_group ? "group" : "passwd");
		found++;
	}
	names_free(s);
	return found;
}

void strangers_start(struct errands *errands, const struct config *config, struct log *log) {
	struct strangers *s = names_of(config, log);

	if (!s || !s->n) {
		free(s);
		return;
	}
	s->errand = (struct errand){ .run = look_up, .done = tell, .arg = s };
	errands_start(errands, &s->errand);
}
