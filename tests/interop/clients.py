"""The table: which client, on which surface, and what it does there. Each snippet ends by printing whose token the API heard."""
import os
import subprocess

HEADINGS = {
    "run": "as `hallpass run` leaves it",
    "A": "A: metadata server",
    "B": "B: IAM Credentials",
    "C": "C: external_account",
    "D": "D: token file",
    "E": "E: helper",
}
SURFACES = {k: v.split(": ")[-1].replace("`", "") for k, v in HEADINGS.items()}

# What the record may call it that gave the token out.
RECORDED = {"run": None, "A": ["metadata"], "B": ["iamcredentials"], "C": ["sts"], "D": ["native"], "E": ["native"]}

# What leaves a client one surface alone. The developer's logins are left out there (HOME), since some clients prefer them to some surfaces;
# the column "run" is where they are present and must not be used.
ALONE = "export HOME=$PWD CLOUDSDK_CONFIG=$PWD/gcloud\n"
ONLY = {
    "run": "",
    "A": ALONE + "unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE GOOGLE_APPLICATION_CREDENTIALS\n",
    "D": ALONE + "unset CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE GOOGLE_APPLICATION_CREDENTIALS\nexport CLOUDSDK_CORE_CHECK_GCE_METADATA=false\n",
}


class Client:
    def __init__(self, name, version, missing, body, cells, env=None):
        """version: a shell command that prints it, and fails where there is none. cells: a surface's own lines, before the body or instead
        of it where they end in a line "exit"."""
        self.name, self.command, self.missing, self.body, self.cells, self.more = name, version, missing, body, cells, env or {}

    def version(self, world):
        p = subprocess.run(["sh", "-c", self.command], env=world.environment(self.more), capture_output=True, text=True)
        return p.stdout.strip().splitlines()[0].strip() if p.returncode == 0 and p.stdout.strip() else None

    def env(self, world):
        return self.more

    def snippet(self, cell):
        return cell + self.body


def same(*surfaces):
    return {s: ONLY[s] for s in surfaces}


PYTHON = "$CACHE/python/bin/python3"
PIP_VERSION = PYTHON + " -c 'import importlib.metadata as m; print(m.version(\"%s\"))'"
NPM_VERSION = "cd $CACHE/%s && node -p 'require(\"./node_modules/%s/package.json\").version'"
GO_VERSION = "$CACHE/go/who --version | sed -n 's|^%s v||p' | grep ."
KUBECONFIG = r"""
cat >kubeconfig <<EOF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://cluster.hallpass.test/kubernetes/of-$NAME", certificate-authority: $SSL_CERT_FILE}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, %s}}}]
EOF
export KUBECONFIG=$PWD/kubeconfig
"""
WHO = "kubectl auth whoami -o jsonpath={.status.userInfo.username}\n"

CLIENTS = [
    Client("gcloud", "gcloud version --format='value(\"Google Cloud SDK\")'", "not installed", r"""
gcloud storage ls
echo "written by gcloud" >note
gcloud storage cp -q note gs://$BUCKET/note
[ "$(gcloud storage cat gs://$BUCKET/note)" = "written by gcloud" ]
gcloud storage cat gs://$BUCKET/whoami
gcloud projects list --format='value(name)'
""", same("run", "A", "D")),
    Client("gsutil", "gsutil version | sed 's/.*: //'", "not installed", r"""
gsutil ls
gsutil cat gs://$BUCKET/whoami
""", same("run", "A")),
    Client("bq", "bq version | sed 's/.* //'", "not installed", r"""
bq --headless --format=csv query --use_legacy_sql=false 'SELECT SESSION_USER()'
bq --headless ls
""", same("run", "A", "D")),
    Client("kubectl, gke-gcloud-auth-plugin", "gke-gcloud-auth-plugin --version | sed 's/.*v\\([0-9.]*\\).*/\\1/;s/+.*//'", "not installed",
           KUBECONFIG % "command: gke-gcloud-auth-plugin, provideClusterInfo: true" + WHO, same("run", "A")),
    Client("Terraform, gcs backend", "terraform version | sed -n 's/^Terraform v//p'", "not installed", r"""
cp $CLIENTS/main.tf .
export TF_CLI_ARGS=-no-color
terraform init -backend-config=bucket=$BUCKET
terraform apply -auto-approve
terraform output
gsutil_free=$(curl -sS --cacert $SSL_CERT_FILE -H "Authorization: Bearer $(cat $INTEROP/nothing 2>/dev/null)" https://storage.googleapis.com/ >/dev/null 2>&1 || true)
""", same("run", "A")),
    Client("google-auth, google-cloud-storage (Python)", PIP_VERSION % "google-cloud-storage", "not installed", PYTHON + " $CLIENTS/storage.py\n",
           same("run", "A")),
    Client("google-cloud-bigquery (Python)", PIP_VERSION % "google-cloud-bigquery", "not installed", PYTHON + " $CLIENTS/bigquery.py\n", same("run", "A")),
    Client("@google-cloud/storage (Node)", NPM_VERSION % ("node", "@google-cloud/storage"), "not installed",
           "cp $CLIENTS/storage.mjs $CACHE/node/\nnode $CACHE/node/storage.mjs\n", same("run", "A")),
    Client("google-auth-library (Node)", NPM_VERSION % ("node", "google-auth-library"), "not installed", "node $CLIENTS/auth.mjs\n", same("run", "A"),
           {"MODULES": "$CACHE/node"}),
    Client("google-auth-library 9 (Node)", NPM_VERSION % ("node9", "google-auth-library"), "not installed", "node $CLIENTS/auth.mjs\n", same("run", "A"),
           {"MODULES": "$CACHE/node9"}),
    Client("cloud.google.com/go/storage (Go)", GO_VERSION % "cloud.google.com/go/storage", "not installed", "$CACHE/go/who\n", same("run", "A")),
    Client("golang.org/x/oauth2/google (Go)", GO_VERSION % "golang.org/x/oauth2", "not installed", "$CACHE/go/who oauth2\n", same("run", "A")),
    Client("google-auth-library-oauth2-http (Java)", "ls $CACHE/java/lib | sed -n 's/^google-auth-library-oauth2-http-\\(.*\\).jar/\\1/p' | grep .", "not installed",
           "java -Djavax.net.ssl.trustStore=$INTEROP/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit -cp \"$CACHE/java:$CACHE/java/lib/*\" Who\n",
           same("run", "A")),
]
