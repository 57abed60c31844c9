"""`yolean doctor` prints findings, and its exit status says whether one of them has failed."""

from __future__ import annotations

import json

import pytest
from invocation import run
from yolean.engine.diagnostics import Finding

FINE, ODD, BAD = (Finding(level, "part", f"is {level}", "mend it") for level in ("ok", "warn", "fail"))


@pytest.mark.parametrize(("findings", "status"), [([FINE, ODD], 0), ([FINE, BAD, ODD], 1)])
def test_the_doctor(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], status: int) -> None:
    monkeypatch.setattr("yolean.engine.diagnostics.examine", lambda: iter(findings))
    result = run("doctor")
    assert result.exit_code == status
    assert result.stdout.count("do:") == len(findings)
    as_json = run("doctor", "--json")
    assert as_json.exit_code == status
    printed = json.loads(as_json.stdout)
    assert printed["healthy"] is (status == 0)
    assert printed["findings"][0] == {"level": "ok", "about": "part", "what": "is ok", "advice": "mend it"}
