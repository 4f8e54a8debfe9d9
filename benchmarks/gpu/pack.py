"""Packs finished runs into few files of bounded size: every run's record and metrics first, then checkpoints, the most
wanted ones of all runs before further ones of any.

python benchmarks/gpu/pack.py WORK/hospitals OUT/hospitals --files 3 --mib 15
"""

import argparse
import json
import tarfile
from pathlib import Path

from grokscope.store.run import Run

FIRST = ("final", "st00006000", "st00001500")
"""Checkpoints wanted of every run before any other."""
APART = ("resume", "states", "mechinterp")
"""Folders left behind: full states are as large as everything else together."""


def finished(root: Path) -> list[Path]:
    runs = sorted(path.parent for path in root.glob("*/status.json"))
    return [path for path in runs if Run(path).status["state"] in ("done", "diverged")]


def wanted(runs: list[Path]) -> list[list[Path]]:
    """Files that belong together, most wanted first: what is not a checkpoint, run by run; then checkpoints."""
    groups = [[p for p in _files(run) if p.suffix != ".safetensors"] for run in runs]
    for name in FIRST:
        groups += [[p] for run in runs if (p := run / "checkpoints" / f"{name}.safetensors").exists()]
    for run in runs:  # all that is left of one run, before the next
        groups.append([p for p in _files(run) if p.suffix == ".safetensors" and p.stem not in FIRST])
    return [group for group in groups if group]


def _files(run: Path) -> list[Path]:
    return sorted(p for p in run.rglob("*") if p.is_file() and p.relative_to(run).parts[0] not in APART)


def pack(root: Path, target: Path, files: int, limit: int) -> dict[str, object]:
    """Fills ``<target>-<i>.tar.gz`` one after the other, each up to `limit` bytes before compression of weights, which
    barely shrink."""
    runs = finished(root)
    parts: list[tuple[tarfile.TarFile, int]] = []
    left_out: list[str] = []
    packed = 0
    for group in wanted(runs):
        size = sum(p.stat().st_size // (1 if p.suffix == ".safetensors" else 4) + 600 for p in group)
        place = next((i for i, (_, used) in enumerate(parts) if used + size <= limit), None)
        if place is None and len(parts) < files and size <= limit:
            parts.append((tarfile.open(f"{target}-{len(parts)}.tar.gz", "w:gz", compresslevel=3), 0))  # noqa: SIM115
            place = len(parts) - 1
        if place is None:
            left_out += [str(p.relative_to(root)) for p in group]
            continue
        archive, used = parts[place]
        for path in group:
            archive.add(path, path.relative_to(root))
            packed += 1
        parts[place] = (archive, used + size)
    for archive, _ in parts:
        archive.close()
    return {"runs": len(runs), "files": packed, "archives": len(parts), "left_out": left_out}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--files", type=int, default=3)
    parser.add_argument("--mib", type=float, default=15)
    given = parser.parse_args()
    facts = pack(given.root, given.target, given.files, int(given.mib * 2**20)) if given.root.exists() else {"runs": 0}
    print(json.dumps({k: (len(v) if k == "left_out" else v) for k, v in facts.items()}))


if __name__ == "__main__":
    main()
