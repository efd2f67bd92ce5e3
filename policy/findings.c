/* What is wrong with a document. See document.h. */

#include <stdarg.h>
#include <stdlib.h>
#include "hallpass/utf8.h"
#include "policy/document.h"

static struct policy_finding *finding_new(struct document *d) {
	struct policy_report *report = d->report;
	struct policy_finding *list;
	size_t size;

	if (report->n == d->report_size) {
		size = d->report_size ? d->report_size * 2 : 16;
		list = realloc(report->findings, size * sizeof(*list));
		if (!list) {
			d->no_memory = true;
			return NULL;
		}
		report->findings = list;
		d->report_size = size;
	}
	return &report->findings[report->n++];
}

/* A document's own words go to terminals: no control characters, nothing that isn't UTF-8. */
static void add_clean(struct buf *b, const char *s) {
	const unsigned char *u = (const unsigned char *)s;
	size_t left = strlen(s), n;

	for (; left; u += n, left -= n) {
		n = utf8_length(u, left);
		if (n == 0 || u[0] < 0x20 || u[0] == 0x7F || (u[0] == 0xC2 && u[1] < 0xA0)) {
			buf_addc(b, '?');
			n = n ? n : 1;
		} else {
			buf_add(b, u, n);
		}
	}
}

/* Counts a finding, in the list or beyond it. */
static bool has_room(struct document *d, enum policy_severity severity) {
	struct policy_report *report = d->report;
	const struct {
		size_t *n, *more, max;
	} kinds[] = {
		[POLICY_ERROR] = { &report->n_errors, &report->more_errors, MAX_ERRORS },
		[POLICY_WARNING] = { &report->n_warnings, &report->more_warnings, MAX_WARNINGS },
		[POLICY_NOTE] = { &d->n_notes, NULL, MAX_WARNINGS },
	};

	if (*kinds[severity].n < kinds[severity].max) {
		++*kinds[severity].n;
		return true;
	}
	if (kinds[severity].more)
		++*kinds[severity].more;
	return false;
}

void document_find_at(struct document *d, enum policy_severity severity, const char *id, unsigned line, unsigned column,
		      const char *fix, const char *fmt, ...) {
	struct policy_finding *finding;
	struct buf message = BUF_INIT(4096);
	va_list ap;
	char text[1024];

	if (severity != POLICY_ERROR && ignores_take(&d->ignores, line, id))
		return;
	if (!has_room(d, severity))
		return;
	finding = finding_new(d);
	if (!finding)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_clean(&message, text);
	*finding = (struct policy_finding){ .severity = severity, .id = id, .line = line, .column = column };
	finding->message = buf_take(&message);
	finding->fix = fix ? strdup(fix) : NULL;
	if (!finding->message || (fix && !finding->fix))
		d->no_memory = true;
}

bool document_is_full(const struct document *d) {
	return d->report->n_errors >= MAX_ERRORS;
}

void document_did_you_mean(struct document *d, const struct yaml_node *node, const char *id,
			   const struct nearest *nearest, const char *what) {
	char fix[MAX_NAME * 4];

	snprintf(fix, sizeof(fix), "did you mean \"%s\"?", nearest->best ? nearest->best : "");
	document_error(d, node, id, nearest->best ? fix : NULL, "%s \"%.80s\"", what, nearest->word);
}
