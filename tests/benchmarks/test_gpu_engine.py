"""All that runs on a GPU, together: its kernels in Triton's interpreter, graphs that run again.

Each part has its own tests; here they meet as `gpu.py` drives them, without a GPU.
"""

from typing import Any

import pytest
import torch

import tests.interpreted  # noqa: F401  quicker
from benchmarks import gpu, gpu_engine
from benchmarks.gpu_engine import Engine
from inference.engine import kernels
from inference.engine.graphs import GraphedModel
from inference.engine.kernels import attention
from inference.engine.kernels.layer import TritonOperations
from inference.engine.lean import LeanModel

LENGTH, NEW = 17, 3


def run_again(run: Any) -> Any:
    run()
    return run


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(kernels, "available", lambda device: True)
    monkeypatch.setattr("inference.engine.linear._backend.is_available", lambda: False)
    monkeypatch.setattr("inference.engine.lean.native_decoder", lambda *_: None)
    monkeypatch.setattr(attention, "WANTED_PROGRAMS", 8)  # they run one after the other
    with_graphs = gpu_engine.with_graphs
    monkeypatch.setattr(gpu_engine, "with_graphs", lambda *a: with_graphs(*a, run_again))
    config = gpu.shape(tiny=True)
    config.initializer_range = 0.1
    return gpu.make(config, torch.device("cpu"), torch.float32)


def test_a_gpus_forms_say_what_transformers_says(module: Any) -> None:
    prompts = gpu.prompts(2, LENGTH, module.config.vocab_size, seed=1)
    said = [list(prompt) for prompt in prompts]
    with torch.inference_mode():
        for text in said * NEW:
            text.append(int(module(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
    engine = Engine(module, max_running=2, max_model_len=32, budget=48)
    assert isinstance(engine.replayed, GraphedModel)
    assert isinstance(engine.eager, LeanModel)
    assert isinstance(engine.eager._operations, TritonOperations)
    assert engine._runner._sampler._softmax_draw.__name__ == "triton_draw"
    for ahead in (False, True):
        assert engine.generate(prompts, NEW, ahead=ahead) == [text[LENGTH:] for text in said]
