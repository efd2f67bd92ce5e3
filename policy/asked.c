/* See asked.h. */

#include "hallpass/cleanup.h"
#include "policy/asked.h"
#include "policy/decide.h"

#define MAX_LIST 64

void asked_read_principal(struct document *d, const struct yaml_node *node, void *target) {
	char buf[MAX_EMAIL * 2];

	if (node->kind == YAML_SCALAR && canonical_principal(node->text, buf) == 0) {
		read_text(d, node, "a principal", &((struct asked *)target)->q.principal);
		return;
	}
	document_bad_principal(d, node, "bad-principal", "write user:EMAIL, serviceAccount:EMAIL or principal:ID");
}

void asked_read_target(struct document *d, const struct yaml_node *node, void *target) {
	read_account(d, node, &((struct asked *)target)->q.service_account);
}

void asked_read_now(struct document *d, const struct yaml_node *node, void *target) {
	read_time(d, node, "time", &((struct asked *)target)->q.now);
}

void asked_read_permission(struct document *d, const struct yaml_node *node, void *target) {
	read_permission(d, node, &((struct asked *)target)->q.permission);
}

void asked_read_scopes(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct asked *)target)->q;

	read_strings(d, node, "scopes", POLICY_MAX_SCOPES, read_scope, &q->scopes, &q->n_scopes);
}

static int read_level(struct document *d, const struct yaml_node *node, const char **out) {
	return read_text(d, node, "an access level", out);
}

void asked_read_levels(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct asked *)target)->q;

	read_strings(d, node, "accessLevels", MAX_LIST, read_level, &q->access_levels, &q->n_access_levels);
}

void asked_read_delegates(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_query *q = &((struct asked *)target)->q;

	read_strings(d, node, "delegates", MAX_DELEGATES, read_account, &q->delegates, &q->n_delegates);
}

void asked_read_lifetime(struct document *d, const struct yaml_node *node, void *target) {
	read_lifetime(d, node, "lifetime", &((struct asked *)target)->q.lifetime_s);
}

void asked_read_audience(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "an audience", &((struct asked *)target)->q.audience);
}

void asked_read_justification(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a justification", &((struct asked *)target)->q.justification);
}

const char *policy_surface(unsigned i) {
	static const char *const surfaces[] = { "native", "metadata", "iamCredentials", "sts" };

	return i < ARRAY_SIZE(surfaces) ? surfaces[i] : NULL;
}

void asked_read_surface(struct document *d, const struct yaml_node *node, void *target) {
	struct nearest nearest;
	const char *name;

	if (read_text(d, node, "a surface", &((struct asked *)target)->q.surface) < 0)
		return;
	nearest_init(&nearest, node->text);
	for (unsigned i = 0; (name = policy_surface(i)); i++) {
		if (!strcmp(name, node->text))
			return;
		nearest_offer(&nearest, name);
	}
	document_did_you_mean(d, node, "bad-surface", &nearest, "there is no surface");
}

void asked_read_method(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "a method", &((struct asked *)target)->q.auth_method);
}

void asked_read_ip(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "an ip address", &((struct asked *)target)->q.origin_ip);
}

void asked_read_port(struct document *d, const struct yaml_node *node, void *target) {
	int64_t port = 0;

	read_number(d, node, "port", 0, 65535, &port);
	((struct asked *)target)->q.origin_port = (int)port;
}

void asked_read_claims(struct document *d, const struct yaml_node *node, void *target) {
	struct asked *asked = target;

	if (node->kind != YAML_MAP) {
		document_error(d, node, "wrong-type", NULL, "claims must be a mapping, but this is %s",
			       yaml_kind_name(node));
		return;
	}
	asked->claims = yaml_to_json(node);
	asked->q.claims = asked->claims;
	d->no_memory |= !asked->claims;
}

static void read_uid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "uid", 0, UINT32_MAX, &((struct policy_peer *)target)->uid);
}

static void read_gid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "gid", 0, UINT32_MAX, &((struct policy_peer *)target)->gid);
}

static void read_pid(struct document *d, const struct yaml_node *node, void *target) {
	read_number(d, node, "pid", 0, INT32_MAX, &((struct policy_peer *)target)->pid);
}

static void read_exe(struct document *d, const struct yaml_node *node, void *target) {
	read_text(d, node, "exe", &((struct policy_peer *)target)->exe);
}

const struct field asked_peer_fields[] = {
	{ "uid", false, read_uid, SHAPE_NUMBER, "Its user id.", NULL },
	{ "gid", false, read_gid, SHAPE_NUMBER, "Its group id.", NULL },
	{ "pid", false, read_pid, SHAPE_NUMBER, "Its process id.", NULL },
	{ "exe", false, read_exe, SHAPE_TEXT, "The absolute path of its executable.", NULL },
	{ 0 },
};

void asked_read_peer(struct document *d, const struct yaml_node *node, void *target) {
	struct policy_peer *peer = &((struct asked *)target)->q.peer;

	peer->known = true;
	read_fields(d, node, "peer", asked_peer_fields, peer);
}
