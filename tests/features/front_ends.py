"""Every front end that a recipe has, by its model, and every STFT version."""

from __future__ import annotations

from edgeser_train.data import front_ends

FRONT_ENDS = {
    "lightweight": front_ends.LIGHTWEIGHT,
    **{f"eca-cnn-v{version}": front_ends.eca(version) for version in front_ends.STFT_VERSIONS},
    "attention-pooling": front_ends.ATTENTION_POOLING,
    "pcnse-sadrn-ctc": front_ends.PCNSE,
    "wavlm-sap": front_ends.WAVEFORM,
    "voices": front_ends.VOICES,
    "streaming": front_ends.STREAM,
}
