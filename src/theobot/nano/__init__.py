"""`nano`, the small base model inside the package: weights, tokenizer, model card.

It exists so that the whole pipeline can be shown and tested on any machine without a network; what
it says is not to be believed. `README.md` in this folder is its model card.
"""

from importlib.resources import files
from pathlib import Path


def nano_folder() -> Path:
    """The folder to pass to `from_pretrained`. Imports neither torch nor transformers.

    Raises FileNotFoundError when the package was not unpacked to real files (a zipped import).
    """
    folder = Path(str(files(__name__)))
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"{folder}: expected the nano weights (model.safetensors) here")
    return folder
