"""Tokens and tickets: what is believed, and what never is."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from parley_gateway.auth import Authenticator, Refused, Tickets
from parley_gateway.domain import Session, demo_customer, identity, origin_allowed, origins
from parley_gateway.settings import Settings, check
from parley_proto.envelope import Identity
from parley_proto.errors import PermanentError, SettingsError

SECRET = "a secret of the host, forty characters or so"
CLAIMS: dict[str, Any] = {"sub": "ada", "exp": 4_102_444_800, "tenant": "acme", "name": "Ada"}
JWT = Settings(auth="jwt", jwt_secret=SECRET)


def bearer(claims: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm=algorithm)


def unsigned(claims: dict[str, Any], algorithm: str) -> str:
    parts = [json.dumps({"alg": algorithm, "typ": "JWT"}), json.dumps(claims)]
    return "Bearer " + ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."


def test_a_token_says_who_it_is() -> None:
    session = Authenticator(JWT, "default").session(bearer(CLAIMS))
    assert session == Session("acme", "ada", "ada", "Ada", CLAIMS["exp"] * 1000)


def test_a_claim_names_the_customer() -> None:
    session = Authenticator(JWT, "default").session(bearer(CLAIMS | {"customer_id": "cus_0007"}))
    assert (session.principal, session.customer_id) == ("ada", "cus_0007")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer ",
        "Basic YWRhOmFkYQ==",
        "Bearer x.y.z",
        "Bearer " + "x" * 9000,
        unsigned(CLAIMS, "none"),
        unsigned(CLAIMS, "None"),
        unsigned(CLAIMS, "HS256"),
        bearer(CLAIMS, key="another secret that is long enough to be one"),
        bearer(CLAIMS, algorithm="HS512"),
        bearer(CLAIMS | {"exp": int(time.time()) - 60}),
        bearer({name: value for name, value in CLAIMS.items() if name != "exp"}),
        bearer({name: value for name, value in CLAIMS.items() if name != "sub"}),
        bearer(CLAIMS | {"sub": "anonymous"}),
        bearer(CLAIMS | {"sub": ""}),
        bearer(CLAIMS | {"tenant": "a.b"}),
        bearer(CLAIMS | {"tenant": ">"}),
        bearer(CLAIMS | {"customer_id": 7}),
        bearer(CLAIMS | {"name": "Ada\r\nPUB"}),
        bearer(CLAIMS | {"name": "a" * 200}),
    ],
)
def test_what_can_not_be_believed_is_refused(header: str | None) -> None:
    with pytest.raises(Refused):
        Authenticator(JWT, "default").session(header)


def test_audience_and_issuer_count_when_they_are_set() -> None:
    strict = Authenticator(Settings(auth="jwt", jwt_secret=SECRET, jwt_audience="chat", jwt_issuer="shop"), "default")
    assert strict.session(bearer(CLAIMS | {"aud": "chat", "iss": "shop"})).principal == "ada"
    for wrong in ({"aud": "chat"}, {"aud": "other", "iss": "shop"}, {"iss": "shop"}, {}):
        with pytest.raises(Refused):
            strict.session(bearer(CLAIMS | wrong))


def test_a_public_key_checks_signatures_and_is_no_shared_secret() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    known = Authenticator(Settings(auth="jwt", jwt_public_key=public.decode()), "default")
    assert known.session("Bearer " + jwt.encode(CLAIMS, private, algorithm="RS256")).principal == "ada"
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).rstrip(b"=")
    # A token signed with the public key as if it were an HMAC secret (CVE-2015-9235).
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(head + b"." + body, public)).rstrip(b"=")
    with pytest.raises(Refused):
        known.session("Bearer " + b".".join([head, body, signature]).decode())


def test_without_authentication_everybody_is_anonymous() -> None:
    assert Authenticator(Settings(), "acme").session(None) == Session("acme", "anonymous")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


def test_a_ticket_is_good_once_and_for_thirty_seconds() -> None:
    clock = Clock()
    tickets = Tickets("", 30, clock)
    session = Session("acme", "ada", "ada")
    ticket = tickets.issue(session)
    assert tickets.redeem(ticket) == session
    with pytest.raises(PermanentError, match="ticket"):
        tickets.redeem(ticket)
    late = tickets.issue(session)
    clock.now += 30_000
    with pytest.raises(PermanentError, match="ticket"):
        tickets.redeem(late)


def test_used_tickets_are_forgotten_when_they_have_expired() -> None:
    clock = Clock()
    tickets = Tickets("", 30, clock)
    for _ in range(50):
        tickets.redeem(tickets.issue(Session("acme", "ada")))
        clock.now += 1000
    assert tickets.remembered <= 30


def test_instances_with_one_secret_know_each_others_tickets() -> None:
    secret = "s" * 40
    session = Session("acme", "ada", "ada", "Ada", 5)
    assert Tickets(secret, 30).redeem(Tickets(secret, 30).issue(session)) == session
    with pytest.raises(PermanentError):
        Tickets("", 30).redeem(Tickets(secret, 30).issue(session))


@pytest.mark.parametrize("forged", ["", ".", "x.y", "é.é", "a" * 10_000, "{}." + "0" * 64])
def test_a_made_up_ticket_is_refused(forged: str) -> None:
    with pytest.raises(PermanentError) as refused:
        Tickets("s" * 40, 30).redeem(forged)
    assert refused.value.code == "bad_ticket"


def test_a_changed_ticket_is_refused() -> None:
    tickets = Tickets("s" * 40, 30)
    body, _, signature = tickets.issue(Session("acme", "ada")).partition(".")
    other = base64.urlsafe_b64encode(base64.urlsafe_b64decode(body).replace(b"ada", b"eve")).decode()
    with pytest.raises(PermanentError):
        tickets.redeem(f"{other}.{signature}")


def test_only_tenant_and_principal_together_own_a_conversation() -> None:
    ada = Session("acme", "ada")
    assert ada.owns(Identity("acme", "ada", "cus_0001"))
    assert not ada.owns(Identity("other", "ada", "cus_0001"))
    assert not ada.owns(Identity("acme", "eve", "cus_0001"))


def test_who_signs_in_for_another_customer_has_other_conversations() -> None:
    first, second = Session("acme", "mgr", "cus_1"), Session("acme", "mgr", "cus_2")
    assert first.owns(Identity("acme", "mgr", "cus_1")) and not second.owns(Identity("acme", "mgr", "cus_1"))
    assert len({first.speaker, second.speaker, Session("acme", "mgr", "mgr").speaker}) == 3


def test_an_empty_customer_is_the_principal_and_no_demo_customer() -> None:
    session = Authenticator(JWT, "default").session(bearer(CLAIMS | {"customer_id": ""}))
    assert session.customer_id == session.principal == "ada"


def test_an_anonymous_visitor_is_one_of_the_demo_customers() -> None:
    chosen = {demo_customer(f"c{number:022d}", 200) for number in range(4000)}
    assert len(chosen) == 200
    assert min(chosen) == "cus_0001"
    assert max(chosen) == "cus_0200"
    visitor = Session("default", "anonymous")
    assert identity(visitor, "c" * 23, 200) == identity(visitor, "c" * 23, 200)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("https://shop.example", True),
        ("https://SHOP.example/", True),
        ("null", False),
        ("", False),
        ("https://shop.example.evil.test", False),
        ("https://evil.test/https://shop.example", False),
        ("http://127.0.0.1:8080.evil.test", False),
        ("http://127.0.0.1:8081", False),
        ("https://shop.example@evil.test", False),
        ("http://127.0.0.1:8080@evil.test", False),
        ("file://127.0.0.1:8080", False),
        ("http://[::1", False),
        ("http://xn--shp-tna.example", False),
    ],
)
def test_an_origin_is_the_pages_own_or_on_the_list(origin: str | None, allowed: bool) -> None:
    listed = origins("https://shop.example, https://Other.example/")
    assert origin_allowed(origin, "127.0.0.1:8080", listed) is allowed


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(auth="jwt"), "PARLEY_GATEWAY_JWT_SECRET"),
        (Settings(auth="jwt", jwt_secret="short"), "PARLEY_GATEWAY_JWT_SECRET"),
        (Settings(auth="jwt", jwt_secret=SECRET, jwt_public_key="x"), "not both"),
        (Settings(ticket_secret="short"), "PARLEY_GATEWAY_TICKET_SECRET"),
        (Settings(demo_customers=0), "PARLEY_GATEWAY_DEMO_CUSTOMERS"),
        (Settings(max_unanswered=0), "MAX_UNANSWERED"),
        (Settings(tenant_messages_per_minute=0), "TENANT_MESSAGES_PER_MINUTE"),
        (Settings(new_chat_share=0), "NEW_CHAT_SHARE"),
        (Settings(new_chat_share=1.5), "NEW_CHAT_SHARE"),
    ],
)
def test_settings_that_can_not_work_are_named(settings: Settings, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        check(settings)


def test_settings_do_not_show_their_secrets() -> None:
    assert SECRET not in repr(Settings(auth="jwt", jwt_secret=SECRET, ticket_secret=SECRET))
