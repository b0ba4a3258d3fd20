"""Questions to a lake, answered by DuckDB in this process: no server."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

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
"""What is ahead of now is told by clocks that are wrong: it counts for ``ahead_h`` alone."""

SITES = """
SELECT DISTINCT site FROM (
    SELECT site, device FROM finals
    UNION ALL SELECT site, device FROM speech
    UNION ALL SELECT site, device FROM faults
) WHERE device = $device ORDER BY site
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
    """SQL that makes a view of each table that has anything in it, for any DuckDB.

    Raises UserError for a folder that cannot be read: DuckDB leaves it out without a word.
    """
    made = []
    for table in SCHEMAS:
        kept = folder / table
        if kept.is_dir() and [part for part in files_below(kept) if part.match(PARTS)]:
            parts = f"{glob.escape(str(kept.absolute()))}/{PARTS}".replace("'", "''")
            options = "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true"
            read = f"SELECT * FROM read_parquet('{parts}', {options})"
            made.append(f"CREATE OR REPLACE VIEW {table} AS {read};")
    return "\n".join(made)


class Lake:
    """A lake that is read; whoever fills it meanwhile is not disturbed."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where there is no lake, nothing in it, or what cannot be read."""
        sql = views(folder)
        if not sql:
            raise UserError(
                f"lake {folder}: there is nothing in it", "fill it with 'edgeser lake fill'"
            )
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")  # now() is to be compared with `time`
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

    def site_of(self, device: str) -> str:
        """The only site with a device of this name; "" where there is none.

        Raises UserError where there are more.
        """
        sites = [str(site) for (site,) in self.ask(SITES, device=device)[1]]
        if len(sites) > 1:
            raise UserError(
                f"--device {device}: {', '.join(sites[:-1])} and {sites[-1]} each have one",
                "add --site NAME",
            )
        return sites[0] if sites else ""

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
