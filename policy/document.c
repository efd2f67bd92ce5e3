/* See document.h. The schema is the tables of struct field near the end. */

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "hallpass/utf8.h"
#include "policy/condition.h"
#include "policy/document.h"
#include "policy/scopes.h"

#define MAX_ANCESTRY 4000000 /* (subject, group) pairs, nested ones included */
#define MAX_TEXT 4096        /* bytes of a title or description */
#define MAX_NAME 64
/* A hundred thousand bindings take 20 to 40 MiB of text, and some 30 nodes each. */
#define MAX_BYTES ((size_t)64 << 20)
#define MAX_NODES 6000000

/* ---- findings ---- */

static struct policy_finding *finding_new(struct document *d) {
	struct policy_report *report = d->report;
	struct policy_finding *list;
	size_t size;

	if (report->n == d->report_size) {
		size = d->report_size ? d->report_size * 2 : 16;
		list = realloc(report->findings, size * sizeof(*list));
		if (!list) {
			d->no_memory = true;
			return NULL;
		}
		report->findings = list;
		d->report_size = size;
	}
	return &report->findings[report->n++];
}

/* A document's own words go to terminals: no control characters, nothing that isn't UTF-8. */
static void add_clean(struct buf *b, const char *s) {
	const unsigned char *u = (const unsigned char *)s;
	size_t left = strlen(s), n;

	for (; left; u += n, left -= n) {
		n = utf8_length(u, left);
		if (n == 0 || u[0] < 0x20 || u[0] == 0x7F || (u[0] == 0xC2 && u[1] < 0xA0)) {
			buf_addc(b, '?');
			n = n ? n : 1;
		} else {
			buf_add(b, u, n);
		}
	}
}

void document_find_at(struct document *d, enum policy_severity severity, const char *id, unsigned line, unsigned column,
		      const char *fix, const char *fmt, ...) {
	struct policy_finding *finding;
	struct buf message = BUF_INIT(4096);
	va_list ap;
	char text[1024];

	if (severity == POLICY_ERROR ? d->report->n_errors >= MAX_ERRORS : d->n_warnings >= MAX_WARNINGS)
		return;
	finding = finding_new(d);
	if (!finding)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_clean(&message, text);
	*finding = (struct policy_finding){ .severity = severity, .id = id, .line = line, .column = column };
	finding->message = buf_take(&message);
	finding->fix = fix ? strdup(fix) : NULL;
	if (!finding->message || (fix && !finding->fix))
		d->no_memory = true;
	d->report->n_errors += severity == POLICY_ERROR;
	d->n_warnings += severity == POLICY_WARNING;
}

static void error_did_you_mean(struct document *d, const struct yaml_node *node, const char *id,
			       const struct nearest *nearest, const char *what) {
	char fix[MAX_NAME * 4];

	snprintf(fix, sizeof(fix), "did you mean \"%s\"?", nearest->best ? nearest->best : "");
	document_error(d, node, id, nearest->best ? fix : NULL, "%s \"%.80s\"", what, nearest->word);
}

/* ---- growing lists ---- */

static void *grown(struct document *d, void *list, size_t n, size_t *size, size_t item) {
	size_t more = *size ? *size * 2 : 64;
	void *bigger;

	if (n < *size)
		return list;
	bigger = realloc(list, more * item);
	if (!bigger) {
		d->no_memory = true;
		return NULL;
	}
	*size = more;
	return bigger;
}

static void add_id(struct document *d, struct id_list *list, uint32_t id) {
	uint32_t *v = grown(d, list->v, list->n, &list->size, sizeof(*v));

	if (!v)
		return;
	list->v = v;
	v[list->n++] = id;
}

static void add_pair(struct document *d, struct pair_list *list, uint32_t key, uint32_t item) {
	struct pair *v = grown(d, list->v, list->n, &list->size, sizeof(*v));

	if (!v)
		return;
	list->v = v;
	v[list->n++] = (struct pair){ key, item };
}

static int by_number(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The scratch list, sorted and without doubles, in the policy's memory; the scratch list is empty after. */
static struct ids take_ids(struct document *d) {
	struct id_list *list = &d->ids;
	uint32_t n = 0, *v;

	if (list->n)
		qsort(list->v, list->n, sizeof(*list->v), by_number);
	for (size_t i = 0; i < list->n; i++)
		if (n == 0 || list->v[i] != list->v[n - 1])
			list->v[n++] = list->v[i];
	list->n = 0;
	v = chunks_copy(&d->policy->memory, list->v, n * sizeof(*v), _Alignof(uint32_t));
	if (!v) {
		d->no_memory = true;
		n = 0;
	}
	return (struct ids){ v, n };
}

static uint32_t intern(struct document *d, struct names *names, const char *s) {
	uint32_t id = NO_ID;

	if (names_intern(names, &d->policy->memory, s, strlen(s), &id) < 0)
		d->no_memory = true;
	return id;
}

/* ---- readers ---- */

static const struct field *field_of(const struct field *fields, size_t n_fields, const char *key) {
	for (size_t i = 0; i < n_fields; i++)
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	return NULL;
}

static void error_with_keys(struct document *d, const struct yaml_node *key, const char *message,
			    const struct field *fields, size_t n_fields) {
	struct buf fix = BUF_INIT(1024);

	for (size_t i = 0; i < n_fields; i++)
		buf_addf(&fix, "%s%s", i ? ", " : "it may have: ", fields[i].key);
	document_error(d, key, "unknown-key", buf_ok(&fix) ? fix.data : NULL, "%s \"%.80s\"", message, key->text);
	buf_fini(&fix);
}

static void unknown_key(struct document *d, const struct yaml_node *key, const char *what, const struct field *fields,
			size_t n_fields) {
	struct nearest nearest;
	char message[128];

	nearest_init(&nearest, key->text);
	for (size_t i = 0; i < n_fields; i++)
		nearest_offer(&nearest, fields[i].key);
	snprintf(message, sizeof(message), "%s has no key", what);
	if (nearest.best)
		error_did_you_mean(d, key, "unknown-key", &nearest, message);
	else
		error_with_keys(d, key, message, fields, n_fields);
}

int read_fields(struct document *d, const struct yaml_node *node, const char *what, const struct field *fields,
		size_t n_fields, void *target) {
	const struct yaml_node *value;

	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "%s must be a mapping, but this is %s", what,
			       yaml_kind_name(node));
		return -1;
	}
	yaml_each (child, node)
		if (!field_of(fields, n_fields, child->key->text))
			unknown_key(d, child->key, what, fields, n_fields);
	for (size_t i = 0; i < n_fields; i++) {
		value = yaml_find(node, fields[i].key);
		if (value)
			fields[i].read(d, value, target);
		else if (fields[i].required)
			document_error(d, node, "missing-key", NULL, "%s needs \"%s\"", what, fields[i].key);
	}
	return 0;
}

int read_text(struct document *d, const struct yaml_node *node, const char *what, const char **out) {
	if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
		document_error(d, node, "wrong-type", NULL, "%s must be text, but this is %s", what,
			       yaml_kind_name(node));
		return -1;
	}
	if (node->n > MAX_TEXT) {
		document_error(d, node, "too-long", NULL, "%s has %u bytes; at most %d are allowed", what, node->n,
			       MAX_TEXT);
		return -1;
	}
	*out = chunks_str(&d->policy->memory, node->text, node->n);
	if (!*out)
		d->no_memory = true;
	return *out ? 0 : -1;
}

bool is_list(struct document *d, const struct yaml_node *node, const char *what) {
	if (node->kind == YAML_LIST)
		return true;
	document_error(d, node, "wrong-type", node->kind == YAML_SCALAR && node->n ? "put it in brackets: [ ]" : NULL,
		       "%s must be a list, but this is %s", what, yaml_kind_name(node));
	return false;
}

int read_lifetime(struct document *d, const struct yaml_node *node, const char *what, int64_t *out) {
	if (yaml_duration(node, 1, POLICY_MAX_LIFETIME, out) == 0)
		return 0;
	document_error(d, node, "bad-duration", "write it like 15m, 1h30m or 900s", "%s must be from 1s to 12h", what);
	return -1;
}

static int two_digits(const char *s, int low, int high, int *out) {
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	*out = (s[0] - '0') * 10 + s[1] - '0';
	return *out < low || *out > high ? -1 : 0;
}

static int days_in(int year, int month) {
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, years 1 to 9999. */
static int64_t days_of(int year, int month, int day) {
	int64_t y = year - (month <= 2), m = month + (month <= 2 ? 9 : -3);

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* Z or ±hh:mm, and nothing after it. */
static int offset_of(const char *s, int *minutes) {
	int h, m;

	*minutes = 0;
	if (s[0] == 'Z')
		return s[1] ? -1 : 0;
	if ((s[0] != '+' && s[0] != '-') || two_digits(s + 1, 0, 23, &h) < 0 || s[3] != ':' ||
	    two_digits(s + 4, 0, 59, &m) < 0 || s[6])
		return -1;
	*minutes = (s[0] == '-' ? -1 : 1) * (h * 60 + m);
	return 0;
}

/* RFC 3339 §5.6 with whole seconds, capital T and Z. */
static int parse_time(const char *s, int64_t *out) {
	int century, year, month, day, hour, minute, second, offset;

	if (strlen(s) < 20 || two_digits(s, 0, 99, &century) < 0 || two_digits(s + 2, 0, 99, &year) < 0 ||
	    s[4] != '-' || two_digits(s + 5, 1, 12, &month) < 0 || s[7] != '-' || two_digits(s + 8, 1, 31, &day) < 0 ||
	    s[10] != 'T' || two_digits(s + 11, 0, 23, &hour) < 0 || s[13] != ':' ||
	    two_digits(s + 14, 0, 59, &minute) < 0 || s[16] != ':' || two_digits(s + 17, 0, 59, &second) < 0 ||
	    offset_of(s + 19, &offset) < 0)
		return -1;
	year += century * 100;
	if (year < 1 || day > days_in(year, month))
		return -1;
	*out = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset * 60;
	return 0;
}

int read_time(struct document *d, const struct yaml_node *node, const char *what, int64_t *out) {
	if (node->kind == YAML_SCALAR && parse_time(node->text, out) == 0)
		return 0;
	document_error(d, node, "bad-time", "write it like 2026-12-31T18:00:00Z or 2026-12-31T19:00:00+01:00",
		       "%s must be a time of RFC 3339 in whole seconds", what);
	return -1;
}

int read_permission(struct document *d, const struct yaml_node *node, enum policy_permission *out) {
	struct nearest nearest;

	if (node->kind == YAML_SCALAR && permission_parse(node->text, out) == 0)
		return 0;
	if (node->kind != YAML_SCALAR) {
		document_error(d, node, "wrong-type", NULL, "a permission must be text, but this is %s",
			       yaml_kind_name(node));
		return -1;
	}
	nearest_init(&nearest, node->text);
	for (int p = 0; p < N_PERMISSIONS; p++) {
		nearest_offer(&nearest, permission_name((enum policy_permission)p));
		nearest_offer(&nearest, strrchr(permission_name((enum policy_permission)p), '.') + 1);
	}
	error_did_you_mean(d, node, "bad-permission", &nearest, "there is no permission");
	return -1;
}

int read_account(struct document *d, const struct yaml_node *node, const char **out) {
	char email[MAX_EMAIL];

	if (node->kind != YAML_SCALAR || canonical_email(node->text, email) < 0) {
		document_error(d, node, "bad-account", "write it like NAME@PROJECT.iam.gserviceaccount.com",
			       "\"%.80s\" is not a service account's e-mail address",
			       node->kind == YAML_SCALAR ? node->text : yaml_kind_name(node));
		return -1;
	}
	*out = chunks_str(&d->policy->memory, email, strlen(email));
	if (!*out)
		d->no_memory = true;
	return *out ? 0 : -1;
}

int read_scope(struct document *d, const struct yaml_node *node, const char **out) {
	if (read_text(d, node, "a scope", out) < 0)
		return -1;
	if (scope_well_formed(*out))
		return 0;
	document_error(d, node, "bad-scope", "write it like " SCOPE_CLOUD_PLATFORM,
		       "\"%.80s\" is not a scope: https://…, openid, email or profile", *out);
	return -1;
}

int read_strings(struct document *d, const struct yaml_node *node, const char *what, size_t max,
		 int (*read_one)(struct document *, const struct yaml_node *, const char **), const char *const **out,
		 size_t *n) {
	const char **list;
	size_t i = 0;

	if (!is_list(d, node, what))
		return -1;
	if (node->n == 0 || node->n > max) {
		document_error(d, node, "bad-list", NULL, "%s must have 1 to %zu entries, not %u", what, max, node->n);
		return -1;
	}
	list = chunks_get(&d->policy->memory, node->n * sizeof(*list), _Alignof(const char *));
	if (!list) {
		d->no_memory = true;
		return -1;
	}
	yaml_each (item, node)
		if (read_one(d, item, &list[i]) == 0)
			i++;
	*out = list;
	*n = i;
	return 0;
}

/* ---- members ---- */

static void unknown_group(struct document *d, const struct yaml_node *node, const char *name) {
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (uint32_t i = 0; i < d->group_names.n; i++)
		nearest_offer(&nearest, d->group_names.list[i]);
	error_did_you_mean(d, node, "unknown-group", &nearest, "there is no group");
}

/* An address without its kind: whose it looks like. */
static bool kind_is_missing(const struct yaml_node *node, char fix[MAX_EMAIL + 64]) {
	char email[MAX_EMAIL];
	size_t n;

	if (node->kind != YAML_SCALAR || canonical_email(node->text, email) < 0)
		return false;
	n = strlen(email);
	snprintf(fix, MAX_EMAIL + 64, "did you mean \"%s:%s\"?",
		 n > 20 && !strcmp(email + n - 20, ".gserviceaccount.com") ? "serviceAccount" : "user", email);
	return true;
}

void document_bad_principal(struct document *d, const struct yaml_node *node, const char *id, const char *kinds) {
	char fix[MAX_EMAIL + 64];

	document_error(d, node, id, kind_is_missing(node, fix) ? fix : kinds, "\"%.80s\" names nobody",
		       node->kind == YAML_SCALAR ? node->text : yaml_kind_name(node));
}

static void bad_member(struct document *d, const struct yaml_node *node) {
	document_bad_principal(
		d, node, "bad-member",
		"write user:EMAIL, serviceAccount:EMAIL, group:NAME, domain:DOMAIN, principal:ID or allAuthenticated");
}

/* A group's number, or NO_ID after saying so. */
static uint32_t read_group_ref(struct document *d, const struct yaml_node *node, const char *name) {
	uint32_t id = names_find(&d->group_names, name, strlen(name));

	if (id == NO_ID)
		unknown_group(d, node, name);
	else
		d->groups[id].used = true;
	return id;
}

/* The subject that a member is; groups are left to the caller by *group. NO_ID: said so, or a group. */
static uint32_t read_member(struct document *d, const struct yaml_node *node, uint32_t *group) {
	char buf[MAX_EMAIL * 2] = "domain:";
	const char *rest, *kind;

	*group = NO_ID;
	if (node->kind != YAML_SCALAR) {
		bad_member(d, node);
		return NO_ID;
	}
	if (!strcmp(node->text, "allAuthenticated"))
		return SUBJECT_ALL;
	kind = principal_kind(node->text, &rest);
	if (kind && !strcmp(kind, "group")) {
		*group = read_group_ref(d, node, rest);
		return NO_ID;
	}
	if (kind &&
	    (strcmp(kind, "domain") ? canonical_principal(node->text, buf) : canonical_domain(rest, buf + 7)) == 0)
		return intern(d, &d->policy->subjects, buf);
	bad_member(d, node);
	return NO_ID;
}

static void read_members(struct document *d, const struct yaml_node *node, const char *what, struct ids *out) {
	uint32_t subject, group;

	if (!is_list(d, node, what))
		return;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "%s is empty", what);
	yaml_each (item, node) {
		subject = read_member(d, item, &group);
		if (group != NO_ID)
			subject = d->groups[group].subject;
		if (subject != NO_ID)
			add_id(d, &d->ids, subject);
	}
	*out = take_ids(d);
}

/* ---- groups ---- */

static bool good_name(const char *s) {
	size_t n = strnlen(s, MAX_NAME + 1);

	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
		      (i > 0 && strchr("._-", s[i]))))
			return false;
	return n >= 1 && n <= MAX_NAME;
}

static int check_name(struct document *d, const struct yaml_node *node, const char *what) {
	if (node->kind == YAML_SCALAR && good_name(node->text))
		return 0;
	document_error(d, node, "bad-name", "use letters, digits and . _ - (at most 64)", "\"%.80s\" is no name for %s",
		       node->kind == YAML_SCALAR ? node->text : yaml_kind_name(node), what);
	return -1;
}

static void declare_groups(struct document *d, const struct yaml_node *node) {
	char subject[MAX_NAME + 8];
	uint32_t id;

	yaml_each (members, node) {
		if (check_name(d, members->key, "a group") < 0)
			continue;
		id = intern(d, &d->group_names, members->key->text);
		snprintf(subject, sizeof(subject), "group:%s", members->key->text);
		if (id != NO_ID && !d->groups[id].node)
			d->groups[id] =
				(struct group){ .node = members, .subject = intern(d, &d->policy->subjects, subject) };
	}
}

static void read_group_members(struct document *d, uint32_t id) {
	uint32_t subject, group;

	if (!is_list(d, d->groups[id].node, "a group"))
		return;
	yaml_each (item, d->groups[id].node) {
		subject = read_member(d, item, &group);
		if (group != NO_ID)
			add_pair(d, &d->nested, group, id);
		else if (subject != NO_ID)
			add_pair(d, &d->direct, subject, id);
	}
}

/* Follows groups that are still waiting for a parent: they end in a circle. Names it. */
static void report_cycle(struct document *d, const struct postings *parents, uint32_t from) {
	struct buf path = BUF_INIT(400);
	uint32_t at = from, first;
	struct ids up;

	for (uint32_t i = 0; i < d->group_names.n; i++) { /* walk far enough to be on the circle */
		up = postings_at(parents, at);
		for (uint32_t k = 0; k < up.n; k++)
			if (d->groups[up.v[k]].n_parents) {
				at = up.v[k];
				break;
			}
	}
	first = at;
	do {
		buf_addf(&path, "%s is in ", d->group_names.list[at]);
		up = postings_at(parents, at);
		for (uint32_t k = 0; k < up.n; k++)
			if (d->groups[up.v[k]].n_parents) {
				at = up.v[k];
				break;
			}
	} while (at != first);
	buf_adds(&path, d->group_names.list[first]);
	document_error(d, d->groups[first].node, "group-cycle", NULL, "groups contain each other%s%s",
		       buf_ok(&path) ? ": " : "", buf_ok(&path) ? path.data : "");
	buf_fini(&path);
}

static void collect_ancestors(struct document *d, const struct postings *parents, uint32_t group, size_t *budget) {
	struct ids up = postings_at(parents, group), above;

	for (uint32_t i = 0; i < up.n; i++) {
		above = d->groups[up.v[i]].ancestors;
		if (above.n + 1 > *budget) {
			*budget = 0;
			break;
		}
		*budget -= above.n + 1;
		add_id(d, &d->ids, up.v[i]);
		for (uint32_t k = 0; k < above.n; k++)
			add_id(d, &d->ids, above.v[k]);
	}
	d->groups[group].ancestors = take_ids(d);
}

/* Outer groups first (Kahn), so that each group's ancestors are complete before they are inherited. */
static void order_groups(struct document *d, const struct postings *parents, const struct postings *children,
			 uint32_t *queue, size_t *budget) {
	uint32_t n = d->group_names.n, head = 0, tail = 0;
	struct ids down;

	for (uint32_t g = 0; g < n; g++) {
		d->groups[g].n_parents = postings_at(parents, g).n;
		if (d->groups[g].n_parents == 0)
			queue[tail++] = g;
	}
	while (head < tail) {
		collect_ancestors(d, parents, queue[head], budget);
		down = postings_at(children, queue[head++]);
		for (uint32_t i = 0; i < down.n; i++)
			if (--d->groups[down.v[i]].n_parents == 0)
				queue[tail++] = down.v[i];
	}
	for (uint32_t g = 0; g < n && tail < n; g++)
		if (d->groups[g].n_parents) {
			report_cycle(d, parents, g);
			break;
		}
}

static void nest_groups(struct document *d) {
	struct postings parents = { 0 }, children = { 0 };
	uint32_t n = d->group_names.n, *queue = malloc((n + 1) * sizeof(*queue));
	size_t budget = MAX_ANCESTRY;

	d->no_memory |= !queue || postings_build(&parents, n, d->nested.v, d->nested.n) < 0;
	for (size_t i = 0; i < d->nested.n; i++)
		d->nested.v[i] = (struct pair){ d->nested.v[i].item, d->nested.v[i].key };
	d->no_memory |= postings_build(&children, n, d->nested.v, d->nested.n) < 0;
	if (!d->no_memory)
		order_groups(d, &parents, &children, queue, &budget);
	if (!budget)
		document_error(d, d->groups[0].node, "groups-too-large", NULL,
			       "groups are nested into each other too often");
	postings_fini(&parents);
	postings_fini(&children);
	free(queue);
}

static void read_groups(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "groups must be a mapping, but this is %s",
			       yaml_kind_name(node));
		return;
	}
	d->groups = calloc(node->n + 1, sizeof(*d->groups));
	if (!d->groups) {
		d->no_memory = true;
		return;
	}
	declare_groups(d, node);
	for (uint32_t i = 0; i < d->group_names.n && !d->no_memory; i++)
		read_group_members(d, i);
	if (!d->no_memory)
		nest_groups(d);
	d->policy->stats.groups = d->group_names.n;
}

/* What groups each subject is in, itself included. After the last subject is known. */
static int close_groups(struct document *d) {
	struct pair_list pairs = { 0 };
	const struct group *group;
	int r;

	for (uint32_t s = 0; s < d->policy->subjects.n; s++)
		add_pair(d, &pairs, s, s);
	for (size_t i = 0; i < d->direct.n && pairs.n < MAX_ANCESTRY; i++) {
		group = &d->groups[d->direct.v[i].item];
		add_pair(d, &pairs, d->direct.v[i].key, group->subject);
		for (uint32_t k = 0; k < group->ancestors.n; k++)
			add_pair(d, &pairs, d->direct.v[i].key, d->groups[group->ancestors.v[k]].subject);
	}
	if (pairs.n >= MAX_ANCESTRY && d->tree->root)
		document_error(d, d->tree->root, "groups-too-large", NULL, "groups have more than %d members in all",
			       MAX_ANCESTRY);
	r = postings_build(&d->policy->groups_of, d->policy->subjects.n, pairs.v, pairs.n);
	free(pairs.v);
	return r;
}

/* ---- rules ---- */

static void read_rule_name(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	uint32_t before = d->rule_names.n, id;

	if (check_name(d, node, rule->kind == RULE_DENY ? "a deny rule" : "a binding") < 0)
		return;
	id = intern(d, &d->rule_names, node->text);
	if (id == NO_ID)
		return;
	rule->name = d->rule_names.list[id];
	if (d->rule_names.n == before)
		document_error(d, node, "duplicate-name", "give each binding and deny rule a name of its own",
			       "the name \"%s\" is taken by the rule at line %u", node->text, d->rule_lines.v[id]);
	else
		add_id(d, &d->rule_lines, node->line);
}

static void read_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", (const char **)target);
}

static void read_rule_title(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a title", &((struct rule *)target)->title);
}

static void read_description(struct document *d, const struct yaml_node *node, void *target) {
	const char *text;

	(void)target;
	read_text(d, node, "a description", &text);
}

static void read_rule_members(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "members", &((struct rule *)target)->members);
}

static void read_denied(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "deniedPrincipals", &((struct rule *)target)->members);
}

static void read_exceptions(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "exceptionPrincipals", &((struct rule *)target)->exceptions);
}

/* With the star replaced by a letter a pattern must be an e-mail; * alone is every account. */
static int read_pattern(struct document *d, const struct yaml_node *node, struct pattern *out) {
	char sample[MAX_EMAIL], email[MAX_EMAIL];
	size_t star = strcspn(node->text, "*");
	const char *copy;

	out->domain = DOMAIN_ANY;
	if (strcmp(node->text, "*")) {
		if (node->n >= sizeof(sample) || strchr(node->text + star + 1, '*') ||
		    !strchr(node->text + star + 1, '@'))
			return -1;
		memcpy(sample, node->text, node->n + 1);
		sample[star] = 'x';
		if (canonical_email(sample, email) < 0)
			return -1;
		out->domain = intern(d, &d->policy->domains, strchr(email, '@') + 1);
		copy = chunks_str(&d->policy->memory, email, node->n);
	} else {
		copy = "*";
	}
	if (!copy) {
		d->no_memory = true;
		return 0;
	}
	out->prefix = (struct str){ copy, star };
	out->suffix = (struct str){ copy + star + 1, node->n - star - 1 };
	return 0;
}

static void read_account_or_pattern(struct document *d, const struct yaml_node *item, struct rule *rule,
				    struct pattern *patterns) {
	const char *account;

	if (item->kind == YAML_SCALAR && strchr(item->text, '*')) {
		if (read_pattern(d, item, &patterns[rule->n_patterns]) == 0)
			rule->n_patterns++;
		else
			document_error(
				d, item, "bad-account",
				"one * may stand anywhere before the @, as in \"*@PROJECT.iam.gserviceaccount.com\"",
				"\"%.80s\" is no pattern for accounts", item->text);
	} else if (read_account(d, item, &account) == 0) {
		add_id(d, &d->ids, intern(d, &d->policy->accounts, account));
	}
}

static void read_accounts(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	struct pattern *patterns;
	size_t n = 0;

	if (!is_list(d, node, "serviceAccounts"))
		return;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "serviceAccounts is empty");
	yaml_each (item, node)
		n += item->kind == YAML_SCALAR && strchr(item->text, '*');
	patterns = chunks_get(&d->policy->memory, (n + 1) * sizeof(*patterns), _Alignof(struct pattern));
	if (!patterns) {
		d->no_memory = true;
		return;
	}
	rule->n_patterns = 0;
	rule->patterns = patterns;
	yaml_each (item, node)
		read_account_or_pattern(d, item, rule, patterns);
	rule->accounts = take_ids(d);
}

static void read_permissions(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	enum policy_permission permission;

	if (!is_list(d, node, "permissions"))
		return;
	rule->permissions = 0;
	yaml_each (item, node)
		if (read_permission(d, item, &permission) == 0)
			rule->permissions |= 1u << permission;
	if (node->n == 0)
		document_error(d, node, "bad-list", NULL, "permissions is empty");
}

static void read_scopes(struct document *d, const struct yaml_node *node, void *target) {
	struct rule *rule = target;
	size_t n = 0;

	if (read_strings(d, node, "scopes", POLICY_MAX_SCOPES, read_scope, &rule->scopes, &n) == 0)
		rule->n_scopes = (uint32_t)n;
}

static void read_max_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	read_lifetime(d, node, "maxLifetime", &((struct rule *)target)->max_lifetime_s);
}

static void read_not_before(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notBefore", &((struct rule *)target)->not_before);
}

static void read_not_after(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notAfter", &((struct rule *)target)->not_after);
}

/* ---- conditions ---- */

struct condition_draft {
	const char *title;
	const struct yaml_node *expression;
};

static void read_expression(struct document *d, const struct yaml_node *node, void *target) {
	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		document_error(d, node, "wrong-type", NULL, "an expression must be text, but this is %s",
			       yaml_kind_name(node));
	else
		((struct condition_draft *)target)->expression = node;
}

static const struct field condition_fields[] = {
	{ "title", false, read_title }, /* first in the draft */
	{ "description", false, read_description },
	{ "expression", true, read_expression },
};

struct expression_context {
	struct document *d;
	const struct yaml_node *node;
};

/* What is missing at the end of an expression is missed behind its last word, not on the line after. */
static size_t before_trailing_blanks(const struct yaml_node *node, size_t offset) {
	size_t n = node->n;

	while (n > 0 && strchr(" \t\r\n", node->text[n - 1]))
		n--;
	return offset < n ? offset : n;
}

/* A compiler's complaint, put where it stands in the file. */
static void on_expression_finding(void *arg, enum policy_severity severity, const char *id, size_t offset,
				  const char *message, const char *fix) {
	const struct expression_context *context = arg;
	unsigned line, column;

	yaml_position(context->d->tree, context->node, before_trailing_blanks(context->node, offset), &line, &column);
	document_find_at(context->d, severity, id, line, column, fix, "%s", message);
}

static void read_condition(struct document *d, const struct yaml_node *node, void *target) {
	struct condition_draft draft = { 0 };
	struct expression_context context = { .d = d };
	struct rule *rule = target;
	const char *what = rule->kind == RULE_DENY ? "denialCondition" : "condition";

	if (node->kind == YAML_SCALAR) {
		document_error(d, node, "wrong-type", "put the text under expression: in it", "%s must be a mapping, but this is text",
			       what);
		return;
	}
	if (read_fields(d, node, what, condition_fields, ARRAY_SIZE(condition_fields), &draft) < 0 || !draft.expression)
		return;
	context.node = draft.expression;
	if (condition_new(d->policy->env, (struct str){ draft.expression->text, draft.expression->n }, draft.title,
			  &(struct condition_sink){ on_expression_finding, &context }, &rule->condition) < 0)
		d->no_memory = true;
}

static const struct field binding_fields[] = {
	{ "name", true, read_rule_name },           { "title", false, read_rule_title },
	{ "description", false, read_description }, { "members", true, read_rule_members },
	{ "serviceAccounts", true, read_accounts }, { "permissions", false, read_permissions },
	{ "scopes", false, read_scopes },           { "maxLifetime", false, read_max_lifetime },
	{ "notBefore", false, read_not_before },    { "notAfter", false, read_not_after },
	{ "condition", false, read_condition },
};

static const struct field deny_fields[] = {
	{ "name", true, read_rule_name },
	{ "title", false, read_rule_title },
	{ "description", false, read_description },
	{ "deniedPrincipals", true, read_denied },
	{ "exceptionPrincipals", false, read_exceptions },
	{ "serviceAccounts", false, read_accounts },
	{ "permissions", false, read_permissions },
	{ "denialCondition", false, read_condition },
};

static const char *const default_scopes[] = { SCOPE_CLOUD_PLATFORM };
static const struct pattern any_account[] = { { { "", 0 }, { "", 0 }, DOMAIN_ANY } };

static const struct rule blank_rules[] = {
	[RULE_BINDING] = { .kind = RULE_BINDING,
			   .permissions = 1u << PERMISSION_GET_ACCESS_TOKEN,
			   .scopes = default_scopes,
			   .n_scopes = 1,
			   .not_before = INT64_MIN,
			   .not_after = INT64_MAX },
	[RULE_DENY] = { .kind = RULE_DENY,
			.permissions = (1u << N_PERMISSIONS) - 1,
			.patterns = any_account,
			.n_patterns = 1,
			.not_before = INT64_MIN,
			.not_after = INT64_MAX },
};

static void check_window(struct document *d, const struct rule *rule, const struct yaml_node *node) {
	if (rule->not_before != INT64_MIN && rule->not_after <= rule->not_before)
		document_error(d, node, "empty-window", NULL, "notAfter is not after notBefore: this never applies");
}

static void read_rule(struct document *d, const struct yaml_node *node, struct rule *rule) {
	bool deny = rule->kind == RULE_DENY;

	rule->line = node->line;
	rule->column = node->column;
	if (read_fields(d, node, deny ? "a deny rule" : "a binding", deny ? deny_fields : binding_fields,
			deny ? ARRAY_SIZE(deny_fields) : ARRAY_SIZE(binding_fields), rule) < 0)
		return;
	check_window(d, rule, node);
	lint_rule(d, rule, node);
}

static void read_rules(struct document *d, const struct yaml_node *node, enum rule_kind kind, struct rule_set *set) {
	if (!is_list(d, node, kind == RULE_DENY ? "denyRules" : "bindings"))
		return;
	set->rules = calloc(node->n + 1, sizeof(*set->rules));
	if (!set->rules) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node) {
		set->rules[set->n] = blank_rules[kind];
		set->rules[set->n].index = set->n;
		read_rule(d, item, &set->rules[set->n++]);
		if (d->no_memory || d->report->n_errors >= MAX_ERRORS)
			return;
	}
}

/* ---- the document ---- */

static void read_version(struct document *d, const struct yaml_node *node, void *target) {
	int64_t version;

	(void)target;
	if (yaml_int(node, 1, 1, &version) < 0)
		document_error(d, node, "version", NULL, "version must be 1");
}

static void read_default_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_lifetime(d, node, "maxLifetime", &d->policy->default_lifetime_s);
}

static const struct field defaults_fields[] = {
	{ "maxLifetime", false, read_default_lifetime },
};

static void read_defaults(struct document *d, const struct yaml_node *node, void *target) {
	read_fields(d, node, "defaults", defaults_fields, ARRAY_SIZE(defaults_fields), target);
}

static void read_bindings(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_rules(d, node, RULE_BINDING, &d->policy->bindings);
}

static void read_deny_rules(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	read_rules(d, node, RULE_DENY, &d->policy->denials);
}

static void read_entitlements(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	document_error(d, node->key, "entitlements-unsupported", "leave them out until this version can honour them",
		       "entitlements are not yet supported");
}

static void read_invariants(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	document_error(d, node->key, "invariants-unsupported", "leave them out until this version can enforce them",
		       "invariants are not yet supported");
}

static void read_tests(struct document *d, const struct yaml_node *node, void *target) {
	(void)target;
	tests_read(d, node);
}

/* In the order in which they are read: groups before those who name them. */
static const struct field top_fields[] = {
	{ "version", true, read_version },        { "defaults", false, read_defaults },
	{ "groups", false, read_groups },         { "bindings", false, read_bindings },
	{ "denyRules", false, read_deny_rules },  { "entitlements", false, read_entitlements },
	{ "invariants", false, read_invariants }, { "tests", false, read_tests },
};

static void index_rules(struct document *d) {
	struct policy *policy = d->policy;

	if (close_groups(d) < 0 ||
	    rule_set_index(&policy->bindings, policy->subjects.n, policy->accounts.n, &policy->domains) < 0 ||
	    rule_set_index(&policy->denials, policy->subjects.n, policy->accounts.n, &policy->domains) < 0)
		d->no_memory = true;
	policy->stats.bindings = policy->bindings.n;
	policy->stats.deny_rules = policy->denials.n;
	policy->stats.tests = d->n_tests;
}

static const char *yaml_fix(const char *message) {
	static const struct {
		const char *message, *fix;
	} fixes[] = {
		{ "mapping values are not allowed", "text with \": \" in it stands in quotes, or on lines of its own under |" },
		{ "did not find expected '-'", "the entries of one list or mapping begin in the same column" },
		{ "did not find expected key", "the entries of one list or mapping begin in the same column" },
		{ "could not find expected ':'", "a key is followed by a colon and a blank" },
		{ "did not find expected ',' or", "a bracket or brace is still open, or a comma is missing" },
		{ "cannot start any token", "text that begins like this stands in quotes" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixes); i++)
		if (strstr(message, fixes[i].message))
			return fixes[i].fix;
	return NULL;
}

static void add_yaml_problems(struct document *d, const struct yaml_problems *problems) {
	for (size_t i = 0; i < problems->n; i++)
		document_find_at(d, POLICY_ERROR, problems->list[i].id, problems->list[i].line,
				 problems->list[i].column, yaml_fix(problems->list[i].message), "%s",
				 problems->list[i].message);
}

static void read_document(struct document *d) {
	if (!d->tree->root) {
		document_find_at(d, POLICY_ERROR, "empty", 1, 1, "begin with: version: 1", "the policy is empty");
		return;
	}
	if (intern(d, &d->policy->subjects, "allAuthenticated") != SUBJECT_ALL ||
	    intern(d, &d->policy->domains, "") != DOMAIN_ANY)
		return;
	if (read_fields(d, d->tree->root, "a policy", top_fields, ARRAY_SIZE(top_fields), NULL) < 0 || d->no_memory)
		return;
	index_rules(d);
	lint_groups(d);
	if (!d->no_memory && d->report->n_errors == 0)
		tests_run(d);
}

static int by_position(const void *a, const void *b) {
	const struct policy_finding *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return strcmp(x->message, y->message);
}

static int verdict(const struct document *d, const char *name, struct error *err) {
	const struct policy_report *report = d->report;

	if (d->no_memory)
		return error_set(err, ERR_INTERNAL, "out of memory");
	if (report->n)
		qsort(report->findings, report->n, sizeof(*report->findings), by_position);
	for (size_t i = 0; i < report->n; i++)
		if (report->findings[i].severity == POLICY_ERROR)
			return error_set(err, ERR_INVALID, "%s:%u:%u: %s", name, report->findings[i].line,
					 report->findings[i].column, report->findings[i].message);
	return 0;
}

static void document_fini(struct document *d) {
	tests_free(d);
	yaml_tree_free(d->tree);
	names_fini(&d->group_names);
	names_fini(&d->rule_names);
	free(d->groups);
	free(d->direct.v);
	free(d->nested.v);
	free(d->rule_lines.v);
	free(d->ids.v);
}

static struct policy *policy_new(const struct policy_host *host, struct error *err) {
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy) {
		error_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	atomic_init(&policy->refs, 1);
	policy->default_lifetime_s = 3600;
	if (condition_env_new(host, &policy->env, err) < 0) {
		policy_unref(policy);
		return NULL;
	}
	return policy;
}

int policy_load(const char *name, struct str text, const struct policy_host *host, int64_t now, struct policy **out,
		struct policy_report *report, struct error *err) {
	const struct yaml_limits limits = { .bytes = MAX_BYTES, .nodes = MAX_NODES };
	struct document d = { .report = report, .now = now };
	struct yaml_problems *problems = malloc(sizeof(*problems));
	int r;

	*out = NULL;
	*report = (struct policy_report){ 0 };
	d.policy = problems ? policy_new(host, err) : NULL;
	if (!d.policy) {
		free(problems);
		return problems ? -1 : error_set(err, ERR_INTERNAL, "out of memory");
	}
	r = yaml_load(text, &limits, &d.tree, problems, err);
	add_yaml_problems(&d, problems);
	free(problems);
	if (d.tree)
		read_document(&d);
	if (r == 0 || err->code == ERR_INVALID)
		r = verdict(&d, name, err);
	document_fini(&d);
	if (r == 0)
		*out = take(&d.policy);
	policy_unref(d.policy);
	return r;
}

struct policy *policy_ref(struct policy *policy) {
	unsigned before = atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);

	assert(before > 0 && before < UINT32_MAX / 2);
	return policy;
}

static void rule_set_fini(struct rule_set *set) {
	free(set->rules);
	postings_fini(&set->by_account);
	postings_fini(&set->by_domain);
	postings_fini(&set->by_subject);
}

void policy_unref(struct policy *policy) {
	if (!policy || atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) > 1)
		return;
	rule_set_fini(&policy->bindings);
	rule_set_fini(&policy->denials);
	postings_fini(&policy->groups_of);
	names_fini(&policy->subjects);
	names_fini(&policy->accounts);
	names_fini(&policy->domains);
	condition_env_free(policy->env);
	chunks_fini(&policy->memory);
	free(policy);
}

void policy_stats(const struct policy *policy, struct policy_stats *out) {
	*out = policy->stats;
}
