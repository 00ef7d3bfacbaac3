"""The account specialty."""

from __future__ import annotations

from parley_account import tools
from parley_account.domain import check
from parley_specialist.spec import Rules, Spec, instructions_of


def spec() -> Spec:
    return Spec(
        name="account",
        title="Account",
        handles=(
            "personal details, e-mail address, phone number, name, delivery addresses, password, log-in, "
            "locked account, identity check, opening or closing an account, getting a Larkfield Card, PIN, "
            "virtual cards, newsletter"
        ),
        instructions=instructions_of(__package__),
        tools=[
            tools.show_profile,
            tools.change_email,
            tools.change_phone,
            tools.change_address,
            tools.send_password_reset,
        ],
        rules=Rules(check=check),
    )
