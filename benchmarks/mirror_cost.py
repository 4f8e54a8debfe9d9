"""What a mirror costs: runs of the demo with and without TensorBoard, in turn, in CPU seconds (user and system).

Two numbers: what the process that trains takes more, which is all that its own core notices, and what the tracker's
process takes in all, its start included. Wall times are left out: other jobs on a machine make them useless. The ratio
is taken pair by pair, of the same run.

    python benchmarks/mirror_cost.py [--pairs 5] [--runs 3] [--track tensorboard]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile

ARM = "addition, decay 1"


def cpu(whom: int) -> float:
    used = resource.getrusage(whom)
    return used.ru_utime + used.ru_stime


def once(runs: int, track: str) -> dict[str, float]:
    """CPU seconds of training the first seeds of an arm of the demo, one after the other as a worker does."""
    from grokscope.commands.train import train_run
    from grokscope.study import Study
    from grokscope.track.courier import _close_all

    configs = Study.load("two_routes").only([ARM]).runs()[:runs]
    with tempfile.TemporaryDirectory() as root:
        train_run(configs[0], f"{root}/warm_up")
        here, others = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN)
        rows = sum(len(train_run(c, root, track=track if track != "none" else ()).run.rows()) for c in configs)
        here = cpu(resource.RUSAGE_SELF) - here
        _close_all()  # its time counts once it has ended
        return {"training": here, "others": cpu(resource.RUSAGE_CHILDREN) - others, "rows": rows}


def in_a_process(runs: int, track: str) -> dict[str, float]:
    words = [sys.executable, __file__, "--once", "--runs", str(runs), "--track", track]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main(pairs: int, runs: int, track: str) -> None:
    from common import write_result

    measured = [(in_a_process(runs, track), in_a_process(runs, "none")) for _ in range(pairs)]
    training = [with_["training"] / without["training"] for with_, without in measured]
    tracker = [with_["others"] - without["others"] for with_, without in measured]
    plain = statistics.median(without["training"] for _, without in measured)
    result = {
        "track": track, "arm": ARM, "runs": runs, "rows": measured[0][0]["rows"], "pairs": pairs,
        "training_cpu_s_without": plain,
        "training_ratio": {"median": statistics.median(training), "all": training},
        "tracker_cpu_s": {"median": statistics.median(tracker), "all": tracker},
        "both_ratio": statistics.median(
            (w["training"] + w["others"]) / (o["training"] + o["others"]) for w, o in measured
        ),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    write_result("mirror_cost", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--track", default="tensorboard")
    parser.add_argument("--once", action="store_true")
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(args.runs, args.track)))
    else:
        main(args.pairs, args.runs, args.track)
