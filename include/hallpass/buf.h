#pragma once

/*
 * Text that grows, up to a ceiling named when it is made.
 *
 * A buf remembers its first failure (memory, or the ceiling) and from then on
 * ignores what is added; test buf_ok() once at the end. data is always
 * NUL-terminated once anything was added, and len does not count the NUL.
 *
 * struct str is a borrowed view: pointer and length, NUL bytes allowed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })

static inline struct str str_of(const char *s) {
	return (struct str){ s, s ? strlen(s) : 0 };
}

static inline bool str_eq(struct str a, struct str b) {
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

struct buf {
	char *data;
	size_t len;
	size_t size; /* allocated */
	size_t max;  /* ceiling for len */
	bool failed;
};

#define BUF_INIT(ceiling) ((struct buf){ .max = (ceiling) })
/* In an array of the caller's: it takes no memory, so that the ceiling alone may fail it. Without buf_fini(), buf_take(). */
#define BUF_ON(array) ((array)[0] = '\0', (struct buf){ .data = (array), .size = sizeof(array), .max = sizeof(array) - 1 })

void buf_fini(struct buf *b);		/* frees; b is empty and usable again */
void buf_reset(struct buf *b);		/* empties, keeps the memory */
bool buf_ok(const struct buf *b);	/* nothing was lost */
char *buf_take(struct buf *b);		/* gives the malloc'd text, NULL if something was lost; b is empty after */
void *buf_grow(struct buf *b, size_t n); /* n more bytes to be written by the caller; NULL: failed */

void buf_add_slow(struct buf *b, const void *data, size_t n); /* where it may have to grow */

static inline void buf_add(struct buf *b, const void *data, size_t n) {
	if (b->failed || n >= b->size - b->len) {
		buf_add_slow(b, data, n);
		return;
	}
	memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}

static inline void buf_adds(struct buf *b, const char *s) {
	buf_add(b, s, strlen(s));
}

static inline void buf_addc(struct buf *b, char c) {
	buf_add(b, &c, 1);
}

void buf_addu(struct buf *b, uint64_t v); /* decimal */
void buf_addi(struct buf *b, int64_t v);
__attribute__((format(printf, 2, 3))) void buf_addf(struct buf *b, const char *fmt, ...);

/* A JSON string with its quotes; control characters escaped; bytes that are not UTF-8 become U+FFFD. */
void buf_add_json(struct buf *b, const char *s, size_t n);

/* RFC 3339 in UTC with a Z, whole seconds: 2026-11-24T15:04:05Z. Years 1..9999. */
void buf_add_time(struct buf *b, int64_t unix_s);
