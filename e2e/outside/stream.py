"""A caller over Media Streams by a client we did not write: it checks each of our messages against the
vendor's description, interrupts the greeting, and waits for an answer.

    stream.py GATEWAY_URL PUBLIC_URL AUTH_TOKEN WAV

Prints what came.
"""

import asyncio
import functools
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import requests
import websockets
from streamdouble import audio
from streamdouble.protocol import StreamIdentity
from streamdouble.scenario import Dtmf, Hangup, Say, Scenario, Wait, WaitFor
from streamdouble.session import Session, SessionConfig
from twilio.request_validator import RequestValidator

GATEWAY, PUBLIC, TOKEN, WAV = sys.argv[1:5]
VALIDATOR = RequestValidator(TOKEN)
ACCOUNT = "AC" + "0" * 31 + "1"


def webhook(path, call_sid, status):
    params = {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "CallSid": call_sid,
        "CallStatus": status,
        "Direction": "inbound",
        "From": "+12025550142",
        "To": "+493023125000",
    }
    headers = {"X-Twilio-Signature": VALIDATOR.compute_signature(PUBLIC + path, params)}
    answer = requests.post(GATEWAY + path, data=params, headers=headers, timeout=20)
    answer.raise_for_status()
    return answer


def announce(call_sid):
    """The call as its first webhook; the stream that the document asks for."""
    answer = webhook("/twilio/voice", call_sid, "ringing")
    stream = ElementTree.fromstring(answer.content).find("./Connect/Stream")
    return stream.get("url"), {p.get("name"): p.get("value") for p in stream.findall("Parameter")}


def connect_signed(url):
    """The client has no way to set a header: the upgrade is signed here."""
    signature = VALIDATOR.compute_signature(url, {})
    headers = {"X-Twilio-Signature": signature}
    websockets.connect = functools.partial(websockets.connect, additional_headers=headers)


async def main():
    identity = StreamIdentity(account_sid=ACCOUNT)
    url, parameters = announce(identity.call_sid)
    connect_signed(url)
    local = url.replace(PUBLIC.replace("https://", "wss://"), GATEWAY.replace("http://", "ws://"))
    said = Say(path=Path(WAV), frames=audio.wav_to_ulaw_frames(WAV))
    scenario = Scenario(
        name="interrupts the greeting, gets an answer",
        steps=[
            WaitFor(event="audio", timeout_s=60),
            Wait(seconds=0.5),
            said,
            WaitFor(event="clear", timeout_s=60),
            # The end of the utterance, the recogniser, the assistant, the voice.
            Wait(seconds=4),
            WaitFor(event="mark", timeout_s=60),
            Dtmf(digits="7"),
            WaitFor(event="quiet", timeout_s=60),
            Hangup(),
        ],
    )
    config = SessionConfig(
        custom_parameters=parameters, max_call_s=240, quiet_period_s=2, response_timeout_s=60
    )
    result = await Session(local, scenario=scenario, config=config, identity=identity).run()
    webhook("/twilio/status", identity.call_sid, "completed")
    sizes = {}
    for event in result.events_of("media_received"):
        size = event.detail["bytes"]
        sizes[str(size)] = sizes.get(str(size), 0) + 1
    print(
        json.dumps(
            {
                "media": result.media_frames_received,
                "audio_s": result.audio_duration_s,
                "sizes": sizes,
                "marks": result.marks_received,
                "marks_echoed": len(result.marks_echoed),
                "clears": result.clears_received,
                "unknown": result.unknown_events,
                "violations": [str(violation) for violation in result.violations],
                "warnings": result.warnings,
                "closed_by": result.closed_by,
                "timed_out": result.timed_out,
                "call_sid": identity.call_sid,
            }
        )
    )


asyncio.run(main())
