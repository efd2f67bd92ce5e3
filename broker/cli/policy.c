/* hallpass policy check: what is wrong with policy files. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "broker/cli/cli.h"
#include "broker/file.h"
#include "broker/zonefile.h"

/* What would be in the way of IAM alone is of no concern here, unless somebody asks for policies that IAM takes, too. */
static void promote_notes(struct policy_report *report) {
	for (size_t i = 0; i < report->n; i++)
		if (report->findings[i].severity == POLICY_NOTE) {
			report->findings[i].severity = POLICY_WARNING;
			report->n_warnings++;
		}
}

static size_t count_warnings(const struct policy_report *report) {
	return report->n_warnings + report->more_warnings;
}

json_t *cli_findings_json(const struct policy_report *report) {
	json_t *list = json_array();

	for (size_t i = 0; i < report->n; i++) {
		const struct policy_finding *f = &report->findings[i];

		if (f->severity == POLICY_NOTE)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s*}", "severity",
						      f->severity == POLICY_ERROR ? "error" : "warning", "id", f->id, "line",
						      (int)f->line, "column", (int)f->column, "message", f->message, "fix",
						      f->fix));
	}
	return list;
}

static void print_count(const char *before, size_t n, const char *what) {
	printf("%s%zu %s%s", before, n, what, n == 1 ? "" : "s");
}

static void print_result(const struct cli *cli, const char *path, struct str text, const struct policy_report *report,
			 const struct policy *policy, bool good, const struct error *err) {
	struct buf out = BUF_INIT(1 << 20);
	struct policy_stats stats;
	const char *verdict = good ? ": good" : ": not good enough";

	policy_report_print(report, path, text, cli->color, &out);
	if (out.data)
		fputs(out.data, stdout);
	buf_fini(&out);
	if (!policy) {
		printf("%s%s: refused%s%s%s\n", out_color(cli, COLOR_RED), out_safe(path), out_color(cli, COLOR_NONE),
		       report->n_errors ? "" : ": ", report->n_errors ? "" : out_safe(err->message));
		return;
	}
	policy_stats(policy, &stats);
	printf("%s%s%s%s", out_color(cli, good ? COLOR_GREEN : COLOR_RED), out_safe(path), verdict, out_color(cli, COLOR_NONE));
	print_count("  ", stats.bindings, "binding");
	print_count(", ", stats.deny_rules, "deny rule");
	print_count(", ", stats.groups, "group");
	print_count(", ", stats.tests, "passed test");
	if (stats.invariants)
		print_count(", ", stats.invariants, "invariant");
	print_count(", ", count_warnings(report), "warning");
	putchar('\n');
}

struct policy *policy_of_file(struct cli *cli, const char *path, char sha256[static SHA256_HEX]) {
	struct policy_report report = { 0 };
	struct buf findings = BUF_INIT(1 << 20);
	struct policy *policy = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t len = 0;

	if (file_read(path, POLICY_MAX_BYTES, &text, &len, &err) < 0) {
		out_error(cli, err.code, "failed", err.message, NULL);
		return NULL;
	}
	sha256_hex(text, len, sha256);
	if (policy_load(path, (struct str){ text, len }, &zonefile_host, (int64_t)time(NULL), &policy, &report, &err) < 0) {
		policy_report_print(&report, path, (struct str){ text, len }, cli->color_err, &findings);
		if (findings.data && !cli->json)
			fputs(findings.data, stderr);
		out_error(cli, ERR_INVALID, "refused", err.message, "a policy that hallpassd would refuse cannot be compared");
	}
	buf_fini(&findings);
	policy_report_fini(&report);
	free(text);
	return policy;
}

static int check_file(struct cli *cli, const char *path) {
	struct policy_report report = { 0 };
	struct policy *policy = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t len = 0;
	json_t *json;
	bool good;
	int r = file_read(path, POLICY_MAX_BYTES, &text, &len, &err);

	if (r == 0)
		r = policy_load(path, (struct str){ text, len }, &zonefile_host, (int64_t)time(NULL), &policy, &report, &err);
	if (cli->values[OPT_PORTABLE])
		promote_notes(&report);
	good = r == 0 && !(cli->values[OPT_STRICT] && count_warnings(&report));
	if (cli->json) {
		json = json_pack("{s:s, s:b, s:o, s:s*}", "file", path, "good", good, "findings", cli_findings_json(&report), "error",
				 r < 0 ? err.message : NULL);
		out_json(json);
		json_decref(json);
	} else {
		print_result(cli, path, (struct str){ text ? text : "", len }, &report, policy, good, &err);
	}
	policy_report_fini(&report);
	policy_unref(policy);
	free(text);
	return good ? 0 : -1;
}

int cmd_policy_check(struct cli *cli) {
	int r = 0;

	for (size_t i = 0; i < cli->n_args; i++)
		r |= check_file(cli, cli->args[i]);
	return r ? API_EXIT_CONFIG : API_EXIT_OK;
}
