/* See zone_guess.h. */

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hallpass/cleanup.h"
#include "policy/zone_guess.h"
#include "policy/zones.h"

static bool exists(const struct policy_host *host, const char *name) {
	unsigned char *data = NULL;
	size_t len = 0;
	bool r = zone_name_ok(str_of(name)) && host->read_zone(host->arg, name, &data, &len) == 0;

	free(data);
	return r;
}

/* As the tz database spells names: Europe/Berlin, America/New_York, America/Port-au-Prince. */
static void spell(const char *name, char out[ZONE_GUESS]) {
	bool first = true;
	size_t i = 0;

	for (; name[i] && i < ZONE_GUESS - 1; i++) {
		out[i] = (char)(first ? toupper((unsigned char)name[i]) : tolower((unsigned char)name[i]));
		if (out[i] == ' ')
			out[i] = '_';
		first = out[i] == '/' || out[i] == '_' || out[i] == '-';
	}
	out[i] = '\0';
}

/* A city without its continent. */
static bool guess_region(const struct policy_host *host, const char *name, char out[ZONE_GUESS]) {
	static const char *const regions[] = { "Europe",  "America",	"Asia",	   "Africa", "Australia",
					       "Pacific", "Atlantic", "Indian", "Antarctica" };

	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		snprintf(out, ZONE_GUESS, "%s/%.60s", regions[i], name);
		if (exists(host, out))
			return true;
	}
	return false;
}

/* The name with c, or nothing, in the place of its `gone` letters from the i-th on. */
static void edit(const char *name, size_t i, size_t gone, char c, char out[ZONE_GUESS]) {
	assert(i + gone <= strlen(name));
	snprintf(out, ZONE_GUESS, "%.*s%.*s%s", (int)i, name, c ? 1 : 0, &c, name + i + gone);
}

static bool guess_letter(const struct policy_host *host, const char *name, size_t i, char out[ZONE_GUESS]) {
	bool first = i == 0 || strchr("/_-", name[i - 1]);

	for (char c = 'a'; c <= 'z'; c++)
		for (size_t gone = name[i] ? 1 : 0; gone <= 1; gone--) {
			edit(name, i, gone, first ? (char)toupper(c) : c, out);
			if (exists(host, out))
				return true;
		}
	return false;
}

/* One letter too much, two that changed places, one wrong or missing. */
static bool guess_slip(const struct policy_host *host, const char *name, char out[ZONE_GUESS]) {
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		edit(name, i, 1, '\0', out);
		if (exists(host, out))
			return true;
		snprintf(out, ZONE_GUESS, "%s", name);
		if (i + 1 < n) {
			out[i] = name[i + 1];
			out[i + 1] = name[i];
		}
		if (exists(host, out))
			return true;
	}
	for (size_t i = 0; i <= n; i++)
		if (guess_letter(host, name, i, out))
			return true;
	return false;
}

bool zone_guess(const struct policy_host *host, const char *name, char out[ZONE_GUESS]) {
	char spelt[ZONE_GUESS];

	if (!host || !host->read_zone || strlen(name) < 3 || strlen(name) > ZONE_GUESS / 2)
		return false;
	spell(name, spelt);
	snprintf(out, ZONE_GUESS, "%s", spelt);
	return exists(host, out) || guess_region(host, spelt, out) || guess_slip(host, spelt, out) || guess_slip(host, name, out);
}
