"""``unseen.md`` and ``unseen.json``: metrics on unseen voices, by what was known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from edgeser.commit import commit
from edgeser.model.artefact import Estimate
from edgeser.model.unseen import Unseen, UnseenRow
from edgeser_train import metrics
from edgeser_train.evaluation.markdown import between, percent, table
from edgeser_train.evaluation.unseen import (
    FOUR,
    Metrics,
    Predictions,
    mean_of,
    metrics_of,
    ua_gain,
    ua_interval,
)
from edgeser_train.training.checkpoint import today


class CorpusMetrics(msgspec.Struct, frozen=True):
    """Metrics of one corpus, averaged over the orders; ``recalls`` by label, of the first order."""

    corpus: str
    utterances: int
    speakers: int
    temperature: float
    abstain_below: float
    figures: Metrics
    recalls: dict[str, float]


class EnrolmentRow(msgspec.Struct, frozen=True):
    """Metrics with ``known`` of every voice; the intervals: of the first order, over speakers."""

    known: str
    corpora: list[CorpusMetrics]
    mean: Metrics
    ua4: Estimate
    ua: Estimate


class ConditionRow(msgspec.Struct, frozen=True):
    """Metrics under a listening condition (``sound.conditions``)."""

    condition: str
    metrics: EnrolmentRow


class Gain(msgspec.Struct, frozen=True):
    """The gain in UA over another model on the same utterances; 95 % over speakers, paired."""

    known: str
    ua4: Estimate
    ua: Estimate


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The content of unseen.json.

    ``date``, ``commit``: of writing it. ``beside``: the other model's name. ``note``: what else a
    reader should know. ``left_out``: utterances not scored, by corpus and class.
    """

    model: str
    command: str
    date: str = msgspec.field(default_factory=today)
    commit: str = msgspec.field(default_factory=commit)
    orders: int
    rows: list[EnrolmentRow]
    beside: str = ""
    gains: list[Gain] = []
    conditions: list[ConditionRow] = []
    note: str = ""
    left_out: dict[str, dict[str, int]] = {}


def enrolment_row(
    known: str,
    predictions: Sequence[Sequence[Predictions]],
    fitted: Sequence[tuple[float, float]],
) -> EnrolmentRow:
    """``known``: what is known of every voice. ``predictions``: for every corpus, of every order;
    ``fitted``: temperature and threshold of every corpus.
    """
    corpora = [_corpus(of_orders, *fit) for of_orders, fit in zip(predictions, fitted, strict=True)]
    first = [of_orders[0] for of_orders in predictions]
    return EnrolmentRow(
        known,
        corpora,
        mean_of([c.figures for c in corpora]),
        ua_interval(first, FOUR),
        ua_interval(first),
    )


def gained(
    known: str,
    predictions: Sequence[Sequence[Predictions]],
    before: Sequence[Sequence[Predictions]],
) -> Gain:
    """Predictions of both models, as for ``enrolment_row``; only the first order is used."""
    first, other = [a[0] for a in predictions], [a[0] for a in before]
    return Gain(known, ua_gain(first, other, FOUR), ua_gain(first, other))


def as_json(document: msgspec.Struct) -> bytes:
    """The content of its file."""
    return msgspec.json.format(msgspec.json.encode(document))


def record(report: Document, sha256: str) -> Unseen:
    """The part of the report that is kept beside the artefact with that SHA-256."""
    rows = [
        UnseenRow(
            row.known,
            row.ua4,
            row.ua,
            _there(row.mean.arousal_auc),
            _there(row.mean.valence_auc),
            row.mean.ece,
        )
        for row in report.rows
    ]
    return Unseen(sha256, [c.corpus for c in report.rows[0].corpora], report.date, rows)


def _there(value: float) -> float | None:
    return None if math.isnan(value) else value


def markdown(report: Document) -> str:
    """The report as a Markdown page."""
    first = report.rows[0]
    lines = [
        f"# Voices never met: {report.model}",
        "",
        f"`{report.command}` on {report.date}, code {report.commit}.",
        "",
        "Figures in %. UA 4: mean recall of angry, happy, neutral and sad, told apart from each "
        "other alone (calm counts as neutral); UA: of all classes that model and corpus share; "
        "arousal: recall of angry, fearful, happy against neutral, sad. AUC of arousal and valence "
        "are of the projections in the events. The calibration error, the share that is answered "
        "and the share of it that is right are those of the confidence a listener is told. "
        "Baselines are of other utterances of the same speaker, drawn by chance "
        f"({report.orders} orders, averaged); an utterance is never in its own. Where they are of "
        "another person or of two people in turn, the other one is a speaker of the same corpus, "
        "and ten utterances are mostly neutral.",
        "",
        *([report.note, ""] if report.note else []),
        "## Mean over corpora",
        "",
        "Every corpus counts alike. In brackets: 95 % over speakers.",
        "",
        *table(
            ["known of the voice", "UA 4", "UA", *_NAMES],
            (
                [
                    row.known,
                    f"{percent(row.mean.ua4)} ({between(row.ua4)})",
                    f"{percent(row.mean.ua)} ({between(row.ua)})",
                    *_values(row.mean),
                ]
                for row in report.rows
            ),
        ),
    ]
    if report.gains:
        lines += [
            "",
            f"## Beside {report.beside}",
            "",
            f"How much higher than {report.beside} on the same utterances, in points; in brackets "
            "95 % over speakers, the same ones drawn for both. UA is of the classes that both "
            "models know.",
            "",
            *table(
                ["known of the voice", "UA 4", "UA"],
                ([g.known, _points(g.ua4), _points(g.ua)] for g in report.gains),
            ),
        ]
    if report.conditions:
        lines += ["", *_conditions(report.conditions)]
    for place, corpus in enumerate(first.corpora):
        unscored = report.left_out.get(corpus.corpus, {})
        lines += [
            "",
            f"## {corpus.corpus}",
            "",
            f"{corpus.utterances} utterances, {corpus.speakers} speakers"
            f"{'; left out: ' if unscored else ''}{counts(unscored)}; temperature "
            f"{corpus.temperature:.2f}, unknown below {corpus.abstain_below:.2f}.",
            "",
            *table(
                ["known of the voice", "UA 4", "UA", *_NAMES, *corpus.recalls],
                (
                    [
                        row.known,
                        percent(row.corpora[place].figures.ua4),
                        percent(row.corpora[place].figures.ua),
                        *_values(row.corpora[place].figures),
                        *(percent(r) for r in row.corpora[place].recalls.values()),
                    ]
                    for row in report.rows
                ),
            ),
        ]
    lines += ["", "The columns of single emotions are recalls among all that the corpus has."]
    return "\n".join(lines) + "\n"


def counts(classes: Mapping[str, int]) -> str:
    """E.g. "boredom 81, surprised 3"."""
    return ", ".join(f"{label} {utterances}" for label, utterances in classes.items())


def _conditions(rows: Sequence[ConditionRow]) -> list[str]:
    corpora = [corpus.corpus for corpus in rows[0].metrics.corpora]
    return [
        "## In other rooms and on other lines",
        "",
        "Mean over corpora, and UA 4 of each corpus. What is known of a voice was recorded in the "
        "same condition. No training uses these conditions "
        "(`train/edgeser_train/sound/conditions.py`).",
        "",
        *table(
            ["condition", "known of the voice", "UA 4", "UA", *_NAMES[:4], *corpora],
            (
                [
                    row.condition,
                    row.metrics.known,
                    f"{percent(row.metrics.mean.ua4)} ({between(row.metrics.ua4)})",
                    percent(row.metrics.mean.ua),
                    *_values(row.metrics.mean)[:4],
                    *(percent(c.figures.ua4) for c in row.metrics.corpora),
                ]
                for row in rows
            ),
        ),
    ]


_NAMES = ("arousal", "AUC arousal", "AUC valence", "calibration error", "answered", "of it right")


def _points(gain: Estimate) -> str:
    value, low, high = (100 * x for x in (gain.value, gain.low, gain.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _values(m: Metrics) -> list[str]:
    """The values of the columns ``_NAMES``."""
    shown = (m.arousal_ua, m.arousal_auc, m.valence_auc, m.ece, m.answered, m.answered_wa)
    return [percent(value) for value in shown]


def _corpus(
    of_orders: Sequence[Predictions], temperature: float, abstain_below: float
) -> CorpusMetrics:
    first = of_orders[0]
    chosen = first.among(first.labels)
    return CorpusMetrics(
        corpus=first.corpus,
        utterances=len(first.targets),
        speakers=len(set(first.speakers)),
        temperature=temperature,
        abstain_below=abstain_below,
        figures=mean_of([metrics_of(a, temperature, abstain_below) for a in of_orders]),
        recalls=dict(zip(chosen.labels, metrics.recalls(chosen.confusion).tolist(), strict=True)),
    )
