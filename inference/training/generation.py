"""Answers of an exported model, computed by transformers in float32: what it really says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass(frozen=True)
class Answer:
    """`stopped`: it ended by itself, before the limit of tokens."""

    text: str
    stopped: bool


class ExportedModel:
    """An exported folder, loaded."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)

    def chat_prompt(self, *messages: tuple[str, str]) -> str:
        """The text of a chat of (role, content), ready for the assistant's turn."""
        turns = [{"role": role, "content": content} for role, content in messages]
        text: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return text

    def answer(
        self, prompts: Sequence[str], max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Answer]:
        """One answer to each prompt, taken as it is: apply `chat_prompt` to questions first."""
        batch = self.tokenizer(
            list(prompts), return_tensors="pt", padding=True, add_special_tokens=False
        )
        choice = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
        torch.manual_seed(seed)
        with torch.no_grad():
            output = self.model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=max_tokens,
                **(
                    choice
                    if temperature > 0
                    else {"do_sample": False, "temperature": None, "top_p": None}
                ),
            )
        stops = set(self.model.generation_config.eos_token_id)
        return [self._read(row[batch["input_ids"].shape[1] :].tolist(), stops) for row in output]

    def _read(self, ids: list[int], stops: set[int]) -> Answer:
        end = next((place for place, token in enumerate(ids) if token in stops), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        return Answer(text.strip(), end is not None)
