"""What runs around the clients: the network, the stand-in, hallpassd, and a developer who has logins of his own."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import bridge
from bridge import MACHINE, bring_up

DEV = "ml-training-dev-sa@acme-ml.iam.gserviceaccount.com"
PROD = "ml-training-prod-sa@acme-ml.iam.gserviceaccount.com"
OTHER = {DEV: PROD, PROD: DEV}
DEVELOPER = "developer@example.com"
REFRESH_TOKEN = "1//developers-own-refresh-token"  # known to the stand-in: who spends it gets a token of the developer's
PATIENCE_S = 30

# Names that lead to the stand-in.
GOOGLE = """storage.googleapis.com www.googleapis.com bigquery.googleapis.com cloudresourcemanager.googleapis.com oauth2.googleapis.com
accounts.googleapis.com sts.googleapis.com iamcredentials.googleapis.com iam.googleapis.com serviceusage.googleapis.com
container.googleapis.com us-docker.pkg.dev acme.googlesource.com cluster.hallpass.test service.hallpass.test""".split()
MACHINE_NAMES = ["metadata.google.internal", "metadata.google.internal.", "metadata"]


def name_of(account):
    return account.split("@")[0]


class World:
    def __init__(self, build, cache, keep=False):
        self.build, self.cache, self.keep = build, cache, keep
        self.here = os.path.dirname(os.path.abspath(__file__))
        self.dir = tempfile.mkdtemp(prefix="hallpass-interop.")
        self.home = self.path("home")
        self.processes = []

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def __enter__(self):
        try:
            self.network()
            self.start_google()
            self.start_broker()
            self.install()
            self.move_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for p in self.processes:
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
        if self.keep:
            print("interop: left in", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- the network

    def network(self):
        bring_up("lo", "127.0.0.1")
        bring_up("lo:1", MACHINE)
        hosts = self.write("hosts", "127.0.0.1 localhost %s\n%s %s\n" % (" ".join(GOOGLE), MACHINE, " ".join(MACHINE_NAMES)), 0o644)
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)

    # --- the programs

    def start(self, name, *argv):
        log = open(self.path(name + ".log"), "w")
        self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir))
        return self.processes[-1]

    def wait_for(self, path, process):
        end = time.monotonic() + PATIENCE_S
        while not os.path.exists(path):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("interop: %s did not come up; its log:\n%s" % (process.args[0], self.log_of(process)))
            time.sleep(0.02)

    def log_of(self, process):
        with open(self.path(os.path.basename(process.args[0]) + ".log")) as f:
            return f.read()

    def start_google(self):
        p = self.start("google-standin", self.build + "/google-standin", "--dir", self.path("google"), "--google-port", "443", "--machine-port", "80")
        self.wait_for(self.path("google", "url"), p)
        with open(self.path("google", "url")) as f:
            self.url = f.read().strip()
        self.ca = self.path("google", "ca.pem")
        for name, address in bridge.DOORS.items():
            bridge.serve(bridge.unix_listener(self.path(name)), socket.AF_INET, address)
        if shutil.which("keytool"):  # Java keeps certificates in a way of its own
            subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "standin", "-file", self.ca, "-keystore", self.path("trust.p12"),
                            "-storetype", "PKCS12", "-storepass", "changeit"], check=True, capture_output=True)

    def start_broker(self):
        self.write("policy.yaml", """version: 1
bindings:
  - name: dev
    members: ["user:me@example.com"]
    serviceAccounts: [%s, %s]
    maxLifetime: 1h
    permissions: [iam.serviceAccounts.getAccessToken, iam.serviceAccounts.getOpenIdToken]
""" % (DEV, PROD))
        config = self.write("hallpassd.yaml", """listeners: [{unix: hp.sock}]
peers: [{uid: %d, principal: "user:me@example.com"}]
credential: {file: google/broker-key.json}
policy: policy.yaml
audit: {directory: audit, segmentSize: 4MiB, lowWater: 0}
endpoints: {iamCredentials: "%s"}
limits: {requestsPerMinute: 100000, burst: 10000}
""" % (os.geteuid(), self.url))
        p = self.start("hallpassd", self.build + "/hallpassd", "--config", config)
        self.wait_for(self.path("hp.sock"), p)

    # --- the developer

    def install(self):
        """hallpass by all of its names, as `make install` lays them."""
        os.mkdir(self.path("bin"))
        for name in ("hallpass", "docker-credential-hallpass", "git-credential-hallpass"):
            os.symlink(self.build + "/hallpass", self.path("bin", name))

    def move_in(self):
        """A home in which he has logged in himself, by gcloud and for programs: neither is ever to be used."""
        login = {"type": "authorized_user", "client_id": "developers-client", "client_secret": "developers-secret", "refresh_token": REFRESH_TOKEN}
        self.write("home/.config/gcloud/application_default_credentials.json", json.dumps(login))
        self.write("home/.config/gcloud/configurations/config_default", "[core]\naccount = %s\nproject = developers-own\n" % DEVELOPER)
        self.write("home/.config/gcloud/active_config", "default")
        self.write("home/.boto", "[Credentials]\ngs_oauth2_refresh_token = %s\n[OAuth2]\nclient_id = x\nclient_secret = x\n" % REFRESH_TOKEN)
        if shutil.which("gcloud"):  # as `gcloud auth login` leaves it
            p = subprocess.run(["gcloud", "auth", "activate-refresh-token", DEVELOPER, REFRESH_TOKEN], env=self.environment(),
                               capture_output=True, text=True)
            if p.returncode:
                raise SystemExit("interop: the developer cannot log in to gcloud:\n" + p.stderr)
        self.write("home/.gitconfig", "[user]\n\tname = Developer\n\temail = %s\n" % DEVELOPER)

    def environment(self, **more):
        keep = {k: os.environ[k] for k in ("PATH", "LANG", "TERM", "TMPDIR", "JAVA_HOME", "PYENV_ROOT") if k in os.environ}
        return {
            **keep,
            "HOME": self.home,
            "HALLPASS_SOCKET": self.path("hp.sock"),
            "PATH": self.path("bin") + os.pathsep + os.environ["PATH"],
            # Google's certificates are the stand-in's; each client has another name for where they are.
            "SSL_CERT_FILE": self.ca,
            "REQUESTS_CA_BUNDLE": self.ca,
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": self.ca,
            "NODE_EXTRA_CA_CERTS": self.ca,
            "GIT_SSL_CAINFO": self.ca,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "GIT_TERMINAL_PROMPT": "0",
            "CLOUDSDK_CORE_PRINT_UNHANDLED_TRACEBACKS": "true",
            "CHECKPOINT_DISABLE": "1",
            "CLIENTS": os.path.join(self.here, "clients"),
            "CACHE": self.cache,
            "INTEROP": self.dir,
            **more,
        }

    def run_as(self, target, snippet, seconds, container=False, options=()):
        """In a session of its own, in a directory of its own; exit code and output. container: in a network of its own, too, which
        reaches the broker by its Unix socket alone."""
        place = tempfile.mkdtemp(prefix=name_of(target) + ".", dir=self.dir)
        env = self.environment(NAME=name_of(target), SA=target, BUCKET="of-" + name_of(target), WRONG_TOKEN=self.token_of(OTHER[target]))
        try:
            wrap = ["unshare", "--net", "python3", "-B", os.path.join(self.here, "bridge.py"), self.dir] if container else []
            p = subprocess.run(wrap + [self.build + "/hallpass", "run", "--as", target, *options, "--", "sh", "-ec", snippet], cwd=place, env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
        except subprocess.TimeoutExpired as e:
            return 124, (e.stdout or b"").decode(errors="replace") + "\n(it took more than %d s)" % seconds
        return p.returncode, p.stdout.decode(errors="replace")

    def token_of(self, target):
        p = subprocess.run([self.build + "/hallpass", "token", target], env=self.environment(), capture_output=True, text=True, check=True)
        return p.stdout.strip()

    # --- what was heard, and what stands in the record

    def ask_google(self, path, body=None):
        with urllib.request.urlopen(self.url + path, body) as answer:
            return answer.read()

    def forget(self):
        self.ask_google("/standin/reset", b"{}")

    def seen(self):
        return json.loads(self.ask_google("/standin/seen"))

    def records(self):
        p = subprocess.run([self.build + "/hallpass", "log", "--dir", self.path("audit"), "--json"], capture_output=True, check=True)
        return [json.loads(line) for line in p.stdout.splitlines()]

    def not_recorded(self, seen, surfaces):
        """Every bearer must stand in the record, as given to a session of its account, on one of these surfaces (None: any). What a
        session's token file holds was asked for beside the session: on the surface "native"."""
        records = self.records()
        sessions = {r["session"]: r["target"] for r in records if r["type"] == "opened"}
        found = []
        for s in seen:
            if s["verdict"] != "ok":
                continue
            issued = [r for r in records if r["type"] == "issued" and r.get("token") == s["sha256"] and r["target"] == s["account"]]
            given = {r["surface"] for r in issued if r["surface"] == "native" or sessions.get(r.get("session")) == s["account"]}
            if not given:
                found.append("%s heard a token of %s that no record tells of" % (s["api"], s["account"]))
            elif surfaces and not given & set(surfaces):
                found.append("%s heard a token that was given out on %s, not on %s" % (s["api"], ", ".join(sorted(given)), " or ".join(surfaces)))
        return found
