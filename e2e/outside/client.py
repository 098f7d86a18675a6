"""The vendor's own REST client against the stand-in: what it asks is answered, and what it is answered it
can read.

    client.py API_URL ACCOUNT_SID AUTH_TOKEN OUR_NUMBER PHONE

PHONE answers and stays on the line. Prints the operations that were done.
"""

import json
import sys
import time

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

API, ACCOUNT, TOKEN, OURS, PHONE = sys.argv[1:6]
WAITING = '<Response><Pause length="120"/></Response>'
done = []


class StandIn(TwilioHttpClient):
    def request(self, method, url, *arguments, **named):
        return super().request(
            method, url.replace("https://api.twilio.com", API), *arguments, **named
        )


def until(what, look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.1)
    done.append(what)
    return found


def refused(what, code, ask):
    try:
        ask()
    except TwilioRestException as error:
        if error.code != code:
            sys.exit(f"{what}: {error.code} instead of {code}")
        done.append(what)
    else:
        sys.exit(f"{what} was not refused")


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")
    done.append(what)


client = Client(ACCOUNT, TOKEN, http_client=StandIn())
account = client.api.v2010.accounts(ACCOUNT).fetch()
expect("fetch the account", account.status, "active")
numbers = client.incoming_phone_numbers.list(phone_number=OURS)
expect("list phone numbers", [n.phone_number for n in numbers], [OURS])

call = client.calls.create(to=PHONE, from_=OURS, twiml=WAITING, timeout=25)
expect("create a call", (call.direction, call.status), ("outbound-api", "queued"))
until("a call is answered", lambda: client.calls(call.sid).fetch().status == "in-progress")
recording = client.calls(call.sid).recordings.create(recording_channels="dual")
expect("record a call", (recording.call_sid, recording.channels), (call.sid, 2))
expect("list calls", call.sid in [c.sid for c in client.calls.list(to=PHONE)], True)
client.calls(call.sid).update(twiml=WAITING)
done.append("change a call")
client.calls(call.sid).update(status="completed")
ended = until(
    "a call is over",
    lambda: (c := client.calls(call.sid).fetch()).status == "completed" and c,
)
expect("a call has times", ended.start_time <= ended.end_time, True)
refused("a call that is over", 21220, lambda: client.calls(call.sid).update(twiml=WAITING))
refused("a call nobody knows", 20404, lambda: client.calls("CA" + "e" * 32).fetch())
refused("a number that is none", 21211, lambda: client.calls.create(to="+0", from_=OURS, twiml=WAITING))
refused("a caller id of others", 21210, lambda: client.calls.create(to=PHONE, from_="+12025550199", twiml=WAITING))

message = client.messages.create(to=PHONE, from_=OURS, body="Anruf verpasst: Grüße")
expect("send a message", message.status in ("queued", "accepted"), True)
until("a message is delivered", lambda: client.messages(message.sid).fetch().status == "delivered")
expect("list messages", message.sid in [m.sid for m in client.messages.list(to=PHONE)], True)
refused("no text", 21602, lambda: client.messages.create(to=PHONE, from_=OURS))

wrong = Client(ACCOUNT, TOKEN[::-1], http_client=StandIn())
refused("another token", 20003, lambda: wrong.calls(call.sid).fetch())
print(json.dumps({"done": done}))
