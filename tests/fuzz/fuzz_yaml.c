// links: policy
/* yaml: any bytes. What loads has sound text and positions inside the file; what does not says why. */
#include <stdlib.h>
#include "hallpass/utf8.h"
#include "hallpass/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
	if (!truth)
		abort();
}

static void walk(const struct yaml_tree *tree, const struct yaml_node *node, unsigned depth) {
	unsigned line, column;
	uint32_t n = 0;

	require(depth <= 64 && node->line > 0 && node->column > 0 && node->offset <= tree->text.n);
	if (node->kind == YAML_SCALAR) {
		require(strlen(node->text) == node->n);
		for (size_t i = 0; i < node->n; i += utf8_length((const unsigned char *)node->text + i, node->n - i))
			require(utf8_length((const unsigned char *)node->text + i, node->n - i) > 0);
		for (size_t i = 0; i <= node->n && i < 300; i++) {
			yaml_position(tree, node, i, &line, &column);
			require(line >= node->line && column > 0);
		}
		return;
	}
	yaml_each(child, node) {
		require((child->key != NULL) == (node->kind == YAML_MAP));
		require(!child->key || yaml_find(node, child->key->text) == child);
		walk(tree, child, depth + 1);
		n++;
	}
	require(n == node->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct yaml_problems problems;
	struct yaml_tree *tree;
	struct error err;
	int r = yaml_load((struct str){ (const char *)data, size }, NULL, &tree, &problems, &err);

	require((r == 0) == (problems.n == 0));
	require(r == 0 || err.message[0]);
	if (r == 0 && tree->root) {
		walk(tree, tree->root, 0);
		json_decref(yaml_to_json(tree->root));
	}
	yaml_tree_free(tree);
	return 0;
}
