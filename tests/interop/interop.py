#!/usr/bin/env python3
"""
The interop suite: Google's real clients, unmodified, in front of hallpassd and the stand-in for Google.

It runs in a network of its own that has only loopback (run.sh sees to that), in which Google's host names lead to the stand-in and
169.254.169.254 is a machine's own metadata server, as on a cloud. A client that slips past the broker, to either of them or with the
developer's own login, which is there as well, is heard and has failed.

Each cell of the table client x surface runs twice at the same time, in two sessions with two targets. It is good when both exit with 0,
both print their own account's name, as only the API could have told it; every bearer that an API heard was a live token of the account that
the request was about; and each of these tokens stands in hallpass's record, as given to that session, on that surface.

clients.py is the table; world.py is what runs around it; faults.py plants faults and sees the suite notice them; transcript.py records what
README shows of two terminals.
"""
import argparse
import concurrent.futures
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clients
import faults
import transcript
from world import DEV, OTHER, PROD, World, name_of

SECONDS = 180  # the longest that a cell may take
UNDER_RUN = ("run", "R")  # where a client's own options of `hallpass run` count


def run_pair(world, snippet, container=False, options=()):
    """The snippet in two sessions at the same time; a list of (target, exit code, output)."""
    targets = (DEV, PROD)
    world.forget()
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        runs = [pool.submit(world.run_as, target, snippet, SECONDS, container, options) for target in targets]
        return [(target, *run.result()) for target, run in zip(targets, runs)]


def complaints(world, client, results, surface):
    """What is wrong with a cell, in words; none: nothing."""
    found = []
    for target, code, output in results:
        if code:
            found.append(f"{name_of(target)}: exit code {code}")
        if client.tells and target not in output:
            found.append(f"{name_of(target)}: no API said that it was this account")
        if OTHER[target] in output:
            found.append(f"{name_of(target)}: its output names {name_of(OTHER[target])}")
    seen = world.seen()
    for s in seen:
        if s["verdict"] != "ok":
            found.append(f"{s['api']} {s['path']}: {s['verdict']} ({s['agent'][:60] or 'no agent'})")
    for target, _, _ in results:
        if not any(s["verdict"] == "ok" and s["account"] == target for s in seen):
            found.append(f"{name_of(target)}: no API heard a token of its")
    return found + world.not_recorded(seen, clients.RECORDED[surface])


def run_cell(world, client, surface, cell):
    began = time.monotonic()
    results = run_pair(world, client.snippet(cell), surface == "R", client.options if surface in UNDER_RUN else ())
    found = complaints(world, client, results, surface)
    return found, results, time.monotonic() - began


class Report:
    """One line each, and the output of what failed; at the end the table that README takes."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.versions, self.cells = {}, {}

    def line(self, word, text):
        print(f"{word:<6} {text}", flush=True)

    def cell(self, client, version, surface, found, results, seconds, n):
        self.versions[client.name] = version
        self.cells[client.name, surface] = not found
        what = " ".join([f"{client.name} {version}, {clients.SURFACES[surface]}", *(client.options if surface in UNDER_RUN else ())])
        if not found:
            self.passed += 1
            self.line("ok", f"{what}: 2 targets at once, {n} requests ({seconds:.0f} s)")
            return
        self.failed += 1
        self.line("FAILED", f"{what} ({seconds:.0f} s)")
        for text in dict.fromkeys(found):
            print("    " + text)
        for target, code, output in results:
            print(f"    --- {name_of(target)}, exit code {code}")
            for text in output.strip().splitlines()[-25:]:
                print("    " + text)

    def skip(self, client, why):
        self.skipped += 1
        self.line("skip", f"{client.name}: {why}")

    def fault(self, name, caught, text):
        if caught:
            self.passed += 1
        else:
            self.failed += 1
        self.line("ok" if caught else "FAILED", f"{name}: {text}")

    def table(self):
        used = [s for s in clients.SURFACES if any((c.name, s) in self.cells for c in clients.CLIENTS)]
        rows = ["| client | version | " + " | ".join(clients.HEADINGS[s] for s in used) + " |", "| --- " * (len(used) + 2) + "|"]
        for c in clients.CLIENTS:
            if c.name not in self.versions:
                continue
            marks = [{True: "yes", False: "**no**", None: ""}[self.cells.get((c.name, s))] for s in used]
            if c.options:
                marks = [m + clients.MARKS[c.options[0]] if m and s in UNDER_RUN else m for m, s in zip(marks, used)]
            rows.append(f"| {c.name} | {self.versions[c.name]} | " + " | ".join(marks) + " |")
        return "\n".join(rows + ["", clients.NOTE]) + "\n"

    def write(self, build):
        """The table, and what `make check` counts; the last line is a test runner's."""
        for name, text in (("interop/table.md", self.table()), ("logs/interop.count", f"{self.passed} {self.failed} {self.skipped}\n")):
            path = os.path.join(build, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        print(f"interop: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")


def into_readme(table):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")
    with open(path) as f:
        text, n = re.subn(r"(<!-- interop: .* -->\n).*?(<!-- /interop -->)", lambda m: m[1] + table + m[2], f.read(), flags=re.S)
    if n != 1:
        raise SystemExit("interop: README.md has no place for the table, or several")
    with open(path, "w") as f:
        f.write(text)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", default="build")
    options.add_argument("--cache", required=True)
    options.add_argument("--only", default="", help="clients whose name matches")
    options.add_argument("--surface", default="", help="one surface")
    options.add_argument("--quick", action="store_true", help="each client as people use it, and one fault: under a minute")
    options.add_argument("--no-faults", action="store_true")
    options.add_argument("--readme", action="store_true", help="write the table into README.md")
    options.add_argument("--transcript", action="store_true", help="record two terminals instead")
    options.add_argument("--keep", action="store_true", help="leave the directory")
    o = options.parse_args()
    if o.readme and (o.only or o.surface or o.quick):
        options.error("--readme takes the whole table")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, the directory removed
    report = Report()
    with World(os.path.abspath(o.build), os.path.abspath(o.cache), o.keep) as world:
        if o.transcript:
            print(transcript.record(world), end="")
            return 0
        for client in clients.CLIENTS:
            if not re.search(o.only, client.name):
                continue
            version = client.version(world)
            if not version:
                report.skip(client, client.missing)
                continue
            for surface, cell in client.cells.items():
                if (o.surface and surface != o.surface) or (o.quick and surface != list(client.cells)[0]):
                    continue
                found, results, seconds = run_cell(world, client, surface, cell)
                report.cell(client, version, surface, found, results, seconds, len(world.seen()))
        if not (o.no_faults or o.only or o.surface):
            faults.run(world, report, run_pair, complaints, o.quick)
    report.write(o.build)
    if o.readme:
        into_readme(report.table())
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
