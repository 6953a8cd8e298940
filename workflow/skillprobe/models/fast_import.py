"""A quicker start for jobs that need torch and transformers (dozens of short jobs pay for it)."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# transformers imports these wherever they are installed (candidate generation, detection losses, placing a
# model on several GPUs), and generating text or reading activations on a CPU uses none of them. They cost
# about a second.
OPTIONAL = ("scipy", "sklearn", "pandas", "accelerate")


@contextmanager
def fast_import() -> Iterator[None]:
    """Import the modules in the block with the garbage collector at rest and OPTIONAL hidden (of these
    accelerate only from a torch without CUDA).

    Collecting while a million long-lived objects are made finds nothing; afterwards they are frozen, so that
    later collections skip them too. Packages that were already imported stay visible; hidden ones can be
    imported as usual after the block. Nothing is hidden from a transformers that is already there: it
    looks once and then relies on what it saw.
    """
    collecting = gc.isenabled()
    gc.disable()
    import torch

    first = "transformers" not in sys.modules
    hidden = [name for name in OPTIONAL if name not in sys.modules] if first else []
    if torch.backends.cuda.is_built():
        hidden = [name for name in hidden if name != "accelerate"]
    # None makes both `import name` and importlib.util.find_spec(name) say that there is no such package.
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
        if first and "transformers" in sys.modules:
            from transformers.utils import is_pandas_available, is_scipy_available, is_sklearn_available

            # It remembers the answers, so that the model classes it imports later go without them too.
            is_pandas_available(), is_scipy_available(), is_sklearn_available()
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
        if collecting:
            gc.enable()
            gc.freeze()
