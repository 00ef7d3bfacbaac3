"""The door of the escalation specialty."""

from parley_escalation.app import build
from parley_escalation.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("escalation", Settings, build)
