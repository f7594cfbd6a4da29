"""Words of a command line: `key=value`, `--key value` and `--key=value` mean the same."""

from collections.abc import Sequence

import click

from striate.errors import UsageError


def read(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Sort words into names by position and settings by key.

    A word with `=` is a setting if what stands before it is a plain word, so `./a=b.png` stays a name.

    Raises:
        UsageError: a setting has no value or stands twice.
    """
    names: list[str] = []
    settings: dict[str, str] = {}
    pending = list(arguments)
    while pending:
        word = pending.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") and not (equals and key.isidentifier()):
            names.append(word)
            continue
        if not equals:
            if not pending:
                raise UsageError(f"--{key} has no value: write --{key} VALUE or {key}=VALUE")
            value = pending.pop(0)
        key = key.replace("-", "_")
        if key in settings:
            raise UsageError(f"{key} is given twice: {settings[key]} and {value}")
        settings[key] = value
    return names, settings


class Command(click.Command):
    """A command whose options may be written as `key=value` too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, once every setting has dashes."""
        known = {name for option in self.get_params(ctx) for name in option.opts}
        return super().parse_args(ctx, [_dashed(word, known) for word in args])


def _dashed(word: str, known: set[str]) -> str:
    key, equals, value = word.partition("=")
    option = f"--{key.replace('_', '-')}"
    return f"{option}={value}" if equals and key.isidentifier() and option in known else word


def one_line(text: str) -> str:
    """Text on one line, control characters escaped, so that a file's name cannot fake another message."""
    flat = " ".join(text.split("\n"))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
