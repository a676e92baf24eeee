"""``metrics`` after start-up, and the statements it sends, sent again by the driver alone.

python metrics.py DATABASE_URL FILE
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from smartia_jobs.clock import SystemClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.metrics import build_metrics
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings


def main(url: str, out: Path) -> None:
    database, clock = Database(url, read_only=True), SystemClock()
    settings = Settings(database_url=url, stored_times="wall")
    run = Run("bench", settings, clock, database, clock.now())
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    build_metrics(run)
    event.remove(Engine, "before_cursor_execute", note)
    taken: dict[str, list[float]] = {"metrics": [], "sql": []}
    for _ in range(7):
        began_s = time.perf_counter()
        build_metrics(run)
        taken["metrics"].append(time.perf_counter() - began_s)
        with database.outside_transaction() as connection:
            cursor: Any = connection.connection.cursor()
            began_s = time.perf_counter()
            for number, (statement, parameters) in enumerate(statements):
                if number and statement.startswith("BEGIN"):
                    cursor.execute("COMMIT")
                cursor.execute(statement, parameters)
                if cursor.description:
                    cursor.fetchall()
            cursor.execute("COMMIT")
            taken["sql"].append(time.perf_counter() - began_s)
    database.close()
    out.write_text(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
