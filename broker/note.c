/* See note.h. */

#include "broker/clock.h"
#include "broker/log.h"
#include "broker/note.h"

void note_peer(struct audit_record *record, const struct peer *peer) {
	record->auth = peer->how;
	record->peer_known = true;
	record->uid = peer->uid;
	record->gid = peer->gid;
	record->pid = peer->pid;
	record->exe = peer->exe[0] ? peer->exe : NULL;
}

void note(struct request_world *world, struct audit_record *record) {
	struct buf json = RECORD_BUF;
	struct error err = { 0 };

	record->time = clock_now();
	record->policy = world->snapshot ? world->snapshot->policy_sha256 : NULL;
	record_write(record, &json);
	if (!buf_ok(&json) || audit_append(world->audit, json.data, json.len, NULL, &err) < 0)
		log_warning(world->log, "unrecorded", "what=%s error=\"%s\"", record_type_name(record->type), err.message);
	buf_fini(&json);
}
