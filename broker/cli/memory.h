#pragma once

/*
 * memory.c: what setup keeps from run to run, in $XDG_CONFIG_HOME/hallpass/helpers.json (~/.config):
 *
 *	accounts  {HOST: ACCOUNT}	whose token docker's and git's helper gives where nothing else says so
 *	docker	  {REGISTRY: HELPER}	the credential helper that stood in docker's config.json before
 *	kubectl	  {FILE: {users, contexts: {CONTEXT: USER}}}	what stood in a kubeconfig before
 *
 * Nothing in it is secret. It may be edited; a file that is no JSON object is an error, with its position.
 */

#include <jansson.h>
#include "hallpass/error.h"

#define MEMORY_PATH_MAX 4096
/* Where it is. -1: there is no home. */
int memory_path(char path[MEMORY_PATH_MAX], struct error *err);
/* The file's text as JSON; NULL text: an empty object. A new reference; NULL: err says where it is wrong. */
json_t *memory_parse(const char *path, const char *text, struct error *err);
#define MEMORY_HOST_MAX 256
/* A host as it stands there: in small letters, without a port. */
void memory_host(const char *host, char out[MEMORY_HOST_MAX]);
/* The account of a host; "" where none is kept. */
int memory_account(const char *host, char *out, size_t size, struct error *err);
/* An object at a key, made where it is missing. Borrowed. */
json_t *memory_object(json_t *memory, const char *key);
/* As it is to be written: a new text, NULL where nothing is left of it. Takes objects that are empty out. */
char *memory_text(json_t *memory);
