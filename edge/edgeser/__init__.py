"""edgeser: speech in, emotion events out, on the device."""

__version__ = "0.1.0"
