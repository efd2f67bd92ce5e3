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
    def __init__(self, name, version, body, cells, missing="not installed", tells=True):
        """version: a shell command that prints it, and fails where there is none. cells: what comes before the body on each surface.
        tells: the client prints whose token it was; where it cannot, the API's word alone counts, by the bucket's owner."""
        self.name, self.command, self.body, self.cells, self.missing, self.tells = name, version, body, cells, missing, tells

    def version(self, world):
        p = subprocess.run(["sh", "-c", self.command], env=world.environment(), capture_output=True, text=True)
        return p.stdout.strip().splitlines()[0].strip() if p.returncode == 0 and p.stdout.strip() else None

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
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/%s, interactiveMode: Never, %s}}}]
EOF
export KUBECONFIG=$PWD/kubeconfig
"""
WHO = "kubectl auth whoami -o jsonpath={.status.userInfo.username}\n"

CLIENTS = [
    Client("gcloud", "gcloud version --format='value(\"Google Cloud SDK\")'", r"""
gcloud storage ls
echo "written by gcloud" >note
gcloud storage cp -q note gs://$BUCKET/note
[ "$(gcloud storage cat gs://$BUCKET/note)" = "written by gcloud" ]
gcloud storage cat gs://$BUCKET/whoami
gcloud projects list --format='value(name)'
""", same("run", "A", "D")),
    Client("gsutil", "gsutil version | sed 's/.*: //'", r"""
gsutil ls
gsutil cat gs://$BUCKET/whoami
""", same("run", "A")),
    Client("bq", "bq version | sed 's/.* //'", r"""
bq --headless --format=csv query --use_legacy_sql=false 'SELECT SESSION_USER()'
bq --headless ls
""", same("run", "A", "D")),
    Client("kubectl, gke-gcloud-auth-plugin", "gke-gcloud-auth-plugin --version >/dev/null && kubectl version --client | sed -n 's/^Client Version: v\\([0-9.]*\\).*/\\1/p'",
           KUBECONFIG % ("v1beta1", "command: gke-gcloud-auth-plugin, provideClusterInfo: true") + WHO, same("run", "A")),
    Client("Terraform, gcs backend", "terraform version | sed -n 's/^Terraform v//p'", r"""
cp $CLIENTS/main.tf .
export TF_CLI_ARGS=-no-color
terraform init -backend-config=bucket=$BUCKET
terraform apply -auto-approve
terraform state show terraform_data.note
""", same("run", "A"), tells=False),
    Client("google-auth, google-cloud-storage (Python)", PIP_VERSION % "google-cloud-storage", PYTHON + " $CLIENTS/storage.py\n",
           same("run", "A")),
    Client("google-cloud-bigquery (Python)", PIP_VERSION % "google-cloud-bigquery", PYTHON + " $CLIENTS/bigquery.py\n", same("run", "A")),
    Client("@google-cloud/storage (Node)", NPM_VERSION % ("node", "@google-cloud/storage"),
           "node $CLIENTS/storage.mjs\n", same("run", "A")),
    Client("google-auth-library (Node)", NPM_VERSION % ("node", "google-auth-library"), "node $CLIENTS/auth.mjs $CACHE/node\n", same("run", "A")),
    Client("google-auth-library 9 (Node)", NPM_VERSION % ("node9", "google-auth-library"), "node $CLIENTS/auth.mjs $CACHE/node9\n",
           same("run", "A")),
    Client("cloud.google.com/go/storage (Go)", GO_VERSION % "cloud.google.com/go/storage", "$CACHE/go/who\n", same("run", "A")),
    Client("golang.org/x/oauth2/google (Go)", GO_VERSION % "golang.org/x/oauth2", "$CACHE/go/who oauth2\n", same("run", "A")),
    Client("google-auth-library-oauth2-http (Java)", "ls $CACHE/java/lib | sed -n 's/^google-auth-library-oauth2-http-\\(.*\\).jar/\\1/p' | grep .",
           "java -Djavax.net.ssl.trustStore=$INTEROP/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit -cp \"$CACHE/java:$CACHE/java/lib/*\" Who\n",
           same("run", "A")),
]
