"""Where benchmark results go: JSON beside the scripts, with the machine and the versions."""

import json
from pathlib import Path
from typing import Any

from grokscope.store.provenance import provenance


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write benchmarks/results/<name>.json."""
    facts = provenance()
    machine = {k: facts[k] for k in ("python", "processor", "cpus", "packages")}
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"result": result, "machine": machine}, indent=1) + "\n")
    print(f"wrote {path}")
