/* Mappings by tables of their keys, scalars by their types. Knows no table by name. See document.h. */

#include "hallpass/cleanup.h"
#include "policy/document.h"
#include "policy/scopes.h"

#define MAX_TEXT 4096 /* bytes of a title or description */
#define MAX_LIST 1000000 /* more than a file of 64 MiB has place for, if they are to say something */

static const struct field *field_of(const struct field *fields, const char *key) {
	for (const struct field *f = fields; f->key; f++)
		if (!strcmp(f->key, key))
			return f;
	return NULL;
}

static void error_with_keys(struct document *d, const struct yaml_node *key, const char *message,
			    const struct field *fields) {
	struct buf fix = BUF_INIT(1024);

	for (const struct field *f = fields; f->key; f++)
		buf_addf(&fix, "%s%s", f == fields ? "it may have: " : ", ", f->key);
	document_error(d, key, "unknown-key", buf_ok(&fix) ? fix.data : NULL, "%s \"%.80s\"", message, key->text);
	buf_fini(&fix);
}

static void unknown_key(struct document *d, const struct yaml_node *key, const char *what,
			const struct field *fields) {
	struct nearest nearest;
	char message[128];

	nearest_init(&nearest, key->text);
	for (const struct field *f = fields; f->key && !document_is_full(d); f++)
		nearest_offer(&nearest, f->key);
	snprintf(message, sizeof(message), "%s has no key", what);
	if (nearest.best)
		document_did_you_mean(d, key, "unknown-key", &nearest, message);
	else
		error_with_keys(d, key, message, fields);
}

int read_fields(struct document *d, const struct yaml_node *node, const char *what, const struct field *fields,
		void *target) {
	const struct yaml_node *value;

	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "%s must be a mapping, but this is %s", what,
			       yaml_kind_name(node));
		return -1;
	}
	yaml_each (child, node)
		if (!field_of(fields, child->key->text))
			unknown_key(d, child->key, what, fields);
	for (const struct field *f = fields; f->key; f++) {
		value = yaml_find(node, f->key);
		if (value)
			f->read(d, value, target);
		else if (f->required)
			document_error(d, node, "missing-key", NULL, "%s needs \"%s\"", what, f->key);
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
	if (node->kind == YAML_LIST && node->n <= MAX_LIST)
		return true;
	if (node->kind == YAML_LIST) {
		document_error(d, node, "too-many", NULL, "%s has %u entries; at most %d are allowed", what, node->n, MAX_LIST);
		return false;
	}
	document_error(d, node, "wrong-type", node->kind == YAML_SCALAR && node->n ? "put it in brackets: [ ]" : NULL,
		       "%s must be a list, but this is %s", what, yaml_kind_name(node));
	return false;
}

int read_bool(struct document *d, const struct yaml_node *node, const char *what, bool *out) {
	if (yaml_bool(node, out) == 0)
		return 0;
	document_error(d, node, "bad-bool", NULL, "%s must be true or false", what);
	return -1;
}

int read_number(struct document *d, const struct yaml_node *node, const char *what, int64_t min, int64_t max, int64_t *out) {
	if (yaml_int(node, min, max, out) == 0)
		return 0;
	document_error(d, node, "bad-number", NULL, "%s must be a number from %lld to %lld", what, (long long)min,
		       (long long)max);
	return -1;
}

int read_span(struct document *d, const struct yaml_node *node, const char *what, int64_t min_s, int64_t max_s,
	      const char *bounds, int64_t *out) {
	if (yaml_duration(node, min_s, max_s, out) == 0)
		return 0;
	document_error(d, node, "bad-duration", "write it like 15m, 1h30m or 900s", "%s must be from %s", what, bounds);
	return -1;
}

int read_lifetime(struct document *d, const struct yaml_node *node, const char *what, int64_t *out) {
	return read_span(d, node, what, 1, POLICY_MAX_LIFETIME, "1s to 12h", out);
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
	document_did_you_mean(d, node, "bad-permission", &nearest, "there is no permission");
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

static bool good_name(const char *s) {
	size_t n = strnlen(s, MAX_NAME + 1);

	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
		      (i > 0 && strchr("._-", s[i]))))
			return false;
	return n >= 1 && n <= MAX_NAME;
}

int check_name(struct document *d, const struct yaml_node *node, const char *what) {
	if (node->kind == YAML_SCALAR && good_name(node->text))
		return 0;
	document_error(d, node, "bad-name", "use letters, digits and . _ - (at most 64)", "\"%.80s\" is no name for %s",
		       node->kind == YAML_SCALAR ? node->text : yaml_kind_name(node), what);
	return -1;
}
