"""Names, paths and text as SQL wants them."""

import re
from pathlib import Path

from grokscope.store.run import Run


def text_id(run: Run) -> str:
    """The run's id as SQL shows it; a folder's name need not be valid text."""
    return run.id.encode("utf-8", "replace").decode()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def pattern(path: Path) -> str:
    """A path as the readers want it, which take it for a glob pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def read_json_lines(path: Path) -> str:
    """SQL that reads JSON lines: every column found, none turned into a map."""
    options = "format='newline_delimited', records=true, sample_size=-1, map_inference_threshold=-1"
    return f"read_json({literal(pattern(path))}, {options}, field_appearance_threshold=0)"
