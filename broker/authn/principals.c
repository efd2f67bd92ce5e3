/* See principals.h. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "broker/authn/principals.h"
#include "hallpass/cleanup.h"
#include "hallpass/policy.h"

static bool rule_needs_account(const struct config_peer *rule) {
	return rule->user || rule->group || (!rule->plain && strstr(rule->principal, "{name}"));
}

static bool account_in_group(const struct account *account, const char *group) {
	for (size_t i = 0; i < account->n_groups; i++)
		if (!strcmp(account->groups[i], group))
			return true;
	return false;
}

static bool rule_fits(const struct config_peer *rule, const struct peer *peer, const struct account *account) {
	if (rule->uid >= 0 && rule->uid != peer->uid)
		return false;
	if (rule_needs_account(rule) && !account->exists)
		return false;
	if (rule->user && strcmp(rule->user, account->name))
		return false;
	return !rule->group || account_in_group(account, rule->group);
}

/* A user name becomes part of a principal only if it cannot change the principal's form. */
static bool name_is_plain(const char *name) {
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

/* Text that grows in the caller's PRINCIPAL_MAX bytes; false: no more room. */
static bool add(char *out, size_t *n, const char *text, size_t len) {
	if (len >= PRINCIPAL_MAX - *n)
		return false;
	memcpy(out + *n, text, len);
	*n += len;
	out[*n] = '\0';
	return true;
}

static bool principal_expand(const char *template, const struct peer *peer, const struct account *account, char *out) {
	size_t n = 0, plain;
	char uid[24];

	for (const char *p = template; *p; p += plain) {
		plain = strcspn(p, "{");
		if (plain) {
			if (!add(out, &n, p, plain))
				return false;
		} else if (!strncmp(p, "{name}", 6)) {
			if (!account || !name_is_plain(account->name) || !add(out, &n, account->name, strlen(account->name)))
				return false;
			plain = 6;
		} else { /* {uid}: principal_template_check() lets nothing else pass */
			if (!add(out, &n, uid, (size_t)snprintf(uid, sizeof(uid), "%" PRId64, peer->uid)))
				return false;
			plain = 5;
		}
	}
	return n > 0;
}

static bool rule_principal(const struct config_peer *rule, const struct peer *peer, const struct account *account, char *out) {
	size_t n = 0;

	return rule->plain ? add(out, &n, rule->principal, strlen(rule->principal))
			   : principal_expand(rule->principal, peer, account, out);
}

enum principal_verdict principal_of(const struct config *config, const struct peer *peer,
				    const struct account *account, char *out) {
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct config_peer *rule = &config->peers[i];

		if (rule->uid >= 0 && rule->uid != peer->uid)
			continue;
		if (rule_needs_account(rule) && !account)
			return PRINCIPAL_NEEDS_ACCOUNT;
		if (rule_fits(rule, peer, account))
			return rule_principal(rule, peer, account, out) ? PRINCIPAL_FOUND : PRINCIPAL_UNKNOWN;
	}
	return PRINCIPAL_UNKNOWN;
}

void principal_unknown(const struct peer *peer, const struct account *account, struct error *err) {
	bool named = account && account->exists;
	const char *why = !account || (named && name_is_plain(account->name)) ? ""
			  : named ? " (a {name} has lower-case letters, digits and . _ - alone)"
				  : " (this machine has no name for it, so only a rule with `uid` and without {name} can)";

	error_set(err, ERR_UNAUTHENTICATED, "uid %lld%s%s is nobody here: no rule under `peers:` in the broker's configuration fits it%s",
		  (long long)peer->uid, named ? ", user " : "", named ? account->name : "", why);
}

int principal_template_check(const char *template, struct error *err) {
	static const char *const types[] = { "user:", "serviceAccount:", "principal:" };
	static const struct peer somebody = { .uid = 1000 };
	static const struct account named = { .uid = 1000, .exists = true, .name = "name" };
	char example[PRINCIPAL_MAX];
	bool typed = false;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		typed |= !strncmp(template, types[i], strlen(types[i])) && template[strlen(types[i])];
	if (!typed)
		return error_set(err, ERR_INVALID,
				 "a principal starts with user:, serviceAccount: or principal:, as in user:{name}@example.com");
	for (const char *p = template; (p = strpbrk(p, "{}")); p++) {
		size_t n = !strncmp(p, "{name}", 6) ? 6 : !strncmp(p, "{uid}", 5) ? 5 : 0;

		if (!n)
			return error_set(err, ERR_INVALID, "only {name} and {uid} are replaced in a principal");
		p += n - 1;
	}
	if (strlen(template) >= PRINCIPAL_MAX - 80)
		return error_set(err, ERR_INVALID, "a principal is at most %d bytes", PRINCIPAL_MAX - 80);
	if (!principal_expand(template, &somebody, &named, example) || !policy_principal_ok(example))
		return error_set(err, ERR_INVALID, "%s is no principal: user: and serviceAccount: want an e-mail behind them, as in user:{name}@example.com",
				 template);
	return 0;
}
