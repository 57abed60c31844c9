"""`yolean info`: what a model is and where it runs."""

from __future__ import annotations

import json
from typing import Any

import click

from ..models import model_file
from .model_options import load_with, options_of_load


@click.command()
@click.argument("model")
@options_of_load
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(model: str, as_json: bool, **options: Any) -> None:
    """Print what a model is and where it runs.

    MODEL is an .onnx file, or a demo model's word as for `predict`.
    """
    from .console import model_facts, print_model

    path = model_file(model)
    facts = model_facts(load_with(path, options), path)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        print_model(facts)
