/* See diagnosis.h. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/diagnosis.h"
#include "broker/source/google_error.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define TEXT_MAX (256 * 1024) /* more than any answer is read of */
#define TOKEN_CREATOR "roles/iam.serviceAccountTokenCreator"
#define REFUSED_SKEW_S 300 /* Google takes no assertion that is further away */
#define SHOWN_OTHERS 8

static const char *const health_names[] = {
	[HEALTH_UNKNOWN] = "note", [HEALTH_OK] = "ok", [HEALTH_WARN] = "warn", [HEALTH_FAIL] = "fail",
};

/* --- findings */

void finding_init(struct finding *finding, const char *id, const char *account) {
	*finding = (struct finding){ .id = id, .account = account, .text = BUF_INIT(TEXT_MAX), .remedy = BUF_INIT(TEXT_MAX) };
}

void finding_fini(struct finding *finding) {
	buf_fini(&finding->text);
	buf_fini(&finding->remedy);
}

static void set_text(struct buf *out, const char *fmt, va_list ap) {
	char *text = NULL;

	buf_reset(out);
	if (vasprintf(&text, fmt, ap) < 0) {
		out->failed = true;
		return;
	}
	buf_adds(out, text);
	free(text);
}

void finding_say(struct finding *finding, enum health health, const char *fmt, ...) {
	va_list ap;

	finding->health = health;
	va_start(ap, fmt);
	set_text(&finding->text, fmt, ap);
	va_end(ap);
}

void finding_remedy(struct finding *finding, const char *fmt, ...) {
	va_list ap;

	va_start(ap, fmt);
	set_text(&finding->remedy, fmt, ap);
	va_end(ap);
}

json_t *finding_json(const struct finding *finding) {
	if (!buf_ok(&finding->text) || !buf_ok(&finding->remedy))
		return NULL;
	return json_pack("{s:s, s:s*, s:s, s:o, s:o*}", "id", finding->id, "serviceAccount", finding->account, "status",
			 health_names[finding->health], "text", text_json(finding->text.len ? finding->text.data : "nothing was heard"),
			 "remedy", finding->remedy.len ? text_json(finding->remedy.data) : NULL);
}

/* --- the way there */

void diagnose_upstream(struct finding *finding, const struct patient *patient, const char *url, const struct fetch_result *heard,
		       int64_t took_ms) {
	static const char *const remedies[] = {
		[FETCH_NO_NAME] = "see that this machine's DNS knows the name; where only a proxy does, name it: `upstream.proxy` in hallpassd.yaml",
		[FETCH_NO_CONNECTION] = "see that a firewall lets hallpassd out; where only a proxy gets out, name it: `upstream.proxy` in hallpassd.yaml",
		[FETCH_NO_TRUST] = "where a proxy opens TLS, name its certificates: `upstream.caFile: FILE.pem` in hallpassd.yaml, and restart hallpassd; "
				   "else this is not Google",
		[FETCH_NO_PROXY] = "see what the proxy says: curl -v -x PROXY URL",
		[FETCH_NO_TIME] = "see what swallows the packets: a firewall, a proxy that is needed and not named (`upstream.proxy`)",
		[FETCH_OTHER_TROUBLE] = "hallpassd's log may say more",
	};

	if (heard->error.code == ERR_NONE) {
		finding_say(finding, heard->status >= 500 ? HEALTH_WARN : HEALTH_OK, "%s answers in %lld ms, %s%s", url, (long long)took_ms, patient->way,
			    heard->status >= 500 ? "; it is in trouble, by its status" : "");
		return;
	}
	finding_say(finding, HEALTH_FAIL, "%s cannot be reached, %s: %s", url, patient->way, heard->error.message);
	finding_remedy(finding, "%s", remedies[heard->trouble] ? remedies[heard->trouble] : remedies[FETCH_OTHER_TROUBLE]);
}

void diagnose_clock(struct finding *finding, const char *date, int64_t asked_at, int64_t heard_at, int64_t allowance_s) {
	struct tm tm = { 0 };
	int64_t google, off;

	if (!date || !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
		finding_say(finding, HEALTH_UNKNOWN, "no answer of Google's says what time it is there");
		return;
	}
	google = (int64_t)timegm(&tm);
	off = google < asked_at ? asked_at - google : google > heard_at ? google - heard_at : 0;
	if (off <= 1) { /* its seconds are whole */
		finding_say(finding, HEALTH_OK, "the broker's clock and Google's agree");
		return;
	}
	finding_say(finding, off > REFUSED_SKEW_S ? HEALTH_FAIL : off > allowance_s ? HEALTH_WARN : HEALTH_OK,
		    "the broker's clock is %lld s %s Google's%s", (long long)off, google < asked_at ? "ahead of" : "behind",
		    off > REFUSED_SKEW_S ? ", which takes no assertion of a key that is more than 5 minutes off"
		    : off > allowance_s	 ? ", more than limits.clockAllowance: windows close at the wrong moment, and tokens may be refused"
					 : "");
	if (off > allowance_s)
		finding_remedy(finding, "set the broker's clock, and keep it right: timedatectl set-ntp true");
}

/* One word for a shell, whatever is in it: people paste these lines. */
static void add_word(struct buf *out, const char *word) {
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_+@:/,=";

	if (!word[strspn(word, plain)]) {
		buf_adds(out, word);
		return;
	}
	buf_addc(out, '\'');
	for (; *word; word++)
		if (*word == '\'')
			buf_adds(out, "'\\''");
		else
			buf_addc(out, *word);
	buf_addc(out, '\'');
}

/* --- the credential */

/* How the login that it is made of is renewed. Where it lies is for operators. */
static void add_login(struct buf *out, const struct patient *patient) {
	static const char well_known[] = "application_default_credentials.json";
	const char *file = source_file(patient->source), *slash = file ? strrchr(file, '/') : NULL, *home = getenv("HOME");
	bool standard = slash && !strcmp(slash + 1, well_known);
	char usual[512], *dir = slash ? strndup(file, (size_t)(slash - file)) : NULL;

	snprintf(usual, sizeof(usual), "%s/.config/gcloud/%s", home ? home : "", well_known);
	if (!patient->as_broker)
		buf_addf(out, "as the broker's user (uid %lld): ", (long long)patient->broker_uid);
	if (patient->for_operator && dir && standard && strcmp(file, usual)) {
		buf_adds(out, "CLOUDSDK_CONFIG=");
		add_word(out, dir);
		buf_addc(out, ' ');
	}
	buf_adds(out, "gcloud auth application-default login");
	if (!strcmp(source_kind(patient->source), "impersonated_service_account") && source_email(patient->source))
		buf_addf(out, " --impersonate-service-account=%s", source_email(patient->source));
	if (patient->for_operator && file && !standard)
		buf_addf(out, " (and copy what it writes to %s)", file);
	buf_adds(out, " && hallpass reload");
	out->failed |= slash && !dir;
	free(dir);
}

/* The error without the credential's name, which it begins with: that was said, or is not to be. */
static const char *trouble_shown(const struct patient *patient, const struct error *err) {
	const char *describe = source_describe(patient->source), prefix[] = "credential ";
	size_t n = strlen(prefix), m = strlen(describe);

	if (!strncmp(err->message, prefix, n) && !strncmp(err->message + n, describe, m) &&
	    !strncmp(err->message + n + m, ": ", 2))
		return err->message + n + m + 2;
	return err->message;
}

static void remedy_credential(struct finding *finding, const struct patient *patient) {
	struct buf login = BUF_INIT(TEXT_MAX);

	if (source_login_is_over(patient->source)) {
		add_login(&login, patient);
		finding_remedy(finding, "%s", login.data ? login.data : "");
		finding->remedy.failed |= login.failed;
	} else if (source_trouble_passes(patient->source)) {
		finding_remedy(finding, "wait: the broker tries again by itself within a minute (hallpass reload: at once)");
	} else if (patient->for_operator) {
		finding_remedy(finding, "see to the credential (`credential.file` in hallpassd.yaml, GOOGLE_APPLICATION_CREDENTIALS of the broker), then hallpass reload");
	} else {
		finding_remedy(finding, "tell whoever runs the broker");
	}
	buf_fini(&login);
}

void diagnose_credential(struct finding *finding, const struct patient *patient, int64_t expires_at, int64_t now, const struct error *err) {
	const struct error *trouble = source_trouble(patient->source);
	struct buf who = BUF_INIT(TEXT_MAX);

	source_describe_to(patient->source, patient->for_operator, &who);
	if (!expires_at)
		finding_say(finding, HEALTH_FAIL, "%s gives no token: %s", who.data ? who.data : "", trouble_shown(patient, err));
	else if (trouble->code)
		finding_say(finding, HEALTH_WARN, "%s has a token for %lld s more, and gets no other: %s", who.data ? who.data : "",
			    (long long)(expires_at - now), trouble_shown(patient, trouble));
	else
		finding_say(finding, HEALTH_OK, "%s has a token for %lld s more", who.data ? who.data : "", (long long)(expires_at - now));
	if (finding->health != HEALTH_OK)
		remedy_credential(finding, patient);
	buf_fini(&who);
}

/* --- the account */

/* As IAM writes the credential. Not known: a word that nobody mistakes for one. */
static void add_member(struct buf *out, const struct patient *patient) {
	bool person = !strcmp(source_kind(patient->source), "authorized_user");
	bool federated = !strcmp(source_kind(patient->source), "external_account");

	if (patient->email && *patient->email)
		buf_addf(out, "%s:%s", person ? "user" : "serviceAccount", patient->email);
	else
		buf_adds(out, person ? "user:WHOSE-LOGIN-IT-IS" : federated ? "PRINCIPAL-OF-THE-POOL" : "serviceAccount:THE-CREDENTIALS");
}

/* The answer as JSON where it is one to a question that was taken; else the finding says why not. For google_json_free(). */
static json_t *answer_of(struct finding *finding, const struct patient *patient, const char *asked, const struct fetch_result *heard) {
	static const struct {
		const char *reason, *remedy;
	} remedies[] = {
		{ "SERVICE_DISABLED", "gcloud services enable iam.googleapis.com iamcredentials.googleapis.com" },
		{ "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
		  "give the machine's account all scopes: gcloud compute instances set-service-account INSTANCE --scopes=cloud-platform" },
	};
	struct google_error said;
	struct error err;
	json_t *json;

	if (heard->error.code) {
		finding_say(finding, HEALTH_UNKNOWN, "%s could not be asked: %s", asked, heard->error.message);
		return NULL;
	}
	if (heard->status == 200 && (json = google_json(heard->body, heard->body_len, &err)))
		return json;
	google_error_read(heard->body, heard->body_len, NULL, 0, &said);
	finding_say(finding, HEALTH_UNKNOWN, "%s was not answered: HTTP %d: %s", asked, heard->status,
		    heard->status == 200 ? err.message : said.words);
	/* To gcloud's project, to which a login belongs, nobody can add an API. */
	if (!strcmp(said.reason, "SERVICE_DISABLED") && !strcmp(source_kind(patient->source), "authorized_user") &&
	    !source_quota_header(patient->source)) {
		finding_remedy(finding, "gcloud auth application-default set-quota-project PROJECT, then hallpass reload");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (!strcmp(remedies[i].reason, said.reason))
			finding_remedy(finding, "%s%s%s", remedies[i].remedy, i == 0 && source_project(patient->source) ? " --project=" : "",
				       i == 0 && source_project(patient->source) ? source_project(patient->source) : "");
	return NULL;
}

/* Which of them are there, as "getAccessToken, signBlob". */
static size_t add_permissions(struct buf *out, const enum policy_permission *asked, size_t n, const json_t *granted, bool there) {
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = permission_name(asked[i]);

		if (list_has(granted, name) == there)
			buf_addf(out, "%s%s", found++ ? ", " : "", strrchr(name, '.') + 1);
	}
	return found;
}

void diagnose_impersonation(struct finding *finding, const struct patient *patient, const enum policy_permission *asked, size_t n_asked,
			    const struct fetch_result *heard) {
	struct buf good = BUF_INIT(TEXT_MAX), bad = BUF_INIT(TEXT_MAX), member = BUF_INIT(TEXT_MAX), word = BUF_INIT(TEXT_MAX);
	json_t *answer = answer_of(finding, patient, "what the broker may be", heard);
	const json_t *granted = json_object_get(answer, "permissions");
	size_t missing = answer ? add_permissions(&bad, asked, n_asked, granted, false) : 0;

	add_member(&member, patient);
	add_word(&word, member.data ? member.data : "");
	if (answer && !missing) {
		add_permissions(&good, asked, n_asked, granted, true);
		finding_say(finding, HEALTH_OK, "Google lets the broker use it (%s)", good.data ? good.data : "");
	} else if (answer || heard->status == 404) {
		finding_say(finding, HEALTH_FAIL, "Google does not let the broker use it%s%s%s", answer ? "; missing: " : ", or knows no such account",
			    bad.data ? bad.data : "", answer ? " (roles/iam.serviceAccountUser, which many guides name, is not enough)" : "");
		finding_remedy(finding, "gcloud iam service-accounts add-iam-policy-binding %s --member=%s --role=" TOKEN_CREATOR, finding->account,
			       word.data ? word.data : "");
	} else if (!finding->remedy.len) {
		finding_remedy(finding, "hallpass token %s asks Google for one, and is recorded", finding->account);
	}
	google_json_free(answer);
	buf_fini(&good);
	buf_fini(&bad);
	buf_fini(&member);
	buf_fini(&word);
}

/* --- who else */

static const struct power {
	const char *role, *may;
} powers[] = {
	{ TOKEN_CREATOR, "may make its tokens" },
	{ "roles/iam.serviceAccountOpenIdTokenCreator", "may make its ID tokens" },
	{ "roles/iam.workloadIdentityUser", "may make its tokens" },
	{ "roles/iam.serviceAccountKeyAdmin", "may make keys of it" },
	{ "roles/iam.serviceAccountAdmin", "may let anybody be it" },
	{ "roles/iam.serviceAccountUser", "may run machines as it" },
	{ "roles/owner", "may let anybody be it" },
	{ "roles/editor", "may run machines as it" },
};

/* NULL: nothing that makes somebody the account. What a role of one's own holds is not known from here. */
static const char *power_of(const char *role) {
	for (size_t i = 0; role && i < ARRAY_SIZE(powers); i++)
		if (!strcmp(powers[i].role, role))
			return powers[i].may;
	return role && strncmp(role, "roles/", 6) ? "has a custom role there" : NULL;
}

struct others {
	struct buf list;
	size_t n;
	bool anybody;
	const char *member, *role; /* the first of them; borrowed */
};

static void add_other(struct others *others, const char *member, const char *role, const char *may) {
	if (!strcmp(member, "allUsers") || !strcmp(member, "allAuthenticatedUsers"))
		others->anybody = true;
	if (others->n++ == 0) {
		others->member = member;
		others->role = role;
	}
	if (others->n <= SHOWN_OTHERS)
		buf_addf(&others->list, "%s%s %s", others->n > 1 ? "; " : "", member, may);
}

static void find_others(const json_t *policy, const char *ours, struct others *others) {
	const json_t *bindings = json_object_get(policy, "bindings");

	for (size_t i = 0; i < json_array_size(bindings); i++) {
		const json_t *binding = json_array_get(bindings, i), *members = json_object_get(binding, "members");
		const char *role = json_string_value(json_object_get(binding, "role")), *may = power_of(role);

		for (size_t k = 0; may && k < json_array_size(members); k++) {
			const char *member = json_string_value(json_array_get(members, k));

			if (member && strcmp(member, ours))
				add_other(others, member, role, may);
		}
	}
}

static void say_others(struct finding *finding, const struct patient *patient, const struct others *others) {
	struct buf member = BUF_INIT(TEXT_MAX), role = BUF_INIT(TEXT_MAX);
	char more[40] = "";

	if (others->n > SHOWN_OTHERS)
		snprintf(more, sizeof(more), "; and %zu more", others->n - SHOWN_OTHERS);
	if (!others->n)
		finding_say(finding, HEALTH_OK, "nobody else may use it by a role on the account itself (what project, folder and organization give is not seen here)");
	else if (!patient->for_operator)
		finding_say(finding, HEALTH_WARN, "%zu other grant%s on it past hallpass; operators see whose", others->n, others->n == 1 ? "" : "s");
	else
		finding_say(finding, others->anybody ? HEALTH_FAIL : HEALTH_WARN, "past hallpass, %s%s", others->list.data ? others->list.data : "", more);
	if (!others->n || !patient->for_operator)
		return;
	add_word(&member, others->member);
	add_word(&role, others->role);
	finding_remedy(finding, "gcloud iam service-accounts remove-iam-policy-binding %s --member=%s --role=%s", finding->account,
		       member.data ? member.data : "", role.data ? role.data : "");
	buf_fini(&member);
	buf_fini(&role);
}

void diagnose_others(struct finding *finding, const struct patient *patient, const struct fetch_result *heard) {
	json_t *answer = heard->status == 403 ? NULL : answer_of(finding, patient, "who else may use it", heard);
	struct buf member = BUF_INIT(TEXT_MAX);
	struct others others = { .list = BUF_INIT(TEXT_MAX) };

	add_member(&member, patient);
	if (answer) {
		find_others(answer, member.data ? member.data : "", &others);
		say_others(finding, patient, &others);
	} else if (heard->status == 403) {
		finding_say(finding, HEALTH_UNKNOWN,
			    "who else may use it could not be seen: the broker's credential lacks iam.serviceAccounts.getIamPolicy (roles/iam.securityReviewer has it)");
	}
	google_json_free(answer);
	buf_fini(&member);
	buf_fini(&others.list);
}
