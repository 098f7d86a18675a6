"""Listening: Whisper base through faster-whisper, for short utterances on telephone audio.

Whisper always looks at 30 s of audio; an utterance on the phone lasts 2 to 6. The encoder is first
given a window that fits the utterance, which takes a fifth of the time, and the time saved pays
for a beam search. Where the model is unsure of what it understood, it looks again with the full
window, and the surer reading counts. docs/speech.md has the figures.
"""

import re
import threading

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

import audio

# Mel frames are 10 ms. Below 10 s of window accuracy falls; more than 30 s the model cannot see.
MIN_WINDOW, MAX_WINDOW = 1_000, 3_000
# Silence behind the last word, in frames: without it the end of the utterance gets lost.
TAIL = 200
BEAM = 5
# Mean log probability of a token below which the model is asked again with the full window.
SURE = -0.5
# Hiss added to the audio for the first reading, relative to its level: the dead silence above
# 3.4 kHz and between words on digital lines is foreign to the model. The second reading is without.
HISS = 0.015
# Speech has at most about five tokens a second; an answer far beyond is a loop.
TOKENS_PER_SECOND, TOKENS_AT_LEAST = 8, 24
MAX_PROMPT_TOKENS = 100
# Shorter or quieter than this is not speech.
MIN_SECONDS = 0.12
MIN_LEVEL_DBFS = -55.0

# What Whisper learned from film subtitles and says to noise. No caller says these.
_SUBTITLES = re.compile(
    r"amara\.org|untertitel(ung)?\b.*\b(zdf|funk|ard|swr|wdr|ndr|br|mdr|community)"
    r"|subtitles by|thanks? (you )?for watching|copyright (wdr|ard|zdf)|vielen dank f.rs zuschauen"
    r"|please subscribe|like and subscribe",
    re.IGNORECASE,
)


class LanguageError(ValueError):
    """A language the model does not know."""


class Recogniser:
    """A loaded model. `transcribe` may be called from several threads."""

    def __init__(self, model_dir, threads, workers):
        self._model = WhisperModel(
            str(model_dir),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=workers,
            local_files_only=True,
        )
        self._tokenizers = {}
        self._lock = threading.Lock()

    @property
    def languages(self):
        return sorted(self._model.supported_languages)

    def check_language(self, language):
        """Raises LanguageError for a language the model does not know."""
        if language not in self._model.supported_languages:
            raise LanguageError(f"language {language!r} is not known; send en, de or another ISO 639-1 code")

    def _tokenizer(self, language):
        with self._lock:
            if language not in self._tokenizers:
                self._tokenizers[language] = Tokenizer(
                    self._model.hf_tokenizer,
                    self._model.model.is_multilingual,
                    task="transcribe",
                    language=language,
                )
            return self._tokenizers[language]

    def transcribe(self, samples, rate, language, prompt=""):
        """The words in int16 samples; empty if there are none."""
        self.check_language(language)
        heard = audio.to_recogniser(samples, rate)
        seconds = len(heard) / audio.RECOGNISER_HZ
        if seconds < MIN_SECONDS or loudest_dbfs(heard) < MIN_LEVEL_DBFS:
            return ""
        # More than one window: each by itself, cut where it is quietest.
        texts = [self._window(part, language, prompt) for part in split(heard)]
        return " ".join(text for text in texts if text)

    def _window(self, heard, language, prompt):
        tokenizer = self._tokenizer(language)
        start = list(tokenizer.sot_sequence) + [tokenizer.no_timestamps]
        if prompt:
            words = tokenizer.encode(" " + prompt)[-MAX_PROMPT_TOKENS:]
            start = [tokenizer.sot_prev] + words + start
        limit = TOKENS_AT_LEAST + int(TOKENS_PER_SECOND * len(heard) / audio.RECOGNISER_HZ)
        best = self._decode(self._mel(heard + hiss(heard)), MIN_WINDOW, start, limit)
        if best.scores[0] < SURE and best.no_speech_prob < 0.5:
            again = self._decode(self._mel(heard), MAX_WINDOW, start, limit)
            best = max(best, again, key=lambda result: result.scores[0])
        text = tokenizer.decode(best.sequences_ids[0]).strip()
        return accept(text, best.no_speech_prob, best.scores[0])

    def _mel(self, heard):
        return self._model.feature_extractor(heard, padding=0)[:, :MAX_WINDOW]

    def _decode(self, mel, window, start, limit):
        """Reads with a window of at least so many frames."""
        window = min(MAX_WINDOW, max(window, -(-(mel.shape[-1] + TAIL) // 100) * 100))
        features = np.zeros((1, mel.shape[0], window), np.float32)
        features[0, :, : mel.shape[-1]] = mel
        encoded = self._model.model.encode(ctranslate2.StorageView.from_array(features))
        return self._model.model.generate(
            encoded,
            [start],
            beam_size=BEAM,
            max_length=min(448, len(start) + limit),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )[0]


def hiss(heard):
    """Noise at a fixed distance below the audio; the same for the same audio."""
    noise = np.random.default_rng(0).standard_normal(len(heard), np.float32)
    return noise * (HISS * float(np.sqrt(np.mean(np.square(heard)))))


def accept(text, no_speech, log_probability):
    """The text, or nothing where the model most likely made it up.

    `no_speech` is the model's probability of silence, `log_probability` the mean over the tokens.
    """
    # Measured: speech, however badly understood, stays below 0.4 in silence; noise and tones are
    # above 0.5 and below -1.7.
    if no_speech > 0.45 and log_probability < -1.2:
        return ""
    if log_probability < -2.5 or _SUBTITLES.search(text):
        return ""
    text = collapse(text)
    # Notes on noise: "[Music]", "(Applaus)", "*räuspert sich*", "♪".
    text = re.sub(r"[\[(*♪][^\])*♪]*[\])*♪]|♪", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    return text if any(c.isalnum() for c in text) else ""


def collapse(text):
    """One to six words said four or more times in a row are a loop of the decoder: kept once.

    Digits are left alone: "five five five five" is how numbers are dictated.
    """
    words = text.split()
    out = []
    at = 0
    while at < len(words):
        for length in range(1, 7):
            unit = [plain(w) for w in words[at : at + length]]
            count = 1
            while [plain(w) for w in words[at + count * length : at + (count + 1) * length]] == unit:
                count += 1
            if count >= 4 and not all(is_number(w) for w in unit):
                out.extend(words[at : at + length])
                at += count * length
                break
        else:
            out.append(words[at])
            at += 1
    return " ".join(out)


_NUMBERS = set(
    "zero oh one two three four five six seven eight nine ten "
    "null eins zwei zwo drei vier fünf sechs sieben acht neun zehn".split()
)


def plain(word):
    return word.strip(".,;:!?…\"'").lower()


def is_number(word):
    return word in _NUMBERS or word.isdigit()


def loudest_dbfs(heard):
    """Level of the loudest 30 ms, in dB below full scale."""
    size = audio.RECOGNISER_HZ * 30 // 1000
    usable = len(heard) // size * size
    frames = heard[:usable].reshape(-1, size) if usable else heard.reshape(1, -1)
    power = float(np.max(np.mean(np.square(frames, dtype=np.float64), axis=1)))
    return 10.0 * np.log10(power + 1e-12)


def split(heard):
    """Parts of at most 28 s, cut at the quietest place of each part's last 8 s."""
    rate = audio.RECOGNISER_HZ
    parts = []
    while len(heard) > 28 * rate:
        size = rate // 10
        tail = np.square(heard[20 * rate : 28 * rate]).reshape(-1, size).mean(axis=1)
        cut = 20 * rate + int(np.argmin(tail)) * size + size // 2
        parts.append(heard[:cut])
        heard = heard[cut:]
    return parts + [heard]
