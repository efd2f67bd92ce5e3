/* See usage.h. */

#include <string.h>
#include "broker/config.h"
#include "broker/mdoc.h"
#include "broker/usage.h"
#include "hallpass/cleanup.h"

static const struct {
	const char *name;
	int has_arg;
	const char *arg, *sentence;
} options[] = {
	{ "config", required_argument, "FILE",
	  "Read this configuration. Without it /etc/hallpass/hallpassd.yaml for root, ~/.config/hallpass/hallpassd.yaml "
	  "else; where that is missing, the defaults of one user's helper." },
	{ "check", no_argument, NULL,
	  "Validate configuration and policy, open the credential without calling anybody, print what is wrong, and exit with 0 or 78." },
	{ "help-config", optional_argument, "FORM",
	  "Print every configuration key, its default and what it is for, as text, markdown or man." },
	{ "man", no_argument, NULL, "Print the source of this manual page." },
	{ "version", no_argument, NULL, "Print the version." },
	{ "help", no_argument, NULL, "Print help." },
};

void usage_getopt(struct option out[USAGE_OPTIONS + 1]) {
	_Static_assert(ARRAY_SIZE(options) == USAGE_OPTIONS, "each option has a row");
	for (int i = 0; i < USAGE_OPTIONS; i++)
		out[i] = (struct option){ options[i].name, options[i].has_arg, NULL, USAGE_CONFIG + i };
	out[USAGE_OPTIONS] = (struct option){ 0 };
}

static const char *argument_form(int has_arg) {
	return has_arg == optional_argument ? "[=%s]" : has_arg == required_argument ? " %s" : "";
}

/* By words, below one another. */
static void add_folded(struct buf *out, const char *text, size_t indent, size_t width) {
	size_t at = indent;

	for (const char *s = text; *s;) {
		size_t n = strcspn(s, " ");

		if (at > indent && at + 1 + n > width) {
			buf_addf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			buf_addc(out, ' ');
			at++;
		}
		buf_add(out, s, n);
		at += n;
		s += n + (s[n] == ' ');
	}
	buf_addc(out, '\n');
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
void usage_text(struct buf *out) {
	buf_adds(out, "usage: hallpassd");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		buf_addf(out, " [--%s", options[i].name);
		buf_addf(out, argument_form(options[i].has_arg), options[i].arg);
		buf_addc(out, ']');
	}
	buf_adds(out, "\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct buf left = BUF_INIT(128);

		buf_addf(&left, "--%s", options[i].name);
		buf_addf(&left, argument_form(options[i].has_arg), options[i].arg);
		buf_addf(out, "  %-22s", left.data);
		add_folded(out, options[i].sentence, 24, 100);
		buf_fini(&left);
	}
}
#pragma GCC diagnostic pop

/* --- manual pages */

static void man_head(struct buf *out, const char *title, const char *name, const char *what) {
	buf_addf(out, ".Dd " HALLPASS_DATE "\n.Dt %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n", title, name, what);
}

static void man_option(struct buf *out, size_t i) {
	buf_addf(out, ".It Fl -%s", options[i].name);
	if (options[i].has_arg == optional_argument)
		buf_addf(out, " Ns Oo = Ns Ar %s Oc", options[i].arg);
	else if (options[i].arg)
		buf_addf(out, " Ar %s", options[i].arg);
	buf_addc(out, '\n');
	mdoc_text(options[i].sentence, out);
}

void usage_man_daemon(struct buf *out) {
	man_head(out, "HALLPASSD 8", "hallpassd", "lend Google Cloud service accounts for minutes");
	buf_adds(out, ".Sh SYNOPSIS\n.Nm\n.Op Ar options\n.Sh DESCRIPTION\n.Nm\n"
		      "listens on a Unix socket, learns from the kernel who asks, checks a policy, gets a token of the asked service\n"
		      "account from Google, makes a record of it durable, and only then hands it over.\n"
		      "People talk to it with\n.Xr hallpass 1 .\n.Pp\nThe options:\n.Bl -tag -width Ds\n");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		man_option(out, i);
	buf_adds(out,
		 ".El\n.Sh SIGNALS\n.Bl -tag -width SIGTERM\n"
		 ".It Dv SIGHUP\nTake up configuration and policy anew, whole or not at all, as\n.Ic hallpass reload\ndoes.\n"
		 ".It Dv SIGTERM , SIGINT\nStop: requests under way get ten seconds; a second signal does not wait.\n.El\n"
		 ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
		 ".It Ev XDG_RUNTIME_DIR , XDG_CONFIG_HOME , XDG_STATE_HOME , HOME\n"
		 "Where one user's helper has its socket, configuration and policy, and record.\n"
		 ".It Ev GOOGLE_APPLICATION_CREDENTIALS , CLOUDSDK_CONFIG , GCE_METADATA_HOST\n"
		 "Where the credential comes from, as Application Default Credentials pick it.\n"
		 ".It Ev HTTPS_PROXY , NO_PROXY\nThe proxy for calls to Google.\n"
		 ".It Ev NOTIFY_SOCKET\nThe service manager's; it is told of readiness, reloads and the end.\n.El\n"
		 ".Sh FILES\n.Bl -tag -width Ds\n"
		 ".It Pa /etc/hallpass/hallpassd.yaml , ~/.config/hallpass/hallpassd.yaml\n"
		 "The configuration, described in\n.Xr hallpassd.yaml 5 .\n"
		 ".It Pa policy.yaml\nThe policy, beside it.\n"
		 ".It Pa /run/hallpass/hallpass.sock , $XDG_RUNTIME_DIR/hallpass/hallpass.sock\nThe socket.\n"
		 ".It Pa /var/lib/hallpass/audit , ~/.local/state/hallpass/audit\nThe record; in\n.Pa policies\neach policy that was in force, by its SHA-256.\n.El\n"
		 ".Sh EXIT STATUS\n0 ok, 64 usage, 70 failed, 75 try again, 78 bad configuration or policy.\n"
		 ".Sh SEE ALSO\n.Xr hallpass 1 ,\n.Xr hallpassd.yaml 5\n");
}

void usage_man_config(struct buf *out) {
	man_head(out, "HALLPASSD.YAML 5", "hallpassd.yaml", "configuration of hallpassd");
	buf_adds(out, ".Sh DESCRIPTION\nA mapping of keys in plain YAML, none of them required.\n"
		      "Keys with a dot stand in sections:\n.Cm audit.lowWater\nis\n.Cm lowWater\nbelow\n.Cm audit .\n"
		      "Relative paths are relative to the file.\nAn unknown key is an error.\n"
		      ".Ic hallpassd --check\nvalidates the file;\n.Ic hallpass reload\ntakes it up, except for keys marked\n"
		      ".Dq (Restart.) .\n.Bl -tag -width Ds\n");
	config_help(CONFIG_HELP_MAN, out);
	buf_adds(out, ".El\n.Sh EXAMPLES\n.Bd -literal\n"
		      "listeners: [{unix: /run/hallpass/hallpass.sock, mode: \"0660\", group: developers}]\n"
		      "peers: [{group: developers, principal: \"user:{name}@example.com\"}]\n"
		      "operators: [\"user:alice@example.com\"]\n"
		      "credential: {file: /etc/hallpass/broker-key.json}\n"
		      "limits: {maxLifetime: 30m}\n.Ed\n"
		      ".Sh SEE ALSO\n.Xr hallpass 1 ,\n.Xr hallpassd 8\n");
}
