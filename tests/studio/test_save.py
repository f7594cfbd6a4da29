"""The saved page: one script, one sheet, its policy, its size, and what it holds."""

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load
from torch import nn
from trained import trained

from striate.errors import UsageError
from striate.studio import launch, save
from striate.studio.routes import Request, Route
from striate.studio.server import routes


class Parts(html.parser.HTMLParser):
    """Scripts, sheets and metas of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attrs, text = self.found[-1]
            self.found[-1] = tag, attrs, text + data

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for name, attrs, text in self.found if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    with launch.begun([str(trained())]) as one:
        return save.page(one.session)


@pytest.fixture(scope="module")
def data(text: str) -> Any:
    (found,) = [
        body for attrs, body in Parts(text).of("script") if attrs.get("type") == "text/plain"
    ]
    return json.loads(found)


def test_the_policy_names_the_one_script_and_the_one_sheet(text: str):
    parts = Parts(text)
    (policy,) = [
        a["content"]
        for a, _ in parts.of("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    scripts = [body for attrs, body in parts.of("script") if not attrs]
    assert len(scripts) == len(parts.of("style")) == 1
    sheets = [body for _, body in parts.of("style")]
    for kind, (body,) in (("script", scripts), ("style", sheets)):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_nothing_is_asked_of_anybody(text: str):
    assert not re.search(r"(?:src|href)=\"(?!#)", text[:2000])
    assert not re.search(r"^(?:import|export)\b", text, re.MULTILINE)


def test_the_file_is_small_enough(text: str):
    assert len(text.encode()) <= save.MOST


def test_answers_are_those_of_the_server(data: Any):
    with launch.begun([str(trained())]) as one:
        (opened,) = one.session.nets.values()
        run = opened.card.example.run_id
        found = load(base64.b64decode(data["answers"][f"run/{run}/channel?layer=conv2@0"]["bytes"]))
        wanted = one.session.output(one.session.run(run), "conv2@0")[0].numpy()
        np.testing.assert_array_equal(found["map"], wanted)
    layers = data["answers"][f"net/{data['net']}"]["json"]["layers"]
    for layer in layers:
        assert f"run/{run}/maps?layer={layer['id']}" in data["answers"]
    assert data["live"]["program"]["macs"] > 0


def test_scale_and_shift_are_those_of_the_preprocessing(data: Any):
    with launch.begun([str(trained())]) as one:
        example = one.session.run(next(iter(one.session.nets.values())).card.example.run_id)
    again = (
        np.asarray(example.stored, np.float64)[..., 0] * data["live"]["scale"][0]
        + data["live"]["shift"][0]
    )
    np.testing.assert_allclose(again, example.x[0, 0].numpy(), atol=1e-5)


def test_a_large_net_keeps_within_the_size_and_says_how_many_layers():
    net = nn.Sequential(
        *[nn.Conv2d(3 if not i else 64, 64, 3, padding=1) for i in range(6)],
        nn.Flatten(),
        nn.Linear(64 * 64 * 64, 4),
    )
    with launch.begun([net], shape=(3, 64, 64)) as one:
        text = save.page(one.session, 2_600_000)
    assert len(text.encode()) <= 2_600_000
    body = json.loads(next(b for a, b in Parts(text).of("script") if a.get("type")))
    card = body["answers"]["net/given-1"]["json"]
    assert 0 < len(card["layers"]) < 8
    assert card["sentences"][-1] == f"this saved page holds {len(card['layers'])} of 8 layers"
    assert body["live"] is None
    assert "MB of weights" in body["why"]


def test_hostile_names_stay_text():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    names = ["</script><script>alert(1)</script>", "<!-- <img onerror=x>"]
    with launch.begun([net], shape=(1, 8, 8), classes=names) as one:
        parts = Parts(save.page(one.session))
    assert len(parts.of("script")) == 2
    assert not parts.of("img")
    body = json.loads(next(b for a, b in parts.of("script") if a.get("type")))
    assert body["answers"]["net/given-1"]["json"]["classes"] == names


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {
                "main.js": 'import { a } from "./b.js";\nconst x = a;\n',
                "b.js": "export const a = 1;\nconst x = 2;\n",
            },
            "both have a top-level x",
        ),
        ({"main.js": "export default 3;\n"}, "cannot be made part"),
        ({"main.js": 'import * as b from "./b.js";\n', "b.js": ""}, "cannot be made part"),
        ({"main.js": "const { p, q } = window;\nfunction q() {}\n"}, "top-level q"),
    ],
    ids=["twice", "default", "star", "parts"],
)
def test_modules_that_make_no_script_are_refused(tmp_path: Path, files: dict[str, str], said: str):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said):
        save.flattened(tmp_path, ["main.js"])


def test_modules_come_after_those_they_need(tmp_path: Path):
    (tmp_path / "main.js").write_text(
        'import { a } from "./sub/a.js";\nimport { b } from "./b.js";\na(b);\n'
    )
    (tmp_path / "b.js").write_text("export const b = 1;\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.js").write_text(
        'import { b } from "../b.js";\nexport function a(x) { return x + b; }\n'
    )
    assert save.flattened(tmp_path, ["main.js"]) == (
        "const b = 1;\n\nfunction a(x) { return x + b; }\n\na(b);\n"
    )


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    with launch.begun([nn.Sequential(nn.Conv2d(1, 2, 3))], shape=(1, 8, 8)) as one:
        with pytest.raises(UsageError, match=r"ends in \.html"):
            save.saved(one.session, tmp_path / "page.pdf")
        save.saved(one.session, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_nothing_is_answered_twice(monkeypatch: pytest.MonkeyPatch):
    """Exact values of small layers go first; those of the example are not computed a second time, nor what each layer's maps need."""
    asked: list[str] = []

    def counted(row: Route) -> Route:
        def answer(session: Any, request: Request) -> Any:
            asked.append(f"{request.path} {sorted(request.query.items())}")
            return row.handler(session, request)

        return replace(row, handler=answer)

    monkeypatch.setattr(save, "routes", lambda: tuple(counted(row) for row in routes()))
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    with launch.begun([net], shape=(1, 8, 8)) as one:
        save.page(one.session)
    assert len([each for each in asked if "/channel" in each]) >= 3
    assert sorted({each for each in asked if asked.count(each) > 1}) == []
