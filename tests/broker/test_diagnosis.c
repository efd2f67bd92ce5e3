/* diagnosis: from what was heard to words and a remedy that can be pasted; whatever Google, or who plays it, says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "broker/diagnosis.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"
#include "tests/lib/sourcebed.h"

#define SA "sa@p.iam.gserviceaccount.com"
#define LOGIN "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\"%s}"
#define GRANT(member) "gcloud iam service-accounts add-iam-policy-binding " SA " --member=" member " --role=roles/iam.serviceAccountTokenCreator"
#define DENIED(message) "{\"error\":{\"code\":403,\"message\":\"" message "\",\"status\":\"PERMISSION_DENIED\"}}"
#define INFO(reason) "{\"error\":{\"code\":403,\"message\":\"no\",\"status\":\"PERMISSION_DENIED\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" reason "\",\"domain\":\"googleapis.com\"}]}}"

static const enum policy_permission both[] = { PERMISSION_GET_ACCESS_TOKEN, PERMISSION_GET_OPEN_ID_TOKEN };
static struct finding f;

static struct fetch_result heard(int status, const char *body) {
	return (struct fetch_result){ .status = status, .body = body, .body_len = strlen(body) };
}

static void assert_finding(enum health health, const char *says, const char *remedy) {
	json_t *json = finding_json(&f);

	assert_non_null(json);
	if (f.health != health || !f.text.len || !strstr(text_of(json, "text"), says) || strcmp(text_of(json, "remedy"), remedy))
		fail_msg("%d: %s = %s", f.health, text_of(json, "text"), text_of(json, "remedy"));
	json_decref(json);
	finding_fini(&f);
}

/* A login, whose account is known or not. */
static struct patient login(struct bed *b, const char *email, bool for_operator) {
	char text[400];

	snprintf(text, sizeof(text), LOGIN, "");
	if (!b->source && !bed_open_text(b, text))
		fail_msg("%s", b->error.message);
	return (struct patient){ .source = b->source, .email = email, .way = "through no proxy", .for_operator = for_operator, .as_broker = true };
}

static void test_diagnosis_of_impersonation(void **state) {
	static const struct {
		const char *email;
		int status;
		const char *body;
		enum health health;
		const char *says, *remedy;
	} cases[] = {
		{ "a@x.org", 200, "{\"permissions\":[\"iam.serviceAccounts.getOpenIdToken\",\"iam.serviceAccounts.getAccessToken\"]}", HEALTH_OK,
		  "lets the broker use it (getAccessToken, getOpenIdToken)", "" },
		{ "a@x.org", 200, "{}", HEALTH_FAIL, "missing: getAccessToken, getOpenIdToken (", GRANT("user:a@x.org") },
		{ "a@x.org", 200, "{\"permissions\":[\"iam.serviceAccounts.getAccessToken\"]}", HEALTH_FAIL, "missing: getOpenIdToken (", GRANT("user:a@x.org") },
		{ "a@x.org", 200, "{\"permissions\":\"all\"}", HEALTH_FAIL, "missing: getAccessToken, ", GRANT("user:a@x.org") },
		{ "a@x.org", 200, "{\"permissions\":[7,null,{}]}", HEALTH_FAIL, "missing: getAccessToken, ", GRANT("user:a@x.org") },
		{ NULL, 200, "{}", HEALTH_FAIL, "missing", GRANT("user:WHOSE-LOGIN-IT-IS") },
		{ "a';rm -rf ~;'@x.org", 200, "{}", HEALTH_FAIL, "missing", GRANT("'user:a'\\'';rm -rf ~;'\\''@x.org'") },
		{ "a@x.org", 404, "{\"error\":{\"code\":404,\"message\":\"Unknown service account\",\"status\":\"NOT_FOUND\"}}", HEALTH_FAIL, "knows no such account",
		  GRANT("user:a@x.org") },
		{ "a@x.org", 403, INFO("SERVICE_DISABLED"), HEALTH_UNKNOWN, "HTTP 403", "gcloud auth application-default set-quota-project PROJECT, then hallpass reload" },
		{ "a@x.org", 403, INFO("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), HEALTH_UNKNOWN, "HTTP 403",
		  "give the machine's account all scopes: gcloud compute instances set-service-account INSTANCE --scopes=cloud-platform" },
		{ "a@x.org", 503, "<html>", HEALTH_UNKNOWN, "HTTP 503", "hallpass token " SA " asks Google for one, and is recorded" },
		{ "a@x.org", 200, "<html>", HEALTH_UNKNOWN, "was not answered: HTTP 200: ", "hallpass token " SA " asks Google for one, and is recorded" },
		{ "a@x.org", 200, "[]", HEALTH_UNKNOWN, "was not answered", "hallpass token " SA " asks Google for one, and is recorded" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_result result = heard(cases[i].status, cases[i].body);
		struct patient patient = login(*state, cases[i].email, true);

		finding_init(&f, "impersonation", SA);
		diagnose_impersonation(&f, &patient, both, 2, &result);
		assert_finding(cases[i].health, cases[i].says, cases[i].remedy);
	}
}

/* Where it is a project of the caller's own that has no API, it is that one which gets it. */
static void test_diagnosis_of_an_api_that_is_not_enabled(void **state) {
	const struct fetch_result result = heard(403, INFO("SERVICE_DISABLED"));
	struct bed *b = *state;
	char text[400];
	struct patient patient;

	snprintf(text, sizeof(text), LOGIN, ",\"quota_project_id\":\"acme-ml\"");
	assert_true(bed_open_text(b, text));
	patient = login(b, "a@x.org", true);
	finding_init(&f, "impersonation", SA);
	diagnose_impersonation(&f, &patient, both, 2, &result);
	assert_finding(HEALTH_UNKNOWN, "HTTP 403", "gcloud services enable iam.googleapis.com iamcredentials.googleapis.com --project=acme-ml");
}

static void test_diagnosis_of_impersonation_without_an_answer(void **state) {
	struct patient patient = login(*state, "a@x.org", true);
	struct fetch_result result = { .body = "", .error = { ERR_UPSTREAM, "no way" }, .trouble = FETCH_NO_CONNECTION };

	finding_init(&f, "impersonation", SA);
	diagnose_impersonation(&f, &patient, both, 2, &result);
	assert_finding(HEALTH_UNKNOWN, "could not be asked: no way", "hallpass token " SA " asks Google for one, and is recorded");
	finding_init(&f, "others", SA);
	diagnose_others(&f, &patient, &result);
	assert_finding(HEALTH_UNKNOWN, "could not be asked: no way", "");
}

#define BINDING(role, members) "{\"role\":\"" role "\",\"members\":[" members "]}"
#define POLICY(bindings) "{\"version\":3,\"etag\":\"x\",\"bindings\":[" bindings "]}"
#define CREATOR "roles/iam.serviceAccountTokenCreator"
#define TAKE_AWAY(member, role) "gcloud iam service-accounts remove-iam-policy-binding " SA " --member=" member " --role=" role

static void test_diagnosis_of_others(void **state) {
	static const struct {
		bool for_operator;
		int status;
		const char *body;
		enum health health;
		const char *says, *remedy;
	} cases[] = {
		{ true, 200, "{}", HEALTH_OK, "nobody else", "" },
		{ true, 200, POLICY(BINDING(CREATOR, "\"user:a@x.org\"")), HEALTH_OK, "nobody else", "" }, /* that is the broker */
		{ true, 200, POLICY(BINDING("roles/viewer", "\"user:b@x.org\"")), HEALTH_OK, "nobody else", "" },
		{ true, 200, POLICY(BINDING(CREATOR, "\"user:a@x.org\",\"user:b@x.org\"")), HEALTH_WARN, "past hallpass, user:b@x.org may make its tokens",
		  TAKE_AWAY("user:b@x.org", CREATOR) },
		{ true, 200, POLICY(BINDING("roles/iam.serviceAccountKeyAdmin", "\"group:g@x.org\"") "," BINDING("projects/p/roles/mine", "\"user:c@x.org\"")), HEALTH_WARN,
		  "group:g@x.org may make keys of it; user:c@x.org has a custom role there", TAKE_AWAY("group:g@x.org", "roles/iam.serviceAccountKeyAdmin") },
		{ true, 200, POLICY(BINDING(CREATOR, "\"allUsers\"")), HEALTH_FAIL, "allUsers may make its tokens", TAKE_AWAY("allUsers", CREATOR) },
		{ true, 200, POLICY(BINDING(CREATOR, "\"user:$(id)@x.org\"")), HEALTH_WARN, "$(id)", TAKE_AWAY("'user:$(id)@x.org'", CREATOR) },
		{ false, 200, POLICY(BINDING(CREATOR, "\"user:b@x.org\",\"user:c@x.org\"")), HEALTH_WARN, "2 other grants on it past hallpass; operators see whose", "" },
		{ true, 200, POLICY(BINDING(CREATOR, "\"user:1@x\",\"user:2@x\",\"user:3@x\",\"user:4@x\",\"user:5@x\",\"user:6@x\",\"user:7@x\",\"user:8@x\",\"user:9@x\"")),
		  HEALTH_WARN, "user:8@x may make its tokens; and 1 more", TAKE_AWAY("user:1@x", CREATOR) },
		{ true, 200, "{\"bindings\":[7,{\"role\":7,\"members\":[7]},{\"role\":\"" CREATOR "\",\"members\":{}}]}", HEALTH_OK, "nobody else", "" },
		{ true, 403, DENIED("no"), HEALTH_UNKNOWN, "could not be seen: the broker's credential lacks iam.serviceAccounts.getIamPolicy", "" },
		{ true, 404, DENIED("none"), HEALTH_UNKNOWN, "was not answered: HTTP 404", "" },
		{ true, 200, "{", HEALTH_UNKNOWN, "was not answered: HTTP 200", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_result result = heard(cases[i].status, cases[i].body);
		struct patient patient = login(*state, "a@x.org", cases[i].for_operator);

		finding_init(&f, "others", SA);
		diagnose_others(&f, &patient, &result);
		assert_finding(cases[i].health, cases[i].says, cases[i].remedy);
	}
}

static void test_diagnosis_of_clocks(void **state) {
	static const char set[] = "set the broker's clock, and keep it right: timedatectl set-ntp true";
	static const struct {
		const char *date; /* asked at 08:00:00, heard at 08:00:02 */
		enum health health;
		const char *says, *remedy;
	} cases[] = {
		{ "Fri, 15 Jan 2027 08:00:00 GMT", HEALTH_OK, "agree", "" },
		{ "Fri, 15 Jan 2027 08:00:03 GMT", HEALTH_OK, "agree", "" },
		{ "Fri, 15 Jan 2027 07:59:59 GMT", HEALTH_OK, "agree", "" },
		{ "Fri, 15 Jan 2027 08:00:06 GMT", HEALTH_OK, "4 s behind Google's", "" },
		{ "Fri, 15 Jan 2027 08:00:08 GMT", HEALTH_WARN, "6 s behind Google's, more than limits.clockAllowance", set },
		{ "Fri, 15 Jan 2027 07:59:00 GMT", HEALTH_WARN, "60 s ahead of Google's, more than", set },
		{ "Fri, 15 Jan 2027 07:54:00 GMT", HEALTH_FAIL, "360 s ahead of Google's, which takes no assertion", set },
		{ "Thu, 15 Jan 2099 08:00:00 GMT", HEALTH_FAIL, "behind Google's", set },
		{ "yesterday", HEALTH_UNKNOWN, "says what time it is", "" },
		{ NULL, HEALTH_UNKNOWN, "says what time it is", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		finding_init(&f, "google-clock", NULL);
		diagnose_clock(&f, cases[i].date, BED_NOW, BED_NOW + 2, 5);
		assert_finding(cases[i].health, cases[i].says, cases[i].remedy);
	}
}

/* An environment's proxy may be any bytes. */
static void test_diagnosis_is_json_whatever_is_in_it(void **state) {
	struct patient patient = login(*state, NULL, true);
	struct fetch_result result = heard(404, "");

	patient.way = "through the proxy \xff\xc3 (HTTPS_PROXY)";
	finding_init(&f, "upstream", NULL);
	diagnose_upstream(&f, &patient, "https://h/", &result, 12);
	assert_finding(HEALTH_OK, "through the proxy ?? (HTTPS_PROXY)", "");
}

static void test_diagnosis_of_the_way(void **state) {
	static const struct {
		enum fetch_trouble trouble;
		const char *remedy; /* a piece of it */
	} cases[] = {
		{ FETCH_NO_NAME, "DNS" }, { FETCH_NO_CONNECTION, "firewall" }, { FETCH_NO_TRUST, "`upstream.caFile: FILE.pem`" },
		{ FETCH_NO_PROXY, "curl -v -x PROXY" }, { FETCH_NO_TIME, "`upstream.proxy`" }, { FETCH_OTHER_TROUBLE, "log" },
	};
	struct patient patient = login(*state, NULL, true);
	struct fetch_result result = heard(404, "");

	finding_init(&f, "upstream", NULL);
	diagnose_upstream(&f, &patient, "https://h/", &result, 12);
	assert_finding(HEALTH_OK, "https://h/ answers in 12 ms, through no proxy", "");
	result.status = 503;
	finding_init(&f, "upstream", NULL);
	diagnose_upstream(&f, &patient, "https://h/", &result, 12);
	assert_finding(HEALTH_WARN, "in trouble", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		result = (struct fetch_result){ .body = "", .error = { ERR_UPSTREAM, "what curl says" }, .trouble = cases[i].trouble };
		finding_init(&f, "upstream", NULL);
		diagnose_upstream(&f, &patient, "https://h/", &result, 12);
		assert_int_equal(f.health, HEALTH_FAIL);
		assert_non_null(strstr(f.text.data, "https://h/ cannot be reached, through no proxy: what curl says"));
		assert_non_null(strstr(f.remedy.data, cases[i].remedy));
		finding_fini(&f);
	}
}

/* Each kind of credential by IAM's name for it, and by whose hand a login is renewed. */
static void test_diagnosis_of_credentials(void **state) {
	struct bed *b = *state;
	struct patient patient = login(b, NULL, true);
	char *file;

	finding_init(&f, "credential", NULL);
	diagnose_credential(&f, &patient, BED_NOW + 60, BED_NOW, &(struct error){ 0 });
	assert_finding(HEALTH_OK, "has a token for 60 s more", "");
	bed_reply(b, "POST /token", 400, NULL, "{\"error\":\"invalid_grant\",\"error_subtype\":\"invalid_rapt\",\"error_description\":\"reauth\"}");
	source_unref(b->source);
	b->source = NULL;
	file = bed_write(b, "application_default_credentials.json", "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\","
								    "\"refresh_token\":\"r\",\"token_uri\":\"$URL/token\"}");
	if (!bed_open(b, (struct source_options){ .file = file }))
		fail_msg("%s", b->error.message);
	bed_ask(b);
	patient.source = b->source;
	finding_init(&f, "credential", NULL);
	diagnose_credential(&f, &patient, 0, BED_NOW, &b->error);
	assert_int_equal(f.health, HEALTH_FAIL);
	assert_non_null(strstr(f.text.data, "gives no token: POST http"));
	assert_non_null(strstr(f.remedy.data, b->dir));
	assert_non_null(strstr(f.remedy.data, " gcloud auth application-default login && hallpass reload"));
	finding_fini(&f);
	/* Not the operator: neither file nor directory; not the broker's user: as whom. */
	patient.for_operator = patient.as_broker = false;
	patient.broker_uid = 998;
	finding_init(&f, "credential", NULL);
	diagnose_credential(&f, &patient, 0, BED_NOW, &b->error);
	assert_null(strstr(f.text.data, b->dir));
	assert_string_equal(f.remedy.data, "as the broker's user (uid 998): gcloud auth application-default login && hallpass reload");
	finding_fini(&f);
	free(file);
}

/* Nobody is sent to look at a credential that is good. */
static void test_diagnosis_of_trouble_that_passes(void **state) {
	struct bed *b = *state;
	char *file = bed_write(b, "login.json", "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\","
						"\"token_uri\":\"$URL/token\"}");
	struct patient patient = { .way = "through no proxy", .for_operator = true };

	bed_reply(b, "POST /token", 503, NULL, "busy");
	if (!bed_open(b, (struct source_options){ .file = file }))
		fail_msg("%s", b->error.message);
	bed_ask(b);
	patient.source = b->source;
	free(file);
	finding_init(&f, "credential", NULL);
	diagnose_credential(&f, &patient, 0, BED_NOW, &b->error);
	assert_finding(HEALTH_FAIL, "/token: HTTP 503: ", "wait: the broker tries again by itself within a minute (hallpass reload: at once)");
}

static void test_diagnosis_names_each_kind_of_credential(void **state) {
	static const struct {
		const char *file, *member;
	} cases[] = {
		{ "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":\"$URL/v1/projects/-/serviceAccounts/b@p.iam.gserviceaccount.com:generateAccessToken\","
		  "\"source_credentials\":{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\"}}",
		  "serviceAccount:b@p.iam.gserviceaccount.com" },
		{ "{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/x\",\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"token_url\":\"$URL/v1/token\","
		  "\"credential_source\":{\"file\":\"$DIR/t\"}}", "PRINCIPAL-OF-THE-POOL" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_result result = heard(200, "{}");
		struct patient patient = { .way = "", .for_operator = true };
		char grant[400];

		source_unref(b->source);
		b->source = NULL;
		if (!bed_open_text(b, cases[i].file))
			fail_msg("%s", b->error.message);
		patient.source = b->source;
		patient.email = source_email(b->source);
		snprintf(grant, sizeof(grant), "gcloud iam service-accounts add-iam-policy-binding " SA " --member=%s --role=roles/iam.serviceAccountTokenCreator",
			 cases[i].member);
		finding_init(&f, "impersonation", SA);
		diagnose_impersonation(&f, &patient, both, 1, &result);
		assert_finding(HEALTH_FAIL, "missing: getAccessToken (", grant);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_diagnosis_of_impersonation, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_an_api_that_is_not_enabled, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_impersonation_without_an_answer, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_others, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_clocks, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_is_json_whatever_is_in_it, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_the_way, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_credentials, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_of_trouble_that_passes, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(test_diagnosis_names_each_kind_of_credential, bed_setup, bed_teardown),
	};

	cmocka_set_test_filter(getenv("HALLPASS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
