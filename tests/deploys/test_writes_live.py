"""
The measured write on real instances: forwarded, read at once, and never lost.

Two instances of the site on one data directory, each with a port of its own or on
a socket that both have.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.instance import REPOSITORY, bare_environ
from bench.stage import Stage
from lifecycle.knobs import Address
from lifecycle.slot import WriterSlot
from tests.deploys.scene import Scene, address_of, free_address, get
from tests.processes import wait_until

pytestmark = pytest.mark.process

# Enough new connections that every worker of an instance answers some.
READS = 12


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True)
class Author:
    """Somebody with a token; each request has a connection of its own."""

    token: str

    def ask(
        self,
        address: Address,
        method: str,
        path: str,
        body: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(
                method,
                f"/api/notes/{path}",
                body.encode() if method == "PUT" else None,
                {**shown, **(headers or {})},
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def put(self, address: Address, path: str, body: str, **headers: str) -> Answer:
        return self.ask(
            address,
            "PUT",
            path,
            body,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )


def manage(stage: Stage, *arguments: str) -> str:
    """Run a management command on the stage's data directory."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=bare_environ() | stage.knobs,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Set a stage of the real site, empty but for its tables."""
    made = Stage(tmp_path, grace=1.0, timeout=3.0)
    manage(made, "migrate", "--verbosity", "0")
    return made


@pytest.fixture
def author(stage: Stage) -> Author:
    return Author(manage(stage, "token", "create", "author"))


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    with Scene(stage) as made:
        yield made


def page(address: Address, path: str) -> str:
    response, body = get(address, path)
    return body.decode() if response.status == 200 else f"{response.status}"


def is_read(address: Address, text: str) -> bool:
    """Return whether *text* is on the page, whoever of an instance answers."""
    return all(text in page(address, "/counted") for _ in range(READS))


def rows(scene: Scene, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(scene.data_dir / "trip2g.sqlite3", timeout=10)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_write_is_read_at_once_where_it_was_made_and_soon_everywhere(scene, author):
    there, here = free_address(), free_address()
    demoted = scene.start(public=there)
    holder = scene.start(public=here)
    assert scene.status(demoted)["phase"] == "standby"
    epoch = scene.status(holder)["epoch"]
    for number in range(10):
        # In turn on the one that writes, and on the one that forwards.
        one, other = (here, there) if number % 2 else (there, here)
        said = author.put(one, "counted", f"number {number}.").said
        assert said["epoch"] == epoch
        assert said["sequence"] == number + 1
        assert is_read(one, f"number {number}.")
        wait_until(
            partial(is_read, other, f"number {number}."),
            1.0,
            "the write being read on the other instance",
        )
    assert scene.status(demoted)["writes_forwarded"] == 5
    assert author.ask(there, "DELETE", "counted").status == 200
    assert {page(there, "/counted") for _ in range(READS)} == {"404"}
    assert author.ask(there, "DELETE", "counted").status == 404


def test_a_write_that_is_sent_again_with_its_key_is_not_made_again(
    scene, author, stage
):
    there, here = free_address(), free_address()
    scene.start(public=there)
    first = author.put(there, "a", "first", Idempotency_Key="k1")
    assert first.status == 201
    author.put(there, "a", "second")
    scene.start(public=here)
    # In another epoch, on either instance, and though the note has changed since.
    for address in (here, there):
        again = author.put(address, "a", "first", Idempotency_Key="k1")
        assert (again.status, again.said) == (201, first.said)
        assert again.headers["ETag"] == first.headers["ETag"]
        other = author.put(address, "a", "other", Idempotency_Key="k1")
        assert other.status == 422
        assert other.said == {
            "error": "Nothing was written: this Idempotency-Key was used with another "
            "body."
        }
    # A token that is revoked is told nothing more: on either instance, so forwarded too.
    revoked = Author(manage(stage, "token", "create", "revoked"))
    assert revoked.put(there, "e", "text", Idempotency_Key="k1").status == 201
    manage(stage, "token", "revoke", "revoked")
    for address in (here, there):
        for body in ("text", "other"):
            again = revoked.put(address, "e", body, Idempotency_Key="k1")
            assert (again.status, list(again.said)) == (401, ["error"])
    assert author.put(here, "b", "first", Idempotency_Key="k1").status == 201
    assert author.ask(here, "GET", "a").said["source"] == "second"
    # A refusal that changed nothing is not kept: it may be mended and sent again.
    broken = author.put(here, "c", "---\na: [\n---\n", Idempotency_Key="k2")
    assert broken.status == 422
    assert author.put(here, "c", "fine", Idempotency_Key="k2").status == 201
    assert author.put(here, "d", "x", Idempotency_Key="k3", If_Match="*").status == 412
    assert rows(scene, "SELECT count(*) FROM lifecycle_storedanswer WHERE status < '4'")
    assert rows(
        scene, "SELECT count(*) FROM lifecycle_storedanswer WHERE status >= '4'"
    ) == [(0,)]


def test_numbered_writes_go_on_while_the_slot_moves(scene, author, listener):
    address = address_of(listener)
    first = scene.start(listener=listener)
    epoch = scene.status(first)["epoch"]
    answers: dict[int, Answer] = {}
    numbers = iter(range(100_000))
    next_number = threading.Lock()
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            with next_number:
                number = next(numbers)
            answers[number] = author.put(address, f"n{number}", f"number {number}.")

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: len(answers) >= 20, 20, "writes under the first epoch")
        second = scene.start(listener=listener)
        assert scene.status(second)["holds_slot"]
        made = len(answers)
        wait_until(
            lambda: len(answers) >= max(100, made + 20), 30, "writes under the second"
        )
    finally:
        is_over.set()
        for writer in writers:
            writer.join()
    assert {answer.status for answer in answers.values()} == {201}
    assert {answer.said["epoch"] for answer in answers.values()} == {epoch, epoch + 1}
    logged = rows(scene, "SELECT sequence, path, epoch FROM notes_change ORDER BY id")
    # Each once, in the order that was told, and never back to an older epoch.
    assert [number for number, _, _ in logged] == [*range(1, len(answers) + 1)]
    assert {(path, number, epoch) for number, path, epoch in logged} == {
        (answer.said["path"], answer.said["sequence"], answer.said["epoch"])
        for answer in answers.values()
    }
    epochs = [epoch for _, _, epoch in logged]
    assert epochs == sorted(epochs)
    sources = dict(rows(scene, "SELECT path, source FROM notes_note"))
    assert sources == {f"n{number}.md": f"number {number}." for number in answers}
    for instance in (first, second):
        assert "Traceback" not in instance.output


def test_a_draft_is_told_to_nobody_without_a_token(scene, author):
    there, here = free_address(), free_address()
    scene.start(public=there)
    scene.start(public=here)
    draft = "---\ndraft: true\n---\nTop secret.\n"
    assert author.put(there, "hidden", draft).said["url"] is None
    for address in (here, there):
        assert author.ask(address, "GET", "hidden").said["source"] == draft
        for nobody in (Author(""), Author("guess")):
            answer = nobody.ask(address, "GET", "hidden")
            assert answer.status == 401
            assert b"secret" not in answer.body
            assert answer.headers["Cache-Control"] == "no-store"
            assert nobody.put(address, "hidden", "mine").status == 401
        for path in ("/hidden", "/sitemap.xml", "/feed.xml", "/"):
            text = page(address, path)
            assert "hidden" not in text
            assert "secret" not in text
    # A publication is seen, and taken back at once.
    author.put(there, "hidden", "Now told.")
    assert "Now told." in page(there, "/hidden")
    author.put(there, "hidden", draft)
    assert {page(there, "/hidden") for _ in range(READS)} == {"404"}


def test_tokens_are_made_and_revoked_beside_living_instances(scene, stage, author):
    there, here = free_address(), free_address()
    scene.start(public=there)
    scene.start(public=here)
    late = Author(manage(stage, "token", "create", "late"))
    assert late.put(there, "a", "text").status == 201
    manage(stage, "token", "revoke", "late")
    for address in (here, there):
        assert late.put(address, "a", "other").status == 401
        assert late.ask(address, "GET", "a").status == 401
    assert author.ask(here, "GET", "a").said["source"] == "text"


def test_a_write_without_a_writer_is_told_when_to_come_again(scene, author):
    public = free_address()
    slot = WriterSlot(scene.data_dir, "a test")
    assert slot.try_acquire()
    scene.start(
        public=public, WRITER_ACQUIRE_TIMEOUT="200ms", WRITE_HOLD_TIMEOUT="500ms"
    )
    answer = author.put(public, "a", "text")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.said == {
        "error": "Nothing was written: there is no writer now. Try again in a moment."
    }
    # Where nothing can be written, nobody waits for a writer to be told so.
    connection = http.client.HTTPConnection(public.host, public.port, timeout=30)
    connection.request("POST", "/wp-login.php", b"x")
    assert connection.getresponse().status == 404
    connection.close()
    slot.release()
    wait_until(
        lambda: author.put(public, "a", "text").status == 201, 10, "the slot taken"
    )
    assert "text" in page(public, "/a")


def test_a_body_over_the_limit_is_refused_before_it_is_read(scene, author):
    public = free_address()
    scene.start(public=public)
    connection = http.client.HTTPConnection(public.host, public.port, timeout=30)
    connection.putrequest("PUT", "/api/notes/a")
    connection.putheader("Authorization", f"Bearer {author.token}")
    connection.putheader("Content-Length", str(6 * 1024**2))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("Connection") == "close"
    assert json.loads(response.read()) == {
        "error": "Nothing was written: the body is larger than 5242880 bytes."
    }
    connection.close()
    assert author.put(public, "a", "x" * 5 * 1024**2).status == 201
