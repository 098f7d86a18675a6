"""Tests of the speech server: VENV/bin/python -m unittest (in this directory).

Those that need the model are run against a server of their own on a free port.
"""

import http.client
import io
import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest
import wave
from pathlib import Path

import numpy as np

import audio
import recogniser
import server

HERE = Path(__file__).resolve().parent
MODEL = Path(os.environ.get("SPEECH_MODEL", Path(sys.prefix).parent / "model"))
READY_S = 120


def wav(samples, rate=8000, channels=1):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return out.getvalue()


class Wav(unittest.TestCase):
    def read(self, data):
        return audio.read_wav(data, 10)

    def test_16_bit_mono_comes_out_as_it_went_in(self):
        samples, rate = self.read(wav([1, -2, 32767, -32768], 16_000))
        self.assertEqual(samples.tolist(), [1, -2, 32767, -32768])
        self.assertEqual(rate, 16_000)

    def test_channels_are_averaged_and_unknown_lengths_accepted(self):
        samples, _ = self.read(wav([10, 20, -10, -30], channels=2))
        self.assertEqual(samples.tolist(), [15, -20])
        piped = bytearray(wav([5, 6, 7]))
        piped[40:44] = b"\xff\xff\xff\xff"
        self.assertEqual(self.read(bytes(piped))[0].tolist(), [5, 6, 7])

    def test_g711(self):
        # ITU-T G.711: the codes for silence and full scale.
        self.assertEqual(audio._ULAW[[0xFF, 0x7F, 0x80, 0x00]].tolist(), [0, 0, 32124, -32124])
        self.assertEqual(audio._ALAW[[0xD5, 0x55, 0xAA, 0x2A]].tolist(), [8, -8, 32256, -32256])
        header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 40, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8, b"data", 2)
        self.assertEqual(self.read(header + b"\x80\x00")[0].tolist(), [32124, -32124])

    def test_what_is_wrong_is_named(self):
        good = wav([0] * 100)
        for data, named in [
            (b"", "not a WAV"),
            (b"ID3\x03 not a wav at all", "not a WAV"),
            (good[:30], "shorter than 16 bytes"),
            (good[:40], "no data chunk"),
            (good[:-10], "cut off"),
            (good[:20] + b"\x55\x00" + good[22:], "WAV format 85"),
            (good[:22] + b"\x00\x00" + good[24:], "0 channels"),
            (good[:24] + b"\x01\x00\x00\x00" + good[28:], "sample rate of 1 Hz"),
            (wav([0] * 90_000), "at most 10 s"),
        ]:
            with self.subTest(named), self.assertRaisesRegex(audio.AudioError, named):
                self.read(data)

    def test_no_bytes_crash_it(self):
        rng = np.random.default_rng(7)
        good = bytearray(wav([0] * 50))
        for _ in range(3000):
            data = bytearray(good)
            for _ in range(rng.integers(1, 6)):
                data[rng.integers(0, len(data))] = rng.integers(0, 256)
            try:
                self.read(bytes(data[: rng.integers(0, len(data) + 1)]))
            except audio.AudioError:
                pass

    def test_resampling_keeps_a_tone(self):
        tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(22_050) / 22_050)).astype(np.int16)
        resampler = audio.Resampler(22_050, 24_000)
        pieces = [resampler.push(tone[at : at + 700]) for at in range(0, len(tone), 700)]
        out = np.concatenate([*pieces, resampler.finish()])
        self.assertAlmostEqual(len(out), 24_000, delta=30)
        spectrum = np.abs(np.fft.rfft(out))
        self.assertAlmostEqual(np.argmax(spectrum) * 24_000 / len(out), 500, delta=3)


class Guards(unittest.TestCase):
    def test_loops_are_kept_once_and_dictated_digits_stay(self):
        for text, kept in [
            ("no no no no no", "no"),
            ("Und so, und so, und so, und so. Ja", "Und so, Ja"),
            ("five five five five one two", "five five five five one two"),
            ("5 5 5 5 5 5 5 5", "5 5 5 5 5 5 5 5"),
            ("bye bye bye", "bye bye bye"),
            ("", ""),
        ]:
            self.assertEqual(recogniser.collapse(text), kept)

    def test_what_the_model_makes_up_is_dropped(self):
        for text in [
            "[Music]", "(Applaus)", "♪♪♪", "...", "Untertitel der Amara.org-Community",
            "Untertitelung des ZDF, 2020", "Thanks for watching!", "",
        ]:  # fmt: skip
            self.assertEqual(recogniser.accept(text, 0.0, -0.2), "")
        self.assertEqual(recogniser.accept("you", 0.75, -3.9), "")
        self.assertEqual(recogniser.accept("Das ist doch gut.", 0.51, -2.2), "")
        self.assertEqual(recogniser.accept("Thank you.", 0.1, -0.3), "Thank you.")
        self.assertEqual(recogniser.accept("Agent.", 0.35, -1.4), "Agent.")

    def test_long_audio_is_cut_where_it_is_quiet(self):
        rate = audio.RECOGNISER_HZ
        heard = np.ones(60 * rate, np.float32) * 0.1
        heard[25 * rate : 26 * rate] = 0
        parts = recogniser.split(heard)
        self.assertEqual(sum(len(p) for p in parts), len(heard))
        self.assertTrue(all(len(p) <= 28 * rate for p in parts))
        self.assertTrue(25 * rate <= len(parts[0]) <= 26 * rate)


class Forms(unittest.TestCase):
    def test_binary_fields_come_whole(self):
        value = bytes(range(256)) + b"\r\n--not the boundary\r\n"
        body = (
            b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a;b.wav"\r\n\r\n'
            + value
            + b'\r\n--xyz\r\ncontent-disposition: form-data; name=language\r\n\r\nde\r\n--xyz--\r\n'
        )
        fields = server.read_multipart('multipart/form-data; boundary="xyz"', body)
        self.assertEqual(fields, {"file": value, "language": b"de"})

    def test_broken_forms_are_refused(self):
        for kind, body in [
            ("text/plain", b""),
            ("multipart/form-data", b""),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
            ("multipart/form-data; boundary=x", b"--x\r\nno blank line\r\n--x--"),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n" * 40 + b"--x--"),
        ]:
            with self.assertRaises(server.Refused):
                server.read_multipart(kind, body)

    def test_a_full_gate_refuses_at_once(self):
        gate = server.Gate("test", 1, 0, 1)
        with gate, self.assertRaises(server.Refused) as refused:
            with gate:
                pass
        self.assertEqual(refused.exception.status, 503)
        with gate:
            pass


@unittest.skipUnless((MODEL / "model.bin").is_file(), f"no model in {MODEL}")
class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen(
            [sys.executable, HERE / "server.py", "--port", "0", "--model", MODEL, "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = cls.process.stdout.readline()
        cls.port = int(line.rsplit(":", 1)[1])
        deadline = time.monotonic() + READY_S
        while cls.get("/healthz")[0] != 200:
            if time.monotonic() > deadline or cls.process.poll() is not None:
                raise RuntimeError("the server is not ready")
            time.sleep(0.2)

    @classmethod
    def tearDownClass(cls):
        # Its supervisor's end of the pipe closes: it has to end by itself.
        cls.process.stdin.close()
        cls.process.wait(timeout=20)
        cls.process.stdout.close()

    @classmethod
    def request(cls, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", cls.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    @classmethod
    def get(cls, path):
        return cls.request("GET", path)

    def listen(self, data, **fields):
        parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
        parts.append(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + data + b"\r\n--b--\r\n")
        status, body, _ = self.request(
            "POST", "/v1/audio/transcriptions", b"".join(parts), {"Content-Type": "multipart/form-data; boundary=b"}
        )
        return status, json.loads(body)

    def speak(self, **request):
        return self.request("POST", "/v1/audio/speech", json.dumps(request), {"Content-Type": "application/json"})

    def phone(self, text, voice=""):
        status, body, _ = self.speak(input=text, response_format="pcm", voice=voice)
        self.assertEqual(status, 200, body)
        resampler = audio.Resampler(24_000, 8_000)
        samples = np.concatenate([resampler.push(np.frombuffer(body, "<i2")), resampler.finish()])
        return np.concatenate([np.zeros(2400, np.int16), samples, np.zeros(4000, np.int16)])

    def test_what_is_spoken_is_understood(self):
        status, answer = self.listen(wav(self.phone("Could you tell me your opening hours, please?")), language="en")
        self.assertEqual(status, 200)
        self.assertIn("opening hours", answer["text"].lower())

    def test_silence_and_noise_are_no_words(self):
        rng = np.random.default_rng(5)
        seconds = np.arange(24_000) / 8000
        for samples in (
            np.zeros(0),
            np.zeros(16_000),
            rng.normal(0, 300, 16_000),
            rng.normal(0, 2000, 16_000),
            6000 * np.sin(2 * math.pi * 425 * seconds),
        ):
            for language in ("en", "de"):
                status, answer = self.listen(wav(samples), language=language)
                self.assertEqual((status, answer), (200, {"text": ""}))

    def test_mistakes_are_explained(self):
        good = wav([0] * 800)
        for answer, named in [
            (self.listen(b"RIFFxxxxWAVEjunk"), "no fmt chunk"),
            (self.listen(good[:-100]), "cut off"),
            (self.listen(good, language="klingon"), "klingon"),
            (self.listen(good, response_format="srt"), "response_format"),
        ]:
            self.assertEqual(answer[0], 400)
            self.assertIn(named, answer[1]["error"]["message"])
        for request, named in [
            ({"input": ""}, "input"),
            ({"input": 7}, "input"),
            ({"input": "a" * 4097}, "4096"),
            ({"input": "a", "response_format": "mp3"}, "response_format"),
            ({"input": "a", "speed": 9}, "speed"),
            ({"input": "a", "language": "xx"}, "xx"),
            ({"input": "a", "voice": "espeak:-w/tmp/x"}, "not known"),
            ({"input": "a", "voice": ["x"]}, "texts"),
        ]:
            status, body, _ = self.speak(**request)
            self.assertEqual(status, 400, request)
            self.assertIn(named, json.loads(body)["error"]["message"])
        for body in (b"", b"[]", b"{", b"\xff", b"[" * 60_000):
            status, _, _ = self.request("POST", "/v1/audio/speech", body)
            self.assertEqual(status, 400)
        self.assertEqual(self.get("/nothing")[0], 404)

    def test_oversized_and_foreign_requests_are_refused(self):
        for headers, status in [
            ({"Content-Length": str(10**9)}, 413),
            ({"Content-Length": "-5"}, 413),
            ({"Content-Length": "x"}, 411),
            ({"Transfer-Encoding": "chunked"}, 411),
            ({"Origin": "http://example.org"}, 403),
            ({"Host": "example.org"}, 403),
        ]:
            head = {"Host": f"127.0.0.1:{self.port}", **headers}
            lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
                sock.sendall(f"POST /v1/audio/speech HTTP/1.1\r\n{lines}\r\n".encode())
                answer = sock.recv(200)
            self.assertIn(f" {status} ".encode(), answer, headers)

    def test_both_formats_and_all_languages(self):
        for language, text in (("en", "Good morning."), ("de", "Guten Morgen."), ("ar", "صباح الخير")):
            status, pcm, headers = self.speak(input=text, language=language, response_format="pcm", voice="default")
            self.assertEqual((status, headers["Content-Type"]), (200, "audio/pcm"))
            self.assertGreater(len(pcm), 24_000, language)
            self.assertEqual(len(pcm) % 2, 0)
            status, body, _ = self.speak(input=text, language=language, response_format="wav")
            self.assertEqual(status, 200)
            with wave.open(io.BytesIO(body)) as file:
                self.assertEqual((file.getframerate(), file.getnchannels(), file.getsampwidth()), (24_000, 1, 2))
                self.assertAlmostEqual(file.getnframes() * 2, len(pcm), delta=4_800)

    def test_audio_of_a_long_text_begins_before_it_is_complete(self):
        text = "This is one of many sentences that follow one another. " * 40
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/audio/speech", json.dumps({"input": text, "response_format": "pcm"}))
        answer = connection.getresponse()
        self.assertTrue(answer.read(4800))
        self.assertFalse(answer.isclosed())
        # Going away in the middle must not hurt the next request.
        connection.close()
        self.assertEqual(self.speak(input="Still there?")[0], 200)

    def test_a_crowd_is_served_or_told_to_come_back(self):
        data = wav(self.phone("Good afternoon."))
        results = []

        def ask():
            results.append(self.listen(data, language="en")[0])

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 30)
        self.assertTrue(set(results) <= {200, 503}, results)
        self.assertIn(200, results)
        self.assertEqual(self.get("/healthz")[0], 200)


class CommandLine(unittest.TestCase):
    def run_server(self, *arguments):
        return subprocess.run(
            [sys.executable, HERE / "server.py", *arguments], capture_output=True, text=True, timeout=60
        )

    def test_wrong_arguments_are_named(self):
        result = self.run_server("--host", "0.0.0.0", "--model", str(HERE))
        self.assertEqual(result.returncode, 2)
        self.assertIn("loopback", result.stderr)
        result = self.run_server("--model", "/nonexistent")
        self.assertEqual(result.returncode, 2)
        self.assertIn("install-speech.sh", result.stderr)

    @unittest.skipUnless((MODEL / "model.bin").is_file(), f"no model in {MODEL}")
    def test_a_busy_port_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = self.run_server("--port", str(port), "--model", str(MODEL))
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"127.0.0.1:{port}", result.stderr)


@unittest.skipUnless(shutil.which("espeak-ng"), "espeak-ng is not installed")
class Espeak(unittest.TestCase):
    def test_texts_are_never_commands(self):
        from voices import Voices

        voices = Voices()
        target = Path(f"/tmp/switchhook-speech-test-{os.getpid()}")
        text = f"$(touch {target}); `touch {target}` -w {target} [[x]] \x00 --version"
        spoken = np.concatenate(list(voices.speak(text, "espeak:en", "", 1.0, 24_000)))
        self.assertGreater(len(spoken), 10_000)
        self.assertFalse(target.exists())

    def test_an_abandoned_text_ends_its_process(self):
        from voices import Voices

        pieces = Voices().speak("A long text. " * 300, "espeak:en", "", 1.0, 24_000)
        next(pieces)
        process = pieces.gi_yieldfrom.gi_frame.f_locals["process"]
        pieces.close()
        self.assertIsNotNone(process.poll())


if __name__ == "__main__":
    unittest.main()
