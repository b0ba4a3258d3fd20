"""The daemon's way of scoring windows of speech beside what one would otherwise write.

python benchmarks/rivals/windows.py [--seconds 60] [--speech FILE] [--json]

Windows of 3 s every 0.5 s of uninterrupted speech, one after the other, all ways in turn on the
same window. Measures the processor time of all threads. A way whose library is missing is skipped,
with a message.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import onnxruntime

from benchmarks import script
from edgeser.bench import SPEECH_FILE, sound
from edgeser.features import FrameStream
from edgeser.features.baseline import no_baseline
from edgeser.features.frames import features_of
from edgeser.features.front_end import Floats
from edgeser.model.artefact import shipped_models
from edgeser.model.model import Model, load_model
from edgeser.model.network import Speech
from edgeser.pcm import SAMPLE_RATE, Samples

WINDOW, HOP, SEGMENT = 3 * SAMPLE_RATE, SAMPLE_RATE // 2, 7 * SAMPLE_RATE
WINDOWS, STREAMS = "lightweight-emodb", "streaming6"
"""The first has the front end and the network that the other ways compute."""

OURS = "edgeser: new frames only, ONNX Runtime on one thread"

Way = Callable[[int], object]
"""Scores the window [end - WINDOW, end) of the sound."""


def main() -> None:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speech", type=Path, default=SPEECH_FILE)
    options = parser.parse_args()
    if not 5 <= options.seconds <= 3600:
        parser.error(f"--seconds: expected 5 to 3600, got {options.seconds:g}")
    spoken = sound.without_pauses(sound.samples_of(options.speech), options.speech)
    samples = sound.repeated(spoken, options.seconds)
    ways: dict[str, Way] = {}
    for make in (
        ours,
        features_alone,
        streams,
        features_of_streams,
        whole_window,
        torch_features,
        eager,
        wav2vec2,
        egemaps,
        compare,
    ):
        try:
            name, way = make(samples)
        except ImportError as error:
            print(f"skipped {make.__name__}: {error}", file=sys.stderr)
        else:
            ways[name] = way
    times = measure(ways, len(samples))
    base = np.median(times[OURS])
    rows = {
        name: {
            "mean": float(np.mean(values)),
            "cpu_ms_per_window": float(np.median(values)),
            "p90": float(np.percentile(values, 90)),
            "cpu_ms_per_audio_s": float(np.median(values)) * SAMPLE_RATE / HOP,
            "ratio": float(np.median(values) / base),
        }
        for name, values in times.items()
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'processor time of a window, ms':<62} {'median':>8} {'p90':>8} {'ratio':>7}")
    for name, row in rows.items():
        figures = f"{row['cpu_ms_per_window']:>8.2f} {row['p90']:>8.2f} {row['ratio']:>7.2f}"
        print(f"{name:<62} {figures}")


def measure(ways: dict[str, Way], length: int) -> dict[str, list[float]]:
    """Milliseconds of processor time of each way for each window; the first windows warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number, end in enumerate(range(WINDOW, length, HOP)):
        for name, way in ways.items():
            begun = time.process_time()
            way(end)
            if number >= 3:
                times[name].append((time.process_time() - begun) * 1000)
    return times


def ours(samples: Samples) -> tuple[str, Way]:
    model = load_model(WINDOWS)
    features = _new_frames(samples)
    return OURS, lambda end: model.scores([[features(end)]])


def features_alone(samples: Samples) -> tuple[str, Way]:
    return "  of it the features", _new_frames(samples)


def _new_frames(samples: Samples) -> Callable[[int], Floats]:
    spec = load_model(WINDOWS).info.front_end
    stream = FrameStream(spec)

    def features(end: int) -> Floats:
        stream.forget(end - WINDOW)  # as the daemon does
        stream.push(samples[stream.end_sample : end], stream.end_sample)
        return spec.normalised(stream.frames(end - WINDOW, end))

    return features


def streams(samples: Samples) -> tuple[str, Way]:
    model = load_model(STREAMS)
    return "edgeser: a network of streams, each frame once", _by_segments(
        samples, model, lambda speech: model.scores([speech])
    )


def features_of_streams(samples: Samples) -> tuple[str, Way]:
    return "  of that the features", _by_segments(
        samples, load_model(STREAMS), lambda speech: speech
    )


def _by_segments(samples: Samples, model: Model, then: Callable[[Speech], object]) -> Way:
    """Every window as a span of its segment, which is over after 7 s, as in the daemon."""
    spec = model.info.front_end
    stream, unknown = FrameStream(spec), no_baseline(spec.bins)
    start, segment = 0, model.segment(0, unknown)

    def way(end: int) -> object:
        nonlocal start, segment
        if end - start > SEGMENT:
            start = end - HOP
            segment = model.segment(start, unknown)
        stream.forget(start)
        stream.push(samples[stream.end_sample : end], stream.end_sample)
        if end - start < SAMPLE_RATE:  # the shortest window
            return None
        return then(segment.window(stream, max(start, end - WINDOW), end))

    return way


def whole_window(samples: Samples) -> tuple[str, Way]:
    model = load_model(WINDOWS)
    session = onnxruntime.InferenceSession(
        str(shipped_models()[WINDOWS]), providers=["CPUExecutionProvider"]
    )

    def score(end: int) -> object:
        features = features_of(samples[end - WINDOW : end], model.info.front_end)
        inputs = {"features": features[None], "frames": np.array([len(features)])}
        return session.run(None, inputs)

    return "every frame anew, ONNX Runtime with default threads", score


def torch_features(samples: Samples) -> tuple[str, Way]:
    import torch

    mel = _torchaudio_mel()
    sound = torch.from_numpy(samples.astype(np.float32) / 32768)
    torch.set_num_threads(1)
    return "torchaudio features of every window, one thread", lambda end: mel(
        sound[end - WINDOW : end]
    )


def eager(samples: Samples) -> tuple[str, Way]:
    import torch

    from edgeser_train.models.lightweight import Lightweight, LightweightConfig

    mel = _torchaudio_mel()
    sound = torch.from_numpy(samples.astype(np.float32) / 32768)
    network = Lightweight(LightweightConfig(blocks=2)).eval()  # weights do not change the time

    def score(end: int) -> object:
        with torch.inference_mode():
            features = mel(sound[end - WINDOW : end]).T[None]
            return network(features, torch.tensor([features.shape[1]]))

    return "PyTorch eager with torchaudio features", score


def wav2vec2(samples: Samples) -> tuple[str, Way]:
    """The network alone, with random weights, which do not change the time."""
    import torch

    from edgeser_train.torchaudio import transforms

    transforms()  # transformers imports torchaudio
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    # The defaults are those of wav2vec2-base: 12 layers of 768, 95 million weights.
    config = Wav2Vec2Config(attn_implementation="eager", return_dict=False)  # type: ignore[call-arg]
    network = Wav2Vec2Model(config).eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's
        file = f"{folder}/wav2vec2.onnx"
        torch.onnx.export(network, (torch.zeros(1, WINDOW),), file, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (name,) = [tensor.name for tensor in session.get_inputs()]
    sound = samples.astype(np.float32) / 32768
    return "a network of wav2vec2-base's size, ONNX Runtime on one thread", lambda end: session.run(
        None, {name: sound[None, end - WINDOW : end]}
    )


def egemaps(samples: Samples) -> tuple[str, Way]:
    return _opensmile("eGeMAPSv02", samples)


def compare(samples: Samples) -> tuple[str, Way]:
    return _opensmile("ComParE_2016", samples)


def _opensmile(name: str, samples: Samples) -> tuple[str, Way]:
    """Its licence is for research only: it is measured here, never shipped."""
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet[name],
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    sound = samples.astype(np.float32) / 32768
    return f"openSMILE {name} functionals, no classifier", lambda end: smile.process_signal(
        sound[end - WINDOW : end], SAMPLE_RATE
    )


def _torchaudio_mel() -> Callable[..., Any]:
    import torch

    from edgeser_train.torchaudio import transforms

    mel = transforms().MelSpectrogram(
        SAMPLE_RATE,
        n_fft=1024,
        win_length=640,
        hop_length=160,
        n_mels=128,
        window_fn=torch.hamming_window,
        norm="slaney",
        mel_scale="slaney",
    )
    decibels = transforms().AmplitudeToDB("power", top_db=80)
    return lambda sound: decibels(mel(sound))


if __name__ == "__main__":
    script.run(main)
