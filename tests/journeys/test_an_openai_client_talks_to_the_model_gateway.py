"""The official openai client, pointed at the llm-gateway of a running mesh."""

from __future__ import annotations

import openai

from parley_testkit.mesh import RunningMesh


def test_the_openai_client_streams_a_completion(mesh: RunningMesh) -> None:
    port = mesh.state.children["llm-gateway-1"].port
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    model = client.models.list().data[0].id
    question = [{"role": "user", "content": "Which model are you?"}]
    chunks = list(client.chat.completions.create(model=model, messages=question, stream=True))  # type: ignore[call-overload]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "offline" in text.lower()
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
