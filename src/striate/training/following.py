"""What all processes of a training begin with: that of the first one, which settled it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from striate import data as data_room
from striate.errors import DataError, RecipeError
from striate.plan import Plan
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import Config
from striate.tasks import named
from striate.training.board import board
from striate.training.prepare import chosen_net, training_batches
from striate.training.ranks import Alone
from striate.training.recipe import Recipe
from striate.training.record import Job, Progress, Record
from striate.training.state import State


def prepared(ranks: Alone, net: nn.Module | None) -> tuple[Path, tuple[Job, nn.Module] | None]:
    """The run folder, the training and its net, as the first process told them; none where it was finished already.

    Args:
        ranks: this process, not the first.
        net: the user's own net.

    Raises:
        DataError: the data here are not those of the first process.
    """
    told: dict[str, Any] = ranks.agreed({})
    path = Path(told["path"])
    if "config" not in told:
        return path, None
    config, recipe = Config.parse(told["config"], path), Recipe.model_validate(told["recipe"])
    data = data_room.again(config.data["origin"])
    if data.fingerprint != config.data["fingerprint"]:
        raise DataError(
            f"{data.path} on this machine is not what the first process of this training reads: "
            "every machine needs the same files"
        )
    _, trained = chosen_net(net, recipe, data)
    given = Plan.from_dict(config.plan)
    plan = replace(given, device=ranks.device(given.device))
    with ranks.decoding():
        batches = training_batches(data, recipe, plan.device, config.preprocessing, ranks)
        task = named(data.task).of(data, recipe)
        job = Job(path, data, recipe, config, plan, batches, task, Progress(), ranks)
        job.held_out()
    return path, (job, trained)


def begin(job: Job, net: nn.Module, found: Checkpoint | None) -> tuple[Job, State, Record]:
    """The same state in all processes: that of the first one's checkpoint, or before the first step.

    Args:
        job: the training.
        net: what is trained, with its first weights in the first process.
        found: the first process's checkpoint.
    """
    ranks, recipe = job.ranks, job.recipe
    settled = recipe.model_dump(mode="json")
    if ranks.first:
        _check(job)
        for line in ranks.cautions():
            job.progress.say(line)
        ranks.agreed({"path": str(job.path), "config": job.config.as_dict(), "recipe": settled})
    found = ranks.same(found, net)
    state = State.begin(ranks.normalised(net, together=recipe.sync_norm), recipe, job.plan)
    record = Record(job.path, ranks=ranks)
    if found:
        record = Record.restore(job.path, found, state, ranks)
    if ranks.first:
        record.board = board(job.path, state.step)
    return job, state, record


def _check(job: Job) -> None:
    if job.ranks.world > 1 and job.recipe.oom == "halve":
        raise RecipeError(
            "oom=halve works in one process alone, since the others would not know of it: use accumulate="
        )
