"""`load_rules` and `export_rules`: rules as a file, there and back."""

from pathlib import Path

from approvals.models import PolicyVersion
from tests.support.commands import run


def test_rules_written_down_can_be_loaded_again_and_say_why(db: None, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(
        '{"rules": [{"outcome": "hold", "tool": "x__*", "comment": "ß", "name": "two"}]}'
    )
    assert run("load_rules", str(file), "--reason", "An audit.", "--based-on", "0").code == 0

    written = run("export_rules")
    assert (written.code, written.err) == (0, "")
    assert written.out.index('"two"') < written.out.index('"x__*"') < written.out.index('"ß"')
    file.write_text(written.out)
    assert run("load_rules", str(file)).code == 0
    assert run("export_rules").out == run("export_rules", "--policy", "1").out == written.out
    assert [v.reason for v in PolicyVersion.objects.order_by("number")] == ["An audit.", ""]


def test_rules_written_for_another_version_are_refused(db: None, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": []}')
    run("load_rules", str(file))

    refused = run("load_rules", str(file), "--based-on", "0")

    assert refused.code == 1
    assert "Version 1 is in force, not version 0" in refused.err
    assert PolicyVersion.objects.count() == 1
    missing = run("export_rules", "--policy", "7")
    assert (missing.code, missing.out) == (1, "")
    assert "There is no policy version 7." in missing.err


def test_before_any_file_the_rules_it_begins_with_can_be_written_down(db: None) -> None:
    assert '"allow reads"' in run("export_rules").out
