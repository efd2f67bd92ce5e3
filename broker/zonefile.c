/* See zonefile.h. */

#include <stdio.h>
#include <stdlib.h>
#include "broker/file.h"
#include "broker/zonefile.h"

#define ZONE_MAX_BYTES 131072

static int zonefile_read(void *arg, const char *name, unsigned char **data, size_t *len) {
	const char *dir = getenv("TZDIR");
	struct error err;
	char path[512], *text;

	(void)arg;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir && dir[0] == '/' ? dir : "/usr/share/zoneinfo", name) >=
	    sizeof(path))
		return -1;
	if (file_read(path, ZONE_MAX_BYTES, &text, len, &err) < 0)
		return err.code == ERR_UNAVAILABLE ? POLICY_TRY_AGAIN : -1;
	*data = (unsigned char *)text;
	return 0;
}

const struct policy_host zonefile_host = { .read_zone = zonefile_read };
