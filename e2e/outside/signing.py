"""Requests signed by the vendor's own library: the gateway has to take them, and to refuse what was
changed on the way.

    signing.py GATEWAY_URL PUBLIC_URL AUTH_TOKEN

Fails with a line for each answer that was another than expected.
"""

import hashlib
import json
import sys
from urllib.parse import urlencode

import requests
from multidict import MultiDict
from twilio.request_validator import RequestValidator

GATEWAY, PUBLIC, TOKEN = sys.argv[1:4]
VALIDATOR = RequestValidator(TOKEN)
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
STATUS = MultiDict(
    AccountSid="AC" + "0" * 31 + "1",
    CallSid="CA" + "0" * 31 + "9",
    CallStatus="completed",
    From="+12025550142",
    FromCity="",
    To="+493023125000",
    ToCity="Berlin Möckern & Umgebung",
)
failures = []
asked = 0


def ask(what, path, body, kind, signature, expected):
    global asked
    asked += 1
    headers = {"Content-Type": kind, "Host": PUBLIC.split("://")[1]}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    data = body if isinstance(body, bytes) else body.encode()
    got = requests.post(GATEWAY + path, data=data, headers=headers, timeout=20).status_code
    if got not in expected:
        failures.append(f"{what}: {got} instead of {expected}")


def form(what, path, params, expected=(204,), token=None, url=None, sent=None):
    by = VALIDATOR if token is None else RequestValidator(token)
    signature = by.compute_signature(url or PUBLIC + path, params)
    ask(what, path, urlencode(list((sent or params).items())), FORM, signature, expected)


form("a form", "/twilio/status", STATUS)
for prefix in ("/api", "/convonet_todo", "/anthropic/convonet_todo"):
    form(f"below {prefix}", f"{prefix}/twilio/status", STATUS)
form("a query beside the form", "/twilio/status?tenant=acme&leg=a%20b", STATUS)
twice = MultiDict(STATUS)
for value in ("b", "a", "a"):
    twice.add("MediaUrl", value)
form("a name that comes twice", "/twilio/status", twice)
form("a name nobody knows", "/twilio/status", MultiDict(STATUS, Zukunft="ja, später"))
form("with the port", "/twilio/status", STATUS, url=PUBLIC + ":443/twilio/status")

other = MultiDict(STATUS)
other["CallStatus"] = "busy"
form("a changed value", "/twilio/status", STATUS, (403,), sent=other)
form("a value more", "/twilio/status", STATUS, (403,), sent=twice)
form("another token", "/twilio/status", STATUS, (403,), token=TOKEN[::-1])
form("another path", "/twilio/status", STATUS, (403,), url=PUBLIC + "/twilio/voice")
form("another host", "/twilio/status", STATUS, (403,), url="https://evil.example.com/twilio/status")
form("plain http", "/twilio/status", STATUS, (403,), url=PUBLIC.replace("https", "http") + "/twilio/status")
ask("an empty signature", "/twilio/status", urlencode(STATUS), FORM, "", (403,))

body = json.dumps({"event": "ping", "text": "Grüße", "n": 1}, ensure_ascii=False)
path = "/twilio/status?bodySHA256=" + hashlib.sha256(body.encode()).hexdigest()
signature = VALIDATOR.compute_signature(PUBLIC + path, {})
ask("JSON", path, body, "application/json", signature, (204,))
ask("changed JSON", path, body.replace("ping", "pong"), "application/json", signature, (403,))
ask("a form in place of JSON", path, urlencode(STATUS), FORM, signature, (403,))

print(json.dumps({"asked": asked, "failures": failures}))
sys.exit(bool(failures))
