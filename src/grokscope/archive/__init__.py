"""Sharing runs: the published archive's layout in and out, model cards, and the Hugging Face Hub."""

from grokscope.archive.exporting import Exported, export_archive
from grokscope.archive.hub import fetch, push
from grokscope.archive.importing import Imported, import_archive
from grokscope.archive.loading import load_model

__all__ = ["Exported", "Imported", "export_archive", "fetch", "import_archive", "load_model", "push"]
