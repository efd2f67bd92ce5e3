/* hallpass policy replay: recorded requests decided again under another policy. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "broker/audit/reader.h"
#include "broker/cli/cli.h"
#include "broker/cli/tally.h"
#include "hallpass/cleanup.h"
#include "hallpass/json.h"

#define MAX_LINES 25	/* of a table; -v prints all */
#define MAX_UNPROVEN 16 /* policies of the past that could not be had, told one by one */

/* What an upshot is called. */
static const struct change_words {
	const char *id;	 /* for programs */
	const char *would; /* of so many … N would now … */
	bool of_refusals;
	enum color color;
} change_words[N_REPLAY_CHANGES] = {
	[REPLAY_DENIED] = { "denied", "be denied", false, COLOR_RED },
	[REPLAY_ALLOWED] = { "allowed", "be allowed", true, COLOR_GREEN },
	[REPLAY_SHORTER] = { "shorter", "live shorter", false, COLOR_YELLOW },
	[REPLAY_LONGER] = { "longer", "live longer", false, COLOR_YELLOW },
	[REPLAY_SCOPES] = { "scopes", "have other scopes", false, COLOR_YELLOW },
	[REPLAY_BINDING] = { "binding", "come by a binding of another name, and be the same otherwise", false, COLOR_DIM },
};

struct run {
	struct cli *cli;
	const struct policy *policy;
	char sha256[SHA256_HEX], dir[1024];
	int64_t since, until;
	struct replay *replay;
	struct tally tally;
	uint64_t next_index; /* what has a smaller number came before */
	int64_t first, last; /* of what was looked at; 0: nothing */
	size_t issued, allowed, denied, undecided; /* allowed: but no token came of it */
	size_t unfaithful, old, cut;
	struct unproven {
		char policy[SHA256_HEX];
		struct error err;
		size_t n;
	} unproven[MAX_UNPROVEN];
	size_t n_unproven, unproven_more;
};

/* --- words */

static void add_time(struct buf *out, int64_t at) {
	time_t t = (time_t)at;
	struct tm tm;
	char text[64];

	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		buf_adds(out, text);
}

static void add_scopes(struct buf *out, const char *what, const char *const *list, size_t n, const char *const *without, size_t n_without) {
	for (size_t i = 0; i < n; i++) {
		bool in_both = false;

		for (size_t k = 0; k < n_without; k++)
			in_both |= !strcmp(list[i], without[k]);
		if (!in_both)
			buf_addf(out, "%s%s%s", out->len ? ", " : "", what, list[i]);
	}
}

/* "train-dev: condition is false (Office hours)" */
static void add_verdict(struct buf *out, const struct replay_answer *a) {
	const struct decision *d = &a->decision;

	if (a->allow) {
		buf_addf(out, "by %s", d->rule);
		return;
	}
	if (d->rule)
		buf_addf(out, "%s: ", d->rule);
	buf_adds(out, query_words(a->reason));
	if (d->title && !d->allow)
		buf_addf(out, " (%s)", d->title);
}

/* What makes requests of one change alike. Lifetimes are told as a range instead. */
static void add_why(struct buf *out, enum replay_change change, const struct recorded *asked, const struct replay_answer *now) {
	const struct decision *d = &now->decision;

	if (change == REPLAY_SCOPES) {
		add_scopes(out, "gains ", d->scopes, d->n_scopes, asked->granted, asked->n_granted);
		add_scopes(out, "loses ", asked->granted, asked->n_granted, d->scopes, d->n_scopes);
	} else if (change != REPLAY_SHORTER && change != REPLAY_LONGER) {
		add_verdict(out, now);
	}
}

/* --- one by one, with -v */

static void add_answer(struct buf *out, bool allowed, const char *binding, int64_t lifetime_s, const char *reason) {
	if (allowed) {
		buf_addf(out, "allowed by %s for ", binding);
		out_span(lifetime_s, out);
	} else {
		buf_addf(out, "denied%s%s: %s", *binding ? " by " : "", binding, query_words(reason));
	}
}

static void add_decision(struct buf *out, const struct replay_answer *a) {
	add_answer(out, a->allow, a->decision.rule ? a->decision.rule : "", a->decision.lifetime_s, a->reason);
}

/* "2026-11-20 09:00  r-12  user:…  ACCOUNT", and below it what became of it. */
static void show_text(const struct run *run, const struct recorded *asked, const struct replayed *r) {
	struct buf head = BUF_INIT(8192), text = BUF_INIT(65536);

	add_time(&head, asked->query.now);
	buf_addf(&head, "  %s  %s  %s", asked->request, asked->query.principal, asked->query.service_account);
	buf_adds(&text, "was ");
	add_answer(&text, asked->allowed, asked->binding, asked->lifetime_s, asked->reason);
	if (r->faith == REPLAY_UNFAITHFUL) {
		buf_adds(&text, "; under the policy of then it would have been ");
		add_decision(&text, &r->again);
	} else {
		buf_adds(&text, "; now ");
		if (r->now.decision.allow)
			add_decision(&text, &r->now);
		else
			policy_denial_message(run->policy, &asked->query, &r->now.decision, &text);
	}
	printf("%s\n    %s\n", out_safe(head.data), out_safe(text.data));
	buf_fini(&head);
	buf_fini(&text);
}

static json_t *answer_json(bool allowed, const char *binding, const char *reason, int64_t lifetime_s, const char *bound_by) {
	json_t *json = json_pack("{s:s}", "decision", allowed ? "ALLOW" : "DENY");

	if (*binding)
		json_object_set_new(json, "binding", json_string(binding));
	if (!allowed)
		json_object_set_new(json, "reason", json_string(reason));
	if (allowed) {
		json_object_set_new(json, "lifetime", json_integer((json_int_t)lifetime_s));
		json_object_set_new(json, "boundBy", json_string(bound_by));
	}
	return json;
}

static json_t *decision_json(const struct replay_answer *a) {
	const struct decision *d = &a->decision;

	return answer_json(a->allow, d->rule ? d->rule : "", a->reason, d->lifetime_s, bound_by_name(d->bound_by));
}

static json_t *changes_json(unsigned changes) {
	json_t *list = json_array();

	for (size_t i = 0; i < N_REPLAY_CHANGES; i++)
		if (changes & 1u << i)
			json_array_append_new(list, json_string(change_words[i].id));
	return list;
}

static void show_json(const struct recorded *asked, const struct replayed *r) {
	bool faithful = r->faith != REPLAY_UNFAITHFUL;
	json_t *json = json_pack("{s:o, s:b, s:o, s:o, s:o}", "changes", changes_json(r->changes), "faithful", faithful, "was",
				 answer_json(asked->allowed, asked->binding, asked->reason, asked->lifetime_s, asked->bound_by), "now",
				 decision_json(&r->now), "record", json_incref(asked->record));
	char *text;

	if (!faithful)
		json_object_set_new(json, "again", decision_json(&r->again));
	text = json_dumps(json, JSON_COMPACT);
	if (text)
		puts(text);
	free(text);
	json_decref(json);
}

static void show_one(const struct run *run, const struct recorded *asked, const struct replayed *r) {
	if (!run->cli->values[OPT_VERBOSE] || (!r->changes && r->faith != REPLAY_UNFAITHFUL))
		return;
	if (run->cli->json)
		show_json(asked, r);
	else
		show_text(run, asked, r);
}

/* --- the record */

static void count_unproven(struct run *run, const struct recorded *asked, const char *why) {
	struct unproven *u = run->unproven;

	while (u < run->unproven + run->n_unproven && strcmp(u->policy, asked->policy))
		u++;
	if (u == run->unproven + MAX_UNPROVEN) {
		run->unproven_more++;
		return;
	}
	if (u == run->unproven + run->n_unproven) {
		run->n_unproven++;
		snprintf(u->policy, sizeof(u->policy), "%s", asked->policy);
		error_set(&u->err, ERR_NOT_FOUND, "%s", why);
	}
	u->n++;
}

static void count(struct run *run, const struct recorded *asked, const struct replayed *r) {
	struct buf why = BUF_INIT(16384);

	run->issued += asked->type == RECORD_ISSUED;
	run->allowed += asked->allowed && asked->type != RECORD_ISSUED;
	run->denied += !asked->allowed;
	run->old += (asked->lacks & RECORDED_LACKS_INSTANT) != 0;
	run->cut += (asked->lacks & RECORDED_LACKS_LISTS) != 0;
	run->unfaithful += r->faith == REPLAY_UNFAITHFUL;
	if (r->faith == REPLAY_UNPROVEN)
		count_unproven(run, asked, r->why);
	for (enum replay_change i = 0; i < N_REPLAY_CHANGES; i++) {
		if (!(r->changes & 1u << i))
			continue;
		buf_reset(&why);
		add_why(&why, i, asked, &r->now);
		tally_add(&run->tally, i, asked, &r->now.decision, why.len ? why.data : "");
	}
	buf_fini(&why);
}

static void consider(struct str text, uint64_t index, void *arg) {
	struct run *run = arg;
	struct replayed replayed;
	struct recorded asked;
	enum recorded_kind kind;

	if (index < run->next_index)
		return; /* once more, after a failure of the disk */
	run->next_index = index + 1;
	kind = recorded_read(text, &asked);
	if (kind != RECORDED_OTHER && asked.time.s >= run->since && asked.time.s < run->until) {
		run->first = run->first ? run->first : asked.time.s;
		run->last = asked.time.s;
		run->undecided += kind == RECORDED_UNDECIDED;
		if (kind == RECORDED_DECIDED) {
			replay_one(run->replay, &asked, &replayed);
			count(run, &asked, &replayed);
			show_one(run, &asked, &replayed);
		}
	}
	recorded_fini(&asked);
}

/* --- the upshot, for people */

/* " in 90 days" */
static void add_period(const struct run *run, struct buf *out) {
	int64_t span = run->last - run->first;

	if (span < 60)
		return;
	buf_adds(out, " in ");
	if (span >= 2 * 86400)
		buf_addf(out, "%lld days", (long long)((span + 43200) / 86400)); /* the nearest: a second more is no third day */
	else
		out_span(span, out);
}

static void add_range(struct buf *out, int64_t min, int64_t max) {
	out_span(min, out);
	if (max != min) {
		buf_adds(out, " to ");
		out_span(max, out);
	}
}

static void print_group(struct table *t, const struct tally_group *g) {
	struct buf count = BUF_INIT(64), when = BUF_INIT(256), why = BUF_INIT(16384);

	out_number(g->count, &count);
	add_time(&when, g->first);
	if (g->last != g->first) {
		buf_adds(&when, " to ");
		add_time(&when, g->last);
	}
	buf_adds(&why, g->why);
	if (g->change == REPLAY_SHORTER || g->change == REPLAY_LONGER) {
		add_range(&why, g->now_min, g->now_max);
		buf_adds(&why, " instead of ");
		add_range(&why, g->was_min, g->was_max);
		buf_addf(&why, ", bound by %s", bound_by_name(g->bound_by));
	}
	table_add(t, change_words[g->change].color, count.data);
	table_add(t, COLOR_NONE, g->who);
	table_add(t, COLOR_BOLD, g->account);
	table_add(t, COLOR_NONE, g->binding);
	table_add(t, COLOR_DIM, when.data ? when.data : "");
	table_add(t, COLOR_NONE, why.data ? why.data : "");
	buf_fini(&count);
	buf_fini(&when);
	buf_fini(&why);
}

/* The largest; of the rest only how many. */
static void print_groups(const struct run *run, enum replay_change change, struct table *t) {
	size_t lines = 0, more = 0, requests = 0;
	struct buf rest = BUF_INIT(256);

	for (size_t i = 0; i < run->tally.n; i++) {
		const struct tally_group *g = &run->tally.groups[i];

		if (g->change != change)
			continue;
		if (lines++ < MAX_LINES || run->cli->values[OPT_VERBOSE]) {
			print_group(t, g);
		} else {
			more++;
			requests += g->count;
		}
	}
	table_print(t);
	if (!more)
		return;
	out_count(more, "line more, of ", "lines more, of ", &rest);
	out_count(requests, "request", "requests", &rest);
	printf("%s… %s (-v or --json)%s\n", out_color(run->cli, COLOR_DIM), rest.data, out_color(run->cli, COLOR_NONE));
	buf_fini(&rest);
}

static void print_change(const struct run *run, enum replay_change change) {
	static const char *const heads[] = { "COUNT", "WHO", "ACCOUNT", "BINDING", "WHEN", "WHY" };
	static struct table table;
	const struct change_words *w = &change_words[change];
	size_t n = run->tally.count[change], issued = run->tally.issued[change];
	struct buf line = BUF_INIT(1024);

	if (!n)
		return;
	buf_adds(&line, "of ");
	if (w->of_refusals)
		out_count(run->denied, "refusal", "refusals", &line);
	else
		out_count(run->issued, "issuance", "issuances", &line);
	add_period(run, &line);
	buf_addc(&line, ' ');
	out_number(w->of_refusals ? n : issued, &line);
	buf_addf(&line, " would now %s", w->would);
	if (!w->of_refusals && n > issued) {
		buf_adds(&line, ", and of ");
		out_count(run->allowed, "allowed request that got no token ", "allowed requests that got no token ", &line);
		out_number(n - issued, &line);
	}
	printf("%s%s%s:\n", out_color(run->cli, w->color), line.data, out_color(run->cli, COLOR_NONE));
	buf_fini(&line);
	table_init(&table, run->cli, heads, ARRAY_SIZE(heads));
	print_groups(run, change, &table);
	putchar('\n');
}

/* A sentence of what was not compared, or not as well as it might; n 0: nothing to say. */
static void print_note(const struct run *run, size_t n, const char *one, const char *many) {
	struct buf line = BUF_INIT(4096);

	if (!n)
		return;
	out_count(n, one, many, &line);
	printf("%s", out_color(run->cli, COLOR_DIM));
	out_folded(stdout, 0, out_safe(line.data));
	printf("%s", out_color(run->cli, COLOR_NONE));
	buf_fini(&line);
}

static void print_unproven(const struct run *run, const struct unproven *u) {
	char one[1024], many[1024];

	snprintf(one, sizeof(one), "request is compared with its record alone: %s", u->err.message);
	snprintf(many, sizeof(many), "requests are compared with their records alone: %s", u->err.message);
	print_note(run, u->n, one, many);
}

static void print_notes(const struct run *run) {
	print_note(run, run->unfaithful,
		   "request does not come out as it was recorded even under the policy of then, so nothing is said of it (-v shows it)",
		   "requests do not come out as they were recorded even under the policies of then, so nothing is said of them (-v shows them)");
	for (size_t i = 0; i < run->n_unproven; i++)
		print_unproven(run, &run->unproven[i]);
	print_note(run, run->unproven_more, "request of further policies is compared with its record alone, too",
		   "requests of further policies are compared with their records alone, too");
	print_note(run, run->old, "record is of an earlier hallpassd, which did not write down at which instant it decided, under which limits",
		   "records are of an earlier hallpassd, which did not write down at which instant it decided, under which limits");
	print_note(run, run->cut, "record was cut, since it was too long: it may lack scopes", "records were cut, since they were too long: they may lack scopes");
	print_note(run, run->undecided, "request came to no policy: nobody knew its caller, or who asked too often",
		   "requests came to no policy: nobody knew their callers, or they asked too often");
	print_note(run, run->tally.left_out, "request more is counted, but not in a line of its own", "requests more are counted, but not in lines of their own");
}

static bool any_change(const struct run *run) {
	for (size_t i = 0; i < REPLAY_BINDING; i++)
		if (run->tally.count[i])
			return true;
	return false;
}

static void print_none(const struct run *run) {
	struct buf line = BUF_INIT(1024);

	if (!run->first) {
		puts("there is no request in the record, or none of that time");
		return;
	}
	buf_adds(&line, "of ");
	out_count(run->issued, "issuance", "issuances", &line);
	buf_adds(&line, " and ");
	out_count(run->denied, "refusal", "refusals", &line);
	add_period(run, &line);
	printf("%s%s none would be decided otherwise%s\n", out_color(run->cli, COLOR_GREEN), line.data, out_color(run->cli, COLOR_NONE));
	buf_fini(&line);
}

static void print_all(struct run *run) {
	for (enum replay_change i = 0; i < N_REPLAY_CHANGES; i++)
		print_change(run, i);
	if (!any_change(run))
		print_none(run);
	print_notes(run);
}

/* --- the upshot, for programs */

static json_t *range_json(int64_t min, int64_t max) {
	return json_pack("[I, I]", (json_int_t)min, (json_int_t)max);
}

static json_t *group_json(const struct tally_group *g) {
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:s}", "change", change_words[g->change].id, "principal", g->who,
				 "serviceAccount", g->account, "permission", g->permission, "binding", g->binding, "count",
				 (json_int_t)g->count, "issuances", (json_int_t)g->issued, "first", time_json(g->first), "last",
				 time_json(g->last), "why", g->why);

	if (g->change == REPLAY_SHORTER || g->change == REPLAY_LONGER) {
		json_object_set_new(json, "lifetimeWas", range_json(g->was_min, g->was_max));
		json_object_set_new(json, "lifetimeNow", range_json(g->now_min, g->now_max));
		json_object_set_new(json, "boundBy", json_string(bound_by_name(g->bound_by)));
	}
	return json;
}

static json_t *counts_json(const struct run *run) {
	json_t *json = json_pack("{s:I, s:I, s:I, s:I}", "issuances", (json_int_t)run->issued, "allowedWithoutToken",
				 (json_int_t)run->allowed, "refusals", (json_int_t)run->denied, "undecided", (json_int_t)run->undecided);

	for (size_t i = 0; i < N_REPLAY_CHANGES; i++)
		json_object_set_new(json, change_words[i].id, json_integer((json_int_t)run->tally.count[i]));
	return json;
}

static json_t *doubts_json(const struct run *run) {
	json_t *unproven = json_array();

	for (size_t i = 0; i < run->n_unproven; i++)
		json_array_append_new(unproven, json_pack("{s:s, s:s, s:I}", "policy", run->unproven[i].policy, "why",
							  run->unproven[i].err.message, "count", (json_int_t)run->unproven[i].n));
	return json_pack("{s:I, s:o, s:I, s:I, s:I, s:I}", "unfaithful", (json_int_t)run->unfaithful, "unproven", unproven, "unprovenMore",
			 (json_int_t)run->unproven_more, "withoutInstant", (json_int_t)run->old, "cut", (json_int_t)run->cut, "leftOut",
			 (json_int_t)run->tally.left_out);
}

static void print_json(const struct run *run) {
	json_t *changes = json_array(), *json;

	for (size_t i = 0; i < run->tally.n; i++)
		json_array_append_new(changes, group_json(&run->tally.groups[i]));
	json = json_pack("{s:{s:s, s:s}, s:s, s:o, s:o, s:o}", "policy", "file", run->cli->args[0], "sha256", run->sha256, "log", run->dir,
			 "counts", counts_json(run), "changes", changes, "doubts", doubts_json(run));
	if (run->first) {
		json_object_set_new(json, "first", time_json(run->first));
		json_object_set_new(json, "last", time_json(run->last));
	}
	out_json(json);
	json_decref(json);
}

/* --- the command */

static int replay_all(struct run *run) {
	struct audit_reader *reader = NULL;
	struct error err = { 0 };
	int r = audit_reader_open(run->dir, &reader, &err);

	if (r < 0)
		return log_failed(run->cli, OPT_LOG, &err);
	r = audit_reader_whole(reader, consider, run, &err);
	audit_reader_free(reader);
	tally_sort(&run->tally);
	if (run->cli->json)
		print_json(run);
	else
		print_all(run);
	if (r < 0)
		return log_failed(run->cli, OPT_LOG, &err);
	return run->cli->values[OPT_EXIT_CODE] && any_change(run) ? API_EXIT_DIFFERS : API_EXIT_OK;
}

int cmd_policy_replay(struct cli *cli) {
	static struct run run;
	struct policy *policy;
	struct error err = { 0 };
	int r;

	run.cli = cli;
	run.until = INT64_MAX;
	if ((r = cli_take_time(cli, OPT_SINCE, &run.since)) >= 0 || (r = cli_take_time(cli, OPT_UNTIL, &run.until)) >= 0 ||
	    (r = log_find_dir(cli, cli->values[OPT_LOG], run.dir, sizeof(run.dir))) != API_EXIT_OK)
		return r;
	if (run.until <= run.since)
		return help_usage_error(cli->command, "--until must be behind --since");
	policy = policy_of_file(cli, cli->args[0], run.sha256);
	if (!policy)
		return API_EXIT_CONFIG;
	run.policy = policy;
	if (replay_new(run.dir, policy, run.sha256, &run.replay, &err) == 0) {
		r = replay_all(&run);
	} else {
		out_error(cli, err.code, "failed", err.message, NULL);
		r = API_EXIT_FAILED;
	}
	tally_fini(&run.tally);
	replay_free(run.replay);
	policy_unref(policy);
	return r;
}
