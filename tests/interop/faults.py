"""Faults, planted one at a time, and the suite seen to notice each: what a cell of the table would complain of."""
import shlex

import clients

TAMPER = 'python3 -B %s/tamper.py %s sh -ec %s'
QUICK = "google-auth, google-cloud-storage (Python)"  # a fast client
NO_METADATA = "unset GCE_METADATA_HOST GCE_METADATA_IP GCE_METADATA_ROOT\n"
BOTO = "export BOTO_CONFIG=$INTEROP/home/.boto CLOUDSDK_CORE_PASS_CREDENTIALS_TO_GSUTIL=false\n"
GO = "golang.org/x/oauth2/google (Go)"
JAVA = "google-auth-library-oauth2-http (Java)"
TYPE_ERROR = "unsupported type for timedelta seconds component: str"
# NAME, client, surface, what is spoilt (tamper.py) or lines put before the snippet, and words of the complaint, or of the client's own.
PLANTED = [
    ("the token of another account", "gcloud", "A", "wrong-token", "another account's token"),
    ("the token of another account", QUICK, "A", "wrong-token", "another account's token"),
    ("the token of another account", GO, "C", "wrong-token", "another account's token"),
    ("the token of another account", JAVA, "F", "wrong-token", "another account's token"),
    ("a token that nobody gave out", "cloud.google.com/go/storage (Go)", "A", "unknown-token", "a token of nobody's"),
    ("a newline behind a metadata leaf", "gcloud", "A", "trailing-newline", "You do not currently have an active account"),
    ("expires_in as a text", "gcloud", "A", "expires-in-as-text", TYPE_ERROR),
    ("expires_in as a text", QUICK, "A", "expires-in-as-text", TYPE_ERROR),
    ("expires_in as a text", GO, "C", "expires-in-as-text", "cannot unmarshal string"),
    ("a client that asks its machine's metadata server", QUICK, "A", NO_METADATA, "the machine's own metadata server"),
    ("a client that uses the developer's login", GO, "A", "export HOME=$INTEROP/home\n", "logs in with Google directly"),
    ("a gcloud that uses the developer's login", "gcloud", "A", "unset CLOUDSDK_CONFIG\nexport HOME=$INTEROP/home\n",
     "heard a token of developer@example.com that no record tells of"),
    ("a gsutil that uses the developer's boto file", "gsutil", "A", BOTO, "logs in with Google directly"),
    ("a client that stays anonymous", "gsutil", "A", NO_METADATA + clients.NO_METADATA, "no token"),
    # The same detour with nothing spoilt: it must not be the detour that is noticed.
    ("nothing", "gcloud", "A", "nothing-spoilt", None),
    ("nothing", GO, "C", "nothing-spoilt", None),
    ("nothing", JAVA, "F", "nothing-spoilt", None),
]


def snippet_of(world, client, surface, how):
    inner = clients.ONLY[surface]
    if "\n" in how:
        return inner + how + client.body
    return inner + TAMPER % (shlex.quote(world.here), how, shlex.quote(client.body)) + "\n"


def run(world, report, run_pair, complaints, quick):
    """quick: those alone that a fast client notices."""
    by_name = {c.name: c for c in clients.CLIENTS}
    for name, client_name, surface, how, word in [p for p in PLANTED if p[1] == QUICK] if quick else PLANTED:
        client = by_name[client_name]
        if not client.version(world):
            report.skip(client, "%s; %s not planted" % (client.missing, name))
            continue
        results = run_pair(world, snippet_of(world, client, surface, how))
        found = complaints(world, client, results, surface)
        if word is None:
            report.fault("no fault, no complaint", not found, "%s, with the same detour: %s" % (client_name, "; ".join(found) or "good"))
        else:
            said = [line.strip() for _, _, output in results for line in output.splitlines()]
            caught = [text for text in found + said if word in text] if found else []
            report.fault("seen to fail: " + name, bool(caught), "%s: %s" % (client_name, caught[0][:100] if caught else "NOT NOTICED"))
