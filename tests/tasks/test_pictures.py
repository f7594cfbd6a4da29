"""What is drawn over pictures is as large as words need, and no larger whatever the sides are."""

import numpy as np
import pytest
from PIL import Image

from striate.tasks.pictures import LONGEST, enlarged


@pytest.mark.parametrize(
    ("shape", "by"),
    [
        ((1, 1), 240),
        ((20, 30), 12),
        ((100, 300), 3),
        ((300, 200), 2),
        ((500, 400), 1),
        ((2, 3000), 1),
        ((10, 1000), 4),
        ((1, 20_000), 1),
        ((20_000, 1), 1),
    ],
)
def test_a_picture_is_enlarged_until_words_fit_or_its_longer_side_is_long_enough(
    tmp_path, shape, by
):
    picture = np.full((*shape, 3), 7, np.uint8)
    given = []
    names = enlarged("a.png", picture, tmp_path, lambda large, by: given.append(by) or large)
    assert (names, given) == ({"overlay": "a.png"}, [by])
    with Image.open(tmp_path / "a.png") as drawn:
        written = drawn.size
    assert written == (shape[1] * by, shape[0] * by)
    assert by == 1 or max(written) <= LONGEST
