"""The parts of the reference that the code itself says: commands, settings, recipes, layouts, networks, words, errors.

A page holds a block such as

    ```{generated} settings
    ```

and gets what the function of that name gives, as Markdown.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; a bar in a cell is escaped."""
    lines = [list(header), ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )


def code(value: object) -> str:
    """Between backticks, or nothing."""
    return f"`{value}`" if str(value) else ""


def commands() -> str:
    """Every command with its arguments and options, as click knows them."""
    from striate.cli.app import app

    return "\n\n".join(_command(app, ("striate",)))


def _command(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(words))
    if not isinstance(command, click.Group):
        yield f"{'#' * len(words)} {' '.join(words)}"
        yield f"```text\n{' '.join([*words, *command.collect_usage_pieces(context)])}\n```"
        yield inspect.cleandoc(command.help or "").replace("\f", "")
        if rows := list(_options(command, context)):
            yield table(["option", "meaning"], rows)
        return
    if len(words) > 1:
        yield f"{'#' * len(words)} {' '.join(words)}"
        yield f"{command.help}"
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None:
            yield from _command(found, (*words, name))


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            yield code(record[0]), " ".join(record[1].split()).replace("<", "\\<")


def settings() -> str:
    """Every setting of a training: its default, and what it means."""
    from striate.training import Recipe

    rows = [
        (code(name), code(_plain(field.default)), field.description)
        for name, field in Recipe.model_fields.items()
    ]
    return table(["setting", "if not given", "meaning"], rows)


def _plain(value: Any) -> str:
    """As it is typed; nothing where it follows from the data."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):  # before numbers: 1 equals True
        return str(value).lower()
    return "" if value is None or value == {} else str(value)


def recipes() -> str:
    """The named recipes, with their source and how they depart from it."""
    from striate.training import NAMED

    rows = [
        (
            code(name),
            " ".join(f"`{key}={_plain(value)}`" for key, value in each.settings.items()),
            each.source + (f". Differs: {each.departs}" if each.departs else ""),
        )
        for name, each in NAMED.items()
    ]
    return table(["recipe", "settings", "source"], rows)


def layouts() -> str:
    """What a folder may look like, in the order in which it is tried."""
    from striate.data.layouts.registry import LAYOUTS

    rows = [
        (code(name), each.looks, " ".join(code(key + "=") for key in each.settings))
        for name, each in LAYOUTS.items()
    ]
    return table(["layout", "what lies there", "its settings"], rows)


def networks() -> str:
    """The catalogue."""
    import striate
    from striate.text import compact

    rows = [
        (
            code(row["name"]),
            row["year"],
            row["paper"],
            ", ".join(row["tasks"]),
            "x".join(map(str, row["input"])),
            f"{row['params']:,}",
            compact(row["macs"]),
        )
        for row in striate.nets().as_list()
    ]
    header = ["name", "year", "paper", "tasks", "input", "parameters", "multiply-adds"]
    return table(header, rows)


def augmentations() -> str:
    """Words of `augment=`."""
    from striate.augment.policy import WORDS

    rows = [
        (code(name), word.kind, word.strength, f"{word.low} to {word.high}", word.meaning)
        for name, word in WORDS.items()
    ]
    return table(["word", "acts on", "strength", "allowed", "meaning"], rows)


def checks() -> str:
    """Questions of the audit, in the order in which they are asked."""
    from striate.auditing.checks import CHECKS

    rows = [
        (code(name), check.asks, "fails" if check.gate else "is noted")
        for name, check in CHECKS.items()
    ]
    return table(["check", "question", "where it finds something"], rows)


def errors() -> str:
    """The tree of errors, with the exit status of each."""
    from striate import errors as room

    return f"```text\n{inspect.cleandoc(room.__doc__ or '')}\n```"


PARTS: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (commands, settings, recipes, layouts, networks, augmentations, checks, errors)
}
