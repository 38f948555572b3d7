"""Write `docs/settings.md` from the settings: `python tools/settings_page.py`. A test keeps the page current."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from changefeed.settings import Settings

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"

OPENING = """# Settings

Read from the environment by every process and command. Durations are seconds (or ISO 8601, where the default is written so),
sizes bytes; lists and maps are JSON. A value that cannot work is refused before anything has started; of a variable
`CHANGEFEED_…` that is no setting the log warns at the start, and names the one that is most like it.

| variable | default | |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        meaning = " ".join((field.description or "").split())
        rows.append(f"| `CHANGEFEED_{name.upper()}` | {shown(default)} | {meaning.replace('|', chr(92) + '|')} |\n")
    return OPENING + "".join(rows)


def shown(default: Any) -> str:
    """A default as one would write it."""
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, timedelta):
        return f"`{default.total_seconds():g}`"
    if isinstance(default, frozenset):
        return f"`{json.dumps(sorted(default))}`"
    if isinstance(default, dict):
        plain = {
            key: value if isinstance(value, str) else value.model_dump(mode="json") for key, value in default.items()
        }
        return f"`{json.dumps(plain, sort_keys=True)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if hasattr(default, "model_dump"):
        return f"`{json.dumps(default.model_dump(mode='json'), sort_keys=True)}`"
    return f"`{default}`"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
