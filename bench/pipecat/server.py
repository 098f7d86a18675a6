"""Media streams answered by pipecat: voice detection, and a canned reply when the caller falls silent.

What `switchhook-bench` measures its own streams beside. Less is done here than there: nothing is
recognised, no brain is asked, nothing is stored. The reply comes from the same voice.

    server.py PORT VOICE_URL
"""

import contextlib
import json
import sys

import aiohttp
import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    OutputAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 24_000
# The silence that ends a turn, as the gateway has it.
END_SILENCE_S = 0.7

voice: aiohttp.ClientSession | None = None
voice_url = ""


@contextlib.asynccontextmanager
async def lifespan(_):
    global voice
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as voice:
        yield


app = FastAPI(lifespan=lifespan)


class CannedReply(FrameProcessor):
    """One second of audio from the voice after each turn."""

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame) and direction == FrameDirection.DOWNSTREAM:
            self.create_task(self._reply())

    async def _reply(self):
        wanted = {"input": "Hello.", "voice": "bench", "response_format": "pcm"}
        async with voice.post(f"{voice_url}/v1/audio/speech", json=wanted) as answer:
            rest = b""
            async for piece in answer.content.iter_chunked(4_800):
                piece = rest + piece
                whole = len(piece) // 2 * 2
                rest = piece[whole:]
                await self.push_frame(
                    OutputAudioRawFrame(audio=piece[:whole], sample_rate=RATE_HZ, num_channels=1)
                )


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.websocket("/media")
async def media(websocket: WebSocket):
    await websocket.accept()
    await websocket.receive_text()  # connected
    start = json.loads(await websocket.receive_text())["start"]
    serializer = TwilioFrameSerializer(
        stream_sid=start["streamSid"],
        call_sid=start["callSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
        ),
    )
    vad = SileroVADAnalyzer(params=VADParams(stop_secs=END_SILENCE_S))
    pipeline = Pipeline(
        [transport.input(), VADProcessor(vad_analyzer=vad), CannedReply(), transport.output()]
    )
    params = PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(PipelineWorker(pipeline, params=params, idle_timeout_secs=None))
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    voice_url = sys.argv[2]
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws="auto")
