"""What account can look up and do. The customer comes from the session, never from an argument."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from parley_account import domain
from parley_account.records import PasswordReset, Profile
from parley_specialist.reading import now, read, send
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool

Email = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,120}[.][A-Za-z]{2,63}$",
        description="the new e-mail address, such as name@example.com",
    ),
]
Phone = Annotated[
    str,
    Meta(
        pattern=r"^[+]?[0-9]([ ()/-]{0,2}[0-9]){5,18}$",
        description="the new mobile number with the country code, such as +44 7700 900123",
    ),
]
NewAddress = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=240,
        description="the new address with street, postcode and town, such as 12 Mill Lane, BS1 4DJ Bristol",
    ),
]


@tool(
    use_when=(
        "show me my account",
        "what data do you have about me",
        "which e-mail address is on my account",
        "what email do you have for me",
        "which phone number do you have for me",
        "what address do you have on file",
        "show my profile",
        "is my address still right",
        "check my personal details",
        "what is my user name",
        "where do you send my parcels",
        "which email did I register with",
    )
)
async def show_profile(context: ToolContext) -> ToolResult:
    """Show the customer's own account: name, address, masked e-mail address and mobile number."""
    profile = await read(context, "/profile", Profile)
    return ToolResult(domain.profile_told(profile, now()))


@tool(
    use_when=(
        "change my e-mail address",
        "I have a new email",
        "update my email",
        "my mail address has changed",
        "use another e-mail for my account",
        "I can not open my old mailbox any more",
        "please correct my email address",
        "the email on my account is wrong",
        "switch my login email",
        "edit my e-mail",
    ),
    key=("new_email", "$turn"),
    confirm="Shall I change your e-mail address to {new_email}?",
)
async def change_email(context: ToolContext, new_email: Email) -> ToolResult:
    """Change the e-mail address of the customer's account."""
    profile = await send(context, "PATCH", "/profile", {"email": new_email}, Profile)
    return ToolResult(domain.email_changed(profile))


@tool(
    use_when=(
        "change my phone number",
        "I have a new mobile number",
        "update my mobile number",
        "my old phone number does not work any more",
        "please correct my mobile number",
        "you have the wrong phone number for me",
        "I changed my SIM and number",
        "add my new number to the account",
        "edit my phone number",
        "replace my mobile number",
    ),
    key=("new_phone", "$turn"),
    confirm="Shall I change your mobile number to {new_phone}?",
)
async def change_phone(context: ToolContext, new_phone: Phone) -> ToolResult:
    """Change the mobile number of the customer's account."""
    profile = await send(context, "PATCH", "/profile", {"phone": new_phone}, Profile)
    return ToolResult(domain.phone_changed(profile))


@tool(
    use_when=(
        "change my address",
        "I have moved house",
        "update my delivery address",
        "my new address is in another street",
        "I moved to another city",
        "the address on my account is wrong",
        "send my parcels to a new address from now on",
        "correct my shipping address",
        "I put in my old address by mistake",
        "set another delivery address",
        "edit my home address",
    ),
    key=("new_address", "$turn"),
    confirm="Shall I change your address to {new_address}?",
)
async def change_address(context: ToolContext, new_address: NewAddress) -> ToolResult:
    """Change the address of the customer's account, for future orders."""
    address = domain.address_of(new_address)
    if address is None:
        raise ToolRefusedError(domain.address_refusal(new_address))
    profile = await send(context, "PATCH", "/profile", {"address": msgspec.to_builtins(address)}, Profile)
    return ToolResult(domain.address_changed(profile))


@tool(
    use_when=(
        "I forgot my password",
        "reset my password",
        "I can not log in",
        "send me a password link",
        "I need a new password",
        "my password does not work",
        "recover my password",
        "I lost my login",
        "the reset link has expired",
        "my account is locked after wrong passwords",
        "how do I get back into my account",
        "change my password",
    ),
    key=("$turn",),
    confirm="Shall I send a link for a new password to the e-mail address of your account?",
)
async def send_password_reset(context: ToolContext) -> ToolResult:
    """Send a link for a new password to the e-mail address on the customer's account."""
    reset = await send(context, "POST", "/password-reset", {}, PasswordReset)
    return ToolResult(domain.reset_sent(reset))
