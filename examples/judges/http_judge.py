#!/usr/bin/env python3
"""A judge as a service: was the answer cut off?

Assize sends one POST for each interaction and reads a score from the answer, JSON both ways. With JUDGE_TOKEN set, only requests with
that token are answered. Only the standard library is needed.

    JUDGE_TOKEN=secret python3 examples/judges/http_judge.py 8500

    [[judge]]
    name = "endings"
    kind = "http"
    url = "http://127.0.0.1:8500/judge"
    allow_private = true                 # it is on this machine
    authorization_env = "JUDGE_TOKEN"

    [[metric]]
    name = "cut-off"
    cascade = ["endings"]
"""

import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = os.environ.get("JUDGE_TOKEN", "")
BODY_BYTES_MAX = 16 * 1024 * 1024
ENDINGS = (".", "!", "?", "…", "\"", "”", "'", ")", "]", "}", "`", ":", "。", "！", "？")


def judge(asked):
    answer = asked["output"].rstrip()
    if not answer or answer.endswith(ENDINGS):
        return {"score": 0.0, "label": "whole", "reason": "It ends as a sentence does."}
    return {"score": 1.0, "label": "cut off", "reason": "It ends within a sentence."}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413, {"error": "the request is too long"})
        body = self.rfile.read(length)
        given = self.headers.get("Authorization", "")
        if TOKEN and not hmac.compare_digest(given.encode(), f"Bearer {TOKEN}".encode()):
            return self.answer(401, {"error": "the token is missing or wrong"})
        try:
            answer = judge(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self.answer(400, {"error": type(error).__name__})
        self.answer(200, answer)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """What is judged belongs in no log."""


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8500
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/judge", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
