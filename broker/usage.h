#pragma once

/*
 * hallpassd's own options, in one table: --help, the manual page and the parser in main.c read it. The pages hallpassd(8) and
 * hallpassd.yaml(5) are printed from here; the latter's keys come from config.c's table.
 */

#include <getopt.h>
#include "hallpass/buf.h"

enum usage_option { USAGE_CONFIG = 1000, USAGE_CHECK, USAGE_HELP_CONFIG, USAGE_MAN, USAGE_VERSION, USAGE_HELP, USAGE_END };

#define USAGE_OPTIONS (USAGE_END - USAGE_CONFIG)

void usage_getopt(struct option out[USAGE_OPTIONS + 1]); /* for getopt_long() */
void usage_text(struct buf *out);
void usage_man_daemon(struct buf *out); /* hallpassd(8) */
void usage_man_config(struct buf *out); /* hallpassd.yaml(5) */
