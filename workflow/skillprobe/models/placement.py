"""Where a model's weights go: whether memory takes them, on one device or spread over several."""

import math
from collections.abc import Mapping
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders
from skillprobe.models.devices import check_there, use_gpus
from skillprobe.models.fast_import import fast_import
from skillprobe.models.memory import available_memory

with fast_import():
    import torch
    from transformers.modeling_utils import PreTrainedModel


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": "auto"}


def claim_devices(about: str, entry: Mapping) -> str | None:
    """The device_map that a model is loaded with, its GPUs leased: None on a machine without any, and for the
    processor.

    about: how messages call the model; entry: as for `loading.load`.
    """
    device_map = entry.get("device_map") or "cuda"
    if device_map != "cpu":
        use_gpus(1 if device_map == "cuda" else entry.get("gpu", 0))
        check_there(about, entry.get("gpu", 0))
    return None if device_map == "cpu" or not torch.cuda.is_available() else device_map


def weights_bytes(folder: str | Path, dtype: str = "auto") -> int:
    """Memory that the safetensors weights of a folder take in this dtype (of DTYPES), by their headers."""
    total = 0
    for tensor in folders.weights(Path(folder)):
        stored = tensor["data_offsets"][1] - tensor["data_offsets"][0]
        floating = tensor["dtype"].startswith(("F", "BF"))
        convert = dtype != "auto" and floating
        total += math.prod(tensor["shape"]) * DTYPES[dtype].itemsize if convert else stored
    return total


def check_memory(
    name: str, folder: Path, dtype: str, device_map: str | None, random_seed: int | None
) -> None:
    """Raises UserError where the weights of a folder don't fit. Before anything is loaded: a machine that
    swaps, or a job that is killed, says less."""
    try:
        needed = weights_bytes(folder, dtype)
    except UserError as error:
        raise UserError(f"model '{name}': {error}") from error
    places = []
    if device_map == "cuda":
        advice = "use a larger one, device_map: auto, or a smaller dtype"
        places.append(("", "the GPU", torch.cuda.mem_get_info()[0], advice))
    if random_seed is not None:
        advice = "ask for more (mem_mb), or set controls: {random_weights: false}"
        places.append((" with random weights", "main memory", available_memory(), advice))
    elif device_map is None:
        advice = "use a larger one or a smaller dtype"
        places.append(("", "this machine", available_memory(), advice))
    for how, where, free, advice in places:
        if free is not None and needed > free:
            raise UserError(
                f"model '{name}'{how} takes {needed / 2**30:.1f} GiB, but {where} has {free / 2**30:.1f} GiB "
                f"free; {advice}"
            )


def check_spread(name: str, device_map: str | None, places: Mapping) -> None:
    """places: part of the model -> device. Raises UserError where GPUs hold but some of it: the rest would be
    moved there for each token, for days."""
    away = [part for part, place in places.items() if str(place) in ("cpu", "disk")]
    if away and len(away) < len(places):
        raise UserError(
            f"model '{name}' doesn't fit onto the GPUs that its job sees: device_map {device_map} "
            f"placed {len(away)} of {len(places)} parts elsewhere, such as {away[0]}; ask for more "
            "GPUs (gpu) or use a smaller dtype"
        )


def spread(model: PreTrainedModel, device_map: str | None) -> None:
    """Put weights that come from no file where `from_pretrained` would put a file's."""
    if device_map in (None, "cuda"):
        model.to(device_map or "cpu")
        return
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = model._no_split_modules
    most = None
    if device_map != "sequential":
        most = get_balanced_memory(
            model, no_split_module_classes=whole, low_zero=device_map == "balanced_low_0"
        )
    dispatch_model(model, infer_auto_device_map(model, most, no_split_module_classes=whole))
