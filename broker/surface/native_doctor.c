/* The doctor in the native API. See call.h; what it looks at, tells doctor.h. */

#include "broker/broker.h"
#include "broker/clock.h"
#include "broker/doctor.h"
#include "broker/loopback.h"
#include "broker/surface/ask.h"
#include "broker/surface/call.h"
#include "hallpass/api.h"
#include "hallpass/cleanup.h"

static void on_examined(json_t *checks, void *arg) {
	struct call *call = arg;

	call->doctor = NULL;
	call_reply_json(call, json_pack("{s:I, s:I, s:o}", API_TIME, (json_int_t)clock_now().s, API_NETWORK,
					(json_int_t)loopback_network(), API_CHECKS, checks));
}

/* An empty body is one without accounts. */
static int read_accounts(struct call *call, struct error *err) {
	const char *key;
	json_t *value;

	json_object_foreach(call->body, key, value)
		if (strcmp(key, API_SERVICE_ACCOUNTS))
			return error_set(err, ERR_INVALID, "unknown member \"%.60s\": {\"" API_SERVICE_ACCOUNTS "\": [EMAIL]} is all there is", key);
	return ask_emails(json_object_get(call->body, API_SERVICE_ACCOUNTS), API_SERVICE_ACCOUNTS, "an account", DOCTOR_MAX_ACCOUNTS, call->accounts,
			  &call->n_accounts, err);
}

void answer_doctor(struct call *call) {
	struct broker *broker = call_broker(call);
	struct doctor_spec spec = {
		.base = broker_base(broker),
		.requests = broker_requests(broker),
		.fetcher = broker_fetcher(broker),
		.source = broker_source(broker),
		.snapshot = call->snapshot,
		.caller = &call->caller,
		.for_operator = call_is_operators(call),
		.accounts = call->accounts,
	};
	struct error err;

	if (read_accounts(call, &err) < 0) {
		call_fail(call, &err, NULL, NULL, 0);
		return;
	}
	spec.n_accounts = call->n_accounts;
	call->doctor = doctor_start(&spec, on_examined, call);
	if (!call->doctor)
		call_no_memory(call);
}
