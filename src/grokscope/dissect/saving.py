"""Write a dissection to a folder: its records, the calibration on planted shortcuts, and its figures."""

from pathlib import Path

from grokscope.figures.checkpoint_view import view_of
from grokscope.figures.dissection_files import write_pictures
from grokscope.results.calibration import CALIBRATION, shipped
from grokscope.results.dissection import FOLDER, Dissection
from grokscope.trajectory.selection import rule_label


def save_dissection(result: Dissection, folder: str | Path, figures: bool = True) -> Path:
    """``mechinterp/`` in `folder`, which is returned: m1, m4, m5, m6 as JSON (each with its origin) and, unless told
    not to, PNG; and calibration.json, what the battery does on planted shortcuts."""
    out = Path(folder) / FOLDER
    result.write(out)
    shipped().write(out / CALIBRATION)
    if figures:
        write_pictures(view_of(result), out, chosen_by(result.selection))
    return out


def chosen_by(selection: str) -> str:
    """Which checkpoint a picture is of; an oracle is stamped wherever its result goes."""
    if selection.startswith("oracle"):
        return f"checkpoint chosen by an {rule_label(selection)}: not held out"
    return f"checkpoint: {selection}"
