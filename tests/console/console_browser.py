"""A browser without a screen: keeps cookies, fills in forms, and reads what a page holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from api.api_server import Answer, Client, Server


class Page(HTMLParser):
    """The elements, the forms and the text of a page, as a browser would read it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "form":
            self.forms.append((given.get("action") or "", {}))
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1][1][given["name"] or ""] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        """All text, white space made one."""
        return " ".join(self.texts)

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return [
            str(given["href"]) for tag, given in self.elements if tag == "a" and "href" in given
        ]

    def form(self, action: str) -> dict[str, str]:
        """The fields of the form that is sent there."""
        return next(fields for sent_to, fields in self.forms if sent_to == action)


@dataclass
class Browser:
    """Somebody who looks at the console."""

    server: Server
    source: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """How the browser calls this server."""
        return f"http://127.0.0.1:{self.server.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, with the cookies that belong to it; redirects are not followed."""
        client = Client(self.server.port, None, self.source)
        given = {"Accept": "text/html"}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = client.ask(method, path, body, given)
        said = answer.headers.get("set-cookie")
        if said is not None:
            self.set_cookies.append(said)
            for name, morsel in SimpleCookie(said).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer

    def get(self, path: str, **params: Any) -> Answer:
        """Open an address."""
        return self.ask("GET", path + ("?" + urlencode(params) if params else ""))

    def page(self, path: str, **params: Any) -> Page:
        """Open an address that is there, and read it."""
        answer = self.get(path, **params)
        assert answer.status == 200, (path, answer.status, answer.headers, answer.body[:2000])
        return Page(answer.body.decode())

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        """Send a form, as from a page of this origin unless headers say otherwise."""
        given = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        return self.ask("POST", path, urlencode(fields).encode(), **(given | headers))

    def sign_in(self, key: str | None = None, **headers: str) -> Answer:
        """Exchange a key, the first admin's by default, for a session."""
        return self.post("/sign-in", {"key": key or self.server.admin.key or ""}, **headers)
