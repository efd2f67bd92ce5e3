/*
 * Where Application Default Credentials look, in their order, and what is worth saying about a file found there.
 * Source: cloud.google.com/docs/authentication/application-default-credentials
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/log.h"
#include "broker/source/kind.h"

#define METADATA_HOST "metadata.google.internal"
#define OLD_KEY_DAYS 90

/* A variable that is set to nothing counts as not set. */
static const char *environment(const char *name) {
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* $CLOUDSDK_CONFIG, or ~/.config/gcloud. NULL where there is no home. */
static char *well_known_file(void) {
	static const char name[] = "application_default_credentials.json";
	const char *dir = environment("CLOUDSDK_CONFIG"), *home = environment("HOME");
	struct buf path = BUF_INIT(4096);

	if (dir)
		buf_addf(&path, "%s/%s", dir, name);
	else if (home)
		buf_addf(&path, "%s/.config/gcloud/%s", home, name);
	else
		return NULL;
	return buf_take(&path);
}

/* The firmware says so on Compute Engine and GKE; Cloud Run and Functions say it in the environment. */
static bool on_google_cloud(void) {
	char product[64] = "";
	FILE *f;

	if (environment("K_SERVICE") || environment("CLOUD_RUN_JOB"))
		return true;
	f = fopen("/sys/class/dmi/id/product_name", "re");
	if (!f)
		return false;
	if (!fgets(product, sizeof(product), f))
		product[0] = '\0';
	fclose(f);
	return !strncmp(product, "Google", 6);
}

static int pick_metadata(const char *looked_at, char **metadata_host, struct error *err) {
	if (*metadata_host)
		return 0;
	if (environment("GCE_METADATA_HOST"))
		return copy_text(environment("GCE_METADATA_HOST"), metadata_host, err);
	if (on_google_cloud())
		return copy_text(METADATA_HOST, metadata_host, err);
	return error_set(err, ERR_NOT_FOUND,
			 "no Google credential: GOOGLE_APPLICATION_CREDENTIALS is not set, %s does not exist, and this "
			 "machine is not on Google Cloud; run `gcloud auth application-default login`",
			 looked_at ? looked_at : "the home directory");
}

int adc_pick(const struct source_options *options, char **path, char **metadata_host, struct error *err) {
	const char *named = options->file ? options->file : environment("GOOGLE_APPLICATION_CREDENTIALS");
	char *well_known;
	int r;

	if (named)
		return copy_text(named, path, err);
	well_known = well_known_file();
	if (well_known && access(well_known, F_OK) == 0)
		r = copy_text(well_known, path, err);
	else
		r = pick_metadata(well_known, metadata_host, err);
	free(well_known);
	return r;
}

int adc_set_quota_project(const struct source_options *options, struct source *source, struct error *err) {
	const char *project = options->file ? NULL : environment("GOOGLE_CLOUD_QUOTA_PROJECT");

	if (!project || source_set_quota_project(source, project, err) == 0)
		return 0;
	return error_wrap(err, "GOOGLE_CLOUD_QUOTA_PROJECT");
}

/*
 * Who but us can read it? Where the file is another's (root's, say, of a service with a uid of its own), our group may be the way
 * that it is lent to us, and a chmod 600 would take it away.
 */
static void warn_of_readers(struct log *log, const char *path, const struct stat *st) {
	unsigned mode = (unsigned)st->st_mode & 07777;

	if (st->st_uid == geteuid()) {
		if (mode & (S_IRGRP | S_IROTH))
			log_warning(log, "credential-readable-by-others", "file=%s mode=%04o fix=\"chmod 600 %s\"", path, mode, path);
	} else if ((mode & S_IROTH) || ((mode & S_IRGRP) && st->st_gid != getegid())) {
		log_warning(log, "credential-readable-by-others", "file=%s mode=%04o owner=%u fix=\"chgrp %u %s && chmod 640 %s\"", path, mode,
			    (unsigned)st->st_uid, (unsigned)getegid(), path, path);
	}
}

/*
 * A key file does not say when its key was made. The file cannot hold the key for longer than the key
 * exists, so an old file has an old key; a young file proves nothing, and then nothing is said.
 */
void adc_warn_of_file(struct log *log, const char *path, const char *kind, const char *key_id, bool holds_secret,
		      int64_t now) {
	struct stat st;
	int64_t days;

	if (stat(path, &st) < 0)
		return;
	if (holds_secret)
		warn_of_readers(log, path, &st);
	days = (now - (int64_t)st.st_mtime) / 86400;
	if (key_id && days > OLD_KEY_DAYS)
		log_warning(log, "credential-key-old", "file=%s kind=%s private_key_id=%s written_days_ago=%lld", path,
			    kind, key_id, (long long)days);
}
