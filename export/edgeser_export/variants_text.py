"""The comparison of a model's variants as Markdown."""

from __future__ import annotations

from edgeser.model.artefact import Estimate
from edgeser_export.sensitivity import MAX_ERROR
from edgeser_export.variants import Timing, Variant, VariantsReport


def markdown(report: VariantsReport) -> str:
    """The comparison as a page."""
    fp32 = report.variants[0]
    lines = [
        f"# {report.model}: half precision and integers",
        "",
        f"{report.utterances} {report.part} utterances of {', '.join(report.corpora)} under "
        f"`{report.protocol}`, {report.folds} folds; every fold's checkpoint in every precision, "
        "scored by ONNX Runtime on the same utterances. INT8 ranges and sensitive layers come from "
        "each fold's training utterances. Changes are to fp32, paired, with the 95 % interval over "
        "utterances.",
        "",
        "| | size | WA % | UA % | change of WA | change of UA | other label | ECE |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(v) for v in report.variants),
        "",
        f"Time of one window on one thread, variants in turn in {report.rounds} rounds; the ratio "
        "is to fp32 of the same round, median and quartiles.",
        "",
        "| | frames | median ms | ratio to fp32 |",
        "|---|---|---|---|",
        *(_time(v, t) for v in report.variants for t in v.timings),
        "",
        *(
            f"* **{v.precision}** {'may ship' if v.ships else 'does not ship'}: {v.why}."
            for v in report.variants
            if v is not fp32
        ),
        *_layers(report),
        "",
        f"`{report.command}`, {report.date}, commit {report.commit}, {report.machine}; "
        + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "",
    ]
    return "\n".join(lines)


def _row(v: Variant) -> str:
    size = f"{v.bytes / 1e6:.2f} MB"
    changes = [_change(e) if v.precision != "fp32" else "" for e in (v.wa_change, v.ua_change)]
    other = f"{100 * v.changed:.1f} %" if v.precision != "fp32" else ""
    cells = [v.precision, size, _percent(v.wa), _percent(v.ua), *changes, other, f"{v.ece:.3f}"]
    return f"| {' | '.join(cells)} |"


def _time(v: Variant, t: Timing) -> str:
    ratio = f"{t.ratio.median:.2f} ({t.ratio.low:.2f} to {t.ratio.high:.2f})"
    return f"| {v.precision} | {t.frames} | {t.median_ms:.2f} | {ratio} |"


def _layers(report: VariantsReport) -> list[str]:
    lines = []
    for v in report.variants:
        if v.calibration_error is None:
            continue
        names = ", ".join(f"`{name}` ({count} folds)" for name, count in v.left_alone.items())
        lines += [
            f"* Layers that INT8 leaves in fp32: {names or 'none'}.",
            "* Root mean square error of a logit on the calibration windows: "
            f"{v.calibration_error:.3f}; above {MAX_ERROR} the most harmful layers are left alone.",
        ]
    return lines


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} ({100 * e.low:.1f} to {100 * e.high:.1f})"


def _change(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} ({100 * e.low:+.1f} to {100 * e.high:+.1f})"
