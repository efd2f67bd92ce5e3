/* See denials.h. */

#include <stdlib.h>
#include "broker/denials.h"

#define PRINCIPALS 256 /* a few KiB each, 25 with a blob to be signed: what ask_parse() lets through is short */

struct denials {
	struct denial *list[PRINCIPALS]; /* the oldest first */
	size_t n;
};

struct denials *denials_new(void) {
	return calloc(1, sizeof(struct denials));
}

static void denial_free(struct denial *denial) {
	json_decref(denial->ask.body);
	free(denial);
}

void denials_free(struct denials *denials) {
	for (size_t i = 0; denials && i < denials->n; i++)
		denial_free(denials->list[i]);
	free(denials);
}

static size_t place_of(const struct denials *denials, const char *principal) {
	size_t i = 0;

	while (i < denials->n && strcmp(denials->list[i]->principal, principal))
		i++;
	return i;
}

static void forget(struct denials *denials, size_t place) {
	denial_free(denials->list[place]);
	denials->n--;
	memmove(denials->list + place, denials->list + place + 1, (denials->n - place) * sizeof(*denials->list));
}

void denials_note(struct denials *denials, const struct denial *denial) {
	struct denial *copy = malloc(sizeof(*copy));
	size_t place = place_of(denials, denial->principal);

	if (!copy)
		return;
	*copy = *denial;
	json_incref(copy->ask.body);
	if (place < denials->n || denials->n == PRINCIPALS)
		forget(denials, place < denials->n ? place : 0);
	denials->list[denials->n++] = copy;
}

const struct denial *denials_find(const struct denials *denials, const char *principal) {
	size_t place = place_of(denials, principal);

	return place < denials->n ? denials->list[place] : NULL;
}
