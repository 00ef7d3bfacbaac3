"""`python -m parley_llm_gateway`: run the llm-gateway."""

from parley_llm_gateway.app import build
from parley_llm_gateway.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("llm-gateway", Settings, build)
