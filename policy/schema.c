/* The document as JSON Schema, for editors: from the tables that it is read by. See include/hallpass/policy.h. */

#include "hallpass/cleanup.h"
#include "policy/document.h"

/*
 * A value as JSON Schema. What is plain text to us may look like a number or a truth to an editor that reads YAML, so
 * that free text may be any of them.
 */
#define WORD "\"type\": [\"string\", \"number\", \"boolean\"]"
#define ADDRESS "[^\\\\s@:*]+@[^\\\\s@*]+"
#define NAME "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
#define ONE_PRINCIPAL "(user|serviceAccount):" ADDRESS "|principal:\\\\S+"
#define LIST_OF(what, least) "{\"type\": \"array\", \"minItems\": " least ", \"items\": " what "}"
#define REFERENCE(name) "{\"$ref\": \"#/$defs/" name "\"}"
#define ONE_OR_LIST(one, list) "{\"anyOf\": [" REFERENCE(one) ", " REFERENCE(list) "]}"

static json_t *permission_schema(void) {
	json_t *names = json_array();

	for (int p = 0; p < N_PERMISSIONS; p++) {
		json_array_append_new(names, json_string(permission_name((enum policy_permission)p)));
		json_array_append_new(names, json_string(strrchr(permission_name((enum policy_permission)p), '.') + 1));
	}
	return json_pack("{s:o}", "enum", names);
}

static json_t *reason_schema(void) {
	json_t *names = json_array();

	for (int r = REASON_NONE + 1; r <= REASON_INVALID; r++)
		json_array_append_new(names, json_string(decision_reason_name((enum decision_reason)r)));
	return json_pack("{s:o}", "enum", names);
}

static json_t *surface_schema(void) {
	json_t *names = json_array();
	const char *name;

	for (unsigned i = 0; (name = policy_surface(i)); i++)
		json_array_append_new(names, json_string(name));
	return json_pack("{s:o}", "enum", names);
}

static const struct {
	const char *name, *schema;
	json_t *(*build)(void); /* where the program has a list of its own */
} shapes[N_SHAPES] = {
	[SHAPE_OBJECT] = { "object", "{\"type\": \"object\"}", NULL },
	[SHAPE_VERSION] = { "version", "{\"const\": 1}", NULL },
	[SHAPE_BOOL] = { "bool", "{\"type\": \"boolean\"}", NULL },
	[SHAPE_NUMBER] = { "number", "{\"type\": \"integer\", \"minimum\": 0}", NULL },
	[SHAPE_TEXT] = { "text", "{" WORD ", \"maxLength\": 4096}", NULL },
	[SHAPE_TEXTS] = { "texts", LIST_OF(REFERENCE("text"), "1"), NULL },
	[SHAPE_NAME] = { "name", "{" WORD ", \"pattern\": \"^" NAME "$\"}", NULL },
	[SHAPE_EXPRESSION] = { "expression", "{" WORD ", \"minLength\": 1}", NULL },
	[SHAPE_TIME] = { "time", "{\"type\": \"string\", \"pattern\": \"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$\"}", NULL },
	[SHAPE_DURATION] = { "duration", "{\"type\": \"string\", \"pattern\": \"^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?$\"}", NULL },
	[SHAPE_GROUPS] = { "groups", "{\"type\": \"object\", \"propertyNames\": {\"pattern\": \"^" NAME "$\"}, \"additionalProperties\": " LIST_OF(REFERENCE("member"), "0") "}", NULL },
	[SHAPE_MEMBERS] = { "members", LIST_OF(REFERENCE("member"), "1"), NULL },
	[SHAPE_PRINCIPAL] = { "principal", "{\"type\": \"string\", \"pattern\": \"^(" ONE_PRINCIPAL ")$\"}", NULL },
	[SHAPE_MEMBER] = { "member", "{\"type\": \"string\", \"pattern\": \"^(" ONE_PRINCIPAL "|domain:[^\\\\s@:*]+|group:" NAME "|allAuthenticated)$\"}", NULL },
	[SHAPE_ACCOUNT] = { "account", "{\"type\": \"string\", \"pattern\": \"^" ADDRESS "$\"}", NULL },
	[SHAPE_ACCOUNTS] = { "accounts", LIST_OF(REFERENCE("account"), "1"), NULL },
	[SHAPE_PATTERN] = { "pattern", "{\"type\": \"string\", \"pattern\": \"^([^\\\\s@:*]*[*]?[^\\\\s@:*]*@[^\\\\s@*]+|[*])$\"}", NULL },
	[SHAPE_PATTERNS] = { "patterns", LIST_OF(REFERENCE("pattern"), "1"), NULL },
	[SHAPE_WHO] = { "who", ONE_OR_LIST("member", "members"), NULL },
	[SHAPE_WHICH] = { "which", ONE_OR_LIST("pattern", "patterns"), NULL },
	[SHAPE_ASKED] = { "asked", ONE_OR_LIST("permission", "permissions"), NULL },
	[SHAPE_PERMISSION] = { "permission", NULL, permission_schema },
	[SHAPE_PERMISSIONS] = { "permissions", LIST_OF(REFERENCE("permission"), "1"), NULL },
	[SHAPE_SCOPE] = { "scope", "{\"type\": \"string\", \"pattern\": \"^(https://\\\\S+|openid|email|profile)$\"}", NULL },
	[SHAPE_SCOPES] = { "scopes", "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": 32, \"items\": " REFERENCE("scope") "}", NULL },
	[SHAPE_SURFACE] = { "surface", NULL, surface_schema },
	[SHAPE_DECISION] = { "decision", "{\"enum\": [\"ALLOW\", \"DENY\"]}", NULL },
	[SHAPE_REASON] = { "reason", NULL, reason_schema },
};

static json_t *mapping_schema(const struct field *fields);

static json_t *alternatives_schema(const struct field *fields) {
	json_t *list = json_array();

	for (const struct field *f = fields; f->key; f++)
		if (!f->required)
			json_array_append_new(list, json_pack("{s:[s]}", "required", f->key));
	return list;
}

/* What stands behind a key, without its sentence. */
static json_t *value_schema(const struct field *field) {
	json_t *mapping = field->keys ? mapping_schema(field->keys) : NULL, *leaf;

	if (field->shape == SHAPE_MAPPING)
		return mapping;
	if (field->shape == SHAPE_ALTERNATIVES)
		json_object_set_new(mapping, "oneOf", alternatives_schema(field->keys));
	if (field->shape == SHAPE_MAPPINGS || field->shape == SHAPE_ALTERNATIVES)
		return json_pack("{s:s, s:o}", "type", "array", "items", mapping);
	leaf = json_pack("{s:s+}", "$ref", "#/$defs/", shapes[field->shape].name);
	return mapping ? json_pack("{s:[o, o]}", "anyOf", leaf, mapping) : leaf;
}

/* As deep as the tables are. */
static json_t *mapping_schema(const struct field *fields) {
	json_t *properties = json_object(), *required = json_array(), *value;

	for (const struct field *f = fields; f->key; f++) {
		value = value_schema(f);
		json_object_set_new(value, "description", json_string(f->sentence));
		json_object_set_new(properties, f->key, value);
		if (f->required)
			json_array_append_new(required, json_string(f->key));
	}
	return json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", false, "required", required,
			 "properties", properties);
}

static json_t *definitions(void) {
	json_t *all = json_object();

	for (size_t i = 0; i < N_SHAPES; i++)
		if (shapes[i].name)
			json_object_set_new(all, shapes[i].name, shapes[i].build ? shapes[i].build() : json_loads(shapes[i].schema, 0, NULL));
	return all;
}

json_t *policy_schema(void) {
	json_t *schema = json_pack("{s:s, s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
				   "hallpass policy", "description", "Who may be which service account, when, and for how long.");

	if (!schema)
		return NULL;
	json_object_update_new(schema, mapping_schema(policy_fields));
	json_object_set_new(schema, "$defs", definitions());
	return schema;
}
