"""Speaks a sentence and listens to it, as it sounds on the phone: selfcheck.py MODEL_DIR."""

import sys
from pathlib import Path

import numpy as np

from audio import Resampler
from recogniser import Recogniser
from voices import Voices


def main():
    voices = Voices()
    voices.load()
    recogniser = Recogniser(Path(sys.argv[1]), threads=2, workers=1)
    text = "Hello, this is a test. The office is open from nine to five."
    samples = np.concatenate(list(voices.speak(text, "", "en", 1.0, 24_000)))
    phone = Resampler(24_000, 8_000)
    phone = np.concatenate([phone.push(samples), phone.finish()])
    heard = recogniser.transcribe(phone, 8_000, "en")
    if "office is open" not in heard.lower():
        sys.exit(f"spoke {text!r}, understood {heard!r}")
    for language, sentence in (("de", "Guten Tag."), ("ar", "مرحبا")):
        spoken = np.concatenate(list(voices.speak(sentence, "", language, 1.0, 24_000)))
        if len(spoken) < 2_400:
            sys.exit(f"espeak-ng spoke only {len(spoken)} samples of {language}")
    print(f"[speech] understood: {heard}")


main()
