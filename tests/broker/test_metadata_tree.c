/* The metadata tree: names, leaves to the byte, listings, recursion, etags. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "broker/surface/metadata_tree.h"
#include "hallpass/cleanup.h"

#define SA "dev-sa@acme-ml.iam.gserviceaccount.com"
#define OTHER "other@x.iam.gserviceaccount.com"

static const char *const scopes[] = { "https://www.googleapis.com/auth/cloud-platform", "openid" };
static const struct metadata_account accounts[] = { { SA, scopes, 2 }, { OTHER, scopes, 1 } };
static struct config_pair attributes[] = { { (char *)"cluster-name", (char *)"a \"b\"" }, { (char *)"k", (char *)"v" } };

static struct config config(void) {
	return (struct config){ .instance_project_number = 4711, .instance_zone = (char *)"europe-west3-a", .instance_id = 99,
				.instance_machine_type = (char *)"e2-small", .instance_attributes = attributes,
				.n_instance_attributes = 2 };
}

static json_t *tree_of(const struct config *c) {
	const struct metadata_facts facts = { c, "googleapis.com", "box.example.com", accounts, 2 };
	json_t *tree = metadata_tree(&facts);

	assert_non_null(tree);
	return tree;
}

static const json_t *at(const json_t *tree, const char *text) {
	static struct uri_path path;

	assert_true(uri_path(str_of(text), &path));
	return metadata_find(tree, &path, 0);
}

static void assert_leaf(const json_t *tree, const char *path, const char *want) {
	struct buf b = BUF_INIT(4096);

	assert_non_null(at(tree, path));
	metadata_leaf(at(tree, path), &b);
	assert_string_equal(b.data, want);
	buf_fini(&b);
}

static void test_metadata_tree_leaves_to_the_byte(void **state) {
	struct config c = config();
	json_t *tree = tree_of(&c);

	(void)state;
	assert_leaf(tree, "/instance/service-accounts/default/email", SA);
	assert_leaf(tree, "/instance/service-accounts/" OTHER "/email", OTHER);
	assert_leaf(tree, "/instance/service-accounts/default/scopes", "https://www.googleapis.com/auth/cloud-platform\nopenid");
	assert_leaf(tree, "/instance/service-accounts/default/aliases", "default");
	assert_leaf(tree, "/instance/zone", "projects/4711/zones/europe-west3-a");
	assert_leaf(tree, "/instance/machine-type", "projects/4711/machineTypes/e2-small");
	assert_leaf(tree, "/instance/id", "99");
	assert_leaf(tree, "/instance/name", "box");
	assert_leaf(tree, "/instance/hostname", "box.c.acme-ml.internal");
	assert_leaf(tree, "/instance/attributes/cluster-name", "a \"b\"");
	assert_leaf(tree, "/project/project-id", "acme-ml");
	assert_leaf(tree, "/project/numeric-project-id", "4711");
	assert_leaf(tree, "/universe/universe-domain", "googleapis.com");
	assert_null(at(tree, "/instance/nothing"));
	assert_null(at(tree, "/instance/zone/more"));
	assert_null(at(tree, "/instance/service-accounts/third@x.y/email"));
	assert_true(json_is_null(at(tree, "/instance/service-accounts/default/token")));
	json_decref(tree);
	c.instance_project = (char *)"named";
	c.instance_name = (char *)"n1";
	tree = tree_of(&c);
	assert_leaf(tree, "/project/project-id", "named");
	assert_leaf(tree, "/instance/hostname", "n1.c.named.internal");
	json_decref(tree);
	c.instance_hostname = (char *)"h.example";
	tree = tree_of(&c);
	assert_leaf(tree, "/instance/hostname", "h.example");
	json_decref(tree);
}

static void test_metadata_tree_lists_and_recurses(void **state) {
	struct config c = config();
	json_t *tree = tree_of(&c);
	struct buf b = BUF_INIT(8192);

	(void)state;
	metadata_list(at(tree, "/instance"), &b);
	assert_string_equal(b.data, "attributes/\nhostname\nid\nmachine-type\nname\nservice-accounts/\nzone\n");
	buf_reset(&b);
	metadata_list(at(tree, "/instance/service-accounts"), &b);
	assert_string_equal(b.data, "default/\n" SA "/\n" OTHER "/\n");
	buf_reset(&b);
	metadata_list(at(tree, "/instance/service-accounts/default"), &b);
	assert_string_equal(b.data, "aliases\nemail\nidentity\nscopes\ntoken\n");
	buf_reset(&b);
	metadata_list_json(at(tree, "/project"), &b);
	assert_string_equal(b.data, "[\"attributes/\",\"numeric-project-id\",\"project-id\"]");
	buf_reset(&b);
	metadata_list(at(tree, "/project/attributes"), &b);
	assert_int_equal(b.len, 0);
	metadata_json(at(tree, "/instance/service-accounts/default"), false, &b);
	assert_string_equal(b.data, "{\"aliases\":[\"default\"],\"email\":\"" SA "\",\"scopes\":[\"https://www.googleapis.com/auth/"
				    "cloud-platform\",\"openid\"]}");
	buf_reset(&b);
	metadata_json(at(tree, "/project"), false, &b);
	assert_string_equal(b.data, "{\"attributes\":{},\"numericProjectId\":4711,\"projectId\":\"acme-ml\"}");
	buf_reset(&b);
	/* attributes are named by people, and so are accounts */
	metadata_json(at(tree, "/instance"), false, &b);
	assert_non_null(strstr(b.data, "{\"attributes\":{\"cluster-name\":\"a \\\"b\\\"\",\"k\":\"v\"}"));
	assert_non_null(strstr(b.data, "\"serviceAccounts\":{\"default\":{"));
	assert_non_null(strstr(b.data, "\"" SA "\":{"));
	assert_non_null(strstr(b.data, "\"machineType\":\"projects/"));
	assert_null(strstr(b.data, "token"));
	buf_reset(&b);
	metadata_json(at(tree, "/instance/attributes"), true, &b);
	assert_string_equal(b.data, "{\"cluster-name\":\"a \\\"b\\\"\",\"k\":\"v\"}");
	buf_reset(&b);
	metadata_lines(at(tree, "/instance/service-accounts/default"), &b);
	assert_string_equal(b.data, "aliases default\nemail " SA "\nscopes https://www.googleapis.com/auth/cloud-platform\nscopes openid\n");
	buf_reset(&b);
	metadata_json(at(tree, "/instance/id"), false, &b);
	assert_string_equal(b.data, "99");
	buf_fini(&b);
	json_decref(tree);
}

static void test_metadata_tree_etags_tell_changes(void **state) {
	struct config c = config();
	json_t *a = tree_of(&c), *b;
	char one[METADATA_ETAG], two[METADATA_ETAG];

	(void)state;
	c.instance_zone = (char *)"us-east1-b";
	b = tree_of(&c);
	metadata_etag(at(a, "/instance"), one);
	metadata_etag(at(b, "/instance"), two);
	assert_string_not_equal(one, two);
	assert_int_equal(strlen(one), METADATA_ETAG - 1);
	metadata_etag(at(a, "/project"), one);
	metadata_etag(at(b, "/project"), two);
	assert_string_equal(one, two);
	json_decref(a);
	json_decref(b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata_tree_leaves_to_the_byte),
		cmocka_unit_test(test_metadata_tree_lists_and_recurses),
		cmocka_unit_test(test_metadata_tree_etags_tell_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
