"""An application of Twilio's customer that believes nobody: every request is checked by the vendor's own
library before it is answered with the next document.

    application.py PORT AUTH_TOKEN LOG

Whatever origin a request is for (`Host`), it is taken to have come by https. Each request is one line of
JSON in LOG.
"""

import asyncio
import json
import sys

from aiohttp import web
from twilio.request_validator import RequestValidator

XML = '<?xml version="1.0" encoding="UTF-8"?>'
# Each document leads to the next; together they make the carrier send all its kinds of requests.
DOCUMENTS = {
    "/voice": '<Response><Say>Guten Tag, wie kann ich helfen?</Say><Record maxLength="5"'
    ' action="{origin}/recorded?step=1&amp;leg=a%20b" recordingStatusCallback="{origin}/recording"/></Response>',
    "/recorded": '<Response><Connect action="{origin}/after-stream">'
    '<Stream url="{sockets}/media"><Parameter name="call" value="1"/></Stream></Connect></Response>',
    "/after-stream": '<Response><Dial action="{origin}/dialled" timeout="20">'
    '<Number url="{origin}/whisper" statusCallback="{origin}/child"'
    ' statusCallbackEvent="initiated ringing answered completed">{agent}</Number></Dial></Response>',
    "/whisper": "<Response><Say>Anruf für Sie.</Say></Response>",
    "/dialled": '<Response><Gather action="{origin}/gathered" input="dtmf speech" timeout="1"'
    ' actionOnEmptyResult="true"/></Response>',
    "/gathered": "<Response><Hangup/></Response>",
}
AGENT = "+493023125101"


class Application:
    def __init__(self, token, log):
        self.validator = RequestValidator(token)
        # What validates everything is no check.
        self.wrong = RequestValidator(token[::-1])
        self.log = log

    def note(self, request, url, params):
        signature = request.headers.get("X-Twilio-Signature", "")
        altered = dict(params)
        altered["CallSid"] = "CA" + "f" * 32
        line = {
            "method": request.method,
            "url": url,
            "params": {name: params.getall(name) for name in params},
            "is_valid": self.validator.validate(url, params, signature),
            "is_valid_by_another_token": self.wrong.validate(url, params, signature),
            "is_valid_when_altered": self.validator.validate(url, altered, signature),
        }
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        return line["is_valid"]

    async def take(self, request):
        host = request.headers["Host"]
        origin, sockets = f"https://{host}", f"wss://{host}"
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.stream(request, sockets + request.raw_path)
        # Of a GET the query is part of the URL.
        params = await request.post()
        if not self.note(request, origin + request.raw_path, params):
            return web.Response(status=403)
        document = DOCUMENTS.get(request.path)
        if document is None:
            return web.Response(status=204)
        text = document.format(origin=origin, sockets=sockets, agent=AGENT)
        return web.Response(text=XML + text, content_type="text/xml")

    async def stream(self, request, url):
        params = await request.post()
        if not self.note(request, url, params):
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        frames = 0
        async for message in socket:
            frames += json.loads(message.data)["event"] == "media"
            if frames == 10:
                break
        await socket.close()
        return socket


async def main():
    port, token, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    with open(path, "w", encoding="utf-8") as log:
        application = Application(token, log)
        app = web.Application()
        app.router.add_get("/healthz", lambda _: web.Response(text="ok"))
        app.router.add_route("*", "/{path:.*}", application.take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


asyncio.run(main())
