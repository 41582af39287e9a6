"""`signstash watch`: what it signs and when, what it reports, and how it handles outages and restarts."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from signstash import ConfigurationError, Journal, SignStash
from signstash._content.contents import InPath
from signstash._content.files import make_folder
from signstash._content.snapshots import digest_of, snapshot
from signstash._journal.records import RecordFile
from signstash.command_line import watch as command
from signstash.command_line.inbox import Inbox
from signstash.command_line.plan import Plan
from signstash.command_line.progress import RunProgress
from signstash.sandbox import Sandbox
from signstash.testing import MockSignStash
from tests.command_line.conftest import Run
from tests.command_line.test_sign import is_signed
from tests.conftest import INVOICE

Start = Callable[..., subprocess.Popen[str]]
REFUSED = "A_CODE_OF_TOMORROW"
Ticks = AsyncIterator[set[Path]]


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("inbox").mkdir()
    return Path("inbox")


@attrs.define
class Clock:
    """A clock that a test advances, one tick a second."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    async def until(self, condition: Callable[[], object]) -> Ticks:
        while not condition():
            self.now += 1
            yield set()

    async def seconds(self, number: int) -> Ticks:
        for _ in range(number):
            self.now += 1
            yield set()


class AtOnce(ThreadPoolExecutor):
    """Runs blocking calls directly instead of in threads, for which the test's clock would not wait."""

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*given, **named))
        except Exception as error:  # noqa: BLE001 - it is raised by whoever waits
            done.set_exception(error)
        return done


@attrs.define
class Shown:
    """The output of the command."""

    clock: Clock = attrs.field(factory=Clock)
    results: list[Mapping[str, Any]] = attrs.field(factory=list[Mapping[str, Any]])
    times: list[float] = attrs.field(factory=list[float])
    texts: list[str] = attrs.field(factory=list[str])
    notes: list[str] = attrs.field(factory=list[str])

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        self.results.append(fields)
        self.times.append(self.clock.now)
        self.texts.append(text)

    def progress(self, progress: RunProgress) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def with_status(self, status: str) -> list[str]:
        return [item["file"] for item in self.results if item.get("status") == status]


async def watched(script: Callable[[Clock], Ticks], *options: str, shown: Shown | None = None) -> tuple[int, Shown]:
    """Run the command while a script changes the inbox; when the script ends, the command is stopped."""
    asyncio.get_running_loop().set_default_executor(AtOnce())
    shown = shown or Shown()
    arguments = ["inbox", "-o", "signed", "--journal", "j", "--json", *options]
    watch = command.new_watch(command.argument_parser("watch").parse_args(arguments), shown, clock=shown.clock)
    with Journal(watch.given.journal) as journal:
        return await watch.run(journal, script(shown.clock)), shown


def fail(mock: MockSignStash, names: str, sign_error: str = REFUSED, *, times: int | None = None) -> None:
    """Let documents with matching names not be signed."""
    signed: Any = mock.routes.sign.side_effect
    left = itertools.count() if times is None else iter(range(times))

    def change(request: Any) -> Any:
        response = signed(request)
        fields = json.loads(response.content)
        for document in fields["documentList"]:
            if fnmatch(document["name"], names) and next(left, None) is not None:
                document |= {"signStatus": "ERROR_SIGNING", "signError": sign_error, "signedContent": None}
        return httpx.Response(200, json=fields)

    mock.routes.sign.side_effect = change


def drop(*names: str, content: str | None = None) -> None:
    for name in names:
        path = Path("inbox", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content or f"<invoice name='{name}'/>")


def files_in(folder: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def script_until(condition: Callable[[], object]) -> Callable[[Clock], Ticks]:
    return lambda clock: clock.until(condition)


class TestFiles:
    async def test_existing_and_arriving_files_are_signed_and_stay(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        shutil.copy(INVOICE, "inbox/FT_1.pdf")

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: files_in("signed") == {"FT_1.pdf"}):
                yield tick
            drop("2026/11/FT_2.xml")
            async for tick in clock.until(lambda: files_in("signed") == {"FT_1.pdf", "2026/11/FT_2.xml"}):
                yield tick

        status, shown = await watched(script)

        assert status == 0
        assert files_in("inbox") == {"FT_1.pdf", "2026/11/FT_2.xml"}
        assert shown.with_status("signed") == ["inbox/FT_1.pdf", "inbox/2026/11/FT_2.xml"]

    async def test_originals_of_signed_documents_are_moved(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml", "2026/FT_2.xml", "bad.xml")
        Path("done").mkdir()
        Path("done/FT_1.xml").write_text("another one")
        fail(signstash_mock, "bad*", REFUSED)

        status, _ = await watched(script_until(lambda: len(files_in("inbox")) == 1), "--done", "done")

        assert status == 1
        assert files_in("done") == {"FT_1.xml", "FT_1 (2).xml", "2026/FT_2.xml"}
        assert Path("done/FT_1.xml").read_text() == "another one"
        assert files_in("inbox") == {"bad.xml"}

    async def test_an_original_that_changed_while_it_was_signed_is_not_moved(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        signed: Any = signstash_mock.routes.sign.side_effect

        def change(request: Any) -> Any:
            drop("FT_1.xml", content="<a later version/>")
            return signed(request)

        signstash_mock.routes.sign.side_effect = change

        def is_refused() -> bool:
            return Path("signed/FT_1.xml.failed.txt").exists()

        status, _ = await watched(script_until(is_refused), "--done", "done")

        assert status == 1
        assert Path("inbox/FT_1.xml").read_text() == "<a later version/>"
        assert "exists" in Path("signed/FT_1.xml.failed.txt").read_text()

    async def test_files_of_the_command_and_unknown_types_are_not_signed(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("note.txt", "FT_1.xml", ".hidden.xml", "FT_2.xml.part")
        Path("inbox/pipe.xml").symlink_to("nowhere")
        options = ["--journal", "inbox/j", "--status", "inbox/s.json", "--done", "inbox/done", "-o", "inbox/signed"]

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: "FT_1.xml" in files_in("inbox/done")):
                yield tick
            async for tick in clock.seconds(60):
                yield tick

        status, shown = await watched(script, *options)

        assert status == 0
        assert files_in("inbox/signed") == {"FT_1.xml"}
        assert [note for note in shown.notes if "note.txt" in note] == [
            "inbox/note.txt is neither PDF nor XML and is left where it is."
        ]
        assert sum("pipe.xml" in note for note in shown.notes) == 1

        status, shown = await watched(
            script_until(lambda: Path("inbox/signed/note.txt").exists()), "--binary", *options
        )

        assert files_in("inbox/signed") == {"FT_1.xml", "note.txt"}

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["-o", "inbox"], "-o and INBOX are the same folder"),
            (["--done", "signed"], "-o and --done are the same folder"),
            (["-o", "file"], "file cannot be written: it is not a folder"),
            (["--done", "file/below"], "file/below cannot be written: file is not a folder"),
            (["--status", "file/s.json"], "file cannot be written: it is not a folder"),
        ],
    )
    async def test_impossible_folders_are_rejected(
        self, inbox: Path, signstash_mock: MockSignStash, options: list[str], problem: str
    ) -> None:
        Path("file").touch()

        with pytest.raises(ConfigurationError, match=problem):
            await watched(script_until(lambda: True), *options)

    def test_a_missing_folder_is_rejected(self, folder: Path, run: Run) -> None:
        ended = run("watch", "nowhere", "-o", "signed", "--journal", "j")

        assert (ended.status, ended.err) == (2, "signstash: nowhere is not a folder. Name the folder to watch.\n")


class TestCompleteness:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def looked(self, inbox: Path, clock: Clock) -> Callable[..., list[str]]:
        """Searches the inbox, and returns the names of complete files."""
        plan = Plan(output=Path("signed"), binary=True)
        looking = Inbox(folder=inbox, output=Path("signed"), plan=plan, settle=3, rescan=10, clock=clock)

        def look(*changed: str) -> list[str]:
            found = looking.look(inbox / name for name in changed)
            for file in found:
                looking.release(file.path)
            return [file.path.name for file in found]

        assert look() == []
        return look

    def test_a_file_is_signed_after_it_stopped_changing(self, clock: Clock, looked: Callable[..., list[str]]) -> None:
        for content in ("<a", "<a>", "<a>.", "<a></a>"):
            drop("FT.xml", content=content)
            assert looked("FT.xml") == []
            clock.now += 2
        assert looked() == []
        clock.now += 1
        assert looked() == ["FT.xml"]
        assert looked("FT.xml") == []

    @pytest.mark.parametrize("name", [".FT.xml", "FT.xml.tmp", "FT.xml.filepart", "FT.xml~"])
    def test_a_file_renamed_into_place_is_signed_at_once(self, looked: Callable[..., list[str]], name: str) -> None:
        drop(name)
        assert looked(name) == []

        Path("inbox", name).rename("inbox/FT.xml")

        assert looked(name, "FT.xml") == ["FT.xml"]

    def test_a_renamed_file_that_is_still_written_is_not_complete(self, looked: Callable[..., list[str]]) -> None:
        drop(".FT.xml", content="<a")
        looked(".FT.xml")

        Path("inbox/.FT.xml").rename("inbox/FT.xml")
        drop("FT.xml", content="<a></a>")

        assert looked(".FT.xml", "FT.xml") == []

    def test_files_with_the_name_of_an_incomplete_file_are_never_signed(
        self, clock: Clock, looked: Callable[..., list[str]]
    ) -> None:
        drop(".FT.xml", "FT.xml.tmp", ".folder/FT.xml")
        for _ in range(30):
            assert looked(".FT.xml", "FT.xml.tmp", ".folder/FT.xml") == []
            clock.now += 1

    def test_unreported_changes_are_found(self, clock: Clock, looked: Callable[..., list[str]]) -> None:
        drop("2026/FT.xml")
        clock.now += 10
        assert looked() == []
        clock.now += 3
        assert looked() == ["FT.xml"]

    def test_a_folder_moved_in_is_searched_at_once(self, clock: Clock, looked: Callable[..., list[str]]) -> None:
        drop("2026/FT.xml")
        assert looked("2026") == []
        clock.now += 3
        assert looked() == ["FT.xml"]

    def test_folders_are_ignored_and_other_obstacles_named(self, inbox: Path) -> None:
        plan = Plan(output=Path("signed"), binary=True)
        looking = Inbox(folder=inbox, output=Path("signed"), plan=plan)
        Path("inbox/2026").mkdir()
        Path("inbox/link").symlink_to("/")
        Path("inbox/broken.pdf").symlink_to("nowhere.pdf")
        os.mkfifo("inbox/pipe.pdf")

        looking.look(inbox / name for name in ("2026", "link", "broken.pdf", "pipe.pdf"))

        assert sorted(looking.problems()) == [
            "inbox/broken.pdf cannot be read: No such file or directory.",
            "inbox/link is a link to a folder, which is not followed.",
            "inbox/pipe.pdf is not a regular file.",
        ]

    def test_a_later_version_is_signed_again(self, clock: Clock, looked: Callable[..., list[str]]) -> None:
        for modified, content in enumerate(("<a/>", "<b/>", "<longer/>")):
            drop("FT.xml", content=content)
            os.utime("inbox/FT.xml", (modified, modified))  # that of the system may be the same
            looked("FT.xml")
            clock.now += 3
            assert looked() == ["FT.xml"]


class TestFailures:
    async def test_the_reason_is_in_a_file_until_the_document_is_signed(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        fail(signstash_mock, "FT_1*", REFUSED, times=1)
        reason = Path("signed/FT_1.xml.failed.txt")
        texts = []

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(reason.exists):
                yield tick
            texts.append(reason.read_text())
            os.utime("inbox/FT_1.xml", (2_000_000_000, 2_000_000_000))  # an operator tries it again
            async for tick in clock.until(lambda: not reason.exists()):
                yield tick

        status, shown = await watched(script)

        assert status == 0
        assert texts[0].startswith("Not signed: FT_1.xml\n\n")
        assert REFUSED in texts[0]
        assert files_in("signed") == {"FT_1.xml"}
        assert [item["status"] for item in shown.results if "status" in item] == ["failed", "signed"]

    async def test_a_temporary_failure_is_retried(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml", "FT_2.xml")
        fail(signstash_mock, "FT_1*", "SIGN_OPERATION_INTERNAL_ERROR", times=2)

        status, shown = await watched(script_until(lambda: files_in("signed") == {"FT_1.xml", "FT_2.xml"}))

        assert status == 0
        assert len(shown.with_status("failed")) == 2
        first, second, third = [time for item, time in zip(shown.results, shown.times, strict=True)
                                if str(item.get("file")).endswith("FT_1.xml")]  # fmt: skip
        assert second - first >= 60
        assert third - second >= 120

    async def test_a_foreign_file_is_neither_replaced_nor_removed(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        Path("signed").mkdir()
        Path("signed/FT_1.xml.failed.txt").write_text("mine")
        Path("signed/FT_2.xml.failed.txt").write_text("mine")
        drop("FT_1.xml", "FT_2.xml")
        fail(signstash_mock, "FT_1*", REFUSED, times=1)

        status, shown = await watched(script_until(lambda: "FT_2.xml" in files_in("signed")))

        assert status == 1
        assert Path("signed/FT_1.xml.failed.txt").read_text() == "mine"
        assert Path("signed/FT_2.xml.failed.txt").read_text() == "mine"
        assert any("was not written by signstash" in note for note in shown.notes)

    async def test_one_cause_is_one_line_in_the_summary(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop(*(f"{number}.xml" for number in range(30)))
        fail(signstash_mock, "*", REFUSED)

        status, shown = await watched(script_until(lambda: len(files_in("signed")) == 30))

        assert status == 1
        summaries = [text for text in shown.texts if text]
        assert all(summary.count("\n") == 1 for summary in summaries)
        assert any(re.match(r"failed       \d+ documents \(inbox/", summary) for summary in summaries)

    async def test_a_removed_file_is_forgotten(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml", "FT_2.xml")
        fail(signstash_mock, "FT_1*", REFUSED, times=1)

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: len(files_in("signed")) == 2):
                yield tick
            Path("inbox/FT_1.xml").unlink()
            async for tick in clock.seconds(20):
                yield tick

        status, _ = await watched(script, "--status", "s.json")

        assert (status, json.loads(Path("s.json").read_text())["failed"]) == (0, 0)

    async def test_a_possibly_signed_document_is_in_doubt_and_not_sent_again(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        signstash_mock.connection_lost_after_send(times=1)
        reason = Path("signed/FT_1.xml.failed.txt")

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(reason.exists):
                yield tick
            async for tick in clock.seconds(300):
                yield tick

        status, shown = await watched(script, "--status", "s.json")
        again, _ = await watched(script)

        assert (status, again) == (1, 1)
        assert len(signstash_mock.sign_requests) == 1
        assert json.loads(Path("s.json").read_text())["in_doubt"] == 1
        assert shown.with_status("in_doubt") == ["inbox/FT_1.xml"]


class TestOutages:
    async def test_an_outage_and_its_end_are_each_reported_once(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop(*(f"{number}.xml" for number in range(120)))
        signstash_mock.connection_refused(times=30)

        status, shown = await watched(script_until(lambda: len(files_in("signed")) == 120))

        assert status == 0
        failing, back = shown.notes[1:]
        assert failing.endswith("Trying again until it succeeds.")
        assert back == "Signing continues."

    async def test_no_document_fails_while_a_gateway_responds_instead_of_the_service(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop(*(f"{number}.xml" for number in range(120)))
        signstash_mock.gateway_html(403, times=40)

        status, shown = await watched(script_until(lambda: len(files_in("signed")) == 120))

        assert status == 0
        assert shown.with_status("failed") == []
        assert shown.notes[-1] == "Signing continues."

    async def test_a_document_that_is_not_sent_does_not_end_an_outage(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        signstash_mock.connection_refused(times=None)
        shown = Shown()
        notes: list[str] = []

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: len(shown.notes) == 2):
                yield tick
            for number in range(20):
                drop(f"{number}.pdf", content="not a PDF")
            async for tick in clock.until(lambda: len(shown.with_status("failed")) == 20):
                yield tick
            notes.extend(shown.notes)
            signstash_mock.clear_scenarios()
            async for tick in clock.until(lambda: "FT_1.xml" in files_in("signed")):
                yield tick

        await watched(script, shown=shown)

        assert len(notes) == 2
        assert shown.notes[2:] == ["Signing continues."]

    async def test_a_file_removed_during_an_outage_is_not_a_failure(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml", "FT_2.xml")
        signstash_mock.connection_refused(times=None)
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: len(shown.notes) == 2):
                yield tick
            Path("inbox/FT_1.xml").unlink()
            signstash_mock.clear_scenarios()
            async for tick in clock.until(lambda: "FT_2.xml" in files_in("signed")):
                yield tick
            async for tick in clock.seconds(60):
                yield tick

        status, shown = await watched(script, shown=shown)

        assert (status, files_in("signed")) == (0, {"FT_2.xml"})
        assert shown.with_status("failed") == []

    async def test_pauses_of_an_outage_grow_and_one_document_is_tried(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        shown = Shown()
        times: list[tuple[float, int]] = []
        signed: Any = signstash_mock.routes.sign.side_effect

        def record(request: Any) -> Any:
            times.append((shown.clock.now, len(json.loads(request.content)["documents"])))
            return signed(request)

        signstash_mock.routes.sign.side_effect = record
        drop(*(f"{number}.xml" for number in range(20)))
        signstash_mock.rate_limited(times=20)

        await watched(script_until(lambda: len(files_in("signed")) == 20), shown=shown)

        assert times[-1][0] - times[0][0] >= 300  # 5, 10, 20 and 40 seconds, and then a minute each
        assert {documents for _, documents in times[3:20]} == {1}

    @pytest.mark.parametrize("scenario", ["credentials_rejected", "client_service_inactive"])
    async def test_an_error_that_concerns_all_is_retried_once_a_minute(
        self, inbox: Path, signstash_mock: MockSignStash, scenario: str
    ) -> None:
        drop("FT_1.xml", "FT_2.xml")
        getattr(signstash_mock, scenario)()

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.seconds(600):
                yield tick
            signstash_mock.clear_scenarios()
            async for tick in clock.until(lambda: len(files_in("signed")) == 2):
                yield tick

        status, shown = await watched(script)

        assert status == 0
        calls = signstash_mock.routes.token.call_count
        assert 2 <= calls <= 12
        assert len(shown.notes) == 3
        assert shown.with_status("failed") == []

    async def test_retry_after_is_obeyed_for_ten_minutes_at_most(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        signstash_mock.rate_limited(retry_after=31_536_000)

        status, shown = await watched(lambda clock: clock.seconds(700))

        assert (status, files_in("signed")) == (0, {"FT_1.xml"})
        assert shown.times[-1] - 1000 >= 600

    async def test_settings_are_reloaded(
        self, inbox: Path, signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("secret").write_text("old")
        monkeypatch.delenv("SIGNSTASH_CLIENT_SECRET")
        issued: Any = signstash_mock.routes.token.side_effect
        secrets: list[str] = []

        def refuse(request: Any) -> Any:
            secrets.append(request.headers["Authorization"])
            return issued(request)

        signstash_mock.routes.token.side_effect = refuse
        signstash_mock.credentials_rejected(times=1)
        drop("FT_1.xml")

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: secrets):
                yield tick
            Path("secret").write_text("new")
            async for tick in clock.until(lambda: files_in("signed")):
                yield tick

        status, _ = await watched(script, "--secret-file", "secret")

        assert status == 0
        assert len(set(secrets)) == 2

    async def test_all_clients_are_closed_when_it_is_cancelled_while_settings_are_reloaded(
        self, inbox: Path, signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watching, close = asyncio.current_task(), SignStash.aclose
        closed: list[SignStash] = []

        async def cancelled_close(client: SignStash) -> None:
            if watching is not None and not watching.cancelling():
                watching.cancel()
            await asyncio.sleep(0)
            await close(client)
            closed.append(client)

        monkeypatch.setattr(SignStash, "aclose", cancelled_close)
        signstash_mock.client_service_inactive()
        drop("FT_1.xml")
        clock = Clock()
        arguments = ["inbox", "-o", "signed", "--journal", "j"]
        watch = command.new_watch(command.argument_parser("watch").parse_args(arguments), Shown(clock), clock=clock)
        clients = [watch.client]
        make = watch.new_client
        assert make is not None

        def new_client() -> SignStash:
            clients.append(make())
            return clients[-1]

        watch.new_client = new_client
        with Journal("j") as journal, pytest.raises(asyncio.CancelledError):
            await watch.run(journal, clock.seconds(1000))

        assert len(clients) == 2
        assert set(closed) == set(clients)

    async def test_stopping_ends_an_outage(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml")
        signstash_mock.client_service_inactive()

        status, _ = await watched(lambda clock: clock.seconds(100), "--status", "s.json")

        written = json.loads(Path("s.json").read_text())
        assert status == 3
        assert (written["state"], written["waiting"]) == ("stopped", 1)
        assert written["fault"]


@attrs.define
class Disk:
    """A disk on which files cannot be written, or a part of them cannot.

    Attributes:
        is_full: Whether it is full.
    """

    is_full: bool = False

    def require_room(self, *_: object) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def full_until_reported(self, shown: Shown) -> Ticks:
        self.is_full = True
        async for tick in shown.clock.until(lambda: len(shown.notes) == 2):
            yield tick


class TestFullDisk:
    @pytest.fixture
    def disk(self, monkeypatch: pytest.MonkeyPatch) -> Disk:
        disk = Disk()
        sync = os.fsync

        def sync_if_there_is_room(descriptor: int) -> None:
            disk.require_room()
            sync(descriptor)

        monkeypatch.setattr("os.fsync", sync_if_there_is_room)
        return disk

    @pytest.mark.parametrize("keeps", [True, False])
    async def test_what_is_signed_is_saved_when_there_is_room_again(
        self, inbox: Path, signstash_mock: MockSignStash, disk: Disk, monkeypatch: pytest.MonkeyPatch, keeps: bool
    ) -> None:
        if keeps:  # the folder for recovery is on another disk
            monkeypatch.setattr("signstash._signing.saving.write_atomically", self.write_on_another_disk)
        drop(*(f"{number}.xml" for number in range(70)))
        states: list[Mapping[str, Any]] = []
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in disk.full_until_reported(shown):
                yield tick
            async for tick in clock.seconds(600):
                yield tick
            states.append(json.loads(Path("s.json").read_text()))
            assert bool(files_in("j.recovered") if Path("j.recovered").exists() else ()) == keeps
            disk.is_full = False
            async for tick in clock.until(lambda: len(files_in("done")) == 70):
                yield tick

        status, _ = await watched(script, "--done", "done", "--status", "s.json", shown=shown)

        assert status == 0
        sent = [document.name for request in signstash_mock.sign_requests for document in request.documents]
        assert len(sent) == len(set(sent)) == 70
        assert files_in("signed") == files_in("done") == set(sent)
        assert {item.get("status", "signed") for item in shown.results} == {"signed"}
        full, on = shown.notes[1:]
        assert re.fullmatch(r"\S+ cannot be written: No space left on device\. .* Trying again until .*", full)
        assert on == "Signing continues."
        assert (states[0]["state"], states[0]["waiting"], states[0]["failed"]) == ("failing", 70, 0)
        assert not list(Path("signed").glob(".*"))  # nothing takes room of a full disk in vain
        assert not Path("j.recovered").exists() or not files_in("j.recovered")
        with Journal("j") as journal:
            assert len(journal.entries("signed")) == 70
        again, _ = await watched(lambda clock: clock.seconds(5), "--done", "done")
        assert again == 0

    async def test_a_fault_that_ended_while_it_was_stopped_is_not_reported(
        self, inbox: Path, signstash_mock: MockSignStash, disk: Disk
    ) -> None:
        drop("1.xml")
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in disk.full_until_reported(shown):
                yield tick
            disk.is_full = False

        status, _ = await watched(script, "--status", "s.json", shown=shown)

        assert status == 0
        assert files_in("signed") == {"1.xml"}
        assert json.loads(Path("s.json").read_text())["fault"] is None

    @staticmethod
    def write_on_another_disk(contents: Any, target: Path, *, overwrite: bool) -> Any:
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"".join(snapshot(contents).blocks(1000)))
        return InPath(target)

    async def test_a_document_that_could_not_be_sent_is_no_failure(
        self, inbox: Path, signstash_mock: MockSignStash, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def require_room(folder: Path) -> None:
            disk.require_room()
            make_folder(folder)

        monkeypatch.setattr("signstash._signing.saving.make_folder", require_room)
        drop("2026/FT_1.xml", "FT_2.xml")

        async def script(clock: Clock) -> Ticks:
            disk.is_full = True
            async for tick in clock.seconds(200):
                yield tick
            assert not signstash_mock.sign_requests
            disk.is_full = False
            async for tick in clock.until(lambda: files_in("signed") == {"2026/FT_1.xml", "FT_2.xml"}):
                yield tick

        status, shown = await watched(script)

        assert (status, len(shown.notes)) == (0, 3)
        assert {item.get("status", "signed") for item in shown.results} == {"signed"}

    @pytest.mark.parametrize("signed_before", [False, True])
    async def test_a_file_that_changed_after_it_was_named_is_saved_when_there_is_room_again(
        self,
        inbox: Path,
        signstash_mock: MockSignStash,
        disk: Disk,
        monkeypatch: pytest.MonkeyPatch,
        signed_before: bool,
    ) -> None:
        drop("FT_1.xml")
        if signed_before:
            await watched(lambda clock: clock.until(lambda: files_in("signed")))
        shown = Shown()

        def digest_before_the_change(contents: Any) -> str:
            digest = digest_of(contents)
            Path("inbox/FT_1.xml").write_text("<changed/>")
            return digest

        async def script(clock: Clock) -> Ticks:
            monkeypatch.setattr("signstash.command_line.document_names.digest_of", digest_before_the_change)
            disk.is_full = True
            async for tick in clock.until(lambda: len(shown.notes) == 2):
                yield tick
            disk.is_full = False
            async for tick in clock.until(lambda: shown.with_status("signed")):
                yield tick

        await watched(script, "--force", shown=shown)

        signed = Path("signed/FT_1.xml").read_bytes()
        assert signed.startswith(b"<changed/>")
        with Journal("j") as journal:
            entries = journal.entries()
        assert [entry.state for entry in entries] == ["signed"] * (1 + signed_before)
        assert entries[-1].signed_digest == hashlib.sha256(signed).hexdigest()
        assert len({entry.signed_digest for entry in entries}) == len(entries)

    async def test_another_file_in_its_place_costs_the_others_nothing(
        self, inbox: Path, signstash_mock: MockSignStash, disk: Disk
    ) -> None:
        drop("FT_1.xml", "FT_2.xml")
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in disk.full_until_reported(shown):
                yield tick
            Path("signed/FT_1.xml").write_text("mine")
            disk.is_full = False
            async for tick in clock.until(lambda: shown.with_status("signed")):
                yield tick

        status, _ = await watched(script, shown=shown)

        assert status == 1
        assert Path("signed/FT_1.xml").read_text() == "mine"
        assert shown.with_status("signed") == ["inbox/FT_2.xml"]
        assert shown.with_status("failed") == ["inbox/FT_1.xml"]
        assert "exists already" in Path("signed/FT_1.xml.failed.txt").read_text()

    @pytest.mark.parametrize("method", ["_write", "read"])
    async def test_a_journal_that_cannot_be_used(
        self, inbox: Path, signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        disk, works = Disk(), getattr(RecordFile, method)
        shown = Shown()

        def fails(file: RecordFile, *given: object) -> Any:
            disk.require_room()
            return works(file, *given)

        monkeypatch.setattr(RecordFile, method, fails)
        drop(*(f"{number}.xml" for number in range(70)))

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: files_in("signed")):
                yield tick
            disk.is_full = True
            drop(*(f"{number}.xml" for number in range(70, 80)))
            async for tick in clock.until(lambda: method == "read" or len(shown.notes) > 1):
                yield tick
            async for tick in clock.seconds(300):
                yield tick
            disk.is_full = False
            async for tick in clock.until(lambda: len(files_in("signed")) == 80):
                yield tick

        status, _ = await watched(script, "--done", "done", shown=shown)

        sent = [document.name for request in signstash_mock.sign_requests for document in request.documents]
        assert status == 0
        assert len(sent) == len(set(sent)) == 80
        assert {item.get("status", "signed") for item in shown.results} == {"signed"}
        assert sum("The journal j cannot be used: No space left" in note for note in shown.notes) <= 1

    async def test_originals_are_moved_when_there_is_room_again(
        self, inbox: Path, signstash_mock: MockSignStash, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk, move = Disk(is_full=True), shutil.move

        def move_if_there_is_room(original: Path, place: Path) -> Any:
            disk.require_room()
            return move(original, place)

        monkeypatch.setattr("shutil.move", move_if_there_is_room)
        drop("FT_1.xml", "FT_2.xml")
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: len(shown.with_status("signed")) == 2 and len(shown.notes) == 2):
                yield tick
            async for tick in clock.seconds(60):
                yield tick
            assert files_in("inbox") == {"FT_1.xml", "FT_2.xml"}
            disk.is_full = False
            async for tick in clock.until(lambda: files_in("done") == {"FT_1.xml", "FT_2.xml"}):
                yield tick

        status, _ = await watched(script, "--done", "done", shown=shown)

        assert (status, files_in("inbox"), len(shown.with_status("signed"))) == (0, set(), 2)
        assert shown.notes[1:] == ["Originals cannot be moved to done: No space left on device."]


class TestRestart:
    async def test_documents_in_the_journal_are_not_sent_again(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml", "FT_2.xml")
        await watched(script_until(lambda: len(files_in("signed")) == 2))
        drop("FT_3.xml")

        status, shown = await watched(script_until(lambda: len(files_in("signed")) == 3))

        assert status == 0
        assert sum(len(request.documents) for request in signstash_mock.sign_requests) == 3
        assert shown.with_status("signed") == ["inbox/FT_3.xml"]
        assert len(shown.with_status("signed_before")) == 2

    async def test_signed_originals_left_behind_are_moved(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml")
        await watched(script_until(lambda: files_in("signed")))

        status, _ = await watched(script_until(lambda: Path("done/FT_1.xml").exists()), "--done", "done")

        assert status == 0
        assert len(signstash_mock.sign_requests) == 1

    async def test_a_file_dropped_twice_is_not_signed_twice(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("FT_1.xml")

        async def script(clock: Clock) -> Ticks:
            for number in (1, 2, 3):
                drop("FT_1.xml")
                async for tick in clock.until(lambda number=number: len(files_in("done")) == number):  # type: ignore[misc]
                    yield tick

        Path("done").mkdir()
        status, _ = await watched(script, "--done", "done")

        assert (status, len(signstash_mock.sign_requests)) == (0, 1)

    @pytest.mark.parametrize("done", [(), ("--done", "done")])
    async def test_identical_files_are_each_signed_once(
        self, inbox: Path, signstash_mock: MockSignStash, done: tuple[str, ...]
    ) -> None:
        async def script(clock: Clock) -> Ticks:
            places = ["a/FT.xml", "b/FT.xml", "FT.xml"]
            for number in (1, 2, 3):
                drop(places[number - 1], content="<alike/>")
                async for tick in clock.until(lambda number=number: len(files_in("signed")) == number):  # type: ignore[misc]
                    yield tick

        Path("signed").mkdir()
        status, shown = await watched(script, *done)
        later, known = Shown(), 0 if done else 3
        script_of_restart = script_until(
            lambda: len(later.with_status("signed_before")) == known and later.clock.now > 1020
        )
        await watched(script_of_restart, *done, shown=later)

        assert (status, len(shown.with_status("signed"))) == (0, 3)
        assert files_in("signed") == {"a/FT.xml", "b/FT.xml", "FT.xml"}
        assert sum(len(request.documents) for request in signstash_mock.sign_requests) == 3
        assert later.with_status("signed") == later.with_status("failed") == []

    async def test_identical_files_that_arrive_together_are_all_signed(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        for place in ("a", "b", "c"):
            drop(f"{place}/FT.xml", content="<alike/>")

        status, _ = await watched(script_until(lambda: len(files_in("signed")) == 3))

        assert (status, files_in("signed")) == (0, {"a/FT.xml", "b/FT.xml", "c/FT.xml"})

    async def test_a_moved_file_is_not_signed_again(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop("a/FT.xml")
        shown = Shown()

        async def script(clock: Clock) -> Ticks:
            async for tick in clock.until(lambda: files_in("signed")):
                yield tick
            Path("inbox/b").mkdir()
            Path("inbox/a/FT.xml").rename("inbox/b/FT.xml")
            async for tick in clock.until(lambda: shown.with_status("signed_before")):
                yield tick

        Path("signed").mkdir()
        status, _ = await watched(script, shown=shown)

        assert (status, len(signstash_mock.sign_requests)) == (0, 1)
        assert shown.with_status("signed_before") == ["inbox/b/FT.xml"]

    async def test_decisions_about_documents_in_doubt_are_carried_out(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        drop("FT_1.xml")
        signstash_mock.connection_lost_after_send(times=1, processed=False)
        await watched(script_until(lambda: Path("signed/FT_1.xml.failed.txt").exists()))
        with Journal("j") as journal:
            journal.requeue(*(entry.reference for entry in journal.entries("held")))

        status, _ = await watched(script_until(lambda: files_in("signed") == {"FT_1.xml"}))

        assert status == 0


class TestReports:
    async def test_a_summary_is_written_each_minute_with_changes(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:

        async def script(clock: Clock) -> Ticks:
            for number in range(180):
                drop(f"{number}.xml")
                async for tick in clock.seconds(1):
                    yield tick
            async for tick in clock.until(lambda: len(files_in("signed")) == 180):
                yield tick
            async for tick in clock.seconds(600):
                yield tick

        _, shown = await watched(script)

        summaries = [
            (item["summary"], time) for item, time in zip(shown.results, shown.times, strict=True) if "summary" in item
        ]
        assert sum(summary["signed"] for summary, _ in summaries) == 180
        assert all(later - before >= 60 for (_, before), (_, later) in itertools.pairwise(summaries[:-1]))

    async def test_the_status_file_is_always_complete(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        read: list[Mapping[str, Any]] = []

        async def script(clock: Clock) -> Ticks:
            for number in range(20):
                drop(f"{number}.xml")
                async for tick in clock.seconds(5):
                    if Path("s.json").exists():
                        read.append(json.loads(Path("s.json").read_text()))
                    yield tick
            async for tick in clock.until(lambda: len(files_in("signed")) == 20):
                yield tick

        await watched(script, "--status", "s.json")

        last = json.loads(Path("s.json").read_text())
        assert read[0]["state"] == "watching"
        assert (last["state"], last["signed"], last["waiting"], last["failed"]) == ("stopped", 20, 0, 0)
        assert last["last_success"] <= last["updated"]
        assert files_in(".") >= {"s.json"}
        assert not list(Path().glob(".*.part"))

    async def test_an_unexpected_error_is_the_last_status(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        async def script(clock: Clock) -> Ticks:
            yield set()
            raise ZeroDivisionError("a fault of the command")

        with pytest.raises(ZeroDivisionError):
            await watched(script, "--status", "status.json")

        status = json.loads(Path("status.json").read_text())
        assert (status["state"], status["fault"]) == ("stopped", "a fault of the command")

    async def test_an_unwritable_status_file_loses_no_document(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        Path("s.json").mkdir()
        drop("FT_1.xml")

        status, shown = await watched(script_until(lambda: files_in("signed")), "--status", "s.json")

        assert status == 0
        assert sum("s.json cannot be written" in note for note in shown.notes) == 1


DOCUMENTS = int(os.environ.get("SIGNSTASH_WATCH_DOCUMENTS", "300"))


class TestManyFiles:
    async def test_many_files_dropped_at_once_are_signed(self, inbox: Path, signstash_mock: MockSignStash) -> None:
        drop(*(f"{number}.xml" for number in range(DOCUMENTS)))

        status, shown = await watched(script_until(lambda: len(shown_files()) == DOCUMENTS), "--done", "done")

        assert status == 0
        assert len(set(shown.with_status("signed"))) == len(shown.with_status("signed")) == DOCUMENTS
        sent = [document.name for request in signstash_mock.sign_requests for document in request.documents]
        assert len(sent) == len(set(sent)) == DOCUMENTS

    async def test_a_file_each_second_for_five_minutes_is_signed(
        self, inbox: Path, signstash_mock: MockSignStash
    ) -> None:
        async def script(clock: Clock) -> Ticks:
            for number in range(300):
                drop(f".{number}.xml")
                Path(f"inbox/.{number}.xml").rename(f"inbox/{number}.xml")
                async for tick in clock.seconds(1):
                    yield {Path(f"inbox/{number}.xml"), *tick}
            async for tick in clock.until(lambda: len(shown_files()) == 300):
                yield tick

        status, shown = await watched(script, "--done", "done")

        assert status == 0
        assert len(set(shown.with_status("signed"))) == len(shown.with_status("signed")) == 300


def shown_files() -> set[str]:
    return files_in("done")


class TestProcess:
    @pytest.fixture
    def watching(self, folder: Path, process: Start) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        """Starts the command; it is ended after the test."""
        started = []

        def start(*options: str) -> subprocess.Popen[str]:
            arguments = ["watch", "invoices", "-o", "signed", "--journal", "j", "--json", "--settle", "0", *options]
            started.append(process(*arguments))
            return started[-1]

        yield start
        for item in started:
            item.kill()
            item.communicate()

    @staticmethod
    def wait_for(watch: subprocess.Popen[str], *files: str) -> None:
        assert watch.stdout is not None
        left = set(files)
        while left:
            line = watch.stdout.readline()
            assert line
            left.discard(json.loads(line).get("file"))

    @pytest.mark.parametrize("extra", [True, False])
    def test_the_command_signs_until_it_is_stopped(
        self,
        watching: Callable[..., subprocess.Popen[str]],
        sandbox: Sandbox,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        extra: bool,
    ) -> None:
        if not extra:
            Path("watchfiles.py").write_text("raise ImportError('not installed')")
            monkeypatch.setenv("PYTHONPATH", str(folder))
        watch = watching("--rescan", "0.2")
        self.wait_for(watch, "invoices/FT_1.pdf", "invoices/FT_2.pdf")
        shutil.copy(INVOICE, "invoices/.FT_3.pdf")
        Path("invoices/.FT_3.pdf").rename("invoices/FT_3.pdf")  # it is complete as soon as it is there
        self.wait_for(watch, "invoices/FT_3.pdf")

        watch.send_signal(signal.SIGTERM)
        _, err = watch.communicate()

        assert (watch.returncode, "Traceback" in err) == (0, False)
        assert is_signed("signed/FT_3.pdf")

    def test_a_name_that_is_not_unicode_costs_the_others_nothing(
        self, watching: Callable[..., subprocess.Popen[str]], folder: Path
    ) -> None:
        watch = watching("--rescan", "0.2")
        self.wait_for(watch, "invoices/FT_1.pdf", "invoices/FT_2.pdf")
        for name in (b"invoices/n\xba.pdf", b"invoices/FT_3.pdf"):
            shutil.copy(INVOICE, "invoices/.new.pdf")
            Path("invoices/.new.pdf").rename(os.fsdecode(name))
        self.wait_for(watch, "invoices/n\udcba.pdf", "invoices/FT_3.pdf")

        watch.send_signal(signal.SIGTERM)
        _, err = watch.communicate()

        assert (watch.returncode, "Traceback" in err) == (1, False)
        assert is_signed("signed/FT_3.pdf")
        assert Path("signed/n\udcba.pdf.failed.txt").exists() or Path("invoices/n\udcba.pdf.failed.txt").exists()

    def test_a_second_signal_ends_the_command_at_once(
        self, watching: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("invoices/FT_2.pdf").unlink()  # which may be a request of its own, sent or not
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("SIGNSTASH_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/signstash")
            watch = watching()
            connection, _ = silent.accept()
            connection.recv(1)
            watch.send_signal(signal.SIGTERM)
            assert watch.stderr is not None
            while "Finishing what is in flight" not in (line := watch.stderr.readline()):
                assert line
            watch.send_signal(signal.SIGTERM)
            watch.communicate()
            connection.close()

        assert watch.returncode == 130
        with Journal("j") as journal:
            assert {entry.state for entry in journal.entries()} == {"sent"}
