"""Tokens of the API, the file that keeps them, and the sessions of browsers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concurrence.errors import ConfigError, UsageError
from concurrence.transport.security import Role
from concurrence.transport.tokens import TOKEN_FILE, TOKEN_ROLES, ApiTokens, Caller, Sessions


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_role_has_a_token_of_its_own_and_nothing_else_is_one() -> None:
    tokens = ApiTokens.create()
    assert len({tokens.token(role) for role in TOKEN_ROLES}) == 3
    for role in TOKEN_ROLES:
        token = tokens.token(role)
        caller = tokens.caller(token)
        assert caller is not None
        assert (caller.role, caller.reads_only) == (role, False)
        assert re.fullmatch(r"token:[0-9a-f]{16}", caller.key)
        assert token not in repr(tokens)
        for wrong in (token[:-1], token + "x", token.upper(), token * 100, ""):
            assert tokens.caller(wrong) is None
    assert tokens.caller("é\ud800\0" * 50) is None
    assert not ApiTokens({})
    assert ApiTokens({}).caller("") is None
    assert tokens.token(Role.HOST) == ""


def test_tokens_are_kept_in_a_file_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    tokens = ApiTokens.of(folder)
    assert (folder / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    again = ApiTokens.of(folder)
    assert [again.token(role) for role in TOKEN_ROLES] == [tokens.token(role) for role in TOKEN_ROLES]
    (folder / TOKEN_FILE).chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        ApiTokens.of(folder)


def test_a_token_whose_line_is_removed_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    tokens = ApiTokens.of(tmp_path)
    file = tmp_path / TOKEN_FILE
    file.write_text(re.sub(r"client = .*\n", "", file.read_text()))
    again = ApiTokens.of(tmp_path)
    assert again.token(Role.ADMIN) == tokens.token(Role.ADMIN)
    assert again.token(Role.CLIENT) != tokens.token(Role.CLIENT)
    assert ApiTokens.of(tmp_path).token(Role.CLIENT) == again.token(Role.CLIENT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tokens = 1", "table"),
        ("[tokens]\nboss = 'x'", "no role 'boss'"),
        ("[tokens]\nadmin = 'short'", "32 to 200"),
        (f"[tokens]\nadmin = '{'é' * 40}'", "ASCII"),
        (f"[tokens]\nadmin = '{'x' * 40}'\nclient = '{'x' * 40}'", "same token"),
    ],
)
def test_a_malformed_file_is_named_and_no_token_repeated(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / TOKEN_FILE
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=told) as caught:
        ApiTokens.of(tmp_path)
    assert str(file) in str(caught.value)
    assert "xxx" not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_code_is_good_once_and_not_for_long() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    code = sessions.new_code(Role.ADMIN, "a key")
    cookie = sessions.redeem(code)
    assert cookie is not None
    assert sessions.redeem(code) is None
    assert sessions.caller(cookie) == Caller(Role.ADMIN, "a key", reads_only=True)
    assert sessions.caller(code) is None
    late = sessions.new_code(Role.ADMIN, "a key")
    clock.now += Sessions.CODE_SECONDS + 1
    assert sessions.redeem(late) is None
    assert sessions.caller(cookie) is not None
    clock.now += Sessions.SESSION_SECONDS
    assert sessions.caller(cookie) is None
    assert sessions.redeem("") is None
    assert sessions.caller("") is None


def test_sessions_are_bounded() -> None:
    sessions = Sessions(Clock())
    codes = [sessions.new_code(Role.ADMIN, "a key") for _ in range(Sessions.MAX_CODES + 1)]
    assert sessions.redeem(codes[0]) is None
    cookies = [sessions.redeem(codes[1])]
    more = range(Sessions.MAX_SESSIONS)
    cookies += [sessions.redeem(sessions.new_code(Role.ADMIN, "a key")) for _ in more]
    assert sessions.caller(cookies[0] or "") is None
    assert all(sessions.caller(cookie or "") for cookie in cookies[1:])
