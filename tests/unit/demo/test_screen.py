"""What a viewer of the demo sees."""

import io

from perdure.demo.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_file_there_is_a_line_per_event_and_no_escape_code() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.show("10 of 50")
    screen.tell("killed", "red")
    screen.clear()

    assert out.getvalue().endswith(" s  killed\n")
    assert "\x1b" not in out.getvalue()
    assert "10 of 50" not in out.getvalue()


def test_on_a_terminal_the_last_line_stays_below_the_events(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    screen = Screen(out)
    screen.show("10 of 50")
    screen.write("an event")

    assert out.getvalue() == "10 of 50\r\x1b[Kan event\n10 of 50"


def test_no_color_is_respected(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    Screen(out).tell("killed", "red")

    assert "\x1b[3" not in out.getvalue()
