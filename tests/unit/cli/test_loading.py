"""From APP to its workflows, and what is said when there is something wrong with it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from perdure.cli.complaints import Complaint
from perdure.cli.loading import load_workflows

SHOP = """
    from perdure import workflow

    @workflow
    async def fulfil(order: str) -> str:
        return order

    @workflow(name="refund")
    async def pay_back(order: str) -> str:
        return order

    only_one = [fulfil]
    numbers = [1, 2]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """The current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    modules, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(dedent(text))


def names(app: str) -> list[str]:
    return [one.name for one in load_workflows(app)]


def complaint(app: str) -> Complaint:
    with pytest.raises(Complaint) as raised:
        load_workflows(app)
    assert raised.value.code == 2
    return raised.value


def test_a_file_gives_all_its_workflows() -> None:
    write("shop_a.py", SHOP)

    assert names("shop_a.py") == ["fulfil", "refund"]


def test_a_file_elsewhere_can_import_its_neighbours() -> None:
    write("apps/shop_b.py", "from neighbour_b import fulfil")
    write("apps/neighbour_b.py", SHOP)

    assert names("apps/shop_b.py") == ["fulfil"]


def test_a_module_is_found_from_the_current_folder() -> None:
    write("company_c/__init__.py", "")
    write("company_c/shop.py", SHOP)

    assert names("company_c.shop") == ["fulfil", "refund"]


@pytest.mark.parametrize(("app", "found"), [("only_one", ["fulfil"]), ("pay_back", ["refund"])])
def test_a_name_behind_a_colon_chooses_a_list_or_one_workflow(app: str, found: list[str]) -> None:
    write("shop_d.py", SHOP)

    assert names(f"shop_d.py:{app}") == names(f"shop_d:{app}") == found


def test_a_workflow_under_two_names_in_the_module_counts_once() -> None:
    write("shop_e.py", SHOP + "\n    again = fulfil\n")

    assert names("shop_e.py") == ["fulfil", "refund"]


def test_two_workflows_of_one_name_are_refused_and_both_places_named() -> None:
    write("shop_f.py", SHOP + "\n    @workflow(name='refund')\n    async def other(): ...\n")

    text = complaint("shop_f.py").what
    assert "'refund'" in text
    assert "pay_back (" in text
    assert "other (" in text


def test_a_missing_file_is_named_with_the_folder_one_is_in(folder: Path) -> None:
    refused = complaint("shop_g.py")

    assert refused.what == "there is no file shop_g.py"
    assert str(folder) in refused.remedy


def test_a_missing_module_is_named_with_the_folder_one_is_in(folder: Path) -> None:
    refused = complaint("company_h.shop")

    assert refused.what == "there is no module 'company_h'"
    assert str(folder) in refused.remedy


def test_a_module_that_is_missing_inside_the_app_is_not_mistaken_for_the_app(capsys) -> None:
    write("shop_i.py", "import missing_thing")

    assert "No module named 'missing_thing'" in complaint("shop_i").what
    assert 'shop_i.py", line 1' in capsys.readouterr().err


def test_an_error_in_the_app_is_shown_with_its_own_traceback_only(capsys) -> None:
    write("shop_j.py", "import helper_j")
    write("helper_j.py", "\n\nraise ZeroDivisionError('in user code')")

    assert complaint("shop_j.py").what == "shop_j.py could not be imported: ZeroDivisionError: in user code"
    trace = capsys.readouterr().err
    assert 'helper_j.py", line 3' in trace
    assert "perdure/cli" not in trace
    assert "importlib" not in trace


def test_a_syntax_error_is_shown_with_its_line(capsys) -> None:
    write("shop_k.py", "x = 1\nasync def (:\n")

    assert "SyntaxError" in complaint("shop_k.py").what
    assert 'shop_k.py", line 2' in capsys.readouterr().err


def test_an_app_that_exits_while_it_is_imported_does_not_take_the_command_along() -> None:
    write("shop_l.py", "raise SystemExit(0)")

    assert "SystemExit" in complaint("shop_l.py").what


def test_a_file_inside_a_package_is_told_to_come_as_a_module() -> None:
    write("company_m/__init__.py", "")
    write("company_m/shop_m.py", "from . import __name__")

    assert "package.module" in complaint("company_m/shop_m.py").remedy


def test_a_module_without_workflows_says_what_a_workflow_is() -> None:
    write("shop_n.py", "x = 1")

    refused = complaint("shop_n.py")
    assert refused.what == "shop_n.py has no workflows"
    assert "@workflow" in refused.remedy


def test_a_forgotten_decorator_is_guessed() -> None:
    write("shop_o.py", "async def fulfil(): ...")

    assert "`async def fulfil`" in complaint("shop_o.py").remedy


def test_a_file_named_like_a_loaded_module_is_refused_before_it_hides_it() -> None:
    write("asyncio.py", SHOP)

    assert "'asyncio'" in complaint("asyncio.py").what


@pytest.mark.parametrize(("app", "what"), [("shop_p.py:none", "has no 'none'"), ("shop_p.py:numbers", "holds 1")])
def test_a_name_that_leads_to_no_workflow_is_refused(app: str, what: str) -> None:
    write("shop_p.py", SHOP)

    assert what in complaint(app).what


@pytest.mark.parametrize("app", ["", "not a module", "shop/q", "a:b:c"])
def test_what_is_neither_a_file_nor_a_module_is_refused(app: str) -> None:
    assert "neither" in complaint(app).what
