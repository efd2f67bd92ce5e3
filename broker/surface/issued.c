/* See issued.h. */

#include <string.h>
#include "broker/surface/issued.h"
#include "hallpass/api.h"

#define ISSUED_MORE (40 << 10) /* what stands around a token: 32 scopes at their longest take 8 KiB, a title of escapes 24 */

static void add_key(struct buf *b, const char *key) {
	buf_add(b, ",\"", 2);
	buf_adds(b, key);
	buf_add(b, "\":", 2);
}

static void add_text(struct buf *b, const char *key, const char *value) {
	if (!value)
		return;
	add_key(b, key);
	buf_add_json(b, value, strlen(value));
}

static void add_time(struct buf *b, const char *key, int64_t unix_s) {
	add_key(b, key);
	buf_addc(b, '"');
	buf_add_time(b, unix_s);
	buf_addc(b, '"');
}

static void add_scopes(struct buf *b, const struct decision *decision) {
	buf_adds(b, ",\"" API_SCOPES "\":[");
	for (size_t i = 0; i < decision->n_scopes; i++) {
		if (i)
			buf_addc(b, ',');
		buf_add_json(b, decision->scopes[i], strlen(decision->scopes[i]));
	}
	buf_addc(b, ']');
}

/* Behind the token. Notes where the two values go that are left out here, for a text that is to be kept. */
static void write_behind_token(const struct request_outcome *o, struct issued_memo *places, struct buf *b) {
	const bool access = o->ask->permission == PERMISSION_GET_ACCESS_TOKEN;

	add_time(b, API_EXPIRE_TIME, o->token->expires_at);
	add_key(b, API_EXPIRES_IN);
	if (places)
		places->expires_in = b->len;
	else
		buf_addi(b, o->token->expires_at - o->now);
	add_text(b, API_SERVICE_ACCOUNT, o->ask->target);
	if (access)
		add_scopes(b, o->decision);
	add_text(b, API_BINDING, o->decision->rule);
	add_text(b, API_BOUND_BY, bound_by_name(o->decision->bound_by));
	add_text(b, API_TITLE, o->decision->title);
	if (o->decision->permitted_until < INT64_MAX)
		add_time(b, API_PERMITTED_UNTIL, o->decision->permitted_until);
	add_text(b, API_REQUEST_ID, places ? "" : o->id);
	if (places)
		places->request_id = b->len - 1; /* inside its quotes */
	if (o->fading)
		buf_adds(b, ",\"" API_FADING "\":true");
	buf_adds(b, o->cached ? ",\"" API_CACHED "\":true}\n" : ",\"" API_CACHED "\":false}\n");
}

static bool memo_fits(const struct issued_memo *memo, const struct request_outcome *o) {
	return memo->token == o->token->serial && memo->snapshot == o->snapshot && memo->rule == o->decision->rule &&
	       memo->bound_by == o->decision->bound_by && memo->permitted_until == o->decision->permitted_until;
}

static void memo_learn(struct issued_memo *memo, const struct request_outcome *o) {
	if (!memo->text.max)
		memo->text = BUF_INIT(ISSUED_MORE);
	buf_reset(&memo->text);
	write_behind_token(o, memo, &memo->text);
	memo->snapshot = o->snapshot;
	memo->rule = o->decision->rule;
	memo->bound_by = o->decision->bound_by;
	memo->permitted_until = o->decision->permitted_until;
	memo->token = buf_ok(&memo->text) ? o->token->serial : 0;
}

static void write_like_before(const struct issued_memo *memo, const struct request_outcome *o, struct buf *b) {
	const char *text = memo->text.data;

	buf_add(b, text, memo->expires_in);
	buf_addi(b, o->token->expires_at - o->now);
	buf_add(b, text + memo->expires_in, memo->request_id - memo->expires_in);
	buf_adds(b, o->id);
	buf_add(b, text + memo->request_id, memo->text.len - memo->request_id);
}

static void add_token(struct buf *b, const struct token *token) {
	if (!token->plain) {
		buf_add_json(b, token->value.data, token->value.len);
		return;
	}
	buf_addc(b, '"');
	buf_add(b, token->value.data, token->value.len);
	buf_addc(b, '"');
}

/* memo: of this ask, NULL: it is not one that is known. */
void issued_write(const struct request_outcome *o, struct issued_memo *memo, struct buf *b) {
	buf_reset(b);
	/* Room first: what grows later would leave a copy of the token where it stood. */
	if (buf_grow(b, CONN_HEAD_ROOM + o->token->value.len + ISSUED_MORE))
		buf_reset(b);
	buf_grow(b, CONN_HEAD_ROOM);
	buf_adds(b, o->ask->permission == PERMISSION_GET_ACCESS_TOKEN ? "{\"" API_ACCESS_TOKEN "\":" : "{\"" API_TOKEN "\":");
	add_token(b, o->token);
	if (!memo || !o->cached || o->fading) {
		write_behind_token(o, NULL, b);
		return;
	}
	if (!memo_fits(memo, o))
		memo_learn(memo, o);
	if (memo->token)
		write_like_before(memo, o, b);
	else
		write_behind_token(o, NULL, b);
}

void issued_memo_forget(struct issued_memo *memo) {
	memo->token = 0;
}

void issued_memo_fini(struct issued_memo *memo) {
	buf_fini(&memo->text);
	*memo = (struct issued_memo){ 0 };
}
