/* The token file and its renewal. See keep.h. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>
#include "broker/cli/keep.h"

#define RENEW_BEFORE_S 300 /* clients want 300 s left; shorter lives are renewed at three quarters */
#define RETRY_MAX_S 30
#define WARN_BEFORE_S 300

/* What a token's answer says of time. */
struct term {
	int64_t renew_at, closes_at;
	int64_t left_s;
	bool fading; /* Google gives no other now, and soon this one is over */
	char title[200];
};

/* What a renewal's process reports, in one write. */
struct news {
	enum error_code code;
	struct term term;
	char message[1024];
};

static void read_term(struct term *term, const json_t *reply) {
	const char *until = json_string_value(json_object_get(reply, API_PERMITTED_UNTIL));
	const char *title = json_string_value(json_object_get(reply, API_TITLE));
	int64_t life = json_integer_value(json_object_get(reply, API_EXPIRES_IN)), now = keep_now_s();
	int64_t left = life / 4 > RENEW_BEFORE_S ? RENEW_BEFORE_S : life / 4;
	int64_t closes = until ? cli_parse_time(until, now) : 0;

	term->fading = json_is_true(json_object_get(reply, API_FADING));
	term->left_s = life;
	term->renew_at = now + (life - left > 1 && !term->fading ? life - left : 1);
	term->closes_at = closes > 0 ? closes : 0;
	snprintf(term->title, sizeof(term->title), "%s", title ? title : "");
}

static int keep_token(const struct lease *lease, const json_t *reply, struct term *term, struct error *err) {
	const char *token = json_string_value(json_object_get(reply, API_ACCESS_TOKEN));

	if (!token)
		return error_set(err, ERR_INTERNAL, "the broker's answer has no token");
	read_term(term, reply);
	return private_write(lease->private, "token", token, err);
}

/* The renewer's whole life. It goes with us, so that nobody writes into a directory that is nobody's. */
static void renewer_main(const struct lease *lease, int out, pid_t parent) {
	struct news news = { 0 };
	struct error err = { 0 };
	json_t *reply = NULL;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	if (client_try(lease->cli, API_PATH_TOKEN, lease->body, &reply, &err) < 0 ||
	    keep_token(lease, reply, &news.term, &err) < 0) {
		news.code = err.code;
		snprintf(news.message, sizeof(news.message), "%s", err.message);
	}
	n = write(out, &news, sizeof(news));
	_exit(n == sizeof(news) ? 0 : 1);
}

static void renew(struct lease *lease) {
	pid_t parent = getpid();
	int ends[2];

	lease->retry_s = lease->retry_s ? lease->retry_s * 2 : 1;
	if (lease->retry_s > RETRY_MAX_S)
		lease->retry_s = RETRY_MAX_S;
	lease->renew_at = keep_now_s() + lease->retry_s;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	lease->renewer = fork();
	if (lease->renewer == 0)
		renewer_main(lease, ends[1], parent);
	close(ends[1]);
	if (lease->renewer > 0) {
		lease->news = ends[0];
		return;
	}
	lease->renewer = 0;
	close(ends[0]);
}

static void tell_trying(struct lease *lease, const char *why) {
	char text[1400];

	lease->renew_at = keep_now_s() + lease->retry_s;
	if (!lease->told_failure) {
		snprintf(text, sizeof(text), "cannot renew the token yet, trying on: %s", out_safe(why));
		keep_tell(lease->cli, COLOR_YELLOW, text);
	}
	lease->told_failure = true;
}

static void tell_failure(struct lease *lease, const struct news *news) {
	char text[1400];

	if (news->code == ERR_DENIED || news->code == ERR_UNAUTHENTICATED) {
		lease->ended = true;
		snprintf(text, sizeof(text), "no further token for %s: %s", out_safe(lease->account), out_safe(news->message));
		keep_tell(lease->cli, COLOR_RED, text);
		return;
	}
	tell_trying(lease, news->message);
}

static void tell_fading(struct lease *lease, const struct term *term) {
	struct buf text = BUF_INIT(200);

	buf_adds(&text, "Google gives no other, and this one ends in ");
	out_span(term->left_s, &text);
	tell_trying(lease, text.data ? text.data : "");
	buf_fini(&text);
}

static void take_term(struct lease *lease, const struct term *term) {
	/* A later window is news: warn again when that one closes. */
	if (term->closes_at && term->closes_at != lease->closes_at)
		lease->warned = false;
	lease->renew_at = term->renew_at;
	lease->closes_at = term->closes_at;
	memcpy(lease->title, term->title, sizeof(lease->title));
	lease->retry_s = 0;
	if (lease->told_failure)
		keep_tell(lease->cli, COLOR_GREEN, "the token is renewed again");
	lease->told_failure = false;
}

static void take_news(struct lease *lease) {
	struct news news = { .code = ERR_INTERNAL, .message = "the renewal broke off" };
	ssize_t n = read(lease->news, &news, sizeof(news));

	close(lease->news);
	lease->news = -1;
	waitpid(lease->renewer, NULL, 0);
	lease->renewer = 0;
	if (n == sizeof(news) && news.code == ERR_NONE && news.term.fading)
		tell_fading(lease, &news.term);
	else if (n == sizeof(news) && news.code == ERR_NONE)
		take_term(lease, &news.term);
	else
		tell_failure(lease, &news);
}

void lease_warn(struct lease *lease) {
	struct buf text = BUF_INIT(8192);
	int64_t now = keep_now_s(), left = lease->closes_at - now;

	if (lease->warned || !lease->closes_at || left > WARN_BEFORE_S || left < 0)
		return;
	lease->warned = true;
	buf_addf(&text, "the window for %s closes in ", out_safe(lease->account));
	out_span(left, &text);
	buf_adds(&text, ", at ");
	out_when(lease->closes_at, now, &text);
	if (lease->title[0])
		buf_addf(&text, " (%s)", out_safe(lease->title));
	keep_tell(lease->cli, COLOR_YELLOW, text.data);
	buf_fini(&text);
}

int lease_begin(struct lease *lease, const json_t *reply, struct error *err) {
	struct term term;

	lease->news = -1;
	if (keep_token(lease, reply, &term, err) < 0)
		return -1;
	take_term(lease, &term);
	return 0;
}

int lease_fd(const struct lease *lease) {
	return lease->news;
}

int lease_timeout_ms(const struct lease *lease) {
	int64_t at = lease->ended || lease->renewer ? INT64_MAX : lease->renew_at;

	if (!lease->warned && lease->closes_at && lease->closes_at - WARN_BEFORE_S < at)
		at = lease->closes_at - WARN_BEFORE_S;
	if (at == INT64_MAX)
		return -1;
	at -= keep_now_s();
	return at <= 0 ? 10 : at > 60 ? 60000 : (int)at * 1000; /* look at the clock each minute: it may be stepped */
}

void lease_turn(struct lease *lease, bool readable) {
	if (readable)
		take_news(lease);
	lease_warn(lease);
	if (!lease->ended && !lease->renewer && keep_now_s() >= lease->renew_at)
		renew(lease);
}

void lease_end(struct lease *lease) {
	if (!lease->renewer)
		return;
	kill(lease->renewer, SIGKILL);
	waitpid(lease->renewer, NULL, 0);
	lease->renewer = 0;
}
