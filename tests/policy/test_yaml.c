/* yaml: the subset, positions, scalars by the schema's type, and what libyaml would let pass. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"
#include "hallpass/yaml.h"

static struct yaml_problems problems;

static struct yaml_tree *load(struct str text, int want) {
	struct yaml_tree *tree = NULL;
	struct error err;
	int r = yaml_load(text, NULL, &tree, &problems, &err);

	if (r != want)
		print_error("for <%.*s>: %s\n", (int)(text.n < 60 ? text.n : 60), text.p, r ? err.message : "accepted");
	assert_int_equal(r, want);
	return tree;
}

/* The tree in one line: text as <style>"...", positions after @. */
static void print_node(struct buf *b, const struct yaml_node *node) {
	if (node->kind == YAML_SCALAR) {
		buf_addf(b, "%c", "psdlf"[node->style]);
		buf_add_json(b, node->text, node->n);
	} else {
		buf_addc(b, node->kind == YAML_MAP ? '{' : '[');
		yaml_each(child, node) {
			if (child != node->first)
				buf_addc(b, ' ');
			if (child->key)
				buf_addf(b, "%s:", child->key->text);
			print_node(b, child);
		}
		buf_addc(b, node->kind == YAML_MAP ? '}' : ']');
	}
	buf_addf(b, "@%u:%u", node->line, node->column);
}

static void test_yaml_reads_the_subset(void **state) {
	static const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{ STR("a: no\nb: 'yes'\n"), "{a:p\"no\"@1:4 b:s\"yes\"@2:4}@1:1" },
		{ STR("---\n- 1\n-  - x\n   - \"y\\n\"\n"), "[p\"1\"@2:3 [p\"x\"@3:6 d\"y\\n\"@4:6]@3:4]@2:1" },
		{ STR("a:\n- b # c\n- 'it''s'\n"), "{a:[p\"b\"@2:3 s\"it's\"@3:3]@2:1}@1:1" },
		{ STR("k: |\n  one\n   two\n"), "{k:l\"one\\n two\\n\"@1:4}@1:1" },
		{ STR("k: >-\n  one\n  two\n"), "{k:f\"one two\"@1:4}@1:1" },
		{ STR("\xEF\xBB\xBFk: v\n"), "{k:p\"v\"@1:4}@1:1" },
		{ STR("k: v\r\nl: w\r\n"), "{k:p\"v\"@1:4 l:p\"w\"@2:4}@1:1" },
		{ STR("k:\nl: ~\n"), "{k:p\"\"@1:3 l:p\"~\"@2:4}@1:1" },
		{ STR("gr\xC3\xBC: {\xC3\x9F: x}"), "{gr\xC3\xBC:{\xC3\x9F:p\"x\"@1:10}@1:6}@1:1" },
		{ STR("{\"a\":1,\"b\":[true,null,\"\\u00fc\\/\\\\\\\"\\t\"],\"c\":{}}"),
		  "{a:p\"1\"@1:6 b:[p\"true\"@1:13 p\"null\"@1:18 d\"\xC3\xBC/\\\\\\\"\\t\"@1:23]@1:12 c:{}@1:45}@1:1" },
		{ STR("{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}\n"), "{a:[p\"1\"@3:3 p\"2\"@4:3]@2:7}@1:1" },
		{ STR("a: b\n  c\n"), "{a:p\"b c\"@1:4}@1:1" },
		{ STR("a: {b: c, d: [e]}\n...\n"), "{a:{b:p\"c\"@1:8 d:[p\"e\"@1:15]@1:14}@1:4}@1:1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *tree = load(cases[i].in, 0);
		struct buf b = BUF_INIT(1000);

		print_node(&b, tree->root);
		assert_string_equal(b.data, cases[i].out);
		buf_fini(&b);
		yaml_tree_free(tree);
	}
}

static void test_yaml_reads_nothing(void **state) {
	static const struct str cases[] = { STR(""), STR("\n"), STR("# only\n  # comments\n"), STR("  \n") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *tree = load(cases[i], 0);

		assert_null(tree->root);
		yaml_tree_free(tree);
	}
}

static void test_yaml_refuses(void **state) {
	static const struct {
		struct str in;
		const char *id;
		unsigned line, column;
	} cases[] = {
		{ STR("a: 1\na: 2\n"), "duplicate-key", 2, 1 },
		{ STR("{\"a\": 1, \"b\": 2, 'a': 3}"), "duplicate-key", 1, 18 },
		{ STR("a: &x 1\nb: 2\n"), "yaml-anchor", 1, 4 },
		{ STR("a: 1\nb: *x\n"), "yaml-anchor", 2, 4 },
		{ STR("a: !!str 1\n"), "yaml-tag", 1, 4 },
		{ STR("a: !x {b: c}\n"), "yaml-tag", 1, 4 },
		{ STR("a:\n  <<: {b: c}\n"), "yaml-key", 2, 3 },
		{ STR("%YAML 1.1\n---\na: 1\n"), "yaml-directive", 1, 1 },
		{ STR("%TAG ! x:\n---\na: 1\n"), "yaml-directive", 1, 1 },
		{ STR("a: 1\n---\nb: 1\n"), "yaml-document", 2, 1 },
		{ STR("a: 1\n...\nb: 1\n"), "yaml-syntax", 3, 1 },
		{ STR("a: 1\n...\n---\nb: 1\n"), "yaml-document", 3, 1 },
		{ STR("[a]: b\n"), "yaml-key", 1, 1 },
		{ STR("? {a: b}\n: c\n"), "yaml-key", 1, 3 },
		{ STR(": b\n"), "yaml-syntax", 1, 1 },
		{ STR("? \n: b\n"), "yaml-key", 1, 2 },
		{ STR("a: b\0c\n"), "yaml-character", 1, 5 },
		{ STR("a: \"b\\0c\"\n"), "yaml-character", 1, 4 },
		{ STR("a: \"b\\x00c\"\n"), "yaml-character", 1, 4 },
		{ STR("\xC3\xBC: \xC0\x80\n"), "yaml-character", 1, 4 },
		{ STR("a: \xED\xA0\x80\n"), "yaml-character", 1, 4 },
		{ STR("a: \x1b[2J\n"), "yaml-character", 1, 4 },
		{ STR("a: b\xC2\x85 c: d\n"), "yaml-character", 1, 5 },
		{ STR("a: b\xE2\x80\xA8 c: d\n"), "yaml-character", 1, 5 },
		{ STR("a: b\rc: d\n"), "yaml-character", 1, 5 },
		{ STR("a: 1\n\xEF\xBB\xBF" "b: 2\n"), "yaml-character", 2, 1 },
		{ STR("\xFF\xFE" "a\0:\0"), "yaml-character", 1, 1 },
		{ STR("a:\n\tb: 1\n"), "yaml-tab", 2, 1 },
		{ STR("a:\n  - b\n\t- c\n"), "yaml-tab", 3, 1 },
		{ STR("-\t- a\n"), "yaml-tab", 1, 2 },
		{ STR("a: 'b'#c\n"), "yaml-comment", 1, 7 },
		{ STR("a: [b]#c\n"), "yaml-comment", 1, 7 },
		{ STR("a: [b,#c\n d]\n"), "yaml-comment", 1, 7 },
		{ STR("a: [b\n"), "yaml-syntax", 1, 4 }, /* where it was opened */
		{ STR("a: [b,\n\n\n"), "yaml-syntax", 1, 7 },
		{ STR("a: b\nc: \"x\ny\n"), "yaml-syntax", 2, 4 },
		{ STR("a: b: c\n"), "yaml-syntax", 1, 5 },
		{ STR("a: \"b\n"), "yaml-syntax", 1, 4 },
		{ STR("a: 1\n b: 2\n"), "yaml-syntax", 2, 3 },
		{ STR("a: \"\\ud83d\\ude00\""), "yaml-syntax", 1, 7 },
		{ STR("a: @b\n"), "yaml-syntax", 1, 4 },
		{ STR("{\"a\": 1,}{"), "yaml-syntax", 1, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *tree = load(cases[i].in, -1);

		if (problems.n < 1 || strcmp(problems.list[0].id, cases[i].id) ||
		    problems.list[0].line != cases[i].line || problems.list[0].column != cases[i].column)
			fail_msg("<%s>: %s %u:%u %s", cases[i].in.p, problems.list[0].id, problems.list[0].line,
				 problems.list[0].column, problems.list[0].message);
		yaml_tree_free(tree);
	}
}

static void test_yaml_collects_problems_in_order(void **state) {
	struct yaml_tree *tree = load(STR("a: &x 1\nb: {c: 1, c: 2}\na: *x\n"), -1);
	static const char *const ids[] = { "yaml-anchor", "duplicate-key", "duplicate-key", "yaml-anchor" };

	(void)state;
	assert_non_null(tree);
	assert_int_equal(problems.n, ARRAY_SIZE(ids));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_string_equal(problems.list[i].id, ids[i]);
	yaml_tree_free(tree);
	tree = load(STR("a: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\n"
			"a: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1\n"),
		    -1);
	assert_int_equal(problems.n, YAML_MAX_PROBLEMS);
	yaml_tree_free(tree);
}

static void test_yaml_scalars_by_type(void **state) {
	static const struct {
		const char *text;
		int is_bool, is_int, is_duration; /* 0: is one */
	} cases[] = {
		{ "true", 0, -1, -1 },	 { "yes", -1, -1, -1 },	   { "True", -1, -1, -1 }, { "'true'", -1, -1, -1 },
		{ "10", -1, 0, -1 },	 { "-10", -1, 0, -1 },	   { "010", -1, -1, -1 },  { "0", -1, 0, -1 },
		{ "-0", -1, -1, -1 },	 { "+1", -1, -1, -1 },	   { "0x10", -1, -1, -1 }, { "1e3", -1, -1, -1 },
		{ "1_000", -1, -1, -1 }, { "'10'", -1, -1, -1 },   { "90s", -1, -1, 0 },   { "1h30m", -1, -1, 0 },
		{ "'1h'", -1, -1, 0 },	 { "30m1h", -1, -1, -1 },  { "1m1m", -1, -1, -1 }, { "1.5h", -1, -1, -1 },
		{ "h", -1, -1, -1 },	 { "99999", -1, -1, -1 },  { "13h", -1, -1, -1 },  { "0s", -1, -1, -1 },
		{ "1h ", -1, -1, 0 },	 { "'1h '", -1, -1, -1 },  { "[]", -1, -1, -1 },   { "-1h", -1, -1, -1 },
		{ "99999999999999999999", -1, -1, -1 },	   { "99999999999999999999s", -1, -1, -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *tree = load(str_of(cases[i].text), 0);
		int64_t v;
		bool b;

		if (yaml_bool(tree->root, &b) != cases[i].is_bool ||
		    yaml_int(tree->root, -100, 10000, &v) != cases[i].is_int ||
		    yaml_duration(tree->root, 1, 43200, &v) != cases[i].is_duration)
			fail_msg("%s", cases[i].text);
		yaml_tree_free(tree);
	}
}

static void test_yaml_duration_values(void **state) {
	struct yaml_tree *tree = load(STR("[1h30m5s, 900s, 12h, 9223372036854775807]"), 0);
	static const int64_t want[] = { 5405, 900, 43200 };
	const struct yaml_node *node = tree->root->first;
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++, node = node->next) {
		assert_int_equal(yaml_duration(node, 1, 43200, &v), 0);
		assert_int_equal(v, want[i]);
	}
	assert_int_equal(yaml_int(node, INT64_MIN, INT64_MAX, &v), 0);
	assert_true(v == INT64_MAX);
	yaml_tree_free(tree);
}

static size_t byte_at(struct str text, unsigned line, unsigned column) {
	size_t i = 0;

	for (; line > 1; i++)
		line -= text.p[i] == '\n';
	for (; column > 1; i++)
		column -= i + 1 >= text.n || ((unsigned char)text.p[i + 1] & 0xC0) != 0x80;
	return i;
}

/* Each case's scalar holds "@@"; yaml_position() must find it where it stands in the file. */
static void test_yaml_position_is_exact(void **state) {
	static const struct str cases[] = {
		STR("k: a @@ b\n"),
		STR("k: 'a @@ b'\n"),
		STR("k: 'it''s''' # ''\nl: 'it''s'' @@ b'\n"),
		STR("k: \"a\\n\\x41\\u00fc\\U0001F600\\\" @@ b\"\n"),
		STR("k: |\n  one\n  two @@\n"),
		STR("k: |\n\n  one\n\n  two @@\n"),
		STR("k: |2-\n    one\n   @@ two\n"),
		STR("k: |  # comment\n      one\n        @@ two\n"),
		STR("k: >\n  one\n  two\n\n  three @@ four\n"),
		STR("k: >\n  one\n    more\n    indented\n  and\n  then @@\n"),
		STR("k: >\n\n\n  one\n\n\n  then @@\n"),
		STR("k: one\n  two\n    three @@\n"),
		STR("k: one\n\n\n  two\n    three @@\n"),
		STR("k: 'one  \n\n  two\n    three @@'\n"),
		STR("k: \"one  \n  two\\\n    three @@\"\n"),
		STR("k: \"one  \n  two \\\n    \\  three\n\n\n @@\"\n"),
		STR("\xC3\xBC: '\xC3\xBC\xE2\x82\xAC @@'\n"),
		STR("k: |\r\n  one\r\n  two @@\r\n"),
		STR("k: \"a\r\n  b\r\n\r\n  c @@\"\r\n"),
		STR("{\"a\": [{\"k\": \"x == \\\"y\\\" && @@\"}]}"),
		STR("- - k: |\n      a\n      @@\n"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *tree = load(cases[i], 0);
		const struct yaml_node *node = tree->root;
		unsigned line, column;
		const char *at;

		while (node->kind != YAML_SCALAR) {
			node = node->first;
			while (node->next)
				node = node->next;
		}
		at = strstr(node->text, "@@");
		assert_non_null(at);
		yaml_position(tree, node, (size_t)(at - node->text), &line, &column);
		if (strncmp(cases[i].p + byte_at(cases[i], line, column), "@@", 2))
			fail_msg("case %zu: %u:%u", i, line, column);
		for (size_t o = 0; o <= node->n + 5; o++)
			yaml_position(tree, node, o, &line, &column);
		yaml_tree_free(tree);
	}
}

/* ---- scalars written at random: the mark stands once in the file, and there it must be found ---- */

static uint64_t seed = 88172645463325252u;

static unsigned below(unsigned n) {
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static const char *pick(const char *const *list, size_t n) {
	return list[below((unsigned)n)];
}

static const char *const words[] = { "a", "b == 1", "\xC3\xBC", "\xE6\xBC\xA2\xE5\xAD\x97", "\xF0\x9F\x98\x80x", "e\xCC\x81", "(x)", "&&", "\\d" };
static const char *const escapes[] = { "\\n", "\\t", "\\x41", "\\u00fc", "\\U0001F600", "\\\\", "\\\"", "\\ ", "\\/", "\\_" };
static const char *const folds[] = { " ", "  ", " \n  ", "\n  ", "\n\n  ", "\t\n\n \n   ", "\r\n  ", "\n  \t" };

static void random_flow(struct buf *b, enum yaml_style style) {
	unsigned n = 1 + below(12), mark = below(n);

	buf_adds(b, style == YAML_SINGLE_QUOTED ? "'" : style == YAML_DOUBLE_QUOTED ? "\"" : "");
	for (unsigned i = 0; i < n; i++) {
		if (i == mark)
			buf_adds(b, "@@"); /* '@' cannot begin a plain scalar: see below */
		else if (style == YAML_DOUBLE_QUOTED && below(3) == 0)
			buf_adds(b, pick(escapes, ARRAY_SIZE(escapes)));
		else if (style == YAML_SINGLE_QUOTED && below(3) == 0)
			buf_adds(b, "''");
		else
			buf_adds(b, pick(words + (style == YAML_DOUBLE_QUOTED), style == YAML_DOUBLE_QUOTED ? 6 : 8));
		if (i + 1 < n)
			buf_adds(b, style == YAML_DOUBLE_QUOTED && below(4) == 0 ? "\\\n   " : pick(folds, ARRAY_SIZE(folds)));
	}
	buf_adds(b, style == YAML_SINGLE_QUOTED ? "'" : style == YAML_DOUBLE_QUOTED ? "\"" : "");
}

static void random_line(struct buf *b, bool mark, const char *end) {
	buf_adds(b, "   ");
	for (unsigned i = below(3) ? 0 : below(4); i; i--)
		buf_addc(b, below(4) ? ' ' : '\t');
	buf_addf(b, "%s%s", mark ? "@@" : "", pick(words, 8));
	for (unsigned i = below(4); i; i--)
		buf_addf(b, "%s%s", pick(folds, 2), pick(words, ARRAY_SIZE(words)));
	buf_adds(b, below(5) ? "" : "  ");
	buf_adds(b, end);
}

static void random_block(struct buf *b, enum yaml_style style) {
	static const char *const chomps[] = { "", "-", "+" };
	const char *end = below(4) ? "\n" : "\r\n";
	unsigned n = 1 + below(8), mark = below(n);

	buf_addf(b, "%s%s%s%s%s", style == YAML_LITERAL ? "|" : ">", below(3) ? "3" : "", pick(chomps, ARRAY_SIZE(chomps)),
		 below(3) ? "" : "  # why", end);
	for (unsigned i = 0; i < n; i++) {
		random_line(b, i == mark, end);
		for (unsigned k = below(3) ? 0 : below(4); k; k--)
			buf_addf(b, "%s%s", below(2) ? "" : pick((const char *const[]){ " ", "  ", "   " }, 3), end);
	}
}

static void test_yaml_position_is_exact_at_random(void **state) {
	const unsigned rounds = getenv("HALLPASS_SLOW") ? 2000 : 100000;
	unsigned read = 0;

	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		enum yaml_style style = (enum yaml_style)below(5);
		struct buf b = BUF_INIT(1 << 16);
		struct yaml_tree *tree;
		unsigned line, column;
		struct error err;
		const char *at;

		buf_adds(&b, pick((const char *const[]){ "k: ", "k:\n  ", "- - k: ", "\xC3\xBC: ", "{k: " }, style == YAML_LITERAL || style == YAML_FOLDED ? 1 : 4));
		if (style == YAML_PLAIN)
			buf_adds(&b, "p ");
		if (style == YAML_LITERAL || style == YAML_FOLDED)
			random_block(&b, style);
		else
			random_flow(&b, style);
		buf_adds(&b, "\n");
		if (yaml_load((struct str){ b.data, b.len }, NULL, &tree, &problems, &err) == 0) {
			const struct yaml_node *node = tree->root;

			while (node->kind != YAML_SCALAR)
				node = node->first;
			at = strstr(node->text, "@@");
			assert_non_null(at);
			yaml_position(tree, node, (size_t)(at - node->text), &line, &column);
			if (strncmp(b.data + byte_at((struct str){ b.data, b.len }, line, column), "@@", 2))
				fail_msg("%u:%u in\n%s", line, column, b.data);
			read++;
		}
		yaml_tree_free(tree);
		buf_fini(&b);
	}
	assert_true(read > rounds / 2); /* the rest is what the subset refuses: tabs, mostly */
}

static void test_yaml_to_json(void **state) {
	struct yaml_tree *tree = load(STR("{a: 1, b: '1', c: [true, no, null, ~, 1.5, 1e2, 01, .5, 0x1, -7], d: {e: }}"), 0);
	json_t *json = yaml_to_json(tree->root);
	char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));

	(void)state;
	assert_string_equal(text, "{\"a\":1,\"b\":\"1\",\"c\":[true,\"no\",null,null,1.5,100.0,\"01\",\".5\",\"0x1\",-7],"
				  "\"d\":{\"e\":null}}");
	free(text);
	json_decref(json);
	yaml_tree_free(tree);
}

static struct str repeated(const char *what, size_t times) {
	size_t n = strlen(what);
	char *text = malloc(n * times + 1);

	assert_non_null(text);
	for (size_t i = 0; i < times; i++)
		memcpy(text + i * n, what, n);
	text[n * times] = '\0';
	return (struct str){ text, n * times };
}

/* Deep, long, many: an answer, and soon. CPU time with a wide margin: quadratic work takes minutes. */
static void test_yaml_is_bounded(void **state) {
	static const struct {
		const char *what;
		size_t times;
		int want;
	} cases[] = {
		{ "[", 10000, -1 },	   { "{a: ", 10000, -1 },   { "- ", 10000, -1 },	{ "[", 10 << 20, -1 },
		{ "x", 10 << 20, 0 },	   { "a, ", 3000000, 0 },   { "- a\n", 2500000, 0 }, { "# c\n", 2500000, 0 },
		{ "\n", 10 << 20, 0 },	   { " ", 10 << 20, 0 },    { "\"", 10 << 20, -1 }, { "a:\n ", 2000000, -1 },
		{ "x", (10 << 20) + 1, -1 }, { "&a [*a]\n", 1000000, -1 }, { "? ", 5 << 20, -1 }, { "#", 10 << 20, 0 },
		{ "'a'#\n", 2000000, -1 }, { "- []\n", 2000000, 0 }, { "a: 1\n", 1000000, -1 }, { "-\t", 5000000, -1 },
	};

	(void)state;
	if (getenv("HALLPASS_SLOW")) {
		print_message("skipped: documents of megabytes take minutes here\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str text = repeated(cases[i].what, cases[i].times);
		clock_t start = clock();
		struct yaml_tree *tree = load(text, cases[i].want);

		assert_in_range(clock() - start, 0, 60 * CLOCKS_PER_SEC);
		yaml_tree_free(tree);
		free((char *)text.p);
	}
}

static void test_yaml_duplicates_among_many(void **state) {
	struct buf b = BUF_INIT(10 << 20);
	struct yaml_tree *tree;

	(void)state;
	for (int i = 0; i < 200000; i++)
		buf_addf(&b, "key%d: 1\n", i);
	tree = load((struct str){ b.data, b.len }, 0);
	yaml_tree_free(tree);
	buf_adds(&b, "key77: 1\n");
	tree = load((struct str){ b.data, b.len }, -1);
	assert_int_equal(problems.list[0].line, 200001);
	yaml_tree_free(tree);
	buf_fini(&b);
}

static void test_nearest_finds_what_was_meant(void **state) {
	static const struct {
		const char *word, *best;
	} cases[] = {
		{ "memebrs", "members" },	{ "member", "members" }, { "Members", "members" }, { "notafter", "notAfter" },
		{ "serviceAcounts", "serviceAccounts" }, { "xyz", NULL }, { "", NULL },
	};
	static const char *const known[] = { "name", "members", "serviceAccounts", "notBefore", "notAfter" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nearest nearest;

		nearest_init(&nearest, cases[i].word);
		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			nearest_offer(&nearest, known[k]);
		if (cases[i].best)
			assert_string_equal(nearest.best, cases[i].best);
		else
			assert_null(nearest.best);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_reads_the_subset),
		cmocka_unit_test(test_yaml_reads_nothing),
		cmocka_unit_test(test_yaml_refuses),
		cmocka_unit_test(test_yaml_collects_problems_in_order),
		cmocka_unit_test(test_yaml_scalars_by_type),
		cmocka_unit_test(test_yaml_duration_values),
		cmocka_unit_test(test_yaml_position_is_exact),
		cmocka_unit_test(test_yaml_position_is_exact_at_random),
		cmocka_unit_test(test_yaml_to_json),
		cmocka_unit_test(test_yaml_is_bounded),
		cmocka_unit_test(test_yaml_duplicates_among_many),
		cmocka_unit_test(test_nearest_finds_what_was_meant),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
