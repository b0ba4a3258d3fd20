"""``edgeser doctor``: what is wrong here, and how to fix it."""

from __future__ import annotations

from pathlib import Path

import click

from edgeser.cli.options import json_option, settings_option


@click.command()
@settings_option
@click.option(
    "--service",
    is_flag=False,
    flag_value="edgeser",
    metavar="[UNIT]",
    help="Check the installed service instead (edgeser, edgeser@NAME, edgeser-mqtt, -nats, -lake).",
)
@json_option
def doctor(settings_file: Path | None, service: str | None, as_json: bool) -> None:
    """Check environment, microphones, level, permissions, VAD, model, telemetry, endpoints, broker.

    With --service: unit, activity, account, settings, folders and sandbox of the system service.
    Exit code 1 if something needs fixing; intended states, such as muting, are notes.

    \b
    Examples: edgeser doctor
              edgeser doctor --service
    """
    import msgspec

    from edgeser.doctor.installation import examine
    from edgeser.doctor.service import Service, examine_service
    from edgeser.settings.load import load_daemon_settings

    if service is None:
        findings = examine(load_daemon_settings(settings_file))
    else:
        findings = examine_service(Service(service))
    well = True
    for finding in findings:
        well = well and finding.ok
        if as_json:
            click.echo(msgspec.json.encode(finding).decode())
            continue
        mark, color = ("note", "yellow") if finding.fix else ("ok  ", "green")
        if not finding.ok:
            mark, color = "FAIL", "red"
        click.echo(f"{click.style(mark, fg=color)} {finding.check}: {finding.found}")
        if finding.fix:
            click.echo(f"       {'undo' if finding.ok else 'fix'}: {finding.fix}")
    raise SystemExit(0 if well else 1)
