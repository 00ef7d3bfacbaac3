"""The door of the returns specialty."""

from parley_mesh.runner import run
from parley_returns.app import build
from parley_returns.settings import Settings

if __name__ == "__main__":
    run("returns", Settings, build)
