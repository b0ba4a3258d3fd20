"""The live view of ``edgeser listen``: turns a state into something that rich can print. Pure."""

from __future__ import annotations

import time

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgeser.cli.listen_state import ListenState, Segment
from edgeser.events.schema import UNKNOWN, EmotionEvent, StatusEvent
from edgeser.pcm import SAMPLE_RATE

SILENT_AFTER_S = 3.0
"""A daemon sends its status every second: after this long without one it counts as gone."""

STREAMS_SHOWN = 4

METER_DB = 70.0
"""The meter is empty at this many dB below full scale."""

METER_WIDTH = 14

FAULTS_SHOWN = 3
FAULTS_SHOWN_S = 60.0

LABEL_STYLES = {
    "angry": "red",
    "anger": "red",
    "happy": "yellow",
    "happiness": "yellow",
    "joy": "yellow",
    "neutral": "cyan",
    "calm": "cyan",
    "sad": "blue",
    "sadness": "blue",
    "fear": "magenta",
    "fearful": "magenta",
    "disgust": "green",
    "disgusted": "green",
    "surprise": "bright_magenta",
    "surprised": "bright_magenta",
    "bored": "bright_black",
    "boredom": "bright_black",
    UNKNOWN: "bright_black",
}
STATE_STYLES = {
    "speech": "bold green",
    "listening": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "degraded": "bold yellow",
    "no_audio": "bold red",
}
_EIGHTHS = " ▏▎▍▌▋▊▉"


def view(state: ListenState, size: ConsoleDimensions, now: float) -> RenderableType:
    """The whole screen."""
    title = Text.assemble(("edgeser", "bold"), *(f" · {stream}" for stream in state.streams))
    header = _header(state, now)
    segment = _segment(state, size.width)
    faults = _faults(state, size.width)
    parts: list[RenderableType] = [
        Panel(Group(*header), title=title, title_align="left", border_style="bright_black"),
        Panel(
            Group(*segment),
            title=_segment_title(state.segment, now),
            title_align="left",
            subtitle=_smoothed(state.segment),
            subtitle_align="right",
            border_style="green" if state.in_speech else "bright_black",
        ),
    ]
    if faults:
        parts.append(Panel(Group(*faults), title="faults", title_align="left", border_style="red"))
    used = sum(len(lines) + 2 for lines in (header, segment, faults) if lines)
    if (rows := size.height - used - 4) > 0:  # two for the frame, one for the headings, one free
        parts.append(_history(state, size.width, rows))
    return Group(*parts)


def summary(state: ListenState) -> Text:
    """A summary for the terminal, once the view is gone."""
    text = Text(f"{_plural(state.events, 'event')}, {_plural(len(state.finals), 'final')}, ")
    text.append(f"{state.missed} missed", "red" if state.missed else "")
    for event in state.finals:
        text.append("\n")
        text.append(f"{_clock_time(event.time)}  segment {event.segment:>4}  ")
        text.append(f"{event.end - event.start:5.1f} s  ")
        text.append(f"{event.label:<12}", label_style(event.label))
        text.append(f"{event.confidence:5.0%}")
    return text


def label_style(label: str) -> str:
    """Colour of a label."""
    return LABEL_STYLES.get(label, "white")


def bar(share: float, width: int) -> str:
    """A horizontal bar of ``width`` characters, drawn to an eighth of one."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _header(state: ListenState, now: float) -> list[RenderableType]:
    """The lines of the header."""
    if state.status is None and state.events == 0:  # nothing was heard of a daemon so far
        waited = f" waiting for a daemon … {state.silent_s(now):.0f} s"
        why = (Text(line, "dim", overflow="ellipsis", no_wrap=True) for line in _why(state, now))
        waiting = Text.assemble((_spinner(now), "yellow"), waited)
        return [_spread(waiting, Text(state.endpoint, "dim")), *why]
    silent_s = now - state.heard_at
    statuses = list(state.statuses.values())
    lines: list[RenderableType] = []
    if silent_s > SILENT_AFTER_S:
        gone = Text(f"● no daemon for {silent_s:.0f} s, reconnecting", "bold red")
        lines.append(_spread(gone, Text()))
    elif not statuses:
        lines.append(_spread(Text("● receiving", "green"), _counts_text(state, None)))
    else:
        for status in statuses[:STREAMS_SHOWN]:
            lines.append(_spread(_state_text(state, status), _counts_text(state, status)))
        if more := len(statuses[STREAMS_SHOWN:]):
            lines.append(_spread(Text(f"and {_plural(more, 'stream')} more", "dim"), Text()))
    uptime = _uptime_text(state.status, now - state.status_at)
    return [*lines, _spread(_model_text(state), uptime)]


def _spread(left: Text, right: Text) -> Table:
    """Both texts on one line, at its ends."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True, overflow="ellipsis")
    grid.add_row(left, right)
    return grid


def _why(state: ListenState, now: float) -> list[str]:
    """Two lines on why nothing comes; empty during the first seconds."""
    trouble = state.trouble
    if trouble is None or state.silent_s(now) < SILENT_AFTER_S:
        return ["", ""]
    return [trouble.what, trouble.fix or ""]


def _state_text(state: ListenState, status: StatusEvent) -> Text:
    name = f"{status.stream}: " if len(state.statuses) > 1 else ""
    text = Text(f"● {name}{status.state.replace('_', ' ')}", STATE_STYLES[status.state])
    if status.muted:
        text.append("  muted", "bold yellow")
    if status.frame_age_s is not None and status.frame_age_s > 1:
        text.append(f"  no sound for {status.frame_age_s:.0f} s", "red")
        return text
    latest = state.levels.get(status.stream, status)
    if latest.level_dbfs is not None:
        share = 1 + latest.level_dbfs / METER_DB
        text.append("  ")
        text.append(bar(share, METER_WIDTH), "green" if latest.level_dbfs < -1 else "bold red")
        text.append(f" {latest.level_dbfs:3.0f} dBFS", "dim")
    return text


def _counts_text(state: ListenState, status: StatusEvent | None) -> Text:
    text = Text()
    if status is not None:
        counters = status.counters
        text.append(_plural(counters.segments, "segment"))
        if counters.rejected_segments:
            text.append(f" · {counters.rejected_segments} no speech")
        if counters.dropped_windows:
            text.append(f" · {counters.dropped_windows} dropped", "yellow")
        if counters.lost_samples:
            text.append(f" · {counters.lost_samples / SAMPLE_RATE:.2f} s lost", "red")
        if counters.faults:
            text.append(f" · {_plural(counters.faults, 'fault')}", "red")
    if state.missed:
        text.append(f" · {state.missed} missed", "red")
    return text


def _model_text(state: ListenState) -> Text:
    if state.status is not None:
        model, backend = state.status.model, f" · {state.status.backend}"
    elif state.segment is not None and state.segment.emotion is not None:
        model, backend = state.segment.emotion.model, ""
    else:
        return Text(state.endpoint, "dim")
    return Text.assemble((f"{model.name} {model.version}", "bold"), (backend, "dim"))


def _uptime_text(status: StatusEvent | None, age_s: float) -> Text:
    if status is None:
        return Text()
    return Text(f"up {_duration(status.uptime_s + min(age_s, 1.0))}", "dim")


def _segment(state: ListenState, width: int) -> list[Text]:
    """The lines of the segment's panel."""
    emotion = state.segment.emotion if state.segment else None
    scores = [_score_line(label, emotion, width) for label in state.labels or [""]]
    return [_segment_line(state.segment, width), Text(), *scores]


def _smoothed(segment: Segment | None) -> Text:
    if segment is None or segment.emotion is None:
        return Text()
    label = segment.emotion.smoothed.label
    return Text.assemble(("smoothed: ", "dim"), (label, label_style(label)))


def _segment_title(segment: Segment | None, now: float) -> Text:
    if segment is None:
        return Text("no speech yet", "dim")
    is_open = segment.length_s is None
    clock = f"{segment.clock_s(now):.1f} s"
    mark = ("● ", "bold red") if is_open else ("■ ", "dim")
    return Text.assemble(mark, (f"segment {segment.number}", "bold"), f" · {clock}")


def _segment_line(segment: Segment | None, width: int) -> Text:
    if segment is None:
        return Text("say something", "dim italic")
    event = segment.emotion
    if event is None:
        return Text("listening to the first window …", "dim italic")
    style = label_style(event.label)
    text = Text(no_wrap=True)
    text.append(f"{event.label.upper():<12}", f"bold {style}")
    bar_width = max(8, min(32, width - 52))
    text.append(bar(event.confidence, bar_width), style)
    text.append(f" {event.confidence:4.0%}", "bold")
    text.append(f"  {event.kind}", "dim")
    text.append(f" · {event.latency_ms.total:.0f} ms", "dim")
    text.append(f" · {event.quality.level_dbfs:.0f} dBFS", "dim")
    return text


def _score_line(label: str, emotion: EmotionEvent | None, width: int) -> Text:
    text = Text(no_wrap=True)
    score = emotion.scores.get(label) if emotion else None
    text.append(f"{label:<12}", label_style(label) if score is not None else "dim")
    if score is not None:
        text.append(bar(score, max(8, min(60, width - 24))), label_style(label))
        text.append(f" {score:4.0%}", "dim")
    return text


def _faults(state: ListenState, width: int) -> list[Text]:
    lines = []
    now = state.status.time if state.status else time.time()  # the daemon's clock may differ
    latest = [fault for fault in state.faults if now - fault.time < FAULTS_SHOWN_S]
    for fault in latest[-FAULTS_SHOWN:]:
        style = "yellow" if fault.recovered else "bold red"
        line = Text.assemble((f"{_clock_time(fault.time)} ", "dim"), (f"{fault.code} ", style))
        line.append(fault.message, style)
        line.truncate(width - 4, overflow="ellipsis")
        lines.append(line)
    return lines


def _history(state: ListenState, width: int, rows: int) -> RenderableType:
    """The latest finals, newest first, as many as there is room for."""
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    several = len(state.streams) > 1
    wide = width >= 100
    table.add_column("time", style="dim", no_wrap=True)
    if several:
        table.add_column("stream", no_wrap=True)
    table.add_column("segment", justify="right", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("emotion", no_wrap=True)
    table.add_column("confidence", no_wrap=True, ratio=1, overflow="crop")
    if wide:
        table.add_column("next", no_wrap=True)
        table.add_column("level", justify="right", no_wrap=True)
    table.add_column("latency", justify="right", style="dim", no_wrap=True)
    bar_width = 20 if wide else 12 if width >= 70 else 0
    for event in list(state.finals)[: -rows - 1 : -1]:
        style = label_style(event.label)
        cells: list[RenderableType] = [_clock_time(event.time)]
        if several:
            cells.append(Text(event.stream))
        cells.append(f"{event.segment}{'…' if event.continued else ''}")
        cells.append(f"{event.end - event.start:.1f} s")
        cells.append(Text(event.label, f"bold {style}"))
        confidence = Text(f"{event.confidence:4.0%} ")  # first: a narrow terminal cuts the bar
        cells.append(confidence.append(bar(event.confidence, bar_width), style))
        if wide:
            cells += [_runner_up(event), f"{event.quality.level_dbfs:.0f} dBFS"]
        cells.append(f"{event.latency_ms.total:.0f} ms")
        table.add_row(*cells)
    return Panel(
        table,
        title="finals",
        title_align="left",
        subtitle=Text(f"{_plural(state.events, 'event')} · Ctrl-C ends", "dim"),
        subtitle_align="right",
        border_style="bright_black",
        height=rows + 3,
    )


def _runner_up(event: EmotionEvent) -> Text:
    others = sorted(event.scores.items(), key=lambda item: -item[1])
    others = [(label, score) for label, score in others if label != event.label][:1]
    return Text(" ".join(f"{label} {score:.0%}" for label, score in others), "dim")


def _clock_time(unix_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_s))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{seconds:02}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _spinner(now: float) -> str:
    return "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now * 10) % 10]
