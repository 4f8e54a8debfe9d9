"""Part g: how fast a step of the m-height network becomes when torch compiles it, in TF32, eager and replayed.

Compiling fuses the layer norms with what stands around them, which is where that network loses its time. Cost: up to a
minute of compiling. Misleads on a run: evaluation is compiled too, for other sizes of batch.
"""

from dataclasses import replace

from c_mheight import chosen, operations
from harness import Report, end_quietly, finish, keep_data, options, tf32_rate

from grokscope.train.driver import make_engine


def main() -> None:
    given = options(arm="decay 0.01")
    end_quietly()
    config = chosen(given)
    keep_data(type(config.task), given.work)
    data = config.task.build(config.seed)
    report = Report("g_compiled", given)
    steps = -(-len(data.splits["train"]) // config.regime.batch_size)
    per_step = operations(config, data) * len(data.splits["train"]) / steps
    compiled = replace(config, hardware=replace(config.hardware, compile=True))
    _, engine = make_engine(compiled, data)
    facts = engine.facts().get("step", {})
    rate, seconds = tf32_rate(report.content["machine"].get("card", "")), facts.get("graph_s") or facts.get("eager_s")
    share = per_step / seconds / rate if seconds and rate else None
    report.put(trial=facts, operations_per_step=per_step, share_of_tf32=share)
    finish(report)


if __name__ == "__main__":
    main()
