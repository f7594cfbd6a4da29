"""How pictures are prepared, as `timm.data` resolves it."""

from typing import Any


def resolve_model_data_config(model: Any) -> dict[str, Any]:
    return {key: model.pretrained_cfg[key] for key in ("input_size", "mean", "std")}
