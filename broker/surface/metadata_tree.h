#pragma once

/*
 * The tree that a GCE metadata server shows below /computeMetadata/v1/: built from facts, looked up, and written as text or JSON.
 * Pure. Source: https://cloud.google.com/compute/docs/metadata/querying-metadata, and what clients were seen to ask.
 *
 * A node is JSON: an object is a directory, null a leaf that is computed (token, identity), an array a leaf of several
 * lines, all else a leaf. Names stand as in paths; recursive JSON has them in camelCase, except below attributes/.
 */

#include <jansson.h>
#include <stdint.h>
#include "broker/config.h"
#include "broker/surface/uri.h"
#include "hallpass/buf.h"

struct metadata_account {
	const char *email;
	const char *const *scopes; /* that it may have; none: nobody asked for them */
	size_t n_scopes;
};

struct metadata_facts {
	const struct config *config;		  /* instance.* */
	const char *universe;			  /* "googleapis.com" */
	const char *machine;			  /* this machine's name, where the configuration has none */
	const struct metadata_account *accounts; /* the first is the default */
	size_t n_accounts;
};

/* A new reference. NULL: memory. */
json_t *metadata_tree(const struct metadata_facts *facts);
/* Borrowed; path from its segment `from` on. NULL: there is no such node. */
const json_t *metadata_find(const json_t *tree, const struct uri_path *path, size_t from);

/* Names, a line each; directories end in a slash. */
void metadata_list(const json_t *dir, struct buf *out);
void metadata_list_json(const json_t *dir, struct buf *out);
/* The bytes of a leaf: without a newline at the end, or clients take it for part of the value. */
void metadata_leaf(const json_t *leaf, struct buf *out);
/* A leaf or a whole directory. below_attributes: names stay as they are. */
void metadata_json(const json_t *node, bool below_attributes, struct buf *out);
/* A whole directory as lines of path and value. */
void metadata_lines(const json_t *dir, struct buf *out);

#define METADATA_ETAG 17
/* Changes when what is below a node does. */
void metadata_etag(const json_t *node, char out[METADATA_ETAG]);
