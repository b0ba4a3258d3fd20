"""Queries on a lake, run by DuckDB in this process, without a server."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, NamedTuple

from edgeser.errors import UserError
from edgeser.folder import files_below
from edgeser.lake.tables import SCHEMAS

try:
    import duckdb
except ImportError as error:
    raise UserError("duckdb is not installed", "pip install 'edgeser[lake]'") from error

PARTS = "day=*/part-*.parquet"

MOOD = """
SELECT site, device, date_trunc('hour', time) AS hour, count(*) AS remarks,
       mode(label) AS mostly, round(avg(valence), 2) AS valence, round(avg(arousal), 2) AS arousal,
       histogram(label) AS labels
FROM finals
GROUP BY ALL ORDER BY site, device, hour
"""

SILENCE = """
WITH clock AS (SELECT now()::TIMESTAMP AS now),
told AS (
    SELECT site, device, stream, time, NULL AS code, NULL AS message FROM finals
    UNION ALL SELECT site, device, stream, time, NULL, NULL FROM speech
    UNION ALL SELECT site, device, stream, time, code, message FROM faults
),
deaf AS (
    SELECT site, device, stream, code,
           coalesce(lead(time) OVER (PARTITION BY site, device, stream ORDER BY time), now) - time
               AS lasted
    FROM faults, clock WHERE code IN ('audio_lost', 'audio_restored') AND time <= now
)
SELECT site, device, stream,
       max(time) FILTER (code IS NULL AND time <= now) AS last_speech,
       round(epoch(now - max(time) FILTER (time <= now)) / 3600, 1) AS silent_h,
       round(epoch(max(time) FILTER (time > now) - now) / 3600, 1) AS ahead_h,
       count(code) AS faults,
       arg_max(message, time) FILTER (code IS NOT NULL AND time <= now) AS last_fault,
       (SELECT round(coalesce(sum(epoch(d.lasted)), 0) / 3600, 2) FROM deaf d
        WHERE d.code = 'audio_lost'
          AND (d.site, d.device, d.stream) = (t.site, t.device, t.stream)) AS deaf_h
FROM told t, clock
GROUP BY site, device, stream, now
ORDER BY silent_h DESC, faults DESC, site, device, stream
"""
"""Events in the future come from devices whose clock is wrong: they count for ``ahead_h`` only."""

DEVICES = """
SELECT site, device, min(day), max(day) FROM (
    SELECT site, device, day FROM finals
    UNION ALL SELECT site, device, day FROM speech
    UNION ALL SELECT site, device, day FROM faults
) GROUP BY site, device ORDER BY site, device
"""

DAY = """
WITH told AS (
    SELECT site, device, day, time, stream, 'final' AS what,
           label || ' ' || round(100 * confidence)::INT || ' %' AS text FROM finals
    UNION ALL
    SELECT site, device, day, time, stream, 'speech', state || coalesce(' (' || reason || ')', '')
    FROM speech
    UNION ALL
    SELECT site, device, day, time, stream, 'fault', code || ': ' || message FROM faults
)
SELECT time, stream, what, text FROM told
WHERE site = $site AND device = $device AND day = $day
ORDER BY time, stream
"""


def views(folder: Path) -> str:
    """SQL that makes a view of each table that is not empty, for any DuckDB.

    Raises UserError for a folder that is missing or cannot be read, which DuckDB skips silently, or
    whose name is not UTF-8, which it does not open.
    """
    if not folder.is_dir():
        raise UserError(
            f"lake {folder}: there is no such folder", "name that of 'edgeser lake fill'"
        )
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"lake {folder}: DuckDB opens no folder whose name is not UTF-8", "rename it"
        ) from error
    made = []
    for table in SCHEMAS:
        kept = folder / table
        if kept.is_dir() and [part for part in files_below(kept) if part.match(PARTS)]:
            parts = f"{glob.escape(str(kept.absolute()))}/{PARTS}".replace("'", "''")
            options = "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true"
            read = f"SELECT * FROM read_parquet('{parts}', {options})"
            made.append(f"CREATE OR REPLACE VIEW {table} AS {read};")
    return "\n".join(made)


_NAMED = 10
"""Most devices listed in the error about an unknown one."""


class DeviceDays(NamedTuple):
    """A device, and the days (YYYY-MM-DD) of its first and last event in the lake."""

    site: str
    device: str
    first_day: str
    last_day: str


class Lake:
    """A lake opened for reading, also while it is being filled."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if there is no lake, nothing in it, or something cannot be read."""
        sql = views(folder)
        if not sql:
            raise UserError(
                f"lake {folder}: there is nothing in it", "fill it with 'edgeser lake fill'"
            )
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")  # now() is compared with `time`
        for table, schema in SCHEMAS.items():
            empty = schema.empty_table()  # noqa: F841  DuckDB finds it by its name
            self._connection.execute(
                f"CREATE TABLE nothing_{table} AS SELECT *, NULL::DATE AS day FROM empty"
            )
            self._connection.execute(f"CREATE VIEW {table} AS SELECT * FROM nothing_{table}")
        try:
            self._connection.execute(sql)
        except duckdb.Error as error:
            raise UserError(
                f"lake {folder}: {_first_line(error)}", "fix that part, or move it away"
            ) from error

    def device(self, name: str, site: str | None) -> DeviceDays:
        """The only device of this name, at that site if one is given.

        Raises UserError if there is none, or if several sites have one.
        """
        devices = [DeviceDays(*map(str, row)) for row in self.ask(DEVICES)[1]]
        found = [one for one in devices if one.device == name and site in (None, one.site)]
        if not found:
            where = "" if site is None else f" --site {site}"
            known = [f"{one.device} ({one.site})" for one in devices]
            more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
            raise UserError(
                f"--device {name}{where}: the lake has no device of this name",
                f"there is {', '.join(known[:_NAMED])}{more}",
            )
        if len(found) > 1:
            sites = [one.site for one in found]
            raise UserError(
                f"--device {name}: {', '.join(sites[:-1])} and {sites[-1]} each have one",
                "add --site NAME",
            )
        return found[0]

    def ask(self, sql: str, **values: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names of the columns, and rows. Raises UserError for what DuckDB does not take."""
        try:
            found = (
                self._connection.execute(sql, values) if values else self._connection.execute(sql)
            )
            if found is None:  # no statement, whatever DuckDB's types say
                raise UserError("the question: it is empty", "ask mood, silence, day, or in SQL")
            return [column[0] for column in found.description], found.fetchall()
        except duckdb.Error as error:
            raise UserError(f"the question: {_first_line(error)}") from error


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
