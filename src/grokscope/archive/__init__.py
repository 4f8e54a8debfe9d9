"""Archives of runs: import and export in the published layout, model cards, and the Hugging Face Hub."""

from grokscope.archive.exporting import Exported, export_archive
from grokscope.archive.hub import fetch, push
from grokscope.archive.importing import Imported, import_archive
from grokscope.archive.loading import load_model
from grokscope.archive.logs import ImportedLogs, import_logs

__all__ = [
    "Exported",
    "Imported",
    "ImportedLogs",
    "export_archive",
    "fetch",
    "import_archive",
    "import_logs",
    "load_model",
    "push",
]
