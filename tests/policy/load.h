#pragma once

/* Loading a policy in a test: zones from the machine, failures printed. */

#include <stdio.h>
#include <stdlib.h>
#include "hallpass/policy.h"

#define TEST_NOW 1795532645 /* 2026-11-24T15:04:05Z */

static inline char *file_bytes(const char *path, size_t *len) {
	FILE *f = fopen(path, "rb");
	char *data = NULL;

	if (!f)
		return NULL;
	data = malloc((size_t)1 << 20);
	*len = data ? fread(data, 1, (size_t)1 << 20, f) : 0;
	fclose(f);
	return data;
}

static inline int test_read_zone(void *arg, const char *name, unsigned char **data, size_t *len) {
	char path[512];

	(void)arg;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	*data = (unsigned char *)file_bytes(path, len);
	return *data ? 0 : -1;
}

static const struct policy_host test_host = { test_read_zone, NULL };

/* All entries of a listing. */
static inline json_t *policy_list(const struct policy *policy, const struct policy_query *query) {
	struct policy_listing *listing;
	json_t *list = json_array(), *entry;
	int r;

	assert_int_equal(policy_listing_new(policy, query, &listing), 0);
	while ((r = policy_listing_next(listing, &entry)) > 0)
		json_array_append_new(list, entry);
	assert_int_equal(r, 0);
	policy_listing_free(listing);
	return list;
}

static inline struct policy *load_policy(struct str text) {
	struct buf b = BUF_INIT(1 << 20);
	struct policy *policy = NULL;
	struct policy_report report;
	struct error err;

	if (policy_load("policy.yaml", text, &test_host, TEST_NOW, &policy, &report, &err) < 0) {
		policy_report_print(&report, "policy.yaml", text, false, &b);
		print_error("%s\n%s", err.message, b.data ? b.data : "");
		buf_fini(&b);
	}
	policy_report_fini(&report);
	assert_non_null(policy);
	return policy;
}
