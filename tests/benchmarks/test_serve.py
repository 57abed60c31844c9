"""The server under load: what is counted, what rounds come to, what is said."""

import json
import shutil
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from click.testing import CliRunner
from yolean.benchmarks import curves, options, rounds, serve, servers
from yolean.benchmarks.__main__ import harness
from yolean.benchmarks.entrants import YOLEAN, Entrant, entrants
from yolean.benchmarks.load import Tally
from yolean.benchmarks.rounds import Plan
from yolean.benchmarks.servers import PATH, Load, Server, ServerError, free_port, running, settled, wrk
from yolean.models import demo_model

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@pytest.fixture
def answered():
    """A server in this process, and the statuses that it answers in turn."""
    statuses, number, seen = [200], count(), Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            seen[self.path, self.rfile.read(int(self.headers["Content-Length"]))] += 1
            self.send_response(statuses[next(number) % len(statuses)])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # wrk leaves without a word
            pass

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    http.statuses, http.seen = statuses, seen
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


def at(http, alive=None):
    """The server as one under measurement."""

    class Process:
        def poll(self):
            return alive

    return Server(Process(), http.server_address[1])


@needs_wrk
def test_wrk_sends_the_image_and_counts_answers(answered):
    load = wrk(at(answered), b"image", 2, 1)
    ((path, body),) = answered.seen
    assert path == PATH
    assert b'name="image"' in body
    assert b"\r\n\r\nimage\r\n" in body
    assert load.requests > 10
    assert load.rate == pytest.approx(load.requests, rel=0.3)
    assert 0 < load.p50 <= load.p90 <= load.p99 <= load.worst < 1000
    assert (load.broken, load.refused) == (0, 0)


@needs_wrk
def test_refusals_are_not_served_requests(answered):
    """A 503 takes no time: counted as an answer, it would make a full server look fast."""
    answered.statuses[:] = [200, 503, 503, 503]
    load = wrk(at(answered), b"image", 2, 1)
    assert load.refused == pytest.approx(3 * load.requests, rel=0.1)
    assert load.rate == pytest.approx(load.requests, rel=0.3)
    assert [load.p50, load.p90, load.p99, load.worst] == [None] * 4  # wrk does not tell whose they are


def test_a_server_is_settled_when_it_answers_again(answered):
    answered.statuses[:] = [503, 503, 200]
    settled(at(answered), b"image")
    assert answered.seen.total() == 3


def test_a_server_that_died_is_not_waited_for(answered):
    answered.statuses[:] = [500]
    with pytest.raises(ServerError, match="stopped answering"):
        settled(at(answered, alive=1), b"image")


def test_a_server_that_does_not_come_up_says_its_last_word():
    command = [sys.executable, "-c", "import sys; sys.exit('first\\nno such module')"]
    with pytest.raises(ServerError) as caught, running(command, b"image", free_port()):
        pass
    assert caught.value.message == "did not come up: no such module"


def test_what_configures_our_servers_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("YOLEAN_API_KEY", "secret")
    code = "import os, sys; sys.exit(f\"{os.environ.get('YOLEAN_API_KEY')} {os.environ['MORE']}\")"
    command = [sys.executable, "-c", code]
    with (
        pytest.raises(ServerError, match="None here"),
        running(command, b"image", free_port(), env={"MORE": "here"}),
    ):
        pass


def test_figures_of_an_open_loop():
    tally = Tally(refused=1, lost=["x", "y"], since_due=[0.1, 0.2, 0.9], late=[0.0] * 8)
    tally.statuses.update({200: 3, 503: 2})
    found = rounds.figures_of(tally, in_time=0.5)
    assert found["asked"] == 8
    assert found["p50"] == pytest.approx(200)
    assert found["in_time"] == pytest.approx(2 / 8)  # of all, not only of those answered
    assert (found["answered"], found["broken"], found["refused"]) == (3, 3, 2)


def test_an_open_loop_without_answers_has_no_latency():
    found = rounds.figures_of(Tally(refused=2, late=[0.0, 0.0]), in_time=1)
    assert (found["p50"], found["p99"], found["in_time"]) == (None, None, 0)


def closed(rate, **other):
    return {
        "rate": rate,
        "p50": 1.0,
        "p90": 2.0,
        "p99": 3.0,
        "memory_mb": 99.0,
        "broken": 0,
        "refused": 0,
    } | other


def offered(p99, **other):
    figures = {"p50": 1.0, "p99": p99, "in_time": 0.5, "late_ms": 0.1, "asked": 10, "broken": 0, "refused": 1}
    return figures | other


@pytest.fixture
def measured():
    """Two servers, two rounds."""
    return [
        {
            YOLEAN: {
                "closed": {1: closed(10.0), 8: closed(20.0)},
                "open": {5: offered(30.0), 2.5: offered(20.0)},
            },
            "peer": {
                "closed": {1: closed(5.0), 8: closed(10.0)},
                "open": {5: offered(None), 2.5: offered(40.0)},
            },
        },
        {
            YOLEAN: {
                "closed": {1: closed(40.0), 8: closed(8.0)},
                "open": {5: offered(50.0), 2.5: offered(20.0)},
            },
            "peer": {
                "closed": {1: closed(10.0, broken=3), 8: closed(0.0, p50=None)},
                "open": {5: offered(None), 2.5: offered(40.0)},
            },
        },
    ]


def test_ratios_are_taken_round_by_round(measured):
    rows = curves.closed_rows(measured)
    assert [(row["concurrency"], row["server"]) for row in rows] == [
        (1, YOLEAN), (1, "peer"), (8, YOLEAN), (8, "peer"),
    ]  # fmt: skip
    own, peer, own_8, peer_8 = rows
    assert own["rate"]["median"] == 25.0
    assert own["times"]["peer"]["median"] == 3.0  # of 2 and 4, and not 25 / 7.5
    assert peer["times"][YOLEAN]["median"] == pytest.approx((0.5 + 0.25) / 2)
    assert peer["broken"] == 3
    assert own_8["times"] == {}  # the peer answered nothing in one round
    assert peer_8["times"][YOLEAN]["median"] == pytest.approx(0.25)
    assert peer_8["p50"]["median"] == 1.0  # of the round that has one
    assert own["rounds"] == [closed(10.0), closed(40.0)]


def test_rows_of_the_open_loop(measured):
    rows = curves.open_rows(measured)
    assert [(row["offered"], row["server"]) for row in rows][:2] == [(2.5, YOLEAN), (2.5, "peer")]
    assert rows[2]["p99"]["median"] == 40.0
    assert rows[3]["p99"] is None
    assert rows[3]["refused"] == 2


def test_tables_name_what_was_not_measured_and_fit(measured, capsys):
    long = "yolean serve, int8-entropy"
    measured = [{**found, long: found["peer"]} for found in measured]
    record = {
        "model": "m[red].onnx",
        "closed": curves.closed_rows(measured),
        "open": curves.open_rows(measured),
    }
    record["not_measured"] = [{"server": "litserve + ultralytics", "why": "litserve is not installed"}]
    curves.show(record, in_time=0.5)
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 100
    assert "m[red].onnx" in text
    assert "3.00 (" in text
    assert "3 broken" in text
    assert "within 0.5 s" in text
    assert "litserve + ultralytics: not measured: litserve is not installed" in lines
    assert text.count("litserve + ultralytics") == 3  # in both tables as well
    assert any(long in line for line in lines)  # not wrapped


def test_a_peer_that_fails_is_listed_and_the_others_go_on(monkeypatch, measured):
    def turn(entrant, plan):
        if entrant.name == "broken":
            raise ServerError("did not come up: no such module")
        order.append(entrant.name)
        return measured[0]["peer"]

    monkeypatch.setattr(rounds, "turn", turn)
    order, missing = [], {}
    names = (YOLEAN, "broken", "peer")
    all_servers = [Entrant(name, lambda port: []) for name in names]
    plan = Plan(b"", (1,), (), 1, 1.0)
    first = rounds.one_round(0, all_servers, plan, missing)
    rounds.one_round(1, all_servers, plan, missing)
    assert set(first) == {YOLEAN, "peer"}
    assert missing == {"broken": "did not come up: no such module"}
    assert order == [YOLEAN, "peer", "peer", YOLEAN]  # another one first


def test_yolean_itself_must_come_up(monkeypatch):
    def turn(entrant, plan):
        raise ServerError("did not come up: x")

    monkeypatch.setattr(rounds, "turn", turn)
    with pytest.raises(ServerError, match="yolean serve did not come up: x"):
        rounds.one_round(0, [Entrant(YOLEAN, lambda port: [])], Plan(b"", (1,), (), 1, 1.0), {})


def test_ultralytics_is_not_asked_to_run_a_lean_file():
    found, missing = entrants(demo_model(), [demo_model("pose")], [])
    assert [each.name for each in found][:2] == [YOLEAN, "yolean serve, pose"]
    assert "plain export" in missing["litserve + ultralytics"]
    assert found[1].command(77)[-4:] == ["--port", "77", "--models", f"measured={demo_model('pose')}"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--concurrency", "1,x"], "'1,x': expected whole numbers above 0, such as 1,2,4"),
        (["--concurrency", "0,8"], "expected whole numbers above 0"),
        (["--rates", "nan"], "expected numbers above 0"),
        (["--plot", "curve.jpg"], "expected a name that ends with .svg or .png"),
        (["--json", "no-such-folder/serve.json"], "there is no folder no-such-folder"),
        (["--model", __file__], "test_serve.py"),
        (["--also", str(demo_model()), "--also", str(demo_model())], "need different names"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, arguments, says):
    monkeypatch.setattr(serve, "wrk_program", lambda: "wrk")
    done = CliRunner().invoke(harness, ["serve", *arguments])
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert says in line


def test_without_wrk_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    done = CliRunner().invoke(harness, ["serve"])
    assert done.exit_code == 1
    assert done.output == "Error: wrk is not installed: apt-get install wrk, or brew install wrk\n"


def test_the_record_and_its_plot(monkeypatch, tmp_path, measured):
    """The command from end to end, servers and their load apart."""
    drawn = []
    monkeypatch.setattr(serve, "wrk_program", lambda: "wrk")
    monkeypatch.setattr(options, "find_spec", lambda name: True)
    monkeypatch.setattr(serve.serve_plot, "draw", lambda record, target: drawn.append((record, target)))
    monkeypatch.setattr(serve, "capacity", lambda entrant, plan: 19.2345)
    alone = {"server_p50_ms": 8.0, "engine_p50_ms": 7.0, "added_ms": 1.0}
    monkeypatch.setattr(serve, "alone", lambda *_: alone)
    written = []

    def turn(entrant, plan):
        written.append((tmp_path / "serve.json").is_file())
        return {
            "closed": {load: closed(9.0) for load in plan.concurrency},
            "open": {rate: offered(7.0) for rate in plan.rates},
        }

    monkeypatch.setattr(rounds, "turn", turn)
    arguments = ["--rounds", "2", "--concurrency", "8,1,8", "--json", str(tmp_path / "serve.json")]
    done = CliRunner().invoke(harness, ["serve", *arguments, "--plot", str(tmp_path / "serve.svg")])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "serve.json").read_text())
    assert written[0] is False
    assert written[-1] is True  # after the first round
    assert record["how"] == {"concurrency": [1, 8], "seconds": 10, "rounds": 2, "in_time_s": 1.0}
    assert sorted({row["offered"] for row in record["open"]}) == [4.81, 9.62, 14.4, 17.3, 21.2]
    assert len(record["closed"][0]["rounds"]) == 2
    assert {row["server"] for row in record["not_measured"]} >= {"litserve + ultralytics"}
    assert record["alone"] == alone
    assert drawn == [(record, tmp_path / "serve.svg")]  # of the file, so that its digest is the file's
    assert "the server adds 1.0 ms" in done.output


@pytest.mark.slow
@needs_wrk
def test_real_servers(tmp_path):
    target, drawing = tmp_path / "serve.json", tmp_path / "serve.png"
    arguments = ["--seconds", "1", "--rounds", "1", "--concurrency", "1,8", "--rates", "20"]
    arguments += ["--json", str(target), "--plot", str(drawing)]
    done = CliRunner().invoke(harness, ["serve", *arguments])
    assert done.exit_code == 0, done.output
    record = json.loads(target.read_text())
    own = [row for row in record["closed"] if row["server"] == YOLEAN]
    assert [row["concurrency"] for row in own] == [1, 8]
    assert all(row["rate"]["median"] > 1 and row["memory_mb"]["median"] > 50 for row in own)
    assert all(row["broken"] == row["refused"] == 0 for row in own)
    assert all(row["times"]["starlette + session.run"]["median"] > 0 for row in own)
    (fixed,) = (row for row in record["open"] if row["server"] == YOLEAN)
    assert fixed["asked"] == 20
    assert fixed["p50"]["median"] > 0
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_a_load_is_what_the_rows_are_made_of():
    """The rows pick figures by name."""
    assert {"rate", "p50", "p90", "p99", "broken", "refused"} <= set(Load.__dataclass_fields__)
