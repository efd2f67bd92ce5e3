/*
 * Cloud Storage: buckets that belong to one account each, by their names ("of-NAME"), and objects kept in memory. In each
 * bucket there is an object "whoami", whose content is the account that reads it. See google.h.
 */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/google/google.h"

struct object {
	struct object *next;
	char bucket[128], name[512], type[128];
	char *content;
	size_t len;
	int64_t generation;
};

static void object_free(struct object *o) {
	if (o)
		free(o->content);
	free(o);
}

static struct object **object_at(struct world *world, const char *bucket, const char *name) {
	struct object **at = &world->objects;

	while (*at && (strcmp((*at)->bucket, bucket) || strcmp((*at)->name, name)))
		at = &(*at)->next;
	return at;
}

static void object_remove(struct object **at) {
	struct object *o = *at;

	*at = o->next;
	object_free(o);
}

static struct object *object_put(struct world *world, const char *bucket, const char *name, const char *type, const char *data, size_t n) {
	struct object **at = object_at(world, bucket, name), *o;

	if (*at)
		object_remove(at);
	o = calloc(1, sizeof(*o));
	snprintf(o->bucket, sizeof(o->bucket), "%s", bucket);
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->type, sizeof(o->type), "%s", type && *type ? type : "application/octet-stream");
	o->content = malloc(n + 1);
	memcpy(o->content, data, n);
	o->content[n] = '\0';
	o->len = n;
	o->generation = ++world->n_generations;
	o->next = world->objects;
	world->objects = o;
	return o;
}

void storage_reset(struct world *world) {
	while (world->objects)
		object_remove(&world->objects);
}

/* --- what is said of them */

static uint32_t crc32c(const char *data, size_t n) {
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static char *crc32c_base64(const struct object *o) {
	uint32_t crc = crc32c(o->content, o->len);
	unsigned char bytes[4] = { (unsigned char)(crc >> 24), (unsigned char)(crc >> 16), (unsigned char)(crc >> 8), (unsigned char)crc };

	return base64_encode(bytes, sizeof(bytes), false);
}

static char *md5_base64(const struct object *o) {
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	EVP_Digest(o->content, o->len, md, &n, EVP_md5(), NULL);
	return base64_encode(md, n, false);
}

static json_t *object_json(const struct object *o) {
	char *crc = crc32c_base64(o), *md5 = md5_base64(o), *escaped = evhttp_encode_uri(o->name), generation[32], size[32], link[1900];
	json_t *json;

	snprintf(generation, sizeof(generation), "%lld", (long long)o->generation);
	snprintf(size, sizeof(size), "%zu", o->len);
	json = json_pack("{s:s, s:s++, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kind", "storage#object", "id", o->bucket, "/", o->name,
			 "name", o->name, "bucket", o->bucket, "generation", generation, "metageneration", "1", "contentType", o->type,
			 "size", size, "md5Hash", md5, "crc32c", crc, "storageClass", "STANDARD", "timeCreated",
			 "2026-11-26T00:00:00.000Z", "updated", "2026-11-26T00:00:00.000Z");
	snprintf(link, sizeof(link), "https://storage.googleapis.com/download/storage/v1/b/%s/o/%s?generation=%s&alt=media", o->bucket, escaped,
		 generation);
	json_object_set_new(json, "mediaLink", json_string(link));
	free(escaped);
	free(crc);
	free(md5);
	return json;
}

static json_t *bucket_json(const char *bucket) {
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kind", "storage#bucket", "id", bucket, "name", bucket,
			 "projectNumber", "123456789012", "location", "US", "locationType", "multi-region", "storageClass", "STANDARD",
			 "metageneration", "1", "timeCreated", "2026-11-26T00:00:00.000Z", "updated", "2026-11-26T00:00:00.000Z");
}

static void answer_content(struct answer *a, const struct object *o) {
	char *crc = crc32c_base64(o), *md5 = md5_base64(o), text[256];

	a->status = 200;
	a->type = "application/octet-stream";
	a->body = malloc(o->len + 1);
	memcpy(a->body, o->content, o->len + 1);
	a->len = o->len;
	snprintf(text, sizeof(text), "crc32c=%s,md5=%s", crc, md5);
	answer_header(a, "X-Goog-Hash", text);
	snprintf(text, sizeof(text), "%lld", (long long)o->generation);
	answer_header(a, "X-Goog-Generation", text);
	answer_header(a, "X-Goog-Metageneration", "1");
	snprintf(text, sizeof(text), "%zu", o->len);
	answer_header(a, "X-Goog-Stored-Content-Length", text);
	answer_header(a, "X-Goog-Stored-Content-Encoding", "identity");
	answer_header(a, "Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT");
	free(crc);
	free(md5);
}

/* --- the JSON API */

static void not_found(struct answer *a) {
	answer_error(a, 404, "NOT_FOUND", NULL, "The specified object does not exist.");
}

/* The one that is always there is made as it is asked for: it says who asks. */
static struct object *object_find(const struct question *q, const char *account, const char *bucket, const char *name) {
	struct object *there = *object_at(q->world, bucket, name);

	return !there && !strcmp(name, "whoami") ? object_put(q->world, bucket, name, "text/plain", account, strlen(account)) : there;
}

static bool generation_fits(const struct question *q, const struct object *o) {
	const char *want = query_value(q, "ifGenerationMatch");

	return !*want || atoll(want) == (o ? o->generation : 0);
}

static void list_objects(const struct question *q, const char *bucket, struct answer *a) {
	const char *prefix = query_value(q, "prefix");
	json_t *items = json_array();

	for (const struct object *o = q->world->objects; o; o = o->next)
		if (!strcmp(o->bucket, bucket) && !strncmp(o->name, prefix, strlen(prefix)))
			json_array_append_new(items, object_json(o));
	answer_json(a, 200, json_pack("{s:s, s:o}", "kind", "storage#objects", "items", items));
}

static void one_object(const struct question *q, const char *account, const char *bucket, const char *name, struct answer *a) {
	struct object *o = object_find(q, account, bucket, name);

	if (!o) {
		not_found(a);
	} else if (!generation_fits(q, o)) {
		answer_error(a, 412, "FAILED_PRECONDITION", NULL, "At least one of the pre-conditions you specified did not hold.");
	} else if (!strcmp(q->method, "DELETE")) {
		object_remove(object_at(q->world, bucket, name));
		a->status = 204;
		a->type = "text/plain";
		a->body = strdup("");
	} else if (!strcmp(query_value(q, "alt"), "media")) {
		answer_content(a, o);
	} else {
		answer_json(a, 200, object_json(o));
	}
}

/* "/…/b/BUCKET/o/NAME": the parts that are there. */
static void split(const char *path, char *bucket, size_t size, const char **name, bool *objects) {
	const char *at = strstr(path, "/storage/v1/b/");

	at = at ? at + strlen("/storage/v1/b/") : "";
	snprintf(bucket, size, "%.*s", (int)strcspn(at, "/"), at);
	at += strcspn(at, "/");
	*objects = !strcmp(at, "/o") || !strncmp(at, "/o/", 3);
	*name = !strncmp(at, "/o/", 3) ? at + 3 : *at && !*objects ? at + 1 : "";
}

void on_storage(const struct question *q, struct answer *a) {
	const char *account = seen_bearer(q, "storage", a), *name;
	char bucket[128], own[160];
	bool objects;

	if (!account)
		return;
	split(q->path, bucket, sizeof(bucket), &name, &objects);
	memcpy(own, "of-", 4);
	account_name(account, own + 3, sizeof(own) - 3);
	if (!*bucket)
		answer_json(a, 200, json_pack("{s:s, s:[o]}", "kind", "storage#buckets", "items", bucket_json(own)));
	else if (strcmp(bucket, own))
		answer_error(a, 404, "NOT_FOUND", NULL, "The specified bucket does not exist.");
	else if (objects && *name)
		one_object(q, account, bucket, name, a);
	else if (objects)
		list_objects(q, bucket, a);
	else if (*name)
		not_found(a); /* storageLayout and its like */
	else
		answer_json(a, 200, bucket_json(bucket));
}

void on_storage_xml(const struct question *q, struct answer *a) {
	const char *account = seen_bearer(q, "storage", a), *slash = strchr(q->path + 1, '/');
	char bucket[128];
	struct object *o;

	if (!account)
		return;
	snprintf(bucket, sizeof(bucket), "%.*s", (int)strcspn(q->path + 1, "/"), q->path + 1);
	o = slash && slash[1] ? object_find(q, account, bucket, slash + 1) : NULL;
	if (o)
		answer_content(a, o);
	else
		not_found(a);
}

/* --- uploads: media, multipart, resumable in one piece */

static const char *find_bytes(const char *in, size_t n, const char *what) {
	return memmem(in, n, what, strlen(what));
}

/* Name, type and content out of a multipart/related body: the JSON first, the content second. */
static struct object *put_multipart(const struct question *q, const char *bucket) {
	const char *end = q->body + q->body_len, *eol = memchr(q->body, '\n', q->body_len), *json_at, *name, *data, *data_end;
	size_t mark_len = eol ? (size_t)(eol - q->body) : 0;
	char mark[160];
	json_t *meta;
	struct object *o;

	if (mark_len && q->body[mark_len - 1] == '\r')
		mark_len--;
	snprintf(mark, sizeof(mark), "%.*s", (int)mark_len, q->body);
	json_at = memchr(q->body, '{', q->body_len);
	if (!mark_len || !json_at)
		return NULL;
	meta = json_loadb(json_at, (size_t)(end - json_at), JSON_DISABLE_EOF_CHECK, NULL);
	name = json_object_get(meta, "name") ? json_string_value(json_object_get(meta, "name")) : query_value(q, "name");
	data = find_bytes(json_at, (size_t)(end - json_at), mark);
	data = data ? find_bytes(data, (size_t)(end - data), eol[-1] == '\r' ? "\r\n\r\n" : "\n\n") : NULL;
	data = data ? data + (eol[-1] == '\r' ? 4 : 2) : NULL;
	data_end = data ? find_bytes(data, (size_t)(end - data), mark) : NULL;
	if (!data_end || !name || !*name) {
		json_decref(meta);
		return NULL;
	}
	data_end -= eol[-1] == '\r' ? 2 : 1;
	o = object_put(q->world, bucket, name, json_string_value(json_object_get(meta, "contentType")), data,
		       data_end > data ? (size_t)(data_end - data) : 0);
	json_decref(meta);
	return o;
}

/* Where the content of a resumable upload is to go: here, with its name in the query. */
static void begin_resumable(const struct question *q, struct answer *a) {
	const char *host = evhttp_find_header(q->headers, "Host");
	json_t *meta = json_loads(q->body, 0, NULL);
	const char *name = json_string_value(json_object_get(meta, "name"));
	char *escaped = evhttp_encode_uri(name ? name : query_value(q, "name")), where[1500];

	snprintf(where, sizeof(where), "%s://%s%s?uploadType=resumable&upload_id=standin&name=%s&ifGenerationMatch=%s",
		 q->internet ? "https" : "http", host ? host : "", q->path, escaped, query_value(q, "ifGenerationMatch"));
	answer_text(a, "");
	answer_header(a, "Location", where);
	answer_header(a, "X-GUploader-UploadID", "standin");
	free(escaped);
	json_decref(meta);
}

void on_storage_upload(const struct question *q, struct answer *a) {
	const char *type = query_value(q, "uploadType"), *name;
	struct object *o = NULL;
	char bucket[128];
	bool objects;

	if (!seen_bearer(q, "storage", a))
		return;
	split(q->path, bucket, sizeof(bucket), &name, &objects);
	name = query_value(q, "name");
	if (*name && !generation_fits(q, *object_at(q->world, bucket, name))) {
		answer_error(a, 412, "FAILED_PRECONDITION", NULL, "At least one of the pre-conditions you specified did not hold.");
	} else if (!strcmp(type, "resumable") && !strcmp(q->method, "POST")) {
		begin_resumable(q, a);
	} else {
		if (!strcmp(type, "multipart"))
			o = put_multipart(q, bucket);
		else if (*name)
			o = object_put(q->world, bucket, name, NULL, q->body, q->body_len);
		if (o)
			answer_json(a, 200, object_json(o));
		else
			answer_error(a, 400, "INVALID_ARGUMENT", NULL, "an upload is media, multipart or resumable, and has a name");
	}
}
