"""How well the recogniser understands phrases on telephone audio: VENV/bin/python measure.py

Speaks the phrases below in every voice at hand (espeak-ng in several variants, hibari, flite and
pico2wave if they are installed), passes them through a telephone (8 kHz, 300 to 3400 Hz, mu-law, a little hiss) and
prints the word error rate for each voice, and what was misunderstood. The phrases are those of a
front desk, with the ones that only sound like a request for a person.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from audio import Resampler, from_float
from recogniser import Recogniser

PHRASES = {
    "en": """Can I talk to a real person?
Please connect me to an operator.
I want to speak with somebody from sales.
Transfer me to extension two zero zero one.
Put me through to support.
Could I speak to your manager, please?
Let me talk to a representative.
Human, please.
I am looking for a real estate agent.
Please transfer fifty dollars to my savings account.
Mark it as done.
Thanks, and one more thing.
I need a travel agent for my trip to Spain.
Goodbye.
That is all, thank you, goodbye.
What are your opening hours?
Where are you located?
I would like to book an appointment for Friday morning.
A table for four people at half past eight.
I want to leave a message.
Please call me back tomorrow.
Yes, that is correct.
No, thank you.
How much does it cost?""",
    "de": """Kann ich bitte mit einem echten Menschen sprechen?
Verbinden Sie mich bitte mit einem Mitarbeiter.
Ich möchte mit dem Vertrieb sprechen.
Verbinden Sie mich mit der Durchwahl zwei null null eins.
Bitte stellen Sie mich zum Kundendienst durch.
Kann ich jemanden aus der Buchhaltung sprechen?
Ich will mit einer richtigen Person reden.
Einen Mitarbeiter bitte.
Ich suche einen Immobilienmakler.
Bitte überweisen Sie fünfzig Euro auf mein Sparkonto.
Markieren Sie das als erledigt.
Danke, und noch eine Frage.
Auf Wiederhören.
Tschüss.
Das war alles, vielen Dank, auf Wiedersehen.
Wann haben Sie geöffnet?
Wo befinden Sie sich?
Ich möchte einen Termin für Freitag vereinbaren.
Einen Tisch für vier Personen um halb neun bitte.
Ich möchte eine Nachricht hinterlassen.
Bitte rufen Sie mich morgen zurück.
Ja, das ist richtig.
Nein, danke.
Was kostet das?""",
}
ESPEAK = {
    "en": [("en-us", 150), ("en-gb+f3", 150), ("en-us+m3", 170), ("en-gb-scotland", 140)],
    "de": [("de", 145), ("de+f2", 145), ("de+m3", 155), ("de+f5", 130)],
}
PICO = {"en": ["en-US", "en-GB"], "de": ["de-DE"]}
DIGITS = dict(
    zero="0", one="1", two="2", four="4", eight="8", fifty="50", null="0", eins="1", zwei="2",
    vier="4", neun="9", sieben="7", fünfzig="50",
)  # fmt: skip


def voices(language):
    """Name and function (text to samples and rate) of each voice."""
    for voice, speed in ESPEAK[language]:
        yield f"espeak {voice}", lambda text, v=voice, s=speed: espeak(text, v, s)
    if language == "en":
        from hibari import Hibari

        hibari = Hibari()
        yield "hibari", lambda text: (from_float(hibari(text, seed=1)), 24_000)
        if shutil.which("flite"):
            for voice in ("slt", "rms", "awb"):
                yield f"flite {voice}", lambda text, v=voice: flite(text, v)
    if shutil.which("pico2wave"):
        for voice in PICO[language]:
            yield f"pico {voice}", lambda text, v=voice: pico(text, v)


def espeak(text, voice, speed):
    command = ["espeak-ng", "--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(speed)]
    out = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    return np.frombuffer(out[44 : len(out) // 2 * 2], "<i2"), 22_050


def flite(text, voice):
    command = ["flite", "-voice", voice, "-t", text, "-o", "/dev/stdout"]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(out)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def pico(text, voice):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spoken.wav"
        subprocess.run(["pico2wave", "-l", voice, "-w", path, text], check=True)
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def telephone(samples, rate, seed):
    """As it arrives over G.711, with silence around."""
    resampler = Resampler(rate, 8_000)
    heard = np.concatenate([resampler.push(samples), resampler.finish()]) / 32768.0
    spectrum = np.fft.rfft(heard)
    frequency = np.fft.rfftfreq(len(heard), 1 / 8_000)
    spectrum *= np.clip((frequency - 200) / 100, 0, 1) * np.clip((3500 - frequency) / 100, 0, 1)
    heard = np.fft.irfft(spectrum, len(heard))
    heard = np.concatenate([np.zeros(2_400), 0.4 * heard / np.abs(heard).max(), np.zeros(4_000)])
    heard += np.random.default_rng(seed).normal(0, 0.001, len(heard))
    compressed = np.sign(heard) * np.round(127 * np.log1p(255 * np.abs(heard)) / np.log(256)) / 127
    expanded = np.sign(compressed) * (256 ** np.abs(compressed) - 1) / 255
    return (expanded * 32767).astype(np.int16)


def words(text):
    """Lower case, no punctuation, numbers as digits, digits in a row as one number."""
    text = text.lower().replace("$", " dollars ").replace("€", " euro ")
    parts = [DIGITS.get(w, w) for w in re.sub(r"[^\w]", " ", text).split()]
    return re.sub(r"(?<=\d) (?=\d)", "", " ".join(parts)).split()


def errors(said, heard):
    """Words to change, to put in or to take out."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(sys.prefix).parent / "model")
    parser.add_argument("--language", choices=["en", "de"], action="append")
    parser.add_argument("--voice", default="", help="only voices whose name holds this")
    parser.add_argument("--every", type=int, default=1, help="only every nth phrase")
    parser.add_argument("--show", action="store_true", help="print what was misunderstood")
    options = parser.parse_args()
    recogniser = Recogniser(options.model, threads=2, workers=1)
    for language in options.language or ["en", "de"]:
        phrases = PHRASES[language].split("\n")[:: options.every]
        for name, speak in voices(language):
            if options.voice not in name:
                continue
            wrong = total = exact = 0
            spoken = [telephone(*speak(text), seed) for seed, text in enumerate(phrases)]
            began, wall = time.process_time(), time.monotonic()
            for text, samples in zip(phrases, spoken):
                heard = recogniser.transcribe(samples, 8_000, language)
                said = words(text)
                n = min(errors(said, words(heard)), len(said))
                wrong, total, exact = wrong + n, total + len(said), exact + (n == 0)
                if n and options.show:
                    print(f"      {text!r} -> {heard!r}")
            cpu = (time.process_time() - began) / len(phrases)
            wall = (time.monotonic() - wall) / len(phrases)
            print(
                f"{language} {name:22} word errors {100 * wrong / total:5.1f} %  "
                f"exact {exact:2}/{len(phrases)}  CPU {cpu:.2f} s  wall {wall:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
