"""Every limit and interval, named, with its unit and why it is what it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused, and above which size."""

    payload_bytes: int = 1024 * 1024
    history_records: int = 50_000  # a run that reaches it is quarantined, never destroyed
    history_records_warned: int = 10_000
    inbox_signals: int = 10_000  # undelivered signals of one run
    id_characters: int = 200
    error_message_characters: int = 10_000
    error_traceback_characters: int = 20_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine behaves. Defaults are for one worker on a small machine."""

    limits: Limits = Limits()
    lease_seconds: float = 10.0  # a worker that has not renewed for so long may be declared dead
    renew_seconds: float = 3.0  # three tries within a lease
    sweep_seconds: float = 2.0  # how often each worker looks for the dead and for what was overlooked
    alarm_seconds_most: float = 3600.0  # no timer is set further ahead: clocks drift, and are set
    clock_step_seconds: float = 0.1  # a step forward of the clock after which timers in memory are set anew
    poll_seconds: float = 1.0  # how late due work is found when every hint is lost
    batch_rows: int = 250  # of one transaction: while one is written the results of the one before are taken in
    batch_bytes: int = 4 * 1024 * 1024
    claim_page: int = 500  # runs claimed in one checkpoint
    claim_page_bytes: int = 16 * 1024 * 1024  # inputs of the runs claimed in one checkpoint
    inbox_page: int = 500  # signals of one run read in one checkpoint
    inbox_page_bytes: int = 4 * 1024 * 1024  # signals of all runs read in one checkpoint
    runs_witnessed: int = 1_000  # runs written last of which a worker remembers how far they went, to notice a fail-over that lost it
    runs_in_memory: int = 1000  # of one worker; those that are due beyond that wait in the store
    replays_at_once: int = 100  # runs that are read and replayed at the same time
    replay_bytes: int = 64 * 1024 * 1024  # of histories in memory until they are replayed; a larger one is alone
    replay_slice_seconds: float = 0.002  # how long a replay may hold the event loop
    attempts_at_once: int = 1000  # steps of one worker that run at the same time
    threads: int = 32  # for steps that are plain functions
    linger_seconds: float = 0.2  # how long an idle run stays in memory before it is parked
    park_wait_seconds: float = 2.0  # a wait that ends sooner is waited for in memory
    store_retry_seconds_first: float = 0.05  # before what the store did not take is tried again; then longer and longer
    store_retry_seconds_most: float = 2.0
    signal_keys_kept_days: float = 30.0  # of a run that has continued as new or was retried; else as long as the run
    outdated_page: int = 1000  # records of outdated generations deleted in one transaction
    outdated_pages: int = 20  # such transactions in one sweep
    cancel_grace_seconds: float = 300.0  # how long a run that is cancelled may clean up
    keep_completed_days: float | None = None  # how long runs are kept after they completed; None: for ever
    keep_failed_days: float | None = None
    keep_cancelled_days: float | None = None
    purge_seconds: float = 60.0  # how often runs that are kept no longer are looked for
    purge_pause_seconds: float = 0.1  # between batches, for those who want to write
    purge_runs: int = 100  # deleted in one transaction
    purge_records: int = 5_000  # deleted in one transaction, but for a run that has more
    transaction_seconds: float = 2.0  # how long a transactional step may hold the database; well below a lease
    drain_seconds: float = 10.0  # how long a clean stop waits for attempts under way
    hand_over_rounds: int = 3  # of a clean stop; what is left then is found by the next sweep of any worker
    alone_seconds: float = 5.0  # how long a suspect has the process to itself; code that kills does so when it executes
    alone_seconds_most: float = 60.0  # the same while a step of it is under way; with each death alone twice as long
    make_room_seconds_first: float = 2.0  # how long a worker claims nothing else so that a suspect can run alone
    make_room_seconds: float = 30.0  # the same after it was in vain again and again
    make_room_pauses: float = 10.0  # times as long it claims others before it makes room again
    trouble_seconds: float = 30.0  # how long on_trouble may take; for twice as long nobody else tells the same trouble
    troubles_at_once: int = 10
    trouble_retry_seconds_first: float = 5.0
    trouble_retry_seconds_most: float = 600.0
    trouble_tries_most: int = 450  # three days
    stranded_seconds: float = 300.0  # how long a run may be due with no live worker that knows its workflow
    stranded_look_seconds: float = 30.0
    stranded_most: int = 1000  # so many are told; beyond that nobody reads them one by one
    blocked_loop_seconds: float = 0.5  # how long code may hold the event loop before it is named
    watch_seconds: float = 0.5  # how often the event loop is looked at
    blocked_again_seconds: float = 10.0  # the same line is named again after this long, then twice as long, …
    blocked_again_seconds_most: float = 3600.0


DEFAULTS = Settings()
