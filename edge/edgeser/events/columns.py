"""An emotion event as columns of a table: those that all kinds of tables share."""

from __future__ import annotations

from edgeser.events.schema import EmotionEvent


def emotion_columns(event: EmotionEvent) -> dict[str, object]:
    """Its segment, what was heard in it and how well; ``start``, ``end``: seconds of the stream."""
    quality = event.quality
    return {
        "segment": event.segment,
        "start": event.start,
        "end": event.end,
        "label": event.label,
        "confidence": event.confidence,
        "valence": event.valence,
        "arousal": event.arousal,
        "continued": event.continued,
        "speech_ratio": quality.speech_ratio,
        "level_dbfs": quality.level_dbfs,
        "clipped_ratio": quality.clipped_ratio,
        "snr_db": quality.snr_db,
        "speech_probability": quality.speech_probability,
        "noise_probability": quality.noise_probability,
        "model_sha256": event.model.sha256,
    }
