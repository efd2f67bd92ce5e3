# Google's own Python libraries: whose bucket, and who reads it. IMPERSONATE: by the IAM Credentials API there.
import os
import google.auth
import google.oauth2.credentials
from google.auth import impersonated_credentials
from google.cloud import storage


def impersonated(endpoint):
    with open(os.environ["HALLPASS_HANDLE_FILE"]) as f:
        source = google.oauth2.credentials.Credentials(f.read().strip())
    account = os.environ["SA"]
    return impersonated_credentials.Credentials(
        source, account, ["https://www.googleapis.com/auth/cloud-platform"],
        iam_endpoint_override="%s/v1/projects/-/serviceAccounts/%s:generateAccessToken" % (endpoint, account))


if "IMPERSONATE" in os.environ:
    credentials, project = impersonated(os.environ["IMPERSONATE"]), os.environ["GOOGLE_CLOUD_PROJECT"]
else:
    credentials, project = google.auth.default()
client = storage.Client(project, credentials)
bucket = client.bucket("of-" + os.environ["NAME"])
bucket.blob("note").upload_from_string("written by Python")
assert bucket.blob("note").download_as_text() == "written by Python"
assert [b.name for b in client.list_buckets()] == ["of-" + os.environ["NAME"]]
print(type(credentials).__module__, project)
print(bucket.blob("whoami").download_as_text())
