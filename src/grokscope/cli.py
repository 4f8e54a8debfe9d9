"""The command line: each verb is a function in `grokscope.commands`; this module finds it, reads its arguments, prints.

Exit codes: 0 ok; 1 a check or a run failed; 2 bad input; 130 stopped by Ctrl-C, with everything saved. A user's mistake
is one message on stderr; ``GROKSCOPE_DEBUG=1`` shows where it was raised. Importing this module imports no torch.
"""

import errno
import functools
import gc
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, get_type_hints

from grokscope.progress import Watch, telling
from grokscope.registry import nearest
from grokscope.terminal import message as message_line
from grokscope.terminal import one_line, visible

BAD_INPUT, STOPPED, BUG = 2, 130, 3


@dataclass(frozen=True)
class Verb:
    """Location of a verb's function, and its one-line help."""

    target: str
    summary: str
    heads: tuple[str, ...] | None = None
    """Tables whose dotted keys are accepted as options; None if there are none."""

    def load(self) -> Callable[..., Any]:
        module, _, name = self.target.partition(":")
        return getattr(import_module(f"grokscope.commands.{module}"), name)


CONFIG = (
    "task",
    "model",
    "regime",
    "budget",
    "evaluate",
    "diagnose",
    "measure",
    "checkpoint",
    "engine",
    "hardware",
    "seed",
)

VERBS = {
    "demo": Verb("demo:demo", "show two kinds of grokking, on modular addition and on real images, in a minute or two"),
    "train": Verb("train:train", "train one run from a TOML file", CONFIG),
    "extend": Verb("train:extend", "train a finished run longer"),
    "branch": Verb("train:branch", "continue from a checkpoint with changed settings", CONFIG),
    "study plan": Verb("study:plan", "list the runs of a study, their disk and time"),
    "study run": Verb("study:run", "train all runs of a study that are not finished"),
    "study status": Verb("study:status", "show the state of every run of a study"),
    "study cancel": Verb("jobs:cancel", "cancel the jobs of a study on a cluster or in the background"),
    "study extend": Verb("study:extend", "train all runs of a study longer"),
    "study check": Verb("study:check", "compare the results of a study with its expectations"),
    "study test": Verb("study:put_to_test", "test the hypotheses of a study over seeds"),
    "study phase": Verb("phase:phase", "show a study as a phase diagram, with its Pareto set"),
    "study save": Verb("saved:save", "save the results of a study as text, without weights"),
    "study size": Verb("effective_size:study_size", "estimate the effective training-set size of one arm of a study"),
    "study dissect": Verb("dissect:study_dissect", "dissect every finished run of a study"),
    "study report": Verb("study:report", "write an HTML report on a study"),
    "claims": Verb("claims:claims", "write a page of published claims and their outcomes, from saved results"),
    "worker": Verb("worker:worker", "train the remaining runs of a study, alongside other workers"),
    "verdict": Verb(
        "verdict:verdict", "classify runs or external logs as grokked, memorized, ungrokked, ...", ("criteria",)
    ),
    "stopping": Verb(
        "stopping:stopping",
        "replay early-stopping rules on finished runs: what they miss, cost and save",
        ("criteria",),
    ),
    "explain": Verb(
        "explain:explain",
        "check which mechanisms explain a run, and which experiment would decide",
        ("criteria",),
    ),
    "oracle ridge": Verb("oracle:ridge", "ridge regression in closed form, and the results of the checks on it"),
    "oracle two-weights": Verb("oracle:two_weights", "two weights and one example in closed form"),
    "measure": Verb("measure:measure", "measure the checkpoints of a finished run"),
    "track": Verb("track:track", "mirror runs to W&B, trackio or TensorBoard"),
    "report": Verb("report:report", "write an HTML report on any runs"),
    "ls": Verb("look:ls", "list runs with state and verdict"),
    "show": Verb("look:show", "show everything about one run"),
    "compare": Verb("compare:compare", "compare two runs, arms, studies or logs", ("criteria",)),
    "sql": Verb("look:sql", "query all runs and evaluations with SQL"),
    "list": Verb("look:list_", "list the tasks, models, losses, ... that a config can use"),
    "dissect": Verb("dissect:dissect", "locate a shortcut by interventions on checkpoints"),
    "calibrate": Verb("dissect:calibrate", "evaluate the dissection on planted shortcuts"),
    "repair": Verb("repair:repair", "erase the shortcut from a trained network, or apply a stored edit"),
    "archive import": Verb("archive:import_", "import the runs of an archive"),
    "archive import-logs": Verb("archive:import_logs", "import logs of other programs as runs"),
    "archive export": Verb("archive:export", "write runs as an archive with a model card"),
    "archive push": Verb("archive:push", "upload an archive to the Hugging Face Hub"),
    "archive fetch": Verb("archive:fetch", "download an archive from the Hugging Face Hub"),
    "archive inference": Verb("archive:inference", "recompute the tests that the shortcut study published"),
    "data sheet": Verb("data:sheet", "draw a contact sheet of a task's images"),
    "data hospitals": Verb("data:hospitals_write", "write the synthetic hospitals as image files", ("task",)),
    "data camelyon17 check": Verb("data:camelyon17_check", "check a Camelyon17 folder"),
    "data camelyon17 fetch": Verb("data:camelyon17_fetch", "download Camelyon17"),
    "data mheight make": Verb("data:mheight_make", "generate codes with their exact m-heights"),
    "data mheight show": Verb("data:mheight_show", "summarize a file of m-heights"),
    "codes show": Verb("data:codes_show", "show the exact m-heights of one code"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the ``grokscope`` command."""
    code = run(sys.argv[1:] if argv is None else argv)
    if "duckdb" not in sys.modules:  # which would call everything leaked that is not collected at the end
        gc.freeze()  # as Python ends it looks at every record once more: half a second after ten thousand runs
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Carry out one command line and return its exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _warner(warnings.showwarning)
        return _run(argv)


def _warner(usual: Callable[..., None]) -> Callable[..., None]:
    """Print grokscope's own warnings as one line on stderr, each once; keep the format of other libraries' warnings."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if category is not UserWarning:
            usual(visible(str(message)), category, *where)
        elif str(message) not in shown:
            shown.add(str(message))
            print(message_line(f"grokscope: warning: {message}"), file=sys.stderr)

    return show


def _run(argv: Sequence[str]) -> int:
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except Exception as error:
        return _explain(error, argv)


def _explain(error: Exception, argv: Sequence[str]) -> int:
    """Report user errors, a full disk and interruptions as messages; report anything else as a bug, with a
    traceback."""
    if type(error).__name__ in ("Interrupted", "Stopped"):
        print(message_line(str(error)), file=sys.stderr)
        return STOPPED
    if type(error).__name__ == "NotSaved":
        for line in str(error).split("\n"):
            print(message_line(f"grokscope: {line}"), file=sys.stderr)
        return BAD_INPUT
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        first = str(error).split("\n")[0]
        words = f"grokscope: out of memory: make the task, the model or the batch smaller ({first})"
        print(message_line(words), file=sys.stderr)
        return BAD_INPUT
    if not isinstance(error, ValueError | OSError):
        import traceback

        print(visible("".join(traceback.format_exception(error))), file=sys.stderr)
        return BUG
    if os.environ.get("GROKSCOPE_DEBUG") == "1":
        raise error
    text = _system_message(error) if isinstance(error, OSError) else str(error)
    for word in argv:  # a line feed in a name from the shell begins no line of ours
        text = text.replace(word, one_line(word)) if "\n" in word else text
    for line in text.split("\n"):
        print(message_line(f"grokscope: {line}"), file=sys.stderr)
    return BAD_INPUT


def _system_message(error: OSError) -> str:
    """The operating system's error and its file, without the error number; for a full disk, with the remedy."""
    text = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) and "free space" not in text
    if full:
        return f"{text}; free space, then run again"
    return text


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else BAD_INPUT
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"grokscope {version('grokscope')}")
        return 0
    name, rest = _verb(argv)
    if name is None:
        return 0
    result, as_json = _call(name, rest)
    _print(result, as_json)
    return result.exit_code


def _verb(argv: list[str]) -> tuple[str | None, list[str]]:
    """(verb, its arguments), or None after the help of a group of verbs. Raises ValueError naming the nearest verb."""
    words: list[str] = []
    for i, word in enumerate(argv):
        within = [name.split() for name in VERBS if name.split()[:i] == words]
        if word not in {name[i] for name in within}:
            if words and word in ("-h", "--help"):
                break
            raise ValueError(
                f"unknown verb {' '.join([*words, word])!r}{nearest(word, sorted({n[i] for n in within}))}"
            )
        words.append(word)
        if " ".join(words) in VERBS:
            return " ".join(words), argv[i + 1 :]
    print(_lines([name for name in VERBS if name.split()[: len(words)] == words]))
    return None, []


def _call(name: str, args: list[str]) -> tuple[Any, bool]:
    """Read the arguments of a verb and call it."""
    if os.environ.get("NO_COLOR"):
        os.environ["PYTHON_TYRO_ANSI_CODES"] = "False"  # tyro reads its own name for it, once, when it is imported
    import tyro

    verb = VERBS[name]
    overrides: dict[str, Any] = {}
    if verb.heads:
        from grokscope.commands.overrides import split_overrides

        if name in ("train", "branch") and {"-h", "--help"} & set(args):
            _config_help(args)
        args, overrides = split_overrides(args, verb.heads)
    function = verb.load()
    call, unknown = tyro.cli(
        _for_tyro(function, verb),
        args=args,
        prog=f"grokscope {name}",
        return_unknown_args=True,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
    )
    if unknown:
        raise ValueError(_unknown_option(unknown[0], function, verb))
    with telling(_ticker):
        return call(overrides)


def _ticker(doing: str) -> Watch:
    from grokscope.commands.logs import Ticker

    return Ticker(doing)


def _for_tyro(function: Callable[..., Any], verb: Verb) -> Callable[..., Any]:
    """A function with the signature of a verb on the command line: without `board` and `overrides`, with ``--json``.
    Calling it returns a function that takes the overrides."""
    signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    hidden = {"board", "overrides"} & set(signature.parameters)

    @functools.wraps(function)
    def collect(*args: Any, **kwargs: Any) -> Callable[[dict[str, Any]], tuple[Any, bool]]:
        as_json = kwargs.pop("json")

        def call(overrides: dict[str, Any]) -> tuple[Any, bool]:
            extra: dict[str, Any] = {"overrides": overrides} if "overrides" in hidden else {}
            if "board" in hidden:
                from grokscope.execute.boards import board_for

                extra["board"] = board_for()
            return function(*args, **kwargs, **extra), as_json

        return call

    kept = [p.replace(annotation=_as_flag(hints[n], p)) for n, p in signature.parameters.items() if n not in hidden]
    as_json = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    collect.__signature__ = signature.replace(parameters=[*kept, as_json], return_annotation=Any)  # type: ignore[attr-defined]
    collect.__annotations__ = {p.name: p.annotation for p in (*kept, as_json)}
    collect.__doc__ = _help_text(inspect.getdoc(function) or "")
    del collect.__wrapped__  # tyro would read the original's signature
    return collect


def _as_flag(annotation: Any, parameter: inspect.Parameter) -> Any:
    """The annotation; for a switch that is on by default, which is ``--no-...`` here, without "(default: True)"; for
    options that several verbs share, which are a dataclass, without that parameter's name before each."""
    if is_dataclass(parameter.default):
        import tyro

        return Annotated[annotation, tyro.conf.OmitArgPrefixes]
    if parameter.default is not True:
        return annotation
    import tyro

    return Annotated[annotation, tyro.conf.arg(help_behavior_hint="")]


OFF = re.compile(r"^( +\w+: )[^:]*?; if off, (\w)", re.MULTILINE | re.DOTALL)
"""Docstring text after "; if off," describes the ``--no-...`` flag of a switch that is on by default."""


def _help_text(docstring: str) -> str:
    """The docstring as shown by ``--help``: without the Raises section, with ``--json``."""
    text = OFF.sub(lambda match: f"{match[1]}{match[2].upper()}", docstring.partition("\nRaises:")[0].rstrip())
    if "\nArgs:" not in text:
        text += "\n\nArgs:"
    return f"{text}\n    json: Print the result as JSON."


def _unknown_option(option: str, function: Callable[..., Any], verb: Verb) -> str:
    if not option.startswith("-"):
        return f"unexpected argument {option!r}"
    defaults = {name.replace("_", "-"): default for name, default in _defaults(function)}
    for name, default in defaults.items():
        if isinstance(default, bool) and option == f"--{'' if default else 'no-'}{name}":
            other, now = ("--no-", "on") if default else ("--", "off")
            return f"no option {option!r}: {name} is {now} unless {other}{name} is given"
    known = [f"--{'no-' * (d is True)}{name}" for name, d in defaults.items() if name not in ("board", "overrides")]
    known.append("--json")
    known = [name for name in known if name != option]  # the name of a positional argument is no option
    if verb.heads == CONFIG:
        from grokscope.config import Regime

        word = option.removeprefix("--").replace("-", "_")
        if close := get_close_matches(word, list(Regime.__dataclass_fields__), n=1, cutoff=0.8):
            return f"unknown option {option!r}; did you mean '--regime.{close[0]}'?"
    return f"unknown option {option!r}{nearest(option, known)}"


def _defaults(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """(name, default) of each option of a verb, those of a shared dataclass among them."""
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(parameter.default):
            yield from vars(parameter.default).items()
        else:
            yield name, parameter.default


def _config_help(args: list[str]) -> None:
    """``train FILE --help`` also lists every key that can be overridden, with the file's values as defaults."""
    from pathlib import Path

    file = next((Path(a) for a in args if a.endswith(".toml") and Path(a).exists()), None)
    if file is None:
        print("grokscope train FILE --help lists every key of FILE's config that can be overridden\n")
        return
    import tyro

    from grokscope.commands.train import read_run

    config, _ = read_run(file, {})
    off = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    try:
        tyro.cli(type(config), default=config, args=["--help"], prog=f"grokscope train {file}", config=off)
    except SystemExit:
        print()


def _print(result: Any, as_json: bool) -> None:
    if as_json:
        from grokscope.files import to_json

        print(to_json(json.loads(json.dumps(result.data(), default=str)), indent=1))
        return
    from grokscope.commands.output import stdout_console

    result.show(stdout_console())


def _overview() -> str:
    return (
        "usage: grokscope VERB [arguments]\n\n"
        "Train small networks for a very long time, classify whether they grok, ungrok or only memorize, and test "
        "why.\n\n"
        f"{_lines(list(VERBS))}\n\n"
        "grokscope VERB --help explains a verb; --json prints its result as JSON.\n"
        "Start with: grokscope demo"
    )


def _lines(names: list[str]) -> str:
    width = max(map(len, names)) + 2
    return "\n".join(f"  {name:<{width}}{VERBS[name].summary}" for name in names)


if __name__ == "__main__":
    main()
