"""Speaking: hibari for English, espeak-ng for every other language and where hibari fails."""

import os
import re
import subprocess
import sys
import threading

import numpy as np

import audio

PCM_HZ = 24_000
ESPEAK_SECONDS = 20
# espeak-ng voices: a language with variants, "de", "en-gb", "de+f2".
_ESPEAK_VOICE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*(\+[A-Za-z0-9_]{1,20})?")
# Words per minute that sound unhurried on the phone.
_ESPEAK_SPEED = {"de": 145, "ar": 140}


class VoiceError(ValueError):
    """The request names a voice or language that is not there; the text goes into the answer."""


class SpeechFailed(RuntimeError):
    """No engine could speak the text."""


class Voices:
    def __init__(self, espeak="espeak-ng"):
        self._espeak = espeak
        self._hibari = None
        # The text-to-phoneme part of hibari keeps caches that are not made for threads.
        self._lock = threading.Lock()

    def load(self):
        """Loads the English voice. Without it English is spoken by espeak-ng."""
        try:
            from hibari import Hibari

            hibari = Hibari(threads=1)
            hibari("Warm up, one two three.")
            self._hibari = hibari
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a second voice
            print(f"speech-server: hibari cannot be loaded, espeak-ng speaks English: {error}", file=sys.stderr)

    def choose(self, voice, language):
        """(engine, espeak voice name) for what a request asks for."""
        voice = (voice or "").strip()
        language = (language or "").strip().lower()
        if voice.startswith("espeak:"):
            name = voice.removeprefix("espeak:")
        elif _ESPEAK_VOICE.fullmatch(voice) and "+" in voice or re.fullmatch(r"[a-z]{2}(-[a-z]{2})?", voice):
            # The voice is the name of a language, or of an espeak-ng variant.
            name = voice
            language = language or voice[:2]
            if "+" not in voice and voice[:2] == "en" and self._hibari:
                return "hibari", "en-us"
        else:
            name = language or "en"
            if name[:2] == "en" and self._hibari:
                return "hibari", "en-us"
        if not _ESPEAK_VOICE.fullmatch(name):
            raise VoiceError(f"voice or language {name!r} is not known; send for example en, de or de+f2")
        return "espeak", "en-us" if name == "en" else name

    def speak(self, text, voice, language, speed, out_hz):
        """Pieces of int16 samples at `out_hz`, each as soon as it is there."""
        engine, espeak_voice = self.choose(voice, language)
        if engine == "hibari":
            spoken = False
            try:
                for piece in self._with_hibari(text, speed, out_hz):
                    spoken = True
                    yield piece
                if spoken:
                    return
            except Exception as error:  # noqa: BLE001
                if spoken:
                    raise SpeechFailed(f"hibari: {error}") from error
                print(f"speech-server: hibari failed, espeak-ng speaks: {error}", file=sys.stderr)
        yield from self._with_espeak(text, espeak_voice, speed, out_hz)

    def _with_hibari(self, text, speed, out_hz):
        resampler = audio.Resampler(PCM_HZ, out_hz)
        with self._lock:
            parts = self._hibari.phonemize(text)
        for phonemes in parts:
            samples = self._hibari.from_phonemes(phonemes, speed=speed)
            piece = resampler.push(audio.from_float(samples))
            if len(piece):
                yield piece
        rest = resampler.finish()
        if len(rest):
            yield rest

    def _with_espeak(self, text, voice, speed, out_hz):
        words = int(_ESPEAK_SPEED.get(voice[:2], 150) * speed)
        try:
            process = subprocess.Popen(
                [self._espeak, "--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise SpeechFailed(f"espeak-ng cannot be started: {error}; install the package espeak-ng") from error
        # espeak-ng reads [[...]] as phonemes and control characters as commands.
        plain = "".join(" " if c in "[]" or ord(c) < 32 or ord(c) == 127 else c for c in text)
        timer = threading.Timer(ESPEAK_SECONDS, process.kill)
        timer.start()
        try:
            threading.Thread(target=_feed, args=(process, plain), daemon=True).start()
            header = process.stdout.read(44)
            if len(header) < 44 or header[:4] != b"RIFF":
                process.wait()
                said = process.stderr.read(500).decode("utf-8", "replace").strip()
                if "voice does not exist" in said or "Error: The specified" in said:
                    raise VoiceError(f"voice {voice!r} is not known to espeak-ng (see espeak-ng --voices)")
                raise SpeechFailed(f"espeak-ng gave no audio: {said or process.returncode}")
            resampler = audio.Resampler(int.from_bytes(header[24:28], "little"), out_hz)
            odd = b""
            while chunk := os.read(process.stdout.fileno(), 16_384):
                chunk = odd + chunk
                usable = len(chunk) // 2 * 2
                odd = chunk[usable:]
                piece = resampler.push(np.frombuffer(chunk[:usable], "<i2"))
                if len(piece):
                    yield piece
            rest = resampler.finish()
            if len(rest):
                yield rest
            if process.wait() != 0:
                raise SpeechFailed(f"espeak-ng ended with status {process.returncode}")
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                pipe.close()


def _feed(process, text):
    try:
        process.stdin.write(text.encode("utf-8", "replace"))
        process.stdin.close()
    except OSError:
        # It ended early; its exit status says why.
        pass
