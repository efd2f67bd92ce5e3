"""
Two terminals with two targets at the same time, recorded as they were: what README shows. Two real shells on terminals of their own, in
the suite's world; N$ is the prompt of terminal N.
"""
import os
import pty
import re
import select
import time

from world import DEV, PROD

MARK = "<done %d>"
BQ = "bq -q --headless --format=csv query --use_legacy_sql=false 'SELECT SESSION_USER()' | tail -n 1"
PYTHON = """python3 -c 'import google.auth.transport.requests as r, google.auth
s = r.AuthorizedSession(google.auth.default()[0]); print(s.get("https://www.googleapis.com/oauth2/v3/userinfo").json()["email"])'"""

# Which terminal, and what is typed there.
SCRIPT = [
    (1, 'eval "$(hallpass env --as %s)"' % DEV),
    (2, 'eval "$(hallpass env --as %s)"' % PROD),
    (1, "gcloud storage ls"),
    (2, "gcloud storage ls"),
    (1, BQ),
    (2, BQ),
    (1, PYTHON),
    (2, PYTHON),
    (1, "hallpass log | grep ' issued ' | tail -n 2"),
    (1, 'eval "$(hallpass env --end)"; gcloud storage ls'),
    (2, "gcloud storage ls"),
]


class Terminal:
    def __init__(self, env, cwd):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(cwd)
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], {**env, "PS1": "", "PS2": "", "TERM": "dumb", "COLUMNS": "200"})
        self.n = 0
        self.type("stty -echo cols 200; PS1= PS2=; set +o history; bind 'set enable-bracketed-paste off' 2>/dev/null")

    def type(self, command, seconds=120):
        """What appears until the command has ended."""
        self.n += 1
        mark = MARK % self.n
        os.write(self.fd, (command + "\necho '%s'\"%s\"\n" % (mark[:3], mark[3:])).encode())
        said, end = "", time.monotonic() + seconds
        while not re.search("^" + re.escape(mark), said, re.M):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit("interop: %s did not end:\n%s" % (command, said))
            said += os.read(self.fd, 4096).decode(errors="replace").replace("\r", "")
        return said[:said.index(mark)]


def record(world):
    env = world.environment(PATH=os.path.join(world.cache, "python", "bin") + os.pathsep + world.environment()["PATH"])
    terminals = {n: Terminal(env, world.dir) for n in (1, 2)}
    lines = []
    for n, command in SCRIPT:
        lines += ["%d$ %s" % (n, command)] + terminals[n].type(command).rstrip("\n").split("\n")
    return "\n".join(line for line in lines if line) + "\n"
