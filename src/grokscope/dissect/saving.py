"""A dissection as it lies in a folder: its records, what the battery does on planted shortcuts, and its pictures."""

from pathlib import Path

from grokscope.dissect.figures import write_figures
from grokscope.results.calibration import CALIBRATION, shipped
from grokscope.results.dissection import FOLDER, Dissection


def save_dissection(result: Dissection, folder: str | Path, figures: bool = True) -> Path:
    """``mechinterp/`` in `folder`, which is returned: m1, m4, m5, m6 as JSON (each with its origin) and, unless told
    not to, PNG; and calibration.json, what the battery does on planted shortcuts."""
    out = Path(folder) / FOLDER
    result.write(out)
    shipped().write(out / CALIBRATION)
    if figures:
        write_figures(result, out)
    return out
