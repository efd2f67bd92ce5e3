/* Fuzz: setup's edits of other programs' files. What is put there can be taken out again, to the byte; JSON stays the JSON it was, and one member more. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "broker/cli/setup.h"

static void restore(struct setup_file *file) {
	bool same = file->after.len == file->n_before && (!file->n_before || !memcmp(file->after.data, file->before, file->n_before));

	assert(same && !file->gone);
	buf_reset(&file->after);
	buf_add(&file->after, file->before ? file->before : "", file->n_before);
}

/* Blocks of our own in the input are data like the rest: only one that it does not have is put there. */
static void blocks(struct setup_file *file) {
	struct error err = { 0 };

	if (memmem(file->before, file->n_before, "hallpass setup", 14))
		return;
	if (setup_block_put(file, "fuzz", "lines\n", &err) < 0)
		return;
	assert(setup_file_changes(file));
	assert(setup_block_put(file, "fuzz two", "more\n", &err) == 0 && setup_block_put(file, "fuzz", "lines\n", &err) == 0);
	assert(setup_block_remove(file, "fuzz", false, &err) == 0 && setup_block_remove(file, "fuzz", true, &err) == 0);
	restore(file);
}

/* The damaged and the doubled, too: no crash, and an error or an end. */
static void blocks_of_any_kind(struct setup_file *file) {
	struct error err = { 0 };

	setup_block_put(file, "fuzz", "lines\n", &err);
	setup_block_remove(file, "", true, &err);
	file->gone = false;
	buf_reset(&file->after);
	buf_add(&file->after, file->before, file->n_before);
}

static void json(struct setup_file *file) {
	struct buf *text = &file->after;
	struct error err = { 0 };
	json_t *was, *is;
	size_t root;

	if (setup_json_check(file, &err) < 0)
		return;
	root = setup_json_root(text);
	if (setup_json_has(text, root, "a new one"))
		return;
	setup_json_put(text, root, "a new one", "{}");
	assert(setup_json_object(text, root, "a new one") != JSON_NOWHERE);
	setup_json_put(text, setup_json_object(text, root, "a new one"), "x", "\"1\"");
	setup_json_put(text, setup_json_object(text, root, "a new one"), "y", "\"2\"");
	was = json_loadb(file->before, file->n_before, 0, NULL);
	is = json_loadb(text->data, text->len, 0, NULL);
	assert(was && is && json_object_size(json_object_get(is, "a new one")) == 2);
	json_object_del(is, "a new one");
	assert(json_equal(was, is));
	json_decref(was);
	json_decref(is);
	setup_json_remove(text, setup_json_object(text, root, "a new one"), "y");
	setup_json_remove(text, setup_json_object(text, root, "a new one"), "x");
	setup_json_remove(text, root, "a new one");
	restore(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct setup_file file = { .before = malloc(size + 1), .n_before = size, .after = BUF_INIT(1 << 22) };

	assert(file.before);
	memcpy(file.before, data, size);
	file.before[size] = '\0';
	buf_add(&file.after, file.before, size);
	blocks(&file);
	blocks_of_any_kind(&file);
	json(&file);
	setup_file_fini(&file);
	return 0;
}
