"""The door of the billing specialty."""

from parley_billing.app import build
from parley_billing.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("billing", Settings, build)
