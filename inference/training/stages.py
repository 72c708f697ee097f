"""The stages of making the starter model, each of which finds its input in the work folder.

corpus → tokenizer → rows → pre-training → fine-tuning → polishing → export. A stage whose output
exists is skipped, a training stage resumes from its checkpoint: the whole may be stopped and
started again.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from inference.training.cleaning import clean
from inference.training.corpus.common_words import hints
from inference.training.corpus.mixture import FINE_TUNING, POLISHING, PRETRAINING, Mixture, split
from inference.training.export import export
from inference.training.initialise import initialise
from inference.training.loop import LoopSettings, load_model, train
from inference.training.model import ModelShape, StarterModel
from inference.training.packing import PackedRows, pack
from inference.training.repetition import with_repetition
from inference.training.schedule import Schedule
from inference.training.tokenizer import SPECIAL_TOKENS, encode_document, train_tokenizer

TOKENIZER_DOCUMENTS = 12_000
HINT_REPETITIONS = 12


@dataclass(frozen=True)
class Plan:
    """How large everything is. `rows_seed` names the corpus that the rows are made from."""

    work: Path
    documents: int = 240_000
    long_documents: int = 80_000
    polish_documents: int = 40_000
    row_tokens: int = 512
    long_row_tokens: int = 1024
    corpus_seed: int = 1
    pretrain_steps: int = 4200
    finetune_steps: int = 1300
    polish_steps: int = 600
    batch_rows: int = 8
    device: str = "cpu"
    compiled: bool = True
    shape: ModelShape = field(default_factory=ModelShape)

    @property
    def tokenizer_file(self) -> Path:
        return self.work / "tokenizer.json"

    def rows_file(self, seed: int, documents: int, row_tokens: int) -> Path:
        return self.work / f"rows-{seed}-{documents}-{row_tokens}.npz"

    def checkpoint(self, stage: str) -> Path:
        return self.work / f"{stage}.pt"


def make_starter(plan: Plan, output: Path) -> None:
    """All stages, in order."""
    tokenizer = make_tokenizer(plan)
    seed = plan.corpus_seed
    pretrain(plan, make_rows(plan, tokenizer, seed, plan.documents, plan.row_tokens))
    # Fine-tuning reads documents that pre-training has not read.
    long_rows = make_rows(
        plan, tokenizer, seed + 1, plan.long_documents, plan.long_row_tokens, FINE_TUNING
    )
    finetune(plan, long_rows, plan.checkpoint("pretrain"))
    short_rows = make_rows(
        plan, tokenizer, seed + 2, plan.polish_documents, plan.row_tokens, POLISHING
    )
    polish(plan, short_rows)
    export(load_model(plan.checkpoint("polish")), tokenizer, output)


def make_tokenizer(plan: Plan) -> Tokenizer:
    if not plan.tokenizer_file.exists():
        plan.work.mkdir(parents=True, exist_ok=True)
        texts = [document.text for document in clean(split(0, TOKENIZER_DOCUMENTS, held_out=False))]
        tokenizer = train_tokenizer(texts + hints() * HINT_REPETITIONS, plan.shape.vocabulary)
        tokenizer.save(str(plan.tokenizer_file))
    return Tokenizer.from_file(str(plan.tokenizer_file))


def make_rows(
    plan: Plan,
    tokenizer: Tokenizer,
    seed: int,
    documents: int,
    row_tokens: int,
    mixture: Mixture = PRETRAINING,
) -> PackedRows:
    """The documents of the mixture with this seed, and the rows that teach copying."""
    file = plan.rows_file(seed, documents, row_tokens)
    if not file.exists():
        wanted = split(seed, documents, held_out=False, mixture=mixture)
        cleaned = clean(tqdm(wanted, total=documents, desc="corpus", unit="doc"))
        rows = pack((encode_document(tokenizer, document) for document in cleaned), row_tokens)
        vocabulary, specials = plan.shape.vocabulary, len(SPECIAL_TOKENS)
        with_repetition(rows, specials, vocabulary, seed).save(file)
    return PackedRows.load(file)


def pretrain(plan: Plan, rows: PackedRows) -> None:
    """Every token counts, questions included. The rate stays high: the decay is fine-tuning's."""
    torch.manual_seed(plan.corpus_seed)
    settings = LoopSettings(
        Schedule(plan.pretrain_steps, warmup_steps=60, decay_steps=0),
        plan.batch_rows,
        device=plan.device,
        compiled=plan.compiled,
    )
    model = StarterModel(plan.shape)
    initialise(model)
    train(model, rows, settings, plan.checkpoint("pretrain"))


def finetune(plan: Plan, rows: PackedRows, start: Path, name: str = "finetune") -> None:
    """From `start`'s weights, on answers only, the rate falling to almost nothing."""
    settings = LoopSettings(
        Schedule(plan.finetune_steps, warmup_steps=10, decay_steps=plan.finetune_steps - 10),
        plan.batch_rows * plan.row_tokens // plan.long_row_tokens,
        answers_only=True,
        seed=2,
        device=plan.device,
        compiled=plan.compiled,
    )
    train(load_model(start), rows, settings, plan.checkpoint(name))


def polish(plan: Plan, rows: PackedRows) -> None:
    """A second, shorter fine-tuning at half the rate."""
    settings = LoopSettings(
        Schedule(plan.polish_steps, warmup_steps=10, decay_steps=plan.polish_steps - 10),
        plan.batch_rows,
        matrix_rate=LoopSettings.matrix_rate / 2,
        other_rate=LoopSettings.other_rate / 2,
        answers_only=True,
        seed=3,
        device=plan.device,
        compiled=plan.compiled,
    )
    train(load_model(plan.checkpoint("finetune")), rows, settings, plan.checkpoint("polish"))
