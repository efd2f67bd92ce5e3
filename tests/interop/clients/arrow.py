# pyarrow's own file system, google-cloud-cpp below it: whose bucket, and who reads it.
import os
from pyarrow import fs

bucket = "of-" + os.environ["NAME"]
gcs = fs.GcsFileSystem()
with gcs.open_output_stream(bucket + "/note") as f:
    f.write(b"written by C++")
with gcs.open_input_stream(bucket + "/note") as f:
    assert f.read() == b"written by C++"
with gcs.open_input_stream(bucket + "/whoami") as f:
    print(f.read().decode())
