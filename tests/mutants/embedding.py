"""What could be got wrong where perdure lives inside of other programs."""

from tests.mutants.naming import bug

BLOCKING = "tests/unit/test_blocking.py"
DEFINED = "tests/unit/engine/test_definitions.py"
LOGGED = "tests/acceptance/test_logging.py"

EMBEDDING = (
    bug(
        "embedded: let a forked child open what its parent has open",
        f"{BLOCKING}::test_a_store_that_is_open_while_the_process_forks_is_refused_in_the_child_and_safe_in_the_parent",
        edits=(("store/sqlite/holds.py", "    _of_the_parent.update(_holds)\n", ""),),
    ),
    bug(
        "embedded: remove the lock file of the parent",
        "tests/unit/engine/test_presence.py::test_a_forked_child_that_leaves_takes_nothing_from_its_parent",
        edits=(("engine/presence.py", "if os.getpid() != self._process:", "if False:"),),
    ),
    bug(
        "embedded: leave what opened by itself open at the end",
        f"{BLOCKING}::test_what_was_opened_without_a_block_is_closed_when_the_process_ends",
        edits=(("blocking.py", "            atexit.register(self.close)\n", ""),),
    ),
    bug(
        "embedded: hold up an event loop",
        f"{BLOCKING}::test_it_is_refused_where_it_would_hold_up_an_event_loop",
        edits=(("blocking.py", "if asyncio._get_running_loop() is not None:", "if False:"),),
    ),
    bug(
        "embedded: run what a workflow was before it was defined anew",
        f"{DEFINED}::test_a_workflow_that_was_defined_anew_is_not_started_as_what_it_was_before",
        edits=(("engine/service.py", "            refuse_another(self._workflows, known)\n", "            pass\n"),),
    ),
    bug(
        "embedded: let a second engine run other code of the same name",
        f"{DEFINED}::test_a_second_engine_is_refused_while_one_is_open_with_what_a_workflow_was_before",
        edits=(("engine/definitions.py", "if other == store and stale and", "if False and stale and"),),
    ),
    bug(
        "embedded: open what is open",
        f"{DEFINED}::test_what_is_open_is_not_opened_again_until_it_is_closed",
        edits=(("client.py", "if self._home is not None and not self._home.is_closed():", "if False:"),),
    ),
    bug(
        "embedded: keep an engine for open that could not be opened",
        f"{DEFINED}::test_what_could_not_be_opened_can_be_tried_again",
        edits=(("engine/service.py", "            self._home = None\n", ""),),
    ),
    bug(
        "embedded: speak in a replay where the record factory was taken",
        f"{LOGGED}::test_a_replay_is_silent_also_where_somebody_took_the_record_factory_of_logging",
        edits=(("logging.py", "        return not is_replaying()\n", "        return True\n"),),
    ),
    bug(
        "embedded: write over what a record says of itself",
        f"{LOGGED}::test_what_a_record_says_of_itself_stays",
        edits=(("logging.py", "record.__dict__.setdefault(name, value)", "record.__dict__[name] = value"),),
    ),
    bug(
        "embedded: forget the type of what was started by function",
        "tests/acceptance/test_engine_and_client.py"
        "::test_a_client_decodes_the_result_of_what_it_started_by_function_and_gives_plain_data_else",
        edits=(("client.py", "        run._workflow = known\n", ""),),
    ),
)
