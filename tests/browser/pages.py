"""The pages that a browser opens, by name. A page more is a line more: a function that gives the HTML of one file."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from report_pages import HOSTILE, answered, content, evidence, full, per_class, scored
from striate.metrics import Interval
from striate.tasks.classify import Classify
from striate.workbench.report import outcome
from striate.workbench.report.content import Content
from striate.workbench.report.page import Page, render, render_page
from striate.workbench.report.parent import Member, Members
from striate.workbench.report.verdict import judged


def many(k: int = 30) -> Content:
    """Names of which no two lines have room."""
    rows = [
        row | {"label": f"{i} {'long name ' * 4}" + "x" * 60} for i, row in enumerate(per_class(k))
    ]
    shown = answered(scored(k, rows=rows))
    shown["test_sections"] = shown["sections"]
    return full(k, **shown, run="runs/" + "y" * 90, title="z" * 90)


def hostile() -> Content:
    """Markup, text that runs from right to left, line ends and endless words for names."""
    names = [
        HOSTILE,
        "</style><script>alert(1)</script>",
        "\u05e9\u05dc\u05d5\u05dd " * 8,
        "a\nb\n" * 9,
    ]
    rows = [row | {"label": c} for row, c in zip(per_class(4), names, strict=True)]
    shown = answered(scored(4, rows=rows), name="/".join([HOSTILE] * 8), noun=HOSTILE)
    both = {**shown, "test_sections": shown["sections"]}
    return full(4, **both, title=HOSTILE, run=HOSTILE, net=HOSTILE, command=HOSTILE, notes=names)


def bare() -> Content:
    """One class, one epoch without a number, and nothing held out."""
    shown = answered(scored(1, {}, rows=per_class(1, support=0), confusion=[[0]], items=0))
    row = {"epoch": 1, "lr": 0.1, "train_loss": math.nan, "val_loss": None, "seconds": 0.1}
    verdict = judged(evidence(value=Interval(math.nan), items=0))
    return replace(content(1, history=[row], best_epoch=1, verdict=verdict), **shown)


def parent() -> str:
    """Three trainings under one page."""
    scores = {"accuracy": Interval(0.9, 0.85, 0.94), "loss": Interval(0.3, 0.2, 0.4)}
    each = [
        Member(f"fold {k}", f"classify/{k}of3/report.html", scores, 100, [0.5, 0.7, 0.9], 3, 12.5)
        for k in (1, 2, 3)
    ]
    members = Members(
        each, "accuracy", Classify.measures, scores, "They share items.", "Fold by fold"
    )
    plain = content()
    head = outcome.head(plain)
    verdict = judged(evidence())
    return render_page(
        Page("3 folds of digits", plain.created, head, [members.section()], verdict, run="runs/f")
    )


def beside(file: str) -> ModuleType:
    """A file of tests, for the answers that it makes."""
    path = Path(__file__).parents[1] / file
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def of_task(maker: str) -> str:
    """What the task of other answers shows of them."""
    made = beside("tasks/test_sections.py")
    held = getattr(made, maker)()
    return made.page(held.task, held)


def drawn(name: str, detail: str = "block") -> str:
    """The architecture of a net of the catalogue."""
    import torch

    from striate.models.catalog import entry, outline
    from striate.see import architecture

    with torch.device("meta"):
        net, x = outline(name), torch.empty(1, *entry(name).input)
    return architecture(net, [x], name=name, detail=detail).page()


def stepped(*, back: bool) -> str:
    """A convolution, or its errors, step by step."""
    from striate.see import backward, convolution

    steps = convolution((2, 5, 5), 3, stride=2, padding=1)
    return (backward(steps) if back else steps).page()


def arithmetic() -> str:
    """One number of a net, and the way from it to a pixel."""
    import torch

    from striate.measuring import explain
    from striate.models.catalog import build
    from striate.workbench.arithmetic_page import page

    net, x = build("lenet5"), torch.rand(1, 1, 28, 28)
    told = explain(net, x, layer="conv2", at=(3, 2, 1)).walk()
    return page("lenet5: conv2 3,2,1", net, x, told)


def history() -> str:
    """Accuracy against cost."""
    from striate.see import costs

    return costs().page()


def audited() -> str:
    """A failed gate, a note, something that passed, and a check that was not asked; hostile names among the evidence."""
    from striate.auditing import Audit, Finding
    from striate.workbench.report.audit import page

    failed = Finding(
        "leaks",
        "2 items of 100 in test: the same content as one in another split",
        Interval(0.02, 0.005, 0.07),
        limit=0.0,
        crossed=True,
        evidence=[{"file": HOSTILE, "split": "test", "other": "train/" + "x" * 200}],
        advice="take them out of test",
        unit="share",
    ).judged(gate=True)
    rows = [
        {"change": f"shift by {k}", "agreement": 1 - k / 50, "low": 0.5, "high": 1.0}
        for k in range(20)
    ]
    note = Finding(
        "equivariance", "90 % stay the same", crossed=True, evidence=rows, advice="blur"
    ).judged(gate=False)
    fine = Finding("calibration", "off by 0.01", Interval(0.01, 0.0, 0.02), limit=0.05, unit="ece")
    skipped = Finding.skipped("labels", "class bar has one item in train")
    return page(
        Audit("runs/classify/a", "photos", "test", 100, (failed, note, fine, skipped), 12.5)
    )


def plates() -> str:
    """Rows of labelled pictures with their scales."""
    import torch

    from striate import see
    from striate.models.catalog import build
    from striate.result import html_page

    net = build("lenet5", generator=torch.Generator().manual_seed(0))
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    parts = [
        see.templates(net, layer="fc1", limit=12, shape=(1, 28, 28)),
        see.filters(net),
        see.invert(net, x, steps=2),
    ]
    return html_page(
        "plates", "<main><h1>Pictures</h1>" + "".join(p.as_html() for p in parts) + "</main>"
    )


PAGES: dict[str, Callable[[], str]] = {
    "report": lambda: render(full()),
    "two-classes": lambda: render(full(2)),
    "long-names": lambda: render(many()),
    "many-classes": lambda: render(full(70)),
    "hostile-names": lambda: render(hostile()),
    "nothing-held-out": lambda: render(bare()),
    "folds": parent,
    "audit": audited,
    "plates": plates,
    "masks": lambda: of_task("masks"),
    "boxes": lambda: of_task("detected"),
    "architecture-u": lambda: drawn("unet"),
    "architecture-lanes": lambda: drawn("inception_v3"),
    "architecture-layers": lambda: drawn("resnet18", "layer"),
    "history": history,
    "stepper": lambda: stepped(back=False),
    "error-map": lambda: stepped(back=True),
    "arithmetic": arithmetic,
}
