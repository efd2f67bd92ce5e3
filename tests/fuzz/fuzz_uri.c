// links: broker
/* Paths and queries of surfaces: segments are whole, never a way around, and lead to at most one node of the metadata tree. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "broker/surface/metadata_tree.h"
#include "broker/surface/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct uri_path *path) {
	static const struct metadata_account account = { .email = "a@p.iam.gserviceaccount.com" };
	static struct config config;
	static json_t *tree;
	const json_t *node;
	struct buf text = BUF_INIT(1 << 16);
	char etag[METADATA_ETAG];

	if (!tree) {
		config.instance_zone = config.instance_machine_type = strdup("z");
		tree = metadata_tree(&(struct metadata_facts){ &config, "googleapis.com", "box", &account, 1 });
	}
	node = metadata_find(tree, path, 0);
	if (!node)
		return;
	metadata_etag(node, etag);
	metadata_leaf(node, &text);
	metadata_json(node, false, &text);
	if (json_is_object(node)) {
		metadata_list(node, &text);
		metadata_lines(node, &text);
	}
	assert(buf_ok(&text));
	buf_fini(&text);
}

static void assert_text(const char *value) {
	for (const char *s = value; *s; s++)
		assert((unsigned char)*s >= 0x20 && *s != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct uri_path path;
	struct str text = { (const char *)data, size };
	const char *question = size ? memchr(data, '?', size) : NULL;
	char value[64];

	if (question)
		text.n = (size_t)(question - text.p);
	if (uri_path(text, &path)) {
		assert(path.n <= URI_MAX_SEGMENTS);
		for (size_t i = 0; i < path.n; i++)
			assert(*path.segments[i] && strcmp(path.segments[i], ".") && strcmp(path.segments[i], ".."));
		look_up(&path);
	}
	if (question && uri_parameter((struct str){ question + 1, size - text.n - 1 }, "scopes", value, sizeof(value)) > 0)
		assert_text(value);
	if (question && uri_form((struct str){ question + 1, size - text.n - 1 }, "scope", value, sizeof(value)) > 0) {
		assert(*value);
		assert_text(value);
	}
	return 0;
}
