"""A proxy before the REST API that keeps each request with its answer, and the check of what it kept
against schemas of our own.

    rest.py proxy PORT UPSTREAM_URL LOG
    rest.py check SCHEMAS LOG

SCHEMAS is a directory: `operations.json` names method and path of each operation with its schemas; the
others are JSON Schema (draft 2020-12) of forms and answers, written from Twilio's published description.
"""

import http.server
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

PASSED_ON = ("Authorization", "Content-Type", "Accept")


def proxy(port, upstream, path):
    log = open(path, "w", encoding="utf-8")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self):
            if self.path == "/healthz":
                self.send_response(204)
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in PASSED_ON if self.headers[name]}
            request = urllib.request.Request(
                upstream + self.path, data=body or None, headers=headers, method=self.command
            )
            try:
                answer = urllib.request.urlopen(request, timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            got = answer.read()
            kind = answer.headers.get("Content-Type", "")
            kept = {
                "method": self.command,
                "target": self.path,
                "form": parse_qs(body.decode(), keep_blank_values=True),
                "status": answer.status,
                "answer": json.loads(got) if got and "json" in kind else None,
            }
            log.write(json.dumps(kept) + "\n")
            log.flush()
            self.send_response(answer.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(got)))
            self.end_headers()
            self.wfile.write(got)

        do_GET = do_POST = do_DELETE = pass_on

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def check(directory, path):
    directory = Path(directory)
    operations = json.loads((directory / "operations.json").read_text())
    registry = Registry()
    schemas = {}
    for file in directory.glob("*.json"):
        if file.name != "operations.json":
            schemas[file.name] = json.loads(file.read_text())
            Draft202012Validator.check_schema(schemas[file.name])
            registry = registry.with_resource(file.name, Resource.from_contents(schemas[file.name]))

    def problems(reference, value):
        validator = Draft202012Validator({"$ref": reference}, registry=registry)
        for error in validator.iter_errors(value):
            place = "/".join(str(part) for part in error.absolute_path)
            yield f"{place}: {error.message}"

    failures, seen = [], {}
    for line in Path(path).read_text().splitlines():
        kept = json.loads(line)
        target = urlsplit(kept["target"]).path
        named = [
            operation
            for operation in operations
            if operation["method"] == kept["method"] and re.fullmatch(operation["path"], target)
        ]
        if len(named) != 1:
            failures.append(f"{kept['method']} {target}: no operation of the description")
            continue
        operation = named[0]
        name = operation["name"]
        seen[name] = seen.get(name, 0) + 1
        if kept["status"] >= 400:
            # What was refused need not be right.
            pass
        elif "form" in operation:
            failures += [f"{name}, form, {p}" for p in problems(operation["form"], kept["form"])]
        elif kept["form"]:
            failures.append(f"{name} has a form")
        if kept["status"] >= 400:
            expected = "error.json"
            if kept["answer"] and kept["answer"].get("status") != kept["status"]:
                failures.append(f"{name}: status {kept['status']}, in its body another")
        else:
            expected = operation.get("answer")
            if kept["status"] != operation["status"]:
                failures.append(f"{name}: {kept['status']} instead of {operation['status']}")
        if expected:
            failures += [f"{name}, answer, {p}" for p in problems(expected, kept["answer"])]
    print(json.dumps({"seen": seen, "failures": failures}))
    sys.exit(bool(failures) or not seen)


if sys.argv[1] == "proxy":
    proxy(int(sys.argv[2]), sys.argv[3].rstrip("/"), sys.argv[4])
else:
    check(sys.argv[2], sys.argv[3])
