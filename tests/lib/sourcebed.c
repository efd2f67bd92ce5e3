/* See sourcebed.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/clock.h"
#include "hallpass/buf.h"
#include "tests/lib/sourcebed.h"

static int64_t bed_now(void *arg) {
	return ((struct bed *)arg)->now;
}

static void clean_environment(const struct bed *bed) {
	static const char *const names[] = { "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GCE_METADATA_HOST",
					     "K_SERVICE", "CLOUD_RUN_JOB", "HTTPS_PROXY", "https_proxy", "GOOGLE_CLOUD_QUOTA_PROJECT" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	setenv("HOME", bed->dir, 1);
}

int bed_setup(void **state) {
	struct bed *bed = calloc(1, sizeof(*bed));
	struct error err;

	bed->now = BED_NOW;
	snprintf(bed->dir, sizeof(bed->dir), "/tmp/hallpass-source-XXXXXX");
	assert_non_null(mkdtemp(bed->dir));
	clean_environment(bed);
	log_init(&bed->log, memfd_create("log", MFD_CLOEXEC), LOG_LEVEL_INFO);
	bed->base = event_base_new();
	bed->stub = httpstub_new(NULL, NULL);
	assert_int_equal(fetcher_new(bed->base, &(struct fetch_options){ 0 }, &bed->log, &bed->fetcher, &err), 0);
	*state = bed;
	return 0;
}

int bed_teardown(void **state) {
	struct bed *bed = *state;
	char command[128];

	source_unref(bed->source);
	fetcher_free(bed->fetcher);
	httpstub_free(bed->stub);
	event_base_free(bed->base);
	close(bed->log.fd);
	snprintf(command, sizeof(command), "rm -rf %s", bed->dir);
	assert_int_equal(system(command), 0);
	free(bed);
	return 0;
}

char *bed_write(const struct bed *bed, const char *name, const char *text) {
	const struct {
		const char *name, *value;
	} variables[] = { { "$URL", httpstub_url(bed->stub) }, { "$HOST", httpstub_url(bed->stub) + 7 }, { "$DIR", bed->dir } };
	struct buf path = BUF_INIT(512);
	FILE *f;

	buf_addf(&path, "%s/%s", bed->dir, name);
	f = fopen(path.data, "w");
	assert_non_null(f);
	fchmod(fileno(f), 0600);
	while (*text) {
		size_t i = 0;

		while (i < 3 && strncmp(text, variables[i].name, strlen(variables[i].name)) != 0)
			i++;
		if (i == 3) {
			fputc(*text++, f);
			continue;
		}
		fputs(variables[i].value, f);
		text += strlen(variables[i].name);
	}
	assert_int_equal(fclose(f), 0);
	return buf_take(&path);
}

bool bed_open(struct bed *bed, struct source_options options) {
	options.now = bed_now;
	options.world = bed;
	source_unref(bed->source);
	bed->source = NULL;
	bed->error = (struct error){ 0 };
	return source_open(bed->base, bed->fetcher, &options, &bed->log, &bed->source, &bed->error) == 0;
}

bool bed_open_text(struct bed *bed, const char *text) {
	char *path = bed_write(bed, "credential.json", text);
	bool good = bed_open(bed, (struct source_options){ .file = path });

	snprintf(bed->file, sizeof(bed->file), "%s", path);
	free(path);
	return good;
}

void bed_on_token(const struct secret *token, int64_t expires_at, const struct error *err, void *arg) {
	struct bed *bed = arg;

	assert_true((token != NULL) == (err->code == ERR_NONE));
	bed->done++;
	bed->error = *err;
	snprintf(bed->token, sizeof(bed->token), "%s", token ? token->data : "");
	bed->expires_at = expires_at;
}

void bed_ask(struct bed *bed) {
	int before = bed->done;

	source_token(bed->source, bed_on_token, bed);
	assert_int_equal(bed->done, before);
	run_until(bed->base, &bed->done, before + 1);
}

void bed_wait(struct bed *bed, const char *what, int n) {
	int64_t give_up = clock_monotonic_us() + 20 * 1000000;

	while (httpstub_count(bed->stub, what) < n) {
		if (clock_monotonic_us() > give_up)
			fail_msg("%d of %d requests for %s after 20 s", httpstub_count(bed->stub, what), n, what);
		event_base_loop(bed->base, EVLOOP_NONBLOCK);
	}
}

void bed_reply(struct bed *bed, const char *what, int status, const char *headers, const char *body) {
	httpstub_on(bed->stub, what, &STUB(status, headers, body));
}

char *bed_log(const struct bed *bed) {
	off_t size = lseek(bed->log.fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_int_equal(pread(bed->log.fd, text, (size_t)size, 0), size);
	return text;
}

void bed_assert_says(const struct bed *bed, const char *words) {
	if (!strstr(bed->error.message, words))
		fail_msg("'%s' without '%s'", bed->error.message, words);
}

char *bed_request(struct bed *bed, const char *what, int i) {
	char *text = httpstub_request(bed->stub, what, i);

	if (!text)
		fail_msg("there was no request %d for %s", i, what);
	return text;
}

const char *bed_field(const char *request, const char *name) {
	static char values[4][16384];
	static int next;
	char *out = values[next++ % 4], start[80];
	const char *body = strstr(request, "\r\n\r\n"), *at;
	size_t n = 0;

	out[0] = '\0';
	snprintf(start, sizeof(start), "&%s=", name);
	at = strstr(body, start);
	if (!strncmp(body + 4, start + 1, strlen(start) - 1))
		at = body + 3;
	if (!at)
		return out;
	for (at += strlen(start); *at && *at != '&' && n < sizeof(values[0]) - 1; at++) {
		unsigned c = (unsigned char)*at;

		if (c == '%' && sscanf(at + 1, "%2x", &c) == 1)
			at += 2;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return out;
}
