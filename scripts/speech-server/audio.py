"""WAV in, WAV and PCM out. No model, no network.

What a caller of the server can get wrong ends in AudioError, whose text goes into the answer.
"""

import struct

import av
import numpy as np

RECOGNISER_HZ = 16_000
MIN_HZ, MAX_HZ = 4_000, 192_000


class AudioError(ValueError):
    """The audio cannot be read; the text says why and what to send instead."""


def read_wav(data, max_seconds):
    """16-bit mono samples (numpy int16) and their rate in Hz from a WAV file.

    Reads PCM of 8 and 16 bit, mu-law and A-law; several channels are averaged.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise AudioError(
            f"not a WAV file: it begins with {data[:4]!r}; send RIFF/WAVE, PCM 16 bit, mono"
        )
    layout = None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if name == b"fmt ":
            if size < 16 or body + 16 > len(data):
                raise AudioError("the fmt chunk of the WAV file is shorter than 16 bytes")
            layout = struct.unpack_from("<HHIIHH", data, body)
            if layout[0] == 0xFFFE and size >= 26 and body + 26 <= len(data):
                # WAVE_FORMAT_EXTENSIBLE: the format is in the first bytes of the sub-format.
                layout = struct.unpack_from("<H", data, body + 24) + layout[1:]
        elif name == b"data":
            if layout is None:
                raise AudioError("the WAV file has its data chunk before its fmt chunk")
            # Programs that write to a pipe do not know the length: 0 or a number near 2^31 or 2^32.
            unknown = size == 0 or size >= 0x7FFFF000
            if not unknown and body + size > len(data):
                raise AudioError(
                    f"the WAV file is cut off: its data chunk says {size} bytes, "
                    f"{len(data) - body} are there"
                )
            payload = data[body:] if unknown else data[body : body + size]
            return _samples(layout, payload, max_seconds)
        at = body + size + size % 2
    missing = "fmt" if layout is None else "data"
    raise AudioError(f"the WAV file has no {missing} chunk, or it is cut off before it")


def _samples(layout, payload, max_seconds):
    format_tag, channels, rate, _, _, bits = layout
    if not 1 <= channels <= 8:
        raise AudioError(f"the WAV file has {channels} channels; send one")
    if not MIN_HZ <= rate <= MAX_HZ:
        raise AudioError(f"the WAV file has a sample rate of {rate} Hz; send 8000 or 16000")
    decoders = {
        (1, 16): lambda raw: np.frombuffer(raw[: len(raw) // 2 * 2], "<i2"),
        (1, 8): lambda raw: (np.frombuffer(raw, np.uint8).astype(np.int16) - 128) * 256,
        (6, 8): lambda raw: _ALAW[np.frombuffer(raw, np.uint8)],
        (7, 8): lambda raw: _ULAW[np.frombuffer(raw, np.uint8)],
    }
    decode = decoders.get((format_tag, bits))
    if decode is None:
        raise AudioError(
            f"WAV format {format_tag} with {bits} bit is not read; send PCM (1) with 16 bit"
        )
    samples = decode(payload)
    if channels > 1:
        samples = samples[: len(samples) // channels * channels].reshape(-1, channels)
        samples = samples.astype(np.int32).mean(axis=1).astype(np.int16)
    if len(samples) > max_seconds * rate:
        raise AudioError(
            f"the audio lasts {len(samples) // rate} s; at most {max_seconds} s are taken"
        )
    return samples, rate


def _g711_tables():
    """ITU-T G.711 decoding tables."""
    code = np.arange(256, dtype=np.int32)
    inverted = code ^ 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)
    ulaw = np.where(inverted & 0x80, 0x84 - magnitude, magnitude - 0x84)
    toggled = code ^ 0x55
    mantissa, exponent = (toggled & 0x0F) << 4, (toggled & 0x70) >> 4
    alaw = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    alaw = np.where(toggled & 0x80, alaw, -alaw)
    return ulaw.astype(np.int16), alaw.astype(np.int16)


_ULAW, _ALAW = _g711_tables()


class Resampler:
    """Changes the sample rate of audio that comes in pieces."""

    def __init__(self, from_hz, to_hz):
        self._from_hz = from_hz
        self._same = from_hz == to_hz
        self._resampler = None if self._same else av.AudioResampler("s16", "mono", to_hz)

    def push(self, samples):
        """int16 samples in, int16 samples out."""
        if self._same or len(samples) == 0:
            return samples
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.int16).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = self._from_hz
        return self._join(self._resampler.resample(frame))

    def finish(self):
        """What the filter still holds."""
        return np.zeros(0, np.int16) if self._same else self._join(self._resampler.resample(None))

    @staticmethod
    def _join(frames):
        pieces = [frame.to_ndarray()[0] for frame in frames]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def to_recogniser(samples, rate):
    """float32 samples from -1 to 1 at the recogniser's rate."""
    resampler = Resampler(rate, RECOGNISER_HZ)
    out = np.concatenate([resampler.push(samples), resampler.finish()])
    return out.astype(np.float32) / 32768.0


def wav_file(samples, rate):
    """A WAV file, PCM 16 bit mono."""
    data = samples.astype("<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16,
        b"data", len(data),
    )  # fmt: skip
    return header + data


def from_float(samples):
    """int16 from float samples, clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
