"""Write the migration 0001 from `changefeed/sql`: `python tools/freeze.py`.

Only for the time before the first release; after it, the frozen text stays and a new migration follows.
"""

from pathlib import Path

from changefeed.sql import schema_files

TARGET = Path(__file__).parent.parent / "migrations" / "sql" / "0001_event_log.up.sql"


def frozen_text() -> str:
    """The schema's files one after the other, as one SQL text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in schema_files())


if __name__ == "__main__":
    TARGET.write_text(frozen_text(), encoding="utf-8")
