"""Start runs, send them signals, and see what became of them: from any process that reaches the store."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from perdure.clock import SECOND, Clock, Duration, HostClock, to_microseconds
from perdure.codec.plain import plain
from perdure.errors import BadInput, RunCancelled, RunConflict, RunFailed, RunNotFound, StoreUnavailable, UnknownWorkflow
from perdure.ids import ID_BYTES, Entropy, OsEntropy, id_of, new_id
from perdure.lifecycle import Lifecycle
from perdure.model.records import ENDS, Record, RecordKind
from perdure.model.runs import AttemptRow, NewRun, NewSignal, RunRow
from perdure.names import checked_name, checked_text
from perdure.run import Page, Run, RunRecord, RunStatus, RunSummary, place_of, shown, state_of
from perdure.settings import DEFAULTS, Settings
from perdure.status import moment, shown_at, status_of, value
from perdure.store.callers.choosing import caller_of
from perdure.store.callers.kinds import Caller
from perdure.store.inside import Inside
from perdure.store.opening import is_postgresql, open_store
from perdure.store.protocol import Started, Store, UnknownOutcome
from perdure.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perdure.authoring.workflow import Workflow
    from perdure.blocking import BlockingClient

T = TypeVar("T")
_TRIES_MOST = 5
_LIST_MOST = 1000
_LOOK_PAGE = 500
SEED_BYTES = 16


class Client:
    """Starts runs and asks about them, from any process that reaches the store: `async with Client("sqlite:///orders.db") as client:`.

    What it writes is on disk when the call returns. A call that raises StoreUnavailable has done nothing. `namespace` keeps runs apart that
    share a store: ids, lists and workers of one know nothing of another's. Entering it raises StoreNotFound where there is no store, and
    another StoreError where it cannot be used; a worker, or `perdure db migrate`, makes one.
    """

    def __init__(self, url: str, *, namespace: str = "default", settings: Settings = DEFAULTS) -> None:
        if not isinstance(settings, Settings):
            raise TypeError(f"settings must be Settings, not {settings!r}: replace(DEFAULTS, …)")
        self._url = checked_text(url, "url")
        self._namespace = checked_name(namespace, "namespace", settings.limits.id_characters)
        self._settings = settings
        self._clock: Clock = HostClock()
        self._entropy: Entropy = OsEntropy()
        self._workflows: dict[str, Workflow[..., Any]] = {}
        self._watched: dict[str, list[Watcher]] = {}
        self._stop_watching: Callable[[], None] | None = None
        self._keeps_watching = False
        self._poll: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[None] | None = None
        self._looks_again = False
        self._opened: Store | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self.lifecycle = Lifecycle(self)

    @classmethod
    def blocking(cls, url: str, *, namespace: str = "default") -> "BlockingClient":
        """The same without await: `with Client.blocking(url) as client:`.

        Without a block it opens with its first call, once in each process that is forked, and is closed when the process ends.
        """
        from perdure.blocking import BlockingClient  # a wrapper around this class

        return BlockingClient(url, namespace=namespace)

    async def open(self) -> Self:
        """The same as `async with`, where there is no block to put it in (a notebook): `close` is yours then."""
        return await self.__aenter__()

    async def close(self) -> None:
        """Leave the block. A repeat does nothing."""
        await self.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        self._settle()
        try:
            store = open_store(self._url, namespace=self._namespace, clock=self._clock, settings=self._settings)
            self._opened = await self._open(store, create=False, migrate=False)
        except BaseException:
            self._home = None
            raise
        return self

    def _settle(self) -> None:
        """On this event loop, until it is closed."""
        if self._home is not None and not self._home.is_closed():
            raise RuntimeError(f"this {type(self).__name__} is open already: close it first, or make another one")
        self._home = asyncio.get_running_loop()

    async def __aexit__(self, *_: object) -> None:
        self._home = None
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        for run_id, watchers in self._watched.items():
            for watcher in watchers:
                watcher.give_up(f"this {type(self).__name__} was closed while it waited for run {run_id!r}, which goes on; ask another one")
        if self._looking is not None:
            self._looking.cancel()
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        store, self._opened = self._opened, None
        if store is not None:
            await store.close()

    async def _open(self, store: Store, *, create: bool, migrate: bool) -> Store:
        try:
            await store.open(create=create, migrate=migrate)
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise RuntimeError(f"this {type(self).__name__} is not open: use `async with {type(self).__name__}(…)`, or await its open()")
        return self._opened

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    async def start(
        self, workflow: "Workflow[..., T]", /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any
    ) -> Run[T]: ...
    @overload
    async def start(self, workflow: str, /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any) -> Run: ...
    async def start(
        self, workflow: "Workflow[..., Any] | str", /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any
    ) -> Run:
        """Start a run, once per id: the same id with the same input is the same run, with other input it raises RunConflict.

        When it returns, the run is on disk; whether a worker is alive makes no difference. After an error or a crash, repeat it with the
        same id. Without an id each call is a new run. By function, arguments that do not fit raise BadInput naming the parameter; by name
        they are checked by the worker that runs it. EncodeError: no JSON by its type hint; PayloadTooLarge: above 1 MiB.

        With `transaction`, a connection in a transaction of yours, the start is part of it: rolled back it never happened, committed by you
        it is durable and noticed. Raises BadInput for a connection that has none open or leads elsewhere, and what its driver raises.
        """
        known = self._known(workflow)
        limit = self._settings.limits.payload_bytes
        if known is None:
            from perdure.codec.parameters import encode_unbound  # where something is written: commands that only read load no pydantic

            name = str(workflow)
            return await self._start(name, encode_unbound(args, kwargs, what=f"workflow {name}", limit=limit), id, transaction)
        run = await self._start(known.name, known.parameters.encode(args, kwargs, limit=limit), id, transaction)
        run._workflow = known
        return run

    async def start_input(self, workflow: str, given: Mapping[str, Any], *, id: str | None = None) -> Run:
        """Start by name with a JSON object by parameter name, as a web request or the command line has it. Raises what `start` raises."""
        known = self._known(workflow)
        limit = self._settings.limits.payload_bytes
        if known is None:
            from perdure.codec.parameters import encode_unbound

            return await self._start(workflow, encode_unbound((), given, what=f"workflow {workflow}", limit=limit), id)
        return await self._start(known.name, known.parameters.encode_json(given, limit=limit), id)

    def _known(self, workflow: "Workflow[..., Any] | str") -> "Workflow[..., Any] | None":
        if isinstance(workflow, str):
            checked_name(workflow, "workflow name", self._settings.limits.id_characters)
            return self._workflows.get(workflow)
        from perdure.authoring.workflow import Workflow

        if not isinstance(workflow, Workflow):
            raise UnknownWorkflow(f"{workflow!r} is not a workflow: decorate it with @workflow, or give its name")
        return workflow

    async def _start(self, name: str, payload: bytes, id: str | None, transaction: Any = None) -> Run:
        from perdure.codec.values import canonical, digest

        chance = self._entropy.bytes(ID_BYTES + SEED_BYTES)
        run_id = id_of(self._clock.now(), chance[:ID_BYTES]) if id is None else checked_name(id, "id", self._settings.limits.id_characters)
        input_hash = digest(name.encode() + b"\0" + canonical(payload))
        run = NewRun(run_id, name, payload, input_hash, chance[ID_BYTES:])
        if transaction is None:
            started = await self._repeated(lambda: self._store_start(run))
        else:
            started = await (await self.inside(transaction)).start(run)
        if started.row.workflow != name or started.row.input_hash != input_hash:
            raise RunConflict(
                f"run {run_id!r} exists with other input: it is a {started.row.workflow!r} with input {started.row.input_hash.hex()}, "
                f"this is a {name!r} with input {input_hash.hex()}; choose another id"
            )
        return Run(self, run_id)

    async def _store_start(self, run: NewRun) -> Started:
        return await self._store.start(run)

    async def inside(self, transaction: Any) -> Inside:
        """What is written in this transaction is written by it. On SQLite this client need not be open, for nothing of it is used."""
        return transaction if isinstance(transaction, Inside) else await self.inside_of(caller_of(transaction))

    async def inside_of(self, caller: Caller) -> Inside:
        store = self._opened
        if store is None and not is_postgresql(self._url):
            store = open_store(self._url, namespace=self._namespace, clock=self._clock)
        return await (store or self._store).inside(caller)

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        """Starts and signals are idempotent: after an unknown outcome the same call tells.

        If no later call is answered, the outcome stays unknown: StoreUnavailable would say that nothing was written.
        """
        unknown: UnknownOutcome | None = None
        for _ in range(_TRIES_MOST):
            try:
                return await call()
            except UnknownOutcome as error:
                unknown = error  # asked again, for the answer is in the store
            except StoreUnavailable:
                if unknown is None:
                    raise
        assert unknown is not None
        raise unknown

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, id: str) -> Run:
        """A handle; no I/O, the run need not exist. Raises BadInput for what is no text."""
        return Run(self, checked_text(id, "id"))

    async def runs(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
        """A page of runs, newest first. `status`: pending, running, waiting, paused, quarantined, completed, failed or cancelled.

        `limit`: 1 to 1000. Pass the page's `cursor` to get the next one; a page takes no longer among a million runs. Raises BadInput for
        a workflow, status, limit or cursor that is none.
        """
        if type(limit) is not int or not 1 <= limit <= _LIST_MOST:
            raise BadInput(f"limit must be a whole number between 1 and {_LIST_MOST}, not {limit!r}")
        state = None if status is None else state_of(status)
        if workflow is not None:
            checked_name(workflow, "workflow name", self._settings.limits.id_characters)
        found = await self._store.runs(workflow=workflow, state=state, limit=limit + 1, before=place_of(cursor))
        runs = [
            RunSummary(one.id, one.workflow, one.state.value, shown_at(one.created_at), moment(one.ended_at), value(one.note))
            for one in found[:limit]
        ]
        last = found[limit - 1] if len(found) > limit else None
        return Page(runs, None if last is None else f"{last.created_at}-{last.id}")

    async def counts(self) -> dict[str, int]:
        """How many runs are in each state that any run is in. Looks at every run."""
        return {state.value: count for state, count in (await self._store.counts()).items()}

    async def attempts_of(self, run_id: str) -> Sequence[AttemptRow]:
        """Steps that have failed and will be tried again, as they are stored."""
        return await self._store.attempts(run_id)

    async def status_of(self, run_id: str) -> RunStatus:
        return await status_of(self._store, self._clock.now(), await self._row(run_id))

    async def history_of(self, run_id: str) -> list[RunRecord]:
        await self._row(run_id)
        generations = await self._store.history(run_id)
        return [shown(record, generation) for generation, records in generations.items() for record in records]

    async def send_signal(self, run_id: str, topic: str, payload: Any, key: str | None, transaction: Any = None) -> None:
        from perdure.codec.values import encode

        limits = self._settings.limits
        checked_name(topic, "topic", limits.id_characters)
        if key is not None:
            checked_name(key, "key", limits.id_characters)
        encoded = encode(payload, Any, what=f"signal {topic}", limit=limits.payload_bytes)
        signal_id = new_id(self._clock.now(), self._entropy)
        signal = NewSignal(run_id, signal_id, topic, encoded, key or f"~{signal_id}")
        if transaction is None:
            await self._repeated(lambda: self._store_send(signal, limits.inbox_signals))
        else:
            await (await self.inside(transaction)).send(signal, limits.inbox_signals)

    async def _store_send(self, signal: NewSignal, limit: int) -> None:
        await self._store.send(signal, limit)

    def _signalled(self, run_id: str) -> None:
        """Something has come for this run: a worker in this process is told at once."""

    async def _row(self, run_id: str) -> RunRow:
        row = await self._store.run(run_id)
        if row is None:
            raise RunNotFound(f"no run {run_id!r} in namespace {self._namespace!r}")
        return row

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def wait_for_result(self, run_id: str, timeout: Duration | None, known: "Workflow[..., Any] | None" = None) -> Any:
        """Decoded as this client knows the workflow, or else as whoever started it does (`known`)."""
        seconds = None if timeout is None else to_microseconds(timeout, "timeout") / SECOND
        if seconds is None:
            return self._result_of(run_id, *await self._wait_for_end(run_id), known)
        try:
            async with asyncio.timeout(seconds):
                workflow, last = await self._wait_for_end(run_id)
        except TimeoutError:
            raise TimeoutError(f"run {run_id!r} has not ended within {seconds:g} s; it goes on, ask again") from None
        return self._result_of(run_id, workflow, last, known)

    async def _wait_for_end(self, run_id: str) -> tuple[str, Record | None]:
        """The workflow's name and the last record; None of a cancelled run."""
        with self._watch(run_id) as watcher:
            row = None if self._will_tell(run_id) else await self._row(run_id)
            while row is None or not row.state.is_final:
                end = await watcher.next_look()
                if end is not None:
                    return end
                row = await self._row(run_id)
            return row.workflow, await self._store.last_record(run_id)

    def _will_tell(self, _run_id: str) -> bool:
        """Whether a worker in this process has the run and will say when it ends."""
        return False

    def _result_of(self, run_id: str, workflow: str, last: Record | None, known: "Workflow[..., Any] | None" = None) -> Any:
        if last is None or last.kind not in (RecordKind.COMPLETED, RecordKind.FAILED):
            raise RunCancelled(f"run {run_id!r} was cancelled")
        if last.kind is RecordKind.FAILED:
            from perdure.codec.failures import decode_failure

            cause = decode_failure(last.error or b"{}")
            raise RunFailed(f"run {run_id!r} of workflow {workflow!r} failed: {type(cause).__name__}: {cause}") from cause
        known = self._workflows.get(workflow, known)
        payload = last.output or b"null"
        return known.returns.decode(payload) if known is not None else plain(payload, what=f"result of run {run_id}")

    @contextmanager
    def _watch(self, run_id: str) -> "Iterator[Watcher]":
        watcher = Watcher()
        self._watched.setdefault(run_id, []).append(watcher)
        if self._stop_watching is None:
            self._stop_watching = self._store.on_change(self._changed)
        if self._poll is None:
            self._poll_again()
        try:
            yield watcher
        finally:
            self._watched[run_id].remove(watcher)
            if not self._watched[run_id]:
                del self._watched[run_id]
            if not self._watched and not self._keeps_watching and self._stop_watching is not None:
                self._stop_watching()
                self._stop_watching = None

    def _poll_again(self) -> None:
        """Every hint may be lost: while somebody waits, look again now and then."""
        self._poll = None
        if self._watched:
            self._changed()
            self._poll = asyncio.get_running_loop().call_later(self._settings.poll_seconds, self._poll_again)

    def _changed(self) -> None:
        """Look which of the watched runs have ended. What changes while a look is under way is seen by the next."""
        if self._looking is not None:
            self._looks_again = True
        elif self._watched:
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(self._looked)

    async def _look(self) -> None:
        watched = list(self._watched)
        for begin in range(0, len(watched), _LOOK_PAGE):
            for run_id in await self._store.ended(watched[begin : begin + _LOOK_PAGE]):
                for watcher in self._watched.get(run_id, ()):
                    watcher.tell(None)

    def _looked(self, look: "asyncio.Future[None]") -> None:
        self._looking = None
        if look.cancelled() or look.exception() is not None:
            return  # the next poll looks again
        if self._looks_again:
            self._looks_again = False
            self._changed()

    def _ended(self, run_id: str, workflow: str, last: Record) -> None:
        end = (workflow, last) if last.kind in ENDS else None  # None: it was retried before the reply to the commit of its end was known
        for watcher in self._watched.get(run_id, ()):
            watcher.tell(end)
