#pragma once

/*
 * What a document says of a request: in its tests, and where its invariants speak of one.
 *
 * Each section has a table of its own, of the fields that make sense there; the readers are these.
 */

#include "policy/document.h"

/* Borrows the document's memory, but owns the claims. */
struct asked {
	struct policy_query q;
	json_t *claims;
};

/* A request by itself: over the socket of somebody whom the kernel vouches for. */
static const struct asked asked_plain = { .q = { .auth_method = "peer", .surface = "native" } };

/* Fields whose target is a struct asked. */
#define ASKED_PRINCIPAL "principal", true, asked_read_principal, SHAPE_PRINCIPAL, "Who asks.", NULL
#define ASKED_SERVICE_ACCOUNT "serviceAccount", true, asked_read_target, SHAPE_ACCOUNT, "For which account.", NULL
#define ASKED_TIME "time", true, asked_read_now, SHAPE_TIME, "When it is asked.", NULL
#define ASKED_PERMISSION "permission", false, asked_read_permission, SHAPE_PERMISSION, "What for; getAccessToken if absent.", NULL
#define ASKED_SCOPES "scopes", false, asked_read_scopes, SHAPE_SCOPES, "The scopes that are asked for; the ceiling of the binding if absent.", NULL
#define ASKED_LIFETIME "lifetime", false, asked_read_lifetime, SHAPE_DURATION, "The lifetime that is asked for.", NULL
#define ASKED_DELEGATES "delegates", false, asked_read_delegates, SHAPE_ACCOUNTS, "Accounts to go through, in order.", NULL
#define ASKED_AUDIENCE "audience", false, asked_read_audience, SHAPE_TEXT, "For whom the ID token is.", NULL
#define ASKED_JUSTIFICATION "justification", false, asked_read_justification, SHAPE_TEXT, "What --reason gives.", NULL
#define ASKED_SURFACE "surface", false, asked_read_surface, SHAPE_SURFACE, "Through which door it comes; native if absent.", NULL
#define ASKED_METHOD "method", false, asked_read_method, SHAPE_TEXT, "How the principal is known; peer if absent.", NULL
#define ASKED_CLAIMS "claims", false, asked_read_claims, SHAPE_OBJECT, "The claims of a signed identity.", NULL
#define ASKED_ACCESS_LEVELS "accessLevels", false, asked_read_levels, SHAPE_TEXTS, "The names of access levels.", NULL
#define ASKED_PEER "peer", false, asked_read_peer, SHAPE_MAPPING, "What the kernel says of the calling process; unknown if absent.", asked_peer_fields
#define ASKED_IP "ip", false, asked_read_ip, SHAPE_TEXT, "The address that it comes from.", NULL
#define ASKED_PORT "port", false, asked_read_port, SHAPE_NUMBER, "The port that it comes from.", NULL
extern const struct field asked_peer_fields[];
void asked_read_principal(struct document *d, const struct yaml_node *node, void *target);
void asked_read_target(struct document *d, const struct yaml_node *node, void *target);
void asked_read_now(struct document *d, const struct yaml_node *node, void *target);
void asked_read_permission(struct document *d, const struct yaml_node *node, void *target);
void asked_read_scopes(struct document *d, const struct yaml_node *node, void *target);
void asked_read_lifetime(struct document *d, const struct yaml_node *node, void *target);
void asked_read_delegates(struct document *d, const struct yaml_node *node, void *target);
void asked_read_audience(struct document *d, const struct yaml_node *node, void *target);
void asked_read_justification(struct document *d, const struct yaml_node *node, void *target);
void asked_read_surface(struct document *d, const struct yaml_node *node, void *target);
void asked_read_method(struct document *d, const struct yaml_node *node, void *target);
void asked_read_claims(struct document *d, const struct yaml_node *node, void *target);
void asked_read_levels(struct document *d, const struct yaml_node *node, void *target);
void asked_read_peer(struct document *d, const struct yaml_node *node, void *target);
void asked_read_ip(struct document *d, const struct yaml_node *node, void *target);
void asked_read_port(struct document *d, const struct yaml_node *node, void *target);
