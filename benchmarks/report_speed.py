"""CPU seconds and size of a report's page, written twice: the second time moved thresholds are known.

python benchmarks/report_speed.py runs            # a folder that holds runs; their kept verdicts are removed first
"""

import argparse
import tempfile
import time
from pathlib import Path

from grokscope.report import build_report
from grokscope.store import find_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path)
    root = parser.parse_args().runs
    runs = find_runs(root)
    for run in runs:
        (run.path / "results" / "verdict.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number in ("first", "second"):
            begin = time.process_time()
            page = build_report(find_runs(root), Path(folder) / "report.html", formats=("png",))
            seconds = time.process_time() - begin
            print(f"{len(runs):,} runs, {number} report: {seconds:.1f} s of CPU, {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
