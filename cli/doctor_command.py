"""`yolean doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Print what is wrong with this installation, and what to do.

    The exit status is 0 when yolean works here, 1 when something has failed.
    """
    from ..engine.diagnostics import examine
    from .console import print_findings

    if as_json:
        findings = list(examine())
        healthy = all(finding.level != "fail" for finding in findings)
        click.echo(json.dumps({"healthy": healthy, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        healthy = print_findings(examine())
    sys.exit(0 if healthy else 1)
