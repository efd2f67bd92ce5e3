# Google's own Python libraries: whose bucket, and who reads it.
import os
import google.auth
from google.cloud import storage

credentials, project = google.auth.default()
client = storage.Client()
bucket = client.bucket("of-" + os.environ["NAME"])
bucket.blob("note").upload_from_string("written by Python")
assert bucket.blob("note").download_as_text() == "written by Python"
assert [b.name for b in client.list_buckets()] == ["of-" + os.environ["NAME"]]
print(type(credentials).__module__, project)
print(bucket.blob("whoami").download_as_text())
