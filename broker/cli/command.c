/* The table of commands and options, and the parser that reads it. See cli.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broker/cli/cli.h"
#include "hallpass/cleanup.h"
#include "hallpass/nearest.h"

const struct opt_def opt_defs[N_OPTS] = {
	[OPT_SOCKET] = { "socket", 0, "PATH", "the broker's socket", COMPLETE_FILE },
	[OPT_JSON] = { "json", 0, NULL, "print JSON, for programs", NULL },
	[OPT_COLOR] = { "color", 0, "WHEN", "auto, always or never", "auto always never" },
	[OPT_HELP] = { "help", 'h', NULL, "print help", NULL },
	[OPT_VERSION] = { "version", 0, NULL, "print the version", NULL },
	[OPT_AS] = { "as", 'a', "ACCOUNT", "the service account to be: its address, or its name where only one that you may be has it", COMPLETE_ACCOUNT },
	[OPT_DEFAULT_AS] = { "default-as", 0, "ACCOUNT", "the service account to be where neither --as nor HALLPASS_AS says so", COMPLETE_ACCOUNT },
	[OPT_SCOPES] = { "scopes", 's', "LIST", "OAuth scopes, comma-separated; a bare name is one of Google's",
			 "cloud-platform devstorage.read_only devstorage.read_write bigquery logging.read openid" },
	[OPT_LIFETIME] = { "lifetime", 'l', "SPAN", "how long the token should live: 900s, 15m, 1h", "5m 15m 30m 1h" },
	[OPT_REASON] = { "reason", 'r', "TEXT", "justification, for the record and for conditions", NULL },
	[OPT_DELEGATE] = { "delegate", 'd', "ACCOUNT", "a service account to go through; may be repeated, in order",
			   COMPLETE_ACCOUNT },
	[OPT_AUDIENCE] = { "audience", 0, "URL", "for whom the ID token is", NULL },
	[OPT_INCLUDE_EMAIL] = { "include-email", 0, NULL, "put the account's e-mail into the ID token", NULL },
	[OPT_PERMISSION] = { "permission", 0, "NAME", "getAccessToken, getOpenIdToken, signBlob, signJwt or implicitDelegation",
			     "getAccessToken getOpenIdToken signBlob signJwt implicitDelegation" },
	[OPT_PROJECT] = { "project", 'p', "ID", "the project to set; else the account's own", NULL },
	[OPT_TIME] = { "at", 't', "TIME", "another time than now: 17:50 (today), +2h, -30m, or RFC 3339", NULL },
	[OPT_DIR] = { "dir", 0, "DIR", "the audit directory; else the running broker's", COMPLETE_DIR },
	[OPT_FOLLOW] = { "follow", 'f', NULL, "go on printing what is recorded", NULL },
	[OPT_WHO] = { "who", 'w', "TEXT", "only records of principals that contain TEXT", NULL },
	[OPT_TARGET] = { "target", 0, "TEXT", "only records of accounts that contain TEXT", COMPLETE_ACCOUNT },
	[OPT_RESULT] = { "result", 0, "TYPES", "only records of these, like issued,denied; also failed, intent and others",
			 "intent issued denied failed abandoned unknown reload start stop recovered late opened closed doctor" },
	[OPT_LINES] = { "lines", 'n', "N", "only the last N", NULL },
	[OPT_MAN] = { "man", 0, NULL, "print the manual page's source", NULL },
	[OPT_VERBOSE] = { "verbose", 'v', NULL, "tell more, also where standard error is no terminal", NULL },
	[OPT_PRINCIPAL] = { "principal", 0, "WHO", "ask about another than yourself, like user:bob@example.com; for operators", NULL },
	[OPT_NAMES] = { "names", 0, NULL, "print the accounts alone, a line each", NULL },
	[OPT_ALSO] = { "also", 0, "ACCOUNT", "a further account of the session; may be repeated", COMPLETE_ACCOUNT },
	[OPT_METADATA] = { "metadata", 0, NULL, "name no credential file, so that clients ask the session's metadata server: for ID tokens of gcloud and Node.js", NULL },
	[OPT_EXTERNAL] = { "external-account", 0, NULL, "name a credential file of the type external_account: for programs in C++ (pyarrow's GcsFileSystem), and for those that choose their token's scopes themselves; Java takes none", NULL },
	[OPT_SHELL] = { "shell", 0, "SHELL", "for which shell to print: sh, fish or csh; else $SHELL's kind", "sh fish csh" },
	[OPT_END] = { "end", 0, NULL, "end the session of this shell", NULL },
	[OPT_STRICT] = { "strict", 0, NULL, "take no warnings: exit with 78 on them, too", NULL },
	[OPT_PORTABLE] = { "portable", 0, NULL, "warn also of what IAM's own conditions would not take", NULL },
	[OPT_SET] = { "set", 0, "NAME=VALUE", "give a name a value: a literal of CEL, or else a text; may be repeated", NULL },
	[OPT_LOG] = { "log", 0, "DIR", "the audit directory; else the running broker's", COMPLETE_DIR },
	[OPT_SINCE] = { "since", 0, "TIME", "only from then on: -90d, 17:50 (today), or RFC 3339", NULL },
	[OPT_FROM] = { "from", 0, "TIME", "begin there instead of now: -1d, 17:50 (today), or RFC 3339", NULL },
	[OPT_UNTIL] = { "until", 0, "TIME", "end there: -1d, +90d, 17:50 (today), or RFC 3339", NULL },
	[OPT_EXIT_CODE] = { "exit-code", 0, NULL, "exit with 1 where anything would be decided otherwise", NULL },
	[OPT_LISTEN] = { "listen", 0, "ADDRESS", "where to listen: 127.0.0.1:PORT or [::1]:PORT", NULL },
	[OPT_UID] = { "uid", 0, "UIDS", "whose connections to take, comma-separated, or any; else one's own alone", "any" },
	[OPT_YES] = { "yes", 'y', NULL, "do not ask, write", NULL },
	[OPT_DRY_RUN] = { "dry-run", 0, NULL, "show what would be written, and write nothing", NULL },
	[OPT_REMOVE] = { "remove", 0, NULL, "undo what setup has written", NULL },
	[OPT_COMPLETION] = { "completion", 0, "SHELL", "print completion for bash, zsh or fish", "bash zsh fish" },
};

/* For texts below. */
#define WHICH_ACCOUNT "The account is that of --as, else of HALLPASS_AS, which `hallpass run` and `hallpass env` set, else of --default-as."
#define WHICH_ACCOUNT_HOST                                                                                              \
	"The account is that of --as, else of HALLPASS_AS, which `hallpass run` and `hallpass env` set, else of --default-as, else the one that " \
	"setup was given for the host."
#define SETUP_TEXT                                                                                                      \
	"Shows the change first, as a diff, and asks (--yes does not). Whatever else the file says stays as it is, byte for byte; " \
	"--remove undoes what setup did, and no more."
#define SETUP_OPTS OPT_YES, OPT_DRY_RUN, OPT_REMOVE
#define TOKEN_OPTS OPT_AS, OPT_SCOPES, OPT_LIFETIME, OPT_REASON, OPT_DELEGATE

const struct command commands[] = {
	{ "token", "[ACCOUNT]", "get an access token, alone on standard output", 0, 1, false, cmd_token,
	  { TOKEN_OPTS, OPT_VERBOSE }, 6,
	  "Prints the token and nothing else on standard output; on a terminal a note on standard error tells which binding gave "
	  "it, until when it lives, and what bound its lifetime.", COMPLETE_ACCOUNT },
	{ "id-token", "[ACCOUNT]", "get an ID token for an audience", 0, 1, false, cmd_id_token,
	  { OPT_AS, OPT_AUDIENCE, OPT_INCLUDE_EMAIL, OPT_REASON, OPT_DELEGATE, OPT_VERBOSE }, 6,
	  "Prints an OpenID Connect token signed by Google for the service account. Google's ID tokens live one hour, so only a binding "
	  "that allows as much can give one.", COMPLETE_ACCOUNT },
	{ "run", "--as ACCOUNT -- COMMAND [ARG …]", "run a command as a service account", 1, CLI_MAX_ARGS, true, cmd_run,
	  { TOKEN_OPTS, OPT_ALSO, OPT_PROJECT, OPT_METADATA, OPT_EXTERNAL }, 9,
	  "Opens a session with the broker and runs the command in it: gcloud, gsutil, bq and Google's client libraries find the account (and those "
	  "of --also) at a port on loopback that answers this user alone, and HALLPASS_TOKEN_FILE names a file with a token that is replaced "
	  "before each expiry. They get the user's settings without his logins; variables that name other credentials do not reach the "
	  "command. The manual page lists all that are set. Signals are passed on; the exit code is the command's. Session and files end with "
	  "it. A line on standard error warns when the policy's window is about to close, and when the broker comes back after it was gone. "
	  "In a container, where the broker's ports are another network's, the port is `hallpass run`'s own, and what comes there goes over "
	  "the broker's socket (see relay).",
	  NULL },
	{ "env", "--as ACCOUNT", "make a shell work as a service account", 0, 0, false, cmd_env,
	  { TOKEN_OPTS, OPT_ALSO, OPT_PROJECT, OPT_METADATA, OPT_EXTERNAL, OPT_SHELL, OPT_END }, 11,
	  "Prints what `hallpass run` gives a command, for a shell to evaluate: eval \"$(hallpass env --as ACCOUNT)\". A process of its "
	  "own keeps session and token file until the shell ends, or until eval \"$(hallpass env --end)\", which puts the shell's variables back as they were.", NULL },
	{ "relay", "--listen 127.0.0.1:PORT --as ACCOUNT", "be the metadata server of a container", 0, 0, false, cmd_relay,
	  { TOKEN_OPTS, OPT_ALSO, OPT_LISTEN, OPT_UID }, 8,
	  "For where the broker's socket can be had and its ports on loopback cannot: in a container, into which the socket's directory is "
	  "mounted, or in WSL for programs of Windows. Opens a session with the broker, listens at the address, and brings each connection over the "
	  "socket; there it is this user's, by the kernel's word. Whoever has that uid in this network may connect, nobody else, "
	  "unless --uid names others: they get what this user gets. --uid any asks the kernel nothing, for where it cannot say. Programs find it by GCE_METADATA_HOST, "
	  "GCE_METADATA_IP and GCE_METADATA_ROOT. The session ends with the relay; when the broker is started anew, so is the session.", NULL },
	{ "setup docker", "[REGISTRY …]", "let docker log in by hallpass", 0, CLI_MAX_ARGS, false, cmd_setup, { OPT_AS, SETUP_OPTS }, 4,
	  "Names hallpass in docker's config.json for registries (gcr.io and its regions, where none is named; a host of *.pkg.dev), and keeps the "
	  "account of --as for each. " SETUP_TEXT, "gcr.io us.gcr.io eu.gcr.io asia.gcr.io" },
	{ "setup gcloud", "", "let gcloud work without hallpass run", 0, 0, false, cmd_setup, { OPT_AS, OPT_PROJECT, SETUP_OPTS }, 5,
	  "Within `hallpass run` gcloud needs no setup. This is for a gcloud without it, and needs a TCP listener of the broker's for the account: writes a configuration of "
	  "gcloud's, by the name of hallpass, that gets its tokens there, and leaves all others alone. " SETUP_TEXT, NULL },
	{ "setup git", "[HOST …]", "let git log in by hallpass", 0, CLI_MAX_ARGS, false, cmd_setup, { OPT_AS, SETUP_OPTS }, 4,
	  "Makes hallpass the one credential helper, in your own git configuration, for https://source.developers.google.com (or the hosts named): no other "
	  "helper then sees, or keeps, a token. " SETUP_TEXT, "source.developers.google.com" },
	{ "setup kubectl", "[CONTEXT …]", "let kubectl log in by hallpass", 0, CLI_MAX_ARGS, false, cmd_setup, { OPT_AS, SETUP_OPTS }, 4,
	  "Adds a user to the kubeconfig whose credentials hallpass gives, and makes the contexts named (the current one, where none is) be that user. "
	  SETUP_TEXT, NULL },
	{ "setup shell", "[SHELL]", "completion, a prompt and `become` for your shell", 0, 1, false, cmd_setup, { SETUP_OPTS }, 3,
	  "Writes into the start-up file of bash, zsh or fish ($SHELL's kind, where none is named): completion; `become ACCOUNT`, which makes the shell work as "
	  "a service account, and `become` alone, which ends that; and the account's name in the prompt for as long. " SETUP_TEXT, "bash zsh fish" },
	{ "setup terraform", "[SHELL]", "let terraform work without hallpass run", 0, 1, false, cmd_setup, { OPT_AS, SETUP_OPTS }, 4,
	  "Terraform takes Google's credentials from the environment: this writes a function into the start-up file of bash, zsh or fish that runs it, and OpenTofu, in a "
	  "session of its own, unless the shell has one. " SETUP_TEXT, "bash zsh fish" },
	{ "list", "", "show what you may be, until when, for how long", 0, 0, false, cmd_list, { OPT_NAMES }, 1,
	  "One line for each account or pattern of accounts that a binding of the policy gives you. It looks ahead 31 days.", NULL },
	{ "why", "[ACCOUNT]", "explain a decision", 0, 1, false, cmd_why,
	  { OPT_AS, OPT_SCOPES, OPT_LIFETIME, OPT_REASON, OPT_DELEGATE, OPT_PERMISSION, OPT_TIME, OPT_PRINCIPAL, OPT_VERBOSE }, 9,
	  "Shows each binding that concerns you and the account, the parts of its condition that were false, their values, and what would have "
	  "to be different for a yes, the smallest change first. Without an account it is about your last request that was refused. "
	  "A time of the past is told by the policy that was in force then. Asks Google nothing and issues nothing. Operators may ask about others, "
	  "and see other rules, too, with -v.", COMPLETE_ACCOUNT },
	{ "policy check", "FILE …", "check policy files", 1, CLI_MAX_ARGS, false, cmd_policy_check, { OPT_STRICT, OPT_PORTABLE }, 2,
	  "Parses, type-checks and runs the tests of policy files, without a broker, and warns of what loads but deserves a look "
	  "(`hallpass policy lints` lists it). Exits with 0 when all are good, else 78.",
	  COMPLETE_FILE },
	{ "policy eval", "[EXPR]", "evaluate an expression", 0, 1, false, cmd_policy_eval, { OPT_SET, OPT_TIME, OPT_VERBOSE }, 3,
	  "Evaluates an expression as conditions are evaluated, and prints its value as CEL writes it. request.time is now, unless --set or "
	  "--at says otherwise; the other attributes of a condition are absent until they are set, and any other name may be. On a terminal, and with -v, "
	  "a note on standard error tells the type and, of a condition over request.time, until when it surely holds. "
	  "Without EXPR it answers questions on standard input, one in a line, as JSON: {\"id\", \"expr\", \"bindings\", \"type_env\", \"container\", "
	  "\"disable_check\"} with {\"id\", \"value\"} or {\"id\", \"error\", \"phase\"}, values and types in the form of cel.expr.Value "
	  "and cel.expr.Type. Exits with 78 when the expression fails.", NULL },
	{ "policy lints", "", "list what policy check warns of", 0, 0, false, cmd_policy_lints, { 0 }, 0,
	  "Prints each id, what it means and what to do. A comment `# hallpass: ignore=ID` on a finding's line, or right above it, "
	  "accepts the finding.", NULL },
	{ "policy diff", "OLD NEW", "tell what two policies decide differently", 2, 2, false, cmd_policy_diff,
	  { OPT_FROM, OPT_UNTIL, OPT_EXIT_CODE, OPT_VERBOSE }, 4,
	  "Decides under both policies, for each principal and account that they name, one that stands for each domain and pattern and for everybody else, each "
	  "permission, and each instant of the next 31 days at which an answer may change, and around what begins or ends for good and changes of clocks after that, of conditions over months or dates a year (not with --until): who gains, who loses, which accounts, in "
	  "which hours, which lifetimes and scopes. What conditions ask of a request is tried: justifications, lifetimes, surfaces and scopes. Equal "
	  "changes are one sentence; -v adds an instant at which each can be seen. Rules that were only moved or renamed change nothing. The last lines say what was looked at, and what "
	  "was not. Needs no broker. Exits with 0; with --exit-code with 1 where anything is decided differently.", COMPLETE_FILE },
	{ "policy replay", "NEW", "decide recorded requests again, under another policy", 1, 1, false, cmd_policy_replay,
	  { OPT_LOG, OPT_SINCE, OPT_UNTIL, OPT_EXIT_CODE, OPT_VERBOSE }, 5,
	  "Reads the record, as `hallpass log` does, and decides each request in it again under the policy in the file NEW: which issuances would now be denied "
	  "or live shorter, which refusals would now be allowed, for whom, by which binding, how often, when first and last. -v also "
	  "shows each one. Each request is first decided again under the policy that was in force, which is kept beside the record: "
	  "those that do not come out as they were recorded are counted and left aside. Asks Google nothing, needs no broker, "
	  "issues nothing. Exits with 0; with --exit-code with 1 where anything would be decided otherwise.", COMPLETE_FILE },
	{ "policy schema", "", "print the policy's JSON Schema, for editors", 0, 0, false, cmd_policy_schema, { 0 }, 0,
	  "Prints the form of a policy file as JSON Schema 2020-12, from the tables that the file is read by.", NULL },
	{ "policy test", "FILE …", "run the tests and invariants of policy files", 1, CLI_MAX_ARGS, false, cmd_policy_test, { OPT_VERBOSE }, 1,
	  "Runs what a policy says of itself, without a broker: each test is decided, each invariant shown for every instant from now on, as at "
	  "every load. What fails is told with what was got, or with a request that breaks the invariant. At the end come the bindings and deny rules that no "
	  "test was decided by. On a terminal, and with -v, each line has its time. Exits with 0 when all hold, else 78.",
	  COMPLETE_FILE },
	{ "log", "", "print the record", 0, 0, false, cmd_log,
	  { OPT_DIR, OPT_FOLLOW, OPT_WHO, OPT_TARGET, OPT_RESULT, OPT_LINES }, 6,
	  "Reads the audit directory itself, checking each frame's hash and chain on the way; who may read the directory may read the "
	  "record. Times are local; --json prints the records themselves, a line each.", NULL },
	{ "whoami", "", "show who the broker takes you for", 0, 0, false, cmd_whoami, { 0 }, 0,
	  "Prints your principal and what the kernel said of you.", NULL },
	{ "status", "", "show how the broker is", 0, 0, false, cmd_status, { 0 }, 0,
	  "Prints the policy in force, the credential, the state of the record, and counters.", NULL },
	{ "doctor", "[ACCOUNT …]", "look after the whole chain, and say what to do", 0, API_DOCTOR_ACCOUNTS, false, cmd_doctor, { 0 }, 0,
	  "One line for each check, ok, warn or FAIL (note: it could not be seen, or is merely worth knowing), and below it what to do. Here: whether the broker answers and who it takes you for, "
	  "clocks, variables and files by which programs would get past it. In the broker: whether the record can be kept, whether Google is reached and by which proxy "
	  "and certificates, whether the credential is good, and of each account (those that are named, else those that the policy gives you, the first 16) whether Google "
	  "lets the broker use it and who else may; no token is made for that. Exits with 0 when nothing FAILs, 69 without a broker, else 70.",
	  COMPLETE_ACCOUNT },
	{ "reload", "", "take up policy and configuration anew", 0, 0, false, cmd_reload, { 0 }, 0,
	  "Whole or not at all: a file that fails its checks is refused, and the last good one stays in force.", NULL },
	{ "kubectl-credential", "", "be kubectl's credential plugin", 0, 0, false, cmd_kubectl_credential, { TOKEN_OPTS, OPT_DEFAULT_AS }, 6,
	  "Answers kubectl with an ExecCredential of the version that it asks for, and when it ends. kubectl starts it, by an `exec` entry that "
	  "`hallpass setup kubectl` writes. " WHICH_ACCOUNT, NULL },
	{ "docker-credential", "OPERATION", "be docker's credential helper", 1, 1, false, cmd_docker_credential, { TOKEN_OPTS, OPT_DEFAULT_AS }, 6,
	  "Answers docker's get for gcr.io and *.pkg.dev, and for no other registry; store and erase change nothing, list is empty. docker starts it as "
	  "docker-credential-hallpass, for the registries that `hallpass setup docker` names. " WHICH_ACCOUNT_HOST, "get store erase list version" },
	{ "git-credential", "OPERATION", "be git's credential helper", 1, 1, false, cmd_git_credential, { TOKEN_OPTS, OPT_DEFAULT_AS }, 6,
	  "Answers git's get for Google's hosts of git repositories and *.pkg.dev, over https alone; of others it says nothing, and store and erase "
	  "change nothing. git starts it as git-credential-hallpass, where `hallpass setup git` says so. " WHICH_ACCOUNT_HOST, "get store erase" },
	{ "gcp-executable", "", "be the executable of an external_account file", 0, 0, false, cmd_gcp_executable,
	  { OPT_AS, OPT_DEFAULT_AS, OPT_REASON, OPT_DELEGATE }, 4,
	  "Gives Google's client libraries a subject token, as the executable source of an external_account file: with the audience "
	  "//hallpass.invalid/… the session's handle, inside `hallpass run` and `hallpass env`; with any other audience an ID token for it, signed by "
	  "Google, for a workload identity pool that takes them. What goes wrong is an answer, too, and told by the library. "
	  "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE is never written: a token lies on no disk. " WHICH_ACCOUNT, NULL },
	{ "version", "", "print the version", 0, 0, false, cmd_version, { 0 }, 0, "Prints the version of hallpass.", NULL },
	{ "help", "[COMMAND …]", "print help", 0, 2, false, cmd_help, { OPT_MAN, OPT_COMPLETION }, 2,
	  "Prints help on a command, or on all; the manual page and shell completion come from the same table.", COMPLETE_COMMAND },
};
const size_t n_commands = ARRAY_SIZE(commands);

/* Commands whose names are two words, this one first. */
const struct command_group command_groups[] = {
	{ "policy", "check and test policy files, evaluate expressions, tell what may stand in them" },
	{ "setup", "make docker, gcloud, git, kubectl, terraform or your shell use hallpass, and undo it" },
};
const size_t n_command_groups = ARRAY_SIZE(command_groups);

/* Programs find their helpers by these names; `make install` makes them. */
static const struct link {
	const char *name;
	int (*run)(struct cli *cli);
} links[] = {
	{ "docker-credential-hallpass", cmd_docker_credential },
	{ "git-credential-hallpass", cmd_git_credential },
	{ "hallpass-gcp-executable", cmd_gcp_executable },
	{ "hallpass-kubectl-credential", cmd_kubectl_credential },
};

const char *command_link(const struct command *command) {
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (links[i].run == command->run)
			return links[i].name;
	return NULL;
}

/* The command that we were started as; NULL: as hallpass. */
static const struct command *command_of_link(const char *path) {
	const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

	for (size_t i = 0; name && i < n_commands; i++)
		if (command_link(&commands[i]) && !strcmp(command_link(&commands[i]), name))
			return &commands[i];
	return NULL;
}

/* --- names of one word and of two */

const char *command_word(const struct command *command) {
	const char *blank = strchr(command->name, ' ');

	return blank ? blank + 1 : command->name;
}

bool command_in(const struct command *command, const struct command_group *group) {
	size_t n = (size_t)(command_word(command) - command->name);

	return group ? n == strlen(group->name) + 1 && !strncmp(command->name, group->name, n - 1) : n == 0;
}

static int unknown_command(const struct command_group *group, const char *word) {
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], group))
			nearest_offer(&nearest, command_word(&commands[i]));
	for (size_t i = 0; !group && i < n_command_groups; i++)
		nearest_offer(&nearest, command_groups[i].name);
	help_usage_error(NULL, "no command \"%s%s%s\"%s%s%s", group ? group->name : "", group ? " " : "", word,
			 nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : "", nearest.best ? "?" : "");
	return -1;
}

int command_find(const char *word, const struct command_group **group, const struct command **command) {
	for (size_t i = 0; i < n_commands && !*command; i++)
		if (command_in(&commands[i], *group) && !strcmp(command_word(&commands[i]), word))
			*command = &commands[i];
	if (*command)
		return 0;
	if (*group)
		return unknown_command(*group, word);
	for (size_t i = 0; i < n_command_groups; i++)
		if (!strcmp(command_groups[i].name, word))
			*group = &command_groups[i];
	return *group ? 0 : unknown_command(NULL, word);
}

/* --- the parser */

static bool opt_allowed(const struct command *command, enum opt opt) {
	for (size_t i = 0; i < help_n_global_opts; i++)
		if (help_global_opts[i] == opt)
			return true;
	for (size_t i = 0; command && i < command->n_opts; i++)
		if (command->opts[i] == opt)
			return true;
	return false;
}

/* "--name", "--name=value", "-n", "-nvalue": which option; *value: what stands in the same word. */
static int opt_find(const char *arg, const char **value) {
	const char *name = arg + 2, *equals = strchr(arg, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);

	*value = NULL;
	for (int i = 0; i < N_OPTS; i++) {
		if (arg[1] != '-' && arg[1] == opt_defs[i].letter && (!arg[2] || opt_defs[i].arg)) {
			*value = arg[2] ? arg + 2 : NULL;
			return i;
		}
		if (arg[1] == '-' && strlen(opt_defs[i].name) == n && !strncmp(opt_defs[i].name, name, n)) {
			*value = equals ? equals + 1 : NULL;
			return i;
		}
	}
	return -1;
}

static int unknown_option(const struct command *command, const char *arg) {
	struct nearest nearest;

	nearest_init(&nearest, arg + (arg[1] == '-' ? 2 : 1));
	for (int i = 0; i < N_OPTS; i++)
		if (opt_allowed(command, (enum opt)i))
			nearest_offer(&nearest, opt_defs[i].name);
	return nearest.best ? help_usage_error(command, "no option %s here; did you mean --%s?", arg, nearest.best)
			    : help_usage_error(command, "no option %s here", arg);
}

static int take_repeated(struct cli *cli, int opt, const char *value, const char **list, size_t *n) {
	if (*n == CLI_MAX_REPEAT)
		return help_usage_error(cli->command, "too many --%s", opt_defs[opt].name);
	list[(*n)++] = value;
	return -1;
}

/* Takes one option at argv[*i]. -1: go on. */
static int take_option(struct cli *cli, int argc, char **argv, int *i) {
	const char *value;
	int opt = opt_find(argv[*i], &value);

	if (opt < 0 || !opt_allowed(cli->command, (enum opt)opt))
		return unknown_option(cli->command, argv[*i]);
	if (!opt_defs[opt].arg && value)
		return help_usage_error(cli->command, "--%s takes no value", opt_defs[opt].name);
	if (opt_defs[opt].arg && !value) {
		if (*i + 1 >= argc)
			return help_usage_error(cli->command, "--%s wants %s behind it", opt_defs[opt].name,
						opt_defs[opt].arg);
		value = argv[++*i];
	}
	cli->values[opt] = value ? value : "";
	if (opt == OPT_DELEGATE || opt == OPT_SET) /* no command has both */
		return take_repeated(cli, opt, value, cli->repeated, &cli->n_repeated);
	if (opt == OPT_ALSO)
		return take_repeated(cli, opt, value, cli->also, &cli->n_also);
	return -1;
}

/* The words of a group, for whoever said none of them. */
static int which_of(const struct command_group *group) {
	struct buf words = BUF_INIT(256);

	for (size_t i = 0; i < n_commands; i++)
		if (command_in(&commands[i], group))
			buf_addf(&words, "%s%s", words.len ? ", " : "", command_word(&commands[i]));
	help_usage_error(NULL, "hallpass %s what? There are: %s", group->name, words.data ? words.data : "");
	buf_fini(&words);
	return API_EXIT_USAGE;
}

static int take_colors(struct cli *cli) {
	const char *when = cli->values[OPT_COLOR] ? cli->values[OPT_COLOR] : "auto";
	const char *term = getenv("TERM");
	bool can = !getenv("NO_COLOR") && term && strcmp(term, "dumb");

	if (strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never"))
		return help_usage_error(cli->command, "--color is auto, always or never");
	cli->color = !strcmp(when, "always") || (!strcmp(when, "auto") && can && isatty(STDOUT_FILENO));
	cli->color_err = !strcmp(when, "always") || (!strcmp(when, "auto") && can && isatty(STDERR_FILENO));
	cli->json = cli->values[OPT_JSON] != NULL;
	cli->spinner = cli->color_err && isatty(STDERR_FILENO);
	return -1;
}

int cli_parse(struct cli *cli, int argc, char **argv) {
	bool options = true;
	int i, r;

	cli->command = command_of_link(argv[0]);
	for (i = 1; i < argc; i++) {
		if (options && !strcmp(argv[i], "--")) {
			if (cli->command && cli->command->rest) {
				i++;
				break;
			}
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			if ((r = take_option(cli, argc, argv, &i)) >= 0)
				return r;
		} else if (!cli->command) {
			if (command_find(argv[i], &cli->group, &cli->command) < 0)
				return API_EXIT_USAGE;
		} else if (cli->command->rest) {
			break;
		} else if (cli->n_args == CLI_MAX_ARGS) {
			return help_usage_error(cli->command, "too many arguments");
		} else {
			cli->args[cli->n_args++] = argv[i];
		}
	}
	if ((r = take_colors(cli)) >= 0)
		return r;
	if (cli->values[OPT_HELP] || cli->values[OPT_VERSION])
		return -1; /* main() shows it */
	if (!cli->command)
		return cli->group ? which_of(cli->group) : help_which_command();
	if (cli->command->rest) {
		cli->rest = argv + i;
		return i < argc ? -1 : help_usage_error(cli->command, "which command? hallpass %s %s", cli->command->name,
							cli->command->args);
	}
	if ((int)cli->n_args < cli->command->min_args)
		return help_usage_error(cli->command, "something is missing: hallpass %s %s", cli->command->name,
					cli->command->args);
	if ((int)cli->n_args > cli->command->max_args)
		return help_usage_error(cli->command, "what is \"%s\"?", cli->args[cli->n_args - 1]);
	return -1;
}
