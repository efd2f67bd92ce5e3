#!/usr/bin/env python3
"""
Runs a command behind a session's port, metadata server and token exchange, that has a fault. usage: tamper.py FAULT COMMAND [ARG …]

It stands between the command and the session, passes everything on as it is, and spoils one thing; so the suite is seen to fail where the
broker would have that fault.
"""
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading

FAULTS = {}


def fault(f):
    FAULTS[f.__name__.replace("_", "-")] = f
    return f


@fault
def wrong_token(path, body):
    """Another account's token, alive and good at Google's."""
    return spoil(body, access_token=os.environ["WRONG_TOKEN"])


@fault
def unknown_token(path, body):
    return spoil(body, access_token="ya29.standin-000000000000000000000000000000000000000000000000")


@fault
def trailing_newline(path, body):
    return body if path.endswith(("/token", "/introspect")) or "recursive" in path else body + b"\n"


@fault
def expires_in_as_text(path, body):
    return spoil(body, expires_in=lambda v: str(v))


@fault
def nothing_spoilt(path, body):
    return body


def spoil(body, **changes):
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    for name, change in changes.items():
        if isinstance(answer, dict) and name in answer:
            answer[name] = change(answer[name]) if callable(change) else change
    return json.dumps(answer).encode()


class Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        there = http.client.HTTPConnection(self.server.there)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "content-length")}
        there.request(self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))) or None, headers)
        answer = there.getresponse()
        body = answer.read()
        if answer.status == 200:
            body = self.server.spoil(self.path, body)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        there.close()

    do_POST = do_GET

    def log_message(self, *_):
        pass


def behind(env, there, here):
    """The environment with the port between instead of the session's own, in the credential file, too."""
    env = {k: here if v == there else v for k, v in env.items()}
    if "GOOGLE_APPLICATION_CREDENTIALS" in env:
        with open(env["GOOGLE_APPLICATION_CREDENTIALS"]) as f, open("behind.json", "w") as out:
            out.write(f.read().replace(there, here))
        for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"):
            env[name] = os.path.abspath("behind.json")
    return env


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
    server.daemon_threads = True
    server.there, server.spoil = os.environ["GCE_METADATA_HOST"], FAULTS[sys.argv[1]]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = "127.0.0.1:%d" % server.server_port
    return subprocess.call(sys.argv[2:], env=behind(os.environ, server.there, here))


if __name__ == "__main__":
    sys.exit(main())
