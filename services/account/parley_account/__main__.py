"""The door of the account specialty."""

from parley_account.app import build
from parley_account.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("account", Settings, build)
