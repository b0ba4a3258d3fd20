"""Benchmarks: the shipped daemon and models measured on this machine, never a copy of them."""

from pathlib import Path

SPEECH_FILE = Path(__file__).with_name("speech.flac")
"""22 s of a synthetic voice (espeak-ng, made by make_speech.sh): five utterances with pauses."""
