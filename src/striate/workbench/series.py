"""Several trainings of one recipe below one folder, which a second call goes on with: folds, and sweeps.

OUT/KIND/NAME/KIND.json says what was asked; the runs lie beside it in <task>/.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate import data as data_room
from striate.errors import CheckpointError, UsageError
from striate.runs import Run, folder
from striate.runs.split_answers import Held
from striate.training import Progress, Recipe
from striate.workbench import nets
from striate.workbench.train import resume, train_recipe

FORMAT = 1


def asked(data: str | Path, recipe: Recipe) -> dict[str, Any]:
    """What all series write down: the data, and what was set of the recipe."""
    return {
        "format": FORMAT,
        "data": str(data) if _is_name(data) else str(Path(data).absolute()),
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        **({"fixes": data_room.read_fixes(recipe.fixes).sha256} if recipe.fixes else {}),
    }


def short_name(data: str | Path) -> str:
    """What a folder is called after the data."""
    return Path(data).name.split(".")[0] or "data"


def read(path: Path, kind: str) -> dict[str, Any]:
    """What was asked of a series.

    Raises:
        CheckpointError: the file is damaged, or of a newer version.
    """
    state = path / f"{kind}.json"
    content = folder.unsealed(folder.read_json(state), state, needed=True)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{state} has format {content.get('format')!r}, this version reads {FORMAT}: update striate"
        )
    return content


def begun(
    out: Path,
    kind: str,
    name: str | None,
    default: str,
    wanted: Mapping[str, Any],
    progress: Progress,
) -> Path:
    """The folder of a series: one that an earlier call began, or a new one.

    Raises:
        UsageError: the name is taken.
    """
    home = out / kind
    places = [home / name] if name else sorted(home.glob(f"{default}*"))
    for path in places:
        if not (path / f"{kind}.json").exists():
            continue
        same = read(path, kind) == wanted
        if same and not (path / "summary.json").exists():
            progress.say(f"going on with {path}")
            return path
        if name:
            raise UsageError(
                f"{path} is there already{'' if same else ', with other settings'}: choose another --name"
            )
    path = folder.make(out, kind, name, default)
    folder.write_sealed(path / f"{kind}.json", wanted)
    return path


def _is_name(data: str | Path) -> bool:
    """Whether it is a built-in name or an address, and no path."""
    return isinstance(data, str) and not Path(data).exists()


def one(path: Path, data: str | Path, recipe: Recipe, name: str, progress: Progress) -> Held:
    """The answers of one training: trained now, gone on with, or read again."""
    for run in path.glob(f"*/{name}"):
        own = nets.own(recipe.net) if recipe.net and ":" in recipe.net else None
        if (run / "summary.json").exists() and (run / "report.html").exists():
            done = Run.load(run, net=own)
            again = done.open_data()
            return done.held(again, again.held_out)
        if folder.can_go_on(run) or (run / "summary.json").exists():
            return resume(run, own=own, progress=progress).held
        shutil.rmtree(run)  # nothing in it can be gone on with
    progress = replace(progress, began=time.monotonic())  # a budget is that of one training
    return train_recipe(data, recipe, out=path, name=name, progress=progress).held
