"""Stores that refuse, fail or are not there: one line, and nothing of it in the output."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from yolean.cli.main import cli
from yolean.models import demo_images

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # those of moto and s3fs

COUNT = 12


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keys in the environment, and no others; in a folder that is empty."""
    import s3fs

    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def batch(source: object, output: object, *options: object) -> Result:
    words = ["batch", source, "-m", "shapes", "-o", output, "--part-size", 5, "--threads", 1, *options]
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


def refusal(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.stderr.splitlines() if not line.startswith(f"{COUNT} images in "))
    assert line.startswith("Error: ")
    return line


def rows(folder: str) -> list[tuple[str, str | None]]:
    """Source and error of each row."""
    found: list[tuple[str, str | None]] = []
    for path in sorted(Path(folder).glob("part-*.parquet")):
        found += [(row["source"], row["error"]) for row in pq.read_table(path).to_pylist()]
    return found


# ---- rights, by moto -------------------------------------------------------------------------------------


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with photographs, of which the keys in the environment may read those in `open` only."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")):  # what another test has left
        pass
    s3, iam = boto3.client("s3"), boto3.client("iam")
    s3.create_bucket(Bucket="bucket")
    for folder in ("open", "closed"):
        for number in range(3):
            s3.put_object(
                Bucket="bucket", Key=f"{folder}/{number}.jpg", Body=demo_images()[number].read_bytes()
            )
    allowed = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", '
        '"Resource": "arn:aws:s3:::bucket"}, {"Effect": "Allow", "Action": "s3:GetObject", '
        '"Resource": "arn:aws:s3:::bucket/open/*"}]}'
    )
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=allowed)
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
    _check_rights(endpoint, 0)
    yield "s3://bucket"
    _check_rights(endpoint, float("inf"))
    server.stop()


def _check_rights(endpoint: str, after: float) -> None:
    """Whether moto checks rights, after so many calls."""
    kind = {"Content-Type": "text/plain"}
    with urlopen(Request(f"{endpoint}/moto-api/reset-auth", str(after).encode(), kind, method="POST")):
        pass


def test_rights_to_read_and_not_to_write(guarded: str) -> None:
    assert batch(f"{guarded}/open", "out").exit_code == 0
    assert rows("out") == [(f"{guarded}/open/{number}.jpg", None) for number in range(3)]
    line = refusal(batch(f"{guarded}/open", f"{guarded}/found"))
    assert f"cannot write {guarded}/found/_job/.writable: no permission (Access Denied)" in line
    assert "check the keys" in line


def test_an_image_without_rights_is_a_row_with_its_error(guarded: str) -> None:
    """Others of the same store may be read."""
    Path("list.txt").write_text(f"{guarded}/closed/0.jpg\n{guarded}/open/1.jpg\n")
    assert batch("list.txt", "out").exit_code == 1
    (_, refused), (_, fine) = rows("out")
    assert refused is not None
    assert "no permission (Access Denied)" in refused
    assert fine is None


def test_keys_that_are_unknown_or_wrong_end_the_job(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    Path("list.txt").write_text(f"{guarded}/open/0.jpg\n")
    for name, value in (("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "unknown")):
        monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        for source in ("list.txt", f"{guarded}/open"):
            assert "no permission (" in refusal(batch(source, "out", "--resume"))
    assert not rows("out")


def test_no_keys_and_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("list.txt").write_text("s3://bucket/0.jpg\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no keys for this store in the environment" in refusal(batch("list.txt", "out"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    for source in ("list.txt", "s3://bucket/photos"):
        s3fs.S3FileSystem.clear_instance_cache()
        assert "it cannot be reached" in refusal(batch(source, "out", "--resume"))
    assert not rows("out")


# ---- keys that expire while a job runs -------------------------------------------------------------------


class _Expiring(BaseHTTPRequestHandler):
    """Images, until the keys expire: S3's answer to that."""

    expired_from = COUNT

    def do_GET(self) -> None:
        number = int(Path(self.path.partition("?")[0]).stem)
        status, body = 200, demo_images()[number % 3].read_bytes()
        if number >= self.expired_from:
            status = 400
            body = (
                b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code>"
                b"<Message>The provided token has expired.</Message></Error>"
            )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_keys_that_expire_end_the_job_and_new_ones_resume_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read for want of rights is no row, or resuming would not read it again."""
    addresses = [f"s3://bucket/{number}.jpg" for number in range(COUNT)]
    Path("list.txt").write_text("\n".join(addresses))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Expiring) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(_Expiring, "expired_from", 8)
        line = refusal(batch("list.txt", "out"))
        assert "s3://bucket/8.jpg: no permission (The provided token has expired.); check the keys" in line
        assert rows("out") == [(address, None) for address in addresses[:8]]
        monkeypatch.setattr(_Expiring, "expired_from", COUNT)
        assert batch("list.txt", "out", "--resume").exit_code == 0
        server.shutdown()
    assert rows("out") == [(address, None) for address in addresses]
