"""The table: which client, on which surface, and what it does there. Each snippet ends by printing whose token the API heard."""
import os
import subprocess

HEADINGS = {
    "run": "as `hallpass run` leaves it",
    "R": "in a container",
    "A": "A: metadata server",
    "B": "B: IAM Credentials",
    "C": "C: external_account",
    "F": "C: refresh token",
    "D": "D: token file",
    "E": "E: helper",
}
SURFACES = {k: v.split(": ")[-1].replace("`", "") for k, v in HEADINGS.items()}

# What the record calls it that gave the token out; None: whatever the client found.
RECORDED = {"run": None, "R": None, "A": ["metadata"], "B": ["iamCredentials"], "C": ["sts"], "F": ["sts"], "D": ["native"], "E": ["native", "sts"]}

# What leaves a client one surface alone. The developer's logins are left out there (HOME), since some clients prefer them to some surfaces;
# the column "run" is where they are present and must not be used. The metadata variables stay: without them clients probe the machine's own.
ALONE = "export HOME=$PWD CLOUDSDK_CONFIG=$PWD/gcloud\n"
NO_FILES = """
unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE CLOUDSDK_CORE_ACCOUNT GOOGLE_APPLICATION_CREDENTIALS BOTO_PATH
"""
NO_METADATA = "export CLOUDSDK_CORE_CHECK_GCE_METADATA=false\n"
ONLY = {
    "run": "",
    "R": "",
    "A": ALONE + NO_FILES,
    "B": ALONE + NO_FILES + NO_METADATA + """
export CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS=http://$GCE_METADATA_HOST/ CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$HALLPASS_HANDLE_FILE
export CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT=$SA
""",
    "C": ALONE + NO_METADATA + """
export GOOGLE_APPLICATION_CREDENTIALS=$CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE CLOUDSDK_CORE_PASS_CREDENTIALS_TO_GSUTIL=false
unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_CORE_ACCOUNT BOTO_PATH
printf '[Credentials]\\ngs_external_account_file = %s\\n[GSUtil]\\nstate_dir = %s\\n' "$GOOGLE_APPLICATION_CREDENTIALS" $PWD >boto
export BOTO_CONFIG=$PWD/boto
""",
    # external_account_authorized_user, as `hallpass run` names it.
    "F": ALONE + NO_METADATA + """
unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE CLOUDSDK_CORE_ACCOUNT BOTO_PATH
""",
    "D": ALONE + NO_FILES + NO_METADATA + """
export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$HALLPASS_TOKEN_FILE GOOGLE_OAUTH_ACCESS_TOKEN=$(cat $HALLPASS_TOKEN_FILE)
""",
    # The file that names hallpass itself as the executable to ask.
    "E": ALONE + NO_METADATA + """
unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_CORE_ACCOUNT BOTO_PATH
cat >executable.json <<EOF
{"type": "external_account", "audience": "//hallpass.invalid/local", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
 "token_url": "http://$GCE_METADATA_HOST/v1/token", "token_info_url": "http://$GCE_METADATA_HOST/v1/introspect",
 "credential_source": {"executable": {"command": "hallpass gcp-executable", "timeout_millis": 10000}}}
EOF
export GOOGLE_APPLICATION_CREDENTIALS=$PWD/executable.json GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1
export CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=$PWD/executable.json
""",
}


METADATA, EXTERNAL = ["--metadata"], ["--external-account"]
MARKS = {"--metadata": " \\*", "--external-account": " †"}
NOTE = """\\* with `hallpass run --metadata`: gcloud and Node.js get ID tokens from the metadata server alone; Java can do with it, too.

† with `hallpass run --external-account`: C++ takes no other type of file."""


class Client:
    def __init__(self, name, version, body, cells, tells=True, options=()):
        """version: a shell command that prints it, and fails where there is none. cells: what comes before the body on each surface.
        tells: the client prints whose token it was; where it cannot, the API's word alone counts, by the owner of what was asked for.
        options: of `hallpass run`, in the columns that are about it."""
        self.name, self.command, self.body, self.cells, self.tells, self.options = name, version, body, cells, tells, options
        self.missing = "not installed"

    def version(self, world):
        p = subprocess.run(["sh", "-c", self.command], env=world.environment(), capture_output=True, text=True)
        return p.stdout.strip().splitlines()[0].strip() if p.returncode == 0 and p.stdout.strip() else None

    def snippet(self, cell):
        return cell + self.body


def same(*surfaces):
    return {s: ONLY[s] for s in surfaces}


GCLOUD_VERSION = "gcloud version --format='value(\"Google Cloud SDK\")'"
IMPERSONATE = "export IMPERSONATE=http://$GCE_METADATA_HOST\n"
PYTHON = "$CACHE/python/bin/python3"
PIP_VERSION = PYTHON + " -c 'import importlib.metadata as m; print(*map(m.version, \"%s\".split()), sep=\", \")'"
NPM_VERSION = "cd $CACHE/%s && node -p 'require(\"./node_modules/%s/package.json\").version'"
JAVA_VERSION = "ls $CACHE/java/lib | sed -n 's/^google-auth-library-oauth2-http-\\(.*\\).jar/\\1/p' | grep ."
JAVA = r"""
trust="-Djavax.net.ssl.trustStore=$INTEROP/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit"
java -Duser.home=$HOME $trust -cp "$CACHE/java:$CACHE/java/lib/*" Who
"""
GO_VERSION = "$CACHE/go/who --version | sed -n 's|^%s v||p' | grep ."
KUBECTL_VERSION = "kubectl version --client | sed -n 's/^Client Version: v\\([0-9.]*\\).*/\\1/p'"
KUBECONFIG = r"""
cat >kubeconfig <<EOF
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: $SSL_CERT_FILE
    server: https://cluster.hallpass.test/kubernetes/of-$NAME
  name: c
contexts:
- context:
    cluster: c
    user: u
  name: c
current-context: c
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: gke-gcloud-auth-plugin
      provideClusterInfo: true
EOF
export KUBECONFIG=$PWD/kubeconfig
"""
WHO = "kubectl auth whoami -o jsonpath={.status.userInfo.username}\n"

CLIENTS = [
    Client("gcloud", GCLOUD_VERSION, r"""
gcloud storage ls
echo "written by gcloud" >note
gcloud storage cp -q note gs://$BUCKET/note
[ "$(gcloud storage cat gs://$BUCKET/note)" = "written by gcloud" ]
gcloud storage cat gs://$BUCKET/whoami
gcloud projects list --format='value(name)'
""", same("run", "R", "A", "B", "C", "D", "E")),
    Client("gsutil", "gsutil version | sed 's/.*: //'", r"""
gsutil ls
gsutil cat gs://$BUCKET/whoami
""", same("run", "R", "A", "C")),
    Client("bq", "bq version | sed 's/.* //'", r"""
bq --headless --format=csv query --use_legacy_sql=false 'SELECT SESSION_USER()'
bq --headless ls
""", same("run", "R", "A", "B", "C", "D")),
    Client("kubectl, gke-gcloud-auth-plugin", "gke-gcloud-auth-plugin --version >/dev/null && " + KUBECTL_VERSION, KUBECONFIG + WHO,
           same("run", "R", "A")),
    Client("kubectl", KUBECTL_VERSION,
           KUBECONFIG + "hallpass setup kubectl --yes c >/dev/null\n" + WHO, {"E": ALONE}),
    Client("docker", "docker --version | sed 's/.*version \\([0-9.]*\\).*/\\1/'", r"""
hallpass setup docker --yes us-docker.pkg.dev >/dev/null
docker manifest inspect us-docker.pkg.dev/acme-ml/of-$NAME/train:1
""", {"E": ALONE}, tells=False),
    Client("git", "git --version | sed 's/.*version //'", r"""
hallpass setup git --yes acme.googlesource.com >/dev/null
git ls-remote https://acme.googlesource.com/git/of-$NAME
""", {"E": ALONE}, tells=False),
    Client("Terraform, gcs backend", "terraform version | sed -n 's/^Terraform v//p'", r"""
cp $CLIENTS/main.tf .
export TF_CLI_ARGS=-no-color
terraform init -backend-config=bucket=$BUCKET
terraform apply -auto-approve
terraform state show terraform_data.note
""", same("run", "R", "A", "C", "F", "D"), tells=False),
    Client("google-auth, google-cloud-storage (Python)", PIP_VERSION % "google-auth google-cloud-storage", PYTHON + " $CLIENTS/storage.py\n",
           {**same("run", "R", "A", "C", "F", "E"), "B": ONLY["B"] + IMPERSONATE}),
    Client("google-cloud-bigquery (Python)", PIP_VERSION % "google-cloud-bigquery", PYTHON + " $CLIENTS/bigquery.py\n", same("run", "R", "A", "C", "F")),
    Client("pyarrow.fs.GcsFileSystem (C++)", PIP_VERSION % "pyarrow", PYTHON + " $CLIENTS/arrow.py\n", same("run", "R", "C"), options=EXTERNAL),
    Client("@google-cloud/storage (Node)", NPM_VERSION % ("node", "@google-cloud/storage"),
           "node $CLIENTS/storage.mjs\n", same("run", "R", "A", "C", "F")),
    Client("google-auth-library (Node)", NPM_VERSION % ("node", "google-auth-library"), "node $CLIENTS/auth.mjs $CACHE/node\n",
           {**same("run", "R", "A", "C", "F", "E"), "B": ONLY["B"] + IMPERSONATE}),
    Client("google-auth-library 9 (Node)", NPM_VERSION % ("node9", "google-auth-library"), "node $CLIENTS/auth.mjs $CACHE/node9\n",
           same("run", "R", "A", "C", "F", "E")),
    Client("cloud.google.com/go/storage (Go)", GO_VERSION % "cloud.google.com/go/storage", "$CACHE/go/who\n", same("run", "R", "A", "C", "F")),
    Client("golang.org/x/oauth2/google (Go)", GO_VERSION % "golang.org/x/oauth2", "$CACHE/go/who oauth2\n", same("run", "R", "A", "C", "F", "E")),
    Client("google-auth-library-oauth2-http (Java)", JAVA_VERSION, JAVA, same("run", "R", "A", "F")),
    Client("google-auth-library-oauth2-http, by metadata (Java)", JAVA_VERSION, JAVA, same("run"), options=METADATA),
    Client("gcloud, ID token", GCLOUD_VERSION, r"""
token=$(gcloud auth print-identity-token --audiences=https://service.hallpass.test $more)
curl -sSf --cacert $SSL_CERT_FILE -H "Authorization: Bearer $token" https://service.hallpass.test/service/of-$NAME
""", {"run": "more=--token-format=full\n", "A": ONLY["A"] + "more=--token-format=full\n",
          "B": ONLY["B"] + "more=\"--impersonate-service-account=$SA --include-email\"\n"}, options=METADATA),
    Client("google-auth, ID token (Python)", PIP_VERSION % "google-auth", PYTHON + " $CLIENTS/id_token.py\n", same("run", "A")),
    Client("google-auth-library, ID token (Node)", NPM_VERSION % ("node", "google-auth-library"), "node $CLIENTS/auth.mjs $CACHE/node\n",
           {"run": "export ID_TOKEN=1\n", "A": ONLY["A"] + "export ID_TOKEN=1\n"}, options=METADATA),
    Client("google.golang.org/api/idtoken (Go)", GO_VERSION % "google.golang.org/api", "$CACHE/go/who idtoken\n", same("A")),
]
