#!/usr/bin/env python3
"""Local speech server with the OpenAI routes, for one machine's own use.

    POST /v1/audio/transcriptions   multipart: file (WAV), language, prompt, response_format
    POST /v1/audio/speech           JSON: input, voice, language, response_format pcm|wav, speed
    GET  /v1/models
    GET  /healthz                   200 when ready, 503 while the model loads

It listens on loopback only and has no key: whoever may run programs here may use it. What it is
told is not logged.
"""

import argparse
import json
import os
import secrets
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

# Nothing is written beside the sources.
sys.dont_write_bytecode = True

MAX_UPLOAD = 16 * 1024 * 1024
MAX_JSON = 64 * 1024
MAX_TEXT = 4096
MAX_AUDIO_S = 120
MAX_PROMPT = 1000
# Connections at a time; a thread each.
MAX_CONNECTIONS = 64
# A client that neither sends nor reads for so long is dropped.
SOCKET_TIMEOUT_S = 20
OPENAI_VOICES = {
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage",
    "shimmer", "verse", "default", "auto", "heart", "hibari", "",
}  # fmt: skip


class Refused(Exception):
    """Ends a request with a status and an error object as OpenAI words it."""

    def __init__(self, status, code, message, headers=None):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = headers or {}


class Gate:
    """At most `places` at work and `queue` waiting, none longer than `patience_s`."""

    def __init__(self, what, places, queue, patience_s):
        self._what, self._patience = what, patience_s
        self._places = threading.Semaphore(places)
        self._all = threading.Semaphore(places + queue)

    def __enter__(self):
        if not self._all.acquire(blocking=False):
            raise self._busy("the queue is full")
        if not self._places.acquire(timeout=self._patience):
            self._all.release()
            raise self._busy(f"no place came free within {self._patience} s")
        return self

    def __exit__(self, *_):
        self._places.release()
        self._all.release()

    def _busy(self, why):
        return Refused(503, "busy", f"{self._what}: {why}; try again", {"Retry-After": "1"})


class Service:
    """The engines, loaded behind an open port, so that /healthz can say that they load."""

    def __init__(self, options):
        self.options = options
        self.recogniser = None
        self.voices = None
        self.failure = None
        self.listen_gate = Gate("transcription", options.workers, options.queue, 15)
        self.speak_gate = Gate("speech", 4, 32, 10)

    def load(self):
        try:
            started = time.monotonic()
            import numpy as np

            from recogniser import Recogniser
            from voices import Voices

            voices = Voices(self.options.espeak)
            voices.load()
            self.voices = voices
            recogniser = Recogniser(self.options.model, self.options.threads, self.options.workers)
            # The first run allocates; it must not be a caller who waits for that.
            noise = (np.random.default_rng(1).normal(0, 1000, 32_000)).astype(np.int16)
            for language in ("en", "de"):
                recogniser.transcribe(noise, 16_000, language)
            self.recogniser = recogniser
            log(f"ready after {time.monotonic() - started:.1f} s")
        except Exception as error:  # noqa: BLE001 - reported by /healthz and the exit status
            self.failure = f"{type(error).__name__}: {error}"
            log(f"cannot load: {self.failure}")

    def ready(self):
        return self.recogniser is not None


def log(text):
    print(f"speech-server: {text}", file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "switchhook-speech"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_S

    # --- frame ----------------------------------------------------------------------------------

    def do_GET(self):
        self._handle({"/healthz": self._health, "/v1/models": self._models})

    def do_POST(self):
        self._handle(
            {"/v1/audio/transcriptions": self._transcribe, "/v1/audio/speech": self._speech}
        )

    def _handle(self, routes):
        self.request_id = "speech_" + secrets.token_hex(8)
        self._status, self._begun = 0, False
        started = time.monotonic()
        try:
            self._check_origin()
            route = routes.get(self.path.split("?")[0])
            if route is None:
                raise Refused(404, "not_found", f"there is no {self.command} {self.path[:80]}")
            route()
        except Refused as refused:
            self._error(refused)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            # The client went away: for speech that is how it cancels.
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - one request must not end the server
            # The kind only: the error's text may hold what was said.
            log(f"{self.request_id} failed: {type(error).__name__}")
            self._error(Refused(500, "server_error", type(error).__name__))
        if self.path != "/healthz":
            ms = int((time.monotonic() - started) * 1000)
            log(f"{self.request_id} {self.command} {self.path[:80]} {self._status} {ms} ms")

    def _check_origin(self):
        # A web page in a browser on this machine can reach loopback too, also under a name of its
        # own (DNS rebinding); it has no business here.
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
        if "Origin" in self.headers or host not in ("127.0.0.1", "localhost", "::1"):
            raise Refused(403, "forbidden", "only programs on this machine are served")

    def log_message(self, *_):
        # Its own line is written in _handle, without query and headers.
        pass

    def _body(self, limit):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self.close_connection = True
            raise Refused(411, "length_required", "send the body with Content-Length, not chunked")
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            raise Refused(411, "length_required", "send a Content-Length") from None
        if not 0 <= length <= limit:
            self.close_connection = True
            raise Refused(413, "too_large", f"the body has {length} bytes, at most {limit} are taken")
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            raise Refused(400, "cut_off", f"the body ended after {len(body)} of {length} bytes")
        self._body_read = True
        return body

    def _error(self, refused):
        if self._begun:
            # The audio is half sent: only breaking the connection tells the client.
            self.close_connection = True
            return
        body = {"error": {"message": refused.message, "type": "error", "code": refused.code}}
        try:
            if not getattr(self, "_body_read", False) and self.command == "POST":
                # The rest of an unread body would be taken for the next request.
                self.close_connection = True
            self._json(refused.status, body, refused.headers)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self.close_connection = True

    def _json(self, status, value, headers=None):
        self._send(status, "application/json", json.dumps(value).encode(), headers)

    def _send(self, status, content_type, body, headers=None):
        self._head(status, content_type, {"Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _head(self, status, content_type, headers):
        self._status, self._begun = status, True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Request-Id", self.request_id)
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    # --- routes ---------------------------------------------------------------------------------

    @property
    def service(self):
        return self.server.service

    def _health(self):
        service = self.service
        if service.failure:
            self._json(503, {"status": "failed", "detail": service.failure})
        elif not service.ready():
            self._json(503, {"status": "loading"}, {"Retry-After": "1"})
        else:
            self._json(200, {"status": "ok", "model": "whisper-base", "pid": os.getpid()})

    def _models(self):
        models = [{"id": name, "object": "model", "owned_by": "local"} for name in ("whisper-base", "local-tts")]
        self._json(200, {"object": "list", "data": models})

    def _transcribe(self):
        from audio import AudioError, read_wav
        from recogniser import LanguageError

        fields = read_multipart(self.headers.get("Content-Type", ""), self._body(MAX_UPLOAD))
        if "file" not in fields:
            raise Refused(400, "missing_field", "the form has no field 'file'; send a WAV file")
        answer_format = text_field(fields, "response_format") or "json"
        if answer_format not in ("json", "text", "verbose_json"):
            raise Refused(400, "bad_field", "response_format: json, text or verbose_json are written")
        language = (text_field(fields, "language") or self.service.options.language).lower()
        prompt = text_field(fields, "prompt")[:MAX_PROMPT]
        try:
            samples, rate = read_wav(fields["file"], MAX_AUDIO_S)
        except AudioError as error:
            raise Refused(400, "bad_audio", f"file: {error}") from error
        recogniser = self.service.recogniser
        if recogniser is None:
            raise self._not_ready()
        try:
            with self.service.listen_gate:
                text = recogniser.transcribe(samples, rate, language, prompt)
        except LanguageError as error:
            raise Refused(400, "bad_field", str(error)) from error
        if answer_format == "text":
            self._send(200, "text/plain; charset=utf-8", text.encode())
        elif answer_format == "verbose_json":
            seconds = round(len(samples) / rate, 3)
            self._json(200, {"text": text, "language": language, "duration": seconds})
        else:
            self._json(200, {"text": text})

    def _speech(self):
        from voices import PCM_HZ, SpeechFailed, VoiceError

        request = read_json(self._body(MAX_JSON))
        text = request.get("input")
        if not isinstance(text, str) or not any(c.isalnum() for c in text):
            raise Refused(400, "bad_field", "input: a text with something to pronounce is expected")
        if len(text) > MAX_TEXT:
            raise Refused(400, "too_long", f"input has {len(text)} characters, at most {MAX_TEXT} are spoken")
        answer_format = request.get("response_format", "wav")
        if answer_format not in ("pcm", "wav"):
            raise Refused(400, "bad_field", "response_format: pcm (24 kHz, 16 bit) or wav are written")
        speed = request.get("speed", 1.0)
        if not isinstance(speed, (int, float)) or not 0.5 <= speed <= 2.0:
            raise Refused(400, "bad_field", "speed: a number from 0.5 to 2.0 is expected")
        voice, language = request.get("voice") or "", request.get("language") or ""
        if not isinstance(voice, str) or not isinstance(language, str):
            raise Refused(400, "bad_field", "voice and language are texts")
        voices = self.service.voices
        if voices is None:
            raise self._not_ready()
        voice = "" if voice.lower() in OPENAI_VOICES else voice
        pieces = voices.speak(text, voice, language, float(speed), PCM_HZ)
        try:
            with self.service.speak_gate:
                # The first piece decides between an error and audio.
                first = next(pieces, None)
                if first is None:
                    raise SpeechFailed("the engine gave no audio")
                if answer_format == "pcm":
                    self._stream_pcm(first, pieces)
                else:
                    self._send_wav(first, pieces, PCM_HZ)
        except VoiceError as error:
            raise Refused(400, "bad_field", str(error)) from error
        except SpeechFailed as error:
            raise Refused(500, "speech_failed", str(error)) from error
        finally:
            pieces.close()

    def _stream_pcm(self, first, pieces):
        self._head(200, "audio/pcm", {"Transfer-Encoding": "chunked"})
        piece = first
        while piece is not None:
            data = piece.astype("<i2").tobytes()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            piece = next(pieces, None)
        self.wfile.write(b"0\r\n\r\n")

    def _send_wav(self, first, pieces, rate):
        import numpy as np

        from audio import wav_file

        self._send(200, "audio/wav", wav_file(np.concatenate([first, *pieces]), rate))

    def _not_ready(self):
        if self.service.failure:
            return Refused(500, "failed", f"the models cannot be loaded: {self.service.failure}")
        return Refused(503, "loading", "the models are being loaded; try again", {"Retry-After": "1"})


def read_json(body):
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "bad_json", f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, "bad_json", "the body is not a JSON object")
    return value


def read_multipart(content_type, body):
    """Field name to bytes, of multipart/form-data (RFC 7578)."""
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise Refused(400, "bad_form", f"multipart/form-data is expected, got {kind.strip()[:60]!r}")
    boundary = parameter(parameters, "boundary")
    if not 1 <= len(boundary) <= 70:
        raise Refused(400, "bad_form", "the Content-Type has no usable boundary")
    mark = b"\r\n--" + boundary.encode("latin-1")
    pieces = (b"\r\n" + body).split(mark)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise Refused(400, "bad_form", "the form is cut off: its closing boundary is missing")
    if len(pieces) > 34:
        raise Refused(400, "bad_form", "the form has more than 32 fields")
    fields = {}
    for piece in pieces[1:-1]:
        head, blank, value = piece.partition(b"\r\n\r\n")
        if not blank:
            raise Refused(400, "bad_form", "a part of the form has no blank line after its headers")
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, rest = line.partition(":")
            if name.strip().lower() == "content-disposition":
                fields[parameter(rest, "name")] = value
    return fields


def parameter(text, name):
    for part in text.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals and key.strip().lower() == name:
            return value.strip().strip('"')
    return ""


def text_field(fields, name):
    return fields.get(name, b"").decode("utf-8", "replace").strip()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address, service):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.service = service
        self._connections = threading.Semaphore(MAX_CONNECTIONS)
        super().__init__(address, Handler)

    def process_request(self, request, client_address):
        if not self._connections.acquire(blocking=False):
            answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            try:
                request.settimeout(1)
                request.sendall(answer)
            except OSError:
                pass
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            log(f"connection failed: {type(error).__name__}: {error}")


def exit_when_stdin_ends():
    """The supervisor holds the other end of the pipe; when it dies, so does the server."""
    try:
        while sys.stdin.buffer.read(4096):
            pass
    finally:
        os._exit(0)


def parse_arguments():
    cpus = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="Local speech server with the OpenAI routes")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8400, help="0 takes a free one and prints it")
    installed = Path(sys.prefix).parent / "model"
    parser.add_argument("--model", type=Path, default=installed, help="directory with model.bin (beside the venv)")
    parser.add_argument("--language", default="en", help="for requests that name none (en)")
    parser.add_argument("--threads", type=int, default=min(2, cpus), help="of each transcription")
    parser.add_argument("--workers", type=int, default=max(1, cpus // 2), help="transcriptions at a time")
    parser.add_argument("--queue", type=int, default=16, help="transcriptions that may wait")
    parser.add_argument("--espeak", default="espeak-ng", help="the program espeak-ng")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    if not is_loopback(options.host):
        parser.error(f"--host {options.host}: only a loopback address is allowed, the server has no key")
    if not (options.model / "model.bin").is_file():
        parser.error(f"--model {options.model}: there is no model.bin; run scripts/install-speech.sh")
    if not 0 <= options.port <= 65535:
        parser.error(f"--port {options.port}: 0 to 65535 is expected")
    if min(options.threads, options.workers) < 1 or options.queue < 0:
        parser.error("--threads and --workers are at least 1, --queue at least 0")
    return options


def is_loopback(host):
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def main():
    options = parse_arguments()
    service = Service(options)
    try:
        server = Server((options.host, options.port), service)
    except OSError as error:
        log(f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another --port")
        return 1
    print(f"listening on {server.server_address[0]}:{server.server_address[1]}", flush=True)
    if options.exit_with_stdin:
        threading.Thread(target=exit_when_stdin_ends, daemon=True).start()

    def load():
        service.load()
        if service.failure:
            # Without models there is nothing to serve; the supervisor sees the exit status.
            os._exit(1)

    threading.Thread(target=load, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
