/* The invariants section of a document: what must hold at every instant. See document.h; prover.h shows it. */

#include <stdlib.h>
#include "hallpass/cleanup.h"
#include "policy/asked.h"
#include "policy/bindings.h"
#include "policy/cel_time.h"
#include "policy/lint.h"
#include "policy/prover.h"

#define MAX_INVARIANTS 1000
#define MAX_PART 120 /* bytes of an expression that are told */

struct invariant {
	struct asked asked; /* first: what request.fields' readers fill */
	struct rule about;
	const char *name;
	const struct yaml_node *node, *never, *always;
};

static const struct rule about_anything = {
	.kind = RULE_BINDING,
	.permissions = (1u << N_PERMISSIONS) - 1,
	.not_before = INT64_MIN,
	.not_after = INT64_MAX,
};

/* ---- keys ---- */

static struct rule *about_of(void *target) {
	return &((struct invariant *)target)->about;
}

static void read_name(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "an invariant's name", &((struct invariant *)target)->name);
}

static void read_who(struct document *d, const struct yaml_node *node, void *target) {
	read_member_or_members(d, node, "principal", &about_of(target)->members);
}

static void read_but(struct document *d, const struct yaml_node *node, void *target) {
	read_members(d, node, "exceptionPrincipals", &about_of(target)->exceptions);
}

static void read_which(struct document *d, const struct yaml_node *node, void *target) {
	read_account_or_accounts(d, node, about_of(target));
}

static void read_any_of_permissions(struct document *d, const struct yaml_node *node, void *target) {
	enum policy_permission permission;

	if (node->kind == YAML_LIST)
		read_permissions(d, node, about_of(target));
	else if (read_permission(d, node, &permission) == 0)
		about_of(target)->permissions = 1u << permission;
}

static void read_any_of_scopes(struct document *d, const struct yaml_node *node, void *target) {
	read_scopes(d, node, about_of(target));
}

static void read_not_before(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notBefore", &about_of(target)->not_before);
}

static void read_not_after(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "notAfter", &about_of(target)->not_after);
}

static const struct field time_fields[] = {
	{ "notBefore", false, read_not_before, SHAPE_TIME, "The first second that it is about; the load if absent.", NULL },
	{ "notAfter", false, read_not_after, SHAPE_TIME, "The first second that it is not about any more; never if absent.", NULL },
	{ 0 },
};

static void read_window(struct document *d, const struct yaml_node *node, void *target) {
	const struct rule *about = about_of(target);

	if (read_fields(d, node, "time", time_fields, target) == 0 && about->not_before != INT64_MIN &&
	    about->not_after <= about->not_before)
		document_error(d, node, "empty-window", NULL, "notAfter is not after notBefore: this is about no time");
}

#define FIELD_WHO "principal", true, read_who, SHAPE_WHO, "Whom it is about: a member, or a list of members.", NULL
#define FIELD_BUT "exceptionPrincipals", false, read_but, SHAPE_MEMBERS, "Whom it is not about, though named by principal.", NULL
#define FIELD_WHICH "serviceAccount", true, read_which, SHAPE_WHICH, "Which account: one, a pattern, or a list of them.", NULL
#define FIELD_WINDOW "time", false, read_window, SHAPE_MAPPING, "From when until when; from the load on for good if absent.", time_fields

static const struct field never_fields[] = {
	{ FIELD_WHO },
	{ FIELD_BUT },
	{ FIELD_WHICH },
	{ "permission", false, read_any_of_permissions, SHAPE_ASKED, "What for, one or a list; anything if absent.", NULL },
	{ "scopes", false, read_any_of_scopes, SHAPE_SCOPES, "Access tokens with any of these scopes; with whatever scopes if absent.", NULL },
	{ "surface", false, asked_read_surface, SHAPE_SURFACE, "Through which door; any if absent.", NULL },
	{ "method", false, asked_read_method, SHAPE_TEXT, "How the principal is known; in any way if absent.", NULL },
	{ FIELD_WINDOW },
	{ 0 },
};

static const struct field always_fields[] = {
	{ FIELD_WHO },
	{ FIELD_BUT },
	{ FIELD_WHICH },
	{ FIELD_WINDOW },
	{ ASKED_PERMISSION },
	{ ASKED_SCOPES },
	{ ASKED_LIFETIME },
	{ ASKED_AUDIENCE },
	{ ASKED_JUSTIFICATION },
	{ ASKED_SURFACE },
	{ ASKED_METHOD },
	{ ASKED_CLAIMS },
	{ ASKED_ACCESS_LEVELS },
	{ ASKED_PEER },
	{ ASKED_IP },
	{ ASKED_PORT },
	{ 0 },
};

static void read_never(struct document *d, const struct yaml_node *node, void *target) {
	struct invariant *invariant = target;

	invariant->never = node;
	read_fields(d, node, "never", never_fields, target);
	if (!invariant->about.n_scopes)
		return;
	invariant->about.permissions &= 1u << PERMISSION_GET_ACCESS_TOKEN;
	if (!invariant->about.permissions)
		document_error(d, node, "bad-invariant", "leave out scopes, or permission", "scopes are of getAccessToken alone");
}

static void read_always(struct document *d, const struct yaml_node *node, void *target) {
	struct invariant *invariant = target;

	invariant->always = node;
	invariant->asked = asked_plain;
	read_fields(d, node, "always", always_fields, target);
}

const struct field invariant_fields[] = {
	{ "name", true, read_name, SHAPE_TEXT, "What it promises.", NULL },
	{ "never", false, read_never, SHAPE_MAPPING, "What is not allowed at any instant, whatever else a request says.", never_fields },
	{ "always", false, read_always, SHAPE_MAPPING, "What is allowed at every instant, to each of them.", always_fields },
	{ 0 },
};

static void read_invariant(struct document *d, const struct yaml_node *node, struct invariant *invariant) {
	*invariant = (struct invariant){ .about = about_anything, .node = node };
	if (read_fields(d, node, "an invariant", invariant_fields, invariant) == 0 && !invariant->never == !invariant->always)
		document_error(d, node, "bad-invariant", "it has never: or always:, and each is an invariant of its own",
			       "an invariant needs one of \"never\" and \"always\"");
}

void invariants_read(struct document *d, const struct yaml_node *node) {
	if (!is_list(d, node, "invariants"))
		return;
	if (node->n > MAX_INVARIANTS) {
		document_error(d, node, "bad-list", NULL, "more than %d invariants", MAX_INVARIANTS);
		return;
	}
	d->invariants = calloc(node->n + 1, sizeof(*d->invariants));
	if (!d->invariants) {
		d->no_memory = true;
		return;
	}
	yaml_each (item, node)
		read_invariant(d, item, &d->invariants[d->n_invariants++]);
}

/* ---- what was found, in words ---- */

static void say_time(struct buf *b, int64_t at) {
	char text[CEL_TIME_TEXT];

	buf_add(b, text, cel_time_format((struct cel_timestamp){ at, 0 }, text));
}

/* "user:somebody@example.com (anybody else of example.com)" */
static void say_who(struct buf *b, const struct proof *proof) {
	buf_adds(b, proof->who->name);
	if (proof->who->stands_for)
		buf_addf(b, " (%s)", proof->who->stands_for);
}

static void say_which(struct buf *b, const struct proof *proof) {
	buf_adds(b, *proof->query->service_account ? proof->query->service_account : "an account of that pattern");
	if (proof->which && proof->which->stands_for)
		buf_addf(b, " (one of %s)", proof->which->stands_for);
}

/* "may be trainer@…", "may signBlob as trainer@…" */
static void say_may(struct buf *b, const struct proof *proof, const char *may) {
	say_who(b, proof);
	if (proof->query->permission == PERMISSION_GET_ACCESS_TOKEN)
		buf_addf(b, " %s be ", may);
	else
		buf_addf(b, " %s %s as ", may, strrchr(permission_name(proof->query->permission), '.') + 1);
	say_which(b, proof);
	buf_adds(b, " at ");
	say_time(b, proof->query->now);
}

/* What a request must be like, beyond who, which and when. */
static void say_with(struct buf *b, const struct policy_query *q) {
	for (size_t i = 0; i < q->n_scopes; i++)
		buf_addf(b, "%s%s", i ? ", " : " with ", q->scopes[i]);
	if (q->lifetime_s)
		buf_addf(b, " for %lld s", (long long)q->lifetime_s);
	if (q->justification)
		buf_addf(b, " with the justification \"%s\"", q->justification);
	if (q->surface && strcmp(q->surface, asked_plain.q.surface))
		buf_addf(b, " over %s", q->surface);
}

/* On one line. */
static void say_part(struct buf *b, struct str part) {
	size_t n = part.n < MAX_PART ? part.n : MAX_PART;
	bool blank = false;

	for (size_t i = 0; i < n; i++) {
		bool is_blank = part.p[i] == ' ' || part.p[i] == '\n' || part.p[i] == '\t' || part.p[i] == '\r';

		if (is_blank && !blank)
			buf_addc(b, ' ');
		else if (!is_blank)
			buf_add(b, &part.p[i], 1);
		blank = is_blank;
	}
	if (n < part.n)
		buf_adds(b, "...");
}

static void say_refuted(struct document *d, const struct invariant *invariant, const struct proof *proof, struct buf *message,
			struct buf *fix) {
	buf_adds(message, "does not hold: ");
	say_may(message, proof, invariant->never ? "may" : "may not");
	say_with(message, proof->query);
	if (proof->decision.rule)
		buf_addf(message, ", by %s", proof->decision.rule);
	if (invariant->never)
		buf_addf(fix, "narrow %s, or add a deny rule", proof->decision.rule);
	else
		policy_denial_message(d->policy, proof->query, &proof->decision, fix);
}

static void say_unshown(const struct invariant *invariant, const struct proof *proof, struct buf *message, struct buf *fix) {
	buf_adds(message, "cannot be shown: nobody can tell whether ");
	say_may(message, proof, "may");
	if (proof->rule && proof->part.p) {
		buf_adds(message, ", which hangs on ");
		say_part(message, proof->part);
		buf_addf(message, " in %s (line %u)", proof->rule->name, proof->rule->line);
	}
	buf_adds(fix, invariant->never ? "deny it with a deny rule that does not hang on what a request says"
				       : "say in the invariant what the request has, or allow it by a binding that does not hang on that");
}

static void say_too_large(const struct proof *proof, struct buf *message, struct buf *fix) {
	buf_addf(message, "takes more to show than a load may take: it is about %zu principals", proof->principals);
	if (proof->who)
		buf_addf(message, ", and the work ended with %s", proof->who->name);
	buf_adds(fix, "say it of fewer principals or accounts, or of a time that ends: time: {notAfter: ...}");
}

static const char *finding_id(enum proof_verdict verdict) {
	static const char *const ids[] = {
		[PROOF_REFUTED] = "invariant-failed",
		[PROOF_UNSHOWN] = "invariant-unshown",
		[PROOF_TOO_LARGE] = "invariant-too-large",
	};

	return ids[verdict];
}

/* ---- the counterexample, for programs ---- */

static json_t *counterexample(const struct proof *proof) {
	const struct policy_query *q = proof->query;
	json_t *json = json_pack("{s:s, s:s*, s:s, s:s*, s:s, s:s*, s:s*}", "principal", proof->who->name, "principalStandsFor",
				 proof->who->stands_for, "serviceAccount", q->service_account, "accountStandsFor",
				 proof->which ? proof->which->stands_for : NULL, "permission", permission_name(q->permission),
				 "justification", q->justification, "surface", q->surface);
	char time[CEL_TIME_TEXT + 1];

	if (!json)
		return NULL;
	time[cel_time_format((struct cel_timestamp){ q->now, 0 }, time)] = '\0';
	json_object_set_new(json, "time", json_string(time));
	if (q->lifetime_s)
		json_object_set_new(json, "lifetime", json_integer(q->lifetime_s));
	if (q->n_scopes) {
		json_t *scopes = json_array();

		for (size_t i = 0; i < q->n_scopes; i++)
			json_array_append_new(scopes, json_string(q->scopes[i]));
		json_object_set_new(json, "scopes", scopes);
	}
	if (proof->verdict == PROOF_REFUTED) {
		json_object_set_new(json, "decision", json_string(proof->decision.allow ? "ALLOW" : "DENY"));
		json_object_set_new(json, "reason", json_string(decision_reason_name(proof->decision.reason)));
		if (proof->decision.rule)
			json_object_set_new(json, "rule", json_string(proof->decision.rule));
	}
	return json;
}

/* ---- running ---- */

static void say_not_shown(struct document *d, const struct invariant *invariant, const struct proof *proof, struct policy_check *check) {
	struct buf message = BUF_INIT(4096), fix = BUF_INIT(4096);
	json_t *json = NULL;

	if (proof->verdict == PROOF_REFUTED)
		say_refuted(d, invariant, proof, &message, &fix);
	else if (proof->verdict == PROOF_UNSHOWN)
		say_unshown(invariant, proof, &message, &fix);
	else
		say_too_large(proof, &message, &fix);
	if (proof->verdict != PROOF_TOO_LARGE)
		json = counterexample(proof);
	d->report->invariants_failed++;
	if (message.data)
		document_error(d, invariant->node, finding_id(proof->verdict), buf_ok(&fix) ? fix.data : NULL,
			       "invariant \"%.80s\" %s", invariant->name, message.data);
	else
		d->no_memory = true;
	check->good = false;
	check->id = finding_id(proof->verdict);
	check->message = message.data;
	check->fix = buf_ok(&fix) ? fix.data : NULL;
	check->counterexample = json;
	watch_ended(d, check);
	json_decref(json);
	buf_fini(&message);
	buf_fini(&fix);
}

/* False: nothing is left for the next. */
static bool run_invariant(struct document *d, struct prover *prover, const struct invariant *invariant) {
	struct policy_check check = { .kind = POLICY_CHECK_INVARIANT, .name = invariant->name, .line = invariant->node->line,
				      .column = invariant->node->column, .good = true };
	const struct claim claim = { invariant->never != NULL, &invariant->about, &invariant->asked.q };
	struct proof proof;

	watch_begins(d, &check);
	if (prover_prove(prover, &claim, &proof) < 0) {
		d->no_memory = true;
		return false;
	}
	d->report->invariants_run++;
	if (proof.verdict == PROOF_SHOWN) {
		if (!proof.principals || invariant->about.not_after <= d->now)
			document_lint(d, LINT_IDLE_INVARIANT, invariant->node);
		watch_ended(d, &check);
		return true;
	}
	say_not_shown(d, invariant, &proof, &check);
	return proof.verdict != PROOF_TOO_LARGE;
}

void invariants_run(struct document *d) {
	cleanup(prover_freep) struct prover *prover = NULL;
	bool go_on = true;

	if (!d->n_invariants)
		return;
	if (prover_new(d->policy, d->now, &prover) < 0) {
		d->no_memory = true;
		return;
	}
	for (size_t i = 0; i < d->n_invariants && !d->no_memory; i++) {
		if (!go_on || document_is_full(d))
			d->report->invariants_skipped++;
		else
			go_on = run_invariant(d, prover, &d->invariants[i]);
	}
}

void invariants_free(struct document *d) {
	for (size_t i = 0; i < d->n_invariants; i++)
		json_decref(d->invariants[i].asked.claims);
	free(d->invariants);
}
