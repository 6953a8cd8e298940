"""The shipped toy models and the demo's config."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "workflow/resources/models"
FAMILIES = {"toy-llama": "llama", "toy-gemma2": "gemma2", "toy-qwen2": "qwen2"}
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text())
