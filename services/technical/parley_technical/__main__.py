"""The door of the technical specialty."""

from parley_mesh.runner import run
from parley_technical.app import build
from parley_technical.settings import Settings

if __name__ == "__main__":
    run("technical", Settings, build)
