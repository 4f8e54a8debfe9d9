"""Draws the data of a part on the CPU while an earlier part has the card: `harness.keep_data` keeps it."""

import argparse
from pathlib import Path

import c_mheight
import d_resnet
from harness import keep_data

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.study import Study


def configs(part: str, tiny: bool) -> list[RunConfig]:
    if part == "c":
        return [c_mheight.chosen(argparse.Namespace(arm="decay 0.01", tiny=tiny, device="cpu"))]
    raw = configio.overlay(d_resnet.STUDY, d_resnet.TINY if tiny else {})
    return Study.from_dict(raw).only(["standard"]).runs()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=["c", "d"], required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for config in configs(given.part, given.tiny):
        keep_data(type(config.task), given.work)
        config.task.build(config.seed)


if __name__ == "__main__":
    main()
