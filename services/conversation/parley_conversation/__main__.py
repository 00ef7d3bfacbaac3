"""The door of the conversation service."""

from parley_conversation.app import build
from parley_conversation.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("conversation", Settings, build)
