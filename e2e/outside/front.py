"""A reverse proxy with a gap: passes everything on, except one path, which it does not know.

    front.py PORT UPSTREAM_URL GAP
"""

import http.server
import sys
import urllib.error
import urllib.request

PORT, UPSTREAM, GAP = int(sys.argv[1]), sys.argv[2], sys.argv[3]
OF_THE_CONNECTION = ("host", "content-length", "connection", "transfer-encoding", "date", "server")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.split("?")[0] == GAP:
            return self.reply(404, [], b"not here")
        headers = {n: v for n, v in self.headers.items() if n.lower() not in OF_THE_CONNECTION}
        data = body if self.command == "POST" else None
        request = urllib.request.Request(UPSTREAM + self.path, data, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        except urllib.error.URLError:
            return self.reply(502, [], b"nobody there")
        kept = [(n, v) for n, v in answer.headers.items() if n.lower() not in OF_THE_CONNECTION]
        self.reply(answer.status, kept, answer.read())

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
