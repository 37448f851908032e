"""The file of upstreams, and the one way out to them."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "guard"))
from scripted_provider import Provider, provider, says, waits

from ebbtide.domain.errors import SettingsError
from ebbtide.egress.models import CHAT, ModelCallFailed, ModelClient
from ebbtide.egress.upstreams import Upstreams, read_upstreams

SECRETS = {"KEY": "sk-0123456789", "OTHER": "sk-9876543210", "ODD": "sk-1\r\nX: y"}


def read(tmp_path: Path, text: str) -> Upstreams:
    file = tmp_path / "upstreams.toml"
    file.write_text(text)
    return read_upstreams(file, SECRETS.get)


def one(**keys: object) -> str:
    given: dict[str, object] = {"id": "a", "base_url": "https://models.example/v1", "secret": "KEY"}
    shown = {str: lambda v: f'"{v}"', bool: lambda v: str(v).lower()}
    lines = [
        f"{name} = {shown.get(type(value), str)(value)}"
        for name, value in (given | keys).items()
        if value is not None
    ]
    return "[[upstream]]\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "[[upstream]] tables"), ("x = 1", "[[upstream]] tables"), ("[upstream", "no TOML"),
        (one(id="A b"), "id has lower case"), (one(kind="magic"), "kind is one of openai"),
        (one(base_url="http://models.example/v1"), "plain http is for own networks"),
        (one(base_url="https://u:p@models.example"), "no user"),
        (one(base_url="https://models.example/v1?x=1"), "without a query"),
        (one(base_url="https://models.example/../v1"), "plain path"),
        (one(base_url="https://models.example:6379"), "port"), (one(base_url=None), "base_url"),
        (one(secret="sk-0123456789"), "NAME of a secret"), (one(secret="GONE"), "no secret named"),
        (one(secret="ODD"), "no header carries"), (one(api_key="sk-1"), "api_key is not known"),
        (one(default=1), "default is of another kind"), (one(timeout_s=True), "of another kind"),
        (one(timeout_s=0), "timeout_s lies"), (one(answer_max_mb=0), "answer_max_mb"),
        (one(models=["../x"]), "models are names"), (one() + one(), "a is there twice"),
        (one(default=True) + one(id="b", default=True), "one upstream at most"),
        # A key belongs to one host: who moves the upstream gives it a key anew.
        (one() + one(id="b", base_url="https://evil.example"), "the secret of another host"),
    ],
)  # fmt: skip
def test_a_fault_in_the_file_is_named_and_no_secret_is(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value) and "EBBTIDE_UPSTREAMS" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS.values() if len(secret) > 12)


def test_a_model_goes_where_its_name_fits_best(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        one(models=["gpt-*", "o3"]) + one(id="b", models=["gpt-4o*", "*"], secret=None)
        + one(id="c", models=["gpt-4o-mini"], secret="OTHER", base_url="https://c.example"),
    )  # fmt: skip
    where = {m: found.of_model(m) for m in ("gpt-3", "gpt-4o-2", "gpt-4o-mini", "o3", "llama")}
    ids = {name: upstream and upstream.upstream_id for name, upstream in where.items()}
    assert ids == {"gpt-3": "a", "gpt-4o-2": "b", "gpt-4o-mini": "c", "o3": "a", "llama": "b"}
    assert read(tmp_path, one(models=["x"])).of_model("y") is None
    assert "sk-0123456789" not in repr(list(found))


@pytest.fixture
def model() -> Iterator[Provider]:
    with provider() as found:
        yield found


def local(tmp_path: Path, model: Provider, **more: object) -> ModelClient:
    keys = {"base_url": model.url, "allow_private": True, "default": True} | more
    return ModelClient(read(tmp_path, one(**keys)))


def test_threads_get_whole_answers_over_lines_that_stay(tmp_path: Path, model: Provider) -> None:
    client = local(tmp_path, model)
    upstream = next(iter(client.upstreams))
    bodies = [client.post(upstream, CHAT, b"{}").status for _ in range(3)]
    assert bodies == [200] * 3 and model.num_connections == 1
    model.then(says("x" * 300_000))
    assert len(client.post(upstream, CHAT, b"{}").body) > 300_000
    client.close()


def test_the_environment_cannot_put_a_proxy_in_between(
    tmp_path: Path, model: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider() as thief:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{thief.port}")
        client = local(tmp_path, model)
        assert client.post(next(iter(client.upstreams)), CHAT, b"{}").status == 200
        client.close()
        assert not thief.seen and thief.num_connections == 0


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1", "blocked_address"), ("169.254.169.254", "blocked_address"),
     ("::ffff:127.0.0.1", "blocked_address"), (None, "dns")],
)  # fmt: skip
def test_a_name_is_checked_when_it_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, reason: str
) -> None:
    def resolve(host: str, port: int, **_: object) -> list[object]:
        if address is None:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    client = ModelClient(read(tmp_path, one()))
    with pytest.raises(ModelCallFailed) as caught:
        client.post(next(iter(client.upstreams)), CHAT, b"{}")
    client.close()
    assert (caught.value.reason, caught.value.was_sent) == (reason, False)


def test_no_door_opens_to_where_credentials_are_handed_out(tmp_path: Path) -> None:
    keys = {"base_url": "http://169.254.169.254/v1", "allow_private": True}
    client = ModelClient(read(tmp_path, one(**keys)))
    with pytest.raises(ModelCallFailed, match="blocked_address"):
        client.post(next(iter(client.upstreams)), CHAT, b"{}")
    client.close()


def test_who_speaks_no_tls_gets_nothing(tmp_path: Path) -> None:
    seen = []

    def answer() -> None:
        line, _ = listener.accept()
        with line:
            seen.append(line.recv(4096))
            line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        upstreams = read(tmp_path, one(base_url=url, allow_private=True))
        client = ModelClient(upstreams, tls=ssl.create_default_context())
        with pytest.raises(ModelCallFailed) as caught:
            client.post(next(iter(upstreams)), CHAT, b"{}")
        client.close()
    assert (caught.value.reason, caught.value.was_sent) == ("tls", False)
    assert b"sk-" not in seen[0]


def test_closing_ends_the_calls_under_way(tmp_path: Path, model: Provider) -> None:
    client = local(tmp_path, model)
    go_on = threading.Event()
    model.then(waits(go_on, says("late")))
    failed: list[ModelCallFailed] = []

    def ask() -> None:
        try:
            client.post(next(iter(client.upstreams)), CHAT, b"{}")
        except ModelCallFailed as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not model.seen:
        threading.Event().wait(0.005)
    client.close()
    asking.join(5)
    go_on.set()
    assert failed[0].was_sent
