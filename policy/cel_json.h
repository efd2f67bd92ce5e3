#pragma once

/*
 * CEL's types and values in the JSON form of cel.expr.Type and cel.expr.Value, as the conformance suite and
 * `hallpass policy eval` write them:
 *
 *	{"int64Value": "42"}, {"doubleValue": "NaN"}, {"bytesValue": "AAE="}, {"listValue": {"values": [...]}},
 *	{"mapValue": {"entries": [{"key": ..., "value": ...}]}}, {"typeValue": "int"},
 *	{"objectValue": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "90s"}}
 *	{"primitive": "INT64"}, {"listType": {"elemType": ...}}, {"wellKnown": "TIMESTAMP"}, {"dyn": {}}
 *
 * 64-bit integers are strings of digits. Values that protobuf has no message for go out as objects all the same, named
 * by their CEL type: optional_type, net.IP, net.CIDR.
 *
 * Must not know: questions, answers, tests.
 */

#include "policy/cel.h"

/* Owned by the environment, or static. NULL: *err says what is not understood. */
const struct cel_type *cel_json_type(struct cel_env *env, const json_t *json, struct error *err);

/* Borrows texts from json; the rest comes from the arena. -1: *err says what is not understood. */
int cel_json_value(struct cel_arena *arena, const json_t *json, struct cel_value *out, struct error *err);

/* New references; NULL: memory, nested too deeply, or (of a value) no value. */
json_t *cel_json_of_type(const struct cel_type *type);
json_t *cel_json_of_value(struct cel_value v);
