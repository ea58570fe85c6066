"""Files of ours that somebody damaged: one sentence says which, and nothing is guessed."""

import json
import re
from pathlib import Path

import pytest

from config import demo, env, environments
from config.starting import CannotStart

DEEP = b"[" * 100_000


@pytest.mark.parametrize("raw", [b"", b" \n", b"\xff\xfe\x00", b"\xed\xa0\x80"])
def test_a_damaged_secret_key_is_named_and_not_replaced(tmp_path: Path, monkeypatch, raw):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    path = tmp_path / "secret_key"
    path.write_bytes(raw)

    with pytest.raises(env.ConfigurationError, match=re.escape(f"{path} is damaged")):
        env.secret_key(tmp_path)
    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"{}", b'{"password": 1}', b'{"password": "\\ud800"}',
            b"\xff", b'"password"', DEEP]
)  # fmt: skip
def test_a_damaged_note_of_the_demo_is_named(tmp_path: Path, settings, raw):
    settings.DATA_DIR = tmp_path
    (tmp_path / "demo.json").write_bytes(raw)

    with pytest.raises(CannotStart, match=r"demo\.json is damaged"):
        demo.prepare()


def test_the_note_of_a_demo_is_read(tmp_path: Path, settings):
    settings.DATA_DIR = tmp_path
    (tmp_path / "demo.json").write_text(json.dumps({"password": "amber-otter-12"}))

    assert demo.prepare().password == "amber-otter-12"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", DEEP])
def test_a_damaged_stamp_says_that_the_environment_is_not_finished(tmp_path: Path, raw):
    (tmp_path / environments.STAMP).write_bytes(raw)

    assert environments.Environment(tmp_path).stamp() == {}
