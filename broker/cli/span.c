/* Spans and times as people write them. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"

int64_t cli_parse_span(const char *text) {
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	int64_t total = 0;
	size_t next = 0;

	if (!*text)
		return -1;
	while (*text) {
		int64_t v = 0;
		size_t u = next;

		if (*text < '0' || *text > '9')
			return -1;
		for (; *text >= '0' && *text <= '9' && v < 1000000; text++)
			v = v * 10 + (*text - '0');
		while (u < ARRAY_SIZE(units) && units[u].unit != *text)
			u++;
		if (u == ARRAY_SIZE(units))
			return -1;
		total += v * units[u].seconds;
		next = u + 1;
		text++;
	}
	return total;
}

/* n digits, from lo to hi; -1: not so. */
static int digits(const char *s, int n, int lo, int hi) {
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v >= lo && v <= hi ? v : -1;
}

/* "Z", "+01:00": seconds east; false: neither. A fraction before it is read over. */
static bool parse_zone(const char *s, int *east) {
	int h, m;

	if (*s == '.' && s[1] >= '0' && s[1] <= '9')
		s += 1 + strspn(s + 1, "0123456789");
	*east = 0;
	if (!strcmp(s, "Z"))
		return true;
	if (strlen(s) != 6 || (*s != '+' && *s != '-') || s[3] != ':')
		return false;
	h = digits(s + 1, 2, 0, 23);
	m = digits(s + 4, 2, 0, 59);
	*east = (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return h >= 0 && m >= 0;
}

static int64_t parse_rfc3339(const char *s) {
	static const struct {
		int at, n, lo, hi;
	} fields[] = { { 0, 4, 1, 9999 }, { 5, 2, 1, 12 }, { 8, 2, 1, 31 }, { 11, 2, 0, 23 }, { 14, 2, 0, 59 }, { 17, 2, 0, 59 } };
	int v[6], east;
	struct tm tm;
	time_t t;

	if (strlen(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':')
		return -1;
	for (size_t i = 0; i < 6; i++)
		if ((v[i] = digits(s + fields[i].at, fields[i].n, fields[i].lo, fields[i].hi)) < 0)
			return -1;
	tm = (struct tm){ .tm_year = v[0] - 1900, .tm_mon = v[1] - 1, .tm_mday = v[2], .tm_hour = v[3], .tm_min = v[4], .tm_sec = v[5] };
	t = timegm(&tm);
	if (!parse_zone(s + 19, &east) || tm.tm_mday != v[2]) /* the 30th of February became a day in March */
		return -1;
	return (int64_t)t - east;
}

/* "15:04": today, where we are. */
static int64_t parse_clock(const char *s, int64_t now) {
	time_t t = (time_t)now;
	struct tm tm;
	int h, m;

	if (strlen(s) != 5 || s[2] != ':' || (h = digits(s, 2, 0, 23)) < 0 || (m = digits(s + 3, 2, 0, 59)) < 0)
		return -1;
	localtime_r(&t, &tm);
	tm.tm_hour = h;
	tm.tm_min = m;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm);
}

int64_t cli_parse_time(const char *text, int64_t now) {
	int64_t span;

	if (!strcmp(text, "now"))
		return now;
	if (*text == '+' || *text == '-') {
		span = cli_parse_span(text + 1);
		return span < 0 ? -1 : *text == '+' ? now + span : now - span;
	}
	return strlen(text) == 5 ? parse_clock(text, now) : parse_rfc3339(text);
}

int cli_take_time(const struct cli *cli, enum opt opt, int64_t *out) {
	if (!cli->values[opt])
		return -1;
	*out = cli_parse_time(cli->values[opt], (int64_t)time(NULL));
	if (*out >= 0)
		return -1;
	return help_usage_error(cli->command, "--%s is a time like 17:50, +2h, -90d or 2026-03-02T08:00:00+01:00, not \"%s\"", opt_defs[opt].name,
				cli->values[opt]);
}
